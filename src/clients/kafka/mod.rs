//! The Kafka client, and the only room that knows it.
//!
//! * [`group`]: the poll thread. It polls and answers rebalances, without any remote call of its
//!   own; a slow call there would stall the whole group.
//!   [`poll_control`]: what other threads ask of it.
//! * [`queue`]: one partition's records, read by a worker.
//! * [`transaction`]: results and offsets, all or nothing; `calls`: each with a deadline.
//! * [`offsets`]: stable reads, watermarks, and where to start.
//! * [`beginnings`]: what existed before the group began.
//! * [`authorized`]: which operations the brokers allow, without trying them.
//! * [`topics`]: which topics there are, and making those that are written to.
//! * `generation`: what a member may commit by, while its generation lasts.
//! * `producer`: a producer whose events are heard.
//! * `delivery`: what a producer says of its deliveries.
//! * [`rights`]: which operation of which principal is missing, and the command that allows it.
//! * `connection`, `client_errors`: what a client says of its connections, and what that means;
//!   `contact` and `tls` find out the rest.
//! * [`gate`]: no connection is made any more after a refused login of a running daemon.
//! * `token_server`: whether the server of tokens answers, and its clock.
//! * `limit`: how large a message may be.
//! * `twins`: which of two instances of one name is the newer one.
//! * `settings`: of consumers and producers.
//! * `key_files`: what is wrong with a file of a key or a certificate.
//! * `login_hints`: what the texts of Kerberos and of token servers mean.
//! * `identity`: who the clients are with Kerberos.
//! * `headers`: the headers of messages, with every byte of their names.
//! * [`native`]: what rust-rdkafka has no safe way for: captured group metadata.
//! * `describe`: the same for topic ids and allowed operations.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod authorized;
pub mod beginnings;
mod calls;
mod client_errors;
mod connection;
mod contact;
mod delivery;
#[allow(unsafe_code)]
mod describe;
mod error;
mod failing;
#[allow(unsafe_code)]
pub mod gate;
mod generation;
pub mod group;
#[allow(unsafe_code)]
mod headers;
mod identity;
mod key_files;
mod limit;
mod login_hints;
#[allow(unsafe_code)]
mod native;
mod offset_commit;
pub mod offsets;
pub mod poll_control;
pub mod producer;
pub mod published;
pub mod queue;
pub mod rights;
mod settings;
mod tls;
mod token_server;
mod topic_ids;
pub mod topics;
pub mod transaction;
mod twins;

pub use contact::{NoContact, Trial, first_contact, try_anew};
pub use error::{Fatal, KafkaError, TransactionError};
pub use generation::Generation;
pub use group::{Assignments, Consumer, Queue, Released};
pub use identity::{environment_before, take_identity};
pub use limit::BatchLimits;
pub use offset_commit::OffsetCommit;
pub use queue::{Read, Source, Trouble};
pub use settings::{
    Prefetch, base_config, consumer_config, library_version, producer_config, refused,
    repair_config,
};
pub use token_server::told_by_token_server;
pub use transaction::{Commit, Outgoing, Transactions};
pub use twins::Twins;
