//! Servers that ask who somebody is and what that one may do, and servers that take each other's
//! place.

mod canaries;
mod gssapi;
mod hdfs;
mod kafka;
mod logins;
mod namenodes;
mod realm;
mod together;
mod tokens;

pub(crate) use hdfs::kerberos;
pub(crate) use kafka::logins_and_rights;
pub(crate) use namenodes::namenodes_fail_over;
use together::side_by_side;
