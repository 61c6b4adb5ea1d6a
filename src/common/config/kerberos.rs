//! `kerberos` of an archive and of `[kafka]`: who a client is, and the files that prove it.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use toml::Value;

use crate::common::config::fields::{ConfigFault, Faults, Fields};
use crate::common::config::secret::{CREDENTIALS, Secret, credential_name, no_credentials};
use crate::common::files;

/// The identity of a root's client, or of the clients of Kafka.
#[derive(Clone, Debug)]
pub struct Kerberos {
    /// The principal: `alluvium@EXAMPLE.COM` or `alluvium/host@EXAMPLE.COM`.
    pub principal: String,
    /// The path of the keytab from which tickets are acquired, and acquired again before they
    /// expire; [`None`] if somebody else puts tickets into `cache`.
    pub keytab: Option<String>,
    /// The credential cache, as MIT's library names it (`FILE:/run/alluvium/krb5cc`, or a path).
    /// [`None`] for one in memory with a keytab, and without for that of the environment.
    pub cache: Option<String>,
    /// The full path of the table in the configuration.
    key: String,
}

/// Where the same identity is written down does not make it another one.
impl PartialEq for Kerberos {
    fn eq(&self, other: &Kerberos) -> bool {
        (&self.principal, &self.keytab, &self.cache)
            == (&other.principal, &other.keytab, &other.cache)
    }
}

impl Eq for Kerberos {}

/// What is wrong with a file.
enum FileFault {
    /// A cache that nobody has filled yet.
    Unfilled,
    Missing(String),
    NoKeytab,
    Open,
}

impl Kerberos {
    pub(super) fn read(mut f: Fields, faults: &mut Faults) -> Option<Kerberos> {
        let principal = f.parsed("principal", faults, principal);
        let keytab = keytab(&mut f, faults);
        let cache = f.parsed("cache", faults, |text| {
            let named = text.starts_with('/') || text.contains(':');
            named.then(|| text.to_string()).ok_or_else(|| {
                format!("{text:?} is no credential cache; write \"FILE:/run/alluvium/krb5cc\"")
            })
        });
        let hint = "the name of the daemon in Kerberos, such as \"alluvium@EXAMPLE.COM\"; `klist \
                    -k KEYTAB` shows those of a keytab";
        let principal = f.require("principal", principal, hint, faults);
        let key = f.key("").trim_end_matches('.').to_string();
        f.finish(faults);
        Some(Kerberos { principal: principal?, keytab, cache, key })
    }

    /// Where it is configured: the full path of its table.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The path of the credential cache, if it is a file that the configuration names.
    #[must_use]
    pub fn cache_file(&self) -> Option<&str> {
        let cache = self.cache.as_deref()?;
        cache.strip_prefix("FILE:").or_else(|| cache.starts_with('/').then_some(cache))
    }

    /// What a person has to know who waits for the tickets of a cache that is a file, is filled by
    /// others, and is not there yet: its key, its path, and what to do. [`None`] where none is
    /// missing.
    #[must_use]
    pub fn unfilled(&self) -> Option<String> {
        let told = |key: String, path: &str, fault| match fault {
            FileFault::Unfilled => Some(format!(
                "{key}: {path} is not there: whoever renews the tickets has to fill it, as `kinit \
                 -c {path} {}` does, or set {}.keytab in its place. Until then nobody can log in{}",
                self.principal,
                self.key,
                hidden(path).map(|why| format!(". {why}")).unwrap_or_default()
            )),
            FileFault::Missing(_) | FileFault::NoKeytab | FileFault::Open => None,
        };
        self.of_kind(told).pop()
    }

