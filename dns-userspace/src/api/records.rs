//! The calls of the API.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::body::{RrsetBody, parse_value, read_rrset};
use super::connection::{Peer, Place};
use super::listing::{Filter, Position};
use super::openapi::ProblemBody;
use super::page::{List, Record, RecordPage, record};
use super::parameters::{Parameters, location, name_in_path};
use super::problem::Problem;
use super::search::{Memory, Search};
use super::{ApiState, View, access, pieces, preconditions};
use crate::model::name::NameKey;
use crate::model::record::{RecordType, RrSet};
use crate::model::views::ViewName;
use crate::principal::Principal;
use crate::store::{Subject, Terms, Written};

/// RRsets in a page, where the request does not say.
const DEFAULT_LIMIT: usize = 100;
/// RRsets in a page at most.
const MAX_LIMIT: usize = 1000;

/// What is served, in canonical order, in pages.
#[utoipa::path(
    get, path = "/api/v1/records", operation_id = "listRecords", tag = "records",
    params(
        ("name" = Option<String>, Query, description = "RRsets at this name"),
        ("type" = Option<String>, Query, description = "RRsets of this type"),
        ("zone" = Option<String>, Query, description = "RRsets of the zone with this apex"),
        ("view" = Option<String>, Query, description = "The records of this view itself, instead of the default's"),
        ("q" = Option<String>, Query, description = "With this text in name, value, source or note"),
        ("disabled" = Option<bool>, Query, description = "Those that are kept and not served, instead"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "RRsets in the page, 100 by default"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "A page", body = RecordPage))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    place: Option<Extension<Place>>,
    uri: Uri,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(
        &uri,
        &["name", "type", "zone", "view", "q", "disabled", "limit", "cursor"],
    )?;
    let snapshot = state.served()?;
    let (name, zone) = (parameters.name("name")?, parameters.name("zone")?);
    let view = parameters.view(&snapshot)?;
    let within = access::readable(&reader, view.as_deref(), name.as_ref().or(zone.as_ref()))?;
    let filter = Filter {
        view,
        name: name.map(|name| name.key()),
        rtype: parameters.rtype()?,
        zone: zone.map(|zone| zone.key()),
        within,
        text: parameters.get("q").and_then(Search::new),
    };
    drop(snapshot);
    let invalid = |detail: String| Problem::bad_request("invalid_parameter", detail);
    let limit = parameters.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let after = match parameters.get("cursor") {
        None => None,
        Some(text) => {
            let position = Position::decode(text);
            Some(position.ok_or_else(|| invalid("`cursor` is not the `next` of an earlier answer".to_owned()))?)
        }
    };
    if parameters.flag("disabled")? {
        return disabled(&state, &filter, after.as_ref(), limit);
    }
    let list = List::begin(&state, place.as_deref(), filter, after, limit).await?;
    Ok(list.into_response())
}

/// The RRsets that are kept and not served.
fn disabled(state: &ApiState, filter: &Filter, after: Option<&Position>, limit: usize) -> Result<Response, Problem> {
    let snapshot = state.served()?;
    let all = state.serving()?.history.disabled();
    let fits = |key: &NameKey, rtype: RecordType, rrset: &RrSet| {
        let in_zone = |apex: &NameKey| snapshot.zone_of(key).is_some_and(|zone| zone.apex.key() == *apex);
        filter.has_name(key)
            && filter.name.as_ref().is_none_or(|name| name == key)
            && filter.rtype.is_none_or(|wanted| wanted == rtype)
            && filter.zone.as_ref().is_none_or(in_zone)
            && after.is_none_or(|after| after.is_before(key, rtype))
            && filter.text.as_ref().is_none_or(|search| {
                let memory = &mut Memory::default();
                search.is_in_name(key, memory) || search.is_in_rrset(rrset, memory)
            })
    };
    let mut found = all
        .iter()
        .filter(|((view, key, rtype), (_, rrset))| *view == filter.view && fits(key, *rtype, rrset));
    let page: Vec<_> = found.by_ref().take(limit).collect();
    let next = found.next().and(page.last());
    let next = next.map(|((_, key, rtype), _)| Position::new(key.clone(), *rtype).encode());
    let records = page
        .iter()
        .map(|(_, (owner, rrset))| record(&snapshot, filter.view.as_ref(), owner, rrset));
    let answer = RecordPage {
        records: records.collect(),
        next,
        version: snapshot.version,
    };
    Ok(pieces::json(StatusCode::OK, &answer))
}

