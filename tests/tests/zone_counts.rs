//! Answers counted for each zone (`metrics.per_zone`), by the running server: from XDP, and from sockets by the fast
//! path and the reference answerer.

use anyhow::{Result, ensure};
use serde_json::json;
use tests::net::{Namespace, VethOptions, VethPair, is_skipped};
use tests::server::{HttpReply, Server};

const OTHER: &str = "$TTL 300\n@ SOA ns.example.com. host 1 2 3 4 5\n@ NS ns.example.com.\nwww A 192.0.2.7\n";

/// A server in a namespace, and a client in another.
struct World {
    client: Namespace,
    host: Namespace,
    _pair: VethPair,
    server: Server,
    config: String,
}

impl World {
    fn new(more: &str) -> Result<Self> {
        let (client, host) = (Namespace::new("client")?, Namespace::new("server")?);
        let pair = VethPair::new((&client, "eth0"), (&host, "eth1"), &VethOptions::default())?;
        host.ip(&["link", "set", "lo", "up"])?;
        host.ip(&["address", "add", "10.66.0.1/24", "dev", "eth1"])?;
        client.ip(&["address", "add", "10.66.0.2/24", "dev", "eth0"])?;
        let server = Server::start_in(&host, "eth1", more)?;
        let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
        Ok(Self {
            client,
            host,
            _pair: pair,
            server,
            config,
        })
    }

    /// Asks from the other host: UDP comes to XDP first.
    fn dig(&self, arguments: &[&str]) -> Result<()> {
        let port = self.server.dns.port().to_string();
        let fixed = ["@10.66.0.1", "-p", port.as_str(), "+tries=1"];
        self.client.run("dig", &[&fixed, arguments].concat()).map(drop)
    }

    /// Asks from the server's own host, where XDP is not.
    fn dig_at_home(&self, arguments: &[&str]) -> Result<()> {
        self.host.enter(|| self.server.dig(arguments)).map(drop)
    }

    fn request(&self, method: &str, path: &str, body: &serde_json::Value) -> Result<HttpReply> {
        self.host.enter(|| self.server.request(method, path, Some(body)))
    }

    /// Serves these zones from now on.
    fn reload(&self, zones: &str) -> Result<()> {
        let before = "zones: [{name: example.com., file: example.com.zone}]";
        ensure!(self.config.contains(before));
        self.server.write("hotdns.yaml", &self.config.replace(before, zones))?;
        let reply = self.request("POST", "/api/v1/reload", &json!({}))?;
        ensure!(
            reply.status == 200 && reply.json["failed"].as_array().is_some_and(Vec::is_empty),
            "{reply:?}"
        );
        Ok(())
    }

    /// Every series of the metric, in order: labels and value.
    fn series(&self) -> Result<Vec<String>> {
        let text = self.host.enter(|| self.server.request("GET", "/metrics", None))?.text;
        let lines = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("hotdns_zone_queries_total{rcode=\"")?;
            let (rcode, rest) = rest.split_once("\",transport=\"")?;
            let (transport, rest) = rest.split_once("\",zone=\"")?;
            let (zone, value) = rest.split_once("\"} ")?;
            Some(format!("{zone} {transport} {rcode} {value}"))
        });
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        Ok(lines)
    }
}

#[test]
fn answers_are_counted_for_the_zone_that_gives_them() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let world = World::new(
        "metrics: {per_zone: true}\n\
         records: [{name: over.lay, type: A, value: [192.0.2.9]}]\n",
    )?;
    assert_eq!(world.series()?, [""; 0], "nothing has answered");
    // From XDP: addresses, a slot, NXDOMAIN.
    for question in ["www.example.com A", "www.example.com TXT", "nope.example.com A"] {
        world.dig(&question.split(' ').collect::<Vec<_>>())?;
    }
    // ANY passes, and is the reference answerer's.
    world.dig(&["www.example.com", "ANY", "+notcp"])?;
    // Of no zone, or no question for data.
    world.dig(&["over.lay", "A"])?;
    world.dig(&["elsewhere.net", "A"])?;
    world.dig(&["version.bind", "TXT", "CH"])?;
    world.dig(&["example.com", "AXFR", "+tcp"])?;
    // From the fast path of both kinds of sockets.
    for transport in ["+tcp", "+notcp"] {
        world.dig_at_home(&["www.example.com", "A", transport])?;
        world.dig_at_home(&["nope.example.com", "A", transport])?;
    }
    let expected = [
        "example.com. tcp NOERROR 1",
        "example.com. tcp NXDOMAIN 1",
        "example.com. udp NOERROR 2",
        "example.com. udp NXDOMAIN 1",
        "example.com. xdp NOERROR 2",
        "example.com. xdp NXDOMAIN 1",
    ];
    assert_eq!(world.series()?, expected);

    // Another zone in place of this one, and back: nobody inherits.
    world.server.write("other.zone", OTHER)?;
    world.reload("zones: [{name: other.example., file: other.zone}]")?;
    assert_eq!(world.series()?, [""; 0], "a zone that is gone takes its series along");
    world.dig(&["www.other.example", "A"])?;
    world.dig_at_home(&["www.other.example", "A"])?;
    let of_other = ["other.example. udp NOERROR 1", "other.example. xdp NOERROR 1"];
    assert_eq!(world.series()?, of_other);
    world.reload("zones: [{name: example.com., file: example.com.zone}, {name: other.example., file: other.zone}]")?;
    assert_eq!(world.series()?, of_other);
    world.dig(&["www.example.com", "A"])?;
    let of_both = [
        "example.com. xdp NOERROR 1",
        "other.example. udp NOERROR 1",
        "other.example. xdp NOERROR 1",
    ];
    assert_eq!(world.series()?, of_both);

    // So many names need a new table, whose program takes the counts along.
    world.server.write(
        "other.zone",
        &format!("{OTHER}$GENERATE 1-20000 host$ A 192.0.2.1\n").replace(" 1 2 3 4 5", " 2 2 3 4 5"),
    )?;
    world.reload("zones: [{name: example.com., file: example.com.zone}, {name: other.example., file: other.zone}]")?;
    world.dig(&["host20000.other.example", "A"])?;
    world.dig(&["www.example.com", "A"])?;
    let after = [
        "example.com. xdp NOERROR 2",
        "other.example. udp NOERROR 1",
        "other.example. xdp NOERROR 2",
    ];
    assert_eq!(world.series()?, after);
    Ok(())
}

#[test]
fn zones_are_not_counted_unless_asked_for_and_the_key_needs_a_restart() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let world = World::new("")?;
    world.dig(&["www.example.com", "A"])?;
    world.dig_at_home(&["www.example.com", "A"])?;
    assert_eq!(world.series()?, [""; 0]);
    let config = format!("{}metrics: {{per_zone: true}}\n", world.config);
    world.server.write("hotdns.yaml", &config)?;
    let reply = world.request("POST", "/api/v1/reload", &json!({}))?;
    assert_eq!(reply.json["restart_needed"], json!(["metrics.per_zone"]), "{reply:?}");
    Ok(())
}
