//! A DNS client in the client's namespace: over UDP, which XDP answers, and over TCP, which userspace answers.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::bench::contestant::Stage;
use crate::bench::load::Load;
use crate::frames::Query;
use crate::net::Namespace;

/// How long a reply over UDP may take: then the query is sent again.
const UDP_LIMIT: Duration = Duration::from_secs(2);
/// How often it is sent.
const ATTEMPTS: u32 = 10;
/// How long TCP may take, with segments that are sent again.
const TCP_LIMIT: Duration = Duration::from_secs(60);

/// Sockets that were opened in the client's namespace, and may be used from anywhere.
pub(in crate::bench) struct Resolver<'a> {
    udp: UdpSocket,
    tcp: TcpStream,
    namespace: &'a Namespace,
    address: SocketAddr,
    id: u16,
}

impl<'a> Resolver<'a> {
    pub(super) fn connect(stage: &'a Stage, load: &Load) -> Result<Self> {
        let address = stage.circuit.server_address(load);
        Self::with_socket(&stage.circuit.client, address, stage.circuit.client_socket(address)?)
    }

    /// One in a namespace that asks an address.
    pub(in crate::bench) fn new(namespace: &'a Namespace, address: SocketAddr) -> Result<Self> {
        let udp = namespace.enter(|| {
            let any: IpAddr = match address {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(address)?;
            Ok(socket)
        })?;
        Self::with_socket(namespace, address, udp)
    }

    fn with_socket(namespace: &'a Namespace, address: SocketAddr, udp: UdpSocket) -> Result<Self> {
        udp.set_read_timeout(Some(UDP_LIMIT))?;
        Ok(Self {
            udp,
            tcp: connect_tcp(namespace, address)?,
            namespace,
            address,
            id: 0,
        })
    }

    /// The name has this address, in both planes.
    pub(in crate::bench) fn expect(&mut self, name: &[u8], address: Ipv4Addr) -> Result<()> {
        self.expect_over_udp(name, address)?;
        self.expect_over_tcp(name, address)
    }

    pub(in crate::bench) fn expect_over_udp(&mut self, name: &[u8], address: Ipv4Addr) -> Result<()> {
        let reply = self.ask_over_udp(name)?;
        has_address(name, &reply, address).context("over UDP")
    }

    pub(in crate::bench) fn expect_over_tcp(&mut self, name: &[u8], address: Ipv4Addr) -> Result<()> {
        let reply = self.ask_over_tcp(name)?;
        has_address(name, &reply, address).context("over TCP")
    }

    /// The name does not exist, in both planes.
    pub(in crate::bench) fn expect_absence(&mut self, name: &[u8]) -> Result<()> {
        for (reply, transport) in [(self.ask_over_udp(name)?, "UDP"), (self.ask_over_tcp(name)?, "TCP")] {
            ensure!(
                reply[3] & 15 == 3 && reply[6..8] == [0, 0],
                "not NXDOMAIN over {transport}: {reply:02x?}"
            );
        }
        Ok(())
    }

    /// The name is not ours, in both planes: REFUSED.
    pub(in crate::bench) fn expect_refusal(&mut self, name: &[u8]) -> Result<()> {
        for (reply, transport) in [(self.ask_over_udp(name)?, "UDP"), (self.ask_over_tcp(name)?, "TCP")] {
            ensure!(reply[3] & 15 == 5, "not REFUSED over {transport}: {reply:02x?}");
        }
        Ok(())
    }

    fn query(&mut self, name: &[u8]) -> Vec<u8> {
        self.id = self.id.wrapping_add(1);
        Query {
            id: self.id,
            ..Query::new(name, 1)
        }
        .build()
    }

    /// A query or a reply may get lost where the machine is flooded: it is asked again.
    fn ask_over_udp(&mut self, name: &[u8]) -> Result<Vec<u8>> {
        for _ in 0..ATTEMPTS {
            let query = self.query(name);
            self.udp.send(&query).context("cannot send")?;
            let mut reply = vec![0; 4096];
            while let Ok(length) = self.udp.recv(&mut reply) {
                if length >= 12 && reply[..2] == query[..2] {
                    reply.truncate(length);
                    return Ok(reply);
                }
            }
        }
        bail!("no reply over UDP within {UDP_LIMIT:?}, {ATTEMPTS} times")
    }

    fn ask_over_tcp(&mut self, name: &[u8]) -> Result<Vec<u8>> {
        let query = self.query(name);
        match exchange(&mut self.tcp, &query) {
            Ok(reply) => Ok(reply),
            // The server may close what was idle (RFC 7766 §6.2.3).
            Err(_) => {
                self.tcp = connect_tcp(self.namespace, self.address)?;
                exchange(&mut self.tcp, &query).context("no reply over TCP")
            }
        }
    }
}

fn connect_tcp(namespace: &Namespace, address: SocketAddr) -> Result<TcpStream> {
    namespace.enter(|| {
        let stream =
            TcpStream::connect_timeout(&address, TCP_LIMIT).with_context(|| format!("cannot reach {address}"))?;
        stream.set_read_timeout(Some(TCP_LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    })
}

/// RFC 1035 §4.2.2: two bytes of length before each message.
fn exchange(stream: &mut TcpStream, query: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(&[&(query.len() as u16).to_be_bytes(), query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    ensure!(
        reply.len() >= 12 && reply[..2] == query[..2],
        "another message: {reply:02x?}"
    );
    Ok(reply)
}

/// The reply is NOERROR with exactly this one address, owned by the question's name.
fn has_address(name: &[u8], reply: &[u8], address: Ipv4Addr) -> Result<()> {
    let answer = 12 + name.len() + 4;
    let octets = address.octets();
    let record = reply.get(answer..answer + 16);
    let is_right = reply[3] & 15 == 0
        && reply[6..8] == [0, 1]
        && record.is_some_and(|record| {
            record[..6] == [0xC0, 12, 0, 1, 0, 1] && record[10..] == [0, 4, octets[0], octets[1], octets[2], octets[3]]
        });
    ensure!(is_right, "not {address}: {reply:02x?}");
    Ok(())
}
