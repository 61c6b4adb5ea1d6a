//! The operations that the brokers ask a principal for, and the commands that allow them.
//!
//! A client learns no more than that it was refused. Here the refusal gets its principal, its
//! resource and its operation, which only the caller knows.

use std::collections::BTreeSet;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::types::RDKafkaRespErr;

use crate::clients::kafka::client_errors::Security;

/// How librdkafka's texts name a refusal.
const OF_TOPIC: &str = "Topic authorization failed";
const OF_GROUP: &str = "Group authorization failed";
const OF_TRANSACTIONAL_ID: &str = "Transactional Id authorization failed";

/// An operation, as kafka-acls names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operation {
    Read,
    Write,
    Create,
    DescribeConfigs,
}

/// What an operation is done to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource<'a> {
    Topic(&'a str),
    /// The group that is configured.
    Group,
    /// The transactional ids of all instances.
    TransactionalIds,
    Cluster,
}

/// Who asks the brokers, and what its group is: what a refusal is told with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rights {
    servers: String,
    group: String,
    /// The principal as kafka-acls takes it.
    principal: String,
    /// What the principal's name stands for, if the client does not know the name.
    unknown: Option<&'static str>,
    /// Whether the tools, too, have to log in.
    secured: bool,
}

impl Rights {
    /// `settings` are those of any client of `group`.
    #[must_use]
    pub fn of(settings: &ClientConfig, group: &str) -> Rights {
        let text = |key: &str| settings.get(key).unwrap_or_default();
        let security = Security::of(settings);
        let (name, unknown) = match (security.protocol.as_str(), security.mechanism.as_str()) {
            ("plaintext", _) => ("ANONYMOUS", None),
            ("ssl", _) => (
                "NAME",
                Some(
                    "NAME is the subject of the client's certificate, or what \
                     ssl.principal.mapping.rules of the brokers makes of it",
                ),
            ),
            (_, "GSSAPI") => {
                let principal = settings.get("sasl.kerberos.principal").unwrap_or("kafkaclient");
                (principal.split(['/', '@']).next().unwrap_or(principal), None)
            }
            (_, "OAUTHBEARER") => (
                "NAME",
                Some("NAME is the claim `sub` of the token, or what the brokers take instead"),
            ),
            _ => (security.user.as_str(), None),
        };
        Rights {
            servers: text("bootstrap.servers").into(),
            group: group.into(),
            principal: format!("User:{name}"),
            unknown,
            secured: security.protocol != "plaintext",
        }
    }

    /// The group of the client.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Says that an operation is not allowed, and how to allow it.
    #[must_use]
    pub fn lacks(&self, operation: Operation, resource: Resource<'_>) -> String {
        let (what, arguments) = match resource {
            Resource::Topic(name) => (format!("topic {name:?}"), format!("--topic {}", word(name))),
            Resource::Group => {
                (format!("group {:?}", self.group), format!("--group {}", word(&self.group)))
            }
            Resource::TransactionalIds => {
                let prefix = format!("{}-", self.group);
                (
                    format!("the transactional ids that begin with {prefix:?}"),
                    format!(
                        "--transactional-id {} --resource-pattern-type prefixed",
                        word(&prefix)
                    ),
                )
            }
            Resource::Cluster => ("the cluster".into(), "--cluster".into()),
        };
        let login = if self.secured { " --command-config ADMIN.properties" } else { "" };
        let note = self.unknown.map_or(String::new(), |unknown| format!(" ({unknown})"));
        format!(
            "{principal} lacks the operation {operation} on {what}; allow it with: kafka-acls \
             --bootstrap-server {servers}{login} --add --allow-principal {allowed} --operation \
             {operation} {arguments}{note}",
            principal = self.principal,
            allowed = word(&self.principal),
            servers = self.servers,
        )
    }

    /// What is missing by a text of the client library, if it is a right. `topic`: the one that
    /// was to be read.
    #[must_use]
    pub fn missing(&self, text: &str, topic: Option<&str>) -> Option<String> {
        let resource = match topic {
            _ if text.contains(OF_TRANSACTIONAL_ID) => {
                return Some(self.lacks(Operation::Write, Resource::TransactionalIds));
            }
            _ if text.contains(OF_GROUP) => Resource::Group,
            Some(topic) if text.contains(OF_TOPIC) => Resource::Topic(topic),
            _ => return None,
        };
        Some(self.lacks(Operation::Read, resource))
    }

