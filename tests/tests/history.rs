//! Zones, change sets, history, the way back and watching over HTTP, on the running server, with `kill -9` in between.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::server::{HttpReply, Server};

fn ok(reply: HttpReply, status: u16) -> Result<Value> {
    ensure!(reply.status == status, "{reply:?}");
    Ok(reply.json)
}

fn short(server: &Server, name: &str, rtype: &str) -> Result<String> {
    Ok(server.dig(&[name, rtype, "+short"])?.trim().to_owned())
}

/// A client of `/api/v1/watch`.
struct Watcher {
    lines: BufReader<TcpStream>,
}

#[derive(Debug, Clone, PartialEq)]
struct Event {
    word: String,
    id: String,
    data: Value,
}

impl Watcher {
    fn new(server: &Server, since: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(server.http)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        // HTTP/1.0: the answer is not in chunks.
        write!(
            stream,
            "GET /api/v1/watch HTTP/1.0\r\nHost: localhost\r\nLast-Event-ID: {since}\r\n\r\n"
        )?;
        Ok(Self {
            lines: BufReader::new(stream),
        })
    }

    fn next(&mut self) -> Result<Event> {
        let (mut word, mut id) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            ensure!(self.lines.read_line(&mut line)? > 0, "the connection is closed");
            let line = line.trim_end();
            if let Some(rest) = line.strip_prefix("event: ") {
                word = rest.to_owned();
            } else if let Some(rest) = line.strip_prefix("id: ") {
                id = rest.to_owned();
            } else if let Some(rest) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(rest)?;
                return Ok(Event { word, id, data });
            }
        }
    }
}

#[test]
fn zones_changes_history_and_the_way_back_outlive_kill_9() -> Result<()> {
    let mut server = Server::start("zone_template: {addresses: [192.0.2.53]}\n")?;
    let made = ok(
        server.request("POST", "/api/v1/zones", Some(&json!({"name": "shop.example"})))?,
        201,
    )?;
    ensure!(made.get("warnings").is_none(), "{made}");
    ensure!(short(&server, "shop.example", "NS")? == "ns1.shop.example.");
    ensure!(short(&server, "ns1.shop.example", "A")? == "192.0.2.53");
    let set = json!({"comment": "the shop opens", "edits": [
        {"op": "put", "name": "www.shop.example", "type": "A", "value": ["192.0.2.1", "192.0.2.2"]},
        {"op": "put", "name": "shop.example", "type": "MX", "value": "10 www.shop.example."},
        {"op": "put", "name": "new.example.com", "type": "TXT", "value": "beside a file's"},
    ]});
    let changed = ok(server.request("POST", "/api/v1/changes", Some(&set))?, 200)?;
    let good = changed["version"].as_u64().context("a version")?;
    let mut watcher = Watcher::new(&server, &good.to_string())?;

    server.kill()?;
    server.run()?;
    let www = ok(
        server.request("GET", "/api/v1/records/www.shop.example?type=A", None)?,
        200,
    )?;
    ensure!(www["records"][0]["version"].as_u64() == Some(good), "{www}");
    ensure!(watcher.next().is_err(), "its server was killed");
    let mut watcher = Watcher::new(&server, &good.to_string())?;
    ensure!(watcher.next()?.word == "reloaded", "the server has started");

    let stale = json!({"edits": [{"op": "put", "name": "www.shop.example", "type": "A", "value": "192.0.2.3",
        "if_match": good - 1}]});
    let refused = server.request("POST", "/api/v1/changes", Some(&stale))?;
    ensure!(
        refused.status == 412 && refused.json["pointer"] == "/edits/0",
        "{refused:?}"
    );
    ok(
        server.request(
            "PUT",
            "/api/v1/records/www.shop.example?type=A",
            Some(&json!({"value": "192.0.2.9"})),
        )?,
        200,
    )?;
    let event = watcher.next()?;
    ensure!(
        event.word == "updated" && event.data["old"]["value"] == json!(["192.0.2.1", "192.0.2.2"]),
        "{event:?}"
    );
    ensure!(server.request("DELETE", "/api/v1/zones/shop.example", None)?.status == 204);
    ensure!(
        server.dig(&["www.shop.example", "A"])?.contains("REFUSED"),
        "the zone is gone"
    );

    server.kill()?;
    server.run()?;
    let history = ok(server.request("GET", "/api/v1/history?zone=shop.example", None)?, 200)?;
    let comments: Vec<&Value> = history["entries"]
        .as_array()
        .context("a list")?
        .iter()
        .map(|one| &one["comment"])
        .collect();
    ensure!(
        comments == [&Value::Null, &Value::Null, &json!("the shop opens"), &Value::Null],
        "{history}"
    );
    ok(
        server.request(
            "POST",
            "/api/v1/zones/shop.example/rollback",
            Some(&json!({"to": good})),
        )?,
        200,
    )?;
    ensure!(short(&server, "www.shop.example", "A")? == "192.0.2.1\n192.0.2.2");
    ensure!(short(&server, "shop.example", "MX")? == "10 www.shop.example.");

    // What a client has missed over two lives of the server, once and in order.
    let mut late = Watcher::new(&server, &good.to_string())?;
    let mut last = good;
    let mut words = Vec::new();
    while last
        < ok(server.request("GET", "/api/v1/zones/shop.example", None)?, 200)?["version"]
            .as_u64()
            .context("one")?
    {
        let event = late.next()?;
        let id: u64 = event.id.split('.').next().context("an id")?.parse()?;
        ensure!(id >= last, "{event:?} after {last}");
        if !event.id.contains('.') {
            last = id;
        }
        words.push(event.word);
    }
    let count = |word: &str| words.iter().filter(|found| *found == word).count();
    ensure!((count("reloaded"), count("updated")) == (2, 1), "{words:?}");
    ensure!(
        count("deleted") == 5 && count("added") == 5,
        "SOA, NS, MX and two names: {words:?}"
    );
    Ok(())
}

