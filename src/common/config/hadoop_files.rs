//! Hadoop's configuration files, read as Hadoop's own `Configuration` reads them: an element or
//! attributes for each property, `final`, files that are included, and `${variables}`.
//!
//! The client library reads the files itself, and knows the elements alone. What is read here is
//! handed to it as an override, so it goes by the same values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node, ParsingOptions};

use crate::common::config::root::HdfsOptions;
use crate::common::files;

/// The files that a client of HDFS reads, in this order.
const HADOOP_FILES: [&str; 2] = ["core-site.xml", "hdfs-site.xml"];

/// Files include others to this depth at most: files that include each other would have no end.
const DEPTH: usize = 16;

/// Hadoop replaces so many variables of one value, and no more.
const VARIABLES: usize = 20;

/// A value whose variables would make it longer than this many bytes stays as it is written.
const LONGEST: usize = 4_096;

/// What a file has, in its order.
enum Item {
    Property {
        name: String,
        value: String,
        is_final: bool,
    },
    /// Another file, and what stands for it if it is not there.
    Include {
        href: String,
        fallback: Option<Vec<Item>>,
    },
}

/// Properties, and those that no later file changes.
#[derive(Default)]
struct Properties {
    values: BTreeMap<String, String>,
    finals: BTreeSet<String>,
}

/// The properties of one text, without those of files that it includes; variables are replaced.
///
/// # Errors
/// It is no such file.
#[cfg_attr(not(test), allow(dead_code, reason = "tests and the fuzzer have texts without files"))]
pub fn hadoop_properties(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut all = Properties::default();
    for item in items(text)? {
        if let Item::Property { name, value, is_final } = item {
            all.set(name, value, is_final);
        }
    }
    Ok(substituted(&all.values, &|_| None))
}

/// All properties that the client of a root goes by: those of the files in the directory that the
/// configuration or the environment names, and of `[archive.hadoop]`.
///
/// # Errors
/// A file can't be read, or is none of Hadoop's; the text names it.
pub fn hadoop_values(options: &HdfsOptions) -> Result<BTreeMap<String, String>, String> {
    let home = || Some(PathBuf::from(std::env::var_os("HADOOP_HOME")?).join("etc/hadoop"));
    let named = options.conf_dir.as_ref().map(PathBuf::from);
    let directory = named.or_else(|| std::env::var_os("HADOOP_CONF_DIR").map(PathBuf::from));
    let (values, _) = values_below(directory.or_else(home).as_deref(), &options.properties)?;
    Ok(values)
}

/// The values of the files in a directory, and of `more`, which replaces them; how many of the
/// files are there.
pub(super) fn values_below(
    directory: Option<&Path>,
    more: &BTreeMap<String, String>,
) -> Result<(BTreeMap<String, String>, usize), String> {
    let (mut all, mut found) = (Properties::default(), 0_usize);
    for file in HADOOP_FILES {
        let Some(path) = directory.map(|directory| directory.join(file)) else { continue };
        match files::read_text(&path) {
            Ok(text) => all.add(&path, &text, DEPTH)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(format!("can't read {}: {e}", path.display())),
        }
        found = found.saturating_add(1);
    }
    all.values.extend(more.clone());
    Ok((substituted(&all.values, &|name| std::env::var(name).ok()), found))
}

impl Properties {
    fn set(&mut self, name: String, value: String, is_final: bool) {
        if self.finals.contains(&name) {
            return;
        }
        if is_final {
            let _ = self.finals.insert(name.clone());
        }
        let _ = self.values.insert(name, value);
    }

    /// Adds what a file has.
    fn add(&mut self, path: &Path, text: &str, depth: usize) -> Result<(), String> {
        let items = items(text).map_err(|why| format!("{}: {why}", path.display()))?;
        self.add_all(path, items, depth)
    }

