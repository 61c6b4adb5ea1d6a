//! What each topic is for, by the configuration: which topics the group subscribes to, which
//! mapping a topic belongs to, and the role of its partitions.

mod role;
mod select;
mod topic_role;

pub use role::Role;
pub use select::{mapping_of, news, select, treats_alike};
pub use topic_role::TopicRole;
