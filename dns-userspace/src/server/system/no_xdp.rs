//! Tables of a server that is built without XDP: on the heap.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::warn;

use crate::config::{Config, XdpMode};
use crate::observe::metrics::{XdpFigures, XdpReading};
use crate::serve::gate::Gate;
use crate::serve::policy::Policy;
use crate::serve::xdp::{Loader, SharedProgram};
use crate::table::Memory;

/// What tables are made by, which a reload may replace.
pub(super) struct TableChoices {
    gate: Arc<Gate>,
    /// For how many kept answers of upstream servers there is room.
    hot_names: u32,
}

impl TableChoices {
    /// Those of this configuration and the policy that is made from it.
    pub(super) fn of(config: &Config, _listening: &[SocketAddr], policy: &Policy) -> Self {
        Self {
            gate: Arc::clone(&policy.gate),
            hot_names: super::hot_names(config),
        }
    }

    /// Whether programs show some of their answers: there are none.
    pub(super) fn shows_answers(&self) -> bool {
        false
    }

    /// Whether tables would be alike.
    pub(super) fn are_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.gate, &other.gate) && self.hot_names == other.hot_names
    }
}

/// Where tables live: on the heap.
pub(super) fn table_loader(config: &Config, choices: &Arc<ArcSwap<TableChoices>>) -> Loader {
    if config.xdp.mode != XdpMode::Off && !config.xdp.interfaces.is_empty() {
        warn!("XDP is off, userspace answers everything: this hotdns was built without XDP");
    }
    let choices = Arc::clone(choices);
    Box::new(move |_, sizes| {
        let choices = choices.load();
        let memory = Memory::on_heap(sizes)?.with_hot(choices.hot_names)?;
        let memory = match choices.gate.limits.is_enabled() {
            true => memory.with_buckets()?,
            false => memory,
        };
        Ok((None, memory))
    })
}

impl XdpFigures for SharedProgram {
    fn read(&self) -> XdpReading {
        XdpReading::default()
    }
}
