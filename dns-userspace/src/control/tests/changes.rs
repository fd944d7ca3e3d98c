//! Changes of the API: durable, grouped, all or nothing.

use std::future::poll_fn;
use std::task::Poll;

use super::super::ControlError;
use super::fixture::{Fixture, desired, name, value, zone};
use crate::journal::{Entry, Storage};
use crate::model::record::{Handling, RecordType};
use crate::store::{Refusal, Refused};

const A: RecordType = RecordType::A;
const CNAME: RecordType = RecordType::CNAME;

fn address(last: u8) -> Vec<crate::model::record::Rdata> {
    vec![value(A, &format!("192.0.2.{last}"))]
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let fixture = Fixture::new(desired(vec![], vec![]));
    let control = fixture.handle();
    control
        .create(name("WWW.x."), A, None, address(1))
        .await
        .expect("created");
    control
        .create(name("www.X."), A, None, address(2))
        .await
        .expect("added");
    control
        .put(name("gone.x."), A, Some(60), address(3))
        .await
        .expect("put");
    control.delete(name("gone.x."), None, None).await.expect("deleted");
    let fixture = fixture.restart(desired(vec![], vec![])).await;
    assert_eq!(fixture.values("www.x.", A), ["192.0.2.1", "192.0.2.2"]);
    let snapshot = fixture.snapshot();
    let key = name("www.x.").key();
    let node = snapshot.node(&key).expect("there");
    assert_eq!(node.owner(&key).to_string(), "WWW.x.", "the first case is kept");
    assert_eq!(node.rrsets[0].ttl, 300);
    assert!(snapshot.node(&name("gone.x.").key()).is_none());
    assert!(fixture.metric(r#"hotdns_records{source="api"} 2"#));
}

#[tokio::test]
async fn commands_that_wait_share_one_publication() {
    let fixture = Fixture::new(desired(vec![], vec![]));
    let control = fixture.handle();
    let closed = fixture.gate.clone();
    let (held, is_held) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        let _guard = closed.lock().expect("not poisoned");
        held.send(()).expect("awaited");
        released.recv().expect("sent");
    });
    is_held.await.expect("held");
    let mut clients: Vec<_> = (0..100u8)
        .map(|client| {
            let control = control.clone();
            let owner = name(&format!("c{client}.x."));
            Box::pin(async move { control.create(owner, A, None, address(client)).await })
        })
        .collect();
    for client in &mut clients {
        // To be polled once sends the command: the first of them wait at the gate, the others in the queue.
        let polled = poll_fn(|context| Poll::Ready(client.as_mut().poll(context).is_pending())).await;
        assert!(polled, "it waits for its reply");
    }
    release.send(()).expect("received");
    holder.join().expect("ended");
    for client in clients {
        client.await.expect("created");
    }
    let publications = fixture.served.lock().expect("not poisoned").publications;
    assert!(
        publications < 20,
        "{publications} publications for 100 commands at once"
    );
    assert_eq!(fixture.snapshot().overlays.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_are_all_answered_and_agree_with_the_database() {
    let fixture = Fixture::new(desired(vec![zone("x.", 1, &[])], vec![]));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..50u8 {
        let control = fixture.handle();
        clients.spawn(async move {
            // Everyone adds to one RRset, and creates, replaces and deletes names of their own.
            let shared = control.create(name("shared.x."), A, None, address(client)).await;
            shared.expect("added");
            for round in 0..10u8 {
                let own = name(&format!("n{round}.c{client}.x."));
                let created = control.create(own.clone(), A, None, address(round)).await;
                assert!(created.expect("created").created);
                control.put(own.clone(), A, None, address(99)).await.expect("replaced");
                if round % 2 == 0 {
                    control.delete(own, Some(A), None).await.expect("deleted");
                }
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("no panic");
    }
    let before = fixture.snapshot();
    assert_eq!(fixture.values("shared.x.", A).len(), 50);
    assert_eq!(before.zones[&name("x.").key()].nodes.len(), 2 + 50 * 5);
    let serial = fixture.serial("x.");
    assert!(serial > Some(1));
    let fixture = fixture.restart(desired(vec![zone("x.", 1, &[])], vec![])).await;
    let after = fixture.snapshot();
    assert!(before.zones[&name("x.").key()].nodes == after.zones[&name("x.").key()].nodes);
    assert_eq!(fixture.serial("x."), serial);
}

#[tokio::test]
async fn a_group_sees_its_own_earlier_changes() {
    let fixture = Fixture::new(desired(vec![], vec![]));
    let control = fixture.handle();
    let (created, again, other_ttl, alias, deleted, alias_now) = tokio::join!(
        control.create(name("a.x."), A, None, address(1)),
        control.create(name("a.x."), A, None, address(1)),
        control.create(name("a.x."), A, Some(60), address(2)),
        control.create(name("a.x."), CNAME, None, vec![value(CNAME, "b.x.")]),
        control.delete(name("a.x."), Some(A), Some(address(1).remove(0))),
        control.create(name("a.x."), CNAME, None, vec![value(CNAME, "b.x.")]),
    );
    assert!(created.expect("created").created);
    assert!(matches!(again, Err(ControlError::Exists { .. })));
    assert!(matches!(
        other_ttl,
        Err(ControlError::Refused(Refused {
            refusal: Refusal::TtlConflict {
                held: 300,
                given: 60,
                ..
            },
            ..
        }))
    ));
    assert!(matches!(
        alias,
        Err(ControlError::Refused(Refused {
            refusal: Refusal::Clash { held: A, .. },
            ..
        }))
    ));
    deleted.expect("deleted");
    assert!(alias_now.expect("created").created);
    assert_eq!(fixture.values("a.x.", CNAME), ["b.x."]);
}

#[tokio::test]
async fn where_none_is_required_changes_are_refused_until_there_is_one() {
    let folder = std::sync::Arc::new(tempfile::tempdir().expect("a folder"));
    let (mut other, _) = Storage::open(folder.path()).expect("opened");
    let fixture = Fixture::without_required(folder, desired(vec![zone("x.", 7, &[])], vec![]));
    let control = fixture.handle();
    fixture.readiness.serve();
    assert_eq!(fixture.readiness.not_ready(), None, "somebody has said so");
    assert!(fixture.metric("hotdns_ready 1"));
    assert!(fixture.metric(r#"hotdns_storage_state{state="held"} 1"#));
    assert_eq!(fixture.serial("x."), Some(7), "zones are served all the same");
    let refused = control.create(name("a.x."), A, None, address(1)).await;
    assert!(matches!(refused, Err(ControlError::StorageLocked(reason)) if reason.contains("another process holds")));
    let absent = control.delete(name("a.x."), None, None).await;
    assert!(
        matches!(
            absent,
            Err(ControlError::Refused(Refused {
                refusal: Refusal::NotFound(_),
                ..
            }))
        ),
        "what is wrong anyway is said"
    );
    assert!(fixture.values("a.x.", A).is_empty());
    control.reload().await.expect("reloads need no database");

    // The other process leaves a record and a later serial behind.
    let kept = crate::model::record::RrSet {
        rtype: A,
        ttl: 300,
        rdatas: address(9).into(),
        origin: crate::model::source::Origin::api(),
        handling: Handling::default(),
    };
    let serial = crate::journal::ServedSerial {
        apex: name("x."),
        serial: 40,
        fingerprint: 1,
        version: 0,
    };
    other
        .write(&[Entry::Put(None, name("kept.x."), kept.into())], &[serial])
        .expect("written");
    drop(other);
    // By time: nobody has to send a command.
    fixture
        .eventually("the database is read", |fixture| {
            fixture.values("kept.x.", A) == ["192.0.2.9"]
        })
        .await;
    assert!(fixture.metric(r#"hotdns_storage_state{state="open"} 1"#));
    control
        .create(name("a.x."), A, None, address(1))
        .await
        .expect("created");
    assert!(fixture.serial("x.") > Some(41), "{:?}", fixture.serial("x."));
    let serial = fixture.serial("x.");
    let fixture = fixture.restart(desired(vec![zone("x.", 7, &[])], vec![])).await;
    assert_eq!(fixture.values("a.x.", A), ["192.0.2.1"]);
    assert_eq!(fixture.serial("x."), serial);
}

#[tokio::test]
async fn commands_after_a_stop_fail() {
    let mut fixture = Fixture::new(desired(vec![], vec![]));
    let control = fixture.handle();
    fixture.stop().await;
    let late = control.create(name("a.x."), A, None, address(1)).await;
    assert_eq!(late, Err(ControlError::Stopped));
    Storage::open(fixture.storage_path())
        .expect("let go")
        .0
        .write(&[], &[])
        .expect("free");
}

#[tokio::test]
async fn the_planes_rest_once_when_it_is_quiet() {
    let fixture = Fixture::new(desired(vec![], vec![]));
    let rests = || fixture.served.lock().expect("not poisoned").rests;
    for round in 1..=2 {
        while rests() < round {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        assert_eq!(rests(), round, "once");
        let created = fixture
            .handle()
            .create(name(&format!("r{round}.x.")), A, None, address(1))
            .await;
        created.expect("created");
    }
}
