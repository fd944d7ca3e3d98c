//! `GET /api/v1/rules` and `POST /api/v1/rules/{name}/pause`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use humantime_serde::re::humantime;
use serde::Serialize;

use super::body::require_json;
use super::parameters::Parameters;
use super::problem::Problem;
use super::{ApiState, pieces};
use crate::rules::{RuleBook, ShownRule};

/// How long a rule is off where the request does not say.
const PAUSE: Duration = Duration::from_secs(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(7 * 86_400);

#[derive(Serialize)]
struct Listed {
    rules: Vec<ShownRule>,
}

#[derive(Serialize)]
struct Paused {
    name: String,
    paused_for: u64,
}

/// `GET /api/v1/rules`
pub(super) async fn list(State(state): State<ApiState>, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let rules = book(&state)?.map_or_else(Vec::new, |book| book.list());
    Ok(pieces::json(StatusCode::OK, &Listed { rules }))
}

/// `POST /api/v1/rules/{name}/pause`
pub(super) async fn pause(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &["for"])?;
    // It has no body; the header keeps web pages from making this call where there is no token to do so.
    if state.0.token.is_none() {
        require_json(&headers)?;
    }
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
    if !book(&state)?.is_some_and(|book| book.pause(&name, time)) {
        let detail = format!("there is no rule `{name}`; GET /api/v1/rules lists them");
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail));
    }
    tracing::info!(rule = name, seconds = time.as_secs(), "a rule is paused");
    let paused_for = time.as_secs();
    Ok(pieces::json(StatusCode::OK, &Paused { name, paused_for }))
}

fn book(state: &ApiState) -> Result<Option<Arc<RuleBook>>, Problem> {
    let forwarder = state.serving()?.forwarder.as_ref();
    Ok(forwarder.map(|forwarder| Arc::clone(forwarder.rules())))
}
