//! The levels of zstd, and what they cost.

/// The level where none is chosen.
const FASTEST: i32 = 1;

/// KiB of one stream by level, from 1 on, as libzstd 1.5.7 says of itself after 4 MiB of text.
const KIB: [usize; 9] = [1_337, 2_041, 3_577, 4_857, 5_369, 5_369, 7_929, 7_929, 15_097];

/// The level to write with.
pub(super) fn level_of(chosen: Option<i32>) -> i32 {
    chosen.unwrap_or(FASTEST)
}

/// Bytes of memory that a stream of this level has, beyond those of the fastest level.
pub(super) fn extra_bytes(level: i32) -> usize {
    let at = usize::try_from(level.saturating_sub(FASTEST))
        .unwrap_or(0)
        .min(KIB.len().saturating_sub(1));
    KIB[at].saturating_sub(KIB[0]) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_level_costs_no_less() {
        assert_eq!(extra_bytes(level_of(None)), 0);
        let all: Vec<usize> = (1..=12).map(extra_bytes).collect();
        assert!(all.is_sorted() && all[8] == 13_760 << 10, "{all:?}");
    }
}
