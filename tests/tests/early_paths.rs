//! The ways by which a query leaves the straight path early: to a group or to all, too long, too short, no query at
//! all, over TCP without one. None of them is a way around access lists and rate limits, and none multiplies an answer.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use tests::frames::{Query, wire_name};
use tests::net::{Namespace, VethOptions, VethPair, is_skipped};
use tests::server::{Server, eventually};

/// A client and a server; XDP is at `interface`: `eth1` is where queries come in.
struct World {
    client: Namespace,
    host: Namespace,
    server: Server,
    pair: VethPair,
}

impl World {
    fn new(interface: &str, more: &str) -> Result<Self> {
        let (client, host) = (Namespace::new("client")?, Namespace::new("server")?);
        let pair = VethPair::new((&client, "eth0"), (&host, "eth1"), &VethOptions::default())?;
        let server = Server::start_in(&host, interface, more)?;
        Ok(Self {
            client,
            host,
            server,
            pair,
        })
    }

    fn metric(&self, name: &str) -> Result<f64> {
        self.host.enter(|| self.server.metric(name))
    }

    fn address(&self, is_ipv6: bool) -> Result<IpAddr> {
        let end = &self.pair.second;
        let address = if is_ipv6 {
            end.ipv6().map(IpAddr::from)
        } else {
            end.ipv4().map(IpAddr::from)
        };
        address.context("an address of the server")
    }

    /// A socket of the client's.
    fn socket(&self, is_ipv6: bool) -> Result<UdpSocket> {
        let end = &self.pair.first;
        let own = if is_ipv6 {
            end.ipv6().map(IpAddr::from)
        } else {
            end.ipv4().map(IpAddr::from)
        };
        let own = own.context("an address of the client")?;
        self.client.enter(|| {
            let socket = UdpSocket::bind((own, 0))?;
            setsockopt(&socket, sockopt::BindToDevice, &"eth0".into())?;
            socket.set_broadcast(true)?;
            socket.set_read_timeout(Some(Duration::from_secs(10)))?;
            Ok(socket)
        })
    }

    /// Asks, from so many ports that each worker is among those asked, what XDP leaves to sockets: what came before is
    /// dealt with then.
    fn pass_all_workers(&self, is_ipv6: bool, name: &str) -> Result<()> {
        let server = SocketAddr::new(self.address(is_ipv6)?, self.server.dns.port());
        let any = Query::new(&wire_name(name), 255).build();
        for _ in 0..64 {
            let socket = self.socket(is_ipv6)?;
            socket.send_to(&any, server)?;
            socket.recv(&mut [0; 512]).context("no answer")?;
        }
        Ok(())
    }
}

fn query(id: u16) -> Vec<u8> {
    let mut query = Query::new(&wire_name("www.example.com"), 1).build();
    query[..2].copy_from_slice(&id.to_be_bytes());
    query
}

/// The IDs of the replies that are there.
fn replies(socket: &UdpSocket) -> Result<Vec<(u16, SocketAddr)>> {
    socket.set_nonblocking(true)?;
    let (mut found, mut reply) = (Vec::new(), [0; 512]);
    while let Ok((length, from)) = socket.recv_from(&mut reply) {
        ensure!(length >= 12, "{length} octets");
        found.push((u16::from_be_bytes([reply[0], reply[1]]), from));
    }
    found.sort_unstable();
    Ok(found)
}

#[test]
fn a_broadcast_is_answered_once_and_a_multicast_never() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let limits = "rate_limit: {enabled: true, rate: 1000000, burst: 1000000}\n";
    for (interface, more) in [("eth1", ""), ("lo", ""), ("eth1", limits)] {
        let world = World::new(interface, more)?;
        let port = world.server.dns.port();
        let socket = world.socket(false)?;
        let of_network = Ipv4Addr::new(10, 77, 0, 255);
        let all_hosts = Ipv4Addr::new(224, 0, 0, 1);
        for (id, to) in [
            (1, of_network),
            (2, Ipv4Addr::BROADCAST),
            (3, all_hosts),
            (4, of_network),
            (5, all_hosts),
        ] {
            socket.send_to(&query(id), (to, port))?;
        }
        world.pass_all_workers(false, "www.example.com")?;
        let own = world.address(false)?;
        let found = replies(&socket)?;
        let expected: Vec<_> = [1, 2, 4].map(|id| (id, SocketAddr::new(own, port))).into();
        assert_eq!(found, expected, "{interface}");

        let socket = world.socket(true)?;
        let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        socket.send_to(&query(6), SocketAddr::from((all_nodes, port)))?;
        world.pass_all_workers(true, "www.example.com")?;
        assert_eq!(replies(&socket)?, [], "{interface}");
        // The program takes none of them for its own.
        assert_eq!(world.metric("hotdns_xdp_answers_total")?, 0.0);
    }
    Ok(())
}

