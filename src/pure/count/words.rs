//! The words of one window, and how often each came.
//!
//! Counting is what the daemon spends most on, and nearly all of it is waiting: some ten thousand
//! words don't fit the processor's inner caches, and each of ten million lookups a second would
//! wait for one line of memory. So a word is looked up a few words after it was read: its slot is
//! on its way meanwhile. Hash maps of libraries have no such thing (docs/benchmark.md).
//!
//! Hashes are seeded at random in each process: words come from strangers, who could else choose
//! those that share a slot. So the order of words, and of published counts, is unspecified.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// A word of up to 23 bytes, padded with zeros; the last byte is its length plus one, so that no
/// word, the empty one included, is all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
struct Key([u8; 24]);

impl Key {
    /// Put together from eight bytes at a time: a copy of unknown length costs as much as the
    /// rest of counting a word.
    #[inline]
    fn new(word: &str) -> Option<Key> {
        let bytes = word.as_bytes();
        let parts = match bytes.len() {
            0..8 => [short(bytes), 0, 0],
            8..16 => [eight(bytes, 0), last(bytes, bytes.len() - 8), 0],
            16..24 => [eight(bytes, 0), eight(bytes, 8), last(bytes, bytes.len() - 16)],
            _ => return None,
        };
        let mut key = [0; 24];
        for (to, part) in key.as_chunks_mut().0.iter_mut().zip(parts) {
            *to = u64::to_le_bytes(part);
        }
        key[23] = bytes.len() as u8 + 1;
        Some(Key(key))
    }

    #[inline]
    fn hash(&self, state: &RandomState) -> usize {
        let mut hasher = state.build_hasher();
        self.0.as_chunks().0.iter().for_each(|part| hasher.write_u64(u64::from_le_bytes(*part)));
        hasher.finish() as usize
    }

    fn word(&self) -> &str {
        let len = usize::from(self.0[23]) - 1;
        std::str::from_utf8(&self.0[..len]).expect("made of a str")
    }
}

/// Up to seven bytes as a little-endian number.
#[inline]
fn short(bytes: &[u8]) -> u64 {
    let four = |at: usize| {
        u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")))
    };
    let one = |at: usize| u64::from(bytes[at]) << (8 * at);
    match bytes.len() {
        0 => 0,
        n @ 1..4 => one(0) | one(n / 2) | one(n - 1),
        n => four(0) | four(n - 4) << (8 * (n - 4)),
    }
}

#[inline]
fn eight(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The last `n` of at least eight bytes, up to seven.
#[inline]
fn last(bytes: &[u8], n: usize) -> u64 {
    (eight(bytes, bytes.len() - 8) >> 1) >> (63 - 8 * n)
}

/// Half a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
struct Slot {
    key: Key,
    /// Zero where the slot is free.
    count: u64,
}

/// Word → count: open addressing with linear probing for words that fit a [`Key`], a library's map
/// for the rest.
#[derive(Debug, Default)]
pub struct Words {
    /// The slots: their number is a power of two, or 0 at first; an eighth is free.
    slots: Vec<Slot>,
    used: usize,
    long: HashMap<Box<str>, u64, RandomState>,
    long_bytes: usize,
    state: RandomState,
    /// Terms of this record that were not looked up yet, with their hashes.
    waiting: [(Key, usize); Words::AHEAD],
    len: usize,
}

impl Words {
    /// More than a line's words, mostly.
    const AHEAD: usize = 16;
    const FIRST: usize = 64;

    /// Counts one word; [`Words::count_waiting`] must follow.
    #[inline]
    pub(crate) fn add(&mut self, word: &str) {
        let Some(key) = Key::new(word) else {
            let _ = self.add_long(word, 1);
            return;
        };
        if self.len == Words::AHEAD {
            self.count_waiting();
        }
        let hash = key.hash(&self.state);
        if let Some(slot) = self.slots.get(hash & self.slots.len().wrapping_sub(1)) {
            prefetch(slot);
        }
        self.waiting[self.len] = (key, hash);
        self.len += 1;
    }

    /// The largest count that readers can hold: a signed number of 64 bits.
    pub const MOST: u64 = i64::MAX as u64;

    /// Adds `n` to a word's count immediately; false, and nothing is added, if `n` is zero or the
    /// sum would be more than [`Words::MOST`].
    #[inline]
    #[must_use]
    pub(crate) fn add_times(&mut self, word: &str, n: u64) -> bool {
        if n == 0 || Words::MOST < n {
            return false;
        }
        match Key::new(word) {
            Some(key) => self.add_to_slot(key, key.hash(&self.state), n),
            None => self.add_long(word, n),
        }
    }

    fn add_long(&mut self, word: &str, n: u64) -> bool {
        const OVERHEAD: usize = 64;
        if let Some(sum) = self.long.get_mut(word) {
            if Words::MOST - *sum < n {
                return false;
            }
            *sum += n;
        } else {
            let _ = self.long.insert(word.into(), n);
            self.long_bytes += word.len() + OVERHEAD;
        }
        true
    }

    /// Looks up the words that wait, and counts them.
    #[inline]
    pub(crate) fn count_waiting(&mut self) {
        for i in 0..std::mem::take(&mut self.len) {
            let (key, hash) = self.waiting[i];
            let _ = self.add_to_slot(key, hash, 1);
        }
    }

    /// Adds `n` to the count of a key; the answer is that of [`Words::add_times`].
    #[inline]
    fn add_to_slot(&mut self, key: Key, hash: usize, n: u64) -> bool {
        if self.slots.len() * 7 <= self.used * 8 {
            self.grow();
        }
        let at = probe(&self.slots, &key, hash);
        let slot = &mut self.slots[at];
        if Words::MOST - slot.count < n {
            return false;
        }
        self.used += usize::from(slot.count == 0);
        *slot = Slot { key, count: slot.count + n };
        true
    }

    #[cold]
    fn grow(&mut self) {
        let size = (2 * self.slots.len()).max(Words::FIRST);
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); size]);
        for slot in old.into_iter().filter(|slot| slot.count != 0) {
            let at = probe(&self.slots, &slot.key, slot.key.hash(&self.state));
            self.slots[at] = slot;
        }
    }

    /// Every word with its count, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        debug_assert_eq!(self.len, 0, "words wait");
        let short = self.slots.iter().filter(|slot| slot.count != 0);
        let long = self.long.iter().map(|(word, n)| (&**word, *n));
        short.map(|slot| (slot.key.word(), slot.count)).chain(long)
    }

    /// The number of distinct words.
    pub(crate) fn len(&self) -> usize {
        self.used + self.long.len()
    }

    /// The memory in use, approximately, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Words>() + self.slots.len() * size_of::<Slot>() + self.long_bytes
    }

    /// Whether the table is worth keeping after it was emptied: a single busy window should not
    /// keep its memory forever.
    pub(crate) fn well_filled(&self) -> bool {
        self.slots.len() < 4 * self.used
    }

    pub(crate) fn clear(&mut self) {
        self.slots.fill(Slot::default());
        self.long.clear();
        (self.used, self.long_bytes, self.len) = (0, 0, 0);
    }
}

