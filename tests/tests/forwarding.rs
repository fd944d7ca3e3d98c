//! Running servers that forward: to each other, to themselves under another name, and with aliases that come back.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use tests::net::{Namespace, is_skipped};
use tests::server::{Server, eventually, program};

/// A server on `listen` that forwards to `servers`, without XDP.
fn forwarder(namespace: &Namespace, listen: &str, servers: &[&str]) -> Result<Server> {
    forwarder_with(namespace, "none0", listen, servers, "")
}

fn forwarder_with(
    namespace: &Namespace,
    interface: &str,
    listen: &str,
    servers: &[&str],
    more: &str,
) -> Result<Server> {
    let more = format!(
        "listen: [\"{listen}\"]\nbackend: {{upstream: {{enabled: true, servers: {servers:?}, timeout: 20s}}}}\n{more}"
    );
    Server::start_in(namespace, interface, &more)
}

fn dig(namespace: &Namespace, server: &str, arguments: &[&str]) -> Result<String> {
    let server = format!("@{server}");
    let fixed = [&server[..], "-p", "53", "+time=30", "+tries=1", "+edns"];
    namespace.run("dig", &[&fixed, arguments].concat())
}

fn metric(namespace: &Namespace, server: &Server, name: &str) -> Result<f64> {
    namespace.enter(|| server.metric(name))
}

/// All queries that a server has answered, whatever they were.
fn answered(namespace: &Namespace, server: &Server) -> Result<f64> {
    let text = namespace.enter(|| Ok(server.request("GET", "/metrics", None)?.text))?;
    let counts = text.lines().filter(|line| line.starts_with("hotdns_queries_total{"));
    Ok(counts
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum())
}

#[test]
fn servers_that_forward_to_each_other_notice_it() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    for size in [2, 3] {
        let namespace = Namespace::new("ring")?;
        let address = |place: usize| format!("127.0.0.{}:53", 1 + place % size);
        let servers = (0..size)
            .map(|place| forwarder(&namespace, &address(place), &[&address(place + 1)]))
            .collect::<Result<Vec<_>>>()?;
        // RD=0 is never forwarded.
        let reply = dig(&namespace, "127.0.0.1", &["loop.example.net", "+norec"])?;
        ensure!(reply.contains("REFUSED"), "{reply}");
        ensure!(
            answered(&namespace, &servers[1])? == 0.0,
            "{size} servers: RD=0 was forwarded"
        );

        let reply = dig(&namespace, "127.0.0.1", &["loop.example.net"])?;
        ensure!(
            reply.contains("SERVFAIL") && reply.contains("forwarding loop"),
            "{reply}"
        );
        ensure!(metric(&namespace, &servers[0], "hotdns_forward_loops_total")? >= 1.0);
        ensure!(servers[0].log().contains("a forwarding loop"), "{}", servers[0].log());
        for (place, server) in servers.iter().enumerate() {
            // The first has the two of dig; one more each where a query takes longer than a second.
            let most = if place == 0 { 6.0 } else { 4.0 };
            let queries = answered(&namespace, server)?;
            ensure!(
                queries >= 1.0 && queries <= most,
                "{size} servers, server {place}: {queries} queries"
            );
        }
        // Names of theirs are answered all the same.
        ensure!(dig(&namespace, "127.0.0.2", &["www.example.com"])?.contains("192.0.2.80"));
    }
    Ok(())
}

#[test]
fn a_server_that_is_its_own_upstream_by_another_name_notices_it() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("self")?;
    // An address that leads here by a route alone, which no list of addresses has. It is the source of the query too,
    // so it is one of those that may use the upstream.
    namespace.ip(&["route", "add", "local", "10.98.0.0/24", "dev", "lo"])?;
    let server = forwarder(&namespace, "0.0.0.0:53", &["10.98.0.7:53"])?;
    let reply = dig(&namespace, "127.0.0.1", &["loop.example.net"])?;
    ensure!(
        reply.contains("SERVFAIL") && reply.contains("forwarding loop"),
        "{reply}"
    );
    ensure!(metric(&namespace, &server, "hotdns_forward_loops_total")? >= 1.0);
    ensure!(answered(&namespace, &server)? <= 4.0);
    Ok(())
}

