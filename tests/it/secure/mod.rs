//! Servers that ask who somebody is and what that one may do, and servers that take each other's
//! place.

mod hdfs;
mod kafka;
mod namenodes;

pub(crate) use hdfs::kerberos;
pub(crate) use kafka::logins_and_rights;
pub(crate) use namenodes::namenodes_fail_over;
