//! Between the configuration and the control thread: what is desired, at start and at each reload.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;

use super::live::{Live, SharedLive};
use super::watched::WatchedFiles;
use super::xdp::TableChoices;
use crate::config::{
    Config, ConfigSource, ConfigWithZones, ConfiguredZone, Known, PodNames, ReadZones, SourceSettings,
};
use crate::control::{self, Door, Failure, LoadFiles, Planes, Publication, Replaced};
use crate::journal::{StoredFile, StoredFiles};
use crate::lines::CompileOptions;
use crate::model::shown::with_causes;
use crate::rules::{Rule, RuleBook};
use crate::serve::policy::{Policies, Policy};
use crate::serve::xdp::Publisher;
use crate::store::TtlRules;

/// The configuration file as JSON, as it was loaded last.
pub(super) type Shown = Arc<ArcSwap<Value>>;

/// Reads the configuration file and what has changed of the zone files.
pub(super) struct FileLoader {
    source: ConfigSource,
    /// What the process was started with.
    running: Config,
    /// What was taken last.
    taken: Taken,
    /// What was read since, which may be taken.
    read: Option<Taken>,
    watched: Arc<WatchedFiles>,
    live: SharedLive,
    shown: Shown,
}

/// What is known of files that were read.
struct Taken {
    config: Config,
    known: Known,
    zones: ReadZones,
    shown: Value,
}

impl FileLoader {
    /// For a process that was started with `read`.
    pub(super) fn new(
        source: ConfigSource,
        read: &ConfigWithZones,
        watched: Arc<WatchedFiles>,
        live: SharedLive,
        shown: Shown,
    ) -> Self {
        let taken = Taken {
            config: read.config.clone(),
            known: Known::of(&read.config),
            zones: ReadZones::of(read, &ReadZones::default()),
            shown: Value::Null,
        };
        watched.show(&read.config, &taken.zones);
        Self {
            source,
            running: read.config.clone(),
            taken,
            read: None,
            watched,
            live,
            shown,
        }
    }

    /// Does something with what was read last and what is in force, where there are both.
    fn with_live<T: Default>(&self, act: impl FnOnce(&mut Live, &Config) -> T) -> T {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *live, &self.read) {
            (Some(live), Some(read)) => act(live, &read.config),
            _ => T::default(),
        }
    }
}

impl LoadFiles for FileLoader {
    fn load(&mut self) -> Result<control::Desired, Vec<String>> {
        self.read = None;
        self.watched.note_configuration(&self.source.path);
        let read = self.source.load_changed(&self.taken.zones);
        let read = read.and_then(|read| read.for_reload(&self.taken.known));
        let read = read.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        for warning in &read.warnings {
            tracing::warn!("{warning}");
        }
        let zones = ReadZones::of(&read, &self.taken.zones);
        self.watched.show(&read.config, &zones);
        let mut restart: Vec<_> = Config::restart_needed(&self.running, &read.config)
            .into_iter()
            .map(str::to_owned)
            .collect();
        self.read = Some(Taken {
            config: read.config.clone(),
            known: Known::of(&read.config),
            zones,
            shown: read.shown.clone(),
        });
        // A source that stays keeps its place among the others.
        if self.with_live(|live, config| live.sources.would_be_in_other_order(&config.sources)) {
            restart.push("sources (their order)".to_owned());
        }
        Ok(desired(read, restart))
    }

    fn replaced(&self) -> Replaced {
        self.with_live(|live, config| live.replaced(config))
    }

    fn apply(&mut self, writer: &Door) -> Result<Vec<String>, Vec<String>> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *live, &self.read) {
            (Some(live), Some(read)) => live.apply(&read.config, writer),
            // The server still starts: the next reload applies what differs.
            _ => Ok(Vec::new()),
        }
    }

    fn revert(&mut self, writer: &Door) {
        self.with_live(|live, _| live.revert(writer));
    }

    fn was_taken(&mut self, writer: &Door, is_whole: bool, force: bool) -> Vec<Failure> {
        let failures = self.with_live(|live, _| live.was_taken(writer, force));
        if let Some(mut read) = self.read.take().filter(|_| is_whole) {
            self.shown.store(Arc::new(read.shown.take()));
            self.taken = read;
        }
        failures
    }
}

/// What the planes are to be by, left for the writer's thread.
#[derive(Clone, Default)]
pub(super) struct Pending(Arc<Mutex<Option<Reconfiguration>>>);

/// Settings of the planes.
pub(super) struct Reconfiguration {
    pub(super) options: CompileOptions,
    pub(super) choices: Arc<TableChoices>,
    pub(super) policy: Arc<Policy>,
}

