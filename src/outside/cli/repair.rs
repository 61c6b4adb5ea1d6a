//! The command `alluvium repair`: the partitions that are stopped, and what is missing in ledgers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;

use crate::clients::kafka::OffsetCommit;
use crate::clients::kafka::{
    Commit as _, Generation, KafkaError, Transactions, Twins, consumer_config, published,
    repair_config,
};
use crate::clients::store::Store;
use crate::common::config::Config;
use crate::engine::archive::ledger::EntryTemplate;
use crate::engine::archive::listing::{FindingKind, LedgerListing};
use crate::engine::archive::root::{FoundIdentity, find_identity, write as write_identity};
use crate::outside::audit::brokers::{Brokers, Diagnosis, LookError, blocking};
use crate::outside::cli::abandoned;
use crate::outside::cli::arguments::ConfigArgs;
use crate::outside::cli::doubling::is_doubling;
use crate::outside::cli::exit::{EX_DATAERR, EX_USAGE};
use crate::outside::cli::holes::{self, Choice, Holes};
use crate::outside::cli::output::{complain, kept, say, say_json};
use crate::outside::cli::repaired::as_json;
use crate::outside::cli::shared::{on_stores, partitions};
use crate::outside::daemon::{COMMAND, roots};
use crate::outside::web::Asked;
use crate::pure::layout::names;
use crate::pure::protocol::repair::{Facts, Put, Refused, RepairPlan};
use crate::pure::protocol::{Committed, Entry, EntryKind, LedgerTail, Stop};
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
    /// For a partition whose committed offset is gone: the offset at which counting continues. By
    /// default the command reads the published counts back, which give the exact offset.
    #[arg(long, value_name = "OFFSET", requires = "partition")]
    count_from: Option<i64>,
    /// Carry out the repair. An owner that runs is not locked out: use this only for
    /// partitions that are stopped or have no owner.
    #[arg(long)]
    apply: bool,
    /// Where an entry is missing inside a ledger, name its offsets as a gap even though staged
    /// files may have the records. A daemon deletes these files then.
    #[arg(long)]
    give_up_staged: bool,
    /// Print what is shown or done as JSON.
    #[arg(long)]
    json: bool,
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

/// How many partitions came to what.
#[derive(Clone, Copy, Default)]
struct Outcomes {
    repaired: usize,
    shown: usize,
    refused: usize,
}

impl Repair {
    pub(super) fn main(&self) -> u8 {
        if !self.json {
            return self.repair();
        }
        let (code, lines) = kept(|| self.repair());
        say_json(&as_json(code, self.apply, &lines));
        code
    }

