//! The orders of the columns that a Parquet footer names.

use bytes::Bytes;

/// What stands behind them: the end of the footer, its length, and `PAR1`.
const BEHIND: usize = 9;
/// The entry of a column that has the order of its type, and of one with the order of IEEE 754.
const OF_TYPE: [u8; 3] = [0x1c, 0, 0];
const OF_IEEE_754: [u8; 3] = [0x2c, 0, 0];

/// The last pieces of a file, with the order of its type for each column.
///
/// The writer gives columns of floating-point numbers the order of IEEE 754. Readers in Java that
/// do not know it read one byte too few of such an entry, and take those behind it for something
/// else: Hive then fails at a date. Least and greatest values are the same in both orders, as long
/// as readers leave out those that are NaN, which the older order tells them to do.
pub(super) fn with_orders_of_types(mut pieces: Vec<Bytes>, columns: usize) -> Vec<Bytes> {
    let orders = columns.saturating_mul(OF_TYPE.len());
    let wanted = orders.saturating_add(BEHIND);
    let mut end = Vec::new();
    while end.len() < wanted {
        let Some(piece) = pieces.pop() else { break };
        end = [&piece[..], &end[..]].concat();
    }
    let begin = end.len().saturating_sub(wanted);
    let orders = end.get_mut(begin..begin.saturating_add(orders)).unwrap_or_default();
    let is_known = |order: &[u8]| order == OF_TYPE || order == OF_IEEE_754;
    if orders.chunks(OF_TYPE.len()).all(is_known) {
        for order in orders.chunks_exact_mut(OF_TYPE.len()) {
            order.copy_from_slice(&OF_TYPE);
        }
    }
    pieces.push(end.into());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_becomes_that_of_the_type_wherever_pieces_end() {
        let file = [&b"values"[..], &OF_TYPE, &OF_IEEE_754, &OF_IEEE_754, b"\0\x10\0\0\0PAR1"];
        let want = [&b"values"[..], &OF_TYPE, &OF_TYPE, &OF_TYPE, b"\0\x10\0\0\0PAR1"].concat();
        let file = file.concat();
        for cut in 0..file.len() {
            let pieces = [&file[..cut], &file[cut..]].map(Bytes::copy_from_slice);
            assert_eq!(with_orders_of_types(pieces.into(), 3).concat(), want, "{cut}");
        }
    }

    #[test]
    fn what_is_no_order_stays() {
        let file = Bytes::from_static(b"\x1c\0\x01\x2c\0\0\0\x10\0\0\0PAR1");
        for columns in [0, 2, 9] {
            let got = with_orders_of_types(vec![file.clone()], columns);
            assert_eq!(got.concat(), file, "{columns}");
        }
    }
}
