//! A stage of the tests' own, where a signer will be: after the serials, before the journal.

use std::sync::{Arc, Mutex};

use rusqlite::ffi;

use super::super::{ControlError, Publication, Stage};
use super::fixture::{Fixture, desired, name, record, value, zone};
use crate::journal::faults::Step;
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::model::snapshot::{Node, Zone};
use crate::model::source::Origin;

const A: RecordType = RecordType::A;
const TXT: RecordType = RecordType::TXT;

/// Gives each zone that gets a serial a text at `stamp`, which says it.
struct Stamp {
    /// What it was told of publications: whether they were saved.
    committed: Arc<Mutex<Vec<bool>>>,
}

impl Stage for Stamp {
    fn apply(&mut self, publication: &mut Publication) {
        let new = Arc::make_mut(&mut publication.new);
        for serial in &publication.serials {
            let owner: Name = format!("stamp.{}", serial.apex).parse().expect("a name");
            let text = format!("\"{}\"", serial.serial);
            let (_, rrset) = record(&owner.to_string(), TXT, &text, Origin::config());
            let node = Node::new(&owner, vec![Arc::new(rrset)]);
            let apex = serial.apex.key();
            let mut stamped = Zone::clone(&new.zones[&apex]);
            stamped.nodes.insert(owner.key(), Arc::new(node));
            new.zones.insert(apex, Arc::new(stamped));
            publication.delta.names.push(owner.key());
        }
        publication.delta.names.sort_unstable();
        publication.delta.names.dedup();
    }

    fn commit(&mut self, is_saved: bool) {
        self.committed.lock().expect("not poisoned").push(is_saved);
    }
}

#[tokio::test]
async fn what_a_stage_makes_of_a_publication_is_served_and_planned_upon() {
    let committed: Arc<Mutex<Vec<bool>>> = Arc::default();
    let stamp = Stamp {
        committed: committed.clone(),
    };
    let fixture = Fixture::staged(desired(vec![zone("x.", 10, &[]), zone("y.", 5, &[])], vec![]), stamp);
    let stamps = || [fixture.values("stamp.x.", TXT), fixture.values("stamp.y.", TXT)];
    assert_eq!(stamps(), [["\"10\""], ["\"5\""]]);
    let control = fixture.handle();
    let put = |last: u8| control.put(name("www.x."), A, None, vec![value(A, &format!("192.0.2.{last}"))]);
    let names = || fixture.served.lock().expect("not poisoned").names.clone();
    put(1).await.expect("put");
    assert_eq!(stamps(), [["\"11\""], ["\"5\""]], "the other zone is as it was");
    assert_eq!(names(), [name("stamp.x.").key(), name("www.x.").key()]);
    assert_eq!(*committed.lock().expect("not poisoned"), [true, true]);

    // What the journal refuses was never served, and the next one is on top of what is.
    let fault = |step, code| fixture.faults.lock().expect("not poisoned").fail_once(step, code);
    fault(Step::Commit, ffi::SQLITE_FULL);
    let refused = put(2).await.expect_err("no disk");
    assert!(matches!(refused, ControlError::StorageLocked(_)), "{refused}");
    assert_eq!(stamps(), [["\"11\""], ["\"5\""]]);
    assert_eq!(committed.lock().expect("not poisoned").len(), 2);
    let open = |fixture: &Fixture| fixture.readiness.storage().reason.is_none();
    fixture.eventually("written again", open).await;
    put(3).await.expect("put");
    assert_eq!(stamps(), [["\"12\""], ["\"5\""]]);
    assert_eq!(fixture.values("www.x.", A), ["192.0.2.3"]);
    assert_eq!(committed.lock().expect("not poisoned").last(), Some(&true));
}
