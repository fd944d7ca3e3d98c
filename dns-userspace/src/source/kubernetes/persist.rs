//! `persist: true`: the `records` of a ConfigMap and those of the HTTP API are the same, whoever changes them.
//!
//! ```text
//! history ─ records of the API ─┐                         ┌─► the API's layer, by the writer
//! ConfigMap ─ its records ──────┼─► merge ─► both are so ─┤
//! journal ─ what both had ──────┘                         └─► PATCH with the resourceVersion; 409: all again
//! ```
//!
//! What both said when they last said the same is kept in the journal: so it is known who has changed what, also
//! after a restart. The ConfigMap is read anew before each step, and written only where nobody has written since. A
//! ConfigMap that cannot be understood, or is gone, changes nothing; it is not written before it is good again, and
//! the source says why.

mod api_side;
mod merge;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::Method;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{info, warn};

use self::api_side::{ApiSide, Locked};
use self::merge::{clash, merge};
use super::connect::{get, send};
use super::follow::{Told, follow};
use super::settings::config_map_scope;
use crate::config::{KubernetesSource, RecordSets, are_same, records_of, with_records};
use crate::control::{ControlError, ControlHandle, History};
use crate::journal::Progress;
use crate::model::shown::with_causes;
use crate::model::source::{SourceId, SourceInfo};
use crate::source::SyncRequests;
use crate::store::{ChangeSet, Refusal, Terms};

/// Changes that come within this time are one step.
const GATHER: Duration = Duration::from_millis(100);
/// Before a step that failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often a ConfigMap that others write at the same time is tried in one step.
const MOST_TRIES: usize = 10;
/// What both had is kept as a text that takes every TTL.
const ANY_TTL: &str = "ttl_bounds: {min: 0, max: 2147483647}\n";
/// Before what a watch could not follow is watched anew.
const WATCH_AGAIN: Duration = Duration::from_secs(2);

/// What both sides are reached by.
#[derive(Clone)]
pub struct Persisting {
    /// What is served.
    pub history: Arc<History>,
    /// The writer.
    pub control: ControlHandle,
    /// What the journal has under this name is what both had.
    pub base: SourceId,
    /// Somebody who asks for a sync has looked: the deletion guard lets all go.
    pub requests: SyncRequests,
    /// How many of these requests were met.
    pub met: Arc<AtomicU64>,
}

impl Persisting {
    /// The name under which the journal has what both sides of a source had.
    pub fn base_of(source: &SourceId) -> SourceId {
        let info = source.info();
        SourceId::new(SourceInfo {
            name: Some(format!("{}#config_map", info.name.as_deref().unwrap_or_default()).into()),
            ..info.clone()
        })
    }
}

/// A ConfigMap as it is now.
struct Map {
    version: String,
    text: Option<String>,
}

/// Why a step has not brought both sides together.
enum Failed {
    /// The other side has changed meanwhile: all again.
    Raced,
    /// Nothing changes until somebody does something.
    Held(String),
    /// It may go by itself.
    Later(String),
    /// The server ends.
    Stopped,
}

/// Both sides, and how they are reached.
struct Mirror {
    client: Client,
    settings: Arc<KubernetesSource>,
    persisting: Persisting,
    place: PathBuf,
    api: ApiSide,
    base: Option<RecordSets>,
}

/// Keeps both sides the same until it is dropped; what is in the way is told.
pub(super) async fn persist(
    client: Client,
    settings: Arc<KubernetesSource>,
    persisting: Persisting,
    told: mpsc::Sender<Told>,
) {
    let place = &settings.config_map;
    let mut mirror = Mirror {
        place: format!("ConfigMap {}/{}:{}", place.namespace, place.name, place.key).into(),
        api: ApiSide::new(persisting.history.subscribe(None), Arc::clone(&settings)),
        client,
        settings,
        persisting,
        base: None,
    };
    let (sender, mut changes) = mpsc::channel(64);
    let watch = watch(mirror.client.clone(), Arc::clone(&mirror.settings), sender);
    tokio::select! {
        () = watch => {}
        () = mirror.run(&mut changes, &told) => {}
    }
}

/// Says when the ConfigMap may have changed.
async fn watch(client: Client, settings: Arc<KubernetesSource>, changed: mpsc::Sender<Told>) {
    while !changed.is_closed() {
        follow(client.clone(), config_map_scope(&settings), changed.clone()).await;
        sleep(WATCH_AGAIN).await;
    }
}

