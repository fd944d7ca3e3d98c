//! `/api/v1/nodes`: the nodes that share an etcd; and `?wait=all` of every change, which is answered once they all
//! serve it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::openapi::ProblemBody;
use super::parameters::Parameters;
use super::problem::Problem;
use super::{ApiState, access, body, pieces};
use crate::journal::{Lagging, NodeLink, Nodes, Take};
use crate::store::SHARED_STEP;

/// How long other nodes are waited for, unless the request says how long.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long they are waited for at most.
const MOST_PATIENCE: Duration = Duration::from_secs(60);

/// The nodes.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeList {
    /// `alone` where there is no etcd, `starting`, `connected`, `away`, `doubted`.
    state: &'static str,
    /// Why it is not connected.
    reason: Option<String>,
    /// The member of etcd that it is connected to.
    endpoint: Option<String>,
    /// The revision in etcd of the latest change that this node serves.
    revision: Option<u64>,
    /// The version of the latest shared change that this node serves.
    version: Option<u64>,
    /// The nodes that live, by their numbers; as they were last, where etcd is away.
    nodes: Vec<NodeView>,
}

/// A node.
#[derive(Serialize, ToSchema)]
#[schema(as = Node)]
pub(super) struct NodeView {
    id: String,
    name: String,
    /// The version of the latest shared change that it serves.
    version: u64,
    /// How many changes that is behind the latest one.
    behind: u64,
    /// The version of its program.
    program: String,
    /// Whether it is the one that answers this request.
    is_self: bool,
}

/// What is to be taken.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Acceptance)]
pub(super) struct AcceptBody {
    /// `etcd`: what etcd holds is served here. `node`: what this node serves is written in the place of it.
    #[schema(pattern = "^(etcd|node)$")]
    take: String,
}

/// The nodes that share an etcd, and what each serves.
#[utoipa::path(
    get, path = "/api/v1/nodes", operation_id = "listNodes", tag = "nodes",
    responses((status = 200, description = "All that live; none where this server is alone", body = NodeList))
)]
pub(super) async fn list(State(state): State<ApiState>, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let nodes = state.serving()?.nodes.as_deref();
    Ok(pieces::json(StatusCode::OK, &nodes.map_or_else(alone, view)))
}

