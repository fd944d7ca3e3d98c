//! A Traefik that is replayed: what it recorded, and what goes wrong with one.

use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::peer::testing::{Player, Reply};
use super::super::polled::Polling;
use super::super::{Change, World};
use super::*;
use crate::config::PeerSettings;
use crate::model::rdata;

const RAW: &str = "/api/rawdata";

fn settings(player: &Player) -> ProxySource {
    ProxySource {
        peer: PeerSettings {
            url: player.url.as_str().into(),
            secret_file: None,
            secret: None,
            ca: None,
        },
        path: None,
        targets: vec!["198.51.100.7".parse().expect("an address")],
        metrics: Vec::new(),
        zones: Vec::new(),
        ttl: 60,
        poll: Duration::from_millis(20),
        is_v2: false,
    }
}

async fn recorded() -> Player {
    let player = Player::start().await;
    player.set(RAW, Reply::ok(include_str!("../recorded/traefik-v3.7-rawdata.json")));
    player
}

/// `key: owner TYPE value`, or the error.
fn shown(objects: &[Object]) -> Vec<String> {
    let lines = objects.iter().flat_map(|object| match &object.claims {
        Err(reason) => vec![format!("{}: {reason}", object.key)],
        Ok(claims) => claims
            .iter()
            .map(|claim| {
                let value = rdata::format_value(claim.rtype, &claim.rdatas[0]);
                format!("{}: {} {} {value}", object.key, claim.owner, claim.rtype)
            })
            .collect(),
    });
    lines.collect()
}

#[tokio::test]
async fn the_recorded_routers_are_named() {
    let player = recorded().await;
    let objects = Polling::new(Traefik::new(settings(&player)))
        .list()
        .await
        .expect("a list")
        .objects;
    let lines = shown(&objects);
    for wanted in [
        "Router a@file: a.peers.test. A 198.51.100.7",
        "Router b@file: b.peers.test. A 198.51.100.7",
        "Router b@file: *.w.peers.test. A 198.51.100.7",
        "Router consul@consulcatalog: consul.consul.test. A 198.51.100.7",
        "Router demo-ing-ing-peers-test@kubernetes: ing.peers.test. A 198.51.100.7",
    ] {
        assert!(lines.contains(&wanted.to_owned()), "{wanted}: {lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains("@internal")));
}

#[tokio::test]
async fn the_lists_page_by_page_say_the_same_as_the_raw_data() {
    let player = recorded().await;
    let raw = Polling::new(Traefik::new(settings(&player)))
        .list()
        .await
        .expect("a list")
        .objects;
    player.set(RAW, Reply::error(404, "404 page not found"));
    let http = Reply::ok(include_str!("../recorded/traefik-v3.7-http-routers.json"));
    player.set("/api/http/routers", http.with("X-Next-Page", 1));
    player.set(
        "/api/tcp/routers",
        Reply::ok(include_str!("../recorded/traefik-v3.7-tcp-routers.json")),
    );
    let listed = Polling::new(Traefik::new(settings(&player)))
        .list()
        .await
        .expect("a list")
        .objects;
    assert_eq!(listed, raw);
}

#[tokio::test]
async fn changes_are_told_and_a_traefik_without_routers_is_asked_again() {
    let player = Player::start().await;
    let data = |routers: Value| player.set(RAW, Reply::ok(json!({ "routers": routers }).to_string()));
    data(json!({"a@file": {"rule": "Host(`a.x`)", "status": "enabled"}, "b@file": {"rule": "Host(`b.x`)"}}));
    let mut world = Polling::new(Traefik::new(settings(&player)));
    assert_eq!(world.list().await.expect("a list").objects.len(), 2);
    data(json!({"a@file": {"rule": "Host(`a.x`)", "status": "disabled"}, "c@file": {"rule": "Host(`c.x`)"}}));
    let mut changes = Vec::new();
    for _ in 0..3 {
        let event = timeout(Duration::from_secs(10), world.next())
            .await
            .expect("in time")
            .expect("an event");
        changes.push(match event.change {
            Change::Applied(object) => format!("{} {}", object.key, object.claims.expect("claims").len()),
            Change::Deleted(key) => format!("- {key}"),
            Change::Relist => "relist".to_owned(),
        });
    }
    assert_eq!(changes, ["- Router b@file", "Router a@file 0", "Router c@file 1"]);
    data(json!({}));
    let event = timeout(Duration::from_secs(10), world.next())
        .await
        .expect("in time")
        .expect("an event");
    assert!(matches!(event.change, Change::Relist));
}

#[tokio::test]
async fn a_rule_that_gives_no_name_is_reported_on_its_router() {
    let player = Player::start().await;
    let routers = json!({
        "bad@file": {"rule": "Hots(`a.x`)"},
        "odd@file": {"rule": "HostRegexp(`^w[0-9]+\\.x$`)"},
        "path@file": {"rule": "PathPrefix(`/x`)"},
        "child@file": {"rule": "Host(`child.x`)", "parentRefs": ["path@file"]},
        "old@file": {"rule": "HostRegexp(`{s:[a-z0-9-]+}.traefik`)", "ruleSyntax": "v2"},
    });
    player.set(
        RAW,
        Reply::ok(json!({"routers": routers, "tcpRouters": {"db@file": {"rule": "HostSNI(`db.x`)"}}}).to_string()),
    );
    let lines = shown(
        &Polling::new(Traefik::new(settings(&player)))
            .list()
            .await
            .expect("a list")
            .objects,
    );
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(lines[0].starts_with("Router bad@file: the rule"), "{lines:#?}");
    assert!(
        lines[1].starts_with("Router odd@file: no name can be derived"),
        "{lines:#?}"
    );
    assert_eq!(lines[2], "Router old@file: *.traefik. A 198.51.100.7");
    assert_eq!(lines[3], "TCP router db@file: db.x. A 198.51.100.7");
}

#[tokio::test]
async fn an_api_that_is_off_or_closed_is_told_so() {
    let player = Player::start().await;
    let error = Polling::new(Traefik::new(settings(&player)))
        .list()
        .await
        .expect_err("404");
    assert!(error.0.contains("no API of Traefik"), "{error}");
    player.set("/ping", Reply::ok("OK"));
    let error = Polling::new(Traefik::new(settings(&player)))
        .list()
        .await
        .expect_err("404");
    assert!(error.0.contains("api.insecure"), "{error}");
    player.set(RAW, Reply::error(401, "401 Unauthorized"));
    let error = Polling::new(Traefik::new(settings(&player)))
        .list()
        .await
        .expect_err("401");
    assert!(error.0.contains("check the token"), "{error}");
}

#[tokio::test]
async fn a_password_is_shown_by_basic_authentication() {
    let player = recorded().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("basic");
    std::fs::write(&file, "ann:secret\n").expect("written");
    let mut settings = settings(&player);
    settings.peer.secret_file = Some(file.as_path().into());
    Polling::new(Traefik::new(settings)).list().await.expect("a list");
    assert_eq!(player.asked()[0].headers["authorization"], "Basic YW5uOnNlY3JldA==");
}

/// What the files of a folder say.
async fn of_files(files: &[(&str, &str)]) -> Result<Vec<String>, WorldError> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }
    let player = Player::start().await;
    let settings = ProxySource {
        path: Some(folder.path().into()),
        ..settings(&player)
    };
    let listing = Polling::new(Traefik::new(settings)).list().await?;
    assert!(player.asked().is_empty(), "the API is not asked");
    Ok(shown(&listing.objects))
}

