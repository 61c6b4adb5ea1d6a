//! `alluvium repair`, for partitions that no broker has any more.

use crate::engine::archive::abandoned::Abandoned;
use crate::engine::archive::ledger::LedgerError;
use crate::outside::cli::holes::Holes;
use crate::outside::cli::output::say;

/// Appends what the last owner of a partition has sealed, and names what it has not.
///
/// # Errors
/// The store does not answer.
pub(super) async fn repair(found: &Abandoned, apply: bool) -> Result<Holes, LedgerError> {
    let before = found.left().await?;
    let mut done = Holes::default();
    if before.sealed.is_empty() && before.other.is_empty() {
        return Ok(done);
    }
    say(&format!("{}-{}: the brokers do not have this partition", found.topic, found.partition));
    let would = if apply { "" } else { "would " };
    for entry in &before.sealed {
        say(&format!("    {would}append what its last owner had sealed, and not appended:"));
        entry.files.iter().for_each(|file| say(&format!("        {}", file.path)));
        done.repaired = done.repaired.saturating_add(1);
    }
    let left = if apply { found.finish().await? } else { before };
    for path in left.other {
        say(&format!(
            "    not repaired: {path} was not sealed, and what it has is in no log and in no \
             ledger; keep the file elsewhere if you need it, and delete it"
        ));
        done.refused = done.refused.saturating_add(1);
    }
    Ok(done)
}
