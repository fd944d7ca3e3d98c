//! Sets of servers as people see them.

use serde::Serialize;

use super::{Server, Upstream};

/// A set of upstream servers, as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ShownUpstream {
    /// Its name.
    pub name: String,
    /// `sequential`, `parallel`, `random` or `fastest`.
    pub policy: String,
    /// Its servers, in the order of the configuration.
    pub servers: Vec<ShownServer>,
}

/// One of its servers.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ShownServer {
    /// As the metrics name it.
    pub server: String,
    /// `up`; `resting` while it does not reply; `unresolved` while its addresses are not known; `ourselves` while it is
    /// this server itself.
    pub state: &'static str,
    /// Where it is asked.
    pub addresses: Vec<String>,
    /// The average time of its replies in milliseconds; none where it has sent none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// Questions that it was asked.
    pub queries: u64,
    /// Those that got no answer from it.
    pub failures: u64,
}

impl Upstream {
    pub(in crate::resolve) fn shown(&self) -> ShownUpstream {
        ShownUpstream {
            name: self.name().to_owned(),
            policy: self.config.policy.to_string(),
            servers: self.servers.iter().map(shown).collect(),
        }
    }
}

fn shown(server: &Server) -> ShownServer {
    let addresses = server.addresses();
    let state = if server.is_ourselves() {
        "ourselves"
    } else if addresses.is_empty() {
        "unresolved"
    } else if server.breaker.is_open() {
        "resting"
    } else {
        "up"
    };
    let rtt = server.rtt();
    ShownServer {
        server: server.config.to_string(),
        state,
        addresses: addresses.iter().map(ToString::to_string).collect(),
        rtt_ms: (rtt > 0).then(|| rtt as f64 / 1000.0),
        queries: server.metrics.queries.get(),
        failures: server.metrics.failures.get(),
    }
}
