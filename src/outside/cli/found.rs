//! A file that readers see and no entry names: what an entry would say of it.

use std::collections::BTreeSet;
use std::fmt;

use crate::clients::store::{Store, StoreError};
use crate::engine::archive::root::is_of_one_file;
use crate::outside::audit::rows;
use crate::pure::layout::names;
use crate::pure::protocol::FileRef;
use crate::pure::record::{Offset, OffsetRange};

/// What an entry says of a file that lies at its place, if all its rows belong into this range.
pub(super) async fn describe(
    store: &dyn Store,
    path: &str,
    range: OffsetRange,
    seen: &mut BTreeSet<Offset>,
) -> Result<Result<FileRef, String>, StoreError> {
    let unreadable = |e: &dyn fmt::Display| {
        Ok(Err(format!(
            "{path} may belong there, and can't be read ({e}); restore the file, or move it out of \
             the root"
        )))
    };
    let bytes = match store.read(path).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            return Ok(Err(format!("{path} was there a moment ago, and is gone; repair again")));
        }
        Err(e) if is_of_one_file(store, &e).await => return unreadable(&e),
        Err(e) => return Err(e),
    };
    // The times come from the rows as well, whether or not these have values.
    let (offsets, times) = match rows::places(path, bytes.clone()) {
        Ok(rows::Places { offsets: Some(offsets), times, .. }) => (offsets, times),
        Ok(_) => return unreadable(&"its lines are values alone, without their offsets"),
        Err(e) => return unreadable(&e),
    };
    let name = path.rsplit('/').next().and_then(names::parse_file);
    let ends = offsets.iter().min().zip(offsets.iter().max());
    let (Some((first, last)), Some(name)) = (ends, name) else {
        return Ok(Err(format!("{path} has no rows; move it out of the root")));
    };
    if (*first, *last) != (name.first, name.last) {
        return Ok(Err(format!(
            "{path} has offsets {first} to {last}, which is not what its name says; move it out of \
             the root"
        )));
    }
    let outside = offsets.iter().find(|o| **o < range.from || range.to <= **o);
    let twice = offsets.iter().find(|o| !seen.insert(**o));
    if let Some(offset) = outside.or(twice) {
        return Ok(Err(format!(
            "readers would see offset {offset} of {path} twice; move the file out of the root"
        )));
    }
    Ok(Ok(FileRef {
        staged: String::new(),
        path: path.into(),
        rows: offsets.len() as u64,
        bytes: bytes.len() as u64,
        checksum: format!("{:08x}", crc32c::crc32c(&bytes)),
        first_offset: *first,
        last_offset: *last,
        min_time: times.map(|t| t.0),
        max_time: times.map(|t| t.1),
    }))
}
