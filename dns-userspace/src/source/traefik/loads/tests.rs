//! Loads from recorded metrics, and the weights that come of them.

use super::super::super::peer::testing::{Player, Reply};
use super::super::super::polled::Polling;
use super::super::super::{Change, Listing, World};
use super::super::Traefik;
use super::*;
use crate::model::record::{Order, RecordType};

const V3: &str = include_str!("../../recorded/traefik-v3.7-metrics.txt");
const METRICS: &str = "/metrics";

#[test]
fn open_connections_are_those_of_all_entry_points_but_its_own() {
    assert_eq!(open_connections(V3), Some(3.0));
    let v2 = r#"
# TYPE traefik_entrypoint_open_connections gauge
traefik_entrypoint_open_connections{entrypoint="traefik",method="GET",protocol="http"} 7
traefik_entrypoint_open_connections{entrypoint="web",method="GET",protocol="http"} 2
traefik_entrypoint_open_connections{entrypoint="web",method="EXTENSION_METHOD",protocol="websocket"} 1e+01 1764526104000
"#;
    assert_eq!(open_connections(v2), Some(12.0));
    let strange = r#"traefik_open_connections{a="}\"",entrypoint="web"} 4
traefik_open_connections{entrypoint="x"} NaN
traefik_open_connections{entrypoint="x
traefik_open_connections
traefik_open_connections 2
"#;
    assert_eq!(open_connections(strange), Some(6.0));
    assert_eq!(
        open_connections("traefik_config_last_reload_success 1.7e+09\n"),
        Some(0.0)
    );
    assert_eq!(open_connections("go_goroutines 8\n"), None);
    assert_eq!(open_connections("<html>404</html>"), None);
}

#[test]
fn few_connections_weigh_more_within_bounds() {
    let of = |loads: &[Option<f64>]| weights(loads, &vec![MOST; loads.len()]);
    assert_eq!(of(&[Some(0.0), Some(0.0)]), [10, 10]);
    assert_eq!(of(&[Some(90.0), Some(190.0)]), [10, 5]);
    assert_eq!(of(&[Some(0.0), Some(1_000_000.0)]), [10, 1]);
    // One that is not known is as the others are on average, and nobody is where nothing is known.
    assert_eq!(of(&[Some(90.0), Some(190.0), None]), [10, 5, 8]);
    assert_eq!(of(&[None, None]), [10, 10]);
}

#[test]
fn a_weight_stays_until_it_is_a_step_away() {
    let mut served = weights(&[Some(100.0), Some(200.0)], &[MOST; 2]);
    assert_eq!(served, [10, 5]);
    // Loads that go up and down by a tenth change nothing.
    for swing in [0.9, 1.1, 0.95, 1.05, 1.1, 0.9] {
        served = weights(&[Some(100.0), Some(200.0 * swing)], &served);
        assert_eq!(served, [10, 5], "{swing}");
    }
    assert_eq!(weights(&[Some(100.0), Some(140.0)], &served), [10, 7]);
}

#[test]
fn connections_are_smoothed_over_the_window() {
    let window = Duration::from_secs(60);
    let mut load = 0.0;
    for _ in 0..12 {
        load = smoothed(load, 100.0, Duration::from_secs(5), window);
    }
    assert!((load - 63.2).abs() < 0.1, "{load}");
    assert!((smoothed(0.0, 100.0, Duration::from_secs(3600), window) - 100.0).abs() < 0.01);
}

/// A source with two targets, whose metrics are those of these players.
fn settings(api: &Player, metrics: [&Player; 2]) -> ProxySource {
    let peer = |player: &Player, path: &str| PeerSettings::new(&format!("{}{path}", player.url)).expect("a URL");
    ProxySource {
        peer: peer(api, ""),
        path: None,
        targets: vec!["192.0.2.1".parse().expect("v4"), "192.0.2.2".parse().expect("v4")],
        metrics: metrics.map(|player| peer(player, METRICS)).to_vec(),
        zones: Vec::new(),
        ttl: 0,
        poll: Duration::from_millis(20),
        is_v2: false,
    }
}

fn connections(count: u32) -> Reply {
    Reply::ok(format!(
        "traefik_open_connections{{entrypoint=\"web\",protocol=\"TCP\"}} {count}\n"
    ))
}

fn order(objects: &[Object]) -> Order {
    let claims = objects
        .iter()
        .filter_map(|object| object.claims.as_ref().ok())
        .flatten();
    let mut orders = claims
        .filter(|claim| claim.rtype == RecordType::A)
        .map(|claim| claim.handling.order().clone());
    orders.next().expect("addresses")
}

#[tokio::test]
async fn addresses_of_a_busy_proxy_come_first_less_often() {
    let (api, one, other) = (Player::start().await, Player::start().await, Player::start().await);
    api.set(
        "/api/rawdata",
        Reply::ok(r#"{"routers": {"a@file": {"rule": "Host(`a.x`)"}}}"#),
    );
    one.set(METRICS, connections(90));
    other.set(METRICS, connections(190));
    let mut world = Polling::new(Traefik::new(settings(&api, [&one, &other])));
    let Listing { objects, .. } = world.list().await.expect("a list");
    assert_eq!((objects.len(), order(&objects)), (1, Order::Weighted([10, 5].into())));

    // Metrics that are away are told. The weights stay for a while.
    other.set(METRICS, Reply::error(503, "starting"));
    let Change::Applied(told) = world.next().await.expect("a change").change else {
        panic!("another change")
    };
    let reason = told.claims.expect_err("told");
    assert_eq!(&*told.key, format!("Metrics {}{METRICS}", other.url));
    assert!(reason.contains("503 starting"), "{reason}");
    other.set(METRICS, Reply::ok("hello"));
    let Change::Applied(told) = world.next().await.expect("a change").change else {
        panic!("another change")
    };
    assert!(told.claims.expect_err("told").contains("no metrics of a Traefik"));
    other.set(METRICS, connections(190));
    let Change::Deleted(key) = world.next().await.expect("a change").change else {
        panic!("another change")
    };
    assert_eq!(key, told.key);
}

#[tokio::test]
async fn without_any_metrics_all_are_alike() {
    let (api, one) = (Player::start().await, Player::start().await);
    api.set(
        "/api/rawdata",
        Reply::ok(r#"{"routers": {"a@file": {"rule": "Host(`a.x`)"}}}"#),
    );
    // Both targets are one proxy, which is asked once.
    let mut world = Polling::new(Traefik::new(settings(&api, [&one, &one])));
    let Listing { objects, .. } = world.list().await.expect("a list");
    assert_eq!((objects.len(), order(&objects)), (2, Order::Rotate));
}
