//! hotdns and a real Kubernetes API: objects that people apply, change and delete, and an API that goes away.
//!
//! `cargo xtask test --kubernetes` runs it and says what is missing; the suite leaves it out.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dns_userspace::model::name::Name;
use serde_json::{Value, json};
use tests::kubernetes::Cluster;
use tests::server::{Server, eventually};

const INGRESS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: grafana, namespace: default, annotations: {catalyst-dns-sync.io/ttl: "60"}}
spec:
  rules:
    - host: HOST
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
"#;

const SET: &str = r#"
apiVersion: hotdns.io/v1alpha1
kind: RecordSet
metadata: {name: mail, namespace: default}
spec: {name: example.test, type: MX, values: ["10 mail.example.test."]}
"#;

fn config(kubeconfig: &std::path::Path, more: &str) -> String {
    format!(
        "sources: {{kubernetes: [{{name: test, kubeconfig: \"{}\", zones: [example.test], \
         targets: [192.0.2.54]{more}}}]}}\n",
        kubeconfig.display()
    )
}

fn source(server: &Server) -> Result<Value> {
    let reply = server.request("GET", "/api/v1/sources", None)?;
    reply.json["sources"].get(0).cloned().context("one source")
}

fn answers(server: &Server, name: &str, rtype: &str, wanted: &str) -> Result<()> {
    let outcome = eventually(&format!("{name} {rtype} {wanted}"), || {
        Ok(server.dig(&[name, rtype, "+short"])?.trim() == wanted)
    });
    outcome.with_context(|| format!("{:#}", source(server).unwrap_or_default()))
}

