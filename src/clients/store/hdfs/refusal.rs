//! Why a NameNode gives no answer to a client that it does not want.
//!
//! A NameNode that refuses a client for what the client is, and not for what it asks, gives its
//! reason and closes the connection. hdfs-native drops that reason, and tries again for minutes. So
//! while a client waits for its first answer, other ones ask: one that does not try again, one that
//! has another way of logging in, and one that acts for nobody else.

use std::collections::BTreeMap;
use std::io::ErrorKind as Io;
use std::time::Duration;

use hdfs_native::{ClientBuilder, HdfsError};
use tokio::runtime::Handle;

use crate::clients::store::error::ErrorKind;
use crate::clients::store::hdfs::builder::{builder, stranger};
use crate::clients::store::hdfs::error::classify;
use crate::clients::store::hdfs::name_service::NameService;
use crate::common::config::HdfsOptions;

/// A first answer that takes longer than this is asked for otherwise.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The time after which a connection that was closed is tried once more.
const PAUSE: Duration = Duration::from_secs(1);

const NO_LOGIN: &str = "HDFS asks for Kerberos, and this client has nothing of it: set \
                        archive.kerberos, and hadoop_conf_dir to the cluster's Hadoop files \
                        (hadoop.security.authentication, dfs.data.transfer.protection)";

/// Who asks, and whom.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) url: String,
    pub(super) options: HdfsOptions,
    pub(super) overrides: BTreeMap<String, String>,
    /// The client logs in by Kerberos.
    pub(super) is_secured: bool,
    pub(super) threads: Handle,
}

/// What a client heard.
enum Heard {
    /// The login is as it should be, whatever became of the question.
    Welcome,
    /// The connection was closed without a word.
    Closed,
    /// The login failed, for this reason.
    Refused(String),
    Nothing,
}

/// Whether a client with these properties logs in by Kerberos.
pub(super) fn is_secured(options: &HdfsOptions, name_service: &NameService) -> bool {
    let method = name_service.properties().get("hadoop.security.authentication");
    options.kerberos.is_some()
        || method.is_some_and(|method| method.trim().eq_ignore_ascii_case("kerberos"))
}

impl Asked {
    /// Why this client is refused; [`None`] if it is not, or if nobody says.
    pub(super) async fn reason(&self) -> Option<String> {
        let plain = self.builder(&self.options, &[]);
        match self.ask(plain).await {
            Heard::Refused(why) => return Some(why),
            Heard::Welcome | Heard::Nothing => return None,
            Heard::Closed => {}
        }
        if !self.is_secured {
            let kerberos = self.builder(
                &HdfsOptions { user: None, ..self.options.clone() },
                &[("hadoop.security.authentication", "kerberos")],
            );
            let wants_login = matches!(self.ask(stranger(kerberos)).await, Heard::Refused(_));
            return wants_login.then(|| NO_LOGIN.into());
        }
        let oneself = HdfsOptions { user: None, ..self.options.clone() };
        if let Some(user) = &self.options.user
            && matches!(self.ask(self.builder(&oneself, &[])).await, Heard::Welcome)
        {
            return self.is_closed_again().await.then(|| self.impersonation(user));
        }
        // A server that works tells somebody without a key how to log in.
        let nobody = stranger(self.builder(&oneself, &[]));
        let works = matches!(self.ask(nobody).await, Heard::Refused(_));
        if works {
            tokio::time::sleep(PAUSE).await;
        }
        (works && self.is_closed_again().await).then(|| self.without_a_name())
    }

    /// Once more: a NameNode that was just starting closes connections, too.
    async fn is_closed_again(&self) -> bool {
        matches!(self.ask(self.builder(&self.options, &[])).await, Heard::Closed)
    }

    /// The login is right, and the server can make no user of it, or none that it lets in.
    fn without_a_name(&self) -> String {
        let principal = self.options.kerberos.as_ref().map(|k| k.principal.as_str());
        let principal = principal.unwrap_or("the principal of the ticket");
        format!(
            "HDFS takes the ticket of {principal}, and closes the connection then: no rule of \
             hadoop.security.auth_to_local on the NameNodes makes a user's name of this principal \
             (their log says \"No rules applied\"), or security.client.protocol.acl in \
             hadoop-policy.xml does not let that user in. Let the NameNodes have such a rule, or \
             set archive.kerberos.principal to one that they know"
        )
    }

