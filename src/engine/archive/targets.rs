//! Which columns the files of an attempt have, where records name schemas.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clients::encode::{EncodeError, Encoder};
use crate::common::config::ArchiveConfig;
use crate::engine::archive::kept::KeptRecords;
use crate::pure::layout::format::Rows;
use crate::pure::layout::registered::Target;
use crate::pure::layout::rules::{Fit, RecordRules};
use crate::pure::layout::writer_schema::SchemaKey;
use crate::pure::record::{Record, TopicPartition};

/// The columns of one attempt's files, by the schemas of their records.
#[derive(Default)]
pub(super) struct Targets {
    by_writer: HashMap<SchemaKey, Arc<Target>>,
    /// The schemas that were known when these were chosen.
    changes: u64,
    /// Those of the record before.
    last: Option<Arc<Target>>,
}

impl Targets {
    /// The record as the rules have it, and the columns of its file; [`None`] where all files of
    /// the mapping have the same ones.
    #[inline]
    pub(super) fn fit<'a>(
        &mut self,
        record: &Record<'a>,
        rules: &RecordRules,
    ) -> (Fit<'a>, Option<Arc<Target>>) {
        if rules.registered.is_none() {
            return (rules.fit(record), None);
        }
        let target = self.of(record, rules);
        let fit = rules.fit_in(record, &target);
        (fit, Some(target))
    }

    /// A record without a schema may stand in any file: it stands beside the record before it.
    fn of(&mut self, record: &Record<'_>, rules: &RecordRules) -> Arc<Target> {
        let changes = rules.registered.as_ref().map_or(0, |of| of.schemas.changes());
        if changes != self.changes {
            self.by_writer.clear();
            self.changes = changes;
        }
        let key = rules.registered.as_ref().and_then(|of| of.key_of(record));
        if let Some(known) = key.and_then(|key| self.by_writer.get(&key)) {
            self.last = Some(Arc::clone(known));
            return Arc::clone(known);
        }
        let target = rules.target_of(record);
        match (key, target.key(), &self.last) {
            (_, None, Some(last)) => Arc::clone(last),
            (Some(key), Some(_), _) => {
                let same = self.by_writer.values().find(|known| known.key() == target.key());
                let target = same.cloned().unwrap_or_else(|| Arc::new(target));
                let _ = self.by_writer.insert(key, Arc::clone(&target));
                self.last = Some(Arc::clone(&target));
                target
            }
            _ => Arc::new(target),
        }
    }
}

/// Why a record is in the quarantine that is no bad one any more.
const LATE: &str = "the schema was not known when the record was read";

