//! Where a secret lies: in a file, or in a credential of systemd.

use std::path::PathBuf;

use toml::Value;

use crate::common::config::fields::Faults;

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
                let Some(dir) = std::env::var_os(CREDENTIALS) else {
                    unreadable.add(
                        key,
                        format!(
                            "names a systemd credential, but {CREDENTIALS} is not set: \
                             start the daemon by systemd with LoadCredential=, and a command in a \
                             shell by systemd-run --pipe --property=LoadCredential={name}:FILE; \
                             or use {{ file = \"…\" }}"
                        ),
                    );
                    return None;
                };
                PathBuf::from(dir).join(name)
            }
            _ => {
                faults.add(key, "must be { file = \"/path\" } or { credential = \"name\" }");
                return None;
            }
        };
        if let Err(e) = std::fs::metadata(&path) {
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
