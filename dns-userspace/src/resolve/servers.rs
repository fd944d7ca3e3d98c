//! The servers of a forwarder: what goes on beside the queries, and what people see of it.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Forwarder, ShownUpstream, TopName, upstream};
use crate::host::addresses::HostAddresses;

impl Forwarder {
    /// Asks no server that is ourselves, now that this host has these addresses, and says what has changed. The sets
    /// that have no server left to be asked.
    pub fn follow(&self, host: &HostAddresses) -> Vec<&str> {
        let dead = self
            .sets
            .iter()
            .filter(|set| !set.follow(host, &self.settings.listening));
        dead.map(|set| set.name()).collect()
    }

    /// What goes on as long as this server runs: the addresses of servers that are given by name, and probes.
    pub fn tasks(&self) -> Vec<BoxFuture<'static, ()>> {
        let bootstrap: Arc<[SocketAddr]> = self.settings.bootstrap.iter().copied().collect();
        let mut tasks: Vec<BoxFuture<'static, ()>> = Vec::new();
        for (set, config) in self.sets.iter().zip(&self.settings.sets) {
            tasks.push(upstream::probe::keep(Arc::clone(set)).boxed());
            let named = config.servers.iter().enumerate();
            for (number, _) in named.filter(|(_, server)| server.host_name().is_some()) {
                tasks.push(upstream::names::keep(Arc::clone(set), number, Arc::clone(&bootstrap)).boxed());
            }
        }
        tasks
    }

    /// All sets of servers, and how they do.
    pub fn upstreams(&self) -> Vec<ShownUpstream> {
        self.sets.iter().map(|set| set.shown()).collect()
    }

    /// The names that go upstream most often, those first.
    pub fn top_names(&self, most: usize) -> Vec<TopName> {
        self.top.list(most)
    }
}
