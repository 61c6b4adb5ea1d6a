//! The only rooms that know a client or the library of a file format.

pub mod encode;
pub mod http;
pub mod kafka;
pub mod kerberos;
pub mod registry;
pub mod store;
