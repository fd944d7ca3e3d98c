//! How much of EDNS a server bears.
//!
//! ```text
//! a query with OPT, our mark and a cookie ─ FORMERR with an OPT ─► without these two
//!                               ├ FORMERR, NOTIMP without an OPT ─► without an OPT, and so for 15 min
//!                               └ silence, as often before, and never an OPT of it ─► the second time without an OPT:
//!                                                                        a reply to that alone: so for 15 min
//! ```
//!
//! A server that has sent an OPT once is never taken for one that knows none: then silence is silence.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::cookie::Jar;
use super::{FORMERR, NOTIMP};
use crate::message::{Mark, Message};

/// How long a server is asked without an OPT once it could not bear one.
const WITHOUT: Duration = Duration::from_secs(15 * 60);

/// How much of EDNS a query has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extension {
    /// An OPT with our mark, and with a cookie over UDP and TCP.
    Marked(Mark),
    /// An OPT without options.
    Plain,
    None,
}

impl Extension {
    /// What to try where this one is an error of the client for a server: one that knows no EDNS (RFC 6891 §6.2.2, §7)
    /// says so without an OPT, one that cannot bear unknown options with.
    pub(super) fn less(self, message: &Message) -> Option<Self> {
        match (self, message.rcode(), &message.opt) {
            (Self::Marked(_), FORMERR, Some(_)) => Some(Self::Plain),
            (Self::Marked(_) | Self::Plain, FORMERR | NOTIMP, None) => Some(Self::None),
            _ => None,
        }
    }
}

/// What is known of a server.
#[derive(Debug, Default)]
pub(in crate::resolve) struct EdnsMemory {
    known: Mutex<Known>,
    pub(super) cookies: Jar,
}

#[derive(Debug, Clone, Copy, Default)]
enum Known {
    /// Nothing.
    #[default]
    Nothing,
    /// Queries with an OPT got no reply.
    Silent,
    /// It has sent an OPT.
    Knows,
    /// It cannot bear an OPT; until when that holds.
    Lacks(Instant),
}

impl EdnsMemory {
    /// Whether it is asked without an OPT.
    pub(super) fn lacks(&self, now: Instant) -> bool {
        let mut known = self.lock();
        match *known {
            Known::Lacks(until) if now < until => true,
            Known::Lacks(_) => {
                *known = Known::Nothing;
                false
            }
            _ => false,
        }
    }

    /// Whether it is worth a try without an OPT.
    pub(super) fn is_doubtful(&self) -> bool {
        matches!(*self.lock(), Known::Silent)
    }

    pub(super) fn note_reply(&self, message: &Message) {
        if message.opt.is_some() {
            *self.lock() = Known::Knows;
        }
    }

    pub(super) fn note_silence(&self) {
        let mut known = self.lock();
        if matches!(*known, Known::Nothing) {
            *known = Known::Silent;
        }
    }

    /// It has answered without an OPT what it did not with one.
    pub(super) fn note_lack(&self, now: Instant) {
        *self.lock() = Known::Lacks(now + WITHOUT);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Record;

    #[test]
    fn a_server_that_has_sent_an_opt_is_never_taken_for_one_that_knows_none() {
        let memory = EdnsMemory::default();
        let now = Instant::now();
        let mut message = Message::of_answer(Vec::new());
        memory.note_reply(&message);
        assert!(!memory.is_doubtful() && !memory.lacks(now));
        memory.note_silence();
        assert!(memory.is_doubtful());
        message.opt = Some(Record {
            owner: vec![0],
            rtype: 41,
            class: 1232,
            ttl: 0,
            rdata: Vec::new(),
        });
        memory.note_reply(&message);
        memory.note_silence();
        assert!(!memory.is_doubtful());
        // What it says itself counts, for a while.
        memory.note_lack(now);
        assert!(memory.lacks(now));
        assert!(!memory.lacks(now + WITHOUT));
    }
}
