//! Clients, formats' libraries and `unsafe` stay where they belong.

use proc_macro2::{Delimiter, TokenTree};

use crate::source::check;
use crate::tokens::{each_level, paths, program, tokens, word};

/// A library, and the directories whose files may name it.
const LIBRARIES: [(&str, &[&str]); 9] = [
    ("rdkafka", &["src/clients/kafka/"]),
    ("rdkafka_sys", &["src/clients/kafka/"]),
    ("openssl", &["src/clients/http/", "src/clients/kafka/", "src/outside/web/"]),
    ("libloading", &["src/clients/kerberos/"]),
    ("hdfs_native", &["src/clients/store/"]),
    // The audit reads files back, without the code that wrote them.
    ("arrow", &["src/clients/encode/", "src/outside/audit/"]),
    ("parquet", &["src/clients/encode/", "src/outside/audit/"]),
    ("axum", &["src/outside/daemon/", "src/outside/web/"]),
    ("clap", &["src/outside/cli/"]),
];

fn strangers(path: &str, text: &str) -> Vec<String> {
    let named = paths(text);
    let stranger = |(library, homes): &(&str, &[&str])| {
        named.iter().any(|(first, _)| first == library)
            && !homes.iter().any(|home| path.starts_with(home))
    };
    let fault = |(library, _): &(&str, &[&str])| format!("{library} is named");
    LIBRARIES.iter().filter(|l| stranger(l)).map(fault).collect()
}

/// How many times a text says `unsafe`, but for attributes.
fn unsafe_code(text: &str) -> usize {
    let mut count = 0;
    each_level(tokens(text), &mut |level| {
        for at in 0..level.len() {
            let attribute = matches!(
                level.get(at + 1),
                Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Parenthesis
            );
            let says = word(level.get(at)).is_some_and(|w| w == "unsafe") && !attribute;
            count += usize::from(says);
        }
    });
    count
}

/// The client's calls, and one hint to the processor.
fn too_unsafe(path: &str, text: &str) -> Vec<String> {
    let most = match path {
        "src/clients/kafka/native.rs"
        | "src/clients/kafka/describe.rs"
        | "src/clients/kafka/gate.rs"
        | "src/clients/kafka/headers.rs"
        | "src/clients/kerberos/credentials.rs"
        | "src/clients/kerberos/krb5.rs" => usize::MAX,
        "src/pure/count/words.rs" => 1,
        _ => 0,
    };
    let count = unsafe_code(text);
    if most < count { vec![format!("{count} times unsafe; {most} at most")] } else { Vec::new() }
}

/// A client that would log in again and again after a refusal. Those of `settings.rs` have no
/// broker.
fn unguarded(path: &str, text: &str) -> Vec<String> {
    let program = text.split("#[cfg(test)]").next().unwrap_or_default();
    let makes = [".create_with_context", ".create()"].iter().any(|call| program.contains(call));
    let is_free = !path.starts_with("src/clients/kafka/") || path.ends_with("/settings.rs");
    match makes && !is_free && !program.contains("gate::guard(") {
        true => vec!["makes a client without gate::guard".into()],
        false => Vec::new(),
    }
}

#[test]
fn every_client_is_behind_the_gate() {
    check(&program(), unguarded);
    let makes = "let client = config.create_with_context(Quiet)?;";
    assert_eq!(unguarded("src/clients/kafka/a.rs", makes).len(), 1);
    assert!(unguarded("src/clients/kafka/settings.rs", makes).is_empty());
    let guards = format!("{makes} gate::guard(client.client());");
    assert!(unguarded("src/clients/kafka/a.rs", &guards).is_empty());
}

#[test]
fn libraries_stay_in_their_rooms() {
    check(&program(), strangers);
}

#[test]
fn unsafe_code_stays_where_it_is() {
    check(&program(), too_unsafe);
}

#[test]
fn a_stranger_is_seen() {
    let text = "use rdkafka::Offset; fn f() { hdfs_native::Client::new() }";
    assert_eq!(strangers("src/engine/a.rs", text).len(), 2);
    assert_eq!(strangers("src/clients/kafka/a.rs", text).len(), 1);
    let text = "#[unsafe(no_mangle)] fn f() { unsafe { g() } }";
    assert_eq!(too_unsafe("src/engine/a.rs", text).len(), 1);
    assert!(too_unsafe("src/pure/count/words.rs", text).is_empty());
    assert_eq!(too_unsafe("src/engine/a.rs", "unsafe impl Send for T {}").len(), 1);
}
