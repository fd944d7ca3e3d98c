//! What others may send to get a wrong answer into the cache, or to make us work for nothing.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::caching::{CONFIG, Caching, asked};
use super::*;
use crate::config::{CacheConfig, StaleConfig};

/// The last octet of the only address in an answer.
fn last(message: &Message) -> Option<u8> {
    message.answer.last().and_then(|record| record.rdata.last().copied())
}

#[tokio::test]
async fn a_million_forged_replies_do_not_enter() {
    let names = 500;
    // Each query is first answered 2000 times with another ID, question, type or class, or without QR.
    let upstream = Upstream::start(|query, _| {
        let forged = [&A[..A.len() - 1], &[66]].concat();
        let mut random = StdRng::seed_from_u64(u64::from(query[0]) << 8 | u64::from(query[1]));
        let mut replies: Vec<Vec<u8>> = (0..2000)
            .map(|number| {
                let mut reply = respond(query, 0, [1, 0, 0], &forged);
                let question_end = reply.len() - forged.len();
                match number % 5 {
                    0 => reply[0] = reply[0].wrapping_add(random.random_range(1..=255)),
                    1 => reply[13] ^= 0x01,
                    2 => reply[question_end - 3] ^= 0x04,
                    3 => reply[question_end - 1] = 3,
                    _ => reply[2] &= 0x7F,
                }
                reply
            })
            .collect();
        replies.push(respond(query, 0, [1, 0, 0], A));
        replies
    })
    .await;
    let caching = Caching::of(&upstream);
    for number in 0..names {
        let name = format!("n{number}.example.");
        assert_eq!(last(&caching.name(&name).await.1), Some(1));
        assert_eq!(last(&caching.name(&name).await.1), Some(1));
    }
    let kept = caching.forwarder.cache().unwrap().list(None, |_| String::new());
    assert_eq!(kept.len(), names);
    assert!(
        kept.iter().all(|entry| entry.records[0].ends_with("192.0.2.1")),
        "{kept:?}"
    );
}

#[tokio::test]
async fn replies_from_elsewhere_are_not_seen() {
    // The socket is connected: the kernel passes on what comes from the server's address and port alone.
    static QUERIES: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    let upstream = Upstream::start(|query, _| {
        QUERIES.lock().unwrap().push(query.to_vec());
        vec![]
    })
    .await;
    let caching = Caching::new(settings(&[upstream.address], Duration::from_millis(400)), CONFIG);
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let strike = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let query = QUERIES.lock().unwrap().first().cloned().expect("a query");
        // All ports that the kernel gives to clients.
        for port in 32768..61000 {
            let _ = stranger
                .send_to(&respond(&query, 0, [1, 0, 0], A), (Ipv4Addr::LOCALHOST, port))
                .await;
        }
    };
    let ((_, reply), ()) = tokio::join!(caching.name("a.example."), strike);
    assert_eq!((reply.rcode(), reply.answer.len()), (2, 0));
}

#[tokio::test]
async fn an_icmp_error_does_not_end_the_wait_for_the_reply() {
    // A socket that is closed while the query is on its way, and is there again for the second one.
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(address).await.unwrap();
    drop(socket);
    client.send(b"x").await.unwrap();
    assert!(
        client.recv(&mut [0; 1]).await.is_err(),
        "this is how an ICMP error shows"
    );
    let start = Instant::now();
    let reply = ask(&[address], &testing::query(1, "a.")).await;
    assert_eq!(reply[3] & 0x0F, 2);
    assert!(
        start.elapsed() >= Duration::from_millis(100),
        "it was waited for a reply"
    );
}

#[tokio::test]
async fn a_late_answer_is_dropped() {
    let upstream = Upstream::start(good).await;
    let caching = Caching::new(settings(&[upstream.address], Duration::from_millis(60)), CONFIG);
    upstream.replies.send(false).unwrap();
    assert_eq!(caching.name("a.example.").await.1.rcode(), 2);
    upstream.replies.send(true).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (at_once, reply) = caching.name("a.example.").await;
    assert_eq!(
        (at_once, reply.rcode()),
        (true, 2),
        "the failure holds for its second, and no late answer took its place"
    );
    caching.pass(1);
    assert_eq!(caching.name("a.example.").await.1.rcode(), 0);
}

