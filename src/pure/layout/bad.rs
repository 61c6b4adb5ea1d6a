//! When bad records are too many: `max_bad = "5% of 10m"`.

use std::fmt;
use std::time::{Duration, Instant};

use crate::pure::duration;

/// The most bad records of a time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MaxBad {
    pub most: Most,
    pub within: Duration,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Most {
    /// A part of all records, above 0 and at most 100 percent.
    Percent(f64),
    /// A number of records.
    Records(u64),
}

/// So many records have to be read before a part of them says anything.
pub const FEWEST: u64 = 100;

impl MaxBad {
    /// Reads `5% of 10m`, or `1000 of 1h`.
    ///
    /// # Errors
    /// The text says what may be written.
    pub fn parse(text: &str) -> Result<MaxBad, String> {
        let parsed = text.split_once(" of ").and_then(|(most, within)| {
            let most = match most.trim().strip_suffix('%') {
                Some(percent) => {
                    let percent: f64 = percent.trim().parse().ok()?;
                    Most::Percent((0.0 < percent && percent <= 100.0).then_some(percent)?)
                }
                None => Most::Records(most.trim().parse().ok()?),
            };
            let within = duration::parse(within.trim()).ok()?;
            let fits = (Duration::from_secs(1)..=Duration::from_hours(24)).contains(&within);
            fits.then_some(MaxBad { most, within })
        });
        parsed.ok_or_else(|| {
            format!(
                "{text:?} is no share of a time; write \"5% of 10m\" or \"1000 of 1h\", with a \
                 time between 1s and 24h"
            )
        })
    }
}

impl fmt::Display for MaxBad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.most {
            Most::Percent(percent) => write!(f, "{percent}% of {:?}", self.within),
            Most::Records(records) => write!(f, "{records} of {:?}", self.within),
        }
    }
}

/// Into how many parts the time is divided. The newest part is not over, so that at least nine
/// tenths of the time count, and never more than all of it.
const PARTS: u32 = 10;

/// The records of one partition within the time that has passed, by when they were read.
#[derive(Debug)]
pub struct BadRecords {
    limit: MaxBad,
    since: Instant,
    /// The part of time that `parts[0]` is about.
    newest: u128,
    /// All records and the bad ones, the newest part first.
    parts: [(u64, u64); PARTS as usize],
}

impl BadRecords {
    #[must_use]
    pub fn new(limit: MaxBad, now: Instant) -> BadRecords {
        BadRecords { limit, since: now, newest: 0, parts: [(0, 0); PARTS as usize] }
    }

    /// Adds records that were judged so long ago, all of them and the bad ones: by an owner before,
    /// of which the ledger knows.
    pub fn remember(&mut self, (all, bad): (u64, u64), age: Duration) {
        let part = self.limit.within.as_nanos().checked_div(u128::from(PARTS)).unwrap_or_default();
        let ago = age.as_nanos().checked_div(part.max(1)).unwrap_or_default();
        // The newest part begins now.
        let at = usize::try_from(ago).unwrap_or(usize::MAX).saturating_add(1);
        if let Some(of) = self.parts.get_mut(at) {
            of.0 = of.0.saturating_add(all);
            of.1 = of.1.saturating_add(bad);
        }
    }

    /// Adds a record. Whether the bad ones are too many with it.
    pub fn add(&mut self, is_bad: bool, now: Instant) -> bool {
        let part = self.limit.within.as_nanos().checked_div(u128::from(PARTS)).unwrap_or_default();
        let elapsed = now.saturating_duration_since(self.since).as_nanos();
        let at = elapsed.checked_div(part.max(1)).unwrap_or_default();
        let passed = at.saturating_sub(self.newest);
        if 0 < passed {
            let passed = usize::try_from(passed).unwrap_or(self.parts.len()).min(self.parts.len());
            self.parts.rotate_right(passed);
            self.parts[..passed].fill((0, 0));
            self.newest = at;
        }
        let newest = &mut self.parts[0];
        newest.0 = newest.0.saturating_add(1);
        newest.1 = newest.1.saturating_add(u64::from(is_bad));
        is_bad && self.are_too_many()
    }

