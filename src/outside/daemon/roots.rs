//! Opening the stores, and the id of each root.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

use crate::clients::kerberos::{has_keytab, silent_kdc};
use crate::clients::store::measured::{Call, Measured, StoreTimer};
use crate::clients::store::{
    self, Deadlines, ErrorKind, Store, StoreError, reach, reach_one_of, refuse_mounts_below,
    with_cure,
};
use crate::common::config::{Config, Root};
use crate::common::health::{Board, Subject};
use crate::common::spawn::spawn_detached;
use crate::engine::archive::root::{check_files, identity};
use crate::outside::daemon::active::ActiveConfig;
use crate::outside::daemon::health::now_ms;
use crate::outside::daemon::unavailable::{
    LoginRefused, Misconfigured, Refusal, Refusals, Unavailable,
};
use crate::pure::layout::names;

/// The open stores and the ids of roots, by URL.
pub(crate) type Stores = HashMap<String, (Arc<dyn Store>, String)>;

/// Opens every root that a mapping names, and reads or writes its id; the mappings that have a root
/// which can't be opened. Of what is in force, the same roots stay open. `store_timer` is called
/// with each operation.
pub(crate) async fn open_all(
    config: &Config,
    before: Option<&ActiveConfig>,
    store_timer: Option<&Arc<StoreTimer>>,
) -> (Stores, Refusals) {
    let (mut stores, mut refusals) = (Stores::new(), Refusals::new());
    // A root that does not answer is tried once, however many mappings name it.
    let mut closed: HashMap<String, NotOpened> = HashMap::new();
    for mapping in &config.mappings {
        for archive in mapping.archives() {
            let url = archive.root.url();
            let Entry::Vacant(unopened) = stores.entry(url.clone()) else { continue };
            if let Some(open) = before.and_then(|b| b.store(&archive.root)) {
                let _ = unopened.insert(open);
                continue;
            }
            let opened = match closed.get(&url) {
                Some(error) => Err(error.clone()),
                None => open(&archive.root).await,
            };
            match opened {
                Ok((store, id)) => {
                    let store = match store_timer {
                        Some(store_timer) => Measured::wrap(store, store_timer),
                        None => store,
                    };
                    let _ = unopened.insert((store, id));
                }
                Err(error) => {
                    let refusal = error.of(&url, &mapping.name);
                    let _ = refusals.insert(mapping.name.clone(), refusal);
                    let _ = closed.insert(url, error);
                }
            }
        }
    }
    (stores, refusals)
}

/// Why a root was not opened, in words.
#[derive(Clone, Debug)]
enum NotOpened {
    /// It may be opened later, without anybody's help.
    Unavailable(String),
    /// A person has to correct the configuration or the directory.
    Unsuitable(String),
    LoginRefused(String),
}

impl NotOpened {
    fn of(&self, url: &str, mapping: &str) -> Refusal {
        let of = |why: &str| format!("root {url} of mapping.{mapping}: {why}");
        match self {
            NotOpened::Unavailable(why) => Unavailable(of(why)).into(),
            NotOpened::Unsuitable(why) => Misconfigured(of(why)).into(),
            NotOpened::LoginRefused(why) => {
                LoginRefused { text: of(why), was_running: false }.into()
            }
        }
    }

    /// What an error of the first calls means.
    fn told(root: &Root, e: &StoreError) -> NotOpened {
        let kerberos = match root {
            Root::Hdfs { options, .. } => options.kerberos.as_ref(),
            Root::Local { .. } => None,
        };
        // It says itself what to look at.
        let no_login = || format!("can't log in: {}; while: {}", e.detail, e.operation);
        // Nobody knows by the text alone which of several caches it is about.
        let no_ticket = || match kerberos.and_then(|of| Some((of.key(), of.cache.as_ref()?))) {
            Some((key, cache)) if !e.detail.contains(cache.trim_start_matches("FILE:")) => {
                format!("{} ({key}.cache is {cache})", no_login())
            }
            _ => no_login(),
        };
        match e.kind {
            ErrorKind::Authentication => NotOpened::LoginRefused(no_login()),
            // The keytab has no key of the principal.
            ErrorKind::NoTicket if has_keytab(kerberos) => NotOpened::LoginRefused(no_login()),
            // Others fill the cache, and may do so later than this start.
            ErrorKind::NoTicket => NotOpened::Unavailable(no_ticket()),
            ErrorKind::SilentKdc => NotOpened::Unavailable(no_login()),
            ErrorKind::Unsuitable => NotOpened::Unsuitable(e.to_string()),
            ErrorKind::Unknown => {
                let said = with_cure(root, e);
                let text = format!("{said}. Is the store up, and is archive.root right?");
                NotOpened::Unavailable(text)
            }
            _ => NotOpened::Unavailable(with_cure(root, e)),
        }
    }
}

