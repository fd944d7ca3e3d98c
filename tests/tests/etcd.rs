//! Three servers that share a real etcd: what one is told all serve, whatever becomes of etcd.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::etcd::{Etcd, Way};
use tests::server::{HttpReply, Server, eventually, request};

const STEP: u64 = 1_000_000;

fn config(endpoints: &str, node: &str) -> String {
    format!("storage: {{path: state, etcd: {{endpoints: [\"{endpoints}\"], node: {node}}}}}\nxdp: {{mode: \"off\"}}\n")
}

fn node(etcd: &Etcd, name: &str) -> Result<Server> {
    Server::start(&config(&etcd.url(), name))
}

fn three(etcd: &Etcd) -> Result<[Server; 3]> {
    Ok([node(etcd, "a")?, node(etcd, "b")?, node(etcd, "c")?])
}

fn ok(reply: HttpReply, status: u16) -> Result<Value> {
    ensure!(reply.status == status, "{reply:?}");
    Ok(reply.json)
}

fn put(server: &Server, name: &str, value: &str, more: &str) -> Result<HttpReply> {
    let path = format!("/api/v1/records/{name}?type=TXT{more}");
    server.request("PUT", &path, Some(&json!({"value": value})))
}

fn text(server: &Server, name: &str) -> Result<String> {
    Ok(server
        .dig(&[name, "TXT", "+short"])?
        .trim()
        .trim_matches('"')
        .to_owned())
}

fn serve(servers: &[Server], name: &str, value: &str) -> Result<()> {
    for (number, server) in servers.iter().enumerate() {
        eventually(&format!("{name} is {value} at node {number}"), || {
            Ok(text(server, name)? == value)
        })?;
    }
    Ok(())
}

fn nodes(server: &Server) -> Result<Value> {
    ok(server.request("GET", "/api/v1/nodes", None)?, 200)
}

fn has_state(server: &Server, state: &str) -> Result<()> {
    eventually(&format!("a node is {state}"), || Ok(nodes(server)?["state"] == state))
}

