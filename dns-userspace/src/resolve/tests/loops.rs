//! Forwarders that forward to each other, and equal questions.

use super::*;
use crate::host::addresses::HostAddresses;

/// A server that forwards all it is asked.
struct Node {
    address: SocketAddr,
    forwarder: Arc<Forwarder>,
    queries: Arc<AtomicUsize>,
    _tasks: tokio::task::JoinSet<()>,
}

impl Node {
    fn new(socket: UdpSocket, servers: &[SocketAddr]) -> Self {
        let forwarder = Arc::new(forwarder(servers));
        let queries = Arc::new(AtomicUsize::new(0));
        let (answering, counted) = (Arc::clone(&forwarder), Arc::clone(&queries));
        let address = socket.local_addr().unwrap();
        let socket = Arc::new(socket);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let mut buffer = [0; 4096];
            let mut answers = tokio::task::JoinSet::new();
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (query, forwarder, socket) =
                    (buffer[..length].to_vec(), Arc::clone(&answering), Arc::clone(&socket));
                answers.spawn(async move {
                    let reply = forwarder.forward(&query, client.ip(), Limit::Datagram).await;
                    socket.send_to(&reply, client).await.unwrap();
                });
            }
        });
        Self {
            address,
            forwarder,
            queries,
            _tasks: tasks,
        }
    }

    fn queries(&self) -> usize {
        self.queries.load(Ordering::SeqCst)
    }

    fn loops(&self) -> u64 {
        self.forwarder.figures.forward_loops.load(Ordering::Relaxed)
    }
}

/// Each forwards to the next, the last to the first.
async fn ring(nodes: usize) -> Vec<Node> {
    let mut sockets = Vec::new();
    for _ in 0..nodes {
        sockets.push(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    }
    let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
    let places = 1..=nodes;
    let nodes = sockets.into_iter().zip(places);
    nodes
        .map(|(socket, next)| Node::new(socket, &[addresses[next % addresses.len()]]))
        .collect()
}

#[tokio::test]
async fn a_ring_of_servers_is_noticed_and_cut() {
    for size in 1..=4 {
        let nodes = ring(size).await;
        let query = with_opt(testing::query(7, "loop.example."), 1232, false);
        let reply = nodes[0].forwarder.forward(&query, CLIENT, Limit::Datagram).await;
        assert_eq!(reply[3] & 0x0F, 2, "{size} servers");
        assert_eq!(
            error_of(&reply),
            (0, "a forwarding loop: the query came back".to_owned()),
            "{size} servers"
        );
        assert!(nodes[0].loops() > 0, "{size} servers");
        // One each, and one more where this machine takes more than a second for it.
        for node in &nodes {
            assert!(
                (1..=4).contains(&node.queries()),
                "{size} servers: {} queries",
                node.queries()
            );
        }
    }
}

#[tokio::test]
async fn the_next_server_is_asked_when_the_first_leads_back() {
    let good = Upstream::start(good).await;
    let (one, two) = (
        UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        UdpSocket::bind("127.0.0.1:0").await.unwrap(),
    );
    let (first, second) = (one.local_addr().unwrap(), two.local_addr().unwrap());
    let one = Node::new(one, &[second, good.address]);
    let _two = Node::new(two, &[first]);
    let reply = one
        .forwarder
        .forward(&testing::query(7, "a."), CLIENT, Limit::Datagram)
        .await;
    assert_eq!((reply[3] & 0x0F, reply[7]), (0, 1));
}

#[tokio::test]
async fn a_loop_through_a_server_that_hands_no_mark_on_ends_with_its_time() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let node = Node::new(socket, &[relay.local_addr().unwrap()]);
    let back = node.address;
    let relay = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, _)) = relay.recv_from(&mut buffer).await {
            // The OPT is left out, the ID is another: a query of its own.
            let mut query = buffer[..length - 24].to_vec();
            query[0] ^= 0x5A;
            query[11] = 0;
            relay.send_to(&query, back).await.unwrap();
        }
    });
    let query = with_opt(testing::query(7, "loop.example."), 1232, false);
    let reply = node.forwarder.forward(&query, CLIENT, Limit::Datagram).await;
    relay.abort();
    assert_eq!(reply[3] & 0x0F, 2);
    // What comes back is not sent on: there is the query and one more, sent again after a second; each comes back once.
    assert!((1..=2).contains(&node.queries()), "{} queries", node.queries());
}

