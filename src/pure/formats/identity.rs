//! The identity of a root: the file `_alluvium/identity`. Format version 1.
//!
//! *Bytes*: one JSON object in UTF-8, without spaces and without a line feed:
//! `{"version":1,"root":"<32 hexadecimal digits>"}`.
//!
//! *Version rule*: a reader refuses any other version; the daemon then does not start with this
//! root. A field that the reader does not know is ignored.
//!
//! *Written by* the first daemon that opens the root, once, by a rename that refuses to overwrite;
//! it is never changed. *Read by* everything that opens the root. Ledger entries and offset
//! metadata repeat the id: so a root that was wiped or exchanged is noticed.

use serde::{Deserialize, Serialize};

/// The version that this build writes and reads.
const VERSION: u32 = 1;

/// The content of `_alluvium/identity`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RootIdentity {
    version: u32,
    /// The root's id, 32 hexadecimal digits.
    pub root: String,
}

/// An identity that this build must not act on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{0}")]
    Malformed(String),
    #[error("is of version {0}; this build reads version {VERSION}")]
    Version(u32),
}

impl RootIdentity {
    /// The identity of a root with this id.
    #[must_use]
    pub fn new(root: String) -> RootIdentity {
        RootIdentity { version: VERSION, root }
    }

    /// The bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an identity has string keys only")
    }

    /// Reads the file.
    ///
    /// # Errors
    /// The text is no identity, or it is of another version.
    pub fn decode(text: &[u8]) -> Result<RootIdentity, IdentityError> {
        let identity: RootIdentity =
            serde_json::from_slice(text).map_err(|e| IdentityError::Malformed(e.to_string()))?;
        if identity.version != VERSION {
            return Err(IdentityError::Version(identity.version));
        }
        // The id becomes a part of names and of the committed offsets' metadata.
        let plain = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if identity.root.len() != 32 || !identity.root.bytes().all(plain) {
            let text = "the root's id is not 32 hexadecimal digits".to_string();
            return Err(IdentityError::Malformed(text));
        }
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_an_identity_are_the_golden_ones() {
        let golden =
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/identity-v1.json"));
        let sample = RootIdentity::new("fedcba9876543210fedcba9876543210".into());
        assert_eq!(sample.encode(), golden);
        assert_eq!(RootIdentity::decode(golden), Ok(sample));
    }

    #[test]
    fn another_version_is_refused() {
        let decoded = RootIdentity::decode(br#"{"version":2,"root":"x"}"#);
        assert_eq!(decoded, Err(IdentityError::Version(2)));
        let text = decoded.unwrap_err().to_string();
        assert_eq!(text, "is of version 2; this build reads version 1");
        assert!(RootIdentity::decode(b"{}").is_err());
    }

    #[test]
    fn an_id_of_another_form_is_refused() {
        for root in ["", "x", "FEDCBA9876543210FEDCBA9876543210", &"a".repeat(33), &"a".repeat(999)]
        {
            let text = RootIdentity::new(root.into()).encode();
            let decoded = RootIdentity::decode(&text);
            assert!(matches!(decoded, Err(IdentityError::Malformed(_))), "{root}");
        }
    }
}
