//! The batch job that proves the stream: words of the raw files against the published counts in
//! the archive.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::Serialize;

use crate::clients::store::{Store, StoreError};
use crate::common::config::{Config, Mapping, WordCount};
use crate::engine::archive::listing::{Finding, FindingKind, LedgerListing};
use crate::engine::topics::{TopicRole, mapping_of};
use crate::outside::audit::rows;
use crate::outside::audit::survey::{Survey, find_file, rows_of};
use crate::pure::calendar::iso_millis;
use crate::pure::count::{Aggregate, CountKind, Time};
use crate::pure::layout::names::LEDGERS;

/// The result of recounting one mapping.
#[derive(Debug, Default, Serialize)]
pub struct RecountReport {
    pub mapping: String,
    /// The number of raw records in the range.
    pub records: u64,
    /// The number of raw records without a timestamp, whose window is unknown.
    pub untimed: u64,
    /// The number of words in the raw records, to which the counts should add up.
    pub words: i64,
    /// The number of windows that were compared; 1 where windows cannot be told apart.
    pub windows: usize,
    pub differences: Vec<Difference>,
    /// The start from which on windows may be open, or may not be archived whole yet; absent where
    /// windows cannot be told apart.
    pub open_from: Option<String>,
    /// The differences in those windows: they are no fault.
    pub open: Vec<Difference>,
    /// What is wrong with the ledgers and the files: before all of it is repaired, counts differ.
    pub findings: Vec<Finding>,
}

/// A word whose counts do not add up to the words in the raw files.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Difference {
    /// The start of the window; absent where windows are of arrival time, which the raw files do
    /// not contain: then the sums over all windows are compared.
    pub window_start: Option<String>,
    pub word: String,
    pub published: i128,
    pub recounted: i128,
}

/// word → published and recounted.
type Words = HashMap<Box<str>, Sums, RandomState>;

/// Wide enough for every file: counts are of 64 bits, and anybody may write them.
#[derive(Clone, Copy, Default)]
struct Sums {
    published: i128,
    recounted: i128,
}

/// Sums of one mapping, for windows that start in a range of times (milliseconds). Memory grows
/// with the distinct words of those windows.
struct Sheet<'a> {
    count: &'a WordCount,
    range: Range<i64>,
    windows: BTreeMap<Option<i64>, Words>,
    recount: RecountReport,
    newest: Vec<Newest>,
}

impl RecountReport {
    /// Whether both sides agree, as far as windows are closed, and could be read whole.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty() && self.findings.is_empty() && self.untimed == 0
    }
}

/// How far a ledger with rows has come.
struct Newest {
    output: bool,
    /// When it was last written, milliseconds.
    written: i64,
    /// Raw records: the start of the newest window. Counts: the end of the newest one that was
    /// closed, or its start where windows are not closed but published again and again.
    window: i64,
}

/// Later than this (milliseconds) a ledger that had something to write would have written it.
const IDLE_MS: i64 = 3_600_000;

/// Every ledger of these stores: read once, whatever number of mappings is recounted.
pub struct Ledgers(Vec<(Arc<dyn Store>, Survey)>);

impl Ledgers {
    /// Reads all ledgers of these stores.
    ///
    /// # Errors
    /// A store does not answer.
    pub async fn read(stores: &[Arc<dyn Store>], config: &Config) -> Result<Ledgers, StoreError> {
        let mut all = Vec::new();
        for store in stores {
            all.push((Arc::clone(store), Survey::read(&**store, config).await?));
        }
        Ok(Ledgers(all))
    }

    /// Recounts a mapping. Windows that start outside of `range` (milliseconds) are left out;
    /// mappings that count by arrival time are compared as a whole.
    ///
    /// # Errors
    /// A store does not answer.
    pub async fn recount(
        &self,
        config: &Config,
        mapping: &Mapping,
        count: &WordCount,
        range: Range<i64>,
    ) -> Result<RecountReport, StoreError> {
        let recount = RecountReport { mapping: mapping.name.clone(), ..RecountReport::default() };
        let mut sheet =
            Sheet { count, range, windows: BTreeMap::new(), recount, newest: Vec::new() };
        let mut has_ledger = false;
        for (store, survey) in &self.0 {
            let of_mapping = [&mapping.archive, &count.archive];
            let mut of_mapping = of_mapping.into_iter().flatten();
            // Whatever is wrong with a root that the mapping uses, its ledgers may be the reason.
            let used = of_mapping.any(|archive| archive.root.url() == store.url());
            for (place, listing) in &survey.ledgers {
                let topic = listing.entries.first().map(|e| &*e.topic);
                let topic = topic.unwrap_or(&place.topic);
                let Some((of, role)) = mapping_of(config, topic) else { continue };
                let output = role == TopicRole::Output;
                let archive = if output { &count.archive } else { &mapping.archive };
                let here = archive.as_ref().is_some_and(|a| a.root.url() == store.url());
                if of.name == mapping.name && here {
                    has_ledger = true;
                    sheet.recount.findings.extend(listing.findings.iter().cloned());
                    sheet.add(&**store, listing, output).await?;
                }
            }
            let of_root = survey.findings.iter().filter(|_| used);
            sheet.recount.findings.extend(of_root.cloned());
        }
        if !has_ledger {
            let detail = "no ledger of the mapping's topics is there, so nothing was recounted: no \
                          daemon has archived them yet, or the ledgers were deleted";
            let (kind, path) = (FindingKind::MissingEntry, LEDGERS.into());
            sheet.recount.findings.push(Finding { kind, path, detail: detail.into() });
        }
        Ok(sheet.close())
    }
}

