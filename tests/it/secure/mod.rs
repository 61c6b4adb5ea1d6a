//! Servers that ask who somebody is, and what that one may do.

mod kafka;

pub(crate) use kafka::logins_and_rights;
