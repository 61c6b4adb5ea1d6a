//! MIT's library of Kerberos: the identity that this process has, its tickets, and its KDC.
//!
//! * `krb5`: the library, loaded when it is asked for.
//! * `credentials`: the library's tickets.
//! * [`has_keytab`], [`refused`]: who acquires the tickets, and keytabs without the key of their
//!   principal.
//! * [`ticket`], [`expired`], [`silent_kdc`]: what of them people are told.

#[allow(unsafe_code)]
mod credentials;
mod keys;
#[allow(unsafe_code)]
mod krb5;
mod tickets;

pub use credentials::TicketTimes;
pub use keys::{CLIENT_KEYTAB, has_keytab, refused};
pub use krb5::{Krb5, set_variable};
pub use tickets::{NoTicket, expired, silent_kdc, ticket};
