//! `POST /kubernetes/validate`: a cluster asks whether it may take an object.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::body::read;
use super::openapi::ProblemBody;
use super::problem::Problem;
use super::{ApiState, pieces};

/// The largest review: an object of a cluster has at most 1.5 MiB, and a review may have it twice.
const MOST_OCTETS: usize = 4 << 20;

/// Refuses objects whose hosts are in none of the zones, or belong to an object in another namespace.
#[utoipa::path(
    post, path = "/kubernetes/validate", operation_id = "validateObject", tag = "sources", security(()),
    request_body(content = Value, description = "An AdmissionReview (`admission.k8s.io/v1`) with a request"),
    responses(
        (status = 200, description = "The AdmissionReview with its response", body = Value),
        (status = 400, description = "`invalid_request`: it is no AdmissionReview", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: `kubernetes.webhook` is not configured", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn validate(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let admission = state.serving()?.cluster.admission.as_ref().ok_or_else(|| {
        let detail = "`kubernetes.webhook` is not configured";
        Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
    })?;
    let (parts, body) = request.into_parts();
    let (body, _held) = read(&state, &parts, body, MOST_OCTETS).await?;
    let review: Option<Value> = serde_json::from_slice(&body).ok();
    let snapshot = state.served()?;
    let answer = review.and_then(|review| admission.review(&review, &snapshot));
    let answer = answer.ok_or_else(|| {
        let detail = "the body is no AdmissionReview of admission.k8s.io/v1 with a request";
        Problem::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    })?;
    Ok(pieces::json(StatusCode::OK, &answer))
}
