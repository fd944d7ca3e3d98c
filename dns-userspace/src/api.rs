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

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use self::admission::Admissions;
use self::problem::Problem;
use self::rate::Rates;
use self::scrape::Scrapes;
use crate::cluster::ObjectAdmission;
use crate::config::ZoneTemplate;
use crate::control::{ControlHandle, History};
use crate::journal::{Nodes, SharedTokens, awaited};
use crate::model::snapshot::Snapshot;
use crate::observe::metrics::Metrics;
use crate::observe::readiness::Readiness;
use crate::principal::Credentials;
use crate::resolve::Forwarder;
use crate::source::Registry;
use crate::target::Targets;
use crate::tls::Certificates;

mod access;
mod admission;
mod audit;
mod authentication;
mod backup;
mod body;
mod cache;
mod changes;
mod connection;
mod debug;
mod docs;
mod edits;
mod explain;
mod history;
mod hosted;
mod listing;
mod media;
mod nodes;
mod objects;
mod openapi;
mod page;
mod parameters;
mod patience;
mod pieces;
mod preconditions;
mod probes;
mod problem;
mod rate;
mod records;
mod refusal;
mod rules;
mod upstreams;
mod scrape;
mod search;
mod security;
mod sources;
mod templates;
mod targets;
mod tokens;
mod top;
mod trace;
mod trial;
mod ui;
mod watch;
mod webhook;
mod zones;

use crate::observe::figures::HttpFigures;
pub use connection::{Listeners, serve};
pub use explain::Inside;

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
    /// What answers for names that are not ours by now, where something does.
    pub forwarder: Arc<dyn Fn() -> Option<Arc<Forwarder>> + Send + Sync>,
    /// The watched sources.
    pub sources: Arc<Registry>,
    /// What the server can say of itself.
    pub inside: Option<Inside>,
    /// What a zone has that is made by its name alone.
    pub zones: Arc<ArcSwap<ZoneTemplate>>,
    /// What was published lately.
    pub history: Arc<History>,
    /// The nodes that share an etcd; `None`: this one is alone.
    pub nodes: Option<Arc<Nodes>>,
    /// The tokens that these nodes share; `None`: this one is alone.
    pub tokens: Option<SharedTokens>,
    /// Where names go besides.
    pub targets: Arc<Targets>,
    /// What it is to a cluster.
    pub cluster: InCluster,
}

/// What the server is to a cluster.
#[derive(Default)]
pub struct InCluster {
    /// Whether `/readyz` asks for the Kubernetes API and for the DNS APIs of targets, too.
    pub readyz_needs_peers: bool,
    /// Looks at objects before the cluster takes them, where that is configured.
    pub admission: Option<ObjectAdmission>,
}

/// Everything that requests need. The probes are answered from the start; all else gets 503 until [`ApiState::start`].
#[derive(Clone)]
pub struct ApiState(Arc<Shared>);

