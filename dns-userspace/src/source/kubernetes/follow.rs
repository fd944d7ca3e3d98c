//! One kind of objects, in all namespaces or in one: listed, then watched. Each is a task of its own.
//!
//! ```text
//! list, page by page ─► Listed ─► watch from its version ─► Applied, Deleted … ─┐
//!   ▲   │ 404: Absent, again after a while                  ended: watch on     │
//!   │   │ 403: Refused, again after a while                 410: list anew ◄────┘
//!   └───┘                                                   three failures: Failed, and the task ends
//! ```
//!
//! 429: the client asks again when the server says so, a few times; then it is left alone for a while. 401: the task
//! ends, and the next client reads its credentials anew.

use std::time::Duration;

use futures_util::TryStreamExt;
use kube::Client;
use kube::core::{Status, WatchEvent};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::connect::get;
use super::kinds::Kind;
use super::objects::{Object, ObjectKey};
use crate::model::shown::{percent_encoded, with_causes};

/// The server ends a watch after so many seconds; it goes on with the next one.
pub const WATCH_SECONDS: u64 = 240;
/// Objects of one page.
const PAGE: usize = 500;
/// Before a kind that is not served, or not permitted, is tried for again.
const RETRY: Duration = Duration::from_secs(10);
/// Before a list whose rest expired is begun anew.
const EXPIRED_PAUSE: Duration = Duration::from_millis(200);
/// Where a server that is busy does not say when it is to be asked again, and the longest that it is left alone.
const BUSY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Pauses after failures of a watch; where the last has passed, the cluster is away.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// What is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `None`: all, or the kind has none.
    pub namespace: Option<String>,
    /// Labels, as a query says them.
    pub labels: Option<String>,
    /// The one object.
    pub name: Option<String>,
}

/// An object, or why it cannot be read.
pub type Read = Result<Box<Object>, (ObjectKey, String)>;

/// What is told of a scope.
#[derive(Debug)]
pub enum Told {
    /// All objects.
    Listed(Scope, Vec<Read>),
    /// One has come, or is another one now.
    Applied(Read),
    /// One is gone.
    Deleted(ObjectKey),
    /// The cluster does not serve the kind.
    Absent(Scope),
    /// We may not list it.
    Refused(Scope, String),
    /// The cluster is away.
    Failed(String),
    /// What is written there, by its name, is not written any more, and why; `None`: it is again.
    Held(String, Option<String>),
}

impl Told {
    /// The kind that it is about.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Listed(scope, _) | Self::Absent(scope) | Self::Refused(scope, _) => Some(scope.kind),
            Self::Applied(Ok(object)) => Some(object.kind),
            Self::Applied(Err((key, _))) | Self::Deleted(key) => Some(key.kind),
            Self::Failed(_) | Self::Held(..) => None,
        }
    }
}

/// A page of a list.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Page {
    metadata: PageMeta,
    items: Vec<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    rest: Option<String>,
}

/// Why a list has no result.
enum ListError {
    Absent,
    Refused(String),
    /// The rest of the list expired while it was read.
    Expired,
    /// The server has too much to do.
    Busy(Duration),
    Failed(String),
}

/// Follows a scope until nobody listens, or the cluster is away.
pub async fn follow(client: Client, scope: Scope, told: mpsc::Sender<Told>) {
    loop {
        let (version, place) = match list(&client, &scope).await {
            Ok((objects, version, place)) => {
                if told.send(Told::Listed(scope.clone(), objects)).await.is_err() {
                    return;
                }
                (version, place)
            }
            Err(ListError::Expired) => {
                sleep(EXPIRED_PAUSE).await;
                continue;
            }
            Err(ListError::Busy(pause)) => {
                sleep(pause).await;
                continue;
            }
            Err(ListError::Failed(error)) => {
                let _ = told.send(Told::Failed(error)).await; // nobody listens any more: then nobody misses it
                return;
            }
            Err(other) => {
                let what = match other {
                    ListError::Refused(reason) => Told::Refused(scope.clone(), reason),
                    _ => Told::Absent(scope.clone()),
                };
                if told.send(what).await.is_err() {
                    return;
                }
                sleep(RETRY).await;
                continue;
            }
        };
        match watch(&client, &scope, &place, version, &told).await {
            Ok(()) => {}
            Err(error) => {
                let _ = told.send(Told::Failed(error)).await;
                return;
            }
        }
        if told.is_closed() {
            return;
        }
    }
}

impl Scope {
    /// The path of the kind in one of its versions.
    fn path(&self, version: &str) -> String {
        let place = self.kind.place();
        let root = match place.group {
            "" => format!("/api/{version}"),
            group => format!("/apis/{group}/{version}"),
        };
        match &self.namespace {
            Some(namespace) if place.is_namespaced => format!("{root}/namespaces/{namespace}/{}", place.plural),
            _ => format!("{root}/{}", place.plural),
        }
    }

