//! What a reload asks for, and what it did.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::mpsc;
use tracing::warn;
use utoipa::ToSchema;

use super::differences::{self, Changed};
use super::files::FileBatch;
use super::past::{Made, PastKind};
use super::publication::Cause;
use super::writer::{Durability, Writer};
use super::{Command, ControlError, Reply};
use crate::journal::{HistoryLimits, StoredFiles};
use crate::model::access::AccessList;
use crate::model::name::Name;
use crate::model::record::RrSet;
use crate::model::snapshot::Snapshot;
use crate::model::source::SourceId;
use crate::store::{Change, ConfiguredView, Conflict, Guard, Plan, Refusal, Refused, TtlRules};

/// The longest list in a reply; the counts are of all.
const LIST_LIMIT: usize = 10_000;

/// Everything that the configuration file asks for.
#[derive(Debug, Clone)]
pub struct Desired {
    /// `records`.
    pub records: Vec<(Name, RrSet)>,
    /// `views`, each with the records that name it.
    pub views: Vec<ConfiguredView>,
    /// `zones`, each with its content.
    pub zones: Vec<DesiredZone>,
    /// Those of `zones` whose files have not changed since what was loaded before was taken.
    pub unchanged: Vec<Name>,
    /// `acl` of those zones that have one.
    pub access: Vec<(Name, Arc<AccessList>)>,
    /// Those of the zones whose `fallthrough` is true.
    pub fallthrough: Vec<Name>,
    /// Those of the zones whose files edits change, and the folder of others.
    pub stored: StoredFiles,
    /// `ttl_bounds` and `backend.default_ttl`.
    pub ttl: TtlRules,
    /// `changes`.
    pub guard: Guard,
    /// `history`.
    pub history: HistoryLimits,
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

/// Reads the configuration file and the zone files, and puts what is not records into force.
pub trait LoadFiles: Send {
    /// Reads what has changed; the errors are the configuration file's.
    fn load(&mut self) -> Result<Desired, Vec<String>>;

    /// Which secrets what was loaded last takes from other files than before: those are not read again.
    fn replaced(&self) -> Replaced {
        Replaced::default()
    }

    /// Puts what was loaded last into force, but for its records; the names of the keys that differ. On an error what
    /// was in force still is.
    fn apply(&mut self, writer: &Door) -> Result<Vec<String>, Vec<String>> {
        let _ = writer;
        Ok(Vec::new())
    }

    /// What was applied last is not to stay, since its records were refused.
    fn revert(&mut self, writer: &Door) {
        let _ = writer;
    }

    /// The records of what was loaded last are served, or will be. `is_whole`: none of it was held back, so what has
    /// not changed since need not be loaded again. `force`: the deletion guard lets all go. What it says could not be
    /// done.
    fn was_taken(&mut self, writer: &Door, is_whole: bool, force: bool) -> Vec<Failure> {
        let _ = (writer, is_whole, force);
        Vec::new()
    }
}

/// Secrets that come from other files than before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replaced {
    /// `http.token_file`.
    pub token: bool,
    /// `edns.cookie_secret_file`.
    pub cookies: bool,
}

/// The way to the writer, for those who put a configuration into force. Its calls block.
pub struct Door(pub(super) mpsc::Sender<Command>);

impl Door {
    /// Has the planes take other settings, between two changes: see [`super::Planes::reconfigure`].
    pub fn reconfigure(&self) -> Result<(), String> {
        let asked = self.ask(Command::Reconfigure);
        asked.unwrap_or_else(|| Err(ControlError::Stopped.to_string()))
    }

    /// These watched sources are configured from now on.
    pub fn sources(&self, sources: Vec<SourceId>) {
        // Where the writer has stopped nothing is served any more.
        let _ = self.0.blocking_send(Command::Sources(sources));
    }

