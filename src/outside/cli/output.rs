//! The two ways of a command to speak: complaints go to stderr, answers to stdout.

use std::borrow::Cow;
use std::io::{ErrorKind, Result, Write};

use comfy_table::{ContentArrangement, Table, presets};
use parking_lot::Mutex;

use crate::outside::cli::exit::EX_DATAERR;

/// A table without lines and without the width of a terminal: each row is one line.
pub(super) fn plain_table() -> Table {
    let mut table = Table::new();
    let _ =
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// What a command has said, where it is to be printed as JSON at its end.
static KEPT: Mutex<Option<Vec<String>>> = Mutex::new(None);

fn keep(text: &str) -> bool {
    let mut kept = KEPT.lock();
    let Some(lines) = kept.as_mut() else { return false };
    lines.extend(text.trim_end().lines().map(|line| visible(line).into_owned()));
    true
}

/// Runs a command that says its answer line by line; its exit code, and what it has said instead of
/// printing it. Complaints are printed, too.
pub(super) fn kept(command: impl FnOnce() -> u8) -> (u8, Vec<String>) {
    *KEPT.lock() = Some(Vec::new());
    let code = command();
    (code, KEPT.lock().take().unwrap_or_default())
}

pub(super) fn complain(text: &str) {
    let _ = keep(text);
    let _ = writeln!(std::io::stderr(), "alluvium: {}", visible(text.trim_end()));
}

pub(super) fn say(text: &str) {
    if keep(text) {
        return;
    }
    if let Err(e) = speak(&mut std::io::stdout(), text) {
        complain(&format!("the answer can't be written: {e}"));
    }
}

/// Says it as JSON, for programs.
pub(super) fn say_json(value: &impl serde::Serialize) {
    say_json_text(&serde_json::to_string_pretty(value).expect("string keys"));
}

/// Says what is JSON already. Characters that would steer a terminal can only be in its strings,
/// and stand there by their numbers, as JSON writes them.
pub(super) fn say_json_text(text: &str) {
    let shown = |c: char| match steers(c) {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    match text.contains(steers) {
        true => say(&text.chars().map(shown).collect::<String>()),
        false => say(text),
    }
}

/// Whether a character steers a terminal, or turns the direction of what follows. All of them are
/// below U+10000.
fn steers(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && !['\n', '\t'].contains(&c)) || turns
}

/// Says the same on an empty screen.
pub(super) fn say_anew(text: &str) {
    const CLEAR: &str = "\x1b[2J\x1b[H";
    let _ = write!(std::io::stdout(), "{CLEAR}");
    say(text);
}

/// Whoever reads may have gone (`alluvium status | head`). The command still ends what it does, and
/// with its own exit code: a repair must not stop half way because nobody listens.
fn speak(to: &mut impl Write, text: &str) -> Result<()> {
    writeln!(to, "{}", visible(text)).or_else(|e| match e.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(e),
    })
}

/// The text as a terminal may show it. Names of topics and files are others' to choose: characters
/// that would steer a terminal, or turn the direction of what follows, are shown by their numbers.
fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return text.into();
    }
    let shown = |c: char| if steers(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect::<String>().into()
}

/// What a command answers: the lines for stdout, the same as values for programs, and its exit
/// code.
#[derive(Default, Debug)]
pub(super) struct Answer {
    pub(super) lines: Vec<String>,
    /// By names that scripts read: one may be added, none may be renamed or removed.
    pub(super) values: serde_json::Map<String, serde_json::Value>,
    pub(super) findings: Vec<String>,
    pub(super) code: u8,
}

impl Answer {
    pub(super) fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// A line about something that is not as it should be.
    pub(super) fn find(&mut self, line: impl Into<String>) {
        let line = line.into();
        self.findings.push(line.split_whitespace().collect::<Vec<_>>().join(" "));
        self.say(line);
        self.code = EX_DATAERR;
    }

    /// A value for programs; an earlier one of the same name is replaced.
    pub(super) fn value(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        let _ = self.values.insert(name.into(), value.into());
    }

    /// Prints the answer, as lines or as one JSON object; the exit code.
    pub(super) fn give(&self, json: bool) -> u8 {
        if json {
            let mut all = self.values.clone();
            let _ = all.insert("findings".into(), self.findings.clone().into());
            let _ = all.insert("lines".into(), self.lines.clone().into());
            say_json(&all);
        } else {
            self.lines.iter().for_each(|line| say(line));
        }
        self.code
    }
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    struct Fails(ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> Result<usize> {
            Err(Error::from(self.0))
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_of_a_text_steers_a_terminal() {
        for (text, shown) in [
            ("a topic\tand\nits lines", "a topic\tand\nits lines"),
            ("t\u{1b}[2Jx\r\u{7}\u{9b}31m", "t\\u{1b}[2Jx\\r\\u{7}\\u{9b}31m"),
            ("über \u{202e}txt.exe", "über \\u{202e}txt.exe"),
        ] {
            assert_eq!(visible(text), shown);
        }
        let mut there = Vec::new();
        speak(&mut there, "\u{1b}]0;x\u{7}").unwrap();
        assert_eq!(there, b"\\u{1b}]0;x\\u{7}\n");
    }

    #[test]
    fn json_stays_json_whatever_a_name_has() {
        let name = "a\u{202e}b\u{7f}\u{9b}c\u{1b}\"";
        let (_, lines) = kept(|| {
            say_json(&[name]);
            0
        });
        let text = lines.join("\n");
        assert!(!text.contains(|c: char| c != '\n' && steers(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), [name]);
    }

    #[test]
    fn what_is_said_can_be_kept() {
        let (code, lines) = kept(|| {
            say("one\ntwo\u{1b}");
            complain("three");
            7
        });
        assert_eq!((code, lines), (7, ["one", "two\\u{1b}", "three"].map(String::from).into()));
    }

    #[test]
    fn a_reader_that_has_gone_ends_nothing() {
        assert!(speak(&mut Fails(ErrorKind::BrokenPipe), "text").is_ok());
        assert!(speak(&mut Fails(ErrorKind::StorageFull), "text").is_err());
        let mut there = Vec::new();
        speak(&mut there, "text").unwrap();
        assert_eq!(there, b"text\n");
    }
}
