//! Servers that are given by name, probes, and servers that know no EDNS.

use super::*;
use crate::config::{ProbeWhen, ServerPlace, UpstreamTransport};

/// What the resolver of the tests says of all names: an A record with this last octet, TTL 1.
static LAST_OCTET: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

fn resolver(query: &[u8], _: bool) -> Vec<Vec<u8>> {
    let length = crate::model::name::wire_name_length(&query[12..]).unwrap();
    let is_a = query[12 + length + 1] == 1;
    let octet = LAST_OCTET.load(Ordering::SeqCst);
    if !is_a || octet == 0 {
        return vec![respond(query, 0, [0; 3], b"")];
    }
    let record = [&b"\xC0\x0C\0\x01\0\x01\0\0\0\x01\0\x04\x7F\0\0"[..], &[octet]].concat();
    vec![respond(query, 0, [1, 0, 0], &record)]
}

fn named(port: u16, bootstrap: SocketAddr) -> ForwardSettings {
    let mut settings = settings(&[], SOON);
    settings.bootstrap = vec![bootstrap];
    settings.sets[0].servers = vec![UpstreamServer {
        place: ServerPlace::Named("dns.example".into(), port),
        transport: UpstreamTransport::Plain,
    }];
    settings
}

/// A server at another address of loopback.
async fn at(address: &str, port: u16) -> Option<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind((address, port)).await.ok()?;
    let address = socket.local_addr().ok()?;
    Some((socket, address))
}

