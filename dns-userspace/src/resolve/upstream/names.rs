//! Servers that are given by name: their addresses are looked up while we run, each time that their TTL is over.
//!
//! ```text
//! name ─► A and AAAA, of the first resolver of `forward.bootstrap` that answers ─► addresses of the server
//!   ▲                                                                                  │
//!   └── when the least TTL is over; at once where the server does not reply ◄──────────┘
//! ```
//!
//! Where nobody answers, or there are no addresses, those that were found last stay.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::super::exchange::{self, Asking, Channel, EdnsMemory};
use super::super::new_mark;
use super::Upstream;
use crate::config::ServerPlace;
use crate::message::Message;
use crate::model::name::Name;
use crate::model::record::RecordType;

const CLASS_IN: u16 = 1;
/// For one question to one resolver.
const PATIENCE: Duration = Duration::from_secs(2);
/// A TTL is taken to be at least this long, and at most that.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3600);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Aliases of one answer.
const MOST_ALIASES: usize = 16;

/// What a name has.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    addresses: Vec<IpAddr>,
    /// For how long that holds.
    ttl: Duration,
}

/// Keeps the addresses of one server of a set; it ends at once where that is not given by name.
pub(in crate::resolve) async fn keep(upstream: Arc<Upstream>, number: usize, bootstrap: Arc<[SocketAddr]>) {
    let server = &upstream.servers[number];
    let ServerPlace::Named(text, port) = &server.config.place else {
        return;
    };
    let Ok(name) = Name::parse_given(text) else {
        return;
    };
    let mut failures = 0;
    loop {
        let began = Instant::now();
        match look_up(&name, &bootstrap).await {
            Ok(found) => {
                let addresses = found.addresses.iter().map(|&address| SocketAddr::new(address, *port));
                let addresses: Arc<[SocketAddr]> = addresses.collect();
                if server.resolve_to(Arc::clone(&addresses)) {
                    tracing::info!(upstream = upstream.name(), server = %server.config, ?addresses,
                        "the addresses of an upstream server");
                }
                failures = 0;
                let end = began + found.ttl.clamp(SHORTEST, LONGEST);
                tokio::select! {
                    () = sleep_until(end) => {}
                    () = server.look_up.notified() => sleep_until((began + SHORTEST).min(end)).await,
                }
            }
            Err(problem) => {
                if failures == 0 {
                    tracing::warn!(upstream = upstream.name(), server = %server.config,
                        "the addresses of an upstream server are not to be had: {problem}; those before stay");
                }
                failures += 1;
                sleep(pause_after(failures)).await;
            }
        }
    }
}

/// 1 s, 2 s, 4 s … after so many failures in a row.
fn pause_after(failures: u32) -> Duration {
    SHORTEST
        .saturating_mul(2u32.saturating_pow(failures - 1))
        .min(LONGEST_PAUSE)
}

/// Addresses of both families, in turn.
async fn look_up(name: &Name, bootstrap: &[SocketAddr]) -> Result<Found, String> {
    let (v6, v4) = tokio::join!(
        ask(name, RecordType::AAAA, bootstrap),
        ask(name, RecordType::A, bootstrap)
    );
    let (v6, v4) = match (v6, v4) {
        (Err(_), Err(problem)) => return Err(problem),
        // What one of them has is better than nothing; the other is asked for again soon.
        (v6, v4) => {
            let or_none = |found: Result<Found, String>| {
                found.unwrap_or(Found {
                    addresses: Vec::new(),
                    ttl: SHORTEST,
                })
            };
            (or_none(v6), or_none(v4))
        }
    };
    let has = [!v6.addresses.is_empty(), !v4.addresses.is_empty()];
    let ttl = match has {
        [false, false] => return Err(format!("{name} has no address")),
        [true, false] => v6.ttl,
        [false, true] => v4.ttl,
        [true, true] => v6.ttl.min(v4.ttl),
    };
    let mut families = [v6.addresses.into_iter(), v4.addresses.into_iter()];
    let mut addresses = Vec::new();
    loop {
        let next: Vec<IpAddr> = families.iter_mut().filter_map(Iterator::next).collect();
        if next.is_empty() {
            return Ok(Found { addresses, ttl });
        }
        addresses.extend(next);
    }
}

