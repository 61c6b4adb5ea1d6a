//! The sums of one partition between two commits.

use compact_str::CompactString;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Words of one window. Words of up to 24 bytes lie inside the map itself: comparing them is what
/// counting costs, and a pointer to follow doubles it.
type Words = HashMap<CompactString, u64, RandomState>;

/// (window, word) → count. A word that is known already costs no allocation.
#[derive(Debug, Default)]
pub struct Counts {
    windows: Vec<(i64, Words)>,
    /// Index of the window that was used last: records come nearly in order of time.
    last: usize,
    bytes: usize,
    /// An emptied map for the next window: growing one anew costs as much as filling it.
    spare: Option<Words>,
}

/// What a word costs: itself, its count, and the map's own share, which is doubled as it grows.
const BYTES_A_WORD: usize = 48;
const INLINE: usize = 24;

impl Counts {
    /// Counts one word into the window that starts at `start` (milliseconds).
    #[inline]
    pub fn add(&mut self, start: i64, word: &str) {
        let words = self.window(start);
        if let Some(n) = words.get_mut(word) {
            *n += 1;
        } else {
            let _ = words.insert(word.into(), 1);
            self.bytes += BYTES_A_WORD + if INLINE < word.len() { word.len() } else { 0 };
        }
    }

    #[inline]
    fn window(&mut self, start: i64) -> &mut Words {
        if self.windows.get(self.last).is_none_or(|(s, _)| *s != start) {
            self.last = self.windows.iter().position(|(s, _)| *s == start).unwrap_or_else(|| {
                self.windows.push((start, self.spare.take().unwrap_or_default()));
                self.windows.len() - 1
            });
        }
        &mut self.windows[self.last].1
    }

    /// Every window with its words, in order of time.
    pub fn iter(&self) -> impl Iterator<Item = (i64, impl Iterator<Item = (&str, u64)>)> {
        let mut order: Vec<_> = self.windows.iter().collect();
        order.sort_by_key(|(start, _)| *start);
        order.into_iter().map(|(s, words)| (*s, words.iter().map(|(w, n)| (w.as_str(), *n))))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Distinct words, over all windows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.windows.iter().map(|(_, w)| w.len()).sum()
    }

    /// Memory in use, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Starts anew. One map is kept if it was well filled, so that a single busy window doesn't
    /// hold memory for ever.
    pub fn clear(&mut self) {
        let spare = self.windows.drain(..).map(|(_, words)| words).max_by_key(HashMap::len);
        let spare = spare.filter(|words| words.capacity() < 4 * words.len());
        *self = Counts { spare, ..Counts::default() };
        if let Some(words) = &mut self.spare {
            words.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_by_window_and_word() {
        let mut c = Counts::default();
        for (start, word) in [(0, "a"), (2, "a"), (0, "b"), (0, "a"), (0, "")] {
            c.add(start, word);
        }
        let mut got: Vec<(i64, String, u64)> = c
            .iter()
            .flat_map(|(s, words)| {
                words.map(move |(w, n)| (s, w.to_string(), n)).collect::<Vec<_>>()
            })
            .collect();
        got.sort();
        let want = [(0, "", 1), (0, "a", 2), (0, "b", 1), (2, "a", 1)];
        assert_eq!(got, want.map(|(s, w, n)| (s, w.to_string(), n)));
        c.clear();
        assert!(c.is_empty() && c.bytes() == 0);
    }
}
