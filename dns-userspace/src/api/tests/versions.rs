//! Versions: entity tags, and changes that expect one.

use serde_json::json;

use super::client::{Answer, Server};
use crate::control::tests::fixture::{desired, zone};
use crate::model::record::RecordType;

const WWW: &str = "/api/v1/records/www.a.";
const JSON: &str = "Content-Type: application/json\r\n";

async fn server() -> Server {
    let file = zone("x.", 1, &[("www.x.", RecordType::A, "192.0.2.1")]);
    Server::new(desired(vec![file], Vec::new())).await
}

fn version(answer: &Answer) -> u64 {
    answer.json()["version"]
        .as_u64()
        .unwrap_or_else(|| panic!("no version in {answer:?}"))
}

async fn put(server: &Server, condition: &str, value: &str) -> Answer {
    let body = json!({"type": "A", "value": [value]}).to_string();
    server.send("PUT", WWW, &format!("{JSON}{condition}"), &body).await
}

#[tokio::test]
async fn a_change_of_what_was_changed_meanwhile_is_refused() {
    let server = server().await;
    let first = put(&server, "If-None-Match: *\r\n", "192.0.2.1").await;
    first.is(201);
    let at = version(&first);
    assert_eq!(first.header("etag"), format!("\"{at}\""));
    put(&server, "If-None-Match: *\r\n", "192.0.2.2")
        .await
        .is_problem(412, "version_conflict");

    let second = put(&server, &format!("If-Match: \"{at}\"\r\n"), "192.0.2.2").await;
    second.is(200);
    assert!(version(&second) > at);
    let late = put(&server, &format!("If-Match: \"{at}\"\r\n"), "192.0.2.3").await;
    late.is_problem(412, "version_conflict");
    assert_eq!(late.json()["version"], version(&second), "what it is at");
    assert_eq!(
        server.get(&format!("{WWW}?type=A")).await.is(200)["records"][0]["value"],
        json!(["192.0.2.2"])
    );

    // What is as it was keeps its version.
    let same = put(&server, "", "192.0.2.2").await;
    assert_eq!(version(&same), version(&second));
    let wrong = server
        .send(
            "DELETE",
            &format!("{WWW}?type=A"),
            &format!("If-Match: \"{at}\"\r\n"),
            "",
        )
        .await;
    wrong.is_problem(412, "version_conflict");
    let right = format!("If-Match: {}\r\n", second.header("etag"));
    server
        .send("DELETE", &format!("{WWW}?type=A"), &right, "")
        .await
        .is(204);
    put(&server, "If-Match: *\r\n", "192.0.2.2")
        .await
        .is_problem(412, "version_conflict");
    put(&server, "If-Match: x\r\n", "192.0.2.2")
        .await
        .is_problem(400, "invalid_parameter");
    let whole_name = server.send("DELETE", WWW, "If-Match: *\r\n", "").await;
    whole_name.is_problem(400, "unsupported_precondition");
}

#[tokio::test]
async fn of_many_writers_that_expect_one_version_one_wins() {
    let server = server().await;
    let mut at = version(&put(&server, "", "192.0.2.1").await);
    for round in 0..20 {
        let condition = format!("If-Match: \"{at}\"\r\n");
        let values: Vec<String> = (0..8).map(|writer| format!("192.0.{round}.{}", writer + 10)).collect();
        let answers = futures_util::future::join_all(values.iter().map(|value| put(&server, &condition, value))).await;
        let won: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        answers
            .iter()
            .filter(|answer| answer.status != 200)
            .for_each(|lost| lost.is_problem(412, "version_conflict"));
        let served = server.get(&format!("{WWW}?type=A")).await;
        assert_eq!(served.json()["records"][0], won[0].json());
        at = version(won[0]);
    }
}

#[tokio::test]
async fn a_reader_is_told_that_it_has_the_version() {
    let server = server().await;
    let whole = server.get("/api/v1/records/www.x.?type=A").await;
    let tag = whole.header("etag").to_owned();
    assert_eq!(whole.json()["records"][0]["version"].to_string(), tag.trim_matches('"'));
    let target = "/api/v1/records/www.x.?type=A";
    let known = server
        .send("GET", target, &format!("If-None-Match: {tag}\r\n"), "")
        .await;
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    let list = server.get("/api/v1/records").await;
    assert!(list.json()["version"].as_u64() >= list.json()["records"][0]["version"].as_u64());
}

#[tokio::test]
async fn versions_outlive_the_process() {
    let file = || zone("x.", 1, &[("www.x.", RecordType::A, "192.0.2.1")]);
    let mut server = server().await;
    let of = |answer: &Answer| answer.json()["records"][0]["version"].as_u64().expect("a version");
    let before_of_file = of(&server.get("/api/v1/records/www.x.?type=A").await);
    put(&server, "", "192.0.2.1").await.is(201);
    let before = of(&server.get(&format!("{WWW}?type=A")).await);
    let latest = version(
        &server
            .post("/api/v1/records", r#"{"name":"b.","type":"A","value":"192.0.2.1"}"#)
            .await,
    );
    server.delete("/api/v1/records/b.").await.is(204);
    for _ in 0..2 {
        let fixture = server.fixture.restart(desired(vec![file()], Vec::new())).await;
        server = Server::on(fixture).await;
        assert_eq!(of(&server.get(&format!("{WWW}?type=A")).await), before);
        assert_eq!(of(&server.get("/api/v1/records/www.x.?type=A").await), before_of_file);
    }
    let next = put(&server, &format!("If-Match: \"{before}\"\r\n"), "192.0.2.9").await;
    next.is(200);
    assert!(version(&next) > latest + 1, "a version is given once");
    assert!(server.fixture.metric(&format!("hotdns_version {}", version(&next))));
    assert!(
        server
            .fixture
            .metric("hotdns_changes_total{result=\"applied\",source=\"api\"} 1")
    );
}
