//! Lengths of time as people write them: `500ms`, `10m`, `1d 12h`.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::str::FromStr;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Reads a length of time; a day has 24 hours.
///
/// # Errors
/// The text says what is wrong.
pub fn parse(text: &str) -> Result<Duration, String> {
    let days = SpanRelativeTo::days_are_24_hours();
    let parsed = Span::from_str(text).and_then(|span| span.to_duration(days));
    let parsed = parsed.map_err(|_| {
        format!("{text:?} is not a duration; write \"500ms\", \"2s\", \"10m\", \"7d\"")
    })?;
    Duration::try_from(parsed).map_err(|_| format!("{text:?} is negative"))
}

/// A length of time as [`parse`] reads it, in whole milliseconds: a number of the largest unit that
/// divides it.
#[must_use]
pub fn written(length: Duration) -> String {
    let millis = length.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    match units.into_iter().find(|(_, unit)| millis.checked_rem(*unit) == Some(0)) {
        Some((name, unit)) => format!("{}{name}", millis.checked_div(unit).unwrap_or_default()),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for (millis, want) in [
            (1, "1ms"),
            (1_500, "1500ms"),
            (90_000, "90s"),
            (120_000, "2m"),
            (5_400_000, "90m"),
            (7_200_000, "2h"),
            (86_400_000, "1d"),
            (604_800_000, "7d"),
        ] {
            let length = Duration::from_millis(millis);
            assert_eq!(written(length), want);
            assert_eq!(parse(want), Ok(length));
        }
    }
}
