//! What an API server does on bad days: it throttles, forgets, drops connections, pages, wants another token.

use super::fake::{Fake, Fault};
use super::watches::{event, ingress, listed, next, world};
use super::*;
use crate::config::{KubernetesSource, WatchedKind};
use crate::source::World;
use crate::source::kubernetes::KubernetesWorld;

const INGRESSES: &str = "/apis/networking.k8s.io/v1/ingresses";
const ONE: &str = "Ingress demo/a: a.peers.test.";

async fn with_one() -> Fake {
    let fake = Fake::start().await;
    fake.set_list(INGRESSES, "10", json!([ingress("a", "9", "a.peers.test")]));
    fake
}

fn ingresses() -> Option<Vec<WatchedKind>> {
    Some(vec![WatchedKind::Ingress])
}

#[tokio::test]
async fn a_list_that_is_throttled_comes_when_the_server_says() {
    let fake = with_one().await;
    fake.add_fault(INGRESSES, "limit=", Fault::Status(429, 1));
    let started = Instant::now();
    let (mut world, _folder) = world(&fake, ingresses());
    assert_eq!(listed(&mut world).await, [ONE]);
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(fake.count(INGRESSES, "limit="), 2, "one more, and no burst");
}

#[tokio::test]
async fn a_watch_that_is_throttled_goes_on_and_nothing_is_listed_anew() {
    let fake = with_one().await;
    for _ in 0..4 {
        fake.add_fault(INGRESSES, "watch=1", Fault::Status(429, 0));
    }
    fake.add_watch(INGRESSES, &[event("ADDED", ingress("b", "11", "b.peers.test"))]);
    let (mut world, _folder) = world(&fake, ingresses());
    assert_eq!(listed(&mut world).await, [ONE]);
    assert_eq!(next(&mut world).await, "Ingress demo/b: b.peers.test.");
    assert_eq!(fake.count(INGRESSES, "limit="), 1);
}

#[tokio::test]
async fn a_long_list_comes_in_pages_and_begins_anew_where_its_rest_expired() {
    let fake = Fake::start().await;
    let items: Vec<Value> = (0..25)
        .map(|number| ingress(&format!("i{number:02}"), "9", &format!("h{number}.peers.test")))
        .collect();
    fake.set_list(INGRESSES, "10", items.into());
    fake.shown().pages.insert(INGRESSES.to_owned(), 10);
    fake.add_fault(INGRESSES, "continue=20", Fault::Status(410, 0));
    let (mut world, _folder) = world(&fake, ingresses());
    let all = listed(&mut world).await;
    assert_eq!(all.len(), 25);
    assert_eq!(all[24], "Ingress demo/i24: h24.peers.test.");
    assert_eq!(fake.count(INGRESSES, "limit="), 6, "three pages twice");
}

#[tokio::test]
async fn a_dropped_connection_loses_and_doubles_nothing() {
    let fake = with_one().await;
    let first = event("ADDED", ingress("b", "11", "b.peers.test"));
    let half = &event("ADDED", ingress("c", "12", "c.peers.test")).to_string()[..40];
    fake.add_fault(INGRESSES, "watch=1", Fault::Cut(format!("{first}\n{half}")));
    fake.add_watch(INGRESSES, &[event("ADDED", ingress("c", "12", "c.peers.test"))]);
    let (mut world, _folder) = world(&fake, ingresses());
    assert_eq!(listed(&mut world).await, [ONE]);
    assert_eq!(next(&mut world).await, "Ingress demo/b: b.peers.test.");
    assert_eq!(next(&mut world).await, "Ingress demo/c: c.peers.test.");
    assert_eq!(
        fake.count(INGRESSES, "resourceVersion=11"),
        1,
        "it went on behind what had come"
    );
    assert_eq!(fake.count(INGRESSES, "limit="), 1);
}

#[tokio::test]
async fn a_dropped_list_is_an_error_of_the_world_and_the_next_one_is_whole() {
    let fake = with_one().await;
    fake.add_fault(
        INGRESSES,
        "limit=",
        Fault::Cut("{\"metadata\": {}, \"items\": [".to_owned()),
    );
    let (mut world, _folder) = world(&fake, ingresses());
    world.list().await.expect_err("half a list is none");
    assert_eq!(listed(&mut world).await, [ONE]);
}

#[tokio::test]
async fn a_watch_whose_version_is_gone_at_once_is_listed_anew() {
    let fake = with_one().await;
    fake.add_fault(INGRESSES, "watch=1", Fault::Status(410, 0));
    let (mut world, _folder) = world(&fake, ingresses());
    assert_eq!(listed(&mut world).await, [ONE]);
    assert_eq!(next(&mut world).await, ONE, "the second list");
    assert_eq!(fake.count(INGRESSES, "limit="), 2);
    let added = event("ADDED", ingress("b", "11", "b.peers.test"));
    fake.shown().emit(INGRESSES, &added.to_string());
    assert_eq!(next(&mut world).await, "Ingress demo/b: b.peers.test.");
    assert_eq!(fake.count(INGRESSES, "limit="), 2);
}

#[tokio::test]
async fn a_token_that_is_rotated_is_read_anew() {
    let fake = with_one().await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "tok").expect("written");
    let kubeconfig = folder.path().join("kubeconfig");
    let user = json!({"tokenFile": token});
    std::fs::write(&kubeconfig, fake.kubeconfig_with(user)).expect("written");
    let settings = KubernetesSource {
        kubeconfig: Some(kubeconfig.into()),
        targets: vec!["192.0.2.54".into()],
        watch: ingresses(),
        ..publishing()
    };
    // The watch ends after this event; the next one needs the new token.
    fake.add_watch(INGRESSES, &[event("ADDED", ingress("b", "11", "b.peers.test"))]);
    let mut world = KubernetesWorld::new(settings, None, Arc::default());
    assert_eq!(listed(&mut world).await, [ONE]);
    std::fs::write(&token, "next").expect("written");
    fake.shown().token = "next".to_owned();
    loop {
        // What the first token still brought, then the end of it.
        let event = tokio::time::timeout(Duration::from_secs(20), world.next())
            .await
            .expect("in time");
        if let Err(error) = event {
            assert!(error.0.contains("Unauthorized"), "{error}");
            break;
        }
    }
    assert_eq!(listed(&mut world).await, [ONE]);
}
