//! Answers that are asked for often, from XDP: a running server on one end of a veth pair, with Unbound as its
//! upstream server, and a client on the other end.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::net::{Namespace, PATIENCE, Running, VethOptions, VethPair, is_skipped};
use tests::server::{Server, eventually};

const DATA: &str = "server:\n  interface: 127.0.0.2\n  access-control: 127.0.0.0/8 allow\n  do-daemonize: no\n  \
username: \
                    \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  module-config: \"iterator\"\n  \
                    local-zone: \".\" static\n  local-data: \". 3600 IN SOA a. b. 1 2 3 4 60\"\n  local-data: \
                    \"www.example.net. 300 IN A 192.0.2.7\"\n  local-data: \"other.example.net. 300 IN A \
                    192.0.2.8\"\n  local-data: \"short.example.net. 10 IN A 192.0.2.9\"\nremote-control:\n  \
                    control-enable: no\n";
/// Enough for an answer to be promoted, within the time in which it counts.
const OFTEN: usize = 25;

struct Site {
    client: Namespace,
    host: Namespace,
    server: Server,
    _pair: VethPair,
    _unbound: Running,
    _folder: tempfile::TempDir,
}

impl Site {
    fn new(label: &str, rules: &str) -> Result<Self> {
        let (client, host) = (
            Namespace::new(&format!("{label}c"))?,
            Namespace::new(&format!("{label}h"))?,
        );
        let pair = VethPair::new((&client, "eth0"), (&host, "eth1"), &VethOptions::default())?;
        let folder = tempfile::TempDir::new()?;
        let path = folder.path().join("unbound.conf");
        std::fs::write(&path, DATA)?;
        let mut command = host.command("unbound");
        command.arg("-dp").arg("-c").arg(&path);
        let mut unbound = Running::start(command, &folder.path().join("log"))?;
        let arguments = ["@127.0.0.2", "www.example.net.", "+short", "+time=1"];
        unbound.wait_until("Unbound to answer", PATIENCE, || {
            host.run("dig", &arguments).is_ok_and(|text| text.contains("192.0.2.7"))
        })?;
        let more = "backend: {upstream: {enabled: true, servers: [\"127.0.0.2\"]}}\n";
        let server = Server::start_in(&host, "eth1", &format!("{more}{rules}"))?;
        let site = Self {
            client,
            host,
            server,
            _pair: pair,
            _unbound: unbound,
            _folder: folder,
        };
        // XDP is attached once the server is ready.
        eventually("an answer from XDP", || {
            site.dig("www.example.com.")?;
            Ok(site.metric("hotdns_xdp_answers_total")? > 0.0)
        })?;
        Ok(site)
    }

    fn dig(&self, name: &str) -> Result<String> {
        let port = self.server.dns.port().to_string();
        let arguments = [
            "@10.77.0.1",
            "-p",
            &port,
            name,
            "+noall",
            "+answer",
            "+comments",
            "+tries=1",
        ];
        self.client.run("dig", &arguments)
    }

    fn metric(&self, name: &str) -> Result<f64> {
        self.host.enter(|| self.server.metric(name))
    }

    fn call(&self, method: &str, path: &str, body: &serde_json::Value) -> Result<u16> {
        Ok(self
            .host
            .enter(|| self.server.request(method, path, Some(body)))?
            .status)
    }

    /// Asks until the answer leaves from XDP.
    fn promote(&self, name: &str) -> Result<()> {
        self.promote_counted(name, "hotdns_xdp_cache_answers_total")
    }

    fn promote_counted(&self, name: &str, figure: &str) -> Result<()> {
        eventually("an answer from XDP", || {
            let before = self.metric(figure)?;
            for _ in 0..OFTEN {
                self.dig(name)?;
            }
            Ok(self.metric(figure)? > before)
        })
    }
}