/// Where the key is, or else the free slot where it belongs; there is always a free one.
#[inline]
fn probe(slots: &[Slot], key: &Key, hash: usize) -> usize {
    let mask = slots.len() - 1;
    let mut at = hash & mask;
    while slots[at].count != 0 && slots[at].key != *key {
        at = (at + 1) & mask;
    }
    at
}

#[inline]
fn prefetch(slot: &Slot) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it reads and writes nothing.
    #[allow(unsafe_code)]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(slot).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slot;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn keys_hold_words_of_every_length() {
        const LETTERS: &str = "abcdefghijklmnopqrstuvw";
        for len in 0..=LETTERS.len() {
            let word = &LETTERS[..len];
            assert_eq!(Key::new(word).as_ref().map(Key::word), Some(word));
        }
        assert_eq!(Key::new(&"x".repeat(24)), None);
    }

    /// Counts come from topics into which anybody may write.
    #[test]
    fn a_sum_that_no_reader_holds_is_refused() {
        for word in ["short".to_string(), "l".repeat(24)] {
            let mut words = Words::default();
            for n in [0, Words::MOST + 1, u64::MAX] {
                assert!(!words.add_times(&word, n), "{n}");
            }
            assert!(words.add_times(&word, Words::MOST - 1));
            assert!(!words.add_times(&word, 2));
            assert!(words.add_times(&word, 1));
            assert!(!words.add_times(&word, 1));
            assert_eq!(words.iter().collect::<Vec<_>>(), [(&*word, Words::MOST)]);
        }
    }

    /// Against a map of the standard library: words around the key's length, zeros in them, and
    /// enough of them to grow often.
    #[test]
    fn counts_as_a_plain_map_does() {
        let mut words = Words::default();
        let mut want: BTreeMap<String, u64> = BTreeMap::new();
        let mut seed = 1_u64;
        for _ in 0..3 {
            for line in 0..3_000 {
                for _ in 0..line % 40 {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let number = (seed >> 33) % 5_000;
                    let word = match number % 5 {
                        0 => format!("{number}"),
                        1 => "\0".repeat((number % 30) as usize),
                        2 => "é".repeat((number % 15) as usize),
                        3 => format!("{number:0>23}"),
                        _ => format!("{number:0>24}"),
                    };
                    let number = number + 1;
                    if line % 3 == 0 {
                        assert!(words.add_times(&word, number));
                        *want.entry(word).or_default() += number;
                        continue;
                    }
                    words.add(&word);
                    *want.entry(word).or_default() += 1;
                }
                words.count_waiting();
            }
            let got: BTreeMap<String, u64> = words.iter().map(|(w, n)| (w.into(), n)).collect();
            assert_eq!(words.len(), want.len());
            assert_eq!(got, want);
            assert!(words.well_filled() && 0 < words.bytes());
            words.clear();
            want.clear();
            assert_eq!(words.iter().count() + words.len(), 0);
        }
    }
}
