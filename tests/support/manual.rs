//! The examples of README and manual, and what their marks say of them.
//!
//! A comment before a block of shell, Python or SQL says who runs it: `<!-- run: sh -->`, with
//! `types 'TEXT'` if a line is typed into it, and `prints 'TEXT'` if something must be in its
//! output, or `<!-- not run: REASON -->`. A `terminal` is a shell that goes on to run beside the
//! examples that follow.

use std::path::Path;

/// An example of a page.
pub struct Example {
    /// The page's path in the repository, and the line at which the block begins.
    pub at: String,
    /// What stands behind the opening fence: `sh`, `toml`.
    pub language: String,
    pub text: String,
    pub mark: Mark,
}

/// What the comment before a block says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mark {
    None,
    /// By what the block is run (`sh`, `terminal`, `python`, `duckdb`, `spark`, `trino`, `hive`),
    /// what is typed into it, and what it must print.
    Run {
        by: String,
        types: Option<String>,
        prints: Option<String>,
    },
    NotRun(String),
}

impl Mark {
    fn of(line: &str) -> Mark {
        let inner = line.strip_prefix("<!-- ").and_then(|l| l.strip_suffix(" -->")).unwrap_or("");
        if let Some(reason) = inner.strip_prefix("not run: ") {
            return Mark::NotRun(reason.into());
        }
        let Some(run) = inner.strip_prefix("run: ") else { return Mark::None };
        let (run, prints) = quoted(run, " prints '");
        let (by, types) = quoted(run, " types '");
        Mark::Run { by: by.into(), types, prints }
    }
}

/// What stands before a word of a mark, and the text in quotes behind the word.
fn quoted<'m>(mark: &'m str, word: &str) -> (&'m str, Option<String>) {
    match mark.split_once(word) {
        Some((before, text)) => (before, Some(text.trim_end_matches('\'').to_string())),
        None => (mark, None),
    }
}

/// The examples of a page, in their order.
pub fn examples_of(page: &str, text: &str) -> Vec<Example> {
    let (mut all, mut before, mut open) = (Vec::new(), "", None::<Example>);
    for (n, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (Some(_), Some(_)) => all.extend(open.take()),
            (Some(example), None) => example.text += &format!("{line}\n"),
            (None, Some(language)) => {
                let (at, text) = (format!("{page}:{}", n + 1), String::new());
                let mark = Mark::of(before.trim_start());
                open = Some(Example { at, language: language.into(), text, mark });
            }
            (None, None) => {}
        }
        before = line;
    }
    all
}

/// The examples of README and of each page of the manual, by the name of the page.
pub fn examples(top: &Path) -> Vec<Example> {
    let directory = std::fs::read_dir(top.join("docs")).unwrap();
    let names = directory.map(|f| format!("docs/{}", f.unwrap().file_name().to_str().unwrap()));
    let mut pages: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    pages.push("README.md".into());
    pages.sort();
    let read = |page: &String| std::fs::read_to_string(top.join(page)).unwrap();
    pages.iter().flat_map(|page| examples_of(page, &read(page))).collect()
}
