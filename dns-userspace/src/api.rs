//! The HTTP API, the probes and the metrics. `docs/http-api.md` is its reference.
//!
//! ```text
//! listener ─ admission ─ connection (limits, timeouts, problem bodies for bad HTTP) ─ panics become 500
//!            ─ access (token, or loopback alone) ─ handlers ─ GET     ► the published snapshot
//!                                                           └ changes ► the writer (control)
//! ```
//!
//! What clients may cost is bounded for all of them together: connections (`admission`), the time for which they may
//! let the server wait (`connection`, `body`, `patience`), what is held of answers (`pieces`, `scrape`, `page`) and of
//! requests (`body`).
//!
//! Every error is an RFC 9457 problem with a member `code`, whoever found it: a handler, the router, or the HTTP
//! parser.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use self::admission::Admissions;
use self::pieces::SharedPieces;
use self::problem::Problem;
use self::scrape::Scrapes;
use crate::config::ZoneTemplate;
use crate::control::{ControlHandle, History};
use crate::journal::{StorageState, StorageStatus, awaited};
use crate::model::snapshot::Snapshot;
use crate::observe::metrics::Metrics;
use crate::observe::readiness::Readiness;
use crate::principal::TokenFile;
use crate::source::{Registry, SourceState};

mod access;
mod admission;
mod backup;
mod body;
mod changes;
mod connection;
mod edits;
mod history;
mod hosted;
mod listing;
mod media;
mod page;
mod parameters;
mod patience;
mod pieces;
mod preconditions;
mod problem;
mod records;
mod refusal;
mod scrape;
mod sources;
mod templates;
mod watch;
mod zones;

use crate::observe::figures::HttpFigures;
pub use connection::serve;

/// The most connections that HTTP has a use for.
pub const MAX_CONNECTIONS: usize = admission::MAX_CONNECTIONS;
/// The connections that HTTP has room for in any case.
pub const MIN_CONNECTIONS: usize = admission::MIN_CONNECTIONS;

/// What GET requests see.
#[derive(Clone)]
pub struct View {
    /// The published snapshot.
    pub snapshot: Arc<dyn Fn() -> Arc<Snapshot> + Send + Sync>,
}

/// What there is once the server has started.
pub struct Serving {
    /// Makes changes.
    pub control: ControlHandle,
    /// Answers GET requests.
    pub view: View,
    /// `GET /metrics`.
    pub metrics: Arc<Metrics>,
    /// What a zone has that is made by its name alone.
    pub zones: ZoneTemplate,
    /// What was published lately.
    pub history: Arc<History>,
    /// The watched sources.
    pub sources: Arc<Registry>,
}

/// Everything that requests need. The probes are answered from the start; all else gets 503 until [`ApiState::start`].
#[derive(Clone)]
pub struct ApiState(Arc<Shared>);

struct Shared {
    token: Option<Arc<TokenFile>>,
    readiness: Arc<Readiness>,
    serving: OnceLock<Serving>,
    admissions: Arc<Admissions>,
    figures: Arc<HttpFigures>,
    scrapes: Scrapes,
    /// Room for bodies of requests, all clients' together; see [`body`].
    bodies: Arc<Semaphore>,
    /// Lists that are made at a time.
    lists: Arc<Semaphore>,
    /// Clients that watch at a time.
    watchers: Arc<Semaphore>,
    /// The end of the server, once it serves.
    stopping: OnceLock<CancellationToken>,
}

impl ApiState {
    /// For a server that starts, and says in `readiness` how far it is; with `http.token_file`, where it is set.
    pub fn new(token: Option<Arc<TokenFile>>, readiness: Arc<Readiness>) -> Self {
        let figures: Arc<HttpFigures> = Arc::default();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Shared {
            token,
            readiness,
            serving: OnceLock::new(),
            admissions: Arc::new(Admissions::new(Arc::clone(&figures))),
            figures,
            scrapes: Scrapes::default(),
            bodies: Arc::new(Semaphore::new(body::MOST_UNITS)),
            lists: Arc::new(Semaphore::new(processors)),
            watchers: Arc::new(Semaphore::new(watch::MOST_WATCHERS)),
            stopping: OnceLock::new(),
        }))
    }

    /// What is counted of connections.
    pub fn figures(&self) -> &Arc<HttpFigures> {
        &self.0.figures
    }

    /// From here on the API and the metrics answer. A second call changes nothing.
    pub fn start(&self, serving: Serving) {
        let _ = self.0.serving.set(serving);
    }

    /// Makes room for so many connections, up to [`MAX_CONNECTIONS`]; before there is room for [`MIN_CONNECTIONS`].
    pub fn raise_room(&self, connections: usize) {
        self.0.admissions.raise(connections);
    }

    /// What there is; 503 before there is something.
    fn serving(&self) -> Result<&Serving, Problem> {
        let reason = || self.0.readiness.not_ready().unwrap_or_default();
        self.0.serving.get().ok_or_else(|| problem::not_ready(reason()))
    }

    /// What is served; 503 where that is not known yet.
    fn served(&self) -> Result<Arc<Snapshot>, Problem> {
        let snapshot = (self.serving()?.view.snapshot)();
        if snapshot.is_withheld {
            let reason = self.0.readiness.storage().reason;
            return Err(Problem::storage_locked(awaited(reason.as_deref())));
        }
        Ok(snapshot)
    }

    /// Is cancelled when the server stops.
    fn stopping(&self) -> CancellationToken {
        self.0.stopping.get().cloned().unwrap_or_default()
    }

    #[cfg(test)]
    fn bodies(&self) -> &Arc<Semaphore> {
        &self.0.bodies
    }

    fn admissions(&self) -> &Arc<Admissions> {
        &self.0.admissions
    }
}