/// Writers that expect a version, against kills at random moments: what was acknowledged is there, with its version,
/// and no update is lost.
#[test]
fn no_acknowledged_change_is_lost_or_overwritten() -> Result<()> {
    const ROUNDS: usize = 4;
    const WRITERS: usize = 4;
    let mut server = Server::start("")?;
    ok(
        server.request(
            "PUT",
            "/api/v1/records/count.example.net?type=TXT",
            Some(&json!({"value": "0"})),
        )?,
        201,
    )?;
    let (mut acknowledged, mut latest) = (0u64, 0u64);
    for round in 0..ROUNDS {
        let stop = AtomicBool::new(false);
        let (made, newest) = (AtomicU64::new(0), AtomicU64::new(latest));
        let unanswered = AtomicU64::new(0);
        let mut killed = Ok(());
        std::thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        count_up(&server, &made, &newest, &unanswered);
                    }
                });
            }
            let until = Instant::now() + Duration::from_millis(300 + 150 * round as u64);
            while Instant::now() < until {
                std::thread::sleep(Duration::from_millis(10));
            }
            killed = server.signal(nix::sys::signal::Signal::SIGKILL);
            stop.store(true, Ordering::Relaxed);
        });
        killed?;
        server.kill()?;
        server.run()?;
        acknowledged += made.into_inner();
        let unanswered = unanswered.into_inner();
        let shown = ok(
            server.request("GET", "/api/v1/records/count.example.net?type=TXT", None)?,
            200,
        )?;
        let value = shown["records"][0]["value"][0]
            .as_str()
            .context("a value")?
            .trim_matches('"')
            .parse::<u64>()?;
        // A change whose answer did not come may have been made.
        ensure!(
            (acknowledged..=acknowledged + unanswered).contains(&value),
            "{value}, {acknowledged}, {unanswered}"
        );
        acknowledged = value;
        let version = shown["records"][0]["version"].as_u64().context("a version")?;
        ensure!(version >= newest.into_inner(), "a version goes back");
        latest = version;
    }
    ensure!(acknowledged > 100, "only {acknowledged} changes");
    Ok(())
}

/// Reads the number and writes the next one, if nobody else has meanwhile.
fn count_up(server: &Server, made: &AtomicU64, newest: &AtomicU64, unanswered: &AtomicU64) {
    let path = "/api/v1/records/count.example.net?type=TXT";
    let Ok(shown) = server.request("GET", path, None) else {
        return;
    };
    let record = &shown.json["records"][0];
    let (Some(value), Some(version)) = (record["value"][0].as_str(), record["version"].as_u64()) else {
        return;
    };
    let Ok(number) = value.trim_matches('"').parse::<u64>() else {
        return;
    };
    let edit = json!({"op": "put", "name": "count.example.net", "type": "TXT", "value": (number + 1).to_string(),
        "if_match": version});
    match server.request("POST", "/api/v1/changes", Some(&json!({"edits": [edit]}))) {
        Ok(reply) if reply.status == 200 => {
            made.fetch_add(1, Ordering::Relaxed);
            newest.fetch_max(reply.json["version"].as_u64().unwrap_or(0), Ordering::Relaxed);
        }
        Ok(_) => {}
        Err(_) => drop(unanswered.fetch_add(1, Ordering::Relaxed)),
    }
}
