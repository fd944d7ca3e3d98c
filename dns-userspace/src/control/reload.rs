//! Reload: the configuration file is one unit, each zone file is one; what fails keeps what it had.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use tracing::{error, info, warn};

use super::census::{node_changes, own, view_names};
use super::writer::{Awaiting, Durability, Writer};
use super::{ControlError, TtlRules};
use crate::access::AccessList;
use crate::name::{Name, NameKey};
use crate::record::{RrSet, Source};
use crate::snapshot::{Node, Snapshot};
use crate::store::{Change, ConfiguredView, Conflict, Plan};
use crate::views::ViewName;

/// The longest list in a reply; the counts are of all.
const LIST_LIMIT: usize = 10_000;

/// Zones whose errors are logged; the reply has those of 10,000.
const LOGGED_ZONES: usize = 100;

/// Everything that the configuration file asks for.
#[derive(Debug, Clone)]
pub struct Desired {
    /// `records`.
    pub records: Vec<(Name, RrSet)>,
    /// `views`, each with the records that name it.
    pub views: Vec<ConfiguredView>,
    /// `zones`.
    pub zones: Vec<DesiredZone>,
    /// `acl` of those zones that have one.
    pub access: Vec<(Name, Arc<AccessList>)>,
    /// `ttl_bounds` and `backend.default_ttl`.
    pub ttl: TtlRules,
    /// Changed keys that only a restart brings into force, such as `dns_port`. Empty at start-up.
    pub restart_needed: Vec<String>,
}

/// One configured zone and what its file came to.
#[derive(Debug, Clone)]
pub struct DesiredZone {
    /// The zone.
    pub apex: Name,
    /// The file as the configuration gives it.
    pub file: Arc<str>,
    /// The RRsets, or all errors of the file.
    pub content: Result<Vec<(Name, RrSet)>, Vec<String>>,
}

/// Reads the configuration file and all zone files; the errors are the configuration file's.
pub type Loader = Box<dyn FnMut() -> Result<Desired, Vec<String>> + Send>;

/// What a reload did, as the API answers it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReloadReport {
    /// RRsets served now and not before.
    pub added: Vec<RrsetRef>,
    /// RRsets with another TTL or other values.
    pub changed: Vec<RrsetRef>,
    /// RRsets served before and not now.
    pub removed: Vec<RrsetRef>,
    /// Zone files that were not loaded, and RRsets of files that are left out.
    pub failed: Vec<Failure>,
    /// Changed keys of the configuration file that need a restart.
    pub restart_needed: Vec<String>,
    /// How many RRsets were added, changed and removed: the lists end at 10,000.
    pub counts: Counts,
}

/// Numbers of RRsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Of `added`.
    pub added: usize,
    /// Of `changed`.
    pub changed: usize,
    /// Of `removed`.
    pub removed: usize,
}

/// An RRset's name and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RrsetRef {
    /// The owner.
    pub name: String,
    /// The type.
    pub r#type: String,
    /// The view that it is in; left out where it is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
}

/// One entry of `failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Failure {
    /// A zone file that has errors.
    ZoneFile {
        /// The zone.
        zone: String,
        /// Its file.
        file: String,
        /// The errors, one a line.
        error: String,
    },
    /// An RRset of a file that is left out, because another source's is served.
    LeftOut {
        /// The owner.
        name: String,
        /// The type left out.
        r#type: String,
        /// The file that brings it.
        file: String,
        /// The type served instead.
        served_type: String,
        /// Its source.
        served_source: &'static str,
        /// The same, in words.
        error: String,
    },
}

/// A configured zone as the writer remembers it.
#[derive(Debug, Clone)]
pub(super) struct KnownZone {
    apex: Name,
    /// Whether it has had content.
    is_good: bool,
}

/// What a configuration asks to be done.
pub(super) struct Step {
    pub(super) changes: Vec<Change>,
    pub(super) zones: BTreeMap<NameKey, KnownZone>,
    pub(super) failed: Vec<Failure>,
}

/// All files, read again.
pub(super) struct Loaded {
    pub(super) desired: Desired,
    /// Makes the secrets in them the valid ones.
    pub(super) install: Box<dyn FnOnce()>,
}

