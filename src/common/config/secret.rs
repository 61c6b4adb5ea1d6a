//! Where a secret lies: in a file, or in a credential of systemd.

use std::path::PathBuf;

use toml::Value;

use crate::common::config::fields::Faults;
use crate::common::files;

/// Where systemd puts the credentials of a unit.
pub(super) const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where a secret lies; it is read where it is needed, and never shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Secret(pub PathBuf);

impl Secret {
    /// Reads `{ file = … }` or `{ credential = … }`. `unreadable` gets what is right in the
    /// configuration and can't be read here.
    pub(super) fn named_by(
        value: &Value,
        key: &str,
        faults: &mut Faults,
        unreadable: &mut Faults,
    ) -> Option<Secret> {
        let table = value.as_table();
        let text = |name: &str| table.and_then(|t| t.get(name)).and_then(Value::as_str);
        let path = match (text("file"), text("credential")) {
            (Some(file), None) => PathBuf::from(file),
            (None, Some(name)) => {
                if let Err(why) = credential_name(name) {
                    faults.add(key, why);
                    return None;
                }
                let Some(dir) = std::env::var_os(CREDENTIALS) else {
                    unreadable.add(key, no_credentials(name));
                    return None;
                };
                PathBuf::from(dir).join(name)
            }
            _ => {
                faults.add(key, "must be { file = \"/path\" } or { credential = \"name\" }");
                return None;
            }
        };
        if let Err(e) = files::open(&path) {
            unreadable.add(key, format!("can't read {}: {e}", path.display()));
            return None;
        }
        Some(Secret(path))
    }

    /// Whether everybody on this host can read the file at this path.
    #[must_use]
    pub fn is_open(path: &std::path::Path) -> bool {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o004 != 0)
    }

    /// The warning about such a file.
    #[must_use]
    pub fn exposed(key: &str, path: &std::path::Path) -> Option<String> {
        let shown = path.display();
        Secret::is_open(path)
            .then(|| format!("{key}: everybody on this host can read {shown}: chmod o-rwx {shown}"))
    }
}

/// Checks the name of a credential, as systemd does: it is that of a file in one directory.
pub(super) fn credential_name(name: &str) -> Result<(), String> {
    const LONGEST: usize = 255;
    let is_plain = |c: char| c.is_ascii_graphic() && !['/', ':'].contains(&c);
    let fits = (1..=LONGEST).contains(&name.len()) && name.chars().all(is_plain);
    (fits && name != "." && name != "..").then_some(()).ok_or_else(|| {
        format!("{name:?} is no name of a systemd credential, which has no slash and no space")
    })
}

/// What to do where the credentials of a unit are not there.
pub(super) fn no_credentials(name: &str) -> String {
    format!(
        "names a systemd credential, but {CREDENTIALS} is not set: start the daemon by systemd \
         with LoadCredential=, and a command in a shell by systemd-run --pipe \
         --property=LoadCredential={name}:FILE; or name a file"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_credential_leaves_no_directory() {
        for right in ["a", "kafka-password", "a.b_c", "..."] {
            assert_eq!(credential_name(right), Ok(()), "{right}");
        }
        for wrong in ["", ".", "..", "../../x", "/etc/passwd", "a/b", "a b", "a:b", "ä"] {
            assert!(credential_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pipe_is_no_secret_and_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let value: Value =
            toml::Table::from_iter([("file".to_string(), Value::from(pipe.to_str().unwrap()))])
                .into();
        let (mut faults, mut unreadable) = (Faults::default(), Faults::default());
        assert_eq!(Secret::named_by(&value, "k", &mut faults, &mut unreadable), None);
        assert!(faults.0.is_empty());
        assert!(unreadable.0[0].message.contains("it is not a file"), "{unreadable:?}");
    }
}
