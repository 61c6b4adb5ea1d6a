//! What an administrator of brokers and of HDFS does, within this process: a console tool takes two
//! seconds to start. The tutorial's scenario uses Kafka's own tools, for they are what it is about.

use std::time::Duration;

use hdfs_native::{Client, ClientBuilder, WriteOptions};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::{Cluster, eventually};

const LIMIT: Duration = Duration::from_secs(60);

impl Cluster {
    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", self.bootstrap()).create().unwrap()
    }

    /// The answer to a question of an administrator. The client library gives up the handle of a
    /// broker when it has heard the list of all brokers, and does not ask again by itself.
    fn answer<T, F: Future<Output = KafkaResult<T>>>(&self, mut ask: impl FnMut() -> F) -> T {
        for _ in 0..3 {
            match self.runtime.block_on(ask()) {
                Err(KafkaError::AdminOp(RDKafkaErrorCode::DestroyBroker)) => {}
                answer => return answer.unwrap(),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the client library has given up three handles of brokers, one after the other");
    }

    /// A consumer that joins no group, with or without the name of one.
    pub fn consumer(&self, group: &str) -> BaseConsumer {
        ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap()
    }

    /// Makes a topic, and waits until each of its partitions has a leader.
    pub fn create_topic(&self, topic: &str, partitions: u32) {
        self.create_topic_with(topic, partitions, &[]);
    }

    /// The same; the settings hold for the first record.
    pub fn create_topic_with(&self, topic: &str, partitions: u32, settings: &[(&str, &str)]) {
        let options = options();
        let new = NewTopic::new(topic, partitions as i32, TopicReplication::Fixed(-1));
        let new = settings.iter().fold(new, |new, (key, value)| new.set(key, value));
        let (admin, mut result) = (self.admin(), Ok(String::new()));
        // A topic that was deleted a moment ago may still be known.
        eventually(&format!("the topic {topic} is not there, and is made"), LIMIT, || {
            result = self.answer(|| admin.create_topics([&new], &options)).remove(0);
            !matches!(result, Err((_, RDKafkaErrorCode::TopicAlreadyExists)))
        });
        assert!(result.is_ok(), "create {topic}: {result:?}");
        self.has_leaders(topic, partitions as usize);
    }

    fn has_leaders(&self, topic: &str, partitions: usize) {
        let consumer = self.consumer("admin");
        eventually("partitions have leaders", LIMIT, || {
            let Ok(metadata) = consumer.fetch_metadata(Some(topic), LIMIT) else { return false };
            let all = metadata.topics()[0].partitions();
            all.len() == partitions && all.iter().all(|p| p.error().is_none() && 0 <= p.leader())
        });
    }

    pub fn partitions(&self, topic: &str) -> usize {
        let metadata = self.consumer("admin").fetch_metadata(Some(topic), LIMIT).unwrap();
        metadata.topics()[0].partitions().len()
    }

    pub fn has_topic(&self, topic: &str) -> bool {
        let all = self.consumer("admin").fetch_metadata(None, LIMIT).unwrap();
        all.topics().iter().any(|t| t.name() == topic)
    }

    /// Does not wait until the topic is gone: a daemon may create it again at once.
    pub fn begin_to_delete_topic(&self, topic: &str) {
        let (admin, options) = (self.admin(), options());
        let deleted = self.answer(|| admin.delete_topics(&[topic], &options));
        assert!(deleted[0].is_ok(), "delete {topic}: {deleted:?}");
    }

    /// Deletes a topic, and waits until every broker has forgotten it.
    pub fn delete_topic(&self, topic: &str) {
        self.begin_to_delete_topic(topic);
        for broker in self.bootstrap().split(',') {
            let consumer: BaseConsumer =
                ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
            eventually("the topic is gone", LIMIT, || {
                let Ok(all) = consumer.fetch_metadata(None, LIMIT) else { return false };
                all.topics().iter().all(|t| t.name() != topic)
            });
        }
    }

    pub fn add_partitions(&self, topic: &str, all: usize) {
        let options = options();
        let new = [NewPartitions::new(topic, all)];
        let admin = self.admin();
        let done = self.answer(|| admin.create_partitions(&new, &options));
        assert!(done[0].is_ok(), "{topic}: {done:?}");
        self.has_leaders(topic, all);
    }

    /// Overrides settings of a topic.
    pub fn configure_topic(&self, topic: &str, settings: &[(&str, &str)]) {
        let options = options();
        let one = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let one = settings.iter().fold(one, |one, (key, value)| one.set(key, value));
        let admin = self.admin();
        let done = self.answer(|| admin.alter_configs([&one], &options));
        assert!(done[0].is_ok(), "{topic}: {done:?}");
    }

    /// Deletes what lies before `offset` in each of the partitions.
    pub fn delete_records(&self, topic: &str, partitions: i32, offset: i64) {
        let options = options();
        let mut list = TopicPartitionList::new();
        for p in 0..partitions {
            list.add_partition_offset(topic, p, Offset::Offset(offset)).unwrap();
        }
        let admin = self.admin();
        let done = self.answer(|| admin.delete_records(&list, &options));
        for element in done.elements() {
            element.error().unwrap_or_else(|e| panic!("{topic}: {e}"));
        }
    }

    /// Forgets a group with its offsets. Its members have ended, but the coordinator may hear of
    /// that a moment later.
    pub fn delete_group(&self, group: &str) {
        let options = options();
        let admin = self.admin();
        eventually("the group is empty, and is deleted", LIMIT, || {
            let done = self.answer(|| admin.delete_groups(&[group], &options));
            match &done[0] {
                Ok(_) => true,
                Err((_, RDKafkaErrorCode::NonEmptyGroup)) => false,
                Err(error) => panic!("{group}: {error:?}"),
            }
        });
    }

    /// Moves the offset of a topic's only partition, as an operator would: without metadata.
    pub fn reset_offset(&self, group: &str, topic: &str, to: i64) {
        self.commit(group, (topic, 0), to, "");
    }

    /// Commits an offset with metadata for a group whose members have ended, though the
    /// coordinator may hear of that a moment later.
    pub fn commit(&self, group: &str, of: (&str, i32), offset: i64, metadata: &str) {
        let mut one = TopicPartitionList::new();
        one.add_partition_offset(of.0, of.1, Offset::Offset(offset)).unwrap();
        one.elements()[0].set_metadata(metadata);
        let consumer = self.consumer(group);
        eventually("the group is empty, and the offset is committed", LIMIT, || {
            match consumer.commit(&one, CommitMode::Sync) {
                Ok(()) => true,
                Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::UnknownMemberId)) => false,
                Err(error) => panic!("{group}: {error}"),
            }
        });
    }

    /// The committed offset of a partition, if there is one, and its metadata.
    pub fn committed(&self, group: &str, of: (&str, i32)) -> (Option<i64>, String) {
        let mut one = TopicPartitionList::new();
        let _ = one.add_partition(of.0, of.1);
        let read = self.consumer(group).committed_offsets(one, LIMIT).unwrap();
        let element = &read.elements()[0];
        (element.offset().to_raw().filter(|o| 0 <= *o), element.metadata().to_string())
    }

    /// The end of a partition's log.
    pub fn log_end(&self, of: (&str, i32)) -> i64 {
        self.consumer("admin").fetch_watermarks(of.0, of.1, LIMIT).unwrap().1
    }

    /// HDFS, as a client of its own.
    pub fn files(&self) -> Files<'_> {
        let _guard = self.runtime.enter();
        let client = ClientBuilder::new().with_url(self.hdfs()).build().unwrap();
        Files { cluster: self, client }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(LIMIT)).request_timeout(Some(LIMIT))
}

