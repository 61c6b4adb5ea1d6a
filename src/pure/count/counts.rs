//! The sums of one partition between two commits.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::pure::count::words::Words;

/// A map from (window, word) to the count. A word that is known already costs no allocation.
#[derive(Debug, Default)]
pub struct Counts {
    windows: Vec<(i64, Words)>,
    /// The index of each window, by its start.
    index_by_start: HashMap<i64, usize, RandomState>,
    /// The window that was used last. Records come nearly in order of time, so this is mostly the
    /// next one too.
    last: usize,
    /// Emptied words for the next window: growing them anew costs as much as filling them.
    spare: Option<Words>,
}

/// One record's words on their way into a window.
#[derive(Debug)]
pub struct RecordTerms<'a>(&'a mut Words);

impl RecordTerms<'_> {
    #[inline]
    pub fn add(&mut self, word: &str) {
        self.0.add(word);
    }
}

impl Drop for RecordTerms<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.count_waiting();
    }
}

impl Counts {
    /// Counts a record's words into the window that starts at `start` (milliseconds).
    #[inline]
    pub fn record_terms(&mut self, start: i64) -> RecordTerms<'_> {
        if self.windows.get(self.last).is_none_or(|(s, _)| *s != start) {
            self.last = *self.index_by_start.entry(start).or_insert_with(|| {
                let at = self.windows.len();
                self.windows.push((start, self.spare.take().unwrap_or_default()));
                at
            });
        }
        RecordTerms(&mut self.windows[self.last].1)
    }

    /// Every window with its words: windows in order of time, words in none.
    pub fn iter(&self) -> impl Iterator<Item = (i64, impl Iterator<Item = (&str, u64)>)> {
        let mut order: Vec<_> = self.windows.iter().filter(|(_, words)| 0 < words.len()).collect();
        order.sort_by_key(|(start, _)| *start);
        order.into_iter().map(|(s, words)| (*s, words.iter()))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of distinct words, summed over all windows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.windows.iter().map(|(_, w)| w.len()).sum()
    }

    /// The memory in use, approximately, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.windows.iter().map(|(_, words)| words.bytes()).sum()
    }

    /// Removes all windows.
    pub fn clear(&mut self) {
        let spare = self.windows.drain(..).map(|(_, words)| words).max_by_key(Words::len);
        *self = Counts { spare: spare.filter(Words::well_filled), ..Counts::default() };
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
            c.record_terms(start).add(word);
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
