//! Terms that are too long.

use std::borrow::Cow;

/// A term of at most `max_bytes` bytes. Longer ones are cut, and end in `~` and eight hexadecimal
/// digits of their CRC-32C.
pub(super) fn cut(term: &str, max_bytes: usize) -> Cow<'_, str> {
    if term.len() <= max_bytes {
        return term.into();
    }
    let at = term.floor_char_boundary(max_bytes.saturating_sub(9));
    format!("{}~{:08x}", &term[..at], crc32c::crc32c(term.as_bytes())).into()
}
