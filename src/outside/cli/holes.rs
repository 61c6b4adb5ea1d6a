//! Entries that are missing inside a ledger: what `alluvium repair` puts in their place.
//!
//! An owner reads only the end of a ledger, so a hole stops nobody; but what lies in the hole is
//! named by no entry. Published files tell by their names and rows what the entry said.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::clients::store::{Store, StoreError};
use crate::common::config::Config;
use crate::engine::archive::abandoned::ledger_of;
use crate::engine::archive::ledger::{EntryTemplate, LedgerError, LedgerStore};
use crate::engine::archive::listing::{FindingKind, LedgerListing};
use crate::engine::archive::root::is_of_one_ledger;
use crate::outside::cli::found::describe;
use crate::outside::cli::output::say;
use crate::outside::cli::staged::{self, Piece};
use crate::pure::layout::names::{self, PartitionPaths};
use crate::pure::protocol::adopt::Sealed;
use crate::pure::protocol::{Entry, EntryKey, EntryKind, FileRef};
use crate::pure::record::{Offset, OffsetRange};

/// What the entries of a repair name as their cause.
const CAUSE: &str = "the entry was missing; alluvium repair wrote it from what was in the root";

/// What came of the holes of one root.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Holes {
    /// Entries that were put, or would be put.
    pub(super) repaired: usize,
    /// Holes that a person has to look at.
    pub(super) refused: usize,
}

impl Holes {
    /// Adds those of another root, or of another kind.
    pub(super) fn add(&mut self, more: Holes) {
        self.repaired = self.repaired.saturating_add(more.repaired);
        self.refused = self.refused.saturating_add(more.refused);
    }
}

/// What belongs into a hole.
enum Filling {
    Entry(Box<Entry>),
    /// An attempt that was sealed and not appended.
    Sealed(Box<Entry>),
    Refused(String),
}

/// What a person has decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// Without it, only what would be done is said.
    pub(super) apply: bool,
    /// A gap may name records that may lie in staging.
    pub(super) give_up_staged: bool,
}

/// Fills the holes in the ledgers of a root that `wanted` selects.
///
/// # Errors
/// The store does not answer.
pub(super) async fn repair(
    store: &Arc<dyn Store>,
    config: &Config,
    wanted: impl Fn(&Entry) -> bool,
    choice: Choice,
) -> Result<Holes, LedgerError> {
    let mut done = Holes::default();
    // Listed once, and only if a ledger has a hole.
    let mut visible = None;
    let mut unlisted = Vec::new();
    for (place, listing) in LedgerListing::all(&**store, &mut unlisted).await? {
        let closed = listing.findings.iter().find(|f| f.kind == FindingKind::UnreadableDirectory);
        unlisted.extend(closed.filter(|f| f.path == place.path()).cloned());
        let Some(first) = listing.entries.first().filter(|e| wanted(e)) else { continue };
        let holes = holes(&listing);
        if holes.is_empty() {
            continue;
        }
        if visible.is_none() {
            visible = Some(store.walk("").await?);
        }
        let Some(walked) = &visible else { continue };
        if let Some((path, e)) = walked.refused.first() {
            say(&format!(
                "{}/{}: not repaired: {path} may have files with records that no entry names, and \
                 can't be listed ({}); let the user of this command list and read the directory, \
                 and repair again",
                first.topic, first.partition, e.detail
            ));
            done.refused = done.refused.saturating_add(1);
            continue;
        }
        let visible: Vec<String> = walked.files.iter().map(|(path, _)| path.clone()).collect();
        let ledger = ledger_of(store, config, first);
        let repaired = repair_one(&ledger, (&listing, first), holes, &visible, choice, &mut done);
        let Err(e) = repaired.await else { continue };
        if !is_of_one_ledger(&**store, &e).await {
            return Err(e);
        }
        // The other ledgers are repaired all the same.
        say(&format!("{}/{}: not repaired: {e}", first.topic, first.partition));
        done.refused = done.refused.saturating_add(1);
    }
    for f in unlisted {
        say(&format!("{}/{}: not looked at: {}", store.url(), f.path, f.detail));
        done.refused = done.refused.saturating_add(1);
    }
    Ok(done)
}