    /// Takes all records of a source out; refused where the deletion guard holds them.
    pub fn retire(&self, source: &SourceId, force: bool) -> Result<(), ControlError> {
        let asked = self.ask(|reply| Command::Retire(source.clone(), force, reply));
        asked.unwrap_or(Err(ControlError::Stopped))
    }

    fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Option<T> {
        let (reply, answer) = Reply::new();
        self.0.blocking_send(command(reply)).ok()?;
        answer.blocking_recv().ok()
    }
}

impl<F: FnMut() -> Result<Desired, Vec<String>> + Send> LoadFiles for F {
    fn load(&mut self) -> Result<Desired, Vec<String>> {
        self()
    }
}

/// What a reload did, as the API answers it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReloadReport {
    /// RRsets served now and not before.
    pub added: Vec<RrsetRef>,
    /// RRsets with another TTL or other values.
    pub changed: Vec<RrsetRef>,
    /// RRsets served before and not now.
    pub removed: Vec<RrsetRef>,
    /// Zone files that were not loaded, and RRsets of files that are left out.
    pub failed: Vec<Failure>,
    /// Changed keys of the configuration file that are in force now, besides `zones` and `records`.
    pub applied: Vec<String>,
    /// Changed keys of the configuration file that need a restart.
    pub restart_needed: Vec<String>,
    /// How many RRsets were added, changed and removed: the lists end at 10,000.
    pub counts: Counts,
    /// Zones that the deletion guard has held back: their files are to be read again.
    #[serde(skip)]
    pub held_back: usize,
    /// Zones that are not configured any more, and that it keeps.
    #[serde(skip)]
    pub kept: Vec<Name>,
}

/// Numbers of RRsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    /// Of `added`.
    pub added: usize,
    /// Of `changed`.
    pub changed: usize,
    /// Of `removed`.
    pub removed: usize,
}

/// An RRset's name and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
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
    /// A source that is not configured any more, whose records stay: they are too many to go at once.
    Source {
        /// The source, such as `consul/dc1`.
        source: String,
        /// What the deletion guard says.
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
        served_source: String,
        /// The same, in words.
        error: String,
    },
}

impl Writer {
    /// Serves what the files say now, or keeps it until the records in the database are read.
    pub(super) fn install(&mut self, batch: FileBatch) -> Result<ReloadReport, ControlError> {
        if let Some(refusal) = self.not_ready() {
            self.postpone(batch);
            return Err(refusal);
        }
        let FileBatch {
            changes,
            rules,
            guard,
            history,
            mut failed,
            restart_needed,
            force,
            stored,
        } = batch;
        let changes = self.zone_files.take(stored, changes);
        let old = self.store.snapshot();
        let broken = failed.len();
        let mut kept = Vec::new();
        let plan = match force {
            true => self.store.plan(changes),
            false => self.plan_guarded(changes, &guard, &mut failed, &mut kept)?,
        };
        let held_back = failed.len() - broken - kept.len();
        let made = Made {
            cause: Cause::reload(),
            version: plan.version(),
            comment: None,
            kind: PastKind::Reload,
        };
        let plan = self.serve(plan, vec![made], Durability::WhereOpen)?;
        self.note_change(&SourceId::config(), plan.delta.is_empty().then_some("unchanged"));
        self.take_settings(rules, guard, history);
        if plan.delta.views_redefined {
            self.warn_of_views();
        }
        let mut report = compare(&old, &plan);
        report.failed = failed;
        report.failed.truncate(LIST_LIMIT);
        let left_out = plan.conflicts.iter().take(LIST_LIMIT);
        report.failed.extend(left_out.map(left_out_entry));
        report.restart_needed = restart_needed;
        (report.held_back, report.kept) = (held_back, kept);
        Ok(report)
    }
}