fn has_disabled(state: &ApiState, filter: &Filter) -> Result<bool, Problem> {
    let all = state.serving()?.history.disabled();
    Ok(all.keys().any(|(view, key, rtype)| {
        *view == filter.view && filter.name.as_ref() == Some(key) && filter.rtype.is_none_or(|wanted| wanted == *rtype)
    }))
}

/// The RRsets at a name.
#[utoipa::path(
    get, path = "/api/v1/records/{name}", operation_id = "getRecords", tag = "records",
    params(
        ("name" = String, Path, description = "The owner, percent-encoded; the final dot is optional"),
        ("type" = Option<String>, Query, description = "Of this type alone"),
        ("view" = Option<String>, Query, description = "Of this view instead of the default"),
    ),
    responses(
        (status = 200, description = "All of them; `next` is null", body = RecordPage),
        (status = 404, description = "`not_found`: there are none", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    place: Option<Extension<Place>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let name = name_in_path(&uri)?;
    let parameters = Parameters::read(&uri, &["type", "view"])?;
    let rtype = parameters.rtype()?;
    let view = parameters.view(&*state.served()?)?;
    let filter = Filter {
        within: access::readable(&reader, view.as_deref(), Some(&name))?,
        view: view.clone(),
        name: Some(name.key()),
        rtype,
        zone: None,
        text: None,
    };
    let kept = filter.clone();
    let list = List::begin(&state, place.as_deref(), filter, None, usize::MAX).await?;
    if list.is_empty() {
        // What is disabled is still there to be changed.
        if has_disabled(&state, &kept)? {
            return disabled(&state, &kept, None, usize::MAX);
        }
        let what = rtype.map_or_else(|| "records".to_owned(), |rtype| format!("{rtype} records"));
        let place = view.map_or_else(String::new, |view| format!(" in the view `{view}`"));
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("{name} has no {what}{place}"),
        ));
    }
    let version = list.first_version();
    let is_one = rtype.is_some();
    if is_one && preconditions::is_known(&headers, version) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        preconditions::tag(&mut response, version);
        return Ok(response);
    }
    let mut response = list.into_response();
    if is_one {
        preconditions::tag(&mut response, version);
    }
    Ok(response)
}

