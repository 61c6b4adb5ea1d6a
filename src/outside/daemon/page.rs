//! The status page: one HTML document without outside assets. It works without JavaScript, and
//! refreshes itself with it.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::common::health::spell;
use crate::common::status::{Condition, InstanceStatus, PartitionStatus, Wait};

/// Nothing is loaded from anywhere; the two inline blocks are ours.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";

const STYLE: &str = include_str!("page.css");

/// Fetches the page again and exchanges what has changed; scroll position and selection stay.
const SCRIPT: &str = "setInterval(async () => {
  try {
    const text = await (await fetch(location.href, {cache: 'no-store'})).text();
    const next = new DOMParser().parseFromString(text, 'text/html');
    document.querySelector('main').replaceWith(next.querySelector('main'));
    document.body.classList.remove('lost');
  } catch { document.body.classList.add('lost'); }
}, 3000);";

pub(super) fn render(s: &InstanceStatus) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Alluvium " (s.instance) }
                noscript { meta http-equiv="refresh" content="10"; }
                style { (PreEscaped(STYLE)) }
            }
            body {
                p.gone { "The daemon does not answer; this page shows its last answer." }
                main { (body(s)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn body(s: &InstanceStatus) -> Markup {
    let stopped: Vec<&PartitionStatus> =
        s.partitions.iter().filter(|p| matches!(p.state, Condition::Stopped(_))).collect();
    html! {
        header {
            h1 { "Alluvium " span { (s.instance) } }
            p { "group " b { (s.group) } ", version " (s.version) ", up "
                (between(s.started, s.now)) }
        }
        section.figures {
            (figure("partitions", &s.partitions.len().to_string(), ""))
            (figure("stopped", &stopped.len().to_string(),
                if stopped.is_empty() { "" } else { "bad" }))
            (figure("not counted yet", &sum(s, 0), ""))
            (figure("not archived yet", &sum(s, 1), ""))
            (figure("oldest not archived", &oldest(s), ""))
            (figure("counts complete up to (UTC)", &complete(s), ""))
            (figure("failed calls", &number(s.failed_calls as i64), ""))
            div.figure.wide {
                span { "source records a second, last 15 minutes" }
                b { (s.throughput.last().map_or("–".into(), |r| number(*r as i64))) }
                (sparkline(&s.throughput))
            }
        }
        (troubles(s, &stopped))
        @for (mapping, partitions) in by_mapping(s) {
            section {
                h2 { (mapping) }
                div.scroll { (table(&partitions, s.now, state)) }
                @let waits = waits(&partitions);
                @if !waits.is_empty() {
                    p.waits { "Windows wait for " (waits.join(", ")) "." }
                }
            }
        }
        @if !s.not_owned.is_empty() {
            section {
                h2 { "not owned any more" }
                div.scroll { (table(&s.not_owned.iter().collect::<Vec<_>>(), s.now, not_owned)) }
            }
        }
        @if s.partitions.is_empty() && s.joined_since.is_some() {
            p { "The group has given no partition to this instance." }
        }
        footer { a href="/metrics" { "metrics" } " " a href="/status.json" { "status.json" } " "
            a href="/readyz" { "readyz" } " — "
                (Timestamp::from_millisecond(s.now).unwrap_or_default().strftime("%F %T UTC")) }
    }
}

/// What does not go as it should, with its cause.
fn troubles(s: &InstanceStatus, stopped: &[&PartitionStatus]) -> Markup {
    let quiet = s.outages.is_empty()
        && s.joined_since.is_some()
        && stopped.is_empty()
        && s.topic_troubles().is_empty()
        && s.unmatched_mappings.is_empty()
        && s.stuck.is_empty();
    html! {
        @if !quiet {
            section.troubles {
                h2 { "Needs attention" }
                ul {
                    @for o in &s.outages {
                        li {
                            b { (o.says) } " for " (between(o.since, s.now))
                            ": " (o.cause)
                        }
                    }
                    @match (s.joined_since, s.left_since) {
                        (None, Some(since)) => {
                            li { b { "not in the group" } " for " (between(since, s.now))
                                ": the partitions were taken away" }
                        }
                        (None, None) => { li { "The group is not joined yet." } }
                        (Some(_), _) => {}
                    }
                    @for p in stopped {
                        @if let Condition::Stopped(why) = &p.state {
                            li { b { (p.topic) "/" (p.partition) } " stopped: " (why)
                                br; "See " code { "alluvium repair " (p.topic) " " (p.partition) } }
                        }
                    }
                    @for trouble in s.topic_troubles() { li { (trouble) } }
                    @for note in s.notes() { li { (note) } }
                    @for t in &s.stuck { li { b { (t) } " has made no progress for two minutes" } }
                }
            }
        }
    }
}

fn figure(what: &str, value: &str, class: &str) -> Markup {
    html! { div.figure class=(class) { span { (what) } b { (value) } } }
}

/// A word for the state of a partition, and how it is shown.
type State = (&'static str, &'static str);

fn state(p: &PartitionStatus) -> State {
    match &p.state {
        Condition::Running => ("running", "ok"),
        Condition::Recovering => ("recovering", "wait"),
        Condition::Detached => ("root unavailable", "wait"),
        Condition::Paused => ("paused", "wait"),
        Condition::Stopped(_) => ("stopped", "bad"),
    }
}

/// What a partition that was taken away did last says nothing of what its new owner does.
fn not_owned(_: &PartitionStatus) -> State {
    ("not owned", "soft")
}

fn table(
    partitions: &[&PartitionStatus],
    now: i64,
    state: fn(&PartitionStatus) -> State,
) -> Markup {
    html! {
        table {
            thead { tr {
                th { "partition" } th { "role" } th { "state" } th.n { "results" } th.n { "lag" }
                th.n { "archive" } th.n { "lag" } th.n { "oldest" } th { "open" } th { "last roll" }
            } }
            tbody { @for p in partitions { (row(p, now, state(p))) } }
        }
    }
}

fn row(p: &PartitionStatus, now: i64, (state, class): State) -> Markup {
    let [results, archive] = p.lags().map(|lag| lag.map_or("–".into(), number));
    let show = |at: Option<i64>| at.map_or("–".into(), number);
    html! {
        tr {
            th { (p.topic) "/" (p.partition) }
            td data-is="role" { (p.role) }
            td data-is="state" { span class={"state " (class)} { (state) } }
            td.n data-is="results" { (show(p.results)) }
            td.n data-is="results lag" { (results) }
            td.n data-is="archive" { (show(p.archive)) }
            td.n data-is="archive lag" { (archive) }
            td.n data-is="oldest" {
                @if p.archive_delay_s == 0 { "–" }
                @else { (of_seconds(p.archive_delay_s)) }
            }
            td data-is="open" {
                @match p.open_windows {
                    Some(n) => {
                        (n) " window" (if n == 1 { "" } else { "s" })
                        @if let Some(until) = p.watermark { " from " (time(until)) }
                    }
                    None if p.open_files == 0 => { "–" }
                    None => {
                        (p.open_files) " file" (if p.open_files == 1 { "" } else { "s" }) ", "
                        (bytes(p.open_bytes)) ", " (of_seconds(p.open_age_s))
                    }
                }
            }
            td data-is="last roll" {
                @match &p.last_roll {
                    Some(r) => { (between(r.at, now)) " ago, " (r.reason) ", " (bytes(r.bytes)) }
                    None => { "–" }
                }
            }
        }
    }
}

fn by_mapping(s: &InstanceStatus) -> Vec<(&str, Vec<&PartitionStatus>)> {
    let mut all: Vec<(&str, Vec<&PartitionStatus>)> = Vec::new();
    for p in &s.partitions {
        match all.last_mut().filter(|(name, _)| *name == p.mapping) {
            Some((_, partitions)) => partitions.push(p),
            None => all.push((&p.mapping, vec![p])),
        }
    }
    all
}

fn waits(partitions: &[&PartitionStatus]) -> Vec<String> {
    let all = Wait::worth_saying(partitions.iter().copied()).into_iter();
    all.map(|w| format!("{}/{} (for {} s)", w.topic, w.partition, w.held_s)).collect()
}

/// The lags of all partitions that have one; an unknown one is said to be unknown, and is not 0.
fn sum(s: &InstanceStatus, which: usize) -> String {
    let mine = |p: &&PartitionStatus| match which {
        0 => p.role == "source" && p.counts,
        _ => p.archives,
    };
    let lags: Vec<Option<i64>> =
        s.partitions.iter().filter(mine).map(|p| p.lags()[which]).collect();
    let unknown = lags.iter().filter(|lag| lag.is_none()).count();
    let known = number(lags.iter().flatten().sum());
    match (lags.len(), unknown) {
        (0, _) => "–".into(),
        (_, 0) => known,
        (all, unknown) if all == unknown => "unknown".into(),
        (_, unknown) => format!("{known} + {unknown} unknown"),
    }
}

/// The time from one moment to another; milliseconds.
fn between(since: i64, now: i64) -> String {
    spell(now.saturating_sub(since))
}

fn of_seconds(seconds: u64) -> String {
    spell(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000))
}

fn oldest(s: &InstanceStatus) -> String {
    match s.partitions.iter().map(|p| p.archive_delay_s).max() {
        None | Some(0) => "–".into(),
        Some(seconds) => of_seconds(seconds),
    }
}

/// Until when the windows of all merges here are closed.
fn complete(s: &InstanceStatus) -> String {
    let merges = s.partitions.iter().filter(|p| p.open_windows.is_some());
    merges.filter_map(|p| p.watermark).min().map_or("–".into(), time)
}

fn time(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map_or("–".into(), |t| t.strftime("%F %T").to_string())
}

fn sparkline(rates: &[f64]) -> Markup {
    const WIDTH: f64 = 240.0;
    const HEIGHT: f64 = 36.0;
    let highest = rates.iter().copied().fold(1.0, f64::max);
    let step = WIDTH / (rates.len().max(2).saturating_sub(1)) as f64;
    let points: Vec<String> = rates
        .iter()
        .enumerate()
        .map(|(i, r)| format!("{:.1},{:.1}", i as f64 * step, HEIGHT - r / highest * HEIGHT))
        .collect();
    html! {
        svg viewBox="0 -2 240 40" preserveAspectRatio="xMinYMid" role="img"
            aria-label={"at most " (number(highest as i64)) " records a second"} {
            polyline points=(points.join(" ")) {}
        }
    }
}

/// `1 234 567`, with narrow spaces that don't break.
fn number(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = String::new();
    for (i, d) in digits.chars().enumerate() {
        if 0 < i && digits.len().saturating_sub(i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(d);
    }
    if n < 0 { format!("−{text}") } else { text }
}

fn bytes(n: u64) -> String {
    bytesize::ByteSize(n).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::status::{OutageOf, OutageStatus, Roll};

    pub(crate) fn partition(topic: &str, role: &str, state: Condition) -> PartitionStatus {
        PartitionStatus {
            topic: topic.into(),
            partition: 3,
            mapping: "orders".into(),
            role: role.into(),
            worker: 0,
            archives: role != "partials",
            state,
            results: Some(1_234_500),
            archive: Some(1_000_000),
            committed: Some(1_000_000),
            end: Some(1_234_567),
            archive_delay_s: 125,
            oldest_ms: None,
            needed_ms: None,
            open_files: 2,
            open_bytes: 5 << 20,
            open_age_s: 61,
            last_roll: Some(Roll { reason: "age".into(), at: 0, files: 1, bytes: 9 << 20 }),
            open_windows: (role == "partials").then_some(1),
            waits_for: vec![Wait { topic: "in".into(), partition: 1, silent_s: 9, held_s: 7 }],
            watermark: (role == "partials").then_some(1_735_689_600_000),
            counts: role != "output",
            root: None,
            last_results: None,
            last_archive: None,
        }
    }

    const GOLDEN: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/status-v1.json"));

    #[test]
    fn lags_are_of_what_was_read_since_the_end_was_asked_for() {
        let mut p = partition("orders", "source", Condition::Running);
        assert_eq!(p.lags(), [Some(67), Some(234_567)]);
        p.end = Some(0);
        assert_eq!(p.lags(), [Some(0), Some(234_500)]);
        p.results = None;
        assert_eq!(p.lags(), [None, Some(0)]);
        p.end = None;
        assert_eq!(p.lags(), [None, None]);
    }

    #[test]
    fn the_page_says_what_there_is_and_escapes_it() {
        let page = render(&InstanceStatus {
            format: 2,
            version: "1".into(),
            instance: "a<b>".into(),
            group: "g".into(),
            now: 90_000,
            started: 0,
            partitions: vec![
                partition("orders", "source", Condition::Running),
                partition("orders-partials", "partials", Condition::Running),
                partition("<x>", "output", Condition::Stopped("its ledger & offset differ".into())),
            ],
            missing_topics: vec!["gone".into()],
            ambiguous_topics: vec!["twice".into()],
            unmatched_mappings: vec!["later".into()],
            stuck: vec!["worker 1".into()],
            throughput: vec![0.0, 5_000.0, 2_500.0],
            failed_calls: 1_234,
            joined_since: Some(0),
            left_since: None,
            unheard: 0,
            not_owned: vec![partition("lost", "source", Condition::Running)],
            outages: vec![OutageStatus {
                of: OutageOf::Root,
                name: "hdfs://nn".into(),
                mapping: None,
                since: 30_000,
                cause: "connection <refused>".into(),
                failed_calls: 3,
                says: "the root hdfs://nn is unavailable".into(),
            }],
            not_ready: vec!["topic gone does not exist".into()],
        });
        for want in [
            "a&lt;b&gt;",
            "up 1 min 30 s",
            "1\u{202f}234\u{202f}500",
            "ledger &amp; offset differ",
            "alluvium repair &lt;x&gt; 3",
            "<li>topic gone does not exist</li>",
            "<li>topics_regex of two mappings match topic twice, so nobody reads it</li>",
            "1 window from 2025-01-01 00:00:00<",
            "counts complete up to (UTC)</span><b>2025-01-01 00:00:00<",
            "1\u{202f}234<",
            "the root hdfs://nn is unavailable</b> for 1 min 0 s: connection &lt;refused&gt;",
            "<h2>not owned any more</h2>",
            "<span class=\"state soft\">not owned</span>",
            "in/1 (for 7 s)",
            "0.0,36.0 120.0,0.0 240.0,18.0",
        ] {
            assert!(page.contains(want), "{want} is not in\n{page}");
        }
        let (_, taken) = page.split_once("<h2>not owned any more</h2>").unwrap();
        assert!(!taken.contains("running"), "nobody here knows what it does: {taken}");
        let unknown = PartitionStatus {
            archive: None,
            ..partition("orders", "source", Condition::Recovering)
        };
        let sum_of = |partitions| {
            let read: InstanceStatus = serde_json::from_str(GOLDEN).unwrap();
            sum(&InstanceStatus { partitions, ..read }, 1)
        };
        assert_eq!(sum_of(Vec::new()), "–");
        assert_eq!(sum_of(vec![unknown.clone()]), "unknown");
        let known = partition("orders", "source", Condition::Running);
        assert_eq!(sum_of(vec![known, unknown]), "234\u{202f}567 + 1 unknown");
        assert!(!page.contains("<x>") && !page.contains("http://") && !page.contains("https://"));
    }
}
