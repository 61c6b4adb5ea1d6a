//! A partition whose schema nobody tells waits, and it alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::clients::registry::{RegistryError, SchemaSource};
use crate::common::config::Config;
use crate::common::health::Subject;
use crate::engine::topics::Role;
use crate::engine::worker::inbox::{Added, Message};
use crate::engine::worker::lives::topics::tp;
use crate::engine::worker::lives::world::{World, in_paused_time, role};
use crate::pure::formats::schema::KeptSchema;
use crate::pure::layout::names;
use crate::pure::record::{Offset, TopicPartition};

/// Knows the first schema always, the second while it is told to, and no other.
#[derive(Default)]
struct Fake {
    is_up: AtomicBool,
}

impl SchemaSource for Fake {
    fn schema(&self, id: u32) -> Result<Option<KeptSchema>, RegistryError> {
        let text = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"int"}]}"#;
        let schema = KeptSchema::new(id, "AVRO".into(), text.into(), Vec::new());
        match (id, self.is_up.load(Ordering::Relaxed)) {
            (1, _) | (2, true) => Ok(Some(schema)),
            (2, false) => Err(RegistryError::Away("refused".into())),
            _ => Ok(None),
        }
    }
}

const CONFIG: &str = r#"
[registry]
url = "http://registry"
[kafka]
bootstrap_servers = "b:9092"
group_id = "g"
[archive]
root = "file:///nowhere"
value = "registry"
roll = { age = "1s" }
[mapping.m]
topics = ["in"]
"#;

/// A value of this schema.
fn value(id: u8) -> String {
    format!("\0\0\0\0{}\u{e}", char::from(id))
}

fn archived(world: &World, tp: &TopicPartition) -> Option<Offset> {
    world.processes[0].worker.owned[tp].sinks.machine.rules()?.a()
}

#[test]
fn a_partition_waits_for_its_schema_and_loses_nothing() {
    in_paused_time(async {
        let mut world = World::new(None);
        let _ = world.start();
        let fake = Arc::new(Fake::default());
        world.processes[0].worker.env.registry = Some(Arc::clone(&fake) as _);
        let config = Config::parse(CONFIG, Some("i")).unwrap();
        let archive = config.mappings[0].archive.clone();
        let generation = world.next_generation();
        let both = [tp("in", 0), tp("in", 1)];
        let added = both.iter().map(|tp| Added {
            role: Role { archive: archive.clone(), ..role("in", &world.store) },
            source: Box::new(world.brokers.source(tp)),
            alive: Arc::new(true.into()),
            gauges: Arc::new(world.processes[0].worker.env.metrics.partition(tp)),
            tp: tp.clone(),
        });
        let added = added.collect();
        world.processes[0].wake.send(Message::Assigned { generation, added });
        let millis = 1_700_000_000_000;
        // One with an id that does not exist, and the first of the second schema.
        let alternating = [2, 1].repeat(50);
        for id in [&[1, 1, 9, 1][..], &alternating].concat() {
            world.brokers.produce(&both[0], millis, &value(id));
            world.brokers.produce(&both[1], millis, &value(1));
        }
        let subject = Subject::Registry("m".into());
        let board = Arc::clone(&world.processes[0].worker.env.board);
        world.steps(Duration::from_secs(40)).await;
        assert_eq!(archived(&world, &both[1]), Some(Offset(104)), "it waits for nobody");
        assert_eq!(archived(&world, &both[0]), Some(Offset(4)), "up to the second schema");
        assert_eq!(board.outage(&subject).unwrap().cause, "schema 2: refused");
        world.brokers.produce(&both[1], millis, &value(1));
        world.steps(Duration::from_secs(10)).await;
        assert_eq!(archived(&world, &both[1]), Some(Offset(105)));

        fake.is_up.store(true, Ordering::Relaxed);
        world.steps(Duration::from_secs(30)).await;
        assert_eq!(archived(&world, &both[0]), Some(Offset(104)));
        assert!(board.outage(&subject).is_none());
        let metrics = &world.processes[0].worker.env.metrics;
        assert_eq!(metrics.unfit.with_label_values(&["m", "quarantined"]).get(), 1);
        let files = &world.store.lock().files;
        assert!(files.contains_key(&names::schema(1)) && files.contains_key(&names::schema(2)));
        let data = |directory: &str| files.keys().filter(|p| p.starts_with(directory)).count();
        assert_eq!(data("_quarantine/in/"), 1);
        // The second attempt of the first partition has a file for each schema.
        assert!(4 <= data("in/"), "{:?}", files.keys());
        // However often they alternate: no entry names more files than there are schemas.
        let entries = files.iter().filter(|(path, _)| path.ends_with(".entry"));
        let entries: Vec<usize> = entries
            .map(|(_, bytes)| String::from_utf8_lossy(bytes).matches("\"in/").count())
            .collect();
        assert!(entries.iter().all(|named| *named <= 2), "{entries:?}");
        assert!(entries.contains(&2), "{entries:?}");
    });
}
