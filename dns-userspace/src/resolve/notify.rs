//! NOTIFY for a zone that is forwarded (RFC 1996): its answers are taken out of the cache.
//!
//! It is believed where it comes from an address of the servers that the zone goes to. These can be forged over UDP:
//! what follows is a flush, and at most one each second.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Forwarder;
use super::routes::Target;
use crate::message::Message;
use crate::model::name::Name;
use crate::model::record::RecordType;

const OPCODE: u16 = 0x7800;
const NOTIFY: u16 = 4 << 11;
const QR: u16 = 0x8000;
const CLASS_IN: u16 = 1;
/// Between two flushes.
const PAUSE: Duration = Duration::from_secs(1);

/// When a flush was done last.
#[derive(Debug, Default)]
pub(super) struct LastFlush(Mutex<Option<Instant>>);

impl LastFlush {
    fn may_flush(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_late = last.is_none_or(|last| last.elapsed() >= PAUSE);
        if is_late {
            *last = Some(Instant::now());
        }
        is_late
    }
}

impl Forwarder {
    /// Takes a NOTIFY for a zone that goes upstream, from one of the servers there: the reply is in `out`. False, and
    /// nothing is done, where it is no such message.
    pub fn take_notify(&self, message: &[u8], client: IpAddr, out: &mut Vec<u8>) -> bool {
        let flags = message
            .get(2..4)
            .map_or(0, |flags| u16::from_be_bytes([flags[0], flags[1]]));
        if flags & (QR | OPCODE) != NOTIFY {
            return false;
        }
        let Some(cache) = &self.cache else {
            return false;
        };
        let Some((name, qtype, qclass)) = Message::read_head(message).and_then(|head| head.question) else {
            return false;
        };
        let Ok(zone) = Name::from_wire(&name) else {
            return false;
        };
        let view = self.local.as_ref().map_or(0, |local| local.view_of(client));
        let Target::Set(set) = *self.route_of(&name.to_ascii_lowercase(), view) else {
            return false;
        };
        let is_of_set = self.sets[usize::from(set)].has_address(client);
        if qtype != RecordType::SOA.0 || qclass != CLASS_IN || !is_of_set {
            return false;
        }
        if self.last_flush.may_flush() {
            tracing::info!(%zone, from = %client, "NOTIFY: the answers of a zone are flushed");
            let cache = Arc::clone(cache);
            match &self.runtime {
                // To look through a large cache takes a while.
                Some(runtime) => drop(runtime.spawn_blocking(move || cache.flush(&zone, true))),
                None => drop(cache.flush(&zone, true)),
            }
        }
        // RFC 1996 §4.7: the reply has the ID, opcode and question of the message.
        out.clear();
        out.extend_from_slice(&message[..2]);
        out.extend_from_slice(&(QR | NOTIFY).to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&name);
        out.extend_from_slice(&[qtype.to_be_bytes(), qclass.to_be_bytes()].concat());
        true
    }
}

impl super::Upstream {
    /// Whether one of its servers is at this address, on whatever port.
    fn has_address(&self, client: IpAddr) -> bool {
        let mut addresses = self.addresses();
        addresses.any(|address: SocketAddr| address.ip().to_canonical() == client.to_canonical())
    }
}
