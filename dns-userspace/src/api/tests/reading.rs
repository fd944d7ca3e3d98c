//! GET: filters, order, pages; probes and metrics.

use serde_json::{Value, json};

use super::client::Server;
use crate::control::tests::fixture::{desired, record, zone};
use crate::model::record::RecordType;
use crate::model::source::Origin;

const A: RecordType = RecordType::A;

async fn server() -> Server {
    let outer = zone(
        "x.",
        1,
        &[
            ("b.x.", A, "192.0.2.1"),
            // Hidden by the zone below.
            ("sub.x.", RecordType::NS, "ns.sub.x."),
            ("ns.sub.x.", A, "192.0.2.2"),
            ("z.x.", A, "192.0.2.1"),
        ],
    );
    let inner = zone("sub.x.", 1, &[("www.sub.x.", A, "192.0.2.1")]);
    let overlays = vec![
        record("lay.", A, "192.0.2.1", Origin::config()),
        record("y.", A, "192.0.2.1", Origin::config()),
    ];
    Server::new(desired(vec![outer, inner], overlays)).await
}

fn names(page: &Value) -> Vec<String> {
    let records = page["records"].as_array().expect("a list");
    let show = |record: &Value| {
        format!(
            "{} {}",
            record["name"].as_str().unwrap(),
            record["type"].as_str().unwrap()
        )
    };
    records.iter().map(show).collect()
}

const ALL: [&str; 11] = [
    "lay. A",
    "x. NS",
    "x. SOA",
    "A.x. A",
    "b.x. A",
    "sub.x. NS",
    "sub.x. SOA",
    "www.sub.x. A",
    "z.x. A",
    "y. A",
    "*.y. A",
];

async fn add(server: &Server, name: &str) {
    let body = json!({"name": name, "type": "A", "value": ["192.0.2.1"]}).to_string();
    server.post("/api/v1/records", &body).await.is(201);
}

#[tokio::test]
async fn lists_are_in_canonical_order_and_hide_what_is_hidden() {
    let server = server().await;
    add(&server, "A.x.").await;
    add(&server, "*.y.").await;
    let page = server.get("/api/v1/records").await.is(200);
    assert_eq!(names(&page), ALL);
    assert_eq!(page["next"], Value::Null);
    assert_eq!(
        page["records"][3],
        json!({"name": "A.x.", "type": "A", "ttl": 300, "value": ["192.0.2.1"], "source": "api"})
    );
    assert_eq!(page["records"][0]["source"], "config");
    assert_eq!(page["records"][1]["source"], "zone_file");
    assert_eq!(
        page["records"][2]["value"],
        json!(["ns.x. host.x. 2 3600 600 86400 300"]),
        "the served serial"
    );
}

