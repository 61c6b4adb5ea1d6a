//! `alluvium --version`: what this binary was made of.

use std::sync::LazyLock;

/// Version and commit; the makefile names the commit.
pub(super) fn short() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let commit = option_env!("ALLUVIUM_COMMIT").filter(|c| !c.is_empty());
        format!("{} (commit {})", env!("CARGO_PKG_VERSION"), commit.unwrap_or("unknown"))
    });
    &TEXT
}

/// With the libraries that files and guarantees depend on.
pub(super) fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let librdkafka = crate::clients::kafka::library_version();
        let locked = |name: &str| locked(name).unwrap_or_else(|| "unknown".into());
        format!(
            "{}\nlibrdkafka {librdkafka}\nhdfs-native {}\nparquet {}\narrow {}",
            short(),
            locked("hdfs-native"),
            locked("parquet"),
            locked("arrow-array"),
        )
    });
    &TEXT
}

/// The version of a crate that this binary was built with.
fn locked(name: &str) -> Option<String> {
    let lock: toml::Table = include_str!("../../../Cargo.lock").parse().ok()?;
    let packages = lock.get("package")?.as_array()?;
    let mine = packages.iter().find(|p| p.get("name").and_then(|n| n.as_str()) == Some(name))?;
    Some(mine.get("version")?.as_str()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_library_is_named() {
        let text = long();
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(!text.replace("commit unknown", "").contains("unknown"), "{text}");
    }
}