impl Pending {
    pub(super) fn put(&self, wanted: Reconfiguration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted);
    }
}

/// The planes of this server: the table with its program, and the policy of the sockets.
pub(super) struct ServerPlanes {
    pub(super) publisher: Publisher,
    pub(super) choices: Arc<ArcSwap<TableChoices>>,
    pub(super) policies: Arc<Policies>,
    pub(super) pending: Pending,
}

/// Puts these rules into force, and says which of their lists cannot be read.
pub(super) fn replace_rules(book: &RuleBook, rules: &[Rule]) {
    for error in book.replace(rules) {
        tracing::error!("{error}");
    }
}

/// The configuration as the control thread takes it.
pub(super) fn desired(read: ConfigWithZones, restart_needed: Vec<String>) -> control::Desired {
    let records = read.config.record_sets();
    let views = read.config.view_sets();
    let ttl = ttl_rules(&read.config);
    let access = read.config.zones.iter();
    let access = access.filter_map(|zone| Some((zone.apex.clone(), Arc::clone(zone.access.as_ref()?))));
    let access = access.collect();
    let fallthrough = read.config.zones.iter().filter(|zone| zone.falls_through);
    let fallthrough = fallthrough.map(|zone| zone.apex.clone());
    // What pods' search paths lead to is looked for where names of the cluster are missing.
    let clusters = read.config.sources.iter().filter_map(|source| match &source.settings {
        SourceSettings::Kubernetes(cluster) if cluster.autopath || cluster.pods == PodNames::Insecure => {
            cluster.cluster_domain.clone()
        }
        _ => None,
    });
    let fallthrough = fallthrough.chain(clusters).collect();
    let stored = stored(&read);
    let zones = read.zones.into_iter().map(|zone| control::DesiredZone {
        apex: zone.zone.apex,
        file: zone.zone.shown_as,
        content: match zone.content {
            Ok(content) => {
                for warning in &content.warnings {
                    tracing::warn!("{warning}");
                }
                Ok(content.rrsets)
            }
            Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
        },
    });
    control::Desired {
        records,
        views,
        zones: zones.collect(),
        unchanged: read.unchanged.into_iter().map(|zone| zone.apex).collect(),
        access,
        fallthrough,
        stored,
        ttl,
        guard: read.config.changes,
        history: read.config.history,
        restart_needed,
    }
}

/// The zones whose files edits change, each as it was when it was read.
fn stored(read: &ConfigWithZones) -> StoredFiles {
    let file = |zone: &ConfiguredZone, stamp| StoredFile {
        apex: zone.apex.clone(),
        path: zone.file.clone(),
        shown_as: Arc::clone(&zone.shown_as),
        stamp,
        is_in_folder: zone.is_in_folder,
    };
    let changed = read.zones.iter().filter(|zone| zone.zone.is_stored).map(|zone| {
        let content = zone.content.as_ref().ok();
        let stamp = content
            .and_then(|content| content.files.first())
            .map(|(_, stamp)| *stamp);
        file(&zone.zone, stamp)
    });
    let unchanged = read
        .unchanged
        .iter()
        .filter(|zone| zone.is_stored)
        .map(|zone| file(zone, None));
    StoredFiles {
        files: changed.chain(unchanged).collect(),
        folder: read
            .config
            .zone_folder
            .as_ref()
            .filter(|folder| folder.create)
            .map(|folder| {
                let path = folder.path.clone();
                (path, Arc::clone(&folder.shown_as))
            }),
    }
}

fn ttl_rules(config: &Config) -> TtlRules {
    TtlRules {
        min: config.ttl_bounds.min,
        max: config.ttl_bounds.max,
        default: config.backend.default_ttl,
    }
}

impl Planes for ServerPlanes {
    fn publish(&mut self, publication: &Publication) {
        let serials: Vec<(u32, u32)> = publication
            .serials
            .iter()
            .map(|zone| (zone.index, zone.serial))
            .collect();
        self.publisher.publish(&publication.new, &publication.delta, &serials);
    }

    fn withhold(&mut self) {
        self.publisher.withhold();
    }

    fn reconfigure(&mut self) -> Result<(), String> {
        let wanted = self.pending.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Reconfiguration {
            options,
            choices,
            policy,
        }) = wanted
        else {
            return Ok(());
        };
        let before = self.choices.swap(choices);
        let policies = &self.policies;
        let done = self
            .publisher
            .reconfigure(options, &mut || policies.replace(Arc::clone(&policy)));
        done.map_err(|error| {
            self.choices.store(before);
            with_causes(&error)
        })
    }

    fn rest(&mut self) -> Option<Duration> {
        self.publisher.rest()
    }
}
