//! The clients of a root, as hdfs-native builds them.

use std::collections::BTreeMap;

use hdfs_native::ClientBuilder;

use crate::common::config::HdfsOptions;

/// A client of this root, with what its configuration says and these overrides.
pub(super) fn builder(options: &HdfsOptions, overrides: BTreeMap<String, String>) -> ClientBuilder {
    // A pipeline that lost a node goes on with those that are left: the NameNode makes up
    // for it later. Waiting for a node that is not there would stop the file.
    let key = "dfs.client.block.write.replace-datanode-on-failure.best-effort";
    let mut properties = BTreeMap::from([(key.to_string(), "true".to_string())]);
    if options.kerberos.is_some() {
        let key = "hadoop.security.authentication".to_string();
        let _ = properties.insert(key, "kerberos".into());
    }
    properties.extend(options.properties.clone());
    properties.extend(overrides);
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
