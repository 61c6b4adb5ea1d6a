//! Which room imports which.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::TokenTree;

use crate::rooms::ROOMS;
use crate::tokens::{each_level, is_mark, is_path_mark, paths, program, tokens, word};

/// `src/pure/record.rs` and `src/pure/count/words.rs` are of the rooms `pure/record` and
/// `pure/count`; the crate's root and a floor's page are of none.
fn room_of(path: &str) -> Option<String> {
    let mut parts = path.strip_prefix("src/")?.split('/');
    let (floor, room) = (parts.next()?, parts.next()?);
    let room = room.trim_end_matches(".rs");
    (room != "mod").then(|| format!("{floor}/{room}"))
}

/// The rooms that a text names by `crate::floor::room`, but for its tests.
fn imports(text: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    each_level(tokens(text), &mut |level| {
        for at in 0..level.len() {
            if word(level.get(at)).as_deref() != Some("crate") || !is_path_mark(level, at + 1) {
                continue;
            }
            let floor = word(level.get(at + 3)).unwrap_or_else(|| "{several floors}".into());
            match level.get(at + 6) {
                Some(TokenTree::Ident(room)) if is_path_mark(level, at + 4) => {
                    let _ = rooms.insert(format!("{floor}/{room}"));
                }
                _ => {
                    let _ = rooms.insert(format!("{floor}/{{several rooms}}"));
                }
            }
        }
    });
    rooms
}

/// Whether a text climbs out of its room by `super`, which hides from [`imports`] where it leads:
/// a file of a room may name its siblings, and a room's page or only file may not climb at all. Nor
/// may the crate have another name.
fn climbs(path: &str, text: &str) -> bool {
    let is_super = |part: &str| part == "super";
    let depth = path.split('/').count();
    let is_whole_room = depth < 4 || depth == 4 && path.ends_with("/mod.rs");
    let up = paths(text)
        .iter()
        .any(|(first, second)| is_super(first) && (is_whole_room || is_super(second)));
    up || text.contains("use crate as ")
}

/// Whether a text brings in code in a way that the paths do not show: a module from another path,
/// a text that is included as code, or a crate under another name.
fn hides(text: &str) -> bool {
    let mut found = false;
    each_level(tokens(text), &mut |level| {
        for at in 0..level.len() {
            let attribute = match level.get(at + 1) {
                Some(TokenTree::Group(group)) if is_mark(level.get(at), '#') => {
                    group.stream().into_iter().next()
                }
                _ => None,
            };
            let (here, next) = (word(level.get(at)), word(level.get(at + 1)));
            found |= word(attribute.as_ref()).as_deref() == Some("path")
                || here.as_deref() == Some("include") && is_mark(level.get(at + 1), '!')
                || here.as_deref() == Some("extern") && next.as_deref() == Some("crate");
        }
    });
    found
}

/// Imports that a table does not allow.
fn unallowed(rooms: &[(&str, &str, &[&str])], files: &BTreeMap<String, String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in files {
        if climbs(path, text) {
            faults.push(format!("{path}: write crate::floor::room, not super"));
        }
        if hides(text) {
            faults.push(format!("{path}: no #[path], include! or extern crate"));
        }
        let Some(room) = room_of(path) else {
            // The crate's root and a floor's page declare rooms; they use none.
            let named = imports(text);
            let page = path.ends_with("/mod.rs");
            faults.extend(
                page.then_some(named)
                    .into_iter()
                    .flatten()
                    .map(|import| format!("{path}: the page of a floor imports {import}")),
            );
            continue;
        };
        let Some((_, _, allowed)) = rooms.iter().find(|(name, _, _)| *name == room) else {
            faults.push(format!("{path}: the table has no room {room:?}"));
            continue;
        };
        for import in imports(text) {
            if import != room && !allowed.contains(&import.as_str()) {
                faults.push(format!("{path}: {room} may not import {import}"));
            }
        }
    }
    faults
}

