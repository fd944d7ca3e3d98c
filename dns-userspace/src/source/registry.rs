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

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::caddy::Caddy;
use super::consul::{Consul, Registration};
use super::consul_kv::ConsulKv;
use super::disagreement::{self, Disagreement};
use super::export::Export;
use super::git::Git;
use super::host_names::{self, LookUp};
use super::hosts::Hosts;
use super::kubernetes::{KnownCluster, KubernetesFigures, KubernetesWorld, Leadership, Persisting, Reporting};
use super::marks::Marks;
use super::nomad::Nomad;
use super::peer::{Credential, LatePeer};
use super::polled::Polling;
use super::traefik::{self, Traefik};
use super::{Damping, Paused, SourceState, Status, SyncRequests, Watcher, WatcherSettings, World, WorldError};
use crate::config::{ConfiguredSource, DryRun, SourceSettings};
use crate::control::{ControlHandle, History};
use crate::model::snapshot::Snapshot;
use crate::model::source::SourceId;
use crate::rules::Autopath;
use crate::store::{Conflict, Conflicts};

/// Before a source whose task has panicked is watched anew.
const PAUSE_AFTER_PANIC: Duration = Duration::from_secs(30);

/// Between two comparisons of a proxy with what is served.
const BETWEEN_COMPARISONS: Duration = Duration::from_secs(60);

/// One source of this server.
pub struct RegisteredSource {
    /// How it is.
    pub status: Arc<Status>,
    /// Tells it to list its world now.
    pub requests: SyncRequests,
    /// The objects that are known, where it is a cluster.
    pub cluster: Option<Arc<KnownCluster>>,
    configured: ConfiguredSource,
    /// The proxy, where it is one that is compared with what is served.
    proxy: Option<Mutex<LatePeer>>,
    /// How often its proxy and DNS disagreed when they were compared last, by [`Disagreement::KINDS`].
    disagreements: Mutex<Option<[usize; Disagreement::KINDS.len()]>>,
    /// Ends its task.
    stop: CancellationToken,
    /// Is cancelled once its task has ended, or where there is none.
    ended: CancellationToken,
}

impl RegisteredSource {
    fn new(configured: ConfiguredSource) -> Self {
        Self {
            status: Arc::new(Status::new(configured.id.clone())),
            requests: SyncRequests::default(),
            cluster: match &configured.settings {
                SourceSettings::Kubernetes(settings) => {
                    Some(Arc::new(KnownCluster::new(Arc::new((**settings).clone()))))
                }
                _ => None,
            },
            proxy: match &configured.settings {
                SourceSettings::Traefik(settings) => Some(Mutex::new(LatePeer::new(
                    "Traefik",
                    settings.peer.clone(),
                    Credential::Basic,
                ))),
                _ => None,
            },
            configured,
            disagreements: Mutex::default(),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }
}

/// Why a proxy and DNS were not compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The source is no Traefik.
    #[error("only a source of the kind traefik is compared with what is served")]
    NoProxy,
    /// The proxy says nothing.
    #[error(transparent)]
    World(#[from] WorldError),
}

impl RegisteredSource {
    /// Asks the proxy of this source, and compares it with what is served.
    pub async fn compare(&self, served: &Snapshot) -> Result<Vec<Disagreement>, CompareError> {
        let (SourceSettings::Traefik(settings), Some(proxy)) = (&self.configured.settings, &self.proxy) else {
            return Err(CompareError::NoProxy);
        };
        let peer = || proxy.lock().unwrap_or_else(PoisonError::into_inner).get();
        let routers = match &settings.path {
            Some(path) => traefik::routers_in(path).await,
            None => match peer() {
                Ok(peer) => traefik::routers(&peer).await,
                Err(error) => Err(error),
            },
        };
        let found = routers.map(|routers| disagreement::compare(routers, settings, served));
        let counts = found.as_ref().ok().map(|found| {
            Disagreement::KINDS.map(|kind| found.iter().filter(|disagreement| disagreement.kind() == kind).count())
        });
        *self.disagreements.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        Ok(found?)
    }

    /// Has its watcher wait, for somebody who puts its records back to an earlier state, or lets it go on.
    pub async fn pause(&self, control: &ControlHandle) -> Paused {
        Paused::new(&self.status, &self.requests, control).await
    }

