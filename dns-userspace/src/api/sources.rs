//! `/api/v1/sources`: the watched sources.

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
use super::{ApiState, access, pieces};
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
    /// When it was in step with its world last (RFC 3339).
    last_sync: Option<String>,
    objects: usize,
    /// RRsets that its objects ask for.
    records: usize,
    /// Of those, how many are left out because of another object's or another source's.
    conflicts: usize,
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
    let path = segments(&uri, "/api/v1/sources/")?;
    let [kind, name, _] = path.as_slice() else {
        return Err(Problem::internal("the path is not the route's"));
    };
    let sources = &state.serving()?.sources;
    let source = sources.find(kind, name).ok_or_else(|| no_such(sources, kind, name))?;
    source.requests.ask(force);
    let count = sources
        .conflicts()
        .get(source.status.source())
        .copied()
        .unwrap_or_default();
    Ok(pieces::json(StatusCode::ACCEPTED, &view(&source, count)))
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
    let path = segments(&uri, "/api/v1/sources/")?;
    let [kind, name, _] = path.as_slice() else {
        return Err(Problem::internal("the path is not the route's"));
    };
    let sources = &state.serving()?.sources;
    let source = sources.find(kind, name).ok_or_else(|| no_such(sources, kind, name))?;
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
        last_sync: report
            .last_sync
            .map(|seconds| at(UNIX_EPOCH + Duration::from_secs(seconds))),
        objects: report.objects,
        records: report.rrsets,
        conflicts: conflicts + report.left_out_count,
        revision: report.revision.as_deref().map(str::to_owned),
        age_seconds: report.age(SystemTime::now()),
        error: report.error,
        skipped: objects(report.broken),
        skipped_count: report.broken_count,
        left_out: objects(report.left_out),
    }
}
