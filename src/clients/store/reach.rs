//! Whether the NameNodes of a root listen: the client of HDFS tries for minutes, and then says
//! less.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::clients::store::hdfs;
use crate::common::config::{Root, hadoop_values};

/// How long a NameNode may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to look at where there is one NameNode.
const ONE: &str =
    "check the host and port in archive.root (the NameNode's RPC port, often 8020 or 9000)";

/// Connects to the NameNodes of a root, and asks them nothing.
///
/// # Errors
/// None of them accepts a connection; each is named with the reason.
pub async fn reach(root: &Root) -> Result<(), String> {
    let Root::Hdfs { url, options } = root else { return Ok(()) };
    // What can't be read is told where the root is opened.
    let addresses = hadoop_values(options).map(|values| hdfs::addresses(url, &values));
    reach_one_of(url, &addresses.unwrap_or_default()).await
}

/// Connects to these NameNodes of the root `url`, and asks them nothing.
///
/// # Errors
/// None of them accepts a connection; each is named with the reason.
pub async fn reach_one_of(url: &str, addresses: &[String]) -> Result<(), String> {
    let tries = addresses.iter().map(|address| connect(address));
    let tried = futures_util::future::join_all(tries).await;
    let failed: Vec<String> = tried.into_iter().filter_map(Result::err).collect();
    if addresses.is_empty() || failed.len() < addresses.len() {
        return Ok(());
    }
    let hint = match addresses.len() {
        1 if url.contains(&addresses[0]) => ONE.to_string(),
        _ => format!("check the addresses in Hadoop's files, which {url} stands for"),
    };
    Err(format!("{}; {hint}", failed.join(", and ")))
}

async fn connect(address: &str) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(format!("can't connect to the NameNode at {address}: {e}")),
        Err(_) => Err(format!(
            "the NameNode at {address} does not answer within {} s",
            PATIENCE.as_secs()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::HdfsOptions;

    /// A port that nobody listens at, for as long as the listener is there and not listening.
    fn closed() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    }

    fn ha(a: &str, b: &str) -> Root {
        let properties = [
            ("dfs.ha.namenodes.n", "a,b"),
            ("dfs.namenode.rpc-address.n.a", a),
            ("dfs.namenode.rpc-address.n.b", b),
        ];
        let properties = properties.map(|(k, v)| (k.to_string(), v.to_string())).into();
        let options = HdfsOptions { properties, ..HdfsOptions::default() };
        Root::Hdfs { url: "hdfs://n/r".into(), options }
    }

    #[tokio::test]
    async fn each_namenode_that_refuses_is_named() {
        let (a, b) = (closed(), closed());
        let said = reach(&ha(&a, &b)).await.unwrap_err();
        for part in [&*a, &*b, "refused", "the addresses in Hadoop's files"] {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
        let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = there.local_addr().map(|at| (at.to_string(), there)).unwrap();
        assert_eq!(reach(&ha(&a, &there.0)).await, Ok(()), "one of them is enough");
        let one = Root::Hdfs { url: format!("hdfs://{a}/r"), options: HdfsOptions::default() };
        let said = reach(&one).await.unwrap_err();
        assert!(said.contains(&a) && said.contains("archive.root"), "{said}");
        assert_eq!(reach(&Root::Local { directory: "/d".into(), umask: None }).await, Ok(()));
    }
}
