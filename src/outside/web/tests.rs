use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use tokio::net::TcpListener;

use crate::common::config::{Secret, WebLogin};
use crate::common::spawn::spawn_named;
use crate::fakes::certificate::Certificate;
use crate::outside::web::file::WebFile;
use crate::outside::web::guard::credentials;
use crate::outside::web::{Asked, Guard, Stream};

/// A directory with certificates, and a listener that its web.yml guards.
struct Site {
    dir: tempfile::TempDir,
    authority: Certificate,
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
}

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

impl Site {
    async fn open(web: &str) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let authority = Certificate::new("authority", None);
        authority.write(dir.path(), "ca");
        Certificate::new("127.0.0.1", Some(&authority)).write(dir.path(), "server");
        Certificate::new("prometheus", Some(&authority)).write(dir.path(), "client");
        Certificate::new("stranger", Some(&Certificate::new("other", None)))
            .write(dir.path(), "stranger");
        std::fs::write(dir.path().join("web.yml"), web).unwrap();
        let guard = Guard::start(&dir.path().join("web.yml")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = guard.clone().around(Router::new().route("/livez", get(async || "alive")));
        let server = spawn_named("server", async move {
            axum::serve(Guarded { listener, guard }, router).await.unwrap();
        });
        Site { dir, authority, address, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, web: &str) {
        std::fs::write(self.path("web.yml"), web).unwrap();
    }

    /// What curl gets; an empty text if it gets no answer.
    async fn curl(&self, scheme: &str, more: &[&str]) -> String {
        let mut command = Command::new("curl");
        let _ = command.args(["--silent", "--include", "--max-time", "10", "--cacert"]);
        let _ = command.arg(self.path("ca.crt")).args(more);
        let _ = command.arg(format!("{scheme}://{}/livez", self.address));
        let run = move || command.output().unwrap();
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until curl gets an answer that begins so.
    async fn until(&self, more: &[&str], begins: &str) {
        let begun = Instant::now();
        while !self.curl("https", more).await.starts_with(begins) {
            assert!(begun.elapsed() < Duration::from_secs(20), "no {begins:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn ask(&self, login: WebLogin, by_url: bool) -> Result<String, String> {
        let toml = format!(
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\nroot = \
             \"file:///x\"\n[mapping.m]\ntopics = [\"t\"]\n[daemon]\nweb_config = {:?}\n",
            self.path("web.yml")
        );
        let mut config = crate::common::config::Config::parse(&toml, Some("i")).unwrap();
        config.daemon.login = Some(login);
        let address = self.address;
        let asked = tokio::task::spawn_blocking(move || {
            let url = format!("https://{address}/");
            let daemon = match by_url {
                true => Asked::at(&url, config.daemon.login.as_ref())?,
                false => Asked::here(&config, address)?,
            };
            let answer = daemon.agent.get(format!("{}/livez", daemon.url)).call();
            let text = answer.and_then(|mut answer| answer.body_mut().read_to_string());
            text.map_err(|e| daemon.silent(&e))
        });
        asked.await.unwrap()
    }

    fn login(&self, password: &str) -> WebLogin {
        let file = self.path("password");
        std::fs::write(&file, format!("{password}\n")).unwrap();
        let password = Some(Secret(file));
        WebLogin { user: Some("ops".into()), password, ..WebLogin::default() }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Guarded {
    listener: TcpListener,
    guard: Guard,
}

impl axum::serve::Listener for Guarded {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        let (stream, from) = self.listener.accept().await.unwrap();
        (self.guard.begin(stream).unwrap(), from)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The format's `basic_auth_users` for one user, whose hash takes few steps.
fn user(password: &str) -> String {
    format!("basic_auth_users:\n  ops: {}\n", bcrypt::hash(password, 4).unwrap())
}

const OK: &str = "HTTP/1.1 200";
const WHO: &str = "HTTP/1.1 401";

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_let_in_by_tls_with_the_right_password() {
    let site = Site::open(&format!("{TLS}{}", user("right: one"))).await;
    assert_eq!(site.curl("http", &[]).await, "", "in the clear");
    let refused = site.curl("https", &[]).await;
    assert!(refused.starts_with(WHO), "{refused}");
    assert!(refused.to_lowercase().contains("www-authenticate: basic"), "{refused}");
    for _ in 0..2 {
        let answer = site.curl("https", &["--user", "ops:right: one"]).await;
        assert!(answer.starts_with(OK) && answer.ends_with("alive"), "{answer}");
    }
    for wrong in ["ops:wrong", "ops:", "nobody:right: one"] {
        let refused = site.curl("https", &["--user", wrong]).await;
        assert!(refused.starts_with(WHO), "{wrong}: {refused}");
    }
    for wrong in ["Bearer x", "Basic ?", "Basic", "Basic b3Bz"] {
        let header = format!("Authorization: {wrong}");
        let refused = site.curl("https", &["--header", &header]).await;
        assert!(refused.starts_with(WHO), "{wrong}: {refused}");
    }
    for (option, lets_in) in [("--tlsv1.3", true), ("--tlsv1.2", true), ("--tls-max", false)] {
        let more = [&[option][..], if lets_in { &[] } else { &["1.1"] }].concat();
        let answer = site.curl("https", &more).await;
        assert_eq!(answer.starts_with(WHO), lets_in, "{option}: {answer}");
    }
}

/// A change is in force without a restart; a file with a fault, or one that is half written,
/// changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_files_are_read_again() {
    let site = Site::open(&format!("{TLS}{}", user("first"))).await;
    site.until(&["--user", "ops:first"], OK).await;
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n";
    site.write(&format!("{TLS}{headers}{}", user("second")));
    site.until(&["--user", "ops:second"], OK).await;
    let answer = site.curl("https", &["--user", "ops:first"]).await;
    assert!(answer.starts_with(WHO), "it was right before: {answer}");
    assert!(answer.to_lowercase().contains("x-frame-options: deny"), "{answer}");

    let other = Certificate::new("127.0.0.1", Some(&Certificate::new("other", None)));
    other.write(site.dir.path(), "server");
    site.until(&["--user", "ops:second"], "").await;
    for half in ["", TLS, "tls_server_config:\n  cert", "no_such_key: 1\n"] {
        site.write(half);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let answer = site.curl("https", &["--insecure"]).await;
        assert!(answer.starts_with(WHO), "{half:?}: {answer}");
        assert_eq!(site.curl("http", &[]).await, "", "{half:?}");
    }
    Certificate::new("127.0.0.1", Some(&site.authority)).write(site.dir.path(), "server");
    site.write(&format!("{TLS}{}", user("third")));
    site.until(&["--user", "ops:third"], OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_its_certificate() {
    let verified = "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n";
    let site = Site::open(&format!("{TLS}{verified}")).await;
    let shows = |name: &str| {
        let path = |end: &str| site.path(&format!("{name}.{end}")).display().to_string();
        ["--cert".to_string(), path("crt"), "--key".into(), path("key")]
    };
    for (name, status) in [("client", OK), ("stranger", "")] {
        let shown = shows(name);
        let answer = site.curl("https", &shown.each_ref().map(String::as_str)).await;
        assert_eq!(answer.get(..status.len().max(1)).unwrap_or(""), status, "{name}");
    }
    assert_eq!(site.curl("https", &[]).await, "", "none");
    let login = WebLogin {
        certificate: Some(site.path("client.crt")),
        key: Some(site.path("client.key")),
        ..WebLogin::default()
    };
    assert_eq!(site.ask(login, false).await.as_deref(), Ok("alive"));

    let shown = shows("client");
    let shown = shown.each_ref().map(String::as_str);
    site.write(&format!("{TLS}{verified}  client_allowed_sans: [grafana]\n"));
    site.until(&shown, "").await;
    let begun = Instant::now();
    while !site.curl("https", &shown).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "for another name");
    }
    site.write(&format!("{TLS}{verified}  client_allowed_sans: [grafana, prometheus]\n"));
    site.until(&shown, OK).await;
}

/// As `alluvium status` does: the certificate is that of the daemon's own file, whatever its name.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_let_in() {
    let site = Site::open(&format!("{TLS}{}", user("right"))).await;
    assert_eq!(site.ask(site.login("right"), false).await.as_deref(), Ok("alive"));
    let refused = site.ask(site.login("wrong"), false).await.unwrap_err();
    assert!(refused.contains("set daemon.login"), "{refused}");
    let refused = site.ask(WebLogin::default(), false).await.unwrap_err();
    assert!(refused.contains("asks for a user and a password"), "{refused}");
    let by_authority = WebLogin { ca: Some(site.path("ca.crt")), ..site.login("right") };
    assert_eq!(site.ask(by_authority, true).await.as_deref(), Ok("alive"));
    let refused = site.ask(site.login("right"), true).await.unwrap_err();
    assert!(refused.contains("certificate verify failed"), "{refused}");

    let other = Certificate::new("127.0.0.1", Some(&site.authority));
    std::fs::write(site.path("server.crt"), other.x509.to_pem().unwrap()).unwrap();
    let refused = site.ask(site.login("right"), false).await.unwrap_err();
    assert!(refused.contains("is not the one in daemon.web_config"), "{refused}");
}

proptest! {
    /// Whatever stands in the header; a user has no colon, and a password may have some.
    #[test]
    fn credentials_are_read_as_they_were_written(
        user in "[^:\\x00-\\x1f]{0,9}", password in any::<Vec<u8>>(), other in any::<Vec<u8>>(),
    ) {
        let header = |value: &[u8]| {
            let value = HeaderValue::from_bytes(value).ok()?;
            credentials(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
        };
        let pair = [user.as_bytes(), b":", &password].concat();
        let written = format!("Basic {}", BASE64_STANDARD.encode(pair));
        prop_assert_eq!(header(written.as_bytes()), Some((user, password)));
        let _ = (header(&other), header(&[b"Basic ", &other[..]].concat()));
        let _ = header(format!("Basic {}", BASE64_STANDARD.encode(&other)).as_bytes());
        let _ = WebFile::parse(&String::from_utf8_lossy(&other), Path::new("/etc"));
    }
}

#[test]
fn a_web_configuration_is_checked() {
    let hash = "$2y$10$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzABCDC";
    let all = format!(
        "tls_server_config:\n  cert: C\n  key: K\n  client_ca: A\n  client_auth_type: \
         RequireClientCert\n  client_allowed_sans: [a]\n  min_version: TLS12\n  max_version: \
         TLS13\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  \
         curve_preferences: [CurveP256, X25519]\n  prefer_server_cipher_suites: false\n\
         http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\n\
         basic_auth_users:\n  a: {hash}\n  b: {hash}\n"
    );
    let right = |text: &str| WebFile::parse(text, Path::new("/etc")).unwrap();
    assert_eq!(right(&all).users.len(), 2);
    for empty in ["", "# nothing\n", "basic_auth_users: {}\n"] {
        assert!(right(empty).is_open(), "{empty}");
    }
    let relative = right(TLS).tls.unwrap();
    assert_eq!(relative.cert_file.as_deref(), Some(Path::new("/etc/server.crt")));
    let wrong = [
        ("rate_limit:\n  burst: 1\n", "rate_limit"),
        ("tls_server_config:\n  certfile: x\n", "certfile"),
        ("tls_server_config:\n  key_file: x\n", "tls_server_config.cert_file: is missing"),
        ("tls_server_config:\n  cert_file: x\n", "tls_server_config.key_file: is missing"),
        (&format!("{TLS}  min_version: TLS10\n"), "TLS10"),
        (&format!("{TLS}  min_version: TLS13\n  max_version: TLS12\n"), "max_version"),
        (&format!("{TLS}  client_ca_file: x\n"), "client_auth_type: is missing"),
        (&format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n"), "client_ca_file"),
        (&format!("{TLS}  client_auth_type: Any\n"), "Any"),
        (&format!("{TLS}  client_allowed_sans: [a]\n"), "client_allowed_sans"),
        ("http_server_config:\n  http2: maybe\n", "boolean"),
        ("http_server_config:\n  headers: {Server: x}\n", "\"Server\" can't be set"),
        ("http_server_config:\n  headers: {X-Frame-Options: x}\n", "deny or sameorigin"),
        ("basic_auth_users:\n  a: plain-text-password\n", "user \"a\": the value is no bcrypt"),
        (&format!("basic_auth_users:\n  a: {}\n", hash.replace("$10$", "$31$")), "cost 31"),
        (&format!("basic_auth_users:\n  a: {hash}\n  a: {hash}\n"), "a"),
        ("basic_auth_users: [", ""),
    ];
    for (text, part) in wrong {
        let Err(said) = WebFile::parse(text, Path::new("/etc")) else { panic!("{text}") };
        assert!(said.contains(part), "{text}: {said}");
        assert!(!said.contains("plain-text-password") && !said.contains(hash), "{said}");
    }
    assert_eq!(bcrypt::verify("x", hash).ok(), Some(false), "nobody's hash can be compared");
}

/// A key under a password would be asked for at a terminal.
#[test]
fn keys_and_certificates_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (Certificate::new("a", None), Certificate::new("b", None));
    one.write(dir.path(), "server");
    let refused = || {
        std::fs::write(dir.path().join("web.yml"), TLS).unwrap();
        Guard::start(&dir.path().join("web.yml")).err().unwrap_or_default()
    };
    assert_eq!(refused(), "");
    let key = dir.path().join("server.key");
    let cipher = openssl::symm::Cipher::aes_256_cbc();
    let under_a_password = one.key.private_key_to_pem_pkcs8_passphrase(cipher, b"x").unwrap();
    std::fs::write(&key, under_a_password).unwrap();
    assert!(refused().contains("key_file: there is no key in PEM form without a password"));
    std::fs::write(&key, other.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    assert!(
        refused().contains("key_file: the key is not that of the certificate"),
        "{}",
        refused()
    );
    std::fs::remove_file(&key).unwrap();
    assert!(refused().contains("key_file: can't read"), "{}", refused());
    std::fs::write(dir.path().join("server.crt"), "nothing").unwrap();
    std::fs::write(&key, one.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    assert!(refused().contains("cert_file: there is no certificate"), "{}", refused());
}
