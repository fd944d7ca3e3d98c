//! An API server that shows what a test gives it: lists by path, in pages, watches as lines of events, single objects
//! with optimistic locking, and faults.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

/// What the next request of a path gets in the place of its answer.
pub(super) enum Fault {
    /// A status; the second number is when to ask again, in seconds.
    Status(u16, u32),
    /// These octets, then the connection is dropped.
    Cut(String),
}

/// A person's edit of an object.
type Person = Box<dyn FnOnce(&mut Value) + Send>;

/// What it shows.
pub(super) struct Shown {
    /// Lists, by path. Others are 404.
    pub(super) lists: HashMap<String, Value>,
    /// Objects of a page at most, by path.
    pub(super) pages: HashMap<String, usize>,
    /// Paths that are refused.
    pub(super) refused: Vec<String>,
    /// Watches, by path: each one's lines. Where there is none left, a watch says what is emitted, and does not end.
    pub(super) watches: HashMap<String, VecDeque<String>>,
    /// What goes wrong, by path and then by what the query holds.
    pub(super) faults: Vec<(String, &'static str, Fault)>,
    /// Single objects, by path.
    pub(super) objects: HashMap<String, Value>,
    /// What people do right before the next writes.
    pub(super) people: VecDeque<(String, Person)>,
    /// Whose requests are let in.
    pub(super) token: String,
    /// Paths and queries, as they were asked for.
    pub(super) asked: Vec<String>,
    version: u64,
    /// Events of single objects, each with its version and the path of its kind.
    log: Vec<(u64, String, String)>,
    emitted: broadcast::Sender<(String, String)>,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            lists: HashMap::new(),
            pages: HashMap::new(),
            refused: Vec::new(),
            watches: HashMap::new(),
            faults: Vec::new(),
            objects: HashMap::new(),
            people: VecDeque::new(),
            token: "tok".to_owned(),
            asked: Vec::new(),
            version: 1000,
            log: Vec::new(),
            emitted: broadcast::Sender::new(1000),
        }
    }
}

impl Shown {
    /// Changes an object; those who watch all of its kind are told.
    pub(super) fn change(&mut self, path: &str, change: impl FnOnce(&mut Value)) {
        self.version += 1;
        let known = self.objects.contains_key(path);
        let object = self.objects.entry(path.to_owned()).or_insert_with(|| {
            let mut parts = path.rsplit('/');
            let name = parts.next().expect("a name");
            json!({"metadata": {"name": name, "namespace": parts.nth(1).expect("a namespace")}})
        });
        change(object);
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let kind = if known { "MODIFIED" } else { "ADDED" };
        let event = json!({"type": kind, "object": object}).to_string();
        self.emit(path.rsplit_once('/').expect("a folder").0, &event);
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.version += 1;
        if let Some(object) = self.objects.remove(path) {
            let event = json!({"type": "DELETED", "object": object}).to_string();
            self.emit(path.rsplit_once('/').expect("a folder").0, &event);
        }
    }

    /// An object of a list has come, is another one, or (`None`) is gone; those who watch are told.
    pub(super) fn set_item(&mut self, path: &str, name: &str, item: Option<Value>) {
        self.version += 1;
        let version = Value::from(self.version.to_string());
        let empty = || json!({"metadata": {}, "items": []});
        let list = self.lists.entry(path.to_owned()).or_insert_with(empty);
        list["metadata"]["resourceVersion"] = version.clone();
        let items = list["items"].as_array_mut().expect("a list");
        let place = items.iter().position(|item| item["metadata"]["name"] == name);
        let (kind, mut object) = match (place, item) {
            (Some(place), Some(item)) => {
                items[place] = item.clone();
                ("MODIFIED", item)
            }
            (None, Some(item)) => {
                items.push(item.clone());
                ("ADDED", item)
            }
            (Some(place), None) => ("DELETED", items.remove(place)),
            (None, None) => return,
        };
        object["metadata"]["resourceVersion"] = version;
        self.emit(path, &json!({"type": kind, "object": object}).to_string());
    }

    pub(super) fn emit(&mut self, path: &str, line: &str) {
        self.log.push((self.version, path.to_owned(), format!("{line}\n")));
        let _ = self.emitted.send((path.to_owned(), format!("{line}\n"))); // nobody may watch
    }
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
        self.kubeconfig_with(json!({"token": "tok"}))
    }

    /// The same, of a user with these credentials.
    pub(super) fn kubeconfig_with(&self, user: Value) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "test", "user": user}],
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

    /// The next request of a path whose query holds this text goes wrong so.
    pub(super) fn add_fault(&self, path: &str, query: &'static str, fault: Fault) {
        self.shown().faults.push((path.to_owned(), query, fault));
    }

    /// How many requests of a path have this in their query.
    pub(super) fn count(&self, path: &str, query: &str) -> usize {
        let shown = self.shown();
        let asked = shown.asked.iter().filter_map(|asked| asked.split_once('?'));
        asked.filter(|(at, of)| *at == path && of.contains(query)).count()
    }

    pub(super) fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().expect("not poisoned")
    }
}

