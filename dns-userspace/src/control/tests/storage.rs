//! The database is not there, goes, comes, and fails: what is served, and what is left behind.

use std::sync::Arc;

use rusqlite::ffi;

use super::super::ControlError;
use super::fixture::{Fixture, desired, name, value, zone};
use crate::journal::faults::Step;
use crate::journal::{Entry, FILE_NAME, Storage};
use crate::model::record::{Handling, Rdata, RecordType, RrSet};
use crate::model::source::Origin;

const A: RecordType = RecordType::A;

fn address(last: u8) -> Vec<Rdata> {
    vec![value(A, &format!("192.0.2.{last}"))]
}

/// Another process, which has put `kept.x. A 192.0.2.9`.
fn other(folder: &tempfile::TempDir) -> Storage {
    let (mut other, _) = Storage::open(folder.path()).expect("opened");
    let rrset = RrSet {
        rtype: A,
        ttl: 300,
        rdatas: address(9).into(),
        origin: Origin::api(),
        handling: Handling::default(),
    };
    let put = Entry::Put(None, name("kept.x."), rrset.into());
    other.write(&[put], &[]).expect("written");
    other
}

fn fail(fixture: &Fixture, step: Step, code: i32) {
    fixture.faults.lock().expect("not poisoned").fail_always(step, code);
}

fn succeed(fixture: &Fixture) {
    fixture.faults.lock().expect("not poisoned").stop();
}

#[tokio::test]
async fn nothing_is_served_before_the_records_are_read() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let other = other(&folder);
    let fixture = Fixture::within(folder, desired(vec![zone("x.", 7, &[])], vec![]), None);
    let control = fixture.handle();
    fixture.readiness.serve();
    assert!(fixture.snapshot().is_withheld);
    let reason = fixture.readiness.not_ready().expect("not ready");
    assert!(reason.contains("another process holds"), "{reason}");
    assert!(fixture.metric("hotdns_ready 0"));
    let refused = control.create(name("a.x."), A, None, address(1)).await;
    assert!(matches!(refused, Err(ControlError::NotReady(_))), "{refused:?}");
    let refused = control.delete(name("kept.x."), None, None).await;
    assert!(
        matches!(refused, Err(ControlError::NotReady(_))),
        "not found is not known"
    );

    // A reload meanwhile is served once the records are; a bad one changes nothing.
    *fixture.files.lock().expect("not poisoned") =
        Ok(desired(vec![zone("x.", 8, &[("b.x.", A, "192.0.2.8")])], vec![]));
    let refused = control.reload().await;
    assert!(matches!(refused, Err(ControlError::NotReady(_))), "{refused:?}");
    *fixture.files.lock().expect("not poisoned") = Err(vec!["hotdns.yaml:1:1: bad".to_owned()]);
    let refused = control.reload().await;
    assert!(matches!(refused, Err(ControlError::ReloadFailed(_))), "{refused:?}");
    assert!(fixture.snapshot().is_withheld);

    drop(other);
    let is_ready = |fixture: &Fixture| fixture.readiness.not_ready().is_none();
    fixture.eventually("ready, with no command", is_ready).await;
    assert_eq!(fixture.values("kept.x.", A), ["192.0.2.9"]);
    assert_eq!(fixture.values("b.x.", A), ["192.0.2.8"]);
    assert_eq!(fixture.serial("x."), Some(8));
    let created = control.create(name("a.x."), A, None, address(1)).await;
    created.expect("created");
}

#[tokio::test]
async fn a_stop_while_the_records_are_waited_for_ends_the_writer() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let _other = other(&folder);
    let mut fixture = Fixture::within(folder, desired(vec![], vec![]), None);
    fixture.stop().await;
}

#[tokio::test]
async fn a_change_whose_write_fails_at_any_step_is_not_made() {
    for step in [Step::Begin, Step::Statement, Step::Commit, Step::Rollback] {
        let fixture = Fixture::new(desired(vec![zone("x.", 7, &[])], vec![]));
        let control = fixture.handle();
        let created = control.create(name("a.x."), A, None, address(1)).await;
        created.expect("created");
        let before = (fixture.snapshot(), fixture.serial("x."));
        fail(&fixture, step, ffi::SQLITE_IOERR_FSYNC);
        for result in [
            control.create(name("b.x."), A, None, address(2)).await.map(|_| ()),
            control.put(name("a.x."), A, None, address(2)).await.map(|_| ()),
            control.delete(name("a.x."), None, None).await,
        ] {
            assert!(
                matches!(result, Err(ControlError::StorageLocked(_))),
                "{step:?}: {result:?}"
            );
        }
        assert!(Arc::ptr_eq(&before.0, &fixture.snapshot()), "{step:?}");
        assert_eq!(before.1, fixture.serial("x."));
        assert_ne!(fixture.readiness.storage().reason, None, "it shows");
        succeed(&fixture);
        // By time: no command is needed for it to be in order again.
        let open = |fixture: &Fixture| fixture.readiness.storage().reason.is_none();
        fixture.eventually("written again", open).await;
        let created = control.create(name("c.x."), A, None, address(3)).await;
        created.expect("created");
        let fixture = fixture.restart(desired(vec![zone("x.", 7, &[])], vec![])).await;
        assert_eq!(fixture.values("a.x.", A), ["192.0.2.1"], "{step:?}");
        assert_eq!(fixture.values("b.x.", A), [""; 0]);
        assert_eq!(fixture.values("c.x.", A), ["192.0.2.3"]);
    }
}

