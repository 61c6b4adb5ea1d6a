//! What an encoder wrote, in chunks: one growing buffer would be moved again and again, and a slice
//! of it would keep all of it.

use bytes::Bytes;

/// What was written and not given away.
#[derive(Default)]
pub(super) struct Chunks {
    full: Vec<Bytes>,
    last: Vec<u8>,
    waiting: usize,
    /// How many bytes come next, if they are many.
    expected: usize,
}

pub(super) const CHUNK: usize = 256 << 10;
/// A Parquet file's first four bytes alone are not worth a chunk.
pub(super) const SMALL: usize = 64;
/// Records of this size are in memory one by one, and no longer than they must be: a buffer that
/// was made for one is not kept, and it is not gathered with others. Bytes.
pub(super) const LARGE: usize = 4 << 20;

impl Chunks {
    /// Bytes that were written and not given away.
    #[inline]
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// So many bytes come next, about. If they are many, they get a chunk of their own, which goes
    /// back to the system as soon as it is written: small ones would stay with the thread's part of
    /// the allocator for a while, and each thread has one. Only for a writer whose chunks are all
    /// given away at once.
    pub(super) fn expect(&mut self, bytes: usize) {
        self.expected = if LARGE <= bytes { bytes } else { 0 };
        if 0 < self.expected && !self.last.is_empty() {
            self.full.push(std::mem::take(&mut self.last).into());
        }
    }

    /// Bytes of memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.full.len().saturating_mul(CHUNK).saturating_add(self.last.capacity())
    }

    /// Gives away the chunks that are full; their bytes.
    pub(super) fn give_full(&mut self, give: &mut dyn FnMut(Bytes)) -> usize {
        let bytes = self.full.len().saturating_mul(CHUNK);
        std::mem::take(&mut self.full).into_iter().for_each(give);
        self.waiting = self.waiting.saturating_sub(bytes);
        bytes
    }

    /// Gives away everything; its bytes.
    pub(super) fn give_all(&mut self, give: &mut dyn FnMut(Bytes)) -> usize {
        let Chunks { full, last, waiting, .. } = std::mem::take(self);
        full.into_iter().for_each(&mut *give);
        if !last.is_empty() {
            // It may wait for the store: with its own bytes only.
            give(last.into_boxed_slice().into());
        }
        waiting
    }
}

impl std::io::Write for Chunks {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.last.capacity() == 0 {
            // Much is written at once, or very little.
            let usual = bytes.len().next_power_of_two().clamp(SMALL, CHUNK);
            self.last.reserve_exact(usual.max(std::mem::take(&mut self.expected)));
        }
        let n = bytes.len().min(self.last.capacity().saturating_sub(self.last.len()));
        self.last.extend_from_slice(&bytes[..n]);
        self.waiting = self.waiting.saturating_add(n);
        if self.last.len() == self.last.capacity() && CHUNK <= self.last.len() {
            self.full.push(std::mem::take(&mut self.last).into());
        } else if self.last.len() == self.last.capacity() {
            let room = CHUNK.saturating_sub(self.last.len());
            self.last.reserve_exact(self.last.len().min(room));
        }
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn much_that_is_expected_is_one_chunk() {
        let (mut chunks, mut given) = (Chunks::default(), Vec::new());
        let all = vec![7; LARGE];
        for (expected, written) in [(0, 10), (LARGE, LARGE), (LARGE, LARGE - 5), (CHUNK, CHUNK)] {
            chunks.expect(expected);
            all[..written].chunks(8_192).for_each(|piece| chunks.write_all(piece).unwrap());
        }
        chunks.write_all(b"end").unwrap();
        let waiting = chunks.waiting();
        assert_eq!(chunks.give_all(&mut |bytes: Bytes| given.push(bytes.len())), waiting);
        assert_eq!(given.iter().sum::<usize>(), 10 + 2 * LARGE - 5 + CHUNK + 3);
        assert_eq!(given[..2], [10, LARGE]);
        assert!(given.len() <= 6, "{given:?}");
    }

    #[test]
    fn chunks_have_the_bytes_in_their_order_and_no_more_memory() {
        let all: Vec<u8> = (0..3 * CHUNK + 100).map(|n| (n % 251) as u8).collect();
        for piece in [1, 7, SMALL, CHUNK - 1, CHUNK, CHUNK + 1, all.len()] {
            let (mut chunks, mut given) = (Chunks::default(), Vec::new());
            let mut give = |bytes: Bytes| given.push(bytes);
            let mut taken = 0;
            for piece in all.chunks(piece) {
                chunks.write_all(piece).unwrap();
                taken += chunks.give_full(&mut give);
                assert!(chunks.waiting() < CHUNK && chunks.memory_bytes() <= CHUNK);
            }
            assert_eq!(taken, 3 * CHUNK);
            assert_eq!(chunks.give_all(&mut give), 100);
            assert_eq!((chunks.waiting(), chunks.memory_bytes()), (0, 0));
            assert!(given.iter().all(|bytes| bytes.len() <= CHUNK));
            assert_eq!(given.concat(), all, "in pieces of {piece}");
        }
    }
}
