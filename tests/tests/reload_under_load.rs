//! Reloads of broken zones and configurations while clients ask: no answer is wrong, none is lost, and what is broken
//! is named.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use hickory_proto::serialize::binary::BinDecodable;
use serde_json::json;
use tests::frames::{Query, wire_name};
use tests::net::PATIENCE;
use tests::server::Server;

const STEADY: &str = "www.example.com.";
const CHANGING: &str = "www.other.test.";

/// What is wrong with a zone file, and what the reply says of it.
const BROKEN: &[(&str, &str)] = &[
    (
        "$TTL 60\n@ SOA ns host 1 1 1 1 1\n@ NS ns\nwww A 192.0.2.250\nbad A not-an-address\n",
        "not-an-address",
    ),
    (
        "$TTL 60\n@ SOA ns host 1 1 1 1 1\n@ NS ns\nwww A 192.0.2.250\nwww CNAME ns\n",
        "CNAME",
    ),
    ("$TTL 60\n@ NS ns\nwww A 192.0.2.250\n", "SOA"),
    (
        "$TTL 60\n@ SOA ns host 1 1 1 1 1\n@ NS ns\nwww TXT \"never closed\n",
        "other.test.zone:4",
    ),
    ("\0\u{1}\u{2}\u{7f} ( ( (", "other.test.zone"),
    ("", "other.test.zone"),
];

trait Client {
    fn ask(&mut self, query: &[u8]) -> Result<Vec<u8>>;
}

struct Udp(UdpSocket);

struct Tcp(TcpStream);

impl Udp {
    fn connect(server: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(socket))
    }
}

impl Tcp {
    fn connect(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }
}

impl Client for Udp {
    fn ask(&mut self, query: &[u8]) -> Result<Vec<u8>> {
        self.0.send(query)?;
        let mut reply = vec![0; 4096];
        let length = self.0.recv(&mut reply).context("lost over UDP")?;
        reply.truncate(length);
        Ok(reply)
    }
}

impl Client for Tcp {
    fn ask(&mut self, query: &[u8]) -> Result<Vec<u8>> {
        let framed = [&(query.len() as u16).to_be_bytes()[..], query].concat();
        self.0.write_all(&framed)?;
        let mut length = [0; 2];
        self.0.read_exact(&mut length).context("lost over TCP")?;
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        self.0.read_exact(&mut reply).context("lost over TCP")?;
        Ok(reply)
    }
}

/// The last octet of the name's one address.
fn host(client: &mut dyn Client, name: &str) -> Result<u8> {
    let mut query = Query::new(&wire_name(name), 1);
    query.id = rand::random();
    let reply = client.ask(&query.build())?;
    let message = Message::from_bytes(&reply)?;
    match &message.answers[..] {
        [record] if message.metadata.id == query.id => match record.data {
            RData::A(address) => Ok(address.octets()[3]),
            _ => anyhow::bail!("{name}: {record}"),
        },
        _ => anyhow::bail!("{name}: {message}"),
    }
}

/// Asks until told to stop; the changing name never goes back, and never shows what is broken.
fn watch(mut client: impl Client, newest: &AtomicU8, stop: &AtomicBool) -> Result<u64> {
    let (mut asked, mut last) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        ensure!(host(&mut client, STEADY)? == 80, "a wrong answer");
        let now = host(&mut client, CHANGING)?;
        // The writer raises `newest` before the file changes.
        ensure!(
            now >= last && now <= newest.load(Ordering::SeqCst),
            "{now} after {last}"
        );
        last = now;
        asked += 2;
    }
    Ok(asked)
}

fn good(host: u8) -> String {
    format!("$TTL 60\n@ SOA ns host {host} 1 1 1 1\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.{host}\n")
}

#[test]
fn broken_zones_cost_no_answer() -> Result<()> {
    let server = Server::start("")?;
    let reload = || server.request("POST", "/api/v1/reload", Some(&json!({})));
    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    let config = config.replace("zones: [", "zones: [{name: other.test., file: other.test.zone}, ");
    server.write("other.test.zone", &good(1))?;
    server.write("hotdns.yaml", &config)?;
    assert_eq!(reload()?.status, 200);

    let (newest, stop) = (AtomicU8::new(1), AtomicBool::new(false));
    let failures = thread::scope(|scope| -> Result<usize> {
        let mut watchers = Vec::new();
        for _ in 0..2 {
            let (udp, tcp) = (Udp::connect(server.dns)?, Tcp::connect(server.dns)?);
            watchers.push(scope.spawn(|| watch(udp, &newest, &stop)));
            watchers.push(scope.spawn(|| watch(tcp, &newest, &stop)));
        }
        let outcome = break_and_mend(&server, &config, &newest);
        stop.store(true, Ordering::Relaxed);
        for watcher in watchers {
            let asked = watcher.join().expect("watchers do not panic")?;
            assert!(asked > 20, "{asked} questions are no load");
        }
        outcome
    })?;
    assert_eq!(server.metric("hotdns_reload_failures_total")?, failures as f64);
    Ok(())
}

/// Returns how many units could not be loaded.
fn break_and_mend(server: &Server, config: &str, newest: &AtomicU8) -> Result<usize> {
    let reload = || server.request("POST", "/api/v1/reload", Some(&json!({})));
    let mut clients: [Box<dyn Client>; 2] = [Box::new(Udp::connect(server.dns)?), Box::new(Tcp::connect(server.dns)?)];
    let mut failures = 0;
    for round in 0..3 {
        for (number, (content, complaint)) in BROKEN.iter().enumerate() {
            let host_now = (2 + round * BROKEN.len() + number) as u8;
            newest.store(host_now, Ordering::SeqCst);
            server.write("other.test.zone", &good(host_now))?;
            let reply = reload()?;
            assert_eq!(
                (reply.status, &reply.json["failed"]),
                (200, &json!([])),
                "{}",
                reply.text
            );
            for client in &mut clients {
                assert_eq!(host(client.as_mut(), CHANGING)?, host_now, "the new content");
            }

            server.write("other.test.zone", content)?;
            let reply = reload()?;
            assert_eq!(reply.status, 200, "{}", reply.text);
            let failed = &reply.json["failed"];
            assert_eq!(failed.as_array().map(Vec::len), Some(1), "{failed}");
            assert_eq!(failed[0]["zone"], "other.test.", "{failed}");
            assert!(
                failed[0]["error"].to_string().contains(complaint),
                "{complaint}: {failed}"
            );
            failures += 1;
            for client in &mut clients {
                assert_eq!(host(client.as_mut(), CHANGING)?, host_now, "the last good content");
            }
        }
        server.write("hotdns.yaml", &format!("{config}no_such_key: 1\n"))?;
        assert_eq!(reload()?.status, 422);
        failures += 1;
        server.write("hotdns.yaml", config)?;
    }
    Ok(failures)
}