impl Mirror {
    async fn run(&mut self, changes: &mut mpsc::Receiver<Told>, told: &mpsc::Sender<Told>) {
        let mut held: Option<String> = None;
        let mut again = false;
        loop {
            let wake = async {
                match again {
                    true => sleep(AGAIN).await,
                    false => std::future::pending().await,
                }
            };
            let mut is_due = tokio::select! {
                differs = self.api.next() => match differs {
                    Some(differs) => differs,
                    None => return,
                },
                change = changes.recv() => match change {
                    Some(_) => true,
                    None => return,
                },
                () = wake => true,
            };
            sleep(GATHER).await;
            is_due |= self.api.catch_up();
            while changes.try_recv().is_ok() {
                is_due = true;
            }
            // Most publications are of others' records.
            if !is_due {
                continue;
            }
            let reason = match self.step().await {
                Ok(()) => None,
                Err(Failed::Stopped) => return,
                Err(Failed::Raced) => Some("others change it all the time".to_owned()),
                Err(Failed::Held(reason) | Failed::Later(reason)) => Some(reason),
            };
            again = reason.is_some();
            if held != reason {
                if let Some(reason) = &reason {
                    warn!("{} is not written: {reason}", self.place.display());
                }
                let what = Told::Held(self.place.display().to_string(), reason.clone());
                if told.send(what).await.is_err() {
                    return;
                }
                held = reason;
            }
        }
    }

    /// Brings both sides together.
    async fn step(&mut self) -> Result<(), Failed> {
        for _ in 0..MOST_TRIES {
            self.api.catch_up();
            if self.api.is_withheld() {
                return Ok(());
            }
            match self.try_once().await {
                Err(Failed::Raced) => {}
                other => return other,
            }
        }
        Err(Failed::Raced)
    }

