//! What the commands say of a damaged archive.
//!
//! `archive` is a small one, and what may happen to its files; `tables` say what each command
//! makes of it.

mod archive;
mod tables;
mod text;
