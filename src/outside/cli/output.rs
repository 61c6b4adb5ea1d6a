//! The two ways of a command to speak: complaints go to stderr, answers to stdout.

#[allow(clippy::print_stderr)]
pub(super) fn complain(text: &str) {
    eprintln!("alluvium: {}", text.trim_end());
}

#[allow(clippy::print_stdout)]
pub(super) fn say(text: &str) {
    println!("{text}");
}
