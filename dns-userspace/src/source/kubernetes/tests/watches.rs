//! A cluster as a world: lists, watches, versions that expire, kinds that are refused or not there.

use tempfile::TempDir;
use tokio::time::timeout;

use super::fake::Fake;
use super::*;
use crate::config::{KubernetesSource, WatchedKind};
use crate::source::kubernetes::KubernetesWorld;
use crate::source::{Change, World};

const INGRESSES: &str = "/apis/networking.k8s.io/v1/ingresses";
const SETS: &str = "/apis/hotdns.io/v1alpha1/recordsets";
const SERVICES: &str = "/api/v1/services";

/// A world of a fake server that watches these kinds; what holds its kubeconfig.
pub(super) fn world(fake: &Fake, watch: Option<Vec<WatchedKind>>) -> (KubernetesWorld, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, fake.kubeconfig()).expect("written");
    let settings = KubernetesSource {
        kubeconfig: Some(path.into()),
        targets: vec!["192.0.2.54".into()],
        watch,
        ..publishing()
    };
    (KubernetesWorld::new(settings, None, Arc::default()), folder)
}

pub(super) fn ingress(name: &str, version: &str, host: &str) -> Value {
    json!({
        "metadata": {"namespace": "demo", "name": name, "resourceVersion": version},
        "spec": {"rules": [{"host": host}]},
    })
}

pub(super) fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

/// The keys that a list shows, each with its names, or with what is wrong.
pub(super) async fn listed(world: &mut KubernetesWorld) -> Vec<String> {
    let listing = timeout(Duration::from_secs(20), world.list())
        .await
        .expect("in time")
        .expect("a list");
    listing.objects.iter().map(said).collect()
}

/// The next change.
pub(super) async fn next(world: &mut KubernetesWorld) -> String {
    let event = timeout(Duration::from_secs(20), world.next())
        .await
        .expect("in time")
        .expect("an event");
    match event.change {
        Change::Applied(object) => said(&object),
        Change::Deleted(key) => format!("{key}: gone"),
        Change::Relist => "relist".to_owned(),
    }
}

fn said(object: &crate::source::Object) -> String {
    match &object.claims {
        Ok(claims) => {
            let owners: Vec<String> = claims.iter().map(|claim| claim.owner.to_string()).collect();
            format!("{}: {}", object.key, owners.join(" "))
        }
        Err(error) => format!("{}: {error}", object.key),
    }
}

#[tokio::test]
async fn a_watch_goes_on_from_its_version_and_lists_anew_where_that_expired() {
    let fake = Fake::start().await;
    fake.set_list(INGRESSES, "10", json!([ingress("a", "9", "a.peers.test")]));
    fake.add_watch(
        INGRESSES,
        &[
            event("ADDED", ingress("b", "11", "b.peers.test")),
            event(
                "BOOKMARK",
                json!({"kind": "Ingress", "apiVersion": "networking.k8s.io/v1", "metadata": {"resourceVersion": "15"}}),
            ),
        ],
    );
    fake.add_watch(
        INGRESSES,
        &[
            event("MODIFIED", ingress("b", "16", "c.peers.test")),
            event("DELETED", ingress("a", "17", "a.peers.test")),
            event(
                "ERROR",
                json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}),
            ),
        ],
    );
    let (mut world, _folder) = world(&fake, Some(vec![WatchedKind::Ingress]));
    assert_eq!(listed(&mut world).await, ["Ingress demo/a: a.peers.test."]);
    fake.set_list(INGRESSES, "30", json!([ingress("d", "29", "d.peers.test")]));
    let mut changes = Vec::new();
    while changes.len() < 5 {
        changes.push(next(&mut world).await);
    }
    assert_eq!(
        changes,
        [
            "Ingress demo/b: b.peers.test.",
            "Ingress demo/b: c.peers.test.",
            "Ingress demo/a: gone",
            "Ingress demo/b: gone",
            "Ingress demo/d: d.peers.test.",
        ]
    );
    let is_asked = |version: &str| {
        let shown = fake.shown();
        let mut watches = shown.asked.iter().filter(|asked| asked.starts_with(INGRESSES));
        watches.any(|asked| asked.ends_with(&format!("resourceVersion={version}")))
    };
    assert!(is_asked("10") && is_asked("15"), "{:?}", fake.shown().asked);
    while !is_asked("30") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn kinds_that_are_not_served_or_refused_hold_up_no_other() {
    let fake = Fake::start().await;
    fake.set_list(INGRESSES, "10", json!([ingress("a", "9", "a.peers.test")]));
    fake.shown().refused.push(SERVICES.to_owned());
    let (mut world, _folder) = world(&fake, None);
    let all = listed(&mut world).await;
    assert_eq!(all[0], "Ingress demo/a: a.peers.test.");
    assert!(
        all[1].starts_with("all of Service: all of Service may not be listed; give"),
        "{all:?}"
    );
    assert!(all[1].ends_with("no rights") && all.len() == 2, "{all:?}");
    assert!(fake.shown().asked.iter().any(|asked| asked.starts_with(SETS)));
}

