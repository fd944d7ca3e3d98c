//! Clients that are processes, one on each processor: what a server answers to them at most, and how long queries over
//! UDP take at a given rate.
//!
//! They share the processors with the server, so the peak here is far below that of the closed loop in the kernel. At a
//! given rate they run at once when they are due (`SCHED_FIFO`), so that the times are the server's and the kernel's.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, gettid};

use super::circuit::{Circuit, processors};
use super::load::Load;
use crate::net::run;

/// Sockets of one client: the server's kernel spreads them over its workers.
const SOCKETS: usize = 8;
/// Different queries of a client.
const QUERIES: usize = 1 << 14;
/// Queries that are sent at once, at most, when the client is behind.
const BURST: u64 = 16;
/// Queries under way of each client that looks for the peak.
const WINDOW: u64 = 16;
/// Between two looks for replies and for what is due. To be woken by each reply would cost the server more time.
const LOOK: Duration = Duration::from_micros(50);
/// A reply that takes longer is lost.
const PATIENCE: Duration = Duration::from_millis(500);

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct PacedSample {
    elapsed: f64,
    sent: u64,
    /// Of each reply, in microseconds, in order.
    times: Vec<f64>,
}

impl PacedSample {
    /// Queries in a second.
    pub fn rate(&self) -> f64 {
        self.sent as f64 / self.elapsed
    }

    /// The share of the queries that was never answered.
    pub fn lost(&self) -> f64 {
        1.0 - self.times.len() as f64 / self.sent.max(1) as f64
    }

    /// The time within which this share of all queries was answered, in microseconds; infinite where fewer were.
    pub fn percentile(&self, share: f64) -> f64 {
        let wanted = (self.sent as f64 * share).ceil() as usize;
        self.times
            .get(wanted.saturating_sub(1))
            .copied()
            .unwrap_or(f64::INFINITY)
    }
}

/// Queries a second that are answered where each client has a few under way all the time.
pub fn peak(circuit: &Circuit, load: &Load, time: Duration) -> Result<f64> {
    let sample = all(circuit, load, |client, cpu, _| client.run_closed(cpu, time))?;
    Ok(sample.times.len() as f64 / sample.elapsed)
}

/// Asks at `rate` a second for `time`; an error where a reply is wrong.
pub fn times(circuit: &Circuit, load: &Load, rate: f64, time: Duration) -> Result<PacedSample> {
    let mut sample = all(circuit, load, |client, cpu, clients| {
        client.run(cpu, rate / clients as f64, time)
    })?;
    sample.times.sort_by(f64::total_cmp);
    Ok(sample)
}

/// Runs a client on each processor; `run` is told which one, and how many there are.
fn all(
    circuit: &Circuit,
    load: &Load,
    run: impl Fn(Client, usize, usize) -> Result<PacedSample> + Sync,
) -> Result<PacedSample> {
    let server = circuit.server_address(load);
    let cpus = processors()?;
    let (run, number) = (&run, cpus.len());
    thread::scope(|scope| {
        let clients: Vec<_> = cpus
            .iter()
            .map(|&cpu| {
                scope.spawn(move || {
                    circuit
                        .client
                        .enter(|| run(Client::connect(server, load)?, cpu, number))
                })
            })
            .collect();
        let mut all = PacedSample::default();
        for client in clients {
            let one = client.join().expect("clients do not panic")?;
            all.elapsed = one.elapsed;
            all.sent += one.sent;
            all.times.extend(one.times);
        }
        Ok(all)
    })
}

struct Client {
    sockets: Vec<UdpSocket>,
    queries: Vec<Vec<u8>>,
    /// By socket and ID.
    sent_at: Vec<Vec<Option<Instant>>>,
    rcode: u8,
}

impl Client {
    fn connect(server: SocketAddr, load: &Load) -> Result<Self> {
        let sockets = (0..SOCKETS)
            .map(|_| {
                let socket = UdpSocket::bind(("0.0.0.0", 0)).context("cannot bind a client")?;
                socket.connect(server)?;
                socket.set_nonblocking(true)?;
                Ok(socket)
            })
            .collect::<Result<_>>()?;
        let query = |_| load.query(rand::random_range(0..load.numbers)).build();
        Ok(Self {
            sockets,
            queries: (0..QUERIES).map(query).collect(),
            sent_at: vec![vec![None; 1 << 16]; SOCKETS],
            rcode: load.rcode,
        })
    }

