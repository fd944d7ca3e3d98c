//! A whole source, from its objects to what is served: claimed, conflicting, doubted, restarted.

mod objects;

use std::sync::Arc;
use std::time::Duration;

use rusqlite::ffi;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::objects::Objects;
use super::*;
use crate::control::tests::fixture::{Fixture, desired, name, value, zone};
use crate::control::{Difference, decode};
use crate::journal::HistoryQuery;
use crate::journal::faults::Step;
use crate::model::record::RecordType;
use crate::model::source::SourceId;

const A: RecordType = RecordType::A;

fn source() -> SourceId {
    SourceId::watched("objects", "shelf", 0)
}

fn settings() -> WatcherSettings {
    WatcherSettings {
        min_pause: Duration::from_millis(5),
        max_pause: Duration::from_millis(50),
        confirm_after: Duration::from_secs(3600),
        gather: Duration::from_millis(2),
        ..WatcherSettings::default()
    }
}

/// A server with a zone `x.` that watches a file of objects.
struct Watching {
    fixture: Fixture,
    path: std::path::PathBuf,
    status: Arc<Status>,
    requests: SyncRequests,
    was_at: Arc<std::sync::Mutex<Option<String>>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Watching {
    fn start(folder: Arc<tempfile::TempDir>, settings: WatcherSettings) -> Self {
        let path = folder.path().join("objects.json");
        let fixture = Fixture::watching(folder, desired(vec![zone("x.", 1, &[])], vec![]), vec![source()]);
        let world = Objects::new(path.clone());
        let (status, requests) = (Arc::new(Status::new(source())), SyncRequests::default());
        let was_at = Arc::clone(&world.was_at);
        let watcher = Watcher::new(
            source(),
            world,
            fixture.handle(),
            Arc::clone(&status),
            requests.clone(),
            settings,
        );
        let stop = CancellationToken::new();
        let task = tokio::spawn(watcher.run(stop.clone()));
        Self {
            fixture,
            path,
            status,
            requests,
            was_at,
            stop,
            task,
        }
    }

    fn new(objects: Value) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        write(&folder.path().join("objects.json"), &objects);
        Self::start(folder, settings())
    }

    fn write(&self, objects: &Value) {
        write(&self.path, objects);
    }

    async fn serves(&self, owner: &str, values: &[&str]) {
        let is_served = |fixture: &Fixture| fixture.values(owner, A) == values;
        self.fixture.eventually(&format!("{owner} {values:?}"), is_served).await;
    }

    async fn is(&self, state: SourceState) -> SourceReport {
        let is_so = |_: &Fixture| self.status.report().state == state;
        self.fixture.eventually(state.label(), is_so).await;
        self.status.report()
    }

    async fn stop(mut self) -> Arc<tempfile::TempDir> {
        self.stop.cancel();
        self.task.await.expect("no panic");
        assert_eq!(self.status.report().state, SourceState::Stopped);
        self.fixture.stop().await;
        self.fixture.folder.clone()
    }
}

/// Whole or not at all, as an editor does.
fn write(path: &std::path::Path, objects: &Value) {
    let new = path.with_extension("new");
    std::fs::write(&new, objects.to_string()).expect("written");
    std::fs::rename(&new, path).expect("renamed");
}

fn thing(since: u64, owner: &str, addresses: &[&str]) -> Value {
    json!({"since": since, "name": owner, "addresses": addresses})
}

