//! Errors that no call makes: paths, methods, sizes, panics, and what is no HTTP.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::Server;
use crate::control::tests::fixture::desired;

async fn server() -> Server {
    Server::new(desired(vec![], vec![])).await
}

#[tokio::test]
async fn unknown_paths() {
    let server = server().await;
    for target in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/records/",
        "/api/v1/records/a/b",
        "/api/v2/records",
        "/health/x",
    ] {
        server.get(target).await.is_problem(404, "not_found");
        server.post(target, "{}").await.is_problem(404, "not_found");
    }
}

#[tokio::test]
async fn methods_that_a_path_does_not_have() {
    let server = server().await;
    for (method, target, allow) in [
        ("DELETE", "/api/v1/records", ["GET", "HEAD", "POST"].as_slice()),
        ("PUT", "/api/v1/records", &["GET", "HEAD", "POST"]),
        ("POST", "/api/v1/records/a.x", &["GET", "HEAD", "PUT", "DELETE"]),
        ("PATCH", "/api/v1/records/a.x", &["GET", "HEAD", "PUT", "DELETE"]),
        ("OPTIONS", "/api/v1/records", &["GET", "HEAD", "POST"]),
        ("GET", "/api/v1/reload", &["POST"]),
        ("POST", "/health", &["GET", "HEAD"]),
        ("BREW", "/metrics", &["GET", "HEAD"]),
    ] {
        let answer = server.send(method, target, "", "").await;
        answer.is_problem(405, "method_not_allowed");
        let mut allowed: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
        let mut expected = allow.to_vec();
        allowed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(allowed, expected, "{method} {target}");
    }
    let head = server.send("HEAD", "/health", "", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn bodies_over_the_limit() {
    let server = server().await;
    for size in [(1 << 20) + 1, 8 << 20] {
        let body = " ".repeat(size);
        server
            .post("/api/v1/records", &body)
            .await
            .is_problem(413, "body_too_large");
        server
            .put("/api/v1/records/a.x", &body)
            .await
            .is_problem(413, "body_too_large");
    }
    let mut chunked = b"POST /api/v1/records HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                        Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        .to_vec();
    for _ in 0..20 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.extend_from_slice(&[b' '; 0x10000]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    server.raw(&chunked).await.is_problem(413, "body_too_large");
    let expects = "POST /api/v1/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                   Connection: close\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n";
    server.raw(expects.as_bytes()).await.is_problem(413, "body_too_large");
    // Up to the limit a body is read.
    let fits = " ".repeat(1 << 20);
    server
        .post("/api/v1/records", &fits)
        .await
        .is_problem(400, "invalid_body");
}

#[tokio::test]
async fn panics_are_answered() {
    let server = server().await;
    server.get("/api/v1/panic").await.is_problem(500, "internal");
    server.get("/health").await.is(200);
}

#[tokio::test]
async fn what_is_no_http_gets_a_problem_too() {
    let server = server().await;
    let long = "a".repeat(70_000);
    for (request, status, code) in [
        ("nonsense\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET /\x01 HTTP/1.1\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET / HTTP/1.1\r\nbad header\r\n\r\n".to_owned(), 400, "bad_request"),
        (format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n"), 431, "headers_too_large"),
        (format!("GET /{long} HTTP/1.1\r\n\r\n"), 431, "headers_too_large"),
        (
            format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(150)),
            431,
            "headers_too_large",
        ),
    ] {
        let answer = server.raw(request.as_bytes()).await;
        answer.is_problem(status, code);
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    }
    server.get("/health").await.is(200);
}

#[tokio::test]
async fn a_kept_connection_serves_many_requests_and_shutdown_ends_it() {
    use tokio::io::AsyncReadExt;

    let server = server().await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    let mut buffer = [0; 1024];
    for _ in 0..3 {
        let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        let read = stream.read(&mut buffer).await.expect("answered");
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
    }
    server.shutdown.cancel();
    let closed = tokio::time::timeout(Duration::from_secs(4), stream.read(&mut buffer)).await;
    assert_eq!(closed.expect("in time").expect("in order"), 0);
    let ended = tokio::time::timeout(Duration::from_secs(4), server.serving).await;
    ended.expect("in time").expect("no panic");
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens");
}
