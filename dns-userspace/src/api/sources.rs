//! `/api/v1/sources`: the watched sources.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use humantime_serde::re::humantime::format_rfc3339_seconds;
use serde::Serialize;
use utoipa::ToSchema;

use super::connection::Peer;
use super::openapi::ProblemBody;
use super::parameters::{Parameters, segments};
use super::problem::Problem;
use super::{ApiState, access, history, pieces};
use crate::principal::Principal;
use crate::source::{CompareError, RegisteredSource, Registry};

/// All watched sources.
#[derive(Serialize, ToSchema)]
pub(super) struct SourceList {
    sources: Vec<SourceView>,
}

/// One of them.
#[derive(Serialize, ToSchema)]
#[schema(as = WatchedSource)]
pub(super) struct SourceView {
    kind: String,
    name: String,
    state: &'static str,
    /// Since when it is in that state (RFC 3339).
    since: String,
    /// The version that it was put back to, while it is held there.
    held: Option<u64>,
    /// When it was in step with its world last (RFC 3339).
    last_sync: Option<String>,
    objects: usize,
    /// RRsets that its objects ask for.
    records: usize,
    /// Of those, how many are left out because of another object's or another source's.
    conflicts: usize,
    /// `registered`, or why not, where hotdns is to be a service of it.
    registration: Option<String>,
    /// What its world calls the state that is served, such as `commit 4f2a…` of a repository.
    revision: Option<String>,
    /// Seconds since it was in step with its world; 0 while it is.
    age_seconds: Option<u64>,
    error: Option<String>,
    /// Objects that are not understood: the first 20.
    skipped: Vec<ObjectView>,
    skipped_count: usize,
    /// RRsets that are left out because an older object of the same source has the name: the first 20.
    left_out: Vec<ObjectView>,
    /// Objects that change so often that their changes are served more slowly: the first 20.
    flapping: Vec<String>,
    flapping_count: usize,
}

/// An object, and what there is to say of it.
#[derive(Serialize, ToSchema)]
#[schema(as = WatchedObject)]
pub(super) struct ObjectView {
    object: String,
    reason: String,
}

/// The watched sources, and how each is.
#[utoipa::path(
    get, path = "/api/v1/sources", operation_id = "listSources", tag = "sources",
    responses((status = 200, description = "All of them", body = SourceList))
)]
pub(super) async fn list(State(state): State<ApiState>, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let sources = &state.serving()?.sources;
    let conflicts = sources.conflicts();
    let sources = sources.iter().map(|source| {
        let count = conflicts.get(source.status.source()).copied().unwrap_or_default();
        view(&source, count)
    });
    Ok(pieces::json(
        StatusCode::OK,
        &SourceList {
            sources: sources.collect(),
        },
    ))
}

