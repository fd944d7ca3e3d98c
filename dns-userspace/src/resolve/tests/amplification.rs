//! What others may send to have us, or an upstream server, work for nothing.

use super::caching::{CONFIG, Caching, asked};
use super::*;
use crate::config::{Route, RouteTarget};

/// An alias of the question's name.
fn alias_to(target: &str) -> Vec<u8> {
    let target: Name = target.parse().unwrap();
    let mut record = b"\xC0\x0C\0\x05\0\x01\0\0\0\x3C\0".to_vec();
    record.push(target.as_wire().len() as u8);
    record.extend_from_slice(target.as_wire());
    record
}

#[tokio::test]
async fn referrals_circles_and_fans_of_aliases_cost_one_query_each() {
    let scripts: [Script; 5] = [
        // A referral, with glue.
        |query, _| {
            let records = b"\xC0\x0C\0\x02\0\x01\0\0\x0E\x10\0\x05\x02ns\xC0\x0C\x02ns\xC0\x0C\0\x01\0\x01\0\0\x0E\x10\
            \0\x04\xC0\0\x02\x35";
            vec![respond(query, 0, [0, 1, 1], records)]
        },
        // TsuNAME: names that lead to each other.
        |query, _| {
            let mut records = alias_to("b.example.");
            records.extend_from_slice(b"\x01b\x07example\0\0\x05\0\x01\0\0\0\x3C\0\x02\xC0\x0C");
            vec![respond(query, 0, [2, 0, 0], &records)]
        },
        // To itself.
        |query, _| {
            vec![respond(
                query,
                0,
                [1, 0, 0],
                b"\xC0\x0C\0\x05\0\x01\0\0\0\x3C\0\x02\xC0\x0C",
            )]
        },
        // To nowhere.
        |query, _| vec![respond(query, 0, [1, 0, 0], &alias_to("elsewhere.example."))],
        // To fifty names at once.
        |query, _| {
            let fan: Vec<u8> = (0..50)
                .flat_map(|number| alias_to(&format!("n{number}.example.")))
                .collect();
            vec![respond(query, 0, [50, 0, 0], &fan)]
        },
    ];
    for (number, script) in scripts.into_iter().enumerate() {
        let upstream = Upstream::start(script).await;
        let caching = Caching::new(settings(&[upstream.address], SOON), CONFIG);
        let (_, reply) = caching.name("a.example.").await;
        assert_eq!((reply.rcode(), asked(&upstream)), (0, 1), "script {number}");
        // Each question by itself, kept or not.
        for another in 2..5 {
            caching.name("a.example.").await;
            assert!(asked(&upstream) <= another, "script {number}");
        }
    }
}

#[tokio::test]
async fn aliases_without_end_between_two_sets_of_servers_cost_no_more_queries_than_a_chain_may_have_aliases() {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let on: Script = |query, _| {
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let zone = if query.windows(5).any(|octets| octets == b"\x04corp") {
            "example"
        } else {
            "corp"
        };
        vec![respond(query, 0, [1, 0, 0], &alias_to(&format!("n{number}.{zone}.")))]
    };
    let (first, second) = (Upstream::start(on).await, Upstream::start(on).await);
    let mut settings = settings(&[first.address], SOON);
    settings.sets.push(set("corp", &[second.address], SOON));
    settings.routes = vec![Route {
        view: None,
        zone: "corp.".parse().unwrap(),
        to: RouteTarget::Set("corp".into()),
    }];
    let most = usize::from(settings.max_cname_depth);
    let caching = Caching::new(settings, CONFIG);
    let (_, reply) = caching.name("a.example.").await;
    assert_eq!((reply.rcode(), reply.answer.len()), (0, most));
    assert_eq!(asked(&first) + asked(&second), most);
}

