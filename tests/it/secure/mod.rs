//! Servers that ask who somebody is and what that one may do, and servers that take each other's
//! place; and roots that are no plain directories.

mod canaries;
mod changed_secrets;
mod gssapi;
mod hdfs;
mod isolation;
mod kafka;
mod logins;
mod namenodes;
mod properties;
mod protections;
mod realm;
mod refusals;
mod renames;
mod renewals;
mod roots;
mod stores;
mod together;
mod tokens;

pub(crate) use hdfs::kerberos;
pub(crate) use isolation::a_mapping_whose_rights_are_taken_away;
pub(crate) use kafka::logins_and_rights;
pub(crate) use namenodes::namenodes_fail_over;
pub(crate) use roots::roots_of_every_kind;
pub(crate) use stores::a_mapping_whose_stores_are_away;
use together::side_by_side;
