//! Clients that mean no good: none of them may cost the others an answer.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Shared;
use super::world::SERVER;
use crate::bench::fuzz::mutate::{Mutator, Surface};
use crate::frames::{Query, wire_name};
use crate::net::{Namespace, RawSocket, VethPair};

/// Where the API is, within the server's namespace.
const API: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// How long one connects at most: while the server is down nobody answers.
const CONNECT: Duration = Duration::from_secs(1);
/// How long one of them stays.
const STAY_MILLIS: std::ops::Range<u64> = 0..5000;

/// Starts them; they end with everything else.
pub(super) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    seed: u64,
    connections: usize,
    (client, server, pair): (&'scope Namespace, &'scope Namespace, &'scope VethPair),
    shared: &'scope Shared,
) {
    let [first, second, third] = [1, 2, 3].map(|kind| StdRng::seed_from_u64(seed ^ (kind << 48)));
    scope.spawn(move || judged(shared, client.enter(|| frames(first, pair, shared))));
    scope.spawn(move || {
        judged(
            shared,
            client.enter(|| streams(second, SERVER, connections, dns, shared)),
        )
    });
    scope.spawn(move || judged(shared, server.enter(|| streams(third, API, connections, http, shared))));
}

/// That they cannot do their work is a fault of the bench's.
fn judged(shared: &Shared, outcome: Result<()>) {
    if let Err(fault) = outcome {
        shared.fail(fault.context("a hostile client"));
    }
}

/// Frames as attackers, broken devices and bad luck make them.
fn frames(rng: StdRng, pair: &VethPair, shared: &Shared) -> Result<()> {
    let names = [
        "www.a.test.",
        "www.b.test.",
        "h1.large.test.",
        "nowhere.a.test.",
        "elsewhere.example.",
    ];
    let surface = Surface {
        client_mac: pair.first.mac,
        server_mac: pair.second.mac,
        clients: pair.first.addresses.clone(),
        servers: pair.second.addresses.clone(),
        names: names.map(wire_name).to_vec(),
        apexes: ["a.test.", "b.test.", "large.test."].map(wire_name).to_vec(),
    };
    let socket = RawSocket::open(pair.first.index)?;
    let mut mutator = Mutator::new(rng, &surface);
    while !shared.is_over() {
        for _ in 0..20 {
            // Longer ones than the MTU are not taken.
            let _ = socket.send(&mutator.packet());
            shared.hostilities.fetch_add(1, Ordering::Relaxed);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Connections that stay for some time and do what a client should not.
fn streams(
    mut rng: StdRng,
    server: SocketAddr,
    most: usize,
    act: fn(&mut StdRng, &mut TcpStream) -> std::io::Result<()>,
    shared: &Shared,
) -> Result<()> {
    let mut open: Vec<(TcpStream, Instant)> = Vec::new();
    while !shared.is_over() {
        open.retain(|(_, until)| *until > Instant::now());
        if open.len() < most
            && let Ok(mut stream) = TcpStream::connect_timeout(&server, CONNECT)
        {
            stream.set_nonblocking(true)?;
            // What the server does not take, or closes, is its right.
            let _ = act(&mut rng, &mut stream);
            let until = Instant::now() + Duration::from_millis(rng.random_range(STAY_MILLIS));
            open.push((stream, until));
            shared.hostilities.fetch_add(1, Ordering::Relaxed);
        }
        // Some go on, a few octets at a time.
        if let Some((stream, _)) = open.last_mut() {
            let _ = stream.write(&[rng.random(), 0]);
        }
        thread::sleep(Duration::from_millis(rng.random_range(0..30)));
    }
    Ok(())
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

/// Over TCP to the DNS port.
fn dns(rng: &mut StdRng, stream: &mut TcpStream) -> std::io::Result<()> {
    let large = framed(&Query::new(&wire_name("large.a.test."), 16).build());
    match rng.random_range(0..5) {
        // Asks for much and never reads.
        0 | 1 => stream.write_all(&large.repeat(500)),
        // A message that never ends.
        2 => stream.write_all(&large[..rng.random_range(1..large.len())]),
        // The longest one, of noise.
        3 => {
            let noise: Vec<u8> = (0..u16::MAX).map(|_| rng.random()).collect();
            stream.write_all(&framed(&noise))
        }
        // Asks, and resets without a word.
        _ => {
            stream.write_all(&large)?;
            let _ = stream.read(&mut [0; 1]);
            stream.shutdown(std::net::Shutdown::Write)
        }
    }
}

/// Over TCP to the API.
fn http(rng: &mut StdRng, stream: &mut TcpStream) -> std::io::Result<()> {
    match rng.random_range(0..6) {
        // Nothing at all.
        0 => Ok(()),
        // A head that never ends.
        1 => stream.write_all(b"GET /api/v1/records HTTP/1.1\r\nHost: localhost\r\nX-A: b"),
        // Listings that nobody reads.
        2 => stream.write_all(&b"GET /api/v1/records?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20)),
        // A body that never comes.
        3 => stream.write_all(
            b"POST /api/v1/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
              Content-Length: 1000\r\n\r\n{\"name\":",
        ),
        // No HTTP.
        4 => {
            let noise: Vec<u8> = (0..rng.random_range(1..20_000)).map(|_| rng.random()).collect();
            stream.write_all(&noise)
        }
        // A body that is wrong, whole, and of a client that has gone by then.
        _ => {
            stream.write_all(
                b"PUT /api/v1/records/hostile.a.test HTTP/1.1\r\nHost: localhost\r\n\
                  Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"type\":\"A\",\"value\":",
            )?;
            stream.shutdown(std::net::Shutdown::Both)
        }
    }
}
