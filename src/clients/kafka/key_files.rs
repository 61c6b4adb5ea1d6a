//! What the client library says of files with keys and certificates, and what to correct. The texts
//! are those of librdkafka 2.12 and OpenSSL 3.

use std::path::Path;

use crate::common::config::{ConfigFault, Kafka};
use crate::common::files;

/// The keys that name a file with keys or certificates.
const FILES: [&str; 4] = ["ssl.ca.location", "ssl.certificate.location", KEY, STORE];

const STORE: &str = "ssl.keystore.location";
const STORE_PASSWORD: &str = "ssl.keystore.password";
const KEY: &str = "ssl.key.location";
const KEY_PASSWORD: &str = "ssl.key.password";

/// The fault that a refusal of the library is about; [`None`] if it is about something else.
pub(super) fn explained(kafka: &Kafka, why: &str) -> Option<ConfigFault> {
    let path = |key: &str| kafka.properties.get(key).map(String::as_str);
    // The library says of a file that it can't open what only those who know OpenSSL understand.
    let named = kafka.properties.iter().filter(|(key, _)| why.contains(key.as_str()));
    let mut files = named.filter(|(key, _)| FILES.contains(&key.as_str()));
    let unreadable =
        files.find_map(|(key, path)| Some((key, path, files::open(Path::new(path)).err()?)));
    if let Some((key, path, e)) = unreadable {
        let what = format!("can't read {path}: {e}. The user of the daemon has to read this file");
        return Some(property(key, what));
    }
    match (path(STORE), path(KEY)) {
        (Some(path), _) if why.contains(STORE) => Some(of_store(path, why)),
        (_, Some(path)) if why.contains(KEY) => Some(of_key(kafka, path, why)),
        _ => None,
    }
}

fn property(key: &str, what: String) -> ConfigFault {
    ConfigFault::new(format!("kafka.properties.{key:?}"), what)
}

fn secret(key: &str, what: String) -> ConfigFault {
    ConfigFault::new(format!("kafka.secrets.{key:?}"), what)
}

fn of_store(path: &str, why: &str) -> ConfigFault {
    if why.contains("mac verify failure") {
        return secret(STORE_PASSWORD, format!("is not the password of {path}"));
    }
    if why.contains("is mandatory when") {
        return secret(STORE_PASSWORD, format!("is missing: {path} has a password"));
    }
    let what = if why.contains("unsupported") {
        let again = "write it again with `openssl pkcs12 -export` of OpenSSL 3";
        format!("{path} is encrypted in an old way, which OpenSSL 3 does not read: {again}")
    } else if why.contains("asn1 encoding") {
        format!("{path} is not a PKCS#12 file; keys and certificates in PEM files have other keys")
    } else {
        format!("is refused by the client library: {}", why.trim())
    };
    property(STORE, what)
}

