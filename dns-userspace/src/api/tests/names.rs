//! Names that clients give: in bodies, paths, parameters and values.

use serde_json::{Value, json};

use super::client::Server;
use crate::control::tests::fixture::{desired, zone};
use crate::model::record::RecordType;

async fn server() -> Server {
    let zone = zone(
        "xn--bcher-kva.",
        1,
        &[("www.xn--bcher-kva.", RecordType::A, "192.0.2.1")],
    );
    Server::new(desired(vec![zone], vec![])).await
}

fn body(name: &str) -> String {
    json!({"name": name, "type": "A", "value": ["192.0.2.1"]}).to_string()
}

/// Percent-encoded, every octet of it.
fn encoded(name: &str) -> String {
    name.bytes().map(|octet| format!("%{octet:02X}")).collect()
}

#[tokio::test]
async fn names_that_nobody_can_ask_for_are_refused_wherever_they_are_given() {
    let server = server().await;
    for name in [
        "nl.example.com\n",
        "nl.example.com\r\n",
        " nl.example.com",
        "nl example.com",
        "a\tb.x",
        "a\0b.x",
        "a\u{7F}.x",
        "@",
        "@.",
        "-ü.x",
        "a\u{A0}b.x",
        "a\u{80}.x",
    ] {
        let answers = [
            server.post("/api/v1/records", &body(name)).await,
            server.put("/api/v1/records/a.x", &body(name)).await,
            server
                .put(&format!("/api/v1/records/{}", encoded(name)), &body("a.x"))
                .await,
            server.get(&format!("/api/v1/records/{}", encoded(name))).await,
            server.delete(&format!("/api/v1/records/{}", encoded(name))).await,
            server.get(&format!("/api/v1/records?name={}", encoded(name))).await,
            server.get(&format!("/api/v1/records?zone={}", encoded(name))).await,
        ];
        for answer in answers {
            answer.is_problem(400, "invalid_name");
        }
    }
    let told = server.post("/api/v1/records", &body("@")).await.body;
    assert!(told.contains("write the zone's name"), "{told}");
    // In a query a plus is a space.
    server
        .get("/api/v1/records?name=a+b.x")
        .await
        .is_problem(400, "invalid_name");
    let all = server.get("/api/v1/records?type=A").await.is(200);
    assert_eq!(
        all["records"].as_array().map(Vec::len),
        Some(1),
        "nothing was made: {all}"
    );
}

#[tokio::test]
async fn escapes_are_the_way_to_any_octet() {
    let server = server().await;
    for (name, shown) in [
        ("a\\032b.x", "a\\032b.x."),
        ("a\\ c.x", "a\\032c.x."),
        ("n\\010.x", "n\\010.x."),
        ("b\\195\\188.x", "b\\195\\188.x."),
        ("\\@", "\\@."),
    ] {
        let made = server.post("/api/v1/records", &body(name)).await;
        assert_eq!(made.is(201)["name"], shown);
        let location = made.header("location").to_owned();
        server.get(&location).await.is(200);
        server.delete(&location).await.is(204);
    }
}

#[tokio::test]
async fn u_labels_are_a_labels_wherever_they_are_given() {
    let server = server().await;
    let made = server.post("/api/v1/records", &body("neu.Bücher")).await;
    assert_eq!(made.is(201)["name"], "neu.xn--bcher-kva.");
    let first = |page: Value| page["records"][0]["name"].clone();
    let path = format!("/api/v1/records/{}", encoded("neu.bücher."));
    assert_eq!(first(server.get(&path).await.is(200)), "neu.xn--bcher-kva.");
    let answer = server.get("/api/v1/records?name=neu.b%C3%BCcher").await.is(200);
    assert_eq!(first(answer), "neu.xn--bcher-kva.");
    let answer = server.get("/api/v1/records?zone=b%C3%BCcher&type=A").await.is(200);
    assert_eq!(answer["records"].as_array().map(Vec::len), Some(2), "{answer}");
    // The same name in the URL and in the body.
    server.put(&path, &body("neu.xn--bcher-kva.")).await.is(200);
    server.delete(&path).await.is(204);
}

#[tokio::test]
async fn names_in_values_follow_the_same_rules() {
    let server = server().await;
    for (rtype, value, shown) in [
        ("MX", "10 mail.bücher", "10 mail.xn--bcher-kva."),
        ("CNAME", "Bücher.example.", "xn--bcher-kva.example."),
        ("SRV", "0 0 443 bücher.", "0 0 443 xn--bcher-kva."),
        ("SVCB", "1 bücher. alpn=h2", "1 xn--bcher-kva. alpn=\"h2\""),
        ("NS", "a\\032b.x", "a\\032b.x."),
        // Text is text.
        ("TXT", "bücher @ x", "\"b\\195\\188cher @ x\""),
    ] {
        let body = json!({"name": format!("{rtype}.x"), "type": rtype, "value": [value]}).to_string();
        let made = server.post("/api/v1/records", &body).await.is(201);
        assert_eq!(made["value"], json!([shown]));
    }
    for (rtype, value) in [
        ("MX", "10 a\u{7}b.x"),
        ("CNAME", "a\u{7F}.x"),
        ("CNAME", "@"),
        ("NS", "@.x"),
        ("SRV", "0 0 443 -ü.x"),
        ("CNAME", "a\u{A0}b.x"),
    ] {
        let body = json!({"name": "refused.x", "type": rtype, "value": [value]}).to_string();
        server
            .post("/api/v1/records", &body)
            .await
            .is_problem(400, "invalid_value");
    }
}