#[tokio::test]
async fn rfc2181_8_a_ttl_with_the_uppermost_bit_is_zero() {
    let upstream = Upstream::start(|query, _| {
        let mut record = A.to_vec();
        record[6] = 0xFF;
        vec![respond(query, 0, [1, 0, 0], &record)]
    })
    .await;
    let caching = Caching::of(&upstream);
    assert!(!caching.name("a.example.").await.0 && !caching.name("a.example.").await.0);
}

#[tokio::test]
async fn an_endless_chain_is_not_kept_and_costs_little() {
    fn chain(query: &[u8], tcp: bool) -> Vec<Vec<u8>> {
        if !tcp {
            let mut reply = respond(query, 0, [0; 3], b"");
            reply[2] |= 0x02;
            return vec![reply];
        }
        let name = |number: u16| [&[2][..], &number.to_be_bytes(), b"\0"].concat();
        let mut records = b"\xC0\x0C\0\x05\0\x01\0\0\x01\0\0\x04".to_vec();
        records.extend_from_slice(&name(0x4000));
        let mut count = 1u16;
        while records.len() < 60_000 {
            records.extend_from_slice(&name(0x4000 + count - 1));
            records.extend_from_slice(b"\0\x05\0\x01\0\0\x01\0\0\x04");
            records.extend_from_slice(&name(0x4000 + count));
            count += 1;
        }
        let mut reply = respond(query, 0, [0; 3], &records);
        reply[6..8].copy_from_slice(&count.to_be_bytes());
        vec![reply]
    }
    let upstream = Upstream::start(chain).await;
    let caching = Caching::new(settings(&[upstream.address], SOON), CONFIG);
    let query = testing::query(1, "a.");
    let start = Instant::now();
    let (at_once, reply) = caching.ask_by(&query, Protocol::Tcp).await;
    assert!(!at_once && reply.len() > 30_000);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(
        caching
            .forwarder
            .cache()
            .unwrap()
            .list(None, |_| String::new())
            .is_empty()
    );
}

#[tokio::test]
async fn one_client_does_not_take_the_places_of_others() {
    let slow = Upstream::start(good).await;
    slow.replies.send(false).unwrap();
    let caching = Caching::new(
        ForwardSettings {
            in_flight_per_client: 5,
            ..settings(&[slow.address], SOON)
        },
        CONFIG,
    );
    let take = |client: &str, number: usize| {
        let arrival = Arrival::by(Protocol::Udp, client.parse().unwrap());
        let mut out = Vec::new();
        let query = testing::query(1, &format!("n{number}.example."));
        let taken = caching.forwarder.take_on(&query, None, &arrival, &mut out);
        (matches!(taken, Disposition::Later(_)), taken)
    };
    let held: Vec<_> = (0..20).map(|number| take("192.0.2.1", number)).collect();
    assert_eq!(held.iter().filter(|(is_later, _)| *is_later).count(), 5);
    assert!(take("192.0.2.2", 0).0, "another client has its own");
    drop(held);
    assert!(take("192.0.2.1", 0).0, "places are given back");
}

#[tokio::test]
async fn rfc5452_9_2_ids_and_ports_are_drawn_anew_for_each_query_and_spread() {
    const QUERIES: usize = 1000;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let forwarder = forwarder_within(&[socket.local_addr().unwrap()], SOON);
    let serve = async {
        let (mut ids, mut ports) = (Vec::new(), Vec::new());
        let mut buffer = [0; 512];
        while ids.len() < QUERIES {
            let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
            ids.push(u16::from_be_bytes([buffer[0], buffer[1]]));
            ports.push(client.port());
            let reply = good(&buffer[..length], false);
            socket.send_to(&reply[0], client).await.unwrap();
        }
        [ids, ports]
    };
    let ask = async {
        for id in 0..QUERIES {
            let query = testing::query(id as u16, "a.");
            forwarder.forward(&query, CLIENT, Limit::Datagram).await;
        }
    };
    let (drawn, ()) = timeout(2 * SOON, async { tokio::join!(serve, ask) }).await.unwrap();
    for numbers in drawn {
        let (least, most) = (*numbers.iter().min().unwrap(), *numbers.iter().max().unwrap());
        let middle = least + (most - least) / 2;
        let low = numbers.iter().filter(|number| **number < middle).count();
        // Of a thousand throws of a coin, four hundred are heads once in ten billion times.
        assert!(
            (400..=600).contains(&low) && most - least > 20_000,
            "{low} below {middle}"
        );
        let rising = numbers.windows(2).filter(|pair| pair[1] > pair[0]).count();
        assert!((400..=600).contains(&rising), "{rising} are above the one before");
        let mut distinct = numbers.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() > 900, "{} of {QUERIES} are distinct", distinct.len());
    }
}

