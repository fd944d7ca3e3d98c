//! How queries are answered, apart from the records: what a reload replaces as one value.
//!
//! ```text
//! reload ─ Policy ─► Policies ─┬─► each worker's answerer, which looks at each query whether there is another one
//!                              ├─► acceptors of TCP connections: the access list
//!                              └─► the API: explanations, the cache, the rules
//! ```

use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use super::gate::Gate;
use super::query_log::QueryLog;
use crate::answer::{Environment, Identity};
use crate::resolve::Forwarder;

/// What is in force.
pub struct Policy {
    /// Transport, RA, cookies, identity, admission and random number are set for each query.
    pub environment: Environment<'static>,
    /// What the server says of itself.
    pub identity: Arc<Identity>,
    /// The clients that may use the upstream; none where there is none.
    pub recursion: Arc<[IpNet]>,
    /// Who is answered.
    pub gate: Arc<Gate>,
    /// Resolves what is not ours; without it such queries get SERVFAIL.
    pub forwarder: Option<Arc<Forwarder>>,
    /// Where queries are logged, if they are.
    pub log: Option<Arc<QueryLog>>,
}

impl Policy {
    /// Everybody is answered, from our own data alone.
    pub fn open(environment: Environment<'static>) -> Self {
        Self {
            environment,
            identity: Arc::default(),
            recursion: Arc::default(),
            gate: Arc::default(),
            forwarder: None,
            log: None,
        }
    }
}

/// The policy, as all who obey it see it.
pub struct Policies(ArcSwap<Policy>);

impl Policies {
    /// This one, until another is put into force.
    pub fn new(policy: Policy) -> Self {
        Self(ArcSwap::from_pointee(policy))
    }

    /// The one in force, for a moment.
    pub fn load(&self) -> arc_swap::Guard<Arc<Policy>> {
        self.0.load()
    }

    /// The one in force, to be kept.
    pub fn current(&self) -> Arc<Policy> {
        self.0.load_full()
    }

    /// Puts another one into force.
    pub fn replace(&self, policy: Arc<Policy>) {
        self.0.store(policy);
    }
}
