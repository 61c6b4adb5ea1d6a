//! `alluvium check`

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use comfy_table::Table;
use serde_json::{Value, json};

use crate::clients::kerberos;
use crate::common::config::{
    ArchiveConfig, Config, ConfigFault, Kerberos, Mapping, Topics, table_of_key,
};
use crate::engine::archive::calls::{CALLS_A_FILE, CALLS_A_ROLL};
use crate::outside::audit::live::{self, Outcome, Tried};
use crate::outside::cli::arguments::ConfigArgs;
use crate::outside::cli::exit::{EX_CONFIG, EX_UNAVAILABLE};
use crate::outside::cli::output::{complain, plain_table, say, say_json};
use crate::outside::cli::shared::runtime;
use crate::outside::web;
use crate::pure::count::Time;
use crate::pure::duration::written;
use crate::pure::layout::format::Rows;
use crate::pure::layout::names::PartitionPaths;
use crate::pure::layout::rules::{OnBadRecord, Tombstones};
use crate::pure::record::Offset;

/// Arguments of `check`.
#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also try what the daemon needs: tickets, the login at the brokers, rights, topics,
    /// transactions, the registry, a file and the room in each root, and clocks. It makes no topic,
    /// sends no record, joins no group, and deletes the file that it writes.
    #[arg(long)]
    live: bool,
    /// Print faults, warnings, mappings and what was tried as JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn main(&self) -> u8 {
        if self.json {
            return self.main_json();
        }
        match self.config.load_for_clients() {
            Ok(config) => {
                say(&format!("{}: no faults", self.config.path().display()));
                let now = jiff::Timestamp::now().as_millisecond();
                let warnings = warnings(&config, now);
                warnings.iter().for_each(|text| complain(&format!("warning: {text}")));
                say(&describe(&config, now));
                if self.live { try_live(&config) } else { 0 }
            }
            Err(code) => code,
        }
    }

    /// What `--json` prints. Scripts read it: a field may be added, none may be renamed or removed.
    fn main_json(&self) -> u8 {
        let (mut answer, mut code) =
            (json!({ "file": self.config.path().display().to_string() }), 0);
        match self.config.read_for_clients() {
            Ok(config) => {
                let now = jiff::Timestamp::now().as_millisecond();
                answer["faults"] = json!([]);
                answer["warnings"] = json!(warnings(&config, now));
                answer["instance"] = json!(config.daemon.instance);
                answer["group"] = json!(config.kafka.group_id);
                answer["mappings"] = config.mappings.iter().map(|m| mapping_json(m, now)).collect();
                if self.live {
                    match tried(&config) {
                        Ok(tried) => {
                            if tried.iter().any(|t| t.outcome == Outcome::Wrong) {
                                code = EX_UNAVAILABLE;
                            }
                            answer["live"] = tried.iter().map(tried_json).collect();
                        }
                        Err(failed) => code = failed,
                    }
                }
            }
            Err(faults) => {
                code = EX_CONFIG;
                answer["faults"] = faults.0.iter().map(fault_json).collect();
            }
        }
        say_json(&answer);
        code
    }
}

/// Where the manual describes the key.
fn section_of(fault: &ConfigFault) -> Option<String> {
    table_of_key(&fault.key)
        .map(|table| format!("configuration.md#{}", table.to_lowercase().replace('.', "")))
}

fn fault_json(fault: &ConfigFault) -> Value {
    json!({
        "key": fault.key,
        "line": fault.place.map(|p| p.line),
        "column": fault.place.map(|p| p.column),
        "message": fault.message,
        "section": section_of(fault),
    })
}

fn mapping_json(mapping: &Mapping, now_ms: i64) -> Value {
    let sample = sample_of(&mapping.topics);
    let records = mapping.archive.as_ref().map(|a| path(a, &sample, now_ms));
    let count = mapping.count.as_ref();
    let counts = count.and_then(|c| Some(path(c.archive.as_ref()?, &c.output_topic, now_ms)));
    let (topics, regex) = match &mapping.topics {
        Topics::Names(names) => (Some(names), None),
        Topics::Regex(regex) => (None, Some(regex.to_string())),
    };
    json!({
        "name": mapping.name,
        "topics": topics,
        "topics_regex": regex,
        "path": records,
        "output_topic": count.map(|c| &c.output_topic),
        "path_of_counts": counts,
    })
}

fn tried_json(tried: &Tried) -> Value {
    let mut all = json!({
        "what": tried.what, "outcome": tried.outcome.to_string(), "text": tried.text,
        "section": tried.section()
    });
    for (name, value) in &tried.figures {
        all[*name] = json!(value);
    }
    all
}

/// What a person should know of a configuration without faults.
fn warnings(config: &Config, now_ms: i64) -> BTreeSet<String> {
    let exposed = config.kafka.exposed();
    let of_kerberos = config.kerberos().flat_map(Kerberos::warnings);
    let of_kerberos = of_kerberos.chain(config.kerberos().filter_map(kerberos::expired));
    let of_web = web::warnings(&config.daemon);
    let is_identified = config.kafka.kerberos.is_some();
    let of_roots = config.archives().flat_map(|a| a.root.warnings(is_identified));
    let of_registry = config.registry.iter().flat_map(|r| r.login.exposed("registry"));
    let of_hours = config.archives().filter_map(|a| doubled_hour(a, now_ms));
    let all = exposed.into_iter().chain(of_kerberos).chain(of_web).chain(of_roots);
    all.chain(of_registry).chain(of_hours).collect()
}

