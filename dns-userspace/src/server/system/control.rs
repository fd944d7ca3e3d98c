//! Between the configuration and the control thread: what is desired, at start and at each reload.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;

use super::watched::WatchedFiles;
use crate::config::{Config, ConfigSource, ConfigWithZones, Known, PodNames, ReadZones, SourceSettings};
use crate::control::{self, LoadFiles, Planes, Publication};
use crate::rules::{Rule, RuleBook};
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
    /// The rules in force.
    rules: Arc<RuleBook>,
    shown: Shown,
}

/// What is known of files that were read.
struct Taken {
    known: Known,
    zones: ReadZones,
    rules: Vec<Rule>,
    shown: Value,
}

impl FileLoader {
    /// For a process that was started with `read`.
    pub(super) fn new(
        source: ConfigSource,
        read: &ConfigWithZones,
        watched: Arc<WatchedFiles>,
        rules: Arc<RuleBook>,
        shown: Shown,
    ) -> Self {
        let taken = Taken {
            known: Known::of(&read.config),
            zones: ReadZones::of(read, &ReadZones::default()),
            rules: read.config.rules.clone(),
            shown: Value::Null,
        };
        watched.show(&read.config, &taken.zones);
        Self {
            source,
            running: read.config.clone(),
            taken,
            read: None,
            watched,
            rules,
            shown,
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
        self.read = Some(Taken {
            known: Known::of(&read.config),
            zones,
            rules: read.config.rules.clone(),
            shown: read.shown.clone(),
        });
        let restart = Config::restart_needed(&self.running, &read.config);
        let mut restart: Vec<_> = restart.into_iter().map(str::to_owned).collect();
        // Where names that are not ours are looked at by nothing, there is nothing that asks the rules.
        if !self.running.resolves() && !read.config.rules.is_empty() {
            restart.push("rules".to_owned());
        }
        let mut desired = desired(read, restart);
        // These keys take a restart.
        desired.ttl = ttl_rules(&self.running);
        Ok(desired)
    }

    fn was_taken(&mut self) {
        if let Some(mut read) = self.read.take() {
            self.shown.store(Arc::new(read.shown.take()));
            self.taken = read;
            replace_rules(&self.rules, &self.taken.rules);
        }
    }
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
        ttl,
        restart_needed,
    }
}

fn ttl_rules(config: &Config) -> TtlRules {
    TtlRules {
        min: config.ttl_bounds.min,
        max: config.ttl_bounds.max,
        default: config.backend.default_ttl,
    }
}

impl Planes for Publisher {
    fn publish(&mut self, publication: &Publication) {
        let serials: Vec<(u32, u32)> = publication
            .serials
            .iter()
            .map(|zone| (zone.index, zone.serial))
            .collect();
        Publisher::publish(self, &publication.new, &publication.delta, &serials);
    }

    fn withhold(&mut self) {
        Publisher::withhold(self);
    }

    fn rest(&mut self) -> Option<Duration> {
        Publisher::rest(self)
    }
}