    fn impersonation(&self, user: &str) -> String {
        let principal = self.options.kerberos.as_ref().map(|k| k.principal.as_str());
        let short = principal.map_or("NAME", |p| p.split(['/', '@']).next().unwrap_or(p));
        format!(
            "HDFS does not let {} act for {user:?}: with Kerberos, archive.user is whom the daemon \
             impersonates. Remove archive.user, or allow it on the NameNodes with \
             hadoop.proxyuser.{short}.hosts and hadoop.proxyuser.{short}.users",
            principal.unwrap_or("the principal of the ticket")
        )
    }

    /// A client that does not try again.
    fn builder(&self, options: &HdfsOptions, more: &[(&str, &str)]) -> ClientBuilder {
        let mut overrides = self.overrides.clone();
        let more = more.iter().chain([&("dfs.client.failover.max.attempts", "0")]);
        overrides.extend(more.map(|(key, value)| (key.to_string(), value.to_string())));
        builder(options, overrides).with_url(&self.url).with_io_runtime(self.threads.clone())
    }

    async fn ask(&self, builder: ClientBuilder) -> Heard {
        let Ok(client) = builder.build() else { return Heard::Nothing };
        match client.get_file_info("/").await {
            Ok(_) => Heard::Welcome,
            Err(e) => heard(&e),
        }
    }
}

fn heard(e: &HdfsError) -> Heard {
    if let HdfsError::IOError(e) = e {
        let is_closed = matches!(
            e.kind(),
            Io::ConnectionAborted | Io::ConnectionReset | Io::UnexpectedEof | Io::BrokenPipe
        );
        return if is_closed { Heard::Closed } else { Heard::Nothing };
    }
    let error = classify("ask", "/", e);
    match error.kind {
        kind if kind.is_login() => Heard::Refused(error.detail),
        ErrorKind::NotFound | ErrorKind::Permission | ErrorKind::Unavailable => Heard::Welcome,
        _ => Heard::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::Config;

    #[test]
    fn what_is_heard_is_told_apart() {
        let io = |kind: Io| heard(&HdfsError::IOError(kind.into()));
        for kind in [Io::ConnectionAborted, Io::ConnectionReset, Io::UnexpectedEof] {
            assert!(matches!(io(kind), Heard::Closed), "{kind:?}");
        }
        assert!(matches!(io(Io::ConnectionRefused), Heard::Nothing));
        let missing = HdfsError::OperationFailed("Failed to load libgssapi_krb".into());
        let Heard::Refused(why) = heard(&missing) else { panic!("it is no login") };
        assert!(why.contains("libgssapi-krb5-2"), "{why}");
        assert!(matches!(heard(&HdfsError::FileNotFound("/".into())), Heard::Welcome));
    }

    #[tokio::test]
    async fn the_principal_and_the_user_are_named() {
        let text = "[kafka]\nbootstrap_servers = \"b\"\ngroup_id = \"g\"\n[archive]\nroot = \
                    \"hdfs://n:1/r\"\nuser = \"bob\"\nkerberos = { principal = \"a/h@R\" }\n\
                    [mapping.m]\ntopics = [\"t\"]";
        let config = Config::parse(text, Some("i")).expect("a configuration");
        let crate::common::config::Root::Hdfs { url, options } =
            config.archives().next().expect("an archive").root.clone()
        else {
            panic!("it is in HDFS")
        };
        let is_secured = is_secured(&options, &NameService::default());
        assert!(is_secured);
        let overrides = BTreeMap::new();
        let asked = Asked { url, options, overrides, is_secured, threads: Handle::current() };
        let said = asked.impersonation("bob");
        for part in ["a/h@R", "\"bob\"", "archive.user", "hadoop.proxyuser.a.users"] {
            assert!(said.contains(part), "no {part} in {said}");
        }
        let said = asked.without_a_name();
        for part in ["a/h@R", "auth_to_local", "archive.kerberos.principal"] {
            assert!(said.contains(part), "no {part} in {said}");
        }
    }
}
