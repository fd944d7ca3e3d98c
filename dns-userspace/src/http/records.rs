//! The calls of the API.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::body::{parse_value, read_rrset, require_json};
use super::listing::{self, Filter, Position};
use super::parameters::{Parameters, location, name_in_path};
use super::problem::Problem;
use super::{ApiState, View};

use crate::name::Name;
use crate::rdata;
use crate::record::{Order, RecordType, RrSet, Wildcard};
use crate::snapshot::Snapshot;
use crate::store::Written;
use crate::views::ViewName;

/// RRsets in a page, where the request does not say.
const DEFAULT_LIMIT: usize = 100;
/// RRsets in a page at most.
const MAX_LIMIT: usize = 1000;

/// An RRset as the API shows it; what is as by default at the end is left out.
#[derive(Serialize)]
struct Record {
    name: String,
    r#type: String,
    ttl: u32,
    value: Vec<String>,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<Vec<u16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wildcard: Option<&'static str>,
    /// Left out where it is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<String>,
}

/// A page of RRsets.
#[derive(Serialize)]
struct Page {
    records: Vec<Record>,
    next: Option<String>,
}

/// `GET /api/v1/records`
pub(super) async fn list(State(state): State<ApiState>, uri: Uri) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &["name", "type", "zone", "view", "limit", "cursor"])?;
    let snapshot = (state.view.snapshot)();
    let filter = Filter {
        view: parameters.view(&snapshot)?,
        name: parameters.name("name")?.map(|name| name.key()),
        rtype: parameters.rtype()?,
        zone: parameters.name("zone")?.map(|name| name.key()),
    };
    let invalid = |detail: String| Problem::bad_request("invalid_parameter", detail);
    let limit = match parameters.get("limit") {
        None => DEFAULT_LIMIT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| invalid(format!("`limit` is a number from 1 to {MAX_LIMIT}")))?,
    };
    let after = match parameters.get("cursor") {
        None => None,
        Some(text) => {
            let position = Position::decode(text);
            Some(position.ok_or_else(|| invalid("`cursor` is not the `next` of an earlier answer".to_owned()))?)
        }
    };
    // A filter that few RRsets pass can make this long: not on the threads that serve DNS.
    let page = tokio::task::spawn_blocking(move || {
        let (found, next) = listing::page(&snapshot, &filter, after.as_ref(), limit);
        Page {
            records: found
                .iter()
                .map(|(owner, rrset)| record(&snapshot, filter.view.as_ref(), owner, rrset))
                .collect(),
            next: next.map(|position| position.encode()),
        }
    })
    .await
    .map_err(|error| Problem::internal(&error.to_string()))?;
    Ok(axum::Json(page).into_response())
}

/// `GET /api/v1/records/{name}`
pub(super) async fn show(State(state): State<ApiState>, uri: Uri) -> Result<Response, Problem> {
    let name = name_in_path(&uri)?;
    let parameters = Parameters::read(&uri, &["type", "view"])?;
    let rtype = parameters.rtype()?;
    let snapshot = (state.view.snapshot)();
    let view = parameters.view(&snapshot)?;
    let key = name.key();
    let node = match &view {
        None => snapshot.node(&key),
        Some(view) => snapshot.view(view).and_then(|view| view.own.get(&key)),
    };
    let node = node.map(|node| (node.owner(&key), &node.rrsets));
    let records: Vec<Record> = node
        .iter()
        .flat_map(|(owner, rrsets)| rrsets.iter().map(move |rrset| (owner, rrset)))
        .filter(|(_, rrset)| rtype.is_none_or(|rtype| rrset.rtype == rtype))
        .map(|(owner, rrset)| record(&snapshot, view.as_ref(), owner, rrset))
        .collect();
    if records.is_empty() {
        let what = rtype.map_or_else(|| "records".to_owned(), |rtype| format!("{rtype} records"));
        let place = view.map_or_else(String::new, |view| format!(" in the view `{view}`"));
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("{name} has no {what}{place}"),
        ));
    }
    Ok(axum::Json(Page { records, next: None }).into_response())
}

