//! A running server in front of resolvers by name, over HTTPS and QUIC, chosen by view; lists at URLs; a cache that
//! outlives the process. The peers are Unbound, dnsdist, Python's web server, and aioquic where it is there.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use tests::net::{Namespace, PATIENCE, Running, is_skipped};
use tests::server::{Server, eventually};
use tests::upstreams::{certificates, dig, unbound};

/// dnsdist that takes queries over HTTPS at 127.0.0.3, and sends them to 127.0.0.2.
fn dnsdist(namespace: &Namespace, folder: &Path) -> Result<Running> {
    let path = |name: &str| folder.join(name).display().to_string();
    let config = format!(
        "setSecurityPollSuffix(\"\")\nsetLocal(\"127.0.0.3:53\")\nsetACL(\"127.0.0.0/8\")\n\
         newServer{{address=\"127.0.0.2:53\", \
         healthCheckMode=\"up\"}}\naddDOHLocal(\"127.0.0.3:443\", \"{}\", \"{}\", \"/dns-query\")\n",
        path("cert.pem"),
        path("key.pem")
    );
    std::fs::write(folder.join("dnsdist.conf"), config)?;
    let mut command = namespace.command("dnsdist");
    command.args(["--supervised", "--disable-syslog", "-C", &path("dnsdist.conf")]);
    let mut running = Running::start(command, &folder.join("dnsdist.log"))?;
    running.wait_until("dnsdist to answer", PATIENCE, || {
        dig(namespace, "127.0.0.3", &["+short", "dns.example", "+time=1"]).is_ok_and(|text| !text.is_empty())
    })?;
    Ok(running)
}

fn short(namespace: &Namespace, arguments: &[&str]) -> Result<String> {
    Ok(dig(namespace, "127.0.0.1", &[arguments, &["+short"]].concat())?
        .trim()
        .to_owned())
}

