//! Whether the addresses that we listen on answer, as a client of this host sees it.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::model::access::{Access, AccessList};

/// How long one try waits.
const PATIENCE: Duration = Duration::from_millis(300);
/// Datagrams may be lost, or be over a rate limit; then TCP is asked.
const TRIES: u16 = 3;

/// Behind its ID: `id.server. CH TXT` (RFC 4892). Any answer to it will do, and it is never asked of others.
const QUESTION: &[u8] = b"\0\0\0\x01\0\0\0\0\0\0\x02id\x06server\0\0\x10\0\x03";

/// Those of the addresses that answer, over UDP or TCP.
pub(super) fn answering(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let answers = |address: &SocketAddr| answers(near(*address), None);
    addresses.iter().copied().filter(answers).collect()
}

/// Those of the addresses that do not answer, though this list would let us ask.
pub(super) fn silent(addresses: &[SocketAddr], list: Option<&AccessList>) -> Vec<SocketAddr> {
    let is_silent = |address: &SocketAddr| !answers(near(*address), list);
    addresses.iter().copied().filter(is_silent).collect()
}

/// Where this host itself reaches an address.
fn near(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// Whether it answers, or is to say nothing to us.
fn answers(address: SocketAddr, list: Option<&AccessList>) -> bool {
    match ask_datagrams(address, list) {
        Ok(true) => true,
        Ok(false) | Err(_) => ask_stream(address).is_ok(),
    }
}

fn ask_datagrams(address: SocketAddr, list: Option<&AccessList>) -> io::Result<bool> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    let own = socket.local_addr()?.ip().to_canonical();
    if list.is_some_and(|list| list.of(own) == Access::Dropped) {
        return Ok(true);
    }
    socket.set_read_timeout(Some(PATIENCE))?;
    for id in 1..=TRIES {
        let mut reply = [0; 512];
        socket.send(&question(id))?;
        if let Ok(octets) = socket.recv(&mut reply)
            && octets >= 12
            && reply[2] & 0x80 != 0
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn ask_stream(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let question = question(1);
    let mut framed = vec![0, u8::try_from(question.len()).unwrap_or(u8::MAX)];
    framed.extend_from_slice(&question);
    stream.write_all(&framed)?;
    stream.read_exact(&mut [0; 14])
}

fn question(id: u16) -> Vec<u8> {
    [&id.to_be_bytes(), QUESTION].concat()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn who_answers_is_told_from_who_does_not() {
        let talks = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let talking = talks.local_addr().expect("bound");
        let echo = thread::spawn(move || {
            let mut query = [0; 512];
            for _ in 0..2 {
                let (octets, client) = talks.recv_from(&mut query).expect("a query");
                assert_eq!(octets, 12 + 15);
                query[2] |= 0x80;
                talks.send_to(&query[..octets], client).expect("sent");
            }
        });
        // It takes both and says nothing.
        let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
        let muted = mute.local_addr().expect("bound");
        let _mute = UdpSocket::bind(muted).expect("the same port");
        assert_eq!(answering(&[talking, muted]), [talking]);
        assert_eq!(silent(&[talking, muted], None), [muted]);
        let drops = AccessList::new(&[], &["127.0.0.0/8".parse().expect("a prefix")], Access::Dropped);
        assert!(silent(&[muted], Some(&drops)).is_empty());
        echo.join().expect("asked twice");
    }
}