#[tokio::test]
async fn objects_become_records_and_follow_what_changes() {
    let watching = Watching::new(json!({"one": thing(1, "www.x.", &["192.0.2.1"])}));
    watching.serves("www.x.", &["192.0.2.1"]).await;
    watching.write(&json!({
        "one": thing(1, "www.x.", &["192.0.2.1"]),
        "two": thing(2, "www.x.", &["192.0.2.2"]),
        "three": thing(3, "new.x.", &["192.0.2.3"]),
    }));
    watching.serves("www.x.", &["192.0.2.1", "192.0.2.2"]).await;
    watching.serves("new.x.", &["192.0.2.3"]).await;
    watching.write(&json!({"two": thing(2, "www.x.", &["192.0.2.2"])}));
    watching.serves("www.x.", &["192.0.2.2"]).await;
    watching.serves("new.x.", &[]).await;
    let is_reported = |_: &Fixture| {
        let report = watching.status.report();
        (report.state, report.objects, report.rrsets, report.error) == (SourceState::Synced, 1, 1, None)
    };
    watching.fixture.eventually("reported", is_reported).await;
    assert!(watching.fixture.metric(r#"hotdns_records{source="objects"} 1"#));
    watching.stop().await;
}

#[tokio::test]
async fn a_source_of_higher_precedence_is_served_and_the_others_come_back() {
    let watching = Watching::new(json!({"one": thing(1, "www.x.", &["192.0.2.1"])}));
    watching.serves("www.x.", &["192.0.2.1"]).await;
    let control = watching.fixture.handle();
    let refused = control
        .create(name("www.x."), A, None, vec![value(A, "198.51.100.1")])
        .await;
    let text = refused.expect_err("it is the source's").to_string();
    assert!(
        text.contains("objects shelf, one") && text.contains("change the object"),
        "{text}"
    );
    // The file of the zone comes before it.
    let records = [("www.x.", A, "198.51.100.2")];
    *watching.fixture.files.lock().expect("not poisoned") = Ok(desired(vec![zone("x.", 2, &records)], vec![]));
    control.reload().await.expect("reloaded");
    watching.serves("www.x.", &["198.51.100.2"]).await;
    assert!(watching.fixture.metric("hotdns_conflicts_count 1"));
    *watching.fixture.files.lock().expect("not poisoned") = Ok(desired(vec![zone("x.", 3, &[])], vec![]));
    control.reload().await.expect("reloaded");
    watching.serves("www.x.", &["192.0.2.1"]).await;
    watching.stop().await;
}

#[tokio::test]
async fn a_world_that_is_empty_all_at_once_is_doubted_until_told() {
    let watching = Watching::new(json!({"one": thing(1, "www.x.", &["192.0.2.1"])}));
    watching.serves("www.x.", &["192.0.2.1"]).await;
    // Away, and back with nothing: as behind a proxy that lost its backend.
    std::fs::remove_file(&watching.path).expect("removed");
    let report = watching.is(SourceState::Degraded).await;
    assert!(report.error.expect("a reason").contains("No such file"));
    assert_eq!(watching.fixture.values("www.x.", A), ["192.0.2.1"]);
    watching.write(&json!({}));
    let is_doubted = |_: &Fixture| {
        let error = watching.status.report().error;
        error.is_some_and(|error| error.contains("had 1 RRsets") && error.contains("objects/shelf/sync"))
    };
    watching.fixture.eventually("doubted", is_doubted).await;
    assert_eq!(watching.fixture.values("www.x.", A), ["192.0.2.1"]);
    watching.requests.ask(false);
    watching.serves("www.x.", &[]).await;
    watching.is(SourceState::Synced).await;
    watching.stop().await;
}

#[tokio::test]
async fn a_second_empty_list_confirms_the_first() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("objects.json");
    write(&path, &json!({"one": thing(1, "www.x.", &["192.0.2.1"])}));
    let confirm = WatcherSettings {
        confirm_after: Duration::from_millis(40),
        ..settings()
    };
    let watching = Watching::start(folder, confirm);
    watching.serves("www.x.", &["192.0.2.1"]).await;
    let folder = watching.stop().await;
    // The server was down meanwhile.
    write(&path, &json!({}));
    let watching = Watching::start(folder, confirm);
    watching.serves("www.x.", &[]).await;
    watching.is(SourceState::Synced).await;
    watching.stop().await;
}

/// A registry that lost its memory: the deletion guard holds its first list.
#[tokio::test]
async fn a_world_that_lost_most_of_it_is_doubted_until_a_second_list() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("objects.json");
    let many = (0..30).map(|number| {
        let owner = format!("h{number}.x.");
        (owner.clone(), thing(1, &owner, &["192.0.2.1"]))
    });
    let many: Value = serde_json::Map::from_iter(many).into();
    write(&path, &many);
    let watching = Watching::start(folder, settings());
    watching.serves("h29.x.", &["192.0.2.1"]).await;
    let folder = watching.stop().await;
    write(&path, &json!({"new": thing(2, "new.x.", &["192.0.2.2"])}));
    let watching = Watching::start(folder, settings());
    let report = watching.is(SourceState::Degraded).await;
    let error = report.error.expect("a reason");
    assert!(
        error.contains("would lose") && error.contains("objects/shelf/sync"),
        "{error}"
    );
    assert_eq!(watching.fixture.values("h29.x.", A), ["192.0.2.1"]);
    let folder = watching.stop().await;

    let confirm = WatcherSettings {
        confirm_after: Duration::from_millis(40),
        ..settings()
    };
    let watching = Watching::start(folder, confirm);
    watching.serves("new.x.", &["192.0.2.2"]).await;
    watching.serves("h29.x.", &[]).await;
    watching.is(SourceState::Synced).await;
    watching.stop().await;
}