/// From the zones there are to what is wanted.
pub(super) fn step(known: &BTreeMap<NameKey, KnownZone>, desired: Desired) -> Step {
    let mut step = Step {
        changes: Vec::new(),
        zones: BTreeMap::new(),
        failed: Vec::new(),
    };
    for DesiredZone { apex, file, content } in desired.zones {
        let key = apex.key();
        let was_good = known.get(&key).is_some_and(|zone| zone.is_good);
        let is_good = content.is_ok() || was_good;
        let content = content.map_err(|errors| {
            let kept = if was_good {
                "its last good content is kept"
            } else {
                "it has no content"
            };
            if step.failed.len() < LOGGED_ZONES {
                for error in &errors {
                    warn!("zone {apex}: {error}; {kept}");
                }
            }
            let first = Arc::from(errors.first().map_or("the zone file cannot be loaded", String::as_str));
            step.failed.push(Failure::ZoneFile {
                zone: apex.to_string(),
                file: file.to_string(),
                error: errors.join("\n"),
            });
            first
        });
        if content.is_ok() || !was_good {
            step.changes.push(Change::Zone {
                apex: apex.clone(),
                file,
                content,
            });
        }
        step.zones.insert(key, KnownZone { apex, is_good });
    }
    if let Some(more) = step.failed.len().checked_sub(LOGGED_ZONES).filter(|more| *more != 0) {
        warn!("{more} more zones have errors: `hotdns check` shows them");
    }
    let gone = known.iter().filter(|(key, _)| !step.zones.contains_key(*key));
    let removed: Vec<Change> = gone
        .map(|(_, zone)| Change::RemoveZone {
            apex: zone.apex.clone(),
        })
        .collect();
    step.changes.extend(removed);
    step.changes.push(Change::Access(desired.access));
    step.changes.push(Change::ConfigRecords(desired.records));
    step.changes.push(Change::Views(desired.views));
    step
}

impl Writer {
    /// Reads the files again and serves what they say. Logs the result, whoever has asked for it.
    pub(super) fn reload(&mut self) -> Result<ReloadReport, ControlError> {
        let result = self.try_reload();
        match &result {
            Ok(report) => {
                let Counts {
                    added,
                    changed,
                    removed,
                } = report.counts;
                info!(
                    "reloaded: {added} RRsets added, {changed} changed, {removed} removed, {} failed",
                    report.failed.len()
                );
            }
            Err(ControlError::NotReady(reason)) => {
                info!("reload: the files were read again; they are served later: {reason}");
            }
            Err(error) => {
                self.settings.metrics.count_reload_failures(1);
                match error {
                    ControlError::ReloadFailed(errors) => errors.iter().for_each(|error| error!("reload: {error}")),
                    error => error!("reload: {error}"),
                }
            }
        }
        result
    }

    fn try_reload(&mut self) -> Result<ReloadReport, ControlError> {
        let Loaded { desired, install } = self.load()?;
        if let Some(refusal) = self.not_ready() {
            install();
            self.awaiting = Some(Awaiting::Read(Box::new(desired)));
            return Err(refusal);
        }
        let (rules, restart_needed) = (desired.ttl, desired.restart_needed.clone());
        let Step { changes, zones, failed } = step(&self.zones, desired);
        let old = self.store.snapshot();
        let plan = self.serve(changes, &[], Durability::WhereOpen)?;
        self.zones = zones;
        self.rules = rules;
        install();
        self.settings.metrics.count_reload_failures(failed.len());
        for key in &restart_needed {
            warn!("`{key}` has changed in the configuration file; restart hotdns for it to take effect");
        }
        if plan.delta.views_redefined {
            self.warn_of_views();
        }
        let mut report = compare(&old, &plan);
        report.failed = failed;
        report.failed.truncate(LIST_LIMIT);
        let left_out = plan.conflicts.iter().take(LIST_LIMIT);
        report
            .failed
            .extend(left_out.map(|conflict| left_out_entry(conflict, &self.settings.config_file)));
        report.restart_needed = restart_needed;
        Ok(report)
    }

