//! How many files the whole process has open in its stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Complete files that are written at the same time.
const COMPLETE_AT_ONCE: usize = 32;

/// The files that all partitions of a process have open in stores, beside the first file of each
/// partition, which may always be open.
#[derive(Clone, Debug)]
pub struct OpenFiles {
    growing: Arc<AtomicUsize>,
    complete: Arc<Semaphore>,
}

/// A file that is open in a store while records are added to it.
#[derive(Debug)]
pub struct Growing(Arc<AtomicUsize>);

impl Default for OpenFiles {
    fn default() -> OpenFiles {
        let complete = Arc::new(Semaphore::new(COMPLETE_AT_ONCE));
        OpenFiles { growing: Arc::default(), complete }
    }
}

impl OpenFiles {
    /// One more file that grows, if the process has fewer than `most`.
    #[must_use]
    pub fn grow(&self, most: usize) -> Option<Growing> {
        let one_more = |n| (n < most).then_some(n + 1);
        let taken = self.growing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok().map(|_| Growing(Arc::clone(&self.growing)))
    }

    /// Waits until one more complete file may be written.
    pub async fn complete(&self) -> OwnedSemaphorePermit {
        let permit = Arc::clone(&self.complete).acquire_owned().await;
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
    use super::*;

    #[test]
    fn the_process_has_no_more_than_that() {
        let (open, other) = (OpenFiles::default(), OpenFiles::default());
        let held: Vec<_> = (0..3).map(|_| open.clone().grow(3)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(open.grow(3).is_none() && open.grow(4).is_some());
        drop(held);
        assert!(open.grow(1).is_some() && other.grow(1).is_some());
    }
}
