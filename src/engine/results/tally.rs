//! What one partition has read and counted since the last report.

/// Plain numbers, which are handed to the metrics once a batch: the hot path touches no metric.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    pub records: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Terms that were counted by a source partition; the merge does not count them again.
    pub words: u64,
    /// Values that are not UTF-8.
    pub lossy: u64,
    /// Records without a time of the kind that the mapping asks for.
    pub untimed: u64,
    /// Records without anything to count.
    pub uncounted: u64,
    /// Records in the partials topic that another program wrote.
    pub foreign: u64,
}
