//! What became of objects, written back to them: a condition in the status of our own kinds, and an Event for each
//! object that cannot be understood.
//!
//! ```text
//! Cluster ─ what each asks for ─► Reports ─┐
//! history ─ what is served ────────────────┴─► Synced: True, or False with the reason
//! ```
//!
//! Only what differs from the last status is written. What cannot be written is said in the log, and tried again with
//! the next change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::Method;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde_json::json;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::connect::{chain, send};
use super::explain::unserved;
use super::leader::Leadership;
use super::objects::{Condition, Object, ObjectKey, Outcome};
use crate::config::DryRun;
use crate::control::{Event, History};
use crate::model::snapshot::Snapshot;
use crate::model::source::SourceId;
use crate::source::Claim;

/// Changes that come within this time are one look at all objects.
const GATHER: Duration = Duration::from_millis(300);
/// Octets of the note of an Event at most (events.k8s.io/v1).
const MOST_NOTE: usize = 1024;

/// Octets of an object's name that are in the name of an Event.
const MOST_NAME: usize = 200;

/// Where reports come from and go.
#[derive(Clone)]
pub struct Reporting {
    /// What is served.
    pub history: Arc<History>,
    /// Whose objects these are.
    pub source: SourceId,
    /// Whether this replica may write.
    pub leadership: Leadership,
    /// Whether what would be written is only said.
    pub dry_run: DryRun,
}

/// What is to be reported, by object.
#[derive(Default)]
pub(super) struct Reports {
    objects: Mutex<BTreeMap<ObjectKey, Reported>>,
    changed: Notify,
}

#[derive(Clone)]
struct Reported {
    uid: Box<str>,
    generation: i64,
    outcome: Result<Vec<Claim>, String>,
    notes: Vec<String>,
    /// What the object's status says.
    said: Option<Condition>,
}