    fn are_too_many(&self) -> bool {
        let sum =
            |of: fn(&(u64, u64)) -> u64| self.parts.iter().map(of).fold(0, u64::saturating_add);
        let (all, bad) = (sum(|part| part.0), sum(|part| part.1));
        match self.limit.most {
            Most::Records(most) => most < bad,
            Most::Percent(percent) => FEWEST <= all && percent * (all as f64) < 100.0 * bad as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(text: &str) -> MaxBad {
        MaxBad::parse(text).unwrap()
    }

    #[test]
    fn limits_are_read_and_nonsense_is_refused() {
        let minutes = |n| Duration::from_mins(n);
        assert_eq!(limit("5% of 10m"), MaxBad { most: Most::Percent(5.0), within: minutes(10) });
        assert_eq!(limit("0.5 % of 1h"), MaxBad { most: Most::Percent(0.5), within: minutes(60) });
        assert_eq!(limit("0 of 1s").most, Most::Records(0));
        for text in [
            "",
            "5%",
            "5% of",
            "0% of 1m",
            "101% of 1m",
            "NaN% of 1m",
            "-1 of 1m",
            "5 in 1m",
            "5% of 0s",
            "5% of 25h",
            "5% of -1m",
            "1.5 of 1m",
        ] {
            assert!(MaxBad::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_part_of_a_hundred_records_or_more_is_too_much() {
        let now = Instant::now();
        let mut bad = BadRecords::new(limit("5% of 10m"), now);
        assert!((0..20).all(|_| !bad.add(true, now)), "20 of 20 say nothing yet");
        assert!((0..379).all(|_| !bad.add(false, now)));
        assert!(bad.add(true, now), "21 of 400 are more than 5 %");
        let mut bad = BadRecords::new(limit("5% of 10m"), now);
        let every_20th = |n: u64| n % 20 == 19;
        assert!((0..2_000).all(|n| !bad.add(every_20th(n), now)), "5 % are not too many");
    }

    #[test]
    fn a_number_of_records_needs_no_others() {
        let now = Instant::now();
        let mut bad = BadRecords::new(limit("2 of 1m"), now);
        assert_eq!(
            [true, false, true, true].map(|is_bad| bad.add(is_bad, now)),
            [false, false, false, true]
        );
        assert!(BadRecords::new(limit("0 of 1m"), now).add(true, now));
    }

    #[test]
    fn what_is_older_is_forgotten() {
        let start = Instant::now();
        let mut bad = BadRecords::new(limit("1 of 10s"), start);
        assert!(!bad.add(true, start));
        assert!(bad.add(true, start + Duration::from_secs(9)));
        assert!(!bad.add(true, start + Duration::from_secs(30)), "both are older than 10 s");
        assert!(!bad.add(false, start), "a clock that stands still harms nothing");
        assert!(bad.add(true, start + Duration::from_secs(31)));
    }

    #[test]
    fn what_an_earlier_owner_has_judged_counts_until_it_is_old() {
        let start = Instant::now();
        let ages = |bad: &mut BadRecords, ages: &[u64]| {
            ages.iter().for_each(|age| bad.remember((100, 1), Duration::from_secs(*age)));
        };
        let mut bad = BadRecords::new(limit("2 of 10s"), start);
        ages(&mut bad, &[0, 8, 9, 10, 100, u64::MAX]);
        assert!(bad.add(true, start), "two are newer than nine tenths of the time");
        let mut bad = BadRecords::new(limit("2 of 10s"), start);
        ages(&mut bad, &[0, 8]);
        assert!(!bad.add(true, start + Duration::from_secs(1)), "one of them is too old now");
        let mut bad = BadRecords::new(limit("1% of 10s"), start);
        ages(&mut bad, &[3]);
        assert!(bad.add(true, start), "2 of 101 are more than 1 %");
    }
}