#[test]
fn own_addresses_are_those_that_the_kernel_lists_and_not_those_that_can_be_bound() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("own")?;
    namespace.run("sysctl", &["-qw", "net.ipv4.ip_nonlocal_bind=1"])?;
    namespace.ip(&["link", "add", "d0", "type", "veth", "peer", "name", "d1"])?;
    namespace.ip(&["link", "set", "d0", "up"])?;
    namespace.ip(&["link", "set", "d1", "up"])?;
    namespace.ip(&["address", "add", "10.9.0.1/24", "dev", "d0"])?;

    // Any address can be bound, and yet this one is another's. It comes to us later, as with keepalived.
    let server = forwarder(&namespace, "0.0.0.0:53", &["10.9.0.9:53"])?;
    namespace.ip(&["address", "add", "10.9.0.9/32", "dev", "d0"])?;
    eventually("the address is noticed", || {
        Ok(server.log().contains("which is this server now"))
    })?;
    let reply = dig(&namespace, "127.0.0.1", &["www.example.net"])?;
    ensure!(
        reply.contains("SERVFAIL") && reply.contains("every upstream server is this server itself"),
        "{reply}"
    );
    ensure!(answered(&namespace, &server)? == 1.0, "it was not asked");
    namespace.ip(&["address", "del", "10.9.0.9/32", "dev", "d0"])?;
    eventually("it is noticed that the address has gone", || {
        Ok(server.log().contains("is not this server any more"))
    })?;
    drop(server);

    for (own, listen) in [
        ("10.9.0.1:53", "0.0.0.0:53"),
        ("[::ffff:10.9.0.1]:53", "0.0.0.0:53"),
        ("127.1.2.3:53", "0.0.0.0:53"),
        ("[::ffff:127.0.0.1]:53", "127.0.0.1:53"),
        ("[::1]:53", "[::]:53"),
    ] {
        let error = forwarder(&namespace, listen, &[own]).err();
        let error = error.with_context(|| format!("{own} is this server, which listens on {listen}"))?;
        ensure!(format!("{error:#}").contains("this server"), "{own}: {error:#}");
    }
    // Beside another server it is passed over.
    let checked = Server::start_in(&namespace, "none0", "listen: [\"127.0.0.1:53\"]\n")?;
    checked.write(
        "hotdns.yaml",
        "backend: {upstream: {enabled: true, servers: [\"10.9.0.1:53\", \"10.9.0.2:53\"]}}\n",
    )?;
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace.name()]).arg(program()?);
    let output = command
        .args(["check", "--config"])
        .arg(checked.path("hotdns.yaml"))
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.success() && text.contains("warning") && text.contains("10.9.0.1:53"),
        "{text}"
    );
    ensure!(!text.contains("10.9.0.2:53"), "{text}");
    drop(checked);
    let server = forwarder(&namespace, "0.0.0.0:53", &["10.9.0.1:53", "127.0.0.1:5353"])?;
    ensure!(server.log().contains("which is this server now"), "{}", server.log());
    // The same address is another server's on another port.
    drop(server);
    forwarder(&namespace, "127.0.0.1:53", &["10.9.0.1:53", "127.0.0.2:53"])?;
    Ok(())
}

