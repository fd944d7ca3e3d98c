//! Who may.

use std::sync::Arc;

use super::client::Server;
use crate::control::tests::fixture::{desired, record};
use crate::model::record::RecordType;
use crate::model::source::Origin;
use crate::principal::{TokenError, TokenFile};

fn initial() -> crate::control::Desired {
    desired(
        vec![],
        vec![record("lay.", RecordType::A, "192.0.2.1", Origin::config())],
    )
}

async fn with_token(text: &str) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, text).expect("written");
    let token = TokenFile::load(&path).expect("a token");
    (Server::with_token(initial(), Arc::new(token)).await, folder)
}

#[tokio::test]
async fn with_a_token_set_everything_but_the_open_paths_needs_it() {
    let (server, _folder) = with_token("s3cret-token\n").await;
    for path in ["/health", "/ready", "/metrics"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    for (authorization, challenge) in [
        ("", "Bearer realm=\"hotdns\""),
        ("Authorization: Basic s3cret-token\r\n", "Bearer realm=\"hotdns\""),
        ("Authorization: Bearer\r\n", "Bearer realm=\"hotdns\""),
        ("Authorization: s3cret-token\r\n", "Bearer realm=\"hotdns\""),
        (
            "Authorization: Bearer s3cret-tokem\r\n",
            "Bearer realm=\"hotdns\", error=\"invalid_token\"",
        ),
        (
            "Authorization: Bearer s3cret-token2\r\n",
            "Bearer realm=\"hotdns\", error=\"invalid_token\"",
        ),
        (
            "Authorization: Bearer s3cret-token\r\nAuthorization: Bearer x\r\n",
            "Bearer realm=\"hotdns\"",
        ),
    ] {
        for (method, target) in [
            ("GET", "/api/v1/records"),
            ("POST", "/api/v1/reload"),
            ("DELETE", "/api/v1/records/lay."),
            ("GET", "/nowhere"),
            ("PATCH", "/api/v1/records"),
        ] {
            let answer = server.send(method, target, authorization, "").await;
            answer.is_problem(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), challenge, "{authorization}");
        }
    }
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let authorization = format!("Authorization: {scheme} s3cret-token\r\n");
        server.send("GET", "/api/v1/records", &authorization, "").await.is(200);
    }
    // The token is what counts: any host, through a proxy, and no body means no type.
    let proxied = "Authorization: Bearer s3cret-token\r\nX-Forwarded-For: 192.0.2.1\r\n";
    server.send("POST", "/api/v1/reload", proxied, "").await.is(200);
    let request = "GET /api/v1/records HTTP/1.1\r\nHost: dns.example.com\r\nConnection: close\r\n\
                   Authorization: Bearer s3cret-token\r\n\r\n";
    server.raw(request.as_bytes()).await.is(200);
    let nowhere = server
        .send("GET", "/nowhere", "Authorization: Bearer s3cret-token\r\n", "")
        .await;
    nowhere.is_problem(404, "not_found");
}

#[tokio::test]
async fn a_reload_reads_the_token_again() {
    let (server, folder) = with_token("first-token").await;
    let path = folder.path().join("token");
    let status = async |token: &str| {
        let authorization = format!("Authorization: Bearer {token}\r\n");
        server.send("POST", "/api/v1/reload", &authorization, "").await.status
    };
    std::fs::write(&path, "\n").expect("written");
    assert_eq!(
        status("first-token").await,
        422,
        "an empty file is an error of the configuration"
    );
    std::fs::write(&path, "second-token").expect("written");
    assert_eq!(status("second-token").await, 401, "not read yet");
    assert_eq!(status("first-token").await, 200);
    assert_eq!(status("first-token").await, 401);
    assert_eq!(status("second-token").await, 200);
}

#[test]
fn token_files_that_cannot_be_used_are_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    assert!(matches!(TokenFile::load(&path), Err(TokenError::Unreadable { .. })));
    for text in ["", " \n\t\n"] {
        std::fs::write(&path, text).expect("written");
        assert!(matches!(TokenFile::load(&path), Err(TokenError::Empty { .. })));
    }
    for text in ["two words", "one\ntwo", "tök", "a\0b"] {
        std::fs::write(&path, text).expect("written");
        assert!(
            matches!(TokenFile::load(&path), Err(TokenError::BadCharacters { .. })),
            "{text}"
        );
    }
    std::fs::write(&path, "  token\r\n").expect("written");
    assert!(TokenFile::load(&path).is_ok());
}

