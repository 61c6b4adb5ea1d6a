//! A small token server: client credentials in, signed tokens out (RFC 6749, 4.4).

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod, SslStream};

/// How long a token is valid. A client asks for the next one after four fifths of that, and brokers
/// do not let a client log in twice within a second.
const VALID: Duration = Duration::from_secs(12);

/// The secrets of every client. The second one is searched for where it must not be.
const SECRETS: [&str; 2] = ["changeit", CANARY];
pub(super) const CANARY: &str = "canary-of-the-token-8Hd5";

/// Serves until the test ends.
pub(super) struct TokenServer {
    pub(super) port: u16,
    given: Arc<AtomicUsize>,
}

impl TokenServer {
    /// The testbed's key signs the tokens of `archiver`; those of anybody else have another key.
    pub(super) fn start(certificates: &Path) -> TokenServer {
        let key = std::fs::read(certificates.join("token.key")).unwrap();
        let key = PKey::private_key_from_pem(&key).unwrap();
        let mut tls = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        let own = certificates.join("server.pem");
        tls.set_private_key_file(&own, SslFiletype::PEM).unwrap();
        tls.set_certificate_chain_file(&own).unwrap();
        let tls = tls.build();
        let other = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let given = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&given);
        let _ = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                // A client that goes away, or does not trust this server, is none of its faults.
                let Ok(stream) = tls.accept(stream) else { continue };
                if answer(stream, &key, &other).is_ok_and(|gave| gave) {
                    let _ = counted.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        TokenServer { port, given }
    }

    /// How many tokens were given.
    pub(super) fn given(&self) -> usize {
        self.given.load(Ordering::SeqCst)
    }
}

/// Whether a token was given.
fn answer(
    mut stream: SslStream<TcpStream>,
    key: &PKey<Private>,
    other: &PKey<Private>,
) -> std::io::Result<bool> {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    // The body is small, and comes with the last line of the head or right after it.
    let is_whole = |request: &[u8]| {
        request.starts_with(b"GET ")
            || String::from_utf8_lossy(request).contains("grant_type=client_credentials")
    };
    while !is_whole(&request) {
        match stream.read(&mut part)? {
            0 => return Ok(false),
            n => request.extend_from_slice(&part[..n]),
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let client = request.lines().find_map(|line| {
        let encoded = line.strip_prefix("Authorization: Basic ")?;
        let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (client, secret) = decoded.split_once(':')?;
        SECRETS.contains(&secret).then(|| client.to_string())
    });
    let (status, body) = match &client {
        Some(client) => {
            let token = token(client, if client == "archiver" { key } else { other });
            let seconds = VALID.as_secs();
            ("200 OK", format!(r#"{{"access_token":"{token}","expires_in":{seconds}}}"#))
        }
        None => ("401 Unauthorized", r#"{"error":"invalid_client"}"#.to_string()),
    };
    let length = body.len();
    let date = jiff::fmt::rfc2822::to_string(&jiff::Zoned::now()).unwrap();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Date: {date}\r\nConnection: close\r\n\r\n{body}"
    )?;
    Ok(client.is_some())
}

fn token(client: &str, key: &PKey<Private>) -> String {
    let now = jiff::Timestamp::now().as_second();
    let until = now + VALID.as_secs() as i64;
    let head = r#"{"alg":"RS256","kid":"testbed"}"#;
    let claims = format!(r#"{{"sub":"{client}","iat":{now},"exp":{until}}}"#);
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
    let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
    signer.update(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signer.sign_to_vec().unwrap()))
}
