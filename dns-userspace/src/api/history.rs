//! What was changed, by whom and when; the way back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use humantime_serde::re::humantime;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::body::{self, LIMIT_BYTES, parse_note};
use super::changes::ChangesAnswer;
use super::edits::{Differing, ShownDifference, unified};
use super::media::prefers;
use super::openapi::ProblemBody;
use super::parameters::Parameters;
use super::problem::Problem;
use super::{ApiState, access, changes, pieces, preconditions, zones};
use crate::control::{Difference, Past, PastKind, decode};
use crate::journal::HistoryQuery;
use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::model::views::ViewName;
use crate::principal::Principal;
use crate::store::{Condition, Edit, Expected, KeepingWanted, Subject, Terms, Wanted};

/// Entries in a page, where the request does not say, and at most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
/// Entries that one request looks at: a filter that few pass ends with a cursor.
const MOST_LOOKED_AT: usize = 50_000;
/// Rows that are asked of the journal at a time.
const ROWS: usize = 256;
/// RRsets of one entry that are shown.
const MOST_SHOWN: usize = 1000;
/// RRsets that one way back may touch.
const MOST_EDITS: usize = 100_000;

/// A change, as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = HistoryEntry)]
pub(super) struct Entry {
    version: u64,
    time: String,
    actor: String,
    source: String,
    object: Option<String>,
    comment: Option<String>,
    /// `edits`, `reload`, or `start`.
    kind: &'static str,
    diff: Vec<ShownDifference>,
    /// Whether `diff` has all that was changed.
    complete: bool,
}

/// A page of the history.
#[derive(Serialize, ToSchema)]
pub(super) struct HistoryPage {
    /// The newest first.
    entries: Vec<Entry>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required)]
    next: Option<String>,
}

/// What differs in a zone between two versions.
#[derive(Serialize, ToSchema)]
pub(super) struct ZoneDifference {
    from: u64,
    to: u64,
    diff: Vec<ShownDifference>,
    /// Whether the history says all that was changed.
    complete: bool,
}

/// An entry, with the RRsets in it that the one who asks may read.
fn shown(past: &Past, reader: &Principal) -> Entry {
    let readable = past.diff.iter().filter(|one| may_read(reader, one));
    let diff = readable.clone().take(MOST_SHOWN);
    Entry {
        version: past.version,
        time: time_of(past.time),
        actor: past.actor.to_string(),
        source: past.source.to_string(),
        object: past.object.as_deref().map(str::to_owned),
        comment: past.comment.as_deref().map(str::to_owned),
        kind: match past.kind {
            PastKind::Edits => "edits",
            PastKind::Reload => "reload",
            PastKind::Start => "start",
        },
        diff: diff.map(|difference| Differing::from(difference).shown()).collect(),
        complete: past.is_whole && readable.count() <= MOST_SHOWN,
    }
}

/// Whether a scope has an RRset.
pub(super) fn may_read(reader: &Principal, difference: &Difference) -> bool {
    let scope = reader.scope();
    scope.may_read(&difference.owner) && scope.has_view(difference.view.as_deref())
}

/// RFC 3339.
fn time_of(millis: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(millis)).to_string()
}

/// What `since` says.
#[derive(Clone, Copy)]
enum Since {
    Version(u64),
    /// In milliseconds of Unix time.
    Time(u64),
}

fn parse_since(text: &str) -> Result<Since, Problem> {
    if let Ok(version) = text.parse() {
        return Ok(Since::Version(version));
    }
    let time = humantime::parse_rfc3339_weak(text).ok();
    let ago = || SystemTime::now().checked_sub(humantime::parse_duration(text).ok()?);
    let time = time.or_else(ago).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let millis = time.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    millis.map(Since::Time).ok_or_else(|| {
        Problem::bad_request(
            "invalid_parameter",
            format!("`since` is `{text}`: write a version, a time such as 2026-01-31T12:00:00Z, or an age such as 2h"),
        )
    })
}

/// Which entries are wanted.
struct Filter {
    zone: Option<NameKey>,
    name: Option<NameKey>,
    actor: Option<String>,
    source: Option<String>,
    since: Option<Since>,
}

impl Filter {
    fn fits(&self, past: &Past) -> bool {
        let touches = |fits: &dyn Fn(&NameKey) -> bool| past.diff.iter().any(|one| fits(&one.owner.key()));
        let in_zone = self
            .zone
            .as_ref()
            .is_none_or(|apex| touches(&|key| key.is_at_or_below(apex)));
        let has_name = self.name.as_ref().is_none_or(|name| touches(&|key| key == name));
        let of_actor = self.actor.as_deref().is_none_or(|actor| *past.actor == *actor);
        let of_source = self.source.as_deref().is_none_or(|source| *past.source == *source);
        in_zone && has_name && of_actor && of_source
    }

