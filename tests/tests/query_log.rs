//! The query log of the running server: what is in it, that it survives rotation, and that nobody waits for it.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::net::{Namespace, is_skipped};
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

/// What is asked until XDP answers.
const WARMING: &str = "ns1.example.com";

/// A server in a namespace of its own, with XDP on `lo`, which answers there.
fn with_xdp(more: &str) -> Result<(Namespace, Server)> {
    let home = Namespace::new("log")?;
    home.ip(&["link", "set", "lo", "up"])?;
    let server = Server::start_in(&home, "lo", more)?;
    eventually("answers from XDP", || {
        home.enter(|| server.dig(&[WARMING, "A"]))?;
        Ok(home.enter(|| server.metric("hotdns_xdp_answers_total"))? > 0.0)
    })?;
    Ok((home, server))
}

#[test]
fn answers_of_xdp_are_lines_with_zone_view_and_source() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let (home, server) = with_xdp(
        "query_log: {to: queries.log}\nviews: [{name: office, clients: [10.0.0.0/8]}]\nrecords: [{name: \
         www.example.com., type: TXT, ttl: 300, value: [inside], view: office}]\n",
    )?;
    for question in [
        &["www.example.com", "A"][..],
        &["nope.example.com", "A"],
        &["big.example.com", "TXT", "+nocookie"],
    ] {
        home.enter(|| server.dig(question))?;
    }
    let asked_for = || -> Result<Vec<Value>> {
        let mut all = lines(&server, "queries.log")?;
        all.retain(|line| line["name"] != "ns1.example.com.");
        Ok(all)
    };
    eventually("lines", || Ok(asked_for()?.len() >= 3))?;
    let mut all = asked_for()?;
    all.sort_by_key(|line| line["time"].as_str().map(str::to_owned));
    let shown = |line: &Value| {
        [
            "plane",
            "name",
            "rcode",
            "answers",
            "zone",
            "view",
            "source",
            "pass_reason",
            "microseconds",
        ]
        .map(|member| line[member].to_string().replace('"', ""))
        .join(" ")
    };
    assert_eq!(
        all.iter().take(2).map(shown).collect::<Vec<_>>(),
        [
            "xdp www.example.com. NOERROR 1 example.com. null zone_file null null",
            "xdp nope.example.com. NXDOMAIN 0 example.com. null null null null",
        ],
        "{}",
        server.log()
    );
    let first = &all[0];
    ensure!(
        first["client"] == "127.0.0.1" && first["port"].as_u64() > Some(1023),
        "{first}"
    );
    // The clocks of the program and of the log are the same.
    let seconds = tests::net::run("date", &["-d", first["time"].as_str().context("a time")?, "+%s"])?;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs();
    ensure!(now.abs_diff(seconds.trim().parse()?) < 60, "{first}");
    home.enter(|| {
        ensure!(server.metric("hotdns_xdp_answers_total")? >= 2.0);
        ensure!(server.metric("hotdns_xdp_untold_total")? == 0.0);
        Ok(())
    })
}

#[test]
fn xdp_is_silent_where_it_is_to_be_and_samples_where_it_is_to() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let ask = |home: &Namespace, server: &Server| -> Result<f64> {
        server.write("queries", "www.example.com A\nmail.example.com A\n")?;
        let port = server.dns.port().to_string();
        let path = server.path("queries");
        let path = path.to_str().context("UTF-8")?;
        home.run(
            "dnsperf",
            &["-s", "127.0.0.1", "-p", &port, "-d", path, "-n", "1000", "-q", "20"],
        )?;
        home.enter(|| server.metric("hotdns_xdp_answers_total"))
    };
    let (home, server) = with_xdp("query_log: {to: queries.log, xdp: false}\n")?;
    ensure!(ask(&home, &server)? >= 2000.0);
    home.enter(|| server.dig(&["www.example.com", "A", "+tcp"]))?;
    eventually(
        "the line of a socket",
        || Ok(!lines(&server, "queries.log")?.is_empty()),
    )?;
    let all = lines(&server, "queries.log")?;
    ensure!(all.iter().all(|line| line["plane"] != "xdp"), "{all:?}");
    drop(server);

    let (home, server) = with_xdp("query_log: {to: queries.log, sample: 10}\n")?;
    ensure!(ask(&home, &server)? >= 2000.0);
    home.enter(|| server.dig(&["www.example.com", "A", "+tcp"]))?;
    eventually("a tenth", || Ok(lines(&server, "queries.log")?.len() >= 100))?;
    let count = lines(&server, "queries.log")?.len();
    ensure!((100..400).contains(&count), "{count}");
    Ok(())
}

