//! The files: the configuration file with its zone files, its token and its cookie secrets, read outside of the writer.
//!
//! ```text
//! SIGHUP, API ─ reload ─► files thread ─ reads, parses ─► FileBatch ─► writer ─► report
//! ```
//!
//! The configuration file is one unit, and each zone file is one; what fails keeps what it had. While files are read,
//! the writer goes on with the changes of others.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::mpsc;
use tracing::{error, info, info_span, warn};

use super::reload::{Counts, Desired, DesiredZone, Door, Failure, LoadFiles, ReloadReport};
use super::{Command, ControlError, Observer, Reply};
use crate::cookies::Cookies;
use crate::journal::{HistoryLimits, StoredFiles};
use crate::model::name::{Name, NameKey};
use crate::model::source::SourceId;
use crate::principal::TokenFile;
use crate::store::{Change, Guard, TtlRules};

/// Zones whose errors are logged; the reply has those of 10,000.
const LOGGED_ZONES: usize = 100;

/// A request to read the files again.
pub(super) struct Request {
    pub(super) reply: Reply<Result<ReloadReport, ControlError>>,
    /// Whether the deletion guard lets all go.
    pub(super) force: bool,
}

/// What the files say now, for the writer: all of it, or nothing.
pub(super) struct FileBatch {
    /// Changes to the layers of the zone files and of the configuration.
    pub(super) changes: Vec<Change>,
    /// `ttl_bounds` and `backend.default_ttl`.
    pub(super) rules: TtlRules,
    /// `changes`.
    pub(super) guard: Guard,
    /// `history`.
    pub(super) history: HistoryLimits,
    /// Zone files that could not be loaded.
    pub(super) failed: Vec<Failure>,
    /// Changed keys that only a restart brings into force.
    pub(super) restart_needed: Vec<String>,
    /// Whether the deletion guard lets all go.
    pub(super) force: bool,
    /// The zones whose files edits change.
    pub(super) stored: StoredFiles,
}

impl FileBatch {
    /// This batch and then a later one, as one.
    pub(super) fn followed_by(self, mut later: Self) -> Self {
        let told: BTreeSet<NameKey> = later.changes.iter().filter_map(zone_of).collect();
        // All that is not a zone is told whole by each batch.
        let kept = self.changes.into_iter();
        let kept = kept.filter(|change| zone_of(change).is_some_and(|apex| !told.contains(&apex)));
        let mut changes: Vec<Change> = kept.collect();
        changes.append(&mut later.changes);
        Self { changes, ..later }
    }
}

/// The zone that a change declares, or drops.
fn zone_of(change: &Change) -> Option<NameKey> {
    match change {
        Change::PutZone { apex, .. } | Change::DropZone { apex, .. } => Some(apex.key()),
        _ => None,
    }
}

/// The files and what was read from them last.
pub(super) struct Files {
    loader: Box<dyn LoadFiles>,
    token: Arc<ArcSwapOption<TokenFile>>,
    cookies: Arc<Cookies>,
    observer: Arc<dyn Observer>,
    zones: BTreeMap<NameKey, KnownZone>,
}

/// A configured zone as it was read last.
#[derive(Debug, Clone)]
struct KnownZone {
    apex: Name,
    /// Whether it has had content.
    is_good: bool,
}

/// What a configuration asks to be done.
struct Step {
    changes: Vec<Change>,
    zones: BTreeMap<NameKey, KnownZone>,
    failed: Vec<Failure>,
}

/// From the zones there are to what is wanted.
fn step(known: &BTreeMap<NameKey, KnownZone>, desired: Desired) -> Step {
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
            step.changes.push(Change::PutZone {
                source: SourceId::zone_files(),
                apex: apex.clone(),
                content,
            });
        }
        step.zones.insert(key, KnownZone { apex, is_good });
    }
    if let Some(more) = step.failed.len().checked_sub(LOGGED_ZONES).filter(|more| *more != 0) {
        warn!("{more} more zones have errors: `hotdns check` shows them");
    }
    for apex in desired.unchanged {
        let key = apex.key();
        // Only zones that were loaded well are left as they are.
        step.zones.insert(key, KnownZone { apex, is_good: true });
    }
    let gone = known.iter().filter(|(key, _)| !step.zones.contains_key(*key));
    let removed: Vec<Change> = gone
        .map(|(_, zone)| Change::DropZone {
            source: SourceId::zone_files(),
            apex: zone.apex.clone(),
        })
        .collect();
    step.changes.extend(removed);
    step.changes.push(Change::Stored {
        zones: desired.stored.zones(),
        makes_files: desired.stored.makes_files(),
    });
    step.changes.push(Change::Access(desired.access));
    step.changes.push(Change::Fallthrough(desired.fallthrough));
    step.changes.push(Change::config_records(desired.records));
    step.changes.push(Change::Views(desired.views));
    step
}

