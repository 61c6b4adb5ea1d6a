//! Records that wait as bytes: an encoder costs much more than the few records of a small file.

use crate::pure::record::{Header, Offset, Record, Timestamp};

/// The records of one file, in order, as they were read.
#[derive(Default)]
pub(super) struct KeptRecords {
    /// Whole records each; all but the last are not added to any more.
    segments: Vec<Vec<u8>>,
    size: usize,
}

/// A segment has so many bytes, or one record: little memory is lost at its end, and it goes when
/// its records are replayed.
const SEGMENT: usize = 16 << 10;

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
        let bytes = self.segment(size_of_kept(record));
        bytes.extend_from_slice(&record.offset.0.to_le_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(&millis.to_le_bytes());
        push_field(bytes, record.key);
        push_field(bytes, record.value);
        push_length(bytes, record.headers.len());
        for (name, value) in record.headers {
            push_field(bytes, Some(name));
            push_field(bytes, *value);
        }
    }

    /// A segment with room for so many bytes more: a quarter more than is needed, because what is
    /// kept may stay for minutes.
    fn segment(&mut self, by: usize) -> &mut Vec<u8> {
        self.size = self.size.saturating_add(by);
        let has_room = |last: &Vec<u8>| last.len().saturating_add(by) <= SEGMENT;
        if !self.segments.last().is_some_and(has_room) {
            if let Some(full) = self.segments.last_mut() {
                full.shrink_to_fit();
            }
            self.segments.reserve_exact(1);
            self.segments.push(Vec::new());
        }
        let last = self.segments.last_mut().expect("there is one now");
        if last.capacity() < last.len().saturating_add(by) {
            last.reserve_exact(by.saturating_add(last.len() / 4));
        }
        last
    }

    /// Bytes of the records that are kept.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Bytes of memory.
    pub(super) fn memory_bytes(&self) -> usize {
        // The last one alone has room that is not used.
        let unused =
            self.segments.last().map_or(0, |last| last.capacity().saturating_sub(last.len()));
        let index = self.segments.capacity().saturating_mul(size_of::<Vec<u8>>());
        self.size.saturating_add(unused).saturating_add(index)
    }

    /// Gives each record to `take`, in order, until it fails. What was taken is not kept.
    pub(super) fn replay<E>(
        self,
        mut take: impl FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for segment in self.segments {
            let mut rest = Rest(&segment);
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
                let headers: Vec<Header<'_>> = (0..headers)
                    .map(|_| (rest.field().unwrap_or_default(), rest.field()))
                    .collect();
                take(&Record { offset, timestamp, key, value, headers: &headers })?;
            }
        }
        Ok(())
    }
}

/// Four bytes of length, all ones for none, and the bytes.
fn push_field(bytes: &mut Vec<u8>, field: Option<&[u8]>) {
    push_length(bytes, field.map_or(NONE, <[u8]>::len));
    bytes.extend_from_slice(field.unwrap_or_default());
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    // Kafka's own lengths have 31 bits.
    bytes.extend_from_slice(&(length as u32).to_le_bytes());
}

/// The length that stands for no field at all.
const NONE: usize = u32::MAX as usize;

/// Bytes that the record needs here.
pub(super) fn size_of_kept(record: &Record<'_>) -> usize {
    let field = |f: Option<&[u8]>| f.map_or(0, <[u8]>::len).saturating_add(4);
    let headers = record.headers.iter().flat_map(|(name, value)| [4, name.len(), field(*value)]);
    let all = [21, field(record.key), field(record.value)].into_iter().chain(headers);
    all.fold(0, usize::saturating_add)
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
        let long = vec![b'l'; SEGMENT + 1];
        let all: Vec<Record<'_>> = (0..2_000)
            .map(|n| match (n % 500, all[n % 3]) {
                (7, short) => Record { value: Some(&long), ..short },
                (_, short) => short,
            })
            .collect();
        let mut kept = KeptRecords::default();
        all.iter().for_each(|r| kept.push(r));
        assert_eq!(kept.size(), all.iter().map(size_of_kept).sum::<usize>());
        let memory: usize = kept.segments.iter().map(Vec::capacity).sum();
        assert!(8 < kept.segments.len() && memory <= kept.memory_bytes());
        assert!(kept.memory_bytes() < kept.size() + SEGMENT, "little of it is not used");
        let mut back = Vec::new();
        kept.replay(|r| {
            back.push(format!("{r:?}"));
            Ok::<(), ()>(())
        })
        .unwrap();
        assert_eq!(back, all.iter().map(|r| format!("{r:?}")).collect::<Vec<_>>());
    }
}
