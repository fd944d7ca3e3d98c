//! `GET /api/v1/watch`: changes as they are made, as Server-Sent Events.
//!
//! ```text
//! Last-Event-ID, since ─► journal's history ─ what was missed ─► ring of publications ─ what comes ─► client
//!                               ▲  the ring has forgotten what comes next  │
//!                               └──────────────────────────────────────────┘
//! ```
//!
//! Both give the same entries, so nothing is told twice or left out, over reconnects and restarts. An event's id is
//! the version of its change set; where a set has several events, those before its last have the id `VERSION.NUMBER`. A
//! client that is behind the history gets `reset`: it reads the records again, and goes on from the version in it.
//! A client that is slow holds nobody up: it is the ring that forgets.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;
use futures_util::stream;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::ApiState;
use super::history::may_read;
use super::page::record;
use super::parameters::Parameters;
use super::problem::{self, Problem};
use crate::control::{ControlHandle, Difference, Event, History, Past, PastKind, Subscription, decode};
use crate::journal::HistoryQuery;
use crate::model::snapshot::Snapshot;
use crate::principal::Principal;

/// Clients that watch at a time.
pub(super) const MOST_WATCHERS: usize = 128;
/// After so long without an event a line is sent that says nothing, so that everyone knows the connection is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Rows that are asked of the journal at a time.
const ROWS: usize = 16;
/// What a client is told to wait before it connects again, in milliseconds.
const RETRY: u64 = 1000;

/// Where a client is: after all of a version, and after so many events of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    version: u64,
    events: usize,
}

impl Place {
    /// `41`, or `42.3`: after three events of the version that follows 41.
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('.') {
            None => Some(Self {
                version: text.parse().ok()?,
                events: 0,
            }),
            Some((version, events)) => Some(Self {
                version: version.parse::<u64>().ok()?.checked_sub(1)?,
                events: events.parse().ok()?,
            }),
        }
    }
}

/// Changes as they are made, as Server-Sent Events.
#[utoipa::path(
    get, path = "/api/v1/watch", operation_id = "watch", tag = "history",
    params(
        ("since" = Option<String>, Query, description = "A version, or the id of the last event; now by default"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event, as browsers send it"),
    ),
    responses((status = 200, description = "`added`, `updated`, `deleted`, `reloaded`, `reset`; the id is a version",
        body = String, content_type = "text/event-stream"))
)]
pub(super) async fn watch(
    State(state): State<ApiState>,
    Extension(reader): Extension<Principal>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, &["since"])?;
    let invalid = |text: &str| {
        let detail = format!("`{text}` is neither a version nor the id of an event");
        Problem::bad_request("invalid_parameter", detail)
    };
    // What a browser says of itself on a new connection is later than what stands in the URL.
    let last_id = headers.get("last-event-id").map(|id| id.to_str().unwrap_or("?").trim());
    let since = last_id.filter(|id| !id.is_empty()).or(parameters.get("since"));
    let since = since
        .map(|text| Place::parse(text).ok_or_else(|| invalid(text)))
        .transpose()?;
    let present = state.served()?;
    let serving = state.serving()?;
    let room = Arc::clone(&state.0.watchers).try_acquire_owned();
    let room = room.map_err(|_| {
        let detail = format!("{MOST_WATCHERS} clients watch already; try again later");
        problem::overloaded(state.figures(), &detail)
    })?;
    let at = since.unwrap_or(Place {
        version: present.version,
        events: 0,
    });
    let mut watching = Watching {
        control: serving.control.clone(),
        history: Arc::clone(&serving.history),
        stopping: state.stopping(),
        at,
        reader,
        live: None,
        ready: VecDeque::new(),
        _room: room,
    };
    watching.ready.push_back(format!("retry: {RETRY}\n\n"));
    let body = Body::from_stream(stream::unfold(watching, |mut watching| async move {
        let text = watching.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), watching))
    }));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// One client.
struct Watching {
    control: ControlHandle,
    history: Arc<History>,
    stopping: CancellationToken,
    at: Place,
    /// Who watches: others' RRsets are left out.
    reader: Principal,
    /// `None` while what was missed is read from the journal.
    live: Option<Subscription>,
    /// Events that are made and not sent.
    ready: VecDeque<String>,
    _room: OwnedSemaphorePermit,
}

