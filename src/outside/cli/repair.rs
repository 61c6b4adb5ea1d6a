//! `alluvium repair`

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use crate::clients::kafka::transaction::OffsetCommit;
use crate::clients::kafka::{
    Commit as _, Generation, KafkaError, Transactions, consumer_config, published, repair_config,
};
use crate::common::config::Config;
use crate::engine::archive::ledger::EntryTemplate;
use crate::outside::audit::brokers::{Brokers, Diagnosis, LookError, blocking};
use crate::outside::cli::arguments::{ConfigArgs, agent, reached_at};
use crate::outside::cli::exit::{EX_DATAERR, EX_USAGE};
use crate::outside::cli::output::{complain, say};
use crate::outside::cli::shared::{on_stores, partitions};
use crate::outside::daemon::{COMMAND, roots};
use crate::pure::protocol::repair::{Facts, Put, Refused, Repair as Plan};
use crate::pure::protocol::{Committed, EntryKind, LedgerTail, Stop};
use crate::pure::record::Offset;

/// Arguments of `repair`.
#[derive(Args, Debug)]
pub(super) struct Repair {
    #[command(flatten)]
    config: ConfigArgs,
    /// The topic; by default all partitions of all topics.
    topic: Option<String>,
    /// The partition's number; by default all partitions of the topic.
    partition: Option<i32>,
    /// The offset at which the results of a partition continue whose committed offset is gone. By
    /// default the published counts are read back, which give the exact offset.
    #[arg(long, value_name = "OFFSET", requires = "partition")]
    count_from: Option<i64>,
    /// Carry out the repair. An owner that runs is not locked out: use this only for
    /// partitions that are stopped or have no owner.
    #[arg(long)]
    apply: bool,
}

/// A repair that was interrupted needs another one; more than this leads nowhere.
const ROUNDS: usize = 4;
/// Clocks of hosts differ.
const SLACK_MS: i64 = 3_600_000;

/// Longer than an owner takes from one commit to the next.
const STILL: Duration = Duration::from_secs(3);

/// What came of one partition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Shown,
    Repaired,
    Refused,
}

impl Repair {
    pub(super) fn main(&self) -> u8 {
        on_stores(&self.config, async |config, stores| {
            if self.apply {
                // A root that was wiped gets its id here, as a daemon would give it one.
                let opened = roots::open_all(config, None, None).await;
                drop(opened.map_err(|e| LookError::Other(e.to_string()))?);
            }
            let brokers = Brokers::new(config, stores).await?;
            let mut wanted = partitions(config, &brokers).await?;
            wanted.retain(|tp| {
                self.topic.as_ref().is_none_or(|t| **t == *tp.topic)
                    && self.partition.is_none_or(|p| p == tp.partition)
            });
            if wanted.is_empty() {
                complain(
                    "no mapping of this configuration names such a partition, or no broker has \
                     the partition",
                );
                return Ok(EX_USAGE);
            }
            let (mut refused, mut shown, n) = (0, 0, wanted.len());
            let mut stopped = Vec::new();
            for tp in wanted {
                let looked = brokers.look(config, &tp).await?;
                stopped.extend(looked.filter(|l| l.stop().is_some()));
            }
            if self.apply && !stopped.is_empty() {
                tokio::time::sleep(STILL).await;
            }
            let mut repaired = false;
            for looked in stopped {
                match self.partition(config, &brokers, &looked).await? {
                    Done::Repaired => repaired = true,
                    Done::Shown => shown += 1,
                    Done::Refused => refused += 1,
                }
            }
            if repaired {
                tell_the_daemon(config).await;
            }
            say(&match (refused, shown) {
                (0, 0) => format!("{n} partitions need no repair now"),
                (0, _) => {
                    format!(
                        "{shown} of {n} partitions need a repair: --apply carries out what is shown"
                    )
                }
                _ => format!("{refused} of {n} partitions can't be repaired in this way"),
            });
            Ok(if refused == 0 { 0 } else { EX_DATAERR })
        })
    }

