//! The NameNodes of a root, from Hadoop's configuration, in the order in which they are tried.
//!
//! Hadoop trims the values of its files, and the parts of lists; hdfs-native does not, so that of
//! `nn1, nn2` it would know the first alone. Nor does it know everything that may stand in such a
//! file. So all values are handed to it as overrides.

use std::collections::BTreeMap;

use crate::clients::store::hdfs::viewfs::{Place, resolve};
use crate::common::config::Umask;

const UMASK: &str = "fs.permissions.umask-mode";

/// Which of several NameNodes a client asks.
const PROVIDER: &str = "dfs.client.failover.proxy.provider.";
const ACTIVE_ONLY: &str =
    "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider";

/// What the client of a root is given beside Hadoop's files.
#[derive(Debug, Default)]
pub(super) struct NameService {
    /// The name; [`None`] for a single NameNode with a port.
    name: Option<String>,
    /// The ids of its NameNodes.
    ids: Vec<String>,
    /// The values that the client is given.
    given: BTreeMap<String, String>,
    /// All values of the files and of the configuration.
    values: BTreeMap<String, String>,
}

impl NameService {
    /// The NameNodes of this authority, with these properties.
    pub(super) fn new(authority: &str, values: BTreeMap<String, String>) -> NameService {
        NameService { values: values.clone(), ..NameService::of(authority, &values) }
    }

    /// All Hadoop properties that the client knows.
    pub(super) fn properties(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// Whether a property of this name is set to false.
    pub(super) fn is_off(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value.trim().eq_ignore_ascii_case("false"))
    }

    /// The umask of Hadoop's files, or Hadoop's own default.
    ///
    /// # Errors
    /// What is written there is no umask.
    pub(super) fn umask(&self) -> Result<Umask, String> {
        let Some(text) = self.values.get(UMASK) else { return Ok(Umask::default()) };
        Umask::parse(text)
            .map_err(|e| format!("{UMASK} in Hadoop's files: {e}. archive.umask replaces it"))
    }

    fn of(authority: &str, values: &BTreeMap<String, String>) -> NameService {
        let trim = |(key, value): (&String, &String)| (key.clone(), value.trim().to_string());
        let mut given: BTreeMap<_, _> = values.iter().map(trim).collect();
        // An observer may not know yet what another owner has appended: only the active NameNode
        // decides about ledgers.
        let observers = values
            .iter()
            .filter(|(key, value)| key.starts_with(PROVIDER) && value.contains("Observer"));
        given.extend(observers.map(|(key, _)| (key.clone(), ACTIVE_ONLY.to_string())));
        if authority.contains(':') {
            return NameService { given, ..NameService::default() };
        }
        let key = format!("dfs.ha.namenodes.{authority}");
        let list = values.get(&key).map_or("", String::as_str).split(',');
        let ids: Vec<String> =
            list.map(str::trim).filter(|id| !id.is_empty()).map(Into::into).collect();
        // Without a list, the client says itself that the files have none.
        if !ids.is_empty() {
            let _ = given.insert(key, ids.join(","));
        }
        NameService { name: Some(authority.into()), ids, given, ..NameService::default() }
    }

    /// How many NameNodes there are.
    pub(super) fn namenodes(&self) -> usize {
        self.ids.len().max(1)
    }

    /// What is wrong with a name that none of Hadoop's files defines.
    pub(super) fn undefined(&self) -> Option<String> {
        let name = self.name.as_ref().filter(|_| self.ids.is_empty())?;
        Some(format!(
            "archive.root has no port, so {name:?} is the name of a name service, and no file of \
             Hadoop that was read has dfs.ha.namenodes.{name}: set archive.hadoop_conf_dir to the \
             directory of the cluster's core-site.xml and hdfs-site.xml, or add the port of the \
             NameNode to archive.root"
        ))
    }

    /// The overrides for a client that knows only the `nth` NameNode.
    pub(super) fn only(&self, nth: usize) -> BTreeMap<String, String> {
        let mut overrides = self.given.clone();
        if let (Some(name), Some(id)) = (&self.name, self.ids.get(nth)) {
            let _ = overrides.insert(format!("dfs.ha.namenodes.{name}"), id.clone());
        }
        overrides
    }

    /// The overrides for a client that asks the `first`th NameNode first.
    pub(super) fn overrides(&self, first: usize) -> BTreeMap<String, String> {
        let mut overrides = self.given.clone();
        if let (Some(name), 1..) = (&self.name, self.ids.len()) {
            let mut ids = self.ids.clone();
            ids.rotate_left(first.checked_rem(self.ids.len()).unwrap_or_default());
            let _ = overrides.insert(format!("dfs.ha.namenodes.{name}"), ids.join(","));
            if first != 0 {
                // The order that is asked for is meant.
                let random = format!("dfs.client.failover.random.order.{name}");
                let _ = overrides.insert(random, "false".into());
            }
        }
        overrides
    }
}

