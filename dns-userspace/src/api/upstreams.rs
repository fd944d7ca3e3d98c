//! `GET /api/v1/upstreams` and `GET /api/v1/upstreams/names`: upstream servers, and what they are asked.

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::parameters::Parameters;
use super::problem::Problem;
use super::{ApiState, access, pieces};
use crate::principal::Principal;
use crate::resolve::{ShownUpstream, TopName};

/// Names that are listed where the request does not say, and at most.
const NAMES: usize = 100;
const MOST_NAMES: usize = 1000;

/// All sets of upstream servers.
#[derive(Serialize, ToSchema)]
#[schema(as = UpstreamList)]
pub(super) struct Listed {
    upstreams: Vec<ShownUpstream>,
}

/// The names that go upstream most often.
#[derive(Serialize, ToSchema)]
#[schema(as = UpstreamNames)]
pub(super) struct Names {
    names: Vec<TopName>,
}

/// All sets of upstream servers, and how these do.
#[utoipa::path(
    get, path = "/api/v1/upstreams", operation_id = "listUpstreams", tag = "forwarding",
    responses((status = 200, description = "The sets", body = Listed))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "upstream servers")?;
    Parameters::read(&uri, &[])?;
    let upstreams = state
        .forwarder()?
        .map_or_else(Vec::new, |forwarder| forwarder.upstreams());
    Ok(pieces::json(StatusCode::OK, &Listed { upstreams }))
}

/// The names that go upstream most often since the start, those first. What the cache answers is not counted.
#[utoipa::path(
    get, path = "/api/v1/upstreams/names", operation_id = "listUpstreamNames", tag = "forwarding",
    params(("limit" = Option<usize>, Query, description = "1 to 1000; 100")),
    responses((status = 200, description = "The names", body = Names))
)]
pub(super) async fn names(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "names that are asked for")?;
    let limit = Parameters::read(&uri, &["limit"])?.limit(NAMES, MOST_NAMES)?;
    let names = state
        .forwarder()?
        .map_or_else(Vec::new, |forwarder| forwarder.top_names(limit));
    Ok(pieces::json(StatusCode::OK, &Names { names }))
}
