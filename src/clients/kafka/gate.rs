//! A gate before every connection to a broker, which a refused login shuts.
//!
//! A client whose login is refused tries again after a second at most, by each of its connections
//! and as long as it lives, and each try counts where accounts are locked
//! (docs/decisions/0018-refused-logins.md). librdkafka has no call that stops these tries, but it
//! asks for the socket of each new connection. Once a login of a running daemon was refused, no
//! client of the process gets one: connections that are open go on, so that the daemon ends in
//! order, and nobody logs in any more.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka_sys as sys;
use tokio::sync::Notify;

use crate::clients::kafka::error::KafkaError;

/// The gate of this process.
static GATE: Gate = Gate::new();

/// How the client library is told that there is no socket.
const NONE: c_int = -1;

/// As librdkafka asks for the socket of a connection: a family, a type and a protocol of
/// socket(2), and the client's own pointer.
type Socket = unsafe extern "C" fn(c_int, c_int, c_int, *mut c_void) -> c_int;

#[derive(Debug)]
struct Gate {
    /// A refused login shuts it: before a daemon runs, the process ends by itself.
    is_armed: AtomicBool,
    is_shut: AtomicBool,
    /// Why it is shut: the first refusal.
    refusal: Mutex<Option<String>>,
    shut: Notify,
}

impl Gate {
    const fn new() -> Gate {
        Gate {
            is_armed: AtomicBool::new(false),
            is_shut: AtomicBool::new(false),
            refusal: Mutex::new(None),
            shut: Notify::const_new(),
        }
    }

    fn refused(&self, why: &str) {
        if !self.is_armed.load(Ordering::SeqCst) {
            return;
        }
        self.is_shut.store(true, Ordering::SeqCst);
        let _ = self.refusal.lock().get_or_insert_with(|| why.into());
        self.shut.notify_one();
    }

    fn refusal(&self) -> Option<String> {
        self.refusal.lock().clone()
    }

    async fn until_shut(&self) -> String {
        loop {
            if let Some(why) = self.refusal() {
                return why;
            }
            self.shut.notified().await;
        }
    }
}

/// From now on a refused login shuts the gate, and whoever waits for that ends the daemon.
pub fn arm() {
    GATE.is_armed.store(true, Ordering::SeqCst);
}

/// A login was refused: shuts the gate, if a daemon runs.
pub fn refused(why: &str) {
    GATE.refused(why);
}

/// Waits until a login is refused; why.
pub async fn until_shut() -> String {
    GATE.until_shut().await
}

/// Whether clients may be made: none could log in behind a gate that is shut.
///
/// # Errors
/// It is shut, for this reason.
pub(super) fn is_open() -> Result<(), KafkaError> {
    GATE.refusal().map_or(Ok(()), |why| Err(KafkaError::new("make a client", why)))
}

/// Lets the gate stand before all further connections of a client.
pub(super) fn guard<C: ClientContext>(client: &Client<C>) {
    set_socket(client, socket_unless_shut);
}

fn set_socket<C: ClientContext>(client: &Client<C>, socket: Socket) {
    // SAFETY: the client is alive, and its configuration, a part of it, is its own memory. What is
    // written is one pointer, and a bit in the record of keys that were set, which no thread of a
    // client reads or writes once it is made. A thread that makes a connection meanwhile calls the
    // function before or this one, and either one is there for ever.
    unsafe {
        let settings = sys::rd_kafka_conf(client.native_ptr()).cast_mut();
        sys::rd_kafka_conf_set_socket_cb(settings, Some(socket));
    }
}

extern "C" fn socket_unless_shut(
    family: c_int,
    kind: c_int,
    protocol: c_int,
    _: *mut c_void,
) -> c_int {
    if GATE.is_shut.load(Ordering::SeqCst) {
        // SAFETY: it is this thread's own number, which the library shows as the reason.
        unsafe { *libc::__errno_location() = libc::ECANCELED };
        return NONE;
    }
    socket(family, kind, protocol)
}

/// As librdkafka's own function: no other program gets the socket.
fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: it takes numbers, and gives one; a fault is in the thread's `errno`.
    unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;

    use super::*;
    use crate::clients::kafka::settings::Quiet;

    /// Of this test alone: the process has other clients.
    static IS_SHUT: AtomicBool = AtomicBool::new(false);
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static MADE: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn counted(family: c_int, kind: c_int, protocol: c_int, _: *mut c_void) -> c_int {
        let _ = ASKED.fetch_add(1, Ordering::SeqCst);
        if IS_SHUT.load(Ordering::SeqCst) {
            return NONE;
        }
        let _ = MADE.fetch_add(1, Ordering::SeqCst);
        socket(family, kind, protocol)
    }

    #[test]
    fn behind_a_shut_gate_connections_go_on_and_none_is_made() {
        let brokers: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
        let mut settings = ClientConfig::new();
        let _ = settings
            .set("bootstrap.servers", brokers.bootstrap_servers())
            .set("reconnect.backoff.ms", "10")
            .set("reconnect.backoff.max.ms", "50");
        let client: BaseConsumer<Quiet> = settings.create_with_context(Quiet).unwrap();
        set_socket(client.client(), counted);
        let is_answered =
            |seconds| client.fetch_metadata(None, Duration::from_secs(seconds)).is_ok();
        // The client changes from the address that it was given to the broker that it has learned.
        for _ in 0..3 {
            assert!(is_answered(10));
            std::thread::sleep(Duration::from_millis(300));
        }
        IS_SHUT.store(true, Ordering::SeqCst);
        assert!(is_answered(10), "by the connection that is open");
        let (asked, made) = (ASKED.load(Ordering::SeqCst), MADE.load(Ordering::SeqCst));
        brokers.broker_down(1).unwrap();
        brokers.broker_up(1).unwrap();
        assert!(!is_answered(2), "its connection was closed");
        assert!(asked < ASKED.load(Ordering::SeqCst), "the client does not ask for a socket");
        assert_eq!(MADE.load(Ordering::SeqCst), made);
        IS_SHUT.store(false, Ordering::SeqCst);
        assert!(is_answered(10), "a socket of this function is of no use");
        assert!(made < MADE.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn the_first_refusal_shuts_an_armed_gate() {
        let gate = Gate::new();
        gate.refused("before the daemon runs");
        assert!(!gate.is_shut.load(Ordering::SeqCst) && gate.refusal().is_none());
        gate.is_armed.store(true, Ordering::SeqCst);
        let waits = gate.until_shut();
        let refuse = async {
            gate.refused("first");
            gate.refused("second");
        };
        let (why, ()) = tokio::join!(waits, refuse);
        assert_eq!(why, "first");
        assert!(gate.is_shut.load(Ordering::SeqCst));
        assert_eq!(gate.until_shut().await, "first", "whoever asks later hears it, too");
        assert!(is_open().is_ok(), "that of this process is another one");
    }
}