/// `POST /api/v1/records`
pub(super) async fn create(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let parameters = Parameters::read(&parts.uri, &["view"])?;
    let snapshot = (state.view.snapshot)();
    let view = parameters.view(&snapshot)?;
    let wanted = read_rrset(&parts.headers, body, &snapshot, view, None, None).await?;
    let written = state
        .control
        .in_view(wanted.view.clone())
        .create(wanted.owner, wanted.rtype, wanted.wanted, wanted.rdatas)
        .await?;
    Ok(written_response(
        &state.view,
        wanted.view.as_ref(),
        &written,
        StatusCode::CREATED,
    ))
}

/// `PUT /api/v1/records/{name}`
pub(super) async fn put(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let name = name_in_path(&parts.uri)?;
    let parameters = Parameters::read(&parts.uri, &["type", "view"])?;
    let rtype = parameters.rtype()?;
    let snapshot = (state.view.snapshot)();
    let view = parameters.view(&snapshot)?;
    let wanted = read_rrset(&parts.headers, body, &snapshot, view, Some(name), rtype).await?;
    let written = state
        .control
        .in_view(wanted.view.clone())
        .put(wanted.owner, wanted.rtype, wanted.wanted, wanted.rdatas)
        .await?;
    let status = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(written_response(&state.view, wanted.view.as_ref(), &written, status))
}

/// `DELETE /api/v1/records/{name}`
pub(super) async fn delete(State(state): State<ApiState>, uri: Uri) -> Result<Response, Problem> {
    let name = name_in_path(&uri)?;
    let parameters = Parameters::read(&uri, &["type", "value", "view"])?;
    let rtype = parameters.rtype()?;
    let view = parameters.view(&(state.view.snapshot)())?;
    let rdata = match (parameters.get("value"), rtype) {
        (None, _) => None,
        (Some(value), Some(rtype)) => Some(parse_value(rtype, value)?),
        (Some(_), None) => {
            return Err(Problem::bad_request(
                "invalid_parameter",
                "`value` needs `type`, which says how to read it",
            ));
        }
    };
    state.control.in_view(view).delete(name, rtype, rdata).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/v1/reload`
pub(super) async fn reload(
    State(state): State<ApiState>,
    uri: Uri,
    headers: HeaderMap,
    _body: Body,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    // It has no body; the header keeps web pages from making this call where there is no token to do so.
    if state.token.is_none() {
        require_json(&headers)?;
    }
    let report = state.control.reload().await?;
    Ok(axum::Json(report).into_response())
}

fn written_response(served: &View, view: Option<&ViewName>, written: &Written, status: StatusCode) -> Response {
    let snapshot = (served.snapshot)();
    let Some(rrset) = &written.rrset else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let shown = record(&snapshot, view, &written.owner, rrset);
    let mut response = (status, axum::Json(shown)).into_response();
    if status == StatusCode::CREATED
        && let Ok(location) = HeaderValue::try_from(location(view, &written.owner, rrset.rtype))
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn record(snapshot: &Snapshot, view: Option<&ViewName>, owner: &Name, rrset: &Arc<RrSet>) -> Record {
    let serial = (rrset.rtype == RecordType::SOA)
        .then(|| snapshot.serial(&owner.key()))
        .flatten();
    let value = rrset.rdatas.iter().map(|rdata| match serial {
        Some(serial) => {
            let mut soa = rdata.to_vec();
            rdata::set_serial(&mut soa, serial);
            rdata::format_value(rrset.rtype, &soa)
        }
        None => rdata::format_value(rrset.rtype, rdata),
    });
    let (order, wildcard) = (rrset.handling.order(), rrset.handling.wildcard());
    Record {
        name: owner.to_string(),
        r#type: rrset.rtype.to_string(),
        ttl: rrset.ttl,
        value: value.collect(),
        source: rrset.origin.label().to_owned(),
        order: (*order != Order::Fixed).then(|| order.word()),
        weights: matches!(order, Order::Weighted(_)).then(|| order.weights().to_vec()),
        wildcard: (wildcard != Wildcard::Rfc4592).then(|| wildcard.word()),
        view: view.map(|view| view.to_string()),
    }
}
