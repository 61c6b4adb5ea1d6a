//! The client of a root, and its successor when a NameNode hangs.
//!
//! hdfs-native waits on a connection for as long as it is open, so a NameNode that neither answers
//! nor dies keeps the client for ever, whichever other NameNode has become the active one. A client
//! whose calls are overdue while nothing answers is dropped, and another one is built that asks the
//! active NameNode first (docs/decisions/0017-silent-namenodes.md). Which one that is, a client of
//! each NameNode alone finds out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdfs_native::{Client, HdfsError};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::clients::store::hdfs::error::classify;
use crate::clients::store::tasks::within;
use crate::common::deadlines;
use crate::common::spawn::spawn_detached;

/// So many calls of a client are overdue before it is replaced; of one that has never answered, one
/// is enough.
const OVERDUE: u32 = 2;
/// How long a client is kept at least. One that waits for a KDC takes a thread until it gives up.
const KEPT: Duration = Duration::from_secs(12);
/// The same where there is no other NameNode.
const ALONE: Duration = Duration::from_secs(60);

/// How long the NameNodes have to say which one is active.
const ACTIVE: Duration = Duration::from_secs(3);

/// Which NameNodes a client asks, by their numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asks {
    /// This one first.
    First(usize),
    /// No other one.
    Only(usize),
}

/// Builds a client.
type Build = dyn Fn(Asks) -> Result<Client, HdfsError> + Send + Sync;

/// A client, and how to hear that it was replaced.
#[derive(Clone)]
pub(super) struct InUse {
    pub(super) client: Arc<Client>,
    /// Becomes true.
    pub(super) replaced: watch::Receiver<bool>,
    number: usize,
    /// The number of the NameNode that it asks first.
    first: usize,
}

/// What is known of the client in use.
#[derive(Clone, Copy)]
struct ClientHealth {
    built: Instant,
    answered: Option<Instant>,
    overdue: u32,
}

struct State {
    in_use: InUse,
    replaced: watch::Sender<bool>,
    health: ClientHealth,
}

pub(super) struct Clients {
    build: Box<Build>,
    /// Where calls of clients run.
    threads: Handle,
    namenodes: usize,
    /// The addresses of the NameNodes, as far as they are known.
    servers: Arc<[String]>,
    url: String,
    state: Mutex<State>,
}

impl ClientHealth {
    fn new(now: Instant) -> ClientHealth {
        ClientHealth { built: now, answered: None, overdue: 0 }
    }

    /// Notes a call that began at `began` and is overdue; whether the client is to be replaced.
    fn is_lost(&mut self, began: Instant, now: Instant, namenodes: usize) -> bool {
        // Others were answered meanwhile: it is not the NameNode that is silent.
        if self.answered.is_some_and(|at| began <= at) {
            return false;
        }
        self.overdue = self.overdue.saturating_add(1);
        let (enough, kept) = match (namenodes, self.answered) {
            (1, _) => (OVERDUE, ALONE),
            (_, None) => (1, KEPT),
            (_, Some(_)) => (OVERDUE, KEPT),
        };
        enough <= self.overdue && kept <= now.saturating_duration_since(self.built)
    }
}

impl State {
    fn of(client: Client, number: usize, first: usize) -> State {
        let (sender, replaced) = watch::channel(false);
        let in_use = InUse { client: Arc::new(client), replaced, number, first };
        State { in_use, replaced: sender, health: ClientHealth::new(Instant::now()) }
    }
}

impl Clients {
    /// Builds the first client.
    ///
    /// # Errors
    /// The configuration is not usable.
    pub(super) fn new(
        url: &str,
        (namenodes, servers): (usize, Arc<[String]>),
        threads: Handle,
        build: impl Fn(Asks) -> Result<Client, HdfsError> + Send + Sync + 'static,
    ) -> Result<Clients, HdfsError> {
        let state = Mutex::new(State::of(build(Asks::First(0))?, 0, 0));
        Ok(Clients { build: Box::new(build), threads, namenodes, servers, url: url.into(), state })
    }

    pub(super) fn in_use(&self) -> InUse {
        self.state.lock().in_use.clone()
    }

    /// Whether a call of any of them has ever come back.
    pub(super) fn has_answered(&self) -> bool {
        let state = self.state.lock();
        0 < state.in_use.number || state.health.answered.is_some()
    }

    /// A call of this client has come back, whatever it says.
    pub(super) fn answered(&self, by: &InUse) {
        let mut state = self.state.lock();
        if state.in_use.number == by.number {
            state.health.answered = Some(Instant::now());
            state.health.overdue = 0;
        }
    }

    /// Waits for a call on a file of this client. Such a call may be held up by a DataNode or by
    /// the NameNode: when it takes long, the NameNode is asked whether it answers.
    pub(super) async fn attended<T>(
        self: &Arc<Self>,
        of: &InUse,
        call: impl Future<Output = T>,
    ) -> T {
        tokio::pin!(call);
        tokio::select! {
            answer = &mut call => return answer,
            () = tokio::time::sleep(deadlines::PIPELINE_SLOW) => {}
        }
        tokio::select! {
            answer = call => answer,
            never = self.ask(of) => match never {},
        }
    }

