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

/// Sends a request, then the end of writing, and reads what comes.
async fn half_closed(server: &Server, request: &str) -> super::client::Answer {
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream.shutdown().await.expect("shut down");
    super::client::read_answer(&mut stream).await
}

#[tokio::test]
async fn a_client_that_has_finished_writing_gets_its_answer() {
    let server = server().await;
    let head = |method: &str, target: &str| {
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
    };
    let body = r#"{"name":"a.x.","type":"A","value":["192.0.2.1"]}"#;
    let sized =
        |method: &str, target: &str| format!("{}Content-Length: {}\r\n\r\n{body}", head(method, target), body.len());
    let chunked = |method: &str, target: &str| {
        let (first, rest) = body.split_at(10);
        format!(
            "{}Transfer-Encoding: chunked\r\n\r\na\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
            head(method, target),
            rest.len()
        )
    };
    for form in [&sized as &dyn Fn(&str, &str) -> String, &chunked] {
        half_closed(&server, &form("POST", "/api/v1/records")).await.is(201);
        half_closed(&server, &form("PUT", "/api/v1/records/a.x")).await.is(200);
        let bare = |method, target| format!("{}\r\n", head(method, target));
        half_closed(&server, &bare("GET", "/api/v1/records/a.x")).await.is(200);
        half_closed(&server, &bare("DELETE", "/api/v1/records/a.x"))
            .await
            .is(204);
        half_closed(&server, &bare("POST", "/api/v1/reload")).await.is(200);
        half_closed(&server, &bare("GET", "/api/v1/records/a.x"))
            .await
            .is_problem(404, "not_found");
        half_closed(&server, &form("POST", "/nowhere"))
            .await
            .is_problem(404, "not_found");
    }
    // A request that is not whole changes nothing, and its client learns of it.
    let whole = sized("POST", "/api/v1/records");
    let cut = &whole[..whole.len() - 5];
    half_closed(&server, cut).await.is_problem(400, "invalid_body");
    let whole = chunked("POST", "/api/v1/records");
    let cut = whole.strip_suffix("0\r\n\r\n").expect("the end");
    half_closed(&server, cut).await.is_problem(400, "invalid_body");
    server.get("/api/v1/records/a.x").await.is_problem(404, "not_found");
}

#[tokio::test]
async fn two_requests_and_the_end_of_writing_get_two_answers() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    stream.shutdown().await.expect("shut down");
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text)
        .await
        .expect("closed in order");
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
}

#[tokio::test]
async fn changes_under_a_condition_on_times_are_refused_and_not_made() {
    let server = server().await;
    let body = r#"{"name":"a.x.","type":"A","value":["192.0.2.1"]}"#;
    for condition in [
        "If-Unmodified-Since: Sat, 29 Oct 1994 19:43:31 GMT",
        "If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT",
        "If-Range: \"1\"",
    ] {
        let headers = format!("Content-Type: application/json\r\n{condition}\r\n");
        for (method, target, body) in [
            ("POST", "/api/v1/records", body),
            ("PUT", "/api/v1/records/a.x", body),
            ("DELETE", "/api/v1/records/a.x", ""),
            ("POST", "/api/v1/reload", ""),
        ] {
            let answer = server.send(method, target, &headers, body).await;
            answer.is_problem(400, "unsupported_precondition");
            let name = condition.split(':').next().expect("a name").to_ascii_lowercase();
            assert!(answer.body.contains(&name), "{answer:?}");
        }
        // Reading makes none.
        server.send("GET", "/api/v1/records", &headers, "").await.is(200);
    }
    server.get("/api/v1/records/a.x").await.is_problem(404, "not_found");
}
