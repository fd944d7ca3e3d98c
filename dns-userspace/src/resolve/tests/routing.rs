//! Which servers are asked: routes, special names, policies, and servers that rest.

use super::*;
use crate::config::{Route, RouteTarget};

/// Answers with the address 192.0.2.`N`.
macro_rules! answering {
    ($last:literal) => {
        |query: &[u8], _: bool| {
            let record = [&A[..A.len() - 1], &[$last]].concat();
            vec![respond(query, 0, [1, 0, 0], &record)]
        }
    };
}

fn route(zone: &str, to: RouteTarget) -> Route {
    Route {
        view: None,
        zone: Name::parse(zone).unwrap(),
        to,
    }
}

async fn query(forwarder: &Forwarder, name: &str) -> Vec<u8> {
    forwarder
        .forward(&testing::query(1, name), CLIENT, Limit::Datagram)
        .await
}

/// RCODE, and the last octet of the answer's first address.
async fn last_octet(forwarder: &Forwarder, name: &str) -> (u8, Option<u8>) {
    let reply = query(forwarder, name).await;
    let read = Message::read(&reply).unwrap();
    let last = read.answer.last().and_then(|record| record.rdata.last().copied());
    (reply[3] & 0x0F, last)
}

#[tokio::test]
async fn the_longest_route_decides_and_special_names_stay_here() {
    let (first, second) = (
        Upstream::start(answering!(1)).await,
        Upstream::start(answering!(2)).await,
    );
    let mut settings = settings(&[first.address], BUDGET);
    settings.sets.push(set("corp", &[second.address], BUDGET));
    settings.routes = vec![
        route("corp.example.", RouteTarget::Set("corp".into())),
        route("public.corp.example.", RouteTarget::Default),
        route("secret.example.", RouteTarget::Never),
        route("local.", RouteTarget::Set("corp".into())),
    ];
    let forwarder = make(settings);
    assert_eq!(last_octet(&forwarder, "www.example.").await, (0, Some(1)));
    assert_eq!(last_octet(&forwarder, "a.CORP.example.").await, (0, Some(2)));
    assert_eq!(last_octet(&forwarder, "a.public.corp.example.").await, (0, Some(1)));
    assert_eq!(
        last_octet(&forwarder, "printer.local.").await,
        (0, Some(2)),
        "a route takes the place of a special zone"
    );
    let asked = || first.queries.load(Ordering::SeqCst) + second.queries.load(Ordering::SeqCst);
    let before = asked();
    assert_eq!(last_octet(&forwarder, "a.secret.example.").await, (3, None));
    assert_eq!(last_octet(&forwarder, "host.internal.").await, (3, None));
    assert_eq!(last_octet(&forwarder, "1.1.168.192.in-addr.arpa.").await, (3, None));
    assert_eq!(last_octet(&forwarder, "a.localhost.").await, (0, Some(1)));
    let reply = query(&forwarder, "host.internal.").await;
    assert_eq!(
        (reply[2] & 0x04, reply[9]),
        (4, 1),
        "AA, and the SOA for which it may be kept"
    );
    assert_eq!(asked(), before, "nothing of this left");
}

#[tokio::test]
async fn where_no_route_leads_anywhere_the_name_is_refused() {
    let upstream = Upstream::start(answering!(2)).await;
    let mut settings = settings(&[upstream.address], BUDGET);
    settings.sets[0].name = "corp".into();
    settings.routes = vec![route("corp.example.", RouteTarget::Set("corp".into()))];
    let forwarder = make(settings);
    assert_eq!(last_octet(&forwarder, "a.corp.example.").await, (0, Some(2)));
    assert_eq!(last_octet(&forwarder, "www.example.").await, (5, None));
}

#[tokio::test]
async fn a_chain_into_another_route_goes_on_there() {
    // The default set has an idea of its own of the other's names.
    let liar = Upstream::start(|query, _| {
        let target = Name::parse("a.corp.example.").unwrap();
        let mut records = b"\xC0\x0C\0\x05\0\x01\0\0\0\x3C\0".to_vec();
        records.push(target.as_wire().len() as u8);
        records.extend_from_slice(target.as_wire());
        records.extend_from_slice(target.as_wire());
        records.extend_from_slice(b"\0\x01\0\x01\0\0\0\x3C\0\x04\xC0\0\x02\x42");
        vec![respond(query, 0, [2, 0, 0], &records)]
    })
    .await;
    let corp = Upstream::start(answering!(2)).await;
    let mut settings = settings(&[liar.address], BUDGET);
    settings.sets.push(set("corp", &[corp.address], BUDGET));
    settings.routes = vec![route("corp.example.", RouteTarget::Set("corp".into()))];
    let reply = query(&make(settings), "www.example.").await;
    let read = Message::read(&reply).unwrap();
    assert_eq!(read.answer.len(), 2);
    assert_eq!(read.answer[1].rdata, [192, 0, 2, 2]);
}