#[test]
#[ignore = "needs kube-apiserver, etcd and kubectl: cargo xtask test --kubernetes"]
fn objects_are_followed_and_outlive_their_api() -> Result<()> {
    let mut cluster = Cluster::start()?;
    cluster.apply(&INGRESS.replace("HOST", "grafana.example.test"))?;
    let started = Instant::now();
    let mut server = Server::start(&config(
        &cluster.kubeconfig(),
        ", report: true, cluster_domain: cluster.local",
    ))?;
    answers(&server, "grafana.example.test", "A", "192.0.2.54")?;
    println!("first answer {:?} after the start", started.elapsed());
    let full = server.dig(&["grafana.example.test", "A", "+noall", "+answer"])?;
    ensure!(full.split_whitespace().nth(1) == Some("60"), "{full}");

    // Its status has the address from now on.
    let points = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.11"}]}});
    let changed = Instant::now();
    cluster.set_status("default", "ingress/grafana", &points)?;
    answers(&server, "grafana.example.test", "A", "192.0.2.11")?;
    println!("changed {:?} after kubectl began", changed.elapsed());

    // A kind that comes later, and refuses nonsense.
    cluster.apply(include_str!("../../deploy/kubernetes/crds/recordset.yaml"))?;
    eventually("the definition is established", || Ok(cluster.apply(SET).is_ok()))?;
    answers(&server, "example.test", "MX", "10 mail.example.test.")?;
    let two = SET
        .replace("MX", "CNAME")
        .replace("[\"10 mail.example.test.\"]", "[a.test, b.test]");
    let refused = cluster
        .apply(&two)
        .expect_err("the definition checks values")
        .to_string();
    ensure!(refused.contains("one value"), "{refused}");

    // What became of it is on the object, and where it is hidden, by whom.
    let synced = [
        "get",
        "recordset",
        "mail",
        "-o",
        "jsonpath={.status.conditions[0].status} {.status.conditions[0].message}",
    ];
    eventually("the status says so", || {
        Ok(cluster.kubectl(&synced, None)? == "True it is served")
    })?;
    let shown = cluster.kubectl(&["get", "recordsets"], None)?;
    ensure!(shown.contains("SYNCED") && shown.contains("True"), "{shown}");
    let hidden = SET
        .replace("name: mail", "name: odd")
        .replace("name: example.test, type: MX", "name: other.org, type: MX");
    cluster.apply(&hidden)?;
    let odd = [
        "get",
        "recordset",
        "odd",
        "-o",
        "jsonpath={.status.conditions[0].status} {.status.conditions[0].message}",
    ];
    eventually("it says why not", || {
        Ok(cluster.kubectl(&odd, None)? == "False other.org. is in none of the source's zones")
    })?;
    let nonsense = SET
        .replace("name: mail", "name: nonsense")
        .replace("10 mail.example.test.", "ten");
    cluster.apply(&nonsense)?;
    let told = eventually("an Event says what is wrong", || {
        let events = cluster.kubectl(&["get", "events"], None)?;
        Ok(events.contains("NotUnderstood") && events.contains("recordset/nonsense"))
    });
    told.with_context(|| server.log())?;
    cluster.kubectl(&["delete", "recordset", "odd", "nonsense"], None)?;

    // A Service of type LoadBalancer, by annotation.
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
        "metadata": {"name": "web", "namespace": "default", "annotations": {
            "external-dns.alpha.kubernetes.io/hostname": "web.example.test"}},
    });
    cluster.apply(&service.to_string())?;
    let points = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.10", "ipMode": "VIP"}]}});
    cluster.set_status("default", "service/web", &points)?;
    answers(&server, "web.example.test", "A", "192.0.2.10")?;

    // Names inside the cluster: of the API server's own Service.
    answers(&server, "kubernetes.default.svc.cluster.local", "A", "10.96.0.1")?;
    answers(
        &server,
        "_https._tcp.kubernetes.default.svc.cluster.local",
        "SRV",
        "0 100 443 kubernetes.default.svc.cluster.local.",
    )?;
    answers(
        &server,
        "1.0.96.10.in-addr.arpa",
        "PTR",
        "kubernetes.default.svc.cluster.local.",
    )?;
    let absent = server.dig(&["none.default.svc.cluster.local", "A"])?;
    ensure!(
        absent.contains("NXDOMAIN") && absent.contains("hostmaster.cluster.local"),
        "{absent}"
    );

    // Another name, and none.
    cluster.apply(&INGRESS.replace("HOST", "charts.example.test"))?;
    answers(&server, "charts.example.test", "A", "192.0.2.11")?;
    answers(&server, "grafana.example.test", "A", "")?;
    cluster.kubectl(&["delete", "ingress", "grafana"], None)?;
    answers(&server, "charts.example.test", "A", "")?;
    cluster.apply(&INGRESS.replace("HOST", "grafana.example.test"))?;
    answers(&server, "grafana.example.test", "A", "192.0.2.54")?;

    // The API goes: all is served on, over a restart too.
    cluster.kill_api()?;
    eventually("degraded", || Ok(source(&server)?["state"] == "degraded"))?;
    answers(&server, "grafana.example.test", "A", "192.0.2.54")?;
    server.kill()?;
    server.run()?;
    answers(&server, "grafana.example.test", "A", "192.0.2.54")?;
    answers(&server, "example.test", "MX", "10 mail.example.test.")?;
    let shown = source(&server)?;
    ensure!(
        shown["state"] != "synced" && shown["records"].as_u64() > Some(3),
        "{shown}"
    );

    // It comes back, having forgotten all older versions.
    cluster.forget()?;
    cluster.start_api()?;
    eventually("in step again", || Ok(source(&server)?["state"] == "synced"))?;
    cluster.kubectl(&["delete", "recordset", "mail"], None)?;
    answers(&server, "example.test", "MX", "")?;
    answers(&server, "grafana.example.test", "A", "192.0.2.54")?;
    ensure!(server.stop()?.success());

    // What is not permitted is said; what was asked for by name is an error of the source.
    let low = config(&cluster.low_kubeconfig(), ", watch: [ingress]");
    let server = Server::start(&low)?;
    eventually("refused", || {
        let shown = source(&server)?;
        let error = shown["error"].as_str().unwrap_or_default();
        Ok(error.contains("all of Ingress may not be listed") && error.contains("cannot list"))
    })?;
    Ok(())
}

const ZONE: &str = r#"
apiVersion: hotdns.io/v1alpha1
kind: Zone
metadata: {name: own, namespace: default}
spec: {name: own.example.test, nameservers: [ns1.own.example.test], addresses: [192.0.2.53], defaults: {ttl: 77}}
"#;

