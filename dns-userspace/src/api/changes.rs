//! `POST /api/v1/changes`: many edits, whole or not at all.

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{self, LARGE_LIMIT_BYTES, parse_note};
use super::edits::{self, Differing, EditBody, ShownDifference, unified};
use super::media::{Format, prefers};
use super::openapi::ProblemBody;
use super::parameters::Parameters;
use super::problem::Problem;
use super::records::principal;
use super::trial::{self, Compared};
use super::{ApiState, pieces, preconditions};
use crate::control::{ControlError, Outcome};
use crate::model::source::SourceId;
use crate::store::{ChangeSet, Edit, Refused, Terms};

/// Edits of one set at most.
const MOST_EDITS: usize = 100_000;

/// Edits that are made together.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChangeSet)]
pub(super) struct ChangesBody {
    /// In this order, each on top of those before it.
    #[schema(min_items = 1)]
    edits: Vec<EditBody>,
    comment: Option<String>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    takeover: bool,
}

/// The same with edits that are not read yet, to say which one is at fault.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnreadChanges {
    edits: Vec<Value>,
    comment: Option<String>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    takeover: bool,
}

impl ChangesBody {
    /// Reads a body. Errors name the edit.
    fn read(octets: &[u8], format: Format) -> Result<Self, Problem> {
        let count = |edits: usize| match edits {
            1..=MOST_EDITS => Ok(()),
            _ => {
                let detail = format!("`edits` has 1 to {MOST_EDITS} edits");
                Err(Problem::bad_request("invalid_body", detail))
            }
        };
        // Nearly all bodies have no fault, and are read in one go.
        if format == Format::Json
            && let Ok(read) = body::parse::<Self>(octets, format)
        {
            return count(read.edits.len()).map(|()| read);
        }
        let unread: UnreadChanges = body::parse(octets, format)?;
        count(unread.edits.len())?;
        let edits = unread.edits.into_iter().enumerate().map(|(place, value)| {
            serde_json::from_value(value).map_err(|error| {
                let problem = Problem::bad_request("invalid_body", error.to_string());
                problem.at(format!("/edits/{place}"))
            })
        });
        Ok(Self {
            edits: edits.collect::<Result<_, _>>()?,
            comment: unread.comment,
            force: unread.force,
            takeover: unread.takeover,
        })
    }
}

/// What a change set did, or would do.
#[derive(Serialize, ToSchema)]
#[schema(as = Changed)]
pub(super) struct ChangesAnswer {
    version: u64,
    diff: Vec<ShownDifference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// With `dry_run`: what is answered, and what would be, for each name, type and view that differs; the first 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<Vec<Compared>>,
    /// With `dry_run`: how many more there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    more_answers: Option<usize>,
}

/// Makes many edits, whole or not at all.
#[utoipa::path(
    post, path = "/api/v1/changes", operation_id = "change", tag = "records",
    params(("dry_run" = Option<bool>, Query, description = "Says what it would do, and does nothing")),
    request_body = ChangesBody,
    responses(
        (status = 200, description = "What changed; as text by `Accept: text/plain`",
            content((ChangesAnswer = "application/json"), (String = "text/plain"))),
        (status = 409, description = "An edit cannot be made: `pointer` says which", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: an edit deletes what is not there", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 412, description = "`version_conflict`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 422, description = "`deletion_guard`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn changes(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let serving = state.serving()?;
    preconditions::refuse(&parts.headers)?;
    let parameters = Parameters::read(&parts.uri, &["dry_run"])?;
    let dry_run = parameters.flag("dry_run")?;
    let format = Format::of_body(&parts.headers)?;
    let (octets, _held) = body::read(&state, &parts, body, LARGE_LIMIT_BYTES).await?;
    let asked = ChangesBody::read(&octets, format)?;
    drop(octets);
    let snapshot = state.served()?;
    let mut terms = Terms {
        comment: asked.comment.map(parse_note).transpose()?.map(Into::into),
        takeover: asked.takeover,
        force: asked.force,
        ..Terms::default()
    };
    let mut edits = Vec::with_capacity(asked.edits.len());
    let template = serving.zones.load();
    for (place, edit) in asked.edits.into_iter().enumerate() {
        let read = edits::read(&snapshot, &template, place, edit);
        let read = read.map_err(|problem| problem.at(format!("/edits/{place}")))?;
        edits.push(read.edit);
        terms.expects.extend(read.expects);
    }
    drop((snapshot, template));
    let outcome = submit(&state, &parts, edits, terms, dry_run).await?;
    answer(&state, &parts, &outcome, Vec::new()).await
}

/// Makes the edits under the deletion guard, or tries them. Errors name the edit.
pub(super) async fn submit(
    state: &ApiState,
    parts: &Parts,
    edits: Vec<Edit>,
    terms: Terms,
    dry_run: bool,
) -> Result<Outcome, Problem> {
    let control = state.serving()?.control.by(principal(parts)?).on(Terms {
        is_guarded: true,
        ..terms
    });
    let set = ChangeSet {
        source: SourceId::api(),
        actor: control.principal().name().clone(),
        edits,
    };
    let outcome = match dry_run {
        true => control.try_out(set).await,
        false => control.change(set).await,
    };
    outcome.map_err(problem_of_edit)
}

/// The problem of a change set, with the edit that is at fault.
pub(super) fn problem_of_edit(error: ControlError) -> Problem {
    let edit = match &error {
        ControlError::Refused(refused) if refused.edit != Refused::ALL => Some(refused.edit),
        ControlError::Forbidden(forbidden) => Some(forbidden.edit),
        _ => None,
    };
    let problem = Problem::from(error);
    match edit {
        Some(edit) => problem.at(format!("/edits/{edit}")),
        None => problem,
    }
}

/// What became of a set, or would: as JSON, or as a text for people.
pub(super) async fn answer(
    state: &ApiState,
    parts: &Parts,
    outcome: &Outcome,
    warnings: Vec<String>,
) -> Result<Response, Problem> {
    let dry_run = outcome.trial.is_some();
    if prefers(&parts.headers, &["text/plain"]) {
        let to = match dry_run {
            true => "as it would be".to_owned(),
            false => format!("version {}", outcome.version),
        };
        let from = outcome
            .version
            .saturating_sub(u64::from(!dry_run && !outcome.diff.is_empty()));
        let text = unified(from, &to, outcome.diff.iter().map(Differing::from));
        let mut response = text.into_response();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        return Ok(response);
    }
    let compared = trial::compare(state, parts, outcome).await?;
    let shown = outcome.diff.iter().map(|edited| Differing::from(edited).shown());
    let answer = ChangesAnswer {
        version: outcome.version,
        diff: shown.collect(),
        warnings,
        more_answers: compared.as_ref().map(|compared| compared.more),
        answers: compared.map(|compared| compared.answers),
    };
    Ok(pieces::json(StatusCode::OK, &answer))
}
