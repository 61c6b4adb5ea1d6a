//! The clients of a root, as hdfs-native builds them.

use std::collections::BTreeMap;

use hdfs_native::ClientBuilder;

use crate::common::config::HdfsOptions;

/// A client of this root. `overrides`: all Hadoop properties, which contain those of the
/// configuration.
pub(super) fn builder(options: &HdfsOptions, overrides: BTreeMap<String, String>) -> ClientBuilder {
    // A pipeline that lost a node goes on with those that are left: the NameNode makes up
    // for it later. Waiting for a node that is not there would stop the file.
    let best = "dfs.client.block.write.replace-datanode-on-failure.best-effort";
    let security = "hadoop.security.authentication";
    let mut properties = overrides;
    let ours = [(best, "true", true), (security, "kerberos", options.kerberos.is_some())];
    for (key, value, is_meant) in ours {
        if is_meant && !options.properties.contains_key(key) {
            let _ = properties.insert(key.into(), value.into());
        }
    }
    let mut builder = ClientBuilder::new().with_config(properties);
    if let Some(dir) = &options.conf_dir {
        builder = builder.with_config_dir(dir);
    }
    if let Some(user) = &options.user {
        builder = builder.with_user(user);
    }
    if let Some(kerberos) = &options.kerberos {
        builder = builder.with_kerberos_principal(&kerberos.principal);
        if let Some(keytab) = &kerberos.keytab {
            builder = builder.with_kerberos_keytab(keytab);
        }
        if let Some(cache) = &kerberos.cache {
            builder = builder.with_kerberos_cache(cache);
        }
    }
    builder
}

/// The same as somebody who can't log in.
pub(super) fn stranger(builder: ClientBuilder) -> ClientBuilder {
    builder
        .with_kerberos_principal("nobody@NOWHERE.INVALID")
        .with_kerberos_keytab("/nonexistent/alluvium.keytab")
        .with_kerberos_cache("MEMORY:alluvium-nobody")
}