impl Reports {
    /// An object as it is now; `None` where it is gone.
    pub(super) fn set(&self, key: &ObjectKey, object: Option<(&Object, &Outcome)>) {
        let mut objects = self.objects();
        match object {
            Some((object, outcome)) if key.kind.is_ours() || outcome.claims.is_err() => {
                let reported = Reported {
                    uid: object.meta.uid.clone(),
                    generation: object.meta.generation,
                    outcome: outcome.claims.clone(),
                    notes: outcome.notes.clone(),
                    said: object.condition().cloned(),
                };
                objects.insert(key.clone(), reported);
            }
            _ => {
                objects.remove(key);
            }
        }
        drop(objects);
        self.changed.notify_one();
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Reported>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports until it is dropped.
pub(super) async fn report(client: Client, reports: Arc<Reports>, reporting: Reporting) {
    let mut leadership = reporting.leadership.clone();
    let mut served = reporting.history.subscribe(None);
    let mut snapshot: Arc<Snapshot> = Arc::default();
    let mut written: BTreeMap<ObjectKey, Condition> = BTreeMap::new();
    let mut told: BTreeMap<ObjectKey, String> = BTreeMap::new();
    loop {
        tokio::select! {
            event = served.next() => match event {
                Some(event) => take(&mut snapshot, event),
                None => return,
            },
            () = reports.changed.notified() => {}
            () = leadership.changed() => {}
        }
        tokio::time::sleep(GATHER).await;
        while let Some(event) = served.poll() {
            take(&mut snapshot, event);
        }
        if !leadership.leads() {
            // Another replica writes; what we wrote may be another's by then.
            written.clear();
            continue;
        }
        let objects = reports.objects().clone();
        written.retain(|key, _| objects.contains_key(key));
        told.retain(|key, _| objects.contains_key(key));
        for (key, reported) in objects {
            if key.kind.is_ours() {
                let condition = condition(&reported, &snapshot, &reporting.source);
                let known = written.get(&key).or(reported.said.as_ref());
                let is_new = !known.is_some_and(|known| known.is_the_same(&condition));
                if is_new && reporting.dry_run.is_on() {
                    info!(object = %key, "dry run: its status would say {}: {}", condition.status, condition.message);
                    written.insert(key.clone(), condition);
                } else if is_new {
                    match write_status(&client, &key, &condition, known).await {
                        Ok(()) => {
                            written.insert(key.clone(), condition);
                        }
                        Err(error) => warn!("{key}: its status cannot be written: {}", chain(&error)),
                    }
                }
            }
            if let Err(reason) = &reported.outcome
                && told.get(&key) != Some(reason)
            {
                if reporting.dry_run.is_on() {
                    info!(object = %key, "dry run: an Event would say {reason}");
                } else if let Err(error) = write_event(&client, &key, &reported.uid, reason).await {
                    warn!("{key}: an Event cannot be written: {}", chain(&error));
                }
                told.insert(key, reason.clone());
            }
        }
    }
}

fn take(snapshot: &mut Arc<Snapshot>, event: Event) {
    *snapshot = match event {
        Event::Reset(now) => now,
        Event::Published(publication) => Arc::clone(&publication.new),
    };
}

/// What the status of an object is to say.
fn condition(reported: &Reported, snapshot: &Snapshot, source: &SourceId) -> Condition {
    let (status, reason, message) = match &reported.outcome {
        Err(error) => ("False", "Invalid", error.clone()),
        Ok(claims) if claims.is_empty() => ("False", "NotPublished", reported.notes.join("; ")),
        Ok(claims) => match claims.iter().find_map(|claim| unserved(claim, snapshot, source)) {
            Some(message) => ("False", "NotServed", message),
            None => ("True", "Served", "it is served".to_owned()),
        },
    };
    Condition {
        condition: "Synced".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: reported.generation,
        last_transition_time: None,
    }
}

async fn write_status(
    client: &Client,
    key: &ObjectKey,
    condition: &Condition,
    before: Option<&Condition>,
) -> Result<(), kube::Error> {
    let now = now();
    let since = before.filter(|before| before.status == condition.status);
    let since = since.and_then(|before| before.last_transition_time.clone());
    let patch = json!({"status": {
        "observedGeneration": condition.observed_generation,
        "lastSyncTime": now,
        "conditions": [{
            "type": condition.condition,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message,
            "observedGeneration": condition.observed_generation,
            "lastTransitionTime": since.unwrap_or_else(|| now.clone()),
        }],
    }});
    let place = key.kind.place();
    let path = format!(
        "/apis/{}/{}/namespaces/{}/{}/{}/status",
        place.group, place.versions[0], key.namespace, place.plural, key.name
    );
    send(client, Method::PATCH, &path, &patch).await
}

async fn write_event(client: &Client, key: &ObjectKey, uid: &str, reason: &str) -> Result<(), kube::Error> {
    let place = key.kind.place();
    let version = match place.group {
        "" => place.versions[0].to_owned(),
        group => format!("{group}/{}", place.versions[0]),
    };
    let namespace = if key.namespace.is_empty() {
        "default"
    } else {
        &*key.namespace
    };
    let end = reason
        .char_indices()
        .map(|(at, _)| at)
        .take_while(|at| *at < MOST_NOTE - 4)
        .last();
    let note = end
        .and_then(|end| reason.get(..end))
        .filter(|_| reason.len() >= MOST_NOTE);
    let event = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": event_name(&key.name), "namespace": namespace},
        "eventTime": now(),
        "reportingController": "hotdns.io/hotdns",
        "reportingInstance": format!("hotdns-{}", std::process::id()),
        "action": "Publish",
        "reason": "NotUnderstood",
        "type": "Warning",
        "note": note.unwrap_or(reason),
        "regarding": {
            "apiVersion": version,
            "kind": key.kind.name(),
            "namespace": &*key.namespace,
            "name": &*key.name,
            "uid": uid,
        },
    });
    let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    send(client, Method::POST, &path, &event).await
}

/// A name of its own for an Event: the object's, and the time.
fn event_name(object: &str) -> String {
    let end = object
        .char_indices()
        .map(|(at, _)| at)
        .take_while(|at| *at <= MOST_NAME)
        .last();
    let object = object
        .get(..end.unwrap_or(0))
        .filter(|_| object.len() > MOST_NAME)
        .unwrap_or(object);
    format!(
        "{}.{:x}",
        object.trim_end_matches(['.', '-']),
        Timestamp::now().as_microsecond()
    )
}

/// As the API writes times with microseconds.
fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
