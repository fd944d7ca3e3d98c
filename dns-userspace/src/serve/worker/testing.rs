//! A socket plane for tests: its answerer does what the first label of the question says.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::answer::{Environment, PartialChain};
use crate::message::Protocol;
use crate::model::name::Name;
use crate::model::record::{Handling, RecordType, RrSet};
use crate::model::source::Origin;
use crate::resolve::Forwarder;
use crate::serve::gate::Gate;
use crate::serve::policy::Policy;
use crate::serve::sockets;

/// `panic`, `silence`, `denied`, `forward`, `chain`, `big` (60,000 octets); anything else is echoed as an answer with
/// no records.
struct Scripted {
    forwarder: Option<Arc<Forwarder>>,
}

impl Answerer for Scripted {
    fn answer(&mut self, query: &[u8], arrival: &Arrival, out: &mut Vec<u8>) -> Disposition {
        assert!(out.is_empty() && arrival.client.is_loopback());
        if query.len() < 12 || query[2] & 0x80 != 0 {
            return Disposition::Silence;
        }
        if arrival.is_cut_off {
            return failure(&query[..12], 1, out);
        }
        let label = query
            .get(13..13 + usize::from(*query.get(12).unwrap_or(&0)))
            .unwrap_or_default();
        match label {
            b"panic" => panic!("as the query says"),
            b"denied" => return Disposition::Denied,
            b"silence" => return Disposition::Silence,
            b"forward" => {
                return match &self.forwarder {
                    Some(forwarder) => forwarder.take_on(query, None, arrival, out),
                    None => failure(query, 2, out),
                };
            }
            b"chain" => {
                let target: Name = "target.upstream.".parse().unwrap();
                let alias = RrSet {
                    rtype: RecordType::CNAME,
                    ttl: 77,
                    rdatas: [target.as_wire()].into(),
                    origin: Origin::config(),
                    handling: Handling::default(),
                };
                let chain = PartialChain::of(target, RecordType::A, vec![(None, Arc::new(alias))]);
                return match &self.forwarder {
                    Some(forwarder) => forwarder.take_on(query, Some(chain), arrival, out),
                    None => failure(query, 2, out),
                };
            }
            _ => {}
        }
        out.extend_from_slice(query);
        out[2] |= 0x80;
        if label == b"big" && arrival.protocol == Protocol::Tcp {
            out.resize(60_000, 0);
        }
        Disposition::Reply
    }
}

#[derive(Default)]
pub(crate) struct Counts(pub(crate) Mutex<Vec<(Protocol, u16, u8)>>);

impl Counts {
    /// The first `number` counts; a reply is counted once it is sent, so its client may be quicker.
    pub(crate) async fn wait(&self, number: usize) -> Vec<(Protocol, u16, u8)> {
        for _ in 0..6000 {
            if self.0.lock().unwrap().len() >= number {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.0.lock().unwrap().clone()
    }
}

impl CountAnswers for Counts {
    fn count(&self, protocol: Protocol, qtype: u16, rcode: u8) {
        self.0.lock().unwrap().push((protocol, qtype, rcode));
    }
}

pub(crate) struct TestPlane {
    pub(crate) plane: Plane,
    pub(crate) counts: Arc<Counts>,
}

pub(crate) fn settings() -> StreamSettings {
    StreamSettings {
        connections: 4096,
        connections_per_client: 4096,
        // A test that is about one of these has its own; the others end before, however slow the machine is.
        idle_timeout: Duration::from_secs(3600),
        write_timeout: Duration::from_secs(3600),
        waiting_bytes: 64 << 20,
    }
}

pub(crate) fn start(listen: &[SocketAddr], forwarder: Option<Forwarder>, streams: StreamSettings) -> TestPlane {
    let forwarder = forwarder.map(Arc::new);
    let answerers = move || -> Box<dyn Answerer> {
        let forwarder = forwarder.clone();
        Box::new(Scripted { forwarder })
    };
    start_with(Arc::new(answerers), listen, streams, Gate::default())
}

/// As [`start`], with a gate for connections.
pub(crate) fn start_gated(listen: &[SocketAddr], gate: Gate) -> TestPlane {
    let answerers = Arc::new(|| -> Box<dyn Answerer> { Box::new(Scripted { forwarder: None }) });
    start_with(answerers, listen, settings(), gate)
}

/// As [`start`], with answerers of which the first `panics` are not to be had.
pub(crate) fn start_panicking(panics: usize, listen: &[SocketAddr]) -> TestPlane {
    let made = AtomicU64::new(0);
    let factory = move || -> Box<dyn Answerer> {
        assert!(
            made.fetch_add(1, Ordering::Relaxed) >= panics as u64,
            "as the test says"
        );
        Box::new(Scripted { forwarder: None })
    };
    start_with(Arc::new(factory), listen, settings(), Gate::default())
}

fn start_with(answerers: AnswererFactory, listen: &[SocketAddr], streams: StreamSettings, gate: Gate) -> TestPlane {
    let counts = Arc::new(Counts::default());
    let policy = Policy {
        gate: Arc::new(gate),
        ..Policy::open(Environment::DEFAULT)
    };
    let plane = Plane::start(Parts {
        endpoints: sockets::bind(listen, 0, 2).unwrap(),
        answerers,
        counters: Arc::<Counts>::clone(&counts),
        figures: Arc::default(),
        streams,
        wants_interfaces: true,
        policies: Arc::new(Policies::new(policy)),
    })
    .unwrap();
    TestPlane { plane, counts }
}

/// An answerer for sessions without a plane around them, and what it counts. Jobs run on this runtime.
pub(in crate::serve) fn answerer(answerers: &AnswererFactory) -> (Rc<RefCell<SharedAnswerer>>, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let shared = Shared {
        counters: Arc::<Counts>::clone(&counts),
        figures: Arc::default(),
        jobs: TaskTracker::new(),
        main: Handle::current(),
        stop: CancellationToken::new(),
        streams: settings(),
        wants_interfaces: false,
        takes_broadcasts: false,
    };
    let answerer = SharedAnswerer::new(answerers, shared);
    (Rc::new(RefCell::new(answerer)), counts)
}

/// A query for the A records of `name`, RD=1.
pub(crate) fn query(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(b"\x01\0\0\x01\0\0\0\0\0\0");
    message.extend_from_slice(name.parse::<Name>().unwrap().as_wire());
    message.extend_from_slice(b"\0\x01\0\x01");
    message
}