#[tokio::test]
async fn what_was_served_is_served_after_a_restart_whose_world_is_away() {
    let watching = Watching::new(json!({
        "one": thing(7, "www.x.", &["192.0.2.1"]),
        "gone": thing(8, "gone.x.", &["192.0.2.8"]),
    }));
    watching.serves("gone.x.", &["192.0.2.8"]).await;
    let serial = watching.fixture.serial("x.");
    let folder = watching.stop().await;
    let path = folder.path().join("objects.json");
    std::fs::remove_file(&path).expect("removed");

    let watching = Watching::start(folder, settings());
    let report = watching.is(SourceState::Degraded).await;
    assert_eq!(report.rrsets, 2);
    assert!(report.last_sync.is_some(), "its age is known");
    assert_eq!(watching.fixture.values("www.x.", A), ["192.0.2.1"]);
    assert_eq!(watching.fixture.serial("x."), serial, "nothing has changed");
    assert_eq!(
        watching.was_at.lock().expect("not poisoned").as_deref(),
        Some("2 objects")
    );
    let snapshot = watching.fixture.snapshot();
    let rrset = snapshot.zones[&name("x.").key()]
        .rrset(&name("www.x.").key(), A)
        .expect("served");
    assert_eq!(rrset.origin.to_string(), "objects shelf, one");
    assert_eq!(rrset.origin.since(), Some(7));
    // Back, without one of them.
    watching.write(&json!({"one": thing(7, "www.x.", &["192.0.2.1"])}));
    watching.serves("gone.x.", &[]).await;
    assert_eq!(watching.fixture.values("www.x.", A), ["192.0.2.1"]);
    watching.stop().await;
}

#[tokio::test]
async fn a_source_that_is_not_configured_any_more_is_not_served_nor_kept() {
    let watching = Watching::new(json!({"one": thing(1, "www.x.", &["192.0.2.1"])}));
    watching.serves("www.x.", &["192.0.2.1"]).await;
    let folder = watching.stop().await;
    let without = |folder| Fixture::watching(folder, desired(vec![zone("x.", 1, &[])], vec![]), Vec::new());
    let mut fixture = without(folder.clone());
    assert_eq!(fixture.values("www.x.", A), [""; 0]);
    fixture.stop().await;
    // It is gone for one that has it configured again, too.
    std::fs::remove_file(folder.path().join("objects.json")).expect("removed");
    let watching = Watching::start(folder, settings());
    watching.is(SourceState::Degraded).await;
    assert_eq!(watching.fixture.values("www.x.", A), [""; 0]);
    watching.stop().await;
}

#[tokio::test]
async fn an_object_that_cannot_be_understood_is_reported_and_what_it_said_stays() {
    let watching = Watching::new(json!({
        "one": thing(1, "www.x.", &["192.0.2.1"]),
        "bad": thing(1, "bad.x.", &["192.0.2.256"]),
    }));
    watching.serves("www.x.", &["192.0.2.1"]).await;
    let report = watching.is(SourceState::Synced).await;
    assert_eq!(report.broken_count, 1);
    let (key, reason) = &report.broken[0];
    assert!(key == "bad" && reason.contains("192.0.2.256"), "{key}: {reason}");
    watching.write(&json!({
        "one": {"since": 1, "name": "www.x."},
        "bad": thing(1, "bad.x.", &["192.0.2.2"]),
    }));
    watching.serves("bad.x.", &["192.0.2.2"]).await;
    assert_eq!(
        watching.fixture.values("www.x.", A),
        ["192.0.2.1"],
        "what it said before"
    );
    let is_reported = |_: &Fixture| {
        let broken = watching.status.report().broken;
        broken
            .iter()
            .any(|(key, reason)| key == "one" && reason.contains("addresses"))
    };
    watching.fixture.eventually("reported", is_reported).await;
    watching.stop().await;
}

