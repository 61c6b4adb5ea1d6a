//! The status page: one HTML document without outside assets. It works without JavaScript, and
//! refreshes itself with it.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::common::status::{Condition, PartitionStatus, Status};

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

pub(super) fn render(s: &Status) -> String {
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

fn body(s: &Status) -> Markup {
    let stopped: Vec<&PartitionStatus> =
        s.partitions.iter().filter(|p| matches!(p.state, Condition::Stopped(_))).collect();
    html! {
        header {
            h1 { "Alluvium " span { (s.instance) } }
            p { "group " b { (s.group) } ", version " (s.version) ", up " (ago(s.now - s.started)) }
        }
        section.figures {
            (figure("partitions", &s.partitions.len().to_string(), ""))
            (figure("stopped", &stopped.len().to_string(),
                if stopped.is_empty() { "" } else { "bad" }))
            (figure("not counted yet", &sum(s, 0), ""))
            (figure("not archived yet", &sum(s, 1), ""))
            (figure("oldest not archived", &oldest(s), ""))
            (figure("windows closed until", &complete(s), ""))
            (figure("failed calls", &number(s.failed_calls as i64), ""))
            div.figure.wide {
                span { "records a second, last 15 minutes" }
                b { (s.throughput.last().map_or("–".into(), |r| number(*r as i64))) }
                (sparkline(&s.throughput))
            }
        }
        @if !(stopped.is_empty() && s.missing_topics.is_empty() && s.stuck.is_empty()) {
            section.troubles {
                h2 { "Needs attention" }
                ul {
                    @for p in &stopped {
                        @if let Condition::Stopped(why) = &p.state {
                            li { b { (p.topic) "/" (p.partition) } " stopped: " (why)
                                br; "See " code { "alluvium repair " (p.topic) " " (p.partition) } }
                        }
                    }
                    @for t in &s.missing_topics { li { "topic " b { (t) } " does not exist" } }
                    @for t in &s.stuck { li { b { (t) } " has made no progress for two minutes" } }
                }
            }
        }
        @for (mapping, partitions) in by_mapping(s) {
            section {
                h2 { (mapping) }
                div.scroll { (table(&partitions, s.now)) }
                @let waits = waits(&partitions);
                @if !waits.is_empty() {
                    p.waits { "Windows wait for " (waits.join(", ")) "." }
                }
            }
        }
        @if s.partitions.is_empty() {
            p { "This instance has no partitions, or it has not joined the group yet." }
        }
        footer { a href="/metrics" { "metrics" } " " a href="/status.json" { "status.json" } " "
            a href="/readyz" { "readyz" } " — "
                (Timestamp::from_millisecond(s.now).unwrap_or_default().strftime("%F %T UTC")) }
    }
}

fn figure(what: &str, value: &str, class: &str) -> Markup {
    html! { div.figure class=(class) { span { (what) } b { (value) } } }
}

fn table(partitions: &[&PartitionStatus], now: i64) -> Markup {
    html! {
        table {
            thead { tr {
                th { "partition" } th { "role" } th { "state" } th.n { "results" } th.n { "lag" }
                th.n { "archive" } th.n { "lag" } th.n { "oldest" } th { "open" } th { "last roll" }
            } }
            tbody { @for p in partitions { (row(p, now)) } }
        }
    }
}

fn row(p: &PartitionStatus, now: i64) -> Markup {
    let (state, class) = match &p.state {
        Condition::Running => ("running", "ok"),
        Condition::Recovering => ("recovering", "wait"),
        Condition::Detached => ("store unavailable", "wait"),
        Condition::Paused => ("paused", "wait"),
        Condition::Stopped(_) => ("stopped", "bad"),
    };
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
                @if 0 < p.archive_delay_s { (ago(p.archive_delay_s as i64 * 1_000)) } @else { "–" }
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
                        (bytes(p.open_bytes)) ", " (ago(p.open_age_s as i64 * 1_000))
                    }
                }
            }
            td data-is="last roll" {
                @match &p.last_roll {
                    Some(r) => { (ago(now - r.at)) " ago, " (r.reason) ", " (bytes(r.bytes)) }
                    None => { "–" }
                }
            }
        }
    }
}

fn by_mapping(s: &Status) -> Vec<(&str, Vec<&PartitionStatus>)> {
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
    // Shorter silences come and go with every line that somebody types.
    const WORTH_SAYING: u64 = 5;
    let mut all: Vec<(&str, i32, u64)> = partitions
        .iter()
        .flat_map(|p| &p.waits_for)
        .filter(|w| WORTH_SAYING <= w.silent_s)
        .map(|w| (w.topic.as_str(), w.partition, w.silent_s))
        .collect();
    all.sort_unstable_by_key(|(t, p, s)| (*t, *p, std::cmp::Reverse(*s)));
    all.dedup_by_key(|(t, p, _)| (*t, *p));
    all.into_iter().map(|(t, p, s)| format!("{t}/{p} (last heard of {s} s ago)")).collect()
}

fn sum(s: &Status, which: usize) -> String {
    let sources = s.partitions.iter().filter(|p| p.role == "source" || which == 1);
    let lags: Vec<i64> = sources.filter_map(|p| p.lags()[which]).collect();
    if lags.is_empty() { "–".into() } else { number(lags.iter().sum()) }
}

fn oldest(s: &Status) -> String {
    match s.partitions.iter().map(|p| p.archive_delay_s).max() {
        None | Some(0) => "–".into(),
        Some(seconds) => ago(seconds as i64 * 1_000),
    }
}

/// Until when the windows of all merges here are closed.
fn complete(s: &Status) -> String {
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
    let step = WIDTH / (rates.len().max(2) - 1) as f64;
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
        if 0 < i && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(d);
    }
    if n < 0 { format!("−{text}") } else { text }
}

/// The two largest units.
fn ago(millis: i64) -> String {
    let s = millis.max(0) / 1_000;
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

fn bytes(n: u64) -> String {
    bytesize::ByteSize(n).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::status::{Roll, Wait};

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
            open_files: 2,
            open_bytes: 5 << 20,
            open_age_s: 61,
            last_roll: Some(Roll { reason: "age".into(), at: 0, files: 1, bytes: 9 << 20 }),
            open_windows: (role == "partials").then_some(1),
            waits_for: vec![Wait { topic: "in".into(), partition: 1, silent_s: 7 }],
            watermark: (role == "partials").then_some(1_735_689_600_000),
        }
    }

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
        let page = render(&Status {
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
            stuck: vec!["worker 1".into()],
            throughput: vec![0.0, 5_000.0, 2_500.0],
            failed_calls: 1_234,
        });
        for want in [
            "a&lt;b&gt;",
            "up 1 min 30 s",
            "1\u{202f}234\u{202f}500",
            "ledger &amp; offset differ",
            "alluvium repair &lt;x&gt; 3",
            "topic <b>gone</b> does not exist",
            "1 window from 2025-01-01 00:00:00<",
            "windows closed until</span><b>2025-01-01 00:00:00<",
            "1\u{202f}234<",
            "in/1 (last heard of 7 s ago)",
            "0.0,36.0 120.0,0.0 240.0,18.0",
        ] {
            assert!(page.contains(want), "{want} is not in\n{page}");
        }
        assert!(!page.contains("<x>") && !page.contains("http://") && !page.contains("https://"));
    }
}
