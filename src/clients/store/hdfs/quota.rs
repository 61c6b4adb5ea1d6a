//! Quotas, as far as the client library tells them: those of names and of space. It has no question
//! for a quota alone, so the NameNode counts what is in the directory.

use hdfs_native::client::ContentSummary;

use crate::clients::store::api::{Limit, Limited};

/// A directory, and those above it but for the highest one: that one is the whole file system,
/// which would be counted.
pub(super) fn above(directory: &str) -> Vec<String> {
    let parents = std::path::Path::new(directory).ancestors();
    let names = parents.map(|path| path.display().to_string());
    names.filter(|name| name != "/" || directory == "/").collect()
}

/// The quotas of a directory, if it has any.
pub(super) fn limits(directory: &str, summary: &ContentSummary) -> Vec<Limit> {
    let names = summary.file_count.saturating_add(summary.directory_count);
    let of = [
        (Limited::Names, summary.quota, names),
        (Limited::Bytes, summary.space_quota, summary.space_consumed),
    ];
    // Without a quota there stands -1; the highest directory has the largest number.
    let is_set = |limit: u64| i64::try_from(limit).is_ok_and(|limit| limit < i64::MAX);
    let set = of.into_iter().filter(|(_, limit, _)| is_set(*limit));
    set.map(|(of, limit, used)| Limit { directory: directory.into(), of, limit, used }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_directories_above_are_asked_but_for_the_highest() {
        assert_eq!(above("/data/raw"), ["/data/raw", "/data"]);
        assert_eq!(above("/"), ["/"]);
    }

    #[test]
    fn only_quotas_that_are_set_are_limits() {
        let none = ContentSummary {
            length: 10,
            file_count: 2,
            directory_count: 3,
            quota: u64::MAX,
            space_consumed: 30,
            space_quota: u64::MAX,
        };
        assert_eq!(limits("/d", &none), []);
        let highest = ContentSummary { quota: i64::MAX as u64, ..none };
        assert_eq!(limits("/", &highest), []);
        let both = ContentSummary { quota: 7, space_quota: 90, ..none };
        let limit = |of, limit, used| Limit { directory: "/d".into(), of, limit, used };
        assert_eq!(
            limits("/d", &both),
            [limit(Limited::Names, 7, 5), limit(Limited::Bytes, 90, 30)]
        );
    }
}
