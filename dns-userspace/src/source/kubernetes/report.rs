//! What became of objects, written back to them: a condition in the status of our own kinds, and Events.
//!
//! ```text
//! Cluster ─ what each asks for ─► Index ─┐
//! history ─ what is served ──────────────┴─ who is touched ─► condition, notices ─► API server
//! ```
//!
//! | Event | of |
//! |---|---|
//! | `NotUnderstood` (Warning) | an object that cannot be understood |
//! | `NotServed` (Warning) | an object whose name somebody else has |
//! | `NameShared` | an object whose name others ask for, too: their values are joined, or they are left out |
//! | `Served` | an object that has come, or changed, while we watched |
//!
//! What a change costs depends on who is touched by it. Only what differs from what was written last is written. What
//! cannot be written is said in the log, and tried again with the next change.

mod index;
mod notices;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::Method;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde_json::json;
use tokio::sync::Notify;
use tracing::{info, warn};

use self::index::{Index, Reported};
use self::notices::Notice;
use super::connect::send;
use super::leader::Leadership;
use super::objects::{Condition, Object, ObjectKey, Outcome};
use crate::config::DryRun;
use crate::control::{Event, History};
use crate::model::name::Name;
use crate::model::shown::with_causes;
use crate::model::snapshot::Snapshot;
use crate::model::source::SourceId;

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

/// What is to be reported.
#[derive(Default)]
pub(super) struct Reports {
    index: Mutex<Index>,
    changed: Notify,
}

impl Reports {
    /// An object as it is now; `None` where it is gone. `domain` is that of cluster DNS; with `is_news` the object has
    /// come, or changed, while the cluster was watched.
    pub(super) fn set(
        &self,
        key: &ObjectKey,
        object: Option<(&Object, &Outcome)>,
        domain: Option<&Name>,
        is_news: bool,
    ) {
        let reported = object.and_then(|(object, outcome)| Reported::of(key, object, outcome, domain, is_news));
        self.index().set(key, reported);
        self.changed.notify_one();
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports until it is dropped.
pub(super) async fn report(client: Client, reports: Arc<Reports>, reporting: Reporting) {
    let mut leadership = reporting.leadership.clone();
    let mut served = reporting.history.subscribe(None);
    let mut snapshot: Arc<Snapshot> = Arc::default();
    // What was changed while nobody reported.
    reports.index().touch_all();
    let mut has_led = true;
    loop {
        tokio::select! {
            event = served.next() => match event {
                Some(event) => take(&mut snapshot, &reports, event),
                None => return,
            },
            () = reports.changed.notified() => {}
            () = leadership.changed() => {}
        }
        tokio::time::sleep(GATHER).await;
        while let Some(event) = served.poll() {
            take(&mut snapshot, &reports, event);
        }
        let leads = leadership.leads();
        if leads && !has_led {
            let mut index = reports.index();
            index.forget_said();
            index.touch_all();
        }
        has_led = leads;
        if !leads {
            continue;
        }
        let touched = reports.index().take_touched();
        for key in touched {
            if !say(&client, &reports, &key, &snapshot, &reporting).await {
                reports.index().touch_object(&key);
            }
        }
    }
}

/// Tells an object what became of it; whether all of it could be said.
async fn say(client: &Client, reports: &Reports, key: &ObjectKey, snapshot: &Snapshot, reporting: &Reporting) -> bool {
    let source = &reporting.source;
    let (reported, mut said, notices) = {
        let index = reports.index();
        let Some((reported, said)) = index.get(key) else {
            return true;
        };
        let notices = notices::notices(key, reported, &index, snapshot, source);
        (reported.clone(), said, notices)
    };
    let is_dry = reporting.dry_run.is_on();
    let mut is_whole = true;
    if key.kind.is_ours() {
        let condition = notices::condition(&reported, snapshot, source);
        let known = said.condition.as_ref().or(reported.said.as_ref());
        if !known.is_some_and(|known| known.is_the_same(&condition)) {
            let Condition { status, message, .. } = &condition;
            let written = match is_dry {
                true => {
                    info!(object = %key, "dry run: its status would say {status}: {message}");
                    Ok(())
                }
                false => write_status(client, key, &reported, &condition, known).await,
            };
            match written {
                Ok(()) => said.condition = Some(condition),
                Err(error) => {
                    warn!("{key}: its status cannot be written: {}", with_causes(&error));
                    is_whole = false;
                }
            }
        }
    }
    for notice in notices::to_say(notices, &mut said, reported.is_news) {
        if is_dry {
            info!(object = %key, "dry run: an Event would say {}", notice.note);
        } else if let Err(error) = write_event(client, key, &reported.uid, &notice).await {
            warn!("{key}: an Event cannot be written: {}", with_causes(&error));
        }
    }
    reports.index().set_said(key, said);
    is_whole
}

fn take(snapshot: &mut Arc<Snapshot>, reports: &Reports, event: Event) {
    *snapshot = match event {
        Event::Reset(now) => {
            reports.index().touch_all();
            now
        }
        Event::Published(publication) => {
            let delta = &publication.delta;
            let mut index = reports.index();
            match delta.moves_zones() || delta.views_redefined {
                true => index.touch_all(),
                false => index.touch(delta.names.iter().chain(delta.views.iter().flatten())),
            }
            Arc::clone(&publication.new)
        }
    };
}

async fn write_status(
    client: &Client,
    key: &ObjectKey,
    reported: &Reported,
    condition: &Condition,
    before: Option<&Condition>,
) -> Result<(), kube::Error> {
    let now = now();
    let since = before.filter(|before| before.status == condition.status);
    let since = since.and_then(|before| before.last_transition_time.clone());
    let claims = reported.outcome.as_ref().ok();
    let hostname = claims
        .and_then(|claims| claims.first())
        .map(|claim| claim.owner.to_string());
    let patch = json!({"status": {
        // These four are called as catalyst-dns-sync calls them.
        "hostname": hostname.as_deref().map(|name| name.trim_end_matches('.')),
        "dnsRecordCreated": condition.status == "True",
        "message": condition.message,
        "lastSyncTime": now,
        "observedGeneration": condition.observed_generation,
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

async fn write_event(client: &Client, key: &ObjectKey, uid: &str, notice: &Notice) -> Result<(), kube::Error> {
    let text = notice.note.as_str();
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
    let end = text
        .char_indices()
        .map(|(at, _)| at)
        .take_while(|at| *at < MOST_NOTE - 4)
        .last();
    let note = end.and_then(|end| text.get(..end)).filter(|_| text.len() >= MOST_NOTE);
    let event = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": event_name(&key.name), "namespace": namespace},
        "eventTime": now(),
        "reportingController": "hotdns.io/hotdns",
        "reportingInstance": format!("hotdns-{}", std::process::id()),
        "action": "Publish",
        "reason": notice.reason,
        "type": if notice.is_warning { "Warning" } else { "Normal" },
        "note": note.unwrap_or(text),
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
