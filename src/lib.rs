//! Alluvium carries Kafka topics into HDFS, exactly once.
pub mod protocol;
pub mod record;
