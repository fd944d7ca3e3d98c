//! Two clusters at once, whose objects have one name: the first is served, the second is told, and takes its place.

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::fake::Fake;
use super::watches::{event, ingress};
use super::*;
use crate::config::{KubernetesSource, WatchedKind};
use crate::control::tests::fixture::{Fixture, desired};
use crate::model::record::RecordType;
use crate::model::source::SourceId;
use crate::source::kubernetes::{KnownCluster, KubernetesWorld, unserved};
use crate::source::{Status, SyncRequests, Watcher, WatcherSettings};

const INGRESSES: &str = "/apis/networking.k8s.io/v1/ingresses";

fn watched(name: &str, place: u32) -> SourceId {
    SourceId::watched("kubernetes", name, place)
}

#[tokio::test]
async fn the_first_cluster_is_served_and_the_second_takes_its_place() {
    let (first, second) = (watched("first", 0), watched("second", 1));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let sources = vec![first.clone(), second.clone()];
    let fixture = Fixture::watching(Arc::clone(&folder), desired(vec![], vec![]), sources);
    let stop = CancellationToken::new();
    let (mut fakes, mut clusters, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
    for (id, target) in [(&first, "192.0.2.1"), (&second, "192.0.2.2")] {
        let fake = Fake::start().await;
        fake.set_list(INGRESSES, "10", json!([ingress("a", "9", "www.peers.test")]));
        let kubeconfig = folder.path().join(id.key().replace('/', "-"));
        std::fs::write(&kubeconfig, fake.kubeconfig()).expect("written");
        let settings = KubernetesSource {
            kubeconfig: Some(kubeconfig.into()),
            targets: vec![target.to_owned()],
            watch: Some(vec![WatchedKind::Ingress]),
            ..publishing()
        };
        let known = Arc::new(KnownCluster::new(Arc::new(settings.clone())));
        let world = KubernetesWorld::new(settings, None, Arc::default()).known_to(Arc::clone(&known));
        let (status, requests) = (Arc::new(Status::new(id.clone())), SyncRequests::default());
        let handle = fixture.handle();
        let watcher = Watcher::new(id.clone(), world, handle, status, requests, WatcherSettings::default());
        tasks.push(tokio::spawn(watcher.run(stop.clone())));
        fakes.push(fake);
        clusters.push(known);
    }
    let serves = |value: &'static str| {
        let is_so = move |fixture: &Fixture| fixture.values("www.peers.test.", RecordType::A) == [value];
        fixture.eventually(value, is_so)
    };
    let why = |place: usize, id: &SourceId| {
        let found = clusters[place].explain("ingress/demo/a").expect("a kind")?;
        let claims = found.claims.expect("it is good");
        unserved(&claims[0], &fixture.snapshot(), id).map(|why| why.to_string())
    };
    serves("192.0.2.1").await;
    fixture
        .eventually("the second one is told", |_| {
            let why = why(1, &second);
            why.is_some_and(|why| why == "www.peers.test. A of kubernetes first, Ingress demo/a is served")
        })
        .await;
    assert_eq!(why(0, &first), None);
    fakes[0].shown().emit(
        INGRESSES,
        &event("DELETED", ingress("a", "11", "www.peers.test")).to_string(),
    );
    serves("192.0.2.2").await;
    assert_eq!(why(1, &second), None);
    assert!(clusters[0].explain("ingress/demo/a").expect("a kind").is_none());
    fakes[0].shown().emit(
        INGRESSES,
        &event("ADDED", ingress("a", "12", "www.peers.test")).to_string(),
    );
    serves("192.0.2.1").await;
    stop.cancel();
    for task in tasks {
        task.await.expect("ended in order");
    }
}

#[test]
fn objects_are_named_as_kubectl_takes_them() {
    let known = KnownCluster::new(Arc::new(publishing()));
    for (object, wrong) in [
        ("ingress/demo/a", false),
        ("HTTPRoutes/demo/a", false),
        ("node/n1", false),
        ("grafana", true),
        ("pods/a/b/c", true),
        ("deployment/demo/a", true),
    ] {
        assert_eq!(known.explain(object).is_err(), wrong, "{object}");
    }
}
