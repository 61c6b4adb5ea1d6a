//! The nouns that every room shares: where a record stands in Kafka.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A position in a partition: always the *next* offset, and never the last one.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Offset(pub i64);

impl Offset {
    /// The position after the record at this offset.
    #[must_use]
    pub fn next(self) -> Offset {
        Offset(self.0.saturating_add(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A half-open range of offsets, `from <= x && x < to`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct OffsetRange {
    pub from: Offset,
    pub to: Offset,
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.from, self.to)
    }
}

/// One partition of one topic; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Who set a record's timestamp, as Kafka tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timestamp {
    /// Milliseconds since the epoch, set by the producer.
    Create(i64),
    /// Milliseconds since the epoch, set by the broker.
    LogAppend(i64),
    /// The record carries no timestamp.
    Missing,
}

impl Timestamp {
    /// Milliseconds since 1970 (UTC), where the record has a time at all.
    #[must_use]
    pub fn millis(self) -> Option<i64> {
        match self {
            Timestamp::Create(ms) | Timestamp::LogAppend(ms) => Some(ms),
            Timestamp::Missing => None,
        }
    }

    /// The name that the archive's column `timestamp_type` carries (Kafka's own).
    #[must_use]
    pub fn type_name(self) -> Option<&'static str> {
        match self {
            Timestamp::Create(_) => Some("CreateTime"),
            Timestamp::LogAppend(_) => Some("LogAppendTime"),
            Timestamp::Missing => None,
        }
    }
}

/// One record as it was read, borrowed from the client's buffer: the hot path copies nothing.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [Header<'a>],
}

/// One header, its name and its value. Names may repeat; Kafka says that they are UTF-8, and checks
/// nothing. Values may be null.
pub type Header<'a> = (&'a [u8], Option<&'a [u8]>);