#[test]
fn what_one_node_is_told_all_serve() -> Result<()> {
    let etcd = Etcd::start()?;
    let servers = three(&etcd)?;
    let [a, b, c] = &servers;
    for server in &servers {
        eventually("all nodes are seen", || {
            Ok(nodes(server)?["nodes"].as_array().is_some_and(|nodes| nodes.len() == 3))
        })?;
    }
    // With `wait=all` the answer says that all serve it: there is nothing to wait for.
    let zone =
        json!({"name": "shop.example", "records": [{"name": "www.shop.example", "type": "A", "value": "192.0.2.1"}]});
    ok(a.request("POST", "/api/v1/zones?wait=all", Some(&zone))?, 201)?;
    let mut slowest = Duration::ZERO;
    for number in 0..10 {
        let value = format!("v{number}");
        let writer = &servers[number % 3];
        let begun = Instant::now();
        ensure!(matches!(
            put(writer, "txt.shop.example", &value, "&wait=all")?.status,
            200 | 201
        ));
        slowest = slowest.max(begun.elapsed());
        for server in &servers {
            ensure!(text(server, "txt.shop.example")? == value, "after {number}");
        }
    }
    eprintln!("the slowest of 10 changes that all nodes serve: {slowest:?}");
    ensure!(slowest < Duration::from_secs(1), "{slowest:?}");
    // Without, it is there in less than a second.
    let begun = Instant::now();
    ensure!(put(b, "txt.shop.example", "soon", "")?.status == 200);
    serve(&servers, "txt.shop.example", "soon")?;
    ensure!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());

    // Zones, records and serials are the same everywhere.
    let look = |server: &Server| -> Result<(Value, Value, String)> {
        let zone = ok(server.request("GET", "/api/v1/zones/shop.example", None)?, 200)?;
        let records = ok(server.request("GET", "/api/v1/records?zone=shop.example", None)?, 200)?;
        Ok((zone, records, server.dig(&["shop.example", "SOA", "+short"])?))
    };
    let (one, two, three) = (look(a)?, look(b)?, look(c)?);
    ensure!(one == two && two == three, "{one:?}\n{two:?}\n{three:?}");
    let version = one.1["records"].as_array().and_then(|records| {
        let txt = records.iter().find(|record| record["type"] == "TXT")?;
        txt["version"].as_u64()
    });
    let version = version.context("a version")?;
    ensure!(version % STEP == 0, "{version}");

    // One version, two writers: one wins.
    let conditional = |server: &Server, value: &str| -> Result<u16> {
        let edit = json!({"op": "put", "name": "txt.shop.example", "type": "TXT", "value": value, "if_match": version});
        let set = json!({"edits": [edit], "comment": "a race"});
        Ok(server.request("POST", "/api/v1/changes?wait=all", Some(&set))?.status)
    };
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| conditional(a, "from a"));
        let second = scope.spawn(|| conditional(b, "from b"));
        (first.join().expect("no panic"), second.join().expect("no panic"))
    });
    let mut statuses = [first?, second?];
    statuses.sort_unstable();
    ensure!(statuses == [200, 412], "{statuses:?}");
    let winner = text(a, "txt.shop.example")?;
    serve(&servers, "txt.shop.example", &winner)?;

    // Who did it is known everywhere, and a deletion is one everywhere.
    ensure!(
        a.request("DELETE", "/api/v1/records/www.shop.example?type=A&wait=all", None)?
            .status
            == 204
    );
    for server in &servers {
        let history = ok(
            server.request("GET", "/api/v1/history?name=txt.shop.example&limit=1", None)?,
            200,
        )?;
        ensure!(history["entries"][0]["comment"] == "a race", "{history}");
        ensure!(server.dig(&["www.shop.example", "A"])?.contains("NXDOMAIN"));
        ensure!(server.metric("hotdns_etcd_connected")? == 1.0 && server.metric("hotdns_nodes")? == 3.0);
    }
    // What is not understood is said.
    let wrong = put(a, "txt.shop.example", "x", "&wait=some")?;
    ensure!(
        wrong.status == 400 && wrong.json["code"] == "invalid_parameter",
        "{wrong:?}"
    );

    // A large change set is one transaction, too.
    let edit = |number: usize| {
        json!({"op": "put", "name": format!("n{number}.shop.example"), "type": "A",
            "value": format!("192.0.2.{}", number % 250)})
    };
    let edits: Vec<Value> = (0..5000).map(edit).collect();
    let begun = Instant::now();
    ok(
        a.request("POST", "/api/v1/changes?wait=all", Some(&json!({"edits": edits})))?,
        200,
    )?;
    eprintln!("5,000 RRsets in one set, at all nodes after {:?}", begun.elapsed());
    ensure!(c.dig(&["n4999.shop.example", "A", "+short"])?.trim() == "192.0.2.249");

    // A node that stands still is named; once its lease has gone nobody waits for it.
    c.signal(Signal::SIGSTOP)?;
    let lags = put(a, "txt.shop.example", "late", "&wait=all&wait_limit=1s")?;
    ensure!(lags.status == 504 && lags.json["code"] == "nodes_lag", "{lags:?}");
    ensure!(lags.json["nodes"][0]["name"] == "c", "{lags:?}");
    ensure!(text(b, "txt.shop.example")? == "late");
    ensure!(put(a, "txt.shop.example", "later", "&wait=all&wait_limit=30s")?.status == 200);
    c.signal(Signal::SIGCONT)?;
    serve(&servers, "txt.shop.example", "later")
}

/// The first token of a server with its token file, and what a request with one gets.
const TOKEN: &str = "the-token-of-the-file";

fn as_holder(server: &Server, token: &str, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", server.http))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json");
    let mut reply = agent.run(request.body(body.map(Value::to_string).unwrap_or_default())?)?;
    let text = reply.body_mut().read_to_string()?;
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok((reply.status().as_u16(), json))
}

