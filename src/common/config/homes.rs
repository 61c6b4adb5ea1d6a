//! Where a key belongs that stands in a table that does not have it.

use crate::common::config::facts::Facts;
use crate::common::config::fields::ConfigFault;
use crate::common::config::kafka::{ALLOWED, SECRETS};

/// Names the table of each key that is unknown where it stands, and known elsewhere.
pub(super) fn name_homes(faults: &mut [ConfigFault], facts: fn() -> Facts) {
    let mut known = None;
    for fault in faults.iter_mut().filter(|fault| fault.is_unknown()) {
        let home = of_client(&fault.key)
            .or_else(|| of_tables(&fault.key, known.get_or_insert_with(facts)));
        if let Some(home) = home {
            fault.message = format!("unknown key here; it belongs in {home}");
        }
    }
}

/// A key of the client library, in or beside `[kafka]`.
fn of_client(key: &str) -> Option<String> {
    let name = key.strip_prefix("kafka.").unwrap_or(key);
    let of = |keys: &[&'static str]| keys.iter().copied().find(|full| begins(full, name));
    let property =
        of(ALLOWED).map(|full| format!("[kafka.properties], in quotes, as {full:?} = …"));
    property.or_else(|| {
        of(SECRETS).map(|full| format!("[kafka.secrets], as {full:?} = {{ file = \"…\" }}"))
    })
}

/// Whether a key begins with a name; one without quotes is a table of the key's first part.
fn begins(full: &str, name: &str) -> bool {
    full.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The tables that have a key of this name: those below the one where it stands, if there are any.
fn of_tables(key: &str, facts: &Facts) -> Option<String> {
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    let (mapping, shape) = match table.strip_prefix("mapping.") {
        Some(rest) => match rest.split_once('.') {
            Some((mapping, below)) => (mapping, format!("mapping.NAME.{below}")),
            None => (rest, "mapping.NAME".to_string()),
        },
        None => ("NAME", table.to_string()),
    };
    let named = facts.0.keys().filter_map(|known| known.rsplit_once('.'));
    let all: Vec<&str> = named.filter(|(_, last)| *last == name).map(|(home, _)| home).collect();
    let inside = format!("{shape}.");
    let below: Vec<&str> = all.iter().copied().filter(|home| home.starts_with(&inside)).collect();
    let homes = if below.is_empty() { all } else { below };
    let least = homes.iter().map(|home| depth(home)).min()?;
    let nearest = homes.iter().filter(|home| depth(home) == least);
    let shown: Vec<String> =
        nearest.map(|home| format!("[{}]", home.replacen("NAME", mapping, 1))).collect();
    Some(shown.join(" or "))
}

fn depth(table: &str) -> usize {
    table.matches('.').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::facts::Kind;

    fn facts() -> Facts {
        let mut facts = Facts::default();
        for key in [
            "archive.root",
            "mapping.NAME.archive.root",
            "mapping.NAME.archive.roll",
            "mapping.NAME.archive.format",
            "mapping.NAME.wordcount",
            "mapping.NAME.wordcount.archive.roll",
            "mapping.NAME.wordcount.format",
            "mapping.NAME.wordcount.window",
        ] {
            facts.add(key.into(), Kind::Other);
        }
        facts
    }

    #[test]
    fn a_key_in_the_wrong_table_is_told_its_own() {
        for (key, home) in [
            ("kafka.security.protocol", "[kafka.properties], in quotes, as \"security.protocol\""),
            ("kafka.security", "[kafka.properties], in quotes, as \"security.protocol\""),
            ("kafka.sasl.password", "[kafka.secrets], as \"sasl.password\" = { file"),
            ("kafka.root", "[archive]"),
            ("mapping.orders.roll", "[mapping.orders.archive]"),
            ("mapping.orders.window", "[mapping.orders.wordcount]"),
            ("mapping.orders.format", "[mapping.orders.archive] or [mapping.orders.wordcount]"),
            ("wordcount", "[mapping.NAME]"),
            ("daemon.nonsense", ""),
        ] {
            let list = "unknown key; the keys here are a, b";
            let mut faults = [ConfigFault::new(key, list)];
            name_homes(&mut faults, facts);
            let want = match home {
                "" => list.to_string(),
                _ => format!("unknown key here; it belongs in {home}"),
            };
            assert!(faults[0].message.starts_with(&want), "{}", faults[0]);
        }
    }
}