    fn repair(&self) -> u8 {
        on_stores(&self.config, async |config, roots| {
            let stores = &roots.open;
            let (lost, mut closed) = self.repair_identities(stores).await;
            if lost && !self.apply {
                say("--apply carries out what is shown; what else needs a repair is shown then");
                return Ok(roots.code_of_all(if closed == 0 { 0 } else { EX_DATAERR }));
            }
            if self.apply {
                // A root that was wiped gets its id here, as a daemon would give it one.
                let (_, refusals) = roots::open_all(config, None, None).await;
                // Other roots are repaired all the same.
                for refusal in refusals.into_values() {
                    let text = refusal.to_string();
                    // Of a root that does not answer this was said already.
                    if !roots.closed.keys().any(|url| text.contains(url.as_str())) {
                        closed = closed.saturating_add(1);
                    }
                    complain(&text);
                }
            }
            let mut holes = self.repair_holes(config, stores).await?;
            let brokers = Brokers::new(config, stores).await?;
            let gone = self.repair_abandoned(config, &brokers, stores).await?;
            holes.add(gone);
            holes.refused = holes.refused.saturating_add(closed);
            let mut wanted = partitions(config, &brokers).await?;
            wanted.retain(|tp| self.selects(&tp.topic, tp.partition));
            if wanted.is_empty() {
                return Ok(roots.code_of_all(nothing_there(holes, self.apply)));
            }
            let (mut refused, mut shown, n) = (0_usize, 0_usize, wanted.len());
            if 0 < holes.repaired && !self.apply {
                say("--apply puts the entries that are shown");
            }
            let mut stopped = Vec::new();
            for tp in wanted {
                match brokers.look_or_say(config, &tp).await? {
                    Ok(looked) => stopped.extend(looked.filter(|l| l.stop().is_some())),
                    Err(why) => {
                        say(&format!("{tp}: not looked at: {why}"));
                        refused = refused.saturating_add(1);
                    }
                }
            }
            if self.apply && !stopped.is_empty() {
                tokio::time::sleep(STILL).await;
            }
            let of_stopped = self.repair_stopped(config, &brokers, stopped).await?;
            shown = shown.saturating_add(of_stopped.shown);
            refused = refused.saturating_add(of_stopped.refused);
            if 0 < of_stopped.repaired {
                tell_the_daemon(config).await;
            }
            say(&match (refused, shown) {
                (0, 0) => format!("{n} of {n} partitions need no repair now"),
                (0, _) => {
                    format!(
                        "{shown} of {n} partitions need a repair: --apply carries out what is shown"
                    )
                }
                _ => format!("{refused} of {n} partitions can't be repaired in this way"),
            });
            let is_done = refused == 0 && holes.refused == 0;
            Ok(roots.code_of_all(if is_done { 0 } else { EX_DATAERR }))
        })
    }

    /// Writes the ids of roots anew that have lost them; whether one has, and how many roots can't
    /// be repaired, of which each is named.
    async fn repair_identities(&self, stores: &[Arc<dyn Store>]) -> (bool, usize) {
        let (mut lost, mut closed) = (false, 0_usize);
        for store in stores {
            match repair_identity(&**store, self.apply).await {
                Ok(is_lost) => lost |= is_lost,
                Err(e) => {
                    complain(&format!("root {}: not repaired: {e}", store.url()));
                    closed = closed.saturating_add(1);
                }
            }
        }
        (lost, closed)
    }

    /// Whether the arguments name this partition.
    fn selects(&self, topic: &str, partition: i32) -> bool {
        self.topic.as_ref().is_none_or(|wanted| wanted == topic)
            && self.partition.is_none_or(|wanted| wanted == partition)
    }

    /// Puts the entries back that are missing inside the ledgers.
    async fn repair_holes(
        &self,
        config: &Config,
        stores: &[Arc<dyn Store>],
    ) -> Result<Holes, LookError> {
        let mut all = Holes::default();
        let choice = Choice { apply: self.apply, give_up_staged: self.give_up_staged };
        for store in stores {
            let wanted = |entry: &Entry| self.selects(&entry.topic, entry.partition);
            match holes::repair(store, config, wanted, choice).await {
                Ok(done) => all.add(done),
                Err(e) => all.add(refused_root(store.url(), &e)),
            }
        }
        Ok(all)
    }

    /// Appends what dead owners have sealed of partitions that no broker has any more.
    async fn repair_abandoned(
        &self,
        config: &Arc<Config>,
        brokers: &Brokers,
        stores: &[Arc<dyn Store>],
    ) -> Result<Holes, LookError> {
        let mut all = Holes::default();
        for store in stores {
            let topic = self.topic.as_deref().map(names::escape_segment);
            let wanted = |segment: &str, partition| {
                topic.as_ref().is_none_or(|topic| topic == segment)
                    && self.partition.is_none_or(|wanted| wanted == partition)
            };
            let done = async {
                let found = brokers.abandoned(config, store.url(), &wanted).await?;
                Ok(abandoned::repair_all(&found, self.apply).await?)
            };
            match done.await {
                Ok(done) => all.add(done),
                Err(LookError::Ledger(e)) => all.add(refused_root(store.url(), &e)),
                Err(e) => return Err(e),
            }
        }
        Ok(all)
    }