impl Sheet<'_> {
    async fn add(
        &mut self,
        store: &dyn Store,
        listing: &LedgerListing,
        output: bool,
    ) -> Result<(), StoreError> {
        let mut newest = None;
        for entry in &listing.entries {
            for file in &entry.files {
                let outside = match (file.min_time, file.max_time) {
                    (Some(min), Some(max)) if !output && self.count.time == Time::Record => {
                        let window = self.count.window;
                        newest = newest.max(Some(window.start(max)));
                        self.range.end <= window.start(min) || window.start(max) < self.range.start
                    }
                    _ => false,
                };
                if outside {
                    continue;
                }
                let find = |kind, detail| Finding { kind, path: file.path.clone(), detail };
                let Some(found) = find_file(store, entry, file).await? else {
                    let detail = "an entry names the file, and the file is not there".into();
                    self.recount.findings.push(find(FindingKind::MissingFile, detail));
                    continue;
                };
                if let Some((kind, detail)) = found.damage {
                    self.recount.findings.push(find(kind, detail));
                    continue;
                }
                if let Err((kind, detail)) = rows_of(entry, file, &found.bytes) {
                    self.recount.findings.push(find(kind, detail));
                }
                let read = match output {
                    true => self.published(&file.path, found.bytes, &mut newest),
                    false => self.raw(&file.path, found.bytes, &mut newest),
                };
                if let Err(e) = read {
                    let detail = format!("the file can't be read: {e}");
                    self.recount.findings.push(find(FindingKind::WrongRows, detail));
                }
            }
        }
        let written = listing.entries.iter().map(|e| e.written_at).max();
        let newest = written.zip(newest);
        self.newest.extend(newest.map(|(written, window)| Newest { output, written, window }));
        Ok(())
    }

    fn published(
        &mut self,
        path: &str,
        bytes: Bytes,
        newest: &mut Option<i64>,
    ) -> Result<(), String> {
        let (range, by_window) = (self.range.clone(), self.count.time != Time::Arrival);
        let window = self.count.window;
        // Merged windows are published once they are closed, or as parts if they are ahead.
        let closes = |kind: &str| self.count.merge.is_none() || kind == CountKind::Final.label();
        rows::counts(path, bytes, |rows::Count { start, kind, word, count: n }| {
            if closes(kind) {
                let open = if self.count.merge.is_some() { window.end(start) } else { start };
                *newest = (*newest).max(Some(open));
            }
            if !by_window || range.contains(&start) {
                let words = self.windows.entry(by_window.then_some(start)).or_default();
                let sum = &mut sums(words, word).published;
                *sum = sum.saturating_add(n.into());
            }
        })
    }

    fn raw(&mut self, path: &str, bytes: Bytes, newest: &mut Option<i64>) -> Result<(), String> {
        let Sheet { count, range, windows, recount, .. } = self;
        rows::raw(path, bytes, |record| {
            let (time, own) = count.time.of(record, 0);
            if !own && record.timestamp.millis().is_none() {
                recount.untimed = recount.untimed.saturating_add(1);
                return;
            }
            let window = (count.time != Time::Arrival).then(|| count.window.start(time));
            if own {
                *newest = (*newest).max(window);
            }
            if window.is_some_and(|start| !range.contains(&start)) {
                return;
            }
            recount.records = recount.records.saturating_add(1);
            let words = windows.entry(window).or_default();
            let _ = count.by.each_term(record, |word| {
                let sum = &mut sums(words, word).recounted;
                *sum = sum.saturating_add(1);
                recount.words = recount.words.saturating_add(1);
            });
        })
    }

    fn close(self) -> RecountReport {
        let mut recount = self.recount;
        recount.windows = self.windows.len();
        let first = self.windows.keys().next().copied().flatten();
        let open_from = first.map(|first| open_from(&self.newest).max(first));
        for (window, words) in self.windows {
            let is_open = window.zip(open_from).is_some_and(|(start, from)| from <= start);
            let differ = words.into_iter().filter(|(_, s)| s.published != s.recounted);
            let into = if is_open { &mut recount.open } else { &mut recount.differences };
            into.extend(differ.map(|(word, sums)| Difference {
                window_start: window.map(iso_millis),
                word: word.into(),
                published: sums.published,
                recounted: sums.recounted,
            }));
        }
        recount.open_from = open_from.map(iso_millis);
        recount.open.sort();
        recount.differences.sort();
        recount
    }
}

/// From which window on both sides may still grow: the slowest ledger on either side says so. A
/// ledger that has long been idle is not slow: it has nothing to write.
fn open_from(newest: &[Newest]) -> i64 {
    let last = newest.iter().map(|n| n.written).max().unwrap_or(i64::MIN);
    let side = |output: bool| {
        let active = |n: &&Newest| n.output == output && last.saturating_sub(n.written) < IDLE_MS;
        let of = || newest.iter().filter(|n| n.output == output).map(|n| n.window);
        let slowest = newest.iter().filter(active).map(|n| n.window).min();
        slowest.or(of().max()).unwrap_or(i64::MIN)
    };
    side(true).min(side(false))
}

fn sums<'a>(words: &'a mut Words, word: &str) -> &'a mut Sums {
    words.entry_ref(word).or_default()
}
