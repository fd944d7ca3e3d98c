//! What hotdns writes into a real Kubernetes API: the Lease of several replicas, Certificates, and the answers of the
//! admission webhook.
//!
//! `cargo xtask test --kubernetes` runs it and says what is missing; the suite leaves it out. The kinds of cert-manager
//! and Traefik are defined here by their names alone: what their schemas allow is not looked at.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::kubernetes::Cluster;
use tests::server::{Server, eventually, free_port};

const ROUTE: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  rules:
    - host: HOST
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
"#;

fn ingress(name: &str, namespace: &str, host: &str) -> String {
    ROUTE
        .replace("NAMESPACE", namespace)
        .replace("NAME", name)
        .replace("HOST", host)
}

/// A kind whose objects may say anything.
fn kind(group: &str, version: &str, kind: &str, plural: &str) -> String {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{"name": version, "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}}}],
        },
    })
    .to_string()
}

fn config(kubeconfig: &Path, more: &str) -> String {
    format!(
        "sources: {{kubernetes: [{{name: test, kubeconfig: \"{}\", zones: [example.test], watch: [ingress], \
         targets: [192.0.2.54]}}]}}\n{more}\n",
        kubeconfig.display()
    )
}

fn leader(server: &Server) -> Result<Value> {
    let reply = server.request("GET", "/api/v1/targets", None)?;
    Ok(reply.json["leader"].clone())
}

fn metrics(server: &Server) -> Result<String> {
    Ok(server.request("GET", "/metrics", None)?.text)
}

#[test]
#[ignore = "needs kube-apiserver, etcd and kubectl: cargo xtask test --kubernetes"]
fn one_of_two_replicas_writes_and_makes_the_certificate() -> Result<()> {
    let cluster = Cluster::start()?;
    for namespace in ["infrastructure", "traefik"] {
        cluster.kubectl(&["create", "namespace", namespace], None)?;
    }
    cluster.apply(&kind("cert-manager.io", "v1", "Certificate", "certificates"))?;
    cluster.apply(&kind("traefik.io", "v1alpha1", "TLSStore", "tlsstores"))?;
    let certificates = ["-n", "traefik", "get", "certificates", "-o", "name"];
    eventually("the kinds are there", || {
        let stores = ["-n", "traefik", "get", "tlsstores"];
        Ok(cluster.kubectl(&certificates, None).is_ok() && cluster.kubectl(&stores, None).is_ok())
    })?;
    let text = config(
        &cluster.kubeconfig(),
        "kubernetes: {readyz: peers, leader_election: {enabled: true, namespace: infrastructure, duration: 5s}, \
         certificates: {watch: true, wildcards: [example.test], default_certificate: true}}",
    );
    let mut first = Server::start(&text)?;
    eventually("the first one leads", || Ok(leader(&first)?["leads"] == true))?;
    let second = Server::start(&text)?;
    eventually("the second one sees it", || Ok(leader(&second)?["holder"].is_string()))?;
    ensure!(leader(&second)?["leads"] == false, "{}", leader(&second)?);
    eventually("ready", || Ok(first.request("GET", "/readyz", None)?.status == 200))?;

    // The first name makes the Certificate, once.
    ensure!(cluster.kubectl(&certificates, None)?.is_empty());
    cluster.apply(&ingress("web", "default", "web.example.test"))?;
    eventually("the Certificate is made", || {
        Ok(cluster.kubectl(&certificates, None)?.trim() == "certificate.cert-manager.io/wildcard-example.test")
    })?;
    let get = |what: &str, path: &str| {
        let path = format!("jsonpath={path}");
        cluster.kubectl(&["-n", "traefik", "get", what, "-o", &path], None)
    };
    let spec = get("certificate/wildcard-example.test", "{.spec}")?;
    let spec: Value = serde_json::from_str(&spec)?;
    let wanted = json!({"secretName": "wildcard-example.test-tls", "dnsNames": ["*.example.test", "example.test"],
        "issuerRef": {"name": "letsencrypt-prod", "kind": "ClusterIssuer"}});
    ensure!(spec == wanted, "{spec}");

    // Once it is ready Traefik shows it.
    let status = json!({"notAfter": "2096-01-01T00:00:00Z", "conditions": [{"type": "Ready", "status": "True"}]});
    cluster.set_status("traefik", "certificate/wildcard-example.test", &status)?;
    eventually("Traefik's default certificate", || {
        let secret = get("tlsstore/default", "{.spec.defaultCertificate.secretName}");
        Ok(secret.is_ok_and(|secret| secret == "wildcard-example.test-tls"))
    })?;
    for server in [&first, &second] {
        let line = "catalyst_dns_sync_certificate_ready{name=\"wildcard-example.test\",namespace=\"traefik\"} 1";
        eventually("both count it", || Ok(metrics(server)?.contains(line)))?;
    }

    // The leader is killed: the other one takes over, and no sooner than it may.
    let holder = [
        "-n",
        "infrastructure",
        "get",
        "lease/hotdns",
        "-o",
        "jsonpath={.spec.holderIdentity}",
    ];
    let before = cluster.kubectl(&holder, None)?;
    let killed = std::time::Instant::now();
    first.kill()?;
    eventually("the second one leads", || Ok(leader(&second)?["leads"] == true))?;
    println!(
        "taken over {:?} after the leader was killed, the Lease lasting 5 s",
        killed.elapsed()
    );
    ensure!(cluster.kubectl(&holder, None)? != before);
    ensure!(metrics(&second)?.contains("hotdns_leader{lease=\"hotdns\"} 1"));
    ensure!(cluster.kubectl(&certificates, None)?.lines().count() == 1);
    // Both serve, whoever writes.
    first.run()?;
    for server in [&first, &second] {
        eventually("it serves", || {
            Ok(server.dig(&["web.example.test", "A", "+short"])?.trim() == "192.0.2.54")
        })?;
    }

    // The API goes: `/readyz` says so, `/ready` does not.
    let mut cluster = cluster;
    cluster.kill_api()?;
    eventually("not ready", || {
        let reply = second.request("GET", "/readyz", None)?;
        Ok(reply.status == 503 && reply.text.contains("the Kubernetes API of kubernetes/test"))
    })?;
    ensure!(second.request("GET", "/ready", None)?.status == 200);
    eventually("nobody writes", || Ok(leader(&second)?["leads"] == false))
}

