//! `/v1/zones`: zones and single records, for the clients of an API that had these paths first.
//!
//! | operation | call |
//! |---|---|
//! | `listZones`, `createZone`, `deleteZone` | `GET`, `POST /v1/zones`, `DELETE /v1/zones/{zoneName}` |
//! | `getZoneRecords`, `upsertRecord`, `deleteRecord` | `GET`, `POST`, `DELETE /v1/zones/{zoneName}/records` |
//! | `reloadZone` | `POST /v1/zones/{zoneName}/reload` |
//!
//! A record here is one RR: its `value` is one text, and its `id` says name, type and value.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{self, LARGE_LIMIT_BYTES, LIMIT_BYTES, parse_value};
use super::connection::Peer;
use super::openapi::ProblemBody;
use super::page::aside;
use super::parameters::{Parameters, parse_name, parse_type, segment};
use super::problem::Problem;
use super::templates::complete;
use super::zones::find;
use super::{ApiState, access, changes, pieces};
use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::{Rdata, RecordType};
use crate::model::snapshot::Zone;
use crate::principal::Principal;
use crate::store::{Edit, Terms, Wanted, ZoneRecord};

const ZONES: &str = "/v1/zones/";
/// The TTL of a record that names none.
const DEFAULT_TTL: u32 = 3600;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewHostedZone)]
pub(super) struct ZoneBody {
    name: String,
    #[serde(default)]
    records: Vec<RecordBody>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewHostedRecord)]
pub(super) struct RecordBody {
    r#type: String,
    name: String,
    value: String,
    #[serde(default = "default_ttl")]
    #[schema(default = 3600, maximum = 2147483647)]
    ttl: u32,
    /// In answers only.
    #[serde(rename = "id")]
    _id: Option<String>,
}

fn default_ttl() -> u32 {
    DEFAULT_TTL
}

#[derive(Serialize, ToSchema)]
#[schema(as = HostedRecord)]
pub(super) struct ShownRecord {
    id: String,
    r#type: String,
    name: String,
    value: String,
    ttl: u32,
}

/// One record of a request.
struct Asked {
    owner: Name,
    rtype: RecordType,
    rdata: Rdata,
    ttl: u32,
}

impl RecordBody {
    fn read(&self, apex: &Name) -> Result<Asked, Problem> {
        let rtype = parse_type(&self.r#type)?;
        Ok(Asked {
            owner: name_within(&self.name, apex)?,
            rtype,
            rdata: parse_value(rtype, &self.value)?,
            ttl: self.ttl,
        })
    }
}

/// A name of a zone: `@` is its apex, and a name that is not in it and has no final dot is relative to it.
fn name_within(text: &str, apex: &Name) -> Result<Name, Problem> {
    if text == "@" {
        return Ok(apex.clone());
    }
    let name = parse_name(text)?;
    if text.ends_with('.') || name.is_at_or_below(apex) {
        return Ok(name);
    }
    match apex.as_wire() {
        [0] => Ok(name),
        _ => parse_name(&format!("{text}.{apex}")),
    }
}

fn zone_in(uri: &Uri) -> Result<Name, Problem> {
    parse_name(&segment(uri, ZONES)?)
}

/// What a record is called in `deleteRecord`.
fn id(owner: &Name, rtype: RecordType, value: &[u8]) -> String {
    let mut octets = rtype.0.to_be_bytes().to_vec();
    octets.extend_from_slice(owner.key().to_name().as_wire());
    octets.extend_from_slice(value);
    BASE64URL_NOPAD.encode(&octets)
}

fn read_id(text: &str) -> Option<(Name, RecordType, Rdata)> {
    let octets = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let (rtype, rest) = octets.split_first_chunk::<2>()?;
    let length = crate::model::name::wire_name_length(rest)?;
    let (owner, value) = rest.split_at_checked(length)?;
    Some((
        Name::from_wire(owner).ok()?,
        RecordType(u16::from_be_bytes(*rtype)),
        value.into(),
    ))
}

fn shown(zone: &Zone) -> ShownZone {
    ShownZone {
        name: zone.apex.to_string(),
        records: records_of(zone),
    }
}

fn records_of(zone: &Zone) -> Vec<ShownRecord> {
    let mut shown = Vec::new();
    for (key, node) in &zone.nodes {
        let owner = node.owner(key);
        for rrset in &node.rrsets {
            shown.extend(rrset.rdatas.iter().map(|value| ShownRecord {
                id: id(&owner, rrset.rtype, value),
                r#type: rrset.rtype.to_string(),
                name: owner.to_string(),
                value: rdata::format_value(rrset.rtype, value),
                ttl: rrset.ttl,
            }));
        }
    }
    shown
}

/// A zone with its records.
#[derive(Serialize, ToSchema)]
#[schema(as = HostedZone)]
pub(super) struct ShownZone {
    name: String,
    records: Vec<ShownRecord>,
}

/// All zones with their records.
#[utoipa::path(
    get, path = "/v1/zones", operation_id = "listZones", tag = "hosted zones",
    responses((status = 200, description = "The zones", body = Vec<ShownZone>))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    access::readable(&reader, None, None)?;
    let snapshot = state.served()?;
    let made = aside(&state, move || {
        let zones = snapshot.zones.values();
        let zones = zones.filter(|zone| reader.scope().may_read(&zone.apex));
        let zones = zones.map(|zone| shown(zone));
        zones.collect::<Vec<_>>()
    });
    let zones = made.await?;
    Ok(pieces::json(StatusCode::OK, &zones))
}

