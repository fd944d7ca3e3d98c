//! Seeded mutations of queries: no panic, and a reply that an independent decoder reads, whatever comes in.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const ZONE: &str = "
    @        3600 SOA ns host 7 3600 600 86400 300
    @        3600 NS ns
    @        60   MX 5 ns
    ns       60   A 192.0.2.1
    www      60   CNAME ns
    *.wild   60   TXT x
    d        60   DNAME wild
    ext      60   CNAME far.away.
    cut      60   NS ns.cut
    ns.cut   60   AAAA 2001:db8::1
    a.b.c    60   SRV 0 0 1 ns
";
const NAMES: [&str; 9] = [
    "example.",
    "www.example.",
    "a.wild.example.",
    "x.d.example.",
    "ext.example.",
    "x.cut.example.",
    "b.c.example.",
    "o.",
    "nobody.knows.",
];
const ROUNDS: usize = 120_000;

#[test]
fn mutated_queries_never_panic_and_always_get_their_reply() {
    let mut rng = StdRng::seed_from_u64(0x5EED);
    let world = World::new(&[("example.", ZONE)], "o. 60 A 192.0.2.1");
    let mut seen = [0usize; 4];
    let mut out = Vec::new();
    for round in 0..ROUNDS {
        let recursion_available = rng.random();
        let environment = Environment {
            recursion_available,
            ..if rng.random() { UDP } else { TCP }
        };
        let bytes = mutated_query(&mut rng);
        let outcome = respond(&bytes, &world.snapshot, &(), &environment, &mut out);
        let is_query = bytes.len() >= 12 && bytes[2] & 0x80 == 0;
        assert_eq!(
            is_query,
            !matches!(outcome, Outcome::Silence),
            "round {round}: {bytes:02x?}"
        );
        match outcome {
            Outcome::Reply => {
                check_reply(&bytes, &out, environment.limit, round);
                seen[0] += 1;
            }
            Outcome::Silence | Outcome::Denied => seen[1] += 1,
            Outcome::Forward => seen[2] += 1,
            Outcome::CompleteUpstream(_) => seen[3] += 1,
        }
    }
    assert!(
        seen[0] > ROUNDS / 2 && seen[1..].iter().all(|&count| count > 100),
        "{seen:?}"
    );
}

fn check_reply(query: &[u8], reply: &[u8], limit: Limit, round: usize) {
    let context = || format!("round {round}: {query:02x?} -> {reply:02x?}");
    // RD is copied for QUERY alone.
    let kept = if query[2] & 0x78 == 0 { 0x79 } else { 0x78 };
    assert_eq!(
        (&reply[..2], reply[2] & 0xF9),
        (&query[..2], 0x80 | (query[2] & kept)),
        "{}",
        context()
    );
    assert_eq!(reply[3] & 0x70, 0, "{}", context());
    if reply[5] == 1 {
        let name = crate::model::name::wire_name_length(&reply[12..]).expect("a question");
        assert_eq!(reply[12..12 + name + 4], query[12..12 + name + 4], "{}", context());
    }
    if limit == Limit::Datagram {
        assert!(reply.len() <= 1232, "{}", context());
    }
    if let Err(error) = Message::from_vec(reply) {
        panic!("{error}: {}", context());
    }
}

fn mutated_query(rng: &mut StdRng) -> Vec<u8> {
    let types = [1, 2, 5, 6, 15, 16, 28, 33, 39, 43, 255, 252, 0, 41, 65280];
    let qname = NAMES[rng.random_range(0..NAMES.len())];
    let mut bytes = query(qname, RecordType(types[rng.random_range(0..types.len())]));
    if rng.random() {
        bytes[2] |= 1;
    }
    if rng.random() {
        let payload = [0, 512, 1232, 65535][rng.random_range(0..4)];
        let options: &[u8] = if rng.random() {
            &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]
        } else {
            &[]
        };
        bytes = with_opt(bytes, payload, if rng.random() { 0x8000 } else { 0 }, options);
    }
    for _ in 0..rng.random_range(0..4) {
        let length = bytes.len();
        match rng.random_range(0..6) {
            0 if length > 0 => bytes[rng.random_range(0..length)] = rng.random(),
            1 if length > 0 => bytes[rng.random_range(0..length)] ^= 1 << rng.random_range(0..8),
            2 => bytes.truncate(rng.random_range(0..=length)),
            3 => bytes.extend((0..rng.random_range(1..20)).map(|_| rng.random::<u8>())),
            4 if length > 0 => bytes.insert(rng.random_range(0..length), rng.random()),
            _ if length > 12 => bytes[rng.random_range(4..12)] = rng.random_range(0..3),
            _ => {}
        }
    }
    bytes
}