/// Fills the holes of one ledger. `visible`: all files of the root.
async fn repair_one(
    ledger: &LedgerStore,
    (listing, first): (&LedgerListing, &Entry),
    mut holes: Vec<(OffsetRange, EntryKind)>,
    visible: &[String],
    choice: Choice,
    done: &mut Holes,
) -> Result<(), LedgerError> {
    let strays = visible.iter().filter(|path| !listing.names_file(path));
    let strays: Vec<Stray> = strays.filter_map(|path| Stray::of(path, &ledger.paths)).collect();
    let begin = strays.iter().map(|stray| stray.first).min();
    if let Some((start, EntryKind::Genesis)) = holes.first_mut()
        && let Some(begin) = begin.filter(|begin| *begin < start.from)
    {
        // The entries behind the genesis entry are missing, too.
        let range = OffsetRange { from: begin, to: start.from };
        *start = OffsetRange { from: begin, to: begin };
        holes.insert(1, (range, EntryKind::Data));
    }
    let sealed = ledger.all_sealed(first).await?;
    let parts = holes.into_iter().flat_map(|(range, kind)| match kind {
        // Which of these offsets the lost entry had, no file says.
        EntryKind::Data if strays.iter().any(|s| s.is_text && s.is_near(range)) => {
            let near = strays.iter().filter(|s| s.is_near(range)).map(|s| s.path.clone());
            vec![Part { range, kind, near: near.collect(), sealed: None }]
        }
        EntryKind::Data => parts(range, &strays),
        _ => vec![Part { kind, ..Part::gap(range) }],
    });
    for part in parts.flat_map(|part| part.pieces(&sealed)) {
        let filling = match in_the_way(listing, &ledger.paths, &part) {
            Some(path) => Filling::Refused(format!(
                "{path} can't be read and lies in that place; restore it from a backup, or move \
                 it out of the root, and repair again"
            )),
            None => fill(ledger, first, &part, choice).await?,
        };
        say(&format!("{}/{}: the {} is missing", first.topic, first.partition, part));
        match carry_out(ledger, &filling, choice.apply).await? {
            true => done.repaired = done.repaired.saturating_add(1),
            false => done.refused = done.refused.saturating_add(1),
        }
    }
    Ok(())
}

/// An entry that is missing.
struct Part {
    range: OffsetRange,
    kind: EntryKind,
    /// Files whose names say that they have records of the range.
    near: Vec<String>,
    /// An attempt that was sealed for the range, and not appended.
    sealed: Option<Box<Entry>>,
}

impl Part {
    fn gap(range: OffsetRange) -> Part {
        Part { range, kind: EntryKind::Gap, near: Vec::new(), sealed: None }
    }

    /// What no published file has is a gap only as far as nothing was sealed for it.
    fn pieces(self, sealed: &[Sealed<Entry>]) -> Vec<Part> {
        if self.kind != EntryKind::Gap {
            return vec![self];
        }
        let pieces = staged::pieces(self.range, sealed).into_iter();
        let part = |piece| match piece {
            Piece::Gap(range) => Part::gap(range),
            Piece::Sealed(entry) => {
                let range = OffsetRange { from: entry.from, to: entry.to };
                Part { range, kind: EntryKind::Data, near: Vec::new(), sealed: Some(entry) }
            }
        };
        pieces.map(part).collect()
    }
}

/// A range that no entry names, by the files that lie there: a range that one or more of them cover
/// by their names was one of data, and what lies between two of these is a gap.
fn parts(range: OffsetRange, strays: &[Stray]) -> Vec<Part> {
    let mut near: Vec<&Stray> = strays.iter().filter(|s| s.is_near(range)).collect();
    near.sort_by_key(|stray| (stray.first, stray.last));
    let gap = |from, to| Part::gap(OffsetRange { from, to });
    let mut parts: Vec<Part> = Vec::new();
    for stray in near {
        let (from, to) = (stray.first.max(range.from), stray.last.next().min(range.to));
        let end = parts.last().map_or(range.from, |part| part.range.to);
        match parts.last_mut().filter(|part| part.kind == EntryKind::Data && from <= end) {
            Some(part) => {
                part.range.to = end.max(to);
                part.near.push(stray.path.clone());
            }
            None => {
                parts.extend((end < from).then(|| gap(end, from)));
                let (range, near) = (OffsetRange { from, to }, vec![stray.path.clone()]);
                parts.push(Part { range, kind: EntryKind::Data, near, sealed: None });
            }
        }
    }
    let end = parts.last().map_or(range.from, |part| part.range.to);
    parts.extend((end < range.to).then(|| gap(end, range.to)));
    parts
}