#[tokio::test]
async fn a_reload_that_cannot_be_saved_changes_nothing() {
    let fixture = Fixture::new(desired(vec![zone("x.", 1, &[])], vec![]));
    let control = fixture.handle();
    let before = fixture.snapshot();
    let mut next = desired(vec![zone("y.", 1, &[])], vec![]);
    next.ttl.default = 77;
    *fixture.files.lock().expect("not poisoned") = Ok(next);
    fail(&fixture, Step::Commit, ffi::SQLITE_FULL);
    let refused = control.reload().await;
    assert!(matches!(refused, Err(ControlError::StorageLocked(_))), "{refused:?}");
    succeed(&fixture);
    assert!(Arc::ptr_eq(&before, &fixture.snapshot()));
    let created = control.create(name("a.x."), A, None, address(1)).await;
    assert_eq!(
        created.expect("created").rrset.expect("put").ttl,
        300,
        "the rules are those before"
    );
    assert!(fixture.metric("hotdns_reload_failures_total 1"));
    // What zones there were is still known: the next one says which go.
    let report = control.reload().await.expect("reloaded");
    assert_eq!(report.counts.removed, 2, "{report:?}");
    assert!(fixture.snapshot().zones.contains_key(&name("y.").key()));
    assert_eq!(fixture.values("a.x.", A), ["192.0.2.1"]);
}

#[tokio::test]
async fn a_database_that_is_deleted_takes_no_changes_and_its_copy_does() {
    let fixture = Fixture::new(desired(vec![zone("x.", 1, &[])], vec![]));
    let control = fixture.handle();
    let created = control.create(name("a.x."), A, None, address(1)).await;
    created.expect("created");
    let (path, backup) = (
        fixture.storage_path().join(FILE_NAME),
        fixture.storage_path().join("backup"),
    );
    // What a backup of the stopped server would have.
    let fixture = fixture.restart(desired(vec![zone("x.", 1, &[])], vec![])).await;
    std::fs::copy(&path, &backup).expect("copied");
    std::fs::remove_file(&path).expect("deleted");
    let control = fixture.handle();
    let refused = control.create(name("b.x."), A, None, address(2)).await;
    assert!(
        matches!(&refused, Err(ControlError::StorageLocked(reason)) if reason.contains("deleted")),
        "{refused:?}"
    );
    assert_eq!(fixture.values("a.x.", A), ["192.0.2.1"], "what was there is served");
    assert!(fixture.metric(r#"hotdns_storage_state{state="replaced"} 1"#));
    assert_eq!(control.reload().await.expect("files need no database").counts.added, 0);

    // Another database is not taken.
    let elsewhere = Arc::new(tempfile::tempdir().expect("a folder"));
    drop(other(&elsewhere));
    std::fs::copy(elsewhere.path().join(FILE_NAME), &path).expect("copied");
    let is_refused = |fixture: &Fixture| {
        let reason = fixture.readiness.storage().reason;
        reason.is_some_and(|reason| reason.contains("does not hold the records that are served"))
    };
    fixture.eventually("looked at", is_refused).await;
    let refused = control.create(name("b.x."), A, None, address(2)).await;
    assert!(matches!(refused, Err(ControlError::StorageLocked(_))), "{refused:?}");
    assert_eq!(fixture.values("kept.x.", A), [""; 0]);

    // A copy is.
    std::fs::remove_file(&path).expect("deleted");
    std::fs::copy(&backup, &path).expect("copied");
    let open = |fixture: &Fixture| fixture.readiness.storage().reason.is_none();
    fixture.eventually("taken", open).await;
    let created = control.create(name("b.x."), A, None, address(2)).await;
    created.expect("created");
    let fixture = fixture.restart(desired(vec![zone("x.", 1, &[])], vec![])).await;
    assert_eq!(fixture.values("a.x.", A), ["192.0.2.1"]);
    assert_eq!(fixture.values("b.x.", A), ["192.0.2.2"]);
}
