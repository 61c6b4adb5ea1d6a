//! What can be said of a root in HDFS without asking anybody: of Hadoop's files, and of keys that
//! do not suit each other.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::config::fields::ConfigFault;
use crate::common::config::hadoop_files::{hadoop_values, has_variable, values_below};
use crate::common::config::root::{HdfsOptions, Root};
use crate::common::config::umask::Umask;

const SECURITY: &str = "hadoop.security.authentication";
const UMASK: &str = "fs.permissions.umask-mode";

/// Properties that say how connections are protected, and their values.
const PROTECTIONS: [&str; 2] = ["dfs.data.transfer.protection", "hadoop.rpc.protection"];
const PROTECTION: [&str; 3] = ["authentication", "integrity", "privacy"];

/// How the names of properties begin that a client of HDFS goes by.
const OURS: [&str; 9] = [
    "dfs.client.",
    "dfs.data.transfer.",
    "dfs.encrypt.data.transfer",
    "dfs.ha.namenodes.",
    "dfs.namenode.rpc-address.",
    "fs.permissions.umask-mode",
    "fs.viewfs.mounttable.",
    "hadoop.rpc.protection",
    "hadoop.security.",
];

impl Root {
    /// What is wrong with Hadoop's files in the directory that the configuration names, and with
    /// the keys beside it: nothing can be said of files that the environment names, which may be
    /// other ones for the daemon.
    #[must_use]
    pub fn refused(&self) -> Vec<ConfigFault> {
        let Root::Hdfs { url, options } = self else { return Vec::new() };
        let directory = options.conf_dir.as_deref();
        let of_files = |why: String| vec![ConfigFault::new("archive.hadoop_conf_dir", why)];
        let (values, found) = match values_below(directory.map(Path::new), &options.properties) {
            Ok(read) => read,
            Err(why) => return of_files(why),
        };
        if let (Some(shown), 0) = (directory, found) {
            return of_files(format!("{shown} has neither core-site.xml nor hdfs-site.xml"));
        }
        let place = |name: &str| match options.properties.contains_key(name) {
            true => format!("archive.hadoop.{name:?}"),
            false => "archive.hadoop_conf_dir".into(),
        };
        let faulty = |name: &str, why: &str| ConfigFault::new(place(name), format!("{name} {why}"));
        let mut faults: Vec<ConfigFault> = Vec::new();
        let ours = values.iter().filter(|(name, _)| OURS.iter().any(|of| name.starts_with(of)));
        for (name, value) in ours.filter(|(_, value)| has_variable(value)) {
            let why =
                format!("is {value:?}, and nothing says what the variable is: write its value");
            faults.push(faulty(name, &why));
        }
        for name in PROTECTIONS {
            let value = values.get(name).filter(|value| !has_variable(value));
            faults.extend(value.and_then(|v| protection_fault(v)).map(|why| faulty(name, &why)));
        }
        if options.umask.is_none()
            && let Some(Err(why)) = values.get(UMASK).map(|text| Umask::parse(text))
        {
            faults.push(faulty(UMASK, &format!("can't be used: {why}. archive.umask replaces it")));
        }
        let security = options.properties.get(SECURITY).map(|method| method.trim());
        if options.kerberos.is_some() && security.is_some_and(|m| m.eq_ignore_ascii_case("simple"))
        {
            let why = "switches off the login that archive.kerberos is for: remove one of them";
            faults.push(faulty(SECURITY, why));
        }
        faults.extend(of_name_service(url, options, &values).into_iter().map(|(name, why)| {
            ConfigFault::new(name.map_or("archive.hadoop_conf_dir".into(), |n| place(&n)), why)
        }));
        faults
    }

    /// What works, and is seldom meant. `is_identified`: the process has an identity in Kerberos
    /// beside that of the root.
    #[must_use]
    pub fn warnings(&self, is_identified: bool) -> Vec<String> {
        let Root::Hdfs { url, options } = self else { return Vec::new() };
        let mut found = Vec::new();
        // Files that the environment names may be other ones for the daemon.
        if let (None, Some(name)) = (&options.conf_dir, name_service(url))
            && hadoop_values(options)
                .is_ok_and(|values| !values.contains_key(&format!("dfs.ha.namenodes.{name}")))
        {
            found.push(format!(
                "archive.hadoop_conf_dir: is missing, and {url} has no port, so {name:?} is the \
                 name of a name service, which only Hadoop's files define: name their directory, \
                 or add the port of the NameNode to archive.root"
            ));
        }
        if let (Some(user), Some(kerberos)) = (&options.user, &options.kerberos) {
            let short = kerberos.principal.split(['/', '@']).next().unwrap_or_default();
            found.push(format!(
                "archive.user: with Kerberos, {} acts for {user:?}, which the NameNodes have to \
                 allow by hadoop.proxyuser.{short}.hosts and hadoop.proxyuser.{short}.users; \
                 without archive.user it acts for itself",
                kerberos.principal
            ));
        }
        let directory = options.conf_dir.as_deref().map(Path::new);
        let values = values_below(directory, &options.properties).map(|(values, _)| values);
        let asks = values.is_ok_and(|values| {
            values.get(SECURITY).is_some_and(|m| m.trim().eq_ignore_ascii_case("kerberos"))
        });
        if asks && options.kerberos.is_none() && !is_identified {
            found.push(format!(
                "archive.kerberos: is missing, and Hadoop's files ask for Kerberos ({SECURITY}): \
                 the daemon would use tickets of its environment (KRB5CCNAME), which somebody else \
                 has to renew"
            ));
        }
        found
    }
}