/// An encoder that has all of these records, which go as they are encoded.
pub(super) fn encoded(
    kept: KeptRecords,
    is_quarantine: bool,
    target: Option<&Target>,
    archive: &ArchiveConfig,
    of: &TopicPartition,
) -> Result<Encoder, EncodeError> {
    let rules = &archive.rules;
    let rows = match (is_quarantine, target) {
        (true, _) => &Rows::Quarantine,
        (false, Some(target)) => &target.rows,
        (false, None) => &rules.rows,
    };
    let mut encoder = Encoder::with(archive.format(is_quarantine), archive.options, rows, of)?;
    kept.replay(|record| {
        let fit = match target {
            Some(target) if !is_quarantine => rules.fit_in(record, target),
            _ => rules.fit(record),
        };
        let fit = match fit {
            bad @ Fit::Bad(_) => bad,
            _ if is_quarantine => Fit::Bad(LATE.into()),
            fit => fit,
        };
        encoder.append(record, &fit)
    })?;
    Ok(encoder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::Config;
    use crate::common::schemas::Schemas;
    use crate::pure::layout::registered::{Known, KnownSchemas as _};
    use crate::pure::layout::schema_fields::Wanted;
    use crate::pure::layout::writer_schema::WriterSchema;
    use crate::pure::record::{Offset, Timestamp};

    fn archive(more: &str) -> Arc<ArchiveConfig> {
        let text = format!(
            "[registry]\nurl = \"http://r\"\n[kafka]\nbootstrap_servers = \"b:1\"\n\
             group_id = \"g\"\n[archive]\nroot = \"file:///x\"\nvalue = \"registry\"\n{more}\n\
             [mapping.m]\ntopics = [\"t\"]"
        );
        let config = Config::parse(&text, Some("i")).expect("a good configuration");
        config.mappings[0].archive.clone().expect("it archives")
    }

    fn add(schemas: &Schemas, id: u32, fields: &[&str]) {
        let field = |name: &&str| format!(r#"{{"name":"{name}","type":["null","int"]}}"#);
        let fields: Vec<String> = fields.iter().map(field).collect();
        let text = format!(r#"{{"type":"record","name":"r","fields":[{}]}}"#, fields.join(","));
        let schema = WriterSchema::avro(id, &text, &[], Wanted::flat(&[])).expect("a good schema");
        schemas.insert(id, Known::Schema(Arc::new(schema)));
    }

    fn record(value: Option<&[u8]>) -> Record<'_> {
        let (offset, timestamp) = (Offset(0), Timestamp::Missing);
        Record { offset, timestamp, key: None, value, headers: &[] }
    }

    #[test]
    fn versions_in_turn_have_one_file_each() {
        let archive = archive("");
        add(&archive.schemas, 1, &["a"]);
        add(&archive.schemas, 2, &["a", "b"]);
        let mut targets = Targets::default();
        let mut id = |value: Option<&[u8]>| {
            let (fit, target) = targets.fit(&record(value), &archive.rules);
            (target.expect("it has columns").key().map(|key| key.id), matches!(fit, Fit::Cells(_)))
        };
        assert_eq!(id(None), (None, true), "no record came before");
        for _ in 0..3 {
            assert_eq!(id(Some(&[0, 0, 0, 0, 1, 0])), (Some(1), true));
            assert_eq!(id(None), (Some(1), true), "a tombstone stands beside the one before");
            assert_eq!(id(Some(&[0, 0, 0, 0, 2, 0, 0])), (Some(2), true));
            assert_eq!(id(Some(&[0, 0, 0, 0, 2, 0])), (Some(2), false));
            assert_eq!(id(Some(b"{}")), (Some(2), false));
        }
    }

    #[test]
    fn a_new_version_takes_the_records_of_the_old_one_from_then_on() {
        let archive = archive("evolution = \"latest\"");
        add(&archive.schemas, 1, &["a"]);
        let mut targets = Targets::default();
        let old: &[u8] = &[0, 0, 0, 0, 1, 2, 14];
        let (_, first) = targets.fit(&record(Some(old)), &archive.rules);
        add(&archive.schemas, 2, &["a", "b"]);
        add(&archive.schemas, 3, &["b"]);
        let (fit, second) = targets.fit(&record(Some(old)), &archive.rules);
        let ids =
            [first, second].map(|target| target.and_then(|target| target.key().map(|key| key.id)));
        assert_eq!(ids, [Some(1), Some(2)], "3 has no place for a");
        let Fit::Cells(cells) = fit else { panic!("{fit:?}") };
        assert_eq!(cells.len(), 2);
        assert_eq!(archive.schemas.changes(), 3);
    }

    /// An id that did not exist when a record was read may exist when the record is encoded.
    #[test]
    fn a_record_in_the_quarantine_stays_there() {
        let archive = archive("");
        let value: &[u8] = &[0, 0, 0, 0, 1, 0];
        archive.schemas.insert(1, Known::Unusable("there is no schema 1".into()));
        let mut targets = Targets::default();
        let (fit, _) = targets.fit(&record(Some(value)), &archive.rules);
        assert!(matches!(fit, Fit::Bad(_)), "{fit:?}");
        let mut kept = KeptRecords::default();
        kept.push(&record(Some(value)));
        add(&archive.schemas, 1, &["a"]);
        let of = TopicPartition { topic: "t".into(), partition: 0 };
        assert!(encoded(kept, true, None, &archive, &of).is_ok());
    }
}