async fn open(root: &Root) -> Result<(Arc<dyn Store>, String), NotOpened> {
    reach(root).await.map_err(NotOpened::Unavailable)?;
    if let Root::Local { directory, .. } = root {
        refuse_mounts_below(Path::new(directory)).map_err(NotOpened::Unsuitable)?;
    }
    let told = |e: StoreError| NotOpened::told(root, &e);
    let store = store::open(root, Deadlines::default()).map_err(told)?;
    let answer = first_answer(root, &*store).await;
    if answer.as_ref().is_err_and(|e| e.kind == ErrorKind::Unknown)
        && let Some(why) = silent_kdc_of(root).await
    {
        return Err(NotOpened::Unavailable(why));
    }
    let id = answer.map_err(told)?;
    if matches!(root, Root::Hdfs { .. }) {
        check_files(&*store).await.map_err(told)?;
    }
    tracing::info!(root = store.url(), id, "root opened");
    Ok((store, id))
}

/// A root that does not answer may wait for its KDC: says that no KDC answers, if that is so.
async fn silent_kdc_of(root: &Root) -> Option<String> {
    let Root::Hdfs { url, options } = root else { return None };
    let kerberos = options.kerberos.clone()?;
    let authority = authority(url).unwrap_or_default();
    let service = format!("hdfs/{}", authority.split(':').next().unwrap_or_default());
    let asked = tokio::task::spawn_blocking(move || silent_kdc(Some(&kerberos), &service)).await;
    asked.ok().flatten()
}

/// Reads or writes the id. Of several NameNodes, the first that is asked may hang: after a call
/// without an answer, the store asks another one first.
async fn first_answer(root: &Root, store: &dyn Store) -> Result<String, StoreError> {
    let is_silent = |e: &StoreError| e.kind == ErrorKind::Unknown;
    let several = matches!(root, Root::Hdfs { url, .. } if namenode(url).is_none());
    let mut id = identity(store).await;
    for _ in 0..if several { 2 } else { 0 } {
        if !id.as_ref().is_err_and(is_silent) {
            break;
        }
        id = identity(store).await;
    }
    id
}

/// The host and port of a root with one NameNode.
fn namenode(url: &str) -> Option<&str> {
    authority(url).filter(|authority| authority.contains(':'))
}

fn authority(url: &str) -> Option<&str> {
    url.strip_prefix("hdfs://")?.split('/').next()
}

/// What an operation says of its root. A root that did not answer works again when it has changed
/// something, or some time after its first answer: a NameNode in safe mode answers questions, and
/// refuses every file. One that refuses something works when it takes it, or when an append stands.
/// One that has no space for a partition's files may have space for smaller ones: it works when
/// that partition has appended something.
pub(super) fn heard(board: &Arc<Board>, call: &Call<'_>) {
    let root = Subject::Root(call.root.into());
    let Some(error) = call.error.filter(|e| e.kind.is_trouble()) else {
        return works(board, &root, (call.operation, call.path), now_ms());
    };
    let who = who((call.operation, call.path), error.kind);
    let started_at = now_ms().saturating_sub(call.duration.as_millis() as i64);
    let cause = match error.kind.is_login() {
        true => format!("{NO_LOGIN}: {}", error.detail),
        false => error.to_string(),
    };
    if board.note_failed(&root, &who, &cause, started_at).is_none() {
        // An outage that began with a server that was away goes on because nobody may log in. That
        // a ticket has expired and that no KDC answers are told in turns: one of them is enough.
        let is_told = || board.outage(&root).is_some_and(|of| of.cause.starts_with(NO_LOGIN));
        let is_refused = error.kind == ErrorKind::Authentication;
        if is_refused || error.kind.is_login() && !is_told() {
            board.explain_anew(&root, &cause);
        }
        return;
    }
    let (board, servers) = (Arc::clone(board), Arc::clone(call.servers));
    spawn_detached("root-trouble", async move {
        let Subject::Root(url) = &root else { return };
        // The client only says that nothing came; why, connections of its own can tell.
        let why = reach_one_of(url, &servers).await.err();
        board.explain(&root, &why.unwrap_or(cause));
    });
}

