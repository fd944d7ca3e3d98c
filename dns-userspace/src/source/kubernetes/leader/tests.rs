use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::*;

/// An API server with one Lease, which locks optimistically as the real one does.
#[derive(Default)]
struct Shown {
    lease: Option<Value>,
    version: u64,
    /// Whether it answers.
    is_away: bool,
    holders: BTreeMap<u64, String>,
}

struct Fake {
    shown: Arc<Mutex<Shown>>,
    folder: tempfile::TempDir,
}

impl Fake {
    async fn start() -> Self {
        let shown: Arc<Mutex<Shown>> = Arc::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shown));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().expect("a folder");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "test", "user": {"token": "tok"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        std::fs::write(folder.path().join("kubeconfig"), config.to_string()).expect("written");
        Self { shown, folder }
    }

    fn cluster(&self) -> KubernetesSource {
        let path: &Path = &self.folder.path().join("kubeconfig");
        KubernetesSource {
            kubeconfig: Some(path.into()),
            ..KubernetesSource::default()
        }
    }

    /// A replica that takes part.
    fn replica(&self, identity: &str) -> (Leadership, CancellationToken, tokio::task::JoinHandle<()>) {
        let election = Election {
            namespace: "infrastructure".to_owned(),
            lease: "hotdns".to_owned(),
            identity: identity.to_owned(),
            duration: DURATION,
        };
        let (elector, leadership) = Elector::new(election, Arc::default());
        let stop = CancellationToken::new();
        let task = tokio::spawn(elector.run(self.cluster(), stop.clone()));
        (leadership, stop, task)
    }
}

/// How long a Lease lasts in tests.
const DURATION: Duration = Duration::from_secs(2);

async fn answer(State(shown): State<Arc<Mutex<Shown>>>, request: HttpRequest) -> Response {
    let method = request.method().clone();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20)
        .await
        .expect("a body");
    let mut shown = shown.lock().expect("not poisoned");
    let failure = |code: u16, reason: &str| {
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
            "reason": reason, "message": reason});
        (StatusCode::from_u16(code).expect("a code"), status.to_string()).into_response()
    };
    if shown.is_away {
        return failure(503, "ServiceUnavailable");
    }
    let of = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
    match (method, shown.lease.clone()) {
        (Method::GET, None) => return failure(404, "NotFound"),
        (Method::GET, Some(lease)) => return lease.to_string().into_response(),
        (Method::POST, Some(_)) => return failure(409, "AlreadyExists"),
        (Method::PUT, None) => return failure(404, "NotFound"),
        (Method::PUT, Some(lease)) => {
            let sent: Value = serde_json::from_slice(&body).expect("JSON");
            if of(&sent) != of(&lease) {
                return failure(409, "Conflict");
            }
        }
        _ => {}
    }
    let mut lease: Value = serde_json::from_slice(&body).expect("JSON");
    shown.version += 1;
    let version = shown.version;
    lease["metadata"]["resourceVersion"] = json!(version.to_string());
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
    shown.holders.insert(version, holder);
    shown.lease = Some(lease.clone());
    lease.to_string().into_response()
}

async fn until(leadership: &mut Leadership, wanted: bool) {
    let told = async {
        while leadership.leads() != wanted {
            leadership.changed().await;
        }
    };
    timeout(Duration::from_secs(30), told)
        .await
        .expect("it is told in time");
}

#[tokio::test]
async fn one_of_two_writes_and_the_other_takes_over() {
    let fake = Fake::start().await;
    let (mut first, _, first_task) = fake.replica("first");
    until(&mut first, true).await;
    let (mut second, second_stop, second_task) = fake.replica("second");
    // Killed: it renews no more, and nobody is told. It may not write once two thirds of the time are over.
    first_task.abort();
    let killed = Instant::now();
    until(&mut second, true).await;
    assert!(!first.leads(), "both would write");
    assert!(killed.elapsed() < DURATION * 3, "{:?}", killed.elapsed());
    let lease = fake.shown.lock().expect("not poisoned").lease.clone().expect("a Lease");
    assert_eq!(lease["spec"]["holderIdentity"], "second");
    assert_eq!(lease["spec"]["leaseTransitions"], 2, "{lease}");
    let renewed = lease["spec"]["renewTime"].as_str().expect("a time");
    assert_eq!(
        renewed.split('.').nth(1).map(str::len),
        Some(7),
        "microseconds and Z: {renewed}"
    );

    // One that ends gives it back, and the next one need not wait.
    let (mut third, _, _) = fake.replica("third");
    second_stop.cancel();
    second_task.await.expect("it ends");
    assert!(!second.leads());
    until(&mut third, true).await;
}

#[tokio::test]
async fn one_that_cannot_renew_stops_to_write_and_begins_again() {
    let fake = Fake::start().await;
    let (mut leadership, ..) = fake.replica("only");
    until(&mut leadership, true).await;
    fake.shown.lock().expect("not poisoned").is_away = true;
    until(&mut leadership, false).await;
    let (_, lead) = leadership.election().expect("an election");
    assert!(lead.error.is_some(), "{lead:?}");
    fake.shown.lock().expect("not poisoned").is_away = false;
    until(&mut leadership, true).await;
}

#[tokio::test]
async fn without_an_election_everybody_writes() {
    assert!(Leadership::default().leads() && Leadership::default().election().is_none());
}
