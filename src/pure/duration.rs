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