/// A path whose hours come twice in a night.
fn doubled_hour(archive: &ArchiveConfig, now_ms: i64) -> Option<String> {
    let hour = archive.template.doubled_hour(now_ms)?;
    let path = archive.template.sample("TOPIC", now_ms);
    Some(format!(
        "archive.path: clocks in archive.timezone show the hour from {hour} on twice, and paths \
         like {path:?} have one directory for both; write %z behind %H, which is their offset, or \
         use timezone = \"UTC\""
    ))
}

/// Tries everything, or says why nothing can be tried; the exit code then.
fn tried(config: &Config) -> Result<Vec<Tried>, u8> {
    let runtime = runtime()?;
    let tried = runtime.block_on(live::try_all(config));
    // A call that does not come back is not waited for.
    runtime.shutdown_background();
    Ok(tried)
}

/// Tries everything, and prints a line for each thing; the exit code.
fn try_live(config: &Config) -> u8 {
    let tried = match tried(config) {
        Ok(tried) => tried,
        Err(code) => return code,
    };
    // Without the blanks that would fill each line up to the longest one.
    say(&format!("\n{}", table_of(&tried).trim_fmt()));
    let wrong = tried.iter().filter(|t| t.outcome == Outcome::Wrong).count();
    if wrong == 0 {
        return 0;
    }
    let failed = tried.iter().filter(|t| t.outcome == Outcome::Wrong);
    let sections: BTreeSet<&str> = failed.filter_map(Tried::section).collect();
    let pages = Vec::from_iter(sections).join(", ");
    complain(&format!(
        "{wrong} of {} tries failed; the lines with WRONG say why, and the manual tells more: \
         {pages}",
        tried.len()
    ));
    EX_UNAVAILABLE
}

fn table_of(tried: &[Tried]) -> Table {
    let mut table = plain_table();
    for t in tried {
        let _ = table.add_row([t.outcome.to_string(), t.what.clone(), t.text.clone()]);
    }
    table
}

/// What each mapping would do with a record of this moment.
fn describe(config: &Config, now_ms: i64) -> String {
    let mut lines = vec![format!(
        "instance {} in group {}, {} workers",
        config.daemon.instance, config.kafka.group_id, config.daemon.workers
    )];
    for m in &config.mappings {
        let sample = sample_of(&m.topics);
        let what = match &m.topics {
            Topics::Names(names) => names.join(", "),
            Topics::Regex(r) => format!("all that match {r}"),
        };
        lines.push(format!("\nmapping {}: {what}", m.name));
        if let Some(a) = &m.archive {
            lines.push(format!("  records  {}", path(a, &sample, now_ms)));
            lines.push(format!("           {}", cost(a)));
            lines.extend(bad_records(a, &sample, now_ms));
        }
        if let Some(c) = &m.count {
            lines.push(format!(
                "  counts   to topic {}, windows of {}, {}",
                c.output_topic,
                written(Duration::from_millis(c.window.millis.unsigned_abs())),
                match &c.time {
                    Time::Record => "by record time".into(),
                    Time::Arrival => "by arrival time".into(),
                    Time::Field { path, .. } => format!("by the time in field {path}"),
                }
            ));
            if let Some(a) = &c.archive {
                lines.push(format!("           {}", path(a, &c.output_topic, now_ms)));
            }
        }
    }
    lines.push(
        "\nThe committed offset follows the archive, so lag in standard tools moves in steps of a \
         roll; alluvium_results_lag_records and alluvium_archive_delay_seconds are more exact."
            .into(),
    );
    lines.join("\n")
}

/// A topic to show paths with.
fn sample_of(topics: &Topics) -> String {
    match topics {
        Topics::Names(names) => names[0].clone(),
        Topics::Regex(_) => "SAMPLE".into(),
    }
}

/// What becomes of bad records, where the mapping can have some.
fn bad_records(archive: &ArchiveConfig, topic: &str, now_ms: i64) -> Option<String> {
    let rules = &archive.rules;
    let typed = match rules.rows {
        Rows::Columns(_) | Rows::Registered(_) | Rows::Json { .. } | Rows::Values => true,
        Rows::Raw { .. } | Rows::Quarantine | Rows::Counts => false,
    };
    let quarantined = rules.tombstones == Tombstones::Quarantine;
    let what = match (typed, rules.on_bad_record) {
        (false, _) if !quarantined => return None,
        (_, OnBadRecord::Quarantine) => {
            let directory = archive.quarantine.render(topic, 0, Some(now_ms));
            format!("{}/{directory}", archive.root.url())
        }
        (_, OnBadRecord::Skip) => "are left out (on_bad_record)".into(),
        (_, OnBadRecord::Stop) => "stop their partition (on_bad_record)".into(),
    };
    let limit = archive
        .max_bad
        .map_or_else(String::new, |limit| format!("; more than {limit} stop the partition"));
    Some(format!("  bad      {what}{limit}"))
}

fn path(archive: &ArchiveConfig, topic: &str, now_ms: i64) -> String {
    let directory = archive.template.sample(topic, now_ms);
    let name =
        PartitionPaths::new(topic, 0, 0).file(Offset(0), Offset(999), archive.format.extension());
    format!("{}/{directory}/{name}", archive.root.url())
}

/// What a partition leaves in the store each day, and asks of its NameNode, if all records of a
/// roll lie in one directory.
fn cost(archive: &ArchiveConfig) -> String {
    let rolls = archive.roll.rolls_a_day();
    let calls = CALLS_A_ROLL.saturating_add(CALLS_A_FILE);
    format!(
        "a partition that always receives records rolls at least {rolls} times a day: {rolls} \
         files and ledger entries, {} calls of the NameNode ({calls} a roll)",
        rolls.saturating_mul(calls.into())
    )
}
