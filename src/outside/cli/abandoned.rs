//! `alluvium repair`, for partitions that no broker has any more.

use crate::engine::archive::abandoned::Abandoned;
use crate::engine::archive::ledger::LedgerError;
use crate::engine::archive::root::is_of_one_ledger;
use crate::outside::cli::holes::Holes;
use crate::outside::cli::output::say;

/// Appends what the last owner of a partition has sealed, and names what it has not.
///
/// # Errors
/// The store does not answer.
async fn repair(found: &Abandoned, apply: bool) -> Result<Holes, LedgerError> {
    let before = found.left().await?;
    let mut done = Holes::default();
    let is_damaged = !before.damages.is_empty();
    if before.sealed.is_empty() && before.other.is_empty() && !is_damaged && !apply {
        return Ok(done);
    }
    let name =
        format!("{}/{}: the brokers do not have this partition", found.topic, found.partition);
    let mut heading = Some(name);
    let mut tell = |line: &str| {
        heading.take().iter().for_each(|heading| say(heading));
        say(line);
    };
    let would = if apply { "" } else { "would " };
    for entry in &before.sealed {
        tell(&format!("    {would}append what its last owner had sealed, and not appended:"));
        entry.files.iter().for_each(|file| tell(&format!("        {}", file.path)));
        done.repaired = done.repaired.saturating_add(1);
    }
    let left = if apply { found.finish().await? } else { before };
    for path in left.other {
        tell(&format!(
            "    not repaired: {path} was not sealed, and what it has is in no log and in no \
             ledger; keep the file elsewhere if you need it, and delete it"
        ));
        done.refused = done.refused.saturating_add(1);
    }
    for e in left.damages {
        tell(&format!(
            "    not repaired: {e}; restore that from a backup, or move it out of the root, and \
             repair again"
        ));
        done.refused = done.refused.saturating_add(1);
    }
    Ok(done)
}

/// The same for all of these. What can't be looked at of one keeps no other one waiting.
///
/// # Errors
/// The store does not answer.
pub(super) async fn repair_all(all: &[Abandoned], apply: bool) -> Result<Holes, LedgerError> {
    let mut sum = Holes::default();
    for found in all {
        match repair(found, apply).await {
            Ok(done) => sum.add(done),
            Err(e) if is_of_one_ledger(&*found.ledger.store, &e).await => {
                say(&format!("{}/{}: not repaired: {e}", found.topic, found.partition));
                sum.refused = sum.refused.saturating_add(1);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(sum)
}
