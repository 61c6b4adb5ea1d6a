//! The clocks of the brokers, as far as records tell them: no answer of a broker has a time, and
//! nothing is written here. The brokers stamp the records of topics with
//! `message.timestamp.type=LogAppendTime`; their clock says that or more.

use std::sync::Arc;

use crate::clients::kafka::topics::{self, Admin};
use crate::clients::kafka::{Consumer, consumer_config};
use crate::common::config::Config;
use crate::engine::topics::mapping_of;
use crate::outside::audit::brokers::{LookError, blocking};
use crate::outside::audit::live::clocks::{self, Told};
use crate::outside::audit::live::tried::{Attempted, Outcome};

/// So many topics are asked for at most.
const TOPICS: usize = 20;

/// Tells what is known of the brokers' clocks.
pub(super) async fn clock(config: &Config, consumer: &Arc<Consumer>, report: &mut Attempted) {
    let (outcome, text) = match newest(config, consumer).await {
        Ok(newest) => judged(newest, clocks::now()),
        Err(error) => (Outcome::Unknown, error.to_string()),
    };
    report.add("clock of the brokers", outcome, text);
}

/// The newest stamp, by the brokers, of the topics that a mapping is for.
async fn newest(config: &Config, consumer: &Arc<Consumer>) -> Result<Option<i64>, LookError> {
    let (asking, servers) = (Arc::clone(consumer), config.kafka.bootstrap_servers.clone());
    let existing = blocking(move || topics::all(&asking, &servers)).await?;
    let admin = Admin::new(&consumer_config(config)?)?;
    let mut newest = None;
    let ours = existing.into_iter().filter(|(topic, _)| mapping_of(config, topic).is_some());
    for (topic, partitions) in ours.take(TOPICS) {
        // Whose settings are not told is not asked further.
        if admin.settings(&topic).await.is_ok_and(|settings| topics::is_stamped(&settings)) {
            let asking = Arc::clone(consumer);
            let asked = move || topics::newest_stamp(&asking, &topic, partitions);
            newest = newest.max(blocking(asked).await?);
        }
    }
    Ok(newest)
}

/// `newest`: what a broker's clock has said once; `now`: this host's clock after it was asked for.
fn judged(newest: Option<i64>, now: i64) -> (Outcome, String) {
    let Some(newest) = newest else {
        let text = "no answer of a broker has a time, and no topic here has records that the \
                    brokers have stamped (message.timestamp.type=LogAppendTime)";
        return (Outcome::Unknown, text.into());
    };
    // It says at least that: only a clock that is ahead can be seen.
    let told = Told { asked: (now, now), told: newest, step: i64::MAX };
    match told.judged(false) {
        (Outcome::Good, _) => {
            let behind = now.saturating_sub(newest).max(0) as f64 / 1_000.0;
            let text = format!(
                "by the newest record that they have stamped they are at most {behind:.1} s behind \
                 this host, and not 2 s ahead then; more can't be known without a record that is \
                 written now"
            );
            (Outcome::Unknown, text)
        }
        ahead => ahead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_is_ahead_can_be_seen() {
        let now = 1_000_000;
        assert_eq!(judged(None, now).0, Outcome::Unknown);
        let (outcome, text) = judged(Some(now - 90_000), now);
        assert_eq!(outcome, Outcome::Unknown);
        assert!(text.contains("at most 90.0 s behind"), "{text}");
        let (outcome, text) = judged(Some(now + 4_000), now);
        assert_eq!(outcome, Outcome::Doubtful);
        assert!(text.contains("at least 4.0 s ahead"), "{text}");
    }
}