/// Creates an RRset, or adds the values that it lacks.
#[utoipa::path(
    post, path = "/api/v1/records", operation_id = "createRecord", tag = "records",
    params(("view" = Option<String>, Query, description = "In this view instead of the default")),
    request_body = RrsetBody,
    responses(
        (status = 201, description = "The whole RRset, durable and served", body = Record,
            headers(("Location" = String, description = "Where it is"))),
        (status = 409, description = "`exists`, `ttl_conflict`, `cname_conflict` and their like: see `code`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let serving = state.serving()?;
    preconditions::conditions(&parts.headers)?;
    let parameters = Parameters::read(&parts.uri, &["view"])?;
    let view = parameters.view(&*state.served()?)?;
    let wanted = read_rrset(&state, &parts, body, view, None, None).await?;
    let terms = preconditions::terms(&parts.headers, &wanted.subject())?;
    let written = serving
        .control
        .by(principal(&parts)?)
        .on(terms)
        .in_view(wanted.view.clone())
        .create(wanted.owner, wanted.rtype, wanted.wanted, wanted.rdatas)
        .await?;
    Ok(written_response(
        &serving.view,
        wanted.view.as_ref(),
        &written,
        StatusCode::CREATED,
    ))
}

/// Replaces an RRset, or creates it.
#[utoipa::path(
    put, path = "/api/v1/records/{name}", operation_id = "putRecord", tag = "records",
    params(
        ("name" = String, Path, description = "The owner, percent-encoded; the final dot is optional"),
        ("type" = Option<String>, Query, description = "The type, if the body does not say it"),
        ("view" = Option<String>, Query, description = "In this view instead of the default"),
    ),
    request_body = RrsetBody,
    responses(
        (status = 200, description = "The whole RRset, durable and served", body = Record),
        (status = 201, description = "The same, where there was none", body = Record,
            headers(("Location" = String, description = "Where it is"))),
        (status = 409, description = "`cname_conflict`, `managed_by_file` and their like: see `code`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let serving = state.serving()?;
    preconditions::conditions(&parts.headers)?;
    let name = name_in_path(&parts.uri)?;
    let parameters = Parameters::read(&parts.uri, &["type", "view"])?;
    let rtype = parameters.rtype()?;
    let view = parameters.view(&*state.served()?)?;
    let wanted = read_rrset(&state, &parts, body, view, Some(name), rtype).await?;
    let terms = preconditions::terms(&parts.headers, &wanted.subject())?;
    let written = serving
        .control
        .by(principal(&parts)?)
        .on(terms)
        .in_view(wanted.view.clone())
        .put(wanted.owner, wanted.rtype, wanted.wanted, wanted.rdatas)
        .await?;
    let status = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(written_response(&serving.view, wanted.view.as_ref(), &written, status))
}

/// Deletes a value, an RRset, or all that the API holds at a name.
#[utoipa::path(
    delete, path = "/api/v1/records/{name}", operation_id = "deleteRecords", tag = "records",
    params(
        ("name" = String, Path, description = "The owner, percent-encoded; the final dot is optional"),
        ("type" = Option<String>, Query, description = "Of this type alone"),
        ("value" = Option<String>, Query, description = "This value alone; needs `type`"),
        ("view" = Option<String>, Query, description = "In this view instead of the default"),
    ),
    responses(
        (status = 204, description = "Gone, durably, and no longer served"),
        (status = 404, description = "`not_found`: it is not there", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "`managed_by_file`, `owned_by`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let serving = state.serving()?;
    preconditions::conditions(&parts.headers)?;
    let name = name_in_path(&parts.uri)?;
    let parameters = Parameters::read(&parts.uri, &["type", "value", "view"])?;
    let rtype = parameters.rtype()?;
    let view = parameters.view(&*state.served()?)?;
    let terms = match rtype {
        Some(rtype) => preconditions::terms(
            &parts.headers,
            &Subject::Rrset {
                view: view.clone(),
                owner: name.clone(),
                rtype,
            },
        )?,
        // Each RRset has a version of its own, and the name has none.
        None => {
            preconditions::refuse(&parts.headers)?;
            Terms::default()
        }
    };
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
    let control = serving.control.by(principal(&parts)?).on(terms);
    control.in_view(view).delete(name, rtype, rdata).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Reads the configuration file and the zone files again.
#[utoipa::path(
    post, path = "/api/v1/reload", operation_id = "reload", tag = "server",
    params(
        ("force" = Option<bool>, Query, description = "Removes as much as the files say"),
        ("Content-Type" = Option<String>, Header,
            description = "`application/json` is needed where no credential is, though there is no body"),
    ),
    responses(
        (status = 200, description = "What differs now", body = crate::control::ReloadReport),
        (status = 422, description = "`reload_failed`: the configuration has an error, nothing was changed",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn reload(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
    _body: Body,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "a reload")?;
    let serving = state.serving()?;
    preconditions::refuse(&headers)?;
    let force = Parameters::read(&uri, &["force"])?.flag("force")?;
    // It has no body; the header keeps web pages from making this call where there is no token to do so.
    access::refuse_pages(&state, peer.as_deref(), &headers)?;
    let terms = Terms {
        force,
        ..Terms::default()
    };
    let report = serving.control.clone().on(terms).reload().await?;
    Ok(pieces::json(StatusCode::OK, &report))
}

/// Who asks, as the access check has found.
pub(super) fn principal(parts: &Parts) -> Result<Principal, Problem> {
    let principal = parts.extensions.get::<Principal>().cloned();
    principal.ok_or_else(|| Problem::internal("a request came past the access check"))
}

fn written_response(served: &View, view: Option<&ViewName>, written: &Written, status: StatusCode) -> Response {
    let snapshot = (served.snapshot)();
    let Some(rrset) = &written.rrset else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let shown = record(&snapshot, view, &written.owner, rrset);
    let mut response = pieces::json(status, &shown);
    preconditions::tag(&mut response, shown.version);
    if status == StatusCode::CREATED
        && let Ok(location) = HeaderValue::try_from(location(view, &written.owner, rrset.rtype))
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