fn of_key(kafka: &Kafka, path: &str, why: &str) -> ConfigFault {
    let is_encrypted =
        files::read_text(Path::new(path)).is_ok_and(|text| text.contains("ENCRYPTED"));
    let has_password = kafka.secrets.contains_key(KEY_PASSWORD);
    if why.contains("mismatch") {
        let certificate = "kafka.properties.\"ssl.certificate.location\"";
        return property(KEY, format!("{path} is not the key of the certificate in {certificate}"));
    }
    match (is_encrypted, has_password) {
        (true, true) => secret(KEY_PASSWORD, format!("is not the password of {path}")),
        (true, false) => {
            secret(KEY_PASSWORD, format!("is missing: the key in {path} is encrypted"))
        }
        _ => property(KEY, format!("{path} has no key in PEM: {}", why.trim())),
    }
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkcs12::Pkcs12;
    use openssl::pkey::{PKey, Private};
    use openssl::rsa::Rsa;
    use openssl::symm::Cipher;
    use openssl::x509::{X509, X509NameBuilder};

    use crate::clients::kafka::settings::refused;
    use crate::common::config::Config;

    fn key() -> PKey<Private> {
        PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key")
    }

    fn certificate(key: &PKey<Private>) -> X509 {
        let mut name = X509NameBuilder::new().expect("a name");
        name.append_entry_by_text("CN", "a").expect("a name");
        let name = name.build();
        let mut built = X509::builder().expect("a certificate");
        built.set_subject_name(&name).expect("a subject");
        built.set_issuer_name(&name).expect("an issuer");
        built.set_pubkey(key).expect("a key");
        built.set_not_before(&Asn1Time::days_from_now(0).expect("now")).expect("a time");
        built.set_not_after(&Asn1Time::days_from_now(1).expect("a day")).expect("a time");
        built.sign(key, MessageDigest::sha256()).expect("a signature");
        built.build()
    }

    /// Files of a key and its certificate, in a directory.
    struct Files(tempfile::TempDir);

    impl Files {
        fn make() -> Files {
            let files = Files(tempfile::tempdir().expect("a directory"));
            let (own, other) = (key(), key());
            let certificate = certificate(&own);
            let mut store = Pkcs12::builder();
            let store = store.name("a").pkey(&own).cert(&certificate).build2("right");
            let cipher = Cipher::aes_256_cbc();
            let encrypted = own.private_key_to_pem_pkcs8_passphrase(cipher, b"right");
            for (name, content) in [
                ("a.p12", store.expect("a store").to_der().expect("bytes")),
                ("a.crt", certificate.to_pem().expect("text")),
                ("encrypted.key", encrypted.expect("text")),
                ("other.key", other.private_key_to_pem_pkcs8().expect("text")),
                ("right", b"right\n".to_vec()),
                ("wrong", b"a-wrong-one".to_vec()),
            ] {
                std::fs::write(files.0.path().join(name), content).expect("a file");
            }
            files
        }

        /// The faults of clients that have these files, by the ends of their keys.
        fn refused(&self, properties: &[(&str, &str)], secret: Option<(&str, &str)>) -> String {
            let path = |name: &str| self.0.path().join(name);
            let properties = properties.iter();
            let properties =
                properties.map(|(k, name)| format!("\"ssl.{k}\" = {:?}\n", path(name)));
            let secret = secret.iter();
            let secret =
                secret.map(|(k, name)| format!("\"ssl.{k}\" = {{ file = {:?} }}\n", path(name)));
            let text = format!(
                "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[kafka.properties]\n\
                 \"security.protocol\" = \"ssl\"\n{}[kafka.secrets]\n{}[archive]\nroot = \
                 \"file:///x\"\n[mapping.m]\ntopics = [\"t\"]",
                properties.collect::<String>(),
                secret.collect::<String>()
            );
            let config = Config::parse(&text, Some("i")).unwrap_or_else(|e| panic!("{e}"));
            refused(&config).iter().map(ToString::to_string).collect()
        }
    }

    const STORE: &[(&str, &str)] = &[("keystore.location", "a.p12")];
    const ENCRYPTED: &[(&str, &str)] =
        &[("certificate.location", "a.crt"), ("key.location", "encrypted.key")];

    #[test]
    fn a_wrong_password_is_named_by_its_own_key_and_nothing_is_shown() {
        let files = Files::make();
        let of_store = |name| Some(("keystore.password", name));
        let of_key = |name| Some(("key.password", name));
        assert_eq!(files.refused(STORE, of_store("right")), "");
        assert_eq!(files.refused(ENCRYPTED, of_key("right")), "");
        let no_store: &[(&str, &str)] = &[("keystore.location", "a.crt")];
        let other: &[(&str, &str)] =
            &[("certificate.location", "a.crt"), ("key.location", "other.key")];
        let no_key: &[(&str, &str)] =
            &[("certificate.location", "a.crt"), ("key.location", "right")];
        let secret = |key: &str, what: &str| format!("kafka.secrets.\"ssl.{key}\": is {what}");
        for (properties, password, wanted) in [
            (STORE, of_store("wrong"), secret("keystore.password", "not the password of /")),
            (STORE, None, secret("keystore.password", "missing")),
            (no_store, of_store("right"), "\"ssl.keystore.location\": /".into()),
            (ENCRYPTED, of_key("wrong"), secret("key.password", "not the password of /")),
            (ENCRYPTED, None, secret("key.password", "missing: the key in /")),
            (other, None, "is not the key of the certificate in kafka.properties".into()),
            (no_key, None, "has no key in PEM".into()),
            (&[("ca.location", "none.crt")], None, "\"ssl.ca.location\": can't read /".into()),
            (&[("keystore.location", "none.p12")], None, "can't read /".into()),
        ] {
            let found = files.refused(properties, password);
            assert!(found.contains(&wanted), "{properties:?} {password:?}: {found}");
            assert_eq!(found.matches("kafka.").count(), 1 + wanted.matches("in kafka.").count());
            assert!(!found.contains("a-wrong-one"), "{found}");
        }
    }
}