/// What `hdfs dfs` does, on absolute paths.
pub struct Files<'a> {
    cluster: &'a Cluster,
    client: Client,
}

impl Files<'_> {
    fn wait<T>(&self, what: impl Future<Output = hdfs_native::Result<T>>) -> T {
        self.cluster.runtime.block_on(what).unwrap()
    }

    pub fn rename(&self, from: &str, to: &str) {
        self.wait(self.client.rename(from, to, false));
    }

    pub fn make_dirs(&self, path: &str) {
        self.wait(self.client.mkdirs(path, 0o755, true));
    }

    /// Deletes a file or a tree, which must be there.
    pub fn delete(&self, path: &str) {
        assert!(self.wait(self.client.delete(path, true)), "{path}");
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        let read = async {
            let mut reader = self.client.read(path).await?;
            reader.read_bytes(reader.file_length()).await
        };
        self.wait(read).to_vec()
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        self.wait(async {
            let options = WriteOptions::default().overwrite(true);
            let mut writer = self.client.create(path, options).await?;
            let _ = writer.write_bytes(bytes).await?;
            writer.close().await
        });
    }

    /// Every file below a directory: its path and how many replicas it is to have.
    pub fn walk(&self, path: &str) -> Vec<(String, u32)> {
        let all = self.wait(self.client.list_status(path, true));
        let files = all.into_iter().filter(|f| !f.isdir);
        files.map(|f| (f.path, f.replication.unwrap_or(0))).collect()
    }
}