#[test]
#[ignore = "needs kube-apiserver, etcd and kubectl: cargo xtask test --kubernetes"]
fn the_rights_of_the_manifests_are_enough_and_few() -> Result<()> {
    let cluster = Cluster::start()?;
    for namespace in ["infrastructure", "traefik"] {
        cluster.kubectl(&["create", "namespace", namespace], None)?;
    }
    cluster.apply(&kind("cert-manager.io", "v1", "Certificate", "certificates"))?;
    cluster.apply(&kind("traefik.io", "v1alpha1", "TLSStore", "tlsstores"))?;
    for folder in [
        "base",
        "options/report",
        "options/leader-election",
        "options/config-map",
        "certificates",
    ] {
        let folder = tests::documents::root().join("deploy/kubernetes").join(folder);
        cluster.kubectl(&["apply", "-k", &folder.display().to_string()], None)?;
    }
    let set = json!({
        "apiVersion": "hotdns.io/v1alpha1", "kind": "RecordSet", "metadata": {"name": "mail", "namespace": "default"},
        "spec": {"name": "example.test", "type": "MX", "values": ["10 mail.example.test."]},
    });
    eventually("the kinds are established", || {
        let stores = ["-n", "traefik", "get", "tlsstores"];
        Ok(cluster.apply(&set.to_string()).is_ok() && cluster.kubectl(&stores, None).is_ok())
    })?;
    let server = Server::start(&format!(
        "sources: {{kubernetes: [{{name: test, kubeconfig: \"{}\", zones: [example.test], targets: [192.0.2.54], \
         report: true, persist: true}}]}}\n\
         kubernetes: {{leader_election: {{enabled: true, namespace: infrastructure, duration: 5s}}, \
         certificates: {{watch: true, wildcards: [example.test], default_certificate: true}}}}\n",
        cluster.account_kubeconfig("infrastructure", "hotdns")?.display()
    ))?;
    eventually("it leads", || Ok(leader(&server)?["leads"] == true))?;
    let synced = [
        "get",
        "recordset",
        "mail",
        "-o",
        "jsonpath={.status.conditions[0].status} {.status.hostname}",
    ];
    eventually("the status is written", || {
        Ok(cluster.kubectl(&synced, None)? == "True example.test")
    })?;
    cluster.apply(&ingress("web", "default", "web.example.test"))?;
    let get = |what: &str, path: &str| {
        let path = format!("jsonpath={path}");
        cluster.kubectl(&["-n", "traefik", "get", what, "-o", &path], None)
    };
    eventually("the Certificate is made", || {
        Ok(get("certificate/wildcard-example.test", "{.metadata.name}").is_ok())
    })?;
    let status = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    cluster.set_status("traefik", "certificate/wildcard-example.test", &status)?;
    let secret = "{.spec.defaultCertificate.secretName}";
    eventually("the TLSStore is made", || {
        Ok(get("tlsstore/default", secret).is_ok_and(|secret| secret == "wildcard-example.test-tls"))
    })?;
    eventually("an Event is written", || {
        let events = cluster.kubectl(&["get", "events"], None)?;
        Ok(events.contains("web.example.test. A 192.0.2.54, TTL 300, is served"))
    })?;
    let body = json!({"type": "A", "ttl": 300, "value": ["192.0.2.2"]});
    let reply = server.request("PUT", "/api/v1/records/b.example.test", Some(&body))?;
    ensure!(matches!(reply.status, 200 | 201), "{reply:?}");
    let text = [
        "get",
        "configmap",
        "jw238dns-config",
        "-o",
        r"jsonpath={.data.config\.yaml}",
    ];
    eventually("the ConfigMap is made", || {
        Ok(cluster
            .kubectl(&text, None)
            .is_ok_and(|text| text.contains("b.example.test.")))
    })?;
    let source = server.request("GET", "/api/v1/sources", None)?.json["sources"][0].clone();
    ensure!(source["state"] == "synced" && source["skipped_count"] == 0, "{source}");
    let log = server.log();
    ensure!(
        !log.contains("cannot be written") && !log.contains("forbidden"),
        "{log}"
    );

    // And no more.
    for (verb, what) in [
        ("list", "secrets"),
        ("list", "pods"),
        ("update", "ingresses"),
        ("patch", "services"),
        ("delete", "certificates.cert-manager.io"),
        ("patch", "recordsets.hotdns.io"),
        ("create", "pods"),
    ] {
        let account = "--as=system:serviceaccount:infrastructure:hotdns";
        // It says no, and fails.
        let may = cluster.kubectl(&["auth", "can-i", verb, what, account, "-n", "default"], None);
        ensure!(may.is_err(), "it may {verb} {what}");
    }
    Ok(())
}

