//! A Chromium without a window, driven over its DevTools protocol: one WebSocket, one page.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

const LIMIT: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    child: Child,
    socket: WebSocket<TcpStream>,
    session: String,
    calls: u64,
    /// The loader of the last document that is loaded whole.
    loaded: String,
}

impl Browser {
    /// Starts Chromium (`testbed/setup browser`), with its profile in a directory.
    pub fn start(profile: &Path) -> Browser {
        let program = std::env::var_os("CHROMIUM").unwrap_or_else(|| "chromium".into());
        // A container has no user namespaces, so there is no sandbox; the page is our own.
        let mut child = Command::new(&program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-extensions", "--disable-background-networking"])
            .args(["--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{program:?} (make browser sets it up): {e}"));
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut line = || stderr.next().expect("it says where it listens").unwrap();
        let url = loop {
            if let Some(url) = line().strip_prefix("DevTools listening on ") {
                break url.to_string();
            }
        };
        // A full pipe would block it.
        let _ = std::thread::spawn(move || stderr.for_each(drop));
        let host = url.trim_start_matches("ws://").split('/').next().unwrap();
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let (socket, _) = tungstenite::client(&url, stream).unwrap();
        let (session, loaded) = (String::new(), String::new());
        let mut browser = Browser { child, socket, session, calls: 0, loaded };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", target);
        browser.session = attached["sessionId"].as_str().unwrap().to_string();
        let _ = browser.call("Page.enable", json!({}));
        let _ = browser.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true }));
        browser
    }

    /// Calls a method of the DevTools protocol; its result.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut request = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            request["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(request.to_string())).unwrap();
        loop {
            let message = self.receive();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    fn receive(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                let message: Value = serde_json::from_str(&text).unwrap();
                let event = &message["params"];
                if message["method"] == "Page.lifecycleEvent" && event["name"] == "load" {
                    self.loaded = event["loaderId"].as_str().unwrap().to_string();
                }
                return message;
            }
        }
    }

    /// Opens a page, and waits until it is loaded.
    pub fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({ "url": url }));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
        while opened["loaderId"] != self.loaded {
            let _ = self.receive();
        }
    }

    /// The value of an expression in the page.
    pub fn ask(&mut self, expression: &str) -> Value {
        let what = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", what);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// The text that a person sees.
    pub fn text(&mut self) -> String {
        self.ask("document.body.innerText").as_str().unwrap().to_string()
    }

    /// The document as HTML, also where scripts are off.
    pub fn html(&mut self) -> String {
        let document = self.call("DOM.getDocument", json!({}));
        let node = json!({ "nodeId": document["root"]["nodeId"] });
        let html = self.call("DOM.getOuterHTML", node);
        html["outerHTML"].as_str().unwrap().to_string()
    }

    /// A picture of the page, as a PNG file.
    pub fn picture(&mut self, file: &Path) {
        let png = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let engine = base64::engine::general_purpose::STANDARD;
        std::fs::write(file, engine.decode(png["data"].as_str().unwrap()).unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
