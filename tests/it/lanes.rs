//! What runs beside what. A lane is a sequence of stages; a stage begins when the one before it has
//! ended, and runs a number of scenarios at the same time. Lanes run beside one another; the last
//! one begins when all others have ended.
//!
//! A machine that is slow, or that does other work, too, gets less to do at the same time: while it
//! is busy, no scenario begins beside another one. A scenario that was too late all the same, on a
//! machine that was busy, runs once more in the last lane, where nothing runs beside it
//! ([`Turn::again`]).

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::busy::{Busy, Noted};

/// How many lines the summary has of one reason, and how many characters of each.
const SHORT_LINES: usize = 4;
const SHORT_LINE: usize = 300;

/// The lane that begins when all others have ended.
pub(crate) const LAST: usize = usize::MAX;
/// Above this share of the machine's time no scenario begins beside another one.
const BUSY: f64 = 0.85;
/// The first lanes, up to this one, go on however busy the machine is.
const GO_ON: usize = 1;
/// How often a scenario that waits looks at how busy the machine is.
const LOOK: Duration = Duration::from_secs(1);
/// A scenario that was too late while the machine was less busy than this has no excuse.
const EXCUSES: f64 = 0.5;
/// How many scenarios of a run may be too late beside others. If there are more, the machine is not
/// the reason.
const MOST_AGAIN: usize = 6;

/// Where a scenario stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) lane: usize,
    pub(crate) stage: usize,
    /// How many of its stage run at the same time.
    pub(crate) width: usize,
}

#[derive(Clone, PartialEq, Eq)]
enum State {
    Waits,
    /// Since then.
    Runs(Noted),
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
    /// What the try beside others took, and why it failed.
    first: Option<(Duration, String)>,
}

impl Slot {
    fn is_running(&self) -> bool {
        matches!(self.state, State::Runs(_))
    }
}

/// All scenarios of a run, in the order in which they begin.
pub(crate) struct Lanes {
    slots: Mutex<Vec<Slot>>,
    changed: Condvar,
    busy: Busy,
}

impl Lanes {
    pub(crate) fn new(all: Vec<(String, Place)>) -> Lanes {
        let slot = |(name, place)| Slot { name, place, state: State::Waits, first: None };
        let slots = Mutex::new(all.into_iter().map(slot).collect());
        Lanes { slots, changed: Condvar::new(), busy: Busy::default() }
    }