#[test]
#[ignore = "needs kube-apiserver, etcd and kubectl: cargo xtask test --kubernetes"]
fn the_api_server_refuses_what_the_webhook_refuses() -> Result<()> {
    let cluster = Cluster::start()?;
    cluster.kubectl(&["create", "namespace", "other"], None)?;
    let folder = TempDir::new()?;
    let (cert, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=hotdns",
    ]);
    openssl.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
    let made = openssl.arg("-keyout").arg(&key).arg("-out").arg(&cert).output()?;
    ensure!(made.status.success(), "{made:?}");
    let encoded = Command::new("base64").arg("-w0").arg(&cert).output()?;
    let bundle = String::from_utf8(encoded.stdout)?;
    let port = free_port()?;
    let mut server = Server::start(&config(
        &cluster.kubeconfig(),
        &format!(
            "kubernetes: {{webhook: {{listen: [\"127.0.0.1:{port}\"], cert: \"{}\", key: \"{}\"}}}}",
            cert.display(),
            key.display()
        ),
    ))?;
    // The manifest of `deploy/`, with a URL in the place of the Service.
    let manifest = std::fs::read_to_string(tests::documents::root().join("deploy/kubernetes/webhook/webhook.yaml"))?;
    let service = "service: {name: hotdns-webhook, namespace: infrastructure, path: /kubernetes/validate, port: 443}";
    ensure!(manifest.contains(service), "{manifest}");
    let url = format!("{{url: \"https://127.0.0.1:{port}/kubernetes/validate\", caBundle: {bundle}}}");
    let manifest = manifest.replace(
        &format!("clientConfig:\n      {service}"),
        &format!("clientConfig: {url}"),
    );
    cluster.apply(&manifest)?;
    // Nothing is kept of what is tried: an object that is there already would not be looked at again.
    let refused = |name: &str, namespace: &str, host: &str| {
        let arguments = ["apply", "--dry-run=server", "-f", "-"];
        let outcome = cluster.kubectl(&arguments, Some(&ingress(name, namespace, host)));
        outcome.err().map(|error| format!("{error:#}")).unwrap_or_default()
    };
    let text = |what: &str| format!("denied the request: hotdns: {what}");
    eventually("a foreign host is refused", || {
        Ok(refused("foreign", "default", "www.google.com").contains(&text("`www.google.com` is in none of the zones")))
    })?;
    cluster.apply(&ingress("web", "default", "web.example.test"))?;
    eventually("it is served", || {
        Ok(server.dig(&["web.example.test", "A", "+short"])?.trim() == "192.0.2.54")
    })?;
    let twice = refused("web", "other", "web.example.test");
    let wanted = text("`web.example.test` is a host of Ingress default/web, which is in another namespace");
    ensure!(twice.contains(&wanted), "{twice}");
    cluster.apply(&ingress("web", "other", "other.example.test"))?;
    cluster.apply(&ingress("web2", "default", "web.example.test"))?;

    let taken = cluster.apply(&ingress("web", "other", "web.example.test"));
    ensure!(taken.is_err(), "it is refused in earnest, too");

    // It fails open.
    let log = server.log();
    ensure!(server.stop()?.success(), "{log}");
    cluster
        .apply(&ingress("foreign", "default", "www.google.com"))
        .context("it fails open")
}
