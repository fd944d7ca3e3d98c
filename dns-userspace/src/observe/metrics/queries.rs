//! `hotdns_queries_total`: every answer sent.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts};

use super::xdp::XdpFigures;
use crate::message::{Protocol, rcode_name};
use crate::model::record::RecordType;
use crate::observe::figures::CountAnswers;

/// QTYPEs with a number of their own, up to here; CAA is the last that has a mnemonic.
const QTYPES: usize = 258;
/// RCODEs 0 to 23 (BADCOOKIE, RFC 7873 §8), and one place for the others.
const RCODES: usize = 25;
/// Copies of all counters, so that threads seldom share a cache line.
const SHARDS: usize = 8;

/// Answers by protocol, QTYPE and RCODE. Counting takes one uncontended atomic addition.
pub struct QueryCounters {
    /// Place of each QTYPE's counters; 0 is `other`.
    places: [u8; QTYPES],
    types: Vec<RecordType>,
    shards: [Box<[AtomicU64]>; SHARDS],
}

impl QueryCounters {
    /// All at zero.
    pub fn new() -> Self {
        let mut places = [0; QTYPES];
        let mut types = vec![RecordType(0)];
        for number in 0..QTYPES as u16 {
            if RecordType(number).mnemonic().is_some() {
                places[usize::from(number)] = types.len() as u8;
                types.push(RecordType(number));
            }
        }
        let cells = Protocol::ALL.len() * types.len() * RCODES;
        Self {
            places,
            types,
            shards: std::array::from_fn(|_| (0..cells).map(|_| AtomicU64::new(0)).collect()),
        }
    }

    /// Counts one answer. `qtype` is the question's (0 where there is none), `rcode` the extended RCODE.
    pub fn count(&self, protocol: Protocol, qtype: u16, rcode: u8) {
        let place = usize::from(self.places.get(usize::from(qtype)).copied().unwrap_or(0));
        let rcode = usize::from(rcode).min(RCODES - 1);
        let cell = self.cell(protocol, place, rcode);
        self.shards[shard()][cell].fetch_add(1, Ordering::Relaxed);
    }

    fn cell(&self, protocol: Protocol, place: usize, rcode: usize) -> usize {
        (protocol.number() * self.types.len() + place) * RCODES + rcode
    }

    fn sum(&self, cell: usize) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard[cell].load(Ordering::Relaxed))
            .sum()
    }
}

impl Default for QueryCounters {
    fn default() -> Self {
        Self::new()
    }
}

/// This thread's shard: threads take turns.
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
    }
    MINE.with(Cell::get)
}

/// Shows the sockets' counters and the XDP program's as one family.
pub(super) struct QueriesCollector {
    counters: Arc<QueryCounters>,
    xdp: Option<Arc<dyn XdpFigures>>,
    desc: Desc,
}

impl QueriesCollector {
    pub(super) fn new(counters: Arc<QueryCounters>, xdp: Option<Arc<dyn XdpFigures>>) -> Self {
        let family = family();
        let desc = family.desc()[0].clone();
        Self { counters, xdp, desc }
    }
}

impl Collector for QueriesCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let family = family();
        for transport in ["xdp"].into_iter().chain(Protocol::ALL.map(Protocol::label)) {
            // So that rates have a start.
            family.with_label_values(&[transport, "A", "NOERROR"]);
        }
        for protocol in Protocol::ALL {
            for (place, &rtype) in self.counters.types.iter().enumerate() {
                for rcode in 0..RCODES {
                    let sum = self.counters.sum(self.counters.cell(protocol, place, rcode));
                    if sum != 0 {
                        let labels = [protocol.label(), &qtype_label(rtype), rcode_name(rcode)];
                        family.with_label_values(&labels).inc_by(sum);
                    }
                }
            }
        }
        let reading = self.xdp.as_ref().map(|xdp| xdp.read()).unwrap_or_default();
        for (qtype, rcode, answers) in reading.answers {
            let labels = ["xdp", &qtype_label(RecordType(qtype)), rcode_name(rcode.into())];
            family.with_label_values(&labels).inc_by(answers);
        }
        family.collect()
    }
}

fn family() -> IntCounterVec {
    let opts = Opts::new("hotdns_queries_total", "Answers sent, by transport, QTYPE and RCODE.");
    IntCounterVec::new(opts, &["transport", "qtype", "rcode"]).expect("the names and help are constants")
}

fn qtype_label(rtype: RecordType) -> String {
    rtype.mnemonic().unwrap_or("other").to_owned()
}

impl CountAnswers for QueryCounters {
    fn count(&self, protocol: Protocol, qtype: u16, rcode: u8) {
        QueryCounters::count(self, protocol, qtype, rcode);
    }
}