/// Has a source look at all of its world again.
#[utoipa::path(
    post, path = "/api/v1/sources/{kind}/{name}/sync", operation_id = "syncSource", tag = "sources",
    params(
        ("kind" = String, Path, description = "The kind of the source, such as `hosts_file`"),
        ("name" = String, Path, description = "Its name in the configuration"),
        ("Content-Type" = Option<String>, Header,
            description = "`application/json` is needed where no credential is, though there is no body"),
        ("force" = Option<bool>, Query,
            description = "Whether a list is taken that removes much, from a source that may be told by a program"),
    ),
    responses(
        (status = 202, description = "The source, as it is; it looks soon", body = SourceView),
        (status = 404, description = "`not_found`: there is no such source", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn sync(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "a sync")?;
    let force = Parameters::read(&uri, &["force"])?.flag("force")?;
    access::refuse_pages(&state, peer.as_deref(), &headers)?;
    let source = named(&state, &uri)?;
    source.requests.ask(force);
    shown(&state, StatusCode::ACCEPTED, &source)
}

/// The source that a path names.
fn named(state: &ApiState, uri: &Uri) -> Result<Arc<RegisteredSource>, Problem> {
    let path = segments(uri, "/api/v1/sources/")?;
    let [kind, name, _] = path.as_slice() else {
        return Err(Problem::internal("the path is not the route's"));
    };
    let sources = &state.serving()?.sources;
    sources.find(kind, name).ok_or_else(|| no_such(sources, kind, name))
}

/// A source, as it is now.
fn shown(state: &ApiState, status: StatusCode, source: &RegisteredSource) -> Result<Response, Problem> {
    let conflicts = state.serving()?.sources.conflicts();
    let count = conflicts.get(source.status.source()).copied().unwrap_or_default();
    Ok(pieces::json(status, &view(source, count)))
}

/// Puts the records of a source back to what they were at a version, and holds them there: its world is watched on, and
/// what it says is served again after a resume.
#[utoipa::path(
    post, path = "/api/v1/sources/{kind}/{name}/rollback", operation_id = "rollbackSource", tag = "sources",
    params(
        ("kind" = String, Path, description = "The kind of the source, such as `consul`"),
        ("name" = String, Path, description = "Its name in the configuration"),
        ("to" = u64, Query, description = "The version whose records are wanted"),
        ("force" = Option<bool>, Query, description = "Whether the deletion guard lets much go"),
        ("Content-Type" = Option<String>, Header,
            description = "`application/json` is needed where no credential is, though there is no body"),
    ),
    responses(
        (status = 200, description = "The source, as it is held", body = SourceView),
        (status = 400, description = "`invalid_parameter`: there is no such version yet", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there is no such source", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 410, description = "`history_gone`: the history does not go back so far", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 422, description = "`deletion_guard`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn rollback(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "a way back of a source")?;
    let parameters = Parameters::read(&uri, &["to", "force"])?;
    let force = parameters.flag("force")?;
    let to = history::parse_version(&parameters, "to")?.ok_or_else(|| {
        Problem::bad_request(
            "invalid_parameter",
            "`to` is missing: it is the version whose records are wanted",
        )
    })?;
    access::refuse_pages(&state, peer.as_deref(), &headers)?;
    let source = named(&state, &uri)?;
    // From here on its watcher changes nothing, so what is read of the history is all there is.
    let paused = source.pause(&state.serving()?.control).await;
    let since = history::of_source_since(&state, &source.status.source().key(), to).await?;
    paused.roll_back(to, since, force, asker.name().clone()).await?;
    shown(&state, StatusCode::OK, &source)
}

/// Lets a source that is held go on: what its world says is served again.
#[utoipa::path(
    post, path = "/api/v1/sources/{kind}/{name}/resume", operation_id = "resumeSource", tag = "sources",
    params(
        ("kind" = String, Path, description = "The kind of the source, such as `consul`"),
        ("name" = String, Path, description = "Its name in the configuration"),
        ("Content-Type" = Option<String>, Header,
            description = "`application/json` is needed where no credential is, though there is no body"),
    ),
    responses(
        (status = 202, description = "The source, as it is; it looks soon", body = SourceView),
        (status = 404, description = "`not_found`: there is no such source", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "`not_held`: it is not held", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn resume(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "a resume")?;
    Parameters::read(&uri, &[])?;
    access::refuse_pages(&state, peer.as_deref(), &headers)?;
    let source = named(&state, &uri)?;
    let paused = source.pause(&state.serving()?.control).await;
    if !paused.resume(asker.name().clone()).await? {
        let detail = format!(
            "{} is not held: what its world says is served already",
            source.status.source().key()
        );
        return Err(Problem::new(StatusCode::CONFLICT, "not_held", detail));
    }
    shown(&state, StatusCode::ACCEPTED, &source)
}

/// What a proxy and DNS disagree on.
#[derive(Serialize, ToSchema)]
pub(super) struct DisagreementList {
    disagreements: Vec<DisagreementView>,
}

/// One name or router that they disagree on.
#[derive(Serialize, ToSchema)]
#[schema(as = ProxyDisagreement)]
pub(super) struct DisagreementView {
    /// `not_served`, `not_routed`, `wildcard` or `underivable`.
    kind: &'static str,
    name: Option<String>,
    router: Option<String>,
    /// For people.
    text: String,
}

/// Asks a Traefik for its routers now, and compares them with what is served.
#[utoipa::path(
    get, path = "/api/v1/sources/{kind}/{name}/disagreements", operation_id = "compareSource", tag = "sources",
    params(
        ("kind" = String, Path, description = "The kind of the source: `traefik`"),
        ("name" = String, Path, description = "Its name in the configuration"),
    ),
    responses(
        (status = 200, description = "What they disagree on; nothing where they agree", body = DisagreementList),
        (status = 404, description = "`not_found`: there is no such source, or it is no Traefik", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 502, description = "`source_unavailable`: the proxy says nothing", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn compare(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "a comparison")?;
    Parameters::read(&uri, &[])?;
    let source = named(&state, &uri)?;
    let served = state.served()?;
    let found = source.compare(&served).await.map_err(|error| match error {
        CompareError::NoProxy => Problem::new(StatusCode::NOT_FOUND, "not_found", error.to_string()),
        CompareError::World(_) => Problem::new(StatusCode::BAD_GATEWAY, "source_unavailable", error.to_string()),
    })?;
    let shown = found.iter().map(|found| DisagreementView {
        kind: found.kind(),
        name: found.name().map(ToString::to_string),
        router: found.router().map(str::to_owned),
        text: found.to_string(),
    });
    Ok(pieces::json(
        StatusCode::OK,
        &DisagreementList {
            disagreements: shown.collect(),
        },
    ))
}

/// 404: there is no such source.
pub(super) fn no_such(sources: &Registry, kind: &str, name: &str) -> Problem {
    let known: Vec<String> = sources.iter().map(|source| source.status.source().key()).collect();
    let known = match known.as_slice() {
        [] => "the configuration has no `sources`".to_owned(),
        known => format!("there are {}", known.join(", ")),
    };
    let detail = format!("there is no source {kind}/{name}; {known}");
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

fn view(source: &RegisteredSource, conflicts: usize) -> SourceView {
    let info = source.status.source().info();
    let report = source.status.report();
    let at = |time: SystemTime| format_rfc3339_seconds(time).to_string();
    let objects = |list: Vec<(String, String)>| {
        let objects = list.into_iter().map(|(object, reason)| ObjectView { object, reason });
        objects.collect()
    };
    SourceView {
        kind: info.kind.to_string(),
        name: info.name.as_deref().unwrap_or_default().to_owned(),
        state: report.state.label(),
        since: at(report.since),
        held: report.held,
        last_sync: report
            .last_sync
            .map(|seconds| at(UNIX_EPOCH + Duration::from_secs(seconds))),
        objects: report.objects,
        records: report.rrsets,
        conflicts: conflicts + report.left_out_count,
        registration: report.registration.clone(),
        revision: report.revision.as_deref().map(str::to_owned),
        age_seconds: report.age(SystemTime::now()),
        error: report.error,
        skipped: objects(report.broken),
        skipped_count: report.broken_count,
        left_out: objects(report.left_out),
        flapping_count: report.flapping.len(),
        flapping: report.flapping.into_iter().take(20).collect(),
    }
}
