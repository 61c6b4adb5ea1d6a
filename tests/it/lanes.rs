//! What runs beside what. A lane is a sequence of stages; a stage begins when the one before it has
//! ended, and runs a number of scenarios at the same time. Lanes run beside one another.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How many lines the summary has of one reason, and how many characters of each.
const SHORT_LINES: usize = 4;
const SHORT_LINE: usize = 300;

/// Where a scenario stands.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) lane: usize,
    pub(crate) stage: usize,
    /// How many of its stage run at the same time.
    pub(crate) width: usize,
}

#[derive(Clone, PartialEq, Eq)]
enum State {
    Waits,
    Runs(Instant),
    /// With the reason, when the scenario failed.
    Ended {
        duration: Duration,
        failure: Option<String>,
    },
}

struct Slot {
    name: String,
    place: Place,
    state: State,
}

/// All scenarios of a run, in the order in which they begin.
pub(crate) struct Lanes {
    slots: Mutex<Vec<Slot>>,
    changed: Condvar,
}

impl Lanes {
    pub(crate) fn new(all: Vec<(String, Place)>) -> Lanes {
        let slot = |(name, place)| Slot { name, place, state: State::Waits };
        Lanes { slots: Mutex::new(all.into_iter().map(slot).collect()), changed: Condvar::new() }
    }

    /// Waits until a scenario may begin; it ends with what this gives.
    pub(crate) fn wait_for(&self, name: &str) -> Turn<'_> {
        let mut slots = self.slots.lock();
        let mine = slots.iter().position(|s| s.name == name).unwrap();
        self.changed.wait_while(&mut slots, |slots| !may_begin(slots, mine));
        slots[mine].state = State::Runs(Instant::now());
        println!("{name} begins");
        drop(slots);
        let _ = self.changed.notify_all();
        Turn { lanes: self, mine }
    }

    fn end(&self, mine: usize, failure: Option<String>) {
        let mut slots = self.slots.lock();
        if let State::Runs(started) = slots[mine].state {
            slots[mine].state = State::Ended { duration: started.elapsed(), failure };
        }
        drop(slots);
        let _ = self.changed.notify_all();
    }

    /// A table of what each scenario took, and why scenarios failed. What failed is also written
    /// into `summary`, a line each: whoever reads the end of a long log finds the reason there.
    pub(crate) fn report_outcomes(&self, summary: &Path) {
        let (slots, mut short) = (self.slots.lock(), String::new());
        for slot in slots.iter() {
            if let State::Ended { duration, failure } = &slot.state {
                let outcome = if failure.is_none() { "" } else { "  FAILED" };
                println!("{:>7.1} s  {}{outcome}", duration.as_secs_f64(), slot.name);
            }
        }
        for slot in slots.iter() {
            if let State::Ended { failure: Some(reason), .. } = &slot.state {
                println!("{} failed: {reason}", slot.name);
                let _ = writeln!(short, "{} failed: {}", slot.name, shortened(reason));
            }
        }
        std::fs::write(summary, short).unwrap();
    }
}

/// What a panic said, without the logs, on lines that are not too long.
fn shortened(reason: &str) -> String {
    let lines = reason.lines().take(SHORT_LINES).map(|l| l.chars().take(SHORT_LINE));
    lines.map(|l| l.collect::<String>()).collect::<Vec<_>>().join("\n  ")
}

fn may_begin(slots: &[Slot], mine: usize) -> bool {
    let Place { lane, stage, width } = slots[mine].place;
    let mut running = 0;
    for (i, slot) in slots.iter().enumerate().filter(|(_, s)| s.place.lane == lane) {
        let ended = matches!(slot.state, State::Ended { .. });
        if slot.place.stage < stage && !ended
            || slot.place.stage == stage && i < mine && slot.state == State::Waits
        {
            return false;
        }
        running += usize::from(matches!(slot.state, State::Runs(_)));
    }
    running < width
}

/// A scenario that runs. Dropped, it has ended.
pub(crate) struct Turn<'a> {
    lanes: &'a Lanes,
    mine: usize,
}

impl Turn<'_> {
    /// Ends the scenario; with the reason, when it failed.
    pub(crate) fn ended(self, failure: Option<String>) {
        self.lanes.end(self.mine, failure);
    }
}