#[test]
#[ignore = "needs kube-apiserver, etcd and kubectl: cargo xtask test --kubernetes"]
fn zones_have_a_status_and_objects_are_explained() -> Result<()> {
    let cluster = Cluster::start()?;
    for definition in [
        include_str!("../../deploy/kubernetes/crds/recordset.yaml"),
        include_str!("../../deploy/kubernetes/crds/zone.yaml"),
    ] {
        cluster.apply(definition)?;
    }
    let server = Server::start(&config(&cluster.kubeconfig(), ", report: true"))?;
    eventually("the definition is established", || Ok(cluster.apply(ZONE).is_ok()))?;
    answers(&server, "own.example.test", "NS", "ns1.own.example.test.")?;
    answers(&server, "ns1.own.example.test", "A", "192.0.2.53")?;
    let absent = server.dig(&["none.own.example.test", "A"])?;
    ensure!(
        absent.contains("NXDOMAIN") && absent.contains("hostmaster.own.example.test"),
        "{absent}"
    );
    eventually("kubectl shows that it is synced", || {
        let shown = cluster.kubectl(&["get", "zones"], None)?;
        Ok(shown.contains("own.example.test") && shown.contains("True"))
    })?;
    let set = SET
        .replace("name: mail", "name: www")
        .replace("name: example.test, type: MX", "name: www.own.example.test, type: A")
        .replace("10 mail.example.test.", "192.0.2.80");
    cluster.apply(&set)?;
    answers(&server, "www.own.example.test", "A", "192.0.2.80")?;
    let full = server.dig(&["www.own.example.test", "A", "+noall", "+answer"])?;
    ensure!(full.split_whitespace().nth(1) == Some("77"), "{full}");
    let renamed = cluster.apply(&ZONE.replace("own.example.test,", "other.example.test,"));
    let refused = renamed.expect_err("a zone keeps its name").to_string();
    ensure!(refused.contains("does not change"), "{refused}");

    // What an object gives, and what not.
    let ingress = INGRESS.replace("HOST", "www.own.example.test").replace(
        "annotations: {",
        "annotations: {hotdns.io/owner: team-a, hotdns.io/hostname: out.other.org, ",
    );
    cluster.apply(&ingress)?;
    let path = "/api/v1/kubernetes/objects?object=ingress/default/grafana";
    eventually("the Ingress is known", || {
        Ok(server.request("GET", path, None)?.status == 200)
    })?;
    let reply = server.request("GET", path, None)?;
    let object = &reply.json["objects"][0];
    ensure!(
        object["note"] == "owner: team-a" && object["source"] == "kubernetes/test",
        "{reply:?}"
    );
    ensure!(
        object["notes"].to_string().contains("out.other.org. is in none"),
        "{reply:?}"
    );

    // A NodePort leads to the nodes.
    drop(server);
    let watch = ", watch: [service, node]";
    let server = Server::start(&config(&cluster.kubeconfig(), watch))?;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
    cluster.apply(&node.to_string())?;
    let status = json!({"conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "ExternalIP", "address": "192.0.2.91"}]});
    cluster.set_status("default", "node/n1", &status)?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "spec": {"type": "NodePort", "ports": [{"name": "play", "port": 7777, "nodePort": 30777, "protocol": "UDP"}]},
        "metadata": {"name": "game", "namespace": "default", "annotations": {
            "hotdns.io/hostname": "game.example.test", "hotdns.io/access": "public"}},
    });
    cluster.apply(&service.to_string())?;
    answers(&server, "game.example.test", "A", "192.0.2.91")?;
    answers(
        &server,
        "_play._udp.game.example.test",
        "SRV",
        "0 50 30777 game.example.test.",
    )
}

