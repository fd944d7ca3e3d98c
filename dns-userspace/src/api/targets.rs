//! `/api/v1/targets`: where names go besides our own zones, and how far that is.

use std::time::SystemTime;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use humantime_serde::re::humantime::format_rfc3339_seconds;
use serde::Serialize;
use utoipa::ToSchema;

use super::parameters::Parameters;
use super::problem::Problem;
use super::{ApiState, pieces};
use crate::target::{DriftReport, PendingChange, TargetReport};

/// All targets, and which replica writes to them.
#[derive(Serialize, ToSchema)]
pub(super) struct TargetList {
    targets: Vec<TargetView>,
    /// The election, where one is held.
    leader: Option<LeaderView>,
}

/// One of them.
#[derive(Serialize, ToSchema)]
#[schema(as = Target)]
pub(super) struct TargetView {
    /// Kind and name: `technitium/home`.
    target: String,
    /// `starting`, `synced`, `failing`, `standby` or `dry_run`.
    state: &'static str,
    error: Option<String>,
    /// Records that it has of us.
    records: usize,
    /// When its zones were read last (RFC 3339).
    last_read: Option<String>,
    /// Changes that it has not taken: the first 100.
    pending: Vec<PendingView>,
    pending_count: usize,
    /// Differences that hotdns did not make: the first 100.
    drift: Vec<DriftView>,
    drift_count: usize,
    /// What a dry run would write, as a unified diff.
    diff: Option<String>,
}

/// A change that a target has not taken.
#[derive(Serialize, ToSchema)]
#[schema(as = PendingChange)]
pub(super) struct PendingView {
    /// `add`, `update` or `delete`.
    change: &'static str,
    /// `www.example.org A 192.0.2.1`.
    record: String,
    /// How often it failed; after 5 it waits until the zones are read again.
    attempts: u32,
    reason: String,
}

/// A difference that hotdns did not make.
#[derive(Serialize, ToSchema)]
#[schema(as = Drift)]
pub(super) struct DriftView {
    /// `unexpected_ip`, `unexpected_record` or `missing_record`.
    drift_type: &'static str,
    /// `www.example.org A 192.0.2.1`.
    record: String,
    /// Since when it is known (RFC 3339).
    since: String,
    /// Whether hotdns puts it right, since the object has the annotation `auto-remediate`.
    remediated: bool,
}

/// The election of the replica that writes.
#[derive(Serialize, ToSchema)]
#[schema(as = Leader)]
pub(super) struct LeaderView {
    /// Namespace and name of the Lease.
    lease: String,
    /// What this replica calls itself.
    identity: String,
    /// Whether this replica writes.
    leads: bool,
    /// Who holds the Lease, as it was read last.
    holder: Option<String>,
    /// Why the Lease cannot be read or written.
    error: Option<String>,
}

/// The targets, how each is, and which replica writes.
#[utoipa::path(
    get, path = "/api/v1/targets", operation_id = "listTargets", tag = "sources",
    responses((status = 200, description = "All of them", body = TargetList))
)]
pub(super) async fn list(State(state): State<ApiState>, uri: Uri) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let serving = state.serving()?;
    let leadership = serving.sources.leadership();
    let leader = leadership.election().map(|(election, lead)| LeaderView {
        lease: format!("{}/{}", election.namespace, election.lease),
        identity: election.identity.clone(),
        leads: leadership.leads(),
        holder: lead.holder,
        error: lead.error,
    });
    let targets = serving.targets.all().into_iter().map(|(key, report)| view(key, report));
    Ok(pieces::json(
        StatusCode::OK,
        &TargetList {
            targets: targets.collect(),
            leader,
        },
    ))
}

fn view(target: String, report: TargetReport) -> TargetView {
    let at = |time: SystemTime| format_rfc3339_seconds(time).to_string();
    let pending = report.pending.into_iter().map(|change| {
        let PendingChange {
            change,
            record,
            attempts,
            reason,
        } = change;
        PendingView {
            change,
            record,
            attempts,
            reason,
        }
    });
    let drift = report.drift.into_iter().map(|drift| {
        let DriftReport {
            kind,
            record,
            since,
            is_remediated,
        } = drift;
        DriftView {
            drift_type: kind,
            record,
            since: at(since),
            remediated: is_remediated,
        }
    });
    TargetView {
        target,
        state: report.state.label(),
        error: report.error,
        records: report.records,
        last_read: report.last_read.map(at),
        pending: pending.collect(),
        pending_count: report.pending_count,
        drift: drift.collect(),
        drift_count: report.drift_count,
        diff: report.diff,
    }
}
