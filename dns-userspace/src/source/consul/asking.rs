//! What Consul is asked: the paths of the queries, and how each waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Consul, IN_TURN, LONGEST_WAIT, MOST_WAITING, Query, WAIT};
use crate::model::shown::percent_encoded;

impl Consul {
    /// The path of a query, with the parameters that all have.
    pub(super) fn path(&self, query: &Query) -> String {
        let mut path = match query {
            Query::Catalog => "/v1/catalog/services?".to_owned(),
            Query::Nodes => "/v1/catalog/nodes?".to_owned(),
            Query::States => "/v1/health/state/any?".to_owned(),
            Query::Service(name) => format!("/v1/health/service/{}?", percent_encoded(name)),
        };
        if let Some(datacenter) = &self.settings.datacenter {
            path.push_str(&format!("dc={}&", percent_encoded(datacenter)));
        }
        if let Some(namespace) = &self.settings.namespace {
            path.push_str(&format!("ns={}&", percent_encoded(namespace)));
        }
        if self.is_stale {
            path.push_str("stale&");
        }
        path.pop();
        path
    }

    /// Waits for the next reply to a query, beginning at its place.
    pub(super) fn wait_for(&mut self, query: Query) {
        self.ask(query, None);
    }

    /// Whether there are more services than queries may wait.
    pub(super) fn has_many(&self) -> bool {
        self.services.len() > MOST_WAITING
    }

    /// Asks all services, one after the other, but those that are asked already.
    pub(super) fn ask_all(&mut self) {
        let names: Vec<String> = self.services.keys().cloned().collect();
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX).max(1);
        for (place, name) in (0..).zip(names) {
            if self.services.get(&name).is_some_and(|known| !known.is_asked) {
                self.ask(Query::Service(name), Some(IN_TURN * place / count));
            }
        }
    }

    /// Waits for a reply; with a pause it is asked after that, and its reply does not wait for a change. Of many
    /// services none waits by itself.
    pub(super) fn ask(&mut self, query: Query, after: Option<Duration>) {
        let Some(peer) = self.peer.made() else { return };
        let is_of_many = self.has_many() && matches!(query, Query::Service(_));
        let mut turn = 0;
        let mut path = self.path(&query);
        let place = match &query {
            Query::Catalog => &mut self.catalog,
            Query::Nodes => &mut self.nodes,
            Query::States => &mut self.states,
            Query::Service(name) => match self.services.get_mut(name) {
                Some(known) if is_of_many && after.is_none() && known.place.index() != 0 => return,
                Some(known) => {
                    known.is_asked = true;
                    known.turn += u64::from(after.is_some());
                    turn = known.turn;
                    &mut known.place
                }
                None => return,
            },
        };
        // Those that do not wait at Consul are few at a time.
        let mut room = Some(Arc::clone(&self.room));
        let pause = place.pause().max(after.unwrap_or_default());
        match place.index() {
            0 => {}
            _ if after.is_some() => {}
            index => {
                room = None;
                path.push_str(&format!("{}index={index}&wait={WAIT}", joint(&path)));
            }
        }
        self.answers.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let _room = match &room {
                Some(room) => room.acquire().await.ok(),
                None => None,
            };
            let answer = peer.get(&path, LONGEST_WAIT).await;
            (query, turn, answer)
        }));
    }

    /// The services that names are made of.
    pub(super) fn selected(&self, catalog: BTreeMap<String, Option<Vec<String>>>) -> BTreeSet<String> {
        let naming = &self.settings.naming;
        let is_all = naming.exposed_by_default || naming.domain.is_some();
        let asks = |tag: &String| {
            let tag = tag.to_ascii_lowercase();
            tag.starts_with("traefik.enable=") || tag.starts_with("urlprefix-")
        };
        let selected = catalog
            .into_iter()
            .filter(|(_, tags)| is_all || tags.as_ref().is_some_and(|tags| tags.iter().any(asks)));
        selected.map(|(name, _)| name).collect()
    }
}

fn joint(path: &str) -> char {
    if path.contains('?') { '&' } else { '?' }
}
