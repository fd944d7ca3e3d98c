//! `GET /api/v1/top`: what is asked most, and by whom.

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::parameters::Parameters;
use super::problem::Problem;
use super::{ApiState, access, pieces};
use crate::observe::top::Counted;
use crate::principal::Principal;

/// Names and clients that are shown where the request does not say, and at most.
const SHOWN: (usize, usize) = (20, 1000);

/// What is asked most, and by whom.
#[derive(Serialize, ToSchema)]
pub(super) struct Top {
    /// For how many seconds was counted: 20 at most.
    seconds: f64,
    /// Queries in that time that were counted.
    queries: u64,
    /// Whether answers of the XDP program are among them: they are where the query log or dnstap takes them. Where it
    /// samples them, each stands for as many as that.
    xdp: bool,
    /// Names, most asked first.
    names: Vec<TopName>,
    /// Clients, those that ask most first.
    clients: Vec<TopClient>,
}

/// A name.
#[derive(Serialize, ToSchema)]
struct TopName {
    name: String,
    queries: u64,
}

/// A client.
#[derive(Serialize, ToSchema)]
struct TopClient {
    client: String,
    queries: u64,
}

/// The names that are asked most, and the clients that ask most, in the last 10 to 20 seconds. Counting begins with the
/// first call, and ends 30 s after the last one.
#[utoipa::path(
    get, path = "/api/v1/top", operation_id = "getTop", tag = "server",
    params(("limit" = Option<usize>, Query, description = "Names, and clients: 1 to 1000; 20")),
    responses((status = 200, description = "Names and clients", body = Top))
)]
pub(super) async fn top(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    access::require_unlimited(&reader, "what clients ask")?;
    let limit = Parameters::read(&uri, &["limit"])?.limit(SHOWN.0, SHOWN.1)?;
    let inside = state.inside()?;
    let Counted {
        time,
        queries,
        names,
        clients,
    } = inside.top.look(limit);
    let names = names.into_iter().map(|(name, queries)| TopName {
        name: name.to_string(),
        queries,
    });
    let clients = clients.into_iter().map(|(client, queries)| TopClient {
        client: client.to_string(),
        queries,
    });
    let top = Top {
        seconds: (time.as_secs_f64() * 1000.0).round() / 1000.0,
        queries,
        xdp: (inside.shows_xdp)(),
        names: names.collect(),
        clients: clients.collect(),
    };
    Ok(pieces::json(StatusCode::OK, &top))
}