/// What is wrong with a table itself: an import of a room that stands below, or that nobody uses.
fn wrong_table(rooms: &[(&str, &str, &[&str])], files: &BTreeMap<String, String>) -> Vec<String> {
    const FLOORS: [&str; 5] = ["pure", "common", "clients", "engine", "outside"];
    let mut faults = Vec::new();
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in files {
        if let Some(room) = room_of(path) {
            used.entry(room).or_default().extend(imports(text));
        }
    }
    let floor = |room: &str| FLOORS.iter().position(|f| room.split('/').next() == Some(f));
    for (at, (room, meaning, allowed)) in rooms.iter().enumerate() {
        if meaning.is_empty() || floor(room).is_none() {
            faults.push(format!("{room} has no meaning, or stands on no floor"));
        }
        for import in *allowed {
            if !rooms[..at].iter().any(|(name, _, _)| name == import) {
                faults.push(format!("{room} stands above {import}"));
            }
            if floor(room) < floor(import) {
                faults.push(format!("{room} is on a lower floor than {import}"));
            }
            if !used.get(*room).is_some_and(|u| u.contains(*import)) {
                faults.push(format!("{room} does not import {import}: take it off the table"));
            }
        }
    }
    faults
}

#[test]
fn rooms_import_what_the_table_allows() {
    let files = program();
    let mut faults = unallowed(ROOMS, &files);
    faults.extend(wrong_table(ROOMS, &files));
    assert!(faults.is_empty(), "\n  {}", faults.join("\n  "));
}

#[test]
fn an_import_that_runs_up_is_seen() {
    let file = |path: &str, text: &str| (path.to_string(), text.to_string());
    let rooms: &[(&str, &str, &[&str])] =
        &[("pure/a", "a", &[]), ("pure/b", "b", &["pure/a"]), ("engine/c", "c", &["pure/b"])];
    let good = [
        file("src/pure/a.rs", "#[cfg(test)] mod tests { use crate::engine::c::C; }"),
        file("src/pure/b/mod.rs", "use crate::pure::a::A;"),
        file("src/engine/c/x.rs", "fn f() { log!(crate::pure::b::g(), include_str!(\"a\")) }"),
    ];
    let files = BTreeMap::from(good);
    assert!(unallowed(rooms, &files).is_empty() && wrong_table(rooms, &files).is_empty());
    for bad in [
        file("src/pure/a.rs", "use crate::pure::b::B;"),
        file("src/pure/a.rs", "fn f() { crate::engine::c::g() }"),
        file("src/engine/c/x.rs", "use crate::pure::{a::A, b::B};"),
        file("src/engine/d.rs", ""),
        file("src/engine/c/x.rs", "use super::super::c::y::Y;"),
        file("src/engine/c/mod.rs", "use super::d::D;"),
        file("src/pure/a.rs", "use super::b::B;"),
        file("src/pure/a.rs", "use crate as c;"),
        file("src/pure/a.rs", "#[path = \"../engine/c/x.rs\"] mod x;"),
        file("src/pure/a.rs", "include!(\"../engine/c/x.rs\");"),
        file("src/pure/a.rs", "extern crate self as house;"),
        file("src/engine/mod.rs", "use crate::pure::b::B;"),
    ] {
        let mut files = files.clone();
        let _ = files.insert(bad.0.clone(), bad.1.clone());
        assert_eq!(unallowed(rooms, &files).len(), 1, "{bad:?}");
    }
    let circle: &[(&str, &str, &[&str])] = &[
        ("pure/a", "a", &["pure/b"]),
        ("pure/b", "b", &["pure/a"]),
        ("engine/c", "c", &["pure/b"]),
    ];
    assert!(wrong_table(circle, &files).iter().any(|f| f == "pure/a stands above pure/b"));
    let unused: &[(&str, &str, &[&str])] = &[("pure/b", "b", &[]), ("pure/a", "a", &["pure/b"])];
    assert!(wrong_table(unused, &files).iter().any(|f| f.contains("does not import")));
}
