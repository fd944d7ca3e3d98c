//! Who may use the API, on the running server with curl: TLS whose files change, the local socket, tokens with a scope,
//! users with passwords; and what the server says of itself.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::server::{Server, eventually};

/// What curl says: the status, and the body.
fn curl(arguments: &[&str]) -> Result<(u16, Value)> {
    let output = Command::new("curl")
        .args([
            "-sS",
            "--max-time",
            "20",
            "-w",
            "\n%{http_code}",
            "-H",
            "Content-Type: application/json",
        ])
        .args(arguments)
        .output()
        .context("curl is not there")?;
    let text = String::from_utf8(output.stdout)?;
    let (body, status) = text.rsplit_once('\n').context("no status")?;
    ensure!(
        output.status.success(),
        "curl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((status.parse()?, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// Makes a certificate for `localhost` with this common name.
fn certificate(folder: &Path, name: &str) -> Result<()> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        .arg("-out")
        .arg(&cert)
        .arg("-keyout")
        .arg(&key)
        .output()
        .context("openssl is not there")?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

#[test]
fn certificates_are_read_again_and_the_socket_needs_no_token() -> Result<()> {
    let folder = tempfile::tempdir()?;
    certificate(folder.path(), "first")?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let token = "a-token-for-this-test-alone";
    std::fs::write(folder.path().join("token"), token)?;
    let server = Server::start(&format!(
        "http: {{token_file: {}, tokens_file: {}, socket: {}, tls: {{cert: {}, key: {}}}}}\n",
        at("token"),
        at("tokens.yaml"),
        at("api.sock"),
        at("cert.pem"),
        at("key.pem")
    ))?;
    let url = |path: &str| format!("https://localhost:{}{path}", server.http.port());
    let pinned = at("pinned.pem");
    std::fs::copy(at("cert.pem"), &pinned)?;
    let (status, _) = curl(&["--cacert", &pinned, &url("/health")])?;
    ensure!(status == 200, "{status}");
    let bearer = format!("Authorization: Bearer {token}");
    let (status, _) = curl(&["--cacert", &pinned, &url("/api/v1/records")])?;
    ensure!(status == 401, "{status}");
    let (status, _) = curl(&["--cacert", &pinned, "-H", &bearer, &url("/api/v1/records")])?;
    ensure!(status == 200, "{status}");
    // A new pair: taken within a second or two, without a restart; the client that trusts the old one turns away.
    certificate(folder.path(), "second")?;
    eventually("the new certificate", || {
        Ok(curl(&["--cacert", &at("cert.pem"), &url("/health")]).is_ok_and(|(status, _)| status == 200))
    })?;
    ensure!(
        curl(&["--cacert", &pinned, &url("/health")]).is_err(),
        "the old one is shown still"
    );
    // Who has lost sight of which one is shown asks.
    let (status, tls) = curl(&["--cacert", &at("cert.pem"), "-H", &bearer, &url("/api/v1/debug/tls")])?;
    let shown = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in", &at("cert.pem")])
        .output()?;
    let shown = String::from_utf8(shown.stdout)?;
    let door = &tls["doors"][0];
    let fingerprint = door["chain"][0]["fingerprint"].as_str().context("no fingerprint")?;
    ensure!(status == 200 && shown.trim().ends_with(fingerprint), "{tls} {shown}");
    ensure!(
        door["door"] == "http.tls" && door["chain"][0]["names"] == json!(["localhost", "127.0.0.1"]),
        "{tls}"
    );
    // Over the socket: no token, and a token with a scope is taken at that.
    let socket = at("api.sock");
    let over = |arguments: &[&str]| curl(&[&["--unix-socket", socket.as_str()], arguments].concat());
    let acme = json!({"name": "acme", "scope": {"names": ["_acme-challenge.*"], "types": ["TXT"]}}).to_string();
    let (status, made) = over(&["http://hotdns/api/v1/tokens", "-d", &acme])?;
    ensure!(status == 201, "{status} {made}");
    let secret = made["secret"].as_str().context("no secret")?;
    let acme = format!("Authorization: Bearer {secret}");
    let put = |name: &str, body: &Value| {
        let url = format!("http://hotdns/api/v1/records/{name}");
        over(&["-X", "PUT", "-H", &acme, &url, "-d", &body.to_string()])
    };
    let (status, _) = put(
        "_acme-challenge.www.example.com",
        &json!({"type": "TXT", "value": ["proof"]}),
    )?;
    ensure!(status == 201, "{status}");
    let (status, refused) = put("www.example.com", &json!({"type": "A", "value": ["192.0.2.1"]}))?;
    ensure!(status == 403 && refused["code"] == "forbidden", "{status} {refused}");
    ensure!(
        server
            .dig(&["+short", "_acme-challenge.www.example.com", "TXT"])?
            .contains("proof")
    );
    let log = server.log();
    ensure!(
        log.contains("actor=\"token:acme\"") && log.contains("code=\"forbidden\""),
        "{log}"
    );
    ensure!(!log.contains(secret) && !log.contains(token), "a secret is in the log");
    Ok(())
}

#[test]
fn a_self_signed_certificate_is_said_loudly_and_users_have_passwords() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let users = folder.path().join("users");
    let made = Command::new("openssl").args(["passwd", "-6", "wonder"]).output()?;
    std::fs::write(&users, format!("alice:{}", String::from_utf8(made.stdout)?))?;
    let server = Server::start(&format!(
        "http: {{tls: {{}}, socket: 'off', auth: {{basic_file: {}}}}}\n",
        users.display()
    ))?;
    ensure!(server.log().contains("SELF-SIGNED"), "{}", server.log());
    let url = |path: &str| format!("https://localhost:{}{path}", server.http.port());
    ensure!(curl(&[&url("/health")]).is_err(), "nobody vouches for it");
    let (status, _) = curl(&["-k", "-u", "alice:wonder", &url("/api/v1/records")])?;
    ensure!(status == 200, "{status}");
    let (status, _) = curl(&["-k", "-u", "alice:guess", &url("/api/v1/records")])?;
    ensure!(status == 401, "{status}");
    Ok(())
}

#[test]
fn the_server_says_why_it_answers_as_it_does() -> Result<()> {
    let server = Server::start("http: {socket: 'off'}\n")?;
    let get = |path: &str| server.request("GET", path, None);
    let explain = |name: &str, more: &str| -> Result<Value> {
        let reply = get(&format!("/api/v1/explain?name={name}{more}"))?;
        ensure!(reply.status == 200, "{}", reply.text);
        Ok(reply.json)
    };
    let www = explain("www.example.com", "")?;
    ensure!(
        ["xdp", "fast_path"].contains(&www["answered_by"].as_str().unwrap_or_default()),
        "{www}"
    );
    ensure!(www["zone"] == "example.com." && www["source"] == "zone_file", "{www}");
    ensure!(
        www["record"]["value"] == json!(["192.0.2.80"]) && www["pass_reason"].is_null(),
        "{www}"
    );
    let wild = explain("a.wild.example.com", "")?;
    ensure!(
        wild["wildcard"] == "*.wild.example.com." && wild["rcode"] == "NOERROR",
        "{wild}"
    );
    let none = explain("none.example.com", "&type=TXT")?;
    ensure!(none["rcode"] == "NXDOMAIN" && none["record"].is_null(), "{none}");
    let any = explain("www.example.com", "&type=ANY");
    ensure!(any.is_err(), "ANY is no type of records");
    let foreign = explain("www.example.net", "&client=203.0.113.1")?;
    ensure!(
        foreign["answered_by"] == "refused" && foreign["rcode"] == "REFUSED",
        "{foreign}"
    );
    let tested = get("/api/v1/test-dns?hostname=alias.example.com")?.json;
    ensure!(
        tested["syncStatus"] == "healthy" && tested["dnsResolution"]["ip"] == "192.0.2.80",
        "{tested}"
    );
    let tested = get("/api/v1/test-dns?hostname=none.example.com")?.json;
    ensure!(
        tested["syncStatus"] == "healthy" && tested["dnsResolution"]["resolved"] == false,
        "{tested}"
    );
    let config = get("/api/v1/config")?.json;
    ensure!(config["configuration"]["http"]["socket"] == "off", "{config}");
    ensure!(get("/openapi.json")?.json["paths"]["/api/v1/explain"].is_object());
    Ok(())
}

#[test]
fn a_dry_run_says_what_each_plane_would_answer() -> Result<()> {
    let server = Server::start("http: {socket: 'off'}\nviews: [{name: office, clients: [10.0.0.0/8]}]\n")?;
    let large: Vec<String> = (0..30).map(|number| format!("{number:0200}")).collect();
    let set = json!({"takeover": true, "edits": [
        {"op": "put", "name": "www.example.com", "type": "A", "value": "192.0.2.81"},
        {"op": "put", "name": "new.example.com", "type": "A", "value": "192.0.2.7"},
        {"op": "put", "name": "large.example.com", "type": "TXT", "value": large},
        {"op": "put", "name": "new.example.com", "type": "A", "view": "office", "value": "10.1.1.1"},
    ]});
    let changes = |path: &str, set: &Value| -> Result<Value> {
        let reply = server.request("POST", path, Some(set))?;
        ensure!(reply.status == 200, "{}", reply.text);
        Ok(reply.json)
    };
    let is_explained = |compared: &Value, side: &str| -> Result<()> {
        let [name, rtype, client] = ["name", "type", "client"].map(|key| compared[key].as_str().unwrap_or_default());
        let path = format!("/api/v1/explain?name={name}&type={rtype}&client={client}");
        let found = server.request("GET", &path, None)?.json;
        let side = &compared[side];
        let values = |records: &Value| -> Vec<Value> {
            let records = records.as_array().into_iter().flatten();
            records.map(|record| record["value"].clone()).collect()
        };
        let same = ["answered_by", "pass_reason", "rcode"]
            .iter()
            .all(|key| side[*key] == found[*key]);
        ensure!(
            same && values(&side["records"]) == values(&found["answer"]),
            "{side}\n{found}"
        );
        let plane = if found["answered_by"] == "xdp" {
            "xdp"
        } else {
            "userspace"
        };
        ensure!(side["plane"] == plane, "{side}");
        Ok(())
    };
    let tried = changes("/api/v1/changes?dry_run=true", &set)?;
    let answers = tried["answers"].as_array().context("answers")?;
    ensure!(answers.len() == 4 && tried["more_answers"] == 0, "{tried}");
    for compared in answers {
        ensure!(compared["differs"] == true, "{compared}");
        is_explained(compared, "before")?;
    }
    let of_view = answers
        .iter()
        .find(|compared| compared["view"] == "office")
        .context("one of the view")?;
    ensure!(
        of_view["client"] == "10.0.0.0" && of_view["before"]["rcode"] == "NXDOMAIN",
        "{of_view}"
    );
    let passed = answers
        .iter()
        .find(|compared| compared["type"] == "TXT")
        .context("a TXT")?;
    ensure!(
        passed["after"]["plane"] == "userspace" && passed["after"]["pass_reason"].is_string(),
        "{passed}"
    );
    let made = changes("/api/v1/changes", &set)?;
    ensure!(made.get("answers").is_none(), "{made}");
    for compared in answers {
        is_explained(compared, "after")?;
    }
    // No more than a hundred are compared.
    let edits: Vec<Value> = (0..150)
        .map(|number| json!({"op": "put", "name": format!("n{number}.example.com"), "type": "A", "value": "192.0.2.9"}))
        .collect();
    let tried = changes("/api/v1/changes?dry_run=true", &json!({"edits": edits}))?;
    ensure!(
        tried["answers"].as_array().is_some_and(|answers| answers.len() == 100) && tried["more_answers"] == 50,
        "{tried}"
    );
    Ok(())
}
