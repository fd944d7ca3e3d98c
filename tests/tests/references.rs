//! hotdns, NSD, Knot DNS and BIND over the same zones: what is asked of all is answered alike by all.
//!
//! `HOTDNS_REFERENCES_SEED` picks the first seed, `HOTDNS_REFERENCES_QUERIES` how many queries each server is asked
//! at least, `HOTDNS_REFERENCES_SHOW` prints zones and replies of what is different.

use std::collections::BTreeMap;
use std::fs;

use dns_userspace::record::RecordType;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tests::frames::{Edns, Query};
use tests::references::exceptions::Exception;
use tests::references::judge::{Pair, Question, Verdict};
use tests::references::peers::{Peer, Program};
use tests::references::reply::Reply;
use tests::references::worlds::{World, Zone, in_case};

/// Worlds that the servers load at a time.
const WORLDS: u64 = 40;
/// Queries of the suite.
const QUERIES: u64 = 6_000;
/// Queries of the long run.
const MANY_QUERIES: u64 = 120_000;

/// The types that are asked. ANY is decided by RFC 8482 alone, and is not compared.
const TYPES: [RecordType; 16] = [
    RecordType::A,
    RecordType::A,
    RecordType::AAAA,
    RecordType::TXT,
    RecordType::CNAME,
    RecordType::NS,
    RecordType::SOA,
    RecordType::MX,
    RecordType::SRV,
    RecordType::DS,
    RecordType::HTTPS,
    RecordType::DNAME,
    RecordType::PTR,
    RecordType::LOC,
    RecordType(65280),
    RecordType(4711),
];

#[derive(Default)]
struct Report {
    queries: u64,
    equal: BTreeMap<Program, u64>,
    excepted: BTreeMap<(Program, Exception), u64>,
    different: BTreeMap<(Program, &'static str), Vec<String>>,
    /// Among equal replies: ours is larger than theirs, as large, smaller.
    sizes: BTreeMap<Program, [u64; 3]>,
}

#[test]
fn answers_are_those_of_nsd_knot_and_bind() {
    run(from_environment("QUERIES").unwrap_or(QUERIES));
}

#[test]
#[ignore = "minutes: cargo xtask test --differential"]
fn differential_references_at_length() {
    run(from_environment("QUERIES").unwrap_or(MANY_QUERIES));
}

fn from_environment(what: &str) -> Option<u64> {
    let value = std::env::var(format!("HOTDNS_REFERENCES_{what}")).ok()?;
    Some(value.parse().expect("a number in HOTDNS_REFERENCES_*"))
}

fn run(queries: u64) {
    let first = from_environment("SEED").unwrap_or(1);
    let mut report = Report::default();
    for batch in 0.. {
        let rest = queries.saturating_sub(report.queries);
        if rest == 0 {
            break;
        }
        Batch::new(first + batch * WORLDS).go(rest, &mut report);
    }
    report.finish();
}

/// Servers over worlds.
struct Batch {
    first: u64,
    worlds: Vec<World>,
    peers: Vec<Peer>,
    _folder: tempfile::TempDir,
}

impl Batch {
    fn new(first: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let worlds: Vec<World> = (first..first + WORLDS)
            .map(|seed| World::new(seed, &format!("w{seed}.")))
            .collect();
        // NSD refuses a zone with data below a DNAME. None of it is served (RFC 6672 §2.4), so it can do without.
        let [whole, without_hidden] = [false, true].map(|without_hidden| {
            let worlds = worlds.iter().filter(|world| !(without_hidden && world.hides_zones()));
            let zones = worlds.flat_map(|world| &world.zones);
            let write = |zone: &Zone| {
                let path = folder.path().join(format!("{}{without_hidden}", zone.apex));
                fs::write(&path, zone.text(without_hidden)).expect("a zone file");
                (zone.apex.to_string(), path)
            };
            zones.map(write).collect::<Vec<_>>()
        });
        let programs = [Program::Hotdns].into_iter().chain(Program::REFERENCES);
        let peers = programs
            .map(|program| {
                let files = if program == Program::Nsd { &without_hidden } else { &whole };
                Peer::start(program, folder.path(), files).expect("a server")
            })
            .collect();
        Self {
            first,
            worlds,
            peers,
            _folder: folder,
        }
    }