/// All routes, with the access check and with problems for everything that can go wrong.
fn router(state: ApiState) -> Router {
    routes(Router::new())
        .method_not_allowed_fallback(problem::method_not_allowed)
        .fallback(problem::no_such_path)
        .layer(from_fn(media::yaml_out))
        .layer(from_fn_with_state(state.clone(), access::check))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .with_state(state)
}

fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = router
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/records", get(records::list).post(records::create))
        .route(
            "/api/v1/records/{name}",
            get(records::show).put(records::put).delete(records::delete),
        )
        .route("/api/v1/reload", post(records::reload))
        .route("/api/v1/backup", get(backup::backup))
        .route("/api/v1/changes", post(changes::changes))
        .route("/api/v1/history", get(history::list))
        .route("/api/v1/watch", get(watch::watch))
        .route("/api/v1/zones/{zone}/diff", get(history::diff))
        .route("/api/v1/zones/{zone}/rollback", post(history::rollback))
        .route("/api/v1/zones", get(zones::list).post(zones::create))
        .route("/api/v1/zones/{zone}", get(zones::show).delete(zones::delete))
        .route("/api/v1/zones/{zone}/export", get(zones::export))
        .route("/api/v1/zones/{zone}/import", post(zones::import))
        .route("/v1/zones", get(hosted::list).post(hosted::create))
        .route("/v1/zones/{zone}", delete(hosted::delete))
        .route(
            "/v1/zones/{zone}/records",
            get(hosted::records).post(hosted::upsert).delete(hosted::delete_record),
        )
        .route("/v1/zones/{zone}/reload", post(hosted::reload))
        .route("/api/v1/sources", get(sources::list))
        .route("/api/v1/sources/{kind}/{name}/sync", post(sources::sync));
    #[cfg(test)]
    let router = router.route("/api/v1/panic", get(tests::panics));
    router
}

async fn health() -> Response {
    axum::Json(serde_json::json!({"status": "ok"})).into_response()
}

async fn ready(State(state): State<ApiState>) -> Response {
    let StorageStatus {
        state: storage, reason, ..
    } = state.0.readiness.storage();
    if let Some(reason) = state.0.readiness.not_ready() {
        return problem::not_ready(reason)
            .member("storage", storage.label())
            .into_response();
    }
    let mut body = serde_json::json!({"status": "ready"});
    if storage != StorageState::Open {
        // Ready, but no change can be made.
        body["storage"] = storage.label().into();
        body["reason"] = reason.as_deref().into();
    }
    let degraded = state.0.serving.get().map(|serving| degraded(&serving.sources));
    if let Some(degraded) = degraded.filter(|degraded| !degraded.is_empty()) {
        body["degraded"] = degraded.into();
    }
    axum::Json(body).into_response()
}

/// Sources whose world is away: what they said last is served.
fn degraded(sources: &Registry) -> Vec<serde_json::Value> {
    let degraded = sources.iter().filter_map(|source| {
        let report = source.status.report();
        let is_degraded = matches!(report.state, SourceState::Degraded | SourceState::Stopped);
        is_degraded.then(|| {
            let age = report.age(std::time::SystemTime::now());
            serde_json::json!({"source": source.status.source().key(), "age": age, "error": report.error})
        })
    });
    degraded.collect()
}

async fn metrics(State(state): State<ApiState>) -> Result<Response, Problem> {
    let text = state.0.scrapes.text(&state.serving()?.metrics).await;
    let text = text.map_err(|error| Problem::internal(&error.to_string()))?;
    let mut response = Response::new(Body::new(SharedPieces::new(&text)));
    let content_type = HeaderValue::from_static(Metrics::content_type());
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

#[cfg(test)]
mod tests;