#[tokio::test]
async fn without_a_token_hosts_must_be_loopback() {
    let server = Server::new(initial()).await;
    let ask = async |hosts: &str| {
        let request = format!("GET /api/v1/records HTTP/1.1\r\nConnection: close\r\n{hosts}\r\n");
        server.raw(request.as_bytes()).await
    };
    for host in [
        "localhost",
        "LOCALHOST.",
        "localhost:8080",
        "127.0.0.1",
        "127.9.8.7:80",
        "[::1]",
        "[::1]:8080",
        "[::ffff:127.0.0.1]:1",
    ] {
        ask(&format!("Host: {host}\r\n")).await.is(200);
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.0.2.1",
        "0.0.0.0",
        "[::2]",
        "localhost@evil.example",
        "",
    ] {
        ask(&format!("Host: {host}\r\n")).await.is_problem(403, "invalid_host");
    }
    ask("").await.is_problem(403, "invalid_host");
    ask("Host: localhost\r\nHost: evil.example\r\n")
        .await
        .is_problem(403, "invalid_host");
    let absolute = "GET http://evil.example/api/v1/records HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    server.raw(absolute.as_bytes()).await.is_problem(403, "invalid_host");
    let open = "GET /health HTTP/1.1\r\nHost: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n";
    server.raw(open.as_bytes()).await.is(200);
}

#[tokio::test]
async fn without_a_token_proxies_are_refused() {
    let server = Server::new(initial()).await;
    for header in [
        "Forwarded: for=192.0.2.1",
        "X-Forwarded-For: 192.0.2.1",
        "x-forwarded-host: localhost",
        "X-Forwarded-Anything:",
    ] {
        let answer = server
            .send("GET", "/api/v1/records", &format!("{header}\r\n"), "")
            .await;
        answer.is_problem(403, "api_disabled");
    }
    server
        .send("GET", "/api/v1/records", "X-Forward: x\r\n", "")
        .await
        .is(200);
}

#[tokio::test]
async fn without_a_token_only_json_may_change_anything() {
    let server = Server::new(initial()).await;
    let body = r#"{"name":"a.x.","type":"A","value":["192.0.2.1"]}"#;
    for header in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/json-patch+json\r\n",
        "Content-Type: text/plain; application/json\r\n",
        "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
    ] {
        for (method, target) in [
            ("POST", "/api/v1/records"),
            ("PUT", "/api/v1/records/a.x."),
            ("POST", "/api/v1/reload"),
        ] {
            let answer = server.send(method, target, header, body).await;
            answer.is_problem(415, "unsupported_media_type");
        }
    }
    let header = "Content-Type: Application/JSON; charset=utf-8\r\n";
    server.send("POST", "/api/v1/records", header, body).await.is(201);
}

#[test]
fn without_a_token_only_loopback_connections_may() {
    use std::net::SocketAddr;

    use super::super::access::direct_and_local;
    use super::super::connection::Peer;

    let request = |local: Option<&str>| {
        let mut request = axum::extract::Request::get("/api/v1/records")
            .header("host", "localhost")
            .body(axum::body::Body::empty())
            .expect("a request");
        if let Some(local) = local {
            let local: SocketAddr = local.parse().expect("an address");
            request.extensions_mut().insert(Peer::Network { local, remote: local });
        }
        request.into_parts().0
    };
    for local in ["127.0.0.1:8080", "127.1.2.3:1", "[::1]:8080", "[::ffff:127.0.0.1]:80"] {
        assert!(direct_and_local(&request(Some(local))).is_ok(), "{local}");
    }
    for local in [
        Some("192.0.2.1:8080"),
        Some("[2001:db8::1]:8080"),
        Some("10.0.0.1:80"),
        None,
    ] {
        let problem = direct_and_local(&request(local)).expect_err("not loopback");
        assert!(problem.body().contains("\"api_disabled\""), "{local:?}");
    }
}
