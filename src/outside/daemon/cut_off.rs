//! Clients that reach no broker, although a new client does: the daemon starts anew then. A client
//! of librdkafka can lose all of its brokers for good (docs/decisions/0026-cut-off-clients.md).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::clients::kafka::{self, Trial, consumer_config};
use crate::common::config::Config;
use crate::common::deadlines::BROKER_CALL;
use crate::common::health::Subject;
use crate::outside::daemon::reload::Reloading;
use crate::outside::daemon::unavailable::{LoginRefused, StartAgain};

/// How often the rule is asked whether a new client is to be tried.
const EVERY: Duration = Duration::from_secs(5);

/// The daemon's own client gets so much time to find the brokers again.
const PATIENCE: Duration = Duration::from_secs(120);

/// The same in a process that was started anew for this reason: a new client may be of no use.
const PATIENCE_AFTERWARDS: Duration = Duration::from_secs(600);

/// The most topics that a trial asks for: one of them may be deleted.
const TOPICS: usize = 5;

/// The least time between two trials, unless the first one was answered.
const BETWEEN: Duration = Duration::from_secs(60);

/// The time from an answer to the second trial. Meanwhile the daemon asks by its own client once at
/// least, and waits for the whole call; an answer ends the outage.
const CONFIRM: Duration = Duration::from_secs(20);

const _: () = assert!(EVERY.saturating_add(BROKER_CALL).as_millis() < CONFIRM.as_millis());

/// An outage of the brokers, by its beginning as the board has it: milliseconds of the wall clock.
type Outage = i64;

/// When a new client is tried, and what follows from its answers. Only data, with time as an
/// argument.
#[derive(Debug)]
struct Rule {
    patience: Duration,
    confirm: Duration,
    /// The outage that goes on, and when it was seen first: the wall clock may be set meanwhile.
    /// [`None`] while a broker answers.
    outage: Option<(Outage, Instant)>,
    /// The end of the last trial.
    tried: Option<Instant>,
    /// The last trial was answered, in this outage.
    answered: bool,
}

impl Rule {
    fn new(patience: Duration, confirm: Duration) -> Rule {
        Rule { patience, confirm, outage: None, tried: None, answered: false }
    }

    /// Whether a new client is to be tried now.
    fn is_due(&mut self, outage: Option<Outage>, now: Instant) -> bool {
        if !self.goes_on(outage) {
            (self.outage, self.answered) = (outage.map(|outage| (outage, now)), false);
        }
        let Some((_, seen)) = self.outage else { return false };
        let pause = if self.answered { self.confirm } else { BETWEEN };
        self.patience <= now.duration_since(seen)
            && self.tried.is_none_or(|at| pause <= now.duration_since(at))
    }

    /// Whether this is the outage that was seen last. Another one may have begun since the look
    /// before: the daemon's own client was answered between them.
    fn goes_on(&self, outage: Option<Outage>) -> bool {
        self.outage.map(|(of, _)| of) == outage
    }

    /// A trial has ended; whether it was the second one in turn that was answered.
    fn tried(&mut self, is_answered: bool, now: Instant) -> bool {
        self.tried = Some(now);
        std::mem::replace(&mut self.answered, is_answered) && is_answered
    }
}

/// What was found at last.
#[derive(PartialEq, Eq, Debug)]
enum Found {
    CutOff,
    LoginRefused(String),
}

/// Looks again and again, and returns when a new client is needed.
async fn until_found<T: Future<Output = Trial>>(
    mut rule: Rule,
    outage: impl Fn() -> Option<Outage>,
    try_anew: impl Fn() -> T,
) -> Found {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let _ = tick.tick().await;
        if !rule.is_due(outage(), Instant::now()) {
            continue;
        }
        let trial = try_anew().await;
        let is_twice = rule.tried(trial == Trial::Answers, Instant::now());
        // The daemon's own client may have been answered meanwhile.
        if !rule.goes_on(outage()) {
            continue;
        }
        match trial {
            // Each further try counts where accounts are locked.
            Trial::LoginRefused(why) => return Found::LoginRefused(why),
            Trial::Answers if is_twice => return Found::CutOff,
            Trial::Answers | Trial::NoAnswer => {}
        }
    }
}

