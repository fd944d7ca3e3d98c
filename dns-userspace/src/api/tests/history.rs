//! History, the way back, and clients that watch.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Answer, Server};
use crate::control::tests::fixture::{desired, zone};
use crate::model::record::RecordType;

const HISTORY: &str = "/api/v1/history";

async fn server() -> Server {
    let file = zone("x.", 1, &[("www.x.", RecordType::A, "192.0.2.1")]);
    Server::new(desired(vec![file], Vec::new())).await
}

async fn put(server: &Server, name: &str, value: &str) -> u64 {
    let body = json!({"type": "A", "value": value}).to_string();
    let answer = server.put(&format!("/api/v1/records/{name}"), &body).await;
    answer.json()["version"]
        .as_u64()
        .unwrap_or_else(|| panic!("{answer:?}"))
}

async fn entries(server: &Server, query: &str) -> Vec<Value> {
    let answer = server.get(&format!("{HISTORY}{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["entries"].as_array().expect("a list").clone()
}

fn versions(entries: &[Value]) -> Vec<u64> {
    entries
        .iter()
        .map(|entry| entry["version"].as_u64().expect("a version"))
        .collect()
}

#[tokio::test]
async fn who_changed_what_is_known_and_outlives_the_process() {
    let mut server = server().await;
    let first = put(&server, "a.h.", "192.0.2.1").await;
    let second = put(&server, "a.h.", "192.0.2.2").await;
    let set = json!({"comment": "cleaning up", "edits": [{"op": "delete", "name": "a.h."}]});
    let third = server.post("/api/v1/changes", &set.to_string()).await.json()["version"]
        .as_u64()
        .expect("one");
    let file = zone("x.", 2, &[("www.x.", RecordType::A, "192.0.2.9")]);
    *server.fixture.files.lock().expect("not poisoned") = Ok(desired(vec![file.clone()], Vec::new()));
    server.post("/api/v1/reload", "").await.is(200);
    for _ in 0..2 {
        let all = entries(&server, "?name=a.h").await;
        assert_eq!(versions(&all), [third, second, first]);
        let shown = &all[0];
        assert_eq!((&shown["actor"], &shown["source"]), (&json!("local"), &json!("api")));
        assert_eq!(
            (&shown["comment"], &shown["complete"]),
            (&json!("cleaning up"), &json!(true))
        );
        assert_eq!(
            (&shown["diff"][0]["old"]["value"], &shown["diff"][0]["new"]),
            (&json!(["192.0.2.2"]), &Value::Null)
        );
        assert!(shown["time"].as_str().expect("a time").ends_with('Z'));
        let of_file = entries(&server, "?zone=x.&limit=1").await;
        assert_eq!(
            (&of_file[0]["kind"], &of_file[0]["object"]),
            (&json!("reload"), &json!("zones/x.zone"))
        );
        assert_eq!(
            of_file[0]["diff"].as_array().map(Vec::len),
            Some(2),
            "SOA and A: {of_file:?}"
        );
        assert_eq!(
            versions(&entries(&server, &format!("?name=a.h&since={first}")).await),
            [third, second]
        );
        assert_eq!(entries(&server, "?actor=nobody").await, [json!(null); 0]);
        assert_eq!(versions(&entries(&server, "?name=a.h&since=1h").await).len(), 3);
        let page = server.get(&format!("{HISTORY}?name=a.h&limit=2")).await.json();
        let rest = entries(
            &server,
            &format!("?name=a.h&limit=2&cursor={}", page["next"].as_str().expect("more")),
        )
        .await;
        assert_eq!(versions(&rest), [first]);
        let fixture = server.fixture.restart(desired(vec![file.clone()], Vec::new())).await;
        server = Server::on(fixture).await;
    }
    for query in ["?since=x", "?cursor=x", "?limit=0", "?who=x"] {
        server
            .get(&format!("{HISTORY}{query}"))
            .await
            .is_problem(400, "invalid_parameter");
    }
}

#[tokio::test]
async fn a_zone_goes_back_and_that_can_be_undone() {
    let server = server().await;
    let records = json!([{"name": "www.b.", "type": "A", "value": "192.0.2.1"}]);
    server
        .post("/api/v1/zones", &json!({"name": "b.", "records": records}).to_string())
        .await
        .is(201);
    let good = server.get("/api/v1/zones/b.").await.json()["version"]
        .as_u64()
        .expect("one");
    put(&server, "www.b.", "192.0.2.2").await;
    server
        .post(
            "/api/v1/records",
            r#"{"name":"new.b.","type":"CNAME","value":"www.b."}"#,
        )
        .await
        .is(201);
    server.delete("/api/v1/records/b.?type=NS").await.is(204);
    put(&server, "elsewhere.c.", "192.0.2.2").await;
    let bad = server.get("/api/v1/zones/b.").await.json()["version"]
        .as_u64()
        .expect("one");

    let diff = server.get(&format!("/api/v1/zones/b./diff?from={good}")).await.json();
    let names: Vec<String> = diff["diff"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| format!("{} {}", one["name"], one["type"]))
        .collect();
    assert_eq!(names, ["\"b.\" \"NS\"", "\"new.b.\" \"CNAME\"", "\"www.b.\" \"A\""]);
    let rollback = async |to: u64, query: &str| -> Answer {
        server
            .post(
                &format!("/api/v1/zones/b./rollback{query}"),
                &json!({"to": to}).to_string(),
            )
            .await
    };
    assert_eq!(
        rollback(good, "?dry_run=true").await.is(200)["diff"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
    assert_eq!(server.fixture.values("www.b.", RecordType::A), ["192.0.2.2"]);
    assert_eq!(
        rollback(good, "").await.is(200)["diff"].as_array().map(Vec::len),
        Some(3)
    );
    assert_eq!(server.fixture.values("www.b.", RecordType::A), ["192.0.2.1"]);
    assert_eq!(server.fixture.values("b.", RecordType::NS), ["ns1.b."]);
    server.get("/api/v1/records/new.b.").await.is_problem(404, "not_found");
    assert_eq!(
        server.fixture.values("elsewhere.c.", RecordType::A),
        ["192.0.2.2"],
        "not of this zone"
    );
    assert_eq!(
        rollback(good, "").await.is(200)["diff"],
        json!([]),
        "it is there already"
    );
    rollback(bad, "").await.is(200);
    assert_eq!(
        server.fixture.values("www.b.", RecordType::A),
        ["192.0.2.2"],
        "the way back can be undone"
    );

    server.delete("/api/v1/zones/b.").await.is(204);
    rollback(good, "").await.is(200);
    assert_eq!(
        server.fixture.values("www.b.", RecordType::A),
        ["192.0.2.1"],
        "so can a deletion"
    );
    rollback(1_000_000, "").await.is_problem(400, "invalid_body");
}

/// A client that reads events.
struct Watcher {
    stream: TcpStream,
    text: String,
}

impl Watcher {
    async fn new(server: &Server, query: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(server.address).await.expect("connected");
        let request = format!("GET /api/v1/watch{query} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut watcher = Self {
            stream,
            text: String::new(),
        };
        while !watcher.text.contains("retry:") {
            watcher.read().await;
        }
        watcher
    }

    async fn read(&mut self) {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(std::time::Duration::from_secs(20), self.stream.read(&mut buffer)).await;
        let read = read
            .unwrap_or_else(|_| panic!("nothing more: {}", self.text))
            .expect("read");
        assert!(read > 0, "closed: {}", self.text);
        self.text.push_str(std::str::from_utf8(&buffer[..read]).expect("text"));
    }

    /// The next events: word, id, data.
    async fn events(&mut self, count: usize) -> Vec<(String, String, Value)> {
        loop {
            let blocks = self
                .text
                .split("\n\n")
                .filter(|block| block.contains("event: ") && block.contains("\ndata: "));
            let found: Vec<(String, String, Value)> = blocks
                .filter_map(|block| {
                    let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                    Some((
                        line("event: ")?.to_owned(),
                        line("id: ")?.to_owned(),
                        serde_json::from_str(line("data: ")?).ok()?,
                    ))
                })
                .collect();
            if found.len() >= count && self.text.trim_end_matches("\r\n").ends_with("\n\n") {
                return found;
            }
            self.read().await;
        }
    }
}

fn told(events: &[(String, String, Value)]) -> Vec<String> {
    events
        .iter()
        .map(|(word, id, data)| format!("{word} {id} {}", data["name"].as_str().unwrap_or("-")))
        .collect()
}

#[tokio::test]
async fn a_watcher_is_told_everything_once_and_in_order() {
    let mut server = server().await;
    let mut watcher = Watcher::new(&server, "", "").await;
    let a = put(&server, "a.w.", "192.0.2.1").await;
    let b = put(&server, "a.w.", "192.0.2.2").await;
    server.delete("/api/v1/records/a.w.").await.is(204);
    let set = json!({"edits": [
        {"op": "put", "name": "b.w.", "type": "A", "value": "192.0.2.1"},
        {"op": "put", "name": "c.w.", "type": "A", "value": "192.0.2.1"},
    ]});
    let d = server.post("/api/v1/changes", &set.to_string()).await.json()["version"]
        .as_u64()
        .expect("one");
    let expected = [
        format!("added {a} a.w."),
        format!("updated {b} a.w."),
        format!("deleted {} a.w.", b + 1),
        format!("added {d}.1 b.w."),
        format!("added {d} c.w."),
    ];
    let events = watcher.events(5).await;
    assert_eq!(told(&events), expected);
    assert_eq!(
        (&events[1].2["old"]["value"], &events[1].2["value"]),
        (&json!(["192.0.2.1"]), &json!(["192.0.2.2"]))
    );

    // What was missed comes from the journal, from the middle of a set too, and after a restart.
    for round in 0..2 {
        let mut late = Watcher::new(&server, &format!("?since={a}"), "").await;
        assert_eq!(told(&late.events(4).await)[..4], expected[1..], "round {round}");
        let mut later = Watcher::new(&server, "?since=1", &format!("Last-Event-ID: {d}.1\r\n")).await;
        assert_eq!(told(&later.events(1).await)[0], expected[4], "round {round}");
        if round == 0 {
            let file = zone("x.", 1, &[("www.x.", RecordType::A, "192.0.2.1")]);
            let fixture = server.fixture.restart(desired(vec![file], Vec::new())).await;
            server = Server::on(fixture).await;
        }
    }
    let mut after = Watcher::new(&server, &format!("?since={d}"), "").await;
    let e = put(&server, "e.w.", "192.0.2.1").await;
    assert_eq!(
        told(&after.events(2).await),
        [format!("reloaded {} -", d + 1), format!("added {e} e.w.")]
    );
    let mut unknown = Watcher::new(&server, "?since=1000000", "").await;
    assert_eq!(told(&unknown.events(1).await), [format!("reset {e} -")]);
    let f = put(&server, "f.w.", "192.0.2.1").await;
    assert_eq!(told(&unknown.events(2).await)[1], format!("added {f} f.w."));
    server
        .get("/api/v1/watch?since=x")
        .await
        .is_problem(400, "invalid_parameter");
}

#[tokio::test]
async fn a_watcher_is_told_what_is_served() {
    let server = server().await;
    let mut watcher = Watcher::new(&server, "", "").await;
    let edit = json!({"op": "put", "name": "www.x.", "type": "A", "value": "192.0.2.99"});
    let set = json!({"takeover": true, "edits": [edit]});
    server.post("/api/v1/changes", &set.to_string()).await.is(200);
    server.delete("/api/v1/records/www.x.?type=A").await.is(204);
    let events = watcher.events(2).await;
    let words: Vec<&str> = events.iter().map(|(word, ..)| word.as_str()).collect();
    assert_eq!(
        words,
        ["updated", "updated"],
        "the file's is there before and after: {events:?}"
    );
    assert_eq!(
        (&events[1].2["value"], &events[1].2["source"]),
        (&json!(["192.0.2.1"]), &json!("zone_file"))
    );
}

#[tokio::test]
async fn watchers_are_bounded_and_end_with_the_server() {
    let server = server().await;
    let mut all = Vec::new();
    for _ in 0..super::super::watch::MOST_WATCHERS {
        all.push(Watcher::new(&server, "", "").await);
    }
    server.get("/api/v1/watch").await.is_problem(503, "overloaded");
    server.shutdown.cancel();
    let mut last = all.pop().expect("one");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(3), last.stream.read_to_end(&mut rest)).await;
    ended.expect("at once").expect("in order");
}