#[tokio::test]
async fn a_chain_into_a_kept_name_neither_overwrites_it_nor_makes_it_live_longer() {
    // `b` by itself has another address than behind the alias, which is said to live longer.
    let upstream = Upstream::start(|query, _| {
        if query[13] == b'b' {
            let mut record = A.to_vec();
            (record[8], record[9]) = (0, 60);
            return vec![respond(query, 0, [1, 0, 0], &record)];
        }
        let mut records = b"\xC0\x0C\0\x05\0\x01\0\0\x01\x2C\0\x0B\x01b\x07example\0".to_vec();
        records.extend_from_slice(b"\x01b\x07example\0\0\x01\0\x01\0\0\x01\x2C\0\x04\xC0\0\x02\x42");
        vec![respond(query, 0, [2, 0, 0], &records)]
    })
    .await;
    let caching = Caching::of(&upstream);
    let name = async |name: &str| {
        let (at_once, reply) = caching.name(name).await;
        (at_once, last(&reply), reply.answer.last().map(|record| record.ttl))
    };
    assert_eq!(name("b.example.").await, (false, Some(1), Some(60)));
    caching.pass(10);
    assert_eq!(name("a.example.").await, (false, Some(0x42), Some(300)));
    assert_eq!(name("b.example.").await, (true, Some(1), Some(50)));
    caching.pass(51);
    assert_eq!(name("b.example.").await, (false, Some(1), Some(60)));
    assert_eq!(name("a.example.").await, (true, Some(0x42), Some(249)));
}

#[tokio::test]
async fn labels_with_dots_zeros_and_backslashes_are_names_of_their_own() {
    // Each name has the length of its first label as its address.
    let upstream = Upstream::start(|query, _| {
        let record = [&A[..A.len() - 1], &[query[12]]].concat();
        vec![respond(query, 0, [1, 0, 0], &record)]
    })
    .await;
    let caching = Caching::of(&upstream);
    let names = [
        ("a.b.example.", 1),
        (r"a\.b.example.", 3),
        (r"a\000.example.", 2),
        ("a.example.", 1),
        (r"a\\b.example.", 3),
        (r"a\000b.example.", 3),
    ];
    for at_once in [false, true] {
        for (name, length) in names {
            let (was_at_once, reply) = caching.name(name).await;
            assert_eq!((was_at_once, last(&reply)), (at_once, Some(length)), "{name}");
        }
    }
    let kept = caching.forwarder.cache().unwrap().list(None, |_| String::new());
    let mut kept: Vec<String> = kept.into_iter().map(|entry| entry.name).collect();
    let mut expected: Vec<String> = names.map(|(name, _)| name.to_owned()).into();
    kept.sort();
    expected.sort();
    assert_eq!(kept, expected);
    // A flush of a tree goes by labels.
    let tree: Name = "b.example.".parse().unwrap();
    assert_eq!(caching.forwarder.cache().unwrap().flush(&tree, true), 1);
}

#[tokio::test]
async fn a_clock_that_jumps_makes_no_answer_live_longer_than_its_ttl() {
    let upstream = Upstream::start(good).await;
    let caching = Caching::of(&upstream);
    let ttl = async || caching.name("a.example.").await.1.answer[0].ttl;
    assert_eq!(ttl().await, 300);
    caching.pass(100);
    assert_eq!(ttl().await, 200);
    // Back before it came, which the clock of the kernel never does: then it is new, and no more.
    caching.go_back(500);
    assert_eq!((ttl().await, asked(&upstream)), (300, 1));
    caching.pass(650);
    assert_eq!((ttl().await, asked(&upstream)), (50, 1));
    // A year of suspension.
    caching.pass(31_536_000);
    assert_eq!((ttl().await, asked(&upstream)), (300, 2));
    caching.go_back(u64::MAX);
    assert_eq!(ttl().await, 300);
}

/// What the upstream server of the model has: for each of eight names an address, nothing, or NXDOMAIN, and a TTL.
static WORLD: Mutex<[(u8, u8); 8]> = Mutex::new([(0, 0); 8]);

