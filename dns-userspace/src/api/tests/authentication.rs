//! Users with passwords, JSON web tokens, and what a proxy says.

use std::sync::Arc;

use serde_json::json;

use super::client::{Answer, Server};
use crate::control::tests::fixture::{Fixture, desired};
use crate::principal::identity_provider::{Provider, claims, header, verification};
use crate::principal::{Credentials, PasswordFile, TrustedHeader};

async fn server(credentials: Credentials) -> Server {
    let server = Server::serving(Fixture::new(desired(vec![], vec![])), credentials, None).await;
    server.start();
    server
}

fn basic(user: &str, password: &str) -> String {
    let text = data_encoding::BASE64.encode(format!("{user}:{password}").as_bytes());
    format!("Authorization: Basic {text}\r\n")
}

#[tokio::test]
async fn a_user_with_a_password_may_do_everything_but_for_pages_of_other_sites() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users");
    let hash = bcrypt::hash("wonder", 4).expect("hashed");
    std::fs::write(&path, format!("alice:{hash}\n")).expect("written");
    let server = server(Credentials {
        passwords: Some(Arc::new(PasswordFile::load(&path).expect("good"))),
        ..Credentials::default()
    })
    .await;
    let get = async |headers: &str| server.send("GET", "/api/v1/records", headers, "").await;
    let none = get("").await;
    none.is_problem(401, "unauthorized");
    assert_eq!(
        none.header("www-authenticate"),
        "Basic realm=\"hotdns\", charset=\"UTF-8\""
    );
    for bad in [
        basic("alice", "wrong"),
        basic("bob", "wonder"),
        "Authorization: Basic %%%\r\n".to_owned(),
    ] {
        get(&bad).await.is_problem(401, "unauthorized");
    }
    get("Authorization: Bearer wonder\r\n")
        .await
        .is_problem(401, "unauthorized");
    let alice = basic("alice", "wonder");
    get(&alice).await.is(200);
    let post = async |headers: &str| {
        let headers = format!("{alice}Content-Type: application/json\r\n{headers}");
        server.send("POST", "/api/v1/reload", &headers, "").await
    };
    post("").await.is(200);
    post("Sec-Fetch-Site: cross-site\r\n")
        .await
        .is_problem(403, "cross_origin");
    // Guesses are slow for whoever makes many; who is known is not held up.
    let mut limited: Option<Answer> = None;
    for _ in 0..30 {
        let answer = get(&basic("alice", "guess")).await;
        if answer.status == 429 {
            limited = Some(answer);
        }
    }
    limited.expect("too many").is_problem(429, "rate_limited");
    get(&alice).await.is(200);
}

#[tokio::test]
async fn a_json_web_token_is_good_for_its_scope() {
    let provider = Provider::new();
    let server = server(Credentials {
        jwt: Some(Arc::new(verification(&provider))),
        ..Credentials::default()
    })
    .await;
    let send = async |method: &str, target: &str, token: &str| {
        let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        server.send(method, target, &headers, "").await
    };
    let all = provider.token(header(), claims());
    send("GET", "/api/v1/records", &all).await.is(200);
    send("POST", "/api/v1/reload", &all).await.is(200);
    let mut limited = claims();
    limited["hotdns"] = json!({"methods": ["GET"]});
    let limited = provider.token(header(), limited);
    send("GET", "/api/v1/records", &limited).await.is(200);
    send("POST", "/api/v1/reload", &limited)
        .await
        .is_problem(403, "forbidden");
    let other = Provider::new().token(header(), claims());
    let refused = send("GET", "/api/v1/records", &other).await;
    refused.is_problem(401, "unauthorized");
    assert!(!refused.body.contains(&other));
}

#[tokio::test]
async fn a_proxy_names_its_clients_and_nobody_else_does() {
    let trusted = |from: &str| Credentials {
        header: Some(TrustedHeader {
            name: "x-forwarded-user".into(),
            from: [from.parse().expect("a prefix")].into(),
        }),
        ..Credentials::default()
    };
    let proxied = server(trusted("127.0.0.0/8")).await;
    let named = "X-Forwarded-User: alice\r\nX-Forwarded-For: 192.0.2.1\r\n";
    proxied.send("GET", "/api/v1/records", named, "").await.is(200);
    for nobody in [
        "",
        "X-Forwarded-User: \r\n",
        "X-Forwarded-User: a\r\nX-Forwarded-User: b\r\n",
    ] {
        let answer = proxied.send("GET", "/api/v1/records", nobody, "").await;
        answer.is_problem(401, "unauthorized");
    }
    let elsewhere = server(trusted("192.0.2.0/24")).await;
    let answer = elsewhere.send("GET", "/api/v1/records", named, "").await;
    answer.is_problem(401, "unauthorized");
}
