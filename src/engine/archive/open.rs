//! How many files the whole process has open in its stores.
//!
//! Most places are for files that grow; they are held until a file is closed, perhaps for an hour.
//! A quarter is for complete files, which are written and closed at once, so that a partition
//! never waits for the files of another one to end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most complete files that are written at the same time, whatever is allowed.
const COMPLETE_AT_ONCE: usize = 32;

/// The most files that are closed at the same time, whatever is allowed: a NameNode completes a
/// file when it has heard of its block, and its client asks again after half a second. Fewer, and a
/// stop with thousands of files would take minutes.
const CLOSED_AT_ONCE: usize = 192;

/// So many files are closed for each one that a mapping allows to be open.
const CLOSED_BESIDE_ONE: usize = 3;

/// The files that all partitions of a process have open in stores, and how many a mapping allows.
#[derive(Clone, Debug)]
pub struct OpenFiles {
    process: Arc<Process>,
    /// Of the mapping, those that grow.
    growing: Arc<AtomicUsize>,
    most: usize,
}

#[derive(Debug)]
struct Process {
    growing: Arc<AtomicUsize>,
    /// The largest number that a mapping allows.
    most: AtomicUsize,
    by_mapping: Mutex<HashMap<String, Arc<AtomicUsize>>>,
    /// Of [`COMPLETE_AT_ONCE`] permits, a file takes the more the fewer files are allowed.
    complete: Arc<Semaphore>,
    closing: Arc<Semaphore>,
}

/// A file that is open in a store while records are added to it: a place of its mapping, and one
/// of the process.
#[derive(Debug)]
pub struct Growing {
    _of_mapping: Place,
    _of_process: Place,
}

/// One of those that are counted.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(count: &Arc<AtomicUsize>, most: usize) -> Option<Place> {
        let one_more = |n: usize| (n < most).then(|| n.saturating_add(1));
        let taken = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok().map(|_| Place(Arc::clone(count)))
    }
}

impl Default for OpenFiles {
    fn default() -> OpenFiles {
        let process = Process {
            growing: Arc::default(),
            most: AtomicUsize::new(0),
            by_mapping: Mutex::default(),
            complete: Arc::new(Semaphore::new(COMPLETE_AT_ONCE)),
            closing: Arc::new(Semaphore::new(CLOSED_AT_ONCE)),
        };
        let files = OpenFiles { process: Arc::new(process), growing: Arc::default(), most: 64 };
        files.at_most("", 64)
    }
}

/// The places for complete files, of so many.
fn for_complete(most: usize) -> usize {
    (most / 4).clamp(1, COMPLETE_AT_ONCE)
}

impl OpenFiles {
    /// The same files, of which this mapping allows so many of its own at a time. Those of all
    /// mappings are never more than the mapping with the largest number allows.
    #[must_use]
    pub fn at_most(&self, mapping: &str, most: usize) -> OpenFiles {
        let most = most.max(1);
        let _ = self.process.most.fetch_max(most, Ordering::Relaxed);
        let mut all = self.process.by_mapping.lock();
        let growing = Arc::clone(all.entry(mapping.into()).or_default());
        OpenFiles { process: Arc::clone(&self.process), growing, most }
    }

    /// One more file that grows, if there is a place.
    #[must_use]
    pub fn grow(&self) -> Option<Growing> {
        let growing = |most: usize| most.saturating_sub(for_complete(most));
        let all = self.process.most.load(Ordering::Relaxed);
        let of_mapping = Place::take(&self.growing, growing(self.most))?;
        let of_process = Place::take(&self.process.growing, growing(all))?;
        Some(Growing { _of_mapping: of_mapping, _of_process: of_process })
    }

    /// Files that grow.
    #[cfg(test)]
    pub(super) fn growing(&self) -> usize {
        self.process.growing.load(Ordering::Relaxed)
    }

    /// Waits until one more complete file may be written.
    pub async fn complete(&self) -> OwnedSemaphorePermit {
        let weight = COMPLETE_AT_ONCE.div_ceil(for_complete(self.most)) as u32;
        let permit = Arc::clone(&self.process.complete).acquire_many_owned(weight).await;
        permit.expect("nobody closes the semaphore")
    }