    /// Whether this entry, and all before it, are too old.
    fn is_over(&self, past: &Past) -> bool {
        match self.since {
            None => false,
            Some(Since::Version(version)) => past.version <= version,
            Some(Since::Time(time)) => past.time < time,
        }
    }
}

/// What was changed, by whom and when; the newest first.
#[utoipa::path(
    get, path = "/api/v1/history", operation_id = "listHistory", tag = "history",
    params(
        ("zone" = Option<String>, Query, description = "Changes at or below this name"),
        ("name" = Option<String>, Query, description = "Changes of this name"),
        ("actor" = Option<String>, Query, description = "Changes by this actor"),
        ("source" = Option<String>, Query, description = "Changes of this source, such as `consul/dc1`"),
        ("since" = Option<String>, Query, description = "After a version, a time (RFC 3339), or an age such as 2h"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000,
            description = "Entries in the page, 100 by default"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "A page", body = HistoryPage))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    let known = ["zone", "name", "actor", "source", "since", "limit", "cursor"];
    let parameters = Parameters::read(&uri, &known)?;
    let filter = Filter {
        zone: parameters.name("zone")?.map(|name| name.key()),
        name: parameters.name("name")?.map(|name| name.key()),
        actor: parameters.get("actor").map(str::to_owned),
        source: parameters.get("source").map(str::to_owned),
        since: parameters.get("since").map(parse_since).transpose()?,
    };
    let limit = parameters.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let mut before = match parameters.get("cursor") {
        None => u64::MAX,
        Some(text) => text.parse().map_err(|_| {
            Problem::bad_request("invalid_parameter", "`cursor` is not the `next` of an earlier answer")
        })?,
    };
    state.served()?;
    let control = &state.serving()?.control;
    let (mut entries, mut looked_at) = (Vec::new(), 0);
    let next = 'pages: loop {
        let query = HistoryQuery {
            after: 0,
            before,
            newest_first: true,
            limit: ROWS,
        };
        let rows = control.past(query).await?;
        let Some(oldest) = rows.last().map(|row| row.first) else {
            break None;
        };
        for past in rows.iter().flat_map(|row| decode(row).into_iter().rev()) {
            if past.version >= before {
                continue;
            }
            if filter.is_over(&past) {
                break 'pages None;
            }
            if entries.len() == limit || looked_at == MOST_LOOKED_AT {
                break 'pages Some(past.version + 1);
            }
            looked_at += 1;
            let is_readable = reader.is_unlimited() || past.diff.iter().any(|one| may_read(&reader, one));
            if is_readable && filter.fits(&past) {
                entries.push(shown(&past, &reader));
            }
        }
        before = oldest;
    };
    let next = next.map(|next| next.to_string());
    Ok(pieces::json(StatusCode::OK, &HistoryPage { entries, next }))
}

type Place = (Option<ViewName>, NameKey, RecordType);

/// What changed in total between two versions.
struct Net {
    /// In the order in which they were touched last.
    places: HashMap<Place, Difference>,
    /// The version of an entry that does not say all that it changed.
    gap: Option<u64>,
}

impl Net {
    /// All changes at or below a name, after version `from` and up to `to`; of one source, or of all.
    async fn between(
        state: &ApiState,
        zone: &NameKey,
        (from, to): (u64, u64),
        source: Option<&str>,
    ) -> Result<Self, Problem> {
        let control = &state.serving()?.control;
        let mut net = Self {
            places: HashMap::new(),
            gap: None,
        };
        let (mut after, mut is_first) = (from, true);
        while after < to {
            let query = HistoryQuery {
                after,
                before: u64::MAX,
                newest_first: false,
                limit: ROWS,
            };
            let rows = control.past(query).await?;
            if std::mem::take(&mut is_first) && from > 0 {
                let known = control
                    .past(HistoryQuery {
                        after: 0,
                        before: u64::MAX,
                        newest_first: false,
                        limit: 1,
                    })
                    .await?;
                if known.first().is_none_or(|oldest| oldest.first > from + 1) {
                    return Err(gone(from, known.first().map(|oldest| oldest.first)));
                }
            }
            let Some(last) = rows.last().map(|row| row.last) else {
                break;
            };
            let pasts = rows.iter().flat_map(decode);
            for past in pasts.filter(|past| past.version > from && past.version <= to) {
                net.add(past, zone, source);
            }
            after = last;
        }
        net.places.retain(|_, difference| difference.old != difference.new);
        Ok(net)
    }

