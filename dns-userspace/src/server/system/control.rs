//! Between the configuration and the control thread: what is desired, at start and at each reload.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, ConfigSource, ConfigWithZones, Known};
use crate::control::{self, Loader, Planes, Publication};
use crate::rules::RuleBook;
use crate::serve::xdp::Publisher;
use crate::store::TtlRules;

/// Reads everything again; `running` is what the process was started with.
pub(super) fn loader(source: ConfigSource, running: Config, rules: Arc<RuleBook>) -> Loader {
    let mut known = Known::of(&running);
    Box::new(move || {
        let read = source.load_everything().and_then(|read| read.for_reload(&known));
        let read = read.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        for warning in &read.warnings {
            tracing::warn!("{warning}");
        }
        known = Known::of(&read.config);
        let restart = Config::restart_needed(&running, &read.config);
        let mut restart: Vec<_> = restart.into_iter().map(str::to_owned).collect();
        if running.resolves() {
            replace_rules(&rules, &read.config);
        } else if !read.config.rules.is_empty() {
            // There is nothing that asks them.
            restart.push("rules".to_owned());
        }
        let mut desired = desired(read, restart);
        // These keys take a restart.
        desired.ttl = ttl_rules(&running);
        Ok(desired)
    })
}

/// Puts the rules of this configuration into force, and says which of their lists cannot be read.
pub(super) fn replace_rules(rules: &RuleBook, config: &Config) {
    for error in rules.replace(&config.rules) {
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
    let fallthrough = fallthrough.map(|zone| zone.apex.clone()).collect();
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