#[tokio::test]
async fn a_server_by_name_is_found_and_followed_to_its_new_address() {
    let bootstrap = Upstream::start(resolver).await;
    // The same port at two addresses.
    let (one, two) = loop {
        let (one, address) = at("127.0.0.1", 0).await.unwrap();
        if let Some((two, _)) = at("127.0.0.2", address.port()).await {
            break (one, two);
        }
    };
    let port = one.local_addr().unwrap().port();
    let forwarder = make(named(port, bootstrap.address));
    let mut tasks = tokio::task::JoinSet::new();
    for task in forwarder.tasks() {
        tasks.spawn(task);
    }
    let serve = |socket: UdpSocket| async move {
        let mut buffer = [0; 1000];
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        socket
            .send_to(&good(&buffer[..length], false)[0], client)
            .await
            .unwrap();
    };
    // A client that comes before the address is known waits for it.
    let query = testing::query(1, "a.");
    let asked = forwarder.forward(&query, CLIENT, Limit::Datagram);
    let known = async {
        while bootstrap.queries.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        LAST_OCTET.store(1, Ordering::SeqCst);
    };
    let (reply, (), ()) = timeout(SOON, async { tokio::join!(asked, serve(one), known) })
        .await
        .unwrap();
    assert_eq!(reply[7], 1);
    // It moves; the old address is closed.
    LAST_OCTET.store(2, Ordering::SeqCst);
    let moved = async {
        loop {
            let upstreams = forwarder.upstreams();
            if upstreams[0].servers[0].addresses == [format!("127.0.0.2:{port}")] {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, moved)
        .await
        .expect("it is looked up again when the TTL is over");
    let query = testing::query(2, "b.");
    let asked = forwarder.forward(&query, CLIENT, Limit::Datagram);
    let (reply, ()) = timeout(SOON, async { tokio::join!(asked, serve(two)) }).await.unwrap();
    assert_eq!(reply[7], 1);
    // It has no address any more: the last one stays.
    LAST_OCTET.store(0, Ordering::SeqCst);
    let before = bootstrap.queries.load(Ordering::SeqCst);
    let asked_again = async {
        while bootstrap.queries.load(Ordering::SeqCst) < before + 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, asked_again).await.unwrap();
    assert_eq!(
        forwarder.upstreams()[0].servers[0].addresses,
        [format!("127.0.0.2:{port}")]
    );
}

#[tokio::test]
async fn a_server_that_is_back_is_noticed_by_a_probe_alone() {
    let upstream = Upstream::start(good).await;
    upstream.replies.send(false).unwrap();
    let mut settings = settings(&[upstream.address], Duration::from_millis(30));
    settings.sets[0].probe.interval = Duration::from_millis(50);
    let forwarder = make(settings);
    let state = || forwarder.upstreams()[0].servers[0].state;
    for id in 0..3 {
        forwarder
            .forward(&testing::query(id, "a."), CLIENT, Limit::Datagram)
            .await;
    }
    assert_eq!(state(), "resting");
    let mut tasks = tokio::task::JoinSet::new();
    for task in forwarder.tasks() {
        tasks.spawn(task);
    }
    upstream.replies.send(true).unwrap();
    let back = async {
        while state() != "up" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, back).await.expect("a probe");
}

#[tokio::test]
async fn with_always_a_server_that_is_gone_is_noticed_before_a_client_asks() {
    let upstream = Upstream::start(silent).await;
    let mut settings = settings(&[upstream.address], Duration::from_millis(30));
    settings.sets[0].probe.interval = Duration::from_millis(10);
    settings.sets[0].probe.when = ProbeWhen::Always;
    let forwarder = make(settings);
    let mut tasks = tokio::task::JoinSet::new();
    for task in forwarder.tasks() {
        tasks.spawn(task);
    }
    let gone = async {
        while forwarder.upstreams()[0].servers[0].state != "resting" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, gone).await.expect("probes");
}

#[tokio::test]
async fn a_server_that_dies_under_load_costs_no_client_more_than_its_time_and_is_back_by_a_probe() {
    let (first, second) = (Upstream::start(good).await, Upstream::start(good).await);
    let time = Duration::from_secs(2);
    let mut settings = settings(&[first.address, second.address], time);
    settings.sets[0].probe.interval = Duration::from_millis(50);
    let forwarder = make(settings);
    let mut tasks = tokio::task::JoinSet::new();
    for task in forwarder.tasks() {
        tasks.spawn(task);
    }
    let state = || forwarder.upstreams()[0].servers[0].state;
    for round in 0..20 {
        if round == 5 {
            first.replies.send(false).unwrap();
        }
        let names = (0..20).map(|number| testing::query(number, &format!("n{number}.r{round}.")));
        let queries: Vec<_> = names.collect();
        let start = Instant::now();
        let asked = queries
            .iter()
            .map(|query| forwarder.forward(query, CLIENT, Limit::Datagram));
        let replies = future::join_all(asked).await;
        let took = start.elapsed();
        assert!(replies.iter().all(|reply| reply[7] == 1), "round {round}");
        assert!(took < 2 * time, "round {round}: {took:?}");
    }
    assert_eq!(state(), "resting");
    let before = second.queries.load(Ordering::SeqCst);
    first.replies.send(true).unwrap();
    let back = async {
        while state() != "up" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, back).await.expect("a probe");
    let query = testing::query(1, "last.");
    forwarder.forward(&query, CLIENT, Limit::Datagram).await;
    assert_eq!(
        second.queries.load(Ordering::SeqCst),
        before,
        "the first has its place again"
    );
}

#[tokio::test]
async fn a_server_that_drops_queries_with_an_opt_is_asked_without_from_then_on() {
    static WITH_OPT: AtomicUsize = AtomicUsize::new(0);
    let upstream = Upstream::start(|query, _| {
        if query[11] == 1 {
            WITH_OPT.fetch_add(1, Ordering::SeqCst);
            return Vec::new();
        }
        vec![respond(query, 0, [1, 0, 0], A)]
    })
    .await;
    let forwarder = forwarder_within(&[upstream.address], Duration::from_millis(300));
    let ask = async |id| {
        forwarder
            .forward(&testing::query(id, "a."), CLIENT, Limit::Datagram)
            .await
    };
    // Twice, as always; then once with and once without.
    assert_eq!(ask(1).await[3] & 0x0F, 2);
    assert_eq!((ask(2).await[7], WITH_OPT.load(Ordering::SeqCst)), (1, 3));
    for id in 3..6 {
        assert_eq!((ask(id).await[7], WITH_OPT.load(Ordering::SeqCst)), (1, 3));
    }
    assert_eq!(upstream.queries.load(Ordering::SeqCst), 7);
}

fn notify(name: &str) -> Vec<u8> {
    let mut message = testing::query(7, name);
    message[2] = 4 << 3 | 0x04;
    let length = message.len();
    message[length - 4..length - 2].copy_from_slice(&6u16.to_be_bytes());
    message
}

#[tokio::test]
async fn rfc1996_a_notify_of_a_zones_own_server_flushes_what_is_kept_of_it() {
    let upstream = Upstream::start(good).await;
    let caching = caching::Caching::new(settings(&[upstream.address], BUDGET), caching::CONFIG);
    let forwarder = &caching.forwarder;
    for name in ["a.example.", "b.other."] {
        forwarder
            .forward(&testing::query(1, name), CLIENT, Limit::Datagram)
            .await;
    }
    let kept = || forwarder.cache().unwrap().list(None, |_| String::new()).len();
    assert_eq!(kept(), 2);
    let mut out = Vec::new();
    // A query is none, and a stranger is not believed.
    assert!(!forwarder.take_notify(&testing::query(1, "example."), CLIENT, &mut out));
    assert!(!forwarder.take_notify(&notify("example."), "192.0.2.1".parse().unwrap(), &mut out));
    assert!(
        !forwarder.take_notify(&notify("internal."), CLIENT, &mut out),
        "it is not forwarded"
    );
    assert_eq!((kept(), out.len()), (2, 0));
    assert!(forwarder.take_notify(&notify("example."), CLIENT, &mut out));
    assert_eq!(
        (&out[..4], &out[12..]),
        (&[0, 7, 0xA0, 0][..], &notify("example.")[12..])
    );
    let flushed = async {
        while kept() != 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, flushed).await.expect("it is flushed");
}
