//! The watched sources of this server: which there are, how each is, and the tasks that watch them.
//!
//! ```text
//! config: sources ─► Registry ─┬─ tasks: one for each source, each with the world of its kind
//!                              └─ Status, SyncRequests ─► API, metrics, readiness
//! ```
//!
//! A new kind is a folder with a [`super::World`], a file in `config/sources`, and one arm of [`watch`].

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::caddy::Caddy;
use super::consul::Consul;
use super::consul_kv::ConsulKv;
use super::export::Export;
use super::git::Git;
use super::hosts::Hosts;
use super::kubernetes::{KubernetesFigures, KubernetesWorld, Reporting};
use super::nomad::Nomad;
use super::polled::Polling;
use super::traefik::Traefik;
use super::{SourceState, Status, SyncRequests, Watcher, WatcherSettings, World};
use crate::config::{ConfiguredSource, SourceSettings};
use crate::control::{ControlHandle, History};
use crate::model::source::SourceId;
use crate::store::Conflicts;

/// Before a source whose task has panicked is watched anew.
const PAUSE_AFTER_PANIC: Duration = Duration::from_secs(30);

/// One source of this server.
pub struct RegisteredSource {
    /// How it is.
    pub status: Arc<Status>,
    /// Tells it to list its world now.
    pub requests: SyncRequests,
    configured: ConfiguredSource,
}

/// All watched sources, in the order of their precedence.
#[derive(Default)]
pub struct Registry {
    sources: Vec<RegisteredSource>,
    /// RRsets of any source that are left out because of another source's, as the writer has told last.
    conflicts: Mutex<Conflicts>,
    /// What clusters count.
    figures: Arc<KubernetesFigures>,
}

impl Registry {
    /// The sources that are configured; none is watched yet.
    pub fn new(configured: &[ConfiguredSource]) -> Self {
        let sources = configured.iter().map(|configured| RegisteredSource {
            status: Arc::new(Status::new(configured.id.clone())),
            requests: SyncRequests::default(),
            configured: configured.clone(),
        });
        Self {
            sources: sources.collect(),
            conflicts: Mutex::default(),
            figures: Arc::default(),
        }
    }

    /// These are all RRsets that are left out now.
    pub fn set_conflicts(&self, conflicts: &Conflicts) {
        *self.conflicts.lock().unwrap_or_else(PoisonError::into_inner) = conflicts.clone();
    }

    /// How many RRsets of each source are left out, because of another source's.
    pub fn conflicts(&self) -> BTreeMap<SourceId, usize> {
        let conflicts = self.conflicts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut counts = BTreeMap::new();
        for conflict in conflicts.iter() {
            *counts.entry(conflict.left_out.source().clone()).or_default() += 1;
        }
        counts
    }

    /// What clusters count, where one is watched.
    pub fn kubernetes_figures(&self) -> Option<&KubernetesFigures> {
        let is_cluster =
            |source: &RegisteredSource| matches!(source.configured.settings, SourceSettings::Kubernetes(_));
        self.iter().any(is_cluster).then_some(&*self.figures)
    }

    /// What tells them apart, for the writer.
    pub fn ids(&self) -> Vec<SourceId> {
        self.iter().map(|source| source.configured.id.clone()).collect()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &RegisteredSource> {
        self.sources.iter()
    }

    /// A source by its kind and name.
    pub fn find(&self, kind: &str, name: &str) -> Option<&RegisteredSource> {
        let is_it = |source: &&RegisteredSource| {
            let info = source.configured.id.info();
            &*info.kind == kind && info.name.as_deref() == Some(name)
        };
        self.iter().find(is_it)
    }

    /// The tasks that watch them, each until `stop`. One that panics is begun anew after a pause, and the others go on.
    pub fn tasks(
        &self,
        control: &ControlHandle,
        history: &Arc<History>,
        stop: &CancellationToken,
    ) -> Vec<impl Future<Output = ()> + Send + use<>> {
        let tasks = self.iter().map(|source| {
            let task = Task {
                status: Arc::clone(&source.status),
                requests: source.requests.clone(),
                control: control.clone(),
                history: Arc::clone(history),
                figures: Arc::clone(&self.figures),
                stop: stop.clone(),
            };
            let configured = source.configured.clone();
            async move { task.keep_watching(&configured).await }
        });
        tasks.collect()
    }
}

/// What the task of one source has.
struct Task {
    status: Arc<Status>,
    requests: SyncRequests,
    control: ControlHandle,
    history: Arc<History>,
    figures: Arc<KubernetesFigures>,
    stop: CancellationToken,
}

impl Task {
    async fn keep_watching(&self, configured: &ConfiguredSource) {
        loop {
            let watched = AssertUnwindSafe(watch(configured, self)).catch_unwind().await;
            if watched.is_ok() {
                return;
            }
            let key = configured.id.key();
            let seconds = PAUSE_AFTER_PANIC.as_secs();
            error!("source {key}: its task panicked, see above; it begins anew in {seconds} s. Please report this");
            self.status.update(|report| {
                report.state = SourceState::Degraded;
                report.error = Some("its task panicked, see the log".to_owned());
            });
            tokio::select! {
                () = tokio::time::sleep(PAUSE_AFTER_PANIC) => {}
                _ = self.requests.asked() => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    fn world<W: World>(&self, configured: &ConfiguredSource, world: W) -> BoxFuture<'static, ()> {
        self.world_with(configured, world, WatcherSettings::default())
    }

    fn world_with<W: World>(
        &self,
        configured: &ConfiguredSource,
        world: W,
        settings: WatcherSettings,
    ) -> BoxFuture<'static, ()> {
        let watcher = Watcher::new(
            configured.id.clone(),
            world,
            self.control.clone(),
            Arc::clone(&self.status),
            self.requests.clone(),
            settings,
        );
        watcher.run(self.stop.clone()).boxed()
    }
}

/// Watches the world of a source: one arm for each kind.
fn watch(configured: &ConfiguredSource, task: &Task) -> BoxFuture<'static, ()> {
    match configured.settings.clone() {
        SourceSettings::Hosts(settings) => task.world(configured, Polling::new(Hosts::new(settings))),
        SourceSettings::Kubernetes(settings) => {
            let reporting = settings.report.then(|| Reporting {
                history: Arc::clone(&task.history),
                source: configured.id.clone(),
            });
            task.world(
                configured,
                KubernetesWorld::new(*settings, reporting, Arc::clone(&task.figures)),
            )
        }
        SourceSettings::Consul(settings) => task.world(configured, Consul::new(settings)),
        SourceSettings::ConsulKv(settings) => task.world(configured, ConsulKv::new(settings)),
        SourceSettings::Nomad(settings) => task.world(configured, Nomad::new(settings)),
        SourceSettings::Traefik(settings) => task.world(configured, Polling::new(Traefik::new(settings))),
        SourceSettings::Caddy(settings) => task.world(configured, Polling::new(Caddy::new(settings))),
        SourceSettings::Git(settings) => {
            let pace = WatcherSettings {
                second_list_confirms: false,
                ..WatcherSettings::default()
            };
            task.world_with(configured, Git::new(*settings), pace)
        }
        SourceSettings::Export(settings) => {
            let pace = WatcherSettings {
                second_list_confirms: false,
                expire: settings.expire,
                ..WatcherSettings::default()
            };
            task.world_with(configured, Export::new(settings), pace)
        }
    }
}