/// Says what is done, and does it; whether the hole is filled, or would be.
async fn carry_out(
    ledger: &LedgerStore,
    filling: &Filling,
    apply: bool,
) -> Result<bool, LedgerError> {
    let entry = match filling {
        Filling::Refused(why) => {
            say(&format!("    not repaired: {why}"));
            return Ok(false);
        }
        Filling::Entry(entry) | Filling::Sealed(entry) => entry,
    };
    let would = if apply { "" } else { "would " };
    if let Filling::Sealed(entry) = filling {
        say(&format!("    {would}append what was sealed for it, and lies in staging:"));
        entry.files.iter().for_each(|file| say(&format!("        {}", file.path)));
        if apply && !ledger.adopt(entry).await? {
            say("    not repaired: another process has put an entry there");
            return Ok(false);
        }
        return Ok(true);
    }
    say(&format!("    {would}{}", Put(entry)));
    if apply && ledger.put(entry).await?.is_none() {
        say("    not repaired: another process has put an entry there");
        return Ok(false);
    }
    Ok(true)
}

/// A file that readers see, and that is of this partition by its name; no entry names it.
struct Stray {
    path: String,
    first: Offset,
    last: Offset,
    /// Its rows do not say their offsets.
    is_text: bool,
}

impl Stray {
    fn of(path: &str, paths: &PartitionPaths) -> Option<Stray> {
        let names::FileName { first, last, .. } = paths.published(path)?;
        Some(Stray { path: path.into(), first, last, is_text: is_text(path) })
    }

    fn is_near(&self, range: OffsetRange) -> bool {
        self.first < range.to && range.from <= self.last
    }
}

/// Whether a file is plain text, by its name.
fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().and_then(names::parse_file);
    name.is_some_and(|name| name.extension.split('.').next() == Some("txt"))
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            EntryKind::Genesis => f.write_str("genesis entry of the ledger"),
            _ => write!(f, "entry of offsets {}", self.range),
        }
    }
}

struct Put<'a>(&'a Entry);

impl fmt::Display for Put<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { kind, from, to, files, .. } = self.0;
        match kind {
            EntryKind::Genesis => write!(f, "put it back: the archive begins at offset {to}"),
            EntryKind::Gap => write!(
                f,
                "put a gap entry for offsets {}: no file in the root has records of them",
                OffsetRange { from: *from, to: *to }
            ),
            EntryKind::Data => {
                let rows = files.iter().map(|file| file.rows).fold(0, u64::saturating_add);
                let width = to.0.abs_diff(from.0);
                write!(f, "put it back, with what lies in the root and no entry names")?;
                if rows < width {
                    write!(
                        f,
                        " ({} of its offsets have no record there)",
                        width.saturating_sub(rows)
                    )?;
                }
                f.write_str(":")?;
                files
                    .iter()
                    .try_for_each(|file| write!(f, "\n        {} ({} rows)", file.path, file.rows))
            }
        }
    }
}

/// The ranges that no entry names, between entries that exist; and the genesis entry.
fn holes(listing: &LedgerListing) -> Vec<(OffsetRange, EntryKind)> {
    let mut holes = Vec::new();
    let mut end: Option<Offset> = None;
    for entry in &listing.entries {
        let expected_from = match end {
            Some(end) => end,
            None if entry.kind == EntryKind::Genesis => entry.to,
            None => {
                let start = OffsetRange { from: entry.from, to: entry.from };
                holes.push((start, EntryKind::Genesis));
                entry.from
            }
        };
        if entry.kind != EntryKind::Genesis && expected_from < entry.from {
            holes.push((OffsetRange { from: expected_from, to: entry.from }, EntryKind::Data));
        }
        end = Some(expected_from.max(entry.to));
    }
    holes
}