/// What is no plain query: too long for any, too short, a response, an opcode of nobody.
fn odd() -> Vec<(&'static str, Vec<u8>)> {
    let mut long = query(7);
    long.resize(5000, 0);
    let mut response = query(7);
    response[2] |= 0x80;
    let mut opcode = query(7);
    opcode[2] |= 0x78;
    vec![
        ("too long", long),
        ("too short", vec![0; 5]),
        ("nothing", Vec::new()),
        ("a response", response),
        ("an opcode", opcode),
        ("a header", query(7)[..12].to_vec()),
    ]
}

#[test]
fn nothing_odd_is_answered_where_the_list_says_drop() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    for interface in ["eth1", "lo"] {
        let world = World::new(interface, "acl: {deny: [10.77.0.2], action: drop}\n")?;
        let server = SocketAddr::new(world.address(false)?, world.server.dns.port());
        let socket = world.socket(false)?;
        let dropped = || {
            let metric = |plane: &str| {
                world.metric(&format!(
                    "hotdns_acl_denied_total{{action=\"dropped\",plane=\"{plane}\"}}"
                ))
            };
            anyhow::Ok(metric("xdp")? + metric("sockets")?)
        };
        for (number, (case, message)) in odd().into_iter().enumerate() {
            socket.send_to(&message, server)?;
            eventually(&format!("{case} is dropped"), || Ok(dropped()? == 1.0 + number as f64))?;
        }
        assert_eq!(replies(&socket)?, [], "{interface}");
        // The connection is closed before anything was sent.
        let before = dropped()?;
        let mut stream = world.client.enter(|| Ok(TcpStream::connect(server)?))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let closed = stream.read(&mut [0; 16]);
        ensure!(matches!(closed, Ok(0)), "{closed:?}");
        assert_eq!(dropped()?, before + 1.0);
        assert_eq!(world.metric("hotdns_tcp_connections")?, 0.0);
    }
    Ok(())
}

#[test]
fn a_zone_that_drops_a_client_sends_nothing_for_what_is_too_long() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let world = World::new("lo", "")?;
    let file = world.server.path("hotdns.yaml");
    let open = std::fs::read_to_string(&file)?;
    std::fs::write(
        &file,
        open.replace("zone}", "zone, acl: {deny: [10.77.0.2], action: drop}}"),
    )?;
    let reply = world
        .host
        .enter(|| world.server.request("POST", "/api/v1/reload", None))?;
    ensure!(reply.status == 200, "{reply:?}");
    let server = SocketAddr::new(world.address(false)?, world.server.dns.port());
    let socket = world.socket(false)?;
    let long = |name: &str| {
        let mut long = Query::new(&wire_name(name), 1).build();
        long.resize(5000, 0);
        long
    };
    socket.send_to(&long("www.example.com"), server)?;
    socket.send_to(&long("www.example.net"), server)?;
    let mut reply = [0; 512];
    let length = socket.recv(&mut reply).context("FORMERR for another name")?;
    assert_eq!((reply[3] & 15, length), (1, 12));
    world.pass_all_workers(false, "www.example.net")?;
    assert_eq!(replies(&socket)?, []);
    Ok(())
}

#[test]
fn what_is_odd_is_charged_like_all_else() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    for interface in ["eth1", "lo"] {
        for (case, message) in odd() {
            let world = World::new(interface, "rate_limit: {enabled: true, rate: 1, burst: 5, slip: 0}\n")?;
            let server = SocketAddr::new(world.address(false)?, world.server.dns.port());
            let socket = world.socket(false)?;
            for _ in 0..100 {
                socket.send_to(&message, server)?;
            }
            // Some more are within the limit for each second that this takes, whatever the machine: most are not.
            let dropped = || {
                let metric = |plane: &str| {
                    world.metric(&format!(
                        "hotdns_rate_limited_total{{action=\"dropped\",plane=\"{plane}\"}}"
                    ))
                };
                anyhow::Ok(metric("xdp")? + metric("sockets")?)
            };
            eventually(&format!("{case} is charged at {interface}"), || Ok(dropped()? >= 60.0))?;
            let answered = replies(&socket)?.len();
            ensure!(answered <= 40, "{case} at {interface}: {answered} answers");
        }
    }
    Ok(())
}

#[test]
fn a_broken_frame_over_tcp_ends_the_connection_without_an_answer() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let world = World::new("lo", "acl: {deny: [192.0.2.0/24], action: drop}\n")?;
    let server = SocketAddr::new(world.address(false)?, world.server.dns.port());
    for message in [&[0, 0][..], &[0, 5, 1, 2, 3, 4, 5], &[0, 0, 0, 0, 0, 0]] {
        let mut stream = world.client.enter(|| Ok(TcpStream::connect(server)?))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(message)?;
        let mut rest = Vec::new();
        // What was not read may make it a reset.
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(rest, [0u8; 0], "{message:?}");
    }
    // A response is none of our business, and the query behind it is answered.
    let mut stream = world.client.enter(|| Ok(TcpStream::connect(server)?))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut response = query(1);
    response[2] |= 0x80;
    for message in [response, query(2)] {
        stream.write_all(&(message.len() as u16).to_be_bytes())?;
        stream.write_all(&message)?;
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    assert_eq!(head[2..], [0, 2]);
    Ok(())
}
