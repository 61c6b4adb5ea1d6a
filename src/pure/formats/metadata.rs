//! What the committed offset's metadata carries. Format version 1, ASCII, at most 240 bytes.
//!
//! ```text
//! alluvium1;o=<offset>;p=<P>;e=<entry>;i=<incarnation>;r=<root id>;t=<topic id>
//!     ;w=<watermark>;g=<in_parts_until>;l=<from>-<to>;c=<topic id of the partial counts>
//! ```
//! in one line. The offset stands inside its own metadata, so that metadata that was copied to
//! another offset is seen. `i` (0), `w`, `g`, `l` (results lost to retention) and `c` (for a source
//! whose counts are merged) are left out where there is nothing to say.
//!
//! `<entry>` is `g` for genesis, else the entry's `from`. Numbers are decimal; times are in
//! milliseconds. Fields are written in this order and read in any.
//!
//! *Version rule*: the first field names the version. A reader refuses any other first field and
//! any field that it does not know, and the partition stops; so it does for an offset below 0.
//! Empty metadata is what the standard tools write when an operator moves an offset; it is no
//! metadata of this format.
//!
//! *Written by* the worker with each transaction, and by `alluvium repair`. *Read by* recovery, by
//! the check after a commit, by the merge (of its source partitions), and by `verify` and `repair`.

use crate::pure::formats::entry::{EntryKey, EntryName};
use crate::pure::record::{Offset, OffsetRange};

const MAGIC: &str = "alluvium1";
/// Kafka's broker allows 4096 by default; other operators set less.
pub const MAX_BYTES: usize = 240;

/// The metadata of the committed offset F.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Metadata {
    /// The results position P.
    pub p: Offset,
    /// An entry that is known to exist: where the search for the ledger's tail begins.
    pub entry: Option<EntryName>,
    pub root: String,
    pub topic_id: String,
    pub marks: Marks,
    /// Results that retention took before they were counted.
    pub lost: Option<OffsetRange>,
    /// The id of the partials topic that has the counts of everything below P, for a source whose
    /// counts are merged. Metadata of earlier builds does not name it.
    pub partials: Option<String>,
}

/// How far the time of the results has come, milliseconds; neither goes back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Marks {
    /// For a source, the highest time among the records that were counted; for the merge, the
    /// latest end of a window that was closed.
    pub watermark: Option<i64>,
    /// For the merge: windows that start at or before this time may have been published in parts.
    pub in_parts_until: Option<i64>,
}

/// Metadata that this build must not act on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MetadataError {
    #[error("the committed offset's metadata is of another program or of another version: {0:?}")]
    Foreign(String),
    #[error("the committed offset's metadata is malformed at {field:?}: {text:?}")]
    Malformed { field: &'static str, text: String },
}

impl Metadata {
    /// The text to commit together with `offset`.
    #[must_use]
    pub fn encode(&self, offset: Offset) -> String {
        let mut text = format!("{MAGIC};o={offset};p={}", self.p);
        if let Some(EntryName { incarnation, key }) = self.entry {
            let key = match key {
                EntryKey::Genesis => "g".to_string(),
                EntryKey::At(from) => from.to_string(),
            };
            text += &format!(";e={key}");
            if incarnation != 0 {
                text += &format!(";i={incarnation}");
            }
        }
        text += &format!(";r={};t={}", self.root, self.topic_id);
        if let Some(w) = self.marks.watermark {
            text += &format!(";w={w}");
        }
        if let Some(g) = self.marks.in_parts_until {
            text += &format!(";g={g}");
        }
        if let Some(l) = self.lost {
            text += &format!(";l={}-{}", l.from, l.to);
        }
        if let Some(c) = &self.partials {
            text += &format!(";c={c}");
        }
        assert!(text.is_ascii() && text.len() <= MAX_BYTES, "offset metadata too long: {text}");
        text
    }