/// `dnsperf` for a moment, against a server whose sink takes nothing; all is answered, and what is lost is counted.
fn is_not_held_back(server: &Server) -> Result<()> {
    server.write("queries", "www.example.com A\nmail.example.com A\n")?;
    let port = server.dns.port().to_string();
    let path = server.path("queries");
    let arguments = [
        "-s",
        "127.0.0.1",
        "-p",
        &port,
        "-d",
        path.to_str().context("UTF-8")?,
        "-l",
        "2",
        "-q",
        "50",
    ];
    let said = tests::net::run("dnsperf", &arguments)?;
    ensure!(said.contains("Queries lost:         0"), "{said}");
    eventually("what was not written is counted", || {
        Ok(server.metric("hotdns_query_log_dropped_total")? > 100.0)
    })
}

#[test]
fn a_pipe_that_nobody_reads_holds_nothing_back() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut server = start("to: off")?;
    server.stop()?;
    let pipe = server.path("queries.pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600))?;
    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    server.write("hotdns.yaml", &config.replace("to: off", "to: queries.pipe"))?;
    server.run()?;
    is_not_held_back(&server)?;
    // Somebody reads it at last.
    let mut first = String::new();
    BufReader::new(std::fs::File::open(&pipe)?).read_line(&mut first)?;
    ensure!(first.contains("\"transport\":\"udp\""), "{first}");
    Ok(())
}

#[test]
fn a_file_system_that_is_full_loses_lines_and_no_answers() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut server = start("to: off")?;
    server.stop()?;
    let small = server.path("small");
    std::fs::create_dir(&small)?;
    let path = small.to_str().context("UTF-8")?.to_owned();
    tests::net::run("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs", &path])?;
    let outcome = (|| {
        let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
        server.write("hotdns.yaml", &config.replace("to: off", "to: small/queries.log"))?;
        server.run()?;
        is_not_held_back(&server)?;
        // No line is cut off, and lines come again once there is room.
        let whole = lines(&server, "small/queries.log")?;
        std::fs::write(server.path("small/queries.log"), "")?;
        eventually("lines come again", || {
            server.dig(&["www.example.com", "A"])?;
            Ok(!lines(&server, "small/queries.log")?.is_empty())
        })?;
        ensure!(whole.len() > 10, "{}", whole.len());
        Ok(())
    })();
    let stopped = server.stop().map(drop);
    tests::net::run("umount", &[&path])?;
    outcome.and(stopped)
}

#[test]
fn sinks_that_vanish_are_found_again_and_every_query_is_answered() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let counts = |server: &Server| -> Result<[f64; 2]> {
        let written = server.metric("hotdns_query_log_written_total")?;
        Ok([written, server.metric("hotdns_query_log_dropped_total")?])
    };
    let ask = |server: &Server| -> Result<()> {
        let answer = server.dig(&["www.example.com", "A", "+tries=1"])?;
        ensure!(answer.contains("192.0.2.80"), "{answer}");
        Ok(())
    };
    let mut asked = 0.0;
    // Asks until it is so; what was not written by then was counted.
    let mut until = |server: &Server, what: &str, is_so: &dyn Fn() -> Result<bool>| -> Result<()> {
        eventually(what, || {
            asked += 1.0;
            ask(server)?;
            is_so()
        })?;
        eventually("each query is written or counted", || {
            Ok(counts(server)?.iter().sum::<f64>() >= asked)
        })
    };

    let server = start("to: logs/queries.log")?;
    let folder = server.path("logs");
    until(&server, "a query without a folder for its line is counted", &|| {
        Ok(counts(&server)?[1] > 0.0)
    })?;
    std::fs::create_dir(&folder)?;
    until(&server, "the folder is there", &|| {
        Ok(!lines(&server, "logs/queries.log")?.is_empty())
    })?;
    std::fs::remove_dir_all(&folder)?;
    std::fs::create_dir(&folder)?;
    until(&server, "the folder is another one", &|| {
        Ok(!lines(&server, "logs/queries.log")?.is_empty())
    })?;
    drop(server);

    // A collector that goes, and one that comes at the same address.
    let mut collector = Some(TcpListener::bind("127.0.0.1:0")?);
    let address = collector.as_ref().context("bound")?.local_addr()?;
    let server = start(&format!("to: 'gelf+tcp://{address}'"))?;
    let until = |what: &str, is_so: &dyn Fn([f64; 2]) -> bool| {
        eventually(what, || {
            ask(&server)?;
            Ok(is_so(counts(&server)?))
        })
    };
    until("a collector takes messages", &|[written, _]| written > 0.0)?;
    drop(collector.take().map(|listener| listener.accept()));
    until("without one they are counted", &|[_, dropped]| dropped > 0.0)?;
    let [before, _] = counts(&server)?;
    let again = TcpListener::bind(address)?;
    until("the next one takes them", &|[written, _]| written > before + 1.0)?;
    let (stream, _) = again.accept()?;
    let mut message = Vec::new();
    BufReader::new(stream).read_until(0, &mut message)?;
    ensure!(
        message.starts_with(b"{") && message.ends_with(&[0]),
        "{}",
        String::from_utf8_lossy(&message)
    );
    Ok(())
}

