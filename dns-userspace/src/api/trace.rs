//! A span for each request to the API, for traces ([`crate::observe::traces`]). Probes and scrapes have none.

use axum::extract::Request;
use axum::response::Response;
use tracing::{Instrument, field, info_span};

use crate::observe::traces;

/// What is asked all the time, and changes nothing.
const WITHOUT: [&str; 5] = ["/health", "/healthz", "/metrics", "/ready", "/readyz"];

/// Answers a request within a span.
pub(super) async fn span<N, F>(request: Request, next: N) -> Response
where
    N: FnOnce(Request) -> F,
    F: Future<Output = Response>,
{
    let path = request.uri().path();
    if WITHOUT.contains(&path) {
        return next(request).await;
    }
    let span = info_span!(
        target: "otel",
        "request",
        otel.kind = "server",
        http.request.method = %request.method(),
        url.path = path,
        http.response.status_code = field::Empty,
    );
    if span.is_disabled() {
        return next(request).await;
    }
    traces::continue_trace(&span, request.headers());
    let response = next(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    response
}
