//! dnstap of the running server, read back by Debian's `fstrm_capture` and `dnstap-ldns`.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tests::net::{Namespace, Running, is_skipped};
use tests::server::{Server, eventually, free_port};

const CONTENT: &str = "protobuf:dnstap.Dnstap";

/// A collector that writes what it gets into `file`.
fn capture(arguments: &[&str], file: &Path, log: &Path) -> Result<Running> {
    let mut command = Command::new("fstrm_capture");
    command.args(["-t", CONTENT, "-w"]).arg(file).args(arguments);
    Running::start(command, log)
}

/// Ends the collector, which then writes its file to the end, and gives what is in it: a line for each message, such as
/// `CQ 127.0.0.1 UDP 40b "www.example.com." IN A`.
fn read(collector: Running, file: &Path) -> Result<Vec<String>> {
    collector.stop()?;
    let text = tests::net::run("dnstap-ldns", &["-r", file.to_str().context("UTF-8")?, "-q"])?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn without_xdp(more: &str) -> Result<Server> {
    let mut server = Server::start("")?;
    server.stop()?;
    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    let config = config.replace("mode: auto", "mode: off");
    server.write("hotdns.yaml", &format!("{config}{more}"))?;
    Ok(server)
}

#[test]
fn queries_and_answers_over_a_socket_and_again_after_the_collector_comes_back() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut server = without_xdp("dnstap: {to: 'unix:tap.sock', identity: ns1}\n")?;
    server.run()?;
    let socket = server.path("tap.sock");
    let socket_text = socket.to_str().context("UTF-8")?.to_owned();
    // Nobody listens: answers come, and what is lost is counted.
    server.dig(&["www.example.com", "A"])?;
    eventually("frames are counted", || {
        Ok(server.metric("hotdns_dnstap_dropped_total")? >= 2.0)
    })?;
    for round in ["first", "second"] {
        let (file, log) = (server.path(round), server.path(&format!("{round}.log")));
        let collector = capture(&["-u", &socket_text], &file, &log)?;
        let before = server.metric("hotdns_dnstap_written_total")?;
        eventually("frames are taken", || {
            server.dig(&["www.example.com", "A"])?;
            Ok(server.metric("hotdns_dnstap_written_total")? > before)
        })?;
        // More than are looked for: the collector may not have read the last ones when it is ended.
        eventually("the frames of TCP too", || {
            server.dig(&["mail.example.com", "AAAA", "+tcp"])?;
            Ok(server.metric("hotdns_dnstap_written_total")? >= before + 16.0)
        })?;
        let found = read(collector, &file)?;
        for expected in [" CQ ", " CR ", "UDP", "TCP", "www.example.com", "mail.example.com"] {
            ensure!(
                found.iter().any(|line| line.contains(expected)),
                "{expected}: {found:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_collector_that_reads_nothing_holds_nothing_back() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut server = without_xdp("dnstap: {to: 'unix:tap.sock'}\n")?;
    let listener = UnixListener::bind(server.path("tap.sock"))?;
    server.run()?;
    // It says that it takes frames, and then reads none.
    let (mut collector, _) = listener.accept()?;
    accept_frames(&mut collector)?;
    eventually("frames are taken", || {
        server.dig(&["www.example.com", "A"])?;
        Ok(server.metric("hotdns_dnstap_written_total")? > 0.0)
    })?;
    server.write("queries", "www.example.com A\nmail.example.com A\n")?;
    let (port, queries) = (server.dns.port().to_string(), server.path("queries"));
    let queries = queries.to_str().context("UTF-8")?;
    let load = ["-s", "127.0.0.1", "-p", &port, "-d", queries, "-l", "3", "-q", "50"];
    let said = tests::net::run("dnsperf", &load)?;
    ensure!(said.contains("Queries lost:         0"), "{said}");
    eventually("what was not taken is counted", || {
        Ok(server.metric("hotdns_dnstap_dropped_total")? > 100.0)
    })?;
    // It was disconnected, and another one takes frames.
    let (mut next, _) = listener.accept()?;
    accept_frames(&mut next)?;
    std::thread::spawn(move || std::io::copy(&mut next, &mut std::io::sink()));
    let before = server.metric("hotdns_dnstap_written_total")?;
    eventually("frames are taken again", || {
        server.dig(&["www.example.com", "A"])?;
        Ok(server.metric("hotdns_dnstap_written_total")? > before)
    })
}

/// What a collector does at first: it reads READY, and says ACCEPT.
fn accept_frames(stream: &mut UnixStream) -> Result<()> {
    let mut ready = vec![0; 8 + 12 + CONTENT.len()];
    stream.read_exact(&mut ready)?;
    // The same frame with another type.
    ready[8..12].copy_from_slice(&1u32.to_be_bytes());
    Ok(stream.write_all(&ready)?)
}

#[test]
fn questions_to_other_servers_over_tcp() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    // An upstream server that says NXDOMAIN.
    let upstream = UdpSocket::bind("127.0.0.1:0")?;
    let address = upstream.local_addr()?;
    std::thread::spawn(move || {
        let mut message = [0; 1500];
        while let Ok((length, client)) = upstream.recv_from(&mut message) {
            let mut reply = message[..length].to_vec();
            (reply[2], reply[3]) = (0x81, 0x83);
            let _ = upstream.send_to(&reply, client);
        }
    });
    let port = free_port()?;
    let mut server = without_xdp(&format!(
        "dnstap: {{to: 'tcp://127.0.0.1:{port}'}}\nbackend: {{upstream: {{enabled: true, servers: ['{address}']}}}}\n"
    ))?;
    let (file, log) = (server.path("frames"), server.path("collector.log"));
    let arguments = ["-a", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned);
    let collector = capture(&arguments.each_ref().map(String::as_str), &file, &log)?;
    server.run()?;
    eventually("frames are taken", || {
        server.dig(&["other.example.net", "A"])?;
        Ok(server.metric("hotdns_dnstap_written_total")? >= 16.0)
    })?;
    let found = read(collector, &file)?;
    for expected in [" CQ ", " CR ", " FQ ", " FR "] {
        let is_so = |line: &String| line.contains(expected) && line.contains("other.example.net");
        ensure!(found.iter().any(is_so), "{expected}: {found:?}");
    }
    Ok(())
}

#[test]
fn answers_of_xdp_are_whole_messages() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let home = Namespace::new("tap")?;
    home.ip(&["link", "set", "lo", "up"])?;
    let server = Server::start_in(&home, "lo", "dnstap: {to: 'unix:tap.sock'}\n")?;
    let (file, log, socket) = (
        server.path("frames"),
        server.path("collector.log"),
        server.path("tap.sock"),
    );
    let collector = capture(&["-u", socket.to_str().context("UTF-8")?], &file, &log)?;
    eventually("frames are taken", || {
        home.enter(|| {
            server.dig(&["big.example.com", "TXT", "+bufsize=1232", "+nocookie"])?;
            let is_written = server.metric("hotdns_dnstap_written_total")? >= 8.0;
            Ok(is_written && server.metric("hotdns_xdp_answers_total")? >= 4.0)
        })
    })?;
    collector.stop()?;
    let path = file.to_str().context("UTF-8")?;
    let text = tests::net::run("dnstap-ldns", &["-r", path, "-y"])?;
    ensure!(text.contains("type: CLIENT_RESPONSE"), "{text}");
    ensure!(
        text.contains("4123456789012345678901234567890123456789"),
        "the end of the answer: {text}"
    );
    Ok(())
}
