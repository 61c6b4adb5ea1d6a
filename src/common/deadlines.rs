//! Deadlines that depend on each other, and the relations between them.
//!
//! Whoever waits is more patient than whoever is waited for: else a deadline hides the answer that
//! comes just in time. The limits of the systemd unit are compared with the unit by a test.

use std::time::Duration;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn sum(all: &[Duration]) -> u128 {
    let (mut sum, mut i) = (0, 0);
    while i < all.len() {
        sum += all[i].as_millis();
        i += 1;
    }
    sum
}

// ---- transactions ----------------------------------------------------------------------------

/// How long the client of the brokers is told that one call of a producer may take.
pub const PRODUCER_CALL: Duration = seconds(5);
/// How long such a call is waited for: some never come back.
pub const PRODUCER_CALL_OVERDUE: Duration = seconds(10);
/// How long the steps of one commit are repeated while the brokers say "not now".
pub const COMMIT_PATIENCE: Duration = seconds(15);
/// After this long the coordinator aborts a transaction by itself (`transaction.timeout.ms`, unless
/// the configuration says otherwise).
pub const TRANSACTION_TIMEOUT: Duration = seconds(30);
/// Any other call to the brokers.
pub const BROKER_CALL: Duration = seconds(10);

const _: () = assert!(sum(&[PRODUCER_CALL]) < sum(&[PRODUCER_CALL_OVERDUE]));
const _: () = assert!(sum(&[PRODUCER_CALL_OVERDUE]) < sum(&[COMMIT_PATIENCE]));
// The last try begins within the patience, and the coordinator must not have aborted by then.
const _: () = assert!(sum(&[COMMIT_PATIENCE, PRODUCER_CALL_OVERDUE]) < sum(&[TRANSACTION_TIMEOUT]));

// ---- the store -------------------------------------------------------------------------------

/// One call of the store that asks its index.
pub const STORE_CALL: Duration = seconds(15);
/// One call of the store that moves data; HDFS completes a file in up to 15.5 s.
pub const STORE_DATA: Duration = seconds(45);
/// A question whether the NameNode answers, while a call on a file takes long.
pub const STORE_PROBE: Duration = seconds(5);
/// The first chunk of a file on its way to every replica.
pub const PIPELINE_BEGIN: Duration = seconds(3);
/// A call on a file that takes so long has met a DataNode that does not answer.
pub const PIPELINE_SLOW: Duration = seconds(10);
/// All tries to begin a file.
pub const PIPELINE_TRIES: Duration = seconds(35);

const _: () = assert!(sum(&[PIPELINE_BEGIN]) < sum(&[PIPELINE_SLOW]));
const _: () = assert!(15_500 < sum(&[STORE_DATA]));
// A silent NameNode is noticed, by two questions with a pause between them, before the file is
// given up.
const _: () =
    assert!(sum(&[PIPELINE_SLOW, STORE_PROBE, STORE_PROBE, STORE_PROBE]) < sum(&[STORE_DATA]));
const _: () = assert!(sum(&[PIPELINE_TRIES, PIPELINE_BEGIN]) < sum(&[STORE_DATA]));

// ---- progress --------------------------------------------------------------------------------

/// A thread without a round for so long is stuck: longer than one commit and all calls round it.
pub const STUCK: Duration = seconds(120);
/// A group that does not come to rest for so long is up all the same.
pub const READY_AFTER: Duration = seconds(60);
/// `TimeoutStartSec` of the unit.
pub const UNIT_START: Duration = seconds(120);

const _: () = assert!(
    sum(&[BROKER_CALL, COMMIT_PATIENCE, COMMIT_PATIENCE, PRODUCER_CALL_OVERDUE, BROKER_CALL])
        < sum(&[STUCK])
);
const _: () = assert!(sum(&[READY_AFTER]) < sum(&[UNIT_START]));

// ---- the end ---------------------------------------------------------------------------------

/// `daemon.drain_timeout`, unless the configuration says otherwise.
pub const DRAIN: Duration = seconds(30);
/// How long a drain may take above its timeout: for its last commit.
pub const DRAIN_GRACE: Duration = seconds(5);
/// `daemon.revoke_timeout`, unless the configuration says otherwise.
pub const REVOKE: Duration = seconds(3);
/// How long the poll thread takes to leave the group, above a revocation.
pub const LEAVE_GRACE: Duration = seconds(5);
/// How long the poll thread's end is waited for, above a revocation.
pub const POLL_END_GRACE: Duration = seconds(8);
/// How long the ends of the workers' threads are waited for.
pub const WORKERS_END: Duration = seconds(5);
/// How long answers of the HTTP server that are under way are waited for.
pub const HTTP_END: Duration = seconds(2);
/// `TimeoutStopSec` of the unit.
pub const UNIT_STOP: Duration = seconds(60);

const _: () = assert!(sum(&[LEAVE_GRACE]) < sum(&[POLL_END_GRACE]));
const _: () = assert!(
    sum(&[DRAIN, DRAIN_GRACE, REVOKE, POLL_END_GRACE, WORKERS_END, HTTP_END]) < sum(&[UNIT_STOP])
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_has_the_limits_that_are_reckoned_with() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/alluvium.service");
        let unit = std::fs::read_to_string(path).expect("the unit");
        for (key, limit) in [("TimeoutStartSec", UNIT_START), ("TimeoutStopSec", UNIT_STOP)] {
            let line = format!("{key}={}", limit.as_secs());
            assert!(unit.lines().any(|l| l == line), "the unit does not say {line}");
        }
    }
}
