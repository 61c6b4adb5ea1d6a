//! `alluvium where` and `alluvium explain`: from a record to its file, and back.

use clap::Args;

use crate::clients::store::{Store, StoreError};
use crate::engine::archive::listing::{LedgerListing, LedgerPath, read_file};
use crate::outside::audit::rows;
use crate::outside::cli::arguments::ConfigArgs;
use crate::outside::cli::exit::{EX_DATAERR, EX_USAGE};
use crate::outside::cli::output::{complain, say};
use crate::outside::cli::shared::on_stores;
use crate::pure::calendar::iso_millis;
use crate::pure::layout::names;
use crate::pure::protocol::{Entry, EntryKind, FileRef};
use crate::pure::record::Offset;

/// Arguments of `where`.
#[derive(Args, Debug)]
pub(super) struct Where {
    /// The topic's name; it may be an output topic.
    topic: String,
    /// The partition's number.
    partition: i32,
    /// The record's offset.
    offset: i64,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// Path or URL of a file in the archive.
    file: String,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Where {
    pub(super) fn main(&self) -> u8 {
        on_stores(&self.config, async |_, stores| {
            for store in stores {
                let place = LedgerPath::find(&**store, &self.topic, self.partition).await?;
                if let Some(place) = place {
                    let listing = LedgerListing::read(&**store, &place).await?;
                    return Ok(self.answer(&**store, &place, &listing).await?);
                }
            }
            complain(&format!(
                "no root has a ledger for partition {} of topic {:?}",
                self.partition, self.topic
            ));
            Ok(EX_USAGE)
        })
    }

    async fn answer(
        &self,
        store: &dyn Store,
        place: &LedgerPath,
        listing: &LedgerListing,
    ) -> Result<u8, StoreError> {
        let offset = Offset(self.offset);
        let Some(entry) = listing.entry_at(offset) else {
            let (start, end) = (listing.start(), listing.end());
            say(&match (start, end) {
                (Some(start), _) if offset < start => {
                    format!(
                        "the offset is before the start: this \
                         partition is archived from offset {start} on"
                    )
                }
                (_, Some(end)) if end <= offset => {
                    format!(
                        "the offset is not archived yet: the ledger \
                         ends at offset {end}"
                    )
                }
                _ => "no entry names the offset: the ledger has a hole; run alluvium verify".into(),
            });
            return Ok(EX_DATAERR);
        };
        describe(store, place, entry);
        if entry.kind == EntryKind::Gap {
            say(&format!("gap      {}", entry.cause.as_deref().unwrap_or("without a cause")));
            return Ok(0);
        }
        let near = |f: &&FileRef| f.first_offset <= offset && offset <= f.last_offset;
        for file in entry.files.iter().filter(near) {
            let Some((path, bytes)) = read_file(store, entry, file).await? else {
                complain(&format!("{} is named by the entry, and is not there", file.path));
                return Ok(EX_DATAERR);
            };
            if path != file.path {
                say(&format!("staged   {}/{path}", store.url()));
            }
            let offsets = rows::offsets(&file.path, bytes).unwrap_or_default();
            if let Some(row) = offsets.iter().position(|o| *o == offset) {
                say(&format!("file     {}/{}", store.url(), file.path));
                say(&format!("row      {row} of {}, counted from 0", file.rows));
                return Ok(0);
            }
        }
        say("hole     the entry covers the offset, and the offset has no record: a transaction's \
             marker, an aborted transaction, or compaction");
        Ok(0)
    }
}

impl Explain {
    pub(super) fn main(&self) -> u8 {
        let Some(place) = ledger_of(&self.file) else {
            complain(&format!(
                "{:?} does not have the name of a file of this archive: \
                 part-<topic>-<incarnation>-<partition>-<first>-<last>.<format>",
                self.file
            ));
            return EX_USAGE;
        };
        on_stores(&self.config, async |_, stores| {
            for store in stores {
                let listing = LedgerListing::read(&**store, &place).await?;
                let named = listing.entries.iter().find_map(|e| {
                    let file = e.files.iter().find(|f| self.file.ends_with(&f.path))?;
                    Some((e, file))
                });
                if let Some((entry, file)) = named {
                    describe(&**store, &place, entry);
                    return Ok(explain(&**store, file).await?);
                }
            }
            say("no entry names this file: it is foreign. Readers see its rows; alluvium did not \
                 write the file there, or its entry was removed");
            Ok(EX_DATAERR)
        })
    }
}

fn describe(store: &dyn Store, place: &LedgerPath, entry: &Entry) {
    let written = iso_millis(entry.written_at);
    say(&format!("topic    {} partition {}", entry.topic, entry.partition));
    say(&format!("entry    {}/{}", store.url(), names::entry_in(&place.path(), entry.key())));
    say(&format!("range    [{}, {}), {} files", entry.from, entry.to, entry.files.len()));
    say(&format!("written  {written}, rolled by {}", entry.roll.as_deref().unwrap_or("nothing")));
}

async fn explain(store: &dyn Store, file: &FileRef) -> Result<u8, StoreError> {
    say(&format!(
        "file     {}/{}: {} rows, offsets {} to {}, {} bytes",
        store.url(),
        file.path,
        file.rows,
        file.first_offset,
        file.last_offset,
        file.bytes
    ));
    let (state, code) = match store.read(&file.path).await? {
        None => (
            "the file is not there: it is still staged, or lost; run alluvium verify".to_string(),
            EX_DATAERR,
        ),
        Some(bytes) if format!("{:08x}", crc32c::crc32c(&bytes)) == file.checksum => {
            (format!("unchanged since it was written (CRC-32C {})", file.checksum), 0)
        }
        Some(bytes) => {
            (format!("changed: {} bytes, and another checksum", bytes.len()), EX_DATAERR)
        }
    };
    say(&format!("state    {state}"));
    Ok(code)
}

/// The ledger that a file's name belongs to.
fn ledger_of(path: &str) -> Option<LedgerPath> {
    let name = names::parse_file(path.rsplit('/').next()?)?;
    Some(LedgerPath {
        topic: name.topic.into(),
        incarnation: name.incarnation.to_string(),
        partition: name.partition.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_of_a_file_is_found_by_its_name() {
        let path = |topic: &str| {
            let name =
                names::PartitionPaths::new(topic, 1, 3).file(Offset(7), Offset(12), "jsonl.gz");
            format!("hdfs://n:8020/data/{topic}/dt=2026-11-22/{name}")
        };
        for topic in ["orders", "with.dots", "with-hyphens-4-5"] {
            let place = ledger_of(&path(topic)).expect(topic);
            assert_eq!(place.path(), names::PartitionPaths::new(topic, 1, 3).ledger());
        }
        assert_eq!(ledger_of("/data/x.parquet"), None);
    }
}
