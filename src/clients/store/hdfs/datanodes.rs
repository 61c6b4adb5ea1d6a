//! What is said of DataNodes that do not answer.

use std::io;

/// How hdfs-native 0.14.8 begins the text of a read that no DataNode serves. What follows are the
/// DataNodes, as its own code prints them.
const ALL_FAILED: &str = "All DataNodes failed: ";

/// The operations that bring data to DataNodes.
const OF_DATA: [&str; 3] = ["begin", "write", "close"];

/// What a text of hdfs-native means, if it says that no DataNode serves a read.
pub(super) fn of_read(text: &str) -> Option<String> {
    let (_, dump) = text.split_once(ALL_FAILED)?;
    let all: Vec<String> = dump.split("DatanodeIdProto {").skip(1).filter_map(address).collect();
    if all.is_empty() {
        return Some("the NameNode knows no DataNode that is up and has the block".into());
    }
    Some(format!(
        "no DataNode that has the block lets this client read it ({}): are they up, and can they \
         be reached from here? Or the block is damaged there, which `hdfs fsck PATH -files \
         -blocks -locations` shows. Where HDFS asks for Kerberos, dfs.data.transfer.protection \
         must be as on the DataNodes, too: set archive.hadoop_conf_dir to the cluster's Hadoop \
         files, or the key in [archive.hadoop]",
        all.join(", ")
    ))
}

/// What a broken connection means to an operation; [`None`] if it may be of the NameNode alone.
pub(super) fn of_write(operation: &str, e: &io::Error) -> Option<String> {
    OF_DATA.contains(&operation).then(|| {
        format!(
            "a DataNode, or else the NameNode, does not take the data ({e}): are they up, and can \
             they be reached from here?"
        )
    })
}

fn address(printed: &str) -> Option<String> {
    let after = |key: &str| printed.split_once(key).map(|(_, rest)| rest);
    let ip = after("ip_addr: \"")?.split('"').next()?;
    let host = after("host_name: \"")?.split('"').next()?;
    let port = after("xfer_port: ")?.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(format!("{host} at {ip}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datanodes_are_named_by_their_addresses() {
        let one = |n: u8| {
            format!(
                "DatanodeInfoProto {{ id: DatanodeIdProto {{ ip_addr: \"10.0.0.{n}\", host_name: \
                 \"dn{n}\", datanode_uuid: \"u\", xfer_port: 9866, info_port: 9864 }}, capacity: \
                 Some(1) }}"
            )
        };
        let said = of_read(&format!("{ALL_FAILED}[{}, {}]", one(1), one(2))).expect("a text");
        assert!(said.contains("(dn1 at 10.0.0.1:9866, dn2 at 10.0.0.2:9866)"), "{said}");
        assert!(said.contains("dfs.data.transfer.protection"), "{said}");
        assert!(!said.contains("Proto"), "{said}");
        assert!(of_read(&format!("{ALL_FAILED}[]")).expect("a text").contains("knows no DataNode"));
        assert_eq!(of_read("Not enough data returned from DataNode"), None);
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(of_write("write", &refused).expect("a text").starts_with("a DataNode"));
        assert_eq!(of_write("delete", &refused), None);
    }
}
