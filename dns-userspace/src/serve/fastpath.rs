//! The answering core on the shared table, for sockets: what the XDP program does, without a packet around it.
//!
//! What it passes goes to the reference answerer ([`crate::answer::respond`]).

use std::sync::Arc;

use dns_common::arrange::{arrange_rrs, draw_places, needs_arranging};
use dns_common::cookie::{self, words};
use dns_common::decide::{decide, deny, truncate};
use dns_common::hot;
use dns_common::message::Buffer;
use dns_common::prepare::{Body, patch, prepare};
use dns_common::reason::PassReason;
use dns_common::reply::{
    CACHED, DENIED, INLINE, PREPARED, RULED, error_bytes, extended_error, header_tail, opt, opt_cookie,
};
use dns_common::scan::scan;
use dns_common::scratch::Scratch;
use dns_common::search::{Prober, look_in_list, probe};
use dns_common::table::Table;
use dns_common::wire::{HEADER_BYTES, QUESTION_TAIL_BYTES};

use crate::answer::{Admission, Environment};
use crate::message::{CookieSource, Limit};
use crate::model::prefixes::address_words;
use crate::publish::Served;
use crate::table::TableReader;

/// One worker's scratch.
pub struct Worker {
    served: Arc<Served>,
    message: Box<Buffer>,
    scratch: Box<Scratch>,
}

/// What became of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fast {
    /// The reply is in `out`.
    Answered,
    /// Not for the fast path, for this reason.
    Pass(PassReason),
}

impl Worker {
    /// A worker on what is served.
    pub fn new(served: Arc<Served>) -> Self {
        Self {
            served,
            message: Box::default(),
            scratch: Box::default(),
        }
    }

    /// Answers a query. `out` is emptied first.
    pub fn answer(&mut self, query: &[u8], environment: &Environment<'_>, out: &mut Vec<u8>) -> Fast {
        out.clear();
        let table = self.served.table();
        match self.try_answer(&table, query, environment, out) {
            Ok(()) => Fast::Answered,
            Err(reason) => {
                out.clear();
                Fast::Pass(reason)
            }
        }
    }

    /// Whether the last answer was an upstream server's, or a rule's.
    pub fn is_cached(&self) -> bool {
        self.scratch.reply.extra & CACHED != 0
    }

    /// Whether it was a rule's.
    pub fn is_ruled(&self) -> bool {
        self.scratch.reply.extra & RULED != 0
    }

    /// The index of the zone that has answered, as the line says that was looked up last; that of no zone is none of a
    /// zone.
    pub fn zone(&self) -> u32 {
        self.scratch.found.zone
    }

    fn try_answer(
        &mut self,
        table: &TableReader,
        query: &[u8],
        environment: &Environment<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), PassReason> {
        let scratch = &mut *self.scratch;
        self.message.fill(query).ok_or(PassReason::Long)?;
        let has_nsid = environment.nsid().is_some();
        let hash = scan(&*self.message, query.len(), scratch, table.keys(), has_nsid)?;
        let limit = match environment.limit {
            Limit::Datagram => environment.udp_payload,
            Limit::Octets(octets) => {
                // The client's limit is one on datagrams (RFC 6891 §6.2.3). Without OPT what exceeds 512 octets passes.
                scratch.client_payload = u32::from(octets);
                octets
            }
        };
        scratch.set_client(address_words(environment.cookies.client));
        let may_forward = environment.recursion_available;
        let epoch = match environment.admission {
            Admission::Admitted => {
                match decide(&mut SocketProber { scratch, table }, table, hash, limit, may_forward) {
                    Err(PassReason::Foreign) => answer_kept(scratch, table, environment, limit)?,
                    decided => decided?,
                }
                prepare(scratch, table)?;
                if needs_arranging(scratch) {
                    scratch.random = environment.random;
                    let places = draw_places(scratch, environment.hash_prefixes);
                    arrange_rrs(scratch, places);
                }
                scratch.epoch
            }
            Admission::Truncated => {
                truncate(scratch);
                table.epoch()
            }
            Admission::Refused => {
                deny(scratch);
                table.epoch()
            }
        };
        if scratch.has_cookie != 0 {
            make_cookie(scratch, &environment.cookies);
        }
        compose(scratch, table, query, environment, out)?;
        // Slots are used again only after the epoch was raised.
        if table.epoch() == epoch {
            Ok(())
        } else {
            Err(PassReason::Torn)
        }
    }
}

