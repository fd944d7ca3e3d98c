//! A load over TCP: connections that each keep a number of queries under way (RFC 7766 §6.2.1.1).
//!
//! A thread for each processor has its share of the connections. It reads what has come, checks every reply, and sends
//! as many new queries as there were replies.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::circuit::Circuit;
use super::layout as words;
use super::load::Load;

/// Different queries of a thread.
const QUERIES: usize = 1 << 14;
/// Octets of one read.
const READ_BYTES: usize = 64 << 10;
/// How often clients that do not read send what they can.
const STUFFINGS: usize = 20;
/// How long a server may take to say anything at all.
const SILENCE: u16 = 5000;

/// How the load is made up.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Connections in all.
    pub connections: usize,
    /// Queries under way on each.
    pub depth: usize,
}

/// Replies in a second over TCP; an error where one is wrong.
pub fn rate(circuit: &Circuit, load: &Load, shape: Shape, time: Duration) -> Result<f64> {
    let address = circuit.server_address(load);
    let workers = super::circuit::processors()?.len().min(shape.connections);
    let (replies, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for worker in 0..workers {
            let share = shape.connections / workers + usize::from(worker < shape.connections % workers);
            let mut worker = Worker::connect(circuit, address, load, share, shape.depth)?;
            let (replies, stop) = (&replies, &stop);
            threads.push(scope.spawn(move || worker.run(replies, stop)));
        }
        thread::sleep(time / 5);
        let (start, before) = (Instant::now(), replies.load(Ordering::Relaxed));
        thread::sleep(time);
        let rate = (replies.load(Ordering::Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().expect("these threads do not panic")?;
        }
        Ok(rate)
    })
}

struct Worker {
    connections: Vec<Connection>,
    queries: Vec<Vec<u8>>,
    next: usize,
    rcode: u8,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Worker {
    fn connect(circuit: &Circuit, address: SocketAddr, load: &Load, connections: usize, depth: usize) -> Result<Self> {
        let mut worker = Self {
            connections: Vec::with_capacity(connections),
            queries: (0..QUERIES).map(|_| framed_query(load)).collect(),
            next: 0,
            rcode: load.rcode,
        };
        for _ in 0..connections {
            let stream = circuit.client.enter(|| {
                TcpStream::connect_timeout(&address, Duration::from_secs(5))
                    .with_context(|| format!("cannot connect to {address}"))
            })?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut output = Vec::new();
            (0..depth).for_each(|_| worker.push_query(&mut output));
            worker.connections.push(Connection {
                stream,
                input: Vec::new(),
                output,
            });
        }
        Ok(worker)
    }

    fn push_query(&mut self, output: &mut Vec<u8>) {
        output.extend_from_slice(&self.queries[self.next]);
        self.next = (self.next + 1) % self.queries.len();
    }

    fn run(&mut self, replies: &AtomicU64, stop: &AtomicBool) -> Result<()> {
        let mut scratch = vec![0; READ_BYTES];
        while !stop.load(Ordering::Relaxed) {
            let mut is_quiet = true;
            for index in 0..self.connections.len() {
                let answered = self.turn(index, &mut scratch)?;
                is_quiet &= answered == 0;
                replies.fetch_add(answered, Ordering::Relaxed);
            }
            if is_quiet {
                self.wait()?;
            }
        }
        Ok(())
    }

    /// Reads, checks and sends on one connection; returns how many replies there were.
    fn turn(&mut self, index: usize, scratch: &mut [u8]) -> Result<u64> {
        let connection = &mut self.connections[index];
        match connection.stream.read(scratch) {
            Ok(0) => bail!("the server has closed a connection"),
            Ok(length) => connection.input.extend_from_slice(&scratch[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("reading"),
        }
        let (mut answered, mut used) = (0, 0);
        while let Some((length, rest)) = connection.input[used..].split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(reply) = rest.get(..length) else { break };
            check(reply, self.rcode)?;
            used += 2 + length;
            answered += 1;
        }
        connection.input.drain(..used);
        let mut output = std::mem::take(&mut self.connections[index].output);
        (0..answered).for_each(|_| self.push_query(&mut output));
        let connection = &mut self.connections[index];
        match connection.stream.write(&output) {
            Ok(length) => drop(output.drain(..length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("writing"),
        }
        connection.output = output;
        Ok(answered)
    }

    /// Until one of the connections can be read, or written where something is left to write.
    fn wait(&self) -> Result<()> {
        let mut descriptors: Vec<_> = self
            .connections
            .iter()
            .map(|connection| {
                let mut events = PollFlags::POLLIN;
                events.set(PollFlags::POLLOUT, !connection.output.is_empty());
                PollFd::new(connection.stream.as_fd(), events)
            })
            .collect();
        let ready = poll(&mut descriptors, PollTimeout::from(SILENCE)).context("poll")?;
        ensure!(ready > 0, "no reply within {SILENCE} ms");
        Ok(())
    }
}

fn framed_query(load: &Load) -> Vec<u8> {
    let number = rand::random_range(0..load.numbers);
    let mut message = load.query(number).build();
    message[..2].copy_from_slice(&words::id_of(words::hex_digits(number as u32)).to_ne_bytes());
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.append(&mut message);
    framed
}

/// The ID follows from the question's digits, as the generator has it.
fn check(reply: &[u8], rcode: u8) -> Result<()> {
    let digits: &[u8; 8] = reply
        .get(13..21)
        .and_then(|digits| digits.try_into().ok())
        .context("a reply is too short")?;
    let is_right = reply[..2] == words::id_of(u64::from_le_bytes(*digits)).to_ne_bytes()
        && reply[2] & 0x80 != 0
        && reply[3] & 15 == rcode
        && reply[6..8] != [0, 0];
    ensure!(is_right, "a wrong reply: {:02x?}", &reply[..reply.len().min(64)]);
    Ok(())
}

/// Opens connections that do nothing; they close when dropped.
pub fn idle(circuit: &Circuit, load: &Load, number: usize) -> Result<Vec<TcpStream>> {
    let address = circuit.server_address(load);
    circuit.client.enter(|| {
        (0..number)
            .map(|opened| {
                TcpStream::connect_timeout(&address, Duration::from_secs(10))
                    .with_context(|| format!("cannot connect to {address}, with {opened} connections open"))
            })
            .collect()
    })
}

/// Asks one query on a connection and waits for its reply.
pub fn ask(stream: &mut TcpStream, load: &Load) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(&framed_query(load)).context("asking")?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).context("waiting for a reply")?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply).context("reading a reply")?;
    check(&reply, load.rcode)
}

/// Opens connections and sends queries on each as long as the server takes them, and reads nothing.
pub fn slow(circuit: &Circuit, load: &Load, number: usize) -> Result<Vec<TcpStream>> {
    let queries: Vec<u8> = (0..1024).flat_map(|_| framed_query(load)).collect();
    let mut streams = idle(circuit, load, number)?;
    for stream in &streams {
        stream.set_nonblocking(true)?;
    }
    // In turns: meanwhile the server answers the others.
    for _ in 0..STUFFINGS {
        for stream in &mut streams {
            match stream.write(&queries) {
                Ok(_) => {}
                // The server takes no more of it, or has cut it off already, as it may.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                    ) => {}
                Err(error) => return Err(error).context("sending queries"),
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(streams)
}
