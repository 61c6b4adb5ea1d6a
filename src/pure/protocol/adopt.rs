//! Rule 11: sealed attempts that an owner has left, and whose records no log has any more.

use crate::pure::record::{Offset, OffsetRange};

/// A sealed attempt, as it lies in the staging directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealed<T> {
    /// What the caller knows it by.
    pub name: T,
    pub from: Offset,
    pub to: Offset,
    /// The manifest and all of its files are there, and are of this ledger.
    pub is_whole: bool,
}

/// The attempt that is to be appended behind an entry that ends at `end`: the one that reaches
/// farthest. `limit`: where the next entry begins, if one stands behind.
#[must_use]
pub fn choose<T>(
    sealed: impl IntoIterator<Item = Sealed<T>>,
    end: Offset,
    limit: Option<Offset>,
) -> Option<T> {
    let fits = |s: &Sealed<T>| s.from == end && s.is_whole && limit.is_none_or(|at| s.to <= at);
    sealed.into_iter().filter(fits).max_by_key(|s| s.to).map(|s| s.name)
}

/// Where a gap entry ends that is to name this range: at the next sealed attempt, if one begins
/// inside of it.
#[must_use]
pub fn gap_end<T>(sealed: impl IntoIterator<Item = Sealed<T>>, gap: OffsetRange) -> Offset {
    let inside = |s: &Sealed<T>| s.is_whole && gap.from < s.from && s.from < gap.to;
    sealed.into_iter().filter(inside).map(|s| s.from).min().unwrap_or(gap.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_attempt_that_tiles_is_appended() {
        let sealed = |name, from, to, is_whole| Sealed {
            name,
            from: Offset(from),
            to: Offset(to),
            is_whole,
        };
        let all = [
            sealed("before", 3, 6, true),
            sealed("torn", 5, 9, false),
            sealed("short", 5, 6, true),
            sealed("long", 5, 8, true),
            sealed("behind", 6, 9, true),
        ];
        for (end, limit, want) in [
            (5, None, Some("long")),
            (5, Some(8), Some("long")),
            (5, Some(7), Some("short")),
            (5, Some(5), None),
            (4, None, None),
            (6, None, Some("behind")),
        ] {
            assert_eq!(choose(all, Offset(end), limit.map(Offset)), want, "{end} {limit:?}");
        }
        for (from, to, end) in [(0, 9, 3), (0, 3, 3), (3, 9, 5), (5, 9, 6), (6, 9, 9)] {
            let gap = OffsetRange { from: Offset(from), to: Offset(to) };
            assert_eq!(gap_end(all, gap), Offset(end), "{gap}");
        }
    }
}
