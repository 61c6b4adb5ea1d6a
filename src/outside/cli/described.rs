//! What `where` and `explain` say of an entry and of a file.

use crate::clients::store::Store;
use crate::engine::archive::listing::{Finding, LedgerPath};
use crate::outside::cli::output::Answer;
use crate::pure::calendar::iso_millis;
use crate::pure::layout::names;
use crate::pure::protocol::{Entry, FileRef};

pub(super) fn finding(f: &Finding, answer: &mut Answer) {
    answer.find(format!("ledger   {}: {}: {}", f.kind.label(), f.path, f.detail));
}

pub(super) fn describe(store: &dyn Store, place: &LedgerPath, entry: &Entry, answer: &mut Answer) {
    let written = iso_millis(entry.written_at);
    let files = entry.files.len();
    let files = if files == 1 { "1 file".into() } else { format!("{files} files") };
    let path = names::entry_in(&place.path(), entry.key());
    answer.value("topic", entry.topic.as_str());
    answer.value("partition", entry.partition);
    answer.value("entry", format!("{}/{path}", store.url()));
    answer.value("from", entry.from.0);
    answer.value("to", entry.to.0);
    answer.value("written_at", iso_millis(entry.written_at));
    answer.say(format!("topic    {} partition {}", entry.topic, entry.partition));
    answer.say(format!("entry    {}/{path}", store.url()));
    answer.say(format!("range    [{}, {}), {files}", entry.from, entry.to));
    let why = match entry.roll.as_deref() {
        Some("asked") => "rolled on request".to_string(),
        Some(roll) => format!("rolled by {roll}"),
        None => "not of a roll".to_string(),
    };
    answer.say(format!("written  {written}, {why}"));
}

pub(super) fn describe_file(store: &dyn Store, file: &FileRef, answer: &mut Answer) {
    answer.value("file", format!("{}/{}", store.url(), file.path));
    answer.value("rows", file.rows);
    answer.value("first_offset", file.first_offset.0);
    answer.value("last_offset", file.last_offset.0);
    answer.value("bytes", file.bytes);
    answer.say(format!(
        "file     {}/{}: {} rows, offsets {} to {}, {} bytes",
        store.url(),
        file.path,
        file.rows,
        file.first_offset,
        file.last_offset,
        file.bytes
    ));
}
