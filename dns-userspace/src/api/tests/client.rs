//! A server on a port of its own and a client that sends exactly what it is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::{ApiState, Listeners, MAX_CONNECTIONS, Serving, View, serve};
use crate::control::Desired;
use crate::control::tests::fixture::Fixture;
use crate::observe::readiness::Readiness;
use crate::principal::{Credentials, TokenFile};

pub(in crate::api) struct Server {
    pub(super) fixture: Fixture,
    pub(super) address: SocketAddr,
    pub(super) api: ApiState,
    pub(super) readiness: Arc<Readiness>,
    pub(super) shutdown: CancellationToken,
    pub(super) serving: tokio::task::JoinHandle<()>,
    _guard: DropGuard,
}

#[derive(Debug)]
pub(in crate::api) struct Answer {
    pub(in crate::api) status: u16,
    pub(in crate::api) headers: HashMap<String, String>,
    pub(in crate::api) body: String,
}

impl Answer {
    pub(in crate::api) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(in crate::api) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Checks that this is a whole problem with that status and code.
    #[track_caller]
    pub(in crate::api) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let json = self.json();
        assert_eq!((self.status, json["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(json["status"], status, "{self:?}");
        assert_eq!(json["type"], "about:blank", "{self:?}");
        for member in ["title", "detail"] {
            assert!(json[member].as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
        }
    }

    /// Checks for a success and gives the body, where there is one: without versions and objects, which differ from
    /// run to run. [`Self::json`] has them.
    #[track_caller]
    pub(in crate::api) fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.body.is_empty() {
            return Value::Null;
        }
        let mut body = self.json();
        let without = |value: &mut Value| {
            if let Some(members) = value.as_object_mut() {
                members.remove("version");
                members.remove("object");
            }
        };
        without(&mut body);
        for record in body
            .get_mut("records")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            without(record);
        }
        body
    }
}

impl Server {
    pub(in crate::api) async fn new(initial: Desired) -> Self {
        Self::on(Fixture::new(initial)).await
    }

    pub(in crate::api) async fn with_token(initial: Desired, token: Arc<TokenFile>) -> Self {
        Self::on(Fixture::with_token(initial, token)).await
    }

    pub(in crate::api) async fn on(fixture: Fixture) -> Self {
        let server = Self::starting(fixture).await;
        server.start();
        server
    }

    /// A server that answers the probes alone, with little room, until [`Self::start`].
    pub(in crate::api) async fn starting(fixture: Fixture) -> Self {
        let credentials = Credentials {
            token: fixture.token.clone(),
            ..Credentials::default()
        };
        Self::serving(fixture, credentials, None).await
    }

    /// The same, with these credentials and this rate.
    pub(in crate::api) async fn serving(fixture: Fixture, credentials: Credentials, rate: Option<(u32, u32)>) -> Self {
        Self::at(fixture, credentials, rate, Listeners::default()).await
    }

    /// The same, on more than an address.
    pub(in crate::api) async fn at(
        fixture: Fixture,
        credentials: Credentials,
        rate: Option<(u32, u32)>,
        mut listeners: Listeners,
    ) -> Self {
        let readiness = fixture.readiness.clone();
        let api = ApiState::new(credentials, rate, Arc::clone(&readiness));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        listeners.tcp.push(listener);
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listeners, api.clone(), shutdown.clone()));
        Self {
            fixture,
            address,
            api,
            readiness,
            _guard: shutdown.clone().drop_guard(),
            shutdown,
            serving,
        }
    }

    pub(in crate::api) fn serving_parts(&self) -> Serving {
        let served = self.fixture.served.clone();
        Serving {
            control: self.fixture.handle(),
            view: View {
                snapshot: Arc::new(move || served.lock().expect("not poisoned").snapshot.clone()),
            },
            metrics: self.fixture.metrics.clone(),
            forwarder: Arc::new(|| None),
            sources: Arc::default(),
            inside: None,
            zones: Default::default(),
            history: self.fixture.history(),
            nodes: None,
            tokens: None,
            targets: Arc::default(),
            cluster: Default::default(),
        }
    }

    pub(in crate::api) fn start(&self) {
        self.api.start(self.serving_parts());
        self.api.raise_room(MAX_CONNECTIONS);
        self.readiness.serve();
    }

    /// Sends bytes as they are and reads until the server closes.
    pub(in crate::api) async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        // The server may answer, and close, before it has read all.
        let _ = stream.write_all(request).await;
        read_answer(&mut stream).await
    }

    /// One request as a well-behaved local client sends it, with more header lines.
    pub(in crate::api) async fn send(&self, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\
             {headers}\r\n{body}"
        );
        self.raw(request.as_bytes()).await
    }

    pub(in crate::api) async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, "", "").await
    }

    pub(in crate::api) async fn delete(&self, target: &str) -> Answer {
        self.send("DELETE", target, "", "").await
    }

    pub(in crate::api) async fn post(&self, target: &str, body: &str) -> Answer {
        self.send("POST", target, "Content-Type: application/json\r\n", body)
            .await
    }

    pub(in crate::api) async fn put(&self, target: &str, body: &str) -> Answer {
        self.send("PUT", target, "Content-Type: application/json\r\n", body)
            .await
    }
}

/// Reads until the server closes: one answer.
pub(super) async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Answer {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let is_chunked = headers
        .get("transfer-encoding")
        .is_some_and(|coding| coding == "chunked");
    Answer {
        status: status.parse().expect("a number"),
        headers,
        body: if is_chunked { joined(body) } else { body.to_owned() },
    }
}

/// The chunks of a body, which must be whole (RFC 9112 §7.1).
fn joined(mut chunks: &str) -> String {
    let mut body = String::new();
    loop {
        let (size, rest) = chunks.split_once("\r\n").expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a number");
        body.push_str(&rest[..size]);
        chunks = rest[size..].strip_prefix("\r\n").expect("the end of a chunk");
        if size == 0 {
            assert_eq!(chunks, "");
            return body;
        }
    }
}