/// How the cause of an outage begins that only a login ends.
const NO_LOGIN: &str = "can't log in";

/// Operations that ask the store's index: they fail and work together.
const INDEX: &str = "index";
/// Operations that move data. That a chunk was taken says nothing: it may still be on its way.
const DATA: &str = "data";

/// An operation, and the path that it is called with.
type Operation<'a> = (&'static str, &'a str);

fn who((operation, path): Operation<'_>, kind: ErrorKind) -> String {
    let partition = names::staged_by(path).filter(|_| kind == ErrorKind::NoSpace);
    let class = || match (operation, kind) {
        ("write" | "close", _) => DATA,
        ("create", _) => "create",
        (_, ErrorKind::Unknown | ErrorKind::Unavailable) => INDEX,
        _ => operation,
    };
    partition.unwrap_or_else(|| class().into())
}

fn is_partition(who: &str) -> bool {
    who.contains('/')
}

fn works(board: &Board, root: &Subject, (operation, path): Operation<'_>, now: i64) {
    // Data could not move either while nothing answered.
    let silenced: &[&str] = match board.is_failing(root, INDEX) {
        true => &[INDEX, DATA, "create"],
        false => &[],
    };
    match operation {
        "write" => return,
        // The last step of an append.
        "rename" => {
            if let Some(partition) = names::staged_by(path) {
                board.worked(root, &partition, now);
            }
            board.worked_for_all(root, is_partition, now);
        }
        "close" => board.worked(root, DATA, now),
        _ => board.worked(root, operation, now),
    }
    match operation {
        "rename" | "close" | "create" | "make_dirs" | "delete" => board.proven(root, silenced, now),
        _ if silenced.is_empty() => {}
        _ => board.answered(root, silenced, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "file:///a";

    /// What is heard of these operations, and whether the root is in trouble after each.
    fn troubles(calls: &[(&'static str, Option<ErrorKind>)]) -> Vec<bool> {
        let at_identity: Vec<_> =
            calls.iter().map(|(what, failed)| ((*what, names::IDENTITY), *failed)).collect();
        troubles_at(&at_identity)
    }

    fn troubles_at(calls: &[(Operation<'_>, Option<ErrorKind>)]) -> Vec<bool> {
        let (board, root) = (Board::default(), Subject::Root(ROOT.into()));
        let after = |&(operation, failed): &(Operation<'_>, Option<ErrorKind>)| {
            match failed.filter(|kind| kind.is_trouble()) {
                Some(kind) => drop(board.failed(&root, &who(operation, kind), "why", 0)),
                None => works(&board, &root, operation, 0),
            }
            board.outage(&root).is_some()
        };
        calls.iter().map(after).collect()
    }

    /// The client says of a NameNode that it does not answer; of two, it does not say which.
    #[tokio::test]
    async fn each_namenode_that_refuses_is_named_while_the_daemon_runs() {
        let closed = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().to_string()
        };
        let servers: Arc<[String]> = [closed(), closed()].into();
        let root = "hdfs://name-service/data";
        let (board, subject) = (Arc::new(Board::default()), Subject::Root(root.into()));
        let error = StoreError::new(ErrorKind::Unknown, "list", "/data", "no answer within 15 s");
        let call = Call {
            root,
            servers: &servers,
            path: "_alluvium",
            operation: "list",
            duration: std::time::Duration::ZERO,
            error: Some(&error),
        };
        heard(&board, &call);
        let cause = || board.outage(&subject).map(|outage| outage.cause).unwrap_or_default();
        for _ in 0..500 {
            if cause().contains("refused") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        for part in [&*servers[0], &*servers[1], "refused", "Hadoop's files", root] {
            assert!(cause().contains(part), "no {part:?} in {}", cause());
        }
        // They are back, and the tickets have expired meanwhile; the KDC is silent at times.
        for (kind, why) in
            [(ErrorKind::NoTicket, "Ticket expired"), (ErrorKind::SilentKdc, "no KDC answers")]
        {
            let error = StoreError::new(kind, "list", "/data", why);
            heard(&board, &Call { error: Some(&error), ..call });
            assert_eq!(cause(), "can't log in: Ticket expired");
        }
        let error = StoreError::new(ErrorKind::Authentication, "list", "/data", "no such client");
        heard(&board, &Call { error: Some(&error), ..call });
        assert_eq!(cause(), "can't log in: no such client");
    }

    /// systemd starts a daemon again every ten seconds, unless it has ended with 78.
    #[tokio::test]
    async fn what_a_person_has_to_correct_is_no_outage() {
        let root = |kerberos: &str| {
            let text = format!(
                "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\nroot = \
                 \"hdfs://n:1/r\"\n{kerberos}\n[mapping.m]\ntopics = [\"t\"]\n"
            );
            let config = Config::parse(&text, Some("i")).unwrap();
            config.archives().next().unwrap().root.clone()
        };
        let keytab = root("kerberos = { principal = \"a@B\", keytab = \"/k\" }");
        let cache = root("kerberos = { principal = \"a@B\", cache = \"/c\" }");
        let told = |root: &Root, kind| {
            let e = StoreError::new(kind, "read", "/p", "why");
            let refusal = NotOpened::told(root, &e).of("hdfs://n:1/r", "m");
            assert!(refusal.to_string().contains("why"), "{refusal}");
            refusal
        };
        for kind in ErrorKind::ALL {
            use ErrorKind::{Authentication, NoTicket, Unsuitable};
            let fault = told(&keytab, kind).is_fault();
            assert_eq!(fault, matches!(kind, Authentication | NoTicket | Unsuitable), "{kind:?}");
            let fault = told(&cache, kind).is_fault();
            assert_eq!(fault, matches!(kind, Authentication | Unsuitable), "{kind:?}");
        }
        let no_ticket = told(&cache, ErrorKind::NoTicket).to_string();
        assert!(no_ticket.contains("(archive.kerberos.cache is /c)"), "{no_ticket}");
        // Another unit fills it a moment after the daemon's start.
        let Err(e) = store::open(&cache, Deadlines::default()) else { panic!("without a ticket") };
        let refusal = NotOpened::told(&cache, &e).of("hdfs://n:1/r", "m");
        assert!(e.kind == ErrorKind::NoTicket && !refusal.is_fault(), "{refusal}");
        assert!(refusal.to_string().contains("cache: /c is not there"), "{refusal}");
        let refused = told(&keytab, ErrorKind::Authentication).into_error();
        assert!(refused.is::<LoginRefused>(), "a process that was started anew waits for minutes");
        let denied = told(&keytab, ErrorKind::Permission).to_string();
        assert!(denied.contains("Give a@B write access"), "{denied}");
    }

    /// A NameNode refuses new blocks to a thousand partitions, again and again.
    #[test]
    fn an_outage_of_a_root_is_told_once_however_many_files_are_open() {
        let (board, root) = (Board::default(), Subject::Root(ROOT.into()));
        let staged = |p| format!("_alluvium/staging/t/0/{p}/genesis-x/0.staged");
        let mut told = 0;
        for round in 0..6 {
            for p in 0..1_000 {
                for (operation, kind) in [
                    ("create", ErrorKind::NoSpace),
                    ("write", ErrorKind::Unavailable),
                    ("close", ErrorKind::Unknown),
                ] {
                    let who = who((operation, &staged(p)), kind);
                    told += usize::from(board.failed(&root, &who, "why", round * 30_000));
                }
            }
        }
        assert_eq!(told, 1);
        let outage = board.outage(&root).unwrap();
        assert_eq!((outage.since, outage.failures), (0, 18_000));
        (0..1_000).for_each(|p| works(&board, &root, ("rename", &staged(p)), 200_000));
        for operation in ["create", "close"] {
            works(&board, &root, (operation, &staged(0)), 200_000);
        }
        assert!(board.outage(&root).is_none());
    }

    /// A disk that is nearly full: small files are written, and large ones are not.
    #[test]
    fn a_root_without_space_for_one_partition_works_when_that_one_has_appended() {
        let full = Some(ErrorKind::NoSpace);
        let large = "_alluvium/staging/t/0/1/genesis-x/0.staged";
        let small = "_alluvium/staging/t/0/2/genesis-x/0.staged";
        for operation in ["write", "close", "create", "make_dirs"] {
            let mut calls = vec![((operation, large), full)];
            for path in [small, large] {
                let all = ["make_dirs", "create", "write", "close", "list", "delete"];
                calls.extend(all.map(|what| ((what, path), None)));
            }
            calls.push((("rename", small), None));
            calls.push((("close", large), full));
            assert!(troubles_at(&calls).iter().all(|trouble| *trouble), "{operation}");
            calls.push((("rename", large), None));
            assert_eq!(troubles_at(&calls).last(), Some(&false), "{operation}");
        }
    }

    /// The quota is exhausted: everything works but the completion of a file.
    #[test]
    fn a_root_that_refuses_works_when_it_takes_what_it_refused() {
        let refused = ("close", Some(ErrorKind::NoSpace));
        let again = [("list", None), ("make_dirs", None), ("create", None), ("write", None)];
        let mut calls = vec![refused];
        for _ in 0..3 {
            calls.extend(again);
            calls.push(refused);
        }
        assert!(troubles(&calls).iter().all(|trouble| *trouble));
        for last in ["close", "rename"] {
            assert_eq!(troubles(&[refused, ("list", None), (last, None)]), [true, true, false]);
        }
        let named = ("make_dirs", Some(ErrorKind::Permission));
        assert_eq!(troubles(&[named, ("list", None), ("make_dirs", None)]), [true, true, false]);
    }

    #[test]
    fn a_root_that_did_not_answer_works_when_it_has_changed_something() {
        let silent = |operation| (operation, Some(ErrorKind::Unknown));
        let calls = [silent("create"), silent("close"), silent("read"), ("list", None)];
        assert_eq!(troubles(&calls), [true; 4], "a NameNode in safe mode answers this, too");
        for change in ["make_dirs", "rename", "create", "close", "delete"] {
            let all = [&calls[..], &[(change, None)]].concat();
            assert_eq!(troubles(&all), [true, true, true, true, false], "{change}");
        }
        let data = [silent("create"), ("list", None), ("create", None)];
        assert_eq!(troubles(&data), [true, true, false], "the DataNodes did not answer");
    }

    /// The NameNode is back, in safe mode, and leaves it later.
    #[test]
    fn safe_mode_is_the_same_outage_until_a_file_is_taken() {
        let (board, root) = (Board::default(), Subject::Root(ROOT.into()));
        let failed = |operation, kind, now| {
            let who = who((operation, "_alluvium/x"), kind);
            let _ = board.failed(&root, &who, "why", now);
        };
        failed("list", ErrorKind::Unknown, 0);
        for second in 30..50 {
            let now = second * 1_000;
            works(&board, &root, ("list", "_alluvium/x"), now);
            works(&board, &root, ("read", "_alluvium/x"), now);
            board.expire(now);
            assert_eq!(board.outage(&root).map(|outage| outage.since), Some(0), "at {second} s");
            failed("create", ErrorKind::Unavailable, now + 500);
        }
        works(&board, &root, ("create", "_alluvium/x"), 60_000);
        assert!(board.outage(&root).is_none());
    }

    /// Nothing has to be written now.
    #[test]
    fn a_root_that_answers_works_when_nothing_has_failed_for_some_time() {
        let (board, root) = (Board::default(), Subject::Root(ROOT.into()));
        let _ = board.failed(&root, INDEX, "why", 0);
        works(&board, &root, ("list", ""), 2_000);
        board.expire(11_999);
        assert!(board.outage(&root).is_some());
        board.expire(12_000);
        assert!(board.outage(&root).is_none());
    }

    #[test]
    fn that_something_is_there_or_not_is_an_answer() {
        let calls =
            [("rename", Some(ErrorKind::AlreadyExists)), ("read", Some(ErrorKind::NotFound))];
        assert_eq!(troubles(&calls), [false, false]);
    }
}
