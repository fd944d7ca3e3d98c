//! The HTTP API, the probes and the metrics. `docs/http-api.md` is its reference.
//!
//! ```text
//! listener ─ connection (limits, timeouts, problem bodies for bad HTTP) ─ panics become 500
//!            ─ access (token, or loopback alone) ─ handlers ─ GET     ► the published snapshot
//!                                                           └ changes ► the writer (control)
//! ```
//!
//! Every error is an RFC 9457 problem with a member `code`, whoever found it: a handler, the router, or the HTTP
//! parser.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::control::ControlHandle;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;

mod access;
mod body;
mod connection;
mod listing;
mod parameters;
mod problem;
mod records;
mod refusal;

pub use access::{TokenError, TokenFile};
pub use connection::serve;

/// What GET requests see.
#[derive(Clone)]
pub struct View {
    /// The published snapshot.
    pub snapshot: Arc<dyn Fn() -> Arc<Snapshot> + Send + Sync>,
}

/// Everything that requests need.
#[derive(Clone)]
pub struct ApiState {
    /// Makes changes.
    pub control: ControlHandle,
    /// Answers GET requests.
    pub view: View,
    /// `GET /metrics`.
    pub metrics: Arc<Metrics>,
    /// `GET /ready`: whether sockets and tables serve.
    pub ready: Arc<AtomicBool>,
    /// `http.token_file`, where it is set.
    pub token: Option<Arc<TokenFile>>,
}

/// All routes, with the access check and with problems for everything that can go wrong.
fn router(state: ApiState) -> Router {
    routes(Router::new())
        .method_not_allowed_fallback(problem::method_not_allowed)
        .fallback(problem::no_such_path)
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
        .route("/api/v1/reload", post(records::reload));
    #[cfg(test)]
    let router = router.route("/api/v1/panic", get(tests::panics));
    router
}

async fn health() -> Response {
    axum::Json(serde_json::json!({"status": "ok"})).into_response()
}

async fn ready(State(state): State<ApiState>) -> Response {
    if state.ready.load(Ordering::Acquire) {
        axum::Json(serde_json::json!({"status": "ready"})).into_response()
    } else {
        problem::Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_ready",
            "sockets and tables do not serve yet",
        )
        .into_response()
    }
}

async fn metrics(State(state): State<ApiState>) -> Response {
    match state.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, Metrics::content_type())], text).into_response(),
        Err(error) => problem::Problem::internal(&error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests;
