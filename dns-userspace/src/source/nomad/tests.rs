//! A Nomad that is replayed: what it recorded, and what goes wrong with one.

use serde_json::{Value, json};

use super::super::host_names::by_the_system_alone;
use super::super::peer::testing::{Player, Reply};
use super::*;
use crate::config::{Naming, Near, PeerSettings, Secret};
use crate::model::rdata;

const SERVICES: &str = "/v1/services";
const WEB: &str = "/v1/service/web";
const STREAM: &str = "/v1/event/stream";

fn settings(player: &Player) -> NomadSource {
    NomadSource {
        peer: PeerSettings {
            url: player.url.as_str().into(),
            secret_file: None,
            secret: Some(Secret("s3cret".into())),
            ca: None,
        },
        namespace: "*".into(),
        naming: Naming {
            exposed_by_default: true,
            ..Naming::below("x.".parse().expect("a name"))
        },
        checks: None,
        has_allocation_checks: true,
    }
}

/// A Nomad with the recorded service `web`, whose stream begins with a heartbeat.
async fn recorded() -> Player {
    let player = Player::start().await;
    let services = Reply::ok(include_str!("../recorded/nomad16-services.json")).with("X-Nomad-Index", 23);
    player.set(SERVICES, services);
    player.set(
        WEB,
        Reply::recorded(include_str!("../recorded/nomad16-service-web.http")),
    );
    let stream = Reply {
        is_endless: true,
        ..Reply::ok("{}\n")
    };
    player.set(STREAM, stream);
    player
}

/// A recorded event with other values: index, type, ID and port.
fn event(index: u64, kind: &str, id: &str, port: u16) -> String {
    let recorded = include_str!("../recorded/nomad16-event-stream-service.ndjson");
    let line = recorded.lines().nth(1).expect("an event");
    let mut message: Value = serde_json::from_str(line).expect("JSON");
    message["Index"] = json!(index);
    let event = &mut message["Events"][0];
    event["Index"] = json!(index);
    event["Type"] = json!(kind);
    event["Key"] = json!(id);
    let service = &mut event["Payload"]["Service"];
    service["ID"] = json!(id);
    service["ModifyIndex"] = json!(index);
    service["Address"] = json!("192.0.2.7");
    service["Port"] = json!(port);
    message.to_string()
}

/// Values of a type at `web.x.`, or elsewhere.
fn values(object: &Object, owner: &str, rtype: &str) -> Vec<String> {
    let claims = object.claims.as_ref().expect("claims");
    let claim = claims
        .iter()
        .find(|claim| claim.owner.to_string() == owner && claim.rtype.to_string() == rtype);
    let values = claim.map(|claim| claim.rdatas.iter().map(|value| rdata::format_value(claim.rtype, value)));
    values.into_iter().flatten().collect()
}

async fn change(world: &mut Nomad) -> Change {
    timeout(Duration::from_secs(10), world.next())
        .await
        .expect("in time")
        .expect("an event")
        .change
}

