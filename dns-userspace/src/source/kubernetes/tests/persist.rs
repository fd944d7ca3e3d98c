//! A ConfigMap and the records of the API, each changed by whoever, at the same time, over restarts.

use std::path::Path;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fake::Fake;
use super::*;
use crate::config::{ConfigMapPlace, KubernetesSource, WatchedKind};
use crate::control::tests::fixture::{Fixture, desired, name, value};
use crate::model::record::RecordType;
use crate::model::source::SourceId;
use crate::source::kubernetes::{KubernetesWorld, Persisting};
use crate::source::{Status, SyncRequests, Watcher, WatcherSettings};

const MAP: &str = "/api/v1/namespaces/default/configmaps/jw238dns-config";
const A: RecordType = RecordType::A;
const TEXT: &str = "# ours\nlog_level: info\nrecords:\n  - {name: a.x., type: A, ttl: 300, value: [192.0.2.1]}  # gw\n";

fn source() -> SourceId {
    SourceId::watched("kubernetes", "test", 0)
}

/// A server whose API and a ConfigMap have the same records.
struct Both {
    fixture: Fixture,
    status: Arc<Status>,
    requests: SyncRequests,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Both {
    fn start(fake: &Fake, folder: &Arc<TempDir>) -> Self {
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, fake.kubeconfig()).expect("written");
        fake.set_list("/api/v1/namespaces/default/configmaps", "1", json!([]));
        let settings = KubernetesSource {
            kubeconfig: Some(Path::new(&kubeconfig).into()),
            watch: Some(vec![WatchedKind::ConfigMap]),
            config_map: ConfigMapPlace::default(),
            persist: true,
            ..KubernetesSource::default()
        };
        let base = Persisting::base_of(&source());
        let fixture = Fixture::watching(
            Arc::clone(folder),
            desired(vec![], vec![]),
            vec![source(), base.clone()],
        );
        let (status, requests) = (Arc::new(Status::new(source())), SyncRequests::default());
        let world = KubernetesWorld::new(settings, None, Arc::default()).persisting(Persisting {
            history: fixture.history(),
            control: fixture.handle(),
            base,
            requests: requests.clone(),
            met: Arc::default(),
        });
        let settings = WatcherSettings {
            min_pause: Duration::from_millis(5),
            ..WatcherSettings::default()
        };
        let handle = fixture.handle();
        let watcher = Watcher::new(source(), world, handle, Arc::clone(&status), requests.clone(), settings);
        let stop = CancellationToken::new();
        let task = tokio::spawn(watcher.run(stop.clone()));
        Self {
            fixture,
            status,
            requests,
            stop,
            task,
        }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        self.task.await.expect("ended in order");
        self.fixture.stop().await;
    }

    async fn serves(&self, owner: &str, values: &[&str]) {
        let is_so = |fixture: &Fixture| fixture.values(owner, A) == values;
        self.fixture.eventually(&format!("{owner} {values:?}"), is_so).await;
    }

    async fn put(&self, owner: &str, text: &str) {
        let put = self
            .fixture
            .handle()
            .put(name(owner), A, None, vec![value(A, text)])
            .await;
        put.expect("it is put");
    }

    async fn says(&self, fake: &Fake, what: &str, text: &str) {
        let is_so = |_: &Fixture| text_of(fake) == text;
        self.fixture.eventually(&format!("{what}: {text}"), is_so).await;
    }

    /// Waits until the source says that the write-back is held, for a reason with this in it; or that it is not.
    async fn is_held(&self, reason: Option<&str>) {
        let is_so = |_: &Fixture| {
            let report = self.status.report();
            let held = report
                .broken
                .iter()
                .find(|(what, _)| what.starts_with("write-back to "));
            match (held, reason) {
                (Some((_, why)), Some(reason)) => why.contains(reason),
                (held, reason) => held.is_none() && reason.is_none(),
            }
        };
        self.fixture.eventually(&format!("held: {reason:?}"), is_so).await;
    }
}

fn text_of(fake: &Fake) -> String {
    let shown = fake.shown();
    let text = shown
        .objects
        .get(MAP)
        .and_then(|map| map["data"]["config.yaml"].as_str());
    text.unwrap_or_default().to_owned()
}

fn set_text(fake: &Fake, text: &str) {
    let edit = |map: &mut Value| map["data"]["config.yaml"] = text.into();
    fake.shown().change(MAP, edit);
}

fn folder() -> Arc<TempDir> {
    Arc::new(TempDir::new().expect("a folder"))
}

#[tokio::test]
async fn changes_go_both_ways_and_the_rest_of_the_text_stays() {
    let fake = Fake::start().await;
    set_text(&fake, TEXT);
    fake.shown().change(MAP, |map| map["data"]["other"] = "theirs".into());
    let both = Both::start(&fake, &folder());
    both.serves("a.x.", &["192.0.2.1"]).await;
    both.put("b.x.", "192.0.2.2").await;
    let with_b = format!("{TEXT}  - {{name: b.x., type: A, ttl: 300, value: [192.0.2.2]}}\n");
    both.says(&fake, "an API's record is added", &with_b).await;
    both.put("a.x.", "192.0.2.9").await;
    both.says(&fake, "an API's change", &with_b.replace("192.0.2.1", "192.0.2.9"))
        .await;
    set_text(&fake, &with_b);
    both.serves("a.x.", &["192.0.2.1"]).await;
    let deleted = both.fixture.handle().delete(name("a.x."), None, None).await;
    deleted.expect("the API deletes what a person wrote");
    let without = "# ours\nlog_level: info\nrecords:\n  - {name: b.x., type: A, ttl: 300, value: [192.0.2.2]}\n";
    both.says(&fake, "an API's removal", without).await;
    set_text(&fake, "# ours\nlog_level: info\nrecords: []\n");
    both.serves("b.x.", &[]).await;
    assert_eq!(fake.shown().objects[MAP]["data"]["other"], "theirs");
}

