//! What carries records: it joins the pure rules to the clients.

pub mod archive;
pub mod topics;
pub mod worker;