async fn applied(world: &mut Nomad) -> Object {
    match change(world).await {
        Change::Applied(object) => object,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_recorded_service_is_named_with_its_ports() {
    let player = recorded().await;
    let mut world = Nomad::new(settings(&player), by_the_system_alone());
    let objects = world.list().await.expect("a list").objects;
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert_eq!(&*objects[0].key, "Service web");
    assert_eq!(values(&objects[0], "web.x.", "A"), ["127.0.0.1"]);
    assert_eq!(
        values(&objects[0], "_web._tcp.x.", "SRV"),
        ["1 1 20089 7f000001.addr.x.", "1 1 21942 7f000001.addr.x."]
    );
    let asked = player.asked();
    assert!(asked.iter().all(|asked| asked.headers["x-nomad-token"] == "s3cret"));
    assert!(
        asked
            .iter()
            .any(|asked| asked.path == "/v1/event/stream?topic=Service&namespace=%2A"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn events_are_followed_and_those_before_the_list_are_skipped() {
    let player = recorded().await;
    let mut world = Nomad::new(settings(&player), by_the_system_alone());
    world.list().await.expect("a list");
    for line in include_str!("../recorded/nomad16-event-stream-service.ndjson").lines() {
        player.line(line);
    }
    player.line(&event(30, "ServiceRegistration", "new", 4000));
    let object = applied(&mut world).await;
    assert_eq!(values(&object, "web.x.", "A"), ["127.0.0.1", "192.0.2.7"]);
    player.line("{}");
    player.line(&event(31, "ServiceDeregistration", "new", 4000));
    assert_eq!(values(&applied(&mut world).await, "web.x.", "A"), ["127.0.0.1"]);
    // The same port again: nothing is told.
    player.line(&event(12, "ServiceRegistration", "old", 4000));
    assert!(timeout(Duration::from_millis(200), world.next()).await.is_err());
}

#[tokio::test]
async fn when_the_last_service_goes_a_list_is_asked_for() {
    let player = recorded().await;
    let one = include_str!("../recorded/nomad16-service-web.http").replace("\r\n", "\n");
    let all: Value = serde_json::from_str(one.split_once("\n\n").expect("a body").1).expect("JSON");
    player.set(WEB, Reply::ok(json!([all[0]]).to_string()));
    let mut world = Nomad::new(settings(&player), by_the_system_alone());
    world.list().await.expect("a list");
    let id = all[0]["ID"].as_str().expect("an ID");
    player.line(&event(40, "ServiceDeregistration", id, 1));
    assert!(matches!(change(&mut world).await, Change::Relist));
}

#[tokio::test]
async fn a_stream_that_ends_is_an_error_and_one_that_is_refused_is_done_without() {
    let player = recorded().await;
    player.set(STREAM, Reply::ok("{}\n"));
    let mut world = Nomad::new(settings(&player), by_the_system_alone());
    world.list().await.expect("a list");
    let error = timeout(Duration::from_secs(10), world.next())
        .await
        .expect("in time")
        .expect_err("the end");
    assert!(error.0.contains("the stream has ended"), "{error}");
    player.set(STREAM, Reply::error(403, "Permission denied"));
    assert_eq!(world.list().await.expect("a list").objects.len(), 1);
    assert!(matches!(world.events, Events::Absent));
    assert!(world.resync <= Instant::now() + REFRESH);
}

#[tokio::test]
async fn a_service_that_went_meanwhile_is_no_error_and_anything_else_is() {
    let player = recorded().await;
    player.set(
        SERVICES,
        Reply::ok(r#"[{"Namespace":"default","Services":[{"ServiceName":"web"},{"ServiceName":"a"}]}]"#),
    );
    let mut world = Nomad::new(settings(&player), by_the_system_alone());
    assert_eq!(world.list().await.expect("a list").objects.len(), 1);
    player.set("/v1/service/a", Reply::error(500, "no leader"));
    assert!(world.list().await.expect_err("500").0.contains("500 no leader"));
    player.set(SERVICES, Reply::error(403, "Permission denied"));
    assert!(world.list().await.expect_err("403").0.contains("check the token"));
}

#[tokio::test]
async fn a_service_in_two_namespaces_is_two_objects() {
    let player = recorded().await;
    let services =
        |namespace: &str| json!({"Namespace": namespace, "Services": [{"ServiceName": "web", "Tags": null}]});
    player.set(
        SERVICES,
        Reply::ok(json!([services("default"), services("prod")]).to_string()),
    );
    let mut world = Nomad::new(settings(&player), by_the_system_alone());
    let objects = world.list().await.expect("a list").objects;
    let keys: Vec<&str> = objects.iter().map(|object| &*object.key).collect();
    assert_eq!(keys, ["Service web", "Service web in prod"]);
}

#[tokio::test]
async fn an_instance_whose_check_fails_leaves_and_the_last_one_stays() {
    let player = recorded().await;
    let registered = |id: &str, address: &str| {
        let port = 80;
        json!({
            "ID": id, "ServiceName": "web", "Namespace": "default", "AllocID": id, "Address": address, "Port": port,
        })
    };
    let both = json!([registered("one", "192.0.2.1"), registered("two", "192.0.2.2")]);
    player.set(WEB, Reply::ok(both.to_string()));
    // The shape of `nomad alloc checks -json`.
    let say = |id: &str, service: &str, status: &str| {
        let check = json!({
            "ID": "9810e901", "Check": "alive", "Group": "example.g[0]", "Mode": "healthiness",
            "Output": "nomad: tcp ok", "Service": service, "Status": status, "StatusCode": 0, "Task": "",
            "Timestamp": 1_678_374_640,
        });
        let path = format!("/v1/client/allocation/{id}/checks");
        player.set(&path, Reply::ok(json!({"9810e901": check}).to_string()));
    };
    say("one", "web", "success");
    say("two", "web", "pending");
    let mut world = Nomad::new(settings(&player), by_the_system_alone());
    world.allocations = Allocations::new(true).every(Duration::from_millis(20));
    let objects = world.list().await.expect("a list").objects;
    assert_eq!(values(&objects[0], "web.x.", "A"), ["192.0.2.1", "192.0.2.2"]);
    // Another service of the same allocation says nothing of this one.
    say("two", "other", "failure");
    assert!(timeout(Duration::from_millis(200), world.next()).await.is_err());
    say("two", "web", "failure");
    assert_eq!(values(&applied(&mut world).await, "web.x.", "A"), ["192.0.2.1"]);
    say("one", "web", "failure");
    assert!(
        timeout(Duration::from_millis(200), world.next()).await.is_err(),
        "the last one"
    );
    // Nomad does not know: what was known stays.
    player.set("/v1/client/allocation/two/checks", Reply::error(500, "Unknown node"));
    assert!(timeout(Duration::from_millis(200), world.next()).await.is_err());
    say("two", "web", "success");
    assert_eq!(values(&applied(&mut world).await, "web.x.", "A"), ["192.0.2.2"]);
    let asked = player.asked();
    let checks = asked
        .iter()
        .find(|asked| asked.path.contains("/checks"))
        .expect("asked");
    assert_eq!(checks.path, "/v1/client/allocation/one/checks?namespace=default");
}

#[tokio::test]
async fn the_agent_says_which_instances_are_near() {
    let player = recorded().await;
    let registered = |id: &str, address: &str, node: &str, datacenter: &str| {
        json!({
            "ID": id, "ServiceName": "web", "Namespace": "default", "NodeID": node, "Datacenter": datacenter,
            "Address": address, "Port": 80,
        })
    };
    let all = json!([
        registered("far", "192.0.2.1", "n1", "dc2"),
        registered("near", "192.0.2.2", "n2", "dc1"),
        registered("here", "192.0.2.3", "n3", "dc1"),
    ]);
    player.set(WEB, Reply::ok(all.to_string()));
    let nearest = || {
        let mut settings = settings(&player);
        settings.naming.near = Some(Near::default());
        Nomad::new(settings, by_the_system_alone())
    };
    let objects = nearest().list().await.expect("a list").objects;
    let lost = objects
        .iter()
        .find(|object| &*object.key == "Order nearest")
        .expect("told");
    assert!(
        lost.claims.as_ref().is_err_and(|reason| reason.contains("agent:read")),
        "{lost:?}"
    );
    let agent = json!({"config": {"Datacenter": "dc1", "Region": "global"}, "stats": {"client": {"node_id": "n3"}}});
    player.set("/v1/agent/self", Reply::ok(agent.to_string()));
    let objects = nearest().list().await.expect("a list").objects;
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert_eq!(
        values(&objects[0], "web.x.", "A"),
        ["192.0.2.3", "192.0.2.2", "192.0.2.1"]
    );
}