    /// Waits until one more file may be closed that its store completes late; until then it keeps
    /// its place.
    pub async fn closing(&self) -> OwnedSemaphorePermit {
        let places = self.most.saturating_mul(CLOSED_BESIDE_ONE).clamp(1, CLOSED_AT_ONCE);
        let weight = CLOSED_AT_ONCE.div_ceil(places) as u32;
        let permit = Arc::clone(&self.process.closing).acquire_many_owned(weight).await;
        permit.expect("nobody closes the semaphore")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// Takes all places that there are, in turns: files that grow and complete ones, of mappings
    /// that allow so many.
    fn fill(all: &[OpenFiles]) -> (Vec<Growing>, Vec<OwnedSemaphorePermit>) {
        let (mut growing, mut complete) = (Vec::new(), Vec::new());
        loop {
            let before = growing.len() + complete.len();
            for open in all {
                growing.extend(open.grow());
                complete.extend(open.complete().now_or_never());
            }
            if growing.len() + complete.len() == before {
                return (growing, complete);
            }
        }
    }

    #[test]
    fn the_process_has_no_more_files_open_than_the_largest_number_of_its_mappings() {
        for most in 1..=300 {
            for other in [1, 2, 3, 4, 5, 8, 63, 64, 65, 127, 128, 300] {
                let process = of_tests();
                // Partitions of two mappings, in both orders.
                for pair in [[most, other], [other, most]] {
                    let all = [0, 1].map(|at| process.at_most(["a", "b"][at], pair[at]));
                    let (growing, complete) = fill(&all);
                    let open = growing.len() + complete.len();
                    assert!(open <= most.max(other), "{open} of {pair:?}");
                    assert!(!complete.is_empty(), "no complete file can be written: {pair:?}");
                }
                assert_eq!(process.growing(), 0, "all places are given back");
            }
        }
    }

    /// Without the mapping that [`OpenFiles::default`] stands for.
    fn of_tests() -> OpenFiles {
        let files = OpenFiles::default();
        files.process.most.store(0, Ordering::Relaxed);
        files
    }

    /// A mapping with few files is not stopped by those of another one, but by those of all.
    #[test]
    fn a_mapping_counts_its_own_files_and_those_of_all() {
        let process = of_tests();
        let (large, small) = (process.at_most("large", 64), process.at_most("small", 4));
        let held: Vec<_> = (0..10).map(|_| large.grow().unwrap()).collect();
        let own: Vec<_> = (0..3).map(|_| small.grow().unwrap()).collect();
        assert!(small.grow().is_none(), "it allows four, of which one is for a complete file");
        assert!(process.at_most("small", 4).grow().is_none(), "its partitions share them");
        let rest: Vec<_> = std::iter::from_fn(|| large.grow()).collect();
        assert_eq!(held.len() + own.len() + rest.len(), 48, "of the process");
        drop(own);
        assert!(small.grow().is_some() && process.growing() == 45);
    }

    #[test]
    fn what_is_allowed_is_used() {
        for (most, growing, complete) in [
            (1, 0, 1),
            (2, 1, 1),
            (4, 3, 1),
            (8, 6, 2),
            (64, 48, 16),
            (128, 96, 32),
            (1000, 968, 32),
        ] {
            let (grow, written) = fill(&[of_tests().at_most("a", most)]);
            assert_eq!((grow.len(), written.len()), (growing, complete), "of {most}");
        }
    }

    #[test]
    fn so_many_files_of_the_process_wait_to_be_completed() {
        let process = of_tests();
        let (few, many) = (process.at_most("a", 1), process.at_most("b", 64));
        for (open, places) in [(&few, CLOSED_BESIDE_ONE), (&many, CLOSED_AT_ONCE)] {
            let held: Vec<_> = (0..places)
                .map(|_| open.closing().now_or_never().expect("there is room"))
                .collect();
            assert!(open.closing().now_or_never().is_none());
            assert!(open.complete().now_or_never().is_some(), "these take no place of others");
            drop(held);
        }
        assert!(few.closing().now_or_never().is_some());
    }

    #[test]
    fn two_processes_know_nothing_of_each_other() {
        let (open, other) = (of_tests().at_most("a", 2), of_tests().at_most("a", 2));
        let held = open.clone().grow();
        assert!(held.is_some() && open.grow().is_none() && other.grow().is_some());
        drop(held);
        assert!(open.grow().is_some());
    }
}
