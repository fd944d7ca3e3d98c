//! Zones over HTTP: list, create, show, delete, export, import.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{self, LARGE_LIMIT_BYTES, RrsetBody};
use super::changes::ChangesAnswer;
use super::edits::master_lines;
use super::media::Format;
use super::openapi::ProblemBody;
use super::page::{Record, aside, record};
use super::parameters::{Parameters, parse_name, percent_encode, segment};
use super::problem::Problem;
use super::templates::{ZoneBody, complete, warnings, zone_records};
use super::{ApiState, access, changes, pieces, preconditions};
use crate::control::ControlHandle;
use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::model::snapshot::{Snapshot, Zone};
use crate::model::source::SourceId;
use crate::principal::Principal;
use crate::store::{Condition, Edit, Expected, Subject, Terms, Wanted, ZoneRecord};
use crate::zonefile;

const ZONES: &str = "/api/v1/zones/";
/// Zones in a page, where the request does not say, and at most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
/// How often an import is tried again, where the zone changed meanwhile.
const IMPORT_TRIES: usize = 5;

/// A zone as the API shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = Zone)]
pub(super) struct ShownZone {
    name: String,
    serial: Option<u32>,
    version: u64,
    /// RRs of the default.
    records: usize,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    kind: &'static str,
    /// Where changes over the API are kept: `file`, the zone's own (`store: file`), or `database`.
    store: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

fn shown(control: &ControlHandle, snapshot: &Snapshot, key: &NameKey, zone: &Zone) -> ShownZone {
    let soa = zone.rrset(key, RecordType::SOA);
    let rrsets = zone.nodes.values().flat_map(|node| node.rrsets.iter());
    ShownZone {
        name: zone.apex.to_string(),
        serial: snapshot.serial(key),
        version: version(snapshot, key),
        records: rrsets.map(|rrset| rrset.rdatas.len()).sum(),
        // A zone without an SOA record is one that a file declares.
        source: soa.map_or("zone_file", |soa| soa.origin.label()).to_owned(),
        object: soa.and_then(|soa| soa.origin.object().map(str::to_owned)),
        kind: "primary",
        store: match control.is_in_file(key) {
            true => "file",
            false => "database",
        },
        warnings: warnings(zone),
    }
}

fn version(snapshot: &Snapshot, key: &NameKey) -> u64 {
    snapshot.version_of_zone(key).unwrap_or(snapshot.version)
}

/// The zone of that name; 404 where there is none.
pub(super) fn find<'s>(snapshot: &'s Snapshot, apex: &Name) -> Result<(NameKey, &'s Arc<Zone>), Problem> {
    let key = apex.key();
    let zone = snapshot.zones.get(&key);
    let zone =
        zone.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no zone {apex}")))?;
    Ok((key, zone))
}

/// The zone in the path of a request.
pub(super) fn name_in(uri: &Uri) -> Result<Name, Problem> {
    parse_name(&segment(uri, ZONES)?)
}

/// A page of zones.
#[derive(Serialize, ToSchema)]
pub(super) struct ZonePage {
    /// By name.
    zones: Vec<ShownZone>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required)]
    next: Option<String>,
    /// The version of all that is served.
    version: u64,
}

/// All zones, in pages.
#[utoipa::path(
    get, path = "/api/v1/zones", operation_id = "listAllZones", tag = "zones",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Zones in the page, 100 by default"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "A page", body = ZonePage))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &["limit", "cursor"])?;
    let limit = parameters.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let after = parameters
        .get("cursor")
        .map(parse_name)
        .transpose()?
        .map(|name| name.key());
    let within = access::readable(&reader, None, None)?;
    let snapshot = state.served()?;
    let control = state.serving()?.control.clone();
    let made = aside(&state, move || {
        let behind = |key: &NameKey| after.as_ref().is_none_or(|after| key > after);
        let is_readable = |key: &NameKey| within.is_empty() || within.iter().any(|zone| key.is_at_or_below(zone));
        let zones = snapshot.zones.iter();
        let mut zones = zones.filter(|(key, _)| behind(key) && is_readable(key));
        let page: Vec<ShownZone> = zones
            .by_ref()
            .take(limit)
            .map(|(key, zone)| shown(&control, &snapshot, key, zone))
            .collect();
        let next = zones.next().and(page.last()).map(|last| last.name.clone());
        ZonePage {
            next,
            version: snapshot.version,
            zones: page,
        }
    });
    Ok(pieces::json(StatusCode::OK, &made.await?))
}

