//! Archive against ledger, for everything under a root.

use std::collections::BTreeSet;

use crate::clients::store::{Store, StoreError};
use crate::common::config::Config;
use crate::engine::archive::listing::{Finding, FindingKind, LedgerListing, LedgerPath};
use crate::engine::archive::root::{FoundIdentity, find_identity};
use crate::outside::audit::report::{Gap, PartitionReport, RootReport};
use crate::outside::audit::survey::{Survey, find_file, rows_of};
use crate::pure::layout::names::{self, IDENTITY};
use crate::pure::protocol::{Entry, EntryKind, FileRef};
use crate::pure::record::{Offset, OffsetRange};

/// Is called with the number of bytes that were read, and with the number of all bytes.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// How long an entry's files may stay unpublished before `verify` takes that for a fault.
pub const UNPUBLISHED_MS: i64 = 300_000;

const DAY_MS: i64 = 86_400_000;

/// Verifies everything under a root, at this time (milliseconds). A daemon may go on writing
/// meanwhile.
///
/// # Errors
/// The store does not answer.
pub async fn verify(
    store: &dyn Store,
    config: &Config,
    now: i64,
    progress: Progress<'_>,
) -> Result<RootReport, StoreError> {
    let mut report = RootReport { root: store.url().into(), ..RootReport::default() };
    let Survey { ledgers, findings, staged } = Survey::read(store, config).await?;
    report.findings = findings;
    if ledgers.is_empty() && find_identity(store).await? == FoundIdentity::Missing {
        let detail = "there is no archive here: no daemon has written to this root yet, or the \
                      root is not what it was (is it mounted, and is archive.root right?)";
        let kind = FindingKind::MissingIdentity;
        report.findings.push(Finding { kind, path: IDENTITY.into(), detail: detail.into() });
    }
    let entries = || ledgers.iter().flat_map(|(_, b)| &b.entries);
    let total = entries().flat_map(|e| &e.files).map(|f| f.bytes);
    let total = total.fold(0, u64::saturating_add);
    let mut done = 0_u64;
    for (place, listing) in ledgers {
        let mut of = PartitionReport::new(&place, &listing);
        of.staged = staged.get(&place).copied().unwrap_or_default();
        of.check_clock(&place, &listing, now);
        for entry in listing.entries.iter().filter(|e| e.kind == EntryKind::Data) {
            let mut seen = BTreeSet::new();
            for file in &entry.files {
                of.check_file(store, (entry, file), now, &mut seen).await?;
                done = done.saturating_add(file.bytes);
                progress(done, total);
            }
            let width = entry.to.0.saturating_sub(entry.from.0).unsigned_abs();
            let rows = entry.files.iter().map(|f| f.rows).fold(0, u64::saturating_add);
            of.holes = of.holes.saturating_add(width.saturating_sub(rows));
        }
        report.partitions.push(of);
    }
    Ok(report)
}

impl PartitionReport {
    fn new(place: &LedgerPath, listing: &LedgerListing) -> PartitionReport {
        let topic =
            listing.entries.first().map_or_else(|| place.topic.clone(), |e| e.topic.clone());
        let gaps = listing.entries.iter().filter(|e| e.kind == EntryKind::Gap).map(|e| Gap {
            range: OffsetRange { from: e.from, to: e.to },
            cause: e.cause.clone().unwrap_or_default(),
        });
        let range = listing.start().zip(listing.end()).map(|(from, to)| OffsetRange { from, to });
        PartitionReport {
            topic,
            incarnation: place.incarnation.clone(),
            partition: place.partition.clone(),
            range,
            entries: listing.entries.len(),
            files: 0,
            rows: 0,
            bytes: 0,
            gaps: gaps.collect(),
            holes: 0,
            unpublished: 0,
            staged: 0,
            brokers: None,
            findings: listing.findings.clone(),
        }
    }

    /// Clocks of hosts differ, but not by a day.
    fn check_clock(&mut self, place: &LedgerPath, listing: &LedgerListing, now: i64) {
        let late = listing.entries.iter().filter(|e| now.saturating_add(DAY_MS) < e.written_at);
        self.findings.extend(late.map(|entry| Finding {
            kind: FindingKind::WrongEntry,
            path: names::entry_in(&place.path(), entry.key()),
            detail: format!("it was written at {} ms, which is still to come", entry.written_at),
        }));
    }

    async fn check_file(
        &mut self,
        store: &dyn Store,
        (entry, file): (&Entry, &FileRef),
        now: i64,
        seen: &mut BTreeSet<Offset>,
    ) -> Result<(), StoreError> {
        let Some(found) = find_file(store, entry, file).await? else {
            self.find(
                FindingKind::MissingFile,
                file,
                "an entry names the file, and the file is not there",
            );
            return Ok(());
        };
        if found.path == file.path {
            self.files = self.files.saturating_add(1);
            self.bytes = self.bytes.saturating_add(found.bytes.len() as u64);
        } else {
            self.unpublished = self.unpublished.saturating_add(1);
            let late = UNPUBLISHED_MS < now.saturating_sub(entry.written_at);
            if late && found.damage.is_none() {
                let detail = format!(
                    "the entry is written, and its file still lies at {}, where readers don't see \
                     it: the daemon that owns the partition does not run, or its log says why it \
                     can't publish the file",
                    found.path
                );
                self.find(FindingKind::UnpublishedFile, file, detail);
            }
        }
        if let Some((kind, detail)) = found.damage {
            self.find(kind, file, detail);
            return Ok(());
        }
        match rows_of(entry, file, &found.bytes) {
            Ok(offsets) => {
                if found.path == file.path {
                    self.rows = self.rows.saturating_add(file.rows);
                }
                // Of text, the entry alone says which offsets it has.
                let offsets =
                    offsets.unwrap_or_else(|| match file.first_offset == file.last_offset {
                        true => vec![file.first_offset],
                        false => vec![file.first_offset, file.last_offset],
                    });
                if let Some(detail) = wrong_rows(entry, &offsets, seen) {
                    self.find(FindingKind::WrongRows, file, detail);
                }
            }
            Err((kind, detail)) => self.find(kind, file, detail),
        }
        Ok(())
    }

    fn find(&mut self, kind: FindingKind, file: &FileRef, detail: impl Into<String>) {
        self.findings.push(Finding { kind, path: file.path.clone(), detail: detail.into() });
    }
}

fn wrong_rows(entry: &Entry, offsets: &[Offset], seen: &mut BTreeSet<Offset>) -> Option<String> {
    for offset in offsets {
        if *offset < entry.from || entry.to <= *offset {
            return Some(format!("offset {offset} is outside of [{}, {})", entry.from, entry.to));
        }
        if !seen.insert(*offset) {
            return Some(format!("offset {offset} is in the entry's files twice"));
        }
    }
    None
}
