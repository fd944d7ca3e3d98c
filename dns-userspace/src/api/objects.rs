//! `/api/v1/kubernetes/objects` and `/api/v1/sources/{kind}/{name}/adopt`: what one object of a cluster gives, and
//! names that another program has written, taken over.

use std::time::{Duration, UNIX_EPOCH};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use humantime_serde::re::humantime::format_rfc3339_seconds;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{self, LIMIT_BYTES};
use super::changes::submit;
use super::openapi::ProblemBody;
use super::parameters::{Parameters, segments};
use super::problem::Problem;
use super::{ApiState, access, pieces, sources};
use crate::model::name::Name;
use crate::model::rdata::format_value;
use crate::model::record::RecordType;
use crate::model::snapshot::Snapshot;
use crate::model::source::SourceId;
use crate::principal::Principal;
use crate::source::Claim;
use crate::source::external_dns::Affixes;
use crate::source::kubernetes::{Explanation, adoption, unserved};
use crate::store::{Edit, Terms};

/// An object in each cluster that has it.
#[derive(Serialize, ToSchema)]
#[schema(as = ClusterObjects)]
pub(super) struct ObjectList {
    objects: Vec<ObjectView>,
}

/// One object.
#[derive(Serialize, ToSchema)]
#[schema(as = ClusterObject)]
struct ObjectView {
    /// The source, such as `kubernetes/home`.
    source: String,
    /// Such as `Ingress monitoring/grafana`.
    object: String,
    /// When it was made (RFC 3339).
    #[schema(required)]
    since: Option<String>,
    /// Whether it is being deleted.
    ending: bool,
    /// Its description, and who owns it.
    #[schema(required)]
    note: Option<String>,
    /// Why it cannot be understood; what it gave before stays.
    #[schema(required)]
    error: Option<String>,
    names: Vec<NameView>,
    /// What of it is not published, and why.
    notes: Vec<String>,
}

/// One RRset that it asks for.
#[derive(Serialize, ToSchema)]
#[schema(as = ClusterObjectName)]
struct NameView {
    name: String,
    r#type: String,
    ttl: u32,
    value: Vec<String>,
    #[schema(required)]
    view: Option<String>,
    served: bool,
    /// Why it is not served: who has the name.
    #[schema(required)]
    reason: Option<String>,
}

/// Which names an object of a cluster gives, which are served, and why the others are not.
#[utoipa::path(
    get, path = "/api/v1/kubernetes/objects", operation_id = "explainObject", tag = "sources",
    params(
        ("object" = String, Query, description = "`kind/namespace/name`, such as `ingress/monitoring/grafana`"),
        ("source" = Option<String>, Query, description = "Only in the cluster of this name"),
    ),
    responses(
        (status = 200, description = "The object, once for each cluster that has it", body = ObjectList),
        (status = 404, description = "`not_found`: no cluster has it, or it is of no kind that is watched",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn explain(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "an object of a cluster")?;
    let parameters = Parameters::read(&uri, &["object", "source"])?;
    let asked = parameters.get("object").ok_or_else(|| {
        let detail = "`object` is needed: object=ingress/monitoring/grafana";
        Problem::bad_request("invalid_parameter", detail.to_owned())
    })?;
    let only = parameters.get("source");
    let snapshot = state.served()?;
    let mut objects = Vec::new();
    let mut looked_in = Vec::new();
    for source in state.serving()?.sources.iter() {
        let id = source.status.source();
        let Some(cluster) = &source.cluster else {
            continue;
        };
        if only.is_some_and(|only| id.info().name.as_deref() != Some(only)) {
            continue;
        }
        looked_in.push(format!("{} ({})", id.key(), source.status.report().state.label()));
        let found = cluster.explain(asked);
        let found = found.map_err(|error| Problem::bad_request("invalid_parameter", error))?;
        objects.extend(found.map(|found| object_view(found, id, &snapshot)));
    }
    if objects.is_empty() {
        let where_ = match looked_in.as_slice() {
            [] => "no such cluster is configured".to_owned(),
            clusters => format!("it was looked for in {}", clusters.join(", ")),
        };
        let detail = format!("there is no {asked}, or its kind is not in `watch`: {where_}");
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail));
    }
    Ok(pieces::json(StatusCode::OK, &ObjectList { objects }))
}