    /// The files that have to be there: their keys and paths. A cache is made where there is a
    /// keytab, and else by others, who may come later than the daemon.
    fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let keytab = self.keytab.as_deref().map(|path| ("keytab", path));
        let cache = self.cache_file().filter(|_| self.keytab.is_none());
        keytab.into_iter().chain(cache.map(|path| ("cache", path)))
    }

    fn of_kind<T>(&self, tell: impl Fn(String, &str, FileFault) -> Option<T>) -> Vec<T> {
        let told = |(name, path): (&str, &str)| {
            let fault = fault_of(Path::new(path), name == "keytab")?;
            tell(format!("{}.{name}", self.key), path, fault)
        };
        self.files().filter_map(told).collect()
    }

    /// The files that are not there, or that the user of this process may not read. A cache that is
    /// not there is none of them: others fill it.
    #[must_use]
    pub fn refused(&self) -> Vec<ConfigFault> {
        self.of_kind(|key, path, trouble| match trouble {
            FileFault::Missing(_) if path.starts_with('$') => Some(ConfigFault::new(
                key,
                no_credentials(path.rsplit('/').next().unwrap_or("NAME")),
            )),
            FileFault::Missing(why) => {
                let hint = hidden(path)
                    .unwrap_or_else(|| "The user of the daemon has to read this file".to_string());
                Some(ConfigFault::new(key, format!("can't read {path}: {why}. {hint}")))
            }
            FileFault::NoKeytab => Some(ConfigFault::new(
                key,
                format!(
                    "{path} is no keytab: it does not begin with the two bytes that say so. \
                     `klist -k {path}` shows what a keytab has"
                ),
            )),
            FileFault::Open | FileFault::Unfilled => None,
        })
    }

    /// The files that everybody on this host may read, so that who has them is the daemon, and a
    /// cache that nobody has filled yet.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let in_tmp = self.files().filter(|(name, path)| *name == "cache" && is_temporary(path));
        let in_tmp = in_tmp.map(|(name, path)| {
            format!(
                "{}.{name}: {path} is not there for a unit of systemd with PrivateTmp=yes, which \
                 has a /tmp of its own: let the cache lie in another directory, such as \
                 /run/alluvium",
                self.key
            )
        });
        let mut found: Vec<String> = in_tmp.chain(self.unfilled()).collect();
        found.extend(self.of_kind(|key, path, trouble| match trouble {
            FileFault::Open => Some(format!(
                "{key}: every user of this host can read {path}, and with it be {}; `chmod 600 \
                 {path}`",
                self.principal
            )),
            FileFault::Missing(_) | FileFault::NoKeytab | FileFault::Unfilled => None,
        }));
        found
    }
}

