//! From a record to its file (`alluvium where`), and from a file of an archive to its records.

use std::collections::BTreeSet;

use clap::Args;

use crate::clients::store::{Store, StoreError};
use crate::engine::archive::listing::{
    Finding, FindingKind, LedgerListing, LedgerPath, list_or_find, staged_at,
};
use crate::engine::archive::root::is_of_one_file;
use crate::outside::audit::survey::{find_file, identity_findings, rows_of};
use crate::outside::cli::arguments::ConfigArgs;
use crate::outside::cli::described::{describe, describe_file, finding};
use crate::outside::cli::exit::EX_USAGE;
use crate::outside::cli::output::{Answer, complain};
use crate::outside::cli::shared::on_stores;
use crate::pure::layout::names::{self, IDENTITY, LEDGERS, PRIVATE, STAGING};
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
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Where {
    pub(super) fn main(&self) -> u8 {
        on_stores(&self.config, async |_, roots| {
            for store in &roots.open {
                let found = locate(&**store, &self.topic, self.partition, self.offset).await?;
                if let Some(answer) = found {
                    return Ok(answer.give(self.json));
                }
            }
            complain(&format!(
                "no root {}has a ledger for partition {} of topic {:?}: nothing of it is archived \
                 yet, or the topic has another name",
                if roots.closed.is_empty() { "" } else { "that answers " },
                self.partition,
                self.topic
            ));
            Ok(EX_USAGE)
        })
    }
}

