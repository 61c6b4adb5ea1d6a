//! Hours that clocks show twice, when summer time ends.

use jiff::{Timestamp, ToSpan as _};

use crate::pure::layout::template::{Piece, Template};

/// How many changes of clocks are looked at: those of some years.
const CHANGES: usize = 8;

impl Template {
    /// The next hour that comes twice and has one directory, as clocks show it; [`None`] where the
    /// path has no hours, or tells them apart.
    #[must_use]
    pub fn doubled_hour(&self, now_ms: i64) -> Option<String> {
        let has_hours = ["%H", "%M", "%S"].iter().any(|f| self.has(&Piece::Time((*f).into())));
        if !has_hours || self.has(&Piece::Offset) {
            return None;
        }
        let now = Timestamp::from_millisecond(now_ms).ok()?;
        self.zone.following(now).take(CHANGES).find_map(|change| {
            let at = change.timestamp();
            let before = self.zone.to_offset(at.checked_sub(1.second()).ok()?);
            let goes_back = change.offset().seconds() < before.seconds();
            goes_back.then(|| change.offset().to_datetime(at).strftime("%F %H:%M").to_string())
        })
    }
}
