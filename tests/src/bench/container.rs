//! What containers get: ordinary sockets of the client's namespace ask over veth. Their frames are small, so that an
//! answer has little room behind the query; what finds none before it either passes up to the server's sockets.
//!
//! The client costs more than the server here. The rate says what such a client sees, and *by XDP* which share of its
//! answers never went up.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rand::Rng;

use super::contestant::Stage;
use super::load::Load;
use super::metrics::Metrics;

/// What ordinary sockets got.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Answers in a second.
    pub rate: f64,
    /// The share of the queries that XDP answered.
    pub by_xdp: f64,
    /// The share that it passed because a frame could not grow.
    pub no_room: f64,
}

/// Two sockets for each processor keep this many queries under way together.
pub fn ask(stage: &Stage, load: &Load, in_flight: usize, time: Duration) -> Result<Asked> {
    let server = stage.circuit.server_address(load);
    let count = 2 * super::circuit::processors()?.len();
    let sockets: Vec<UdpSocket> = (0..count)
        .map(|_| stage.circuit.client_socket(server))
        .collect::<Result<_>>()?;
    let before = Metrics::read(stage)?;
    let start = Instant::now();
    let answers: u64 = thread::scope(|scope| {
        let asking: Vec<_> = sockets
            .iter()
            .map(|socket| scope.spawn(|| keep_asking(socket, load, in_flight.div_ceil(count), time)))
            .collect();
        let counts = asking
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?);
        counts.sum::<Result<u64>>()
    })?;
    let elapsed = start.elapsed();
    let after = Metrics::read(stage)?;
    let answered = after.since(&before, "hotdns_xdp_answers_total");
    let passed = after.family_since(&before, "hotdns_xdp_passed_total");
    let all = answered + passed.iter().map(|(_, count)| count).sum::<f64>();
    ensure!(answers > 0 && all > 0.0, "{}: no answer", load.title);
    let no_room = passed.iter().find(|(reason, _)| reason == "no_room");
    Ok(Asked {
        rate: answers as f64 / elapsed.as_secs_f64(),
        by_xdp: answered / all,
        no_room: no_room.map_or(0.0, |(_, count)| count / all),
    })
}

/// Sends a query for each answer.
fn keep_asking(socket: &UdpSocket, load: &Load, in_flight: usize, time: Duration) -> Result<u64> {
    let mut rng = rand::rng();
    let mut send = || -> Result<()> {
        let number = rng.random_range(0..load.numbers);
        socket.send(&load.query(number).build()).context("cannot ask")?;
        Ok(())
    };
    // What got lost is asked again.
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    for _ in 0..in_flight {
        send()?;
    }
    let (start, mut answers, mut reply) = (Instant::now(), 0, [0; 4096]);
    while start.elapsed() < time {
        if socket.recv(&mut reply).is_ok() {
            ensure!(reply[3] & 15 == load.rcode, "{}: RCODE {}", load.title, reply[3] & 15);
            answers += 1;
        }
        send()?;
    }
    Ok(answers)
}
