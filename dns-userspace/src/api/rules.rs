//! `GET /api/v1/rules` and `POST /api/v1/rules/{name}/pause`.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use humantime_serde::re::humantime;
use serde::Serialize;
use utoipa::ToSchema;

use super::cache::in_background;
use super::connection::Peer;
use super::openapi::ProblemBody;
use super::parameters::Parameters;
use super::problem::Problem;
use super::{ApiState, access, pieces};
use crate::principal::Principal;
use crate::rules::{RuleBook, ShownRule};

/// How long a rule is off where the request does not say.
const PAUSE: Duration = Duration::from_secs(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(7 * 86_400);

/// All rules.
#[derive(Serialize, ToSchema)]
#[schema(as = RuleList)]
pub(super) struct Listed {
    rules: Vec<ShownRule>,
}

/// A rule that is off for a time.
#[derive(Serialize, ToSchema)]
#[schema(as = PausedRule)]
pub(super) struct Paused {
    /// The rule.
    name: String,
    /// For how many seconds.
    paused_for: u64,
}

/// The rules, in their order.
#[utoipa::path(
    get, path = "/api/v1/rules", operation_id = "listRules", tag = "forwarding",
    responses((status = 200, description = "All rules", body = Listed))
)]
pub(super) async fn list(State(state): State<ApiState>, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let rules = book(&state)?.map_or_else(Vec::new, |book| book.list());
    Ok(pieces::json(StatusCode::OK, &Listed { rules }))
}

/// Switches a rule off for a time.
#[utoipa::path(
    post, path = "/api/v1/rules/{name}/pause", operation_id = "pauseRule", tag = "forwarding",
    params(
        ("name" = String, Path, description = "The rule"),
        ("for" = Option<String>, Query, description = "A time with its unit, from 0s, which ends a pause, to 7d; 5m"),
        ("Content-Type" = Option<String>, Header,
            description = "`application/json` is needed where no credential is, though there is no body"),
    ),
    responses(
        (status = 200, description = "The rule is off", body = Paused),
        (status = 404, description = "`not_found`: there is no such rule", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn pause(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    peer: Option<Extension<Peer>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "a pause of a rule")?;
    access::refuse_pages(&state, peer.as_deref(), &headers)?;
    let parameters = Parameters::read(&uri, &["for"])?;
    let time = match parameters.get("for") {
        None => Some(PAUSE),
        Some(text) => humantime::parse_duration(text)
            .ok()
            .filter(|time| *time <= LONGEST_PAUSE),
    };
    let time = time.ok_or_else(|| {
        Problem::bad_request(
            "invalid_parameter",
            "`for` is a time from 0s, which ends a pause, to 7d, such as 5m",
        )
    })?;
    let is_there = match book(&state)? {
        None => false,
        // It waits until nothing is given any more that the rule says.
        Some(book) => {
            let name = name.clone();
            in_background(move || book.pause(&name, time)).await?
        }
    };
    if !is_there {
        let detail = format!("there is no rule `{name}`; GET /api/v1/rules lists them");
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail));
    }
    tracing::info!(rule = name, seconds = time.as_secs(), "a rule is paused");
    let paused_for = time.as_secs();
    Ok(pieces::json(StatusCode::OK, &Paused { name, paused_for }))
}

fn book(state: &ApiState) -> Result<Option<Arc<RuleBook>>, Problem> {
    let forwarder = state.forwarder()?;
    Ok(forwarder.map(|forwarder| Arc::clone(forwarder.rules())))
}