    /// Repairs partitions one after the other; how many of them came to what.
    async fn repair_stopped(
        &self,
        config: &Arc<Config>,
        brokers: &Brokers,
        stopped: Vec<Diagnosis>,
    ) -> Result<Outcomes, LookError> {
        let mut all = Outcomes::default();
        for looked in stopped {
            let (tp, began) = (&looked.tp, Instant::now());
            let why = match brokers.silent(config, tp) {
                Some(why) => Err(why),
                None => match self.partition(config, brokers, &looked).await {
                    Ok(done) => Ok(done),
                    // The other partitions are repaired all the same.
                    Err(e) => Err(brokers.say(config, tp, e, began.elapsed()).await?),
                },
            };
            let done = why.unwrap_or_else(|why| {
                say(&format!("{tp}: not repaired: {why}"));
                Done::Refused
            });
            let count = match done {
                Done::Repaired => &mut all.repaired,
                Done::Shown => &mut all.shown,
                Done::Refused => &mut all.refused,
            };
            *count = count.saturating_add(1);
        }
        Ok(all)
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
            if looked.role.store.is_some() && looked.role.root_id().is_empty() {
                say(
                    "    not repaired: the id of its root is not known: restore _alluvium/identity",
                );
                return Ok(Done::Refused);
            }
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
                Ok(Some(plan)) if is_doubling(&looked, &plan).await? => return Ok(Done::Refused),
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
        let (Some(tail), Some(count), None) = (tail, &looked.role.count, self.count_from) else {
            return Ok(());
        };
        let counts = count.merge.as_ref().map_or(&count.output_topic, |merge| &merge.topic);
        let (config, output) = (Arc::clone(config), counts.clone());
        let (tp, known, since) =
            (looked.tp.clone(), tail.p, tail.written_at.saturating_sub(SLACK_MS));
        let end = blocking(move || {
            published::results_end(&consumer_config(&config)?, &output, &tp, known, since)
        });
        match (&mut looked.facts, end.await?) {
            (Ok(Facts { published, .. }), Ok(end)) => {
                say(&format!("    the counts in {counts:?} cover the records below {end}"));
                *published = Some(end);
            }
            (_, Err(why)) => say(&format!("    {why}")),
            (Err(_), Ok(_)) => {}
        }
        Ok(())
    }
}

/// Says that a root could not be repaired to the end.
fn refused_root(url: &str, why: &dyn std::fmt::Display) -> Holes {
    complain(&format!("root {url}: not all of it was looked at: {why}"));
    Holes { refused: 1, ..Holes::default() }
}

/// Writes a root's id anew from its ledgers, where the identity file is lost; whether it is lost.
async fn repair_identity(store: &dyn Store, apply: bool) -> Result<bool, LookError> {
    if find_identity(store).await? != FoundIdentity::Missing {
        return Ok(false);
    }
    let mut unlisted = Vec::new();
    let ledgers = LedgerListing::all(store, &mut unlisted).await?;
    let of_ledgers = ledgers.iter().flat_map(|(_, listing)| &listing.findings);
    let mut closed = unlisted.iter().chain(of_ledgers);
    if let Some(f) = closed.find(|f| f.kind == FindingKind::UnreadableDirectory) {
        let detail = "the identity file is missing, and not all ledgers can be listed, which name \
                      the root's id: restore _alluvium/identity, or let this command list them";
        return Err(LookError::Other(format!("{}: {detail} ({})", store.url(), f.path)));
    }
    let entries = ledgers.iter().flat_map(|(_, listing)| &listing.entries);
    let roots: BTreeSet<&str> = entries.map(|entry| entry.root.as_str()).collect();
    let mut roots = roots.into_iter();
    let (Some(root), None) = (roots.next(), roots.next()) else {
        if ledgers.is_empty() {
            return Ok(false);
        }
        let detail = "the identity file is missing, and the ledgers don't name one root: restore \
                      _alluvium/identity";
        return Err(LookError::Other(format!("{}: {detail}", store.url())));
    };
    let would = if apply { "" } else { "would " };
    say(&format!("{}: the identity file is missing", store.url()));
    say(&format!("    {would}write it anew, with the id that all ledgers name: {root}"));
    if apply {
        let _ = write_identity(store, root.into()).await?;
    }
    Ok(true)
}

