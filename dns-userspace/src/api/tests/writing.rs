//! POST, PUT, DELETE and reload: every answer that the contract names.

use serde_json::json;

use super::client::Server;
use crate::control::tests::fixture::{desired, record, zone};
use crate::journal::Storage;
use crate::model::record::RecordType;
use crate::model::source::Origin;
use crate::model::views::ViewClients;
use crate::store::ConfiguredView;

const RECORDS: &str = "/api/v1/records";

fn body(name: &str, rtype: &str, value: &str) -> String {
    json!({"name": name, "type": rtype, "value": [value]}).to_string()
}

async fn server() -> Server {
    let file = zone(
        "x.",
        1,
        &[
            ("www.x.", RecordType::A, "192.0.2.1"),
            ("alias.x.", RecordType::CNAME, "www.x."),
        ],
    );
    let config = record(
        "conf.ig.",
        RecordType::A,
        "192.0.2.1",
        Origin::config_file("hotdns.yaml"),
    );
    Server::new(desired(vec![file], vec![config])).await
}

#[tokio::test]
async fn post_creates_and_adds() {
    let server = server().await;
    let answer = server
        .post(
            RECORDS,
            r#"{"name":"New.x","type":"a","ttl":60,"value":["192.0.2.7","192.0.2.7"]}"#,
        )
        .await;
    let whole = json!({"name": "New.x.", "type": "A", "ttl": 60, "value": ["192.0.2.7"], "source": "api"});
    assert_eq!(answer.is(201), whole);
    assert_eq!(answer.header("location"), "/api/v1/records/New.x.?type=A");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(
        server.get(answer.header("location")).await.is(200)["records"],
        json!([whole])
    );

    let added = server
        .post(
            RECORDS,
            r#"{"name":"NEW.X.","type":"A","value":["192.0.2.8","192.0.2.7"]}"#,
        )
        .await;
    let whole = json!(
        {"name": "New.x.", "type": "A", "ttl": 60, "value": ["192.0.2.7", "192.0.2.8"], "source": "api"}
    );
    assert_eq!(added.is(201), whole);
    let single = server
        .post(RECORDS, r#"{"name":"t.x.","type":"TXT","value":"hello","ttl":null}"#)
        .await;
    assert_eq!(single.is(201)["ttl"], 300, "default_ttl");
    let encoded = server.post(RECORDS, &body("0/25.2.*.x.", "A", "192.0.2.1")).await;
    encoded.is(201);
    assert_eq!(encoded.header("location"), "/api/v1/records/0%2F25.2.*.x.?type=A");
}

#[tokio::test]
async fn post_conflicts() {
    let server = server().await;
    server.post(RECORDS, &body("a.x.", "A", "192.0.2.1")).await.is(201);
    server.post(RECORDS, &body("c.x.", "CNAME", "Target.x.")).await.is(201);
    server.post(RECORDS, &body("d.x.", "DNAME", "e.x.")).await.is(201);
    server.post(RECORDS, &body("f.x.", "ALIAS", "www.x.")).await.is(201);
    server
        .post(RECORDS, &body("z.", "SOA", "n.z. h.z. 1 2 3 4 5"))
        .await
        .is(201);
    for (name, rtype, value, code) in [
        ("A.X", "A", "192.0.2.1", "exists"),
        ("c.x.", "CNAME", "TARGET.x", "exists"),
        ("c.x.", "CNAME", "other.x.", "singleton_conflict"),
        ("d.x.", "DNAME", "other.x.", "singleton_conflict"),
        ("z.", "SOA", "n.z. h.z. 2 2 3 4 5", "singleton_conflict"),
        ("a.x.", "CNAME", "b.x.", "cname_conflict"),
        ("c.x.", "A", "192.0.2.1", "cname_conflict"),
        ("www.x.", "CNAME", "b.x.", "cname_conflict"),
        ("alias.x.", "TXT", "text", "cname_conflict"),
        ("a.x.", "ALIAS", "b.x.", "alias_conflict"),
        ("f.x.", "AAAA", "2001:db8::1", "alias_conflict"),
        ("f.x.", "ALIAS", "other.x.", "singleton_conflict"),
        ("www.x.", "A", "192.0.2.9", "managed_by_file"),
        ("alias.x.", "CNAME", "b.x.", "managed_by_file"),
        ("x.", "SOA", "n.x. h.x. 1 2 3 4 5", "managed_by_file"),
        ("conf.ig.", "A", "192.0.2.9", "managed_by_file"),
    ] {
        server
            .post(RECORDS, &body(name, rtype, value))
            .await
            .is_problem(409, code);
    }
    let two = r#"{"name":"two.x.","type":"CNAME","value":["a.x.","b.x."]}"#;
    server.post(RECORDS, two).await.is_problem(409, "singleton_conflict");
    let ttl = r#"{"name":"a.x.","type":"A","ttl":61,"value":["192.0.2.2"]}"#;
    let answer = server.post(RECORDS, ttl).await;
    answer.is_problem(409, "ttl_conflict");
    assert_eq!(answer.json()["ttl"], 300);
    let file = |name, rtype, value| {
        let body = body(name, rtype, value);
        let server = &server;
        async move { server.post(RECORDS, &body).await.json()["file"].clone() }
    };
    assert_eq!(file("www.x.", "A", "192.0.2.9").await, "zones/x.zone");
    assert_eq!(file("conf.ig.", "A", "192.0.2.9").await, "hotdns.yaml");
    // Other types beside a file's RRset are the API's to put.
    server.post(RECORDS, &body("www.x.", "TXT", "text")).await.is(201);
}

#[tokio::test]
async fn bodies_that_are_no_good() {
    let server = server().await;
    let long = "a".repeat(64);
    for (body, code) in [
        (
            json!({"name": "a..x", "type": "A", "value": ["192.0.2.1"]}),
            "invalid_name",
        ),
        (
            json!({"name": long, "type": "A", "value": ["192.0.2.1"]}),
            "invalid_name",
        ),
        (json!({"name": "", "type": "A", "value": ["192.0.2.1"]}), "invalid_name"),
        (
            json!({"name": "a.x.", "type": "B", "value": ["192.0.2.1"]}),
            "invalid_type",
        ),
        (
            json!({"name": "a.x.", "type": "ANY", "value": ["192.0.2.1"]}),
            "invalid_type",
        ),
        (
            json!({"name": "a.x.", "type": "TYPE41", "value": ["x"]}),
            "invalid_type",
        ),
        (
            json!({"name": "a.x.", "type": "A", "value": ["192.0.2"]}),
            "invalid_value",
        ),
        (
            json!({"name": "a.x.", "type": "A", "value": ["192.0.2.1", "::1"]}),
            "invalid_value",
        ),
        (json!({"name": "a.x.", "type": "A", "value": []}), "invalid_value"),
        (
            json!({"name": "a.x.", "type": "A", "ttl": 59, "value": ["192.0.2.1"]}),
            "invalid_ttl",
        ),
        (
            json!({"name": "a.x.", "type": "A", "ttl": 86401, "value": ["192.0.2.1"]}),
            "invalid_ttl",
        ),
        (
            json!({"name": "a.x.", "type": "A", "ttl": -1, "value": ["192.0.2.1"]}),
            "invalid_ttl",
        ),
        (
            json!({"name": "a.x.", "type": "A", "ttl": 99.5, "value": ["192.0.2.1"]}),
            "invalid_ttl",
        ),
        (
            json!({"name": "a.x.", "type": "A", "ttl": 1u64 << 40, "value": ["192.0.2.1"]}),
            "invalid_ttl",
        ),
        (
            json!({"name": "a.x.", "type": "A", "ttl": "60", "value": ["192.0.2.1"]}),
            "invalid_body",
        ),
        (
            json!({"name": "a.x.", "type": "A", "values": ["192.0.2.1"]}),
            "invalid_body",
        ),
        (
            json!({"name": "a.x.", "type": "A", "value": ["192.0.2.1"], "weight": "x"}),
            "invalid_body",
        ),
        (json!({"name": "a.x.", "type": "A"}), "invalid_body"),
        (json!({"name": "a.x.", "value": ["192.0.2.1"]}), "invalid_body"),
        (json!({"type": "A", "value": ["192.0.2.1"]}), "invalid_body"),
        (json!({"name": 5, "type": "A", "value": ["192.0.2.1"]}), "invalid_body"),
        (json!({"name": "a.x.", "type": "A", "value": [1]}), "invalid_body"),
        (json!(["192.0.2.1"]), "invalid_body"),
        (json!(null), "invalid_body"),
    ] {
        let answer = server.post(RECORDS, &body.to_string()).await;
        assert_eq!(answer.json()["code"], code, "{body}: {answer:?}");
        answer.is_problem(400, code);
    }
    for text in [
        "",
        "{",
        "{}x",
        r#"{"name":"a.x.","name":"a.x.","type":"A","value":["192.0.2.1"]}"#,
        "\u{feff}{}",
    ] {
        server.post(RECORDS, text).await.is_problem(400, "invalid_body");
    }
    let text = "x".repeat(250);
    let many: Vec<String> = (0..300).map(|i| format!("{i:03}{text}")).collect();
    let answer = server
        .post(
            RECORDS,
            &json!({"name": "big.x.", "type": "TXT", "value": many}).to_string(),
        )
        .await;
    answer.is_problem(400, "invalid_value");
    assert!(
        server.get("/api/v1/records?name=a.x").await.is(200)["records"] == json!([]),
        "nothing was made"
    );
}

#[tokio::test]
async fn put_replaces_or_creates() {
    let server = server().await;
    let target = "/api/v1/records/P.x";
    let created = server
        .put(target, r#"{"type":"A","ttl":100,"value":["192.0.2.1","192.0.2.2"]}"#)
        .await;
    assert_eq!(created.is(201)["value"], json!(["192.0.2.1", "192.0.2.2"]));
    assert_eq!(created.header("location"), "/api/v1/records/P.x.?type=A");
    let replaced = server
        .put(target, r#"{"name":"p.X.","type":"A","value":["192.0.2.3"]}"#)
        .await;
    assert_eq!(
        replaced.is(200),
        json!({"name": "P.x.", "type": "A", "ttl": 100, "value": ["192.0.2.3"], "source": "api"}),
        "without a ttl it keeps its own"
    );
    let same = server
        .put("/api/v1/records/p.x.?type=A", r#"{"value":"192.0.2.3","ttl":100}"#)
        .await;
    same.is(200);
    for (target, body, status, code) in [
        (
            target,
            r#"{"name":"q.x.","type":"A","value":["192.0.2.3"]}"#,
            400,
            "invalid_body",
        ),
        (
            "/api/v1/records/p.x?type=AAAA",
            r#"{"type":"A","value":["192.0.2.3"]}"#,
            400,
            "invalid_body",
        ),
        (target, r#"{"value":["192.0.2.3"]}"#, 400, "invalid_body"),
        (target, r#"{"type":"A","value":[]}"#, 400, "invalid_value"),
        (
            target,
            r#"{"type":"A","ttl":1,"value":["192.0.2.3"]}"#,
            400,
            "invalid_ttl",
        ),
        (
            "/api/v1/records/a..b",
            r#"{"type":"A","value":["192.0.2.3"]}"#,
            400,
            "invalid_name",
        ),
        (
            "/api/v1/records/%zz",
            r#"{"type":"A","value":["192.0.2.3"]}"#,
            400,
            "invalid_name",
        ),
        (
            "/api/v1/records/p.x?type=FOO",
            r#"{"value":["192.0.2.3"]}"#,
            400,
            "invalid_type",
        ),
        (
            "/api/v1/records/p.x?ttl=7",
            r#"{"type":"A","value":["192.0.2.3"]}"#,
            400,
            "invalid_parameter",
        ),
        (target, r#"{"type":"CNAME","value":["a.x."]}"#, 409, "cname_conflict"),
        (
            "/api/v1/records/n.x",
            r#"{"type":"CNAME","value":["a.x.","b.x."]}"#,
            409,
            "singleton_conflict",
        ),
        (
            "/api/v1/records/www.x",
            r#"{"type":"A","value":["192.0.2.3"]}"#,
            409,
            "managed_by_file",
        ),
    ] {
        server.put(target, body).await.is_problem(status, code);
    }
    // A CNAME and an SOA are replaced, not added to.
    for (name, first, second) in [
        (
            "c.x",
            r#"{"type":"CNAME","value":["a.x."]}"#,
            r#"{"type":"CNAME","value":["b.x."]}"#,
        ),
        (
            "z.",
            r#"{"type":"SOA","value":["n.z. h.z. 5 2 3 4 5"]}"#,
            r#"{"type":"SOA","value":["n.z. h.z. 3 9 9 9 9"]}"#,
        ),
    ] {
        let target = format!("/api/v1/records/{name}");
        server.put(&target, first).await.is(201);
        server.put(&target, second).await.is(200);
    }
    let soa = server.get("/api/v1/records/z").await.is(200);
    assert_eq!(
        soa["records"][0]["value"],
        json!(["n.z. h.z. 6 9 9 9 9"]),
        "the serial that is served"
    );
}

#[tokio::test]
async fn delete_takes_values_rrsets_and_names() {
    let server = server().await;
    let make = async |name: &str, rtype: &str, values: serde_json::Value| {
        let body = json!({"name": name, "type": rtype, "value": values}).to_string();
        server.post(RECORDS, &body).await.is(201);
    };
    make("d.x.", "A", json!(["192.0.2.1", "192.0.2.2"])).await;
    make("d.x.", "AAAA", json!(["2001:db8::1"])).await;
    make("d.x.", "TXT", json!(["two words"])).await;
    make("www.x.", "TXT", json!(["text"])).await;
    for (target, status, code) in [
        ("/api/v1/records/none.x", 404, "not_found"),
        ("/api/v1/records/d.x?type=MX", 404, "not_found"),
        ("/api/v1/records/d.x?type=A&value=192.0.2.3", 404, "not_found"),
        ("/api/v1/records/www.x?type=A&value=192.0.2.3", 404, "not_found"),
        ("/api/v1/records/www.x?type=A&value=192.0.2.1", 409, "managed_by_file"),
        ("/api/v1/records/www.x?type=A", 409, "managed_by_file"),
        ("/api/v1/records/alias.x", 409, "managed_by_file"),
        ("/api/v1/records/conf.ig", 409, "managed_by_file"),
        ("/api/v1/records/d.x?value=192.0.2.1", 400, "invalid_parameter"),
        ("/api/v1/records/d.x?type=A&value=x", 400, "invalid_value"),
        ("/api/v1/records/d.x?type=FOO", 400, "invalid_type"),
        ("/api/v1/records/d.x?type=A&type=A", 400, "invalid_parameter"),
        ("/api/v1/records/d.x?foo=A", 400, "invalid_parameter"),
        ("/api/v1/records/d..x", 400, "invalid_name"),
    ] {
        server.delete(target).await.is_problem(status, code);
    }
    let answer = server.delete("/api/v1/records/D.X.?type=A&value=192.0.2.1").await;
    answer.is(204);
    assert_eq!(answer.header("content-type"), "");
    let left = server.get("/api/v1/records/d.x?type=A").await.is(200);
    assert_eq!(left["records"][0]["value"], json!(["192.0.2.2"]));
    server
        .delete("/api/v1/records/d.x?type=A&value=192.0.2.2")
        .await
        .is(204);
    server
        .get("/api/v1/records/d.x?type=A")
        .await
        .is_problem(404, "not_found");
    server
        .delete("/api/v1/records/d.x?type=TXT&value=two+words")
        .await
        .is(204);
    make("d.x.", "TXT", json!(["two words"])).await;
    server
        .delete("/api/v1/records/d.x?type=TXT&value=%22two%20words%22")
        .await
        .is(204);
    make("d.x.", "A", json!(["192.0.2.1"])).await;
    server.delete("/api/v1/records/d.x").await.is(204);
    server.get("/api/v1/records/d.x").await.is_problem(404, "not_found");
    // The API's go, the file's stay.
    server.delete("/api/v1/records/www.x").await.is(204);
    let left = server.get("/api/v1/records/www.x").await.is(200);
    assert_eq!(left["records"][0]["source"], "zone_file");
    server
        .delete("/api/v1/records/www.x")
        .await
        .is_problem(409, "managed_by_file");
}

#[tokio::test]
async fn a_locked_database_says_when_to_try_again() {
    let folder = std::sync::Arc::new(tempfile::tempdir().expect("a folder"));
    let (_other, _) = Storage::open(folder.path()).expect("opened");
    let fixture = crate::control::tests::fixture::Fixture::without_required(folder, desired(vec![], vec![]));
    let server = Server::on(fixture).await;
    let answer = server.post(RECORDS, &body("a.x.", "A", "192.0.2.1")).await;
    answer.is_problem(503, "storage_locked");
    assert!(
        answer.header("retry-after").parse::<u32>().is_ok_and(|secs| secs >= 1),
        "{answer:?}"
    );
    server.get("/api/v1/records/a.x").await.is_problem(404, "not_found");
    let ready = server.get("/ready").await.is(200);
    assert_eq!((&ready["status"], &ready["storage"]), (&json!("ready"), &json!("held")));
    assert!(
        ready["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("another process holds"))
    );
}

#[tokio::test]
async fn nothing_is_said_of_records_that_are_not_read_yet() {
    let folder = std::sync::Arc::new(tempfile::tempdir().expect("a folder"));
    let (other, _) = Storage::open(folder.path()).expect("opened");
    let initial = desired(vec![zone("x.", 1, &[("www.x.", RecordType::A, "192.0.2.5")])], vec![]);
    let fixture = crate::control::tests::fixture::Fixture::within(folder, initial, None);
    let server = Server::on(fixture).await;
    let ready = server.get("/ready").await;
    ready.is_problem(503, "not_ready");
    assert_eq!(ready.json()["storage"], "held");
    assert!(ready.body.contains("another process holds"), "{ready:?}");
    for answer in [
        server.get(RECORDS).await,
        server.get("/api/v1/records/www.x").await,
        server.post(RECORDS, &body("a.x.", "A", "192.0.2.1")).await,
        server.delete("/api/v1/records/www.x").await,
        server.delete("/api/v1/records/www.x?view=office").await,
        server.post("/api/v1/reload", "").await,
    ] {
        answer.is_problem(503, "storage_locked");
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
        assert!(answer.body.contains("not read yet"), "{answer:?}");
    }
    server.get("/health").await.is(200);
    drop(other);
    let is_ready = |fixture: &crate::control::tests::fixture::Fixture| fixture.readiness.not_ready().is_none();
    server.fixture.eventually("ready", is_ready).await;
    assert_eq!(server.get("/ready").await.is(200), json!({"status": "ready"}));
    server.get("/api/v1/records/www.x").await.is(200);
}

#[tokio::test]
async fn reload_reports_and_refuses() {
    let server = server().await;
    let reload = async || server.post("/api/v1/reload", "").await;
    let same = reload().await.is(200);
    for list in ["added", "changed", "removed", "failed", "restart_needed"] {
        assert_eq!(same[list], json!([]), "{list}");
    }
    let mut bad = zone("bad.", 1, &[]);
    bad.content = Err(vec!["zones/bad.zone:1:1: no SOA".to_owned()]);
    *server.fixture.files.lock().expect("not poisoned") = Ok(desired(
        vec![zone("x.", 1, &[("new.x.", RecordType::A, "192.0.2.5")]), bad],
        vec![],
    ));
    let report = reload().await.is(200);
    assert_eq!(report["added"], json!([{"name": "new.x.", "type": "A"}]));
    assert_eq!(
        report["removed"],
        json!([
            {"name": "conf.ig.", "type": "A"},
            {"name": "alias.x.", "type": "CNAME"},
            {"name": "www.x.", "type": "A"}
        ])
    );
    assert_eq!(
        report["failed"],
        json!([{"zone": "bad.", "file": "zones/bad.zone", "error": "zones/bad.zone:1:1: no SOA"}])
    );
    *server.fixture.files.lock().expect("not poisoned") = Err(vec!["hotdns.yaml:1:1: bad".to_owned()]);
    let refused = reload().await;
    refused.is_problem(422, "reload_failed");
    assert_eq!(refused.json()["errors"], json!(["hotdns.yaml:1:1: bad"]));
    server.get("/api/v1/records/new.x").await.is(200);
}

#[tokio::test]
async fn records_of_views_are_apart_from_the_defaults() {
    let mut initial = desired(
        vec![zone("x.", 1, &[("www.x.", RecordType::A, "192.0.2.1")])],
        Vec::new(),
    );
    initial.views = vec![ConfiguredView {
        view: ViewClients {
            name: "off ice".into(),
            clients: vec!["10.0.0.0/8".parse().expect("a prefix")],
        },
        records: vec![record("conf.x.", RecordType::A, "10.0.0.1", Origin::config())],
    }];
    let server = Server::new(initial).await;
    let serial = server.fixture.serial("x.");
    let answer = server
        .post(
            RECORDS,
            r#"{"name":"www.x","type":"A","value":"10.0.0.2","view":"off ice"}"#,
        )
        .await;
    let whole = json!({"name": "www.x.", "type": "A", "ttl": 300, "value": ["10.0.0.2"], "source": "api",
                       "view": "off ice"});
    assert_eq!(answer.is(201), whole);
    assert_eq!(
        answer.header("location"),
        "/api/v1/records/www.x.?type=A&view=off%20ice"
    );
    assert_eq!(
        server.get(answer.header("location")).await.is(200)["records"],
        json!([whole])
    );
    assert_eq!(
        server.fixture.serial("x."),
        serial.map(|serial| serial + 1),
        "the zone's serial"
    );
    let of_default = server.get("/api/v1/records/www.x").await.is(200);
    assert_eq!(of_default["records"][0]["value"], json!(["192.0.2.1"]));
    for (query, count) in [
        ("view=off+ice", 2),
        ("view=off+ice&zone=x", 2),
        ("view=off+ice&name=conf.x", 1),
        ("view=off+ice&zone=y", 0),
    ] {
        let page = server.get(&format!("{RECORDS}?{query}")).await.is(200);
        assert_eq!(page["records"].as_array().map(Vec::len), Some(count), "{query}");
    }
    let first = server.get(&format!("{RECORDS}?view=off%20ice&limit=1")).await.is(200);
    let next = first["next"].as_str().expect("another page");
    let second = server
        .get(&format!("{RECORDS}?view=off%20ice&limit=1&cursor={next}"))
        .await
        .is(200);
    assert_eq!((&second["records"], &second["next"]), (&json!([whole]), &json!(null)));

    for (target, body, status, code) in [
        (
            "/api/v1/records/a.x?view=lab",
            r#"{"type":"A","value":"10.0.0.2"}"#,
            400,
            "invalid_parameter",
        ),
        (
            "/api/v1/records/a.x",
            r#"{"type":"A","value":"10.0.0.2","view":"lab"}"#,
            400,
            "invalid_value",
        ),
        (
            "/api/v1/records/x?view=off+ice",
            r#"{"type":"CNAME","value":"y."}"#,
            409,
            "cname_conflict",
        ),
        (
            "/api/v1/records/y?view=off+ice",
            r#"{"type":"SOA","value":"a. b. 1 2 3 4 5"}"#,
            400,
            "invalid_type",
        ),
        (
            "/api/v1/records/conf.x?view=off+ice",
            r#"{"type":"A","value":"10.0.0.2"}"#,
            409,
            "managed_by_file",
        ),
    ] {
        server.put(target, body).await.is_problem(status, code);
    }
    server
        .get("/api/v1/records/www.x?view=lab")
        .await
        .is_problem(400, "invalid_parameter");
    let elsewhere = server.delete("/api/v1/records/conf.x?view=lab").await;
    elsewhere.is_problem(400, "invalid_parameter");
    server.delete("/api/v1/records/www.x?view=off+ice&type=A").await.is(204);
    server
        .get("/api/v1/records/www.x?view=off+ice")
        .await
        .is_problem(404, "not_found");
    server.get("/api/v1/records/www.x").await.is(200);
}

#[tokio::test]
async fn orders_of_rrsets() {
    let server = server().await;
    let record = |more: &str, values: &str| format!(r#"{{"name":"o.x.","type":"A","value":[{values}]{more}}}"#);
    let created = server
        .post(
            RECORDS,
            &record(r#","order":"weighted","weights":[3,1]"#, r#""192.0.2.1","192.0.2.2""#),
        )
        .await;
    let shown = created.is(201);
    assert_eq!(
        (&shown["order"], &shown["weights"]),
        (&json!("weighted"), &json!([3, 1]))
    );
    assert_eq!(shown.get("wildcard"), None);
    for more in ["", r#","order":"rotate""#, r#","order":"weighted","weights":[9,9]"#] {
        let answer = server.post(RECORDS, &record(more, r#""192.0.2.3","192.0.2.1""#)).await;
        answer.is_problem(409, "order_conflict");
    }
    let added = server
        .post(
            RECORDS,
            &record(r#","order":"weighted","weights":[0,3]"#, r#""192.0.2.3","192.0.2.1""#),
        )
        .await;
    assert_eq!(added.is(201)["weights"], json!([3, 1, 0]));
    let deleted = server.delete("/api/v1/records/o.x.?type=A&value=192.0.2.1").await;
    deleted.is(204);
    let listed = server.get("/api/v1/records/o.x.").await;
    assert_eq!(listed.is(200)["records"][0]["weights"], json!([1, 0]));
    let replaced = server.put("/api/v1/records/o.x.", &record("", r#""192.0.2.4""#)).await;
    assert_eq!(replaced.is(200).get("order"), None, "a PUT says all of it");
    for more in [
        r#","order":"any""#,
        r#","order":"weighted""#,
        r#","order":"weighted","weights":[1,2]"#,
        r#","order":"weighted","weights":[65536]"#,
        r#","order":"rotate","weights":[1]"#,
        r#","weights":[1]"#,
        r#","wildcard":"one_label""#,
    ] {
        let answer = server
            .put("/api/v1/records/o.x.", &record(more, r#""192.0.2.4""#))
            .await;
        answer.is_problem(400, "invalid_body");
    }
}

#[tokio::test]
async fn rrsets_of_a_wildcard_agree() {
    let server = server().await;
    let record = |rtype: &str, value: &str, more: &str| {
        format!(r#"{{"name":"*.o.x.","type":"{rtype}","value":["{value}"]{more}}}"#)
    };
    let one_label = r#","wildcard":"one_label""#;
    let created = server.post(RECORDS, &record("A", "192.0.2.1", one_label)).await;
    assert_eq!(created.is(201)["wildcard"], "one_label");
    let like = server.post(RECORDS, &record("TXT", "text", "")).await;
    assert_eq!(like.is(201)["wildcard"], "one_label", "as the others at the name");
    let other = record("A", "192.0.2.2", r#","wildcard":"rfc4592""#);
    server.post(RECORDS, &other).await.is_problem(409, "wildcard_conflict");
    server
        .put("/api/v1/records/*.o.x.", &other)
        .await
        .is_problem(409, "wildcard_conflict");
    server.delete("/api/v1/records/*.o.x.?type=TXT").await.is(204);
    server.post(RECORDS, &other).await.is_problem(409, "wildcard_conflict");
    let replaced = server.put("/api/v1/records/*.o.x.", &other).await;
    assert_eq!(replaced.is(200).get("wildcard"), None);
}

#[tokio::test]
async fn what_no_message_carries_is_refused_and_what_is_there_counts_once() {
    let server = server().await;
    let values = |count: u32| -> Vec<String> {
        let address = |at: u32| format!("10.{}.{}.{}", at >> 16, at >> 8 & 255, at & 255);
        (0..count).map(address).collect()
    };
    let body = |values: Vec<String>| json!({"name": "many.x", "type": "A", "value": values}).to_string();
    let refused = server.post(RECORDS, &body(values(70_000))).await;
    refused.is_problem(400, "invalid_value");
    assert!(refused.body.contains("1120"), "octets of 70,000 addresses: {refused:?}");
    let again = values(10).into_iter().cycle().take(70_000).collect();
    assert_eq!(
        server.post(RECORDS, &body(again)).await.is(201)["value"],
        json!(values(10))
    );
    let address = "/api/v1/records/many.x?type=A";
    assert_eq!(
        server.get(address).await.is(200)["records"][0]["value"],
        json!(values(10))
    );
}

#[tokio::test]
async fn bodies_within_each_other_end_at_a_depth() {
    let server = server().await;
    for body in [
        "[".repeat(500_000),
        "{\"value\":".repeat(100_000),
        format!(
            "{{\"name\":\"a.x\",\"type\":\"A\",\"value\":{}{}}}",
            "[".repeat(200_000),
            "]".repeat(200_000)
        ),
        format!("{{\"view\":{}", "[{\"a\":".repeat(100_000)),
    ] {
        server.post(RECORDS, &body).await.is_problem(400, "invalid_body");
    }
    server.get("/api/v1/records/www.x").await.is(200);
}

#[tokio::test]
async fn no_weights_are_no_weights() {
    let server = server().await;
    let body = |rest: &str| format!(r#"{{"name":"w.x","type":"A","value":["192.0.2.1"],"weights":[]{rest}}}"#);
    server.post(RECORDS, &body("")).await.is(201);
    for order in ["fixed", "rotate", "random"] {
        let address = "/api/v1/records/w.x?type=A";
        server
            .put(address, &body(&format!(r#","order":"{order}""#)))
            .await
            .is(200);
    }
    server
        .put("/api/v1/records/w.x?type=A", &body(r#","order":"weighted""#))
        .await
        .is_problem(400, "invalid_body");
}

#[tokio::test]
async fn a_body_is_one_object() {
    let server = Server::new(desired(vec![], vec![])).await;
    for body in [
        r#"["office","a.x.","A",60,["192.0.2.1"],null,null,null]"#,
        r#"[null,"a.x.","A",60,["192.0.2.1"],null,null,null,null]"#,
        r#"[{"name":"a.x.","type":"A","value":["192.0.2.1"]}]"#,
        " \n[]",
        "[",
        "null",
        "true",
        "7",
        "\"a.x. A 192.0.2.1\"",
        "",
        "  ",
        "{}",
        r#"{"name":"a.x.","type":"A","value":["192.0.2.1"]} {}"#,
        r#"{"name":"a.x.","type":"A","value":["192.0.2.1"],"name":"b.x."}"#,
    ] {
        server
            .post("/api/v1/records", body)
            .await
            .is_problem(400, "invalid_body");
        server
            .put("/api/v1/records/a.x?type=A", body)
            .await
            .is_problem(400, "invalid_body");
    }
    server.get("/api/v1/records/a.x").await.is_problem(404, "not_found");
}

#[tokio::test]
async fn what_the_api_shows_can_be_sent_back() {
    let server = Server::new(desired(vec![], vec![])).await;
    for body in [
        json!({"name": "a.x.", "type": "A", "ttl": 120, "value": ["192.0.2.1", "192.0.2.2"]}),
        json!({"name": "w.x.", "type": "A", "value": ["192.0.2.1", "192.0.2.2"], "order": "weighted",
            "weights": [1, 2]}),
        json!({"name": "r.x.", "type": "TXT", "value": ["one", "\"two\" \"three\""], "order": "rotate"}),
        json!({"name": "*.o.x.", "type": "A", "value": "192.0.2.1", "wildcard": "one_label"}),
        json!({"name": "s.x.", "type": "SOA", "value": "ns.s.x. host.s.x. 1 3600 600 86400 300"}),
    ] {
        let made = server.post("/api/v1/records", &body.to_string()).await.is(201);
        assert_eq!(made["source"], "api");
        let name = made["name"].as_str().expect("a name");
        let shown = server.get(&format!("/api/v1/records/{name}")).await.is(200)["records"][0].clone();
        assert_eq!(shown, made);
        let put = server.put(&format!("/api/v1/records/{name}"), &shown.to_string()).await;
        assert_eq!(put.is(200), shown);
    }
    // Whatever it says, the source is the API.
    let body = json!({"name": "b.x.", "type": "A", "value": "192.0.2.1", "source": {"any": ["thing"]}});
    let made = server.put("/api/v1/records/b.x.", &body.to_string()).await;
    assert_eq!(made.is(201)["source"], "api");
}
