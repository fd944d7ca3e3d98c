//! Who may have how many of the process's descriptors: none of HTTP, DNS over TCP and queries on their way upstream can
//! take what another needs.
//!
//! ```text
//! limit of open files ─ what is open ─ reserve = left ─┬ an eighth     HTTP, up to what it has a use for
//!                                                      ├ a quarter     on the way upstream, where that is enabled
//!                                                      └ the rest      DNS over TCP, up to `tcp.max_connections`
//! ```

use tracing::warn;

use crate::api;
use crate::config::Config;
use crate::host::files::raise_file_limit;
use crate::resolve::ForwardSettings;

/// For what comes and goes: files that a reload reads, the database's, connections before they are refused.
const RESERVE: usize = 16;
/// A worker's own, opened when it starts.
const PER_WORKER: usize = 4;
/// Of netlink, and of each interface with XDP.
const PER_INTERFACE: usize = 4;
/// DNS over TCP has so many in any case.
const LEAST_TCP: usize = 8;
/// And so many queries may be on their way.
const LEAST_FORWARDS: usize = 4;

/// The shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shares {
    /// The limit of open files.
    pub(super) limit: u64,
    /// Connections of HTTP.
    pub(super) http: usize,
    /// Connections of DNS over TCP.
    pub(super) tcp: usize,
    /// Queries on their way upstream.
    pub(super) forwards: usize,
}

/// The limit that leaves room for so many TCP connections.
pub(super) fn wanted(tcp_connections: u32) -> u64 {
    u64::from(tcp_connections) * 3 / 2 + 2 * api::MAX_CONNECTIONS as u64
}

/// Raises the limit of open files as far as may be, or as needed; returns it.
pub(super) fn raise_limit(tcp_connections: u32) -> u64 {
    raise_file_limit(wanted(tcp_connections))
}

impl Shares {
    /// Before the workers start and XDP is attached.
    pub(super) fn of(limit: u64, open: usize, workers: usize, config: &Config) -> Self {
        let interfaces = config.xdp.interfaces.len();
        let needed = open + workers * PER_WORKER + (1 + interfaces) * PER_INTERFACE + RESERVE;
        let files = usize::try_from(limit).unwrap_or(usize::MAX);
        let left = files.saturating_sub(needed);
        let least = api::MIN_CONNECTIONS + LEAST_TCP + LEAST_FORWARDS;
        if left < least {
            warn!(
                "the limit of open files is {limit}, of which the server itself needs {needed}: raise it to {} at \
                 least \
                 (`ulimit -n`, or `LimitNOFILE=` of systemd)",
                needed + least
            );
        }
        Self::from_left(limit, left, config.resolves(), config.tcp.connections() as usize)
    }

    fn from_left(limit: u64, left: usize, forwards: bool, most_tcp: usize) -> Self {
        let http = (left / 8).clamp(api::MIN_CONNECTIONS, api::MAX_CONNECTIONS);
        let forwards = if forwards {
            (left / 4).clamp(LEAST_FORWARDS, ForwardSettings::MOST_IN_FLIGHT)
        } else {
            0
        };
        let tcp = left.saturating_sub(http + forwards);
        Self {
            limit,
            http,
            tcp: tcp.clamp(LEAST_TCP.min(most_tcp), most_tcp),
            forwards,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::files::open_descriptors;

    #[test]
    fn the_shares_fit_into_what_is_left_and_nobody_has_none() {
        for left in (18..3_000).chain([10_000, 23_000, 1 << 20, 1 << 30]) {
            for forwards in [false, true] {
                let shares = Shares::from_left(0, left, forwards, 16_384);
                assert!(shares.http + shares.tcp + shares.forwards <= left, "{left}: {shares:?}");
                assert!(shares.http >= api::MIN_CONNECTIONS && shares.tcp >= LEAST_TCP);
                assert_eq!(shares.forwards >= LEAST_FORWARDS, forwards);
            }
        }
        let shares = Shares::from_left(64, 0, true, 4);
        assert_eq!((shares.http, shares.tcp, shares.forwards), (api::MIN_CONNECTIONS, 4, 4));
    }

    #[test]
    fn the_limit_that_is_asked_for_leaves_room_for_all_connections() {
        for connections in [1, 16, 1000, 16_384, 1 << 20] {
            let left = usize::try_from(wanted(connections)).expect("a number") - 500;
            let shares = Shares::from_left(0, left, true, connections as usize);
            assert_eq!(shares.tcp, connections as usize, "{shares:?}");
        }
    }

    #[test]
    fn what_is_open_is_counted() {
        let files: Vec<_> = (0..64)
            .map(|_| std::fs::File::open("/dev/null").expect("open"))
            .collect();
        assert!(open_descriptors() >= files.len());
    }
}
