//! `config/alluvium.toml`, as data: what it says of each key, and which values are defaults.

use std::collections::BTreeMap;

use toml::Table;

const TEXT: &str = include_str!("../../../config/alluvium.toml");

/// Keys that stand in the example inside the value of another one: their ends, and what they are.
const INLINE: [(&str, &str); 12] = [
    ("kerberos.principal", "such as alluvium@EXAMPLE.COM"),
    ("kerberos.keytab", "the path of a file, or { credential = \"NAME\" } of systemd"),
    ("kerberos.cache", "where tickets are: FILE:/path"),
    ("login.user", "its name; needs password"),
    ("login.password", "{ file = \"/path\" } or { credential = \"NAME\" }"),
    ("login.ca", "a file with the authorities that sign the listener's certificate"),
    ("login.certificate", "a client certificate (PEM); needs key"),
    ("login.key", "its key (PEM)"),
    ("partials.topic", "default: GROUP-MAPPING-partials"),
    ("partials.partitions", "used when the topic is created, and never changed; default: 4"),
    ("partials.replication", "its copies; default: as many as the broker says"),
    ("partials.retention", "default: 7d"),
];

/// What the example says of one key.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Said {
    /// As it is written; none of a table.
    value: Option<String>,
    is_commented_out: bool,
    words: String,
}

/// The example file.
pub(super) struct Example(BTreeMap<String, Said>);

impl Example {
    pub(super) fn shipped() -> Example {
        Example::read(TEXT)
    }

    fn read(text: &str) -> Example {
        let (mut said, mut table) = (BTreeMap::<String, Said>::new(), String::new());
        let (mut above, mut last) = (String::new(), None);
        for line in text.lines() {
            if line.trim().is_empty() {
                (above, last) = (String::new(), None);
                continue;
            }
            if let Some(more) =
                line.trim_start().strip_prefix("# ").filter(|_| line.starts_with(' '))
            {
                if let Some(said) = last.as_ref().and_then(|key| said.get_mut(key)) {
                    said.words = format!("{} {}", said.words, more.trim()).trim_start().into();
                }
                continue;
            }
            let plain = line.strip_prefix("# ").unwrap_or(line);
            let is_commented_out = plain.len() < line.len();
            let (code, comment) = split(plain);
            let found = match code.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
                Some(name) => {
                    table = name.replace("mapping.hello", "mapping.NAME");
                    Some((table.clone(), None))
                }
                None => code
                    .split_once(" = ")
                    .filter(|(name, _)| is_key(name))
                    .map(|(name, value)| (format!("{table}.{name}"), Some(value.to_string()))),
            };
            let Some((key, value)) = found else {
                above = format!("{above} {}", plain.trim()).trim().to_string();
                continue;
            };
            let words = format!("{above} {comment}").trim().to_string();
            let _ = said.insert(key.clone(), Said { value, is_commented_out, words });
            (above, last) = (String::new(), Some(key));
        }
        Example(said)
    }

    /// As TOML.
    pub(super) fn table() -> Table {
        toml::from_str(TEXT).unwrap_or_default()
    }

    /// The value that the file shows, as it is written.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.value.as_deref()
    }

    /// Whether the key stands in a comment.
    #[cfg(test)]
    pub(super) fn is_commented_out(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|said| said.is_commented_out)
    }

    /// What the file says of a key, or of the same key among the defaults of all archives.
    pub(super) fn description(&self, key: &str) -> String {
        let said = |key: &str| self.0.get(key).map(|said| said.words.clone());
        let default =
            key.rsplit_once("NAME.").map(|(_, rest)| rest.trim_start_matches("wordcount."));
        let inline = INLINE.iter().find(|(end, _)| key.ends_with(end));
        let inline = inline.map(|(_, words)| (*words).to_string());
        said(key).or(inline).or_else(|| said(default?)).unwrap_or_default()
    }
}

/// A line of TOML, and its comment.
fn split(line: &str) -> (&str, &str) {
    let mut in_string = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => in_string = !in_string,
            '#' if !in_string => {
                let (code, comment) = line.split_at(at);
                return (code.trim(), comment.trim_start_matches('#').trim());
            }
            _ => {}
        }
    }
    (line.trim(), "")
}

fn is_key(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
    !name.is_empty() && name.trim_matches('"').chars().all(plain)
}
