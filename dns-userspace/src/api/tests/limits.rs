//! What clients may cost: connections, bodies, answers that they do not take.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Server, read_answer};
use crate::api::MAX_CONNECTIONS;
use crate::control::tests::fixture::{desired, zone};
use crate::host::files::raise_file_limit;
use crate::model::record::RecordType;

/// A zone with more in one page than is made at once.
async fn large() -> Server {
    let text = format!("\"{}\"", "x".repeat(250));
    let names: Vec<String> = (0..1200).map(|number| format!("n{number:04}.x.")).collect();
    let records: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), RecordType::TXT, text.as_str()))
        .collect();
    Server::new(desired(vec![zone("x.", 1, &records)], vec![])).await
}

fn names(page: &Value) -> Vec<&str> {
    let records = page["records"].as_array().expect("a list");
    records.iter().filter_map(|record| record["name"].as_str()).collect()
}

#[tokio::test]
async fn a_long_page_comes_in_parts_and_is_the_same() {
    let server = large().await;
    let answer = server.get("/api/v1/records?limit=1000").await;
    assert_eq!(answer.header("transfer-encoding"), "chunked");
    assert_eq!(answer.header("content-type"), "application/json");
    let first = answer.is(200);
    let cursor = first["next"].as_str().expect("more");
    let second = server.get(&format!("/api/v1/records?limit=1000&cursor={cursor}")).await;
    let second = second.is(200);
    assert_eq!(second["next"], Value::Null);
    let (mut all, rest) = (names(&first), names(&second));
    assert_eq!((all.len(), rest.len()), (1000, 202));
    all.extend(rest);
    // The first is the zone's, with two types.
    assert_eq!(all[..3], ["x.", "x.", "n0000.x."]);
    assert!(all[1..].is_sorted_by(|one, next| one < next || *one == "x."));
    // Pages of any length make the same list.
    let (mut by_pages, mut next) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/api/v1/records?limit=251{next}")).await.is(200);
        by_pages.extend(names(&page).iter().map(|name| (*name).to_owned()));
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(by_pages, all);
    let short = server.get("/api/v1/records?limit=10").await;
    assert_eq!(short.header("content-length"), short.body.len().to_string());
    let head = server.send("HEAD", "/api/v1/records?limit=1000", "", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn all_types_at_a_name_come_in_parts_too() {
    let server = Server::new(desired(vec![], vec![])).await;
    let value = format!("\\# 1000 {}", "ab".repeat(1000));
    for number in 0..200 {
        let body = json!({"name": "a.x.", "type": format!("TYPE{}", 65_000 + number), "value": value});
        server.post("/api/v1/records", &body.to_string()).await.is(201);
    }
    let answer = server.get("/api/v1/records/a.x").await;
    assert_eq!(answer.header("transfer-encoding"), "chunked");
    let page = answer.is(200);
    assert_eq!((names(&page).len(), &page["next"]), (200, &Value::Null));
}

#[tokio::test]
async fn what_changes_between_two_parts_is_in_its_place() {
    let server = large().await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    let request = b"GET /api/v1/records?limit=1000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    // The first part is made, and the client takes none of it.
    stream.readable().await.expect("an answer");
    let body = json!({"name": "n0999a.x.", "type": "A", "value": "192.0.2.1"}).to_string();
    server.post("/api/v1/records", &body).await.is(201);
    let page = read_answer(&mut stream).await.is(200);
    let names = names(&page);
    assert!(names.is_sorted_by(|one, next| one < next || *one == "x."));
    assert_eq!(names.len(), 1000);
}

/// Requests whose answers nobody reads: more than the kernel takes.
async fn unread(server: &Server, target: &str, times: usize) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = socket.connect(server.address).await.expect("connected");
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(times);
    // It may be displaced by now.
    let _ = stream.write_all(request.as_bytes()).await;
    stream
}

async fn probes_answer(server: &Server) {
    let probes = async {
        server.get("/health").await.is(200);
        server.get("/ready").await.is(200);
        assert_eq!(server.get("/metrics").await.status, 200);
        server.get("/api/v1/records?limit=1").await.is(200);
    };
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, probes).await.expect("answered");
}

#[tokio::test]
async fn one_client_that_never_reads_leaves_the_others_their_answers() {
    raise_file_limit(8192);
    let server = large().await;
    let mut held = Vec::new();
    for number in 0..1100 {
        let target = if number % 20 == 0 {
            "/api/v1/records?limit=1000"
        } else {
            "/health"
        };
        held.push(unread(&server, target, 20).await);
        if number % 100 == 0 {
            probes_answer(&server).await;
        }
    }
    probes_answer(&server).await;
    let figures = Arc::clone(server.api.figures());
    let open = figures.connections.load(Ordering::Relaxed);
    assert!(open <= MAX_CONNECTIONS as u64, "{open}");
    assert!(figures.displaced.load(Ordering::Relaxed) >= 1100 - MAX_CONNECTIONS as u64);
}