    fn go(&self, queries: u64, report: &mut Report) {
        let end = report.queries + queries;
        for (world, seed) in self.worlds.iter().zip(self.first..) {
            let mut rng = world.rng();
            let share = (queries / WORLDS).max(100) as usize;
            let names = world.questions();
            for _ in 0..share.min(names.len() * 8) {
                let name = names.choose(&mut rng).expect("a zone has names");
                let question = Question {
                    name: in_case(name, &mut rng),
                    qtype: *TYPES.choose(&mut rng).expect("not empty"),
                };
                self.compare(world, seed, &question, &mut rng, report);
            }
            if report.queries >= end {
                break;
            }
        }
    }

    fn compare(&self, world: &World, seed: u64, question: &Question, rng: &mut StdRng, report: &mut Report) {
        let edns = rng.random_bool(0.5).then(|| Edns {
            udp_payload: *[512, 1232, 1232, 4096].choose(rng).expect("not empty"),
            ..Edns::default()
        });
        let query = Query {
            id: rng.random(),
            // RD.
            flags: rng.random::<u16>() & 0x0100,
            edns,
            ..Query::new(question.name.as_wire(), question.qtype.0)
        };
        let message = query.build();
        let over_tcp = rng.random_bool(0.04);
        let replies = if over_tcp { self.ask_tcp(&message) } else { self.ask_udp(&message) };
        report.queries += 1;
        for (theirs, peer) in replies[1..].iter().zip(&self.peers[1..]) {
            if peer.program == Program::Nsd && world.hides_zones() {
                continue;
            }
            let pair = Pair {
                world,
                question,
                program: peer.program,
                ours: &replies[0],
                theirs,
            };
            if !(pair.ours.truncated || pair.theirs.truncated) {
                report.count(seed, &pair);
                continue;
            }
            // What a truncated reply leaves out is asked over TCP, as a client does.
            let [ours, theirs] = [&self.peers[0], peer].map(|peer| ask_tcp(peer, &message));
            let whole = Pair {
                ours: &ours,
                theirs: &theirs,
                ..pair
            };
            if pair.ours.truncated != pair.theirs.truncated {
                report.note(&pair, "TC", seed);
            }
            report.count(seed, &whole);
        }
    }

    fn ask_udp(&self, message: &[u8]) -> Vec<Reply> {
        for peer in &self.peers {
            peer.send(message).expect("a server that listens");
        }
        let replies = self.peers.iter().map(|peer| {
            let reply = peer.receive(message).expect("a reply");
            Reply::read(&reply).unwrap_or_else(|| panic!("{}: {reply:02x?}", peer.program.title()))
        });
        replies.collect()
    }

    fn ask_tcp(&self, message: &[u8]) -> Vec<Reply> {
        self.peers.iter().map(|peer| ask_tcp(peer, message)).collect()
    }
}

fn ask_tcp(peer: &Peer, message: &[u8]) -> Reply {
    let reply = peer.ask_tcp(message).expect("a reply");
    Reply::read(&reply).unwrap_or_else(|| panic!("{}: {reply:02x?}", peer.program.title()))
}

impl Report {
    fn count(&mut self, seed: u64, pair: &Pair<'_>) {
        match pair.judge() {
            Verdict::Equal => {
                *self.equal.entry(pair.program).or_default() += 1;
                if pair.ours.sections == pair.theirs.sections {
                    let at = pair.theirs.length.cmp(&pair.ours.length) as i8 + 1;
                    self.sizes.entry(pair.program).or_default()[at as usize] += 1;
                }
            }
            Verdict::Excepted(exception) => *self.excepted.entry((pair.program, exception)).or_default() += 1,
            Verdict::Different(what) => self.note(pair, what, seed),
        }
    }

    fn note(&mut self, pair: &Pair<'_>, what: &'static str, seed: u64) {
        let shown = format!("seed {seed}: {pair}");
        self.different.entry((pair.program, what)).or_default().push(shown);
    }

    fn finish(&self) {
        println!("{} queries to each server", self.queries);
        for (program, equal) in &self.equal {
            println!("{}: {equal} equal", program.title());
        }
        for ((program, exception), count) in &self.excepted {
            println!("{}: {count} {exception:?}", program.title());
        }
        for (program, sizes) in &self.sizes {
            println!("{}: ours larger, as large, smaller: {sizes:?}", program.title());
        }
        for ((program, what), all) in &self.different {
            println!("== {}: {} differ in {what}", program.title(), all.len());
            for one in all.iter().take(60) {
                println!("{one}\n");
            }
        }
        assert!(self.different.is_empty(), "answers differ");
    }
}