    /// Reads a text of this format: the offset that it was committed with, and the rest.
    ///
    /// # Errors
    /// The text is of another program or version, or it is damaged.
    pub fn decode(text: &str) -> Result<(Offset, Metadata), MetadataError> {
        let mut fields = text.split(';');
        if fields.next() != Some(MAGIC) || MAX_BYTES < text.len() || !text.is_ascii() {
            return Err(MetadataError::Foreign(text.into()));
        }
        let (mut o, mut p, mut r, mut t) = (None, None, None, None);
        let (mut key, mut incarnation, mut marks) = (None, 0, Marks::default());
        let (mut lost, mut partials) = (None, None);
        let bad = |field| MetadataError::Malformed { field, text: text.into() };
        let number = |field, v: &str| v.parse::<i64>().map_err(|_| bad(field));
        let offset = |field, v: &str| match number(field, v)? {
            n @ 0.. => Ok(Offset(n)),
            _ => Err(bad(field)),
        };
        for field in fields {
            match field.split_once('=') {
                Some(("o", v)) => o = Some(offset("o", v)?),
                Some(("p", v)) => p = Some(offset("p", v)?),
                Some(("e", "g")) => key = Some(EntryKey::Genesis),
                Some(("e", v)) => key = Some(EntryKey::At(offset("e", v)?)),
                Some(("i", v)) => incarnation = v.parse().map_err(|_| bad("i"))?,
                Some(("r", v)) => r = Some(v.to_string()),
                Some(("t", v)) => t = Some(v.to_string()),
                Some(("w", v)) => marks.watermark = Some(number("w", v)?),
                Some(("g", v)) => marks.in_parts_until = Some(number("g", v)?),
                Some(("l", v)) => {
                    let (from, to) = v.split_once('-').ok_or_else(|| bad("l"))?;
                    let (from, to) = (offset("l", from)?, offset("l", to)?);
                    lost = Some(OffsetRange { from, to });
                }
                Some(("c", v)) => partials = Some(v.to_string()),
                _ => return Err(bad("unknown field")),
            }
        }
        let metadata = Metadata {
            p: p.ok_or_else(|| bad("p"))?,
            entry: key.map(|key| EntryName { incarnation, key }),
            root: r.ok_or_else(|| bad("r"))?,
            topic_id: t.ok_or_else(|| bad("t"))?,
            marks,
            lost,
            partials,
        };
        Ok((o.ok_or_else(|| bad("o"))?, metadata))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn longest() -> Metadata {
        Metadata {
            p: Offset(i64::MAX),
            entry: Some(EntryName { incarnation: u32::MAX, key: EntryKey::At(Offset(i64::MAX)) }),
            root: "0".repeat(32),
            topic_id: "A".repeat(22),
            marks: Marks { watermark: Some(253_402_300_799_999), in_parts_until: None },
            lost: Some(OffsetRange { from: Offset(i64::MAX), to: Offset(i64::MAX) }),
            partials: Some("B".repeat(22)),
        }
    }

    #[test]
    fn the_longest_metadata_fits() {
        let m = longest();
        assert!(m.encode(Offset(i64::MAX)).len() <= MAX_BYTES);
        // The merge archives nothing.
        let marks = Marks { in_parts_until: m.marks.watermark, ..m.marks };
        let m = Metadata { entry: None, root: String::new(), marks, partials: None, ..m };
        assert!(m.encode(Offset(i64::MAX)).len() <= MAX_BYTES);
    }

    proptest! {
        #[test]
        fn metadata_reads_back(
            offset in 0i64..1 << 50, p in 0i64..1 << 50, entry in prop::option::of(0i64..1 << 50),
            watermark in prop::option::of(0i64..1 << 47),
            in_parts_until in prop::option::of(-9i64..9),
            lost in prop::option::of((0i64..9, 10i64..99)),
            incarnation in 0u32..3, partials in prop::option::of("[A-Za-z0-9_-]{22}"),
        ) {
            let key = |e| if e == 0 { EntryKey::Genesis } else { EntryKey::At(Offset(e)) };
            let m = Metadata {
                p: Offset(p),
                entry: entry.map(|e| EntryName { incarnation, key: key(e) }),
                marks: Marks { watermark, in_parts_until },
                lost: lost.map(|(f, t)| OffsetRange { from: Offset(f), to: Offset(t) }),
                partials,
                ..longest()
            };
            let text = m.encode(Offset(offset));
            prop_assert_eq!(Metadata::decode(&text), Ok((Offset(offset), m)));
        }
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for text in [
            "",
            "x",
            "alluvium2;o=1;p=1;r=a;t=b",
            "alluvium1;o=1;p=x;r=a;t=b",
            "alluvium1;o=1",
            "alluvium1;o=1;p=1;r=a;t=b;z=1",
            "alluvium1;o=1;p=-1;r=a;t=b",
            "alluvium1;o=1;p=9223372036854775808;r=a;t=b",
            "alluvium1;o=1;p=1;e=-1;r=a;t=b",
            "alluvium1;o=1;p=1;r=a;t=b;l=5--3",
        ] {
            assert!(Metadata::decode(text).is_err(), "{text}");
        }
    }

    /// One text a line: every field, and each that may be left out left out.
    #[test]
    fn the_text_of_metadata_is_the_golden_one() {
        let golden =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/metadata-v1.txt"));
        let at = |incarnation, key| Some(EntryName { incarnation, key });
        let all = Metadata {
            p: Offset(1_300),
            entry: at(2, EntryKey::At(Offset(1_000))),
            root: "fedcba9876543210fedcba9876543210".into(),
            topic_id: "Yk3b0XH8RbWq5c0E9m2d1w".into(),
            marks: Marks { watermark: Some(1_795_368_060_500), in_parts_until: Some(-60_000) },
            lost: Some(OffsetRange { from: Offset(7), to: Offset(12) }),
            partials: Some("q0Zr7mVxT2u4f8GdLw1c_A".into()),
        };
        let unmerged = Metadata { partials: None, ..all.clone() };
        let genesis = Metadata {
            entry: at(0, EntryKey::Genesis),
            marks: Marks { in_parts_until: None, ..all.marks },
            lost: None,
            ..unmerged.clone()
        };
        let least = Metadata {
            p: Offset(0),
            entry: None,
            root: String::new(),
            marks: Marks::default(),
            ..genesis.clone()
        };
        let samples = [
            (Offset(1_250), unmerged),
            (Offset(1_000), genesis),
            (Offset(0), least),
            (Offset(1_250), all),
        ];
        let written: String = samples.iter().map(|(o, m)| m.encode(*o) + "\n").collect();
        assert_eq!(written, golden);
        let read: Vec<_> = golden.lines().map(|line| Metadata::decode(line).unwrap()).collect();
        assert_eq!(read, samples);
    }
}