/// Runs beside the daemon, and ends it when a new client is needed.
pub(super) fn watch(
    config: &Arc<Config>,
    all: &Reloading,
    was_cut_off: bool,
) -> impl Future<Output = ()> + Send + 'static + use<> {
    let (config, control) = (Arc::clone(config), Arc::clone(&all.control));
    let (health, again) = (Arc::clone(&all.health), all.again.clone());
    let patience = if was_cut_off { PATIENCE_AFTERWARDS } else { PATIENCE };
    let rule = Rule::new(patience, confirm(&config));
    async move {
        let outage = || health.board.outage(&Subject::Brokers).map(|outage| outage.since);
        let topics = || control.subscribed().into_iter().take(TOPICS).collect();
        let try_anew = || try_anew(Arc::clone(&config), topics());
        let end: anyhow::Error = match until_found(rule, outage, try_anew).await {
            Found::LoginRefused(text) => LoginRefused { text, was_running: true }.into(),
            Found::CutOff => {
                tracing::warn!(
                    code = "AL110",
                    "the brokers have answered a new client twice, and no client of this daemon \
                     for {} seconds or more: the daemon starts anew in the same process, and \
                     nothing is lost",
                    patience.as_secs()
                );
                StartAgain::CutOff.into()
            }
        };
        let _ = again.send(end).await;
        // The daemon ends now, and this task with it.
        std::future::pending::<()>().await;
    }
}

/// The time from an answer to the second trial: a client that may pause between its connections
/// for longer gets the time for two of these pauses.
fn confirm(config: &Config) -> Duration {
    let pause = config.kafka.property("reconnect.backoff.max.ms", "1000");
    let pause = Duration::from_millis(pause.trim().parse::<u64>().unwrap_or(1_000));
    CONFIRM.saturating_add(pause.saturating_mul(2))
}