fn object_view(found: Explanation, source: &SourceId, snapshot: &Snapshot) -> ObjectView {
    let (claims, error) = match found.claims {
        Ok(claims) => (claims, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let name = |claim: &Claim| {
        let reason = unserved(claim, snapshot, source).map(|why| why.to_string());
        let values = claim.rdatas.iter().map(|rdata| format_value(claim.rtype, rdata));
        NameView {
            name: claim.owner.to_string(),
            r#type: claim.rtype.to_string(),
            ttl: claim.ttl,
            value: values.collect(),
            view: claim.view.as_deref().map(str::to_owned),
            served: reason.is_none(),
            reason,
        }
    };
    let since = (found.since != 0).then(|| UNIX_EPOCH + Duration::from_secs(found.since));
    ObjectView {
        source: source.key(),
        object: found.object,
        since: since.map(|since| format_rfc3339_seconds(since).to_string()),
        ending: found.is_ending,
        note: found.about.map(Into::into),
        error,
        names: claims.iter().map(name).collect(),
        notes: found.notes,
    }
}

/// Which records of external-dns are to be taken over.
#[derive(Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = Adopt)]
#[derive(Default)]
pub(super) struct AdoptBody {
    /// external-dns's `--txt-prefix`.
    txt_prefix: String,
    /// external-dns's `--txt-suffix`.
    txt_suffix: String,
    /// external-dns's `--txt-wildcard-replacement`.
    txt_wildcard_replacement: String,
    /// Only records of this `--txt-owner-id`.
    txt_owner_id: Option<String>,
}

/// What was taken over, or would be.
#[derive(Serialize, ToSchema)]
#[schema(as = Adopted)]
pub(super) struct AdoptAnswer {
    dry_run: bool,
    taken: Vec<TakenView>,
    /// TXT records that go.
    texts: Vec<String>,
    /// Records that stay as they are.
    left: Vec<LeftView>,
}

/// A record that the source serves from then on.
#[derive(Serialize, ToSchema)]
#[schema(as = AdoptedRecord)]
struct TakenView {
    name: String,
    r#type: String,
    /// The object that asks for it.
    object: String,
    /// What external-dns has made it for.
    resource: String,
    /// Its `--txt-owner-id`.
    txt_owner_id: String,
}

/// A record that stays.
#[derive(Serialize, ToSchema)]
#[schema(as = UnadoptedRecord)]
struct LeftView {
    name: String,
    r#type: String,
    reason: String,
}

/// Takes over what external-dns has written through the API: its record goes, with the TXT record beside it, where an
/// object of the source asks for the same name and type, and the source's is served in its place, at once.
#[utoipa::path(
    post, path = "/api/v1/sources/{kind}/{name}/adopt", operation_id = "adoptRecords", tag = "sources",
    params(
        ("kind" = String, Path, description = "The kind of the source: `kubernetes`"),
        ("name" = String, Path, description = "Its name in the configuration"),
        ("dry_run" = Option<bool>, Query, description = "Says what it would do, and does nothing"),
    ),
    request_body = AdoptBody,
    responses(
        (status = 200, description = "What was taken over", body = AdoptAnswer),
        (status = 404, description = "`not_found`: there is no such source", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn adopt(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    access::require_unlimited(access::of(&parts.extensions)?, "a take-over")?;
    let dry_run = Parameters::read(&parts.uri, &["dry_run"])?.flag("dry_run")?;
    let path = segments(&parts.uri, "/api/v1/sources/")?;
    let [kind, name, _] = path.as_slice() else {
        return Err(Problem::internal("the path is not the route's"));
    };
    let (asked, _held) = body::read_as::<AdoptBody>(&state, &parts, body, LIMIT_BYTES).await?;
    let registry = &state.serving()?.sources;
    let source = registry
        .find(kind, name)
        .ok_or_else(|| sources::no_such(registry, kind, name))?;
    let id = source.status.source();
    let affixes = Affixes {
        prefix: asked.txt_prefix,
        suffix: asked.txt_suffix,
        wildcard: asked.txt_wildcard_replacement,
    };
    let conflicts = registry.left_out_of(id);
    let snapshot = state.served()?;
    let found = adoption(&snapshot, id, conflicts.iter(), &affixes, asked.txt_owner_id.as_deref());
    drop(snapshot);
    let delete = |owner: &Name, rtype: RecordType| Edit::Delete {
        view: None,
        owner: owner.clone(),
        rtype: Some(rtype),
    };
    let records = found.taken.iter().map(|taken| delete(&taken.owner, taken.rtype));
    let texts = found.texts.iter().map(|owner| delete(owner, RecordType::TXT));
    let edits: Vec<Edit> = records.chain(texts).collect();
    if !edits.is_empty() {
        let terms = Terms {
            comment: Some(format!("taken over from external-dns by {id}").into()),
            // The names stay: the source has them.
            force: true,
            ..Terms::default()
        };
        submit(&state, &parts, edits, terms, dry_run).await?;
    }
    let taken = found.taken.into_iter().map(|taken| TakenView {
        name: taken.owner.to_string(),
        r#type: taken.rtype.to_string(),
        object: taken.object,
        resource: taken.resource,
        txt_owner_id: taken.owner_id,
    });
    let left = found.left.into_iter().map(|(owner, rtype, reason)| LeftView {
        name: owner.to_string(),
        r#type: rtype.to_string(),
        reason,
    });
    let answer = AdoptAnswer {
        dry_run,
        taken: taken.collect(),
        texts: found.texts.iter().map(Name::to_string).collect(),
        left: left.collect(),
    };
    Ok(pieces::json(StatusCode::OK, &answer))
}
