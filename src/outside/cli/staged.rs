//! What is staged, and has a place in a hole of a ledger: it is put there, not given up.

use crate::clients::store::StoreError;
use crate::engine::archive::ledger::LedgerStore;
use crate::pure::layout::names::{self, MANIFEST, StagedName};
use crate::pure::protocol::adopt::{self, Sealed};
use crate::pure::protocol::{Entry, EntryKey};
use crate::pure::record::OffsetRange;

/// A part of a range that no entry names, and no published file has records of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Piece {
    /// A sealed attempt has it: the entry that its manifest becomes.
    Sealed(Box<Entry>),
    Gap(OffsetRange),
}

/// The pieces of a range, in order.
pub(super) fn pieces(range: OffsetRange, sealed: &[Sealed<Entry>]) -> Vec<Piece> {
    // What reaches out of the range can't be appended.
    let sealed = || sealed.iter().filter(|s| s.to <= range.to).cloned();
    let (mut pieces, mut at) = (Vec::new(), range.from);
    while at < range.to {
        if let Some(entry) = adopt::choose(sealed(), at, Some(range.to)) {
            at = entry.to;
            pieces.push(Piece::Sealed(Box::new(entry)));
        } else {
            let to = adopt::gap_end(sealed(), OffsetRange { from: at, to: range.to });
            pieces.push(Piece::Gap(OffsetRange { from: at, to }));
            at = to;
        }
    }
    pieces
}

/// Staged files of attempts that begin in this range. Where the entry of an attempt was removed,
/// its records may be in them alone: nothing but the entry has said what they have.
///
/// # Errors
/// The store does not answer.
pub(super) async fn left(
    ledger: &LedgerStore,
    range: OffsetRange,
) -> Result<Vec<String>, StoreError> {
    let staging = ledger.paths.staging();
    let mut left = Vec::new();
    for name in ledger.store.list(&staging).await? {
        match names::parse_staged(&name) {
            Some(StagedName { key: EntryKey::At(at), file, .. })
                if range.from <= at && at < range.to && file != Some(MANIFEST) =>
            {
                left.push(format!("{staging}/{name}"));
            }
            _ => {}
        }
    }
    left.sort();
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::archive::ledger::EntryTemplate;
    use crate::pure::protocol::EntryKind;
    use crate::pure::record::Offset;

    fn sealed(from: i64, to: i64) -> Sealed<Entry> {
        let template = EntryTemplate {
            topic: "t".into(),
            incarnation: 0,
            partition: 0,
            root: "r".into(),
            topic_id: "i".into(),
            config: "c".into(),
        };
        let (from, to) = (Offset(from), Offset(to));
        let name = template.entry(EntryKind::Data, (from, to), 0);
        Sealed { name, from, to, is_whole: true }
    }

    /// All pairs of attempts, over a range of five offsets: the pieces tile the range, and no gap
    /// begins, or has the beginning of, what an attempt has that fits.
    #[test]
    fn pieces_tile_the_range() {
        let range = OffsetRange { from: Offset(10), to: Offset(15) };
        let all = || (8..17).flat_map(|a| (a + 1..18).map(move |b| (a, b)));
        for one in all() {
            for two in all() {
                let attempts = [one, two].map(|(from, to)| sealed(from, to));
                let mut end = range.from;
                for piece in pieces(range, &attempts) {
                    let of = match &piece {
                        Piece::Sealed(entry) => OffsetRange { from: entry.from, to: entry.to },
                        Piece::Gap(gap) => *gap,
                    };
                    assert!(of.from == end && end < of.to, "{one:?} {two:?}");
                    end = of.to;
                    let lost =
                        |s: &Sealed<Entry>| of.from <= s.from && s.from < of.to && s.to <= range.to;
                    let gap = matches!(piece, Piece::Gap(_));
                    assert!(!gap || !attempts.iter().any(lost), "{one:?} {two:?}");
                }
                assert_eq!(end, range.to, "{one:?} {two:?}");
            }
        }
    }
}
