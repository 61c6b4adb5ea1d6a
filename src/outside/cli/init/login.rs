//! How `alluvium init` logs in at the brokers.

use std::path::Path;

use toml::{Table, Value};

use crate::common::config::{Config, Faulty, Kafka};
use crate::common::files;
use crate::outside::cli::exit::{EX_CONFIG, EX_USAGE};
use crate::outside::cli::init::draft::quoted;

/// The brokers, and the login that they ask for.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) bootstrap: String,
    pub(super) kafka: Kafka,
    /// The tables of the file that was given, as the configuration gets them.
    pub(super) text: Option<String>,
}

impl Login {
    /// From the file of `--kafka` and the brokers of `--bootstrap`, which override those of the
    /// file.
    ///
    /// # Errors
    /// The exit code and a text: there are no brokers, or the file has faults.
    pub(super) fn read(file: Option<&Path>, servers: Option<&str>) -> Result<Login, (u8, String)> {
        let text = match file {
            Some(file) => files::read_named_text(file)
                .map_err(|e| (EX_CONFIG, format!("can't read {}: {e}", file.display())))?,
            None => String::new(),
        };
        let shown = file.map(|f| format!("{}: ", f.display())).unwrap_or_default();
        Login::of(&text, servers, file.is_some()).map_err(|(code, e)| (code, format!("{shown}{e}")))
    }

    fn of(text: &str, servers: Option<&str>, is_given: bool) -> Result<Login, (u8, String)> {
        let mut all: Table = text.parse().map_err(|e| (EX_CONFIG, format!("{e}")))?;
        let kafka = all.remove("kafka").unwrap_or_else(|| Value::Table(Table::new()));
        let Value::Table(mut kafka) = kafka else {
            return Err((EX_CONFIG, "kafka must be a table".into()));
        };
        if is_given && kafka.is_empty() {
            return Err((EX_CONFIG, "the file has no table [kafka]".into()));
        }
        if let Some(servers) = servers {
            let _ = kafka.insert("bootstrap_servers".into(), servers.into());
        }
        let Some(bootstrap) = kafka.get("bootstrap_servers").and_then(Value::as_str) else {
            let hint = "give brokers with --bootstrap HOST:PORT, or with kafka.bootstrap_servers \
                        of the file of --kafka, or a sink with --from-connect FILE";
            return Err((EX_USAGE, hint.into()));
        };
        let bootstrap = bootstrap.to_string();
        if !kafka.contains_key("group_id") {
            let _ = kafka.insert("group_id".into(), "alluvium".into());
        }
        let tables = Table::from_iter([("kafka".to_string(), Value::Table(kafka))]);
        let tables = toml::to_string(&tables).map_err(|e| (EX_CONFIG, e.to_string()))?;
        // The reader of configurations wants one that has all that it needs.
        let whole = format!(
            "{tables}\n[archive]\nroot = {}\n[mapping.records]\ntopics = [\"t\"]\n",
            quoted("file:///srv/archive")
        );
        // The places are those of this text, which nobody sees.
        let unplaced = |mut faults: Faulty| {
            faults.0.iter_mut().for_each(|fault| fault.place = None);
            (EX_CONFIG, format!("\n{faults}"))
        };
        let config = Config::parse(&whole, None).map_err(unplaced)?;
        Ok(Login { bootstrap, kafka: config.kafka, text: is_given.then_some(tables) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_and_copied() {
        let text = r#"# how we log in
            [kafka]
            bootstrap_servers = "b:9093"
            [kafka.properties]
            "security.protocol" = "sasl_ssl"
            [kafka.secrets]
            "sasl.password" = { file = "/etc/alluvium/secrets/p" }
            [mapping.other]
            topics = ["x"]"#;
        let login = Login::of(text, None, true).unwrap();
        assert_eq!(login.bootstrap, "b:9093");
        assert_eq!(login.kafka.properties["security.protocol"], "sasl_ssl");
        let copied = login.text.unwrap();
        assert!(
            copied.contains("group_id = \"alluvium\"") && copied.contains("secrets/p"),
            "{copied}"
        );
        assert!(!copied.contains("mapping"), "{copied}");
        let other = Login::of(text, Some("c:1"), true).unwrap();
        assert_eq!(
            (other.bootstrap.as_str(), other.kafka.bootstrap_servers.as_str()),
            ("c:1", "c:1")
        );
        let plain = Login::of("", Some("c:1"), false).unwrap();
        assert_eq!((plain.bootstrap.as_str(), plain.text), ("c:1", None));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (text, servers, is_given, code, want) in [
            ("", None, false, EX_USAGE, "--bootstrap"),
            ("[kafka]\ngroup_id = \"g\"", None, true, EX_USAGE, "kafka.bootstrap_servers"),
            ("[other]\nx = 1", Some("b:1"), true, EX_CONFIG, "no table [kafka]"),
            ("kafka = 1", Some("b:1"), true, EX_CONFIG, "must be a table"),
            ("[kafka\n", Some("b:1"), true, EX_CONFIG, "TOML"),
            ("[kafka]\nbootstrap = \"b\"", Some("b:1"), true, EX_CONFIG, "kafka.bootstrap"),
        ] {
            let (got, why) = Login::of(text, servers, is_given).unwrap_err();
            assert!(got == code && why.contains(want), "{text:?}: {got} {why}");
        }
    }
}
