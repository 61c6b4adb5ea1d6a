//! The time as one batch of records sees it.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// The clocks, read once a batch.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic.
    pub instant: Instant,
    /// Wall clock, milliseconds since 1970 (UTC).
    pub millis: i64,
}

/// What [`Now::moment`] counts from.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Now {
    /// Reads both clocks.
    #[must_use]
    pub fn read() -> Now {
        let _ = *ORIGIN;
        let millis = jiff::Timestamp::now().as_millisecond();
        Now { instant: Instant::now(), millis }
    }

    /// Monotonic time since an origin that is the same for the whole process: the pure rules take
    /// it as an argument.
    #[must_use]
    pub fn moment(self) -> Duration {
        self.instant.saturating_duration_since(*ORIGIN)
    }
}