    fn query(&self) -> String {
        let mut query = String::new();
        if let Some(labels) = &self.labels {
            query.push_str(&format!("&labelSelector={}", percent_encoded(labels)));
        }
        if let Some(name) = &self.name {
            query.push_str(&format!(
                "&fieldSelector={}",
                percent_encoded(&format!("metadata.name={name}"))
            ));
        }
        query
    }
}

/// All objects, the version of the list, and the path that has them.
async fn list(client: &Client, scope: &Scope) -> Result<(Vec<Read>, String, String), ListError> {
    for version in scope.kind.place().versions {
        let place = scope.path(version);
        match pages(client, scope, &place).await {
            Ok((objects, version)) => return Ok((objects, version, place)),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(kube::Error::Api(status)) if status.code == 410 => return Err(ListError::Expired),
            Err(kube::Error::Api(status)) if status.code == 429 => return Err(ListError::Busy(busy(&status))),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                return Err(ListError::Refused(status.message.clone()));
            }
            Err(error) => return Err(ListError::Failed(failure("list", &place, &error))),
        }
    }
    Err(ListError::Absent)
}

async fn pages(client: &Client, scope: &Scope, place: &str) -> Result<(Vec<Read>, String), kube::Error> {
    let mut objects = Vec::new();
    let mut rest = None;
    loop {
        let from = rest
            .map(|rest: String| format!("&continue={}", percent_encoded(&rest)))
            .unwrap_or_default();
        let page: Page = client
            .request(get(&format!("{place}?limit={PAGE}{from}{}", scope.query()))?)
            .await?;
        objects.extend(page.items.into_iter().map(|item| read(scope.kind, item)));
        rest = page.metadata.rest.filter(|rest| !rest.is_empty());
        if rest.is_none() {
            return Ok((objects, page.metadata.resource_version));
        }
    }
}

/// Watches from `version` until the server has forgotten it; an error where the cluster is away.
async fn watch(
    client: &Client,
    scope: &Scope,
    place: &str,
    mut version: String,
    told: &mpsc::Sender<Told>,
) -> Result<(), String> {
    let mut failures = 0;
    loop {
        let query = format!(
            "{place}?watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}{}",
            scope.query()
        );
        let before = version.clone();
        match one_watch(client, scope.kind, query, &mut version, told).await {
            Ok(()) if told.is_closed() => return Ok(()),
            Ok(()) => failures = 0,
            // 404: the kind is gone, with all its objects. 401, 403: we may not any more. The list says which.
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403 | 404 | 410) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 429 => sleep(busy(&status)).await,
            Err(error) => {
                if version != before {
                    failures = 0;
                }
                let Some(pause) = PAUSES.get(failures) else {
                    return Err(failure("watch", place, &error));
                };
                failures += 1;
                sleep(*pause).await;
            }
        }
    }
}

/// When a server that is busy is to be asked again.
fn busy(status: &Status) -> Duration {
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    Duration::from_secs(seconds.into()).clamp(BUSY.0, BUSY.1)
}

/// One watch to its end; `version` follows what comes.
async fn one_watch(
    client: &Client,
    kind: Kind,
    query: String,
    version: &mut String,
    told: &mpsc::Sender<Told>,
) -> Result<(), kube::Error> {
    let events = client.request_events::<Value>(get(&query)?).await?;
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.try_next().await? {
        let what = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                follow_version(version, &object);
                Told::Applied(read(kind, object))
            }
            WatchEvent::Deleted(object) => {
                follow_version(version, &object);
                Told::Deleted(key_of(kind, &object))
            }
            WatchEvent::Bookmark(bookmark) => {
                *version = bookmark.metadata.resource_version;
                continue;
            }
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        };
        if told.send(what).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn follow_version(version: &mut String, object: &Value) {
    if let Some(new) = object["metadata"]["resourceVersion"].as_str() {
        new.clone_into(version);
    }
}

/// Why the cluster is away. Where it cannot be reached at all, each kind says the same.
fn failure(what: &str, place: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Service(_) | kube::Error::HyperError(_) => {
            format!(
                "the API server cannot be reached: {}",
                with_causes(error).trim_start_matches("ServiceError: ")
            )
        }
        _ => format!("{what} of {place}: {}", with_causes(error)),
    }
}

/// An object of the API's JSON.
pub fn read(kind: Kind, value: Value) -> Read {
    let key = key_of(kind, &value);
    Object::read(kind, value).map(Box::new).map_err(|error| (key, error))
}

fn key_of(kind: Kind, value: &Value) -> ObjectKey {
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default().into();
    ObjectKey::new(kind, &text("namespace"), &text("name"))
}