/// No broker has a partition that the arguments name; `found`: what was found of such partitions in
/// the roots. The exit code.
fn nothing_there(found: Holes, apply: bool) -> u8 {
    if found.repaired == 0 && found.refused == 0 {
        complain(
            "no mapping of this configuration names such a partition, or no broker has the \
             partition",
        );
        return EX_USAGE;
    }
    if !apply {
        say("--apply carries out what is shown");
    }
    if found.refused == 0 { 0 } else { EX_DATAERR }
}

/// Tells the daemon at daemon.listen to retry stopped partitions at once. Another daemon may own
/// the partition, or none may run: a daemon that is not told retries after 20 seconds.
async fn tell_the_daemon(config: &Config) {
    let Some(listen) = config.daemon.listen else { return };
    let daemon = match Asked::here(config, listen) {
        Ok(daemon) => daemon,
        Err(why) => return complain(&format!("the daemon at {listen} is not told: {why}")),
    };
    let url = format!("{}/repaired", daemon.url);
    let post = move || daemon.agent.post(url).header(COMMAND, "repair").send_empty().is_ok();
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
    plan: RepairPlan,
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
        assert!(*kind != EntryKind::Data, "a repair writes no files");
        let _ = ledger.put(&entry).await?;
    }
    let Some((offset, metadata)) = plan.commit else {
        return Ok(());
    };
    let offset = OffsetCommit { tp: looked.tp.clone(), offset, metadata: metadata.encode(offset) };
    let (config, consumer) = (Arc::clone(config), Arc::clone(&brokers.consumer));
    blocking(move || {
        let failed = |e: &dyn std::fmt::Display| KafkaError::new("commit the repair", e);
        let generation = Generation::outside(&consumer).ok_or_else(|| failed(&"no group"))?;
        let twins = Arc::new(Twins::of(&consumer_config(&config)?));
        let settings = move || repair_config(&config);
        let mut transactions = Transactions::new(settings, PATIENCE).beside(twins);
        transactions.begin().map_err(|e| failed(&e))?;
        let done = transactions.commit(&[offset], &generation, &|| true).map(drop);
        done.map_err(|e| failed(&e))
    })
    .await
}

const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::archive::ledger::LedgerStore;
    use crate::engine::archive::root::identity;
    use crate::fakes::store::Memory;
    use crate::pure::layout::names::PartitionPaths;

    #[tokio::test]
    async fn a_lost_identity_is_written_from_the_ledgers() {
        let store = Memory::default();
        let id = identity(&store).await.unwrap();
        assert!(!repair_identity(&store, true).await.unwrap());
        let template = EntryTemplate {
            topic: "t".into(),
            incarnation: 0,
            partition: 0,
            root: id.clone(),
            topic_id: "t".into(),
            config: "c".into(),
        };
        let ledger = LedgerStore::new(Arc::new(store.clone()), PartitionPaths::new("t", 0, 0));
        let genesis = template.entry(EntryKind::Genesis, (Offset(0), Offset(0)), 1);
        assert!(ledger.put(&genesis).await.unwrap().is_some());
        let _ = store.lock().files.remove(names::IDENTITY);
        for (apply, found) in [(false, FoundIdentity::Missing), (true, FoundIdentity::Is(id))] {
            assert!(repair_identity(&store, apply).await.unwrap());
            assert_eq!(find_identity(&store).await.unwrap(), found);
        }
    }
}