    /// Reads all files again; what an error leaves is what there was.
    pub(super) fn load(&mut self) -> Result<Loaded, ControlError> {
        let token = self
            .settings
            .token
            .clone()
            .map(|file| file.read().map(|token| (file, token)));
        let loaded = catch_unwind(AssertUnwindSafe(&mut self.settings.loader))
            .map_err(|_| ControlError::Internal("reading the configuration failed, see the log".to_owned()))?;
        let cookies = Arc::clone(&self.settings.cookies);
        let secrets = cookies.read();
        match (loaded, token.transpose(), secrets) {
            (Ok(desired), Ok(token), Ok(secrets)) => Ok(Loaded {
                desired,
                install: Box::new(move || {
                    if let Some((file, token)) = token {
                        file.install(token);
                    }
                    if let Some(secrets) = secrets {
                        cookies.install(secrets);
                    }
                }),
            }),
            (loaded, token, secrets) => {
                let mut errors = loaded.err().unwrap_or_default();
                errors.extend(token.err().map(|error| error.to_string()));
                errors.extend(secrets.err().map(|error| format!("edns.cookie_secret_file {error}")));
                Err(ControlError::ReloadFailed(errors))
            }
        }
    }
}

/// A sentence on an RRset that is left out.
pub(super) fn describe(conflict: &Conflict, config_file: &str) -> String {
    let Conflict {
        owner,
        rtype,
        left_out,
        served,
        served_type,
        view,
    } = conflict;
    let served_by = match served {
        Source::Api => "was added over HTTP".to_owned(),
        Source::Config => format!("comes from {config_file}"),
        Source::ZoneFile(file) => format!("comes from {file}"),
    };
    let in_view = view
        .as_ref()
        .map_or_else(String::new, |view| format!(" in the view `{view}`"));
    format!(
        "{owner} {rtype} of {}{in_view} is left out: {owner} {served_type}, which is served, {served_by}",
        file_of(left_out, config_file)
    )
}

fn left_out_entry(conflict: &Conflict, config_file: &str) -> Failure {
    Failure::LeftOut {
        name: conflict.owner.to_string(),
        r#type: conflict.rtype.to_string(),
        file: file_of(&conflict.left_out, config_file),
        served_type: conflict.served_type.to_string(),
        served_source: conflict.served.label(),
        error: describe(conflict, config_file),
    }
}

fn file_of(source: &Source, config_file: &str) -> String {
    match source {
        Source::ZoneFile(file) => file.to_string(),
        Source::Config => config_file.to_owned(),
        Source::Api => "the API".to_owned(),
    }
}

/// Whether two RRsets are answered alike.
fn is_same(one: &RrSet, other: &RrSet) -> bool {
    one.ttl == other.ttl && one.rdatas == other.rdatas && one.handling == other.handling
}

/// RRsets that differ between what was served and what a plan serves.
fn compare(old: &Snapshot, plan: &Plan) -> ReloadReport {
    let mut report = ReloadReport::default();
    let mut names: Vec<&NameKey> = plan.delta.names.iter().collect();
    names.sort_unstable();
    names.dedup();
    for key in names {
        note_changes(
            &mut report,
            key,
            old.node(key).map(|node| &**node),
            plan.snapshot.node(key).map(|node| &**node),
            None,
        );
    }
    for view in view_names(old, &plan.snapshot) {
        node_changes(&own(old, view), &own(&plan.snapshot, view), |key, before, after| {
            note_changes(&mut report, key, before, after, Some(view));
        });
    }
    report
}

fn note_changes(
    report: &mut ReloadReport,
    key: &NameKey,
    before: Option<&Node>,
    after: Option<&Node>,
    view: Option<&ViewName>,
) {
    let rrset_of = |node: Option<&Node>, rtype| node.and_then(|node| node.rrset(rtype).cloned());
    let rrsets = |node: Option<&Node>| node.map_or_else(Vec::new, |node| node.rrsets.to_vec());
    let note = |list: &mut Vec<RrsetRef>, count: &mut usize, node: Option<&Node>, rrset: &RrSet| {
        *count += 1;
        if list.len() < LIST_LIMIT {
            list.push(RrsetRef {
                name: node.map_or_else(|| key.to_name(), |node| node.owner(key)).to_string(),
                r#type: rrset.rtype.to_string(),
                view: view.map(|view| view.to_string()),
            });
        }
    };
    for rrset in &rrsets(after) {
        match rrset_of(before, rrset.rtype) {
            None => note(&mut report.added, &mut report.counts.added, after, rrset),
            Some(was) if !is_same(&was, rrset) => {
                note(&mut report.changed, &mut report.counts.changed, after, rrset);
            }
            Some(_) => {}
        }
    }
    for rrset in rrsets(before).iter().filter(|was| rrset_of(after, was.rtype).is_none()) {
        note(&mut report.removed, &mut report.counts.removed, before, rrset);
    }
}
