//! Zones, change sets, the deletion guard, and the paths below `/v1/zones`.

use serde_json::{Value, json};

use super::client::{Answer, Server};
use crate::control::tests::fixture::{desired, record, zone};
use crate::model::record::RecordType;
use crate::model::source::Origin;

const ZONES: &str = "/api/v1/zones";
const CHANGES: &str = "/api/v1/changes";
const HOSTED: &str = "/v1/zones";

async fn server() -> Server {
    let file = zone("x.", 1, &[("www.x.", RecordType::A, "192.0.2.1")]);
    let config = record(
        "conf.ig.",
        RecordType::A,
        "192.0.2.1",
        Origin::config_file("hotdns.yaml"),
    );
    Server::new(desired(vec![file], vec![config])).await
}

async fn changes(server: &Server, body: Value) -> Answer {
    server.post(CHANGES, &body.to_string()).await
}

fn put(name: &str, value: &str) -> Value {
    json!({"op": "put", "name": name, "type": "A", "value": value})
}

#[tokio::test]
async fn a_zone_is_made_by_its_name_alone_and_lasts() {
    let mut server = server().await;
    let made = server.post(ZONES, r#"{"name":"New.example"}"#).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("location"), "/api/v1/zones/New.example.");
    assert!(made.header("etag").starts_with('"'));
    let body = made.json();
    assert_eq!(
        (&body["name"], &body["source"], &body["kind"]),
        (&json!("New.example."), &json!("api"), &json!("primary"))
    );
    assert_eq!((&body["records"], &body["serial"]), (&json!(2), &json!(1)));
    assert!(
        body["warnings"][0].as_str().expect("one").contains("ns1.New.example."),
        "{body}"
    );

    server
        .post(ZONES, r#"{"name":"new.EXAMPLE."}"#)
        .await
        .is_problem(409, "exists");
    server
        .post(ZONES, r#"{"name":"x."}"#)
        .await
        .is_problem(409, "managed_by_file");
    let address = r#"{"name":"ns1.new.example","type":"A","value":"192.0.2.53"}"#;
    server.post("/api/v1/records", address).await.is(201);
    let fixture = server.fixture.restart(desired(Vec::new(), Vec::new())).await;
    server = Server::on(fixture).await;
    let shown = server.get("/api/v1/zones/new.example").await.json();
    assert_eq!((&shown["records"], &shown["serial"]), (&json!(3), &json!(2)));
    assert!(shown.get("warnings").is_none(), "{shown}");

    let tag = server.get("/api/v1/zones/new.example").await.header("etag").to_owned();
    let stale = server
        .send("DELETE", "/api/v1/zones/new.example", "If-Match: \"1\"\r\n", "")
        .await;
    stale.is_problem(412, "version_conflict");
    let deleted = server
        .send(
            "DELETE",
            "/api/v1/zones/new.example",
            &format!("If-Match: {tag}\r\n"),
            "",
        )
        .await;
    deleted.is(204);
    server
        .get("/api/v1/zones/new.example")
        .await
        .is_problem(404, "not_found");
    server
        .delete("/api/v1/zones/new.example")
        .await
        .is_problem(404, "not_found");
    assert_eq!(
        server.get("/api/v1/records").await.is(200)["records"],
        json!([]),
        "nothing of it is left"
    );
}

#[tokio::test]
async fn zones_of_files_are_listed_and_left_alone() {
    let server = server().await;
    server.post(ZONES, r#"{"name":"b."}"#).await.is(201);
    let list = server.get(&format!("{ZONES}?limit=1")).await.json();
    assert_eq!((&list["zones"][0]["name"], &list["next"]), (&json!("b."), &json!("b.")));
    let rest = server.get(&format!("{ZONES}?cursor=b.")).await.json();
    assert_eq!(
        (&rest["zones"][0]["source"], &rest["next"]),
        (&json!("zone_file"), &Value::Null)
    );
    assert_eq!(rest["zones"][0]["object"], "zones/x.zone");
    server
        .delete("/api/v1/zones/x.")
        .await
        .is_problem(409, "managed_by_file");
    server.delete("/v1/zones/x.").await.is_problem(409, "managed_by_file");
    server
        .post(
            ZONES,
            r#"{"name":"c.","records":[{"name":"a.d.","type":"A","value":"192.0.2.1"}]}"#,
        )
        .await
        .is_problem(400, "invalid_value");
    server.get("/api/v1/zones/c.").await.is_problem(404, "not_found");
}

#[tokio::test]
async fn a_set_is_made_whole_or_not_at_all() {
    let server = server().await;
    let set = json!({"comment": "a new zone", "edits": [
        {"op": "create_zone", "zone": "z.", "records": [{"name": "www.z.", "type": "A", "value": "192.0.2.7"}]},
        {"op": "add", "name": "www.z.", "type": "A", "value": ["192.0.2.8"]},
        put("other.y.", "192.0.2.9"),
    ]});
    let tried = server.post(&format!("{CHANGES}?dry_run=true"), &set.to_string()).await;
    let tried = tried.is(200);
    server.get("/api/v1/zones/z.").await.is_problem(404, "not_found");
    let made = changes(&server, set).await;
    assert_eq!(made.status, 200, "{made:?}");
    let made = made.json();
    let names = |diff: &Value| -> Vec<(String, String)> {
        let each = diff.as_array().expect("a list").iter();
        each.map(|one| (one["name"].to_string(), one["type"].to_string()))
            .collect()
    };
    assert_eq!(names(&made["diff"]), names(&tried["diff"]));
    assert_eq!(
        made["diff"].as_array().expect("a list").len(),
        4,
        "SOA, NS and two RRsets: {made}"
    );
    let www = made["diff"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["name"] == "www.z.")
        .expect("it");
    assert_eq!(
        (&www["old"], &www["new"]["value"]),
        (&Value::Null, &json!(["192.0.2.7", "192.0.2.8"]))
    );

    let refused = changes(
        &server,
        json!({"edits": [put("one.y.", "192.0.2.1"), put("www.x.", "192.0.2.1")]}),
    )
    .await;
    refused.is_problem(409, "managed_by_file");
    assert_eq!(refused.json()["pointer"], "/edits/1");
    server.get("/api/v1/records/one.y.").await.is_problem(404, "not_found");
    let taken = json!({"takeover": true, "edits": [put("www.x.", "192.0.2.99")]});
    changes(&server, taken).await.is(200);
    assert_eq!(
        server.get("/api/v1/records/www.x.").await.is(200)["records"][0]["value"],
        json!(["192.0.2.99"])
    );
    changes(
        &server,
        json!({"edits": [{"op": "delete", "name": "www.x.", "type": "A"}]}),
    )
    .await
    .is(200);
    assert_eq!(
        server.get("/api/v1/records/www.x.").await.is(200)["records"][0]["source"],
        "zone_file"
    );

    for (edit, code, pointer) in [
        (
            json!({"op": "put", "name": "a..b", "type": "A", "value": "192.0.2.1"}),
            "invalid_name",
            "/edits/0",
        ),
        (
            json!({"op": "put", "name": "a.y.", "type": "A"}),
            "invalid_body",
            "/edits/0",
        ),
        (
            json!({"op": "put", "name": "a.y.", "type": "A", "value": "x"}),
            "invalid_value",
            "/edits/0",
        ),
        (json!({"op": "turn", "name": "a.y."}), "invalid_body", "/edits/0"),
        (
            json!({"op": "create_zone", "zone": "q.", "records": [{"name": "q.", "type": "A"}]}),
            "invalid_body",
            "/edits/0/records/0",
        ),
    ] {
        let answer = changes(&server, json!({"edits": [edit]})).await;
        answer.is_problem(400, code);
        assert_eq!(answer.json()["pointer"], pointer, "{answer:?}");
    }
    let conditional = |version: Value| {
        let mut edit = put("other.y.", "192.0.2.10");
        edit["if_match"] = version;
        json!({"edits": [edit]})
    };
    let stale = changes(&server, conditional(json!(1))).await;
    stale.is_problem(412, "version_conflict");
    assert_eq!(stale.json()["pointer"], "/edits/0");
    changes(&server, conditional(stale.json()["version"].clone()))
        .await
        .is(200);
    changes(&server, json!({"edits": [{"op": "delete_zone", "zone": "z."}]}))
        .await
        .is(200);
    assert_eq!(
        server.get("/api/v1/records?name=www.z.").await.is(200)["records"],
        json!([])
    );
}

#[tokio::test]
async fn a_difference_can_be_read_by_people() {
    let server = server().await;
    let body = json!({"edits": [put("a.y.", "192.0.2.9")]}).to_string();
    let headers = "Content-Type: application/json\r\nAccept: text/plain\r\n";
    let answer = server
        .send("POST", &format!("{CHANGES}?dry_run=true"), headers, &body)
        .await;
    assert!(answer.header("content-type").starts_with("text/plain"), "{answer:?}");
    assert!(answer.body.contains("+a.y. 300 IN A 192.0.2.9\n"), "{answer:?}");
}

#[tokio::test]
async fn the_guard_lets_little_go_at_a_time() {
    let server = server().await;
    let records: Vec<Value> = (0..30)
        .map(|i| json!({"name": format!("n{i}.g."), "type": "A", "value": "192.0.2.1"}))
        .collect();
    server
        .post(ZONES, &json!({"name": "g.", "records": records}).to_string())
        .await
        .is(201);
    let delete = |count: usize, force: bool| {
        let edits: Vec<Value> = (0..count)
            .map(|i| json!({"op": "delete", "name": format!("n{i}.g.")}))
            .collect();
        json!({"edits": edits, "force": force})
    };
    let refused = changes(&server, delete(17, false)).await;
    refused.is_problem(422, "deletion_guard");
    assert_eq!(
        (&refused.json()["removed"], &refused.json()["records"]),
        (&json!(17), &json!(32))
    );
    assert!(refused.json().get("pointer").is_none());
    let import = server
        .send(
            "POST",
            &format!("{ZONES}/g./import"),
            "Content-Type: text/dns\r\n",
            "a A 192.0.2.1\n",
        )
        .await;
    import.is_problem(400, "invalid_body");
    let text = "@ 300 SOA ns.g. h.g. 7 1 1 1 1\n@ 300 NS ns.g.\nns 300 A 192.0.2.1\n";
    let target = format!("{ZONES}/g./import");
    server
        .send("POST", &target, "Content-Type: text/dns\r\n", text)
        .await
        .is_problem(422, "deletion_guard");
    changes(&server, delete(16, false)).await.is(200);
    changes(&server, delete(0, false)).await.is_problem(400, "invalid_body");
    server
        .send(
            "POST",
            &format!("{target}?force=true"),
            "Content-Type: text/dns\r\n",
            text,
        )
        .await
        .is(200);
    assert_eq!(server.get(&format!("{ZONES}/g.")).await.json()["records"], 3);
    assert!(
        server
            .fixture
            .metric("hotdns_changes_total{result=\"refused\",source=\"api\"} 2")
    );
}

#[tokio::test]
async fn a_file_that_lost_much_is_not_taken_at_a_reload() {
    let server = server().await;
    let names: Vec<String> = (0..30).map(|i| format!("n{i}.f.")).collect();
    let zone_of = |count: usize| {
        let records: Vec<(&str, RecordType, &str)> = names[..count]
            .iter()
            .map(|name| (name.as_str(), RecordType::A, "192.0.2.1"))
            .collect();
        zone("f.", count as u32, &records)
    };
    let reload = async |count: usize, query: &str| {
        *server.fixture.files.lock().expect("not poisoned") = Ok(desired(vec![zone_of(count)], Vec::new()));
        server.post(&format!("/api/v1/reload{query}"), "").await.is(200)
    };
    assert_eq!(reload(30, "").await["counts"]["added"], 32);
    let refused = reload(3, "").await;
    assert_eq!(refused["counts"]["removed"], 0, "{refused}");
    assert!(
        refused["failed"][0]["error"]
            .as_str()
            .expect("why")
            .contains("would lose 27 of its 32"),
        "{refused}"
    );
    assert_eq!(reload(3, "?force=true").await["counts"]["removed"], 27);
}

#[tokio::test]
async fn an_export_can_be_imported_in_each_format() {
    let server = server().await;
    let records = json!([
        {"name": "www.e.", "type": "A", "ttl": 60, "value": ["192.0.2.1", "192.0.2.2"]},
        {"name": "e.", "type": "MX", "value": "10 www.e."},
        {"name": "t.e.", "type": "TXT", "value": "\"a; \\\"b\\\"\" \"c\""},
        {"name": "*.e.", "type": "CNAME", "value": "www.e."},
    ]);
    server
        .post(ZONES, &json!({"name": "e.", "records": records}).to_string())
        .await
        .is(201);
    for format in ["zone", "json", "yaml"] {
        let target = format!("{ZONES}/e./export?format={format}");
        let text = server.get(&target).await;
        assert_eq!(text.status, 200, "{text:?}");
        let media = format!("Content-Type: {}\r\n", text.header("content-type"));
        let same = server
            .send(
                "POST",
                &format!("{ZONES}/e./import?format={format}"),
                &media,
                &text.body,
            )
            .await;
        assert_eq!(same.is(200)["diff"], json!([]), "{format}: {same:?}");
        server.delete(&format!("{ZONES}/e.")).await.is(204);
        let made = server
            .send(
                "POST",
                &format!("{ZONES}/e./import?format={format}"),
                &media,
                &text.body,
            )
            .await;
        assert_eq!(
            made.is(200)["diff"].as_array().map(Vec::len),
            Some(6),
            "{format}: {made:?}"
        );
    }
    let include = "$INCLUDE /etc/passwd\n";
    let target = format!("{ZONES}/e./import");
    let refused = server
        .send("POST", &target, "Content-Type: text/dns\r\n", include)
        .await;
    refused.is_problem(400, "invalid_body");
    let form = server
        .send("POST", &target, "Content-Type: text/plain\r\n", include)
        .await;
    form.is_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn hosted_zones_have_single_records() {
    let server = server().await;
    let made = server
        .post(
            HOSTED,
            r#"{"name":"h.","records":[{"type":"A","name":"www","value":"192.0.2.1"}]}"#,
        )
        .await;
    let made = made.is(201);
    assert_eq!(made["name"], "h.");
    server.post(HOSTED, r#"{"name":"h."}"#).await.is_problem(409, "exists");
    let list = server.get(HOSTED).await.json();
    let names: Vec<&Value> = list
        .as_array()
        .expect("a bare list")
        .iter()
        .map(|zone| &zone["name"])
        .collect();
    assert_eq!(names, [&json!("h."), &json!("x.")]);
    let records = format!("{HOSTED}/h./records");
    let upsert = async |body: &str| server.post(&records, body).await;
    let first = upsert(r#"{"type":"A","name":"www.h","value":"192.0.2.2"}"#)
        .await
        .is(200);
    assert_eq!((&first["ttl"], &first["name"]), (&json!(3600), &json!("www.h.")));
    upsert(r#"{"type":"CNAME","name":"c.h.","value":"www.h.","ttl":60}"#)
        .await
        .is(200);
    upsert(r#"{"type":"CNAME","name":"c.h.","value":"other.h."}"#)
        .await
        .is(200);
    upsert(r#"{"type":"A","name":"www.h","value":"192.0.2.2","ttl":120}"#)
        .await
        .is(200);
    let shown = server.get(&records).await.json();
    let of = |name: &str| -> Vec<(String, u64, String)> {
        let all = shown
            .as_array()
            .expect("a list")
            .iter()
            .filter(|one| one["name"] == name);
        all.map(|one| {
            let text = |member: &str| one[member].as_str().expect("a text").to_owned();
            (text("value"), one["ttl"].as_u64().expect("a number"), text("id"))
        })
        .collect()
    };
    let www = of("www.h.");
    let values: Vec<(&str, u64)> = www.iter().map(|(value, ttl, _)| (value.as_str(), *ttl)).collect();
    assert_eq!(values, [("192.0.2.1", 120), ("192.0.2.2", 120)]);
    assert_eq!(of("c.h.")[0].0, "other.h.");
    for (body, code) in [
        (r#"{"type":"A","name":"www.h."}"#, "invalid_body"),
        (
            r#"{"type":"A","name":"www.other.","value":"192.0.2.1"}"#,
            "invalid_name",
        ),
        (r#"{"type":"A","name":"www.h.","value":"x"}"#, "invalid_value"),
        (
            r#"{"type":"A","name":"www.h.","value":"192.0.2.1","ttl":"x"}"#,
            "invalid_body",
        ),
    ] {
        upsert(body).await.is_problem(400, code);
    }
    server.delete(&format!("{records}?recordId={}", www[0].2)).await.is(204);
    server
        .delete(&format!("{records}?recordId={}", www[0].2))
        .await
        .is_problem(404, "not_found");
    server
        .delete(&format!("{records}?recordId=%20"))
        .await
        .is_problem(404, "not_found");
    server.delete(&records).await.is_problem(400, "invalid_parameter");
    server
        .get(&format!("{HOSTED}/nope./records"))
        .await
        .is_problem(404, "not_found");
    server.post(&format!("{HOSTED}/h./reload"), "").await.is(202);
    server
        .post(&format!("{HOSTED}/nope./reload"), "")
        .await
        .is_problem(404, "not_found");
    server.delete(&format!("{HOSTED}/h.")).await.is(204);
    server
        .delete(&format!("{HOSTED}/h."))
        .await
        .is_problem(404, "not_found");
}

#[tokio::test]
async fn yaml_goes_in_and_comes_out() {
    let server = server().await;
    let headers = "Content-Type: application/yaml\r\nAccept: application/yaml\r\n";
    let body = "name: y.y.\ntype: A\nvalue:\n  - 192.0.2.1\n  - 192.0.2.2\n";
    let made = server.send("POST", "/api/v1/records", headers, body).await;
    assert_eq!(
        (made.status, made.header("content-type")),
        (201, "application/yaml"),
        "{made:?}"
    );
    assert!(made.body.contains("name: y.y.\n"), "{made:?}");
    let again = server.send("PUT", "/api/v1/records/y.y.", headers, &made.body).await;
    assert_eq!(again.status, 200, "an answer can be sent back: {again:?}");
    let bad = server.send("POST", "/api/v1/records", headers, "name: [").await;
    bad.is_problem(400, "invalid_body");
}

#[tokio::test]
async fn locked_and_disabled_records_are_kept() {
    let mut server = server().await;
    let put = async |server: &Server, body: Value| server.put("/api/v1/records/l.y.?type=A", &body.to_string()).await;
    let locked = put(
        &server,
        json!({"value": "192.0.2.1", "locked": true, "note": "as agreed"}),
    )
    .await
    .is(201);
    assert_eq!(
        (&locked["locked"], &locked["note"]),
        (&json!(true), &json!("as agreed"))
    );
    put(&server, json!({"value": "192.0.2.2"}))
        .await
        .is_problem(409, "locked");
    server.delete("/api/v1/records/l.y.").await.is_problem(409, "locked");
    server
        .post("/api/v1/records", r#"{"name":"l.y.","type":"A","value":"192.0.2.3"}"#)
        .await
        .is_problem(409, "locked");
    put(
        &server,
        json!({"value": "192.0.2.2", "locked": false, "disabled": true}),
    )
    .await
    .is(200);
    assert_eq!(
        server.fixture.values("l.y.", RecordType::A),
        [""; 0],
        "it is not served"
    );
    let fixture = server.fixture.restart(desired(Vec::new(), Vec::new())).await;
    server = Server::on(fixture).await;
    assert_eq!(
        server.fixture.values("l.y.", RecordType::A),
        [""; 0],
        "nor after a restart"
    );
    let back = put(&server, json!({"value": "192.0.2.2"})).await.is(200);
    assert_eq!((&back["note"], back.get("disabled")), (&json!("as agreed"), None));
    assert_eq!(server.fixture.values("l.y.", RecordType::A), ["192.0.2.2"]);
}

#[tokio::test]
async fn what_is_disabled_and_what_is_looked_for_is_found() {
    let server = server().await;
    let put = async |name: &str, body: Value| {
        let answer = server
            .put(&format!("/api/v1/records/{name}?type=A"), &body.to_string())
            .await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    };
    put("one.s.", json!({"value": "192.0.2.77", "note": "Rack 12"})).await;
    put("two.s.", json!({"value": "192.0.2.78", "disabled": true})).await;
    put("three.s.", json!({"value": "192.0.2.79", "disabled": true})).await;
    let names = async |query: &str| -> Vec<String> {
        let list = server.get(&format!("/api/v1/records{query}")).await.is(200);
        let records = list["records"].as_array().expect("a list").iter();
        records
            .map(|one| one["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    assert_eq!(names("?q=rack").await, ["one.s."]);
    assert_eq!(names("?q=192.0.2.7").await, ["one.s."], "what is served");
    assert_eq!(names("?q=ZONE_FILE&type=A").await, ["www.x."]);
    assert_eq!(names("?q=nothing").await, [""; 0]);
    assert_eq!(names("?disabled=true").await, ["three.s.", "two.s."]);
    let page = server.get("/api/v1/records?disabled=true&limit=1").await.json();
    let cursor = page["next"].as_str().expect("more");
    assert_eq!(
        names(&format!("?disabled=true&limit=1&cursor={cursor}")).await,
        ["two.s."]
    );
    let one = server.get("/api/v1/records/two.s.?type=A").await.is(200);
    assert_eq!(one["records"][0]["disabled"], true);
    put("two.s.", json!({"value": "192.0.2.78"})).await;
    assert_eq!(names("?disabled=true").await, ["three.s."]);
    server.delete("/api/v1/records/three.s.").await.is(204);
    assert_eq!(names("?disabled=true").await, [""; 0]);
}
