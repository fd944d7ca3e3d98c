//! What a reload puts into force besides zones and records: each key behaves otherwise afterwards, and the reply names
//! it; what is bad changes nothing.

use std::io::Read;
use std::net::{TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::frames::{Query, wire_name};
use tests::server::{HttpReply, Server, eventually};

/// A server, and its configuration without what a test changes.
struct Reloaded {
    server: Server,
    base: String,
}

impl Reloaded {
    fn start(more: &str) -> Result<Self> {
        let server = Server::start(more)?;
        let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
        let base = config.strip_suffix(more).context("the end of the file")?.to_owned();
        Ok(Self { server, base })
    }

    fn post(&self, more: &str) -> Result<HttpReply> {
        self.server.write("hotdns.yaml", &format!("{}{more}", self.base))?;
        self.server.request("POST", "/api/v1/reload", None)
    }

    /// Reloads with `more`; the keys that the reply names as applied.
    fn reload(&self, more: &str) -> Result<Vec<String>> {
        let reply = self.post(more)?;
        ensure!(reply.status == 200, "{}\n{}", reply.text, self.server.log());
        ensure!(reply.json["restart_needed"] == json!([]), "{}", reply.text);
        let applied = reply.json["applied"].as_array().context("a list")?;
        Ok(applied.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    fn short(&self, arguments: &[&str]) -> Result<String> {
        let text = self.server.dig(&[arguments, &["+short"]].concat())?;
        Ok(text.trim().to_owned())
    }

    fn status(&self, arguments: &[&str]) -> Result<String> {
        let text = self.server.dig(arguments)?;
        let status = text.split("status: ").nth(1).and_then(|rest| rest.split(',').next());
        status.map(str::to_owned).context(text.clone())
    }
}

#[test]
fn what_the_server_says_of_itself_and_how_large_its_answers_are() -> Result<()> {
    let it = Reloaded::start("chaos: {id: one}\n")?;
    assert_eq!(it.short(&["id.server", "CH", "TXT"])?, "\"one\"");
    let more = "chaos: {id: two}\nedns: {nsid: here, udp_payload: 1400}\n";
    assert_eq!(it.reload(more)?, ["edns.udp_payload", "edns.nsid", "chaos"]);
    assert_eq!(it.short(&["id.server", "CH", "TXT"])?, "\"two\"");
    // From the table, and from the reference answerer.
    for name in ["www.example.com", "x.sub.example.com"] {
        let text = it.server.dig(&[name, "+nsid"])?;
        ensure!(text.contains("udp: 1400") && text.contains("(\"here\")"), "{text}");
    }
    assert_eq!(it.reload("")?, ["edns.udp_payload", "edns.nsid", "chaos"]);
    let text = it.server.dig(&["www.example.com", "+nsid"])?;
    ensure!(text.contains("udp: 1232") && !text.contains("NSID"), "{text}");
    Ok(())
}

#[test]
fn access_lists_and_rate_limits() -> Result<()> {
    let it = Reloaded::start("")?;
    assert_eq!(it.reload("acl: {deny: [127.0.0.0/8]}\n")?, ["acl"]);
    assert_eq!(it.status(&["www.example.com"])?, "REFUSED");
    // Who gets nothing is no reason to roll back.
    assert_eq!(it.reload("acl: {deny: [127.0.0.0/8], action: drop}\n")?, ["acl"]);
    ensure!(it.server.dig(&["www.example.com", "+time=1", "+tries=1"]).is_err());
    assert_eq!(
        it.reload("rate_limit: {enabled: true, rate: 1, burst: 2, slip: 0}\n")?,
        ["acl", "rate_limit"]
    );
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(it.server.dns)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let query = Query::new(&wire_name("www.example.com"), 1).build();
    let answered = || -> Result<usize> {
        for _ in 0..20 {
            socket.send(&query)?;
        }
        Ok((0..20).take_while(|_| socket.recv(&mut [0; 512]).is_ok()).count())
    };
    let few = answered()?;
    ensure!(few < 10, "{few} of 20 were answered");
    assert_eq!(it.reload("")?, ["rate_limit"]);
    assert_eq!(answered()?, 20);
    Ok(())
}

#[test]
fn upstream_servers_routes_rules_and_the_cache() -> Result<()> {
    let record = |value: &str| format!("records: [{{name: far.example.net, type: A, value: [{value}], ttl: 600}}]\n");
    let (first, second) = (
        Server::start(&record("192.0.2.1"))?,
        Server::start(&record("192.0.2.2"))?,
    );
    let it = Reloaded::start("")?;
    assert_eq!(it.status(&["far.example.net"])?, "REFUSED");
    let to = |server: &Server, more: &str| {
        format!(
            "backend: {{upstream: {{enabled: true, servers: [\"{}\"]}}}}\n{more}",
            server.dns
        )
    };
    let keys = ["backend.upstream.enabled", "backend.upstream.servers"];
    assert_eq!(it.reload(&to(&first, ""))?, keys);
    assert_eq!(it.short(&["far.example.net"])?, "192.0.2.1");
    ensure!(it.server.metric("hotdns_cache_entries")? > 0.0, "the cache is shown");
    // Another server, and none of the first one's answers.
    assert_eq!(it.reload(&to(&second, ""))?, [keys[1]]);
    assert_eq!(it.short(&["far.example.net"])?, "192.0.2.2");
    assert_eq!(it.reload(&to(&second, "cache: {max_ttl: 7}\n"))?, ["cache"]);
    // What is kept is kept for less.
    let ttl = || -> Result<u32> {
        let text = it.server.dig(&["far.example.net", "+noall", "+answer"])?;
        let ttl = text.split_whitespace().nth(1).context(text.clone())?;
        Ok(ttl.parse()?)
    };
    ttl()?;
    ensure!(ttl()? <= 7);
    // A route for a part of the names.
    let route = format!(
        "forward: {{upstreams: [{{name: corp, servers: [\"{}\"]}}], routes: [{{zone: far.example.net., to: corp}}]}}\n",
        first.dns
    );
    assert_eq!(
        it.reload(&to(&second, &route))?,
        ["forward.upstreams", "forward.routes", "cache"]
    );
    assert_eq!(it.short(&["far.example.net"])?, "192.0.2.1");
    // A server that is this one is refused, and the route stays.
    let reply = it.post(&to(&it.server, ""))?;
    ensure!(
        reply.status == 422 && reply.json["code"] == "reload_failed",
        "{}",
        reply.text
    );
    ensure!(reply.text.contains("this server"), "{}", reply.text);
    assert_eq!(it.short(&["far.example.net"])?, "192.0.2.1");
    // Rules, where nothing else asks anybody.
    let rules =
        "rules: [{name: fixed, template: {type: A, zone: example.net., answer: \"{name} 60 IN A 192.0.2.9\"}}]\n";
    let applied = it.reload(rules)?;
    ensure!(applied.iter().any(|key| key == "rules"), "{applied:?}");
    assert_eq!(it.short(&["far.example.net"])?, "192.0.2.9");
    it.reload("")?;
    assert_eq!(it.status(&["far.example.net"])?, "REFUSED");
    Ok(())
}

#[test]
fn answers_from_our_own_data() -> Result<()> {
    let it = Reloaded::start("")?;
    let no_soa = "backend: {return_soa_on_nxdomain: false}\n";
    ensure!(it.server.dig(&["nx.example.com"])?.contains("SOA"));
    assert_eq!(it.reload(no_soa)?, ["backend.return_soa_on_nxdomain"]);
    for name in ["nx.example.com", "nx2.example.com"] {
        let text = it.server.dig(&[name])?;
        ensure!(text.contains("NXDOMAIN") && !text.contains("SOA"), "{text}");
    }
    let site = "backend: {hash_ipv4_prefix: 16, hash_ipv6_prefix: 48}\n";
    let mut applied = it.reload(site)?;
    applied.retain(|key| key.contains("hash"));
    assert_eq!(applied, ["backend.hash_ipv4_prefix", "backend.hash_ipv6_prefix"]);
    // The API's records and zones, too.
    let set = |name: &str| {
        let body = json!({"name": name, "type": "A", "value": "192.0.2.1", "ttl": 5});
        it.server.request("POST", "/api/v1/records", Some(&body))
    };
    let bounds = "ttl_bounds: {min: 1, max: 100}\n";
    let before = set("a.example.net")?;
    it.reload(bounds)?;
    let after = set("b.example.net")?;
    ensure!(before.status == 422 || before.json["ttl"] != 5, "{}", before.text);
    ensure!(after.status == 201 && after.json["ttl"] == 5, "{}", after.text);
    Ok(())
}

#[test]
fn logs_tokens_and_connections() -> Result<()> {
    let it = Reloaded::start("")?;
    assert_eq!(it.reload("log_level: error\n")?, ["log_level"]);
    let said = it.server.log();
    it.reload("log_level: error\nchaos: {id: x}\n")?;
    assert_eq!(it.server.log(), said, "nothing more is said");
    it.reload("log_level: error\n")?;
    // A part may say more than all others.
    assert_eq!(it.reload("log_level: error,control=info\n")?, ["log_level"]);
    eventually("what the writer says is there", || {
        Ok(it.server.log().contains("reloaded: "))
    })?;
    let said = it.server.log();
    assert_eq!(it.reload("log_level: error,serve=info\n")?, ["log_level"]);
    assert_eq!(it.server.log(), said, "it is another part's turn");
    let log = it.server.path("queries");
    let to = log.display();
    let more = format!("log_level: info\nquery_log: {{to: \"{to}\"}}\n");
    assert_eq!(it.reload(&more)?, ["log_level", "query_log"]);
    eventually("the level is lower", || {
        Ok(it.server.log().contains("`log_level` has changed"))
    })?;
    it.server.dig(&["www.example.com", "+tcp"])?;
    eventually("the query is logged", || {
        Ok(std::fs::read_to_string(&log).is_ok_and(|text| text.contains("www.example.com")))
    })?;
    it.server.write("token", "correct-horse-battery-staple\n")?;
    let few = format!("{more}http: {{token_file: token}}\ntcp: {{max_connections_per_client: 1}}\n");
    assert_eq!(it.reload(&few)?, ["http.token_file", "tcp"]);
    assert_eq!(it.server.request("GET", "/api/v1/records", None)?.status, 401);
    let _first = TcpStream::connect(it.server.dns)?;
    let mut second = TcpStream::connect(it.server.dns)?;
    second.set_read_timeout(Some(Duration::from_secs(10)))?;
    ensure!(
        matches!(second.read(&mut [0]), Ok(0) | Err(_)),
        "the second one is closed"
    );
    // The token file of before need not be there any more. Who has no token asks by SIGHUP.
    std::fs::remove_file(it.server.path("token"))?;
    it.server.write("hotdns.yaml", &it.base)?;
    it.server.signal(Signal::SIGHUP)?;
    eventually("the API is open", || {
        Ok(it.server.request("GET", "/api/v1/records", None)?.status == 200)
    })
}

#[test]
fn sources_and_targets_come_and_go() -> Result<()> {
    let it = Reloaded::start("")?;
    it.server
        .write("lan", "192.0.2.1 one.lan\n192.0.2.2 two.lan\n192.0.2.3 three.lan\n")?;
    it.server
        .write("other", "192.0.2.9 one.lan\n192.0.2.8 two.lan\n192.0.2.7 three.lan\n")?;
    it.server.write("more", "192.0.2.4 four.lan\n")?;
    let guard = "changes: {max_delete_ratio: 0.5, min_records: 3}\n";
    let source = |file: &str| format!("{guard}sources: {{hosts: [{{name: lan, path: {file}}}]}}\n");
    let is = |name: &str, wanted: &str| eventually(&format!("{name} is {wanted}"), || Ok(it.short(&[name])? == wanted));
    assert_eq!(it.reload(&source("lan"))?, ["changes", "sources"]);
    is("one.lan", "192.0.2.1")?;
    // One that differs is read anew; one that comes, and a target, leave it alone.
    assert_eq!(it.reload(&source("other"))?, ["sources"]);
    is("one.lan", "192.0.2.9")?;
    let written = it.server.path("written");
    let two = format!(
        "{guard}sources: {{hosts: [{{name: lan, path: other}}, {{name: more, path: more}}]}}\n\
         targets: {{hosts_file: [{{name: out, path: \"{}\"}}]}}\n",
        written.display()
    );
    assert_eq!(it.reload(&two)?, ["sources", "targets"]);
    is("four.lan", "192.0.2.4")?;
    eventually("the target is written", || {
        Ok(std::fs::read_to_string(&written).is_ok_and(|text| text.contains("four.lan") && text.contains("one.lan")))
    })?;
    let listed = it.server.request("GET", "/api/v1/sources", None)?;
    ensure!(
        listed.json["sources"].as_array().map(Vec::len) == Some(2),
        "{}",
        listed.text
    );
    // What goes is held by the deletion guard, unless it is forced.
    let reply = it.post(guard)?;
    ensure!(reply.status == 200, "{}", reply.text);
    ensure!(reply.json["failed"][0]["source"] == "hosts/lan", "{}", reply.text);
    assert_eq!(it.short(&["one.lan"])?, "192.0.2.9");
    assert_eq!(it.status(&["four.lan"])?, "REFUSED", "it was only one");
    let forced = it.server.request("POST", "/api/v1/reload?force=true", None)?;
    ensure!(
        forced.status == 200 && forced.json["failed"] == json!([]),
        "{}",
        forced.text
    );
    assert_eq!(it.status(&["one.lan"])?, "REFUSED");
    // It may come back.
    it.reload(&source("lan"))?;
    is("one.lan", "192.0.2.1")
}

#[test]
fn the_file_watch_does_the_same_and_can_be_switched_on() -> Result<()> {
    let it = Reloaded::start("files: {watch: false}\n")?;
    assert_eq!(it.reload("files: {watch: true}\n")?, ["files.watch"]);
    it.server
        .write("hotdns.yaml", &format!("{}chaos: {{id: seen}}\n", it.base))?;
    eventually("the change is seen", || {
        Ok(it.short(&["id.server", "CH", "TXT"])? == "\"seen\"")
    })?;
    assert_eq!(it.reload("files: {watch: false}\n")?, ["files.watch", "chaos"]);
    Ok(())
}

#[test]
fn what_needs_a_restart_is_named_and_what_is_bad_changes_nothing() -> Result<()> {
    let it = Reloaded::start("")?;
    let reply = it.post("log_format: json\nchaos: {id: x}\n")?;
    assert_eq!(reply.json["restart_needed"], json!(["log_format"]), "{}", reply.text);
    assert_eq!(reply.json["applied"], json!(["chaos"]), "{}", reply.text);
    // The list would be good; the cookies' file is not there.
    let bad = it.post("acl: {deny: [127.0.0.0/8]}\nedns: {cookie_secret_file: nowhere}\n")?;
    ensure!(bad.status == 422, "{}", bad.text);
    assert_eq!(it.status(&["www.example.com"])?, "NOERROR");
    assert_eq!(it.short(&["id.server", "CH", "TXT"])?, "\"x\"");
    it.server.write("secret", "e5e973e5a6b2a43f48e7dc849e37bfcf\n")?;
    assert_eq!(
        it.reload("edns: {cookie_secret_file: secret}\n")?,
        ["edns.cookie_secret_file", "chaos"]
    );
    std::fs::remove_file(it.server.path("secret"))?;
    assert_eq!(it.reload("")?, ["edns.cookie_secret_file"]);
    Ok(())
}

#[test]
fn settings_with_which_nothing_answers_are_taken_back() -> Result<()> {
    let it = Reloaded::start("")?;
    // Its rate is used up by one who asks without end, and its one connection is taken: neither way is left.
    let mute = "rate_limit: {enabled: true, rate: 1, burst: 1, slip: 0}\ntcp: {max_connections: 1}\n";
    let _holder = TcpStream::connect(it.server.dns)?;
    let stop = AtomicBool::new(false);
    let reply = std::thread::scope(|scope| {
        let flood = scope.spawn(|| -> Result<()> {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(it.server.dns)?;
            let query = Query::new(&wire_name("www.example.com"), 1).build();
            // Without a pause: the bucket begins full, and what looks whether anything answers comes right after.
            while !stop.load(Ordering::Relaxed) {
                socket.send(&query)?;
            }
            Ok(())
        });
        let reply = it.post(&format!("{mute}chaos: {{id: x}}\n"));
        stop.store(true, Ordering::Relaxed);
        flood.join().expect("it does not panic")?;
        reply
    })?;
    ensure!(
        reply.status == 422 && reply.text.contains("did not answer any more"),
        "{}",
        reply.text
    );
    // All of it is as before, at once.
    for _ in 0..20 {
        assert_eq!(it.status(&["www.example.com", "+tries=1"])?, "NOERROR");
    }
    assert_eq!(it.status(&["www.example.com", "+tcp"])?, "NOERROR");
    assert_ne!(it.short(&["id.server", "CH", "TXT"])?, "\"x\"");
    assert_eq!(it.reload("chaos: {id: y}\n")?, ["chaos"]);
    assert_eq!(it.short(&["id.server", "CH", "TXT"])?, "\"y\"");
    Ok(())
}

#[test]
fn no_query_is_lost_while_settings_change() -> Result<()> {
    let it = Reloaded::start("")?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asker = scope.spawn(|| -> Result<u32> {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(it.server.dns)?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            let query = Query::new(&wire_name("www.example.com"), 1).build();
            let mut asked = 0;
            while !stop.load(Ordering::Relaxed) {
                socket.send(&query)?;
                let mut reply = [0; 512];
                let octets = socket.recv(&mut reply).context("a query was lost")?;
                // NOERROR, with the address: whatever the settings, nothing in between.
                ensure!(reply[3] & 0x0F == 0 && reply[7] == 1, "{:?}", &reply[..octets]);
                asked += 1;
            }
            Ok(asked)
        });
        let reloaded = (0..10).try_for_each(|round| -> Result<()> {
            let more = match round % 2 {
                0 => {
                    "edns: {udp_payload: 1400, nsid: x}\nbackend: {return_soa_on_nxdomain: false}\n\
                     acl: {deny: [192.0.2.0/24]}\n"
                }
                _ => "rate_limit: {enabled: true, rate: 1000000, burst: 1000000}\n",
            };
            ensure!(!it.reload(more)?.is_empty());
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        let asked = asker.join().expect("no panic");
        reloaded?;
        ensure!(asked? > 100, "few queries");
        Ok(())
    })
}