/// The state of the first server of the first set.
fn state(namespace: &Namespace, server: &Server) -> Result<String> {
    let reply = namespace.enter(|| server.request("GET", "/api/v1/upstreams", None))?;
    ensure!(reply.status == 200, "{}", reply.text);
    let state = &reply.json["upstreams"][0]["servers"][0]["state"];
    Ok(state.as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_resolver_by_name_over_https_is_found_asked_on_one_connection_and_noticed_when_it_is_back() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("doh")?;
    let folder = tempfile::TempDir::new()?;
    certificates(folder.path())?;
    let data = [
        "dns.example. 1 IN A 127.0.0.3",
        "a.example.net. 300 IN A 192.0.2.7",
        "b.example.net. 300 IN A 192.0.2.8",
        "c.example.net. 300 IN A 192.0.2.9",
    ];
    let _unbound = unbound(&namespace, folder.path(), "127.0.0.2", &data)?;
    let peer = dnsdist(&namespace, folder.path())?;
    let root = folder.path().join("root.pem").display().to_string();
    let config = "listen: [\"127.0.0.1:53\"]\nforward: {bootstrap: [\"127.0.0.2\"], upstreams: [{name: private, \
                  servers: \
                  [\"https://dns.example/dns-query\"], timeout: 3s, probe: {interval: 200ms, name: dns.example, type: \
                  A}}], routes: [{zone: ., to: private}]}\n";
    let server = Server::start_with(&namespace, "none0", &[("SSL_CERT_FILE", &root)], config)?;
    ensure!(
        short(&namespace, &["a.example.net"])? == "192.0.2.7",
        "{}",
        server.log()
    );
    ensure!(short(&namespace, &["b.example.net"])? == "192.0.2.8");
    let connections = namespace.run("ss", &["-Htn", "state", "established", "dport", "=", ":443"])?;
    ensure!(connections.lines().count() == 1, "{connections}");
    ensure!(dig(&namespace, "127.0.0.1", &["none.example.net"])?.contains("NXDOMAIN"));
    let asked = namespace.enter(|| server.request("GET", "/api/v1/upstreams/names?limit=10", None))?;
    ensure!(
        asked.json["names"].as_array().is_some_and(|names| names.len() == 3),
        "{}",
        asked.text
    );

    // It goes, and it is back: a probe notices.
    peer.stop()?;
    for name in ["x1.example.net", "x2.example.net", "x3.example.net"] {
        ensure!(dig(&namespace, "127.0.0.1", &[name])?.contains("SERVFAIL"));
    }
    ensure!(state(&namespace, &server)? == "resting");
    let _peer = dnsdist(&namespace, folder.path())?;
    eventually("the server is up again", || Ok(state(&namespace, &server)? == "up"))?;
    ensure!(short(&namespace, &["c.example.net"])? == "192.0.2.9");
    Ok(())
}

/// With `HOTDNS_AIOQUIC` naming a Python that has aioquic:
/// `cargo test -p tests --test upstreams -- --ignored over_quic`.
#[test]
#[ignore = "needs aioquic, which Debian does not have: set HOTDNS_AIOQUIC to a Python that has it"]
fn a_resolver_over_quic_that_is_aioquics_is_asked_on_one_connection() -> Result<()> {
    let python = std::env::var("HOTDNS_AIOQUIC").context("HOTDNS_AIOQUIC names a Python with aioquic")?;
    let namespace = Namespace::new("doq")?;
    let folder = tempfile::TempDir::new()?;
    certificates(folder.path())?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/doq_server.py");
    let mut command = namespace.command(&python);
    command.args([
        script,
        "127.0.0.2",
        "853",
        &path("cert.pem"),
        &path("key.pem"),
        "192.0.2.7",
    ]);
    let log = folder.path().join("doq.log");
    let mut peer = Running::start(command, &log)?;
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    peer.wait_until("aioquic to listen", PATIENCE, || said().contains("ready"))?;
    let config = "listen: [\"127.0.0.1:53\"]\nforward: {upstreams: [{name: private, \
                  servers: \
                  [\"quic://127.0.0.2#dns.example\"]}], routes: [{zone: ., to: private}]}\n";
    let server = Server::start_with(&namespace, "none0", &[("SSL_CERT_FILE", &path("root.pem"))], config)?;
    for name in ["a.example.net", "b.example.net", "c.example.net"] {
        ensure!(
            short(&namespace, &[name])? == "192.0.2.7",
            "{}\n{}",
            server.log(),
            said()
        );
    }
    let said = said();
    ensure!(
        said.matches("connection doq").count() == 1 && said.matches("query id 0").count() == 3,
        "{said}"
    );
    Ok(())
}

#[test]
fn views_have_resolvers_of_their_own_and_share_no_answers() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("viewroute")?;
    let folder = tempfile::TempDir::new()?;
    let _one = unbound(
        &namespace,
        folder.path(),
        "127.0.0.2",
        &["www.example.net. 300 IN A 192.0.2.1"],
    )?;
    let _two = unbound(
        &namespace,
        folder.path(),
        "127.0.0.3",
        &["www.example.net. 300 IN A 192.0.2.2"],
    )?;
    let config = "listen: [\"127.0.0.1:53\"]\nviews: [{name: kids, clients: [\"127.0.9.0/24\"]}]\n\
                  backend: {upstream: {enabled: true, servers: [\"127.0.0.2\"]}}\n\
                  forward: {upstreams: [{name: filtered, servers: [\"127.0.0.3\"]}], \
                  routes: [{zone: ., to: filtered, view: kids}]}\n";
    let _server = Server::start_in(&namespace, "none0", config)?;
    for _ in 0..2 {
        ensure!(short(&namespace, &["www.example.net"])? == "192.0.2.1");
        ensure!(short(&namespace, &["-b", "127.0.9.1", "www.example.net"])? == "192.0.2.2");
    }
    Ok(())
}

/// What says whether the list is refused.
const FAILING: &str = "hotdns_rule_list_failing{rule=\"ads\",url=\"http://127.0.0.4:8000/ads.txt\"}";

