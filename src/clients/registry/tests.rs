//! The client against a server that says what it is told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{RegistryClient, RegistryError, SchemaSource as _};
use crate::common::config::Config;
use crate::pure::formats::schema::KeptSchema;

type Requests = Arc<Mutex<Vec<String>>>;

/// Answers requests by their paths, and keeps their lines; the client, and what it has asked.
fn serve(pages: &'static [(&'static str, u16, &'static str)]) -> (RegistryClient, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Requests::default();
    let requests = Arc::clone(&asked);
    let _ = std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut lines = String::new();
            while reader.read_line(&mut lines).unwrap() > 2 {}
            let path = lines.split(' ').nth(1).unwrap().to_string();
            requests.lock().push(lines);
            let known = pages.iter().find(|(page, ..)| *page == path);
            let (status, body) = known.map_or((500, "?"), |(_, status, body)| (*status, *body));
            let length = body.len();
            // As registries say it; everything else is another server's page.
            let kind = if body.starts_with('{') { JSON } else { "text/html" };
            let _ = write!(
                stream,
                "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nContent-Type: {kind}\r\n\
                 Connection: close\r\n\r\n{body}"
            );
        }
    });
    (client(&format!("http://127.0.0.1:{port}/api/")), asked)
}

const JSON: &str = "application/vnd.schemaregistry.v1+json";

fn client(url: &str) -> RegistryClient {
    let dir = tempfile::tempdir().unwrap().keep();
    let password = dir.join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let text = format!(
        "[registry]\nurl = {url:?}\nuser = \"u\"\npassword = {{ file = {password:?} }}\n\
         timeout = \"2s\"\n[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\n\
         root = \"file:///x\"\n[mapping.m]\ntopics = [\"t\"]"
    );
    RegistryClient::new(Config::parse(&text, Some("i")).unwrap().registry.unwrap())
}

#[test]
fn a_schema_comes_with_all_that_it_needs() {
    let (client, asked) = serve(&[
        (
            "/api/schemas/ids/7",
            200,
            r#"{"schema":"A","references":[{"name":"b","subject":"b/x","version":2},
                {"name":"c","subject":"c","version":1}]}"#,
        ),
        (
            "/api/subjects/b%2Fx/versions/2",
            200,
            r#"{"subject":"b/x","id":3,"schema":"B",
                "references":[{"name":"c","subject":"c","version":1}]}"#,
        ),
        ("/api/subjects/c/versions/1", 200, r#"{"schema":"C"}"#),
        (
            "/api/schemas/ids/8",
            200,
            r#"{"schema":"P","schemaType":"PROTOBUF","references":[
                {"name":"c.proto","subject":"c","version":1},
                {"name":"d/c.proto","subject":"c","version":1}]}"#,
        ),
        ("/api/subjects/c/versions/latest", 200, r#"{"schema":"C2","id":9}"#),
        ("/api/subjects/none/versions/latest", 404, r#"{"error_code":40401}"#),
    ]);
    let seven = client.schema(7).unwrap().unwrap();
    assert_eq!((seven.kind.as_str(), seven.schema.as_str()), ("AVRO", "A"));
    let texts = |of: &KeptSchema| -> Vec<(String, String)> {
        of.references.iter().map(|r| (r.name.clone(), r.schema.clone())).collect()
    };
    let pair = |name: &str, text: &str| (name.to_string(), text.to_string());
    assert_eq!(texts(&seven), [pair("", "C"), pair("", "B")], "once, and without names");
    let eight = client.schema(8).unwrap().unwrap();
    assert_eq!(eight.kind, "PROTOBUF");
    assert_eq!(texts(&eight), [pair("c.proto", "C"), pair("d/c.proto", "C")]);
    let newest = client.latest("c").unwrap().unwrap();
    assert_eq!((newest.id, newest.schema.as_str()), (9, "C2"));
    assert_eq!(client.latest("none"), Ok(None));
    let asked = asked.lock();
    assert_eq!(asked.len(), 8);
    let authorized = |lines: &String| lines.to_lowercase().contains("authorization: basic dtpz");
    assert!(asked.iter().all(authorized), "{asked:?}");
}

#[test]
fn only_what_the_registry_says_to_be_missing_is_missing() {
    let (client, _) = serve(&[
        ("/api/schemas/ids/1", 404, r#"{"error_code":40403,"message":"no"}"#),
        ("/api/schemas/ids/2", 404, "<html>not here</html>"),
        ("/api/schemas/ids/3", 401, ""),
        ("/api/schemas/ids/4", 200, "{}"),
        ("/api/schemas/ids/5", 302, ""),
    ]);
    assert_eq!(client.schema(1), Ok(None));
    for (id, want) in [
        (2, "check registry.url"),
        (3, "check user and password"),
        (4, "missing field `schema`"),
        (5, "302"),
        (6, "500"),
    ] {
        let error = client.schema(id).unwrap_err();
        assert!(matches!(error, RegistryError::Away(_)), "{error:?}");
        let error = error.to_string();
        assert!(error.contains(want) && error.contains("/schemas/ids/"), "{id}: {error}");
    }
    let nobody = client_of_nobody().schema(1).unwrap_err().to_string();
    assert!(nobody.contains("refused"), "{nobody}");
}

/// No later answer would be smaller, so a partition would wait for ever.
#[test]
fn a_schema_that_is_too_large_is_no_outage() {
    let leak = |text: String| -> &'static str { text.leak() };
    let long = "x".repeat(3 << 20);
    let refers = |name: &str| format!(r#"[{{"name":"{name}","subject":"{name}","version":1}}]"#);
    let two = format!(r#"{{"schema":"{long}","references":{}}}"#, refers("long"));
    let references: Vec<String> =
        (0..101).map(|n| format!(r#"{{"name":"a","subject":"a","version":{n}}}"#)).collect();
    let many = format!(
        r#"{{"schema":"A","schemaType":"PROTOBUF","references":[{}]}}"#,
        references.join(",")
    );
    let mut pages = vec![
        ("/api/schemas/ids/1", 200, leak(format!(r#"{{"schema":"{long}"}}"#))),
        ("/api/schemas/ids/2", 200, leak(two)),
        ("/api/schemas/ids/3", 200, leak(format!(r#"{{"schema":"{long}{long}"}}"#))),
        ("/api/schemas/ids/4", 200, leak(many)),
        ("/api/schemas/ids/5", 502, leak(format!("{long}{long}"))),
        ("/api/schemas/ids/6", 200, leak(format!("<html>{long}{long}"))),
        ("/api/subjects/long/versions/1", 200, leak(format!(r#"{{"schema":"{long}"}}"#))),
    ];
    let page = |n| (leak(format!("/api/subjects/a/versions/{n}")), 200, r#"{"schema":"A"}"#);
    pages.extend((0..101).map(page));
    let (client, _) = serve(pages.leak());
    assert!(client.schema(1).is_ok());
    for (id, want) in [(2, "more than 4 MiB"), (3, "more than 4 MiB"), (4, "more than 100 others")]
    {
        match client.schema(id) {
            Err(RegistryError::TooLarge(why)) => assert!(why.contains(want), "{id}: {why}"),
            other => panic!("{id}: {:?}", other.map(|of| of.is_some())),
        }
    }
    for id in [5, 6] {
        assert!(matches!(client.schema(id), Err(RegistryError::Away(_))), "{id}");
    }
}

/// A port on which nobody listens.
fn client_of_nobody() -> RegistryClient {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    client(&format!("http://127.0.0.1:{port}"))
}
