//! Questions on their way upstream: equal ones are one, and one that comes back is noticed.
//!
//! ```text
//! client ─► hotdns A ── trace T, 1 hop ──► hotdns B ── trace T, 2 hops ──► hotdns A: T is here with 0 hops: a loop
//! ```
//!
//! A query that we send has a [`Mark`]: a random trace, and how many forwarders have sent it on. Forwarders hand it on,
//! so a query that comes back has a trace that is on its way, with more hops than before. With as many hops it is the
//! same query, sent again. Where a forwarder of another make lies between, which leaves the mark out, the query that
//! comes back joins the one on its way, and both end with its time: nothing is sent on.
//!
//! Questions are equal that have come over as many forwarders. So two servers that forward to each other, and have
//! clients for the same name, do not wait for each other; and who claims many hops spoils nothing for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::exchange::Asking;
use super::failure::Failure;
use crate::message::{Mark, Message};

/// Forwarders that a query may pass. More are a loop, or soon will be.
const MOST_HOPS: u8 = 8;

/// What upstream says.
pub(super) type Answer = Result<Arc<Message>, Failure>;
/// A question on its way. Whoever holds it can wait for the answer; when nobody does, it ends.
pub(super) type Flight = Shared<BoxFuture<'static, Answer>>;

/// What is asked, the name in lower case, and how many forwarders have sent it on.
type Key = (Asking, u8);

/// All questions on their way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number tells a flight from a later one for the same.
    open: HashMap<Key, (u64, WeakShared<BoxFuture<'static, Answer>>)>,
    traces: HashMap<[u8; 8], Trace>,
    started: u64,
}

#[derive(Debug)]
struct Trace {
    /// What the query came with.
    hops: u8,
    /// Flights with this trace: chains of aliases have several, one after another.
    flights: usize,
    /// Whether it came back.
    returned: bool,
}

impl Flights {
    /// Whether a query with this mark has been here already, and is still on its way.
    pub(super) fn is_loop(&self, mark: Mark) -> bool {
        if mark.hops > MOST_HOPS {
            return true;
        }
        match self.lock().traces.get_mut(&mark.trace) {
            Some(trace) if trace.hops != mark.hops => {
                trace.returned = true;
                true
            }
            _ => false,
        }
    }

    /// The flight for this question: one that is on its way, else `begin` is one.
    pub(super) fn join(
        self: &Arc<Self>,
        asking: &Asking,
        mark: Mark,
        begin: impl Future<Output = Answer> + Send + 'static,
    ) -> Flight {
        let key = (asking.in_lower_case(), mark.hops);
        let mut state = self.lock();
        if let Some(flight) = state.open.get(&key).and_then(|(_, flight)| flight.upgrade()) {
            return flight;
        }
        state.started += 1;
        let landing = Landing {
            flights: Arc::clone(self),
            key: key.clone(),
            number: state.started,
            trace: mark.trace,
        };
        let trace = state.traces.entry(mark.trace).or_insert(Trace {
            hops: mark.hops,
            flights: 0,
            returned: false,
        });
        trace.flights += 1;
        let number = landing.number;
        let flight = async move {
            let answer = begin.await;
            match answer {
                Err(_) if landing.has_returned() => Err(Failure::Loop),
                answer => answer,
            }
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            state.open.insert(key, (number, weak));
        }
        flight
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight off the list when it ends, is given up, or panics.
struct Landing {
    flights: Arc<Flights>,
    key: Key,
    number: u64,
    trace: [u8; 8],
}

impl Landing {
    fn has_returned(&self) -> bool {
        let state = self.flights.lock();
        state.traces.get(&self.trace).is_some_and(|trace| trace.returned)
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut state = self.flights.lock();
        if state
            .open
            .get(&self.key)
            .is_some_and(|(number, _)| *number == self.number)
        {
            state.open.remove(&self.key);
        }
        if let Some(trace) = state.traces.get_mut(&self.trace) {
            trace.flights -= 1;
            if trace.flights == 0 {
                state.traces.remove(&self.trace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn asking(name: &[u8]) -> Asking {
        Asking {
            name: name.into(),
            qtype: 1,
            qclass: 1,
            checking_disabled: false,
            authentic_data: false,
            dnssec_ok: false,
            whole: false,
            view: 0,
            set: 0,
        }
    }

    fn mark(trace: u8, hops: u8) -> Mark {
        Mark {
            trace: [trace; 8],
            hops,
        }
    }

    fn is_empty(flights: &Flights) -> bool {
        let state = flights.lock();
        state.open.is_empty() && state.traces.is_empty()
    }

    #[tokio::test]
    async fn equal_questions_are_one_flight_and_nothing_is_left_behind() {
        let flights = Arc::new(Flights::default());
        let first = flights.join(&asking(b"\x01a\0"), mark(1, 0), ready(Err(Failure::Error)));
        let second = flights.join(&asking(b"\x01A\0"), mark(2, 0), async { unreachable!("it joins") });
        let other = Asking {
            dnssec_ok: true,
            ..asking(b"\x01a\0")
        };
        let other = flights.join(&other, mark(3, 0), ready(Err(Failure::Silence)));
        let forwarded = flights.join(&asking(b"\x01a\0"), mark(4, 1), ready(Err(Failure::Malformed)));
        assert_eq!(forwarded.await, Err(Failure::Malformed));
        assert_eq!(first.await, Err(Failure::Error));
        assert_eq!(second.await, Err(Failure::Error));
        assert_eq!(other.await, Err(Failure::Silence));
        assert!(is_empty(&flights));

        // Given up by all, and asked again at once.
        let given_up = flights.join(&asking(b"\x01a\0"), mark(1, 0), pending());
        let also = given_up.clone();
        drop(given_up);
        assert!(!is_empty(&flights));
        drop(also);
        assert!(is_empty(&flights));
        let again = flights.join(&asking(b"\x01a\0"), mark(1, 0), ready(Err(Failure::Error)));
        assert_eq!(again.await, Err(Failure::Error));
        assert!(is_empty(&flights));
    }

    #[tokio::test]
    async fn a_trace_with_other_hops_is_a_loop_as_long_as_it_is_on_its_way() {
        let flights = Arc::new(Flights::default());
        assert!(!flights.is_loop(mark(1, 1)));
        let (send, receive) = tokio::sync::oneshot::channel();
        let flight = flights.join(&asking(b"\x01a\0"), mark(1, 1), async {
            receive.await.unwrap_or(Err(Failure::Silence))
        });
        assert!(!flights.is_loop(mark(1, 1)), "the same query, sent again");
        assert!(!flights.is_loop(mark(2, 3)), "another query");
        assert!(flights.is_loop(mark(1, 3)));
        assert!(flights.is_loop(mark(9, MOST_HOPS + 1)));
        send.send(Err(Failure::Error)).unwrap();
        assert_eq!(flight.await, Err(Failure::Loop), "what has failed says why");
        assert!(!flights.is_loop(mark(1, 3)) && is_empty(&flights));
    }

    #[tokio::test]
    async fn a_flight_that_panics_is_taken_off() {
        let flights = Arc::new(Flights::default());
        let flight = flights.join(&asking(b"\x01a\0"), mark(1, 0), async { panic!("as the test says") });
        assert!(tokio::spawn(flight).await.is_err());
        assert!(is_empty(&flights));
    }
}