#[test]
fn lists_and_the_cache_are_there_after_a_restart_though_their_servers_are_not() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("kept")?;
    let folder = tempfile::TempDir::new()?;
    let web = folder.path().join("web");
    std::fs::create_dir(&web)?;
    // HTTP's dates have whole seconds (RFC 9110 §5.6.7): each version is of another one.
    let publish = |text: &str, age: Duration| -> Result<()> {
        std::fs::write(web.join("ads.txt"), text)?;
        let file = std::fs::File::options().write(true).open(web.join("ads.txt"))?;
        Ok(file.set_modified(SystemTime::now() - age)?)
    };
    publish("ads.example.net\n", Duration::from_secs(200))?;
    let mut command = namespace.command("python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.4", "--directory"]);
    command.arg(&web).arg("8000");
    let mut lists = Running::start(command, &folder.path().join("web.log"))?;
    lists.wait_until("the web server to answer", PATIENCE, || {
        namespace.run("curl", &["-sf", "http://127.0.0.4:8000/"]).is_ok()
    })?;
    let data = [
        "www.example.net. 3600 IN A 192.0.2.7",
        "inner.example.net. 3600 IN A 10.0.0.1",
        "ads.example.net. 3600 IN A 192.0.2.8",
    ];
    let resolver = unbound(&namespace, folder.path(), "127.0.0.2", &data)?;
    let config = "listen: [\"127.0.0.1:53\"]\ncache: {persist: true}\n\
                  backend: {upstream: {enabled: true, servers: [\"127.0.0.2\"], timeout: 300ms}}\n\
                  rules:\n  - {name: ads, block: {urls: [\"http://127.0.0.4:8000/ads.txt\"], refresh: 1s}}\n  \
                  - {name: inner, filter: {}}\n  - {name: short, ttl: {suffix: www.example.net, max: 600}}\n";
    let mut server = Server::start_in(&namespace, "none0", config)?;
    let is_blocked = |name: &str| Ok(dig(&namespace, "127.0.0.1", &[name])?.contains("NXDOMAIN"));
    eventually("the list is there", || is_blocked("x.ads.example.net"))?;
    let reply = dig(&namespace, "127.0.0.1", &["www.example.net", "+noall", "+answer"])?;
    ensure!(reply.contains("192.0.2.7") && reply.contains("600"), "{reply}");
    let reply = dig(&namespace, "127.0.0.1", &["inner.example.net"])?;
    ensure!(reply.contains("NOERROR") && !reply.contains("10.0.0.1"), "{reply}");
    // The list changes, and then becomes something else.
    publish("ads.example.net\nmore.example.net\n", Duration::from_secs(100))?;
    eventually("the new list is there", || is_blocked("more.example.net"))?;
    publish("<html>an error page</html>\n", Duration::ZERO)?;
    let failing = || namespace.enter(|| server.metric(FAILING));
    eventually("the list is refused", || Ok(failing()? == 1.0))?;
    ensure!(is_blocked("more.example.net")?);

    // All peers go.
    lists.stop()?;
    resolver.stop()?;
    ensure!(server.stop()?.success(), "{}", server.log());
    server.run()?;
    ensure!(is_blocked("more.example.net")?);
    let reply = dig(&namespace, "127.0.0.1", &["www.example.net", "+noall", "+answer"])?;
    ensure!(reply.contains("192.0.2.7"), "{reply}\n{}", server.log());
    // A cache that is damaged is left, with a word in the log.
    ensure!(server.stop()?.success());
    std::fs::write(server.path("state/cache"), "nonsense")?;
    server.run()?;
    ensure!(server.log().contains("so the cache begins empty"), "{}", server.log());
    ensure!(dig(&namespace, "127.0.0.1", &["www.example.net"])?.contains("SERVFAIL"));
    let reload = namespace.enter(|| server.request("POST", "/api/v1/reload", Some(&json!({}))))?;
    ensure!(reload.status == 200, "{}", reload.text);
    server.signal(Signal::SIGTERM)?;
    Ok(())
}