    fn add_all(&mut self, path: &Path, items: Vec<Item>, depth: usize) -> Result<(), String> {
        let Some(left) = depth.checked_sub(1) else {
            return Err(format!("{}: files include each other without an end", path.display()));
        };
        for item in items {
            match item {
                Item::Property { name, value, is_final } => self.set(name, value, is_final),
                Item::Include { href, fallback } => {
                    let wrong =
                        |why: &str| format!("{}: xi:include {href:?}: {why}", path.display());
                    let local = href.strip_prefix("file://").unwrap_or(&href);
                    if local.contains("://") {
                        return Err(wrong("only files are read; name the file of a copy"));
                    }
                    let here = path.parent().unwrap_or(Path::new("/"));
                    let other = here.join(local);
                    match (files::read_text(&other), fallback) {
                        (Ok(text), _) => self.add(&other, &text, left)?,
                        (Err(e), Some(instead)) if e.kind() == std::io::ErrorKind::NotFound => {
                            self.add_all(path, instead, left)?;
                        }
                        (Err(e), _) => return Err(wrong(&e.to_string())),
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a text has.
fn items(text: &str) -> Result<Vec<Item>, String> {
    // Entities that contain each other would need memory that the file does not have bytes for;
    // the library counts them.
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let tree = Document::parse_with_options(text, options).map_err(|e| {
        let hint = match text.contains("SYSTEM") && text.contains("<!ENTITY") {
            true => ". External entities are not read here: use xi:include",
            false => "",
        };
        format!("it is no XML: {e}{hint}")
    })?;
    let top = tree.root_element();
    if top.tag_name().name() != "configuration" {
        let name = top.tag_name().name();
        return Err(format!(
            "its top element is <{name}>, and Hadoop's files have <configuration>"
        ));
    }
    Ok(of_elements(top))
}

fn of_elements(parent: Node<'_, '_>) -> Vec<Item> {
    // Elements may be within each other as deeply as the file is long.
    let (mut found, mut rest) = (Vec::new(), vec![parent.children()]);
    while let Some(children) = rest.last_mut() {
        let Some(child) = children.next() else {
            let _ = rest.pop();
            continue;
        };
        match child.tag_name().name() {
            "property" => found.extend(property(child)),
            "configuration" => rest.push(child.children()),
            "include" => {
                let fallback = child.children().find(|n| n.tag_name().name() == "fallback");
                let fallback = fallback.map(|of| of.children().filter_map(property).collect());
                let href = child.attribute("href").unwrap_or_default().to_string();
                found.push(Item::Include { href, fallback });
            }
            _ => {}
        }
    }
    found
}

fn property(node: Node<'_, '_>) -> Option<Item> {
    if node.tag_name().name() != "property" {
        return None;
    }
    let part = |name: &str| {
        let child = node.children().find(|n| n.tag_name().name() == name);
        let text = |of: Node<'_, '_>| {
            let texts = of.children().filter(Node::is_text);
            texts.filter_map(|n| n.text()).collect::<String>()
        };
        let child = child.map(text);
        child.or_else(|| node.attribute(name).map(String::from))
    };
    let is_final = part("final").is_some_and(|text| text.trim() == "true");
    let name = part("name")?.trim().to_string();
    Some(Item::Property { name, value: part("value")?, is_final })
}

/// The same values, in which variables are replaced by the values that they name; `env` gives those
/// of the environment. A variable that names nothing stays.
fn substituted(
    values: &BTreeMap<String, String>,
    env: &dyn Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let of = |(name, value): (&String, &String)| {
        (name.clone(), replaced(value, values, env).unwrap_or_else(|| value.clone()))
    };
    values.iter().map(of).collect()
}

/// A value with its variables replaced; [`None`] if something stays as it is written.
fn replaced(
    value: &str,
    values: &BTreeMap<String, String>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    let mut text = value.to_string();
    for _ in 0..VARIABLES {
        let Some((at, end)) = variable(&text) else { return Some(text) };
        let name = text.get(at.checked_add(2)?..end.checked_sub(1)?)?;
        let new = match name.strip_prefix("env.") {
            Some(of) => of_environment(of, env)?,
            None => values.get(name)?.clone(),
        };
        if LONGEST < text.len().saturating_add(new.len()) {
            return None;
        }
        text.replace_range(at..end, &new);
    }
    None
}

/// `NAME`, `NAME-instead` (if it is not set) or `NAME:-instead` (if it is empty, too).
fn of_environment(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let Some((name, instead)) = text.split_once('-') else { return env(text) };
    match name.strip_suffix(':') {
        Some(name) => env(name).filter(|value| !value.is_empty()),
        None => env(name),
    }
    .or_else(|| Some(instead.into()))
}

/// Where the first variable stands that has no other one in it: `${name}`.
fn variable(text: &str) -> Option<(usize, usize)> {
    let mut begin = None;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match (c, before) {
            ('{', '$') => begin = at.checked_sub(1),
            ('$' | ' ', _) => begin = None,
            ('}', _) => {
                if let Some(begin) = begin.filter(|b| b.saturating_add(2) < at) {
                    return Some((begin, at.saturating_add(1)));
                }
                begin = None;
            }
            _ => {}
        }
        before = c;
    }
    None
}

/// Whether a value has a variable that nothing has replaced.
pub(super) fn has_variable(value: &str) -> bool {
    variable(value).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(properties: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<configuration \
             xmlns:xi=\"http://www.w3.org/2001/XInclude\">{properties}</configuration>"
        )
    }

    fn property(name: &str, value: &str) -> String {
        format!("<property><name>{name}</name><value>{value}</value></property>")
    }

    #[test]
    fn properties_are_written_in_several_ways() {
        let text = file(
            "<property><name> a\n</name><value> 1\n</value></property><property name=\"b\" \
             value=\"2\"/><property><name>c</name><value>x<!-- y -->z<![CDATA[<&]]></value>\
             </property><property><name>d</name></property><property><name>e</name><value/>\
             </property><configuration><property><name>f</name><value>6</value></property>\
             </configuration><!-- <property><name>g</name><value>7</value></property> -->\
             <property><name>h</name><value>1</value><final>true</final></property>\
             <property><name>h</name><value>2</value></property>",
        );
        let all: Vec<_> = hadoop_properties(&text).unwrap().into_iter().collect();
        let shown: Vec<(&str, &str)> = all.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected =
            [("a", " 1\n"), ("b", "2"), ("c", "xz<&"), ("e", ""), ("f", "6"), ("h", "1")];
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_no_file_of_hadoop_is_refused() {
        for (text, part) in [
            ("", "it is no XML"),
            ("<configuration>", "it is no XML"),
            ("<html/>", "its top element is <html>"),
            (
                "<!DOCTYPE c [<!ENTITY a SYSTEM \"other.xml\">]><configuration>&a;</configuration>",
                "use xi:include",
            ),
        ] {
            let refused = hadoop_properties(text).unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }

    #[test]
    fn files_include_other_ones() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        let read = || values_below(Some(dir.path()), &BTreeMap::new());
        let include = |href: &str| format!("<xi:include href=\"{href}\"/>");
        put("more.xml", file(&property("a", "included")));
        let absolute = dir.path().join("more.xml").display().to_string();
        for href in ["more.xml", &absolute, &format!("file://{absolute}")] {
            put("core-site.xml", file(&(property("a", "1") + &include(href))));
            assert_eq!(read().unwrap().0["a"], "included", "{href}");
        }
        let instead = format!("<xi:fallback>{}</xi:fallback>", property("a", "instead"));
        let missing = format!("<xi:include href=\"none.xml\">{instead}</xi:include>");
        put("core-site.xml", file(&missing));
        assert_eq!(read().unwrap().0["a"], "instead");
        for (text, part) in [
            (include("none.xml"), "\"none.xml\": No such file"),
            (include("core-site.xml"), "without an end"),
            (include("http://h/c.xml"), "only files are read"),
        ] {
            put("core-site.xml", file(&text));
            let refused = read().unwrap_err();
            assert!(refused.contains(part) && refused.contains("core-site.xml: "), "{refused}");
        }
    }

    #[test]
    fn a_later_file_replaces_what_is_not_final() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        let fixed = "<property><name>b</name><value>1</value><final>true</final></property>";
        put("core-site.xml", file(&(property("a", "1") + fixed)));
        put("hdfs-site.xml", file(&(property("a", "2") + &property("b", "2"))));
        let more = BTreeMap::from([("c".to_string(), "${a}${b}".to_string())]);
        let (values, found) = values_below(Some(dir.path()), &more).unwrap();
        let all: Vec<&str> = values.values().map(String::as_str).collect();
        assert_eq!((all, found), (vec!["2", "1", "21"], 2));
        let over = BTreeMap::from([("b".to_string(), "3".to_string())]);
        assert_eq!(values_below(Some(dir.path()), &over).unwrap().0["b"], "3");
        assert_eq!(values_below(None, &over).unwrap().1, 0);
    }

    #[test]
    fn variables_are_replaced_as_hadoop_does() {
        let given = [
            ("host", "nn"),
            ("port", "80${tens}"),
            ("tens", "20"),
            ("address", "${host}:${port}"),
            ("nested", "${${key}}"),
            ("key", "host"),
            ("loop", "${loop}"),
            ("unknown", "${host}/${no.such}"),
            ("env", "${env.A}${env.NONE-b}${env.EMPTY:-c}${env.EMPTY-d}"),
            ("plain", "$host {host} ${} ${ host} $${host}"),
            ("long", "${longer}${longer}"),
        ];
        let mut values: BTreeMap<String, String> =
            given.map(|(k, v)| (k.to_string(), v.to_string())).into();
        let _ = values.insert("longer".into(), "x".repeat(3_000));
        let env = |name: &str| match name {
            "A" => Some("a".to_string()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let found = substituted(&values, &env);
        for (key, expected) in [
            ("port", "8020"),
            ("address", "nn:8020"),
            ("nested", "nn"),
            ("loop", "${loop}"),
            ("unknown", "${host}/${no.such}"),
            ("env", "abc"),
            ("plain", "$host {host} ${} ${ host} $nn"),
            ("long", "${longer}${longer}"),
        ] {
            assert_eq!(found[key], expected, "{key}");
        }
        assert!(has_variable("a${b}") && !has_variable("a$b{c}"));
    }
}
