//! Stands between clients and one broker, which names itself to them by the address of this. Told
//! to, it answers questions for metadata by itself: it names no broker, and a topic that has no
//! leader.

use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::frames::{receive, send};

/// The key of a question for metadata.
const METADATA: i16 = 3;
/// The versions of it that are answered here, and the first one whose fields are compact and
/// tagged.
const VERSIONS: RangeInclusive<i16> = 4..=13;
const FLEXIBLE: i16 = 9;
/// Kafka's code for a topic whose partitions have no leader for the moment.
const LEADER_NOT_AVAILABLE: i16 = 5;

/// What all connections share.
struct Shared {
    broker: String,
    /// The topic that has no leader.
    topic: &'static str,
    names_no_broker: AtomicBool,
    has_ended: AtomicBool,
    /// How many questions were answered here.
    answered: AtomicUsize,
    /// A version of the question that can't be answered here.
    unknown: Mutex<Option<i16>>,
    /// The ends of connections towards clients, by their numbers.
    open: Mutex<BTreeMap<usize, TcpStream>>,
}

/// A listener before a broker. Its port is free again when this is dropped.
pub struct BrokerFront {
    /// Where clients find it.
    pub address: String,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl BrokerFront {
    /// Listens at this address for the broker that listens at the other one. `topic`: the one that
    /// has no leader while no broker is named.
    pub fn before(broker: String, address: String, topic: &'static str) -> BrokerFront {
        let listener = TcpListener::bind(&address).unwrap();
        let shared = Arc::new(Shared {
            broker,
            topic,
            names_no_broker: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            unknown: Mutex::default(),
            open: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for (number, client) in listener.incoming().flatten().enumerate() {
                if theirs.has_ended.load(Ordering::SeqCst) {
                    return;
                }
                let _ = serve(&theirs, number, client);
            }
        });
        BrokerFront { address, shared, accepting: Some(accepting) }
    }

    /// From now on no broker is named, and all connections are closed, as when a broker restarts.
    pub fn name_no_broker(&self) {
        self.shared.names_no_broker.store(true, Ordering::SeqCst);
        self.close_all();
    }

    /// From now on the broker itself answers again.
    pub fn pass_everything(&self) {
        self.shared.names_no_broker.store(false, Ordering::SeqCst);
    }

    /// How many answers had no broker.
    ///
    /// # Panics
    /// A question had a version that can't be answered here.
    pub fn answered(&self) -> usize {
        let unknown = *self.shared.unknown.lock();
        assert!(
            unknown.is_none(),
            "a client asks for metadata by version {unknown:?}, and the test answers {VERSIONS:?}"
        );
        self.shared.answered.load(Ordering::SeqCst)
    }

    fn close_all(&self) {
        for client in self.shared.open.lock().values() {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for BrokerFront {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        // Whoever waits for a connection finds this one, and ends.
        drop(TcpStream::connect(&self.address));
        let _ = self.accepting.take().map(JoinHandle::join);
        self.close_all();
    }
}

fn serve(shared: &Arc<Shared>, number: usize, client: TcpStream) -> Result<()> {
    let broker = TcpStream::connect(&shared.broker)?;
    // The broker's answers and those of this, one whole answer after the other.
    let answers = Arc::new(Mutex::new(client.try_clone()?));
    let (to_close, from_broker) = (client.try_clone()?, broker.try_clone()?);
    let _ = shared.open.lock().insert(number, client.try_clone()?);
    let (theirs, both) = (Arc::clone(shared), Arc::clone(&answers));
    drop(std::thread::spawn(move || {
        let _ = questions(&client, &broker, &theirs, &both);
        let _ = (client.shutdown(Shutdown::Both), broker.shutdown(Shutdown::Both));
        let _ = theirs.open.lock().remove(&number);
    }));
    drop(std::thread::spawn(move || {
        while let Ok(answer) = receive(&from_broker) {
            if send(&answers.lock(), &answer).is_err() {
                break;
            }
        }
        let _ = (to_close.shutdown(Shutdown::Both), from_broker.shutdown(Shutdown::Both));
    }));
    Ok(())
}

fn questions(
    client: &TcpStream,
    broker: &TcpStream,
    shared: &Shared,
    answers: &Mutex<TcpStream>,
) -> Result<()> {
    loop {
        let question = receive(client)?;
        let (key, version, id) =
            header(&question).ok_or_else(|| Error::other("a question without a header"))?;
        if key != METADATA || !shared.names_no_broker.load(Ordering::SeqCst) {
            send(broker, &question)?;
            continue;
        }
        if !VERSIONS.contains(&version) {
            *shared.unknown.lock() = Some(version);
            return Err(Error::other("an unknown version"));
        }
        send(&answers.lock(), &without_brokers(version, id, shared.topic))?;
        let _ = shared.answered.fetch_add(1, Ordering::SeqCst);
    }
}

/// What a question begins with: its key, its version, and its correlation id.
fn header(question: &[u8]) -> Option<(i16, i16, i32)> {
    let (key, rest) = question.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (id, _) = rest.split_first_chunk()?;
    Some((i16::from_be_bytes(*key), i16::from_be_bytes(*version), i32::from_be_bytes(*id)))
}

/// An answer that names no broker, and this topic without a leader: the fields of Kafka's
/// `MetadataResponse`, in the order and the encoding of this version.
fn without_brokers(version: i16, id: i32, topic: &str) -> Vec<u8> {
    let mut answer = Answer { bytes: Vec::new(), is_flexible: FLEXIBLE <= version };
    answer.int32(id);
    answer.tags();
    let throttle_ms = 0;
    answer.int32(throttle_ms);
    let brokers = 0;
    answer.elements(brokers);
    answer.no_text();
    let controller = -1;
    answer.int32(controller);
    answer.elements(1);
    answer.int16(LEADER_NOT_AVAILABLE);
    answer.text(topic);
    if 10 <= version {
        let topic_id = [0; 16];
        answer.bytes.extend(topic_id);
    }
    let is_internal = 0;
    answer.bytes.push(is_internal);
    let partitions = 0;
    answer.elements(partitions);
    // The operations that a client may do are not told.
    if 8 <= version {
        answer.int32(i32::MIN);
    }
    answer.tags();
    if (8..=10).contains(&version) {
        answer.int32(i32::MIN);
    }
    if 13 <= version {
        let error = 0;
        answer.int16(error);
    }
    answer.tags();
    answer.bytes
}

/// An answer that is written field by field.
struct Answer {
    bytes: Vec<u8>,
    is_flexible: bool,
}

impl Answer {
    fn int16(&mut self, value: i16) {
        self.bytes.extend(value.to_be_bytes());
    }

    fn int32(&mut self, value: i32) {
        self.bytes.extend(value.to_be_bytes());
    }

    /// How many elements follow. Where the encoding is compact, this is one more, so that zero
    /// means null, and of a variable length, which is a byte up to 127.
    fn elements(&mut self, count: u8) {
        if self.is_flexible {
            assert!(count < 127, "{count} needs a second byte");
            self.bytes.push(count + 1);
        } else {
            self.int32(count.into());
        }
    }

    fn text(&mut self, text: &str) {
        let length = u8::try_from(text.len()).unwrap();
        if self.is_flexible {
            self.elements(length);
        } else {
            self.int16(length.into());
        }
        self.bytes.extend(text.as_bytes());
    }

    /// A text that is null.
    fn no_text(&mut self) {
        if self.is_flexible {
            self.bytes.push(0);
        } else {
            self.int16(-1);
        }
    }

    /// The end of a part that may have tagged fields: there are none.
    fn tags(&mut self) {
        if self.is_flexible {
            self.bytes.push(0);
        }
    }
}

/// What the answers look like, byte by byte.
///
/// # Panics
/// One of them looks otherwise.
pub fn assert_answers_are_right() {
    let parts = |all: &[&[u8]]| all.concat();
    let (id, none, hidden) = ([0, 0, 1, 2], [0; 4], [0x80, 0, 0, 0]);
    let (one, nobody, no_leader) = ([0, 0, 0, 1], [0xff; 4], [0, 5]);
    let plain: &[&[u8]] =
        &[&id, &none, &none, &[0xff, 0xff], &nobody, &one, &no_leader, &[0, 2], b"in", &[0], &none];
    let compact: &[&[u8]] = &[&id, &[0], &none, &[1, 0], &nobody, &[2], &no_leader, &[3], b"in"];
    let (no_id, end) = ([0; 16], [0, 1]);
    for (version, want) in [
        (4, parts(plain)),
        (7, parts(plain)),
        (8, parts(&[&parts(plain), &hidden, &hidden])),
        (9, parts(&[&parts(compact), &end, &hidden, &[0], &hidden, &[0]])),
        (10, parts(&[&parts(compact), &no_id, &end, &hidden, &[0], &hidden, &[0]])),
        (11, parts(&[&parts(compact), &no_id, &end, &hidden, &[0], &[0]])),
        (12, parts(&[&parts(compact), &no_id, &end, &hidden, &[0], &[0]])),
        (13, parts(&[&parts(compact), &no_id, &end, &hidden, &[0], &[0, 0], &[0]])),
    ] {
        assert_eq!(without_brokers(version, 0x102, "in"), want, "version {version}");
    }
    let question = [0, 3, 0, 13, 0, 0, 1, 2, 0xff, 0xff];
    assert_eq!(header(&question), Some((METADATA, 13, 0x102)));
    assert_eq!(header(&question[..7]), None);
}
