//! How many files the whole process has open in its stores.
//!
//! Most places are for files that grow; they are held until a file is closed, perhaps for an hour.
//! A quarter is for complete files, which are written and closed at once, so that a partition
//! never waits for the files of another one to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most complete files that are written at the same time, whatever is allowed.
const COMPLETE_AT_ONCE: usize = 32;

/// The files that all partitions of a process have open in stores, and how many a mapping allows.
#[derive(Clone, Debug)]
pub struct OpenFiles {
    growing: Arc<AtomicUsize>,
    /// Of [`COMPLETE_AT_ONCE`] permits, a file takes the more the fewer files are allowed.
    complete: Arc<Semaphore>,
    most: usize,
}

/// A file that is open in a store while records are added to it.
#[derive(Debug)]
pub struct Growing(Arc<AtomicUsize>);

impl Default for OpenFiles {
    fn default() -> OpenFiles {
        let complete = Arc::new(Semaphore::new(COMPLETE_AT_ONCE));
        OpenFiles { growing: Arc::default(), complete, most: 64 }
    }
}

impl OpenFiles {
    /// The same files, of which a mapping allows so many at a time, those of other mappings
    /// included. Together they are never more than the mapping with the largest number allows.
    #[must_use]
    pub fn at_most(&self, most: usize) -> OpenFiles {
        OpenFiles { most: most.max(1), ..self.clone() }
    }

    /// The places for complete files.
    fn for_complete(&self) -> usize {
        (self.most / 4).clamp(1, COMPLETE_AT_ONCE)
    }

    /// One more file that grows, if there is a place.
    #[must_use]
    pub fn grow(&self) -> Option<Growing> {
        let most = self.most - self.for_complete();
        let one_more = |n| (n < most).then_some(n + 1);
        let taken = self.growing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok().map(|_| Growing(Arc::clone(&self.growing)))
    }

    /// Files that grow.
    #[cfg(test)]
    pub(super) fn growing(&self) -> usize {
        self.growing.load(Ordering::Relaxed)
    }

    /// Waits until one more complete file may be written.
    pub async fn complete(&self) -> OwnedSemaphorePermit {
        let weight = COMPLETE_AT_ONCE.div_ceil(self.for_complete()) as u32;
        let permit = Arc::clone(&self.complete).acquire_many_owned(weight).await;
        permit.expect("nobody closes the semaphore")
    }
}

impl Drop for Growing {
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
                let process = OpenFiles::default();
                // Partitions of two mappings, in both orders.
                for pair in [[most, other], [other, most]] {
                    let all = pair.map(|n| process.at_most(n));
                    let (growing, complete) = fill(&all);
                    let open = growing.len() + complete.len();
                    assert!(open <= most.max(other), "{open} of {pair:?}");
                    assert!(!complete.is_empty(), "no complete file can be written: {pair:?}");
                }
                assert_eq!(process.growing(), 0, "all places are given back");
            }
        }
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
            let (grow, written) = fill(&[OpenFiles::default().at_most(most)]);
            assert_eq!((grow.len(), written.len()), (growing, complete), "of {most}");
        }
    }

    #[test]
    fn two_processes_know_nothing_of_each_other() {
        let (open, other) = (OpenFiles::default().at_most(2), OpenFiles::default().at_most(2));
        let held = open.clone().grow();
        assert!(held.is_some() && open.grow().is_none() && other.grow().is_some());
        drop(held);
        assert!(open.grow().is_some());
    }
}
