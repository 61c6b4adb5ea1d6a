//! Where numbers of others are read, the compiler refuses arithmetic that may overflow.

use crate::source::read;

/// The rooms that decode bytes of others or compute with their numbers.
const ROOMS: [&str; 7] = [
    "src/pure/calendar.rs",
    "src/pure/count/mod.rs",
    "src/pure/formats/mod.rs",
    "src/pure/layout/mod.rs",
    "src/common/config/mod.rs",
    "src/common/status/mod.rs",
    "src/outside/audit/mod.rs",
];

const DENIED: &str = "#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]";

#[test]
fn arithmetic_on_foreign_numbers_is_checked_or_saturating() {
    let lacks = |room: &&&str| !read(room).lines().any(|line| line == DENIED);
    let lacking: Vec<&&str> = ROOMS.iter().filter(lacks).collect();
    assert!(lacking.is_empty(), "{lacking:?} lack {DENIED}");
}

/// What is not denied in those rooms panics all the same, and wraps nowhere.
#[test]
fn the_program_is_built_with_checks_of_overflow() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    assert_eq!(manifest["profile"]["release"]["overflow-checks"].as_bool(), Some(true));
}
