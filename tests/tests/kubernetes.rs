//! hotdns and a real Kubernetes API: objects that people apply, change and delete, and an API that goes away.
//!
//! `cargo xtask test --kubernetes` runs it and says what is missing; the suite leaves it out.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
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
