//! Reads the value of a nested column, part by part.

use std::borrow::Cow;

use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::nested_value::{END, NULL, VALUE};

/// A value as far as it is not read yet. Whatever answers [`None`] does so where the bytes are no
/// value of the type that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct NestedReader<'a>(&'a [u8]);

impl<'a> NestedReader<'a> {
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> NestedReader<'a> {
        NestedReader(bytes)
    }

    /// Whether the next part is there, or is null.
    pub fn is_there(&mut self) -> Option<bool> {
        match self.take(1)? {
            [NULL] => Some(false),
            [VALUE] => Some(true),
            _ => None,
        }
    }

    /// Whether the list or the map ends here.
    pub fn ends(&mut self) -> Option<bool> {
        let (first, rest) = self.0.split_first()?;
        if *first == END {
            self.0 = rest;
        }
        Some(*first == END)
    }

    /// The key of the next entry of a map.
    pub fn key(&mut self) -> Option<&'a str> {
        self.is_there()?.then_some(())?;
        std::str::from_utf8(self.sized()?).ok()
    }

    /// The next part, which is one of this type without others in it.
    pub fn cell(&mut self, kind: ColumnType) -> Option<Cell<'a>> {
        if !self.is_there()? {
            return Some(Cell::Null);
        }
        Some(match kind {
            ColumnType::Text | ColumnType::Json => {
                Cell::Text(Cow::Borrowed(std::str::from_utf8(self.sized()?).ok()?))
            }
            ColumnType::Bytes => Cell::Bytes(self.sized()?.into()),
            ColumnType::Boolean => Cell::Boolean(self.take(1)? == [1]),
            ColumnType::Int32 => Cell::Int32(self.long()?.try_into().ok()?),
            ColumnType::Int64 => Cell::Int64(self.long()?.try_into().ok()?),
            ColumnType::Float64 => {
                Cell::Float64(f64::from_le_bytes(self.take(8)?.try_into().ok()?))
            }
            ColumnType::Decimal { .. } => Cell::Decimal(self.long()?),
            ColumnType::Date => Cell::Date(self.long()?.try_into().ok()?),
            ColumnType::TimeText | ColumnType::Time { .. } => {
                Cell::Micros(self.long()?.try_into().ok()?)
            }
            ColumnType::Nested => return None,
        })
    }

    /// Bytes with their number before them.
    pub fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.long()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn long(&mut self) -> Option<i128> {
        let (mut number, mut shift) = (0_u128, 0_u32);
        loop {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u128::from(first & 0x7f).checked_shl(shift)?;
            if first & 0x80 == 0 {
                return Some(
                    (number >> 1).cast_signed() ^ (number & 1).cast_signed().wrapping_neg(),
                );
            }
            shift = shift.saturating_add(7);
        }
    }
}
