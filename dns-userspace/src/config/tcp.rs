//! `tcp`: connections of clients.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;

/// `tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpConfig {
    /// How long a connection may have nothing to do.
    pub idle_timeout: Duration,
    /// Connections in all, where the file says so; see [`TcpConfig::connections`].
    pub max_connections: Option<u32>,
    /// Connections of one client, never more than in all; by default three quarters of those.
    pub max_connections_per_client: Option<u32>,
}

const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const CONNECTIONS: u32 = 16_384;
/// A connection is a file, and more files than this no system gives to a process by default (`fs.nr_open`).
const MOST_CONNECTIONS: u32 = 1 << 20;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["idle_timeout", "max_connections", "max_connections_per_client"],
    applies: Applies::Live(&[("tcp", |old, new| in_force(&old.tcp) != in_force(&new.tcp))]),
};

/// A default that is written out is no change.
fn in_force(tcp: &TcpConfig) -> TcpConfig {
    TcpConfig {
        max_connections: Some(tcp.connections()),
        ..*tcp
    }
}

impl TcpConfig {
    /// Connections in all.
    pub fn connections(&self) -> u32 {
        self.max_connections.unwrap_or(CONNECTIONS)
    }
}

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> TcpConfig {
    let section = input.root.section("tcp", KEY.keys, findings);
    let max_connections = section.number(
        "max_connections",
        1..=MOST_CONNECTIONS,
        "connections",
        "max_connections: 16384",
        findings,
    );
    let idle_timeout = section.duration("idle_timeout", "idle_timeout: 10s", &IDLE_TIMEOUTS, findings);
    TcpConfig {
        idle_timeout: idle_timeout.unwrap_or(IDLE_TIMEOUT),
        max_connections,
        max_connections_per_client: section.number(
            "max_connections_per_client",
            1..=max_connections.unwrap_or(CONNECTIONS),
            "connections (`tcp.max_connections`)",
            "max_connections_per_client: 1000",
            findings,
        ),
    }
}
