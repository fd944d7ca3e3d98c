//! `GET` and `DELETE /api/v1/cache`: what is kept of upstream's answers.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::ProblemBody;
use super::parameters::Parameters;
use super::problem::Problem;
use super::{ApiState, access, pieces};
use crate::principal::Principal;
use crate::resolve::{Cache, CachedAnswer, Forwarder};

/// Entries that are listed where the request does not say, and at most.
const LISTED: usize = 1000;
const MOST_LISTED: usize = 100_000;

/// Answers of upstream servers that are kept.
#[derive(Serialize, ToSchema)]
#[schema(as = CachedAnswers)]
pub(super) struct Listed {
    entries: Vec<CachedAnswer>,
    /// Those that were found and are not listed.
    more: usize,
}

/// How many answers were taken out.
#[derive(Serialize, ToSchema)]
#[schema(as = FlushedAnswers)]
pub(super) struct Flushed {
    removed: usize,
}

/// Answers of upstream servers that are kept, by name.
#[utoipa::path(
    get, path = "/api/v1/cache", operation_id = "listCache", tag = "forwarding",
    params(
        ("name" = Option<String>, Query, description = "The question's name"),
        ("limit" = Option<usize>, Query, description = "1 to 100000; 1000"),
    ),
    responses(
        (status = 200, description = "The answers", body = Listed),
        (status = 404, description = "`not_found`: there is no cache", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "the cache")?;
    let parameters = Parameters::read(&uri, &["name", "limit"])?;
    let name = parameters.name("name")?;
    let limit = parameters.limit(LISTED, MOST_LISTED)?;
    let (forwarder, cache) = cache(&state)?;
    let mut entries =
        in_background(move || cache.list(name.as_ref(), |set| forwarder.set_name(set).to_owned())).await?;
    entries.sort_by(|a, b| (&a.name, &a.r#type, &a.upstream).cmp(&(&b.name, &b.r#type, &b.upstream)));
    let more = entries.len().saturating_sub(limit);
    entries.truncate(limit);
    Ok(pieces::json(StatusCode::OK, &Listed { entries, more }))
}

/// Takes answers of upstream servers out of the cache.
#[utoipa::path(
    delete, path = "/api/v1/cache", operation_id = "flushCache", tag = "forwarding",
    params(
        ("name" = Option<String>, Query, description = "The question's name; without it, all answers"),
        ("tree" = Option<bool>, Query, description = "Whether names below `name` go too; needs `name`"),
    ),
    responses(
        (status = 200, description = "How many were taken out", body = Flushed),
        (status = 404, description = "`not_found`: there is no cache", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn flush(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "a flush of the cache")?;
    let parameters = Parameters::read(&uri, &["name", "tree"])?;
    let name = parameters.name("name")?;
    let with_tree = match parameters.get("tree") {
        None | Some("false") => false,
        Some("true" | "") => true,
        Some(_) => {
            return Err(Problem::bad_request("invalid_parameter", "`tree` is true or false"));
        }
    };
    if with_tree && name.is_none() {
        return Err(Problem::bad_request(
            "invalid_parameter",
            "`tree` needs `name`, at which it begins",
        ));
    }
    let (_, cache) = cache(&state)?;
    let removed = in_background(move || match &name {
        Some(name) => cache.flush(name, with_tree),
        None => cache.clear(),
    })
    .await?;
    Ok(pieces::json(StatusCode::OK, &Flushed { removed }))
}

/// To look through a large cache takes a while: away from the threads that serve requests.
pub(super) async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Problem::internal(&error.to_string()))
}

fn cache(state: &ApiState) -> Result<(Arc<Forwarder>, Arc<Cache>), Problem> {
    let found = state.forwarder()?.and_then(|forwarder| {
        let cache = Arc::clone(forwarder.cache()?);
        Some((forwarder, cache))
    });
    found.ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no cache: it is there where names are forwarded (`backend.upstream.enabled`, `forward`) and \
             `cache.enabled` is not false",
        )
    })
}
