//! `hotdns_ready` and `hotdns_storage_state`: what `GET /ready` says.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::{gauge, gauges};
use crate::journal::StorageState;
use crate::observe::readiness::Readiness;

/// Shows [`Readiness`].
pub(super) struct ReadinessCollector {
    readiness: Arc<Readiness>,
    descs: Vec<Desc>,
}

impl ReadinessCollector {
    pub(super) fn new(readiness: Arc<Readiness>) -> Self {
        let families = families(&readiness);
        let descs = families.iter().flat_map(|family| family.desc()).cloned().collect();
        Self { readiness, descs }
    }
}

impl Collector for ReadinessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = families(&self.readiness);
        families.iter().flat_map(|family| family.collect()).collect()
    }
}

fn families(readiness: &Readiness) -> [Box<dyn Collector>; 2] {
    let ready = gauge("hotdns_ready", "1 where `GET /ready` answers 200, else 0.");
    ready.set(i64::from(readiness.not_ready().is_none()));
    let states = gauges(
        "hotdns_storage_state",
        "1 for the state that the database is in, 0 for the others.",
        &["state"],
    );
    let is = readiness.storage().state;
    for state in StorageState::ALL {
        states.with_label_values(&[state.label()]).set(i64::from(state == is));
    }
    [Box::new(ready), Box::new(states)]
}
