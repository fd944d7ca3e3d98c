//! Which queries the sockets answer: the server's access list, and rate limits.
//!
//! ```text
//! arrival ─► access list ─ dropped ─► nothing
//!                │
//!                ▼
//!            buckets, unless exempt, proven, or charged by the XDP program ─ over ─► nothing, or truncated
//!                │
//!                ▼
//!            answered, or REFUSED
//! ```
//!
//! The XDP program goes the same way with the same code and the same buckets (`dns_common::limit`).

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use dns_common::cookie;
use dns_common::limit::{Charge, Limits, charge};
use nix::time::{ClockId, clock_gettime};

use crate::answer::Admission;
use crate::model::access::{Access, AccessList};
use crate::model::prefixes::bits_of;
use crate::observe::figures::Figures;
use crate::query::Arrival;
use crate::table::Region;

/// Where datagrams have been charged before they come to a socket: interfaces with the XDP program, and the addresses
/// that it takes for ours there.
pub type Charged = ArcSwap<HashSet<(u32, IpAddr)>>;

/// What decides.
pub struct Gate {
    /// The server's own list.
    pub access: Option<Arc<AccessList>>,
    /// The rate limits.
    pub limits: Limits,
    /// Clients that no limit is for.
    pub exempt: Option<Arc<AccessList>>,
    /// What the XDP program charges.
    pub charged: Arc<Charged>,
    /// Counts what is not answered as it is asked.
    pub figures: Arc<Figures>,
}

impl Default for Gate {
    /// Everybody is answered.
    fn default() -> Self {
        Self {
            access: None,
            limits: Limits::NONE,
            exempt: None,
            charged: Arc::default(),
            figures: Arc::default(),
        }
    }
}

impl Gate {
    /// How the query is answered; `None`: not at all.
    pub fn admit(&self, arrival: &Arrival, buckets: &Region) -> Result<Option<Admission>, Denied> {
        let client = arrival.client;
        let count = |figure: &AtomicU64| {
            figure.fetch_add(1, Ordering::Relaxed);
        };
        let access = self.access_of(client);
        if access == Access::Dropped {
            count(&self.figures.acl_dropped);
            return Err(Denied);
        }
        let is_refused = access == Access::Refused;
        match self.charge(arrival, buckets) {
            Charge::Slip if !is_refused => {
                count(&self.figures.limit_truncated);
                Ok(Some(Admission::Truncated))
            }
            Charge::Slip | Charge::Over => {
                count(&self.figures.limit_dropped);
                Ok(None)
            }
            Charge::Within if is_refused => {
                count(&self.figures.acl_refused);
                Ok(Some(Admission::Refused))
            }
            Charge::Within => Ok(Some(Admission::Admitted)),
        }
    }

    /// Whether the access list says that this client gets nothing; counts it then.
    pub fn drops(&self, client: IpAddr) -> bool {
        let is_dropped = self.access_of(client) == Access::Dropped;
        if is_dropped {
            self.figures.acl_dropped.fetch_add(1, Ordering::Relaxed);
        }
        is_dropped
    }

    fn access_of(&self, client: IpAddr) -> Access {
        self.access.as_ref().map_or(Access::Allowed, |list| list.of(client))
    }

    fn charge(&self, arrival: &Arrival, buckets: &Region) -> Charge {
        let is_charged = || arrival.at.is_some_and(|at| self.charged.load().contains(&at));
        let is_exempt = |list: &Arc<AccessList>| list.of(arrival.client) == Access::Allowed;
        if !self.limits.is_enabled() || arrival.is_proven || self.exempt.as_ref().is_some_and(is_exempt) || is_charged()
        {
            return Charge::Within;
        }
        let address = bits_of(arrival.client).to_be_bytes();
        charge(&buckets, &self.limits, cookie::words(address), now_ns())
    }
}

/// The client gets nothing, and its connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied;

/// The clock of `bpf_ktime_get_ns`.
pub(super) fn now_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        let (seconds, rest) = (time.tv_sec() as u64, time.tv_nsec() as u64);
        seconds * 1_000_000_000 + rest
    })
}

#[cfg(test)]
mod tests {
    use dns_common::limit::Pace;

