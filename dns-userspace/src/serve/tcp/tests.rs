use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::message::Protocol;
use crate::serve::stream::StreamSettings;
use crate::serve::worker::testing::{TestPlane, query, settings, start};

/// Patience with a busy machine: far more than what is awaited takes.
const SOON: Duration = Duration::from_secs(60);

fn plane(tcp: StreamSettings) -> (TestPlane, SocketAddr) {
    let test = start(&["127.0.0.1:0".parse().unwrap()], None, tcp);
    let address = test.plane.addresses()[0];
    (test, address)
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    framed
}

async fn read_message(stream: &mut TcpStream) -> Vec<u8> {
    let read = async {
        let length = stream.read_u16().await.unwrap();
        let mut message = vec![0; usize::from(length)];
        stream.read_exact(&mut message).await.unwrap();
        message
    };
    timeout(SOON, read).await.expect("a reply")
}

/// Waits for what another thread does.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let waits = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, waits).await.expect(what);
}

/// Connections that are open.
fn connections(test: &TestPlane) -> u64 {
    let figures = test.plane.figures();
    figures.tcp_connections.load(Ordering::Relaxed)
}

/// How long until the server closes, whatever it still sends.
async fn until_closed(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    let mut buffer = [0; 4096];
    while timeout(SOON, stream.read(&mut buffer))
        .await
        .expect("closed in time")
        .is_ok_and(|length| length > 0)
    {}
    start.elapsed()
}

#[tokio::test]
async fn rfc7766_6_2_1_1_pipelined_queries_are_all_answered() {
    let (test, address) = plane(settings());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let queries: Vec<u8> = (0..2000).flat_map(|id| framed(&query(id, "a.test."))).collect();
    stream.write_all(&queries).await.unwrap();
    for id in 0..2000u16 {
        assert_eq!(read_message(&mut stream).await[..2], id.to_be_bytes());
    }
    let counts = test.counts.wait(2000).await;
    assert_eq!(counts.len(), 2000);
    assert!(counts.iter().all(|count| *count == (Protocol::Tcp, 1, 0)));
}

#[tokio::test]
async fn rfc7828_3_3_2_the_idle_time_out_is_told_to_who_asks_over_tcp() {
    let (_test, address) = plane(StreamSettings {
        idle_timeout: Duration::from_millis(7300),
        ..settings()
    });
    let mut asking = query(1, "a.test.");
    asking[11] = 1;
    asking.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\0\0\0\x04\0\x0b\0\0");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&framed(&asking)).await.unwrap();
    // The answerer of this plane echoes the query's own option, which asks.
    let reply = read_message(&mut stream).await;
    assert_eq!(reply[asking.len()..], [0, 11, 0, 2, 0, 73]);
    stream.write_all(&framed(&query(2, "a.test."))).await.unwrap();
    assert_eq!(read_message(&mut stream).await.len(), query(2, "a.test.").len());

    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    socket.send(&asking).await.unwrap();
    let mut buffer = [0; 512];
    let length = timeout(SOON, socket.recv(&mut buffer)).await.expect("a reply").unwrap();
    assert_eq!(length, asking.len(), "RFC 7828 §3.2.2: ignored over UDP");
}

#[tokio::test]
async fn rfc7766_8_messages_may_come_octet_by_octet() {
    let (_test, address) = plane(settings());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for octet in framed(&query(5, "a.test.")) {
        stream.write_all(&[octet]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read_message(&mut stream).await[..2], [0, 5]);
}

#[tokio::test]
async fn a_client_that_has_finished_sending_still_gets_its_answers() {
    let (_test, address) = plane(settings());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&framed(&query(1, "big.test."))).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_message(&mut stream).await.len(), 60_000);
    until_closed(&mut stream).await;
}

