//! A key-value store that is replayed.

use serde_json::json;
use tokio::time::timeout;

use super::super::Change;
use super::super::peer::testing::{Player, Reply};
use super::*;
use crate::config::PeerSettings;

const PATH: &str = "/v1/kv/hotdns/records/";

fn world(player: &Player) -> ConsulKv {
    ConsulKv::new(ConsulKvSource {
        peer: PeerSettings::new(&player.url).expect("a URL"),
        prefix: "hotdns/records/".into(),
        ttl: 300,
    })
}

/// A store in the recorded shape.
fn store(index: u64, entries: &[(&str, &str)]) -> Reply {
    let entries = entries.iter().map(|(key, value)| {
        let value = data_encoding::BASE64.encode(value.as_bytes());
        let key = format!("hotdns/records/{key}");
        json!({"LockIndex": 0, "Key": key, "Flags": 0, "Value": value, "ModifyIndex": index})
    });
    Reply::ok(Value::from_iter(entries).to_string()).with("X-Consul-Index", index)
}

fn shown(object: &Object) -> String {
    match &object.claims {
        Err(reason) => format!("{}: {reason}", object.key),
        Ok(claims) => {
            let claims = claims.iter().map(|claim| {
                let value = rdata::format_value(claim.rtype, &claim.rdatas[0]);
                format!("{} {} {} {value}", claim.owner, claim.ttl, claim.rtype)
            });
            format!("{}: {}", object.key, claims.collect::<Vec<_>>().join(", "))
        }
    }
}

const WEB: &str = r#"{"name": "www.x.", "type": "A", "ttl": 60, "value": ["192.0.2.1"]}"#;

#[tokio::test]
async fn keys_are_records_and_are_followed() {
    let player = Player::start().await;
    let two = r#"[{"name": "a.x", "type": "TXT", "value": "hi"}, {"name": "b.x", "type": "MX", "value": ["10 a.x."]}]"#;
    player.set(
        PATH,
        store(
            7,
            &[
                ("", ""),
                ("web", WEB),
                ("two", two),
                ("bad", "x"),
                ("odd", r#"{"name": "a."}"#),
            ],
        ),
    );
    let mut world = world(&player);
    let objects = world.list().await.expect("a list").objects;
    let lines: Vec<String> = objects.iter().map(shown).collect();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(
        lines[0].starts_with("Key hotdns/records/bad: its value is no JSON"),
        "{lines:#?}"
    );
    assert!(lines[1].contains("missing field `type`; write {\"name\""), "{lines:#?}");
    assert_eq!(
        lines[2],
        "Key hotdns/records/two: a.x. 300 TXT \"hi\", b.x. 300 MX 10 a.x."
    );
    assert_eq!(lines[3], "Key hotdns/records/web: www.x. 60 A 192.0.2.1");

    player.set(PATH, store(8, &[("web", &WEB.replace("2.1", "2.9"))]));
    let mut changes = Vec::new();
    for _ in 0..4 {
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
    assert_eq!(
        changes[3], "Key hotdns/records/web: www.x. 60 A 192.0.2.9",
        "{changes:#?}"
    );
    assert!(
        player
            .asked()
            .iter()
            .any(|asked| asked.path == format!("{PATH}?recurse&index=7&wait=55s"))
    );

    // No key at all: the driver is to ask again.
    player.set(PATH, Reply::error(404, "").with("X-Consul-Index", 9));
    let event = timeout(Duration::from_secs(10), world.next())
        .await
        .expect("in time")
        .expect("an event");
    assert!(matches!(event.change, Change::Relist));
    assert!(world.list().await.expect("a list").objects.is_empty());
}

#[test]
fn what_is_wrong_with_a_record_is_told() {
    let reason = |text: &str| claims(&data_encoding::BASE64.encode(text.as_bytes()), 60).expect_err(text);
    assert!(reason(r#"{"name": "a..b", "type": "A", "value": "192.0.2.1"}"#).contains("empty label"));
    assert!(reason(r#"{"name": "a.b", "type": "Q", "value": "192.0.2.1"}"#).contains("no type"));
    assert!(reason(r#"{"name": "a.b", "type": "A", "value": "x"}"#).contains("`x`: "));
    assert!(reason(r#"{"name": "a.b", "type": "A", "value": "192.0.2.1", "order": "best"}"#).contains("rotate"));
    assert!(reason(r#"{"name": "a.b", "type": "A", "value": "192.0.2.1", "order": "weighted"}"#).contains("weights"));
    assert!(reason(r#"{"name": "a.b", "type": "A", "value": "192.0.2.1", "tll": 5}"#).contains("unknown field"));
}