fn world(query: &[u8], _: bool) -> Vec<Vec<u8>> {
    let number = usize::from(query[14] - b'0');
    let (kind, ttl) = WORLD.lock().unwrap()[number];
    let soa = |rcode: u8| {
        let mut soa = b"\0\0\x06\0\x01\0\0\0\0\0\x16\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\0".to_vec();
        soa[8] = ttl;
        *soa.last_mut().unwrap() = ttl;
        vec![respond(query, rcode, [0, 1, 0], &soa)]
    };
    match kind {
        0 => soa(3),
        1 => soa(0),
        kind => {
            let mut record = A.to_vec();
            (record[8], record[9]) = (0, ttl);
            *record.last_mut().unwrap() = kind;
            vec![respond(query, 0, [1, 0, 0], &record)]
        }
    }
}

#[tokio::test]
async fn random_questions_answers_and_times_go_as_a_simple_model_says() {
    let upstream = Upstream::start(world).await;
    let config = CacheConfig {
        stale: StaleConfig {
            max_age: Duration::ZERO,
            ..CONFIG.stale
        },
        prefetch: false,
        ..CONFIG
    };
    let caching = Caching::new(settings(&[upstream.address], SOON), config);
    let seed = rand::random::<u64>();
    let mut random = StdRng::seed_from_u64(seed);
    // By name: what was kept, and until when.
    let mut model: [Option<((u8, u8), u64)>; 8] = [None; 8];
    let (mut now, mut queries) = (0u64, 0);
    for step in 0..600 {
        match random.random_range(0..10) {
            0..=1 => {
                let number = random.random_range(0..8);
                WORLD.lock().unwrap()[number] = (random.random_range(0..6), random.random_range(0..30));
            }
            2..=3 => {
                let seconds = random.random_range(0..15);
                now += seconds;
                caching.pass(seconds);
            }
            4 => {
                let number = random.random_range(0..8);
                let name = Name::parse(&format!("n{number}.example.")).unwrap();
                let removed = caching.forwarder.cache().unwrap().flush(&name, random.random_bool(0.5));
                // What is over may be there still.
                assert!(
                    removed == 1 || model[number].is_none_or(|(_, until)| until <= now),
                    "seed {seed}, step {step}"
                );
                model[number] = None;
            }
            _ => {
                let number = random.random_range(0..8);
                let is_kept = model[number].is_some_and(|(_, until)| until > now);
                if !is_kept {
                    let fetched = WORLD.lock().unwrap()[number];
                    model[number] = (fetched.1 > 0).then_some((fetched, now + u64::from(fetched.1)));
                    queries += 1;
                }
                let expected = model[number].map_or(WORLD.lock().unwrap()[number], |(answer, _)| answer);
                let left = model[number].map_or(0, |(_, until)| (until - now) as u32);
                let (at_once, reply) = caching.name(&format!("n{number}.example.")).await;
                let shown = match (reply.rcode(), last(&reply)) {
                    (3, None) => 0,
                    (0, None) => 1,
                    (0, Some(kind)) => kind,
                    other => panic!("seed {seed}, step {step}: {other:?}"),
                };
                let ttl = reply
                    .answer
                    .iter()
                    .chain(&reply.authority)
                    .map(|record| record.ttl)
                    .min();
                let what = format!("seed {seed}, step {step}, name {number}");
                assert_eq!((at_once, shown, ttl), (is_kept, expected.0, Some(left)), "{what}");
            }
        }
        // The dump of the cache is that of the model.
        let mut dump: Vec<(String, u32, u8)> = caching
            .forwarder
            .cache()
            .unwrap()
            .list(None, |_| String::new())
            .into_iter()
            .filter(|entry| !entry.stale)
            .map(|entry| {
                let address = entry.records.first().and_then(|record| record.rsplit('.').next());
                let kind = match (entry.rcode, address) {
                    ("NXDOMAIN", _) => 0,
                    (_, None) => 1,
                    (_, Some(last)) => last.parse().unwrap(),
                };
                (entry.name, entry.ttl, kind)
            })
            .collect();
        dump.sort();
        let expected = model.iter().enumerate().filter_map(|(number, kept)| {
            let (answer, until) = kept.filter(|(_, until)| *until > now)?;
            Some((format!("n{number}.example."), (until - now) as u32, answer.0))
        });
        assert_eq!(dump, expected.collect::<Vec<_>>(), "seed {seed}, step {step}");
    }
    assert_eq!(asked(&upstream), queries, "seed {seed}");
}
