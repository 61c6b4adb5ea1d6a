//! Schemas from a registry that answers, fails or does not know, and from the root.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::Registry;

use crate::clients::registry::{RegistryError, SchemaSource};
use crate::clients::store::Store as _;
use crate::common::clock::Now;
use crate::common::config::Config;
use crate::common::health::{Board, Subject};
use crate::common::metrics::Metrics;
use crate::engine::schemas::Fetcher;
use crate::fakes::store::Memory;
use crate::pure::formats::schema::KeptSchema;
use crate::pure::layout::names;
use crate::pure::layout::registered::{Known, KnownSchemas as _};

const TEXT: &str = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"int"}]}"#;

/// What it answers next; the last answer stays.
struct Fake(Mutex<Vec<Answer>>);

type Answer = Result<Option<KeptSchema>, RegistryError>;

fn away() -> Answer {
    Err(RegistryError::Away("refused".into()))
}

impl SchemaSource for Fake {
    fn schema(&self, _: u32) -> Answer {
        let mut all = self.0.lock();
        if 1 < all.len() { all.remove(0) } else { all[0].clone() }
    }
}

fn schema(kind: &str, text: &str) -> KeptSchema {
    KeptSchema::new(7, kind.into(), text.into(), Vec::new())
}

fn fetcher(store: &Memory, answers: &[Answer]) -> Fetcher {
    let text = "[registry]\nurl = \"http://r\"\n[kafka]\nbootstrap_servers = \"b:1\"\n\
                group_id = \"g\"\n[archive]\nroot = \"file:///x\"\nvalue = \"registry\"\n\
                [mapping.m]\ntopics = [\"t\"]";
    let config = Config::parse(text, Some("i")).unwrap();
    let archive = config.mappings[0].archive.clone().unwrap();
    Fetcher {
        rows: archive.rules.registered.clone().unwrap(),
        schemas: archive.schemas.clone(),
        store: Arc::new(store.clone()),
        registry: Some(Arc::new(Fake(Mutex::new(answers.to_vec())))),
        board: Arc::new(Board::default()),
        metrics: Arc::new(Metrics::new(&Registry::new())),
        mapping: "m".into(),
        clock: Now::read,
    }
}

/// One try, to its end.
async fn find(fetcher: &Fetcher) -> Option<Known> {
    let _ = fetcher.find(7, &tokio::runtime::Handle::current());
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let known = fetcher.schemas.get(7);
        if known.is_some() || fetcher.schemas.want(7).is_some() {
            return known;
        }
    }
    panic!("no end of it");
}

fn count(fetcher: &Fetcher, outcome: &str) -> u64 {
    fetcher.metrics.schemas.with_label_values(&["m", outcome]).get()
}

#[tokio::test]
async fn a_schema_is_kept_in_the_root_and_needs_no_registry_then() {
    let store = Memory::default();
    let first = fetcher(&store, &[Ok(Some(schema("AVRO", TEXT)))]);
    assert!(matches!(find(&first).await, Some(Known::Schema(_))));
    assert_eq!(count(&first, "fetched"), 1);
    let kept = store.read(&names::schema(7)).await.unwrap().unwrap();
    assert_eq!(KeptSchema::decode(7, &kept).unwrap(), schema("AVRO", TEXT));
    assert_eq!(store.lock().files.len(), 1, "nothing is left in staging");
    // Another process, when the registry is dead.
    let dead = fetcher(&store, &[away()]);
    assert!(matches!(find(&dead).await, Some(Known::Schema(_))));
    assert_eq!((count(&dead, "kept"), count(&dead, "failed")), (1, 0));
    let nobody = Fetcher { registry: None, ..fetcher(&store, &[Ok(None)]) };
    assert!(matches!(find(&nobody).await, Some(Known::Schema(_))));
}

#[tokio::test]
async fn an_outage_is_told_until_there_is_an_answer() {
    let store = Memory::default();
    let answers = [away(), Ok(Some(schema("AVRO", TEXT)))];
    let fetcher = fetcher(&store, &answers);
    let subject = Subject::Registry("m".into());
    assert!(find(&fetcher).await.is_none());
    assert_eq!(fetcher.board.outage(&subject).unwrap().cause, "schema 7: refused");
    assert!(matches!(find(&fetcher).await, Some(Known::Schema(_))));
    assert!(fetcher.board.outage(&subject).is_none());
    assert_eq!((count(&fetcher, "failed"), count(&fetcher, "fetched")), (1, 1));
}

