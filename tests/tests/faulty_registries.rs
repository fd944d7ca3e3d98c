//! Registries and proxies that are throttled, broken, slow or cut off: the running server serves what they said last,
//! says what is wrong, and is in step again as soon as they are.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::registries::{Fault, Registry};
use tests::server::{Server, eventually};

/// One of each kind, and the source that follows it.
struct World {
    consul: Registry,
    kv: Registry,
    nomad: Registry,
    traefik: Registry,
    caddy: Registry,
}

const KINDS: [&str; 5] = ["consul", "consul_kv", "nomad", "traefik", "caddy"];

impl World {
    fn start() -> Result<Self> {
        let world = Self {
            consul: Registry::start()?,
            kv: Registry::start()?,
            nomad: Registry::start()?,
            traefik: Registry::start()?,
            caddy: Registry::start()?,
        };
        world.say(1);
        Ok(world)
    }

    fn config(&self) -> String {
        format!(
            "sources:\n  consul: [{{name: a, address: \"http://{}\", suffix: c.test., exposed_by_default: true}}]\n  \
             consul_kv: [{{name: a, address: \"http://{}\"}}]\n  \
             nomad: [{{name: a, address: \"http://{}\", suffix: n.test., exposed_by_default: true}}]\n  \
             traefik: [{{name: a, address: \"http://{}\", targets: [192.0.2.100], poll: 200ms}}]\n  \
             caddy: [{{name: a, address: \"http://{}\", targets: [192.0.2.100], poll: 200ms}}]\n",
            self.consul.address, self.kv.address, self.nomad.address, self.traefik.address, self.caddy.address
        )
    }

    fn all(&self) -> [&Registry; 5] {
        [&self.consul, &self.kv, &self.nomad, &self.traefik, &self.caddy]
    }

    /// What all of them say in round `number`.
    fn say(&self, number: u8) {
        let address = format!("192.0.2.{number}");
        self.consul.set("/v1/catalog/services", &json!({"web": []}));
        let service = json!({"ID": "web1", "Tags": [], "Address": address, "Port": 80});
        let node = json!({"Node": "vm", "Address": "192.0.2.200"});
        let entry = json!([{"Node": node, "Service": service, "Checks": [{"Status": "passing"}]}]);
        self.consul.set("/v1/health/service/web", &entry);
        let record = json!({"name": "kv.test.", "type": "A", "value": [address]}).to_string();
        let value = data_encoding::BASE64.encode(record.as_bytes());
        let keys = json!([{"Key": "hotdns/records/one", "Value": value}]);
        self.kv.set("/v1/kv/hotdns/records/", &keys);
        let services = json!([{"Namespace": "default", "Services": [{"ServiceName": "web", "Tags": []}]}]);
        self.nomad.set("/v1/services", &services);
        let instance =
            json!([{"ID": "web1", "ServiceName": "web", "Namespace": "default", "Address": address, "Port": 80}]);
        self.nomad.set("/v1/service/web", &instance);
        let routers = json!({"routers": {"a@file": {"rule": format!("Host(`t{number}.test`)")}}});
        self.traefik.set("/api/rawdata", &routers);
        let route = json!({"match": [{"host": [format!("caddy{number}.test")]}]});
        let config = json!({"apps": {"http": {"servers": {"s": {"routes": [route]}}}}});
        self.caddy.set("/config/", &config);
    }

    fn fail(&self, fault: Fault) {
        self.all().into_iter().for_each(|registry| registry.fail(fault));
    }
}

/// Whether what was said in round `number` is served.
fn serves(server: &Server, number: u8) -> Result<bool> {
    let address = format!("192.0.2.{number}");
    for (name, wanted) in [
        ("web.c.test", &*address),
        ("kv.test", &address),
        ("web.n.test", &address),
        (&format!("t{number}.test"), "192.0.2.100"),
        (&format!("caddy{number}.test"), "192.0.2.100"),
    ] {
        if server.dig(&[name, "A", "+short"])?.trim() != wanted {
            return Ok(false);
        }
    }
    Ok(true)
}