/// A kept answer of an upstream server: the name is not ours, and the client may have it.
fn answer_kept(
    scratch: &mut Scratch,
    table: &TableReader,
    environment: &Environment<'_>,
    limit: u16,
) -> Result<(), PassReason> {
    let view = table.clients.view_of(environment.cookies.client);
    hot::answer(scratch, table, view.into(), limit)
}

fn make_cookie(scratch: &mut Scratch, source: &CookieSource) {
    scratch.server_cookie = cookie::server_cookie(
        scratch.client_cookie,
        source.seconds,
        address_words(source.client),
        words(source.secret),
    );
}

/// Header, question, body, OPT.
fn compose(
    scratch: &Scratch,
    table: &TableReader,
    query: &[u8],
    environment: &Environment<'_>,
    out: &mut Vec<u8>,
) -> Result<(), PassReason> {
    let reply = &scratch.reply;
    let has_opt = scratch.has_opt != 0;
    let question_end = HEADER_BYTES + scratch.name_bytes as usize + QUESTION_TAIL_BYTES;
    let body_bytes = usize::from(reply.header.body_bytes);
    out.extend_from_slice(&query[..question_end]);
    let tail = header_tail(
        scratch.query_flags as u16,
        reply,
        u16::from(environment.recursion_available && reply.extra & DENIED == 0),
        has_opt,
    );
    out[2..HEADER_BYTES].copy_from_slice(bytemuck::bytes_of(&tail));
    match reply.source {
        INLINE => out.extend_from_slice(&bytemuck::cast_slice(&scratch.inline)[..body_bytes]),
        PREPARED => out.extend_from_slice(&bytemuck::cast_slice(&scratch.prepared)[..body_bytes]),
        class => {
            out.resize(question_end + body_bytes, 0);
            if !table.slot_octets(class as usize - 1, reply.slot, 0, &mut out[question_end..]) {
                return Err(PassReason::Internal);
            }
        }
    }
    patch(reply, &mut Sent(&mut out[question_end..])).ok_or(PassReason::Internal)?;
    if has_opt {
        let (head, middle) = opt(environment.udp_payload, scratch.edns_do as u16);
        let error_bytes = error_bytes(reply.info_code);
        out.extend_from_slice(&head.to_le_bytes());
        if scratch.has_cookie != 0 {
            for word in opt_cookie(scratch.client_cookie, scratch.server_cookie, error_bytes) {
                out.extend_from_slice(&word.to_le_bytes());
            }
            out.pop();
        } else {
            out.extend_from_slice(&middle.to_le_bytes());
            out.push(error_bytes as u8);
        }
        if error_bytes != 0 {
            out.extend_from_slice(bytemuck::bytes_of(&extended_error(reply.info_code)));
        }
    }
    Ok(())
}

/// The octets of a body in a reply.
struct Sent<'a>(&'a mut [u8]);

impl Body for Sent<'_> {
    fn add(&mut self, at: usize, by: u16) -> Option<()> {
        let octets = self.0.get_mut(at..)?.first_chunk_mut::<2>()?;
        *octets = u16::from_be_bytes(*octets).wrapping_add(by).to_be_bytes();
        Some(())
    }

    fn set(&mut self, at: usize, octets: [u8; 4]) -> Option<()> {
        *self.0.get_mut(at..)?.first_chunk_mut()? = octets;
        Some(())
    }
}

struct SocketProber<'a> {
    scratch: &'a mut Scratch,
    table: &'a TableReader,
}

impl Prober for SocketProber<'_> {
    fn probe(&mut self, offset: u32, wildcard: u32) -> u32 {
        probe(self.scratch, self.table, offset, wildcard)
    }

    fn listed(&mut self, class: u32, slot: u32, rtype: u32) -> u32 {
        look_in_list(self.scratch, self.table, class, slot, rtype)
    }

    fn scratch(&mut self) -> &mut Scratch {
        self.scratch
    }
}
