//! Every task and thread is joined, and its end looked at.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};

use crate::source::check;
use crate::tokens::{each_level, is_mark, is_path_mark, program, tokens, word};

/// Tasks and threads that run without a handle: file, name, and how their end is heard.
const DETACHED: [(&str, &str, &str); 11] = [
    ("src/engine/archive/task.rs", "archiver", "a panic is caught and told as Event::Failed"),
    ("src/engine/schemas/fetcher.rs", "schema", "whoever waits for the schema asks again"),
    ("src/clients/store/tasks.rs", "store-file", "its channel closes, and the next call fails"),
    ("src/clients/store/hdfs/pipelines.rs", "hdfs-pipeline", "its answer has a deadline"),
    ("src/clients/store/hdfs/pipelines.rs", "hdfs-abandon", "it frees a lease; its file is gone"),
    ("src/outside/daemon/roots.rs", "root-trouble", "it only explains an outage that is known"),
    (
        "src/outside/web/guard.rs",
        "web-config",
        "its channel closes, and passwords get an answer 500",
    ),
    ("src/clients/store/hdfs/clients.rs", "namenode-probe", "its answer has a deadline"),
    ("src/clients/kerberos/tickets.rs", "kerberos", "its answer has a deadline"),
    ("src/clients/kafka/calls.rs", "producer-call", "its answer has a deadline"),
    ("src/clients/kafka/transaction.rs", "producer-end", "its answer has a deadline"),
];

/// Calls of `spawn_detached` and `thread_detached`: line, and the task's name if it is there.
fn detached(text: &str) -> Vec<(usize, Option<String>)> {
    let mut found = Vec::new();
    each_level(tokens(text), &mut |level| {
        for pair in level.windows(2) {
            let (TokenTree::Ident(called), TokenTree::Group(arguments)) = (&pair[0], &pair[1])
            else {
                continue;
            };
            if called == "spawn_detached" || called == "thread_detached" {
                let first = arguments.stream().into_iter().next();
                let name = first.map(|name| name.to_string().trim_matches('"').to_string());
                found.push((called.span().start().line, name));
            }
        }
    });
    found
}

/// What runs without a handle and is not on the list, and what is on the list and is not there.
fn unlisted(files: &BTreeMap<String, String>, list: &[(&str, &str, &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    let spawn = "src/common/spawn.rs";
    for (path, text) in files.iter().filter(|(path, _)| *path != spawn) {
        for (line, name) in detached(text) {
            let listed = list.iter().find(|(p, n, _)| p == path && Some(*n) == name.as_deref());
            match listed {
                Some((_, name, _)) => drop(seen.insert((path.as_str(), *name))),
                None => faults.push(format!("{path}, line {line}: {name:?} is not on the list")),
            }
        }
    }
    let gone = list.iter().filter(|(path, name, _)| !seen.contains(&(*path, *name)));
    faults.extend(gone.map(|(path, name, _)| format!("{path} has no task {name:?}")));
    faults
}

/// Tasks and threads whose end nobody looks at.
fn forgotten_tasks(text: &str) -> Vec<String> {
    let spawns = |stream: TokenStream| {
        let mut found = false;
        each_level(stream, &mut |level| {
            found |= level.iter().any(|t| {
                let spawning = ["spawn", "spawn_blocking", "spawn_local", "spawn_named"];
                word(Some(t)).is_some_and(|word| spawning.contains(&word.as_str()))
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
                (
                    Some("spawn_blocking" | "spawn_local" | "spawn_named"),
                    Some(TokenTree::Group(_)),
                ) if is_mark(level.get(at + 2), ';') && !is_kept(&level[..at]) => {
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
                (Some("thread"), _)
                    if is_path_mark(level, at + 1)
                        && word(level.get(at + 3)).as_deref() == Some("Builder")
                        && level[at..].iter().any(|t| is_mark(Some(t), ';'))
                        && !is_kept(&level[..at]) =>
                {
                    faults.push(format!("line {line}: nobody keeps the handle of a thread"));
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
fn what_runs_without_a_handle_is_on_the_list() {
    let faults = unlisted(&program(), &DETACHED);
    assert!(faults.is_empty(), "\n  {}", faults.join("\n  "));
}

#[test]
fn what_is_not_on_the_list_is_seen() {
    let file = |text: &str| BTreeMap::from([("a.rs".to_string(), text.to_string())]);
    let list = [("a.rs", "known", "its answer has a deadline")];
    assert!(unlisted(&file("fn f() { spawn_detached(\"known\", g()); }"), &list).is_empty());
    for bad in ["spawn_detached(\"known\", g()); spawn_detached(\"new\", g());", ""] {
        assert_eq!(unlisted(&file(&format!("fn f() {{ {bad} }}")), &list).len(), 1, "{bad}");
    }
    let of_a_name = "spawn_detached(\"known\", g()); thread_detached(NAME, g)?;";
    assert_eq!(unlisted(&file(&format!("fn f() {{ {of_a_name} }}")), &list).len(), 1);
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
        "f(); std::thread::Builder::new().name(n).spawn(g)",
    ] {
        assert!(forgotten_tasks(&format!("fn f() {{ {good} }}")).is_empty(), "{good}");
    }
    for bad in [
        "drop(tokio::spawn(f()));",
        "drop(spawn_named(\"a\", f()));",
        "let _ = spawn_named(\"a\", f());",
        "spawn_named(\"a\", f());",
        "std::thread::Builder::new().name(n).spawn(f)?;",
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
