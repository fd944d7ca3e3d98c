//! The running server beside a small API server that shows lists and holds watches: objects explained on the command
//! line, names of external-dns taken over, search paths of pods.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::net::is_skipped;
use tests::server::{Server, eventually, program};

/// Paths, and the objects that are there.
type Lists = Vec<(&'static str, Value)>;

/// An API server in which nothing changes. It ends with the test.
fn api(lists: Lists) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (lists, held) = (Arc::new(lists), Arc::new(Mutex::new(Vec::new())));
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (lists, held) = (Arc::clone(&lists), Arc::clone(&held));
            std::thread::spawn(move || answer(connection, &lists, &held));
        }
    });
    Ok(address)
}

fn answer(connection: TcpStream, lists: &Lists, held: &Mutex<Vec<TcpStream>>) -> Option<()> {
    let mut lines = BufReader::new(connection.try_clone().ok()?).lines();
    let request = lines.next()?.ok()?;
    // The rest of the head.
    lines
        .by_ref()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .count();
    let (path, query) = request.split(' ').nth(1)?.split_once('?')?;
    let mut connection = connection;
    if query.contains("watch=1") {
        write!(connection, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
        held.lock().ok()?.push(connection);
        return Some(());
    }
    let found = lists.iter().find(|(at, _)| *at == path);
    let (status, body) = match found {
        Some((_, items)) => ("200 OK", json!({"metadata": {"resourceVersion": "1"}, "items": items})),
        None => (
            "404 Not Found",
            json!({"kind": "Status", "code": 404, "reason": "NotFound", "status": "Failure"}),
        ),
    };
    let body = body.to_string();
    write!(
        connection,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .ok()
}

fn start(lists: Lists, source: &str, more: &str) -> Result<(Server, TempDir)> {
    let address = api(lists)?;
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "test", "user": {"token": "tok"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    });
    let folder = TempDir::new()?;
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string())?;
    let server = Server::start(&format!(
        "sources: {{kubernetes: [{{name: home, kubeconfig: \"{}\"{source}}}]}}\n{more}",
        path.display()
    ))?;
    eventually("the cluster is listed", || {
        let reply = server.request("GET", "/api/v1/sources", None)?;
        Ok(reply.json["sources"][0]["state"] == "synced")
    })?;
    Ok((server, folder))
}

fn hotdns(server: &Server, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program()?);
    let command = command.args(arguments).env_remove("HOTDNS_TOKEN");
    let output = command.env("HOTDNS_URL", format!("http://{}", server.http)).output()?;
    let said = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{said}");
    Ok(said)
}

fn ingress() -> Value {
    json!({
        "metadata": {"namespace": "web", "name": "www", "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {
            "hotdns.io/owner": "team-a", "hotdns.io/description": "Front page"}},
        "spec": {"rules": [{"host": "www.talos00"}, {"host": "old.talos00"}, {"host": "www.elsewhere.org"}]},
    })
}

#[test]
fn an_object_is_explained_and_names_of_external_dns_are_taken_over() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let lists = vec![("/apis/networking.k8s.io/v1/ingresses", json!([ingress()]))];
    let source = ", watch: [ingress], zones: [talos00], targets: [192.0.2.54]";
    let (server, _folder) = start(lists, source, "")?;
    let shown = hotdns(&server, &["k8s", "explain", "ingress/web/www"])?;
    ensure!(
        shown.contains("Ingress web/www in kubernetes/home: Front page (owner: team-a)"),
        "{shown}"
    );
    ensure!(
        shown.contains("www.elsewhere.org. is in none of the source's zones"),
        "{shown}"
    );
    let record = server.request("GET", "/api/v1/records/www.talos00", None)?;
    ensure!(
        record.json.to_string().contains("Front page (owner: team-a)"),
        "{record:?}"
    );

    // external-dns has written the name before, by the API.
    let heritage = "heritage=external-dns,external-dns/owner=me,external-dns/resource=ingress/web/www";
    for (name, rtype, value) in [
        ("www.talos00", "A", "192.0.2.53"),
        ("txt.a-www.talos00", "TXT", heritage),
        ("gone.talos00", "A", "192.0.2.53"),
        ("txt.a-gone.talos00", "TXT", heritage),
    ] {
        let edit = json!({"op": "put", "name": name, "type": rtype, "ttl": 300, "value": [value]});
        let body = json!({"takeover": true, "edits": [edit]});
        let reply = server.request("POST", "/api/v1/changes", Some(&body))?;
        ensure!(reply.status == 200, "{body} {reply:?}");
    }
    let shown = hotdns(&server, &["k8s", "explain", "ingress/web/www"])?;
    ensure!(
        shown.contains("not served: www.talos00. A of the API is served"),
        "{shown}"
    );
    let dry = hotdns(&server, &["k8s", "adopt", "home", "--txt-prefix", "txt."])?;
    ensure!(
        dry.contains("1 records would be taken over, 1 TXT records would go"),
        "{dry}"
    );
    ensure!(
        dry.contains("gone.talos00. A stays: no object of kubernetes home asks for it"),
        "{dry}"
    );
    ensure!(server.dig(&["www.talos00", "A", "+short"])?.trim() == "192.0.2.53");
    let done = hotdns(&server, &["k8s", "adopt", "home", "--txt-prefix", "txt.", "--apply"])?;
    ensure!(done.contains("1 records were taken over"), "{done}");
    ensure!(server.dig(&["www.talos00", "A", "+short"])?.trim() == "192.0.2.54");
    ensure!(server.dig(&["txt.a-www.talos00", "TXT", "+short"])?.trim().is_empty());
    let unknown = server.request("GET", "/api/v1/kubernetes/objects?object=ingress/web/none", None)?;
    ensure!(
        unknown.status == 404 && unknown.json.to_string().contains("kubernetes/home"),
        "{unknown:?}"
    );
    ensure!(server.dig(&["gone.talos00", "A", "+short"])?.trim() == "192.0.2.53");
    Ok(())
}

