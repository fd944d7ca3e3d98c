//! An API server that shows what a test gives it: lists by path, and watches as lines of events.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What it shows.
#[derive(Default)]
pub(super) struct Shown {
    /// Lists, by path. Others are 404.
    pub(super) lists: HashMap<String, Value>,
    /// Paths that are refused.
    pub(super) refused: Vec<String>,
    /// Watches, by path: each one's lines. Where there is none left, a watch says nothing, and does not end.
    pub(super) watches: HashMap<String, VecDeque<String>>,
    /// Paths and queries, as they were asked for.
    pub(super) asked: Vec<String>,
}

/// The server; it ends with the value.
pub(super) struct Fake {
    pub(super) shown: Arc<Mutex<Shown>>,
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub(super) async fn start() -> Self {
        let shown: Arc<Mutex<Shown>> = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shown));
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self { shown, address, task }
    }

    /// A kubeconfig of it.
    pub(super) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "test", "user": {"token": "tok"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        })
        .to_string()
    }

    pub(super) fn set_list(&self, path: &str, version: &str, items: Value) {
        let list = json!({"metadata": {"resourceVersion": version}, "items": items});
        self.shown().lists.insert(path.to_owned(), list);
    }

    /// The next watch of a path says these events, and ends.
    pub(super) fn add_watch(&self, path: &str, events: &[Value]) {
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        self.shown()
            .watches
            .entry(path.to_owned())
            .or_default()
            .push_back(lines);
    }

    pub(super) fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().expect("not poisoned")
    }
}

async fn answer(State(shown): State<Arc<Mutex<Shown>>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let mut shown = shown.lock().expect("not poisoned");
    shown.asked.push(format!("{path}?{query}"));
    let failure = |code: u16, reason: &str| {
        let status = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason});
        (StatusCode::from_u16(code).expect("a code"), status.to_string()).into_response()
    };
    if shown.refused.contains(&path) {
        return failure(403, "forbidden: no rights");
    }
    if query.contains("watch=1") {
        let lines = shown.watches.get_mut(&path).and_then(VecDeque::pop_front);
        return match lines {
            Some(lines) => lines.into_response(),
            None => {
                Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>()).into_response()
            }
        };
    }
    match shown.lists.get(&path) {
        Some(list) => list.to_string().into_response(),
        None => failure(404, "not found"),
    }
}