async fn ask(name: &Name, rtype: RecordType, bootstrap: &[SocketAddr]) -> Result<Found, String> {
    let asking = Asking {
        name: name.as_wire().into(),
        qtype: rtype.0,
        qclass: CLASS_IN,
        checking_disabled: false,
        authentic_data: false,
        dnssec_ok: false,
        whole: true,
        view: 0,
        set: 0,
    };
    let channel = Channel::Plain(EdnsMemory::default());
    let mut problem = "no resolver in `forward.bootstrap`".to_owned();
    for resolver in bootstrap {
        match exchange::ask(&channel, *resolver, &asking, new_mark(), PATIENCE).await {
            Ok(message) if message.is_answer() => return Ok(addresses_in(&message, name, rtype)),
            Ok(message) => problem = format!("{resolver} answers with the error {}", message.rcode()),
            Err(error) => problem = format!("{resolver}: {error}"),
        }
    }
    Err(problem)
}

/// The addresses at the end of the chain of aliases from `name`.
fn addresses_in(message: &Message, name: &Name, rtype: RecordType) -> Found {
    let mut owner = name.as_wire().to_vec();
    let mut ttl = LONGEST;
    for _ in 0..MOST_ALIASES {
        let here = || {
            let records = message.answer.iter();
            records.filter(|record| record.class == CLASS_IN && record.owner.eq_ignore_ascii_case(&owner))
        };
        let addresses: Vec<IpAddr> = here()
            .filter(|record| record.rtype == rtype.0)
            .filter_map(|record| address_of(&record.rdata))
            .collect();
        if !addresses.is_empty() {
            let least = here().map(|record| record.ttl).min().unwrap_or(0);
            let ttl = ttl.min(Duration::from_secs(least.into()));
            return Found { addresses, ttl };
        }
        let Some(alias) = here().find(|record| record.rtype == RecordType::CNAME.0) else {
            break;
        };
        ttl = ttl.min(Duration::from_secs(alias.ttl.into()));
        owner = alias.rdata.clone();
    }
    Found {
        addresses: Vec::new(),
        ttl,
    }
}

fn address_of(rdata: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(rdata) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(rdata).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Record;

    #[test]
    fn addresses_are_those_at_the_end_of_the_chain_and_hold_for_the_least_ttl() {
        let name = |text: &str| Name::parse(text).unwrap();
        let record = |owner: &str, rtype: RecordType, ttl, rdata: &[u8]| Record {
            owner: name(owner).as_wire().to_vec(),
            rtype: rtype.0,
            class: CLASS_IN,
            ttl,
            rdata: rdata.to_vec(),
        };
        let message = Message::of_answer(vec![
            record("DNS.example.", RecordType::CNAME, 20, name("a.example.").as_wire()),
            record("other.example.", RecordType::A, 5, &[192, 0, 2, 9]),
            record("a.example.", RecordType::A, 300, &[192, 0, 2, 1]),
            record("a.example.", RecordType::A, 60, &[192, 0, 2, 2]),
        ]);
        let found = addresses_in(&message, &name("dns.example."), RecordType::A);
        let expected = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        assert_eq!(
            (&found.addresses[..], found.ttl),
            (&expected[..], Duration::from_secs(20))
        );
        // A circle.
        let circle = Message::of_answer(vec![record("a.", RecordType::CNAME, 1, name("a.").as_wire())]);
        assert!(addresses_in(&circle, &name("a."), RecordType::A).addresses.is_empty());
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        let pauses: Vec<u64> = (1..9).map(|failures| pause_after(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }
}