/// Makes a zone. What it lacks of SOA, NS and their addresses comes from `zone_template`.
#[utoipa::path(
    post, path = "/api/v1/zones", operation_id = "createZoneWithRecords", tag = "zones",
    params(("dry_run" = Option<bool>, Query, description = "Says what it would do, and does nothing")),
    request_body = ZoneBody,
    responses(
        (status = 200, description = "With `dry_run`: what would change", body = ChangesAnswer),
        (status = 201, description = "The zone", body = ShownZone,
            headers(("Location" = String, description = "Where it is"))),
        (status = 409, description = "`exists` and the like: see `code`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let serving = state.serving()?;
    preconditions::refuse(&parts.headers)?;
    let parameters = Parameters::read(&parts.uri, &["dry_run"])?;
    let dry_run = parameters.flag("dry_run")?;
    let (asked, _held) = body::read_as::<ZoneBody>(&state, &parts, body, LARGE_LIMIT_BYTES).await?;
    let apex = parse_name(&asked.name)?;
    let records = zone_records(&serving.zones.load(), &apex, asked.records)?;
    let edit = Edit::CreateZone {
        apex: apex.clone(),
        records,
    };
    let outcome = changes::submit(&state, &parts, vec![edit], Terms::default(), dry_run).await?;
    if dry_run {
        return changes::answer(&state, &parts, &outcome, Vec::new()).await;
    }
    let snapshot = state.served()?;
    let (key, zone) = find(&snapshot, &apex)?;
    let zone = shown(&serving.control, &snapshot, &key, zone);
    let mut response = pieces::json(StatusCode::CREATED, &zone);
    preconditions::tag(&mut response, zone.version);
    let mut location = String::from(ZONES);
    percent_encode(&zone.name, &mut location);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// One zone.
#[utoipa::path(
    get, path = "/api/v1/zones/{zone}", operation_id = "getZone", tag = "zones",
    params(
        ("zone" = String, Path, description = "The apex; the final dot is optional"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` that you have"),
    ),
    responses(
        (status = 200, description = "The zone", body = ShownZone),
        (status = 304, description = "It has the version of `If-None-Match`"),
        (status = 404, description = "`not_found`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    Parameters::read(request.uri(), &[])?;
    let apex = name_in(request.uri())?;
    access::may_read_zone(request.extensions(), &apex)?;
    let snapshot = state.served()?;
    let (key, zone) = find(&snapshot, &apex)?;
    let version = version(&snapshot, &key);
    let mut response = match preconditions::is_known(request.headers(), version) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => pieces::json(StatusCode::OK, &shown(&state.serving()?.control, &snapshot, &key, zone)),
    };
    preconditions::tag(&mut response, version);
    Ok(response)
}

/// Deletes a zone of the API with all of its records.
#[utoipa::path(
    delete, path = "/api/v1/zones/{zone}", operation_id = "deleteZoneWithRecords", tag = "zones",
    params(
        ("zone" = String, Path, description = "The apex; the final dot is optional"),
        ("If-Match" = Option<String>, Header, description = "The version that it must have"),
    ),
    responses(
        (status = 204, description = "Gone"),
        (status = 404, description = "`not_found`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "`managed_by_file`, `locked` and the like", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 412, description = "`version_conflict`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 422, description = "`deletion_guard`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    Parameters::read(&parts.uri, &[])?;
    let apex = name_in(&parts.uri)?;
    let terms = preconditions::terms(&parts.headers, &Subject::Zone(apex.clone()))?;
    changes::submit(&state, &parts, vec![Edit::DeleteZone { apex }], terms, false).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// All records of a zone: a master file, JSON or YAML.
#[utoipa::path(
    get, path = "/api/v1/zones/{zone}/export", operation_id = "exportZone", tag = "zones",
    params(
        ("zone" = String, Path, description = "The apex; the final dot is optional"),
        ("format" = Option<String>, Query, description = "zone (the default), json or yaml"),
    ),
    responses(
        (status = 200, description = "The zone", content(
            (String = "text/dns"), (ExportedZone = "application/json"), (ExportedZone = "application/yaml"))),
        (status = 404, description = "`not_found`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn export(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &["format"])?;
    let apex = name_in(&uri)?;
    access::readable(&reader, None, Some(&apex))?;
    let format = parameters.get("format").unwrap_or("zone").to_owned();
    if !["zone", "json", "yaml"].contains(&format.as_str()) {
        return Err(unknown_format(&format));
    }
    let snapshot = state.served()?;
    find(&snapshot, &apex)?;
    let made = aside(&state, move || {
        let (key, zone) = find(&snapshot, &apex)?;
        match format.as_str() {
            "zone" => Ok((as_text(&snapshot, &key, zone), "text/dns; charset=utf-8")),
            format => as_data(&snapshot, zone, format),
        }
    });
    let (text, content_type) = made.await??;
    let mut response = Response::new(Body::new(pieces::Pieces(text.into())));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

fn unknown_format(format: &str) -> Problem {
    Problem::bad_request(
        "invalid_parameter",
        format!("`format` is `{format}`, and not one of zone, json, yaml"),
    )
}

/// A master file, the SOA first and with the serial that is served.
fn as_text(snapshot: &Snapshot, key: &NameKey, zone: &Zone) -> String {
    let mut text = format!("$ORIGIN {}\n", zone.apex);
    let with_serial = |rrset: &RrSet| -> RrSet {
        let serial = snapshot.serial(key);
        let values = rrset.rdatas.iter().map(|value| {
            let mut value = value.to_vec();
            if let Some(serial) = serial {
                crate::model::rdata::set_serial(&mut value, serial);
            }
            value
        });
        RrSet {
            rdatas: values.collect(),
            ..rrset.clone()
        }
    };
    let soa = zone.rrset(key, RecordType::SOA);
    let mut write = |owner: &Name, rrset: &RrSet| {
        for line in master_lines(owner, rrset) {
            text.push_str(&line);
            text.push('\n');
        }
    };
    if let Some(soa) = soa {
        write(&zone.apex, &with_serial(soa));
    }
    for (at, node) in &zone.nodes {
        for rrset in node
            .rrsets
            .iter()
            .filter(|rrset| rrset.rtype != RecordType::SOA || at != key)
        {
            write(&node.owner(at), rrset);
        }
    }
    text
}

fn as_data(snapshot: &Snapshot, zone: &Zone, format: &str) -> Result<(String, &'static str), Problem> {
    let records = zone.nodes.iter().flat_map(|(key, node)| {
        let owner = node.owner(key);
        node.rrsets
            .iter()
            .map(move |rrset| record(snapshot, None, &owner, rrset))
    });
    let export = ExportedZone {
        name: zone.apex.to_string(),
        records: records.collect(),
    };
    let internal = |error: String| Problem::internal(&error);
    match format {
        "yaml" => serde_saphyr::to_string(&export)
            .map(|text| (text, "application/yaml"))
            .map_err(|error| internal(error.to_string())),
        _ => serde_json::to_string(&export)
            .map(|text| (text, "application/json"))
            .map_err(|error| internal(error.to_string())),
    }
}

/// Makes a zone what the body says: RRsets of the API that it lacks are deleted.
#[utoipa::path(
    post, path = "/api/v1/zones/{zone}/import", operation_id = "importZone", tag = "zones",
    params(
        ("zone" = String, Path, description = "The apex; the final dot is optional"),
        ("format" = Option<String>, Query, description = "zone (the default), json or yaml"),
        ("dry_run" = Option<bool>, Query, description = "Says what it would do, and does nothing"),
        ("force" = Option<bool>, Query, description = "Deletes as much as it takes"),
        ("If-Match" = Option<String>, Header, description = "The version that the zone must have"),
    ),
    request_body(content((String = "text/dns"), (ImportBody = "application/json"), (String = "application/yaml"))),
    responses(
        (status = 200, description = "What changed", body = ChangesAnswer),
        (status = 409, description = "`managed_by_file`, `cname_conflict` and the like", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 412, description = "`version_conflict`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 422, description = "`deletion_guard`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn import(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let serving = state.serving()?;
    preconditions::conditions(&parts.headers)?;
    let parameters = Parameters::read(&parts.uri, &["format", "dry_run", "force"])?;
    let (dry_run, force) = (parameters.flag("dry_run")?, parameters.flag("force")?);
    let apex = name_in(&parts.uri)?;
    let format = parameters.get("format").unwrap_or("zone").to_owned();
    // A web page can send a text without being asked first (CORS), where there is no token to keep it from that.
    let has_type = parts.headers.contains_key(header::CONTENT_TYPE);
    let is_simple = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(super::media::essence)
        .is_some_and(|essence| {
            ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"].contains(&essence.as_str())
        });
    if is_simple || !has_type {
        return Err(super::media::unsupported(if format == "zone" {
            "text/dns"
        } else {
            "application/json"
        }));
    }
    let (bytes, _held) = body::read(&state, &parts, body, LARGE_LIMIT_BYTES).await?;
    let mut records = match format.as_str() {
        "zone" => of_text(&apex, &bytes)?,
        "json" => of_data(&apex, body::parse(&bytes, Format::Json)?)?,
        "yaml" => of_data(&apex, body::parse(&bytes, Format::Yaml)?)?,
        other => return Err(unknown_format(other)),
    };
    complete(&serving.zones.load(), &apex, &mut records)?;
    let asked = preconditions::terms(&parts.headers, &Subject::Zone(apex.clone()))?;
    for attempt in 1.. {
        let (edits, seen) = edits_of_import(&*state.served()?, &apex, records.clone());
        let mut terms = Terms { force, ..asked.clone() };
        terms.expects.extend(seen);
        let outcome = match changes::submit(&state, &parts, edits, terms, dry_run).await {
            // The zone changed while the edits were made: they are made anew, unless the client has said what it
            // expects.
            Err(problem)
                if problem.code() == "version_conflict" && asked.expects.is_empty() && attempt < IMPORT_TRIES =>
            {
                continue;
            }
            outcome => outcome?,
        };
        let snapshot = state.served()?;
        let warnings = snapshot
            .zones
            .get(&apex.key())
            .map(|zone| warnings(zone))
            .unwrap_or_default();
        return changes::answer(&state, &parts, &outcome, warnings).await;
    }
    Err(Problem::internal("an import ended without an answer"))
}

fn of_text(apex: &Name, bytes: &[u8]) -> Result<Vec<ZoneRecord>, Problem> {
    let read = zonefile::read_text(bytes, apex, "the body".into());
    let content = read.map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let first = errors
            .first()
            .cloned()
            .unwrap_or_else(|| "it cannot be read".to_owned());
        Problem::bad_request("invalid_body", format!("the zone file has errors: {first}")).member("errors", errors)
    })?;
    let records = content.rrsets.into_iter().map(|(owner, rrset)| ZoneRecord {
        owner,
        rtype: rrset.rtype,
        wanted: Wanted::from(Some(rrset.ttl)),
        rdatas: rrset.rdatas.iter().map(Into::into).collect(),
    });
    Ok(records.collect())
}

fn of_data(apex: &Name, body: ImportBody) -> Result<Vec<ZoneRecord>, Problem> {
    if let Some(name) = body.name {
        let given = parse_name(&name)?;
        if given != *apex {
            return Err(Problem::bad_request(
                "invalid_body",
                format!("the body is the zone {given}, and the URL says {apex}"),
            ));
        }
    }
    super::templates::read_records(body.records)
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ZoneImport)]
pub(super) struct ImportBody {
    name: Option<String>,
    #[schema(value_type = Vec<RrsetBody>)]
    records: Vec<serde_json::Value>,
}

/// A zone as JSON.
#[derive(Serialize, ToSchema)]
pub(super) struct ExportedZone {
    name: String,
    records: Vec<Record>,
}

/// What makes the zone these records, and at which version of it.
fn edits_of_import(snapshot: &Snapshot, apex: &Name, records: Vec<ZoneRecord>) -> (Vec<Edit>, Vec<Expected>) {
    let key = apex.key();
    let Some(zone) = snapshot.zones.get(&key) else {
        let edit = Edit::CreateZone {
            apex: apex.clone(),
            records,
        };
        return (vec![edit], Vec::new());
    };
    let wanted: std::collections::HashSet<(NameKey, RecordType)> = records
        .iter()
        .map(|record| (record.owner.key(), record.rtype))
        .collect();
    // Files that edits change, too; of others no edit is made at all.
    let sources = [SourceId::api(), SourceId::zone_files()];
    let mut edits = Vec::new();
    for (at, node) in &zone.nodes {
        for rrset in node
            .rrsets
            .iter()
            .filter(|rrset| sources.contains(rrset.origin.source()))
        {
            if !wanted.contains(&(at.clone(), rrset.rtype)) {
                edits.push(Edit::Delete {
                    view: None,
                    owner: node.owner(at),
                    rtype: Some(rrset.rtype),
                });
            }
        }
    }
    edits.extend(records.into_iter().map(|record| Edit::Put {
        view: None,
        owner: record.owner,
        rtype: record.rtype,
        wanted: record.wanted,
        rdatas: record.rdatas,
    }));
    let seen = Expected {
        edit: 0,
        subject: Subject::Zone(apex.clone()),
        condition: Condition::OneOf(vec![version(snapshot, &key)]),
    };
    (edits, vec![seen])
}