#[test]
#[ignore = "needs kube-apiserver, etcd and kubectl: cargo xtask test --kubernetes"]
fn a_config_map_and_the_api_have_the_same_records() -> Result<()> {
    let cluster = Cluster::start()?;
    let map = |text: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"config.yaml": text, "other": "theirs"},
            "metadata": {"name": "jw238dns-config", "namespace": "default"},
        })
        .to_string()
    };
    let first = "# ours\nrecords:\n  - {name: a.example.test., type: A, ttl: 300, value: [192.0.2.1]}  # the gateway\n";
    cluster.apply(&map(first))?;
    let mut server = Server::start(&config(&cluster.kubeconfig(), ", watch: [configmap], persist: true"))?;
    answers(&server, "a.example.test", "A", "192.0.2.1")?;
    let text = || -> Result<String> {
        let path = r"jsonpath={.data.config\.yaml}";
        cluster.kubectl(&["get", "configmap", "jw238dns-config", "-o", path], None)
    };
    let put = |server: &Server, name: &str, value: &str| -> Result<()> {
        let body = json!({"type": "A", "ttl": 300, "value": [value]});
        let reply = server.request("PUT", &format!("/api/v1/records/{name}"), Some(&body))?;
        ensure!(matches!(reply.status, 200 | 201), "{reply:?}");
        Ok(())
    };
    let changed = Instant::now();
    put(&server, "b.example.test", "192.0.2.2")?;
    let expected = format!("{first}  - {{name: b.example.test., type: A, ttl: 300, value: [192.0.2.2]}}\n");
    eventually("it is written back", || Ok(text()?.trim_end() == expected.trim_end()))?;
    println!("written back {:?} after the change", changed.elapsed());

    // A person and the API write at the same time, again and again.
    for number in 0..8 {
        let mine = format!("api{number}.example.test");
        let writer = || put(&server, &mine, "192.0.2.3");
        std::thread::scope(|scope| {
            let by_api = scope.spawn(writer);
            let mut tried = 0;
            // As `kubectl edit` does it: what was read is replaced, and a conflict is edited again.
            let person = loop {
                let read = cluster.kubectl(&["get", "configmap", "jw238dns-config", "-o", "json"], None)?;
                let mut object: Value = serde_json::from_str(&read)?;
                let before = object["data"]["config.yaml"].as_str().context("a text")?.to_owned();
                let item = format!("  - {{name: man{number}.example.test., type: A, ttl: 300, value: [192.0.2.4]}}\n");
                object["data"]["config.yaml"] = (before + &item).into();
                match cluster.kubectl(&["replace", "-f", "-"], Some(&object.to_string())) {
                    Ok(_) => break Ok(()),
                    Err(error) if tried == 20 => break Err(error),
                    Err(_) => tried += 1,
                }
            };
            by_api.join().expect("no panic")?;
            person
        })?;
    }
    for number in 0..8 {
        answers(&server, &format!("api{number}.example.test"), "A", "192.0.2.3")?;
        answers(&server, &format!("man{number}.example.test"), "A", "192.0.2.4")?;
    }
    eventually("both sides have all of it", || {
        let text = text()?;
        let has = |number: &i32| text.contains(&format!("api{number}.")) && text.contains(&format!("man{number}."));
        Ok((0..8).all(|number| has(&number)) && text.contains("# the gateway"))
    })?;

    // While hotdns is away, people take one out; what the API has is not lost.
    server.kill()?;
    let kept: Vec<String> = text()?
        .lines()
        .filter(|line| !line.contains("man3."))
        .map(str::to_owned)
        .collect();
    let patch = json!({"data": {"config.yaml": kept.join("\n") + "\n"}}).to_string();
    cluster.kubectl(
        &["patch", "configmap", "jw238dns-config", "--type=merge", "-p", &patch],
        None,
    )?;
    server.run()?;
    answers(&server, "man3.example.test", "A", "")?;
    answers(&server, "man4.example.test", "A", "192.0.2.4")?;
    ensure!(!text()?.contains("man3."), "{}", text()?);

    // A mistake holds the write-back, and says so.
    let bad = json!({"data": {"config.yaml": kept.join("\n") + "\n  - {name: x.example.test.}\n"}}).to_string();
    cluster.kubectl(
        &["patch", "configmap", "jw238dns-config", "--type=merge", "-p", &bad],
        None,
    )?;
    eventually("it says why", || {
        let shown = source(&server)?["skipped"].to_string();
        Ok(shown.contains("write-back to ConfigMap default/jw238dns-config:config.yaml"))
    })?;
    answers(&server, "a.example.test", "A", "192.0.2.1")?;
    let theirs = cluster.kubectl(
        &["get", "configmap", "jw238dns-config", "-o", "jsonpath={.data.other}"],
        None,
    )?;
    ensure!(theirs == "theirs", "{theirs}");
    Ok(())
}

/// Ingresses of the test of figures.
const MANY: usize = 10_000;
const FEW: usize = 100;
/// Changes whose time to the wire is taken.
const CHANGES: usize = 200;

fn numbered(number: usize, target: &str) -> Value {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": format!("i{number}"), "namespace": "default", "annotations": {"hotdns.io/target": target}},
        "spec": {"rules": [{"host": format!("h{number}.example.test"), "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
    })
}

const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";

/// Makes these Ingresses, several at a time.
fn make(api: &str, numbers: std::ops::Range<usize>) -> Result<()> {
    const WRITERS: usize = 4;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let numbers = numbers.clone();
                scope.spawn(move || -> Result<()> {
                    for number in numbers.filter(|number| number % WRITERS == writer) {
                        let reply =
                            tests::server::request(&api, "POST", INGRESSES, Some(&numbered(number, "192.0.2.1")))?;
                        ensure!(reply.status == 201, "{reply:?}");
                    }
                    Ok(())
                })
            })
            .collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().expect("no panic"))
    })
}

