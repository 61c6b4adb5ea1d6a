//! The error classes of hdfs-native, told apart here, once.

use hdfs_native::HdfsError;

use crate::clients::store::error::{ErrorKind, StoreError};
use crate::clients::store::hdfs::datanodes;
use crate::clients::store::hdfs::kms::of_kms;

pub(super) fn classify(operation: &'static str, path: &str, e: &HdfsError) -> StoreError {
    if let HdfsError::OperationFailed(text) = e
        && let Some((kind, text)) = of_kms(text)
    {
        return StoreError::new(kind, operation, path, first_line(&text));
    }
    // The NameNode has answered, and a read changes nothing.
    if let HdfsError::DataTransferError(text) = e
        && let Some(text) = datanodes::of_read(text)
    {
        return StoreError::new(ErrorKind::Unavailable, operation, path, text);
    }
    let kind = match e {
        HdfsError::AlreadyExists(_) => ErrorKind::AlreadyExists,
        HdfsError::FileNotFound(_) => ErrorKind::NotFound,
        HdfsError::RPCError(class, text) | HdfsError::FatalRPCError(class, text) => {
            match class.rsplit('.').next().unwrap_or_default() {
                "FileNotFoundException" | "ParentNotDirectoryException" => ErrorKind::NotFound,
                "FileAlreadyExistsException" | "AlreadyBeingCreatedException" => {
                    ErrorKind::AlreadyExists
                }
                // What a server says that takes Kerberos alone.
                "AccessControlException" if is_login(text) => ErrorKind::Authentication,
                "AccessControlException" | "AuthorizationException" => ErrorKind::Permission,
                "SaslException" | "GSSException" | "SecretManager$InvalidToken" => {
                    ErrorKind::Authentication
                }
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
        HdfsError::SASLError(_) | HdfsError::GSSAPIError(..) | HdfsError::NoSASLMechanism => {
            ErrorKind::Authentication
        }
        HdfsError::OperationFailed(text) if text.contains("libgssapi") => ErrorKind::Authentication,
        HdfsError::IOError(_)
        | HdfsError::DataTransferError(_)
        | HdfsError::InvalidRPCResponse(_)
        | HdfsError::OperationFailed(_)
        | HdfsError::BlocksNotFound(_)
        | HdfsError::ChecksumError => ErrorKind::Unknown,
        _ => ErrorKind::Other,
    };
    let (kind, detail) = match kind {
        ErrorKind::Authentication => login(e),
        _ => (kind, first_line(&e.to_string())),
    };
    StoreError::new(kind, operation, path, detail)
}

/// Whether the NameNode refused because nobody was logged in.
fn is_login(text: &str) -> bool {
    text.contains("SIMPLE authentication is not enabled") || text.contains("Client cannot auth")
}

/// Why nobody was logged in: the cause first, and then what to look at.
fn login(e: &HdfsError) -> (ErrorKind, String) {
    let cause = match e {
        // The codes before the text tell people nothing.
        HdfsError::GSSAPIError(_, _, text) => {
            GENERAL.iter().fold(text.as_str(), |text, general| text.trim_start_matches(general))
        }
        HdfsError::SASLError(text)
        | HdfsError::OperationFailed(text)
        | HdfsError::RPCError(_, text)
        | HdfsError::FatalRPCError(_, text) => text,
        _ => "the NameNode offers no way of logging in that the client knows",
    };
    of_login(cause)
}

/// What a text of Kerberos's library means: the text first, and then what to look at.
pub(super) fn of_login(cause: &str) -> (ErrorKind, String) {
    let found = HINTS.iter().find(|(part, ..)| cause.contains(part));
    let (kind, hint) = found.map_or((ErrorKind::Authentication, ANY), |(_, kind, of)| (*kind, of));
    (kind, format!("{}; {hint}", first_line(cause).trim_end_matches('.')))
}

/// How texts begin that say nothing by themselves.
const GENERAL: [&str; 2] = [
    "Unspecified GSS failure.  Minor code may provide more information: ",
    "No credentials were supplied, or the credentials were unavailable or inaccessible: ",
];

const ANY: &str = "check archive.kerberos and the KDC, with `kinit -k -t KEYTAB PRINCIPAL`";
const KEY: &str =
    "the key in archive.kerberos.keytab is not that of the KDC: export the keytab again";
const ACCOUNT: &str = "the KDC does not let archive.kerberos.principal in, whatever its key is";
const NO_KEY: &str = "archive.kerberos.keytab has no key of archive.kerberos.principal that the \
                      KDC takes: `klist -ke KEYTAB` shows what it has";

const HALF_FILLED: &str = "the cache of archive.kerberos has no valid ticket yet: let it be filled \
                           by `kinit` for archive.kerberos.principal";

/// Parts of what the libraries say, what that means, and what to look at then.
const HINTS: [(&str, ErrorKind, &str); 20] = [
    ("Bad format in credentials cache", ErrorKind::NoTicket, HALF_FILLED),
    ("End of credential cache", ErrorKind::NoTicket, HALF_FILLED),
    ("atching credential not found", ErrorKind::NoTicket, HALF_FILLED),
    (
        "No Kerberos credentials available",
        ErrorKind::NoTicket,
        "there is no ticket, and no key to get one with: write archive.kerberos = { principal = \
         \"NAME@REALM\", keytab = \"FILE\" }, or correct it, or let the cache be filled by whoever \
         renews the tickets",
    ),
    (
        "not found in Kerberos database",
        ErrorKind::Authentication,
        "the KDC does not know archive.kerberos.principal, or else the NameNode's principal",
    ),
    ("reauthentication failed", ErrorKind::Authentication, KEY),
    ("ntegrity check failed", ErrorKind::Authentication, KEY),
    ("assword incorrect", ErrorKind::Authentication, KEY),
    ("No key table entry", ErrorKind::Authentication, NO_KEY),
    ("no suitable keys", ErrorKind::Authentication, NO_KEY),
    (
        "No credentials cache found",
        ErrorKind::NoTicket,
        "there is no ticket: archive.kerberos.keytab has no key of archive.kerberos.principal \
         (`klist -k KEYTAB` shows what it has), or nobody has filled archive.kerberos.cache; if \
         archive.kerberos is missing, write archive.kerberos = { principal = \"NAME@REALM\", \
         keytab = \"FILE\" }",
    ),
    (
        "does not match desired name",
        ErrorKind::NoTicket,
        "the tickets in archive.kerberos.cache are those of another principal: let the cache be \
         filled by `kinit` for archive.kerberos.principal, or correct that key",
    ),
    ("assword has expired", ErrorKind::Authentication, ACCOUNT),
    ("in database has expired", ErrorKind::Authentication, ACCOUNT),
    ("have been revoked", ErrorKind::Authentication, ACCOUNT),
    (
        "expired",
        ErrorKind::NoTicket,
        "the tickets in the credential cache have expired: set archive.kerberos.keytab, or renew \
         them",
    ),
    ("ontact any KDC", ErrorKind::SilentKdc, "no KDC of /etc/krb5.conf answers"),
    (
        "annot find KDC",
        ErrorKind::SilentKdc,
        "neither /etc/krb5.conf nor DNS names a KDC of this realm",
    ),
    (
        "SIMPLE authentication is not enabled",
        ErrorKind::Authentication,
        "HDFS asks for Kerberos: set archive.kerberos, or hadoop_conf_dir to files that set \
         hadoop.security.authentication",
    ),
    (
        "libgssapi",
        ErrorKind::Authentication,
        "the library is not installed: install the package libgssapi-krb5-2 (Debian) or krb5-libs",
    ),
];

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
        check(HdfsError::SASLError("x".into()), ErrorKind::Authentication);
        check(HdfsError::NoSASLMechanism, ErrorKind::Authentication);
        let unread = HdfsError::DataTransferError("All DataNodes failed: []".into());
        check(unread, ErrorKind::Unavailable);
        check(rpc("javax.security.sasl.SaslException"), ErrorKind::Authentication);
        check(HdfsError::IOError(std::io::ErrorKind::ConnectionAborted.into()), ErrorKind::Unknown);
        let shown = classify("rename", "/p", &rpc("a.B")).to_string();
        assert_eq!(shown, "rename /p: RPC error: a.B text");
    }

    #[test]
    fn the_cause_of_a_failed_login_comes_first() {
        let denied = "SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]";
        use ErrorKind::{Authentication, NoTicket, SilentKdc};
        for (e, kind, begins, hint) in [
            (HdfsError::SASLError("odd".into()), Authentication, "odd; ", "archive.kerberos"),
            (
                HdfsError::FatalRPCError("a.AccessControlException".into(), denied.into()),
                Authentication,
                denied,
                "set archive.kerberos",
            ),
            (
                HdfsError::OperationFailed("Failed to load libgssapi_krb".into()),
                Authentication,
                "Failed to load",
                "libgssapi-krb5-2",
            ),
            (
                HdfsError::SASLError(format!(
                    "{}No Kerberos credentials available (default cache: /c)",
                    GENERAL[1]
                )),
                NoTicket,
                GENERAL[1],
                "write archive.kerberos = {",
            ),
            (
                HdfsError::SASLError("Ticket expired".into()),
                NoTicket,
                "Ticket expired; ",
                "renew them",
            ),
            (
                HdfsError::SASLError(
                    "Principal in credential cache does not match desired name".into(),
                ),
                NoTicket,
                "Principal in credential cache",
                "archive.kerberos.principal, or correct that key",
            ),
            (
                HdfsError::SASLError("Client's credentials have been revoked".into()),
                Authentication,
                "Client's credentials have been revoked; ",
                "the KDC does not let",
            ),
            (
                HdfsError::SASLError("Cannot contact any KDC for realm 'A'".into()),
                SilentKdc,
                "Cannot contact any KDC for realm 'A'; ",
                "no KDC",
            ),
        ] {
            let error = classify("list", "/p", &e);
            assert_eq!(error.kind, kind, "{e}");
            assert!(error.detail.starts_with(begins), "{error}");
            assert!(error.detail.contains(hint), "{error}");
        }
    }
}