#[test]
fn a_token_that_is_made_at_one_node_is_good_at_all() -> Result<()> {
    let mut etcd = Etcd::start()?;
    let folder = tempfile::tempdir()?;
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, TOKEN)?;
    let tokens = |name: &str| folder.path().join(format!("{name}.yaml"));
    let start = |name: &str| {
        let http = format!(
            "http: {{token_file: {}, tokens_file: {}}}\n",
            token_file.display(),
            tokens(name).display()
        );
        Server::start(&format!("{}{http}", config(&etcd.url(), name)))
    };
    let (a, b) = (start("a")?, start("b")?);
    let make = |server: &Server, name: &str| {
        let wish = json!({"name": name, "scope": {"types": ["TXT"]}});
        as_holder(server, TOKEN, "POST", "/api/v1/tokens", Some(&wish))
    };
    let status_of = |server: &Server, secret: &str| -> Result<u16> {
        Ok(as_holder(server, secret, "GET", "/api/v1/records", None)?.0)
    };
    let secret_of = |(status, made): (u16, Value)| -> Result<(String, String)> {
        ensure!(status == 201 && made["shared"] == true, "{status} {made}");
        let text = |key: &str| made[key].as_str().map(str::to_owned).context("a text");
        Ok((text("id")?, text("secret")?))
    };
    let mut made = None;
    eventually("a is connected to etcd", || {
        let reply = make(&a, "acme")?;
        Ok(reply.0 == 201 && made.replace(reply).is_none())
    })?;
    let (id, secret) = secret_of(made.context("made")?)?;
    ensure!(status_of(&a, &secret)? == 200);
    eventually("the token is good at b", || Ok(status_of(&b, &secret)? == 200))?;
    // Its scope is the same there, and its secret is in no file.
    let edit = json!({"edits": [{"op": "put", "name": "x.example.com", "type": "A", "value": "192.0.2.9"}]});
    let (status, problem) = as_holder(&b, &secret, "POST", "/api/v1/changes", Some(&edit))?;
    ensure!(status == 403, "{status} {problem}");
    let written = std::fs::read_to_string(tokens("b"))?;
    ensure!(written.contains("acme") && !written.contains(&secret), "{written}");
    let (status, problem) = make(&b, "acme")?;
    ensure!(status == 409 && problem["code"] == "exists", "{status} {problem}");

    // One that is made at b and deleted at a is good nowhere; also at a node that was away meanwhile.
    let (other, other_secret) = secret_of(make(&b, "other")?)?;
    eventually("the other token is good at a", || {
        Ok(status_of(&a, &other_secret)? == 200)
    })?;
    drop(b);
    ensure!(as_holder(&a, TOKEN, "DELETE", &format!("/api/v1/tokens/{other}"), None)?.0 == 204);
    ensure!(status_of(&a, &other_secret)? == 401);
    let b = start("b")?;
    eventually("the other token has ended at b", || {
        Ok(status_of(&b, &other_secret)? == 401)
    })?;
    ensure!(status_of(&b, &secret)? == 200);

    // While etcd is away, tokens are good, and none is made.
    etcd.kill()?;
    ensure!(status_of(&a, &secret)? == 200 && status_of(&b, &secret)? == 200);
    eventually("no token is made without etcd", || {
        let (status, problem) = make(&a, "third")?;
        ensure!(matches!(status, 503 | 409), "{status} {problem}");
        Ok(status == 503 && problem["code"] == "storage_unavailable")
    })?;
    etcd.run()?;
    eventually("a token is deleted", || {
        Ok(as_holder(&a, TOKEN, "DELETE", &format!("/api/v1/tokens/{id}"), None)?.0 == 204)
    })?;
    eventually("the token has ended at b", || Ok(status_of(&b, &secret)? == 401))
}