#[tokio::test]
async fn pages_of_any_size_make_the_whole() {
    let server = server().await;
    add(&server, "A.x.").await;
    add(&server, "*.y.").await;
    for limit in [1, 2, 3, 10, 11, 12] {
        let (mut all, mut next, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = server
                .get(&format!("/api/v1/records?limit={limit}{next}"))
                .await
                .is(200);
            all.extend(names(&page));
            pages += 1;
            match page["next"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(all, ALL);
        assert_eq!(pages, 11usize.div_ceil(limit));
    }
}

#[tokio::test]
async fn a_cursor_is_good_whatever_comes_and_goes() {
    let server = server().await;
    add(&server, "A.x.").await;
    let first = server.get("/api/v1/records?limit=4").await.is(200);
    assert_eq!(names(&first).last().map(String::as_str), Some("A.x. A"));
    let cursor = first["next"].as_str().expect("more");
    server.delete("/api/v1/records/a.x").await.is(204);
    add(&server, "aa.x.").await;
    add(&server, "0.x.").await;
    let second = server
        .get(&format!("/api/v1/records?limit=2&cursor={cursor}"))
        .await
        .is(200);
    assert_eq!(names(&second), ["aa.x. A", "b.x. A"]);
    let many = server
        .get(&format!("/api/v1/records?cursor={cursor}&zone=sub.x."))
        .await
        .is(200);
    assert_eq!(names(&many), ["sub.x. NS", "sub.x. SOA", "www.sub.x. A"]);
}

#[tokio::test]
async fn filters_narrow() {
    let server = server().await;
    for (query, expected) in [
        ("name=B.X", &["b.x. A"][..]),
        ("name=b.x.&type=AAAA", &[]),
        ("name=none.", &[]),
        ("type=soa", &["x. SOA", "sub.x. SOA"]),
        ("type=TYPE6&limit=1000", &["x. SOA", "sub.x. SOA"]),
        ("zone=SUB.x", &["sub.x. NS", "sub.x. SOA", "www.sub.x. A"]),
        ("zone=x.&type=A", &["b.x. A", "z.x. A"]),
        ("zone=b.x.", &[]),
        ("zone=y.", &[]),
        ("zone=x.&name=www.sub.x", &[]),
        ("zone=sub.x.&name=www.sub.x", &["www.sub.x. A"]),
    ] {
        let page = server.get(&format!("/api/v1/records?{query}")).await.is(200);
        assert_eq!(names(&page), expected, "{query}");
    }
}

#[tokio::test]
async fn one_name() {
    let server = server().await;
    let whole = server.get("/api/v1/records/X").await.is(200);
    assert_eq!(names(&whole), ["x. NS", "x. SOA"]);
    assert_eq!(whole["next"], Value::Null);
    assert_eq!(
        names(&server.get("/api/v1/records/%78.?type=NS").await.is(200)),
        ["x. NS"]
    );
    for target in [
        "/api/v1/records/none.x",
        "/api/v1/records/x?type=TXT",
        "/api/v1/records/.",
    ] {
        server.get(target).await.is_problem(404, "not_found");
    }
    server
        .get("/api/v1/records/ns.sub.x")
        .await
        .is_problem(404, "not_found");
}

#[tokio::test]
async fn parameters_that_are_no_good() {
    let server = server().await;
    for (target, code) in [
        ("/api/v1/records?limit=0", "invalid_parameter"),
        ("/api/v1/records?limit=1001", "invalid_parameter"),
        ("/api/v1/records?limit=x", "invalid_parameter"),
        ("/api/v1/records?limit=", "invalid_parameter"),
        ("/api/v1/records?limit=1&limit=1", "invalid_parameter"),
        ("/api/v1/records?cursor=x", "invalid_parameter"),
        ("/api/v1/records?cursor=", "invalid_parameter"),
        ("/api/v1/records?foo=1", "invalid_parameter"),
        ("/api/v1/records?foo", "invalid_parameter"),
        ("/api/v1/records?Name=x.", "invalid_parameter"),
        ("/api/v1/records?name=%ff", "invalid_parameter"),
        ("/api/v1/records?name=a..b", "invalid_name"),
        ("/api/v1/records?zone=", "invalid_name"),
        ("/api/v1/records?type=FOO", "invalid_type"),
        ("/api/v1/records?type=ANY", "invalid_type"),
        ("/api/v1/records/x?limit=1", "invalid_parameter"),
        ("/api/v1/records/x?type=A&type=NS", "invalid_parameter"),
        ("/api/v1/records/x?type=FOO", "invalid_type"),
        ("/api/v1/records/x..y", "invalid_name"),
        ("/api/v1/records/%ff", "invalid_name"),
    ] {
        let answer = server.get(target).await;
        assert_eq!(answer.json()["code"], code, "{target}: {answer:?}");
        answer.is_problem(400, code);
    }
    server
        .post("/api/v1/records?x=1", "{}")
        .await
        .is_problem(400, "invalid_parameter");
    server
        .post("/api/v1/reload?x=1", "")
        .await
        .is_problem(400, "invalid_parameter");
}

#[tokio::test]
async fn probes_and_metrics() {
    let server = server().await;
    assert_eq!(server.get("/health").await.is(200), json!({"status": "ok"}));
    assert_eq!(server.get("/ready").await.is(200), json!({"status": "ready"}));
    server.readiness.stop();
    server.get("/ready").await.is_problem(503, "not_ready");
    server.get("/health").await.is(200);
    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.header("content-type").starts_with("text/plain; version=0.0.4"),
        "{metrics:?}"
    );
    assert!(
        metrics.body.contains("hotdns_records{source=\"zone_file\"} 9"),
        "{}",
        metrics.body
    );
}
