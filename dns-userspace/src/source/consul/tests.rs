//! A Consul that is replayed: what it recorded, and what goes wrong with one.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::Change;
use super::super::host_names::by_the_system_alone;
use super::super::peer::testing::{Player, Reply};
use super::*;
use crate::config::{CheckedBy, Naming, Near, PeerSettings, Register, Secret};
use crate::model::rdata;
use crate::source::Status;

const CATALOG: &str = "/v1/catalog/services";
const WEB: &str = "/v1/health/service/web";

fn settings(player: &Player) -> ConsulSource {
    ConsulSource {
        peer: PeerSettings {
            url: player.url.as_str().into(),
            secret_file: None,
            secret: Some(Secret("s3cret".into())),
            ca: None,
        },
        datacenter: None,
        namespace: None,
        naming: Naming {
            exposed_by_default: true,
            ..Naming::below("x.".parse().expect("a name"))
        },
        checks: None,
        register: None,
    }
}

/// A Consul with the recorded service `web`, and without itself.
async fn recorded() -> Player {
    let player = Player::start().await;
    player.set(
        CATALOG,
        Reply::recorded(include_str!("../recorded/consul-catalog-services.http")),
    );
    player.set(WEB, Reply::recorded(include_str!("../recorded/consul-health-web.http")));
    player.set("/v1/health/service/consul", Reply::ok("[]").with("X-Consul-Index", 19));
    player.set(
        "/v1/catalog/nodes",
        Reply::ok(include_str!("../recorded/consul-nodes.json")).with("X-Consul-Index", 15),
    );
    player
}

/// An instance of `web`, in the shape of the recorded one.
fn instance(id: &str, address: &str, status: &str) -> Value {
    let mut all: Value = serde_json::from_str(
        include_str!("../recorded/consul-health-web.http")
            .replace("\r\n", "\n")
            .split_once("\n\n")
            .expect("a body")
            .1,
    )
    .expect("JSON");
    let mut one = all[0].take();
    one["Service"]["ID"] = json!(id);
    one["Service"]["Address"] = json!(address);
    one["Checks"][0]["Status"] = json!(status);
    one
}

fn instances(index: u64, all: &[Value]) -> Reply {
    Reply::ok(Value::from(all.to_vec()).to_string()).with("X-Consul-Index", index)
}

fn addresses(object: &Object) -> Vec<String> {
    let claims = object.claims.as_ref().expect("claims");
    let of_service = claims
        .iter()
        .find(|claim| claim.owner.to_string() == "web.x." && claim.rtype.is_address());
    let values = of_service.map(|claim| claim.rdatas.iter().map(|value| rdata::format_value(claim.rtype, value)));
    values.into_iter().flatten().collect()
}

async fn listed(world: &mut Consul) -> Vec<Object> {
    world.list().await.expect("a list").objects
}

