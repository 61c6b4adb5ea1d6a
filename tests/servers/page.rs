//! The status page in a browser: light, dark, on a phone, without JavaScript, and when the daemon goes.

use std::time::Duration;

use headless_chrome::protocol::cdp::{Emulation, Page};
use headless_chrome::{Browser, LaunchOptions, Tab};

use crate::support::{Cluster, Daemon, eventually, flush, send};
use crate::{config, home};

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
    const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
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

fn ask(tab: &Tab, expression: &str) -> serde_json::Value {
    let answer = tab.evaluate(expression, true).unwrap();
    answer.value.unwrap_or_default()
}

fn text(tab: &Tab) -> String {
    ask(tab, "document.body.innerText").as_str().unwrap().to_string()
}

fn scheme(tab: &Tab, value: &str) {
    let dark = Emulation::MediaFeature { name: "prefers-color-scheme".into(), value: value.into() };
    let media = Emulation::SetEmulatedMedia { media: None, features: Some(vec![dark]) };
    let _ = tab.call_method(media).unwrap();
}

fn size(tab: &Tab, width: u32, height: u32) {
    let size = Emulation::SetDeviceMetricsOverride {
        width,
        height,
        device_scale_factor: 1.0,
        mobile: width < 600,
        scale: None,
        screen_width: None,
        screen_height: None,
        position_x: None,
        position_y: None,
        dont_set_visible_size: None,
        screen_orientation: None,
        viewport: None,
        display_feature: None,
        device_posture: None,
    };
    let _ = tab.call_method(size).unwrap();
}

pub(crate) fn the_page_in_a_browser(cluster: &Cluster) {
    let (name, topic) = ("page", "page-in");
    cluster.create_topic(topic, 2);
    let mapping = format!(
        "[mapping.page]\ntopics = [\"{topic}\", \"page-nowhere\"]\n[mapping.page.wordcount]\noutput_topic = \"page-counts\""
    );
    let dir = home(cluster, name);
    let daemon = Daemon::start(&dir, "a", &config(cluster, name, &mapping));
    let producer = cluster.producer();
    let write = |n: i32| {
        (0..n).for_each(|i| send(&producer, topic, i % 2, b"as the river flows", None));
        flush(&producer);
    };
    write(2_468);
    eventually("counted", LIMIT, || 2_468.0 <= daemon.metric("alluvium_results_position", topic));

    // No user namespaces in a container, so no sandbox; the page is our own.
    let options = LaunchOptions::default_builder().sandbox(false).build().unwrap();
    let browser = Browser::new(options).unwrap();
    let tab = browser.new_tab().unwrap();
    let picture = |name: &str| {
        let format = Page::CaptureScreenshotFormatOption::Png;
        let png = tab.capture_screenshot(format, None, None, true).unwrap();
        std::fs::write(dir.join(format!("{name}.png")), png).unwrap();
    };
    let url = format!("http://127.0.0.1:{}/", daemon.port);
    let open = || {
        let _ = tab.navigate_to(&url).unwrap().wait_until_navigated().unwrap();
    };
    for (look, scheme_is, width) in [
        ("light", "light", 1280),
        ("dark", "dark", 1280),
        ("phone", "light", 390),
        ("phone-dark", "dark", 390),
    ] {
        scheme(&tab, scheme_is);
        size(&tab, width, 800);
        open();
        picture(look);
        let shown = text(&tab);
        for want in ["page-in/0", "page-in/1", "running", "page-nowhere does not exist"] {
            assert!(shown.contains(want), "{look}: no {want:?} in\n{shown}");
        }
        assert_eq!(ask(&tab, FAINT), "", "{look}: too faint to read");
        let beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(ask(&tab, beyond), 0, "{look}: wider than its window");
        let ground = ask(&tab, "getComputedStyle(document.body).backgroundColor");
        assert_eq!(
            ground.as_str().unwrap().starts_with("rgb(24"),
            scheme_is == "light",
            "{ground}"
        );
        let assets = "performance.getEntriesByType('resource').filter(r => r.initiatorType != 'fetch').length";
        assert_eq!(ask(&tab, assets), 0, "{look}: something is loaded from elsewhere");
    }

    // It refreshes itself: what a person has marked stays, what the daemon says moves on.
    let _ = ask(&tab, "window.same = true");
    write(1_000);
    eventually("the page says so", LIMIT, || text(&tab).contains("1\u{202f}734"));
    assert_eq!(ask(&tab, "window.same"), true, "it was loaded anew");

    // Without JavaScript, too.
    let script = |value: bool| {
        let _ = tab.call_method(Emulation::SetScriptExecutionDisabled { value }).unwrap();
    };
    script(true);
    open();
    let still = tab.get_content().unwrap();
    assert!(still.contains("1\u{202f}734") && still.contains("http-equiv=\"refresh\""), "{still}");
    script(false);
    open();

    // It doesn't show what was as if it still were.
    const LOST: &str = "The daemon does not answer";
    assert!(!text(&tab).contains(LOST));
    assert_eq!(daemon.stop(), 0);
    eventually("the page says that the daemon is gone", LIMIT, || text(&tab).contains(LOST));
    picture("gone");
}