#[test]
fn etcd_may_go_and_come_back() -> Result<()> {
    let mut etcd = Etcd::start()?;
    let mut servers = three(&etcd)?;
    ensure!(put(&servers[0], "x.example.com", "one", "&wait=all")?.status == 201);
    // A node that has just started may not be one that is waited for.
    serve(&servers, "x.example.com", "one")?;
    etcd.kill()?;
    for server in &servers {
        has_state(server, "away")?;
        let refused = put(server, "x.example.com", "two", "")?;
        ensure!(
            refused.status == 503 && refused.json["code"] == "storage_unavailable",
            "{refused:?}"
        );
        let ready = server.request("GET", "/ready", None)?;
        ensure!(ready.status == 200 && ready.json["storage"] == "away", "{ready:?}");
        ensure!(
            ready.json["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains("etcd")),
            "{ready:?}"
        );
        let served = text(server, "x.example.com")?;
        ensure!(served == "one", "nothing of it is served, but {served:?}");
    }
    // Over a restart, too.
    servers[1].kill()?;
    servers[1].run()?;
    serve(&servers, "x.example.com", "one")?;
    etcd.run()?;
    servers.iter().try_for_each(|server| has_state(server, "connected"))?;
    ensure!(put(&servers[1], "x.example.com", "three", "&wait=all")?.status == 200);
    serve(&servers, "x.example.com", "three")?;

    // A node is down while changes are made, and etcd forgets them.
    servers[2].kill()?;
    for number in 0..20 {
        ensure!(put(&servers[0], "x.example.com", &format!("while {number}"), "")?.status == 200);
    }
    ensure!(put(&servers[0], "gone.example.com", "soon gone", "")?.status == 201);
    servers[1].request("DELETE", "/api/v1/records/gone.example.com", None)?;
    etcd.compact()?;
    servers[2].run()?;
    serve(&servers, "x.example.com", "while 19")?;
    ensure!(servers[2].log().contains("compacted"), "{}", servers[2].log());
    // It is stopped, and changes nothing.
    etcd.signal(Signal::SIGSTOP)?;
    let begun = Instant::now();
    let refused = put(&servers[0], "x.example.com", "unknown", "")?;
    ensure!(refused.status == 503, "{refused:?}");
    eprintln!("503 after {:?}", begun.elapsed());
    etcd.signal(Signal::SIGCONT)?;
    servers.iter().try_for_each(|server| has_state(server, "connected"))?;
    // Whether it was made nobody knew; all say the same.
    eventually("all nodes say the same", || {
        let all: BTreeSet<String> = servers
            .iter()
            .map(|server| text(server, "x.example.com"))
            .collect::<Result<_>>()?;
        Ok(all.len() == 1)
    })
}

#[test]
fn one_node_may_be_cut_off() -> Result<()> {
    let etcd = Etcd::start()?;
    let way = Way::to(etcd.address)?;
    let near = node(&etcd, "near")?;
    let far = Server::start(&config(&format!("http://{}", way.address), "far"))?;
    ensure!(put(&near, "x.example.com", "one", "&wait=all")?.status == 201);
    serve(std::slice::from_ref(&far), "x.example.com", "one")?;
    way.cut();
    ensure!(put(&near, "x.example.com", "two", "")?.status == 200);
    let refused = put(&far, "x.example.com", "three", "")?;
    ensure!(refused.status == 503, "{refused:?}");
    has_state(&far, "away")?;
    ensure!(text(&far, "x.example.com")? == "one", "what it knew last is served");
    // Nobody waits for it once its lease has gone.
    ensure!(put(&near, "x.example.com", "four", "&wait=all&wait_limit=30s")?.status == 200);
    way.mend();
    has_state(&far, "connected")?;
    eventually("the node that was cut off is in step", || {
        Ok(text(&far, "x.example.com")? == text(&near, "x.example.com")?)
    })?;
    ensure!(put(&far, "x.example.com", "five", "&wait=all")?.status == 200);
    ensure!(text(&near, "x.example.com")? == "five");
    Ok(())
}

#[test]
fn an_older_etcd_is_noticed_and_an_empty_one_is_doubted() -> Result<()> {
    let mut etcd = Etcd::start()?;
    let servers = three(&etcd)?;
    let [a, b, c] = &servers;
    for number in 0..30 {
        ensure!(put(a, &format!("n{number}.example.com"), "kept", "")?.status == 201);
    }
    etcd.back_up()?;
    for number in 0..5 {
        ensure!(put(b, &format!("lost{number}.example.com"), "lost", "")?.status == 201);
    }
    let last = put(b, "n0.example.com", "newer", "&wait=all")?;
    let version = ok(last, 200)?["version"].as_u64().context("a version")?;
    etcd.restore()?;
    serve(&servers, "n0.example.com", "kept")?;
    for server in &servers {
        serve(std::slice::from_ref(server), "lost1.example.com", "")?;
        ensure!(server.log().contains("restored"), "{}", server.log());
    }
    let again = ok(put(c, "n0.example.com", "again", "&wait=all")?, 200)?;
    ensure!(
        again["version"].as_u64().is_some_and(|again| again > version),
        "{again}"
    );
    serve(&servers, "n0.example.com", "again")?;

    etcd.lose_all()?;
    for server in &servers {
        has_state(server, "doubted")?;
        ensure!(text(server, "n7.example.com")? == "kept");
        let refused = put(server, "x.example.com", "x", "")?;
        ensure!(
            refused.status == 503 && refused.json["code"] == "storage_unavailable",
            "{refused:?}"
        );
    }
    let said = b.request("POST", "/api/v1/nodes/accept", Some(&json!({"take": "node"})))?;
    ensure!(said.status == 202, "{said:?}");
    servers.iter().try_for_each(|server| has_state(server, "connected"))?;
    ok(put(a, "x.example.com", "x", "&wait=all")?, 201)?;
    serve(&servers, "x.example.com", "x")?;
    serve(&servers, "n7.example.com", "kept")?;
    // A node that comes with nothing has it all.
    let fresh = node(&etcd, "d")?;
    ensure!(
        text(&fresh, "n7.example.com")? == "kept",
        "it is ready once it has what etcd has"
    );
    let refused = fresh.request("POST", "/api/v1/nodes/accept", Some(&json!({"take": "node"})))?;
    ensure!(
        refused.status == 409 && refused.json["code"] == "not_doubted",
        "{refused:?}"
    );
    Ok(())
}

#[test]
fn etcd_may_have_users_and_a_newer_hotdns() -> Result<()> {
    let mut etcd = Etcd::start()?;
    etcd.ctl(&["user", "add", "root:secret"])?;
    etcd.ctl(&["user", "add", "hotdns:pass word"])?;
    etcd.ctl(&["role", "add", "names"])?;
    etcd.ctl(&[
        "role",
        "grant-permission",
        "names",
        "readwrite",
        "/names/",
        "--prefix=true",
    ])?;
    etcd.ctl(&["user", "grant-role", "root", "root"])?;
    etcd.ctl(&["user", "grant-role", "hotdns", "names"])?;
    etcd.ctl(&["auth", "enable"])?;
    let password = tempfile::NamedTempFile::new()?;
    std::fs::write(password.path(), "pass word\n")?;
    let config = |name: &str| {
        format!(
            "storage: {{path: state, etcd: {{endpoints: [\"http://127.0.0.1:1\", \"{}\"], prefix: /names, username: \
             hotdns, password_file: {}, node: {name}}}}}\nxdp: {{mode: \"off\"}}\n",
            etcd.url(),
            password.path().display()
        )
    };
    let servers = [Server::start(&config("a"))?, Server::start(&config("b"))?];
    let [a, b] = &servers;
    servers.iter().try_for_each(|server| has_state(server, "connected"))?;
    ensure!(put(a, "x.example.com", "one", "&wait=all")?.status == 201);
    serve(&servers, "x.example.com", "one")?;
    // Its tokens are forgotten when it starts again.
    etcd.kill()?;
    etcd.run_with_users()?;
    servers.iter().try_for_each(|server| has_state(server, "connected"))?;
    ensure!(put(b, "x.example.com", "two", "&wait=all")?.status == 200);
    serve(&servers, "x.example.com", "two")?;
    ensure!(!a.log().contains("pass word"));

    // A newer program has written what this one cannot read: it is served as it was, and nothing is written over it.
    let root = ["--user", "root:secret"];
    let head = etcd.ctl(&[&root[..], &["get", "/names/v1/head", "--print-value-only"]].concat())?;
    let mut newer: Value = serde_json::from_str(head.trim())?;
    newer["needs"] = json!(2);
    etcd.ctl(&[&root[..], &["put", "/names/v1/head", &newer.to_string()]].concat())?;
    for server in &servers {
        has_state(server, "away")?;
        eventually("it says why", || {
            let reason = nodes(server)?["reason"].clone();
            Ok(reason.as_str().is_some_and(|reason| reason.contains("newer hotdns")))
        })?;
        ensure!(put(server, "x.example.com", "three", "")?.status == 503);
        ensure!(text(server, "x.example.com")? == "two");
    }
    Ok(())
}

#[test]
fn etcd_may_know_its_clients_by_their_certificates() -> Result<()> {
    let etcd = Etcd::start_with_tls()?;
    let config = |name: &str, tls: &str| {
        format!(
            "storage: {{path: state, required: false, etcd: {{endpoints: [\"{}\"], node: {name}, tls: {tls}}}}}\n\
             xdp: {{mode: \"off\"}}\n",
            etcd.url()
        )
    };
    let [ca, cert, key] = ["root.pem", "client.pem", "client.key"].map(|name| etcd.certificate(name));
    let known = format!("{{ca: {ca}, cert: {cert}, key: {key}}}");
    let servers = [
        Server::start(&config("a", &known))?,
        Server::start(&config("b", &known))?,
    ];
    servers.iter().try_for_each(|server| has_state(server, "connected"))?;
    ensure!(put(&servers[0], "x.example.com", "one", "&wait=all")?.status == 201);
    serve(&servers, "x.example.com", "one")?;
    // One that shows none, and one that trusts somebody else, are told why.
    let other = tempfile::tempdir()?;
    tests::certificates::authority(other.path())?;
    let strange = format!(
        "{{ca: {}, cert: {cert}, key: {key}}}",
        other.path().join("root.pem").display()
    );
    for tls in [format!("{{ca: {ca}}}"), strange] {
        let server = Server::start(&config("c", &tls))?;
        eventually("it says why it is not connected", || {
            let found = nodes(&server)?;
            let reason = found["reason"].as_str().unwrap_or_default().to_lowercase();
            Ok(found["state"] == "away" && reason.contains("certificate"))
        })
        .with_context(|| nodes(&server).map_or_else(|error| error.to_string(), |found| found.to_string()))?;
        ensure!(put(&server, "x.example.com", "two", "")?.status == 503);
    }
    serve(&servers, "x.example.com", "one")
}

/// One member of three may go, whichever it is: changes go on at every node, and nothing that was acknowledged is lost.
#[test]
fn a_member_of_etcd_may_go() -> Result<()> {
    let mut members = Etcd::start_members(3)?;
    let mut servers = Vec::new();
    for number in 0..3 {
        // Its own member first.
        let urls: Vec<String> = (0..3).map(|step| members[(number + step) % 3].url()).collect();
        servers.push(Server::start(&config(&urls.join("\", \""), &format!("n{number}")))?);
    }
    servers.iter().try_for_each(|server| has_state(server, "connected"))?;
    let mut made = BTreeSet::new();
    let mut change = |servers: &[Server], round: usize| -> Result<()> {
        for (number, server) in servers.iter().enumerate() {
            let name = format!("r{round}n{number}.example.com");
            // A member that went while it was asked leaves a change unknown; the next try is another change.
            eventually(&format!("node {number} takes a change"), || {
                Ok(matches!(put(server, &name, "there", "")?.status, 200 | 201))
            })?;
            made.insert(name);
        }
        made.iter().try_for_each(|name| serve(servers, name, "there"))
    };
    change(&servers, 0)?;
    for (round, gone) in (1..).zip(&mut members) {
        gone.kill()?;
        change(&servers, round)?;
        gone.run()?;
    }
    // Without a majority there are no changes, and all is served.
    members[0].kill()?;
    members[1].kill()?;
    for server in &servers {
        let refused = put(server, "late.example.com", "late", "")?;
        ensure!(
            refused.status == 503 && refused.json["code"] == "storage_unavailable",
            "{refused:?}"
        );
        ensure!(text(server, "r0n0.example.com")? == "there");
    }
    members[0].run()?;
    change(&servers, 4)
}

/// Counters that clients at all nodes raise by one under `If-Match`, while etcd is killed, stopped and compacted: each
/// number is acknowledged once at most, and none that was acknowledged is lost.
#[test]
fn no_acknowledged_change_is_lost_among_writers_at_all_nodes() -> Result<()> {
    let mut etcd = Etcd::start()?;
    let mut servers = three(&etcd)?;
    const COUNTERS: usize = 3;
    for counter in 0..COUNTERS {
        ensure!(put(&servers[0], &format!("c{counter}.example.com"), "0", "&wait=all")?.status == 201);
    }
    let addresses: Vec<_> = servers.iter().map(|server| server.http).collect();
    let is_over = Arc::new(AtomicBool::new(false));
    let acknowledged: Arc<Vec<Mutex<Vec<u64>>>> = Arc::new((0..COUNTERS).map(|_| Mutex::default()).collect());
    let (unknown, conflicts) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..6)
        .map(|client: usize| {
            let (address, counter) = (addresses[client % 3], client % COUNTERS.min(2));
            let (is_over, acknowledged) = (Arc::clone(&is_over), Arc::clone(&acknowledged));
            let (unknown, conflicts) = (Arc::clone(&unknown), Arc::clone(&conflicts));
            std::thread::spawn(move || {
                let name = format!("c{counter}.example.com");
                let path = format!("/api/v1/records/{name}?type=TXT");
                while !is_over.load(Ordering::Relaxed) {
                    let Ok(found) = request(&address, "GET", &path, None) else {
                        continue;
                    };
                    let record = &found.json["records"][0];
                    let value: Option<u64> = record["value"][0]
                        .as_str()
                        .and_then(|text| text.trim_matches('"').parse().ok());
                    let (Some(value), Some(version)) = (value, record["version"].as_u64()) else {
                        continue;
                    };
                    let edit = json!({"op": "put", "name": name, "type": "TXT", "value": (value + 1).to_string(),
                        "if_match": version});
                    match request(&address, "POST", "/api/v1/changes", Some(&json!({"edits": [edit]}))) {
                        Ok(reply) if reply.status == 200 => {
                            acknowledged[counter].lock().expect("no panic").push(value + 1);
                        }
                        Ok(reply) if reply.status == 412 => drop(conflicts.fetch_add(1, Ordering::Relaxed)),
                        Ok(reply) if reply.status == 503 && reply.json["outcome"].is_null() => {
                            std::thread::sleep(Duration::from_millis(20));
                        }
                        _ => drop(unknown.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            })
        })
        .collect();
    let count = || -> usize { acknowledged.iter().map(|one| one.lock().expect("no panic").len()).sum() };
    let more = |what: &str| {
        let before = count();
        eventually(&format!("changes are made {what}"), || Ok(count() >= before + 30))
    };
    more("at first")?;
    etcd.kill()?;
    std::thread::sleep(Duration::from_millis(300));
    etcd.run()?;
    more("after etcd was killed")?;
    etcd.compact()?;
    etcd.signal(Signal::SIGSTOP)?;
    std::thread::sleep(Duration::from_millis(2500));
    etcd.signal(Signal::SIGCONT)?;
    more("after etcd stood still")?;
    servers[1].kill()?;
    servers[1].run()?;
    more("after a node was killed")?;
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("no panic");
    }
    eventually("all nodes agree", || {
        for counter in 0..COUNTERS {
            let name = format!("c{counter}.example.com");
            let all: BTreeSet<String> = servers
                .iter()
                .map(|server| text(server, &name))
                .collect::<Result<_>>()?;
            if all.len() != 1 {
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    let unknown = unknown.load(Ordering::Relaxed);
    for (counter, acknowledged) in acknowledged.iter().enumerate() {
        let acknowledged = acknowledged.lock().expect("no panic");
        let last: u64 = text(&servers[0], &format!("c{counter}.example.com"))?.parse()?;
        let distinct: BTreeSet<u64> = acknowledged.iter().copied().collect();
        ensure!(
            distinct.len() == acknowledged.len(),
            "a number was acknowledged twice: an update was lost"
        );
        ensure!(
            distinct.iter().all(|number| *number <= last),
            "an acknowledged change is gone"
        );
        ensure!(
            last <= acknowledged.len() as u64 + unknown,
            "{last} of {} and {unknown}",
            acknowledged.len()
        );
    }
    eprintln!(
        "{} acknowledged, {} conflicts, {unknown} unknown",
        count(),
        conflicts.load(Ordering::Relaxed)
    );
    Ok(())
}
