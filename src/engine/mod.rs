//! What carries records: it joins the pure rules to the clients.

#[cfg(test)]
pub mod line;
pub mod topics;
pub mod worker;
