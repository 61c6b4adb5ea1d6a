//! Every task and thread is joined, and its end looked at.

use proc_macro2::{TokenStream, TokenTree};

use crate::source::check;
use crate::tokens::{each_level, is_mark, is_path_mark, program, tokens, word};

/// Tasks and threads whose end nobody looks at.
fn forgotten_tasks(text: &str) -> Vec<String> {
    let spawns = |stream: TokenStream| {
        let mut found = false;
        each_level(stream, &mut |level| {
            found |= level.iter().any(|t| {
                matches!(word(Some(t)).as_deref(), Some("spawn" | "spawn_blocking" | "spawn_local"))
            });
        });
        found
    };
    let mut faults = Vec::new();
    each_level(tokens(text), &mut |level| {
        for at in 0..level.len() {
            let line = level[at].span().start().line;
            match (word(level.get(at)).as_deref(), level.get(at + 1)) {
                (Some("drop"), Some(TokenTree::Group(arguments))) if spawns(arguments.stream()) => {
                    faults.push(format!("line {line}: the handle of a task is dropped"));
                }
                (Some("let"), Some(TokenTree::Ident(name))) if name == "_" => {
                    let end = level[at..].iter().position(|t| is_mark(Some(t), ';'));
                    let statement = &level[at..end.map_or(level.len(), |end| at + end)];
                    if spawns(statement.iter().cloned().collect()) {
                        faults.push(format!("line {line}: the handle of a task is thrown away"));
                    }
                }
                (Some("spawn_blocking" | "spawn_local"), Some(TokenTree::Group(_)))
                    if is_mark(level.get(at + 2), ';') && !is_kept(&level[..at]) =>
                {
                    faults.push(format!("line {line}: nobody keeps the handle of a task"));
                }
                (Some("tokio" | "task" | "thread"), _)
                    if is_path_mark(level, at + 1)
                        && word(level.get(at + 3)).as_deref() == Some("spawn")
                        && is_mark(level.get(at + 5), ';')
                        && !is_kept(&level[..at]) =>
                {
                    faults.push(format!("line {line}: nobody keeps the handle of a task"));
                }
                _ => {}
            }
        }
    });
    faults
}

/// Whether the statement that these tokens begin keeps its value.
fn is_kept(before: &[TokenTree]) -> bool {
    let begins = before.iter().rposition(|t| is_mark(Some(t), ';')).map_or(0, |at| at + 1);
    let statement = &before[begins..];
    statement.iter().any(|t| {
        is_mark(Some(t), '=') || matches!(word(Some(t)).as_deref(), Some("return" | "let"))
    })
}

#[test]
fn every_task_is_joined() {
    // That room looks at the end of a task inside of the task.
    check(&program(), |path, text| match path {
        "src/common/spawn.rs" => Vec::new(),
        _ => forgotten_tasks(text),
    });
}

#[test]
fn a_forgotten_task_is_seen() {
    for good in [
        "let t = tokio::spawn(f()); t.await",
        "let _ = f(); tokio::spawn(g())",
        "drop(x)",
        "f(); let t = runtime.spawn_blocking(g);",
        "return runtime.spawn_blocking(g);",
        "all.push(tokio::spawn(f()));",
    ] {
        assert!(forgotten_tasks(&format!("fn f() {{ {good} }}")).is_empty(), "{good}");
    }
    for bad in [
        "drop(tokio::spawn(f()));",
        "drop(runtime.spawn_blocking(|| 1));",
        "let _ = std::thread::spawn(f);",
        "let _ = self.runtime.spawn_blocking(move || { f(); g(); });",
        "let x = 1; runtime.spawn_blocking(job);",
        "tokio::spawn(f());",
        "std::thread::spawn(f);",
    ] {
        assert_eq!(forgotten_tasks(&format!("fn f() {{ {bad} }}")).len(), 1, "{bad}");
    }
}
