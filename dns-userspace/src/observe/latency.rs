//! How long answers take, by the plane that gives them, transport and RCODE: of one query in [`ONE_IN`], so that
//! reading the clock costs nothing that can be measured.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec};

/// One of so many queries is timed.
pub const ONE_IN: u8 = 16;

/// Upper bounds in seconds: from an answer of the fast path to an upstream server that takes its time.
const BOUNDS: [f64; 16] = [
    0.000_001,
    0.000_002_5,
    0.000_005,
    0.000_01,
    0.000_025,
    0.000_05,
    0.000_1,
    0.000_25,
    0.001,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.5,
    2.5,
];

/// RCODEs with series of their own; the others share one.
const RCODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/// What gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// The XDP program. How long it took is not known.
    Xdp,
    /// The answering core on the table.
    FastPath,
    /// The reference answerer.
    Reference,
    /// The cache of what other servers have answered.
    Cache,
    /// Other servers.
    Upstream,
}

/// Durations of answers.
pub struct Latency(HistogramVec);

impl Plane {
    /// As metrics and the query log call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::FastPath => "fast_path",
            Self::Reference => "reference",
            Self::Cache => "cache",
            Self::Upstream => "upstream",
        }
    }
}

impl Latency {
    /// None so far.
    pub fn new() -> Self {
        let opts = HistogramOpts::new(
            "hotdns_answer_seconds",
            "Time from a query that a socket has taken to its answer, by plane, transport and RCODE; of one query in \
             16.",
        );
        let family = HistogramVec::new(opts.buckets(BOUNDS.to_vec()), &["plane", "transport", "rcode"]);
        let family = family.expect("the name and help are constants, and the bounds grow");
        // So that rates have a start.
        for plane in [Plane::FastPath, Plane::Reference, Plane::Cache, Plane::Upstream] {
            family.with_label_values(&[plane.label(), "udp", "NOERROR"]);
        }
        Self(family)
    }

    /// Notes how long an answer took.
    pub fn observe(&self, plane: Plane, transport: &str, reply: &[u8], took: Duration) {
        let rcode = reply.get(3).map_or(0, |octet| usize::from(octet & 0x0F));
        let rcode = RCODES.get(rcode).copied().unwrap_or("other");
        let histogram = self.0.with_label_values(&[plane.label(), transport, rcode]);
        histogram.observe(took.as_secs_f64());
    }

    /// For the registry.
    pub fn collector(&self) -> Box<dyn Collector> {
        Box::new(self.0.clone())
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}
