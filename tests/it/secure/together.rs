//! What takes seconds, done for several at once.

/// Does it for all at the same time; the first failure is passed on.
pub(super) fn side_by_side<T: Sync>(all: &[T], run: impl Fn(&T) + Sync) {
    let failures: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = all.iter().map(|one| scope.spawn(|| run(one))).collect();
        threads.into_iter().filter_map(|thread| thread.join().err()).collect()
    });
    if let Some(failure) = failures.into_iter().next() {
        std::panic::resume_unwind(failure);
    }
}