    /// How often its proxy and DNS disagree, by kind; nothing where they were not compared, or the proxy was away.
    pub fn disagreements(&self) -> impl Iterator<Item = (&'static str, usize)> + use<> {
        let counts = *self.disagreements.lock().unwrap_or_else(PoisonError::into_inner);
        Disagreement::KINDS.into_iter().zip(counts.into_iter().flatten())
    }
}

/// All watched sources, in the order of their precedence.
#[derive(Default)]
pub struct Registry {
    sources: ArcSwap<Vec<Arc<RegisteredSource>>>,
    /// RRsets of any source that are left out because of another source's, as the writer has told last.
    conflicts: Mutex<Conflicts>,
    /// What clusters count.
    figures: Arc<KubernetesFigures>,
    /// What objects ask for besides records.
    marks: Marks,
    /// Whether this replica may write to others.
    leadership: Leadership,
    /// Whether what would be written is only said.
    dry_run: DryRun,
}

impl Registry {
    /// The sources that are configured; none is watched yet.
    pub fn new(configured: &[ConfiguredSource]) -> Self {
        let sources = configured.iter().cloned().map(RegisteredSource::new).map(Arc::new);
        Self {
            sources: ArcSwap::from_pointee(sources.collect()),
            conflicts: Mutex::default(),
            figures: Arc::default(),
            marks: Marks::default(),
            leadership: Leadership::default(),
            dry_run: DryRun::Off,
        }
    }

    /// The same, where a replica is elected that writes to others, or nothing is written.
    pub fn writing(self, leadership: Leadership, figures: Arc<KubernetesFigures>, dry_run: DryRun) -> Self {
        Self {
            leadership,
            figures,
            dry_run,
            ..self
        }
    }

