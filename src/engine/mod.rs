//! What carries records: it joins the pure rules to the clients.

pub mod archive;
#[cfg(test)]
pub mod line;
pub mod topics;
pub mod worker;