/// Where a record lies under a root; [`None`] without a ledger of its partition.
pub(super) async fn locate(
    store: &dyn Store,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Option<Answer>, StoreError> {
    let place = match LedgerPath::find(store, topic, partition).await {
        Ok(Some(place)) => place,
        Ok(None) => return Ok(None),
        // Its ledgers can't be listed.
        Err(e) if is_of_one_file(store, &e).await => {
            let mut answer = Answer::default();
            let path = names::ledgers_of(&names::escape_segment(topic));
            finding(&Finding::unlisted(&path, &e), &mut answer);
            return Ok(Some(answer));
        }
        Err(e) => return Err(e),
    };
    let ledger = [(place.clone(), LedgerListing::read(store, &place).await?)];
    let listing = &ledger[0].1;
    let (mut answer, offset) = (Answer::default(), Offset(offset));
    if let Some(entry) = listing.entry_at(offset) {
        record(store, &place, entry, offset, &mut answer).await?;
    } else {
        let (found, text) = absent(listing, offset, &mut answer);
        answer.value("found", found);
        answer.find(text);
    }
    let (strangers, unlisted) = strangers(store, listing, &place, offset).await?;
    for path in strangers {
        answer.find(format!(
            "foreign  {}/{path}: by its name the file has the offset too, and no entry names the \
             file. Readers see its rows",
            store.url()
        ));
    }
    let identity = identity_findings(store, &ledger).await?;
    let findings = listing.findings.iter().chain(&identity).chain(&unlisted);
    findings.for_each(|f| finding(f, &mut answer));
    Ok(Some(answer))
}

/// Why no entry has an offset: a word for programs, and a sentence for people.
fn absent(listing: &LedgerListing, offset: Offset, answer: &mut Answer) -> (&'static str, String) {
    let (start, end) = (listing.start(), listing.end());
    answer.value("archived_from", start.map(|o| o.0));
    answer.value("archived_until", end.map(|o| o.0));
    match (start, end) {
        (Some(start), _) if offset < start => (
            "before_start",
            format!(
                "not archived: offset {offset} is before the start of the archive, which has this \
                 partition from offset {start} on"
            ),
        ),
        (_, Some(end)) if end <= offset => (
            "not_archived",
            format!(
                "not archived yet: the archive of this partition ends before offset {end}. This \
                 command does not ask the brokers whether the topic has the offset already: \
                 alluvium verify shows the ends of their logs"
            ),
        ),
        (None, None) if listing.findings.is_empty() => (
            "not_archived",
            "not archived yet: the ledger of this partition has no entry. alluvium verify shows \
             the ends of the brokers' logs"
                .into(),
        ),
        _ => (
            "no_entry",
            "no entry names the offset: the ledger has a hole; run alluvium verify".into(),
        ),
    }
}

async fn record(
    store: &dyn Store,
    place: &LedgerPath,
    entry: &Entry,
    offset: Offset,
    answer: &mut Answer,
) -> Result<(), StoreError> {
    describe(store, place, entry, answer);
    if entry.kind == EntryKind::Gap {
        answer.value("found", "gap");
        answer.value("cause", entry.cause.clone());
        answer.say(format!("gap      {}", entry.cause.as_deref().unwrap_or("without a cause")));
        return Ok(());
    }
    let mut damaged = false;
    // Files of text that may have the record: another file may say that it has it.
    let mut candidates = Vec::new();
    let mut files: Vec<&FileRef> = entry.files.iter().collect();
    // All are read before the offset is said to have no record: an entry may have been edited.
    files.sort_by_key(|f| !(f.first_offset <= offset && offset <= f.last_offset));
    for file in files {
        let path = format!("{}/{}", store.url(), file.path);
        let Some(found) = find_file(store, entry, file).await? else {
            answer.find(format!("file     {path}: missing: the entry names the file"));
            damaged = true;
            continue;
        };
        if found.path != file.path {
            answer.say(format!("staged   {}/{}", store.url(), found.path));
        }
        let mut wrong = |label: &str, detail: &str| {
            answer.find(format!(
                "file     {path}: {label}: {detail}. The record's row can't be trusted; run \
                 alluvium verify"
            ));
            damaged = true;
        };
        if let Some((kind, detail)) = &found.damage {
            wrong(kind.label(), detail);
            continue;
        }
        match rows_of(entry, file, &found.bytes) {
            Err((kind, detail)) => wrong(kind.label(), &detail),
            Ok(None) if (file.first_offset..=file.last_offset).contains(&offset) => {
                candidates.push((path, file.rows));
            }
            Ok(None) => {}
            Ok(Some(offsets)) => {
                if let Some(row) = offsets.iter().position(|o| *o == offset) {
                    is_row((&path, file), row, answer);
                    return Ok(());
                }
            }
        }
    }
    may_be_lines_of(&candidates, answer);
    if damaged && candidates.is_empty() {
        answer.value("found", "damaged");
    }
    if !damaged && candidates.is_empty() {
        answer.value("found", "hole");
        answer.say(
            "hole     the entry covers the offset, and the offset has no record: a transaction's \
             marker, an aborted transaction, compaction, or a record that the mapping leaves out \
             (tombstones = \"drop\", on_bad_record = \"skip\")",
        );
    }
    Ok(())
}

/// Says which row of a file the record is.
fn is_row((path, file): (&str, &FileRef), row: usize, answer: &mut Answer) {
    let quarantined = names::is_quarantined(&file.path);
    answer.value("found", "file");
    answer.value("file", path);
    answer.value("row", row);
    answer.value("rows", file.rows);
    answer.value("quarantined", quarantined);
    answer.say(format!("file     {path}"));
    answer.say(format!("row      {row} of {}, counted from 0", file.rows));
    if quarantined {
        answer.say(
            "quarantine: the record does not fit the mapping's columns or format; the row's \
             column `error` says why",
        );
    }
}

/// Says what is known of a record that may be a line of these files, which have so many lines.
fn may_be_lines_of(candidates: &[(String, u64)], answer: &mut Answer) {
    if !candidates.is_empty() {
        answer.value("found", "candidates");
        let paths: Vec<&str> = candidates.iter().map(|(path, _)| path.as_str()).collect();
        answer.value("files", paths);
    }
    for (path, lines) in candidates {
        answer.say(format!("file     {path}"));
        answer.say(format!(
            "row      one of {lines}, or none: the lines of text do not say their offsets, and \
             follow each other in their order"
        ));
    }
}

/// Files beside those of the ledger whose names say that they have the offset too, and the
/// directories that can't be listed.
async fn strangers(
    store: &dyn Store,
    listing: &LedgerListing,
    place: &LedgerPath,
    offset: Offset,
) -> Result<(Vec<String>, Vec<Finding>), StoreError> {
    let files = || listing.entries.iter().flat_map(|e| &e.files).map(|f| f.path.as_str());
    let (mut near, mut unlisted) = (Vec::new(), Vec::new());
    if listing.entry_at(offset).is_some() {
        let directories: BTreeSet<&str> =
            files().filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
        for directory in directories {
            let names = list_or_find(store, directory, &mut unlisted).await?;
            near.extend(names.into_iter().map(|name| format!("{directory}/{name}")));
        }
    } else {
        // Its entry may have been removed: then the file is anywhere.
        let walked = store.walk("").await?;
        unlisted.extend(walked.refused.iter().map(|(path, e)| Finding::unlisted(path, e)));
        near.extend(walked.files.into_iter().map(|(path, _)| path));
    }
    let of = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let mine = names::parse_file(name).is_some_and(|name| {
            name.topic == names::shortened(&place.topic)
                && name.incarnation.to_string() == place.incarnation
                && name.partition.to_string() == place.partition
                && name.first <= offset
                && offset <= name.last
        });
        mine && !path.starts_with(PRIVATE) && !files().any(|file| file == path)
    };
    near.retain(of);
    Ok((near, unlisted))
}

