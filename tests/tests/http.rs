//! HTTP of the running server with clients that hold it down: what others get, and what it costs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt::RcvBuf,
};
use tests::net::{Running, is_skipped, run};
use tests::server::{Server, ZONE, eventually, free_port, program};

/// How long a reply may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection whose client has little room for what it does not read.
fn narrow(server: SocketAddr) -> Result<TcpStream> {
    let socket: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    setsockopt(&socket, RcvBuf, &4096)?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(server))?;
    Ok(socket.into())
}

/// The reply to one GET on a connection of its own.
fn get(server: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .with_context(|| format!("GET {path}"))?;
    Ok(text)
}

fn probes_answer(server: SocketAddr) -> Result<()> {
    for path in ["/health", "/ready", "/metrics"] {
        let text = get(server, path)?;
        ensure!(text.starts_with("HTTP/1.1 200 "), "{path}: {text}");
    }
    Ok(())
}

/// This process holds the other ends.
fn raise_own_limit() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    ensure!(
        hard >= 2048,
        "the limit of open files is {hard}, and this test needs 2048"
    );
    Ok(())
}

#[test]
fn one_client_that_reads_nothing_leaves_the_probes_their_answers_and_costs_little() -> Result<()> {
    raise_own_limit()?;
    let mut server = Server::start("")?;
    // A page of 1,000 RRsets is 8 MB.
    let text = format!("\"{}\" ", "x".repeat(250)).repeat(32);
    let mut zone = ZONE.to_owned();
    for number in 0..1000 {
        zone.push_str(&format!("n{number} TXT ( {text} )\n"));
    }
    server.write("example.com.zone", &zone)?;
    server.stop()?;
    server.run()?;
    let list = "GET /api/v1/records?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // What one list costs while it is made and read is not what this is about.
    let page = get(server.http, "/api/v1/records?limit=1000")?;
    ensure!(page.len() > 8_000_000, "a page has {} octets: {page:.300}", page.len());
    drop(page);
    let before = server.resident_bytes()?;
    let mut held = Vec::new();
    for _ in 0..50 {
        let mut stream = narrow(server.http)?;
        stream.write_all(list.as_bytes())?;
        // It has begun to answer.
        stream.set_read_timeout(Some(LIMIT))?;
        ensure!(stream.peek(&mut [0])? == 1, "no answer");
        held.push(stream);
    }
    probes_answer(server.http)?;
    let grown = server.resident_bytes()?.saturating_sub(before);
    ensure!(grown < 40 << 20, "50 lists that nobody reads take {} KiB", grown >> 10);
    for number in 0..1050 {
        let mut stream = narrow(server.http)?;
        let request = if number % 10 == 0 {
            list.to_owned()
        } else {
            "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20)
        };
        // It may have lost its place by now.
        let _ = stream.write_all(request.as_bytes());
        held.push(stream);
        if number % 100 == 0 {
            probes_answer(server.http)?;
        }
    }
    probes_answer(server.http)?;
    let grown = server.resident_bytes()?.saturating_sub(before);
    ensure!(
        grown < 100 << 20,
        "1,100 connections that read nothing take {} KiB",
        grown >> 10
    );
    let displaced = server.metric("hotdns_http_closed_total{reason=\"displaced\"}")?;
    ensure!(displaced >= 1.0, "{displaced} connections gave way");
    // Those that are left are given up.
    eventually("nobody is connected", || {
        Ok(server.metric("hotdns_http_connections")? <= 2.0)
    })
}

#[test]
fn http_and_dns_over_tcp_leave_each_other_descriptors() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let folder = tempfile::TempDir::new()?;
    let (config, log) = (folder.path().join("c.yaml"), folder.path().join("log"));
    let (port, http) = (free_port()?, free_port()?);
    std::fs::write(
        &config,
        format!(
            "dns_port: {port}\nhttp_port: {http}\nlisten: [\"127.0.0.1\"]\nstorage: {{path: s}}\n\
             records: [{{name: a.example.org, type: A, ttl: 60, value: [192.0.2.1]}}]\n"
        ),
    )?;
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set=-sys_resource", "--inh-caps=-sys_resource"])
        .args(["prlimit", "--nofile=64:64"])
        .arg(program()?);
    command.args(["run", "--config"]).arg(&config);
    let mut running = Running::start(command, &log)?;
    let is_ready = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains(": ready "));
    running.wait_until("ready", LIMIT, is_ready)?;
    let dns = SocketAddr::from(([127, 0, 0, 1], port));
    let http = SocketAddr::from(([127, 0, 0, 1], http));
    let asks_over_tcp = || {
        let port = port.to_string();
        let answer = run(
            "dig",
            &[
                "@127.0.0.1",
                "-p",
                &port,
                "+tcp",
                "+tries=2",
                "+time=10",
                "+short",
                "a.example.org",
            ],
        )?;
        ensure!(answer.trim() == "192.0.2.1", "{answer}");
        anyhow::Ok(())
    };
    let idle = |server| {
        (0..70)
            .map(|_| TcpStream::connect(server))
            .collect::<Result<Vec<_>, _>>()
    };
    let over_http = idle(http)?;
    asks_over_tcp()?;
    probes_answer(http)?;
    drop(over_http);
    let over_dns = idle(dns)?;
    probes_answer(http)?;
    let over_http = idle(http)?;
    probes_answer(http)?;
    drop(over_dns);
    asks_over_tcp()?;
    drop(over_http);
    let text = running.output();
    ensure!(!text.contains("cannot accept"), "{text}");
    ensure!(running.stop()?.success());
    Ok(())
}

