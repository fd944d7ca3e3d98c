//! The running server beside a real Consul and a real Traefik: `cargo xtask test --discovery`.

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::discovery::{Caddy, Consul, Traefik};
use tests::frames::{Query, wire_name};
use tests::server::{Server, eventually, program, request};

fn source(server: &Server, kind: &str) -> Result<Value> {
    let reply = server.request("GET", "/api/v1/sources", None)?;
    let sources = reply.json["sources"].as_array().context("sources")?;
    sources
        .iter()
        .find(|source| source["kind"] == kind)
        .cloned()
        .context("the source")
}

fn dig(server: &Server, name: &str, rtype: &str) -> Result<Vec<String>> {
    let text = server.dig(&[name, rtype, "+short"])?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

fn answers(server: &Server, name: &str, rtype: &str, wanted: &[&str]) -> Result<Duration> {
    let start = Instant::now();
    eventually(&format!("{name} {rtype} {wanted:?}"), || {
        Ok(dig(server, name, rtype)? == wanted)
    })?;
    Ok(start.elapsed())
}

#[test]
#[ignore = "needs Consul: cargo xtask test --discovery"]
fn services_of_a_real_consul_are_followed_and_outlive_it() -> Result<()> {
    let mut consul = Consul::start()?;
    let server = Server::start(&format!(
        "sources: {{consul: [{{name: dc1, address: \"http://{}\", suffix: dev.test., domain: consul., ttl: 5}}]}}\n",
        consul.http()
    ))?;
    eventually("in step", || Ok(source(&server, "consul")?["state"] == "synced"))?;
    let rule = "traefik.http.routers.app.rule=Host(`app.test`) || HostRegexp(`^[^.]+\\.apps\\.test$`)";
    consul.register("web", "web1", "192.0.2.1", &["traefik.enable=true", rule, "v1"])?;
    answers(&server, "web.dev.test", "A", &["192.0.2.1"])?;
    answers(&server, "app.test", "A", &["192.0.2.1"])?;
    answers(&server, "any.apps.test", "A", &["192.0.2.1"])?;
    ensure!(dig(&server, "two.labels.apps.test", "A")?.is_empty());
    answers(
        &server,
        "_web._tcp.dev.test",
        "SRV",
        &["1 1 8080 c0000201.addr.dev.test."],
    )?;

    // From the registry's word to the answer: the time of a change, and of a check that fails.
    consul.register("web", "web2", "192.0.2.2", &["traefik.enable=true"])?;
    let added = answers(&server, "web.dev.test", "A", &["192.0.2.1", "192.0.2.2"])?;
    consul.set_check("web1", "fail")?;
    let failed = answers(&server, "web.dev.test", "A", &["192.0.2.2"])?;
    println!("a new instance is served after {added:?}, one that fails is not after {failed:?}");
    ensure!(added < Duration::from_secs(2) && failed < Duration::from_secs(2));
    consul.set_check("web2", "fail")?;
    std::thread::sleep(Duration::from_millis(500));
    answers(&server, "web.dev.test", "A", &["192.0.2.2"])?;
    consul.set_check("web1", "pass")?;
    consul.set_check("web2", "pass")?;
    answers(&server, "web.dev.test", "A", &["192.0.2.1", "192.0.2.2"])?;

    // The names of its own DNS server: the same addresses.
    for name in [
        "web.service.consul",
        "v1.web.service.consul",
        "web.service.dc1.consul",
        "vm.node.consul",
        "consul.service.consul",
    ] {
        let theirs = consul.dig(name, "A")?;
        ensure!(!theirs.is_empty(), "{name}");
        eventually(name, || Ok(dig(&server, name, "A")? == theirs))?;
    }
    for name in [
        "_web._tcp.service.consul",
        "_web._v1.service.consul",
        "web.service.consul",
    ] {
        let ports = |lines: Vec<String>| -> Vec<String> {
            lines
                .iter()
                .filter_map(|line| line.split(' ').nth(2).map(str::to_owned))
                .collect()
        };
        ensure!(
            ports(dig(&server, name, "SRV")?) == ports(consul.dig(name, "SRV")?),
            "{name}"
        );
    }

    // Away, and back without its memory.
    consul.kill()?;
    eventually("away", || Ok(source(&server, "consul")?["state"] == "degraded"))?;
    answers(&server, "app.test", "A", &["192.0.2.1"])?;
    consul.run()?;
    consul.register("web", "web3", "192.0.2.3", &["traefik.enable=true"])?;
    answers(&server, "web.dev.test", "A", &["192.0.2.3"])?;
    answers(&server, "app.test", "A", &[])?;
    consul.put("/v1/agent/service/deregister/web3", None)?;
    answers(&server, "web.dev.test", "A", &[])?;
    ensure!(source(&server, "consul")?["state"] == "synced");
    Ok(())
}

const DYNAMIC: &str = "http:
  services: {s: {loadBalancer: {servers: [{url: \"http://127.0.0.1:1\"}]}}}
  routers:
    one: {rule: \"Host(`one.edge.test`) && PathPrefix(`/`)\", service: s}
    wild: {rule: \"HostRegexp(`^.+\\\\.w\\\\.edge\\\\.test$`) || Host(`*.l.edge.test`)\", service: s}
";

#[test]
#[ignore = "needs Consul and Traefik: cargo xtask test --discovery"]
fn a_real_traefik_routes_each_name_that_is_served() -> Result<()> {
    let consul = Consul::start()?;
    consul.register(
        "web",
        "web1",
        "192.0.2.1",
        &[
            "traefik.enable=true",
            "traefik.http.routers.w.rule=Host(`web.edge.test`)",
        ],
    )?;
    let traefik = Traefik::start(&consul, DYNAMIC)?;
    let server = Server::start(&format!(
        "sources: {{traefik: [{{name: edge, address: \"http://{}\", targets: [192.0.2.7], ttl: 60, poll: 200ms}}]}}\n",
        traefik.api
    ))?;
    for name in [
        "one.edge.test",
        "web.edge.test",
        "a.w.edge.test",
        "a.b.w.edge.test",
        "a.l.edge.test",
    ] {
        answers(&server, name, "A", &["192.0.2.7"])?;
        ensure!(traefik.routes(name)?, "Traefik has no route for {name}");
    }
    for name in ["two.edge.test", "w.edge.test", "a.b.l.edge.test"] {
        ensure!(dig(&server, name, "A")?.is_empty() && !traefik.routes(name)?, "{name}");
    }
    traefik.write(&DYNAMIC.replace("one.edge.test", "two.edge.test"))?;
    answers(&server, "two.edge.test", "A", &["192.0.2.7"])?;
    answers(&server, "one.edge.test", "A", &[])?;
    ensure!(source(&server, "traefik")?["skipped_count"] == 0);

    // Its file says the same as its API, but for the services of Consul.
    let from_file = Server::start(&format!(
        "sources: {{traefik: [{{name: file, path: \"{}\", targets: [192.0.2.9], ttl: 60}}]}}\n",
        traefik.dynamic().display()
    ))?;
    answers(&from_file, "two.edge.test", "A", &["192.0.2.9"])?;
    answers(&from_file, "a.b.w.edge.test", "A", &["192.0.2.9"])?;
    ensure!(dig(&from_file, "web.edge.test", "A")?.is_empty());
    traefik.write("http: [")?;
    eventually("a broken file is told", || {
        let source = source(&from_file, "traefik")?;
        Ok(source["state"] == "degraded" && source["error"].to_string().contains("dynamic.yaml"))
    })?;
    answers(&from_file, "two.edge.test", "A", &["192.0.2.9"])?;
    traefik.write(&DYNAMIC.replace("one.edge.test", "two.edge.test"))?;
    eventually("in step again", || {
        Ok(source(&from_file, "traefik")?["state"] == "synced")
    })?;

    // The report of the two: nothing, then a name that leads to Traefik and that no router takes.
    let report = || {
        let mut command = Command::new(program()?);
        command.args(["discovery", "report", "--target", "192.0.2.7"]);
        command.args(["--traefik", &format!("http://{}", traefik.api)]);
        let output = command
            .args(["--server", &format!("http://{}", server.http)])
            .output()?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Ok::<_, anyhow::Error>((output.status.success(), text))
    };
    let (is_fine, text) = report()?;
    ensure!(is_fine && text.is_empty(), "{text}");
    let route = |host: &str| {
        let mut command = Command::new(program()?);
        let output = command
            .args([
                "discovery",
                "route",
                host,
                "--traefik",
                &format!("http://{}", traefik.api),
            ])
            .output()?;
        Ok::<_, anyhow::Error>((
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        ))
    };
    let (is_taken, text) = route("web.edge.test")?;
    ensure!(
        is_taken && text.trim().ends_with("@consulcatalog: Host(`web.edge.test`)"),
        "{text}"
    );
    ensure!(!route("w.edge.test")?.0);
    let body = json!({"name": "old.edge.test", "type": "A", "value": ["192.0.2.7"]});
    ensure!(server.request("POST", "/api/v1/records", Some(&body))?.status == 201);
    let (is_fine, text) = report()?;
    ensure!(
        !is_fine && text.trim() == "old.edge.test. leads to the proxy, and no router takes it",
        "{text}"
    );
    Ok(())
}

#[test]
#[ignore = "needs Consul and Traefik: cargo xtask test --discovery"]
fn the_connections_of_real_traefiks_weigh_their_addresses() -> Result<()> {
    let consul = Consul::start()?;
    let (busy, idle) = (Traefik::start(&consul, DYNAMIC)?, Traefik::start(&consul, DYNAMIC)?);
    let clients: Vec<TcpStream> = (0..90)
        .map(|_| TcpStream::connect(busy.web))
        .collect::<Result<_, _>>()?;
    let metrics = || ureq::get(format!("http://{}/metrics", busy.api)).call();
    eventually("Traefik counts its clients", || {
        let text = metrics()?.body_mut().read_to_string()?;
        let mut lines = text.lines();
        Ok(lines.any(|line| line.starts_with("traefik_open_connections{entrypoint=\"web\"") && line.ends_with(" 90")))
    })?;
    let server = Server::start(&format!(
        "sources: {{traefik: [{{name: edge, address: \"http://{0}\", targets: [192.0.2.7, 192.0.2.8], poll: 200ms, \
         metrics: [\"http://{0}/metrics\", \"http://{1}/metrics\"]}}]}}\n",
        busy.api, idle.api
    ))?;
    // 90 connections beside none: 10 * 10 / (90 + 10).
    eventually("weights", || {
        let reply = server.request("GET", "/api/v1/records?name=one.edge.test", None)?;
        let record = &reply.json["records"][0];
        Ok(record["order"] == "weighted" && record["weights"] == json!([1, 10]))
    })?;
    ensure!(source(&server, "traefik")?["skipped_count"] == 0);
    let mut first = 0;
    for _ in 0..100 {
        let text = server.dig(&["one.edge.test", "A", "+short"])?;
        first += usize::from(text.lines().next() == Some("192.0.2.8"));
    }
    println!("the idle proxy comes first in {first} answers of 100");
    ensure!(first > 75, "{first}");
    drop(clients);
    Ok(())
}

#[test]
#[ignore = "needs Consul: cargo xtask test --discovery"]
fn hotdns_is_a_service_of_a_real_consul() -> Result<()> {
    let consul = Consul::start()?;
    let mut server = Server::start(&format!(
        "sources: {{consul: [{{name: dc1, address: \"http://{0}\", suffix: dev.test., exposed_by_default: true, \
        register: \
         {{service: dns, address: 192.0.2.53, port: 5353, check: \"{0}\"}}}}]}}\n",
        consul.http()
    ))?;
    let is_passing = || {
        let entries = request(&consul.http(), "GET", "/v1/health/service/dns?passing", None)?.json;
        Ok(entries[0]["Service"]["Port"] == 5353)
    };
    eventually("a service that passes its check", is_passing)?;
    answers(&server, "dns.dev.test", "A", &["192.0.2.53"])?;
    eventually(
        "told",
        || Ok(source(&server, "consul")?["registration"] == "registered"),
    )?;
    consul.put("/v1/agent/service/deregister/dns", None)?;
    eventually("registered again", is_passing)?;
    ensure!(server.stop()?.success());
    let services = request(&consul.http(), "GET", "/v1/agent/services", None)?.json;
    ensure!(
        services.as_object().is_some_and(serde_json::Map::is_empty),
        "{services}"
    );
    Ok(())
}

#[test]
#[ignore = "needs Consul: cargo xtask test --discovery"]
fn the_nearest_instance_of_a_real_consul_comes_first() -> Result<()> {
    let consul = Consul::start()?;
    for instance in 0..4 {
        consul.put("/v1/catalog/register", Some(&external(0, instance, "passing")))?;
    }
    // On the agent's own node, and last by its address.
    consul.register("s0", "here", "192.0.2.200", &["traefik.enable=true"])?;
    let server = Server::start(&format!(
        "sources: {{consul: [{{name: dc1, address: \"http://{}\", suffix: dev.test., order: nearest}}]}}\n",
        consul.http()
    ))?;
    eventually("all of them", || Ok(dig(&server, "s0.dev.test", "A")?.len() == 5))?;
    for _ in 0..20 {
        let text = server.dig(&["s0.dev.test", "A", "+short"])?;
        ensure!(text.lines().next() == Some("192.0.2.200"), "{text}");
    }
    Ok(())
}

#[test]
#[ignore = "needs Consul: cargo xtask test --discovery"]
fn records_in_a_real_key_value_store_are_followed() -> Result<()> {
    let consul = Consul::start()?;
    let server = Server::start(&format!(
        "sources: {{consul_kv: [{{name: kv, address: \"http://{}\"}}]}}\n",
        consul.http()
    ))?;
    let record = |address: &str| json!({"name": "kv.test", "type": "A", "value": [address]});
    consul.put("/v1/kv/hotdns/records/one", Some(&record("192.0.2.1")))?;
    answers(&server, "kv.test", "A", &["192.0.2.1"])?;
    consul.put("/v1/kv/hotdns/records/bad", Some(&json!({"name": "x"})))?;
    consul.put("/v1/kv/hotdns/records/one", Some(&record("192.0.2.2")))?;
    let changed = answers(&server, "kv.test", "A", &["192.0.2.2"])?;
    println!("a changed key is served after {changed:?}");
    eventually("the bad key is told", || {
        Ok(source(&server, "consul_kv")?["skipped_count"] == 1)
    })?;
    Ok(())
}

#[test]
#[ignore = "needs Consul: cargo xtask test --discovery"]
fn variables_of_the_environment_are_enough() -> Result<()> {
    let consul = Consul::start()?;
    consul.register("api", "api1", "192.0.2.1", &["traefik.enable=true"])?;
    let address = consul.http().to_string();
    let variables = [
        ("DOMAIN_SUFFIX", "env.test"),
        ("TRAEFIK_PROVIDER_PRIMARY", "consul"),
        ("CONSUL_HTTP_ADDR", &address),
        ("NOMAD_ADDR", "http://127.0.0.1:1"),
    ];
    let server = Server::start_with_variables(&variables, "")?;
    answers(&server, "api.env.test", "A", &["192.0.2.1"])?;
    let sources = server.request("GET", "/api/v1/sources", None)?;
    let kinds: Vec<&str> = sources.json["sources"]
        .as_array()
        .context("sources")?
        .iter()
        .filter_map(|source| source["kind"].as_str())
        .collect();
    ensure!(kinds == ["consul", "nomad"], "{kinds:?}");
    Ok(())
}

#[test]
#[ignore = "needs Consul: cargo xtask test --discovery"]
fn a_consul_behind_tls_is_trusted_by_its_authority_alone() -> Result<()> {
    let consul = Consul::start_with_tls()?;
    consul.register("web", "web1", "192.0.2.1", &["traefik.enable=true"])?;
    let address = consul.https().context("HTTPS")?;
    let server = Server::start(&format!(
        "sources: {{consul: [\n {{name: known, address: \"https://{address}\", suffix: known.test, ca: \"{}\"}},\n \
         {{name: strange, address: \"https://{address}\", suffix: strange.test}}]}}\n",
        consul.ca().display()
    ))?;
    answers(&server, "web.known.test", "A", &["192.0.2.1"])?;
    let sources = server.request("GET", "/api/v1/sources", None)?;
    let strange = &sources.json["sources"][1];
    ensure!(strange["state"] == "degraded", "{strange}");
    ensure!(
        strange["error"]
            .as_str()
            .is_some_and(|error| error.contains("certificate")),
        "{strange}"
    );
    ensure!(dig(&server, "web.strange.test", "A")?.is_empty());
    Ok(())
}

#[test]
#[ignore = "needs Consul: cargo xtask test --discovery"]
fn an_instance_that_hotdns_finds_failing_leaves_within_an_interval() -> Result<()> {
    let consul = Consul::start()?;
    let listeners: Vec<TcpListener> = [1, 2]
        .iter()
        .map(|host| TcpListener::bind((Ipv4Addr::new(127, 0, 0, *host), 0)))
        .collect::<Result<_, _>>()?;
    for (number, listener) in (1..).zip(&listeners) {
        let address = listener.local_addr()?;
        let body = json!({
            "ID": format!("own{number}"), "Name": "own", "Address": address.ip(), "Port": address.port(),
            "Tags": ["traefik.enable=true"],
        });
        consul.put("/v1/agent/service/register", Some(&body))?;
    }
    let server = Server::start(&format!(
        "sources: {{consul: [{{name: dc1, address: \"http://{}\", suffix: dev.test., checks: \
         {{interval: 500ms}}}}]}}\n",
        consul.http()
    ))?;
    answers(&server, "own.dev.test", "A", &["127.0.0.1", "127.0.0.2"])?;
    let mut listeners = listeners.into_iter();
    let (first, second) = (listeners.next(), listeners.next());
    drop(second);
    let left = answers(&server, "own.dev.test", "A", &["127.0.0.1"])?;
    println!("with an interval of 500 ms, an instance that fails is not served after {left:?}");
    ensure!(left < Duration::from_secs(2));
    drop(first);
    std::thread::sleep(Duration::from_secs(1));
    answers(&server, "own.dev.test", "A", &["127.0.0.1"])?;
    Ok(())
}

#[test]
#[ignore = "needs Caddy: cargo xtask test --discovery"]
fn the_hosts_of_a_real_caddyfile_are_named() -> Result<()> {
    let caddy = Caddy::start("http://a.caddy.test {\n respond \"a\"\n}\nhttp://*.w.caddy.test {\n respond \"w\"\n}\n")?;
    let server = Server::start(&format!(
        "sources: {{caddy: [{{name: c, address: \"http://{}\", targets: [192.0.2.8], poll: 200ms}}]}}\n",
        caddy.admin
    ))?;
    answers(&server, "a.caddy.test", "A", &["192.0.2.8"])?;
    answers(&server, "any.w.caddy.test", "A", &["192.0.2.8"])?;
    ensure!(dig(&server, "b.any.w.caddy.test", "A")?.is_empty());
    caddy.load("http://b.caddy.test {\n respond \"b\"\n}\n")?;
    answers(&server, "b.caddy.test", "A", &["192.0.2.8"])?;
    answers(&server, "a.caddy.test", "A", &[])?;
    Ok(())
}

/// One instance of a service on a node that no agent is on, with its check.
fn external(service: usize, instance: usize, status: &str) -> Value {
    let id = format!("s{service}-{instance}");
    let node = format!("n{}", instance % 10);
    json!({
        "Node": node, "Address": format!("10.0.0.{}", instance % 10 + 1), "SkipNodeUpdate": true,
        "Service": {
            "ID": id, "Service": format!("s{service}"), "Tags": ["traefik.enable=true"],
            "Address": format!("10.{}.{}.{}", instance + 1, service / 250, service % 250 + 1), "Port": 80,
        },
        "Check": {"Node": node, "CheckID": format!("c-{id}"), "ServiceID": id, "Name": "c", "Status": status},
    })
}

/// Processor time that a process has used so far, from utime and stime of proc_pid_stat(5), in ticks of 10 ms.
fn ticks(pid: i32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("a stat")?.1.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

/// A check of each service fails, then passes, a hundred each second: from the registry's word to the answer.
fn a_hundred_each_second(server: &Server, consul: &Consul, services: usize, instances: usize) -> Result<Vec<Duration>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(server.dns)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (told, changes) = mpsc::channel();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let start = Instant::now();
            for number in 0..2 * services {
                std::thread::sleep((Duration::from_millis(10) * number as u32).saturating_sub(start.elapsed()));
                let (status, wanted) = match number < services {
                    true => ("critical", instances - 1),
                    false => ("passing", instances),
                };
                let service = number % services;
                consul.put("/v1/catalog/register", Some(&external(service, 3, status)))?;
                told.send((service, wanted, Instant::now()))?;
            }
            Ok::<_, anyhow::Error>(start.elapsed())
        });
        let (mut waiting, mut latencies) = (Vec::new(), Vec::new());
        while latencies.len() < 2 * services {
            let is_over = writer.is_finished();
            waiting.extend(changes.try_iter());
            if is_over && waiting.is_empty() {
                break;
            }
            let mut still = Vec::with_capacity(waiting.len());
            for (service, wanted, since) in waiting {
                let name = wire_name(&format!("s{service}.dev.test"));
                socket.send(&Query::new(&name, 1).build())?;
                let mut reply = [0; 512];
                socket.recv(&mut reply)?;
                match usize::from(reply[7]) == wanted {
                    true => latencies.push(since.elapsed()),
                    false => still.push((service, wanted, since)),
                }
            }
            waiting = still;
            ensure!(
                waiting
                    .iter()
                    .all(|(.., since)| since.elapsed() < Duration::from_secs(60)),
                "{waiting:?} after a minute"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        let took = writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        println!("{} changes in {took:?}", 2 * services);
        Ok(latencies)
    })
}

#[test]
#[ignore = "needs Consul, takes a minute: cargo xtask test --discovery"]
fn a_thousand_services_are_followed() -> Result<()> {
    let (services, instances) = (1000, 10);
    let consul = Consul::start()?;
    for service in 0..services {
        for instance in 0..instances {
            consul.put("/v1/catalog/register", Some(&external(service, instance, "passing")))?;
        }
    }
    let start = Instant::now();
    let server = Server::start(&format!(
        "sources: {{consul: [{{name: dc1, address: \"http://{}\", suffix: dev.test.}}]}}\n",
        consul.http()
    ))?;
    eventually("in step", || Ok(source(&server, "consul")?["state"] == "synced"))?;
    println!(
        "{services} services of {instances} instances are served {:?} after the start",
        start.elapsed()
    );
    ensure!(dig(&server, "s999.dev.test", "A")?.len() == instances);
    println!("resident: {} MiB", server.resident_bytes()? >> 20);
    std::thread::sleep(Duration::from_secs(5));
    let mut latencies = Vec::new();
    for round in 0..40 {
        let status = if round % 2 == 0 { "critical" } else { "passing" };
        let service = 17 * (round / 2 + 1);
        consul.put("/v1/catalog/register", Some(&external(service, 3, status)))?;
        let start = Instant::now();
        let wanted = if round % 2 == 0 { instances - 1 } else { instances };
        eventually("the change", || {
            Ok(dig(&server, &format!("s{service}.dev.test"), "A")?.len() == wanted)
        })?;
        latencies.push(start.elapsed());
        // One change after the other: the query of all checks is not to be slowed down for its rate.
        std::thread::sleep(Duration::from_millis(1100));
    }
    latencies.sort();
    println!(
        "a check that changes is answered after {:?} (median), {:?} (most)",
        latencies[20], latencies[39]
    );
    ensure!(latencies[39] < Duration::from_secs(5), "{latencies:?}");
    let mut latencies = a_hundred_each_second(&server, &consul, services, instances)?;
    latencies.sort();
    let (median, p99) = (latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100]);
    println!("of 100 changes each second, one is answered after {median:?} (median), {p99:?} (99 of 100)");
    ensure!(p99 < Duration::from_secs(5), "{p99:?}");
    println!("resident: {} MiB", server.resident_bytes()? >> 20);
    std::thread::sleep(Duration::from_secs(5));
    let pid = server.pid()?;
    let before = ticks(pid)?;
    std::thread::sleep(Duration::from_secs(30));
    println!("idle: {} % of one core", (ticks(pid)? - before) as f64 / 30.0);
    Ok(())
}
