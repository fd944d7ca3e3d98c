//! A running server in front of real resolvers and authoritative servers: routes, the cache, rules.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tests::net::{Namespace, PATIENCE, Running, is_skipped};
use tests::server::{HttpReply, Server, eventually};
use tests::upstreams::{certificates, dig, unbound, unbound_with};

/// Knot DNS with one zone.
fn knot(namespace: &Namespace, folder: &Path, address: &str, zone: &str, content: &str) -> Result<Running> {
    let root = folder.join(format!("knot-{address}"));
    std::fs::create_dir_all(&root)?;
    std::fs::write(root.join("zone"), content)?;
    let config = format!(
        "server:\n  listen: {address}@53\n  rundir: \"{root}\"\ndatabase:\n  storage: \"{root}\"\nzone:\n  - domain: \
         {zone}\n    file: \"{root}/zone\"\n    journal-content: none\n",
        root = root.display(),
    );
    std::fs::write(root.join("knot.conf"), config)?;
    let mut command = namespace.command("knotd");
    command.arg("-c").arg(root.join("knot.conf"));
    let mut running = Running::start(command, &root.join("log"))?;
    running.wait_until("Knot to answer", PATIENCE, || {
        dig(namespace, address, &["+short", zone, "SOA", "+time=1"]).is_ok_and(|text| !text.trim().is_empty())
    })?;
    Ok(running)
}

fn call(namespace: &Namespace, server: &Server, method: &str, path: &str) -> Result<HttpReply> {
    namespace.enter(|| server.request(method, path, Some(&json!({}))))
}

fn metric(namespace: &Namespace, server: &Server, name: &str) -> Result<f64> {
    namespace.enter(|| server.metric(name))
}

#[test]
fn seed_000_a_template_answers_one_label_and_all_else_goes_upstream_in_both_planes() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("seed000")?;
    let folder = tempfile::TempDir::new()?;
    let _unbound = unbound(
        &namespace,
        folder.path(),
        "127.0.0.2",
        &["www.example.net. 300 IN A 192.0.2.7"],
    )?;
    let rules = "listen: [\"127.0.0.1:53\"]\nbackend: {upstream: {enabled: true, servers: [\"127.0.0.2\"]}}\n\
                 rules:\n  - \
                 {name: wild, template: {type: A, zone: traefik., match: '^([^.]+)\\.traefik\\.$', answer: \
                 \"{{ .Name }} 60 IN A 172.20.0.3\", fallthrough: true}}\n  - {name: db, rewrite: {match: \
                 '^(.+)\\.svc\\.$', to: \"$1.example.com.\"}}\n";
    for interface in ["none0", "lo"] {
        let server = Server::start_in(&namespace, interface, rules)?;
        let answer = |name: &str| dig(&namespace, "127.0.0.1", &[name, "+noall", "+answer", "+comments"]);
        for name in ["test.traefik", "metadata.traefik"] {
            let reply = answer(name)?;
            let owner = format!("{name}.");
            let line = reply.lines().find(|line| line.starts_with(&owner)).unwrap_or_default();
            let fields: Vec<&str> = line.split_whitespace().collect();
            ensure!(
                fields == [&owner[..], "60", "IN", "A", "172.20.0.3"] && reply.contains("NOERROR"),
                "{interface}: {reply}"
            );
        }
        // Unbound's answers.
        ensure!(
            answer("a.b.traefik")?.contains("NXDOMAIN"),
            "{interface}: {}",
            answer("a.b.traefik")?
        );
        let reply = answer("www.example.net")?;
        ensure!(
            reply.contains("192.0.2.7") && !reply.contains("flags: qr aa"),
            "{interface}: {reply}"
        );
        // Our zones come first, and a rule leads into them.
        ensure!(answer("www.example.com")?.contains("192.0.2.80"));
        let reply = answer("www.svc")?;
        ensure!(
            reply.contains("www.svc.") && reply.contains("192.0.2.80"),
            "{interface}: {reply}"
        );
        ensure!(
            metric(
                &namespace,
                &server,
                "hotdns_upstream_queries_total{server=\"127.0.0.2:53\",upstream=\"default\"}"
            )? == 2.0
        );
        if interface == "lo" {
            let foreign = metric(&namespace, &server, "hotdns_xdp_passed_total{reason=\"foreign\"}")?;
            ensure!(
                foreign >= 5.0,
                "XDP has passed {foreign} of the names that rules and upstream answer"
            );
            ensure!(metric(&namespace, &server, "hotdns_xdp_answers_total")? >= 1.0);
        }
        // Who answers, and by which rule; a client outside may have none of it.
        let explained = |name: &str, client: &str| -> Result<(Value, Value)> {
            let path = format!("/api/v1/explain?name={name}&type=A&client={client}");
            let reply = call(&namespace, &server, "GET", &path)?;
            ensure!(reply.status == 200, "{}", reply.text);
            Ok((reply.json["answered_by"].clone(), reply.json["rule"].clone()))
        };
        ensure!(explained("test.traefik", "127.0.0.1")? == (json!("reference"), json!("wild")));
        ensure!(explained("www.svc", "127.0.0.1")?.1 == "db");
        ensure!(explained("www.example.net", "127.0.0.1")? == (json!("cache"), Value::Null));
        ensure!(explained("new.example.net", "127.0.0.1")? == (json!("upstream"), Value::Null));
        ensure!(explained("local", "127.0.0.1")? == (json!("reference"), Value::Null));
        ensure!(explained("test.traefik", "192.0.2.99")? == (json!("refused"), Value::Null));
        let listed = call(&namespace, &server, "GET", "/api/v1/rules")?;
        ensure!(listed.json["rules"][0]["name"] == "wild", "{}", listed.text);
        let paused = call(&namespace, &server, "POST", "/api/v1/rules/wild/pause?for=1m")?;
        ensure!(
            paused.status == 200 && paused.json["paused_for"] == 60,
            "{}",
            paused.text
        );
        ensure!(answer("test.traefik")?.contains("NXDOMAIN"));
        call(&namespace, &server, "POST", "/api/v1/rules/wild/pause?for=0s")?;
        ensure!(answer("test.traefik")?.contains("172.20.0.3"));
        ensure!(call(&namespace, &server, "POST", "/api/v1/rules/none/pause")?.status == 404);
    }
    Ok(())
}

