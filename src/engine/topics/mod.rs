//! What each topic is for, by the configuration: which topics the group subscribes to, which
//! mapping a topic belongs to, and the role of its partitions.

pub mod internal;
mod role;
mod select;
mod source_lists;
mod topic_role;

pub use role::Role;
pub use select::{
    CURE_OF_AMBIGUOUS, CURE_OF_UNMATCHED, Selection, Unmatched, cure_of_missing, files_of,
    mapping_of, news, select, treats_alike,
};
pub use source_lists::SourceLists;
pub use topic_role::TopicRole;
