//! Whether a repair would let the archive write records again that readers see already.

use crate::clients::store::{Store, StoreError};
use crate::engine::archive::listing::{LedgerListing, LedgerPath};
use crate::outside::audit::brokers::{Diagnosis, LookError};
use crate::outside::audit::rows;
use crate::outside::cli::output::say;
use crate::pure::layout::names::{self, PartitionPaths};
use crate::pure::protocol::repair::RepairPlan;
use crate::pure::record::Offset;

/// Whether the archive would write records a second time that readers see already, in files that no
/// entry names: their entry was removed. Names those files.
pub(super) async fn is_doubling(looked: &Diagnosis, plan: &RepairPlan) -> Result<bool, LookError> {
    let Some(ledger) = &looked.ledger else { return Ok(false) };
    let tail = looked.tail.as_ref().map(|tail| tail.to);
    let (incarnation, from) = match (&plan.put, tail) {
        (Some(put), _) => (put.incarnation, put.range.to),
        (None, Some(tail)) => (ledger.paths.incarnation(), tail),
        (None, None) => return Ok(false),
    };
    let (topic, partition) = (&*looked.tp.topic, looked.tp.partition);
    let paths = ledger.paths.of(incarnation);
    let strays = match strays(&*ledger.store, &paths, (topic, partition), from).await? {
        Ok(strays) => strays,
        Err(why) => {
            say(&format!("    not repaired: {why}"));
            return Ok(true);
        }
    };
    if strays.is_empty() {
        return Ok(false);
    }
    say(&format!(
        "    not repaired: the archive would continue at offset {from}, and readers see records \
         from there on already, in files that no entry names. They would see these records twice:"
    ));
    for path in &strays {
        let rows = rows_of(&*ledger.store, path).await;
        say(&format!("        {}/{path} ({rows})", ledger.store.url()));
    }
    say("    restore the entries of these files, if there is a backup of the ledger; otherwise \
         move the files out of the root, and repair again: what Kafka still has is archived again");
    Ok(true)
}

/// How many rows a file has, and of which offsets they are, or why nobody knows.
async fn rows_of(store: &dyn Store, path: &str) -> String {
    let name = path.rsplit('/').next().and_then(names::parse_file);
    let offsets =
        name.map_or(String::new(), |name| format!(", offsets {} to {}", name.first, name.last));
    let bytes = match store.read(path).await {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err("the file is gone meanwhile".into()),
        Err(e) => Err(e.detail),
    };
    match bytes.and_then(|bytes| rows::places(path, bytes)) {
        Ok(places) if places.rows == 1 => format!("1 row{offsets}"),
        Ok(places) => format!("{} rows{offsets}", places.rows),
        Err(why) => format!("its rows can't be read: {why}{offsets}"),
    }
}

/// Published files of one incarnation of a partition that no entry names, and that by their names
/// have this offset or a later one. Instead of them, why nobody knows.
async fn strays(
    store: &dyn Store,
    paths: &PartitionPaths,
    (topic, partition): (&str, i32),
    from: Offset,
) -> Result<Result<Vec<String>, String>, StoreError> {
    let topic = names::escape_segment(topic);
    let incarnation = paths.incarnation();
    let of = |path: &String| paths.published(path).is_some_and(|name| from <= name.last);
    let walked = store.walk("").await?;
    if let Some((path, e)) = walked.refused.first() {
        return Ok(Err(format!(
            "{}/{path} may have files that no entry names, and can't be listed ({}); let the user \
             of this command list and read the directory, and repair again",
            store.url(),
            e.detail
        )));
    }
    let walked = walked.files.into_iter().map(|(path, _)| path);
    let mut near: Vec<String> = walked.filter(of).collect();
    if near.is_empty() {
        return Ok(Ok(near));
    }
    let place = LedgerPath {
        topic,
        incarnation: incarnation.to_string(),
        partition: partition.to_string(),
    };
    let listing = LedgerListing::read(store, &place).await?;
    near.retain(|path| !listing.names_file(path));
    Ok(Ok(near))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::store::Memory;

    #[tokio::test]
    async fn a_file_whose_entry_was_removed_is_named() {
        let store = Memory::default();
        let paths = PartitionPaths::new("a.b", 0, 3);
        let file = |first, last| {
            format!("a.b/dt=1/{}", paths.file(Offset(first), Offset(last), "parquet"))
        };
        let other = PartitionPaths::new("a.b", 1, 3).file(Offset(9), Offset(9), "parquet");
        for path in [file(0, 4), file(5, 9), format!("a.b/dt=1/{other}")] {
            let _ = store.lock().files.insert(path, Vec::new());
        }
        let strays = strays(&store, &paths, ("a.b", 3), Offset(5)).await.unwrap();
        assert_eq!(strays, Ok(vec![file(5, 9)]));
        let told = rows_of(&store, &file(5, 9)).await;
        assert!(told.contains("can't be read") && told.contains("offsets 5 to 9"), "{told}");
        let sample = include_bytes!("../../../tests/golden/raw-v1.parquet");
        let _ = store.lock().files.insert(file(5, 9), sample.to_vec());
        assert_eq!(rows_of(&store, &file(5, 9)).await, "19 rows, offsets 5 to 9");
        let _ = store.lock().closed.insert("a.b/dt=2".into());
        let unknown = super::strays(&store, &paths, ("a.b", 3), Offset(5)).await.unwrap();
        assert!(unknown.as_ref().is_err_and(|why| why.contains("a.b/dt=2")), "{unknown:?}");
    }
}
