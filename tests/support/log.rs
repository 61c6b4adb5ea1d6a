//! What daemons log while a scenario runs: a warning or an error that the scenario does not expect
//! fails it.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::TOO_LATE;

thread_local! {
    /// Logs of the daemons that this thread's scenario has started.
    static LOGS: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
}

/// The log of a daemon that the scenario has started.
pub fn watch(log: &Path) {
    LOGS.with_borrow_mut(|all| all.push(log.into()));
}

/// How many of the scenario's logs, the last ones, are reported with a failure.
const LOGS_SHOWN: usize = 3;
/// How many lines of each.
const LINES: usize = 6;

/// Another scenario begins on this thread.
pub fn forget() {
    drop(LOGS.take());
}

/// A line that a scenario expects.
pub struct Expected {
    /// A part of its text.
    pub part: String,
    /// An error with this text is not expected.
    pub only_warnings: bool,
    /// How many such lines one daemon's log may have; [`None`] if there is no limit.
    pub most: Option<usize>,
}

impl Expected {
    fn is(&self, line: &str) -> bool {
        line.contains(&self.part) && !(self.only_warnings && is_error(line))
    }
}

/// The logs of all daemons that this thread has started since the last call, against what its
/// scenario expects.
///
/// # Panics
/// A line is a warning or an error, and nothing expects it.
pub fn assert_expected(expected: &[Expected]) {
    let (mut found, mut by_load) = (Vec::new(), true);
    for log in LOGS.with_borrow(Clone::clone) {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines = unexpected(&text, expected);
        by_load &= lines.iter().all(|line| expected.iter().any(|e| e.is(line)));
        found.extend(lines.into_iter().map(|l| format!("{}: {l}", log.display())));
    }
    // Each of them is explained by load, and they come too often.
    let why = if by_load { TOO_LATE } else { "" };
    assert!(
        found.is_empty(),
        "{why}{} lines that the scenario does not expect (tests/it/expected.toml), among them\n{}",
        found.len(),
        found[..found.len().min(20)].join("\n")
    );
}

/// The lines of one log that nothing expects, or that come too often.
fn unexpected<'t>(text: &'t str, expected: &[Expected]) -> Vec<&'t str> {
    let mut seen = vec![0; expected.len()];
    let mut excuse = |line: &str| {
        let matching = || expected.iter().enumerate().filter(|(_, e)| e.is(line));
        if matching().any(|(_, e)| e.most.is_none()) {
            return true;
        }
        let Some((at, most)) = matching().find_map(|(at, e)| Some((at, e.most?))) else {
            return false;
        };
        seen[at] += 1;
        seen[at] <= most
    };
    text.lines().filter(|line| is_loud(line) && !excuse(line)).collect()
}

/// What the checks of logs themselves do, on a small log.
///
/// # Panics
/// A line that is not expected was not found.
pub fn assert_checks_see() {
    let line = |level: &str, text: &str| format!("2026-11-22T10:00:00.000000Z {level} {text}\n");
    let of = |part: &str, only_warnings, most| Expected { part: part.into(), only_warnings, most };
    let expected = [of("slow", true, Some(2)), of("killed", false, None)];
    let slow = line(" WARN", "slow");
    for (log, found) in [
        (line(" INFO", "anything"), 0),
        (slow.repeat(2) + &line("ERROR", "killed").repeat(9), 0),
        (slow.repeat(3), 1),
        (line("ERROR", "slow"), 1),
        (line(" WARN", "other"), 1),
        ("thread 'worker-0' (7) panicked at src/a.rs:1:2:\n".into(), 1),
    ] {
        assert_eq!(unexpected(&log, &expected).len(), found, "{log}");
    }
}

/// The end of the scenario's last logs, for the report of a failure; lines are cut.
pub fn last_lines() -> String {
    let mut all = String::new();
    let logs = LOGS.take();
    for log in &logs[logs.len().saturating_sub(LOGS_SHOWN)..] {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let _ = write!(all, "\n  {}:", log.file_name().unwrap_or_default().to_string_lossy());
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            let _ = write!(all, "\n    {}", line.chars().take(200).collect::<String>());
        }
    }
    all
}

/// As text (a time, a level) or with the journal's prefix.
fn is_error(line: &str) -> bool {
    line.split_whitespace().nth(1) == Some("ERROR") || line.starts_with("<3>")
}

/// A warning, an error, or a panic, which has a line of its own.
pub(super) fn is_loud(line: &str) -> bool {
    let panics = line.starts_with("thread '") && line.contains(" panicked at ");
    let warning = line.split_whitespace().nth(1) == Some("WARN") || line.starts_with("<4>");
    warning || panics || is_error(line)
}
