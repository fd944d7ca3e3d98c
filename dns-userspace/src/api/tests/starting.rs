//! While the server starts: the probes answer, and all else says that it is too early.

use serde_json::json;

use super::client::Server;
use crate::control::tests::fixture::{Fixture, desired};

#[tokio::test]
async fn the_probes_answer_from_the_start_and_the_api_says_when_to_come_again() {
    let server = Server::starting(Fixture::new(desired(vec![], vec![]))).await;
    assert_eq!(server.get("/health").await.is(200), json!({"status": "ok"}));
    let body = json!({"name": "a.x.", "type": "A", "value": ["192.0.2.1"]}).to_string();
    for (method, target) in [
        ("GET", "/ready"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/records"),
        ("GET", "/api/v1/records/a.x"),
        ("POST", "/api/v1/records"),
        ("PUT", "/api/v1/records/a.x"),
        ("DELETE", "/api/v1/records/a.x"),
        ("POST", "/api/v1/reload"),
    ] {
        let answer = server
            .send(method, target, "Content-Type: application/json\r\n", &body)
            .await;
        answer.is_problem(503, "not_ready");
        assert_eq!(answer.header("retry-after"), "1", "{method} {target}");
        assert!(answer.body.contains("the server starts"), "{answer:?}");
    }
    server.get("/api/v1/nothing").await.is_problem(404, "not_found");
    server.start();
    assert_eq!(server.get("/ready").await.is(200), json!({"status": "ready"}));
    assert_eq!(server.get("/metrics").await.status, 200);
    server.post("/api/v1/records", &body).await.is(201);
    server.readiness.stop();
    server.get("/ready").await.is_problem(503, "not_ready");
    server.get("/api/v1/records/a.x").await.is(200);
}