#[test]
fn the_probes_answer_while_the_server_starts() -> Result<()> {
    let mut server = Server::start("")?;
    server.stop()?;
    let mut zone = ZONE.to_owned();
    for number in 0..100_000 {
        zone.push_str(&format!("n{number} A 192.0.2.1\n"));
    }
    server.write("example.com.zone", &zone)?;
    let http = server.http;
    let watcher = std::thread::spawn(move || -> Result<[String; 3]> {
        let start = std::time::Instant::now();
        while start.elapsed() < LIMIT {
            if let Ok(ready) = get(http, "/ready") {
                return Ok([ready, get(http, "/health")?, get(http, "/api/v1/records?limit=1")?]);
            }
        }
        bail!("nothing answers")
    });
    server.run()?;
    let [ready, health, _] = watcher.join().expect("no panic")?;
    ensure!(
        ready.starts_with("HTTP/1.1 503 ") && ready.contains("not_ready"),
        "{ready}"
    );
    ensure!(health.starts_with("HTTP/1.1 200 "), "{health}");
    ensure!(get(http, "/ready")?.starts_with("HTTP/1.1 200 "));
    ensure!(get(http, "/api/v1/records?limit=1")?.starts_with("HTTP/1.1 200 "));
    Ok(())
}

#[test]
fn a_change_by_a_client_that_has_finished_writing_is_answered() -> Result<()> {
    let server = Server::start("")?;
    let body = r#"{"name":"half.example.com","type":"A","value":["192.0.2.1"]}"#;
    let mut stream = TcpStream::connect(server.http)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(
        stream,
        "POST /api/v1/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: \
        {}\r\n\r\n{body}",
        body.len()
    )?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    ensure!(
        text.starts_with("HTTP/1.1 201 ") && text.contains("half.example.com."),
        "{text}"
    );
    Ok(())
}

#[test]
fn names_that_nobody_can_ask_for_are_errors_of_the_configuration() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let config = folder.path().join("c.yaml");
    let check = |text: &str| -> Result<(bool, String)> {
        std::fs::write(&config, text)?;
        let output = Command::new(program()?)
            .args(["check", "--config"])
            .arg(&config)
            .output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8(said)?))
    };
    for (text, place, part) in [
        (
            "records:\n  - {name: \"a.x\\n\", type: A, value: [192.0.2.1]}\n",
            ":2:12:",
            "a line feed",
        ),
        (
            "records:\n  - {name: a b.x, type: A, value: [192.0.2.1]}\n",
            ":2:12:",
            "a space",
        ),
        (
            "records:\n  - {name: \"@\", type: A, value: [192.0.2.1]}\n",
            ":2:12:",
            "write the zone's name",
        ),
        (
            "records:\n  - {name: -ü.x, type: A, value: [192.0.2.1]}\n",
            ":2:12:",
            "hyphen",
        ),
        ("zones:\n  - {name: \"x \", file: x.zone}\n", ":2:12:", "a space"),
        (
            "records:\n  - {name: a.x, type: MX, value: [10 -ü.x]}\n",
            ":2:35:",
            "hyphen",
        ),
    ] {
        let (is_good, said) = check(text)?;
        ensure!(
            !is_good && said.contains(place) && said.contains(part),
            "{text}: {said}"
        );
    }
    let good = "records:\n  - {name: bücher.x, type: MX, value: [10 straße.x]}\n  \
                - {name: 'a\\032b.x', type: A, value: [192.0.2.1]}\n";
    let (is_good, said) = check(good)?;
    ensure!(is_good, "{said}");
    Ok(())
}
