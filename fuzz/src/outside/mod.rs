//! What of the floor `outside` reads files of other programs.

pub mod cli;
pub mod web;
