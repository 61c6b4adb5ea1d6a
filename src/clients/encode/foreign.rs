//! Records of the output topic that are no counts.

use crate::pure::count::Count;
use crate::pure::record::Record;

/// What both formats do with a record of the output topic that is no count of ours.
pub(super) fn count_or_foreign<'a>(record: &Record<'a>) -> Result<Count<'a>, Option<&'a [u8]>> {
    Count::parse(record).ok_or(record.value)
}