    fn run(mut self, cpu: usize, rate: f64, time: Duration) -> Result<PacedSample> {
        stay_on(cpu)?;
        run("chrt", &["--fifo", "--pid", "1", &gettid().to_string()])?;
        let mut sample = PacedSample::default();
        let (start, mut scheduled) = (Instant::now(), 0);
        while start.elapsed() < time {
            let due = (start.elapsed().as_secs_f64() * rate) as u64;
            // What could not be sent in time is left out.
            let behind = (due - scheduled).min(BURST);
            for _ in 0..behind {
                self.send(sample.sent)?;
                sample.sent += 1;
            }
            scheduled = due;
            self.receive(&mut sample.times)?;
            thread::sleep(LOOK);
        }
        sample.elapsed = start.elapsed().as_secs_f64();
        let end = Instant::now();
        while end.elapsed() < PATIENCE {
            thread::sleep(LOOK);
            self.receive(&mut sample.times)?;
        }
        Ok(sample)
    }

    fn run_closed(mut self, cpu: usize, time: Duration) -> Result<PacedSample> {
        stay_on(cpu)?;
        let mut sample = PacedSample::default();
        let (start, mut last_reply, mut lost) = (Instant::now(), Instant::now(), 0);
        let under_way =
            |sample: &PacedSample, lost: u64| (sample.sent - lost).saturating_sub(sample.times.len() as u64);
        while start.elapsed() < time {
            while under_way(&sample, lost) < WINDOW {
                self.send(sample.sent)?;
                sample.sent += 1;
            }
            let before = sample.times.len();
            self.receive(&mut sample.times)?;
            if sample.times.len() > before {
                last_reply = Instant::now();
            } else if last_reply.elapsed() > PATIENCE / 10 {
                // Nothing of all that comes any more.
                lost += under_way(&sample, lost);
                last_reply = Instant::now();
            } else {
                thread::sleep(LOOK);
            }
        }
        sample.elapsed = start.elapsed().as_secs_f64();
        Ok(sample)
    }

    fn send(&mut self, number: u64) -> Result<()> {
        let socket = number as usize % SOCKETS;
        let id = (number as usize / SOCKETS) as u16;
        let query = &mut self.queries[number as usize % QUERIES];
        query[..2].copy_from_slice(&id.to_be_bytes());
        self.sent_at[socket][usize::from(id)] = Some(Instant::now());
        match self.sockets[socket].send(query) {
            Ok(_) => Ok(()),
            // It is lost, as it would be on the way.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).context("asking"),
        }
    }

    fn receive(&mut self, times: &mut Vec<f64>) -> Result<()> {
        let mut reply = [0; 4096];
        for (socket, sent_at) in self.sockets.iter().zip(&mut self.sent_at) {
            loop {
                let length = match socket.recv(&mut reply) {
                    Ok(length) => length,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error).context("receiving"),
                };
                let id = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
                ensure!(
                    length >= 12 && reply[2] & 0x80 != 0 && reply[3] & 15 == self.rcode && reply[6..8] != [0, 0],
                    "a wrong reply: {:02x?}",
                    &reply[..length.min(64)]
                );
                if let Some(sent_at) = sent_at[id].take() {
                    times.push(sent_at.elapsed().as_secs_f64() * 1e6);
                }
            }
        }
        Ok(())
    }
}

fn stay_on(cpu: usize) -> Result<()> {
    let mut here = CpuSet::new();
    here.set(cpu).with_context(|| format!("no processor {cpu}"))?;
    sched_setaffinity(Pid::from_raw(0), &here).context("cannot stay on a processor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_counts_what_was_never_answered() {
        let sample = PacedSample {
            elapsed: 1.0,
            sent: 100,
            times: (1..=99).map(f64::from).collect(),
        };
        assert_eq!((sample.percentile(0.5), sample.percentile(0.99)), (50.0, 99.0));
        assert_eq!(sample.percentile(1.0), f64::INFINITY);
        assert!((sample.lost() - 0.01).abs() < 1e-9);
    }
}
