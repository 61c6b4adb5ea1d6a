//! Which mappings can be recounted.

use crate::common::config::{Config, Mapping, WordCount};

/// Mappings that archive both sides, with the values of their records.
pub(in crate::outside::cli) fn recountable(
    config: &Config,
) -> impl Iterator<Item = (&Mapping, &WordCount)> {
    config.mappings.iter().filter_map(|m| {
        let count = m.count.as_deref().filter(|c| c.archive.is_some())?;
        let raw = m.archive.as_ref()?.rules.rows.columns();
        // Declared columns alone are not what was counted, nor are lines without times and keys.
        ["value", "offset"].iter().all(|name| raw.contains(name)).then_some((m, count))
    })
}