#[tokio::test]
async fn files_of_every_kind_say_the_same_as_the_api() {
    let yaml = "http:\n  routers:\n    a: {rule: 'Host(`a.x`)', service: s}\n    old: {rule: 'HostRegexp(`{s:.+}.o`)', \
                ruleSyntax: v2}\n";
    let toml = "[http.routers.b]\nrule = \"Host(`b.x`) && PathPrefix(`/p`)\"\n\n[TCP.Routers.db]\nRule = \
                \"HostSNI(`db.x`)\"\n\n[http.routers.a]\nrule = \"Host(`late.x`)\"\n";
    let json = r#"{"http": {"routers": {"child": {"rule": "Host(`c.x`)", "parentRefs": ["a"]}}}}"#;
    let files = [
        ("a.yaml", yaml),
        ("more/b.toml", toml),
        ("c.json", json),
        ("empty.yml", ""),
        ("notes.txt", "no: [configuration"),
        (".hidden.yaml", "no: [configuration"),
    ];
    assert_eq!(
        of_files(&files).await.expect("a list"),
        [
            "Router a@file: a.x. A 198.51.100.7",
            "Router b@file: b.x. A 198.51.100.7",
            "Router old@file: *.o. A 198.51.100.7",
            "TCP router db@file: db.x. A 198.51.100.7",
        ]
    );
}

#[tokio::test]
async fn a_file_with_an_error_is_named() {
    let good = ("a.yaml", "http: {routers: {a: {rule: Host(`a.x`)}}}");
    for (name, text, part) in [
        ("b.toml", "[http.routers.b\n", "b.toml: "),
        ("b.yaml", "http: [\n", "b.yaml: "),
        (
            "t.yaml",
            "http:\n  {{ range $i }}\n  routers: [\n",
            "templates are not evaluated",
        ),
    ] {
        let error = of_files(&[good, (name, text)]).await.expect_err("an error");
        assert!(error.0.contains(part), "{error}");
    }
    let missing = ProxySource {
        path: Some(Path::new("/nonexistent/traefik").into()),
        ..settings(&Player::start().await)
    };
    let error = Polling::new(Traefik::new(missing)).list().await.expect_err("no file");
    assert!(error.0.starts_with("/nonexistent/traefik cannot be read"), "{error}");
}
