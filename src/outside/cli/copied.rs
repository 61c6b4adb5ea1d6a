//! `alluvium explain` of a copy that lies outside of every root: the copy's footer says where the
//! file belongs, and the ledger there says whether the copy is what was written.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::clients::store::{Store, StoreError};
use crate::common::files;
use crate::engine::archive::listing::{LedgerListing, LedgerPath};
use crate::engine::archive::root::{FoundIdentity, find_identity};
use crate::outside::audit::rows;
use crate::outside::audit::survey::{damage, identity_findings};
use crate::outside::cli::described::{describe, describe_file, finding};
use crate::outside::cli::exit::EX_USAGE;
use crate::outside::cli::output::Answer;
use crate::pure::layout::names;

/// What a copy on this machine is; [`None`] if this machine has no file at the path.
pub(super) async fn explain_copy(
    stores: &[Arc<dyn Store>],
    path: &str,
) -> Result<Option<Answer>, StoreError> {
    let local = path.strip_prefix("file://").unwrap_or(path);
    let read = files::open(Path::new(local)).and_then(|mut file| {
        let mut bytes = Vec::new();
        let _ = file.read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match read {
        Ok(bytes) => Ok(Some(explain_bytes(stores, path, bytes.into()).await?)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => {
            let mut answer = Answer { code: EX_USAGE, ..Answer::default() };
            answer.say(format!("{path} can't be read: {e}"));
            Ok(Some(answer))
        }
    }
}

/// What the footer names, and what the ledger says of it.
async fn explain_bytes(
    stores: &[Arc<dyn Store>],
    path: &str,
    bytes: Bytes,
) -> Result<Answer, StoreError> {
    let mut answer = Answer::default();
    let footer = rows::footer(bytes.clone()).unwrap_or_default();
    let Some(copy) = Footer::read(&footer) else {
        answer.say(format!(
            "{path} lies below no root of this configuration, and has no footer that says where it \
             belongs: it is no Parquet file of alluvium, or of version 1 of its columns, or was \
             cut off or changed"
        ));
        answer.code = EX_USAGE;
        return Ok(answer);
    };
    let Footer { topic, incarnation, partition, root, attempt, first, last } = copy;
    answer.value("copy", path);
    answer.say(format!("copy     {path}"));
    answer.say(format!(
        "footer   topic {topic} partition {partition} (incarnation {incarnation}), offsets {first} \
         to {last}, attempt {attempt}, root {root}"
    ));
    let Some(store) = with_id(stores, root).await? else {
        answer.say("state    no root of this configuration has the id that the footer names");
        answer.code = EX_USAGE;
        return Ok(answer);
    };
    let place = LedgerPath {
        topic: names::escape_segment(topic),
        incarnation: incarnation.into(),
        partition: partition.into(),
    };
    let ledger = [(place.clone(), LedgerListing::read(store, &place).await?)];
    let listing = &ledger[0].1;
    let entry = listing.entries.iter().find(|entry| entry.attempt.to_string() == attempt);
    let file = entry.and_then(|entry| {
        // A record is in one file of its attempt.
        let file = entry.files.iter().find(|file| file.first_offset.to_string() == first)?;
        Some((entry, file))
    });
    if let Some((entry, file)) = file {
        describe(store, &place, entry, &mut answer);
        describe_file(store, file, &mut answer);
        match damage(file, &bytes) {
            Some((kind, detail)) => {
                answer.value("state", kind.label());
                answer.find(format!("state    {}: {detail}", kind.label()));
            }
            None => {
                answer.value("state", "unchanged");
                answer.say(format!(
                    "state    the copy is unchanged since it was written (CRC-32C {})",
                    file.checksum
                ));
            }
        }
    } else {
        answer.find(
            "state    no entry names this file: its attempt was never appended, and its records \
             are in other files, or its entry was removed",
        );
    }
    let identity = identity_findings(store, &ledger).await?;
    listing.findings.iter().chain(&identity).for_each(|f| finding(f, &mut answer));
    Ok(answer)
}

/// Where a file belongs, by its footer.
struct Footer<'a> {
    topic: &'a str,
    incarnation: &'a str,
    partition: &'a str,
    root: &'a str,
    attempt: &'a str,
    first: &'a str,
    last: &'a str,
}

impl<'a> Footer<'a> {
    fn read(footer: &'a BTreeMap<String, String>) -> Option<Footer<'a>> {
        let value = |name: &str| footer.get(name).map(String::as_str);
        Some(Footer {
            topic: value("topic")?,
            incarnation: value("incarnation")?,
            partition: value("partition")?,
            root: value("root")?,
            attempt: value("attempt")?,
            first: value("first_offset")?,
            last: value("last_offset")?,
        })
    }
}

/// The root with this id.
async fn with_id<'a>(
    stores: &'a [Arc<dyn Store>],
    id: &str,
) -> Result<Option<&'a dyn Store>, StoreError> {
    for store in stores {
        if find_identity(&**store).await? == FoundIdentity::Is(id.into()) {
            return Ok(Some(&**store));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::encode::Encoder;
    use crate::engine::archive::files;
    use crate::engine::archive::ledger::{EntryTemplate, LedgerStore};
    use crate::engine::archive::root::identity;
    use crate::fakes::store::Memory;
    use crate::pure::layout::format::{Format, ParquetCodec, Rows, TextPolicy};
    use crate::pure::layout::names::PartitionPaths;
    use crate::pure::layout::rules::Fit;
    use crate::pure::protocol::{EntryKind, FileRef};
    use crate::pure::record::{Offset, Record, Timestamp, TopicPartition};

    const TOPIC: &str = "or.ders";

    /// An archive with one file, whose bytes are returned.
    async fn archived(store: &Memory) -> Bytes {
        let of = EntryTemplate {
            topic: TOPIC.into(),
            incarnation: 0,
            partition: 3,
            root: identity(store).await.unwrap(),
            topic_id: "id".into(),
            config: "89abcdef".into(),
        };
        let paths = PartitionPaths::new(TOPIC, 0, 3);
        let ledger = LedgerStore::new(Arc::new(store.clone()), paths);
        let none = (Offset(0), Offset(0));
        let mut genesis = of.entry(EntryKind::Genesis, none, 1);
        genesis.cause = Some("start = Earliest".into());
        let mut entry = of.entry(EntryKind::Data, (Offset(0), Offset(9)), 1);
        entry.roll = Some("size".into());
        let tp = TopicPartition { topic: TOPIC.into(), partition: 3 };
        let rows = Rows::Raw { key: TextPolicy::Auto, value: TextPolicy::Auto };
        let format = Format::Parquet(ParquetCodec::Snappy);
        let mut encoder = Encoder::new(format, &rows, &tp).unwrap();
        let timestamp = Timestamp::Create(1);
        let record = Record { offset: Offset(4), timestamp, key: None, value: None, headers: &[] };
        encoder.append(&record, &Fit::Raw).unwrap();
        let mut bytes = Vec::new();
        let about = files::footer(&of, entry.attempt, entry.from, (Offset(4), Offset(4)));
        encoder.finish(&about, &mut |b| bytes.extend_from_slice(&b)).unwrap();
        entry.files.push(FileRef {
            staged: "0.staged".into(),
            path: format!("{TOPIC}/{}", ledger.paths.file(Offset(4), Offset(4), "parquet")),
            rows: 1,
            bytes: bytes.len() as u64,
            checksum: format!("{:08x}", crc32c::crc32c(&bytes)),
            first_offset: Offset(4),
            last_offset: Offset(4),
            min_time: Some(1),
            max_time: Some(1),
        });
        ledger.store.make_dirs(&ledger.paths.ledger()).await.unwrap();
        for entry in [genesis, entry] {
            ledger.write_manifest(&entry).await.unwrap();
            let _ = ledger.append(entry.key(), entry.attempt).await.unwrap();
        }
        bytes.into()
    }

    async fn explained(store: &Memory, bytes: Bytes) -> (u8, String) {
        let stores: [Arc<dyn Store>; 1] = [Arc::new(store.clone())];
        let answer = explain_bytes(&stores, "/tmp/x", bytes).await.unwrap();
        (answer.code, answer.lines.join("\n"))
    }

    #[tokio::test]
    async fn a_copy_is_found_by_its_footer() {
        let store = Memory::default();
        let bytes = archived(&store).await;
        let (code, text) = explained(&store, bytes.clone()).await;
        assert!(code == 0 && text.contains("the copy is unchanged"), "{text}");
        assert!(text.contains("range    [0, 9)") && text.contains("4.parquet: 1 rows"), "{text}");
        // A byte of a page, which the footer doesn't notice.
        let mut changed = bytes.to_vec();
        changed[100] ^= 1;
        let (code, text) = explained(&store, changed.into()).await;
        assert!(code == 65 && text.contains("changed file"), "{text}");
    }

    #[tokio::test]
    async fn a_copy_without_an_entry_is_a_finding() {
        let store = Memory::default();
        let bytes = archived(&store).await;
        store.lock().files.retain(|path, _| !path.ends_with("0.entry"));
        let (code, text) = explained(&store, bytes).await;
        assert!(code == 65 && text.contains("no entry names this file"), "{text}");
    }

    #[tokio::test]
    async fn what_no_root_knows_is_no_answer() {
        let (store, other) = (Memory::default(), Memory::default());
        let bytes = archived(&store).await;
        let _ = identity(&other).await.unwrap();
        let (code, text) = explained(&other, bytes.clone()).await;
        assert!(code == EX_USAGE && text.contains("no root of this configuration"), "{text}");
        for bytes in [Bytes::from_static(b"# README"), bytes.slice(..bytes.len() - 1)] {
            let (code, text) = explained(&store, bytes).await;
            assert!(code == EX_USAGE && text.contains("no footer"), "{text}");
        }
    }
}
