//! What runs beside what. A lane is a sequence of stages; a stage begins when the one before it has
//! ended, and runs a number of scenarios at the same time. Lanes run beside one another.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Where a scenario stands.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) lane: usize,
    pub(crate) stage: usize,
    /// How many of its stage run at the same time.
    pub(crate) width: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waits,
    Runs(Instant),
    Ended { took: Duration, passed: bool },
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
        Turn { lanes: self, mine, passed: false }
    }

    fn end(&self, mine: usize, passed: bool) {
        let mut slots = self.slots.lock();
        if let State::Runs(began) = slots[mine].state {
            slots[mine].state = State::Ended { took: began.elapsed(), passed };
        }
        drop(slots);
        let _ = self.changed.notify_all();
    }

    /// A table of what each scenario took.
    pub(crate) fn print_times(&self) {
        for slot in self.slots.lock().iter() {
            if let State::Ended { took, passed } = slot.state {
                let outcome = if passed { "" } else { "  FAILED" };
                println!("{:>7.1} s  {}{outcome}", took.as_secs_f64(), slot.name);
            }
        }
    }
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

/// A scenario that runs. Dropped, it has ended; it has failed unless it was said to have passed.
pub(crate) struct Turn<'a> {
    lanes: &'a Lanes,
    mine: usize,
    passed: bool,
}

impl Turn<'_> {
    pub(crate) fn passed(mut self) {
        self.passed = true;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.lanes.end(self.mine, self.passed);
    }
}