/// What is said of a file that has another name than those of the archive.
const BESIDE: &str = "Readers see its rows if it lies in a table's directory; alluvium did not \
                      write it there";

/// What a file under a root is, and whether it is as it was written.
pub(super) async fn explain(store: &dyn Store, path: &str) -> Result<Answer, StoreError> {
    let mut answer = Answer::default();
    let (mut ledgers, mut unlisted) = (Vec::new(), Vec::new());
    let places = places_of(store, path, &mut unlisted).await?;
    if places.is_empty() && path != IDENTITY {
        let is_there = is_there(store, path).await?;
        let of_it = if is_there { BESIDE } else { "There is no such file, either" };
        answer.say(format!(
            "{path} does not have the name of a file of this archive: \
             part-<topic>-<incarnation>-<partition>-<first>-<last>.<format>. {of_it}"
        ));
        answer.code = EX_USAGE;
        return Ok(answer);
    }
    for place in places {
        let listing = LedgerListing::read(store, &place).await?;
        ledgers.push((place, listing));
    }
    let mut known = false;
    if path == IDENTITY {
        ledgers = LedgerListing::all(store, &mut unlisted).await?;
        known = true;
        answer.say(format!("file     {}/{path}: the id of this root", store.url()));
        if !is_there(store, path).await? {
            answer.find("state    the file is not there");
        }
    }
    for (place, listing) in &ledgers {
        for entry in &listing.entries {
            if names::entry_in(&place.path(), entry.key()) == path {
                describe(store, place, entry, &mut answer);
                known = true;
            }
            for file in &entry.files {
                let staged = staged_at(entry, file);
                if file.path == path || staged.iter().any(|staged| staged == path) {
                    describe(store, place, entry, &mut answer);
                    state(store, (entry, file), path, &mut answer).await?;
                    known = true;
                }
            }
        }
    }
    let identity = identity_findings(store, &ledgers).await?;
    let of_ledgers = || ledgers.iter().flat_map(|(_, listing)| &listing.findings);
    let findings = || of_ledgers().chain(&identity).chain(&unlisted);
    known |= findings().any(|f| f.path == path);
    let is_unlisted = findings().any(|f| f.kind == FindingKind::UnreadableDirectory);
    if !known && is_unlisted {
        answer.find("state    whether an entry names this file is not known");
    } else if !known && path.starts_with(STAGING) {
        answer.say(
            "no entry names this file: an attempt that is under way, or that was left over. \
             Readers don't see it",
        );
    } else if !known && !is_there(store, path).await? {
        answer.find("missing: the file is not there, and no entry names it");
    } else if !known {
        answer.find(
            "no entry names this file: it is foreign. Readers see its rows; alluvium did not \
             write the file there, or its entry was removed",
        );
    }
    findings().for_each(|f| finding(f, &mut answer));
    Ok(answer)
}