fn source(server: &Server, kind: &str) -> Result<Value> {
    let reply = server.request("GET", "/api/v1/sources", None)?;
    let sources = reply.json["sources"].as_array().context("sources")?;
    let mut of_kind = sources.iter().filter(|source| source["kind"] == kind);
    of_kind.next().cloned().context("the source")
}

fn all_are(server: &Server, state: &str, said: &str) -> Result<bool> {
    for kind in KINDS {
        let source = source(server, kind)?;
        let error = source["error"].as_str().unwrap_or_default();
        if source["state"] != state || !error.contains(said) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[test]
fn what_they_said_last_is_served_until_they_are_well_again() -> Result<()> {
    let world = World::start()?;
    let server = Server::start(&world.config())?;
    eventually("all in step", || all_are(&server, "synced", ""))?;
    ensure!(serves(&server, 1)?);
    for (number, (fault, said)) in (1..).zip([
        (Fault::Status(429), ": 429 not now; it is asked too often"),
        (Fault::Status(500), ": 500 not now"),
        (Fault::Status(403), "check the token and what it may read"),
        (Fault::Cut, "the reply broke off"),
        (Fault::Closed, "no connection"),
        (Fault::Garbage, "cannot be understood"),
        (Fault::Trickle, "no reply within 10 s"),
    ]) {
        if fault == Fault::Trickle {
            // A query that waits for news has a minute and more.
            world.fail(Fault::Closed);
            eventually("away", || all_are(&server, "degraded", ""))?;
        }
        world.fail(fault);
        eventually(&format!("{fault:?} is told"), || all_are(&server, "degraded", said))?;
        ensure!(serves(&server, number)?, "{fault:?}");
        world.say(number + 1);
        world.fail(Fault::None);
        eventually(&format!("in step after {fault:?}"), || {
            Ok(all_are(&server, "synced", "")? && serves(&server, number + 1)?)
        })?;
    }
    Ok(())
}

#[test]
fn replies_that_come_late_are_replies() -> Result<()> {
    let world = World::start()?;
    world.fail(Fault::Late(Duration::from_secs(1)));
    let server = Server::start(&world.config())?;
    eventually("all in step", || all_are(&server, "synced", ""))?;
    world.say(2);
    eventually("another answer", || {
        for kind in KINDS {
            let source = source(&server, kind)?;
            ensure!(source["state"] == "synced", "{source}");
        }
        serves(&server, 2)
    })
}

#[test]
fn hosts_beside_addresses_are_looked_up_in_our_own_records() -> Result<()> {
    let consul = Registry::start()?;
    consul.set("/v1/catalog/services", &json!({"web": []}));
    let entry = |id: &str, address: &str| {
        json!({
            "Node": {"Node": "vm", "Address": "192.0.2.200"}, "Checks": [],
            "Service": {"ID": id, "Tags": [], "Address": address, "Port": 80},
        })
    };
    let entries = json!([
        entry("1", "192.0.2.1"),
        entry("2", "db.hosts.test"),
        entry("3", "nobody.hosts.test"),
    ]);
    consul.set("/v1/health/service/web", &entries);
    let server = Server::start(&format!(
        "records:\n  - {{name: db.hosts.test., type: A, value: [192.0.2.7]}}\n  \
         - {{name: nobody.hosts.test., type: TXT, value: [x]}}\nsources:\n  \
         consul: [{{name: a, address: \"http://{}\", suffix: c.test., exposed_by_default: true}}]\n",
        consul.address
    ))?;
    let of = |rtype: &str| {
        let text = server.dig(&["web.c.test", rtype, "+short"])?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        Ok::<_, anyhow::Error>(lines)
    };
    eventually("both addresses", || Ok(of("A")? == ["192.0.2.1", "192.0.2.7"]))?;
    let targets = of("SRV")?;
    ensure!(
        targets.iter().any(|line| line.ends_with("db.hosts.test.")),
        "{targets:?}"
    );
    let skipped = source(&server, "consul")?["skipped"].clone();
    ensure!(
        skipped[0]["object"] == "Service web, host nobody.hosts.test"
            && skipped.to_string().contains("it has no address in our zones"),
        "{skipped}"
    );
    Ok(())
}