#[tokio::test]
async fn what_is_no_schema_is_known_to_be_none_and_is_not_kept() {
    let large = RegistryError::TooLarge("it has more than 4 MiB".into());
    for (answer, want) in [
        (Ok(None), "the registry has no schema 7"),
        (Ok(Some(schema("THRIFT", ""))), "of the type THRIFT, and AVRO, JSON and PROTOBUF"),
        (Ok(Some(schema("PROTOBUF", ""))), "schema 7 cannot be used: the schema has no message"),
        (Ok(Some(schema("JSON", "true"))), "schema 7 cannot be used: the schema is not that of an"),
        (Ok(Some(schema("AVRO", "{"))), "schema 7 cannot be used: the schema is not JSON"),
        (Err(large), "schema 7 cannot be used: it has more than 4 MiB"),
    ] {
        let store = Memory::default();
        let fetcher = fetcher(&store, &[answer]);
        let Some(Known::Unusable(why)) = find(&fetcher).await else { panic!("{want}") };
        assert!(why.contains(want), "{why}");
        assert!(store.lock().files.is_empty());
    }
}

#[tokio::test]
async fn schemas_of_each_language_are_kept_and_read_again() {
    let object = r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#;
    let message = "syntax = \"proto3\"; message M { int32 a = 1; }";
    for (kind, text) in [("AVRO", TEXT), ("JSON", object), ("PROTOBUF", message)] {
        let store = Memory::default();
        let first = fetcher(&store, &[Ok(Some(schema(kind, text)))]);
        let dead = fetcher(&store, &[away()]);
        for fetcher in [&first, &dead] {
            match find(fetcher).await {
                Some(Known::Schema(of)) => assert_eq!(of.columns.columns()[0].name, "a"),
                Some(Known::Messages(of)) => {
                    assert_eq!(of.first().unwrap().columns.columns()[0].name, "a");
                }
                known => panic!("{kind}: {known:?}"),
            }
        }
        assert_eq!((count(&first, "fetched"), count(&dead, "kept")), (1, 1));
    }
}

/// It is behind those who write to it.
#[tokio::test]
async fn a_registry_that_has_a_schema_a_moment_later_makes_no_bad_record() {
    let store = Memory::default();
    let answers = [Ok(None), Ok(None), Ok(Some(schema("AVRO", TEXT)))];
    let fetcher = fetcher(&store, &answers);
    assert!(matches!(find(&fetcher).await, Some(Known::Schema(_))));
    assert_eq!((count(&fetcher, "missing"), count(&fetcher, "fetched")), (0, 1));
}

/// Two registries give one id to different schemas, and each needs a root of its own.
#[tokio::test]
async fn another_schema_of_an_id_is_told_and_not_used() {
    let message = "syntax = \"proto3\"; message M { int32 a = 1; }";
    let object = r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#;
    for (kind, text) in [("AVRO", TEXT), ("PROTOBUF", message), ("JSON", object)] {
        let store = Memory::default();
        assert!(find(&fetcher(&store, &[Ok(Some(schema(kind, text)))])).await.is_some());
        let before = store.lock().files.clone();
        let other = text.replace("int", "string").replace("string32", "int64");
        let other = other.replace("stringeger", "string");
        for other in [schema(kind, &other), schema("THRIFT", text)] {
            let fetcher = fetcher(&store, &[Ok(Some(other))]);
            assert!(find(&fetcher).await.is_none(), "{kind}");
            let cause = fetcher.board.outage(&Subject::Registry("m".into())).unwrap().cause;
            assert!(cause.starts_with("schema 7: the registry has another one than "), "{cause}");
            assert!(cause.contains("schemas/7.json: it is another registry"), "{cause}");
            assert_eq!(store.lock().files, before, "what stands in the root is not overwritten");
        }
        // The same one in other words, and a registry that has it no more.
        let same = text.replace('{', "{\n ");
        for answer in [Ok(Some(schema(kind, &same))), Ok(None), away()] {
            let fetcher = fetcher(&store, &[answer]);
            assert!(find(&fetcher).await.is_some(), "{kind}");
            assert_eq!(count(&fetcher, "kept"), 1, "{kind}");
        }
    }
}

#[tokio::test]
async fn a_file_of_another_version_is_told_and_not_used() {
    let store = Memory::default();
    let text = br#"{"version":3,"id":7,"type":"AVRO","schema":"","references":[]}"#;
    let _ = store.lock().files.insert(names::schema(7), text.to_vec());
    let fetcher = fetcher(&store, &[Ok(Some(schema("AVRO", TEXT)))]);
    assert!(find(&fetcher).await.is_none());
    let outage = fetcher.board.outage(&Subject::Registry("m".into())).unwrap();
    assert!(outage.cause.contains("7.json: is of version 3"), "{}", outage.cause);
}
