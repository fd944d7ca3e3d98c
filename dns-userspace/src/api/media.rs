//! JSON and YAML: bodies of requests in both, and answers in YAML for those who ask for it.

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// An answer up to this size is written as YAML in blocks. JSON is YAML too (YAML 1.2 §1.3): a larger answer stays as
/// it is, and is called what it was asked for.
const BLOCKS_BYTES: u64 = 1 << 20;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Yaml,
}

impl Format {
    /// How the body of a request is written. A web page can say neither without being asked first (CORS).
    pub(super) fn of_body(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        let only = match (types.next(), types.next()) {
            (Some(only), None) => essence(only),
            _ => None,
        };
        match only.as_deref() {
            Some("application/json") => Ok(Self::Json),
            Some("application/yaml" | "application/x-yaml" | "text/yaml") => Ok(Self::Yaml),
            _ => Err(unsupported("application/json")),
        }
    }
}

/// A media type in lower case, without its parameters.
pub(super) fn essence(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?.split(';').next()?;
    Some(text.trim().to_ascii_lowercase())
}

/// 415, with the type that there should be.
pub(super) fn unsupported(wanted: &'static str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("send the header `Content-Type: {wanted}`"),
    )
    .header(header::ACCEPT, wanted)
}

/// Whether a request asks for this type before JSON.
pub(super) fn prefers(headers: &HeaderMap, wanted: &[&str]) -> bool {
    let values = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let types = values.flat_map(|value| value.split(','));
    let mut types = types.map(|item| item.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let first = types.find(|item| wanted.contains(&item.as_str()) || item == "application/json" || item == "*/*");
    first.is_some_and(|first| wanted.contains(&first.as_str()))
}

/// Writes answers in YAML for those who ask for it.
pub(super) async fn yaml_out<N, F>(request: Request, next: N) -> Response
where
    N: FnOnce(Request) -> F,
    F: Future<Output = Response>,
{
    let wants_yaml = prefers(
        request.headers(),
        &["application/yaml", "application/x-yaml", "text/yaml"],
    );
    let response = next(request).await;
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(essence);
    if !wants_yaml || content_type.as_deref() != Some("application/json") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let yaml = HeaderValue::from_static("application/yaml");
    parts.headers.insert(header::CONTENT_TYPE, yaml);
    let is_short = body.size_hint().exact().is_some_and(|octets| octets <= BLOCKS_BYTES);
    if !is_short {
        return Response::from_parts(parts, body);
    }
    let blocks = async {
        let text = to_bytes(body, BLOCKS_BYTES as usize)
            .await
            .map_err(|error| error.to_string())?;
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        serde_saphyr::to_string(&value).map_err(|error| error.to_string())
    };
    match blocks.await {
        Ok(text) => {
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(text))
        }
        Err(error) => Problem::internal(&format!("an answer cannot be written as YAML: {error}")).into_response(),
    }
}
