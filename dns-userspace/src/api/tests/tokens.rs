//! Tokens with a scope: made, used, refused, deleted, limited in their rate.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::client::{Answer, Server};
use crate::control::tests::fixture::{Fixture, desired, record, zone};
use crate::model::record::RecordType;
use crate::model::source::Origin;
use crate::principal::{Credentials, TokenFile, TokensFile};

/// The token that may do everything.
const ROOT: &str = "root-token-of-the-test";

struct Guarded {
    server: Server,
    folder: tempfile::TempDir,
}

async fn guarded(rate: Option<(u32, u32)>) -> Guarded {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, ROOT).expect("written");
    let credentials = Credentials {
        token: Some(Arc::new(TokenFile::load(&token).expect("a token"))),
        tokens: Some(Arc::new(TokensFile::load(&tokens(folder.path())).expect("none yet"))),
        ..Credentials::default()
    };
    let initial = desired(
        vec![zone(
            "example.org.",
            1,
            &[("www.example.org.", RecordType::A, "192.0.2.1")],
        )],
        vec![record("lay.", RecordType::A, "192.0.2.1", Origin::config())],
    );
    let server = Server::serving(Fixture::new(initial), credentials, rate).await;
    server.start();
    Guarded { server, folder }
}

fn tokens(folder: &Path) -> std::path::PathBuf {
    folder.join("tokens.yaml")
}

impl Guarded {
    async fn send(&self, token: &str, method: &str, target: &str, body: Value) -> Answer {
        let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.server.send(method, target, &headers, &body).await
    }

    /// A token with this scope.
    async fn token(&self, name: &str, scope: Value) -> String {
        let body = json!({"name": name, "scope": scope});
        let made = self.send(ROOT, "POST", "/api/v1/tokens", body).await.is(201);
        made["secret"].as_str().expect("shown").to_owned()
    }
}

fn rrset(rtype: &str, value: &str) -> Value {
    json!({"type": rtype, "value": [value]})
}