/// The name service that a root names: it has no port.
fn name_service(url: &str) -> Option<&str> {
    let authority = url.strip_prefix("hdfs://")?.split('/').next()?;
    (!authority.contains(':')).then_some(authority)
}

/// The faults of the name service that a root names, each with the property that it is about.
fn of_name_service(
    url: &str,
    options: &HdfsOptions,
    values: &BTreeMap<String, String>,
) -> Vec<(Option<String>, String)> {
    let Some(authority) = name_service(url) else { return Vec::new() };
    let list = format!("dfs.ha.namenodes.{authority}");
    let Some(ids) = values.get(&list) else {
        let Some(shown) = &options.conf_dir else { return Vec::new() };
        let why = format!(
            "{url} has no port, so {authority:?} is the name of a name service, and the files in \
             {shown} have no {list}. Add the port of the NameNode to archive.root, or name the \
             directory of the right files"
        );
        return vec![(None, why)];
    };
    let ids = ids.split(',').map(str::trim).filter(|id| !id.is_empty());
    let fault = |id: &str| {
        let name = format!("dfs.namenode.rpc-address.{authority}.{id}");
        let why = match values.get(&name).map(|address| address.trim()) {
            None => format!("{list} names {id:?}, and {name} is missing"),
            Some(address) if has_variable(address) => return None,
            Some(address) => format!("{name}: {}", address_fault(address)?),
        };
        Some((Some(name), why))
    };
    let faults: Vec<_> = ids.clone().filter_map(fault).collect();
    match ids.count() {
        0 => vec![(Some(list.clone()), format!("{list} names no NameNode"))],
        _ => faults,
    }
}

/// What is wrong with a list of protections, separated by commas.
fn protection_fault(value: &str) -> Option<String> {
    let mut parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
    let wrong =
        parts.find(|part| !PROTECTION.iter().any(|word| word.eq_ignore_ascii_case(part)))?;
    Some(format!("has {wrong:?}: it is one of {}", PROTECTION.join(", ")))
}

