//! What TCP connections cost the running server whose clients do not read, or have nothing to ask.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt::RcvBuf,
};
use tests::frames::{Query, wire_name};
use tests::net::PATIENCE;
use tests::server::{Server, ZONE};

/// Connections of each kind.
const CONNECTIONS: usize = 500;
/// Queries that are sent at once.
const QUERIES: usize = 400;
/// In which time a client has to take some of the replies that wait for it (docs/sockets.md).
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A server with a TXT RRset of some 4,000 octets at `large.example.com`, and another of 60,000 at `huge`.
fn server() -> Result<Server> {
    // However long it takes to make as many connections: no time-out is what this is about.
    let mut server = Server::start("tcp: {idle_timeout: 1h}\n")?;
    let text = |letter: &str, strings: usize| format!("\"{}\" ", letter.repeat(250)).repeat(strings);
    let zone = format!(
        "{ZONE}large TXT ( {} )\nhuge TXT ( {} )\n",
        text("l", 16),
        text("h", 240)
    );
    server.write("example.com.zone", &zone)?;
    server.stop()?;
    server.run()?;
    Ok(server)
}

fn framed(name: &str) -> Result<Vec<u8>> {
    let message = Query::new(&wire_name(name), 16).build();
    let mut framed = u16::try_from(message.len())?.to_be_bytes().to_vec();
    framed.extend_from_slice(&message);
    Ok(framed)
}

/// A connection whose client has little room for what it does not read.
fn narrow(server: &Server) -> Result<TcpStream> {
    let socket: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    setsockopt(&socket, RcvBuf, &4096)?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(server.dns))?;
    Ok(socket.into())
}

fn ask(stream: &mut TcpStream, name: &str) -> Result<usize> {
    stream.write_all(&framed(name)?).context("asking")?;
    read_reply(stream)
}

fn read_reply(stream: &mut TcpStream) -> Result<usize> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).context("waiting for a reply")?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply).context("reading a reply")?;
    ensure!(
        reply.len() > 12 && reply[3] & 15 == 0 && reply[6..8] != [0, 0],
        "no answer: {reply:02x?}"
    );
    Ok(reply.len())
}

fn client(server: &Server) -> Result<TcpStream> {
    let stream = TcpStream::connect(server.dns)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn open_connections(server: &Server) -> Result<usize> {
    Ok(server.metric("hotdns_tcp_connections")? as usize)
}

fn wait_for_places(server: &Server) -> Result<()> {
    let start = Instant::now();
    while open_connections(server)? > 0 {
        ensure!(start.elapsed() < PATIENCE, "places do not come back");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Clients that ask as much as the server takes and read nothing; what they add to its memory, each, in octets.
fn cost_of_slow_readers(server: &Server, name: &str) -> Result<usize> {
    let queries = framed(name)?.repeat(QUERIES);
    let before = server.resident_bytes()?;
    let mut streams = (0..CONNECTIONS).map(|_| narrow(server)).collect::<Result<Vec<_>>>()?;
    let start = Instant::now();
    for stream in &streams {
        stream.set_nonblocking(true)?;
    }
    for _ in 0..10 {
        for stream in &mut streams {
            match stream.write(&queries) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("sending queries"),
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let after = server.resident_bytes()?;
    // Read before the clock: what is closed by then is closed too early, unless the time is up.
    let open = open_connections(server)?;
    ensure!(
        open == CONNECTIONS || start.elapsed() >= WRITE_TIMEOUT,
        "a client that does not read was cut off too early: {open} are open"
    );
    // Others are served meanwhile.
    let mut honest = client(server)?;
    for name in ["www.example.com", "large.example.com", "huge.example.com"] {
        ask(&mut honest, name).with_context(|| format!("{name} beside slow readers"))?;
    }
    Ok(after.saturating_sub(before) as usize / CONNECTIONS)
}

/// One after the other would measure memory that the first has left behind.
fn check_slow_readers(name: &str, most: usize) -> Result<()> {
    let server = server()?;
    // So that what is allocated once is there.
    ask(&mut client(&server)?, "huge.example.com")?;
    let cost = cost_of_slow_readers(&server, name)?;
    eprintln!("{name}: {cost} octets for each client that does not read");
    assert!(cost <= most, "{name}: {cost} octets each, {most} are allowed");
    wait_for_places(&server)?;
    for _ in 0..10 {
        ask(&mut client(&server)?, name)?;
    }
    // What they have cost is there for the next.
    let again = cost_of_slow_readers(&server, name)?;
    assert!(again <= most / 2, "{name}: another {again} octets each");
    Ok(())
}

#[test]
fn clients_that_do_not_read_cost_little() -> Result<()> {
    check_slow_readers("large.example.com", 36 << 10)
}

#[test]
fn clients_that_do_not_read_the_largest_answers_cost_one_of_them() -> Result<()> {
    check_slow_readers("huge.example.com", 84 << 10)
}

#[test]
fn clients_that_have_nothing_to_ask_cost_next_to_nothing() -> Result<()> {
    let server = server()?;
    let query = framed("www.example.com")?;
    let before = server.resident_bytes()?;
    let mut streams = (0..CONNECTIONS).map(|_| client(&server)).collect::<Result<Vec<_>>>()?;
    // The last query is not whole.
    let queries = query.repeat(QUERIES + 1);
    for stream in &mut streams {
        stream.write_all(&queries[..queries.len() - 1])?;
        for _ in 0..QUERIES {
            read_reply(stream)?;
        }
    }
    ensure!(open_connections(&server)? == CONNECTIONS, "not all of them are open");
    let cost = server.resident_bytes()?.saturating_sub(before) as usize / CONNECTIONS;
    eprintln!("{cost} octets for each client with nothing to ask");
    assert!(cost <= 8 << 10, "{cost} octets each");
    Ok(())
}