#[tokio::test]
async fn failover_happens_after_the_faults_that_are_named() {
    let refusing = Upstream::start(|query, _| vec![respond(query, 5, [0; 3], b"")]).await;
    let failing = Upstream::start(servfail).await;
    let good = Upstream::start(answering!(1)).await;
    let with = |first: SocketAddr, on: FailoverOn| {
        let mut settings = settings(&[first, good.address], BUDGET);
        settings.sets[0].failover_on = on;
        make(settings)
    };
    let network = FailoverOn {
        network: true,
        servfail: false,
        refused: false,
    };
    assert_eq!(last_octet(&with(refusing.address, network), "a.").await, (5, None));
    assert_eq!(last_octet(&with(failing.address, network), "a.").await, (2, None));
    assert_eq!(last_octet(&with(nobody().await, network), "a.").await, (0, Some(1)));
    assert_eq!(
        last_octet(&with(failing.address, FailoverOn::ALL), "a.").await,
        (0, Some(1))
    );
    let servfail_alone = FailoverOn {
        network: false,
        servfail: true,
        refused: false,
    };
    assert_eq!(last_octet(&with(nobody().await, servfail_alone), "a.").await, (2, None));
}

#[tokio::test]
async fn in_parallel_the_first_answer_is_taken() {
    let silent = Upstream::start(silent).await;
    let failing = Upstream::start(servfail).await;
    let good = Upstream::start(answering!(3)).await;
    let mut settings = settings(&[silent.address, failing.address, good.address], SOON);
    settings.sets[0].policy = Policy::Parallel;
    let reply = timeout(SOON / 2, last_octet(&make(settings), "a.")).await;
    assert_eq!(reply.expect("nobody waits for the silent one"), (0, Some(3)));
}

#[tokio::test]
async fn the_fastest_server_gets_most_queries_and_random_asks_all() {
    let slow = Upstream::start(|query, _| {
        std::thread::sleep(Duration::from_millis(20));
        good(query, false)
    })
    .await;
    let fast = Upstream::start(good).await;
    let count = |upstream: &Upstream| upstream.queries.load(Ordering::SeqCst);
    for (policy, most_slow, least_slow) in [(Policy::Fastest, 30, 1), (Policy::Random, 59, 5)] {
        let mut settings = settings(&[slow.address, fast.address], SOON);
        settings.sets[0].policy = policy;
        let forwarder = make(settings);
        let (slow_before, fast_before) = (count(&slow), count(&fast));
        for _ in 0..60 {
            assert_eq!(query(&forwarder, "a.").await[7], 1);
        }
        let (slow, fast) = (count(&slow) - slow_before, count(&fast) - fast_before);
        assert!(
            (least_slow..=most_slow).contains(&slow),
            "{policy}: {slow} to the slow one, {fast} to the fast one"
        );
    }
}

#[tokio::test]
async fn a_dead_server_rests_and_is_tried_beside_the_others() {
    let time = Arc::new(Mutex::new(Duration::from_secs(100)));
    let seen = Arc::clone(&time);
    let clock = Clock::of(move || *seen.lock().unwrap());
    let (first, second) = (Upstream::start(good).await, Upstream::start(good).await);
    first.replies.send(false).unwrap();
    let settings = settings(&[first.address, second.address], Duration::from_millis(200));
    let cookies = Arc::new(Cookies::new(None).unwrap());
    let forwarder = Forwarder::new(settings, cookies, &clock, &UpstreamMetrics::default());
    for _ in 0..3 {
        assert_eq!(query(&forwarder, "a.").await[7], 1);
    }
    let asked = || first.queries.load(Ordering::SeqCst);
    first.replies.send(true).unwrap();
    // What is in its queue is answered to nobody.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let before = asked();
    for _ in 0..5 {
        assert_eq!(query(&forwarder, "a.").await[7], 1);
    }
    assert_eq!(asked(), before, "it rests");
    *time.lock().unwrap() += Duration::from_secs(2);
    assert_eq!(query(&forwarder, "a.").await[7], 1);
    let second_before = second.queries.load(Ordering::SeqCst);
    let deadline = Instant::now() + SOON;
    while second.queries.load(Ordering::SeqCst) - second_before < 1 || asked() == before {
        assert!(Instant::now() < deadline, "it is never tried");
        if asked() > before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Once the trial has come back, it is the first again.
    let mut is_back = false;
    while !is_back {
        assert!(Instant::now() < deadline, "it never comes back");
        let before = asked();
        assert_eq!(query(&forwarder, "a.").await[7], 1);
        is_back = asked() > before;
    }
}
