//! `alluvium recount`: the published counts against the raw files, here or on an engine.

mod command;
mod mappings;
mod sql;

pub(super) use command::{Recount, lines};
pub(super) use mappings::recountable;