#[test]
fn routes_lead_to_their_servers_and_answers_are_kept_shown_and_flushed() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("routes")?;
    let folder = tempfile::TempDir::new()?;
    let unbound = unbound(
        &namespace,
        folder.path(),
        "127.0.0.2",
        &[
            "www.example.net. 300 IN A 192.0.2.7",
            "short.example.net. 2 IN A 192.0.2.8",
            "www.corp.example. 300 IN A 203.0.113.1",
            "alias.example.net. 300 IN CNAME www.corp.example.",
        ],
    )?;
    let corp = "$TTL 300\n@ SOA ns hostmaster 1 7200 3600 1209600 60\n@ NS ns\nns A 10.0.0.1\nwww A 10.0.0.7\n";
    let _knot = knot(&namespace, folder.path(), "127.0.0.3", "corp.example.", corp)?;
    let config = "listen: [\"127.0.0.1:53\"]\nbackend: {upstream: {enabled: true, servers: [\"127.0.0.2\"], \
                  timeout: 2s}}\n\
                  forward:\n  upstreams: [{name: corp, servers: [\"127.0.0.3\", \"127.0.0.4\"], policy: fastest, \
                  timeout: 2s}]\n  \
                  routes: [{zone: corp.example., to: corp}, {zone: secret.example., to: never}]\n\
                  cache: {stale: {client_wait: 100ms}}\n\
                  rules: [{name: ads, block: {names: [ads.example]}}]\n";
    let server = Server::start_in(&namespace, "lo", config)?;
    let short = |name: &str| dig(&namespace, "127.0.0.1", &[name, "+short"]);
    let status = |name: &str| dig(&namespace, "127.0.0.1", &[name]);
    ensure!(
        short("www.corp.example")?.trim() == "10.0.0.7",
        "{}",
        status("www.corp.example")?
    );
    ensure!(
        short("alias.example.net")?.ends_with("10.0.0.7\n"),
        "{}",
        status("alias.example.net")?
    );
    for denied in [
        "host.internal",
        "a.secret.example",
        "printer.local",
        "ads.example",
        "x.ads.example",
    ] {
        ensure!(status(denied)?.contains("NXDOMAIN"), "{}", status(denied)?);
    }
    ensure!(short("localhost")?.trim() == "127.0.0.1");
    ensure!(dig(&namespace, "127.0.0.1", &["-x", "192.168.1.1"])?.contains("NXDOMAIN"));

    // Kept: TTLs go down, and upstream is asked once.
    ensure!(short("www.example.net")?.trim() == "192.0.2.7");
    ensure!(short("short.example.net")?.trim() == "192.0.2.8");
    let asked = "hotdns_upstream_queries_total{server=\"127.0.0.2:53\",upstream=\"default\"}";
    let before = metric(&namespace, &server, asked)?;
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let reply = dig(&namespace, "127.0.0.1", &["wWw.Example.net", "+noall", "+answer"])?;
    let fields: Vec<&str> = reply.split_whitespace().collect();
    let ttl: u32 = fields.get(1).and_then(|ttl| ttl.parse().ok()).unwrap_or_default();
    ensure!((280..300).contains(&ttl) && fields[0] == "wWw.Example.net.", "{reply}");
    ensure!(metric(&namespace, &server, asked)? == before);
    ensure!(metric(&namespace, &server, "hotdns_cache_hits_total")? >= 1.0);
    let shown = call(&namespace, &server, "GET", "/api/v1/cache?name=www.example.net")?;
    ensure!(shown.json["entries"][0]["upstream"] == "default", "{}", shown.text);
    ensure!(
        shown.json["entries"][0]["records"][0]
            .as_str()
            .is_some_and(|line| line.ends_with("IN A 192.0.2.7"))
    );

    // Upstream is gone: what is kept is given, and so is what is over.
    drop(unbound);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    ensure!(short("www.example.net")?.trim() == "192.0.2.7");
    let reply = status("short.example.net")?;
    ensure!(reply.contains("192.0.2.8") && reply.contains("EDE: 3"), "{reply}");
    ensure!(status("never.asked.example.net")?.contains("SERVFAIL"));
    ensure!(metric(&namespace, &server, "hotdns_cache_stale_total")? >= 1.0);

    let flushed = call(
        &namespace,
        &server,
        "DELETE",
        "/api/v1/cache?name=example.net&tree=true",
    )?;
    ensure!(
        flushed.status == 200 && flushed.json["removed"].as_u64() >= Some(3),
        "{}",
        flushed.text
    );
    ensure!(status("www.example.net")?.contains("SERVFAIL"));
    // A zone that comes is answered at once, whatever was kept.
    ensure!(short("www.corp.example")?.trim() == "10.0.0.7");
    namespace.enter(|| {
        let body = json!({"name": "www.corp.example.", "type": "A", "ttl": 60, "value": ["192.0.2.99"]});
        server.request("POST", "/api/v1/records", Some(&body))
    })?;
    ensure!(short("www.corp.example")?.trim() == "192.0.2.99");
    Ok(())
}

