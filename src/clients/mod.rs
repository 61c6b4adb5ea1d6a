//! The only rooms that know a client or the library of a file format.

pub mod encode;
pub mod kafka;
pub mod kerberos;
pub mod store;
