//! A file of text, compressed or not, in chunks.

use std::io::Write;

use bytes::Bytes;
use flate2::write::GzEncoder;

use crate::clients::encode::chunks::{CHUNK, Chunks};
use crate::clients::encode::error::EncodeError;
use crate::clients::encode::learned::Learned;
use crate::clients::encode::zstd_levels::{extra_bytes, level_of};
use crate::pure::layout::format::TextCodec;

enum Sink {
    Plain(Chunks),
    Gzip(GzEncoder<Chunks>),
    Zstd(zstd::stream::write::Encoder<'static, Chunks>),
}

/// What a codec holds for one stream, bytes: an estimate, by the sizes of its tables.
const GZIP: usize = 300 << 10;
/// As GZIP: the window of level 1, its tables and buffers.
const ZSTD: usize = 1_100 << 10;

pub(super) struct Lines {
    sink: Sink,
    /// Bytes of the codec.
    codec: usize,
    taken: u64,
    learned: Learned,
    /// Bytes of text since the codec has given something.
    inside: u64,
}

impl Lines {
    pub(super) fn new(codec: TextCodec, level: Option<i32>) -> Result<Lines, EncodeError> {
        let (sink, codec) = match codec {
            TextCodec::None => (Sink::Plain(Chunks::default()), 0),
            TextCodec::Gzip => {
                let level = level.map(|level| flate2::Compression::new(level.unsigned_abs()));
                let level = level.unwrap_or(flate2::Compression::fast());
                (Sink::Gzip(GzEncoder::new(Chunks::default(), level)), GZIP)
            }
            TextCodec::Zstd => {
                let level = level_of(level);
                let sink = zstd::stream::write::Encoder::new(Chunks::default(), level)?;
                (Sink::Zstd(sink), ZSTD.saturating_add(extra_bytes(level)))
            }
        };
        let learned = Learned::default();
        Ok(Lines { sink, codec, taken: 0, learned, inside: 0 })
    }

    pub(super) fn write(&mut self, text: &[u8]) -> Result<(), EncodeError> {
        let before = self.exact_size();
        match &mut self.sink {
            Sink::Plain(out) => out.write_all(text)?,
            Sink::Gzip(out) => out.write_all(text)?,
            Sink::Zstd(out) => out.write_all(text)?,
        }
        self.inside = self.inside.saturating_add(text.len() as u64);
        self.learn(before);
        Ok(())
    }

    /// Notes what the codec has given since the size was this.
    fn learn(&mut self, before: u64) {
        let given = self.exact_size().saturating_sub(before);
        if 0 < given {
            self.learned.add(std::mem::take(&mut self.inside), given);
        }
    }

    /// Lets the codec give everything that it has taken.
    pub(super) fn settle(&mut self) -> Result<(), EncodeError> {
        let before = self.exact_size();
        match &mut self.sink {
            Sink::Plain(out) => out.flush()?,
            Sink::Gzip(out) => out.flush()?,
            Sink::Zstd(out) => out.flush()?,
        }
        self.learn(before);
        Ok(())
    }

    fn written(&self) -> &Chunks {
        match &self.sink {
            Sink::Plain(out) => out,
            Sink::Gzip(out) => out.get_ref(),
            Sink::Zstd(out) => out.get_ref(),
        }
    }

    fn written_mut(&mut self) -> &mut Chunks {
        match &mut self.sink {
            Sink::Plain(out) => out,
            Sink::Gzip(out) => out.get_mut(),
            Sink::Zstd(out) => out.get_mut(),
        }
    }

    /// Small writes cost a packet each.
    #[inline]
    pub(super) fn has_bytes(&self) -> bool {
        CHUNK <= self.written().waiting()
    }

    pub(super) fn drain_bytes(&mut self, give: &mut dyn FnMut(Bytes)) {
        let given = self.written_mut().give_full(give) as u64;
        self.taken = self.taken.saturating_add(given);
    }

    pub(super) fn drain_all(&mut self, give: &mut dyn FnMut(Bytes)) {
        let given = self.written_mut().give_all(give) as u64;
        self.taken = self.taken.saturating_add(given);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.written().memory_bytes().saturating_add(self.codec)
    }

    /// Bytes that the codec has given.
    pub(super) fn exact_size(&self) -> u64 {
        self.taken.saturating_add(self.written().waiting() as u64)
    }

    pub(super) fn size(&self) -> u64 {
        self.exact_size().saturating_add(self.learned.expected(self.inside, self.inside))
    }

    pub(super) fn finish(self, give: &mut dyn FnMut(Bytes)) -> Result<(), EncodeError> {
        let mut rest = match self.sink {
            Sink::Plain(out) => out,
            Sink::Gzip(out) => out.finish()?,
            Sink::Zstd(out) => out.finish()?,
        };
        let _ = rest.give_all(give);
        Ok(())
    }
}
