//! Columns of numbers in Parquet files for which a dictionary is work for nothing: nearly every
//! value of the first batch of a row group is another one.

use std::hash::BuildHasher as _;

use ::parquet::schema::types::ColumnPath;
use arrow_array::ArrayRef;
use arrow_schema::Schema;
use foldhash::fast::FixedState;

/// Fewer values say nothing about the others of a row group.
const ENOUGH: usize = 1_024;
/// How many of a hundred values differ at least: of 2,048 values that are drawn out of 100,000 so
/// many do. Numbers that come in turn differ, too, and are few bytes each, which the codec finds
/// again; texts that do so need their dictionary.
const MOST: usize = 99;

/// The columns whose values do not come again, by a batch of rows.
///
/// Columns of texts and bytes, and those with parts, are never among them.
pub(super) fn columns_without_repeats(schema: &Schema, arrays: &[ArrayRef]) -> Vec<ColumnPath> {
    let columns = schema.fields().iter().zip(arrays);
    let found = columns.filter(|(_, array)| has_no_repeats(array));
    found.map(|(field, _)| ColumnPath::from(field.name().as_str())).collect()
}

fn has_no_repeats(array: &ArrayRef) -> bool {
    let values = array.len().saturating_sub(array.null_count());
    let Some(width) = array.data_type().primitive_width().filter(|_| ENOUGH <= values) else {
        return false;
    };
    let data = array.to_data();
    let Some(buffer) = data.buffers().first() else { return false };
    // What stands in the place of a null is one value more at most.
    let values_of = buffer.as_slice().chunks_exact(width).skip(data.offset()).take(array.len());
    let mut hashes: Vec<u64> = values_of.map(|v| FixedState::default().hash_one(v)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    values.saturating_mul(MOST) <= hashes.len().saturating_mul(100)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{BooleanArray, Float64Array, Int64Array, StringArray};
    use arrow_schema::Field;

    use super::*;

    /// The columns that are named of these, which have names by their numbers.
    fn found(arrays: &[ArrayRef]) -> Vec<String> {
        let field =
            |(n, a): (usize, &ArrayRef)| Field::new(n.to_string(), a.data_type().clone(), true);
        let schema = Schema::new(arrays.iter().enumerate().map(field).collect::<Vec<_>>());
        columns_without_repeats(&schema, arrays).iter().map(ColumnPath::string).collect()
    }

    fn numbers(count: i64, of: i64) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..count).map(|n| n % of)))
    }

    #[test]
    fn values_that_differ_are_found_in_each_type() {
        let all: Vec<ArrayRef> = vec![
            numbers(2_048, 5_000),
            Arc::new(Float64Array::from_iter_values((0..2_048).map(f64::from))),
            Arc::new(BooleanArray::from(vec![true; 2_048])),
        ];
        assert_eq!(found(&all), ["0", "1"]);
        let part = numbers(4_096, 5_000).slice(1_000, 2_000);
        assert_eq!(found(&[part]), ["0"]);
    }

    #[test]
    fn values_that_come_again_keep_their_dictionary() {
        // 2,027 of 2,048 are less than 99 of a hundred, and 2,028 are as many.
        assert_eq!(found(&[numbers(2_048, 2_027), numbers(2_048, 2_028)]), ["1"]);
        // Five thousand devices that report in turn look like this.
        let text = |n: i32| format!("device {n}");
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..2_048).map(text)));
        assert_eq!(found(&[texts]), [""; 0]);
    }

    #[test]
    fn a_few_values_say_nothing() {
        assert_eq!(found(&[numbers(1_023, 5_000)]), [""; 0]);
        let mostly_null = Int64Array::from_iter((0..2_048).map(|n| (n % 4 == 0).then_some(n)));
        assert_eq!(found(&[Arc::new(mostly_null)]), [""; 0]);
        let some_null = Int64Array::from_iter((0..2_048).map(|n| (n % 4 != 0).then_some(n)));
        assert_eq!(found(&[Arc::new(some_null)]), ["0"]);
    }
}
