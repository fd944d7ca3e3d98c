//! The query log of the running server: what is in it, that it survives rotation, and that nobody waits for it.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::net::is_skipped;
use tests::server::{Server, eventually};

/// Without XDP, whose answers are not logged.
fn start(query_log: &str) -> Result<Server> {
    let mut server = Server::start("")?;
    server.stop()?;
    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    let config = config.replace("mode: auto", "mode: off");
    server.write("hotdns.yaml", &format!("{config}query_log: {{{query_log}}}\n"))?;
    server.run()?;
    Ok(server)
}

fn lines(server: &Server, file: &str) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(server.path(file)).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

#[test]
fn each_query_is_a_line_and_a_rotated_file_is_made_anew() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = start("to: queries.log")?;
    server.dig(&["www.example.com", "A"])?;
    server.dig(&["nope.example.com", "TXT", "+tcp"])?;
    server.dig(&["other.example.net", "A"])?;
    eventually("three lines", || Ok(lines(&server, "queries.log")?.len() == 3))?;
    let all = lines(&server, "queries.log")?;
    let members = ["transport", "name", "type", "class", "rcode", "answers"];
    let shown: Vec<String> = all
        .iter()
        .map(|line| {
            members
                .map(|member| line[member].to_string())
                .join(" ")
                .replace('"', "")
        })
        .collect();
    assert_eq!(
        shown,
        [
            "udp www.example.com. A IN NOERROR 1",
            "tcp nope.example.com. TXT IN NXDOMAIN 0",
            "udp other.example.net. A IN REFUSED 0",
        ]
    );
    ensure!(
        all[0]["client"] == "127.0.0.1" && all[0]["port"].as_u64() > Some(0),
        "{}",
        all[0]
    );
    std::fs::rename(server.path("queries.log"), server.path("queries.log.1"))?;
    eventually("lines go to a new file", || {
        server.dig(&["www.example.com", "A"])?;
        Ok(!lines(&server, "queries.log")?.is_empty())
    })?;
    ensure!(server.metric("hotdns_query_log_written_total")? >= 4.0);
    assert_eq!(server.metric("hotdns_query_log_dropped_total")?, 0.0);
    Ok(())
}

#[test]
fn filters_say_what_is_written() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = start(
        "to: queries.log, names: [sub.example.com., www.example.com.], rcodes: [noerror], clients: [127.0.0.0/8]",
    )?;
    for name in ["mail.example.com", "nope.www.example.com", "www.example.com"] {
        server.dig(&[name, "A"])?;
    }
    eventually("a line", || Ok(!lines(&server, "queries.log")?.is_empty()))?;
    let all = lines(&server, "queries.log")?;
    ensure!(all.len() == 1 && all[0]["name"] == "www.example.com.", "{all:?}");
    Ok(())
}

#[test]
fn a_collector_that_hangs_holds_nothing_back() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = start("to: 'unix:collector.sock'")?;
    // Nobody listens yet: answers come all the same, and are counted.
    server.dig(&["www.example.com", "A"])?;
    eventually("it is counted", || {
        Ok(server.metric("hotdns_query_log_dropped_total")? >= 1.0)
    })?;
    let listener = UnixListener::bind(server.path("collector.sock"))?;
    eventually("lines come once somebody listens", || {
        server.dig(&["www.example.com", "A"])?;
        Ok(server.metric("hotdns_query_log_written_total")? >= 1.0)
    })?;
    let (stream, _) = listener.accept()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    ensure!(line.contains("www.example.com."), "{line}");
    // This one takes nothing: more than its buffer and the queue hold.
    let started = Instant::now();
    let arguments = [
        "-s",
        "127.0.0.1",
        "-p",
        &server.dns.port().to_string(),
        "-d",
        "queries",
        "-l",
        "4",
        "-q",
        "50",
    ];
    server.write("queries", "www.example.com A\nmail.example.com A\n")?;
    let mut dnsperf = std::process::Command::new("dnsperf");
    let output = dnsperf
        .args(arguments)
        .current_dir(server.path(""))
        .output()
        .context("cannot start dnsperf")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(said.contains("Queries lost:         0"), "{said}");
    ensure!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    eventually("what was not written is counted", || {
        Ok(server.metric("hotdns_query_log_dropped_total")? > 100.0)
    })
}