impl Watching {
    /// The next events as text; `None` at the end of the server.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.ready.pop_front() {
                return Some(text);
            }
            let Some(live) = &mut self.live else {
                self.catch_up().await?;
                continue;
            };
            let event = tokio::select! {
                () = self.stopping.cancelled() => return None,
                event = tokio::time::timeout(HEARTBEAT, live.next()) => event,
            };
            match event {
                Err(_) => return Some(": still here\n\n".to_owned()),
                Ok(None) => return None,
                Ok(Some(Event::Published(publication))) => {
                    for past in publication.past.iter() {
                        self.tell(past);
                    }
                    self.at.version = self.at.version.max(publication.version());
                }
                // The ring has forgotten what comes next: the journal has not.
                Ok(Some(Event::Reset(_))) => self.live = None,
            }
        }
    }

    /// Takes what was missed from the journal, or says that it cannot be had any more.
    async fn catch_up(&mut self) -> Option<()> {
        let query = HistoryQuery {
            after: self.at.version,
            before: u64::MAX,
            newest_first: false,
            limit: ROWS,
        };
        // Before the journal is read: what is published meanwhile is in the ring.
        let latest = self.history.version();
        let read = self.control.past(query);
        let rows = tokio::select! {
            () = self.stopping.cancelled() => return None,
            rows = read => rows,
        };
        let begins_next = |first: u64| first <= self.at.version + 1;
        match rows {
            Ok(rows) if rows.first().is_some_and(|row| begins_next(row.first)) => {
                for row in &rows {
                    if row.first > self.at.version + 1 {
                        // A version that is in no journal.
                        self.reset(latest);
                        return Some(());
                    }
                    for past in decode(row) {
                        self.tell(&past);
                    }
                    self.at.version = row.last;
                }
            }
            Ok(rows) if rows.is_empty() && self.at.version == latest => {
                self.live = Some(self.history.subscribe(Some(latest)));
            }
            _ => self.reset(latest),
        }
        Some(())
    }

    fn reset(&mut self, latest: u64) {
        self.at = Place {
            version: latest,
            events: 0,
        };
        self.ready
            .push_back(event("reset", &latest.to_string(), &json!({"version": latest})));
        self.live = Some(self.history.subscribe(Some(latest)));
    }

    /// Makes the events of an entry that the client does not have yet.
    fn tell(&mut self, past: &Past) {
        if past.version <= self.at.version {
            return;
        }
        let mut events = events_of(past, &self.reader);
        let known = match past.version == self.at.version + 1 {
            true => std::mem::take(&mut self.at.events),
            false => 0,
        };
        self.at.version = past.version;
        let count = events.len();
        for (number, (word, data)) in events.drain(..).enumerate().skip(known) {
            let id = match number + 1 == count {
                true => past.version.to_string(),
                false => format!("{}.{}", past.version, number + 1),
            };
            self.ready.push_back(event(word, &id, &data));
        }
    }
}

fn events_of(past: &Past, reader: &Principal) -> Vec<(&'static str, Value)> {
    let seen = past
        .diff
        .iter()
        .filter(|difference| difference.is_seen)
        .chain(&past.also)
        .filter(|difference| may_read(reader, difference));
    let mut events: Vec<_> = seen.map(|difference| of_rrset(past, difference)).collect();
    if past.kind != PastKind::Edits || !past.is_whole {
        let data = json!({
            "version": past.version,
            "actor": &*past.actor,
            "source": &*past.source,
            "complete": past.is_whole,
        });
        events.push(("reloaded", data));
    }
    events
}

fn of_rrset(past: &Past, difference: &Difference) -> (&'static str, Value) {
    let Difference {
        view, owner, old, new, ..
    } = difference;
    let shown = |rrset: &_| {
        let shown = record(&Snapshot::default(), view.as_ref(), owner, rrset);
        serde_json::to_value(shown).unwrap_or_default()
    };
    let old_shown = old.as_deref().map(shown);
    let (word, mut data) = match (old, new) {
        (None, Some(new)) => ("added", shown(new)),
        (Some(_), Some(new)) => ("updated", shown(new)),
        (old, None) => ("deleted", old.as_deref().map(shown).unwrap_or_default()),
    };
    if let Some(members) = data.as_object_mut() {
        members.insert("old".to_owned(), old_shown.unwrap_or_default());
        members.insert("version".to_owned(), past.version.into());
        members.insert("actor".to_owned(), (*past.actor).into());
    }
    (word, data)
}

fn event(word: &str, id: &str, data: &Value) -> String {
    format!("event: {word}\nid: {id}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_place() {
        for (text, version, events) in [("41", 41, 0), ("42.3", 41, 3), ("0", 0, 0), ("1.1", 0, 1)] {
            assert_eq!(Place::parse(text), Some(Place { version, events }), "{text}");
        }
        for text in ["", "x", "1.", ".1", "0.1", "-1", "1.2.3"] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }
}
