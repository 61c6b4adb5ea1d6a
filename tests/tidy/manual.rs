//! The manual's page for those who look for a reason or an alert.

use regex::Regex;

use crate::source::read;

#[test]
fn every_reason_and_alert_leads_to_its_section() {
    let page = read("docs/troubleshooting.md");
    let rules = read("src/pure/protocol/recovery.rs");
    let label = Regex::new(r#"Stop::\w+(?:\s*\{ \.\. \}|\(_\))? => "(\w+)""#).unwrap();
    let reasons: Vec<&str> =
        label.captures_iter(&rules).map(|c| c.extract::<1>().1[0]).chain(["encode"]).collect();
    assert!(8 < reasons.len(), "{reasons:?}");
    for reason in reasons {
        assert!(page.contains(&format!("\n| `{reason}` |")), "{reason}");
    }
    let rules = read("config/prometheus/alluvium.rules.yml");
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let link = format!("\n| [{alert}](alerts.md#{}) |", alert.to_lowercase());
        assert!(page.contains(&link), "{alert}");
    }
}