#[tokio::test]
async fn a_person_who_writes_at_the_same_time_loses_nothing() {
    let fake = Fake::start().await;
    set_text(&fake, TEXT);
    let both = Both::start(&fake, &folder());
    both.serves("a.x.", &["192.0.2.1"]).await;
    for number in 1..=3 {
        let item = format!("  - {{name: p{number}.x., type: A, ttl: 300, value: [192.0.2.7]}}\n");
        let person = move |map: &mut Value| {
            let text = map["data"]["config.yaml"].as_str().expect("a text").to_owned() + &item;
            map["data"]["config.yaml"] = text.into();
        };
        fake.shown().people.push_back((MAP.to_owned(), Box::new(person)));
    }
    both.put("b.x.", "192.0.2.2").await;
    for owner in ["p1.x.", "p2.x.", "p3.x."] {
        both.serves(owner, &["192.0.2.7"]).await;
    }
    both.fixture
        .eventually("all four are written", |_| {
            let text = text_of(&fake);
            ["a.x.", "b.x.", "p1.x.", "p2.x.", "p3.x.", "# gw"]
                .iter()
                .all(|part| text.contains(part))
        })
        .await;
}

#[tokio::test]
async fn what_changed_while_we_were_away_is_known() {
    let fake = Fake::start().await;
    let folder = folder();
    set_text(&fake, TEXT);
    let both = Both::start(&fake, &folder);
    both.put("b.x.", "192.0.2.2").await;
    both.fixture
        .eventually("written", |_| text_of(&fake).contains("b.x."))
        .await;
    both.fixture
        .eventually("the watcher is in step", |_| both.status.report().last_sync.is_some())
        .await;
    both.is_held(None).await;
    both.put("c.x.", "192.0.2.3").await;
    both.fixture
        .eventually("written", |_| text_of(&fake).contains("c.x."))
        .await;
    both.put("d.x.", "192.0.2.4").await;
    both.fixture
        .eventually("written", |_| text_of(&fake).contains("d.x."))
        .await;
    both.stop().await;
    // A person takes one out, and adds another one.
    let kept = text_of(&fake)
        .lines()
        .filter(|line| !line.contains("b.x."))
        .collect::<Vec<_>>()
        .join("\n");
    set_text(
        &fake,
        &format!("{kept}\n  - {{name: e.x., type: A, ttl: 300, value: [192.0.2.5]}}\n"),
    );
    let both = Both::start(&fake, &folder);
    both.serves("e.x.", &["192.0.2.5"]).await;
    both.serves("b.x.", &[]).await;
    both.serves("c.x.", &["192.0.2.3"]).await;
    assert!(!text_of(&fake).contains("b.x."), "{}", text_of(&fake));
}

#[tokio::test]
async fn a_bad_text_and_a_map_that_is_gone_hold_the_write_back() {
    let fake = Fake::start().await;
    set_text(&fake, TEXT);
    let both = Both::start(&fake, &folder());
    both.serves("a.x.", &["192.0.2.1"]).await;
    both.is_held(None).await;
    let bad = TEXT.replace("[192.0.2.1]", "[192.0.2.one]");
    set_text(&fake, &bad);
    both.is_held(Some("jw238dns-config:config.yaml:4:")).await;
    both.put("b.x.", "192.0.2.2").await;
    both.serves("a.x.", &["192.0.2.1"]).await;
    assert_eq!(text_of(&fake), bad, "a person is at it");
    set_text(&fake, TEXT);
    both.is_held(None).await;
    both.fixture
        .eventually("written", |_| text_of(&fake).contains("b.x."))
        .await;
    fake.shown().remove(MAP);
    both.is_held(Some("it is gone")).await;
    both.serves("a.x.", &["192.0.2.1"]).await;
    set_text(&fake, TEXT);
    both.is_held(None).await;
    // The text that came back has no b.x.: a person has taken it out.
    both.serves("b.x.", &[]).await;
}

#[tokio::test]
async fn a_map_that_never_was_is_made() {
    let fake = Fake::start().await;
    let both = Both::start(&fake, &folder());
    both.put("b.x.", "192.0.2.2").await;
    let text = "records:\n  - name: b.x.\n    type: A\n    ttl: 300\n    value: [192.0.2.2]\n";
    both.says(&fake, "a new one", text).await;
}

#[tokio::test]
async fn a_list_that_loses_much_is_doubted_until_somebody_says_so() {
    let fake = Fake::start().await;
    let items: String = (0..40)
        .map(|number| format!("  - {{name: n{number}.x., type: A, ttl: 300, value: [192.0.2.1]}}\n"))
        .collect();
    set_text(
        &fake,
        &format!("records:\n  - {{name: x., type: SOA, ttl: 300, value: [{SOA}]}}\n{items}"),
    );
    let both = Both::start(&fake, &folder());
    both.serves("n39.x.", &["192.0.2.1"]).await;
    both.is_held(None).await;
    set_text(
        &fake,
        &format!("records:\n  - {{name: x., type: SOA, ttl: 300, value: [{SOA}]}}\n"),
    );
    both.is_held(Some("POST /api/v1/sources/kubernetes/test/sync")).await;
    both.serves("n39.x.", &["192.0.2.1"]).await;
    both.requests.ask(true);
    both.serves("n39.x.", &[]).await;
}

const SOA: &str = "ns.x. hostmaster.x. 1 7200 1800 86400 60";
