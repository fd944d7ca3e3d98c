//! Traces of what the control plane does, for OpenTelemetry: requests, change sets, transactions, publications,
//! reloads, lists of sources.
//!
//! ```text
//! info_span!(target: "otel", …) ─ nobody has asked for traces: nothing is done
//!                └─ tracing.otlp ─► layer ─► batches, a thread of its own ─ protobuf over HTTP ─► collector
//! ```
//!
//! Spans have a target of their own, which the log leaves out. What follows them is compiled with the feature `otel`
//! alone; without it nobody ever asks.

#[cfg(feature = "otel")]
mod exporter;

use axum::http::HeaderMap;
use tracing::{Span, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config::TracingConfig;

/// The target of all spans.
pub(crate) const TARGET: &str = "otel";

/// What a subscriber hands spans to.
pub(crate) type SpanLayer<S> = Box<dyn Layer<S> + Send + Sync>;

/// What takes spans and sends them; `None` where nobody wants them.
#[cfg(feature = "otel")]
pub(crate) fn layer<S>(config: &TracingConfig) -> Result<Option<SpanLayer<S>>, String>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    config.otlp.as_deref().map(exporter::layer).transpose()
}

/// What takes spans and sends them: nothing does.
#[cfg(not(feature = "otel"))]
pub(crate) fn layer<S>(_config: &TracingConfig) -> Result<Option<SpanLayer<S>>, String>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    Ok(None)
}

/// Makes the span a part of the trace that a request's `traceparent` names (W3C Trace Context), if it names one.
pub(crate) fn continue_trace(span: &Span, headers: &HeaderMap) {
    #[cfg(feature = "otel")]
    exporter::continue_trace(span, headers);
    #[cfg(not(feature = "otel"))]
    let _ = (span, headers);
}

/// Sends what has not been sent, as far as somebody takes it.
pub(crate) fn end() {
    #[cfg(feature = "otel")]
    exporter::end();
}
