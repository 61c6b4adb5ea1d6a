//! What the client of the KMS says: the server that has the keys of encryption zones.

use crate::clients::store::error::{ErrorKind, StoreError};

/// The kind of an error, and the text for people; [`None`] if it is none of the KMS.
pub(super) fn of_kms(text: &str) -> Option<(ErrorKind, String)> {
    if text.contains("no KMS provider is configured") {
        let text = format!(
            "the directory is in an encryption zone, and the client knows no server for its keys: \
             set {KEY} to that of the cluster, such as \"kms://https@HOST:9600/kms\", in Hadoop's \
             core-site.xml or in [archive.hadoop]"
        );
        return Some((ErrorKind::Unsuitable, text));
    }
    if !text.contains("KMS") {
        return None;
    }
    let said = without_queries(text);
    if FORGOTTEN.iter().any(|part| text.contains(part)) {
        return Some((ErrorKind::Unavailable, format!("{STALE}: {said}")));
    }
    Some(if text.contains("KMS HTTP error") {
        let text = format!("the KMS does not answer, which {KEY} names: {said}");
        (ErrorKind::Unavailable, text)
    } else if text.contains("(403") || text.contains("(401") || text.contains("SPNEGO") {
        let text = format!(
            "the KMS of {KEY} does not give this user the keys of the encryption zone: {said}. The \
             user needs DECRYPT_EEK on the zone's key (kms-acls.xml)"
        );
        (ErrorKind::Unsuitable, text)
    } else if text.contains("KMS request failed") {
        (ErrorKind::Unavailable, format!("the KMS of {KEY}: {said}"))
    } else {
        (ErrorKind::Unsuitable, format!("{KEY}: {said}"))
    })
}

/// Parts of what a KMS says of a token that it has issued and does not know: it was started anew,
/// or the token has expired. It says so with 403, as of a missing right, and hdfs-native keeps the
/// token.
const FORGOTTEN: [&str; 3] = ["InvalidToken", "can't be found in cache", "is expired"];

const STALE: &str = "the KMS that hadoop.security.key.provider.path names does not know the token \
                     any more that it has issued, as after its restart; a new client asks for \
                     another one";

/// Whether the client keeps a token that its KMS does not know.
pub(super) fn is_stale(e: &StoreError) -> bool {
    e.detail.starts_with(STALE)
}

const KEY: &str = "hadoop.security.key.provider.path";

/// The same without what stands behind the question mark of an address, because a token may stand
/// there.
fn without_queries(text: &str) -> String {
    let mut parts = text.split('?');
    let mut kept = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let end = part.find([')', ' ', '"', '>']).unwrap_or(part.len());
        kept.push_str(&part[end..]);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_kms_are_told_apart() {
        let down = "KMS HTTP error: error sending request for url (http://h:9600/kms/v1/keyversion/\
                    k%400/_eek?eek_op=decrypt&delegation=SECRET)";
        for (text, kind, part) in [
            (down, ErrorKind::Unavailable, "_eek)"),
            (
                "File is in an HDFS encryption zone but no KMS provider is configured (set …)",
                ErrorKind::Unsuitable,
                "[archive.hadoop]",
            ),
            (
                "KMS request failed (403 Forbidden): AuthorizationException User:a not allowed",
                ErrorKind::Unsuitable,
                "User:a not allowed",
            ),
            ("KMS request failed (500 X): IOException y", ErrorKind::Unavailable, "y"),
            (
                "KMS request failed (403 Forbidden): AuthenticationException token (kms-dt \
                 owner=a, sequenceNumber=1) can't be found in cache",
                ErrorKind::Unavailable,
                "a new client asks for another one",
            ),
            ("KMS URI must start with `kms://`, got `x`", ErrorKind::Unsuitable, "`x`"),
        ] {
            let (found, said) = of_kms(text).expect("it is of the KMS");
            assert_eq!(found, kind, "{text}");
            assert!(said.contains(part) && said.contains(KEY), "{said}");
            assert!(!said.contains("SECRET"), "{said}");
            let is_forgotten = text.contains("in cache");
            assert_eq!(is_stale(&StoreError::new(kind, "create", "/p", said)), is_forgotten);
        }
        assert_eq!(of_kms("something else"), None);
    }
}