#[tokio::test]
async fn an_older_version_of_a_kind_is_read_where_there_is_no_newer_one() {
    let fake = Fake::start().await;
    let parent = json!({"name": "gw", "namespace": "infra"});
    let accepted = json!([{"type": "Accepted", "status": "True"}]);
    let route = json!({
        "metadata": {"namespace": "demo", "name": "hr"},
        "spec": {"parentRefs": [parent], "hostnames": ["hr.peers.test"]},
        "status": {"parents": [{"parentRef": parent, "conditions": accepted}]},
    });
    let from = json!({"namespaces": {"from": "All"}});
    let gateway = json!({
        "metadata": {"namespace": "infra", "name": "gw"},
        "spec": {"listeners": [{"name": "http", "protocol": "HTTP", "port": 80, "allowedRoutes": from}]},
    });
    let old = "/apis/gateway.networking.k8s.io/v1beta1";
    fake.set_list(&format!("{old}/httproutes"), "10", json!([route]));
    fake.set_list(&format!("{old}/gateways"), "10", json!([gateway]));
    let (mut world, _folder) = world(&fake, Some(vec![WatchedKind::HttpRoute]));
    assert_eq!(listed(&mut world).await, ["HTTPRoute demo/hr: hr.peers.test."]);
    assert_eq!(fake.count("/apis/gateway.networking.k8s.io/v1/httproutes", "limit="), 1);
}

#[tokio::test]
async fn a_kind_that_is_watched_by_name_has_to_be_permitted() {
    let fake = Fake::start().await;
    fake.shown().refused.push(SERVICES.to_owned());
    let (mut world, _folder) = world(&fake, Some(vec![WatchedKind::Service]));
    let error = world.list().await.expect_err("refused");
    assert!(error.0.contains("all of Service may not be listed"), "{error}");
}

#[tokio::test]
async fn a_cluster_that_is_away_is_an_error_of_the_world() {
    let fake = Fake::start().await;
    fake.set_list(SETS, "1", json!([]));
    let (mut world, _folder) = world(&fake, Some(vec![WatchedKind::RecordSet]));
    assert!(listed(&mut world).await.is_empty());
    // A watch that ends although nobody listens any more: the next one finds nobody.
    drop(fake);
    let (mut away, _folder) = {
        let gone = Fake::start().await;
        let made = self::world(&gone, Some(vec![WatchedKind::RecordSet]));
        drop(gone);
        made
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    let error = away.list().await.expect_err("nobody is there");
    assert!(error.0.contains("the API server cannot be reached: "), "{error}");
}

#[tokio::test]
async fn a_recorded_watch_gives_the_names_of_its_objects() {
    let fake = Fake::start().await;
    let lines = include_str!("recorded/k8s-watch-rv1.ndjson").lines();
    let events: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    fake.set_list(SERVICES, "1", json!([]));
    fake.add_watch(SERVICES, &events);
    let (mut world, _folder) = world(&fake, Some(vec![WatchedKind::Service]));
    assert!(listed(&mut world).await.is_empty());
    loop {
        if next(&mut world).await == "Service demo/web: web.peers.test." {
            return;
        }
    }
}

#[tokio::test]
async fn urgent_objects_come_before_others_that_change_with_them() {
    let fake = Fake::start().await;
    let mut urgent = ingress("z", "9", "z.peers.test");
    urgent["metadata"]["annotations"] = json!({"catalyst-dns-sync.io/priority": "high"});
    fake.set_list(INGRESSES, "10", json!([ingress("a", "9", "a.peers.test"), urgent]));
    let namespace = |version: &str| json!({"metadata": {"name": "demo", "resourceVersion": version}});
    fake.set_list("/api/v1/namespaces", "10", json!([namespace("9")]));
    fake.add_watch("/api/v1/namespaces", &[event("MODIFIED", namespace("11"))]);
    let (mut world, _folder) = world(&fake, Some(vec![WatchedKind::Ingress]));
    assert_eq!(listed(&mut world).await.len(), 2);
    let changes = [next(&mut world).await, next(&mut world).await];
    assert_eq!(
        changes,
        ["Ingress demo/z: z.peers.test.", "Ingress demo/a: a.peers.test."]
    );
}
