//! What a sink does with bad records, as `on_bad_record`.

/// Takes over `errors.tolerance` and the topic of the dead letter queue.
pub(super) fn on_bad_record<'a>(
    get: &dyn Fn(&str) -> Option<&'a str>,
    archive: &mut Vec<String>,
    remarks: &mut Vec<String>,
) {
    let queue = get("errors.deadletterqueue.topic.name");
    let tolerance = get("errors.tolerance");
    let (choice, why) = match (tolerance, queue) {
        (Some("all"), Some(_)) => ("quarantine", "a bad record is kept, with the reason"),
        (Some("all"), None) => {
            ("skip", "such records are lost, as in the sink; \"quarantine\" would keep them")
        }
        (Some("none"), _) => ("stop", "a bad record stops its partition; \"quarantine\" keeps it"),
        _ => return,
    };
    archive.push(format!("on_bad_record = \"{choice}\""));
    remarks.push(format!(
        "errors.tolerance = {} is on_bad_record = \"{choice}\": {why}. A record is a bad one where \
         columns, value = \"json\" or format = \"text\" ask for what it does not have; any other \
         fits",
        tolerance.unwrap_or_default()
    ));
    if let Some(topic) = queue {
        remarks.push(format!(
            "errors.deadletterqueue.topic.name = {topic} has no equal: bad records are files in \
             <root>/_quarantine/<topic>/dt=<day>, in the same append as the others \
             (docs/files.md#the-quarantine)"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_a_choice() {
        for (tolerance, queue, want, said) in [
            (Some("all"), Some("dead"), Some("quarantine"), "topic.name = dead has no equal"),
            (Some("all"), None, Some("skip"), "such records are lost"),
            (Some("none"), None, Some("stop"), "stops its partition"),
            (None, None, None, ""),
        ] {
            let (mut archive, mut remarks) = (Vec::new(), Vec::new());
            let get = |key: &str| if key == "errors.tolerance" { tolerance } else { queue };
            on_bad_record(&get, &mut archive, &mut remarks);
            let line = want.map(|choice| format!("on_bad_record = \"{choice}\""));
            assert_eq!(archive, Vec::from_iter(line));
            assert!(remarks.concat().contains(said), "{remarks:?}");
        }
    }
}