/// Checks the name of a principal: `primary/instance@REALM`, of which primary alone must be there.
fn principal(text: &str) -> Result<String, String> {
    let (name, realm) = text.split_once('@').unwrap_or((text, "R"));
    let is_plain = |part: &str| {
        !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if !name.split('/').all(is_plain) || !is_plain(realm) || realm.contains(['@', '/']) {
        return Err(format!(
            "{text:?} is no principal; write \"alluvium@EXAMPLE.COM\" or \
             \"alluvium/host.example.com@EXAMPLE.COM\""
        ));
    }
    if name.contains("_HOST") {
        return Err(format!(
            "{text:?}: Hadoop's servers put their host's name in the place of _HOST, and this \
             daemon does not; write the name that is in the keytab (`klist -k KEYTAB`)"
        ));
    }
    Ok(text.to_string())
}

fn is_temporary(path: &str) -> bool {
    ["/tmp/", "/var/tmp/"].iter().any(|directory| path.starts_with(directory))
}

/// What hides a file that others can read: a unit with PrivateTmp has a /tmp of its own.
fn hidden(path: &str) -> Option<String> {
    let is_unit = std::env::var_os("INVOCATION_ID").is_some();
    (is_temporary(path) && is_unit).then(|| {
        "A unit of systemd with PrivateTmp=yes has a /tmp of its own, in which nobody else puts \
         files: let the file lie in another directory, such as /run/alluvium"
            .to_string()
    })
}

/// The path of a keytab. That of a credential that this process does not have begins with `$`.
fn keytab(f: &mut Fields, faults: &mut Faults) -> Option<String> {
    let key = f.key("keytab");
    let value = f.take("keytab")?;
    if let Some(name) = value.get("credential").and_then(Value::as_str) {
        if let Err(why) = credential_name(name) {
            faults.add(key, why);
            return None;
        }
        let directory = std::env::var(CREDENTIALS).unwrap_or_else(|_| format!("${CREDENTIALS}"));
        return Some(format!("{directory}/{name}"));
    }
    let text = value.as_str().unwrap_or_default();
    let path = text.strip_prefix("FILE:").unwrap_or(text);
    if path.starts_with('/') {
        return Some(path.to_string());
    }
    let credential = "or { credential = \"name\" } for a systemd credential";
    faults.add(key, format!("{value} is not the absolute path of a file, {credential}"));
    None
}

fn fault_of(path: &Path, is_keytab: bool) -> Option<FileFault> {
    let mut file = match files::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound && !is_keytab => {
            return Some(FileFault::Unfilled);
        }
        Err(e) => return Some(FileFault::Missing(e.to_string())),
    };
    // The format's number, and that of its first or second version.
    let mut begin = [0; 2];
    let read = file.read_exact(&mut begin);
    if is_keytab && (read.is_err() || !matches!(begin, [5, 1 | 2])) {
        return Some(FileFault::NoKeytab);
    }
    Secret::is_open(path).then_some(FileFault::Open)
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(text: &str) -> (Option<Kerberos>, Vec<String>) {
        let (table, mut faults) = (text.parse::<Table>().expect("TOML"), Faults::default());
        let kerberos = Kerberos::read(Fields::new("archive.kerberos", table), &mut faults);
        (kerberos, faults.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_value_is_checked() {
        for (text, key) in [
            ("keytab = \"/k\"", "archive.kerberos.principal: is missing"),
            ("principal = \"\"", "archive.kerberos.principal"),
            ("principal = \"a b\"", "archive.kerberos.principal"),
            ("principal = \"a/_HOST@R\"", "in the place of _HOST"),
            ("principal = \"@R\"", "is no principal"),
            ("principal = \"a@\"", "is no principal"),
            ("principal = \"a/@R\"", "is no principal"),
            ("principal = \"/h@R\"", "is no principal"),
            ("principal = \"a//h@R\"", "is no principal"),
            ("principal = \"a@R@S\"", "is no principal"),
            ("principal = \"a@R/S\"", "is no principal"),
            ("principal = \"a\"\nkeytab = { credential = \"../x\" }", "archive.kerberos.keytab"),
            ("principal = \"a\"\nkeytab = \"k\"", "archive.kerberos.keytab: \"k\" is not"),
            ("principal = \"a\"\nkeytab = { file = \"/k\" }", "archive.kerberos.keytab"),
            ("principal = \"a\"\ncache = \"c\"", "archive.kerberos.cache"),
            ("principal = \"a\"\ncahce = \"/c\"", "did you mean \"cache\""),
        ] {
            let (_, faults) = read(text);
            assert!(faults.len() == 1 && faults[0].contains(key), "{text}: {faults:?}");
        }
    }

    #[test]
    fn files_that_are_not_there_or_open_to_all_are_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("a.keytab");
        let shown = file.display();
        let kerberos = || {
            let text = format!("principal = \"a@B\"\nkeytab = \"{shown}\"\ncache = \"FILE:/no\"");
            read(&text).0.expect("no faults")
        };
        let refused = kerberos().refused();
        assert!(kerberos().warnings().is_empty());
        assert_eq!(refused.len(), 1, "the cache is made: {refused:?}");
        assert_eq!(refused[0].key, "archive.kerberos.keytab");
        assert!(refused[0].message.contains("No such file"), "{}", refused[0].message);
        std::fs::write(&file, "keys").expect("a file");
        let refused = kerberos().refused();
        assert!(refused[0].message.contains("is no keytab"), "{refused:?}");
        std::fs::write(&file, [5]).expect("a file");
        assert_eq!(kerberos().refused().len(), 1, "it is too short");
        std::fs::write(&file, [5, 2]).expect("a file");
        for (mode, open) in [(0o600, false), (0o640, false), (0o644, true)] {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&file, mode).expect("its mode");
            assert!(kerberos().refused().is_empty());
            assert_eq!(!kerberos().warnings().is_empty(), open);
        }
        let (in_tmp, _) = read("principal = \"a@B\"\ncache = \"FILE:/tmp/krb5cc_0\"");
        let warned = in_tmp.expect("no faults").warnings();
        assert!(warned[0].contains("PrivateTmp"), "{warned:?}");
    }

    /// Who fills it may come later than the daemon, so a start does not end for good.
    #[test]
    fn a_cache_that_nobody_has_filled_yet_is_named_and_is_no_fault() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("tickets");
        let of = |path: &Path, more: &str| {
            let text = format!("principal = \"a@B\"\ncache = \"FILE:{}\"\n{more}", path.display());
            read(&text).0.expect("no faults")
        };
        let alone = of(&file, "");
        assert!(alone.refused().is_empty(), "{:?}", alone.refused());
        let said = alone.unfilled().expect("it is not there");
        for part in ["archive.kerberos.cache: ", "kinit -c", "a@B", "keytab"] {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
        assert_eq!(alone.warnings().pop(), Some(said));
        assert_eq!(of(&file, "keytab = \"/k\"").unfilled(), None, "the daemon fills it");
        std::fs::write(&file, "tickets").expect("a file");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, mode).expect("its mode");
        assert_eq!(alone.unfilled(), None);
        let refused = of(dir.path(), "").refused();
        assert_eq!(refused[0].key, "archive.kerberos.cache", "a directory is never filled");
    }

    #[test]
    fn a_credential_that_the_process_does_not_have_is_named() {
        let (kerberos, faults) = read("principal = \"a@B\"\nkeytab = { credential = \"k\" }");
        assert!(faults.is_empty(), "a command that needs no ticket goes on: {faults:?}");
        let refused = kerberos.expect("no faults").refused();
        let hint = "systemd-run --pipe --property=LoadCredential=k:FILE";
        assert!(refused[0].message.contains(hint), "{refused:?}");
    }

    #[test]
    fn one_identity_may_be_written_twice() {
        let (a, _) = read("principal = \"a@B\"\nkeytab = \"FILE:/k\"");
        let table = "principal = \"a@B\"\nkeytab = \"/k\"".parse().expect("TOML");
        let again = Fields::new("mapping.m.archive.kerberos", table);
        assert_eq!(a, Kerberos::read(again, &mut Faults::default()));
    }
}
