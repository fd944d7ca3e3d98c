use std::net::SocketAddr;
use std::time::Duration;

use crate::message::Protocol;
use crate::serve::worker::testing::{TestPlane, query, settings, start};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(60);

fn loopback() -> TestPlane {
    start(&["127.0.0.1:0".parse().unwrap()], None, settings())
}

async fn client(server: SocketAddr) -> UdpSocket {
    let local = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(local).await.unwrap();
    socket.connect(server).await.unwrap();
    socket
}

async fn exchange(socket: &UdpSocket, query: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 65_535];
    socket.send(query).await.unwrap();
    let length = timeout(SOON, socket.recv(&mut buffer)).await.expect("a reply").unwrap();
    buffer[..length].to_vec()
}

#[tokio::test]
async fn answers_and_counts() {
    let test = loopback();
    let socket = client(test.plane.addresses()[0]).await;
    let mut expected = query(7, "a.test.");
    expected[2] |= 0x80;
    assert_eq!(exchange(&socket, &query(7, "a.test.")).await, expected);
    assert_eq!(test.counts.wait(1).await, [(Protocol::Udp, 1, 0)]);
}

/// Connected sockets take replies from the address they asked alone.
#[tokio::test]
async fn on_a_wildcard_replies_leave_from_the_address_that_was_asked() {
    let test = start(&[], None, settings());
    let port = test.plane.addresses()[0].port();
    let mut servers = vec!["127.0.0.1", "127.0.0.2", "127.1.2.3"];
    if test.plane.addresses().len() > 1 {
        servers.push("::1");
    }
    for server in servers {
        let server = SocketAddr::new(server.parse().unwrap(), port);
        let socket = client(server).await;
        // Twice: the second receive re-uses the headers of the first.
        for id in 0..2 {
            assert_eq!(
                exchange(&socket, &query(id, "a.test.")).await[..2],
                id.to_be_bytes(),
                "{server}"
            );
        }
    }
}

#[tokio::test]
async fn one_batch_may_be_asked_at_several_addresses() {
    let test = start(&[], None, settings());
    let port = test.plane.addresses()[0].port();
    let mut sockets = Vec::new();
    for host in 1..=40 {
        sockets.push(client(SocketAddr::from(([127, 0, 0, host % 3 + 1], port))).await);
    }
    for (id, socket) in sockets.iter().enumerate() {
        for _ in 0..5 {
            socket.send(&query(id as u16, "a.test.")).await.unwrap();
        }
    }
    for (id, socket) in sockets.iter().enumerate() {
        for _ in 0..5 {
            let mut buffer = [0; 512];
            timeout(SOON, socket.recv(&mut buffer)).await.expect("a reply").unwrap();
            assert_eq!(buffer[..2], (id as u16).to_be_bytes());
        }
    }
}

#[tokio::test]
async fn a_panicking_query_gets_servfail_and_stops_nothing() {
    let test = loopback();
    let socket = client(test.plane.addresses()[0]).await;
    for id in 0..20 {
        let reply = exchange(&socket, &query(id, "panic.test.")).await;
        let mut expected = query(id, "panic.test.");
        expected[2] |= 0x80;
        expected[3] = 2;
        assert_eq!(reply, expected);
        assert_eq!(exchange(&socket, &query(id, "a.test.")).await[3] & 0x0F, 0);
    }
    assert_eq!(
        test.plane.figures().panics.load(std::sync::atomic::Ordering::Relaxed),
        20
    );
}

#[tokio::test]
async fn noise_is_passed_over_and_oversized_datagrams_are_formerr() {
    let test = loopback();
    let socket = client(test.plane.addresses()[0]).await;
    let mut response = query(1, "a.test.");
    response[2] |= 0x80;
    for noise in [&b""[..], b"x", &response, &query(2, "silence.test.")] {
        socket.send(noise).await.unwrap();
    }
    let mut long = query(3, "a.test.");
    long.resize(9000, 0);
    let reply = exchange(&socket, &long).await;
    assert_eq!(
        reply, b"\0\x03\x81\x01\0\0\0\0\0\0\0\0",
        "the first reply of all is this FORMERR"
    );
}

#[tokio::test]
async fn without_an_upstream_what_would_be_forwarded_is_servfail() {
    let test = loopback();
    let socket = client(test.plane.addresses()[0]).await;
    assert_eq!(exchange(&socket, &query(1, "forward.test.")).await[3], 2);
    assert_eq!(test.counts.wait(1).await, [(Protocol::Udp, 1, 2)]);
}

#[tokio::test]
async fn a_client_at_an_unreachable_port_costs_only_its_own_reply() {
    let test = loopback();
    let server = test.plane.addresses()[0];
    // Gone before its reply comes: the kernel may report that on the server's socket.
    for _ in 0..50 {
        client(server).await.send(&query(1, "a.test.")).await.unwrap();
    }
    let socket = client(server).await;
    assert_eq!(exchange(&socket, &query(2, "a.test.")).await[..2], [0, 2]);
}

#[tokio::test]
async fn shutdown_is_prompt_and_frees_the_address() {
    let test = loopback();
    let address = test.plane.addresses()[0];
    assert!(test.plane.shutdown(SOON).await);
    assert!(crate::serve::sockets::bind(&[address], 0, 1).is_ok());
}