    use super::*;
    use crate::message::{Limit, Protocol};

    fn gate() -> Gate {
        let list = |allow: &[&str], deny: &[&str], denied| {
            let read =
                |texts: &[&str]| -> Vec<_> { texts.iter().map(|text| text.parse().expect("a prefix")).collect() };
            Some(Arc::new(AccessList::new(&read(allow), &read(deny), denied)))
        };
        Gate {
            access: list(&[], &["203.0.113.0/24"], Access::Refused),
            limits: Limits {
                // One in eleven days, and two at once.
                prefix: Pace {
                    interval_ns: 1 << 50,
                    tolerance_ns: 1 << 50,
                },
                slip: 2,
                ..Limits::NONE
            }
            .with_prefixes(24, 56),
            exempt: list(&["192.0.2.7/32"], &[], Access::Refused),
            charged: Arc::new(ArcSwap::from_pointee(HashSet::from([(
                3,
                "10.0.0.1".parse().expect("an address"),
            )]))),
            figures: Arc::default(),
        }
    }

    fn from(client: &str) -> Arrival {
        Arrival {
            client: client.parse().expect("an address"),
            protocol: Protocol::Udp,
            limit: Limit::Datagram,
            is_proven: false,
            port: 0,
            at: None,
            is_cut_off: false,
        }
    }

    #[test]
    fn what_is_over_the_limit_is_dropped_or_truncated_and_counted() {
        let (gate, buckets) = (gate(), Region::buckets().expect("memory"));
        let asked = |client| gate.admit(&from(client), &buckets).expect("not dropped");
        use Admission::{Admitted, Refused, Truncated};
        for expected in [
            Some(Admitted),
            Some(Admitted),
            None,
            Some(Truncated),
            None,
            Some(Truncated),
        ] {
            assert_eq!(asked("192.0.2.1"), expected);
        }
        // Of the same prefix, but exempt.
        assert_eq!(asked("192.0.2.7"), Some(Admitted));
        // Refused clients get no truncated answers.
        for expected in [Some(Refused), Some(Refused), None, None] {
            assert_eq!(asked("203.0.113.1"), expected);
        }
        let figures = &gate.figures;
        let counts = [&figures.limit_dropped, &figures.limit_truncated, &figures.acl_refused];
        assert_eq!(counts.map(|count| count.load(Ordering::Relaxed)), [4, 2, 2]);
    }

    #[test]
    fn tcp_and_what_xdp_has_charged_are_free() {
        let (gate, buckets) = (gate(), Region::buckets().expect("memory"));
        let at = |interface, address: &str| Arrival {
            at: Some((interface, address.parse().expect("an address"))),
            ..from("192.0.2.1")
        };
        let over_tcp = Arrival {
            protocol: Protocol::Tcp,
            limit: Limit::STREAM,
            is_proven: true,
            ..from("192.0.2.1")
        };
        for free in [at(3, "10.0.0.1"), over_tcp] {
            for _ in 0..5 {
                assert_eq!(gate.admit(&free, &buckets), Ok(Some(Admission::Admitted)));
            }
        }
        for (charged, expected) in [
            (at(3, "10.0.0.2"), Some(Admission::Admitted)),
            (at(4, "10.0.0.1"), Some(Admission::Admitted)),
            (at(4, "10.0.0.1"), None),
        ] {
            assert_eq!(gate.admit(&charged, &buckets), Ok(expected));
        }
    }

    #[test]
    fn dropped_clients_get_nothing_and_pay_nothing() {
        let buckets = Region::buckets().expect("memory");
        let deny = ["203.0.113.0/24".parse().expect("a prefix")];
        let gate = Gate {
            access: Some(Arc::new(AccessList::new(&[], &deny, Access::Dropped))),
            ..gate()
        };
        for _ in 0..5 {
            assert_eq!(gate.admit(&from("203.0.113.9"), &buckets), Err(Denied));
        }
        assert_eq!(gate.figures.acl_dropped.load(Ordering::Relaxed), 5);
        assert_eq!(gate.figures.limit_dropped.load(Ordering::Relaxed), 0);
    }
}
