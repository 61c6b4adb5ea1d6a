//! The file of the listener's TLS and passwords.

#[path = "../../../src/outside/web/file.rs"]
mod file;

pub(crate) use file::WebFile;