/// What is wrong with an address of a NameNode: a host and a port.
pub(super) fn address_fault(address: &str) -> Option<String> {
    let port = |text: &str| text.parse::<u16>().is_ok_and(|port| 0 < port);
    match address.rsplit_once(':') {
        Some((host, _)) if host.is_empty() || host.contains(['@', ' ']) => {
            Some(format!("{address:?} names no host; write \"namenode:8020\""))
        }
        Some((_, text)) if !port(text) => {
            Some(format!("{text:?} is no port: ports are numbers from 1 to 65535"))
        }
        Some(_) => None,
        None => Some(format!("{address:?} has no port; write \"namenode:8020\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::Config;

    fn file(properties: &[(&str, &str)]) -> String {
        let all = properties.iter().map(|(name, value)| {
            format!("<property><name>{name}</name><value>{value}</value></property>")
        });
        format!("<configuration>{}</configuration>", all.collect::<String>())
    }

    /// A directory with this hdfs-site.xml, and what is said of a root beside these keys.
    fn said(url: &str, text: Option<&str>, keys: &str) -> (Vec<String>, Vec<String>) {
        let dir = tempfile::tempdir().expect("a directory");
        let conf = dir.path().join("conf");
        if let Some(text) = text {
            std::fs::create_dir(&conf).expect("made");
            std::fs::write(conf.join("hdfs-site.xml"), text).expect("written");
        }
        let text = format!(
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\nroot = {url:?}\n\
             hadoop_conf_dir = {conf:?}\n{keys}\n[mapping.m]\ntopics = [\"t\"]\n"
        );
        let config = Config::parse(&text, Some("i")).unwrap_or_else(|e| panic!("{e}"));
        let root = &config.archives().next().expect("an archive").root;
        let faults = root.refused().iter().map(ToString::to_string).collect();
        (faults, root.warnings(false))
    }

    const LIST: (&str, &str) = ("dfs.ha.namenodes.n", "a, b");
    const A: (&str, &str) = ("dfs.namenode.rpc-address.n.a", " h:8020\n");
    const B: (&str, &str) = ("dfs.namenode.rpc-address.n.b", "${host}:8020");
    const HOST: (&str, &str) = ("host", "h2");

    #[test]
    fn hadoop_files_that_do_not_suit_are_faults() {
        let whole = file(&[LIST, A, B, HOST]);
        assert_eq!(said("hdfs://n/r", Some(&whole), "").0, Vec::<String>::new());
        assert_eq!(said("hdfs://other:1/r", Some(&file(&[])), "").0, Vec::<String>::new());
        let umask = |value| file(&[("fs.permissions.umask-mode", value)]);
        let simple = "hadoop = { \"hadoop.security.authentication\" = \"simple\" }\n\
                      kerberos = { principal = \"a@B\", keytab = \"/k\" }";
        for (url, text, keys, part) in [
            ("hdfs://n:1/r", None, "", "neither core-site.xml nor hdfs-site.xml"),
            ("hdfs://n:1/r", Some("<configuration>".into()), "", "hdfs-site.xml: it is no XML"),
            ("hdfs://n/r", Some(file(&[A])), "", "have no dfs.ha.namenodes.n"),
            ("hdfs://n/r", Some(file(&[("dfs.ha.namenodes.n", " ,")])), "", "names no NameNode"),
            ("hdfs://n/r", Some(file(&[LIST, A])), "", "rpc-address.n.b is missing"),
            ("hdfs://n/r", Some(file(&[LIST, A, B])), "", "nothing says what the variable is"),
            (
                "hdfs://n/r",
                Some(file(&[LIST, B, HOST, ("dfs.namenode.rpc-address.n.a", "h:99999")])),
                "",
                "\"99999\" is no port",
            ),
            ("hdfs://n:1/r", Some(umask("rw")), "", "archive.umask replaces it"),
            (
                "hdfs://n:1/r",
                Some(file(&[("hadoop.rpc.protection", "privacy, Integrity,bogus")])),
                "",
                "hadoop.rpc.protection has \"bogus\": it is one of authentication, integrity",
            ),
            (
                "hdfs://n:1/r",
                Some(file(&[("dfs.data.transfer.protection", " privacy,Integrity\n")])),
                "hadoop = { \"dfs.data.transfer.protection\" = \"none\" }",
                "archive.hadoop.\"dfs.data.transfer.protection\": dfs.data.transfer.protection has",
            ),
            ("hdfs://n:1/r", Some(file(&[])), simple, "archive.hadoop.\"hadoop.security"),
        ] {
            let (faults, _) = said(url, text.as_deref(), keys);
            assert!(faults.len() == 1 && faults[0].contains(part), "{part}: {faults:?}");
        }
        assert!(said("hdfs://n:1/r", Some(&umask("rw")), "umask = \"022\"").0.is_empty());
        assert!(Root::Local { directory: "/d".into(), umask: None }.refused().is_empty());
    }

    #[test]
    fn what_is_seldom_meant_is_warned_of() {
        let secured = file(&[("hadoop.security.authentication", "Kerberos\n")]);
        let kerberos = "kerberos = { principal = \"a/h@B\", keytab = \"/k\" }";
        let warned = |text: &str, keys: &str| said("hdfs://n:1/r", Some(text), keys).1;
        assert!(warned(&secured, kerberos).is_empty() && warned(&file(&[]), "").is_empty());
        let missing = warned(&secured, "");
        assert!(missing.len() == 1 && missing[0].contains("KRB5CCNAME"), "{missing:?}");
        let acts = warned(&secured, &format!("{kerberos}\nuser = \"bob\""));
        assert!(acts.len() == 1 && acts[0].contains("hadoop.proxyuser.a.hosts"), "{acts:?}");
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for right in ["n:8020", "[::1]:8020", "10.0.0.1:65535"] {
            assert_eq!(address_fault(right), None, "{right}");
        }
        for wrong in ["n", ":1", "n:", "n:0", "n:65536", "n:99999", "n:-1", "u@n:1", "a b:1"] {
            assert!(address_fault(wrong).is_some(), "{wrong}");
        }
    }

    #[test]
    fn a_name_service_needs_the_files_of_hadoop() {
        let warned = |keys: &str, name: &str| {
            let text = format!(
                "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\nroot = \
                 \"hdfs://{name}/r\"\n{keys}\n[mapping.m]\ntopics = [\"t\"]\n"
            );
            let config = Config::parse(&text, Some("i")).unwrap_or_else(|e| panic!("{e}"));
            config.archives().next().expect("an archive").root.warnings(false)
        };
        let said = warned("", "of-no-file");
        assert!(said.len() == 1 && said[0].starts_with("archive.hadoop_conf_dir: "), "{said:?}");
        assert!(warned("", "of-no-file:8020").is_empty());
        let defined = "hadoop = { \"dfs.ha.namenodes.ns\" = \"a\", \
                       \"dfs.namenode.rpc-address.ns.a\" = \"h:8020\" }";
        assert!(warned(defined, "ns").is_empty());
    }
}