    fn add(&mut self, past: Past, zone: &NameKey, source: Option<&str>) {
        if source.is_some_and(|source| source != &*past.source) {
            return;
        }
        if !past.is_whole && past.kind != PastKind::Start {
            self.gap = Some(past.version);
        }
        for difference in past.diff {
            let key = difference.owner.key();
            if !key.is_at_or_below(zone) {
                continue;
            }
            let place = (difference.view.clone(), key, difference.rtype);
            match self.places.get_mut(&place) {
                Some(known) => known.new = difference.new,
                None => drop(self.places.insert(place, difference)),
            }
        }
    }

    /// In canonical order, those of the default first.
    fn into_sorted(self) -> Vec<Difference> {
        let mut all: Vec<(Place, Difference)> = self.places.into_iter().collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all.into_iter().map(|(_, difference)| difference).collect()
    }
}

/// What the records of a source have become since a version.
pub(super) async fn of_source_since(state: &ApiState, source: &str, version: u64) -> Result<Vec<Difference>, Problem> {
    let latest = state.served()?.version;
    if version > latest {
        return Err(Problem::bad_request(
            "invalid_parameter",
            format!("`to` is {version}, and the latest version is {latest}"),
        ));
    }
    let net = Net::between(state, &Name::root().key(), (version, u64::MAX), Some(source)).await?;
    match net.gap {
        Some(gap) => Err(gone(version, Some(gap + 1))),
        None => Ok(net.into_sorted()),
    }
}

fn gone(from: u64, oldest: Option<u64>) -> Problem {
    let oldest = oldest.map_or_else(
        || "is empty".to_owned(),
        |oldest| format!("begins with version {oldest}"),
    );
    Problem::new(
        StatusCode::GONE,
        "history_gone",
        format!("the history does not go back to version {from}: it {oldest} (`history.max_age`, `history.max_bytes`)"),
    )
}

/// A version that a parameter says, where it says one.
pub(super) fn parse_version(parameters: &Parameters, key: &str) -> Result<Option<u64>, Problem> {
    let invalid =
        |text: &str| Problem::bad_request("invalid_parameter", format!("`{key}` is `{text}`, and no version"));
    parameters
        .get(key)
        .map(|text| text.parse().map_err(|_| invalid(text)))
        .transpose()
}

