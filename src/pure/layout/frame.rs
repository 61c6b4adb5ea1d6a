//! How a record says which schema its value has.
//!
//! Serializers of Confluent's registry write a zero byte and the schema's id, four bytes with the
//! highest first, before the value; or the same five bytes into a header.

use crate::pure::record::Record;

/// The header that newer serializers write instead of the bytes before the value.
pub const HEADER: &[u8] = b"__value_schema_id";
const ID: u8 = 0;
/// An id of 16 bytes follows.
const GUID: u8 = 1;

/// A value and the id of its schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Framed<'a> {
    pub id: u32,
    /// The value without the id.
    pub body: &'a [u8],
    /// What stands behind the id in a header: the indexes of a message, perhaps.
    pub behind: &'a [u8],
}

/// Why a header is no id.
pub const NO_ID: &str = "the header __value_schema_id is not a zero byte and an id of four bytes";

/// Splits the id from the value; [`None`] for a record without a value.
///
/// # Errors
/// There is no id, or none that can be asked for.
#[inline]
pub fn framed<'a>(record: &Record<'a>) -> Result<Option<Framed<'a>>, String> {
    let Some(value) = record.value else { return Ok(None) };
    // As readers of the registry have it: a program that passes on a record's headers, and adds its
    // own, means the last one, and one that is null says nothing.
    let header = record.headers.iter().rev().find(|(name, _)| *name == HEADER);
    let header = header.and_then(|(_, id)| *id);
    let (id, body) = match header {
        Some(id) => (id, value),
        None => value.split_at_checked(5).unwrap_or((value, &[])),
    };
    match *id {
        [ID, a, b, c, d, ref behind @ ..] => {
            Ok(Some(Framed { id: u32::from_be_bytes([a, b, c, d]), body, behind }))
        }
        [GUID, ..] if header.is_some() => {
            Err("the header __value_schema_id has a GUID, and ids alone can be read".into())
        }
        _ if header.is_some() => Err(NO_ID.into()),
        _ => {
            Err("the value does not begin with a zero byte and a schema's id of four bytes".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::record::{Header, Offset, Timestamp};

    fn of<'a>(value: Option<&'a [u8]>, headers: &'a [Header<'a>]) -> Record<'a> {
        Record { offset: Offset(0), timestamp: Timestamp::Missing, key: None, value, headers }
    }

    #[test]
    fn an_id_stands_before_the_value_or_in_a_header() {
        let value = [0, 0, 0, 1, 2, 9, 9];
        let got = framed(&of(Some(&value), &[])).unwrap();
        assert_eq!(got, Some(Framed { id: 258, body: &[9, 9], behind: &[] }));
        let id = [0, 1, 0, 0, 0];
        let headers: [Header<'_>; 2] = [(b"a", None), (HEADER, Some(&id))];
        let got = framed(&of(Some(&value), &headers)).unwrap();
        assert_eq!(got, Some(Framed { id: 1 << 24, body: &value, behind: &[] }));
        let id = [0, 0, 0, 0, 3, 2, 4];
        let headers: [Header<'_>; 1] = [(HEADER, Some(&id))];
        let got = framed(&of(Some(&value), &headers)).unwrap();
        assert_eq!(got, Some(Framed { id: 3, body: &value, behind: &[2, 4] }));
        assert_eq!(framed(&of(None, &headers)), Ok(None));
    }

    /// A program that reads a record and writes another one with its headers adds a second id.
    #[test]
    fn the_last_of_several_headers_counts_and_a_null_one_says_nothing() {
        let value = [0, 0, 0, 1, 2, 9, 9];
        let (old, new) = ([0, 0, 0, 0, 3], [0, 0, 0, 0, 4]);
        let id = |headers: &[Header<'_>]| {
            framed(&of(Some(&value), headers)).map(|of| of.map(|of| (of.id, of.body.len())))
        };
        let headers: [Header<'_>; 3] = [(HEADER, Some(&old)), (b"a", None), (HEADER, Some(&new))];
        assert_eq!(id(&headers), Ok(Some((4, 7))));
        assert_eq!(id(&headers[..2]), Ok(Some((3, 7))));
        assert_eq!(id(&[(HEADER, None)]), Ok(Some((258, 2))), "the bytes before the value count");
        let headers: [Header<'_>; 2] = [(HEADER, Some(&old)), (HEADER, None)];
        assert_eq!(id(&headers), Ok(Some((258, 2))));
    }

    #[test]
    fn anything_else_is_refused() {
        for value in [&b""[..], &[0], &[0, 0, 0, 1], b"{\"a\":1}", &[1, 0, 0, 0, 1]] {
            assert!(framed(&of(Some(value), &[])).unwrap_err().contains("zero byte"), "{value:?}");
        }
        let guid = [1; 17];
        for header in [&guid[..], &[0, 1], b""] {
            let headers: [Header<'_>; 1] = [(HEADER, Some(header))];
            assert!(framed(&of(Some(b"x"), &headers)).unwrap_err().contains("__value_schema_id"));
        }
    }
}
