//! GELF 1.1: messages for Graylog and others, over UDP in chunks and over TCP with an octet of zero behind each.
//!
//! <https://go2docs.graylog.org/current/getting_in_log_data/gelf.html>

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::config::{GelfTarget, GelfTransport};
use crate::host::name;

/// Octets of a datagram: what passes unfragmented nearly everywhere.
const DATAGRAM_BYTES: usize = 1420;
/// What each chunk begins with.
const MAGIC: [u8; 2] = [0x1E, 0x0F];
/// Magic, the message's ID, the chunk's number, and how many there are.
const CHUNK_HEAD_BYTES: usize = 12;
/// "A message may consist of up to 128 chunks."
const MOST_CHUNKS: usize = 128;
/// How long a collector may take to accept a connection, or nothing of what is sent.
const PATIENCE: Duration = Duration::from_secs(1);

/// A message that is being made. Levels are those of syslog: 3 is an error, 4 a warning, 6 information, 7 debugging.
pub(crate) struct GelfMessage<'a> {
    pub(crate) host: &'a str,
    pub(crate) time: SystemTime,
    pub(crate) level: u8,
    pub(crate) short: &'a str,
    /// Further fields, without the `_` in front of their names.
    pub(crate) fields: Map<String, Value>,
}

impl GelfMessage<'_> {
    /// The message in JSON.
    pub(crate) fn encode(self) -> Vec<u8> {
        let since = self.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut message = Map::new();
        message.insert("version".to_owned(), json!("1.1"));
        message.insert("host".to_owned(), json!(self.host));
        // An empty one is no message.
        let short = if self.short.is_empty() { "-" } else { self.short };
        message.insert("short_message".to_owned(), json!(short));
        message.insert("timestamp".to_owned(), json!(since.as_micros() as f64 / 1e6));
        message.insert("level".to_owned(), json!(self.level));
        for (name, value) in self.fields {
            let value = match value {
                Value::Null => continue,
                Value::String(_) | Value::Number(_) => value,
                Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" ").into(),
                other => plain(&other).into(),
            };
            // "Libraries SHOULD not allow to send id as additional field."
            let name = if name == "id" { "id_".to_owned() } else { name };
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            let name: String = name.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
            message.insert(format!("_{name}"), value);
        }
        serde_json::to_vec(&message).unwrap_or_default()
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The name of this host, for messages.
pub(crate) fn host_name() -> String {
    match name::host_name() {
        name if name.is_empty() => "hotdns".to_owned(),
        name => name,
    }
}

/// The datagrams of a message; none where it has too many chunks.
fn datagrams(message: &[u8], id: u64) -> Vec<Vec<u8>> {
    if message.len() <= DATAGRAM_BYTES {
        return vec![message.to_vec()];
    }
    let chunks = message.chunks(DATAGRAM_BYTES - CHUNK_HEAD_BYTES);
    let count = chunks.len();
    if count > MOST_CHUNKS {
        return Vec::new();
    }
    let chunk = |(number, octets): (usize, &[u8])| {
        let mut datagram = Vec::with_capacity(DATAGRAM_BYTES);
        datagram.extend_from_slice(&MAGIC);
        datagram.extend_from_slice(&id.to_be_bytes());
        datagram.extend_from_slice(&[number as u8, count as u8]);
        datagram.extend_from_slice(octets);
        datagram
    };
    chunks.enumerate().map(chunk).collect()
}

/// A way to a collector.
pub(crate) enum GelfSender {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl GelfSender {
    /// Looks the collector up, and connects to it.
    pub(crate) fn open(target: &GelfTarget) -> io::Result<Self> {
        let addresses = (*target.host).to_socket_addrs()?;
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match Self::connect(target.transport, address) {
                Ok(sender) => return Ok(sender),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn connect(transport: GelfTransport, address: SocketAddr) -> io::Result<Self> {
        match transport {
            GelfTransport::Udp => {
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                Ok(Self::Udp(socket))
            }
            GelfTransport::Tcp => {
                let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Self::Tcp(stream))
            }
        }
    }

    /// Sends one message. One that has too many chunks is an error that says so, and no end of the way.
    pub(crate) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => {
                let datagrams = datagrams(message, rand::random());
                if datagrams.is_empty() {
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                for datagram in datagrams {
                    // An earlier datagram's ICMP error is told here: this one is sent the second time.
                    if socket.send(&datagram).is_err() {
                        socket.send(&datagram)?;
                    }
                }
                Ok(())
            }
            Self::Tcp(stream) => {
                let mut framed = Vec::with_capacity(message.len() + 1);
                framed.extend_from_slice(message);
                framed.push(0);
                stream.write_all(&framed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_what_the_format_asks_for() {
        let fields = json!({"id": 1, "a b": "x", "flags": ["aa", "rd"], "none": null, "is": true});
        let message = GelfMessage {
            host: "ns1",
            time: UNIX_EPOCH + Duration::from_micros(1_767_225_600_000_001),
            level: 6,
            short: "hello",
            fields: fields.as_object().expect("an object").clone(),
        };
        let read: Value = serde_json::from_slice(&message.encode()).expect("JSON");
        let expected = json!({
            "version": "1.1", "host": "ns1", "short_message": "hello", "timestamp": 1_767_225_600.000001, "level": 6,
            "_id_": 1, "_a_b": "x", "_flags": "aa rd", "_is": "true",
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn long_messages_are_chunks_that_say_which_they_are() {
        assert_eq!(datagrams(&[7; DATAGRAM_BYTES], 1).len(), 1);
        let message: Vec<u8> = (0..5000u32).map(|number| number as u8).collect();
        let chunks = datagrams(&message, 0x0102_0304_0506_0708);
        assert_eq!(chunks.len(), 4);
        let mut read = Vec::new();
        for (number, chunk) in chunks.iter().enumerate() {
            assert_eq!(chunk[..10], [0x1E, 0x0F, 1, 2, 3, 4, 5, 6, 7, 8]);
            assert_eq!(chunk[10..12], [number as u8, 4]);
            assert!(chunk.len() <= DATAGRAM_BYTES);
            read.extend_from_slice(&chunk[12..]);
        }
        assert_eq!(read, message);
        assert!(datagrams(&vec![0; 200_000], 1).is_empty(), "more than 128 chunks");
    }
}