/// What comes in until `is_enough`.
fn datagrams(socket: &UdpSocket, is_enough: impl Fn(&[Vec<u8>]) -> bool) -> Result<Vec<Vec<u8>>> {
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut all = Vec::new();
    while !is_enough(&all) {
        let mut datagram = vec![0; 65_536];
        let length = socket.recv(&mut datagram)?;
        datagram.truncate(length);
        all.push(datagram);
    }
    Ok(all)
}

#[test]
fn gelf_over_udp_and_tcp_for_queries_and_the_log() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let (queries, log) = (UdpSocket::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let (to, log_to) = (queries.local_addr()?, log.local_addr()?);
    let mut server = start(&format!("to: 'gelf+udp://{to}'"))?;
    server.stop()?;
    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    server.write("hotdns.yaml", &format!("{config}log_gelf: gelf+tcp://{log_to}\n"))?;
    server.run()?;
    server.dig(&["www.example.com", "A"])?;
    let got = datagrams(&queries, |all| !all.is_empty())?;
    let message: Value = serde_json::from_slice(&got[0])?;
    ensure!(
        message["version"] == "1.1" && message["_name"] == "www.example.com." && message["_rcode"] == "NOERROR",
        "{message}"
    );
    let short = message["short_message"].as_str();
    ensure!(short == Some("www.example.com. A NOERROR 127.0.0.1"), "{message}");
    ensure!(
        message["timestamp"].is_f64() && message["host"].is_string(),
        "{message}"
    );
    // The log: messages with an octet of zero behind each.
    let (stream, _) = log.accept()?;
    let mut read = BufReader::new(stream);
    let mut found = Vec::new();
    while !found.iter().any(|message: &Value| message["short_message"] == "ready") {
        let mut message = Vec::new();
        read.read_until(0, &mut message)?;
        ensure!(message.pop() == Some(0), "the stream ended");
        found.push(serde_json::from_slice(&message)?);
    }
    ensure!(found.iter().all(|message| message["version"] == "1.1"), "{found:?}");
    ensure!(
        found[0]["level"] == 6 && found[0]["_target"].is_string(),
        "{}",
        found[0]
    );
    Ok(())
}

#[test]
fn what_is_asked_most_is_counted_while_somebody_looks() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = start("to: off")?;
    let top = || Ok::<_, anyhow::Error>(server.request("GET", "/api/v1/top?limit=2", None)?.json);
    server.dig(&["www.example.com", "A"])?;
    ensure!(top()?["queries"] == 0, "nobody has looked before");
    for name in ["www.example.com", "www.example.com", "mail.example.com"] {
        server.dig(&[name, "A"])?;
    }
    eventually("three queries", || Ok(top()?["queries"] == 3))?;
    let found = top()?;
    ensure!(
        found["names"][0] == serde_json::json!({"name": "www.example.com.", "queries": 2}),
        "{found}"
    );
    ensure!(
        found["clients"] == serde_json::json!([{"client": "127.0.0.1", "queries": 3}]),
        "{found}"
    );
    let program = tests::server::program()?;
    let url = format!("http://{}", server.http);
    let frame = tests::net::run(
        program.to_str().context("UTF-8")?,
        &["top", "--once", "--interval", "1", "--url", &url],
    )?;
    ensure!(
        frame.contains("www.example.com.") && frame.contains("answers/s"),
        "{frame}"
    );
    Ok(())
}

#[test]
fn a_part_of_the_log_is_louder_after_a_reload() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = start("to: off")?;
    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    // Twice: the second one is logged as the first one says. Lines that it brought.
    let reload = |level: &str| -> Result<Vec<String>> {
        server.write("hotdns.yaml", &format!("{config}log_level: {level}\n"))?;
        let mut before = 0;
        for _ in 0..2 {
            before = server.log().lines().count();
            let reply = server.request("POST", "/api/v1/reload", Some(&serde_json::json!({})))?;
            ensure!(reply.status == 200, "{reply:?}");
        }
        // The log is written by a thread of its own.
        std::thread::sleep(Duration::from_millis(300));
        Ok(server.log().lines().skip(before).map(str::to_owned).collect())
    };
    let quiet = reload("error")?;
    ensure!(quiet.is_empty(), "{quiet:?}");
    let loud = reload("'error,audit=info,control=trace'")?;
    ensure!(!loud.is_empty(), "{}", server.log());
    ensure!(
        loud.iter()
            .all(|line| line.contains(" audit") || line.contains("::control")),
        "{loud:?}"
    );
    server.write("hotdns.yaml", &format!("{config}log_level: info,nothing=debug\n"))?;
    let reply = server.request("POST", "/api/v1/reload", Some(&serde_json::json!({})))?;
    ensure!(reply.status == 422 && reply.text.contains("nothing"), "{reply:?}");
    Ok(())
}