impl Files {
    /// The files as `initial` has read them, and what that asks of the writer.
    pub(super) fn new(
        loader: Box<dyn LoadFiles>,
        token: Arc<ArcSwapOption<TokenFile>>,
        cookies: Arc<Cookies>,
        observer: Arc<dyn Observer>,
        initial: Desired,
    ) -> (Self, FileBatch) {
        let mut files = Self {
            loader,
            token,
            cookies,
            observer,
            zones: BTreeMap::new(),
        };
        let (batch, zones) = files.batch(initial);
        files.observer.reload_failures(batch.failed.len());
        files.zones = zones;
        (files, batch)
    }

    /// Reloads when asked to, until nobody can ask any more.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>, writer: mpsc::Sender<Command>) {
        let writer = Door(writer);
        while let Some(request) = requests.blocking_recv() {
            let span = info_span!(target: "otel", parent: &request.reply.span, "reload");
            let result = span.in_scope(|| self.reload(&writer, request.force));
            self.log(&result);
            request.reply.send(result);
        }
    }

    /// Logs what a reload came to, whoever has asked for it.
    fn log(&self, result: &Result<ReloadReport, ControlError>) {
        match result {
            Ok(report) => {
                for key in &report.restart_needed {
                    warn!("`{key}` has changed in the configuration file; restart hotdns for it to take effect");
                }
                for key in &report.applied {
                    info!("`{key}` has changed in the configuration file, and is in force");
                }
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
                self.observer.reload_failures(1);
                match error {
                    ControlError::ReloadFailed(errors) => errors.iter().for_each(|error| error!("reload: {error}")),
                    error => error!("reload: {error}"),
                }
            }
        }
    }

    /// Reads the files again, puts the configuration into force, and has the writer serve the records.
    fn reload(&mut self, writer: &Door, force: bool) -> Result<ReloadReport, ControlError> {
        let span = info_span!(target: "otel", "read files");
        let loaded = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| self.loader.load())))
            .map_err(|_| ControlError::Internal("reading the configuration failed, see the log".to_owned()))?;
        let replaced = self.loader.replaced();
        let token = self.token.load_full().filter(|_| !replaced.token);
        let token = token.map(|file| file.read().map(|token| (file, token))).transpose();
        let secrets = match replaced.cookies {
            true => Ok(None),
            false => self.cookies.read(),
        };
        let (desired, token, secrets) = match (loaded, token, secrets) {
            (Ok(desired), Ok(token), Ok(secrets)) => (desired, token, secrets),
            (loaded, token, secrets) => {
                let mut errors = loaded.err().unwrap_or_default();
                errors.extend(token.err().map(|error| error.to_string()));
                errors.extend(secrets.err().map(|error| format!("edns.cookie_secret_file {error}")));
                return Err(ControlError::ReloadFailed(errors));
            }
        };
        let span = info_span!(target: "otel", "put settings into force");
        let applied = span.in_scope(|| self.loader.apply(writer));
        let applied = applied.map_err(ControlError::ReloadFailed)?;
        let (mut batch, mut zones) = self.batch(desired);
        batch.force = force;
        let failed = batch.failed.len();
        let (reply, answer) = Reply::new();
        let sent = writer.0.blocking_send(Command::Files(batch, reply));
        sent.map_err(|_| ControlError::Stopped)?;
        let mut result = answer.blocking_recv().map_err(|_| ControlError::Stopped)?;
        // What is not served before the records in the database are read is taken all the same.
        if !matches!(result, Ok(_) | Err(ControlError::NotReady(_))) {
            self.loader.revert(writer);
            return result;
        }
        // The next reload finds them missing again.
        for apex in result.iter().flat_map(|report| &report.kept) {
            let key = apex.key();
            zones.extend(self.zones.remove(&key).map(|zone| (key, zone)));
        }
        self.zones = zones;
        let held_back = result.as_ref().map_or(0, |report| report.held_back);
        if held_back > 0 {
            self.observer.reload_failures(held_back);
        }
        let left = self.loader.was_taken(writer, held_back == 0, force);
        if let Ok(report) = &mut result {
            report.applied = applied;
            report.failed.extend(left);
        }
        self.observer.reload_failures(failed);
        if let Some((file, token)) = token {
            file.install(token);
        }
        if let Some(secrets) = secrets {
            self.cookies.install(secrets);
        }
        result
    }

    fn batch(&self, desired: Desired) -> (FileBatch, BTreeMap<NameKey, KnownZone>) {
        let (rules, restart_needed) = (desired.ttl, desired.restart_needed.clone());
        let (guard, history) = (desired.guard, desired.history);
        let stored = desired.stored.clone();
        let Step { changes, zones, failed } = step(&self.zones, desired);
        let batch = FileBatch {
            changes,
            rules,
            guard,
            history,
            failed,
            restart_needed,
            force: false,
            stored,
        };
        (batch, zones)
    }
}