#[test]
fn the_first_question_of_a_pod_is_enough() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    // This host is a pod of `demo`.
    let pod = json!({
        "metadata": {"namespace": "demo", "name": "client"}, "spec": {},
        "status": {"phase": "Running", "podIPs": [{"ip": "127.0.0.1"}]},
    });
    let service = json!({
        "metadata": {"namespace": "shop", "name": "db"}, "spec": {"type": "ClusterIP", "clusterIPs": ["10.96.0.9"]},
    });
    let lists = vec![
        ("/api/v1/pods", json!([pod])),
        ("/api/v1/services", json!([service])),
        ("/apis/discovery.k8s.io/v1/endpointslices", json!([])),
    ];
    let source = ", watch: [service], cluster_domain: cluster.local, autopath: true, pods: verified";
    let rule =
        "rules: [{name: world, template: {match: '^www\\.example\\.org\\.$', answer: '{name} 60 IN A 192.0.2.99'}}]\n";
    let (server, _folder) = start(lists, source, rule)?;
    let short = |name: &str| -> Result<Vec<String>> {
        let text = server.dig(&[name, "A", "+short"])?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    ensure!(short("127-0-0-1.demo.pod.cluster.local")? == ["127.0.0.1"]);
    ensure!(short("db.shop.svc.cluster.local")? == ["10.96.0.9"]);
    let world = short("www.example.org.demo.svc.cluster.local")?;
    ensure!(world == ["www.example.org.", "192.0.2.99"], "{world:?}");
    let other = short("db.shop.demo.svc.cluster.local")?;
    ensure!(other == ["db.shop.svc.cluster.local.", "10.96.0.9"], "{other:?}");
    let denied = server.dig(&["www.example.org.shop.svc.cluster.local", "A"])?;
    ensure!(denied.contains("NXDOMAIN"), "{denied}");
    Ok(())
}

#[test]
fn names_of_pods_that_nobody_checks_are_made_from_their_addresses() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let service = json!({
        "metadata": {"namespace": "shop", "name": "db"}, "spec": {"type": "ClusterIP", "clusterIPs": ["10.96.0.9"]},
    });
    let lists = vec![
        ("/api/v1/services", json!([service])),
        ("/apis/discovery.k8s.io/v1/endpointslices", json!([])),
    ];
    let source = ", watch: [service], cluster_domain: cluster.local, pods: insecure";
    let rule = "rules: [{name: none, block: {names: [ads.example]}}]\n";
    let (server, _folder) = start(lists, source, rule)?;
    let made = server.dig(&["10-0-0-7.shop.pod.cluster.local", "A", "+short"])?;
    ensure!(made.trim() == "10.0.0.7", "{made}");
    let absent = server.dig(&["ten.shop.pod.cluster.local", "A"])?;
    ensure!(absent.contains("NXDOMAIN"), "{absent}");
    let absent = server.dig(&["www.example.org.shop.svc.cluster.local", "A"])?;
    ensure!(absent.contains("NXDOMAIN"), "{absent}");
    Ok(())
}
