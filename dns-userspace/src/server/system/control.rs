//! Between the configuration and the control thread: what is desired, at start and at each reload.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;

use crate::config::{Config, ConfigSource, ConfigWithZones, Known};
use crate::control::{self, Loader, Planes, Publication};
use crate::serve::xdp::Publisher;
use crate::store::TtlRules;

/// The configuration file as JSON, as it was loaded last.
pub(super) type Shown = Arc<ArcSwap<Value>>;

/// Reads everything again; `running` is what the process was started with. What is read is shown.
pub(super) fn loader(source: ConfigSource, running: Config, shown: Shown) -> Loader {
    let mut known = Known::of(&running);
    Box::new(move || {
        let read = source.load_everything().and_then(|read| read.for_reload(&known));
        let read = read.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        for warning in &read.warnings {
            tracing::warn!("{warning}");
        }
        known = Known::of(&read.config);
        shown.store(Arc::new(read.shown.clone()));
        let restart = Config::restart_needed(&running, &read.config);
        let mut desired = desired(read, restart.into_iter().map(str::to_owned).collect());
        // These keys take a restart.
        desired.ttl = ttl_rules(&running);
        Ok(desired)
    })
}

/// The configuration as the control thread takes it.
pub(super) fn desired(read: ConfigWithZones, restart_needed: Vec<String>) -> control::Desired {
    let records = read.config.record_sets();
    let views = read.config.view_sets();
    let ttl = ttl_rules(&read.config);
    let access = read.config.zones.iter();
    let access = access.filter_map(|zone| Some((zone.apex.clone(), Arc::clone(zone.access.as_ref()?))));
    let access = access.collect();
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