    /// Waits until a scenario may begin; it ends with what this gives.
    pub(crate) fn wait_for(&self, name: &str) -> Turn<'_> {
        let mut slots = self.slots.lock();
        let mine = slots.iter().position(|s| s.name == name).unwrap();
        while !(may_begin(&slots, mine) && (is_first(&slots, mine) || self.busy.share() < BUSY)) {
            let _ = self.changed.wait_for(&mut slots, LOOK);
        }
        slots[mine].state = State::Runs(Noted::now());
        let beside = slots.iter().filter(|s| s.is_running()).count() - 1;
        println!("{name} begins, beside {beside} others; the machine is busy to {}", self.busy);
        self.busy.forget();
        drop(slots);
        let _ = self.changed.notify_all();
        Turn { lanes: self, mine }
    }

    fn end(&self, mine: usize, failure: Option<String>) {
        let mut slots = self.slots.lock();
        if let State::Runs(started) = &slots[mine].state {
            slots[mine].state = State::Ended { duration: started.elapsed(), failure };
        }
        drop(slots);
        let _ = self.changed.notify_all();
    }

    /// Whether the scenario may be tried again; if so, it waits for that. `excused`: the machine
    /// was busy.
    fn again(&self, mine: usize, reason: &str, excused: bool) -> bool {
        let mut slots = self.slots.lock();
        let tried = slots.iter().filter(|s| s.first.is_some()).count();
        let slot = &mut slots[mine];
        let State::Runs(started) = &slot.state else { return false };
        if !excused || slot.place.lane == LAST || tried >= MOST_AGAIN {
            return false;
        }
        slot.first = Some((started.elapsed(), reason.to_string()));
        slot.state = State::Waits;
        slot.place = Place { lane: LAST, stage: 1, width: 1 };
        drop(slots);
        let _ = self.changed.notify_all();
        true
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
            let name = &slot.name;
            if let Some((duration, reason)) = &slot.first {
                let (took, reason) = (duration.as_secs_f64(), shortened(reason));
                let line =
                    format!("{name} was too late beside others, after {took:.1} s: {reason}");
                println!("{line}");
                let _ = writeln!(short, "{line}");
            }
            if let State::Ended { failure: Some(reason), .. } = &slot.state {
                println!("{name} failed: {reason}");
                let _ = writeln!(short, "{name} failed: {}", shortened(reason));
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

/// Whether its lane has come to it.
fn may_begin(slots: &[Slot], mine: usize) -> bool {
    let Place { lane, stage, width } = slots[mine].place;
    let mut running = 0;
    for (i, slot) in slots.iter().enumerate() {
        let ended = matches!(slot.state, State::Ended { .. });
        if slot.place.lane != lane {
            if lane == LAST && !ended {
                return false;
            }
            continue;
        }
        if slot.place.stage < stage && !ended
            || slot.place.stage == stage && i < mine && slot.state == State::Waits
        {
            return false;
        }
        running += usize::from(slot.is_running());
    }
    running < width
}

/// Whether it begins however busy the machine is: the first two lanes always go on, and whatever
/// is alone. All others need a machine that has time for them.
fn is_first(slots: &[Slot], mine: usize) -> bool {
    let lane = slots[mine].place.lane;
    let running =
        |s: &&Slot| s.is_running() && (lane == LAST || GO_ON < lane || s.place.lane == lane);
    !slots.iter().any(|s| running(&s))
}

/// A scenario that runs. Dropped, it has ended.
pub(crate) struct Turn<'a> {
    lanes: &'a Lanes,
    mine: usize,
}

impl Turn<'_> {
    /// Whether the scenario, which was too late for `reason`, is to be tried again, because the
    /// machine was busy. It then waits once more ([`Lanes::wait_for`]).
    pub(crate) fn again(&self, reason: &str) -> bool {
        let began = match &self.lanes.slots.lock()[self.mine].state {
            State::Runs(began) => began.clone(),
            _ => return false,
        };
        let busy = began.share_until(&Noted::now());
        self.lanes.again(self.mine, reason, EXCUSES <= busy)
    }

    /// Ends the scenario; with the reason, when it failed.
    pub(crate) fn ended(self, failure: Option<String>) {
        self.lanes.end(self.mine, failure);
    }
}

/// What may begin when, on a few scenarios that do nothing.
///
/// # Panics
/// A scenario may begin before its turn, or is tried more often than it may be.
pub(crate) fn assert_order_is_kept() {
    let place = |lane, stage, width| Place { lane, stage, width };
    let all = [
        ("a", place(0, 0, 2)),
        ("b", place(0, 0, 2)),
        ("c", place(0, 0, 2)),
        ("stops servers", place(0, 1, 1)),
        ("incident", place(1, 0, 1)),
        ("compares", place(LAST, 0, 1)),
    ];
    let lanes = Lanes::new(all.map(|(name, place)| (name.to_string(), place)).to_vec());
    let may = |wanted: [bool; 6]| {
        let slots = lanes.slots.lock();
        let found = all.map(|(name, _)| {
            let mine = slots.iter().position(|s| s.name == name).unwrap();
            slots[mine].state == State::Waits && may_begin(&slots, mine)
        });
        assert_eq!(found, wanted);
    };
    let set = |name: &str, state: State| {
        lanes.slots.lock().iter_mut().find(|s| s.name == name).unwrap().state = state;
        Turn { lanes: &lanes, mine: all.iter().position(|(n, _)| *n == name).unwrap() }
    };
    let runs = || State::Runs(Noted::now());
    may([true, false, false, false, true, false]);
    let a = set("a", runs());
    may([false, true, false, false, true, false]);
    let b = set("b", runs());
    may([false, false, false, false, true, false]);
    // It is tried again when all has ended, and does not hold up its own lane.
    assert!(!lanes.again(b.mine, "too late", false), "the machine had time");
    assert!(lanes.again(b.mine, "too late", true));
    may([false, false, true, false, true, false]);
    a.ended(None);
    set("c", runs()).ended(None);
    may([false, false, false, true, true, false]);
    set("stops servers", runs()).ended(None);
    may([false, false, false, false, true, false]);
    set("incident", runs()).ended(None);
    may([false, false, false, false, false, true]);
    set("compares", runs()).ended(None);
    may([false, true, false, false, false, false]);
    let b = set("b", runs());
    assert!(!lanes.again(b.mine, "too late", true), "there is one second try");
}