#[test]
fn an_alias_of_upstreams_into_our_zone_goes_on_with_our_data() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("alias")?;
    let records = "records:\n\
                   - {name: a.example.net., type: CNAME, value: [www.example.com.]}\n\
                   - {name: b.example.net., type: CNAME, value: [alias.example.com.]}\n\
                   - {name: c.example.net., type: CNAME, value: [mail.example.com.]}\n\
                   - {name: d.example.net., type: CNAME, value: [nothing.example.com.]}\n";
    let upstream = Server::start_in(&namespace, "none0", &format!("listen: [\"127.0.0.2:53\"]\n{records}"))?;
    // Upstream has another idea of example.com.
    upstream.write(
        "example.com.zone",
        "$TTL 60\n@ SOA ns1 hostmaster 2 7200 3600 1209600 300\n@ NS ns1\nns1 A 192.0.2.53\nwww A 203.0.113.1\n\
         nothing A 203.0.113.2\n",
    )?;
    let reloaded = namespace.enter(|| upstream.request("POST", "/api/v1/reload", Some(&serde_json::json!({}))))?;
    ensure!(reloaded.status == 200, "{}", reloaded.text);
    ensure!(dig(&namespace, "127.0.0.2", &["a.example.net", "+short"])?.contains("203.0.113.1"));

    let ours = "records: [{name: back.example.org., type: CNAME, value: [a.example.net.]}]\n";
    for interface in ["none0", "lo"] {
        let server = forwarder_with(&namespace, interface, "127.0.0.1:53", &["127.0.0.2:53"], ours)?;
        let short = |name: &str| dig(&namespace, "127.0.0.1", &[name, "+short"]);
        ensure!(
            short("a.example.net")? == "www.example.com.\n192.0.2.80\n",
            "{}",
            short("a.example.net")?
        );
        ensure!(
            short("b.example.net")?.ends_with("192.0.2.80\n"),
            "{}",
            short("b.example.net")?
        );
        // Upstream says NXDOMAIN.
        ensure!(
            short("c.example.net")?.ends_with("192.0.2.25\n"),
            "{}",
            short("c.example.net")?
        );
        ensure!(dig(&namespace, "127.0.0.1", &["c.example.net"])?.contains("NOERROR"));
        // We say NXDOMAIN.
        let reply = dig(&namespace, "127.0.0.1", &["d.example.net"])?;
        ensure!(reply.contains("NXDOMAIN") && !reply.contains("203.0.113.2"), "{reply}");
        ensure!(
            short("back.example.org")?.ends_with("192.0.2.80\n"),
            "{}",
            short("back.example.org")?
        );
        drop(server);
    }
    Ok(())
}

#[test]
fn link_local_addresses_are_served_on_their_interface() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("scope")?;
    namespace.ip(&["link", "add", "d0", "type", "veth", "peer", "name", "d1"])?;
    namespace.ip(&["link", "set", "d0", "up"])?;
    namespace.ip(&["link", "set", "d1", "up"])?;
    namespace.ip(&["address", "add", "fe80::53/64", "dev", "d0", "nodad"])?;
    let _server = Server::start_in(
        &namespace,
        "none0",
        "listen: [\"[fe80::53%d0]:53\"]\nhttp: {listen: [\"[fe80::53%d0]:8080\"]}\n",
    )?;
    ensure!(dig(&namespace, "fe80::53%d0", &["www.example.com", "+short"])?.contains("192.0.2.80"));
    ensure!(dig(&namespace, "fe80::53%d0", &["www.example.com", "+short", "+tcp"])?.contains("192.0.2.80"));
    // As upstream, too.
    let _forwarder = forwarder(&namespace, "127.0.0.1:53", &["fe80::53%d0"])?;
    ensure!(dig(&namespace, "127.0.0.1", &["www.example.com", "+short"])?.contains("192.0.2.80"));
    Ok(())
}

#[test]
fn what_cannot_be_bound_says_once_what_to_do() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("bind")?;
    namespace.ip(&["link", "add", "d0", "type", "veth", "peer", "name", "d1"])?;
    namespace.ip(&["link", "set", "d0", "up"])?;
    namespace.ip(&["link", "set", "d1", "up"])?;
    namespace.ip(&["address", "add", "10.9.0.1/24", "dev", "d0"])?;
    let folder = tempfile::TempDir::new()?;
    let path = folder.path().join("hotdns.yaml");
    for (config, part, passes_check) in [
        ("listen: [\"10.9.0.255:53\"]\n", "is a broadcast address", false),
        ("http: {listen: [\"10.9.0.255:80\"]}\n", "is a broadcast address", false),
        ("listen: [\"192.0.2.1:53\"]\n", "is not an address of this host", true),
        (
            "http: {listen: [\"192.0.2.1:80\"]}\n",
            "is not an address of this machine",
            true,
        ),
        ("listen: [\"fe80::1%d0\"]\n", "[fe80::1%", true),
    ] {
        std::fs::write(&path, format!("storage: {{path: state}}\n{config}"))?;
        let run = |verb: &str| -> Result<(bool, String)> {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace.name()]).arg(program()?);
            let output = command.args([verb, "--config"]).arg(&path).output()?;
            Ok((
                output.status.success(),
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ))
        };
        let (is_good, text) = run("check")?;
        ensure!(is_good == passes_check, "{config}: {text}");
        let (is_good, text) = run("run")?;
        ensure!(!is_good && text.matches(part).count() == 1, "{config}: {text}");
    }
    Ok(())
}