/// The addresses of a root's NameNodes, as far as the properties name them.
pub fn addresses(url: &str, values: &BTreeMap<String, String>) -> Vec<String> {
    let Ok(Place { authority, .. }) = resolve(url, values) else { return Vec::new() };
    if authority.contains(':') {
        return vec![authority];
    }
    let name_service = NameService::of(&authority, values);
    let of = |id: &String| {
        name_service.given.get(&format!("dfs.namenode.rpc-address.{authority}.{id}")).cloned()
    };
    name_service.ids.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::hadoop_properties;

    fn of(authority: &str, xml: &str) -> NameService {
        let text = format!("<?xml version=\"1.0\"?><configuration>{xml}</configuration>");
        NameService::of(authority, &hadoop_properties(&text).unwrap())
    }

    #[test]
    fn a_name_that_no_file_defines_is_told() {
        let said = of("ns", "").undefined().expect("a fault");
        assert!(said.contains("\"ns\"") && said.contains("archive.hadoop_conf_dir"), "{said}");
        assert_eq!(of("n:8020", "").undefined(), None);
        let list = "<property><name>dfs.ha.namenodes.n</name><value>a</value></property>";
        assert_eq!(of("n", list).undefined(), None);
    }

    #[test]
    fn lists_and_values_are_trimmed_as_hadoop_does() {
        let nameservice = of(
            "n",
            "<property><name>dfs.ha.namenodes.n</name><value>\n  nn1, nn2 ,\n</value></property>\
             <property><name>dfs.namenode.rpc-address.n.nn2</name><value> b:1\n</value></property>\
             <property><name>plain</name><value>x</value></property>",
        );
        assert_eq!(nameservice.namenodes(), 2);
        let overrides = nameservice.overrides(0);
        let get = |key: &str| overrides.get(key).map(String::as_str);
        assert_eq!(get("dfs.ha.namenodes.n"), Some("nn1,nn2"));
        assert_eq!(get("dfs.namenode.rpc-address.n.nn2"), Some("b:1"));
        assert_eq!(get("plain"), Some("x"));
    }

    #[test]
    fn observers_never_decide() {
        for provider in ["ObserverReadProxyProvider", "RouterObserverReadProxyProvider"] {
            for (authority, key) in [("n", "n"), ("router:8020", "router")] {
                let key = format!("dfs.client.failover.proxy.provider.{key}");
                let nameservice = of(
                    authority,
                    &format!(
                        "<property><name>{key}</name><value>org.apache.hadoop.hdfs.server.namenode\
                         .ha.{provider}</value></property><property><name>dfs.ha.namenodes.n</name>\
                         <value>a,b</value></property>"
                    ),
                );
                for overrides in [nameservice.overrides(0), nameservice.only(1)] {
                    assert_eq!(overrides[&key], ACTIVE_ONLY, "{authority} {provider}");
                }
            }
        }
        assert!(!of("n", "").overrides(0).contains_key("dfs.ha.namenodes.n"));
    }

    #[test]
    fn the_umask_of_hadoop_files_is_taken() {
        let umask = |value: &str| {
            let values = BTreeMap::from([(UMASK.to_string(), value.to_string())]);
            NameService { values, ..NameService::default() }.umask()
        };
        assert_eq!(NameService::default().umask(), Ok(Umask::default()));
        assert_eq!(umask(" 027\n"), Umask::parse("027"));
        let refused = umask("rw").unwrap_err();
        assert!(refused.contains(UMASK) && refused.contains("archive.umask"), "{refused}");
    }

    #[test]
    fn another_namenode_is_first_after_each_replacement() {
        let list = "<property><name>dfs.ha.namenodes.n</name><value>a,b,c</value></property>";
        let nameservice = of("n", list);
        let order = |first| nameservice.overrides(first)["dfs.ha.namenodes.n"].clone();
        assert_eq!([0, 1, 2, 3].map(order), ["a,b,c", "b,c,a", "c,a,b", "a,b,c"]);
        let random = "dfs.client.failover.random.order.n";
        assert_eq!(nameservice.overrides(1)[random], "false");
        assert!(!nameservice.overrides(0).contains_key(random));
        assert_eq!(nameservice.only(1)["dfs.ha.namenodes.n"], "b");
    }

    #[test]
    fn a_namenode_with_a_port_is_the_only_one() {
        let one = of("n:8020", "<property><name>a</name><value> b</value></property>");
        assert_eq!(one.namenodes(), 1);
        assert_eq!(one.overrides(3), BTreeMap::from([("a".to_string(), "b".to_string())]));
        assert!(of("n", "").overrides(1).is_empty(), "the client says that it knows no NameNode");
    }
}