    async fn partition(
        &self,
        config: &Arc<Config>,
        brokers: &Brokers,
        before: &Diagnosis,
    ) -> Result<Done, LookError> {
        let tp = &before.tp;
        for round in 0..ROUNDS {
            let Some(mut looked) = brokers.look(config, tp).await? else {
                break;
            };
            // The group does not fence a repair.
            if round == 0 && positions(before) != positions(&looked) {
                say(&format!(
                    "{tp}: not repaired: the partition's positions move, so its owner is not \
                     stopped"
                ));
                return Ok(Done::Refused);
            }
            let Some(stop) = looked.stop() else {
                say(&format!("{tp}: repaired; a running daemon continues within 20 seconds"));
                return Ok(Done::Repaired);
            };
            say(&format!("{tp}: {stop}"));
            if let Stop::NothingCommitted { .. } = stop {
                self.find_results(config, &mut looked).await?;
            }
            let plan = match &looked.facts {
                Ok(facts) => facts.repair(self.count_from.map(Offset)),
                Err(_) => Err(Refused::Unreadable),
            };
            match plan {
                Err(e) => {
                    say(&format!("    not repaired: {e}"));
                    return Ok(Done::Refused);
                }
                Ok(None) => {}
                Ok(Some(plan)) if !self.apply => {
                    say(&format!("    would {plan}"));
                    return Ok(Done::Shown);
                }
                Ok(Some(plan)) => {
                    say(&format!("    {plan}"));
                    carry_out(config, brokers, &looked, plan).await?;
                }
            }
        }
        say(&format!(
            "{tp}: still stopped; another process changes the partition at the same time"
        ));
        Ok(Done::Refused)
    }

    /// The counts say themselves which records they are of.
    async fn find_results(
        &self,
        config: &Arc<Config>,
        looked: &mut Diagnosis,
    ) -> Result<(), LookError> {
        // Other entries than those of data don't know P.
        let tail = looked.tail.as_ref().filter(|e| e.kind == EntryKind::Data);
        let (Some(tail), Some(count)) = (tail, &looked.role.count) else {
            return Ok(());
        };
        if self.count_from.is_some() {
            return Ok(());
        }
        let counts = count.merge.as_ref().map_or(&count.output_topic, |merge| &merge.topic);
        let (config, output) = (Arc::clone(config), counts.clone());
        let (tp, known, since) =
            (looked.tp.clone(), tail.p, tail.written_at.saturating_sub(SLACK_MS));
        let end = blocking(move || {
            published::results_end(&consumer_config(&config)?, &output, &tp, known, since)
        });
        let end = end.await?;
        if let (Ok(Facts { published, .. }), Some(end)) = (&mut looked.facts, end) {
            say(&format!("    the counts in {counts:?} cover the records below {end}"));
            *published = Some(end);
        }
        Ok(())
    }
}

/// Tells the daemon at daemon.listen to retry stopped partitions at once. Another daemon may own
/// the partition, or none may run: a daemon that is not told retries after 20 seconds.
async fn tell_the_daemon(config: &Config) {
    let Some(listen) = config.daemon.listen else { return };
    let url = format!("{}/repaired", reached_at(listen));
    let post = move || agent().post(url).header(COMMAND, "repair").send_empty().is_ok();
    if tokio::task::spawn_blocking(post).await.unwrap_or(false) {
        say(&format!("the daemon at {listen} looks at once"));
    }
}

/// What an owner that goes on would change.
fn positions(looked: &Diagnosis) -> Option<(Option<Committed>, Option<LedgerTail>)> {
    let facts = looked.facts.as_ref().ok()?;
    Some((facts.committed.clone(), facts.ledger.clone()))
}

async fn carry_out(
    config: &Arc<Config>,
    brokers: &Brokers,
    looked: &Diagnosis,
    plan: Plan,
) -> Result<(), LookError> {
    if let (Some(put), Some(ledger), Ok(facts)) = (&plan.put, &looked.ledger, &looked.facts) {
        let Put { incarnation, kind, range, cause } = put;
        let mut ledger = ledger.clone();
        ledger.paths = ledger.paths.of(*incarnation);
        let topic_id = &facts.identity.topic_id;
        let template = EntryTemplate::new(&looked.tp, *incarnation, &looked.role, topic_id);
        let now = Timestamp::now().as_millisecond();
        let mut entry = template.entry(*kind, (range.from, range.to), now);
        entry.cause = Some((*cause).to_string());
        debug_assert!(*kind != EntryKind::Data, "a repair writes no files");
        let _ = ledger.put(&entry).await.map_err(|e| LookError::Other(e.to_string()))?;
    }
    let Some((offset, metadata)) = plan.commit else {
        return Ok(());
    };
    let offset = OffsetCommit { tp: looked.tp.clone(), offset, metadata: metadata.encode(offset) };
    let (config, consumer) = (Arc::clone(config), Arc::clone(&brokers.consumer));
    blocking(move || {
        let failed = |e: &dyn std::fmt::Display| KafkaError::new("commit the repair", e);
        let generation = Generation::outside(&consumer).ok_or_else(|| failed(&"no group"))?;
        let settings = move || repair_config(&config);
        let mut transactions = Transactions::new(settings, PATIENCE);
        transactions.begin().map_err(|e| failed(&e))?;
        let done = transactions.commit(&[offset], &generation, &|| true).map(drop);
        done.map_err(|e| failed(&e))
    })
    .await
}

const PATIENCE: Duration = Duration::from_secs(30);
