//! Stands between a client and NameNodes, and cuts a connection when a NameNode has carried out a
//! call and before the client hears of it.

use std::collections::HashMap;
use std::io::{Read as _, Result, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;
use prost::Message;
use regex::bytes::Regex;

use super::frames::{receive, send};

/// Where the number of a call stands in Hadoop's `RpcRequestHeaderProto`.
#[derive(Clone, PartialEq, Message)]
struct RequestHeader {
    #[prost(sint32, tag = "3")]
    call: i32,
}

/// The method's name in `RequestHeaderProto`, which follows.
#[derive(Clone, PartialEq, Message)]
struct MethodHeader {
    #[prost(string, tag = "1")]
    method: String,
}

/// The same of `RpcResponseHeaderProto`.
#[derive(Clone, PartialEq, Message)]
struct ResponseHeader {
    #[prost(uint32, tag = "1")]
    call: u32,
    /// Zero if the call was carried out.
    #[prost(int32, tag = "2")]
    status: i32,
}

/// Is told what a call was for, and what lets its connection go when it is dropped.
type Told = Sender<(String, Sender<()>)>;

/// A call of this method whose request has a path that matches.
struct Wanted {
    method: &'static str,
    path: Regex,
    /// Is told the path when the reply is there and is held back; then the connection stays as it
    /// is until the other end is dropped or says so.
    held: Told,
}

/// What all connections share.
#[derive(Default)]
struct Shared {
    wanted: Mutex<Option<Wanted>>,
    /// The path that a call was cut for.
    cut: Mutex<Option<String>>,
    /// Later requests that name it, to whichever NameNode.
    asked_again: AtomicUsize,
}

/// One NameNode, behind a port of its own.
struct Front {
    upstream: String,
    /// It takes no connection.
    closed: AtomicBool,
    /// The methods of calls that it has carried out. The calls of a login have numbers below zero.
    served: Mutex<Vec<String>>,
}

/// The NameNodes of a client.
pub struct Replies {
    shared: Arc<Shared>,
    fronts: Vec<Arc<Front>>,
    /// What a client reads instead of the servers' own configuration.
    pub conf: PathBuf,
}

impl Replies {
    /// Puts itself before these NameNodes. `conf`: the directory of the servers' configuration;
    /// `into`: where the client's is written.
    pub fn before(namenodes: &[String], conf: &Path, into: &Path) -> Replies {
        let shared = Arc::new(Shared::default());
        std::fs::create_dir_all(into).unwrap();
        let mut site = std::fs::read_to_string(conf.join("hdfs-site.xml")).unwrap();
        let mut fronts = Vec::new();
        for namenode in namenodes {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let value = |address: &str| format!("<value>{address}</value>");
            assert!(site.contains(&value(namenode)), "{namenode} in {site}");
            site = site.replace(&value(namenode), &value(&address));
            let front = Front {
                upstream: namenode.clone(),
                closed: AtomicBool::new(false),
                served: Mutex::default(),
            };
            let front = Arc::new(front);
            fronts.push(Arc::clone(&front));
            let shared = Arc::clone(&shared);
            drop(std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let _ = front.serve(&stream, &shared);
                }
            }));
        }
        std::fs::write(into.join("hdfs-site.xml"), site).unwrap();
        let _ = std::fs::copy(conf.join("core-site.xml"), into.join("core-site.xml")).unwrap();
        Replies { shared, fronts, conf: into.into() }
    }

    /// Holds back the reply to the next call of this method whose path matches; the call was
    /// carried out when this returns. What it was called for, and what cuts the connection.
    pub fn hold(&self, method: &'static str, path: &str, limit: Duration) -> (String, Held) {
        let (held, told): (_, Receiver<_>) = channel();
        let path = Regex::new(path).unwrap();
        self.shared.asked_again.store(0, Ordering::SeqCst);
        *self.shared.wanted.lock() = Some(Wanted { method, path, held });
        let (path, go) = told.recv_timeout(limit).expect("no such call was answered");
        (path, Held(go))
    }

    /// Whether this NameNode takes connections.
    pub fn close(&self, namenode: usize, closed: bool) {
        self.fronts[namenode].closed.store(closed, Ordering::SeqCst);
    }

    /// The methods of the calls that this NameNode has carried out since this was asked last.
    pub fn served(&self, namenode: usize) -> Vec<String> {
        std::mem::take(&mut *self.fronts[namenode].served.lock())
    }

    /// How many requests have named the path since that was cut.
    pub fn asked_again(&self) -> usize {
        self.shared.asked_again.load(Ordering::SeqCst)
    }
}

