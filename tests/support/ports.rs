//! Ports that nobody listens on.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpListener;

use parking_lot::Mutex;

/// Ports that this process has handed out: one that is free for the moment because its owner is
/// about to listen on it is not free.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port for one server of this process, chosen by the system.
pub fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if GIVEN.lock().insert(port) {
            return port;
        }
    }
}

/// The ports of a testbed at offset 0 (testbed/testbed): brokers, with their listeners for TLS and
/// SASL, and behind ports of a test, their controllers, NameNodes, KDC, JournalNode, DataNodes.
const TESTBED: &[std::ops::RangeInclusive<u16>] = &[
    9_092..=9_094,
    9_062..=9_064,
    9_072..=9_074,
    9_022..=9_024,
    9_032..=9_034,
    9_082..=9_084,
    8_020..=8_021,
    8_088..=8_088,
    8_480..=8_480,
    8_485..=8_485,
    9_870..=9_871,
    9_811..=9_813,
    9_821..=9_823,
    9_831..=9_833,
];
const FIRST_OFFSET: u16 = 1_000;
/// Larger than the distance of neighbouring ports of one testbed.
const STEP: u16 = 110;

/// An offset for all ports of one testbed. They are taken while this lives, also from other
/// processes that ask here.
pub struct Offset {
    pub offset: u16,
    _taken: File,
}

impl Offset {
    /// The first free offset from TESTBED_OFFSET on (default: 1000). Offsets up to 22,800 lie below
    /// the ports that Linux gives to outgoing connections, so that a server that is started again
    /// finds its port free.
    pub fn choose() -> Offset {
        let first = std::env::var("TESTBED_OFFSET").ok().and_then(|v| v.parse().ok());
        let mut offset: u16 = first.unwrap_or(FIRST_OFFSET);
        while offset < u16::MAX - 9_870 {
            if let Some(taken) = Offset::take(offset) {
                return taken;
            }
            offset += STEP;
        }
        panic!("no free ports for a testbed");
    }

    fn take(offset: u16) -> Option<Offset> {
        let lock = std::env::temp_dir().join(format!("alluvium-testbed-{offset}.lock"));
        let taken = File::options().create(true).append(true).open(lock).ok()?;
        taken.try_lock().ok()?;
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port + offset)).is_ok();
        let all = TESTBED.iter().cloned().flatten().all(free);
        all.then_some(Offset { offset, _taken: taken })
    }
}
