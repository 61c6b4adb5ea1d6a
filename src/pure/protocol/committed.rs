//! The committed offset of one partition, as the rules see it.

use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::metadata::{Metadata, MetadataError};
use crate::pure::record::Offset;

/// The committed offset of one partition as a stable (read_committed) read gave it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Committed {
    pub offset: Offset,
    /// [`None`] if there is no metadata, or if the metadata was written for another offset: then an
    /// operator has moved the offset.
    pub metadata: Option<Metadata>,
}

impl Committed {
    /// P, the offset at which results continue. If an operator has moved the offset, P is that
    /// offset.
    #[must_use]
    pub fn p(&self) -> Offset {
        self.metadata.as_ref().map_or(self.offset, |m| m.p)
    }

    /// Reads what was committed at `offset`. Empty metadata is what the standard tools write.
    ///
    /// # Errors
    /// Metadata of another program or version: the partition stops.
    pub fn decode(offset: Offset, text: &str) -> Result<Committed, MetadataError> {
        if text.is_empty() {
            return Ok(Committed { offset, metadata: None });
        }
        let (written_for, metadata) = Metadata::decode(text)?;
        let same = written_for == offset || planted(PlantedFault::MetadataUnchecked);
        Ok(Committed { offset, metadata: same.then_some(metadata) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_counts_at_its_own_offset_alone() {
        let text = "alluvium1;o=5;p=9;r=a;t=b";
        let ours = Committed::decode(Offset(5), text).unwrap();
        assert_eq!((ours.offset, ours.p()), (Offset(5), Offset(9)));
        for text in [text, ""] {
            let moved = Committed { offset: Offset(4), metadata: None };
            assert_eq!(moved.p(), Offset(4));
            assert_eq!(Committed::decode(Offset(4), text), Ok(moved), "{text:?}");
        }
        assert!(Committed::decode(Offset(5), "x").is_err());
    }
}