/// The next object that is applied.
async fn applied(world: &mut Consul) -> Object {
    let event = timeout(Duration::from_secs(20), world.next())
        .await
        .expect("in time")
        .expect("an event");
    match event.change {
        Change::Applied(object) => object,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_recorded_service_is_named_and_followed() {
    let player = recorded().await;
    let mut world = Consul::new(settings(&player), by_the_system_alone());
    let objects = listed(&mut world).await;
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert_eq!(
        (&*objects[0].key, addresses(&objects[0])),
        ("Service web", vec!["192.0.2.31".to_owned()])
    );
    assert!(
        player
            .asked()
            .iter()
            .all(|asked| asked.headers["x-consul-token"] == "s3cret")
    );

    player.set(
        WEB,
        instances(
            25,
            &[
                instance("a", "192.0.2.1", "passing"),
                instance("b", "192.0.2.2", "passing"),
            ],
        ),
    );
    assert_eq!(addresses(&applied(&mut world).await), ["192.0.2.1", "192.0.2.2"]);
    let waits = player
        .asked()
        .iter()
        .any(|asked| asked.path == format!("{WEB}?index=24&wait=55s"));
    assert!(waits, "{:?}", player.asked());
}

#[tokio::test]
async fn only_passing_instances_are_served_and_the_last_one_stays() {
    let player = recorded().await;
    let mut world = Consul::new(settings(&player), by_the_system_alone());
    listed(&mut world).await;
    let both = |one: &str, other: &str| [instance("a", "192.0.2.1", one), instance("b", "192.0.2.2", other)];
    player.set(WEB, instances(30, &both("passing", "critical")));
    assert_eq!(addresses(&applied(&mut world).await), ["192.0.2.1"]);
    // Both fail: nothing changes. Then the other one passes.
    player.set(WEB, instances(31, &both("critical", "critical")));
    assert!(timeout(Duration::from_millis(300), world.next()).await.is_err());
    player.set(WEB, instances(32, &both("warning", "passing")));
    assert_eq!(addresses(&applied(&mut world).await), ["192.0.2.2"]);
}

#[tokio::test]
async fn an_index_that_goes_back_is_read_at_once() {
    let player = recorded().await;
    let mut world = Consul::new(settings(&player), by_the_system_alone());
    listed(&mut world).await;
    player.set(WEB, instances(3, &[instance("a", "192.0.2.3", "passing")]));
    assert_eq!(addresses(&applied(&mut world).await), ["192.0.2.3"]);
    player.set(WEB, instances(4, &[instance("a", "192.0.2.4", "passing")]));
    assert_eq!(addresses(&applied(&mut world).await), ["192.0.2.4"]);
    let asked: Vec<String> = player.asked().into_iter().map(|asked| asked.path).collect();
    let of_web = asked.iter().filter(|path| path.starts_with(WEB));
    let without_index = of_web.filter(|path| !path.contains("index=")).count();
    assert!(without_index >= 2, "{asked:?}");
}

#[tokio::test]
async fn a_service_comes_and_goes() {
    let player = recorded().await;
    let mut world = Consul::new(settings(&player), by_the_system_alone());
    listed(&mut world).await;
    player.set(
        "/v1/health/service/db",
        instances(40, &[instance("d", "192.0.2.9", "passing")]),
    );
    let catalog = |index: u64, body: Value| Reply::ok(body.to_string()).with("X-Consul-Index", index);
    player.set(CATALOG, catalog(40, json!({"consul": [], "web": ["v1"], "db": null})));
    assert_eq!(&*applied(&mut world).await.key, "Service db");
    player.set(WEB, instances(41, &[]));
    player.set(CATALOG, catalog(41, json!({"consul": [], "db": []})));
    let event = timeout(Duration::from_secs(20), world.next())
        .await
        .expect("in time")
        .expect("an event");
    assert!(
        matches!(&event.change, Change::Deleted(key) if &**key == "Service web"),
        "{event:?}"
    );
    // All of them gone at once: the driver is to ask again.
    player.set(CATALOG, catalog(42, json!({})));
    let event = timeout(Duration::from_secs(20), world.next())
        .await
        .expect("in time")
        .expect("an event");
    assert!(matches!(event.change, Change::Relist), "{event:?}");
}

#[tokio::test]
async fn what_an_acl_hides_is_not_taken_for_gone() {
    let player = recorded().await;
    let mut world = Consul::new(settings(&player), by_the_system_alone());
    listed(&mut world).await;
    let hidden = |body: &str, index: u64| {
        Reply::ok(body)
            .with("X-Consul-Index", index)
            .with("X-Consul-Results-Filtered-By-ACLs", "true")
    };
    player.set(CATALOG, hidden("{\"consul\": []}", 50));
    let error = timeout(Duration::from_secs(20), world.next())
        .await
        .expect("in time")
        .expect_err("doubt");
    assert!(error.0.contains("web and 0 more"), "{error}");
    let error = world.list().await.expect_err("doubt");
    assert!(error.0.contains("service:read"), "{error}");
    player.set(CATALOG, hidden("{}", 51));
    assert!(world.list().await.is_err());
    // A token that never could read all is no reason to doubt.
    let mut fresh = Consul::new(settings(&player), by_the_system_alone());
    player.set(CATALOG, hidden("{\"web\": []}", 52));
    assert_eq!(listed(&mut fresh).await.len(), 1);
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let player = recorded().await;
    player.set(
        CATALOG,
        Reply::error(403, "Permission denied: token with AccessorID x lacks permission"),
    );
    let mut world = Consul::new(settings(&player), by_the_system_alone());
    let error = world.list().await.expect_err("403");
    assert!(
        error.0.contains("403 Permission denied") && error.0.contains("check the token"),
        "{error}"
    );
    assert!(!error.0.contains("s3cret"));
    player.set(CATALOG, Reply::error(500, "No cluster leader"));
    let error = world.list().await.expect_err("500");
    assert!(error.0.contains("No cluster leader"), "{error}");
    assert!(
        player
            .asked()
            .iter()
            .any(|asked| asked.path == format!("{CATALOG}?stale"))
    );
    player.set(CATALOG, Reply::ok("[1, 2"));
    assert!(
        world
            .list()
            .await
            .expect_err("no JSON")
            .0
            .contains("cannot be understood")
    );
    let mut nowhere = settings(&player);
    nowhere.peer.url = "http://127.0.0.1:1".into();
    assert!(
        Consul::new(nowhere, by_the_system_alone())
            .list()
            .await
            .expect_err("nobody")
            .0
            .contains("no connection")
    );
}

#[tokio::test]
async fn a_token_in_a_file_is_read_again() {
    let player = recorded().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    let mut settings = settings(&player);
    settings.peer.secret_file = Some(file.as_path().into());
    let mut world = Consul::new(settings, by_the_system_alone());
    assert!(world.list().await.expect_err("no file").0.contains("cannot be read"));
    for token in ["one", "two"] {
        std::fs::write(&file, format!("{token}\n")).expect("written");
        listed(&mut world).await;
        assert!(
            player
                .asked()
                .iter()
                .any(|asked| asked.headers["x-consul-token"] == token)
        );
    }
}

#[tokio::test]
async fn the_names_of_consul_s_own_dns_server_are_there_where_asked() {
    let player = recorded().await;
    let mut settings = settings(&player);
    settings.naming.domain = Some("consul.".parse().expect("a name"));
    let objects = listed(&mut Consul::new(settings, by_the_system_alone())).await;
    let all: Vec<String> = objects
        .iter()
        .flat_map(|object| object.claims.clone().expect("claims"))
        .map(|claim| format!("{} {}", claim.owner, claim.rtype))
        .collect();
    for wanted in [
        "web.service.dc1.consul. A",
        "_web._tcp.service.consul. SRV",
        "vm.node.consul. A",
    ] {
        assert!(all.contains(&wanted.to_owned()), "{wanted}: {all:?}");
    }
}

#[tokio::test]
async fn of_many_services_the_checks_of_all_say_whom_to_ask() {
    let player = recorded().await;
    let names: Vec<String> = (0..200).map(|number| format!("s{number}")).collect();
    let catalog: BTreeMap<&String, Vec<String>> = names.iter().map(|name| (name, Vec::new())).collect();
    player.set(CATALOG, Reply::ok(json!(catalog).to_string()).with("X-Consul-Index", 5));
    let of = |name: &str| format!("/v1/health/service/{name}");
    for name in &names {
        player.set(
            &of(name),
            instances(
                5,
                &[
                    instance("a", "192.0.2.1", "passing"),
                    instance("b", "192.0.2.2", "passing"),
                ],
            ),
        );
    }
    let states = |index: u64, status: &str| {
        let all: Vec<Value> = names
            .iter()
            .map(|name| {
                let status = if name == "s7" { status } else { "passing" };
                json!({"Node": "vm", "CheckID": name, "ServiceName": name, "Status": status})
            })
            .collect();
        Reply::ok(Value::from(all).to_string()).with("X-Consul-Index", index)
    };
    let any = "/v1/health/state/any";
    player.set(any, states(5, "passing"));
    let mut world = Consul::new(settings(&player), by_the_system_alone());
    assert_eq!(listed(&mut world).await.len(), 200);
    assert!(
        timeout(Duration::from_millis(500), world.next()).await.is_err(),
        "nothing has changed"
    );
    player.set(
        &of("s7"),
        instances(
            6,
            &[
                instance("a", "192.0.2.1", "passing"),
                instance("b", "192.0.2.2", "critical"),
            ],
        ),
    );
    player.set(any, states(6, "critical"));
    let start = std::time::Instant::now();
    assert_eq!(&*applied(&mut world).await.key, "Service s7");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "it is not asked in turn alone"
    );
    let waiting = player
        .asked()
        .iter()
        .filter(|asked| asked.path.contains("service/") && asked.path.contains("index="))
        .count();
    assert_eq!(waiting, 0, "services do not wait by themselves");
}

#[tokio::test]
async fn the_node_of_the_agent_is_near() {
    let player = recorded().await;
    let on = |id: &str, address: &str, node: &str| {
        let mut one = instance(id, address, "passing");
        one["Node"]["Node"] = json!(node);
        one
    };
    let all = [on("a", "192.0.2.1", "other"), on("b", "192.0.2.2", "vm7")];
    player.set(WEB, instances(40, &all));
    let agent = json!({"Config": {"Datacenter": "dc1", "NodeName": "vm7", "Server": false}, "Member": {}});
    player.set("/v1/agent/self", Reply::ok(agent.to_string()));
    let mut settings = settings(&player);
    settings.naming.near = Some(Near::default());
    let objects = listed(&mut Consul::new(settings, by_the_system_alone())).await;
    let web = objects
        .iter()
        .find(|object| &*object.key == "Service web")
        .expect("the service");
    assert_eq!(addresses(web), ["192.0.2.2", "192.0.2.1"]);
}

/// A dialogue with an agent that forgets us, then refuses us.
#[tokio::test]
async fn hotdns_is_registered_again_where_the_agent_has_forgotten_it() {
    let player = Player::start().await;
    let (register, own) = ("/v1/agent/service/register", "/v1/agent/service/dns-1");
    let farewell = "/v1/agent/service/deregister/dns-1";
    for path in [register, farewell] {
        player.set(path, Reply::ok(""));
    }
    let settings = ConsulSource {
        register: Some(Register {
            id: "dns-1".into(),
            service: "dns".into(),
            address: Some("192.0.2.53".parse().expect("an address")),
            port: 53,
            tags: vec!["primary".into()],
            check: CheckedBy::Http("http://127.0.0.1:8080/ready".into()),
        }),
        ..settings(&player)
    };
    let status = Arc::new(Status::new(crate::model::source::SourceId::api()));
    let stop = CancellationToken::new();
    let registration = Registration::new(&settings, &status).expect("wanted");
    let running = tokio::spawn(registration.every(Duration::from_millis(20)).run(stop.clone()));
    let made = |path: &str| {
        player
            .asked()
            .into_iter()
            .filter(|asked| asked.path.starts_with(path))
            .collect::<Vec<_>>()
    };
    let until = async |what: &str, is_so: &dyn Fn() -> bool| {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), waiting).await.expect(what);
    };
    // It is not there: 404.
    until("registered twice", &|| made(register).len() >= 2).await;
    let asked = &made(register)[0];
    assert_eq!(
        (asked.method.as_str(), asked.headers["x-consul-token"].as_str()),
        ("PUT", "s3cret")
    );
    let body: Value = serde_json::from_str(&asked.body).expect("JSON");
    assert_eq!(
        (
            &body["ID"],
            &body["Name"],
            &body["Port"],
            &body["Tags"],
            &body["Address"]
        ),
        (
            &json!("dns-1"),
            &json!("dns"),
            &json!(53),
            &json!(["primary"]),
            &json!("192.0.2.53")
        )
    );
    assert_eq!(
        (&body["Check"]["HTTP"], &body["Check"]["Interval"]),
        (&json!("http://127.0.0.1:8080/ready"), &json!("10s"))
    );
    player.set(own, Reply::ok("{}"));
    until("known", &|| {
        status.report().registration.as_deref() == Some("registered")
    })
    .await;
    let before = made(register).len();
    let looks = made(own).len();
    until("asked on", &|| made(own).len() > looks + 2).await;
    assert!(made(register).len() <= before + 1, "it is known");
    player.set(own, Reply::error(404, "unknown service ID: dns-1"));
    player.set(register, Reply::error(403, "Permission denied"));
    let refused = || {
        status
            .report()
            .registration
            .is_some_and(|text| text.contains("check the token"))
    };
    until("refused", &refused).await;
    stop.cancel();
    timeout(Duration::from_secs(5), running)
        .await
        .expect("in time")
        .expect("no panic");
    assert_eq!(made(farewell).len(), 1);
}

#[tokio::test]
async fn a_reply_that_is_cut_off_is_an_error_and_changes_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let cutting = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut query = [0; 1024];
        let _ = stream.read(&mut query).await;
        let reply = b"HTTP/1.1 200 OK\r\nX-Consul-Index: 9\r\nContent-Length: 100\r\n\r\n{\"web\":";
        stream.write_all(reply).await.expect("written");
    });
    let mut settings = settings(&Player::start().await);
    settings.peer.url = url.as_str().into();
    let error = Consul::new(settings, by_the_system_alone())
        .list()
        .await
        .expect_err("cut off");
    assert!(
        error.0.contains("GET /v1/catalog/services: the reply broke off"),
        "{error}"
    );
    cutting.await.expect("no panic");
}
