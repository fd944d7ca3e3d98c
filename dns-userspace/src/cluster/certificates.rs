//! cert-manager's Certificates (`cert-manager.io/v1`): listed and watched for the metrics; and the task that makes
//! those of the configuration.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::core::WatchEvent;
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::figures::CertificateFigures;
use super::wildcards::Wildcards;
use crate::config::{CertificatesConfig, DryRun, KubernetesSource};
use crate::control::History;
use crate::model::shown::with_causes;
use crate::source::{Leadership, connect, get};

pub(super) const PATH: &str = "/apis/cert-manager.io/v1";
/// The server ends each watch after so many seconds.
const WATCH_SECONDS: u64 = 240;
/// Before the next try where the cluster is away, or has no such kind.
const RETRY: Duration = Duration::from_secs(10);

/// What is read of a Certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificate {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) is_ready: bool,
    pub(super) is_issuing: bool,
    /// In seconds of Unix time.
    pub(super) not_after: Option<u64>,
    pub(super) failed_attempts: u64,
    /// Why the last attempt failed, in a word.
    pub(super) failure_reason: String,
}

/// What the task of Certificates needs.
pub struct CertificatesTask {
    /// The cluster.
    pub cluster: KubernetesSource,
    /// What is configured.
    pub config: CertificatesConfig,
    /// What is served.
    pub history: Arc<History>,
    /// Whether this replica may write.
    pub leadership: Leadership,
    /// Whether what would be written is only said.
    pub dry_run: DryRun,
    /// What is counted.
    pub figures: Arc<CertificateFigures>,
}

/// A page of a list, whole: there are few Certificates.
#[derive(Deserialize)]
struct Page {
    metadata: PageMeta,
    items: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
}

impl Certificate {
    /// Of the API's JSON.
    pub(super) fn read(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let conditions = value["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let condition = |of: &str| conditions.iter().find(|condition| condition["type"] == of);
        let is_true = |of: &str| condition(of).is_some_and(|condition| condition["status"] == "True");
        let not_after = value["status"]["notAfter"].as_str();
        let not_after = not_after.and_then(|time| time.parse::<Timestamp>().ok());
        let reason = condition("Issuing").or_else(|| condition("Ready"));
        let reason = reason
            .and_then(|condition| condition["reason"].as_str())
            .unwrap_or("Unknown");
        Self {
            namespace: text(&value["metadata"]["namespace"]),
            name: text(&value["metadata"]["name"]),
            issuer: text(&value["spec"]["issuerRef"]["name"]),
            is_ready: is_true("Ready"),
            is_issuing: is_true("Issuing"),
            not_after: not_after.and_then(|time| u64::try_from(time.as_second()).ok()),
            failed_attempts: value["status"]["failedIssuanceAttempts"].as_u64().unwrap_or(0),
            failure_reason: reason.to_owned(),
        }
    }

    /// Its status in a word.
    pub(super) fn status(&self) -> &'static str {
        match (self.is_ready, self.is_issuing) {
            (true, _) => "ready",
            (false, true) => "issuing",
            (false, false) => "not_ready",
        }
    }
}

/// Runs until the end.
pub struct Certificates(CertificatesTask);

impl Certificates {
    /// A task that has not begun.
    pub fn new(task: CertificatesTask) -> Self {
        Self(task)
    }

    /// Watches, and makes what is missing, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let task = self.0;
        let mut wildcards = Wildcards::new(&task);
        let mut said = None;
        loop {
            let attempt = async {
                let client = connect(&task.cluster).await?;
                follow(&client, &task, &mut wildcards)
                    .await
                    .map_err(|error| with_causes(&error))
            };
            let outcome = tokio::select! {
                outcome = attempt => outcome,
                () = stop.cancelled() => return,
            };
            match outcome {
                Ok(()) => {
                    said = None;
                    continue;
                }
                Err(error) if said.as_ref() != Some(&error) => {
                    warn!("Certificates: {error}; tried again");
                    said = Some(error);
                }
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// One list and the watch behind it, to its end; meanwhile what is missing is made.
async fn follow(client: &Client, task: &CertificatesTask, wildcards: &mut Wildcards) -> Result<(), kube::Error> {
    let version = list(client, task, wildcards).await?;
    let query = format!(
        "{PATH}/certificates?watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}"
    );
    let events = client.request_events::<Value>(get(&query)?).await?;
    let mut events = std::pin::pin!(events);
    loop {
        wildcards.make(client).await?;
        let event = tokio::select! {
            event = events.try_next() => event?,
            () = wildcards.changed() => continue,
        };
        match event {
            None => return Ok(()),
            Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                let certificate = Certificate::read(&object);
                wildcards.note(&certificate);
                task.figures.set(certificate);
            }
            Some(WatchEvent::Deleted(object)) => {
                let gone = Certificate::read(&object);
                task.figures.remove(&gone.namespace, &gone.name);
            }
            Some(WatchEvent::Bookmark(_)) => {}
            // The server has forgotten where we were: all is listed anew.
            Some(WatchEvent::Error(status)) if status.code == 410 => return Ok(()),
            Some(WatchEvent::Error(status)) => return Err(kube::Error::Api(status)),
        }
    }
}

async fn list(client: &Client, task: &CertificatesTask, wildcards: &mut Wildcards) -> Result<String, kube::Error> {
    let page: Page = client.request(get(&format!("{PATH}/certificates"))?).await?;
    let certificates: Vec<Certificate> = page.items.iter().map(Certificate::read).collect();
    certificates.iter().for_each(|certificate| wildcards.note(certificate));
    task.figures.reset(certificates);
    Ok(page.metadata.resource_version)
}
