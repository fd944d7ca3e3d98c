//! How long answers take, by the plane that gives them: of one query in [`ONE_IN`], so that reading the clock costs
//! nothing that can be measured.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec};

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

/// What gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// The answering core on the table.
    FastPath,
    /// The reference answerer.
    Reference,
    /// Other servers.
    Upstream,
}

/// Durations of answers.
pub struct Latency {
    family: HistogramVec,
    planes: [Histogram; 3],
}

impl Plane {
    /// As metrics and the query log call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::FastPath => "fast_path",
            Self::Reference => "reference",
            Self::Upstream => "upstream",
        }
    }
}

impl Latency {
    /// None so far.
    pub fn new() -> Self {
        let opts = HistogramOpts::new(
            "hotdns_answer_seconds",
            "Time from a query that a socket has taken to its answer, by plane; of one query in 16.",
        );
        let family = HistogramVec::new(opts.buckets(BOUNDS.to_vec()), &["plane"]);
        let family = family.expect("the name and help are constants, and the bounds grow");
        let planes = [Plane::FastPath, Plane::Reference, Plane::Upstream];
        Self {
            planes: planes.map(|plane| family.with_label_values(&[plane.label()])),
            family,
        }
    }

    /// Notes how long an answer took.
    pub fn observe(&self, plane: Plane, took: Duration) {
        let [fast_path, reference, upstream] = &self.planes;
        let histogram = match plane {
            Plane::FastPath => fast_path,
            Plane::Reference => reference,
            Plane::Upstream => upstream,
        };
        histogram.observe(took.as_secs_f64());
    }

    /// For the registry.
    pub fn collector(&self) -> Box<dyn Collector> {
        Box::new(self.family.clone())
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}
