//! The client against a server with TLS, whose certificate an authority of its own has signed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod, SslVerifyMode};

use super::{RegistryClient, SchemaSource as _};
use crate::common::config::Config;
use crate::fakes::certificate::Certificate;

/// Answers whoever logs in as `u` with the password `secret`; its port. With `asks`, only whoever
/// shows a certificate of the authority, too.
fn serve(dir: &Path, name: &str, asks: bool) -> u16 {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate_chain_file(dir.join(format!("{name}.crt"))).unwrap();
    acceptor.set_private_key_file(dir.join(format!("{name}.key")), SslFiletype::PEM).unwrap();
    if asks {
        acceptor.set_ca_file(dir.join("ca.crt")).unwrap();
        acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    let acceptor = acceptor.build();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let _ = std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A handshake that fails is the client's to tell.
            let _ = answer(&acceptor, stream.unwrap());
        }
    });
    port
}

fn answer(acceptor: &SslAcceptor, stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(acceptor.accept(stream).ok()?);
    let mut lines = String::new();
    while reader.read_line(&mut lines).ok()? > 2 {}
    let is_known = lines.to_lowercase().contains("authorization: basic dtpzzwnyzxq=");
    let (status, body) = if is_known { (200, "{\"schema\":\"S\"}") } else { (401, "") };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n");
    write!(reader.get_mut(), "{head}Connection: close\r\n\r\n{body}").ok()
}

fn client(url: &str, dir: &Path, more: &str) -> RegistryClient {
    let password = dir.join("password");
    let text = format!(
        "[registry]\nurl = {url:?}\nuser = \"u\"\npassword = {{ file = {password:?} }}\n{more}\n\
         timeout = \"5s\"\n[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\n\
         root = \"file:///x\"\n[mapping.m]\ntopics = [\"t\"]"
    );
    RegistryClient::new(Config::parse(&text, Some("i")).unwrap().registry.unwrap())
}

#[test]
fn tls_with_an_authority_of_its_own_and_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let authority = Certificate::new("authority", None);
    authority.write(dir, "ca");
    Certificate::new("127.0.0.1", Some(&authority)).write(dir, "server");
    Certificate::new("elsewhere.example", Some(&authority)).write(dir, "elsewhere");
    Certificate::new("archiver", Some(&authority)).write(dir, "client");
    let strange = Certificate::new("other", None);
    Certificate::new("127.0.0.1", Some(&strange)).write(dir, "strange");
    std::fs::write(dir.join("password"), "secret\n").unwrap();
    let ca = format!("ca = {:?}", dir.join("ca.crt"));
    let url = |port: u16| format!("https://127.0.0.1:{port}");
    let plain = url(serve(dir, "server", false));

    let schema = client(&plain, dir, &ca).schema(7).unwrap().unwrap();
    assert_eq!(schema.schema, "S");
    // Password and certificates are read for each schema.
    let same = client(&plain, dir, &ca);
    std::fs::write(dir.join("password"), "wrong").unwrap();
    let refused = same.schema(7).unwrap_err().to_string();
    assert!(refused.contains("check user and password under [registry]"), "{refused}");
    std::fs::write(dir.join("password"), "secret").unwrap();
    assert!(same.schema(7).is_ok());

    // A certificate of nobody that is known, one for another name, and no authority of its own.
    for (url, more) in [
        (url(serve(dir, "strange", false)), ca.as_str()),
        (url(serve(dir, "elsewhere", false)), &ca),
        (plain, ""),
    ] {
        let refused = client(&url, dir, more).schema(7).unwrap_err().to_string();
        assert!(refused.contains("certificate"), "{url} {more}: {refused}");
    }

    // A server that asks for a certificate.
    let asks = url(serve(dir, "server", true));
    let (certificate, key) = (dir.join("client.crt"), dir.join("client.key"));
    let shown = format!("{ca}\ncertificate = {certificate:?}\nkey = {key:?}");
    assert!(client(&asks, dir, &shown).schema(7).is_ok());
    assert!(client(&asks, dir, &ca).schema(7).is_err());
}