/// Tries a client that is made of the settings, secrets and certificates as they are now.
async fn try_anew(config: Arc<Config>, topics: Vec<String>) -> Trial {
    // A daemon that reads nothing asks for nothing.
    if topics.is_empty() {
        return Trial::NoAnswer;
    }
    let trial = move || kafka::try_anew(&consumer_config(&config)?, &topics);
    match tokio::task::spawn_blocking(trial).await {
        Ok(Ok(trial)) => {
            tracing::debug!(?trial, "a new client was tried");
            trial
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "a new client was not made");
            Trial::NoAnswer
        }
        Err(error) => {
            tracing::error!(code = "AL901", %error, "the job that tries a new client has panicked");
            Trial::NoAnswer
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::outside::daemon::examples;

    const CALL: Duration = Duration::from_secs(2);

    /// One outage, which does not end.
    const AWAY: Option<Outage> = Some(7);

    /// Seconds at which a new client was tried, what was found, and when; [`None`]: nothing within
    /// `limit` seconds. `outage` and `answer` get the seconds since the begin.
    async fn played(
        limit: u64,
        outage: impl Fn(u64) -> Option<Outage>,
        answer: impl Fn(u64) -> Trial,
    ) -> (Vec<u64>, Option<(Found, u64)>) {
        let begun = Instant::now();
        let seconds = || begun.elapsed().as_secs();
        let tries = RefCell::new(Vec::new());
        let try_anew = || {
            tries.borrow_mut().push(seconds());
            let answer = answer(seconds());
            async move {
                tokio::time::sleep(CALL).await;
                answer
            }
        };
        let rule = Rule::new(PATIENCE, CONFIRM);
        let looking = until_found(rule, || outage(seconds()), try_anew);
        let found = tokio::time::timeout(Duration::from_secs(limit), looking).await.ok();
        (tries.take(), found.map(|found| (found, seconds())))
    }

    #[tokio::test(start_paused = true)]
    async fn two_answers_after_two_minutes_show_that_the_clients_are_cut_off() {
        let (tries, found) = played(3_600, |_| AWAY, |_| Trial::Answers).await;
        assert_eq!(tries.len(), 2, "{tries:?}");
        assert!((120..126).contains(&tries[0]), "{tries:?}");
        assert!((tries[0] + 20..tries[0] + 30).contains(&tries[1]), "{tries:?}");
        let (found, at) = found.unwrap();
        assert!(found == Found::CutOff && at < 160, "{found:?} {at}");
    }

    #[tokio::test(start_paused = true)]
    async fn brokers_that_are_down_are_tried_once_a_minute_at_most_and_for_ever() {
        let (tries, found) = played(3_600, |_| AWAY, |_| Trial::NoAnswer).await;
        assert_eq!(found, None);
        assert!((45..=60).contains(&tries.len()), "{tries:?}");
        assert!(tries.windows(2).all(|two| 60 <= two[1] - two[0]), "{tries:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_answer_or_two_that_are_not_in_turn_prove_nothing() {
        let nth = Cell::new(0);
        let by_turns = |_: u64| {
            nth.set(nth.get() + 1);
            if nth.get() % 2 == 0 { Trial::NoAnswer } else { Trial::Answers }
        };
        let (tries, found) = played(3_600, |_| AWAY, by_turns).await;
        assert!(found.is_none() && 10 < tries.len(), "{found:?} {tries:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_finds_the_brokers_by_itself_goes_on() {
        let (tries, found) =
            played(3_600, |at| AWAY.filter(|_| at < 130), |_| Trial::Answers).await;
        assert!(found.is_none() && tries.len() == 1, "{found:?} {tries:?}");
        // Outages that end and begin again have each the whole patience.
        let by_turns = |at: u64| AWAY.filter(|_| !(at / 5).is_multiple_of(20));
        let (tries, found) = played(3_600, by_turns, |_| Trial::Answers).await;
        assert!(found.is_none() && tries.is_empty(), "{found:?} {tries:?}");
        // The end of an outage during a trial counts.
        let refused = |_: u64| Trial::LoginRefused("no".into());
        let (tries, found) = played(3_600, |at| AWAY.filter(|_| at < 121), refused).await;
        assert!(found.is_none() && tries.len() == 1, "{found:?} {tries:?}");
    }

    /// A client that is answered now and then is not cut off, even if no look falls on an answer.
    #[tokio::test(start_paused = true)]
    async fn an_outage_that_ends_and_begins_between_two_looks_is_another_one() {
        let each_minute = |at: u64| Some((at / 60) as Outage);
        let (tries, found) = played(3_600, each_minute, |_| Trial::Answers).await;
        assert!(found.is_none() && tries.is_empty(), "{found:?} {tries:?}");
        // Another one during a trial: its answer counts for none.
        let refused = |_: u64| Trial::LoginRefused("no".into());
        let second = |at: u64| Some(Outage::from(121 <= at));
        let (tries, found) = played(200, second, refused).await;
        assert!(found.is_none() && tries.len() == 1, "{found:?} {tries:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_login_is_not_tried_a_second_time() {
        let refused = |_: u64| Trial::LoginRefused("no".into());
        let (tries, found) = played(3_600, |_| AWAY, refused).await;
        assert_eq!(tries.len(), 1, "{tries:?}");
        assert_eq!(found.unwrap().0, Found::LoginRefused("no".into()));
    }

    #[test]
    fn a_client_that_pauses_for_long_gets_more_time() {
        let config = examples::config("[mapping.m]\ntopics = [\"t\"]");
        assert_eq!(confirm(&config), Duration::from_secs(22));
        let mut slow = config;
        let _ = slow.kafka.properties.insert("reconnect.backoff.max.ms".into(), "30000".into());
        assert_eq!(confirm(&slow), Duration::from_secs(80));
    }
}
