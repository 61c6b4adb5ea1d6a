//! Files of properties, as Java has them.

use std::collections::BTreeMap;

/// The marks of UTF-16 at the beginning of a file.
const UTF_16: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];
const UTF_8: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The properties of a file, by their names. A mark of UTF-8 at its beginning is no part of a name.
///
/// # Errors
/// The file is in UTF-16, which Java does not read either, or has no properties' form.
pub(super) fn properties(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let bytes = bytes.strip_prefix(&UTF_8).unwrap_or(bytes);
    if UTF_16.iter().any(|mark| bytes.starts_with(mark)) {
        return Err("is in UTF-16, which Kafka Connect does not read: save it in UTF-8".into());
    }
    // The library panics at a file that ends within what may become a mark.
    let read = java_properties::read(&[bytes, b"\n"].concat()[..]);
    Ok(read.map_err(|e| e.to_string())?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_begin_and_end_anywhere_in_a_mark() {
        for end in ["", "a", "a=b", "a=b\\", "a=\\u00"] {
            for mark in [&b"\xff"[..], b"\xfe", b"\xef", b"\xef\xbb", b"\xc3", b"\xf0\x9f\x98"] {
                let _ = properties(&[mark, end.as_bytes()].concat());
                let _ = properties(&[end.as_bytes(), mark].concat());
                let _ = properties(&[&UTF_8[..], end.as_bytes(), mark].concat());
            }
        }
    }

    #[test]
    fn a_mark_of_utf_8_is_no_part_of_a_name_and_utf_16_is_refused() {
        let read = properties(b"\xef\xbb\xbfname=orders").unwrap();
        assert_eq!(read.into_iter().collect::<Vec<_>>(), [("name".into(), "orders".into())]);
        for text in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a"] {
            assert!(properties(text).unwrap_err().contains("UTF-16"), "{text:?}");
        }
    }
}