    /// Asks the NameNode of this client again and again, until the client was replaced.
    async fn ask(self: &Arc<Self>, of: &InUse) -> Infallible {
        const PROBE: Duration = deadlines::STORE_PROBE;
        let here = Handle::current();
        while !*of.replaced.borrow() {
            let (began, clients, by) = (Instant::now(), Arc::clone(self), of.clone());
            let asked = within(&here, PROBE, "look at", "/", async move {
                let answer = by.client.get_file_info("/").await;
                clients.answered(&by);
                answer.map_err(|e| classify("look at", "/", &e))
            });
            if asked.await.is_err() {
                self.overdue(of, began).await;
            }
            tokio::time::sleep(PROBE).await;
        }
        std::future::pending().await
    }

    /// A call of this client that began at `began` was given up.
    pub(super) async fn overdue(&self, by: &InUse, began: Instant) {
        {
            let (mut state, now) = (self.state.lock(), Instant::now());
            let is_in_use = state.in_use.number == by.number;
            if !is_in_use || !state.health.is_lost(began, now, self.namenodes) {
                return;
            }
        }
        // Nobody waits for the lock meanwhile. The library does not tell which NameNode it used.
        let first = self.find_active().await;
        let next = || by.first.wrapping_add(1);
        let first = first.unwrap_or_else(next).checked_rem(self.namenodes).unwrap_or_default();
        if let Some(old) = self.replace(by, first) {
            self.tell(by.number == 0 || old.answered.is_some(), first);
        }
    }

    /// Replaces a client that keeps what its servers have forgotten.
    pub(super) fn renew(&self, by: &InUse) {
        let _ = self.replace(by, by.first);
    }

    /// Puts another client, which asks this NameNode first, in the place of one that is in use.
    /// What was known of that one; [`None`] if it is in use no more, or if no other can be built.
    fn replace(&self, by: &InUse, first: usize) -> Option<ClientHealth> {
        let number = by.number.wrapping_add(1);
        match (self.build)(Asks::First(first)) {
            Ok(client) => {
                let new = State::of(client, number, first);
                let mut state = self.state.lock();
                if state.in_use.number != by.number {
                    return None;
                }
                let old = std::mem::replace(&mut *state, new);
                drop(state);
                // Whoever waits for one of its files stops waiting.
                let _ = old.replaced.send(true);
                Some(old.health)
            }
            Err(error) => {
                tracing::warn!(
                    code = "AL203", root = self.url, %error,
                    "another client can't be built"
                );
                None
            }
        }
    }

    /// Says that a client was replaced: once, until a NameNode has answered again.
    fn tell(&self, is_news: bool, first: usize) {
        let address = self.servers.get(first).filter(|_| self.servers.len() == self.namenodes);
        let asked = address.map_or("the next NameNode", String::as_str);
        if !is_news {
            return tracing::debug!(root = self.url, asked, "no NameNode has answered yet");
        }
        tracing::warn!(
            code = "AL202",
            root = self.url,
            "the NameNode does not answer: its connection is given up, a new one asks {asked} \
             first, and files of this root wait until one answers. If this line repeats, the \
             NameNode hangs or is overloaded"
        );
    }

    /// The NameNode that answers as the active one, if one does at once. A standby refuses, and one
    /// that is silent keeps its client until its connection ends.
    async fn find_active(&self) -> Option<usize> {
        if self.namenodes < 2 {
            return None;
        }
        let (found, mut first) = mpsc::channel(self.namenodes);
        for nth in 0..self.namenodes {
            let Ok(client) = (self.build)(Asks::Only(nth)) else { continue };
            let found = found.clone();
            let _there = self.threads.enter();
            spawn_detached("namenode-probe", async move {
                if client.get_file_info("/").await.is_ok() {
                    let _ = found.try_send(nth);
                }
            });
        }
        drop(found);
        tokio::time::timeout(ACTIVE, first.recv()).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_lost_when_nothing_answers() {
        let (built, s) = (Instant::now(), Duration::from_secs);
        let at = |seconds| built + s(seconds);
        let mut health = ClientHealth { answered: Some(at(0)), ..ClientHealth::new(built) };
        assert!(!health.is_lost(at(1), at(16), 2), "one may be slow");
        assert!(health.is_lost(at(1), at(16), 2), "two are not");
        health.answered = Some(at(17));
        health.overdue = 0;
        for _ in 0..5 {
            assert!(!health.is_lost(at(5), at(20), 2), "others were answered since");
        }
        // The first call of all.
        assert!(ClientHealth::new(built).is_lost(at(0), at(15), 2));
        assert!(!ClientHealth::new(built).is_lost(at(0), at(3), 2), "it has just been built");
        // Nobody else is there: the connection is given up all the same, and seldom.
        let mut alone = ClientHealth::new(built);
        assert!(!alone.is_lost(at(0), at(15), 1) && !alone.is_lost(at(0), at(30), 1));
        assert!(alone.is_lost(at(46), at(61), 1));
    }
}
