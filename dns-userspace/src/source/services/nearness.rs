//! `order: nearest`: of the addresses of a name, one of the nearest comes first.
//!
//! ```text
//! distance  0: on our node   1: in our datacenter   2: elsewhere
//! addresses by distance; the first one is drawn among the nearest, by their weights
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use super::describe::{Tagged, octets};
use super::{Instance, Node};
use crate::config::Near;
use crate::model::record::{Handling, Order, Rdata};
use crate::source::Claim;

/// Puts the nearest addresses of a claim first, where some are nearer than others.
pub(super) fn nearest_first(claim: &mut Claim, instances: &[Tagged<'_>], near: &Near) {
    let mut distances: BTreeMap<Rdata, u8> = BTreeMap::new();
    for one in instances {
        let distance = near.distance(one.instance);
        for address in one.addresses() {
            let known = distances.entry(octets(address)).or_insert(distance);
            *known = distance.min(*known);
        }
    }
    let weights = claim.handling.order().weights().to_vec();
    let mut all: Vec<(u8, Rdata, u16)> = Vec::with_capacity(claim.rdatas.len());
    for (place, rdata) in claim.rdatas.iter().enumerate() {
        // A proxy's address is at no distance.
        let distance = distances.get(rdata).copied().unwrap_or(u8::MAX);
        all.push((distance, rdata.clone(), weights.get(place).copied().unwrap_or(1)));
    }
    all.sort_by_key(|(distance, ..)| *distance);
    let (Some((nearest, ..)), Some((farthest, ..))) = (all.first().cloned(), all.last()) else {
        return;
    };
    if nearest == *farthest {
        return;
    }
    // One without a weight is never drawn as the first.
    let of_nearest = |(distance, _, weight): &(u8, Rdata, u16)| if *distance == nearest { *weight } else { 0 };
    let order = Order::Weighted(all.iter().map(of_nearest).collect());
    claim.handling = Handling::new(order, claim.handling.wildcard());
    claim.rdatas = all.into_iter().map(|(_, rdata, _)| rdata).collect();
}

impl Near {
    fn distance(&self, instance: &Instance) -> u8 {
        let Some(node) = &instance.node else { return 2 };
        let is = |own: &Option<Arc<str>>, other: &str| own.as_deref() == Some(other);
        match () {
            () if is(&self.node, &node.name) => 0,
            () if is(&self.datacenter, &node.datacenter) => 1,
            () => 2,
        }
    }

    /// Whether the registry's agent has to say where we are.
    pub(in crate::source) fn is_unknown(&self) -> bool {
        self.node.is_none() && self.datacenter.is_none()
    }
}

impl From<Node> for Near {
    fn from(node: Node) -> Self {
        let given = |text: String| Some(text).filter(|text| !text.is_empty()).map(Arc::from);
        Self {
            node: given(node.name),
            datacenter: given(node.datacenter),
        }
    }
}