fn failure(code: u16, reason: &str, retry: u32) -> Response {
    let status = json!({
        "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason,
        "details": {"retryAfterSeconds": retry},
    });
    let mut response = (StatusCode::from_u16(code).expect("a code"), status.to_string()).into_response();
    if retry > 0 {
        response.headers_mut().insert("retry-after", retry.into());
    }
    response
}

async fn answer(State(shown): State<Arc<Mutex<Shown>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let body = to_bytes(body, usize::MAX).await.expect("a body");
    let mut shown = shown.lock().expect("not poisoned");
    shown.asked.push(format!("{path}?{query}"));
    let bearer = format!("Bearer {}", shown.token);
    if parts.headers.get("authorization").is_none_or(|given| *given != *bearer) {
        return failure(401, "Unauthorized", 0);
    }
    if shown.refused.contains(&path) {
        return failure(403, "forbidden: no rights", 0);
    }
    let is_next = |(at, part, _): &(String, &'static str, Fault)| *at == path && query.contains(part);
    if let Some(place) = shown.faults.iter().position(is_next) {
        return match shown.faults.remove(place).2 {
            Fault::Status(code, retry) => failure(code, "a fault", retry),
            Fault::Cut(octets) => {
                // What was said before has to be on its way.
                let cut = stream::once(async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Err(io::Error::other("the connection is dropped"))
                });
                Body::from_stream(stream::once(async { Ok(octets) }).chain(cut)).into_response()
            }
        };
    }
    if parts.method != Method::GET {
        return write(&mut shown, &parts.method, &path, &body);
    }
    if query.contains("watch=1") {
        return watch(&mut shown, path, &query);
    }
    if let Some(object) = shown.objects.get(&path) {
        return object.to_string().into_response();
    }
    let Some(mut list) = shown.lists.get(&path).cloned() else {
        return failure(404, "not found", 0);
    };
    if let Some(most) = shown.pages.get(&path) {
        let from = query.split("continue=").nth(1).and_then(|rest| rest.split('&').next());
        let from: usize = from.map_or(0, |from| from.parse().expect("our own token"));
        let items = list["items"].as_array().cloned().expect("a list");
        let end = items.len().min(from + most);
        if end < items.len() {
            list["metadata"]["continue"] = end.to_string().into();
        }
        list["items"] = items[from..end].into();
    }
    list.to_string().into_response()
}

fn watch(shown: &mut Shown, path: String, query: &str) -> Response {
    if let Some(lines) = shown.watches.get_mut(&path).and_then(VecDeque::pop_front) {
        return lines.into_response();
    }
    let emitted = shown.emitted.subscribe();
    let lines = stream::unfold(emitted, |mut emitted| async move {
        let line = emitted.recv().await.ok()?;
        Some((line, emitted))
    });
    let version = query
        .split("resourceVersion=")
        .nth(1)
        .and_then(|rest| rest.split('&').next());
    let version: u64 = version.and_then(|version| version.parse().ok()).unwrap_or(0);
    let missed = shown.log.iter().filter(|(of, at, _)| *of > version && *at == path);
    let missed: Vec<_> = missed.map(|(_, _, line)| Ok::<_, Infallible>(line.clone())).collect();
    let lines = lines.filter_map(move |(at, line)| {
        let is_here = at == path;
        async move { is_here.then_some(Ok::<_, Infallible>(line)) }
    });
    Body::from_stream(stream::iter(missed).chain(lines)).into_response()
}

/// PATCH of an object or of its status, or POST of a new one into a folder.
fn write(shown: &mut Shown, method: &Method, path: &str, body: &[u8]) -> Response {
    let given: Value = serde_json::from_slice(body).expect("JSON");
    let path = match *method {
        Method::POST => format!("{path}/{}", given["metadata"]["name"].as_str().expect("a name")),
        _ => path.strip_suffix("/status").unwrap_or(path).to_owned(),
    };
    let next = shown.people.front().is_some_and(|(at, _)| *at == path);
    if let Some((_, person)) = next.then(|| shown.people.pop_front()).flatten() {
        shown.change(&path, person);
    }
    let version = &given["metadata"]["resourceVersion"];
    match (shown.objects.get(&path), method) {
        (Some(_), &Method::POST) => return failure(409, "AlreadyExists", 0),
        (None, &Method::PATCH) => return failure(404, "not found", 0),
        (Some(object), _) if version.is_string() && object["metadata"]["resourceVersion"] != *version => {
            return failure(409, "Conflict", 0);
        }
        _ => {}
    }
    shown.change(&path, |object| {
        let parts = given.as_object().expect("an object").iter();
        for (part, value) in parts.filter(|(part, _)| *part != "metadata") {
            match value.as_object() {
                Some(fields) => {
                    for (key, value) in fields {
                        object[part.as_str()][key.as_str()] = value.clone();
                    }
                }
                None => object[part.as_str()] = value.clone(),
            }
        }
    });
    shown.objects[&path].to_string().into_response()
}
