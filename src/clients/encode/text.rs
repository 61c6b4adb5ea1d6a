//! Text: the values as they are, one a line.

use bytes::Bytes;

use crate::clients::encode::error::EncodeError;
use crate::clients::encode::lines::Lines;
use crate::pure::layout::format::TextCodec;
use crate::pure::layout::rules::Fit;
use crate::pure::record::Record;

pub(super) struct File(Lines);

impl File {
    pub(super) fn new(codec: TextCodec, level: Option<i32>) -> Result<File, EncodeError> {
        Lines::new(codec, level).map(File)
    }

    /// Adds a value that the rules have found to be one line.
    pub(super) fn append(&mut self, record: &Record<'_>, fit: &Fit<'_>) -> Result<(), EncodeError> {
        let (Some(value), Fit::Raw) = (record.value, fit) else { return Err(EncodeError::Unfit) };
        self.0.write(value)?;
        self.0.write(b"\n")
    }

    #[inline]
    pub(super) fn has_bytes(&self) -> bool {
        self.0.has_bytes()
    }

    pub(super) fn drain_bytes(&mut self, give: &mut dyn FnMut(Bytes)) {
        self.0.drain_bytes(give);
    }

    pub(super) fn drain_all(&mut self, give: &mut dyn FnMut(Bytes)) {
        self.0.drain_all(give);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }

    pub(super) fn size(&self) -> u64 {
        self.0.size()
    }

    pub(super) fn exact_size(&self) -> u64 {
        self.0.exact_size()
    }

    pub(super) fn settle(&mut self) -> Result<(), EncodeError> {
        self.0.settle()
    }

    pub(super) fn finish(self, give: &mut dyn FnMut(Bytes)) -> Result<(), EncodeError> {
        self.0.finish(give)
    }
}
