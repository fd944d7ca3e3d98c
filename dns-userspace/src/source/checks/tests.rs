//! Checks of real connections: targets that fail, come back, and are slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use super::*;

fn settings(ask: CheckAsk) -> CheckSettings {
    CheckSettings {
        ask,
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(300),
        rise: 2,
        fall: 2,
    }
}

fn instance(port: u16, tags: &[&str]) -> Instance {
    Instance {
        id: port.to_string(),
        address: "127.0.0.1".into(),
        port: Some(port),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        is_passing: true,
        ..Instance::default()
    }
}

/// A server whose status is what the number says; 0 never answers.
async fn server() -> (u16, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let answer = |State(status): State<Arc<AtomicU16>>| async move {
        match status.load(Ordering::SeqCst) {
            0 => pending().await,
            status => StatusCode::from_u16(status).expect("a status"),
        }
    };
    let app = Router::new()
        .route("/health", get(answer))
        .with_state(Arc::clone(&status));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (port, status)
}

/// Whether the instances pass, after the next change.
async fn after_change(checks: &mut Checks<&'static str>, instances: &[Instance]) -> Vec<bool> {
    let services = timeout(Duration::from_secs(10), checks.changed())
        .await
        .expect("a change");
    assert_eq!(services, ["web"]);
    checks
        .judged(instances.iter())
        .iter()
        .map(|instance| instance.is_passing)
        .collect()
}

#[tokio::test]
async fn an_http_target_fails_and_comes_back() {
    let (port, status) = server().await;
    let instances = [instance(port, &[])];
    let mut checks = Checks::new(Some(settings(CheckAsk::Path("/health".into()))));
    checks.set(&"web", instances.iter());
    assert!(
        timeout(Duration::from_millis(100), checks.changed()).await.is_err(),
        "it passes"
    );
    for wrong in [500, 404, 0] {
        status.store(wrong, Ordering::SeqCst);
        assert_eq!(after_change(&mut checks, &instances).await, [false], "{wrong}");
        status.store(302, Ordering::SeqCst);
        assert_eq!(after_change(&mut checks, &instances).await, [true]);
    }
    // The tag of an instance says another path.
    let tagged = [instance(
        port,
        &["traefik.http.services.a.loadbalancer.healthcheck.path=/other"],
    )];
    checks.set(&"web", tagged.iter());
    assert_eq!(after_change(&mut checks, &tagged).await, [false]);
}

#[tokio::test]
async fn a_tcp_target_that_nobody_listens_on_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let instances = [&listener, &closed].map(|of| instance(of.local_addr().expect("an address").port(), &[]));
    drop(closed);
    let mut checks = Checks::new(Some(settings(CheckAsk::Connection)));
    checks.set(&"web", instances.iter());
    assert_eq!(after_change(&mut checks, &instances).await, [true, false]);
    // Another service has the second one, too.
    checks.set(&"other", instances[1..].iter());
    checks.set(&"web", instances[..1].iter());
    assert_eq!(checks.targets.len(), 2);
    checks.retain(|service| *service == "web");
    assert_eq!(checks.targets.len(), 1);
}

#[tokio::test]
async fn a_dns_target_passes_while_it_answers_with_noerror() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let instances = [instance(socket.local_addr().expect("an address").port(), &[])];
    let rcode = Arc::new(AtomicU16::new(0));
    let told = Arc::clone(&rcode);
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut query).await {
            let rcode = told.load(Ordering::SeqCst);
            let mut reply = query[..length].to_vec();
            // Neither a query nor the reply to another question ends the wait.
            let _ = socket.send_to(&reply, client).await;
            reply[2] |= 0x80;
            reply[length - 1] ^= 1;
            let _ = socket.send_to(&reply, client).await;
            reply[length - 1] ^= 1;
            reply[3] = rcode as u8;
            if rcode < 16 {
                let _ = socket.send_to(&reply, client).await;
            }
        }
    });
    let name = "health.example.".parse().expect("a name");
    let mut checks = Checks::new(Some(settings(CheckAsk::Name(name))));
    checks.set(&"web", instances.iter());
    for wrong in [2, 3, 5, 99] {
        rcode.store(wrong, Ordering::SeqCst);
        assert_eq!(after_change(&mut checks, &instances).await, [false], "{wrong}");
        rcode.store(0, Ordering::SeqCst);
        assert_eq!(after_change(&mut checks, &instances).await, [true]);
    }
}

#[tokio::test]
async fn without_settings_nothing_is_checked() {
    let mut checks = Checks::new(None);
    let instances = [instance(1, &[])];
    checks.set(&"web", instances.iter());
    assert!(timeout(Duration::from_millis(50), checks.changed()).await.is_err());
    assert!(checks.judged(instances.iter())[0].is_passing);
}

#[test]
fn single_failures_do_not_count() {
    let mut health = Health {
        is_passing: true,
        against: 0,
        generation: 0,
    };
    let settings = settings(CheckAsk::Connection);
    let outcomes = [false, true, false, false, true, false, true, true];
    let changes: Vec<bool> = outcomes
        .iter()
        .map(|passes| health.take(*passes, (settings.rise, settings.fall)))
        .collect();
    assert_eq!(changes, [false, false, false, true, false, false, false, true]);
}