/// The last octet of the address that a name has, asked over UDP.
fn last_octet(socket: &UdpSocket, name: &str) -> Result<Option<u8>> {
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(name.parse::<Name>()?.as_wire());
    query.extend_from_slice(&[0, 1, 0, 1]);
    socket.send(&query)?;
    let mut reply = [0; 512];
    let length = socket.recv(&mut reply)?;
    let has_answer = reply[6..8] != [0, 0];
    Ok(has_answer.then(|| reply[length - 1]))
}

fn mebibytes(server: &Server) -> Result<u64> {
    Ok(server.resident_bytes()? >> 20)
}

#[test]
#[ignore = "needs kube-apiserver, etcd and kubectl: cargo xtask test --kubernetes"]
fn ten_thousand_ingresses_keep_to_the_budget() -> Result<()> {
    const SECONDS: u64 = 20;
    let cluster = Cluster::start()?;
    let (_proxy, api) = cluster.proxy()?;
    make(&api, 0..FEW)?;
    let config = config(&cluster.kubeconfig(), ", watch: [ingress]");
    let records = "hotdns_source_records{kind=\"kubernetes\",name=\"test\"}";
    let has = |server: &Server, count: usize| {
        eventually(&format!("{count} names are served"), || {
            Ok(server.metric(records)? == count as f64)
        })
    };
    let without = Server::start("")?;
    std::thread::sleep(Duration::from_secs(2));
    let bare = mebibytes(&without)?;
    drop(without);
    let server = Server::start(&config)?;
    has(&server, FEW)?;
    std::thread::sleep(Duration::from_secs(3));
    let before = server.metric("process_cpu_seconds_total")?;
    std::thread::sleep(Duration::from_secs(SECONDS));
    let cores = (server.metric("process_cpu_seconds_total")? - before) / SECONDS as f64;
    let few = mebibytes(&server)?;
    println!("{FEW} Ingresses: {few} MiB resident ({bare} MiB without a cluster), {cores:.3} cores at rest");
    drop(server);

    let started = Instant::now();
    make(&api, FEW..MANY)?;
    println!("{MANY} Ingresses were made within {:?}", started.elapsed());
    let server = Server::start(&config)?;
    let started = Instant::now();
    has(&server, MANY)?;
    let listed = started.elapsed();
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server.dns)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let name = |number: usize| format!("h{number}.example.test.");
    for number in [0, MANY / 2, MANY - 1] {
        ensure!(last_octet(&socket, &name(number))? == Some(1), "{number}");
    }
    println!("first list of {MANY}: all served {listed:?} after the server was ready");

    let mut times: Vec<Duration> = Vec::with_capacity(CHANGES);
    for change in 0..CHANGES {
        let number = change * (MANY / CHANGES);
        let octet = 2 + (change % 200) as u8;
        let object = numbered(number, &format!("192.0.2.{octet}"));
        let started = Instant::now();
        let reply = tests::server::request(&api, "PUT", &format!("{INGRESSES}/i{number}"), Some(&object))?;
        ensure!(reply.status == 200, "{reply:?}");
        while last_octet(&socket, &name(number))? != Some(octet) {
            ensure!(started.elapsed() < Duration::from_secs(30), "{number} is not served so");
        }
        times.push(started.elapsed());
    }
    times.sort();
    let (p50, p99) = (times[CHANGES / 2], times[CHANGES * 99 / 100]);
    println!("from the write of a change to its answer, the API's own time with it: p50 {p50:?}, p99 {p99:?}");

    // All is listed anew, and nothing is published.
    let version = server.metric("hotdns_version")?;
    let last = source(&server)?["last_sync"].clone();
    std::thread::sleep(Duration::from_secs(1));
    let reply = server.request("POST", "/api/v1/sources/kubernetes/test/sync", None)?;
    ensure!(reply.status == 202, "{reply:?}");
    eventually("it is listed anew", || {
        let shown = source(&server)?;
        Ok(shown["state"] == "synced" && shown["last_sync"] != last)
    })?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(
        server.metric("hotdns_version")? == version,
        "a list without a change publishes nothing"
    );
    let many = mebibytes(&server)?;
    println!("{MANY} Ingresses: {many} MiB resident, after a second list");
    ensure!(listed < Duration::from_secs(10), "the first list took {listed:?}");
    ensure!(p99 < Duration::from_secs(1), "{p99:?}");
    ensure!(cores < 0.1, "{cores} cores");
    // A build for development has 30 MiB of code more in memory than one for release, whose budget is 50 MB.
    ensure!(few < bare + 25, "{few} MiB");
    ensure!(many < 150, "{many} MiB");
    Ok(())
}