#[tokio::test]
async fn a_query_that_has_passed_too_many_forwarders_is_a_loop() {
    let upstream = Upstream::start(good).await;
    for (hops, rcode) in [(8, 0), (9, 2)] {
        let mut query = with_opt(testing::query(7, "a."), 1232, false);
        let length = query.len();
        query[length - 1] = 13;
        query.extend_from_slice(b"\xFF\x49\0\x09trace!!!");
        query.push(hops);
        assert_eq!(ask(&[upstream.address], &query).await[3] & 0x0F, rcode, "{hops} hops");
    }
    assert_eq!(upstream.queries.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_mark_is_handed_on_with_one_hop_more() {
    let upstream = Upstream::start(|query, _| {
        assert_eq!(query[query.len() - 13..], *b"\xFF\x49\0\x09trace!!!\x05");
        good(query, false)
    })
    .await;
    let mut query = with_opt(testing::query(7, "a."), 1232, false);
    let length = query.len();
    query[length - 1] = 13;
    query.extend_from_slice(b"\xFF\x49\0\x09trace!!!\x04");
    assert_eq!(ask(&[upstream.address], &query).await[7], 1);
    // What is no mark is read over.
    let mut query = with_opt(testing::query(7, "a."), 1232, false);
    let length = query.len();
    query[length - 1] = 5;
    query.extend_from_slice(b"\xFF\x49\0\x01x");
    let any = Upstream::start(good).await;
    assert_eq!(ask(&[any.address], &query).await[7], 1);
}

#[tokio::test]
async fn a_server_that_cannot_bear_the_mark_is_asked_without() {
    let upstream = Upstream::start(|query, _| {
        if query.ends_with(b"\x09") || query[query.len() - 11..].starts_with(b"\0\0\x29") {
            return good(query, false);
        }
        vec![respond(query, 1, [0, 0, 1], OPT)]
    })
    .await;
    assert_eq!(ask(&[upstream.address], &testing::query(1, "a.")).await[7], 1);
}

/// Answers when the test lets it.
async fn held() -> (SocketAddr, Arc<AtomicUsize>, watch::Sender<bool>) {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    let queries = Arc::new(AtomicUsize::new(0));
    let (release, released) = watch::channel(false);
    let counted = Arc::clone(&queries);
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            counted.fetch_add(1, Ordering::SeqCst);
            let (query, socket, mut released) = (buffer[..length].to_vec(), Arc::clone(&socket), released.clone());
            tokio::spawn(async move {
                let _ = released.wait_for(|released| *released).await;
                for reply in good(&query, false) {
                    let _ = socket.send_to(&reply, client).await;
                }
            });
        }
    });
    (address, queries, release)
}

#[tokio::test]
async fn equal_questions_on_their_way_are_one() {
    let (address, queries, release) = held().await;
    // Half of it is longer than the second after which a query is sent again.
    let forwarder = Arc::new(forwarder_within(&[address], Duration::from_secs(60)));
    let start = |query: Vec<u8>| {
        let forwarder = Arc::clone(&forwarder);
        tokio::spawn(async move { forwarder.forward(&query, CLIENT, Limit::Datagram).await })
    };
    let mut waiting = Vec::new();
    for id in 0..20 {
        let name = if id % 2 == 0 { "same.example." } else { "sAme.eXample." };
        waiting.push((id, start(testing::query(id, name))));
    }
    // Other questions: DO, CD, AD, another name, another type.
    let mut others = vec![with_opt(testing::query(30, "same.example."), 1232, true)];
    for (place, bits) in [(3, 0x10), (3, 0x20)] {
        let mut query = testing::query(31, "same.example.");
        query[place] |= bits;
        others.push(query);
    }
    others.push(testing::query(32, "other.example."));
    let mut query = testing::query(33, "same.example.");
    let length = query.len();
    query[length - 3] = 28;
    others.push(query);
    let others: Vec<_> = others.into_iter().map(start).collect();
    let seen = || queries.load(Ordering::SeqCst);
    while seen() < 6 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    release.send(true).unwrap();
    for (id, reply) in waiting {
        let reply = reply.await.unwrap();
        assert_eq!((reply[1], reply[3] & 0x0F, reply[7]), (id as u8, 0, 1));
    }
    for reply in others {
        assert_eq!(reply.await.unwrap()[7], 1);
    }
    // Each may have been sent again, on a machine that takes a second for all this.
    assert!((6..=12).contains(&seen()), "{} queries for six questions", seen());
}

#[tokio::test]
async fn a_server_that_is_ourselves_is_not_asked() {
    let (ours, other) = (Upstream::start(good).await, Upstream::start(good).await);
    let start = |servers: &[SocketAddr]| {
        make(ForwardSettings {
            listening: vec![ours.address],
            ..settings(servers, BUDGET)
        })
    };
    let host = HostAddresses::default();
    let alone = start(&[ours.address]);
    assert_eq!(alone.follow(&host), ["default"]);
    let query = with_opt(testing::query(1, "a."), 1232, false);
    let reply = alone.forward(&query, CLIENT, Limit::Datagram).await;
    assert_eq!(
        error_of(&reply),
        (0, "every upstream server is this server itself".to_owned())
    );

    let both = start(&[ours.address, other.address]);
    assert!(both.follow(&host).is_empty());
    assert_eq!(both.forward(&query, CLIENT, Limit::Datagram).await[7], 1);
    assert_eq!(ours.queries.load(Ordering::SeqCst), 0);
    assert_eq!(other.queries.load(Ordering::SeqCst), 1);
}