#[tokio::test]
async fn where_all_places_are_taken_by_slow_names_kept_answers_are_given_all_the_same() {
    let upstream = Upstream::start(good).await;
    let slow = ForwardSettings {
        in_flight: 3,
        ..settings(&[upstream.address], SOON)
    };
    let caching = Caching::new(slow, CONFIG);
    caching.name("fast.example.").await;
    upstream.replies.send(false).unwrap();
    let mut held = Vec::new();
    for number in 0..100u8 {
        let arrival = Arrival::by(Protocol::Udp, IpAddr::from([10, 0, 0, number]));
        let mut out = Vec::new();
        let query = testing::query(1, &format!("slow{number}.example."));
        let taken = caching.forwarder.take_on(&query, None, &arrival, &mut out);
        match taken {
            Disposition::Later(_) => held.push(taken),
            _ => assert_eq!(out[3] & 0x0F, 2, "it is told at once"),
        }
    }
    assert_eq!(held.len(), 3);
    let (at_once, reply) = caching.name("fast.example.").await;
    assert_eq!((at_once, reply.answer.len()), (true, 1));
    let (at_once, reply) = caching.name("other.example.").await;
    assert_eq!((at_once, reply.rcode()), (true, 2));
    drop(held);
    upstream.replies.send(true).unwrap();
    assert_eq!(caching.name("other.example.").await.1.answer.len(), 1);
}

#[tokio::test]
async fn questions_with_other_client_subnets_are_one_and_no_subnet_goes_upstream() {
    let upstream = Upstream::start(|query, _| {
        let opt = Message::read(query).and_then(|message| message.opt).unwrap();
        assert!(!opt.rdata.windows(4).any(|octets| octets == [0, 8, 0, 7]), "{opt:?}");
        good(query, false)
    })
    .await;
    upstream.replies.send(false).unwrap();
    let forwarder = forwarder_within(&[upstream.address], SOON);
    let with_subnet = |subnet: u8| {
        let mut query = with_opt(testing::query(subnet.into(), "a.example."), 1232, false);
        let length = query.len();
        query[length - 1] = 11;
        query.extend_from_slice(&[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, subnet]);
        query
    };
    let queries: Vec<Vec<u8>> = (0..50).map(with_subnet).collect();
    let asked = queries
        .iter()
        .map(|query| forwarder.forward(query, CLIENT, Limit::Datagram));
    let release = async {
        while upstream.queries.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        upstream.replies.send(true).unwrap();
    };
    let (replies, ()) = tokio::join!(future::join_all(asked), release);
    assert!(replies.iter().all(|reply| reply[7] == 1));
    // It may have been sent a second time, as after a loss.
    assert!(upstream.queries.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn thousands_of_options_are_read_over_in_queries_and_in_replies() {
    const OPTIONS: usize = 15_000;
    fn full(query: &[u8], tcp: bool) -> Vec<Vec<u8>> {
        if !tcp {
            let mut reply = respond(query, 0, [0; 3], b"");
            reply[2] |= 0x02;
            return vec![reply];
        }
        let mut records = A.to_vec();
        records.extend_from_slice(&[0, 0, 41, 4, 0xD0, 0, 0, 0, 0]);
        records.extend_from_slice(&(4 * OPTIONS as u16).to_be_bytes());
        records.extend_from_slice(&[0xFD, 0xE9, 0, 0].repeat(OPTIONS));
        vec![respond(query, 0, [1, 0, 1], &records)]
    }
    let upstream = Upstream::start(full).await;
    let caching = Caching::new(settings(&[upstream.address], SOON), CONFIG);
    let mut query = with_opt(testing::query(1, "a.example."), 1232, false);
    let length = query.len();
    query[length - 2..].copy_from_slice(&(4 * OPTIONS as u16).to_be_bytes());
    query.extend_from_slice(&[0xFD, 0xE9, 0, 0].repeat(OPTIONS));
    let start = Instant::now();
    for at_once in [false, true] {
        let (was_at_once, reply) = caching.ask_by(&query, Protocol::Tcp).await;
        assert_eq!((was_at_once, reply[3] & 0x0F, reply[7], reply[11]), (at_once, 0, 1, 1));
        assert!(reply.len() < 100, "nothing of it is handed on");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