#[test]
fn rules_and_their_lists_are_read_again_at_a_reload_and_a_bad_one_changes_nothing() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("rules")?;
    let config = |rules: &str| {
        format!(
            "listen: [\"127.0.0.1:53\"]\nrules: [{{name: fixed, template: {{match: '^fixed\\.$', \
             answer: \"{{name}} A 192.0.2.1\"}}}}, {rules}]\n"
        )
    };
    let server = Server::start_in(&namespace, "lo", &config("{name: ads, block: {names: [ads.example]}}"))?;
    let status = |name: &str| dig(&namespace, "127.0.0.1", &[name]);
    ensure!(status("ads.example")?.contains("NXDOMAIN") && status("other.example")?.contains("REFUSED"));
    let file = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    let (before, _) = file.split_once("listen: [\"127.0.0.1:53\"]").expect("the part before");
    server.write("hosts.txt", "0.0.0.0 other.example\n")?;
    let rewrite = |rules: &str| server.write("hotdns.yaml", &format!("{before}{}", config(rules)));
    rewrite("{name: ads, block: {files: [hosts.txt], answer: sinkhole}}")?;
    ensure!(call(&namespace, &server, "POST", "/api/v1/reload")?.status == 200);
    eventually("the list is read", || Ok(status("other.example")?.contains("0.0.0.0")))?;
    ensure!(status("ads.example")?.contains("REFUSED"));
    // A bad pattern: the file is refused as a whole.
    rewrite("{name: ads, template: {match: '(', answer: []}}")?;
    let refused = call(&namespace, &server, "POST", "/api/v1/reload")?;
    ensure!(
        refused.status == 422 && refused.text.contains("regular expression"),
        "{}",
        refused.text
    );
    ensure!(status("other.example")?.contains("0.0.0.0"));
    // A list that is gone keeps its names.
    rewrite("{name: ads, block: {files: [gone.txt], answer: nodata}}")?;
    ensure!(call(&namespace, &server, "POST", "/api/v1/reload")?.status == 200);
    ensure!(server.log().contains("gone.txt"), "{}", server.log());
    let reply = status("other.example")?;
    ensure!(reply.contains("NOERROR") && !reply.contains("0.0.0.0"), "{reply}");
    Ok(())
}

