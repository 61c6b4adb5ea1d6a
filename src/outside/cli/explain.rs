//! `alluvium explain`: which file is meant, below a root or on this machine.

use std::sync::Arc;

use clap::Args;

use crate::clients::store::{Store, StoreError};
use crate::outside::cli::arguments::ConfigArgs;
use crate::outside::cli::copied::explain_copy;
use crate::outside::cli::exit::EX_USAGE;
use crate::outside::cli::locate::{explain, is_there};
use crate::outside::cli::output::{Answer, complain};
use crate::outside::cli::shared::on_stores;

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// Path or URL of a file in the archive, or the path of a copy on this machine. A relative path
    /// is looked for below the roots, and then in the working directory.
    file: String,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Explain {
    pub(super) fn main(&self) -> u8 {
        on_stores(&self.config, async |_, roots| {
            let stores = &roots.open;
            if let Some(answer) = answer(stores, &self.file).await? {
                return Ok(answer.give(self.json));
            }
            let roots: Vec<&str> = stores.iter().map(|store| store.url()).collect();
            complain(&format!(
                "{:?} does not lie below a root of this configuration ({}), and no file of this \
                 machine has this path: give the whole path or URL, or the path below the root; \
                 of a file that was copied elsewhere, give the path of a copy on this machine",
                self.file,
                roots.join(", ")
            ));
            Ok(EX_USAGE)
        })
    }
}

/// What a path means, below one of the roots or on this machine; [`None`] if it means nothing.
async fn answer(stores: &[Arc<dyn Store>], file: &str) -> Result<Option<Answer>, StoreError> {
    let mut nowhere = None;
    for store in stores {
        let Some(path) = below(store.url(), file) else { continue };
        // A relative path may be meant below any of them, or be that of a copy.
        if !is_relative(file) || is_there(&**store, &path).await? {
            return Ok(Some(explain(&**store, &path).await?));
        }
        let _ = nowhere.get_or_insert((store, path));
    }
    if let Some(answer) = explain_copy(stores, file).await? {
        return Ok(Some(answer));
    }
    let Some((store, path)) = nowhere else { return Ok(None) };
    let mut answer = explain(&**store, &path).await?;
    answer.say(format!(
        "a relative path is looked for below the root and in the working directory, and {file:?} \
         is in neither"
    ));
    Ok(Some(answer))
}

fn is_relative(path: &str) -> bool {
    !path.starts_with('/') && !path.contains("://")
}

/// A path below a root, as its URL, its path, or a path that is relative to it.
fn below(root: &str, path: &str) -> Option<String> {
    let place = |url: &str| match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("/".into(), |(_, path)| format!("/{path}")),
        None => url.to_string(),
    };
    let (url, plain) = (path.strip_prefix(root), place(path));
    let inside = match url.or_else(|| plain.strip_prefix(&*place(root))) {
        Some(rest) if rest.starts_with('/') || root.ends_with(':') => rest,
        _ if is_relative(path) && !path.split('/').any(|s| s == "..") => path,
        _ => return None,
    };
    let segments = inside.split('/').filter(|s| !s.is_empty() && *s != ".");
    Some(segments.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::store::Memory;

    /// Tests run in the directory of the project.
    #[tokio::test]
    async fn a_relative_path_is_looked_for_in_the_working_directory_too() {
        let store = Memory::default();
        let stores: [Arc<dyn Store>; 1] = [Arc::new(store.clone())];
        let told = async |file: &str| {
            let answer = answer(&stores, file).await.unwrap().expect("an answer");
            (answer.code, answer.lines.join("\n"))
        };
        for file in ["README.md", "./README.md", "src/../README.md"] {
            let (code, text) = told(file).await;
            assert!(code == EX_USAGE && text.contains("has no footer"), "{file}: {text}");
        }
        for file in ["no-such-file", "t/part-t-00000000-0-1-2.parquet"] {
            let (code, text) = told(file).await;
            assert!(code != 0 && text.contains("is in neither"), "{file}: {text}");
            assert!(!text.contains("Readers see its rows"), "{file}: {text}");
        }
        assert!(answer(&stores, "/no/such/file").await.unwrap().is_none());
    }

    #[test]
    fn a_file_is_found_below_its_root_however_it_is_written() {
        for (root, path, want) in [
            ("file:///srv/a", "file:///srv/a/t/x", Some("t/x")),
            ("file:///srv/a", "/srv/a//./t/x", Some("t/x")),
            ("file:///srv/a", "t/x", Some("t/x")),
            ("file:///srv/a", "/srv/ab/t/x", None),
            ("file:///srv/a", "/elsewhere/t/x", None),
            ("file:///srv/a", "../a/t/x", None),
            ("hdfs://n:8020/data", "hdfs://n:8020/data/t/x", Some("t/x")),
            ("hdfs://n:8020/data", "/data/t/x", Some("t/x")),
            ("hdfs://n:8020/data", "hdfs://other/dat/t/x", None),
        ] {
            assert_eq!(below(root, path).as_deref(), want, "{root} {path}");
        }
    }
}