    /// Whether this replica may write to others.
    pub fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    /// What objects ask for besides records.
    pub fn marks(&self) -> &Marks {
        &self.marks
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

    /// What of a source is left out because of another source's RRsets.
    pub fn left_out_of(&self, source: &SourceId) -> Vec<Conflict> {
        let conflicts = self.conflicts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let of_source = conflicts.iter().filter(|conflict| conflict.left_out.source() == source);
        of_source.cloned().collect()
    }

    /// What clusters count, where one is watched.
    pub fn kubernetes_figures(&self) -> Option<&KubernetesFigures> {
        let is_cluster =
            |source: Arc<RegisteredSource>| matches!(source.configured.settings, SourceSettings::Kubernetes(_));
        self.iter().any(is_cluster).then_some(&*self.figures)
    }

    /// What tells them apart, for the writer.
    pub fn ids(&self) -> Vec<SourceId> {
        let sources = self.iter().flat_map(|source| {
            let base = match &source.configured.settings {
                SourceSettings::Kubernetes(settings) if settings.persist => {
                    Some(Persisting::base_of(&source.configured.id))
                }
                _ => None,
            };
            [Some(source.configured.id.clone()), base]
        });
        sources.flatten().collect()
    }

    /// The search paths of pods, of the clusters that are asked for them.
    pub fn autopaths(&self) -> Vec<Arc<Autopath>> {
        let clusters = self.iter().filter_map(|source| source.cluster.clone());
        clusters.filter_map(|cluster| cluster.autopath()).collect()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Arc<RegisteredSource>> + use<> {
        let sources = self.sources.load_full();
        (0..sources.len()).map(move |at| Arc::clone(&sources[at]))
    }

    /// A source by its kind and name.
    pub fn find(&self, kind: &str, name: &str) -> Option<Arc<RegisteredSource>> {
        let is_it = |source: &Arc<RegisteredSource>| {
            let info = source.configured.id.info();
            &*info.kind == kind && info.name.as_deref() == Some(name)
        };
        self.iter().find(is_it)
    }

    /// Compares proxies with what is served, each minute; what is found is in the metrics. Never ends.
    pub async fn keep_comparing(&self, served: impl Fn() -> Arc<Snapshot>) {
        loop {
            sleep(BETWEEN_COMPARISONS).await;
            for source in self.iter() {
                // Its state says already that a proxy is away.
                let _ = source.compare(&served()).await;
            }
        }
    }

    /// The tasks that watch them, each until `stop`. One that panics is begun anew after a pause, and the others go on.
    pub fn tasks(
        &self,
        control: &ControlHandle,
        history: &Arc<History>,
        stop: &CancellationToken,
    ) -> Vec<impl Future<Output = ()> + Send + use<>> {
        let tasks = self
            .iter()
            .map(|source| self.task(source, None, control, history, stop));
        tasks.collect()
    }

    /// The task of one source, which begins once the one `before` it has ended.
    fn task(
        &self,
        source: Arc<RegisteredSource>,
        before: Option<Arc<RegisteredSource>>,
        control: &ControlHandle,
        history: &Arc<History>,
        stop: &CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let task = Task {
            status: Arc::clone(&source.status),
            requests: source.requests.clone(),
            control: control.clone(),
            history: Arc::clone(history),
            figures: Arc::clone(&self.figures),
            cluster: source.cluster.clone(),
            marks: self.marks.clone(),
            leadership: self.leadership.clone(),
            dry_run: self.dry_run,
            stop: source.stop.clone(),
        };
        let stop = stop.clone();
        async move {
            let _ended = source.ended.clone().drop_guard();
            if let Some(before) = before {
                before.ended.cancelled().await;
            }
            let watching = task.keep_watching(&source.configured);
            let told = async {
                stop.cancelled().await;
                source.stop.cancel();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = watching => {}
                () = told => {}
            }
        }
    }

    /// These are configured from now on: those that are there already and differ in nothing go on. The tasks of those
    /// that come or differ, and the sources that are gone.
    pub fn replace(
        &self,
        configured: &[ConfiguredSource],
        control: &ControlHandle,
        history: &Arc<History>,
        stop: &CancellationToken,
    ) -> (Vec<impl Future<Output = ()> + Send + use<>>, Vec<Gone>) {
        let before: Vec<_> = self.iter().collect();
        let known = |key: &str| before.iter().find(|source| source.configured.id.key() == key);
        let mut tasks = Vec::new();
        let sources = configured.iter().map(|configured| {
            let old = known(&configured.id.key());
            if let Some(old) = old
                && old.configured.settings == configured.settings
            {
                return Arc::clone(old);
            }
            // Its place among the sources is that of the start: its records are in that layer.
            let id = old.map_or_else(|| configured.id.clone(), |old| old.configured.id.clone());
            let settings = configured.settings.clone();
            let source = Arc::new(RegisteredSource::new(ConfiguredSource { id, settings }));
            old.inspect(|old| old.stop.cancel());
            tasks.push(self.task(Arc::clone(&source), old.cloned(), control, history, stop));
            source
        });
        let sources: Vec<_> = sources.collect();
        let is_left = |id: &SourceId| sources.iter().any(|source| source.configured.id == *id);
        let gone = before.iter().filter(|source| !is_left(&source.configured.id));
        let gone = gone.map(|source| {
            source.stop.cancel();
            Gone {
                id: source.configured.id.clone(),
                ended: source.ended.clone(),
            }
        });
        let gone = gone.collect();
        self.sources.store(Arc::new(sources));
        (tasks, gone)
    }

    /// Whether these sources, where those that are there keep their places, are merged in another order than a start
    /// would merge them in.
    pub fn would_be_in_other_order(&self, configured: &[ConfiguredSource]) -> bool {
        let ids = self.ids();
        let place = |source: &ConfiguredSource| {
            let known = ids.iter().find(|id| id.key() == source.id.key());
            known.unwrap_or(&source.id).clone()
        };
        let places: Vec<SourceId> = configured.iter().map(place).collect();
        !places.is_sorted()
    }
}

/// A source that is not configured any more.
pub struct Gone {
    /// Which one.
    pub id: SourceId,
    /// Is cancelled once it changes nothing any more.
    pub ended: CancellationToken,
}

/// What the task of one source has.
struct Task {
    status: Arc<Status>,
    requests: SyncRequests,
    control: ControlHandle,
    history: Arc<History>,
    figures: Arc<KubernetesFigures>,
    cluster: Option<Arc<KnownCluster>>,
    marks: Marks,
    leadership: Leadership,
    dry_run: DryRun,
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
                () = sleep(PAUSE_AFTER_PANIC) => {}
                _ = self.requests.asked() => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// What looks up the hosts of instances.
    fn look_up(&self) -> LookUp {
        host_names::in_our_zones_or_by_the_system(Arc::clone(&self.history))
    }

    fn world<W: World>(&self, configured: &ConfiguredSource, world: W) -> BoxFuture<'static, ()> {
        self.world_with(configured, world, WatcherSettings::default())
    }

    /// A registry of services, some of which may flap.
    fn registry<W: World>(&self, configured: &ConfiguredSource, world: W) -> BoxFuture<'static, ()> {
        let pace = WatcherSettings {
            damping: Some(Damping::default()),
            ..WatcherSettings::default()
        };
        self.world_with(configured, world, pace)
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
                leadership: task.leadership.clone(),
                dry_run: task.dry_run,
            });
            let persisting = Persisting {
                history: Arc::clone(&task.history),
                control: task.control.clone(),
                base: Persisting::base_of(&configured.id),
                requests: task.requests.clone(),
                met: Arc::default(),
            };
            let world = KubernetesWorld::new(*settings, reporting, Arc::clone(&task.figures));
            let world = match &task.cluster {
                Some(cluster) => world.known_to(Arc::clone(cluster)),
                None => world,
            };
            let world = world.marking(configured.id.key(), task.marks.clone());
            match task.dry_run.is_on() {
                true => task.world(configured, world),
                false => task.world(configured, world.persisting(persisting)),
            }
        }
        SourceSettings::Consul(settings) => {
            let registration = Registration::new(&settings, &task.status);
            let watching = task.registry(configured, Consul::new(settings, task.look_up()));
            match registration {
                Some(registration) => {
                    let registering = registration.run(task.stop.clone());
                    join(watching, registering).map(|((), ())| ()).boxed()
                }
                None => watching,
            }
        }
        SourceSettings::ConsulKv(settings) => task.world(configured, ConsulKv::new(settings)),
        SourceSettings::Nomad(settings) => task.registry(configured, Nomad::new(settings, task.look_up())),
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
