//! Declared columns, and those of a registered schema, in Parquet and Avro.

use arrow_array::ArrayRef;
use arrow_schema::Field;

use crate::clients::encode::error::EncodeError;
use crate::clients::encode::flat::{Values, data_type};
use crate::clients::encode::nested::{Parts, nested_type};
use crate::pure::layout::cells::Cell;
use crate::pure::layout::columns::Column;
use crate::pure::layout::nested_reader::NestedReader;

/// The values of declared columns, gathered until they make a batch.
pub(super) struct TypedColumns {
    columns: Vec<Builder>,
    size: usize,
    /// How many columns the parts of nested columns are, beside the first one of each.
    more_leaves: usize,
}

enum Builder {
    Flat(Values),
    Nested(Parts),
}

/// The field of a declared column: every one may be null.
///
/// # Errors
/// A nested column has no type, which is a fault of the caller.
pub(super) fn field(column: &Column) -> Result<Field, EncodeError> {
    let kind = match &column.nested {
        Some(of) => nested_type(of, &column.name)?,
        None => data_type(column.kind)?,
    };
    Ok(Field::new(&column.name, kind, true))
}

impl Builder {
    fn new(column: &Column) -> Result<Builder, EncodeError> {
        Ok(match &column.nested {
            Some(of) => Builder::Nested(Parts::new(of, &column.name)?),
            None => Builder::Flat(Values::new(column.kind)?),
        })
    }

    #[inline]
    fn append(&mut self, cell: &Cell<'_>) -> Result<(), EncodeError> {
        match (self, cell) {
            (Builder::Flat(values), cell) => values.append(cell),
            (Builder::Nested(parts), Cell::Nested(value)) => {
                let mut value = NestedReader::of(&value.bytes);
                parts.append(&mut value).ok_or(EncodeError::Unfit)?;
            }
            (Builder::Nested(parts), _) => parts.append_null(),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef, EncodeError> {
        match self {
            Builder::Flat(values) => Ok(values.finish()),
            Builder::Nested(parts) => parts.finish(),
        }
    }
}

impl TypedColumns {
    /// The builders of these columns.
    ///
    /// # Errors
    /// A nested column has no type, which is a fault of the caller.
    pub(super) fn new(columns: &[Column]) -> Result<TypedColumns, EncodeError> {
        let leaves = |column: &Column| column.nested.as_ref().map_or(1, |of| of.leaves());
        let more_leaves = columns.iter().map(|column| leaves(column).saturating_sub(1)).sum();
        let columns: Result<Vec<Builder>, EncodeError> = columns.iter().map(Builder::new).collect();
        Ok(TypedColumns { columns: columns?, size: 0, more_leaves })
    }

    /// Adds one row; the cells are in the order of the columns.
    ///
    /// # Errors
    /// The row has another number of cells, or a cell is none of its column, which is a fault of
    /// the caller.
    #[inline]
    pub(super) fn append(&mut self, cells: &[Cell<'_>]) -> Result<(), EncodeError> {
        if cells.len() != self.columns.len() {
            return Err(EncodeError::Unfit);
        }
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.append(cell)?;
            self.size = self.size.saturating_add(8).saturating_add(cell.size());
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    pub(super) fn more_leaves(&self) -> usize {
        self.more_leaves
    }

    /// Bytes of the values gathered, about.
    pub(super) fn bytes(&self) -> usize {
        self.size
    }

    pub(super) fn finish(&mut self) -> Result<Vec<ArrayRef>, EncodeError> {
        self.size = 0;
        self.columns.iter_mut().map(Builder::finish).collect()
    }
}
