//! What each topic is for, by the configuration: which topics the group subscribes to, which mapping
//! a topic belongs to, and the role of its partitions.

mod role;
mod select;

pub use role::{Role, TopicRole};
pub use select::{Selection, mapping_of, news, select, treats_alike};