/// A reply that is held back. Dropped, it is lost with its connection.
pub struct Held(#[allow(dead_code, reason = "its end is what is waited for")] Sender<()>);

impl Front {
    fn serve(self: &Arc<Front>, client: &TcpStream, shared: &Arc<Shared>) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            return client.shutdown(Shutdown::Both);
        }
        let server = TcpStream::connect(&self.upstream)?;
        let call = Arc::new(Call::default());
        let both = || -> Result<_> { Ok((client.try_clone()?, server.try_clone()?)) };
        let ((client, server), again) = (both()?, both()?);
        let (theirs, of) = (Arc::clone(shared), Arc::clone(&call));
        drop(std::thread::spawn(move || {
            let _ = requests((&client, &server), &theirs, &of);
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        }));
        let ((client, server), front) = (again, Arc::clone(self));
        drop(std::thread::spawn(move || {
            let _ = replies((&client, &server), &call, &front.served);
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        }));
        Ok(())
    }
}

/// The calls of a connection.
#[derive(Default)]
struct Call {
    /// The one whose reply is wanted, and what is told then.
    wanted: Mutex<Option<(i32, String, Told)>>,
    /// The methods of those that are not answered.
    methods: Mutex<HashMap<i32, String>>,
}

fn requests(
    (mut client, mut server): (&TcpStream, &TcpStream),
    shared: &Shared,
    call: &Call,
) -> Result<()> {
    let mut preamble = [0; 7];
    client.read_exact(&mut preamble)?;
    server.write_all(&preamble)?;
    let contains = |body: &[u8], text: &str| {
        body.windows(text.len().max(1)).any(|window| window == text.as_bytes())
    };
    loop {
        let body = receive(client)?;
        let mut rest = &*body;
        let header = RequestHeader::decode_length_delimited(&mut rest).unwrap();
        if let Ok(MethodHeader { method }) = MethodHeader::decode_length_delimited(&mut rest) {
            let _ = call.methods.lock().insert(header.call, method);
        }
        let cut = shared.cut.lock().clone();
        if cut.is_some_and(|path| contains(&body, &path)) {
            let _ = shared.asked_again.fetch_add(1, Ordering::SeqCst);
        }
        let mut wanted = shared.wanted.lock();
        let path = wanted.as_ref().filter(|w| contains(&body, w.method)).and_then(|w| {
            Some(String::from_utf8_lossy(w.path.find(&body)?.as_bytes()).into_owned())
        });
        if let Some((path, wanted)) = path.and_then(|path| Some((path, wanted.take()?))) {
            *shared.cut.lock() = Some(path.clone());
            *call.wanted.lock() = Some((header.call, path, wanted.held));
        }
        drop(wanted);
        send(server, &body)?;
    }
}

fn replies(
    (client, server): (&TcpStream, &TcpStream),
    call: &Call,
    served: &Mutex<Vec<String>>,
) -> Result<()> {
    loop {
        let body = receive(server)?;
        let header = ResponseHeader::decode_length_delimited(&*body).unwrap();
        let method = call.methods.lock().remove(&header.call.cast_signed());
        if header.status == 0 && 0 <= header.call.cast_signed() {
            served.lock().extend(method);
        }
        let is_it = |(wanted, ..): &mut (i32, _, _)| *wanted == header.call.cast_signed();
        if let Some((_, path, held)) = call.wanted.lock().take_if(is_it) {
            let (go, until) = channel();
            let _ = held.send((path, go));
            let _ = until.recv();
            return Ok(());
        }
        send(client, &body)?;
    }
}