#[tokio::test]
async fn a_token_for_acme_alone_proves_names_and_nothing_else() {
    let api = guarded(None).await;
    let acme = api
        .token("acme", json!({"names": ["_acme-challenge.*"], "types": ["TXT"]}))
        .await;
    let put = async |name: &str, body: Value| {
        let target = format!("/api/v1/records/{name}");
        api.send(&acme, "PUT", &target, body).await
    };
    put("_acme-challenge.www.example.org", rrset("TXT", "proof"))
        .await
        .is(201);
    let refused = put("www.example.org", rrset("TXT", "proof")).await;
    refused.is_problem(403, "forbidden");
    let detail = refused.json()["detail"].to_string();
    assert!(
        detail.contains("token:acme may not change www.example.org. TXT"),
        "{detail}"
    );
    put("_acme-challenge.www.example.org", rrset("A", "192.0.2.1"))
        .await
        .is_problem(403, "forbidden");
    let delete = async |target: &str| api.send(&acme, "DELETE", target, Value::Null).await;
    // Without a type all types are meant.
    delete("/api/v1/records/_acme-challenge.www.example.org")
        .await
        .is_problem(403, "forbidden");
    delete("/api/v1/records/_acme-challenge.www.example.org?type=TXT")
        .await
        .is(204);
    for (method, target) in [
        ("POST", "/api/v1/reload"),
        ("GET", "/api/v1/tokens"),
        ("POST", "/api/v1/tokens"),
    ] {
        let body = json!({"name": "more"});
        api.send(&acme, method, target, body).await.is_problem(403, "forbidden");
    }
    assert_eq!(
        api.server.fixture.values("www.example.org.", RecordType::TXT),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn reads_obey_the_zones_of_a_scope() {
    let api = guarded(None).await;
    let own = api.token("own", json!({"zones": ["example.org"]})).await;
    let get = async |target: &str| api.send(&own, "GET", target, Value::Null).await;
    let listed = get("/api/v1/records").await.is(200);
    let names: Vec<&str> = listed["records"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|rrset| rrset["name"].as_str().expect("a name"))
        .collect();
    assert!(
        names.contains(&"www.example.org.") && !names.contains(&"lay."),
        "{names:?}"
    );
    get("/api/v1/records/www.example.org").await.is(200);
    get("/api/v1/records/lay").await.is_problem(403, "forbidden");
    get("/api/v1/records?name=lay").await.is_problem(403, "forbidden");
    get("/api/v1/records?zone=org").await.is_problem(403, "forbidden");
    let all = api.send(ROOT, "GET", "/api/v1/records/lay", Value::Null).await;
    all.is(200);
}

#[tokio::test]
async fn methods_and_views_of_a_scope_are_obeyed() {
    let api = guarded(None).await;
    let reader = api.token("reader", json!({"methods": ["GET"]})).await;
    api.send(&reader, "GET", "/api/v1/records", Value::Null).await.is(200);
    api.send(&reader, "GET", "/api/v1/tokens", Value::Null).await.is(200);
    api.send(&reader, "DELETE", "/api/v1/records/lay", Value::Null)
        .await
        .is_problem(403, "forbidden");
    let office = api.token("office", json!({"views": ["office"]})).await;
    api.send(&office, "GET", "/api/v1/records", Value::Null)
        .await
        .is_problem(403, "forbidden");
    api.send(
        &office,
        "PUT",
        "/api/v1/records/new.example.org",
        rrset("A", "192.0.2.1"),
    )
    .await
    .is_problem(403, "forbidden");
    let git = api.token("git", json!({"sources": ["git/infra"]})).await;
    api.send(&git, "PUT", "/api/v1/records/new.example.org", rrset("A", "192.0.2.1"))
        .await
        .is_problem(403, "forbidden");
}

#[tokio::test]
async fn the_secret_is_shown_once_and_a_deleted_token_is_none() {
    let api = guarded(None).await;
    let body = json!({"name": "ci", "expires_in": "90d"});
    let made = api.send(ROOT, "POST", "/api/v1/tokens", body.clone()).await;
    assert_eq!(made.header("cache-control"), "no-store");
    let location = made.header("location").to_owned();
    let made = made.is(201);
    let secret = made["secret"].as_str().expect("shown");
    assert_eq!(
        location,
        format!("/api/v1/tokens/{}", made["id"].as_str().expect("an ID"))
    );
    assert!(made["expires"].as_str().is_some_and(|time| time.ends_with('Z')));
    api.send(ROOT, "POST", "/api/v1/tokens", body)
        .await
        .is_problem(409, "exists");
    let listed = api.send(ROOT, "GET", "/api/v1/tokens", Value::Null).await;
    assert!(
        !listed.body.contains(secret) && listed.body.contains("\"ci\""),
        "{}",
        listed.body
    );
    let text = std::fs::read_to_string(tokens(api.folder.path())).expect("there");
    assert!(!text.contains(secret));
    api.send(secret, "GET", "/api/v1/records", Value::Null).await.is(200);
    api.send(ROOT, "DELETE", &location, Value::Null).await.is(204);
    api.send(ROOT, "DELETE", &location, Value::Null)
        .await
        .is_problem(404, "not_found");
    api.send(secret, "GET", "/api/v1/records", Value::Null)
        .await
        .is_problem(401, "unauthorized");
}

#[tokio::test]
async fn nobody_makes_a_token_that_may_do_more_or_lasts_longer() {
    let api = guarded(None).await;
    let maker = api.token("maker", json!({"methods": ["GET", "POST"]})).await;
    let make = async |body: Value| api.send(&maker, "POST", "/api/v1/tokens", body).await;
    make(json!({"name": "more"})).await.is_problem(403, "forbidden");
    make(json!({"name": "more", "scope": {"methods": ["DELETE"]}}))
        .await
        .is_problem(403, "forbidden");
    make(json!({"name": "less", "scope": {"methods": ["GET"]}}))
        .await
        .is(201);
    let body = json!({"name": "ends", "expires_in": "1h"});
    let ends = api.send(ROOT, "POST", "/api/v1/tokens", body).await.is(201);
    let ends = ends["secret"].as_str().expect("shown");
    for (body, status) in [
        (json!({"name": "endless"}), 403),
        (json!({"name": "longer", "expires_in": "2h"}), 403),
        (json!({"name": "shorter", "expires_in": "30m"}), 201),
    ] {
        assert_eq!(api.send(ends, "POST", "/api/v1/tokens", body).await.status, status);
    }
}

#[tokio::test]
async fn bad_wishes_are_named() {
    let api = guarded(None).await;
    for (body, part) in [
        (json!({}), "name"),
        (json!({"name": ""}), "visible characters"),
        (json!({"name": "a b"}), "visible characters"),
        (json!({"name": "a", "scope": {"types": ["ANY"]}}), "scope.types"),
        (json!({"name": "a", "scope": {"zone": []}}), "zone"),
        (json!({"name": "a", "expires": "soon"}), "`expires`"),
        (json!({"name": "a", "expires": "2001-01-01T00:00:00Z"}), "has passed"),
        (json!({"name": "a", "expires_in": "long"}), "`expires_in`"),
        (json!({"name": "a", "expires_in": "999999999y"}), "`expires_in`"),
        (
            json!({"name": "a", "expires": "2101-01-01T00:00:00Z", "expires_in": "1h"}),
            "one of the two",
        ),
        (json!([]), "list"),
    ] {
        let answer = api.send(ROOT, "POST", "/api/v1/tokens", body).await;
        answer.is_problem(400, "invalid_body");
        assert!(answer.body.contains(part), "{}", answer.body);
    }
    assert!(!tokens(api.folder.path()).exists());
}

#[tokio::test]
async fn without_a_file_there_are_no_tokens() {
    let server = Server::new(desired(vec![], vec![])).await;
    server.get("/api/v1/tokens").await.is_problem(409, "no_tokens_file");
    server
        .post("/api/v1/tokens", r#"{"name":"a"}"#)
        .await
        .is_problem(409, "no_tokens_file");
}

#[tokio::test]
async fn a_token_over_its_rate_waits_and_others_do_not() {
    let api = guarded(Some((1, 3))).await;
    let (one, other) = (api.token("one", json!({})).await, api.token("other", json!({})).await);
    let get = async |token: &str| api.send(token, "GET", "/api/v1/records", Value::Null).await;
    let mut limited = 0;
    for _ in 0..10 {
        let answer = get(&one).await;
        if answer.status == 429 {
            answer.is_problem(429, "rate_limited");
            assert!(
                answer
                    .header("retry-after")
                    .parse::<u64>()
                    .is_ok_and(|seconds| seconds >= 1)
            );
            limited += 1;
        }
    }
    assert!((1..=7).contains(&limited), "{limited}");
    get(&other).await.is(200);
    assert_eq!(api.server.get("/health").await.status, 200);
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    let api = guarded(None).await;
    let server = &api.server;
    let answers = [
        server.get("/health").await,
        server.get("/metrics").await,
        server.get("/api/v1/records").await,
        api.send(ROOT, "GET", "/api/v1/records", Value::Null).await,
        api.send(ROOT, "GET", "/nowhere", Value::Null).await,
        api.send(ROOT, "GET", "/api/v1/panic", Value::Null).await,
        server.raw(b"no HTTP\r\n\r\n").await,
    ];
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 401, 200, 404, 500, 400]);
    for answer in answers {
        for (name, value) in [
            ("x-frame-options", "SAMEORIGIN"),
            ("x-xss-protection", "1; mode=block"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
            (
                "permissions-policy",
                "accelerometer=(), camera=(), geolocation=(), microphone=()",
            ),
        ] {
            assert_eq!(answer.header(name), value, "{answer:?}");
        }
    }
}