#[test]
fn names_that_a_zone_lacks_go_upstream_where_it_falls_through() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("fallthrough")?;
    let folder = tempfile::TempDir::new()?;
    let data = [
        "public.example.com. 300 IN A 203.0.113.7",
        "www.example.com. 300 IN A 203.0.113.8",
    ];
    let _unbound = unbound(&namespace, folder.path(), "127.0.0.2", &data)?;
    let config = "listen: [\"127.0.0.1:53\", \"127.0.0.9:53\"]\nbackend: {upstream: {enabled: true, servers: \
                  [\"127.0.0.2\"], allow: [127.0.0.1/32]}}\n\
                  records: [{name: leads.example.com., type: CNAME, value: [public.example.com.]}]\n";
    for interface in ["none0", "lo"] {
        let server = Server::start_in(&namespace, interface, config)?;
        let file = std::fs::read_to_string(server.path("hotdns.yaml"))?;
        let ask = |name: &str| dig(&namespace, "127.0.0.1", &[name]);
        ensure!(ask("public.example.com")?.contains("NXDOMAIN"), "{interface}");
        for falls_through in [true, false] {
            let zone = format!("file: example.com.zone, fallthrough: {falls_through}");
            server.write("hotdns.yaml", &file.replace("file: example.com.zone", &zone))?;
            ensure!(call(&namespace, &server, "POST", "/api/v1/reload")?.status == 200);
            let what = format!("{interface}, fallthrough: {falls_through}");
            let reply = ask("public.example.com")?;
            ensure!(reply.contains("203.0.113.7") == falls_through, "{what}: {reply}");
            let reply = ask("leads.example.com")?;
            ensure!(reply.contains("203.0.113.7") == falls_through, "{what}: {reply}");
            // What the zone has is answered by the zone, another type of it too.
            let reply = ask("www.example.com")?;
            ensure!(
                reply.contains("192.0.2.80") && !reply.contains("203.0.113.8"),
                "{what}: {reply}"
            );
            ensure!(
                dig(&namespace, "127.0.0.1", &["www.example.com", "MX"])?.contains("NOERROR"),
                "{what}"
            );
            // NXDOMAIN of upstream's is given; who may not use the upstream, or wants no recursion, gets the zone's.
            ensure!(ask("none.example.com")?.contains("NXDOMAIN"), "{what}");
            for arguments in [
                &["public.example.com", "+norec"][..],
                &["public.example.com", "-b", "127.0.0.9"],
            ] {
                let reply = dig(&namespace, "127.0.0.1", arguments)?;
                ensure!(
                    reply.contains("NXDOMAIN") && reply.contains("hostmaster"),
                    "{what}: {reply}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn an_upstream_server_over_tls_is_asked_on_one_connection_where_it_proves_its_name() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("dot")?;
    let folder = tempfile::TempDir::new()?;
    certificates(folder.path())?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let tls = format!(
        "  interface: 127.0.0.2@853\n  tls-service-key: \"{}\"\n  tls-service-pem: \"{}\"\n  log-queries: yes\n",
        path("key.pem"),
        path("cert.pem")
    );
    let data = ["a.example.net. 300 IN A 192.0.2.7", "b.example.net. 300 IN A 192.0.2.8"];
    let _unbound = unbound_with(&namespace, folder.path(), "127.0.0.2", &tls, &data)?;
    let root = path("root.pem");
    let environment: [(&str, &str); 1] = [("SSL_CERT_FILE", &root)];
    for (server, is_trusted) in [
        ("tls://127.0.0.2#dns.example", true),
        ("tls://127.0.0.2", true),
        ("tls://127.0.0.2#other.example", false),
    ] {
        let config = format!(
            "listen: [\"127.0.0.1:53\"]\nforward: {{upstreams: [{{name: private, servers: [\"{server}\"], \
             timeout: 3s}}], \
             routes: [{{zone: ., to: private}}]}}\n"
        );
        let hotdns = Server::start_with(&namespace, "none0", &environment, &config)?;
        let short = |name: &str| dig(&namespace, "127.0.0.1", &[name, "+short"]);
        if !is_trusted {
            let reply = dig(&namespace, "127.0.0.1", &["a.example.net"])?;
            ensure!(reply.contains("SERVFAIL"), "{server}: {reply}");
            continue;
        }
        ensure!(
            short("a.example.net")?.trim() == "192.0.2.7",
            "{server}: {}",
            hotdns.log()
        );
        ensure!(short("b.example.net")?.trim() == "192.0.2.8", "{server}");
        let connections = namespace.run("ss", &["-Htn", "state", "established", "dport", "=", ":853"])?;
        ensure!(connections.lines().count() == 1, "{server}: {connections}");
        // It is closed once nobody needs it, and made anew.
        eventually("the connection is closed", || {
            Ok(namespace
                .run("ss", &["-Htn", "state", "established", "dport", "=", ":853"])?
                .is_empty())
        })?;
        ensure!(
            dig(&namespace, "127.0.0.1", &["none.example.net"])?.contains("NXDOMAIN"),
            "{server}"
        );
    }
    Ok(())
}
