//! `GET /health`, `/ready` and `/metrics`, which are open to all.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::ProblemBody;
use super::pieces::SharedPieces;
use super::problem::{self, Problem};
use super::{ApiState, Serving, pieces};
use crate::journal::{StorageState, StorageStatus};
use crate::observe::metrics::Metrics;
use crate::source::{Registry, SourceState};

/// How the server is.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// `ok`, or `ready`.
    status: &'static str,
    /// The state of the database, where it takes no changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<&'static str>,
    /// Why it takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Sources whose world is away: what they said last is served.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    degraded: Vec<DegradedSource>,
}

/// A source whose world is away.
#[derive(Serialize, ToSchema)]
pub(super) struct DegradedSource {
    /// Its kind and name.
    source: String,
    /// How many seconds old what is served of it is.
    age: Option<u64>,
    /// What is wrong.
    error: Option<String>,
}

impl Status {
    fn of(status: &'static str) -> Self {
        Self {
            status,
            storage: None,
            reason: None,
            degraded: Vec::new(),
        }
    }
}

/// 200 while the process runs.
#[utoipa::path(
    get, path = "/health", operation_id = "health", tag = "probes", security(()),
    responses((status = 200, description = "The process runs", body = Status))
)]
pub(super) async fn health() -> Response {
    pieces::json(StatusCode::OK, &Status::of("ok"))
}

/// 200 once sockets and tables serve and the records in the database are read.
#[utoipa::path(
    get, path = "/ready", operation_id = "ready", tag = "probes", security(()),
    responses(
        (status = 200, description = "The server answers", body = Status),
        (status = 503, description = "`not_ready`, with the reason", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn ready(State(state): State<ApiState>) -> Response {
    let StorageStatus {
        state: storage, reason, ..
    } = state.0.readiness.storage();
    if let Some(reason) = state.0.readiness.not_ready() {
        return problem::not_ready(reason)
            .member("storage", storage.label())
            .into_response();
    }
    let mut status = Status::of("ready");
    if storage != StorageState::Open {
        // Ready, but no change can be made.
        status.storage = Some(storage.label());
        status.reason = reason.as_deref().map(str::to_owned);
    }
    let serving = state.0.serving.get();
    status.degraded = serving.map_or_else(Vec::new, |serving| degraded(&serving.sources));
    pieces::json(StatusCode::OK, &status)
}

/// The same as `/health`, under the name that Kubernetes uses.
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "probes", security(()),
    responses((status = 200, description = "The process runs", body = Status))
)]
pub(super) async fn healthz() -> Response {
    health().await
}

/// The same as `/ready`, under the name that Kubernetes uses. With `kubernetes.readyz: peers` it is 503 also while the
/// Kubernetes API or the DNS API of a target is away.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "probes", security(()),
    responses(
        (status = 200, description = "The server answers", body = Status),
        (status = 503, description = "`not_ready`, with the reason", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn readyz(state: State<ApiState>) -> Response {
    let away = state.0.0.serving.get().and_then(away);
    match away.filter(|_| state.0.0.readiness.not_ready().is_none()) {
        Some(reason) => problem::not_ready(reason).into_response(),
        None => ready(state).await,
    }
}

/// What `/readyz` needs and is away.
fn away(serving: &Serving) -> Option<String> {
    if !serving.cluster.readyz_needs_peers {
        return None;
    }
    let sources = serving.sources.iter().filter_map(|source| {
        let report = source.status.report();
        let is_cluster = source.status.source().kind() == "kubernetes";
        let is_away = !report.state.is_settled();
        (is_cluster && is_away).then(|| {
            let reason = report.error.unwrap_or_else(|| report.state.label().to_owned());
            format!("the Kubernetes API of {}: {reason}", source.status.source().key())
        })
    });
    let targets = serving.targets.away().into_iter();
    let all: Vec<String> = sources
        .chain(targets.map(|(target, reason)| format!("the DNS API of {target}: {reason}")))
        .collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// What is said of a source that is held.
fn held(version: u64) -> String {
    format!("it was put back to version {version}, and is held there")
}

fn degraded(sources: &Registry) -> Vec<DegradedSource> {
    let degraded = sources.iter().filter_map(|source| {
        let report = source.status.report();
        let is_degraded = matches!(
            report.state,
            SourceState::Degraded | SourceState::Held | SourceState::Stopped
        );
        is_degraded.then(|| DegradedSource {
            source: source.status.source().key(),
            age: report.age(std::time::SystemTime::now()),
            error: report.error.or_else(|| report.held.map(held)),
        })
    });
    degraded.collect()
}

/// Metrics in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "probes", security(()),
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "text/plain"),
        (status = 503, description = "`not_ready`: the server starts", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn metrics(State(state): State<ApiState>) -> Result<Response, Problem> {
    let text = state.0.scrapes.text(&state.serving()?.metrics).await;
    let text = text.map_err(|error| Problem::internal(&error.to_string()))?;
    let mut response = Response::new(Body::new(SharedPieces::new(&text)));
    let content_type = HeaderValue::from_static(Metrics::content_type());
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}
