//! The nodes that share a journal: which live, which version each serves, and how this one is connected.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::shared::Take;

/// The nodes, as this one sees them.
pub struct Nodes {
    state: watch::Sender<NodesState>,
    /// Somebody has said what to do with a journal that is doubted.
    said: std::sync::Mutex<Option<Take>>,
    /// The connection is to be made anew.
    pub(super) renew: Notify,
}

/// How things are.
#[derive(Debug, Clone)]
pub struct NodesState {
    /// This node's number.
    pub own: Arc<str>,
    /// How it is connected.
    pub link: NodeLink,
    /// The version of the latest shared change that this node serves.
    pub served: u64,
    /// That of the latest one it knows of.
    pub newest: u64,
    /// The revision in etcd of the latest change that it serves.
    pub revision: u64,
    /// When etcd answered last.
    pub contact: Option<Instant>,
    /// All nodes that live, by their numbers.
    pub nodes: BTreeMap<Arc<str>, Node>,
}

/// How this node is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeLink {
    /// It was not asked yet.
    Starting,
    /// To this member.
    Connected(Arc<str>),
    /// To none, for this reason.
    Away(Arc<str>),
    /// To one that holds what is not taken, for this reason.
    Doubted(Arc<str>),
}

impl NodeLink {
    /// In one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Connected(_) => "connected",
            Self::Away(_) => "away",
            Self::Doubted(_) => "doubted",
        }
    }

    /// Why it is not as it should be.
    pub fn reason(&self) -> Option<&Arc<str>> {
        match self {
            Self::Starting | Self::Connected(_) => None,
            Self::Away(reason) | Self::Doubted(reason) => Some(reason),
        }
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What people call it.
    pub name: Arc<str>,
    /// The version of the latest shared change that it serves.
    pub version: u64,
    /// The version of its program.
    pub program: Arc<str>,
}

/// A node that does not serve a change yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lagging {
    /// Its number.
    pub id: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What it serves.
    pub version: u64,
}

impl Nodes {
    pub(super) fn new(own: Arc<str>, served: u64) -> Self {
        Self {
            state: watch::Sender::new(NodesState {
                own,
                link: NodeLink::Starting,
                served,
                newest: served,
                revision: 0,
                contact: None,
                nodes: BTreeMap::new(),
            }),
            said: std::sync::Mutex::default(),
            renew: Notify::new(),
        }
    }

    /// How things are.
    pub fn state(&self) -> NodesState {
        self.state.borrow().clone()
    }

    pub(super) fn follow(&self) -> watch::Receiver<NodesState> {
        self.state.subscribe()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut NodesState)) {
        self.state.send_modify(change);
    }

    /// Says what is to be done with a journal that is doubted.
    pub fn say(&self, take: Take) {
        *self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(take);
        self.renew.notify_one();
    }

    pub(super) fn said(&self) -> Option<Take> {
        self.said
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take()
    }

    /// Waits until every node that lives serves all that this one serves now; which do not, after `limit`.
    ///
    /// # Errors
    /// The nodes that lag. Where etcd is away that is every other node.
    pub async fn wait_for_all(&self, limit: Duration) -> Result<(), Vec<Lagging>> {
        let wanted = self.state.borrow().served;
        let mut state = self.state.subscribe();
        let all =
            state.wait_for(|state| matches!(state.link, NodeLink::Connected(_)) && lagging(state, wanted).is_empty());
        if let Ok(Ok(_)) = timeout(limit, all).await {
            return Ok(());
        }
        let state = self.state.borrow();
        let lagging = match state.link {
            NodeLink::Connected(_) => lagging(&state, wanted),
            // What they have done since is not known.
            NodeLink::Starting | NodeLink::Away(_) | NodeLink::Doubted(_) => others(&state).collect(),
        };
        match lagging.is_empty() {
            true => Ok(()),
            false => Err(lagging),
        }
    }
}

fn others(state: &NodesState) -> impl Iterator<Item = Lagging> + '_ {
    let others = state.nodes.iter().filter(|(id, _)| **id != state.own);
    others.map(|(id, node)| Lagging {
        id: Arc::clone(id),
        name: Arc::clone(&node.name),
        version: node.version,
    })
}

fn lagging(state: &NodesState, wanted: u64) -> Vec<Lagging> {
    others(state).filter(|node| node.version < wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(version: u64) -> Node {
        Node {
            name: "a".into(),
            version,
            program: "0".into(),
        }
    }

    #[tokio::test]
    async fn all_nodes_are_waited_for_and_those_that_lag_are_named() {
        let nodes = Arc::new(Nodes::new("1".into(), 7));
        nodes.change(|state| state.link = NodeLink::Connected("here".into()));
        let limit = Duration::from_millis(20);
        assert_eq!(
            nodes.wait_for_all(limit).await,
            Ok(()),
            "one node serves what it serves"
        );
        nodes.change(|state| {
            state.nodes.insert("1".into(), node(0));
            state.nodes.insert("2".into(), node(7));
            state.nodes.insert("3".into(), node(6));
        });
        let lagging = nodes.wait_for_all(limit).await.expect_err("one lags");
        assert_eq!((lagging.len(), &*lagging[0].id, lagging[0].version), (1, "3", 6));
        let waits = tokio::spawn({
            let nodes = Arc::clone(&nodes);
            async move { nodes.wait_for_all(Duration::from_secs(3600)).await }
        });
        tokio::task::yield_now().await;
        nodes.change(|state| drop(state.nodes.insert("3".into(), node(7))));
        assert_eq!(waits.await.expect("no panic"), Ok(()));
        nodes.change(|state| state.link = NodeLink::Away("gone".into()));
        assert_eq!(nodes.wait_for_all(limit).await.expect_err("nobody knows").len(), 2);
    }
}