/// Says what is to be done with an etcd that holds something else than this node.
#[utoipa::path(
    post, path = "/api/v1/nodes/accept", operation_id = "acceptNodes", tag = "nodes",
    request_body = AcceptBody,
    responses(
        (status = 202, description = "It is done soon: `state` says when it is", body = NodeList),
        (status = 409, description = "`not_doubted`: there is nothing to say", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn accept(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asker = super::records::principal(&parts)?;
    access::require_unlimited(&asker, "to accept a state of etcd")?;
    Parameters::read(&parts.uri, &[])?;
    let (asked, _held) = body::read_as::<AcceptBody>(&state, &parts, body, body::LIMIT_BYTES).await?;
    let take = match asked.take.as_str() {
        "etcd" => Take::Etcd,
        "node" => Take::Node,
        other => {
            let detail = format!("`take` is `{other}`, and not etcd or node");
            return Err(Problem::bad_request("invalid_body", detail).at("/take".to_owned()));
        }
    };
    let doubted = |nodes: &&Arc<Nodes>| matches!(nodes.state().link, NodeLink::Doubted(_));
    let Some(nodes) = state.serving()?.nodes.as_ref().filter(doubted) else {
        let detail = "this node does not doubt what etcd holds: there is nothing to accept";
        return Err(Problem::new(StatusCode::CONFLICT, "not_doubted", detail));
    };
    nodes.say(take);
    Ok(pieces::json(StatusCode::ACCEPTED, &view(nodes)))
}

fn alone() -> NodeList {
    NodeList {
        state: "alone",
        reason: None,
        endpoint: None,
        revision: None,
        version: None,
        nodes: Vec::new(),
    }
}

fn view(nodes: &Nodes) -> NodeList {
    let state = nodes.state();
    let shown = state.nodes.iter().map(|(id, node)| {
        let is_self = *id == state.own;
        let version = if is_self { state.served } else { node.version };
        NodeView {
            id: id.to_string(),
            name: node.name.to_string(),
            version,
            behind: state.newest.saturating_sub(version) / SHARED_STEP,
            program: node.program.to_string(),
            is_self,
        }
    });
    NodeList {
        state: state.link.word(),
        reason: state.link.reason().map(|reason| reason.to_string()),
        endpoint: match &state.link {
            NodeLink::Connected(endpoint) => Some(endpoint.to_string()),
            NodeLink::Starting | NodeLink::Away(_) | NodeLink::Doubted(_) => None,
        },
        revision: Some(state.revision),
        version: Some(state.served),
        nodes: shown.collect(),
    }
}

/// Answers a change with `?wait=all` once every node that lives serves it, and says after `wait_limit` (such as `5s`)
/// which do not.
pub(super) async fn wait<N, F>(state: &ApiState, request: Request, next: N) -> Response
where
    N: FnOnce(Request) -> F,
    F: Future<Output = Response>,
{
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let (request, limit) = match is_change.then(|| without_wait(request.uri())) {
        None | Some(Ok(None)) => return next(request).await,
        Some(Err(problem)) => return problem.into_response(),
        Some(Ok(Some((uri, limit)))) => {
            let (mut parts, body) = request.into_parts();
            parts.uri = uri;
            (Request::from_parts(parts, body), limit)
        }
    };
    let response = next(request).await;
    let nodes = state.serving().ok().and_then(|serving| serving.nodes.clone());
    let Some(nodes) = nodes.filter(|_| response.status().is_success()) else {
        return response;
    };
    match nodes.wait_for_all(limit).await {
        Ok(()) => response,
        Err(lagging) => not_everywhere(&nodes, &lagging, limit).into_response(),
    }
}

/// The same without `wait` and `wait_limit`, and how long is waited; `None` where it has no `wait`.
fn without_wait(uri: &Uri) -> Result<Option<(Uri, Duration)>, Problem> {
    let pairs: Vec<&str> = uri.query().unwrap_or_default().split('&').collect();
    let value_of = |key: &str| pairs.iter().find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    let Some(wait) = value_of("wait") else {
        return Ok(None);
    };
    let invalid = |detail: String| Problem::bad_request("invalid_parameter", detail);
    if wait != "all" {
        return Err(invalid(format!("`wait` is `{wait}`, and not all")));
    }
    let limit = match value_of("wait_limit") {
        None => PATIENCE,
        Some(text) => {
            let read = humantime_serde::re::humantime::parse_duration(text).ok();
            let read = read.filter(|limit| *limit <= MOST_PATIENCE);
            read.ok_or_else(|| invalid(format!("`wait_limit` is `{text}`, and not a duration up to 60s")))?
        }
    };
    let is_other = |pair: &&&str| !pair.starts_with("wait=") && !pair.starts_with("wait_limit=");
    let rest: Vec<&str> = pairs.iter().filter(is_other).copied().collect();
    let path = match rest.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), rest.join("&")),
    };
    let uri: Result<Uri, _> = path.parse();
    uri.map(|uri| Some((uri, limit)))
        .map_err(|error| invalid(error.to_string()))
}

fn not_everywhere(nodes: &Nodes, lagging: &[Lagging], limit: Duration) -> Problem {
    let state = nodes.state();
    let names: Vec<&str> = lagging.iter().map(|node| &*node.name).collect();
    let shown: Vec<Value> = lagging
        .iter()
        .map(|node| json!({"id": &*node.id, "name": &*node.name, "version": node.version}))
        .collect();
    let detail = format!(
        "the change is made, and after {} these nodes do not serve it yet, as far as this one knows: {}",
        humantime_serde::re::humantime::format_duration(limit),
        names.join(", ")
    );
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "nodes_lag", detail)
        .member("version", state.served)
        .member("nodes", shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_waiting_are_taken_out() {
        let read = |text: &str| without_wait(&text.parse().expect("a URI"));
        assert!(read("/api/v1/records?type=A").expect("fine").is_none());
        let (uri, limit) = read("/x?type=A&wait=all&wait_limit=2s&view=b")
            .expect("fine")
            .expect("waits");
        assert_eq!(
            (uri.to_string().as_str(), limit),
            ("/x?type=A&view=b", Duration::from_secs(2))
        );
        let (uri, limit) = read("/x?wait=all").expect("fine").expect("waits");
        assert_eq!((uri.to_string().as_str(), limit), ("/x", PATIENCE));
        for wrong in [
            "/x?wait=some",
            "/x?wait=all&wait_limit=61s",
            "/x?wait=all&wait_limit=soon",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