#[test]
fn a_kept_answer_leaves_from_xdp_until_it_is_flushed_or_the_name_becomes_ours() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let site = Site::new("hot", "")?;
    for name in ["www.example.net.", "other.example.net."] {
        site.promote(name)?;
    }
    ensure!(site.metric("hotdns_cache_hot_entries")? == 2.0);
    let figures = [
        "hotdns_xdp_cache_answers_total",
        "hotdns_cache_hits_total",
        "hotdns_cache_misses_total",
    ];
    let read = || {
        figures
            .into_iter()
            .map(|name| site.metric(name))
            .collect::<Result<Vec<_>>>()
    };
    let before = read()?;
    let reply = site.dig("wWw.Example.net.")?;
    let after = read()?;
    ensure!(
        reply.contains("192.0.2.7") && reply.contains("flags: qr rd ra;") && reply.contains("wWw.Example.net."),
        "{reply}"
    );
    ensure!(
        after == [before[0] + 1.0, before[1] + 1.0, before[2]],
        "{before:?}, then {after:?}"
    );
    let line = reply
        .lines()
        .find(|line| line.starts_with("wWw"))
        .context("an answer")?;
    let ttl: u32 = line.split_whitespace().nth(1).context("a TTL")?.parse()?;
    ensure!((1..=300).contains(&ttl), "{line}");

    // Flushed: the next one goes upstream.
    ensure!(site.call("DELETE", "/api/v1/cache?name=www.example.net", &json!({}))? == 200);
    let before = read()?;
    ensure!(site.dig("www.example.net.")?.contains("192.0.2.7"));
    let after = read()?;
    ensure!(
        after[0] == before[0] && after[2] == before[2] + 1.0,
        "{before:?}, then {after:?}"
    );

    // Ours: from the reply to the API on.
    site.promote("www.example.net.")?;
    let record = json!({"name": "www.example.net.", "type": "A", "ttl": 60, "value": ["192.0.2.99"]});
    ensure!(site.call("POST", "/api/v1/records", &record)? == 201);
    let before = read()?;
    for _ in 0..5 {
        let reply = site.dig("www.example.net.")?;
        ensure!(
            reply.contains("192.0.2.99") && reply.contains("flags: qr aa rd"),
            "{reply}"
        );
    }
    ensure!(read()?[0] == before[0], "none of these was upstream's");
    ensure!(site.dig("other.example.net.")?.contains("192.0.2.8"));
    ensure!(read()?[0] == before[0] + 1.0, "the other one still leaves from XDP");
    Ok(())
}

#[test]
fn an_answer_that_xdp_gives_is_fetched_anew_before_it_is_over() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let site = Site::new("hotp", "")?;
    site.promote("short.example.net.")?;
    let misses = site.metric("hotdns_cache_misses_total")?;
    eventually("a prefetch", || {
        let reply = site.dig("short.example.net.")?;
        ensure!(reply.contains("192.0.2.9"), "{reply}");
        Ok(site.metric("hotdns_cache_prefetch_total")? >= 2.0)
    })?;
    ensure!(
        site.metric("hotdns_cache_misses_total")? == misses,
        "it was there all the time"
    );
    Ok(())
}

const RULES: &str = "rules:\n  - {name: ads, block: {names: [ads.example.net], answer: nxdomain}}\n  - {name: wild, \
                     template: {type: A, match: '^([^.]+)\\.traefik\\.$', answer: \"{name} 60 IN A 172.20.0.3\"}}\n";

#[test]
fn what_a_rule_says_often_leaves_from_xdp_until_it_is_paused_or_the_name_becomes_ours() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    const FIGURE: &str = "hotdns_xdp_rule_answers_total";
    let site = Site::new("hotr", RULES)?;
    site.promote_counted("x.ads.example.net.", FIGURE)?;
    site.promote_counted("host.traefik.", FIGURE)?;
    let answered = || site.metric(FIGURE);
    let hits = site.metric("hotdns_cache_hits_total")?;
    let before = answered()?;
    let reply = site.dig("X.ads.example.net.")?;
    ensure!(
        reply.contains("NXDOMAIN") && reply.contains("flags: qr aa rd ra;") && reply.contains("EDE: 15"),
        "{reply}"
    );
    let reply = site.dig("hoSt.traefik.")?;
    ensure!(
        reply.contains("172.20.0.3") && reply.contains("hoSt.traefik."),
        "{reply}"
    );
    ensure!(answered()? == before + 2.0);
    ensure!(
        site.metric("hotdns_cache_hits_total")? == hits,
        "they are not of the cache"
    );

    // From the reply to the API on, nobody gets what it said.
    let pause = |time: &str| site.call("POST", &format!("/api/v1/rules/ads/pause?for={time}"), &json!({}));
    for _ in 0..2 {
        ensure!(pause("10m")? == 200);
        let before = answered()?;
        let reply = site.dig("x.ads.example.net.")?;
        ensure!(!reply.contains("EDE: 15") && answered()? == before, "{reply}");
        // The other one is there again.
        eventually("an answer from XDP", || {
            let before = answered()?;
            site.dig("host.traefik.")?;
            Ok(answered()? > before)
        })?;
        ensure!(pause("0s")? == 200);
        ensure!(site.dig("x.ads.example.net.")?.contains("EDE: 15"));
        site.promote_counted("x.ads.example.net.", FIGURE)?;
    }

    let record = json!({"name": "host.traefik.", "type": "A", "ttl": 60, "value": ["192.0.2.99"]});
    ensure!(site.call("POST", "/api/v1/records", &record)? == 201);
    let before = answered()?;
    for _ in 0..5 {
        let reply = site.dig("host.traefik.")?;
        ensure!(reply.contains("192.0.2.99"), "{reply}");
    }
    ensure!(answered()? == before);
    ensure!(site.dig("x.ads.example.net.")?.contains("EDE: 15"));
    ensure!(answered()? == before + 1.0, "the other one still leaves from XDP");
    Ok(())
}