struct Shared {
    credentials: ArcSwap<Credentials>,
    rates: ArcSwap<Rates>,
    readiness: Arc<Readiness>,
    serving: OnceLock<Serving>,
    admissions: Arc<Admissions>,
    figures: Arc<HttpFigures>,
    scrapes: Scrapes,
    /// Room for bodies of requests, all clients' together; see [`body`].
    bodies: Arc<Semaphore>,
    /// Lists that are made at a time.
    lists: Arc<Semaphore>,
    /// Passwords that are checked at a time.
    checks: Arc<Semaphore>,
    /// Clients that watch at a time.
    watchers: Arc<Semaphore>,
    /// The end of the server, once it serves.
    stopping: OnceLock<CancellationToken>,
    /// What is shown to clients over TLS, by the key that asks for it.
    certificates: OnceLock<Vec<(&'static str, Arc<Certificates>)>>,
}

impl ApiState {
    /// For a server that starts, and says in `readiness` how far it is. `rate` is how many requests a second each
    /// principal may send, and how many at once.
    pub fn new(credentials: Credentials, rate: Option<(u32, u32)>, readiness: Arc<Readiness>) -> Self {
        let figures: Arc<HttpFigures> = Arc::default();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Shared {
            credentials: ArcSwap::from_pointee(credentials),
            rates: ArcSwap::from_pointee(Rates::new(rate)),
            readiness,
            serving: OnceLock::new(),
            admissions: Arc::new(Admissions::new(Arc::clone(&figures))),
            figures,
            scrapes: Scrapes::default(),
            bodies: Arc::new(Semaphore::new(body::MOST_UNITS)),
            lists: Arc::new(Semaphore::new(processors)),
            checks: Arc::new(Semaphore::new((processors / 2).max(1))),
            watchers: Arc::new(Semaphore::new(watch::MOST_WATCHERS)),
            stopping: OnceLock::new(),
            certificates: OnceLock::new(),
        }))
    }

    /// These certificates are shown to clients, for [`debug::tls`]. A second call changes nothing.
    pub(crate) fn tell_certificates(&self, certificates: Vec<(&'static str, Arc<Certificates>)>) {
        let _ = self.0.certificates.set(certificates);
    }

    /// Clients show one of these from now on.
    pub fn replace_credentials(&self, credentials: Credentials) {
        self.0.credentials.store(Arc::new(credentials));
    }

    /// So many requests a second each principal may send from now on, and so many at once.
    pub fn replace_rate(&self, rate: Option<(u32, u32)>) {
        self.0.rates.store(Arc::new(Rates::new(rate)));
    }

    /// What clients may show to say who they are.
    fn credentials(&self) -> Arc<Credentials> {
        self.0.credentials.load_full()
    }

    /// What answers for names that are not ours, where something does; 503 before it is known.
    fn forwarder(&self) -> Result<Option<Arc<Forwarder>>, Problem> {
        Ok((self.serving()?.forwarder)())
    }

    /// What is counted of connections.
    pub fn figures(&self) -> &Arc<HttpFigures> {
        &self.0.figures
    }

    /// From here on the API and the metrics answer. A second call changes nothing.
    pub fn start(&self, serving: Serving) {
        let _ = self.0.serving.set(serving);
    }

    /// Keeps the tokens of this server in step with those that nodes share, for as long as it is polled.
    pub async fn follow_tokens(&self, shared: SharedTokens) {
        tokens::follow(self, &shared).await;
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

    /// What the server can say of itself; 503 before it knows.
    fn inside(&self) -> Result<&Inside, Problem> {
        let inside = self.serving()?.inside.as_ref();
        inside.ok_or_else(|| problem::not_ready("nothing answers queries"))
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
    routes()
        .router
        .method_not_allowed_fallback(problem::method_not_allowed)
        .fallback(problem::no_such_path)
        .layer(from_fn_with_state(state.clone(), around))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .with_state(state)
}

/// What is done before and after each handler, the outermost last. It is one layer: each layer of a router is cloned
/// and boxed for each request.
async fn around(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let answer = |request| media::yaml_out(request, |request| next.run(request));
    let answer = |request| nodes::wait(&state, request, answer);
    let answer = |request| access::check(&state, request, answer);
    let answer = |request| audit::log(request, answer);
    trace::span(request, answer).await
}

/// A router that knows its paths, for the test that each is in the OpenAPI document.
#[derive(Default)]
struct Routes {
    router: Router<ApiState>,
    paths: Vec<&'static str>,
}

impl Routes {
    fn route(mut self, path: &'static str, methods: MethodRouter<ApiState>) -> Self {
        self.paths.push(path);
        self.router = self.router.route(path, methods);
        self
    }
}

fn routes() -> Routes {
    let routes = Routes::default()
        .route("/health", get(probes::health))
        .route("/healthz", get(probes::healthz))
        .route("/ready", get(probes::ready))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics))
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(docs::page))
        .route("/docs/page.js", get(docs::script))
        .route("/docs/page.css", get(docs::style))
        .route("/ui", get(ui::redirect))
        .route("/ui/", get(ui::page))
        .route("/ui/page.js", get(ui::script))
        .route("/ui/page.css", get(ui::style))
        .route("/api/v1/records", get(records::list).post(records::create))
        .route(
            "/api/v1/records/{name}",
            get(records::show).put(records::put).delete(records::delete),
        )
        .route("/api/v1/cache", get(cache::list).delete(cache::flush))
        .route("/api/v1/rules", get(rules::list))
        .route("/api/v1/rules/{name}/pause", post(rules::pause))
        .route("/api/v1/upstreams", get(upstreams::list))
        .route("/api/v1/upstreams/names", get(upstreams::names))
        .route("/api/v1/reload", post(records::reload))
        .route("/api/v1/backup", get(backup::backup))
        .route("/api/v1/explain", get(explain::explain))
        .route("/api/v1/test-dns", get(explain::test_dns))
        .route("/api/v1/config", get(explain::config))
        .route("/api/v1/nodes", get(nodes::list))
        .route("/api/v1/nodes/accept", post(nodes::accept))
        .route("/api/v1/top", get(top::top))
        .route("/api/v1/debug/name", get(debug::name))
        .route("/api/v1/debug/connections", get(debug::connections))
        .route("/api/v1/debug/limits", get(debug::limits))
        .route("/api/v1/debug/tls", get(debug::tls))
        .route("/api/v1/sources", get(sources::list))
        .route("/api/v1/sources/{kind}/{name}/sync", post(sources::sync))
        .route("/api/v1/sources/{kind}/{name}/rollback", post(sources::rollback))
        .route("/api/v1/sources/{kind}/{name}/resume", post(sources::resume))
        .route("/api/v1/sources/{kind}/{name}/disagreements", get(sources::compare))
        .route("/api/v1/sources/{kind}/{name}/adopt", post(objects::adopt))
        .route("/api/v1/kubernetes/objects", get(objects::explain))
        .route("/api/v1/targets", get(targets::list))
        .route("/kubernetes/validate", post(webhook::validate))
        .route("/api/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/api/v1/tokens/{id}", delete(tokens::delete))
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
        .route("/v1/zones/{zone}/reload", post(hosted::reload));
    #[cfg(test)]
    let routes = routes.route("/api/v1/panic", get(tests::panics));
    routes
}

#[cfg(test)]
mod tests;
