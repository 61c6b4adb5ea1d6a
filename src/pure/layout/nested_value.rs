//! One value of a nested column: its parts, one behind the other. The column's type says what they
//! are, so the bytes do not, and they take little more memory than the value that they were read
//! from.
//!
//! A part begins with a mark. A field of a struct follows its mark, a list has elements to its end,
//! and a map has keys, each before its value.

/// The part is null.
pub const NULL: u8 = 0;
/// The part follows.
pub const VALUE: u8 = 1;
/// A list or a map ends.
pub const END: u8 = 2;

/// The bytes of a value that was written to its end.
#[derive(PartialEq, Debug)]
pub struct NestedValue {
    pub bytes: Vec<u8>,
    /// How many places the value takes in the columns that it becomes: a null takes one in each.
    pub places: usize,
}

/// Bytes of memory of one place, about.
const PLACE: usize = 8;

impl NestedValue {
    /// Bytes of memory, as those of the columns that the value becomes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len().saturating_add(self.places.saturating_mul(PLACE))
    }
}

/// What the nested values of one record may still become.
///
/// *Rule*: the memory is bounded by the record's bytes, whatever they are: a list of messages
/// without a byte may have a thousand fields each.
#[derive(Debug)]
pub struct NestedBudget {
    pub(super) bytes: usize,
    pub(super) places: usize,
}

/// A record has so many bytes and places at most, and so many more for each of its bytes.
const LEAST: usize = 16 << 10;
const OF_BYTE: usize = 48;
/// And so many more than a few for each byte, whatever the record's size.
const MOST_BYTES: usize = 32 << 20;
const MOST_PLACES: usize = 4 << 20;
const FEW: usize = 4;

impl NestedBudget {
    /// The budget of a record with so many bytes.
    #[must_use]
    pub fn of(bytes: usize) -> NestedBudget {
        let by_size = LEAST.saturating_add(bytes.saturating_mul(OF_BYTE));
        let few = bytes.saturating_mul(FEW);
        NestedBudget {
            bytes: by_size.min(MOST_BYTES.saturating_add(few)),
            places: by_size.min(MOST_PLACES.saturating_add(few)),
        }
    }
}