#[tokio::test]
async fn idle_connections_are_closed_and_activity_keeps_them() {
    let idle = Duration::from_secs(2);
    let (_test, address) = plane(StreamSettings {
        idle_timeout: idle,
        ..settings()
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut last = Instant::now();
    for id in 0..6 {
        // Far less than the time-out, so that a thread that has to wait for a processor is no failure.
        tokio::time::sleep(idle / 4).await;
        last = Instant::now();
        stream.write_all(&framed(&query(id, "a.test."))).await.unwrap();
        read_message(&mut stream).await;
    }
    until_closed(&mut stream).await;
    assert!(
        last.elapsed() >= idle,
        "closed {:?} after the last query",
        last.elapsed()
    );
}

#[tokio::test]
async fn what_is_no_query_does_not_keep_a_connection() {
    let idle = Duration::from_millis(400);
    let (_test, address) = plane(StreamSettings {
        idle_timeout: idle,
        ..settings()
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut response = query(1, "a.test.");
    response[2] |= 0x80;
    let start = Instant::now();
    while stream.write_all(&framed(&response)).await.is_ok() {
        assert!(start.elapsed() < SOON, "still open");
        tokio::time::sleep(idle / 4).await;
    }
}

#[tokio::test]
async fn half_a_message_does_not_keep_a_connection_however_it_trickles() {
    let idle = Duration::from_millis(400);
    let (_test, address) = plane(StreamSettings {
        idle_timeout: idle,
        ..settings()
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let start = Instant::now();
    let mut failed = false;
    for octet in framed(&query(1, "a.test.")) {
        failed |= stream.write_all(&[octet]).await.is_err();
        tokio::time::sleep(idle / 4).await;
    }
    assert!(
        failed || until_closed(&mut stream).await < idle,
        "open after {:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_costs_bounded_memory() {
    let (test, address) = plane(StreamSettings {
        write_timeout: Duration::from_millis(500),
        ..settings()
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let queries: Vec<u8> = (0..2000).flat_map(|id| framed(&query(id, "big.test."))).collect();
    // 120 MB of replies to 60 kB of queries.
    stream.write_all(&queries).await.unwrap();
    test.counts.wait(1).await;
    eventually("it is cut off", || connections(&test) == 0).await;
    let answered = test.counts.0.lock().unwrap().len();
    assert!(answered < 500, "answered {answered} that nobody reads");
    until_closed(&mut stream).await;
}

#[tokio::test]
async fn a_slow_but_steady_reader_gets_everything() {
    let (_test, address) = plane(StreamSettings {
        write_timeout: Duration::from_secs(3),
        ..settings()
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let queries: Vec<u8> = (0..200).flat_map(|id| framed(&query(id, "big.test."))).collect();
    stream.write_all(&queries).await.unwrap();
    for id in 0..200u16 {
        assert_eq!(read_message(&mut stream).await[..2], id.to_be_bytes());
        // Longer in all than the time-out, each time much shorter.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A query of so many octets, with what no query needs behind its question.
fn long_query(id: u16, bytes: usize) -> Vec<u8> {
    let mut long = query(id, "a.test.");
    long.resize(bytes, 0);
    long
}

#[tokio::test]
async fn rfc1035_4_2_2_messages_of_65535_octets_come_and_go() {
    let (_test, address) = plane(settings());
    let mut stream = TcpStream::connect(address).await.unwrap();
    for id in 0..3 {
        let long = long_query(id, usize::from(u16::MAX));
        stream.write_all(&framed(&long)).await.unwrap();
        let reply = read_message(&mut stream).await;
        assert_eq!((&reply[..2], reply.len()), (&long[..2], long.len()));
    }
}

#[tokio::test]
async fn input_that_waits_counts_and_long_messages_wait_while_there_is_too_much() {
    let (test, address) = plane(StreamSettings {
        waiting_bytes: 64 << 10,
        ..settings()
    });
    let mut unfinished = Vec::new();
    for id in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(&framed(&long_query(id, 60_000))[..50_000])
            .await
            .unwrap();
        unfinished.push(stream);
    }
    eventually("the server has read them", || test.plane.waiting_for_tcp() >= 64 << 10).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&framed(&query(7, "a.test."))).await.unwrap();
    assert_eq!(read_message(&mut stream).await[..2], [0, 7], "others are served");
    stream.write_all(&framed(&long_query(8, 60_000))).await.unwrap();
    let early = timeout(Duration::from_millis(500), stream.peek(&mut [0])).await;
    assert!(early.is_err(), "a long message was read");
    drop(unfinished);
    // What was held is given back.
    assert_eq!(read_message(&mut stream).await.len(), 60_000);
}

#[tokio::test]
async fn clients_that_do_not_read_are_closed_while_there_is_far_too_much() {
    let (test, address) = plane(StreamSettings {
        waiting_bytes: 64 << 10,
        ..settings()
    });
    let queries: Vec<u8> = (0..200).flat_map(|id| framed(&query(id, "big.test."))).collect();
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&queries).await.unwrap();
        streams.push(stream);
    }
    // Of each that is left some 60,000 octets wait.
    let refused = || test.plane.figures().tcp_refused.load(Ordering::Relaxed);
    eventually("four connections are left", || refused() >= 16).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&framed(&query(7, "a.test."))).await.unwrap();
    assert_eq!(read_message(&mut stream).await[..2], [0, 7], "others are served");
}

#[tokio::test]
async fn two_thousand_idle_connections_leave_room_for_more() {
    crate::host::files::raise_file_limit(8192);
    let (_test, address) = plane(settings());
    let mut idle = Vec::new();
    for _ in 0..2000 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    for number in [0, 999, 1999] {
        idle[number]
            .write_all(&framed(&query(number as u16, "a.test.")))
            .await
            .unwrap();
        assert_eq!(
            read_message(&mut idle[number]).await[..2],
            (number as u16).to_be_bytes()
        );
    }
}

#[tokio::test]
async fn limits_hold_in_all_and_per_client_and_places_come_back() {
    let (test, address) = plane(StreamSettings {
        connections: 40,
        connections_per_client: 2,
        ..settings()
    });
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(&framed(&query(1, "a.test."))).await.unwrap();
    read_message(&mut first).await;
    let _second = TcpStream::connect(address).await.unwrap();
    let mut third = TcpStream::connect(address).await.unwrap();
    until_closed(&mut third).await;
    assert_eq!(test.plane.figures().tcp_refused.load(Ordering::Relaxed), 1);
    drop(first);
    let start = Instant::now();
    loop {
        let mut again = TcpStream::connect(address).await.unwrap();
        again.write_all(&framed(&query(2, "a.test."))).await.unwrap();
        if again.read_u16().await.is_ok() {
            break;
        }
        assert!(start.elapsed() < SOON, "the place did not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_no_dns_message_ends_the_connection() {
    let (_test, address) = plane(settings());
    for noise in [&b"\0\0"[..], b"\0\x05hello"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(noise).await.unwrap();
        until_closed(&mut stream).await;
    }
}

#[tokio::test]
async fn a_panicking_query_gets_servfail_and_the_connection_goes_on() {
    let (_test, address) = plane(settings());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&framed(&query(1, "panic.test."))).await.unwrap();
    assert_eq!(read_message(&mut stream).await[3], 2);
    stream.write_all(&framed(&query(2, "a.test."))).await.unwrap();
    assert_eq!(read_message(&mut stream).await[3], 0);
}

#[tokio::test]
async fn shutdown_answers_what_has_come_and_closes() {
    let (test, address) = plane(settings());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&framed(&query(1, "a.test."))).await.unwrap();
    read_message(&mut stream).await;
    stream.write_all(&framed(&query(2, "big.test."))).await.unwrap();
    let down = tokio::spawn(test.plane.shutdown(SOON));
    assert_eq!(read_message(&mut stream).await.len(), 60_000);
    until_closed(&mut stream).await;
    assert!(down.await.unwrap(), "drained in time");
}

#[tokio::test]
async fn clients_that_get_nothing_are_cut_off_before_they_are_read_from() {
    use crate::model::access::{Access, AccessList};
    use crate::serve::gate::Gate;
    use crate::serve::worker::testing::start_gated;

    let gate = Gate {
        access: Some(std::sync::Arc::new(AccessList::new(
            &[],
            &["127.0.0.9/32".parse().unwrap()],
            Access::Dropped,
        ))),
        ..Gate::default()
    };
    let figures = std::sync::Arc::clone(&gate.figures);
    let test = start_gated(&["127.0.0.1:0".parse().unwrap()], gate);
    let address = test.plane.addresses()[0];
    let denied = tokio::net::TcpSocket::new_v4().unwrap();
    denied.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let mut denied = denied.connect(address).await.unwrap();
    until_closed(&mut denied).await;
    assert_eq!(figures.acl_dropped.load(Ordering::Relaxed), 1);
    let mut allowed = TcpStream::connect(address).await.unwrap();
    allowed.write_all(&framed(&query(1, "a.test."))).await.unwrap();
    assert_eq!(read_message(&mut allowed).await[..2], [0, 1]);
}
