//! Whether the server that gives tokens answers, and what its clock says. No token is asked for,
//! and no secret is sent, so its certificate is not looked at: that is the client library's part.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use ureq::http::Uri;

use crate::pure::calendar::parse_http_date;

/// The most time for each step.
const PATIENCE: Duration = Duration::from_secs(3);

/// The most bytes of an answer's head that are read.
const HEAD: usize = 16 << 10;

/// What became of asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TokenServer {
    /// It answers; the time in its answer, milliseconds since 1970, if there is one.
    Answers(Option<i64>),
    /// It does not, and why.
    Silent(String),
    /// It can't be asked in this way: there is a proxy, or the URL is none.
    Unknown,
}

/// Asks the server of this URL for anything. Blocks for some seconds at most.
pub(super) fn ask(url: &str) -> TokenServer {
    let Ok(uri) = url.parse::<Uri>() else { return TokenServer::Unknown };
    let (scheme, host) = (uri.scheme_str(), uri.host().unwrap_or_default());
    // The client library takes these from the environment, too.
    let proxies = ["https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"];
    if host.is_empty() || proxies.iter().any(|name| std::env::var_os(name).is_some()) {
        return TokenServer::Unknown;
    }
    let tls = scheme == Some("https");
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
    match answer((host, port), tls, &request) {
        Ok(head) => TokenServer::Answers(date(&head)),
        Err(why) => TokenServer::Silent(why),
    }
}

/// What the clock of this server says, milliseconds since 1970, if it says anything. Blocks for
/// some seconds at most.
#[must_use]
pub fn told_by_token_server(url: &str) -> Option<i64> {
    match ask(url) {
        TokenServer::Answers(time) => time,
        TokenServer::Silent(_) | TokenServer::Unknown => None,
    }
}

/// The head of the server's answer.
fn answer((host, port): (&str, u16), tls: bool, request: &str) -> Result<String, String> {
    let name = host.trim_matches(['[', ']']);
    let addresses = (name, port).to_socket_addrs().map_err(|e| format!("{name}: {e}"))?;
    let mut last = format!("{name} has no address");
    let mut connect = |to| {
        let connected = TcpStream::connect_timeout(&to, PATIENCE);
        connected.map_err(|e| last = format!("connect to {to}: {e}")).ok()
    };
    let Some(stream) = addresses.into_iter().find_map(&mut connect) else { return Err(last) };
    let limited = stream.set_read_timeout(Some(PATIENCE));
    limited.and_then(|()| stream.set_write_timeout(Some(PATIENCE))).map_err(|e| e.to_string())?;
    if !tls {
        return exchange(stream, request);
    }
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(|e| e.to_string())?;
    builder.set_verify(SslVerifyMode::NONE);
    let mut connection = builder.build().configure().map_err(|e| e.to_string())?;
    connection.set_verify_hostname(false);
    match connection.connect(name, stream) {
        Ok(stream) => exchange(stream, request),
        Err(openssl::ssl::HandshakeError::WouldBlock(_)) => Err(silence("TLS")),
        // Somebody is there; what they want is the client library's to say.
        Err(_) => Ok(String::new()),
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> Result<String, String> {
    let failed = |e: &std::io::Error| match e.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => silence("a request"),
        _ => e.to_string(),
    };
    stream.write_all(request.as_bytes()).map_err(|e| failed(&e))?;
    let (mut head, mut part) = (Vec::new(), [0; 1024]);
    while head.len() < HEAD && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(n) => head.extend_from_slice(&part[..n]),
            Err(_) if !head.is_empty() => break,
            Err(e) => return Err(failed(&e)),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn silence(to: &str) -> String {
    format!("it accepts connections, and does not answer {to} within {} s", PATIENCE.as_secs())
}

/// The header `Date` of an answer, milliseconds since 1970.
fn date(head: &str) -> Option<i64> {
    let of_date = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then(|| value.trim().to_string())
    };
    let text = head.lines().find_map(of_date)?;
    parse_http_date(&text)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_time_of_an_answer_is_read() {
        let head =
            "HTTP/1.1 405 Not Allowed\r\nserver: x\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        assert_eq!(date(head), Some(784_111_777_000));
        assert_eq!(date("HTTP/1.1 200 OK\r\nDate: yesterday\r\n"), None);
    }

    #[test]
    fn a_server_that_answers_anything_is_not_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/token?a=b", listener.local_addr().expect("an address"));
        let serve = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 512];
            let n = stream.read(&mut request).expect("a request");
            stream.write_all(b"HTTP/1.1 405 X\r\n\r\n").expect("answered");
            String::from_utf8_lossy(&request[..n]).into_owned()
        });
        assert_eq!(ask(&url), TokenServer::Answers(None));
        assert!(serve.join().expect("a request").starts_with("GET /token?a=b HTTP/1.1\r\nHost: "));
    }

    #[test]
    fn a_server_that_says_nothing_is_silent() {
        // Nobody accepts.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let TokenServer::Silent(why) = ask(&format!("https://{address}/")) else { panic!("words") };
        assert!(why.contains("does not answer TLS within 3 s"), "{why}");
        drop(listener);
        let TokenServer::Silent(why) = ask(&format!("http://{address}/")) else { panic!("words") };
        assert!(why.contains("refused"), "{why}");
        assert_eq!(ask("no url"), TokenServer::Unknown);
    }
}