/// What differs in a zone between two versions.
#[utoipa::path(
    get, path = "/api/v1/zones/{zone}/diff", operation_id = "diffZone", tag = "history",
    params(
        ("zone" = String, Path, description = "The apex; the final dot is optional"),
        ("from" = u64, Query, description = "The version before the changes"),
        ("to" = Option<u64>, Query, description = "The version after them; the latest by default"),
    ),
    responses(
        (status = 200, description = "The difference; as text by `Accept: text/plain`",
            content((ZoneDifference = "application/json"), (String = "text/plain"))),
        (status = 410, description = "`history_gone`: the history does not go back so far", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn diff(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let parameters = Parameters::read(request.uri(), &["from", "to"])?;
    let apex = zones::name_in(request.uri())?;
    access::may_read_zone(request.extensions(), &apex)?;
    let reader = access::of(request.extensions())?.clone();
    let latest = state.served()?.version;
    let missing = || {
        Problem::bad_request(
            "invalid_parameter",
            "`from` is missing: it is the version before the changes",
        )
    };
    let from = parse_version(&parameters, "from")?.ok_or_else(missing)?;
    let to = parse_version(&parameters, "to")?.unwrap_or(latest);
    if from > to {
        let detail = format!("`from` is {from}, which is after {to}: the version before the changes comes first");
        return Err(Problem::bad_request("invalid_parameter", detail));
    }
    let net = Net::between(&state, &apex.key(), (from, to), None).await?;
    let complete = net.gap.is_none();
    let mut diff = net.into_sorted();
    diff.retain(|one| may_read(&reader, one));
    if prefers(request.headers(), &["text/plain"]) {
        let text = unified(from, &format!("version {to}"), diff.iter().map(Differing::from));
        let mut response = text.into_response();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        return Ok(response);
    }
    let diff: Vec<ShownDifference> = diff
        .iter()
        .map(|difference| Differing::from(difference).shown())
        .collect();
    let answer = ZoneDifference {
        from,
        to,
        diff,
        complete,
    };
    Ok(pieces::json(StatusCode::OK, &answer))
}

/// Where a zone is to go back to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rollback)]
pub(super) struct RollbackBody {
    /// The version whose records are wanted.
    to: u64,
    comment: Option<String>,
    #[serde(default)]
    force: bool,
}

/// Makes the API's records of a zone what they were: a change like any other, so it can be undone.
#[utoipa::path(
    post, path = "/api/v1/zones/{zone}/rollback", operation_id = "rollbackZone", tag = "history",
    params(
        ("zone" = String, Path, description = "The apex; the final dot is optional"),
        ("dry_run" = Option<bool>, Query, description = "Says what it would do, and does nothing"),
        ("If-Match" = Option<String>, Header, description = "The version that the zone must have"),
    ),
    request_body = RollbackBody,
    responses(
        (status = 200, description = "What changed", body = ChangesAnswer),
        (status = 409, description = "What was cannot come back: `code` says why", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 410, description = "`history_gone`: the history does not go back so far", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 412, description = "`version_conflict`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 422, description = "`deletion_guard`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn rollback(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    preconditions::conditions(&parts.headers)?;
    let parameters = Parameters::read(&parts.uri, &["dry_run"])?;
    let dry_run = parameters.flag("dry_run")?;
    let apex = zones::name_in(&parts.uri)?;
    let (asked, _held) = body::read_as::<RollbackBody>(&state, &parts, body, LIMIT_BYTES).await?;
    let snapshot = state.served()?;
    if asked.to > snapshot.version {
        return Err(Problem::bad_request(
            "invalid_body",
            format!("`to` is {}, and the latest version is {}", asked.to, snapshot.version),
        ));
    }
    let key = apex.key();
    let version = snapshot.version_of_zone(&key);
    drop(snapshot);
    let net = Net::between(&state, &key, (asked.to, u64::MAX), Some("api")).await?;
    if let Some(gap) = net.gap {
        return Err(gone(asked.to, Some(gap + 1)));
    }
    let differences = net.into_sorted();
    if differences.len() > MOST_EDITS {
        return Err(Problem::bad_request(
            "invalid_body",
            format!(
                "{} RRsets were changed since, and a way back touches at most {MOST_EDITS}",
                differences.len()
            ),
        ));
    }
    let comment = asked
        .comment
        .unwrap_or_else(|| format!("rollback of {apex} to version {}", asked.to));
    let mut terms = Terms {
        comment: Some(parse_note(comment)?.into()),
        force: asked.force,
        ..preconditions::terms(&parts.headers, &Subject::Zone(apex.clone()))?
    };
    // What came between the reading of the history and now is not lost.
    terms.expects.extend(version.map(|version| Expected {
        edit: 0,
        subject: Subject::Zone(apex.clone()),
        condition: Condition::OneOf(vec![version]),
    }));
    let edits = edits_back(&differences);
    if edits.is_empty() {
        let answer = json!({"version": state.served()?.version, "diff": []});
        return Ok(pieces::json(StatusCode::OK, &answer));
    }
    let outcome = changes::submit(&state, &parts, edits, terms, dry_run).await?;
    changes::answer(&state, &parts, &outcome, Vec::new()).await
}

/// What undoes these differences: what was made goes first, so that it is not in the way of what comes back.
fn edits_back(differences: &[Difference]) -> Vec<Edit> {
    let (back, made): (Vec<_>, Vec<_>) = differences.iter().partition(|difference| difference.old.is_some());
    let deletes = made.into_iter().map(|difference| Edit::Delete {
        view: difference.view.clone(),
        owner: difference.owner.clone(),
        rtype: Some(difference.rtype),
    });
    let puts = back.into_iter().filter_map(|difference| {
        let old = difference.old.as_ref()?;
        Some(put_back(difference.view.clone(), &difference.owner, old))
    });
    deletes.chain(puts).collect()
}

fn put_back(view: Option<ViewName>, owner: &Name, rrset: &Arc<RrSet>) -> Edit {
    let keeping = rrset.handling.keeping();
    Edit::Put {
        view,
        owner: owner.clone(),
        rtype: rrset.rtype,
        wanted: Wanted {
            ttl: Some(rrset.ttl),
            order: Some(rrset.handling.order().clone()),
            wildcard: owner.is_wildcard().then(|| rrset.handling.wildcard()),
            keeping: KeepingWanted {
                locked: Some(keeping.locked),
                disabled: Some(keeping.disabled),
                note: Some(keeping.note.clone().unwrap_or_default()),
            },
        },
        rdatas: rrset.rdatas.iter().map(Into::into).collect(),
    }
}
