//! Spans on their way to a collector. Our HTTP client carries them: the exporter's own would be a second one.

use std::error::Error;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Span, Subscriber, info, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;
use ureq::Agent;

use super::{SpanLayer, TARGET};
use crate::host::privileges;
use crate::observe::gelf::host_name;

/// How long a collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last one.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
/// The most octets of a collector's answer that are read.
const MOST_OF_ANSWER: u64 = 64 << 10;

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// A layer that sends spans to this URL.
pub(super) fn layer<S>(url: &str) -> Result<SpanLayer<S>, String>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Carrier::new())
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(url)
        .with_timeout(PATIENCE)
        .build()
        .map_err(|error| error.to_string())?;
    let resource = Resource::builder()
        .with_service_name("hotdns")
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("host.name", host_name()),
        ])
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build();
    let tracer = provider.tracer("hotdns");
    // A second one is a test's.
    let _ = PROVIDER.set(provider);
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false);
    let ours = Targets::new().with_target(TARGET, LevelFilter::INFO);
    Ok(layer.with_filter(ours).boxed())
}

pub(super) fn continue_trace(span: &Span, headers: &HeaderMap) {
    let context = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    // It fails where nobody listens to the span, and then there is no trace.
    let _ = span.set_parent(context);
}

pub(super) fn end() {
    if let Some(provider) = PROVIDER.get() {
        // The process ends, whether or not somebody takes them.
        let _ = provider.shutdown_with_timeout(LAST_PATIENCE);
    }
}

/// Carries batches to the collector. It blocks: the exporter's thread has nothing else to do.
#[derive(Debug)]
struct Carrier {
    agent: Agent,
    /// Whether the log has said that the collector takes none.
    is_failing: AtomicBool,
}

impl Carrier {
    fn new() -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false);
        Self {
            agent: config.build().into(),
            is_failing: AtomicBool::new(false),
        }
    }

    fn carry(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, body.to_vec());
        let (parts, mut body) = self.agent.run(request)?.into_parts();
        let octets = body.with_config().limit(MOST_OF_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(parts, octets.into()))
    }

    fn note(&self, trouble: Option<&str>) {
        let was_failing = self.is_failing.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(trouble) if !was_failing => {
                warn!("the collector of `tracing.otlp` takes no traces, and these are lost: {trouble}");
            }
            None if was_failing => info!("the collector of `tracing.otlp` takes traces again"),
            _ => {}
        }
    }
}

impl Carrier {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The library has made this thread, before the process gave its privileges up.
        privileges::keep_nothing();
        match self.carry(request) {
            Ok(response) if response.status().is_success() => {
                self.note(None);
                Ok(response)
            }
            Ok(response) => {
                let trouble = format!("it answers {}", response.status());
                self.note(Some(&trouble));
                Err(trouble.into())
            }
            Err(error) => {
                self.note(Some(&error.to_string()));
                Err(Box::<dyn Error + Send + Sync>::from(error))
            }
        }
    }
}

type Sent<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

// What the macro `async_trait` would make of an `async fn`.
impl HttpClient for Carrier {
    fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> Sent<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(self.send(request)))
    }
}