    async fn try_once(&mut self) -> Result<(), Failed> {
        let asked = self.persisting.requests.count();
        let base = match &self.base {
            Some(base) => base.clone(),
            None => self.read_base().await?,
        };
        let map = self.read_map().await?;
        let text = match &map {
            Some(Map { text: Some(text), .. }) => text.clone(),
            // What it has lost may come back: a person may be at it.
            _ if !base.is_empty() => {
                return Err(Failed::Held(match map {
                    None => "it is gone; what it said is served, and it is written again once it is there".to_owned(),
                    Some(_) => format!("it has lost its key `{}`", self.settings.config_map.key),
                }));
            }
            _ => String::new(),
        };
        let said = records_of(&text, &self.place).map_err(Failed::Held)?;
        let mut of_map = said.clone();
        of_map.retain(|_, (owner, _)| self.settings.is_published(owner));
        let of_api = self.api.records();
        let merged = merge(&base, &of_api, &of_map);
        if let Some((owner, one, other)) = clash(&merged.records) {
            return Err(Failed::Held(format!(
                "{owner} has {one} by one side and {other} by the other: remove one of them"
            )));
        }
        for both in &merged.both {
            info!(
                "{}: {both} was changed by the API and in the ConfigMap; where both cannot be, the API's counts",
                self.place.display()
            );
        }
        // The text first: where it cannot be said there, nothing changes anywhere.
        let mut wanted = merged.records.clone();
        wanted.extend(
            said.into_iter()
                .filter(|(_, (owner, _))| !self.settings.is_published(owner)),
        );
        let after = with_records(&text, &wanted, &self.place).map_err(Failed::Held)?;
        self.change_api(&of_api, &merged.records).await?;
        let is_new = !matches!(&map, Some(Map { text: Some(_), .. }));
        if after != text || (is_new && !wanted.is_empty()) {
            self.write_map(map.as_ref(), &after).await?;
        }
        if !are_same(&base, &merged.records) {
            self.keep_base(&merged.records).await?;
        }
        self.base = Some(merged.records);
        self.persisting.met.store(asked, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the API's layer say `wanted`, unless it has changed meanwhile.
    async fn change_api(&self, present: &RecordSets, wanted: &RecordSets) -> Result<(), Failed> {
        let edits = self.api.edits(&self.persisting.history.disabled(), present, wanted);
        let (edits, expects) = edits.map_err(|Locked(what)| {
            Failed::Held(format!(
                "{what} was changed in it, and is locked in the API: unlock it there"
            ))
        })?;
        if edits.is_empty() {
            return Ok(());
        }
        let control = self.persisting.control.clone().on(Terms {
            expects,
            is_guarded: true,
            force: self.persisting.requests.count() > self.persisting.met.load(Ordering::Relaxed),
            ..Terms::default()
        });
        let place = &self.settings.config_map;
        let set = ChangeSet {
            source: SourceId::api(),
            actor: format!("ConfigMap {}/{}", place.namespace, place.name).into(),
            edits,
        };
        match control.change(set).await {
            Ok(_) => Ok(()),
            Err(ControlError::Stopped) => Err(Failed::Stopped),
            Err(error) if matches!(error.refusal(), Some(Refusal::VersionConflict { .. })) => Err(Failed::Raced),
            Err(error) if matches!(error.refusal(), Some(Refusal::TooManyRemoved(_))) => Err(Failed::Held(format!(
                "{error}, with POST /api/v1/sources/{}/sync",
                self.persisting.base.key().trim_end_matches("#config_map")
            ))),
            Err(error) => Err(Failed::Later(error.to_string())),
        }
    }

    /// What both had last.
    async fn read_base(&self) -> Result<RecordSets, Failed> {
        let kept = self.persisting.control.kept(self.persisting.base.clone()).await;
        let kept = kept.map_err(|error| match error {
            ControlError::Stopped => Failed::Stopped,
            error => Failed::Later(error.to_string()),
        })?;
        let text = kept.progress.and_then(|progress| progress.resume).unwrap_or_default();
        records_of(&text, Path::new("what both had last")).map_err(Failed::Later)
    }

    async fn keep_base(&self, records: &RecordSets) -> Result<(), Failed> {
        let text = with_records(ANY_TTL, records, Path::new("what both have")).map_err(Failed::Later)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let progress = Progress {
            resume: Some(text),
            synced: since.map_or(0, |since| since.as_secs()),
        };
        let nothing = ChangeSet {
            source: self.persisting.base.clone(),
            actor: "sync".into(),
            edits: Vec::new(),
        };
        match self.persisting.control.watched(nothing, Some(progress)).await {
            Ok(_) => Ok(()),
            Err(ControlError::Stopped) => Err(Failed::Stopped),
            Err(error) => Err(Failed::Later(error.to_string())),
        }
    }

    /// The path of the ConfigMap, or of all in its namespace.
    fn path(&self, is_one: bool) -> String {
        let place = &self.settings.config_map;
        let all = format!("/api/v1/namespaces/{}/configmaps", place.namespace);
        match is_one {
            true => format!("{all}/{}", place.name),
            false => all,
        }
    }

    async fn read_map(&self) -> Result<Option<Map>, Failed> {
        let request = get(&self.path(true)).map_err(|error| Failed::Later(error.to_string()))?;
        let map: Value = match self.client.request(request).await {
            Ok(map) => map,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
            Err(error) => return Err(Failed::Later(format!("it cannot be read: {}", with_causes(&error)))),
        };
        let text = map["data"].get(&self.settings.config_map.key);
        Ok(Some(Map {
            version: map["metadata"]["resourceVersion"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            text: text.and_then(Value::as_str).map(str::to_owned),
        }))
    }

    /// Writes the text, unless somebody has written since.
    async fn write_map(&self, before: Option<&Map>, text: &str) -> Result<(), Failed> {
        let place = &self.settings.config_map;
        let data = json!({place.key.as_str(): text});
        let (method, path, body) = match before {
            Some(map) => (
                Method::PATCH,
                self.path(true),
                json!({"metadata": {"resourceVersion": map.version}, "data": data}),
            ),
            None => (
                Method::POST,
                self.path(false),
                json!({
                    "apiVersion": "v1", "kind": "ConfigMap", "data": data,
                    "metadata": {"name": place.name, "namespace": place.namespace},
                }),
            ),
        };
        match send(&self.client, method, &format!("{path}?fieldManager=hotdns"), &body).await {
            Ok(()) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Err(Failed::Raced),
            Err(error) => Err(Failed::Later(format!(
                "it cannot be written; the service account needs `patch` (and `create` where it is not there): {}",
                with_causes(&error)
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