/// Makes a zone.
#[utoipa::path(
    post, path = "/v1/zones", operation_id = "createZone", tag = "hosted zones",
    request_body = ZoneBody,
    responses(
        (status = 201, description = "The zone", body = ShownZone),
        (status = 409, description = "`exists` and the like", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let serving = state.serving()?;
    Parameters::read(&parts.uri, &[])?;
    let (asked, _held) = body::read_as::<ZoneBody>(&state, &parts, body, LARGE_LIMIT_BYTES).await?;
    let apex = parse_name(&asked.name)?;
    let mut records: Vec<ZoneRecord> = Vec::new();
    for (place, record) in asked.records.iter().enumerate() {
        let Asked {
            owner,
            rtype,
            rdata,
            ttl,
        } = record
            .read(&apex)
            .map_err(|problem| problem.at(format!("/records/{place}")))?;
        let is_same = |known: &&mut ZoneRecord| known.rtype == rtype && known.owner == owner;
        match records.iter_mut().find(is_same) {
            Some(known) => known.rdatas.push(rdata),
            None => records.push(ZoneRecord {
                owner,
                rtype,
                wanted: Wanted::from(Some(ttl)),
                rdatas: vec![rdata],
            }),
        }
    }
    complete(&serving.zones.load(), &apex, &mut records)?;
    let edit = Edit::CreateZone {
        apex: apex.clone(),
        records,
    };
    changes::submit(&state, &parts, vec![edit], Terms::default(), false).await?;
    let snapshot = state.served()?;
    let (_, zone) = find(&snapshot, &apex)?;
    Ok(pieces::json(StatusCode::CREATED, &shown(zone)))
}

/// Deletes a zone.
#[utoipa::path(
    delete, path = "/v1/zones/{zone}", operation_id = "deleteZone", tag = "hosted zones",
    params(("zone" = String, Path, description = "The apex; the final dot is optional")),
    responses(
        (status = 204, description = "Gone"),
        (status = 404, description = "`not_found`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "`managed_by_file` and the like", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 422, description = "`deletion_guard`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    Parameters::read(&parts.uri, &[])?;
    let apex = zone_in(&parts.uri)?;
    changes::submit(&state, &parts, vec![Edit::DeleteZone { apex }], Terms::default(), false).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The records of a zone, one RR each.
#[utoipa::path(
    get, path = "/v1/zones/{zone}/records", operation_id = "getZoneRecords", tag = "hosted zones",
    params(("zone" = String, Path, description = "The apex; the final dot is optional")),
    responses(
        (status = 200, description = "The records", body = Vec<ShownRecord>),
        (status = 404, description = "`not_found`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn records(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let apex = zone_in(&uri)?;
    access::readable(&reader, None, Some(&apex))?;
    let snapshot = state.served()?;
    find(&snapshot, &apex)?;
    let made = aside(&state, move || find(&snapshot, &apex).map(|(_, zone)| records_of(zone)));
    let records = made.await??;
    Ok(pieces::json(StatusCode::OK, &records))
}

/// Adds a record, or changes its TTL: a value that is not there is added, beside those that are; of a type that has one
/// value it replaces that. All records of one name and type have one TTL: the one that is given last.
#[utoipa::path(
    post, path = "/v1/zones/{zone}/records", operation_id = "upsertRecord", tag = "hosted zones",
    params(("zone" = String, Path, description = "The apex; the final dot is optional")),
    request_body = RecordBody,
    responses(
        (status = 200, description = "The record", body = ShownRecord),
        (status = 404, description = "`not_found`: no such zone", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "`managed_by_file`, `cname_conflict` and the like", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn upsert(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    Parameters::read(&parts.uri, &[])?;
    let apex = zone_in(&parts.uri)?;
    let (body, _held) = body::read_as::<RecordBody>(&state, &parts, body, LIMIT_BYTES).await?;
    find(&*state.served()?, &apex)?;
    let Asked {
        owner,
        rtype,
        rdata,
        ttl,
    } = body.read(&apex)?;
    is_in_zone(&owner, &apex)?;
    let edit = Edit::Upsert {
        view: None,
        owner: owner.clone(),
        rtype,
        ttl,
        rdata: rdata.clone(),
    };
    changes::submit(&state, &parts, vec![edit], Terms::default(), false).await?;
    let shown = ShownRecord {
        id: id(&owner, rtype, &rdata),
        r#type: rtype.to_string(),
        name: owner.to_string(),
        value: rdata::format_value(rtype, &rdata),
        ttl,
    };
    Ok(pieces::json(StatusCode::OK, &shown))
}

fn is_in_zone(owner: &Name, apex: &Name) -> Result<(), Problem> {
    match owner.is_at_or_below(apex) {
        true => Ok(()),
        false => Err(Problem::bad_request(
            "invalid_name",
            format!("{owner} is not in the zone {apex}"),
        )),
    }
}

/// Deletes a record.
#[utoipa::path(
    delete, path = "/v1/zones/{zone}/records", operation_id = "deleteRecord", tag = "hosted zones",
    params(
        ("zone" = String, Path, description = "The apex; the final dot is optional"),
        ("recordId" = String, Query, description = "`id` of a record of the zone's list"),
    ),
    responses(
        (status = 204, description = "Gone"),
        (status = 404, description = "`not_found`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "`managed_by_file` and the like", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete_record(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let parameters = Parameters::read(&parts.uri, &["recordId"])?;
    let apex = zone_in(&parts.uri)?;
    let given = parameters.get("recordId");
    let given = given.ok_or_else(|| {
        Problem::bad_request(
            "invalid_parameter",
            "`recordId` is missing: it is the `id` of a record in the zone's list",
        )
    })?;
    find(&*state.served()?, &apex)?;
    let not_found = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("the zone {apex} has no record with the id `{given}`"),
        )
    };
    let (owner, rtype, rdata) = read_id(given).ok_or_else(not_found)?;
    if !owner.is_at_or_below(&apex) || !rtype.is_data() {
        return Err(not_found());
    }
    let edit = Edit::RemoveValues {
        view: None,
        owner,
        rtype,
        rdatas: vec![rdata],
    };
    changes::submit(&state, &parts, vec![edit], Terms::default(), false).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Reads the files again; a zone of the API has nothing to read.
#[utoipa::path(
    post, path = "/v1/zones/{zone}/reload", operation_id = "reloadZone", tag = "hosted zones",
    params(
        ("zone" = String, Path, description = "The apex; the final dot is optional"),
        ("Content-Type" = Option<String>, Header,
            description = "`application/json` is needed where no credential is, though there is no body"),
    ),
    responses(
        (status = 202, description = "What differs now", body = crate::control::ReloadReport),
        (status = 404, description = "`not_found`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 422, description = "`reload_failed`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn reload(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    Parameters::read(request.uri(), &[])?;
    let apex = zone_in(request.uri())?;
    access::require_zone(request.extensions(), &apex)?;
    let peer = request.extensions().get::<Peer>();
    access::refuse_pages(&state, peer, request.headers())?;
    find(&*state.served()?, &apex)?;
    let report = state.serving()?.control.reload().await?;
    Ok(pieces::json(StatusCode::ACCEPTED, &report))
}