/// Whether there is such a file below a root; one that may not be looked at is there for all that
/// is known.
pub(super) async fn is_there(store: &dyn Store, path: &str) -> Result<bool, StoreError> {
    match store.length(path).await {
        Err(e) if is_of_one_file(store, &e).await => Ok(true),
        found => Ok(found?.is_some()),
    }
}

async fn state(
    store: &dyn Store,
    (entry, file): (&Entry, &FileRef),
    asked: &str,
    answer: &mut Answer,
) -> Result<(), StoreError> {
    describe_file(store, file, answer);
    let Some(found) = find_file(store, entry, file).await? else {
        answer.value("state", "missing");
        answer.find("state    missing: the file is neither at its place nor staged");
        return Ok(());
    };
    if let Some((kind, detail)) = &found.damage {
        answer.value("state", kind.label());
        answer.find(format!("state    {}: {detail}", kind.label()));
        return Ok(());
    }
    match rows_of(entry, file, &found.bytes) {
        Err((kind, detail)) => {
            answer.value("state", kind.label());
            answer.find(format!("state    {}: {detail}", kind.label()));
        }
        Ok(_) if found.path != file.path => {
            answer.value("state", "unpublished");
            answer.find(format!(
                "state    unpublished: the file is whole, and still lies at {}/{}, where readers \
                 don't see it",
                store.url(),
                found.path
            ));
        }
        Ok(_) => {
            answer.value("state", "unchanged");
            answer.value("checksum", file.checksum.as_str());
            answer.say(format!(
                "state    unchanged since it was written (CRC-32C {})",
                file.checksum
            ));
        }
    }
    if asked != found.path && asked != file.path {
        answer.say(match is_there(store, asked).await? {
            false => "staged   the file was published since: it does not lie there any more",
            true => {
                "staged   the file is published; what lies here as well is a copy that readers \
                 don't see"
            }
        });
    }
    Ok(())
}

/// The ledgers that a file may belong to, by its path.
async fn places_of(
    store: &dyn Store,
    path: &str,
    unlisted: &mut Vec<Finding>,
) -> Result<Vec<LedgerPath>, StoreError> {
    for private in [LEDGERS, STAGING] {
        let inside = path.strip_prefix(private).and_then(|rest| rest.strip_prefix('/'));
        if let Some(inside) = inside {
            let mut parts = inside.split('/').map(str::to_string);
            let (Some(topic), Some(incarnation), Some(partition)) =
                (parts.next(), parts.next(), parts.next())
            else {
                return Ok(Vec::new());
            };
            return Ok(vec![LedgerPath { topic, incarnation, partition }]);
        }
    }
    let Some(name) = path.rsplit('/').next().and_then(names::parse_file) else {
        return Ok(Vec::new());
    };
    let place = |topic: &str| LedgerPath {
        topic: topic.into(),
        incarnation: name.incarnation.to_string(),
        partition: name.partition.to_string(),
    };
    // A long topic is shortened in the names of its files. That these can't be listed is a finding.
    let topics = list_or_find(store, LEDGERS, unlisted).await?;
    let mut mine: Vec<_> =
        topics.iter().filter(|t| names::shortened(t) == name.topic).map(|t| place(t)).collect();
    if mine.is_empty() {
        mine.push(place(name.topic));
    }
    Ok(mine)
}
