//! The error classes of hdfs-native, told apart here, once.

use hdfs_native::HdfsError;

use crate::clients::store::error::{ErrorKind, StoreError};

pub(super) fn classify(operation: &'static str, path: &str, e: &HdfsError) -> StoreError {
    let kind = match e {
        HdfsError::AlreadyExists(_) => ErrorKind::AlreadyExists,
        HdfsError::FileNotFound(_) => ErrorKind::NotFound,
        HdfsError::RPCError(class, _) | HdfsError::FatalRPCError(class, _) => {
            match class.rsplit('.').next().unwrap_or_default() {
                "FileNotFoundException" | "ParentNotDirectoryException" => ErrorKind::NotFound,
                "FileAlreadyExistsException" | "AlreadyBeingCreatedException" => {
                    ErrorKind::AlreadyExists
                }
                "AccessControlException" | "AuthorizationException" => ErrorKind::Permission,
                "DSQuotaExceededException"
                | "NSQuotaExceededException"
                | "QuotaExceededException"
                | "QuotaByStorageTypeExceededException" => ErrorKind::NoSpace,
                "SafeModeException" | "StandbyException" | "RetriableException" => {
                    ErrorKind::Unavailable
                }
                _ => ErrorKind::Other,
            }
        }
        HdfsError::IOError(_)
        | HdfsError::DataTransferError(_)
        | HdfsError::InvalidRPCResponse(_)
        | HdfsError::OperationFailed(_)
        | HdfsError::BlocksNotFound(_)
        | HdfsError::ChecksumError => ErrorKind::Unknown,
        _ => ErrorKind::Other,
    };
    StoreError::new(kind, operation, path, first_line(&e.to_string()))
}

/// Shortens an answer of the NameNode, which contains a whole stack trace.
fn first_line(text: &str) -> String {
    const MAX: usize = 300;
    let line = text.lines().next().unwrap_or_default().trim();
    let cut = line.floor_char_boundary(MAX);
    if cut < line.len() { format!("{}…", &line[..cut]) } else { line.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let rpc = |class: &str| HdfsError::RPCError(class.into(), "text\n\tat stack".into());
        let check = |e: HdfsError, want| assert_eq!(classify("x", "/p", &e).kind, want, "{e}");
        check(HdfsError::AlreadyExists("x".into()), ErrorKind::AlreadyExists);
        check(rpc("java.io.FileNotFoundException"), ErrorKind::NotFound);
        check(rpc("org.apache.hadoop.security.AccessControlException"), ErrorKind::Permission);
        check(rpc("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException"), ErrorKind::NoSpace);
        check(
            rpc("org.apache.hadoop.hdfs.server.namenode.SafeModeException"),
            ErrorKind::Unavailable,
        );
        check(HdfsError::IOError(std::io::ErrorKind::ConnectionAborted.into()), ErrorKind::Unknown);
        let shown = classify("rename", "/p", &rpc("a.B")).to_string();
        assert_eq!(shown, "rename /p: RPC error: a.B text");
    }
}
