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
use crate::engine::archive::listing::{LedgerListing, read_file};
use crate::engine::topics::{TopicRole, mapping_of};
use crate::outside::audit::rows;
use crate::pure::calendar::iso_millis;
use crate::pure::count::{Aggregate, Time};

/// The result of recounting one mapping.
#[derive(Debug, Default, Serialize)]
pub struct Recount {
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
    /// The files that could not be read.
    pub unreadable: Vec<String>,
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
    recount: Recount,
}

impl Recount {
    /// Whether both sides agree, and could be read whole.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty() && self.unreadable.is_empty() && self.untimed == 0
    }
}

/// Every ledger of these stores: read once, whatever number of mappings is recounted.
pub struct Ledgers(Vec<(Arc<dyn Store>, LedgerListing)>);

impl Ledgers {
    /// Reads all ledgers of these stores.
    ///
    /// # Errors
    /// A store does not answer.
    pub async fn read(stores: &[Arc<dyn Store>]) -> Result<Ledgers, StoreError> {
        let mut all = Vec::new();
        for store in stores {
            let ledgers = LedgerListing::all(&**store).await?;
            all.extend(ledgers.into_iter().map(|(_, listing)| (Arc::clone(store), listing)));
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
    ) -> Result<Recount, StoreError> {
        let recount = Recount { mapping: mapping.name.clone(), ..Recount::default() };
        let mut sheet = Sheet { count, range, windows: BTreeMap::new(), recount };
        for (store, listing) in &self.0 {
            let topic = listing.entries.first().map(|e| &*e.topic);
            let Some((of, role)) = topic.and_then(|t| mapping_of(config, t)) else { continue };
            let output = role == TopicRole::Output;
            let archive = if output { &count.archive } else { &mapping.archive };
            let here = archive.as_ref().is_some_and(|a| a.root.url() == store.url());
            if of.name == mapping.name && here {
                sheet.add(&**store, listing, output).await?;
            }
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
        for entry in &listing.entries {
            for file in &entry.files {
                let outside = match (file.min_time, file.max_time) {
                    (Some(min), Some(max)) if !output && self.count.time == Time::Record => {
                        let window = self.count.window;
                        self.range.end <= window.start(min) || window.start(max) < self.range.start
                    }
                    _ => false,
                };
                if outside {
                    continue;
                }
                let read = match read_file(store, entry, file).await? {
                    None => Err("it is not there".to_string()),
                    Some((_, bytes)) if output => self.published(&file.path, bytes),
                    Some((_, bytes)) => self.raw(&file.path, bytes),
                };
                if let Err(e) = read {
                    self.recount.unreadable.push(format!("{}: {e}", file.path));
                }
            }
        }
        Ok(())
    }

    fn published(&mut self, path: &str, bytes: Bytes) -> Result<(), String> {
        let (range, by_window) = (self.range.clone(), self.count.time != Time::Arrival);
        rows::counts(path, bytes, |start, word, n| {
            if !by_window || range.contains(&start) {
                let words = self.windows.entry(by_window.then_some(start)).or_default();
                sums(words, word).published += i128::from(n);
            }
        })
    }

    fn raw(&mut self, path: &str, bytes: Bytes) -> Result<(), String> {
        let Sheet { count, range, windows, recount } = self;
        rows::raw(path, bytes, |record| {
            let (time, own) = count.time.of(record, 0);
            if !own && record.timestamp.millis().is_none() {
                recount.untimed += 1;
                return;
            }
            let window = (count.time != Time::Arrival).then(|| count.window.start(time));
            if window.is_some_and(|start| !range.contains(&start)) {
                return;
            }
            recount.records += 1;
            let words = windows.entry(window).or_default();
            let _ = count.by.each_term(record, |word| {
                sums(words, word).recounted += 1;
                recount.words += 1;
            });
        })
    }

    fn close(self) -> Recount {
        let mut recount = self.recount;
        recount.windows = self.windows.len();
        for (window, words) in self.windows {
            let differ = words.into_iter().filter(|(_, s)| s.published != s.recounted);
            recount.differences.extend(differ.map(|(word, sums)| Difference {
                window_start: window.map(iso_millis),
                word: word.into(),
                published: sums.published,
                recounted: sums.recounted,
            }));
        }
        recount.differences.sort();
        recount
    }
}

fn sums<'a>(words: &'a mut Words, word: &str) -> &'a mut Sums {
    words.entry_ref(word).or_default()
}