    /// The text of a failed call, or what is missing by it.
    #[must_use]
    pub fn explained(&self, text: impl fmt::Display, topic: Option<&str>) -> String {
        let text = text.to_string();
        self.missing(&text, topic).unwrap_or(text)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One word of a shell's command.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@=,+".contains(c);
    if text.chars().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Whether this is the refusal of a topic.
pub(super) fn is_of_topic(code: RDKafkaRespErr) -> bool {
    code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
}

/// Whether a text is about the rights on a topic.
pub(super) fn names_topic_rights(text: &str) -> bool {
    text.contains(OF_TOPIC)
}

/// The topics that a text names partition by partition, as `topic(id)[0](error)`, because they are
/// refused.
pub(super) fn refused_topics(text: &str) -> BTreeSet<String> {
    let refused = format!("(Broker: {OF_TOPIC})");
    let mut parts: Vec<&str> = text.split(refused.as_str()).collect();
    let _ = parts.pop();
    let name = |part: &str| part.rsplit(' ').next()?.split('(').next().map(String::from);
    parts.into_iter().filter_map(name).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(settings: &[(&str, &str)]) -> Rights {
        let mut config = ClientConfig::new();
        let _ = config.set("bootstrap.servers", "b:9093");
        for (key, value) in settings {
            let _ = config.set(*key, *value);
        }
        Rights::of(&config, "my group")
    }

    fn scram() -> Rights {
        rights(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "archiver"),
        ])
    }

    #[test]
    fn a_missing_right_names_principal_operation_resource_and_command() {
        assert_eq!(
            scram().lacks(Operation::Write, Resource::Topic("out")),
            "User:archiver lacks the operation Write on topic \"out\"; allow it with: kafka-acls \
             --bootstrap-server b:9093 --command-config ADMIN.properties --add --allow-principal \
             User:archiver --operation Write --topic out"
        );
        let group = scram().lacks(Operation::Read, Resource::Group);
        assert!(group.ends_with("--operation Read --group 'my group'"), "{group}");
        let ids = scram().lacks(Operation::Write, Resource::TransactionalIds);
        let want = "--transactional-id 'my group-' --resource-pattern-type prefixed";
        assert!(ids.ends_with(want), "{ids}");
        let cluster = scram().lacks(Operation::DescribeConfigs, Resource::Cluster);
        assert!(cluster.ends_with("--operation DescribeConfigs --cluster"), "{cluster}");
    }

    #[test]
    fn the_principal_is_named_as_far_as_the_client_knows_it() {
        let name = |settings: &[(&str, &str)]| {
            let rights = rights(settings);
            (rights.principal, rights.unknown.is_some())
        };
        let known = |name: &str| (format!("User:{name}"), false);
        assert_eq!(name(&[]), known("ANONYMOUS"));
        let plain = [("security.protocol", "sasl_plaintext"), ("sasl.mechanisms", "plain")];
        assert_eq!(name(&[&plain[..], &[("sasl.username", "o'k")]].concat()), known("o'k"));
        let kerberos = ("security.protocol", "sasl_ssl");
        let principal = ("sasl.kerberos.principal", "archiver/host@REALM");
        assert_eq!(name(&[kerberos, principal]), known("archiver"));
        assert_eq!(name(&[kerberos]), known("kafkaclient"));
        let unknown = ("User:NAME".to_string(), true);
        assert_eq!(name(&[("security.protocol", "ssl")]), unknown);
    }

    #[test]
    fn topics_whose_offsets_are_refused_are_found() {
        let text = "Failed to commit offsets to transaction on broker sasl_ssl://b:1/1: \
                    out((null))[0](Broker: Topic authorization failed), in((null))[1](Success), \
                    out((null))[1](Broker: Topic authorization failed) (after 3ms)";
        assert_eq!(refused_topics(text), BTreeSet::from(["out".to_string()]));
        assert!(refused_topics("Broker: Topic authorization failed").is_empty());
        assert!(refused_topics("").is_empty());
    }

    #[test]
    fn a_text_of_the_library_is_a_missing_right_or_not() {
        let rights = scram();
        let missing = |text: &str, topic: Option<&str>| {
            let missing = rights.missing(text, topic)?;
            missing.split(';').next().map(String::from)
        };
        let lacks = |what: &str| Some(format!("User:archiver lacks the operation {what}"));
        for (text, topic, want) in [
            ("Broker: Group authorization failed", Some("t"), lacks("Read on group \"my group\"")),
            ("t/0: Broker: Topic authorization failed", Some("t"), lacks("Read on topic \"t\"")),
            ("Broker: Topic authorization failed", None, None),
            (
                "coordinator: Broker: Transactional Id authorization failed",
                None,
                lacks("Write on the transactional ids that begin with \"my group-\""),
            ),
            ("Local: Timed out", Some("t"), None),
        ] {
            assert_eq!(missing(text, topic), want, "{text}");
        }
    }
}
