//! A Caddy that is replayed.

use serde_json::json;
use tokio::time::timeout;

use super::super::peer::testing::{Player, Reply};
use super::super::polled::Polling;
use super::super::{Change, World};
use super::*;
use crate::config::PeerSettings;
use crate::model::rdata;

fn settings(player: &Player) -> ProxySource {
    ProxySource {
        peer: PeerSettings::new(&player.url).expect("a URL"),
        path: None,
        targets: vec!["192.0.2.7".parse().expect("an address")],
        metrics: Vec::new(),
        zones: Vec::new(),
        ttl: 60,
        poll: Duration::from_millis(20),
        is_v2: false,
    }
}

/// The shape that `caddy adapt` gives for three sites, the second with a handler for paths.
fn config(hosts: [&str; 3]) -> Reply {
    let site = |host: &str| {
        json!({
            "match": [{"host": [host]}],
            "handle": [{"handler": "subroute", "routes": [{"handle": [{"handler": "static_response"}]}]}],
            "terminal": true,
        })
    };
    let nested = json!({"handle": [{"handler": "subroute", "routes": [
        {"match": [{"host": [hosts[2]], "path": ["/a"]}], "handle": [{"handler": "file_server"}]},
    ]}]});
    let routes = json!([site(hosts[0]), site(hosts[1]), nested, {"match": [{"path": ["/x"]}]}]);
    Reply::ok(json!({"apps": {"http": {"servers": {"srv0": {"listen": [":443"], "routes": routes}}}}}).to_string())
}

fn shown(object: &Object) -> String {
    match &object.claims {
        Err(reason) => format!("{}: {reason}", object.key),
        Ok(claims) => {
            let claims = claims.iter().map(|claim| {
                let value = rdata::format_value(claim.rtype, &claim.rdatas[0]);
                format!(
                    "{} {} {value} {}",
                    claim.owner,
                    claim.rtype,
                    claim.handling.wildcard().word()
                )
            });
            format!("{}: {}", object.key, claims.collect::<Vec<_>>().join(", "))
        }
    }
}

#[tokio::test]
async fn hosts_of_sites_are_named_and_followed() {
    let player = Player::start().await;
    player.set(
        "/config/",
        config(["A.example.org", "*.w.example.org", "nested.example.org"]),
    );
    let mut world = Polling::new(Caddy::new(settings(&player)));
    let objects = world.list().await.expect("a list").objects;
    let lines: Vec<String> = objects.iter().map(shown).collect();
    assert_eq!(
        lines,
        [
            "Host *.w.example.org of srv0: *.w.example.org. A 192.0.2.7 one_label",
            "Host a.example.org of srv0: a.example.org. A 192.0.2.7 rfc4592",
            "Host nested.example.org of srv0: nested.example.org. A 192.0.2.7 rfc4592",
        ]
    );
    player.set(
        "/config/",
        config(["a.example.org", "{env.HOST}", "nested.example.org"]),
    );
    let mut changes = Vec::new();
    for _ in 0..2 {
        let event = timeout(Duration::from_secs(10), world.next())
            .await
            .expect("in time")
            .expect("an event");
        changes.push(match event.change {
            Change::Applied(object) => shown(&object),
            Change::Deleted(key) => format!("- {key}"),
            Change::Relist => "relist".to_owned(),
        });
    }
    assert_eq!(changes[0], "- Host *.w.example.org of srv0");
    assert!(
        changes[1].starts_with("Host {env.host} of srv0: a placeholder"),
        "{changes:?}"
    );
}

#[tokio::test]
async fn a_caddy_without_configuration_has_no_names() {
    let player = Player::start().await;
    player.set("/config/", Reply::ok("null\n"));
    assert!(
        Polling::new(Caddy::new(settings(&player)))
            .list()
            .await
            .expect("a list")
            .objects
            .is_empty()
    );
}

#[tokio::test]
async fn a_configuration_in_a_file_is_read_and_a_caddyfile_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("caddy.json");
    std::fs::write(&file, config(["a.x", "*.w.x", "n.x"]).body).expect("written");
    let settings = ProxySource {
        path: Some(file.as_path().into()),
        ..settings(&Player::start().await)
    };
    let mut world = Polling::new(Caddy::new(settings));
    let objects = world.list().await.expect("a list").objects;
    assert_eq!(objects.len(), 3, "{objects:?}");
    std::fs::write(&file, "a.x {\n respond \"a\"\n}\n").expect("written");
    let error = world.list().await.expect_err("no JSON");
    assert!(
        error.0.contains("caddy.json: ") && error.0.contains("caddy adapt"),
        "{error}"
    );
}
