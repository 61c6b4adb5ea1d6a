//! The status page in a browser: light, dark, on a phone, without JavaScript, and when the daemon
//! goes; and the pages of the manual.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::config;
use crate::support::browser::Browser;
use crate::support::{Cluster, Daemon, eventually, flush, send};

const LIMIT: Duration = Duration::from_secs(60);

/// Texts whose contrast to what lies under them is below 4.5 (WCAG 2.1, level AA).
const FAINT: &str = r"
(() => {
  const rgba = c => c.match(/[\d.]+/g).map(Number);
  const under = e => {
    for (; e; e = e.parentElement) {
      const c = rgba(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || 0 < c[3]) return c;
    }
    return [255, 255, 255];
  };
  const light = c => {
    const linear = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = c.slice(0, 3).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !e.offsetParent) continue;
    const [a, b] = [light(rgba(getComputedStyle(e).color)), light(under(e))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faint.push(`${texts.currentNode.data} (${contrast.toFixed(2)})`);
  }
  return faint.join(', ');
})()";

/// By how many pixels the first table with a name of a topic of 240 characters is wider than its
/// box.
const LONG_NAME: &str = r"
(() => {
  document.querySelector('tbody th').textContent = 'topic_'.repeat(40);
  const box = document.querySelector('.scroll');
  return box.scrollWidth - box.clientWidth;
})()";

pub(crate) fn the_page_in_a_browser(cluster: &Cluster) {
    let (name, topic) = ("page", "page-in");
    cluster.create_topic(topic, 2);
    let mapping = format!(
        "[mapping.page]\ntopics = [\"{topic}\", \"page-nowhere\"]\n\
         [mapping.page.wordcount]\noutput_topic = \"page-counts\""
    );
    let dir = cluster.home(name);
    let daemon = Daemon::start(&dir, "a", &config(cluster, name, &mapping));
    let producer = cluster.producer();
    let write = |n: i32| {
        (0..n).for_each(|i| send(&producer, topic, i % 2, b"as the river flows", None));
        flush(&producer);
    };
    write(2_468);
    eventually("counted", LIMIT, || 2_468.0 <= daemon.of_topic("alluvium_results_position", topic));

    let mut browser = Browser::start(&dir.join("profile"));
    let picture = |browser: &mut Browser, name: &str| {
        browser.picture(&dir.join(format!("{name}.png")));
    };
    let url = format!("http://127.0.0.1:{}/", daemon.port);
    for (look, scheme_is, width) in [
        ("light", "light", 1280),
        ("dark", "dark", 1280),
        ("phone", "light", 390),
        ("phone-dark", "dark", 390),
    ] {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme_is }]);
        let _ = browser.call("Emulation.setEmulatedMedia", json!({ "features": features }));
        let size = json!({
            "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600
        });
        let _ = browser.call("Emulation.setDeviceMetricsOverride", size);
        browser.open(&url);
        picture(&mut browser, look);
        let shown = browser.text();
        for want in ["page-in/0", "page-in/1", "running", "page-nowhere does not exist"] {
            assert!(shown.contains(want), "{look}: no {want:?} in\n{shown}");
        }
        assert_eq!(browser.ask(FAINT), "", "{look}: too faint to read");
        let beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.ask(beyond), 0, "{look}: wider than its window");
        assert_eq!(browser.ask(LONG_NAME), 0, "{look}: a table is wider than its box");
        let ground = browser.ask("getComputedStyle(document.body).backgroundColor");
        assert_eq!(
            ground.as_str().unwrap().starts_with("rgb(24"),
            scheme_is == "light",
            "{ground}"
        );
        let assets = "performance.getEntriesByType('resource')\
                      .filter(r => r.initiatorType != 'fetch').length";
        assert_eq!(browser.ask(assets), 0, "{look}: something is loaded from elsewhere");
    }

    // It refreshes itself: what a person has marked stays, what the daemon says moves on.
    let _ = browser.ask("window.same = true");
    write(1_000);
    eventually("the page says so", LIMIT, || browser.text().contains("1\u{202f}734"));
    assert_eq!(browser.ask("window.same"), true, "it was loaded anew");

    // Without JavaScript, too.
    let script = |browser: &mut Browser, disabled: bool| {
        let disabled = json!({ "value": disabled });
        let _ = browser.call("Emulation.setScriptExecutionDisabled", disabled);
    };
    script(&mut browser, true);
    browser.open(&url);
    let still = browser.html();
    assert!(still.contains("1\u{202f}734") && still.contains("http-equiv=\"refresh\""), "{still}");
    script(&mut browser, false);
    browser.open(&url);

    // It doesn't show what was as if it still were.
    const LOST: &str = "The daemon does not answer";
    assert!(!browser.text().contains(LOST));
    assert_eq!(daemon.stop(), 0);
    eventually("the page says that the daemon is gone", LIMIT, || browser.text().contains(LOST));
    picture(&mut browser, "gone");
}

/// Pictures that are not there, and wide things that push a page beyond its window.
const BROKEN: &str = r"
(() => {
  const faults = [...document.images].filter(i => !i.naturalWidth).map(i => `no picture ${i.src}`);
  const beyond = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (0 < beyond) faults.push(`${beyond} pixels wider than its window`);
  if (!document.querySelector('main h1')) faults.push('no title');
  return faults.join(', ');
})()";

/// Every page of the manual as a person sees it, on a screen and on a phone.
pub(crate) fn the_manual_in_a_browser(cluster: &Cluster) {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = Command::new(top.join("testbed/manual")).output().unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    let book = top.join("target/manual");
    let summary = std::fs::read_to_string(top.join("docs/SUMMARY.md")).unwrap();
    let named = summary.lines().filter_map(|line| line.rsplit_once("](")?.1.strip_suffix(".md)"));
    let pages: Vec<&str> = named.collect();
    assert!(40 < pages.len(), "{pages:?}");
    let dir = cluster.home("manual-pages");
    let mut browser = Browser::start(&dir.join("profile"));
    let mut faults = Vec::new();
    for width in [1280, 390] {
        let size = json!({
            "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600
        });
        let _ = browser.call("Emulation.setDeviceMetricsOverride", size);
        for page in &pages {
            // The page README of a directory is its index.
            let file = page.replace("README", "index");
            browser.open(&format!("file://{}/{file}.html", book.display()));
            let found = browser.ask(BROKEN);
            if found != "" {
                browser.picture(&dir.join(format!("{}-{width}.png", page.replace('/', "-"))));
                faults.push(format!("{page} at {width} pixels: {found}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