/// A file that is no readable entry, at the place of the missing one.
fn in_the_way(listing: &LedgerListing, paths: &PartitionPaths, part: &Part) -> Option<String> {
    let key = match part.kind {
        EntryKind::Genesis => EntryKey::Genesis,
        _ => EntryKey::At(part.range.from),
    };
    let place = paths.entry(key);
    let mut unreadable = listing.findings.iter().filter(|f| f.kind == FindingKind::UnreadableEntry);
    unreadable.any(|f| f.path == place).then_some(place)
}

/// The entry that is missing, by the files that lie there.
async fn fill(
    ledger: &LedgerStore,
    like: &Entry,
    part: &Part,
    choice: Choice,
) -> Result<Filling, StoreError> {
    if let Some(sealed) = &part.sealed {
        return Ok(Filling::Sealed(sealed.clone()));
    }
    let left = match part.kind {
        EntryKind::Gap if !choice.give_up_staged => staged::left(ledger, part.range).await?,
        _ => Vec::new(),
    };
    if !left.is_empty() {
        return Ok(Filling::Refused(format!(
            "its records may be in what is staged there, and only the entry has said what that \
             is: {}. Restore the entry from a backup, and repair again; with --give-up-staged, a \
             gap entry is put there",
            left.join(", ")
        )));
    }
    if let Some(path) = part.near.iter().find(|path| is_text(path)) {
        return Ok(Filling::Refused(format!(
            "{path} lies there and is text, whose lines do not say their offsets, so its entry \
             can't be made again. Restore the entry from a backup of the ledger ({}), and do not \
             move the file: its rows are archived, and without the file they would become a gap",
            ledger.paths.ledger()
        )));
    }
    let template = EntryTemplate {
        topic: like.topic.clone(),
        incarnation: like.incarnation,
        partition: like.partition,
        root: like.root.clone(),
        topic_id: like.topic_id.clone(),
        config: like.config.clone(),
    };
    let Part { range, kind, near, .. } = part;
    let now = Timestamp::now().as_millisecond();
    let mut entry = template.entry(*kind, (range.from, range.to), now);
    entry.cause = Some(CAUSE.into());
    let mut seen = BTreeSet::new();
    for (i, path) in near.iter().enumerate() {
        match describe(&*ledger.store, path, *range, &mut seen).await? {
            Ok(file) => entry.files.push(FileRef { staged: names::staged_name(i), ..file }),
            Err(why) => return Ok(Filling::Refused(why)),
        }
    }
    Ok(Filling::Entry(Box::new(entry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All sets of up to two files, over a range of five offsets: the parts tile the range, each
    /// file has a place in exactly one of them, and no part of data lacks a file.
    #[test]
    fn parts_tile_the_range() {
        let (range, ends) = (OffsetRange { from: Offset(10), to: Offset(15) }, 9..16_i64);
        let all = || ends.clone().flat_map(|a| (a..16).map(move |b| (a, b)));
        let stray = |(a, b): (i64, i64)| {
            let (first, last) = (Offset(a), Offset(b));
            (b < 16).then(|| Stray { path: format!("{a}-{b}"), first, last, is_text: false })
        };
        let none = (16, 16);
        for one in all().chain([none]) {
            for two in all().chain([none]) {
                let strays: Vec<Stray> = [one, two].into_iter().filter_map(stray).collect();
                let parts = parts(range, &strays);
                let mut end = range.from;
                for Part { range: part, kind, near, .. } in &parts {
                    assert!(part.from == end && end < part.to, "{one:?} {two:?}");
                    assert_eq!(*kind == EntryKind::Data, !near.is_empty(), "{one:?} {two:?}");
                    end = part.to;
                }
                assert_eq!(end, range.to, "{one:?} {two:?}");
                let placed = parts.iter().map(|part| part.near.len()).sum::<usize>();
                let inside = strays.iter().filter(|s| s.first < range.to && range.from <= s.last);
                assert_eq!(placed, inside.count(), "{one:?} {two:?}");
            }
        }
    }
}