#[tokio::test]
async fn clients_that_send_nothing_or_half_a_request_leave_the_others_theirs() {
    raise_file_limit(8192);
    let server = Server::new(desired(vec![], vec![])).await;
    let halves = [
        "",
        "GET /hea",
        "POST /api/v1/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\n\r\n{",
    ];
    let mut held = Vec::new();
    for number in 0..1100 {
        let mut stream = TcpStream::connect(server.address).await.expect("connected");
        let _ = stream.write_all(halves[number % halves.len()].as_bytes()).await;
        held.push(stream);
    }
    probes_answer(&server).await;
}

#[tokio::test]
#[expect(
    clippy::await_holding_lock,
    reason = "the writer waits at the lock while the test goes on"
)]
async fn while_all_have_work_in_hand_the_probes_answer_and_the_rest_is_told() {
    let server = Server::starting(crate::control::tests::fixture::Fixture::new(desired(vec![], vec![]))).await;
    server.api.start(server.serving_parts());
    server.readiness.serve();
    // As much as there is room for: changes that wait for the writer.
    let gate = Arc::clone(&server.fixture.gate);
    let closed = gate.lock().expect("not poisoned");
    let mut waiting = Vec::new();
    for number in 0..5 {
        let mut stream = TcpStream::connect(server.address).await.expect("connected");
        let body = json!({"name": format!("n{number}.x."), "type": "A", "value": "192.0.2.1"}).to_string();
        let request = format!(
            "POST /api/v1/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        waiting.push(stream);
        // One that is not read yet would make room for the next.
        let is_busy = async {
            while server.api.admissions().busy() < waiting.len() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let busy = tokio::time::timeout(Duration::from_secs(60), is_busy).await;
        busy.expect("all are busy");
    }
    let answer = server.get("/api/v1/records").await;
    answer.is_problem(503, "overloaded");
    assert_eq!(
        (answer.header("retry-after"), answer.header("connection")),
        ("1", "close")
    );
    server.get("/health").await.is(200);
    server.get("/ready").await.is(200);
    assert_eq!(server.get("/metrics").await.status, 200);
    assert!(server.api.figures().overloaded.load(Ordering::Relaxed) > 0);
    drop(closed);
    for stream in &mut waiting {
        read_answer(stream).await.is(201);
    }
    server.get("/api/v1/records").await.is(200);
}

#[tokio::test]
async fn bodies_share_their_room() {
    let server = Server::new(desired(vec![], vec![])).await;
    let room = server.api.bodies();
    let most = u32::try_from(room.available_permits()).expect("a number");
    let body = json!({"name": "a.x.", "type": "A", "value": "192.0.2.1"}).to_string();
    let all_but_one = Arc::clone(room).acquire_many_owned(most - 1).await.expect("free");
    // What fits is taken, and given back.
    server.post("/api/v1/records", &body).await.is(201);
    server.put("/api/v1/records/a.x", &body).await.is(200);
    let long = format!("{body}{}", " ".repeat(4096));
    let answer = server.post("/api/v1/records", &long).await;
    answer.is_problem(503, "overloaded");
    assert_eq!(answer.header("retry-after"), "1");
    drop(all_but_one);
    server.put("/api/v1/records/a.x", &long).await.is(200);
    // Neither do those that are refused keep anything.
    server.post("/api/v1/records", &long).await.is_problem(409, "exists");
    server
        .post("/api/v1/records", "[")
        .await
        .is_problem(400, "invalid_body");
    let huge = " ".repeat((1 << 20) + 1);
    server
        .post("/api/v1/records", &huge)
        .await
        .is_problem(413, "body_too_large");
    let is_free = async {
        while room.available_permits() < most as usize {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_free)
        .await
        .expect("all is given back");
}

#[tokio::test]
async fn a_head_may_have_32_kib_and_100_fields_and_no_more() {
    let server = Server::new(desired(vec![], vec![])).await;
    let start = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let of_length = |length: usize| {
        let padding = length - start.len() - "x: \r\n\r\n".len();
        format!("{start}x: {}\r\n\r\n", "y".repeat(padding))
    };
    for (length, status) in [(32 << 10, 200), ((32 << 10) + 1, 431), (48 << 10, 431), (64 << 10, 431)] {
        let request = of_length(length);
        assert_eq!(request.len(), length);
        let answer = server.raw(request.as_bytes()).await;
        assert_eq!(answer.status, status, "{length}: {answer:?}");
        if status == 431 {
            answer.is_problem(431, "headers_too_large");
        }
    }
    // Of the request line alone.
    for (length, status) in [(30_000, 404), (33_000, 431), (70_000, 431)] {
        let path = "a".repeat(length);
        let request = format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(server.raw(request.as_bytes()).await.status, status, "{length}");
    }
    for (fields, status) in [(100, 200), (101, 431)] {
        let request = format!("{start}{}\r\n", "x: y\r\n".repeat(fields - 2));
        assert_eq!(server.raw(request.as_bytes()).await.status, status, "{fields}");
    }
}

#[tokio::test]
async fn a_connection_that_is_idle_stays_until_its_place_is_needed() {
    let server = Server::new(desired(vec![], vec![])).await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    let mut buffer = [0; 1024];
    for _ in 0..3 {
        let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        let read = stream.read(&mut buffer).await.expect("answered");
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
        server.get("/health").await.is(200);
    }
}
