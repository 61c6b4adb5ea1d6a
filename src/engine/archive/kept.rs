//! Records that wait as bytes: an encoder costs much more than the few records of a small file.

use crate::pure::record::{Header, Offset, Record, Timestamp};

/// The records of one file, in order, as they were read.
#[derive(Default)]
pub(super) struct KeptRecords {
    bytes: Vec<u8>,
}

const CREATE: u8 = 0;
const LOG_APPEND: u8 = 1;
const MISSING: u8 = 2;

impl KeptRecords {
    pub(super) fn push(&mut self, record: &Record<'_>) {
        let (kind, millis) = match record.timestamp {
            Timestamp::Create(ms) => (CREATE, ms),
            Timestamp::LogAppend(ms) => (LOG_APPEND, ms),
            Timestamp::Missing => (MISSING, 0),
        };
        self.grow(size_of_kept(record));
        self.bytes.extend_from_slice(&record.offset.0.to_le_bytes());
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&millis.to_le_bytes());
        self.push_field(record.key);
        self.push_field(record.value);
        self.push_length(record.headers.len());
        for (name, value) in record.headers {
            self.push_field(Some(name));
            self.push_field(*value);
        }
    }

    /// Makes room; a quarter more than is needed, because what is kept may stay for minutes.
    fn grow(&mut self, by: usize) {
        let wanted = self.bytes.len() + by;
        if self.bytes.capacity() < wanted {
            self.bytes.reserve_exact(by + self.bytes.len() / 4);
        }
    }

    /// Four bytes of length, all ones for none, and the bytes.
    fn push_field(&mut self, field: Option<&[u8]>) {
        self.push_length(field.map_or(NONE, <[u8]>::len));
        self.bytes.extend_from_slice(field.unwrap_or_default());
    }

    fn push_length(&mut self, length: usize) {
        // Kafka's own lengths have 31 bits.
        self.bytes.extend_from_slice(&(length as u32).to_le_bytes());
    }

    /// Bytes of the records that are kept.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives each record to `take`, in order, until it fails.
    pub(super) fn replay<E>(
        &self,
        mut take: impl FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = Rest(&self.bytes);
        while !rest.0.is_empty() {
            let offset = Offset(rest.number());
            let kind = rest.take(1)[0];
            let millis = rest.number();
            let timestamp = match kind {
                CREATE => Timestamp::Create(millis),
                LOG_APPEND => Timestamp::LogAppend(millis),
                _ => Timestamp::Missing,
            };
            let (key, value) = (rest.field(), rest.field());
            let headers = rest.length();
            let headers: Vec<Header<'_>> =
                (0..headers).map(|_| (rest.field().unwrap_or_default(), rest.field())).collect();
            take(&Record { offset, timestamp, key, value, headers: &headers })?;
        }
        Ok(())
    }
}

/// The length that stands for no field at all.
const NONE: usize = u32::MAX as usize;

fn size_of_kept(record: &Record<'_>) -> usize {
    let field = |f: Option<&[u8]>| 4 + f.map_or(0, <[u8]>::len);
    let headers = record.headers.iter().map(|(name, value)| 4 + name.len() + field(*value));
    21 + field(record.key) + field(record.value) + headers.sum::<usize>()
}

/// What of the bytes was not replayed yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn number(&mut self) -> i64 {
        i64::from_le_bytes(self.take(8).try_into().expect("eight bytes"))
    }

    fn length(&mut self) -> usize {
        u32::from_le_bytes(self.take(4).try_into().expect("four bytes")) as usize
    }

    fn field(&mut self) -> Option<&'a [u8]> {
        let length = self.length();
        (length != NONE).then(|| self.take(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_were_kept() {
        let headers: [Header<'_>; 3] =
            [(b"a\xff", None), (b"", Some(b"")), (b"b", Some(b"\xff\0"))];
        let record = |offset, timestamp, key, value, headers| Record {
            offset: Offset(offset),
            timestamp,
            key,
            value,
            headers,
        };
        let all = [
            record(-1, Timestamp::Create(i64::MIN), None, None, &headers[..0]),
            record(7, Timestamp::LogAppend(i64::MAX), Some(&b""[..]), Some(&b"v"[..]), &headers),
            record(i64::MAX, Timestamp::Missing, Some(&b"k"[..]), Some(&b""[..]), &headers[..1]),
        ];
        let mut kept = KeptRecords::default();
        all.iter().for_each(|r| kept.push(r));
        assert_eq!(kept.size(), all.iter().map(size_of_kept).sum::<usize>());
        let mut back = Vec::new();
        kept.replay(|r| {
            back.push(format!("{r:?}"));
            Ok::<(), ()>(())
        })
        .unwrap();
        assert_eq!(back, all.map(|r| format!("{r:?}")));
    }
}
