//! Watched sources of the running server: a hosts file that comes, changes, breaks and goes, over restarts.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::server::{Server, eventually};

const CONFIG: &str = "sources: {hosts: [{name: lan, path: hosts, domain: example.com, ttl: 60}]}\n";

/// The source as the API shows it.
fn source(server: &Server) -> Result<Value> {
    let reply = server.request("GET", "/api/v1/sources", None)?;
    ensure!(reply.status == 200, "{reply:?}");
    reply.json["sources"].get(0).cloned().context("one source")
}

fn answers(server: &Server, name: &str, rtype: &str, wanted: &str) -> Result<()> {
    eventually(&format!("{name} {rtype} {wanted}"), || {
        Ok(server.dig(&[name, rtype, "+short"])?.trim() == wanted)
    })
}

#[test]
fn a_hosts_file_is_followed_and_outlives_its_absence() -> Result<()> {
    let mut server = Server::start(CONFIG)?;
    eventually("a file that is missing is reported", || {
        Ok(source(&server)?["state"] == "degraded")
    })?;
    let ready = server.request("GET", "/ready", None)?;
    ensure!(
        ready.status == 200 && ready.json["degraded"][0]["source"] == "hosts/lan",
        "{ready:?}"
    );

    server.write("hosts", "192.0.2.7 printer\n192.0.2.8 www\nnonsense\n")?;
    answers(&server, "printer.example.com", "A", "192.0.2.7")?;
    answers(&server, "7.2.0.192.in-addr.arpa", "PTR", "printer.example.com.")?;
    // The zone file has this name, and comes first.
    answers(&server, "www.example.com", "A", "192.0.2.80")?;
    let shown = source(&server)?;
    ensure!(shown["state"] == "synced" && shown["conflicts"] == 1, "{shown}");
    ensure!(
        shown["skipped_count"] == 1 && shown["skipped"][0]["object"] == "line 3",
        "{shown}"
    );

    // The API does not change what a source says.
    let body = json!({"name": "printer.example.com", "type": "A", "value": ["192.0.2.9"]});
    let refused = server.request("POST", "/api/v1/records", Some(&body))?;
    ensure!(
        refused.status == 409 && refused.json["code"] == "owned_by",
        "{refused:?}"
    );

    // Another content at once, and over a restart without the file.
    server.write("hosts", "192.0.2.17 printer\n")?;
    answers(&server, "printer.example.com", "A", "192.0.2.17")?;
    std::fs::remove_file(server.path("hosts"))?;
    server.kill()?;
    server.run()?;
    answers(&server, "printer.example.com", "A", "192.0.2.17")?;
    ensure!(server.metric("hotdns_source_state{kind=\"hosts\",name=\"lan\",state=\"degraded\"}")? == 1.0);

    // An empty file is doubted, until somebody says that it is meant.
    server.write("hosts", "# nothing any more\n")?;
    eventually("doubted", || {
        Ok(source(&server)?["error"]
            .as_str()
            .is_some_and(|error| error.contains("sync")))
    })?;
    answers(&server, "printer.example.com", "A", "192.0.2.17")?;
    let synced = server.request("POST", "/api/v1/sources/hosts/lan/sync", None)?;
    ensure!(synced.status == 202, "{synced:?}");
    answers(&server, "printer.example.com", "A", "")?;
    let unknown = server.request("POST", "/api/v1/sources/hosts/wan/sync", None)?;
    ensure!(
        unknown.status == 404 && unknown.json["code"] == "not_found",
        "{unknown:?}"
    );
    ensure!(server.stop()?.success());
    Ok(())
}
