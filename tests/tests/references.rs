//! hotdns, NSD, Knot DNS and BIND over the same zones: what is asked of all is answered alike by all.
//!
//! `HOTDNS_REFERENCES_SEED` picks the first seed, `HOTDNS_REFERENCES_QUERIES` how many queries each server is asked
//! at least, `HOTDNS_REFERENCES_SHOW` prints zones and replies of what is different.

use std::collections::BTreeMap;
use std::fs;

use dns_userspace::model::record::RecordType;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tests::frames::{Edns, Query};
use tests::net::missing_privileges;
use tests::references::exceptions::Exception;
use tests::references::judge::{Pair, Question, Verdict};
use tests::references::peers::{Peer, Program, UDP_PAYLOAD};
use tests::references::reply::Reply;
use tests::references::worlds::{World, Zone, in_case};

/// Worlds that the servers load at a time.
const WORLDS: u64 = 40;
/// Queries of the suite.
const QUERIES: u64 = 10_000;
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
    // What cannot be installed without root is missing where tests that need root are skipped.
    let missing = Program::REFERENCES.into_iter().find(|program| !program.is_installed());
    if let (Some(program), Some(reason)) = (missing, missing_privileges()) {
        println!("skipped: {} is not installed, {reason}", program.title());
        return;
    }
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
        // NSD and Knot refuse a zone with data below a DNAME. None of it is served (RFC 6672 §2.4), so they can do
        // without.
        let [whole, without_hidden] = [false, true].map(|without_hidden| {
            let zones = worlds.iter().flat_map(|world| &world.zones);
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
                let files = match program {
                    Program::Hotdns | Program::Bind => &whole,
                    Program::Nsd | Program::Knot => &without_hidden,
                };
                let worlds = worlds.iter().filter(|world| takes(program, world));
                let taken: Vec<_> = worlds
                    .flat_map(|world| &world.zones)
                    .map(|zone| zone.apex.to_string())
                    .collect();
                let files: Vec<_> = files.iter().filter(|(apex, _)| taken.contains(apex)).cloned().collect();
                Peer::start(program, folder.path(), &files).expect("a server")
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
                    name: if world.is_lower_case() {
                        name.clone()
                    } else {
                        in_case(name, &mut rng)
                    },
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
        let limit = query
            .edns
            .as_ref()
            .map_or(512, |edns| edns.udp_payload.min(UDP_PAYLOAD));
        let message = query.build();
        let over_tcp = rng.random_bool(0.04);
        let replies = if over_tcp {
            self.ask_tcp(&message)
        } else {
            self.ask_udp(&message)
        };
        report.queries += 1;
        for (theirs, peer) in replies[1..].iter().zip(&self.peers[1..]) {
            if !takes(peer.program, world) {
                continue;
            }
            let pair = Pair {
                world,
                question,
                program: peer.program,
                ours: &replies[0],
                theirs,
            };
            let is_truncated = pair.ours.truncated || pair.theirs.truncated;
            if !is_truncated && !matches!(pair.judge(), Verdict::Different(_)) {
                report.count(seed, &pair, &pair.judge());
                continue;
            }
            // What a reply leaves out is asked over TCP, as a client does.
            let [ours, theirs] = [&self.peers[0], peer].map(|peer| ask_tcp(peer, &message));
            let whole = Pair {
                ours: &ours,
                theirs: &theirs,
                ..pair
            };
            match whole.judge() {
                Verdict::Equal => report.count(seed, &pair, &pair.judge_size(&whole, usize::from(limit))),
                verdict => report.count(seed, &whole, &verdict),
            }
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

/// NSD keeps all zones in one tree: it refuses a zone below a DNAME of another one, and takes what a zone above has
/// where another zone is for names of that.
fn takes(program: Program, world: &World) -> bool {
    program != Program::Nsd || !world.has_mixed_zones()
}

fn ask_tcp(peer: &Peer, message: &[u8]) -> Reply {
    let reply = peer.ask_tcp(message).expect("a reply");
    Reply::read(&reply).unwrap_or_else(|| panic!("{}: {reply:02x?}", peer.program.title()))
}

impl Report {
    fn count(&mut self, seed: u64, pair: &Pair<'_>, verdict: &Verdict) {
        match verdict {
            Verdict::Equal => {
                *self.equal.entry(pair.program).or_default() += 1;
                if pair.world.is_lower_case() && pair.ours.sections == pair.theirs.sections {
                    let at = pair.theirs.length.cmp(&pair.ours.length) as i8 + 1;
                    self.sizes.entry(pair.program).or_default()[at as usize] += 1;
                }
            }
            Verdict::Excepted(exception) => *self.excepted.entry((pair.program, *exception)).or_default() += 1,
            Verdict::Different(what) => self.note(pair, what, seed),
        }
    }

    fn note(&mut self, pair: &Pair<'_>, what: &'static str, seed: u64) {
        let mut shown = format!("seed {seed}: {pair}");
        if std::env::var_os("HOTDNS_REFERENCES_SHOW").is_some() {
            for zone in &pair.world.zones {
                shown += &format!("\n; {}\n{}", zone.apex, zone.text(false));
            }
        }
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
            for one in all.iter().take(3) {
                println!("{one}\n");
            }
        }
        assert!(self.different.is_empty(), "answers differ");
        for program in Program::REFERENCES {
            // What is excepted, or not compared, must not quietly grow.
            let equal = self.equal.get(&program).copied().unwrap_or_default();
            let share = 100 * equal / self.queries;
            assert!(share >= 85, "{share} % of the answers are those of {}", program.title());
        }
    }
}