#[tokio::test]
async fn a_source_that_is_put_back_is_held_until_it_may_go_on() {
    let one = |address: &str| json!({"one": thing(1, "www.x.", &[address])});
    let watching = Watching::new(one("192.0.2.1"));
    watching.serves("www.x.", &["192.0.2.1"]).await;
    let before = watching.fixture.snapshot().version;
    watching.write(&json!({
        "one": thing(1, "www.x.", &["192.0.2.9"]),
        "two": thing(2, "new.x.", &["192.0.2.2"]),
    }));
    watching.serves("new.x.", &["192.0.2.2"]).await;
    let control = watching.fixture.handle();
    let query = HistoryQuery {
        after: before,
        before: u64::MAX,
        newest_first: false,
        limit: 100,
    };
    let past = control.past(query).await;
    let since: Vec<Difference> = past
        .expect("the history")
        .iter()
        .flat_map(decode)
        .flat_map(|past| past.diff)
        .collect();
    let paused = Paused::new(&watching.status, &watching.requests, &watching.fixture.handle()).await;
    paused
        .roll_back(before, since, false, "somebody".into())
        .await
        .expect("put back");
    watching.serves("www.x.", &["192.0.2.1"]).await;
    watching.serves("new.x.", &[]).await;
    let report = watching.is(SourceState::Held).await;
    assert_eq!((report.held, report.rrsets), (Some(before), 1));
    // What its world says meanwhile changes nothing, and a restart neither.
    watching.write(&one("192.0.2.7"));
    watching.requests.ask(true);
    let is_seen = |_: &Fixture| watching.status.report().objects == 1;
    watching.fixture.eventually("the world is watched", is_seen).await;
    assert_eq!(watching.fixture.values("www.x.", A), ["192.0.2.1"]);
    let folder = watching.stop().await;
    let watching = Watching::start(folder, settings());
    assert_eq!(watching.is(SourceState::Held).await.held, Some(before));
    watching
        .fixture
        .eventually("listed", |_| watching.status.report().objects == 1)
        .await;
    assert_eq!(watching.fixture.values("www.x.", A), ["192.0.2.1"]);
    let control = watching.fixture.handle();
    let paused = || Paused::new(&watching.status, &watching.requests, &control);
    assert!(paused().await.resume("somebody".into()).await.expect("resumed"));
    watching.serves("www.x.", &["192.0.2.7"]).await;
    assert_eq!(watching.is(SourceState::Synced).await.held, None);
    assert!(!paused().await.resume("somebody".into()).await.expect("not held"));
    watching.stop().await;
}

#[tokio::test]
async fn a_database_that_cannot_be_written_holds_no_source_up() {
    let watching = Watching::new(json!({"one": thing(1, "www.x.", &["192.0.2.1"])}));
    watching.serves("www.x.", &["192.0.2.1"]).await;
    watching
        .fixture
        .faults
        .lock()
        .expect("not poisoned")
        .fail_always(Step::Commit, ffi::SQLITE_FULL);
    watching.write(&json!({"one": thing(1, "www.x.", &["192.0.2.9"])}));
    watching.serves("www.x.", &["192.0.2.9"]).await;
    let is_open = |fixture: &Fixture| fixture.readiness.storage().reason.is_none();
    // It is served before the writer says that it could not be kept.
    watching
        .fixture
        .eventually("not written", |fixture| !is_open(fixture))
        .await;
    watching.fixture.faults.lock().expect("not poisoned").stop();
    // Kept once it can be: by time, with no further change.
    watching.fixture.eventually("written again", is_open).await;
    let folder = watching.stop().await;
    std::fs::remove_file(folder.path().join("objects.json")).expect("removed");
    let watching = Watching::start(folder, settings());
    watching.is(SourceState::Degraded).await;
    assert_eq!(watching.fixture.values("www.x.", A), ["192.0.2.9"]);
    watching.stop().await;
}