impl Writer {
    /// The state after these changes. A zone whose file has lost too much keeps what it had, and so does one that is
    /// not configured any more; where `records` of the configuration file have, nothing is changed.
    fn plan_guarded(
        &self,
        changes: Vec<Change>,
        guard: &Guard,
        failed: &mut Vec<Failure>,
        kept: &mut Vec<Name>,
    ) -> Result<Plan, ControlError> {
        let mut draft = self.store.draft();
        for change in changes {
            let zone = match &change {
                Change::PutZone { apex, content, .. } => {
                    let records = content.as_ref().ok();
                    let file = records.and_then(|records| records.first()?.1.origin.object().map(str::to_owned));
                    Some((apex.clone(), file.unwrap_or_default()))
                }
                Change::DropZone { apex, .. } => Some((apex.clone(), String::new())),
                _ => None,
            };
            let is_gone = matches!(change, Change::DropZone { .. });
            let Err(removed) = draft.change_guarded(change, guard) else {
                continue;
            };
            let Some((apex, file)) = zone else {
                return Err(Refused {
                    edit: Refused::ALL,
                    refusal: Refusal::TooManyRemoved(removed),
                }
                .into());
            };
            let error = match is_gone {
                true => format!("it is not configured any more, and {removed}; until then it is served"),
                false => removed.to_string(),
            };
            if is_gone {
                warn!("zone {apex}: {error}");
                kept.push(apex.clone());
            } else {
                warn!("zone {apex}: {error}; its last content is kept");
            }
            self.note_change(&SourceId::zone_files(), Some("refused"));
            failed.push(Failure::ZoneFile {
                zone: apex.to_string(),
                file,
                error,
            });
        }
        draft.count();
        Ok(draft.finish())
    }
}

/// A sentence on an RRset that is left out.
pub(super) fn describe(conflict: &Conflict) -> String {
    let Conflict {
        owner,
        rtype,
        left_out,
        served,
        served_type,
        view,
    } = conflict;
    let served_by = match *served.source() == SourceId::api() {
        true => "was added over HTTP".to_owned(),
        false => format!("comes from {served}"),
    };
    let in_view = view
        .as_ref()
        .map_or_else(String::new, |view| format!(" in the view `{view}`"));
    format!("{owner} {rtype} of {left_out}{in_view} is left out: {owner} {served_type}, which is served, {served_by}")
}

fn left_out_entry(conflict: &Conflict) -> Failure {
    Failure::LeftOut {
        name: conflict.owner.to_string(),
        r#type: conflict.rtype.to_string(),
        file: conflict.left_out.to_string(),
        served_type: conflict.served_type.to_string(),
        served_source: conflict.served.label().to_owned(),
        error: describe(conflict),
    }
}

/// Whether two RRsets are answered alike.
fn is_same(one: &RrSet, other: &RrSet) -> bool {
    one.ttl == other.ttl && one.rdatas == other.rdatas && one.handling == other.handling
}

/// RRsets that differ between what was served and what a plan serves.
fn compare(old: &Snapshot, plan: &Plan) -> ReloadReport {
    let mut report = ReloadReport::default();
    differences::each(old, &plan.snapshot, &plan.delta, |changed| {
        let Changed {
            view,
            key,
            nodes,
            rrsets,
        } = changed;
        let (list, count, node, rrset) = match (rrsets.old, rrsets.new) {
            (None, Some(new)) => (&mut report.added, &mut report.counts.added, nodes.new, new),
            (Some(old), Some(new)) if !is_same(old, new) => {
                (&mut report.changed, &mut report.counts.changed, nodes.new, new)
            }
            (Some(old), None) => (&mut report.removed, &mut report.counts.removed, nodes.old, old),
            (Some(_), Some(_)) | (None, None) => return,
        };
        *count += 1;
        if list.len() < LIST_LIMIT {
            list.push(RrsetRef {
                name: node.map_or_else(|| key.to_name(), |node| node.owner(key)).to_string(),
                r#type: rrset.rtype.to_string(),
                view: view.map(|view| view.to_string()),
            });
        }
    });
    report
}
