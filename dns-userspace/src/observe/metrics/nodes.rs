//! `hotdns_etcd_…` and `hotdns_node…`: the nodes that share an etcd, as this one sees them.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::{gauge, gauges};
use crate::journal::{NodeLink, Nodes};
use crate::store::SHARED_STEP;

/// Shows [`Nodes`].
pub(super) struct NodesCollector {
    nodes: Arc<Nodes>,
    descs: Vec<Desc>,
}

impl NodesCollector {
    pub(super) fn new(nodes: Arc<Nodes>) -> Self {
        let families = families(&nodes);
        let descs = families.iter().flat_map(|family| family.desc()).cloned().collect();
        Self { nodes, descs }
    }
}

impl Collector for NodesCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = families(&self.nodes);
        families.iter().flat_map(|family| family.collect()).collect()
    }
}

fn families(nodes: &Nodes) -> [Box<dyn Collector>; 6] {
    let state = nodes.state();
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let connected = gauge(
        "hotdns_etcd_connected",
        "1 where this node is connected to etcd, else 0.",
    );
    connected.set(i64::from(matches!(state.link, NodeLink::Connected(_))));
    let revision = gauge(
        "hotdns_etcd_revision",
        "The revision in etcd of the latest change that this node serves.",
    );
    revision.set(whole(state.revision));
    let behind = gauge(
        "hotdns_etcd_changes_behind",
        "Change sets in etcd that this node knows of and does not serve yet.",
    );
    behind.set(whole(state.newest.saturating_sub(state.served) / SHARED_STEP));
    let contact = gauge(
        "hotdns_etcd_contact_age_seconds",
        "Seconds since etcd answered this node last; -1 where it never did.",
    );
    contact.set(state.contact.map_or(-1, |contact| whole(contact.elapsed().as_secs())));
    let count = gauge("hotdns_nodes", "Nodes that live, this one among them.");
    count.set(whole(state.nodes.len() as u64));
    let lag = gauges(
        "hotdns_node_changes_behind",
        "Change sets that a node is behind the latest one.",
        &["id", "node"],
    );
    for (id, node) in &state.nodes {
        let served = if *id == state.own { state.served } else { node.version };
        let behind = state.newest.saturating_sub(served) / SHARED_STEP;
        lag.with_label_values(&[&**id, &*node.name]).set(whole(behind));
    }
    [
        Box::new(connected),
        Box::new(revision),
        Box::new(behind),
        Box::new(contact),
        Box::new(count),
        Box::new(lag),
    ]
}
