//! The network between one process and its servers, for tests: every remote call passes here, and
//! call number k may go wrong in each way that a real one can.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How a call goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// It did not happen.
    Before,
    /// It happened; the answer was lost.
    After,
    /// No answer, and it happens 20 s later.
    Late,
    /// From here on nothing answers for a minute.
    Outage,
    /// The process dies; the call did not happen.
    KillBefore,
    /// The process dies; the call happened.
    KillAfter,
    /// The process is paused for so long that it is replaced, and makes its call when it goes on.
    PauseBefore,
    /// The same, with the answer waiting for it.
    PauseAfter,
    /// A commit was answered Ok and did not happen (KAFKA-17754).
    Lied,
    /// It did not happen: the process may not. Not one of [`Failure::ALL`], as it goes on until
    /// somebody changes permissions.
    Denied,
    /// It did not happen: there is no space. Not one of [`Failure::ALL`], as [`Failure::Denied`].
    Full,
    /// The client library panics; not one of [`Failure::ALL`].
    Panic,
}

impl Failure {
    pub(crate) const ALL: [Failure; 9] = [
        Failure::Before,
        Failure::After,
        Failure::Late,
        Failure::Outage,
        Failure::KillBefore,
        Failure::KillAfter,
        Failure::PauseBefore,
        Failure::PauseAfter,
        Failure::Lied,
    ];
}

/// How long a late call takes to happen.
pub(crate) const LATE: Duration = Duration::from_secs(20);
const OUTAGE: Duration = Duration::from_secs(60);

/// One process's network.
#[derive(Clone, Default, Debug)]
pub(crate) struct Network(Arc<Shared>);

#[derive(Default, Debug)]
struct Shared {
    state: Mutex<State>,
    resumed: Notify,
}

/// How each call goes whose text the function accepts.
pub(crate) type Always = (fn(&str) -> bool, Failure);

#[derive(Default, Debug)]
struct State {
    calls: usize,
    plan: Option<(usize, Failure)>,
    /// What call k was.
    hit: Option<String>,
    gone_until: Option<Instant>,
    always: Option<Always>,
    dead: bool,
    paused: bool,
}

impl Network {
    pub(crate) fn failing(k: usize, how: Failure) -> Network {
        let network = Network::default();
        network.lock().plan = Some((k, how));
        network
    }

    /// From here on, how each call goes that is meant.
    pub(crate) fn always(&self, how: Option<Always>) {
        self.lock().always = how;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    /// How this call goes; [`None`]: well. A process that is dead makes no call any more.
    pub(crate) fn pass(&self, what: &str) -> Option<Failure> {
        let mut s = self.lock();
        if s.dead {
            return Some(Failure::KillBefore);
        }
        if s.paused {
            return Some(Failure::PauseBefore);
        }
        s.calls += 1;
        if s.gone_until.is_some_and(|until| Instant::now() < until) {
            return Some(Failure::Before);
        }
        if let Some((is_meant, how)) = s.always
            && is_meant(what)
        {
            return Some(how);
        }
        let (_, how) = s.plan.filter(|(k, _)| *k == s.calls)?;
        s.hit = Some(what.to_string());
        match how {
            Failure::KillBefore | Failure::KillAfter => s.dead = true,
            Failure::PauseBefore | Failure::PauseAfter => s.paused = true,
            Failure::Outage => s.gone_until = Some(Instant::now() + OUTAGE),
            _ => {}
        }
        Some(how)
    }

    pub(crate) async fn resumed(&self) {
        loop {
            let resumed = self.0.resumed.notified();
            if !self.lock().paused {
                return;
            }
            resumed.await;
        }
    }

    pub(crate) fn resume(&self) {
        self.lock().paused = false;
        self.0.resumed.notify_waiters();
    }

    pub(crate) fn kill(&self) {
        self.lock().dead = true;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.lock().dead
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.lock().paused
    }

    pub(crate) fn calls(&self) -> usize {
        self.lock().calls
    }

    pub(crate) fn hit(&self) -> Option<String> {
        self.lock().hit.clone()
    }
}
