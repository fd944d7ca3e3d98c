//! Served SOA serials never go back (RFC 1982).

use super::fixture::{Fixture, desired, name, value, zone};
use crate::model::record::RecordType;

const A: RecordType = RecordType::A;
const WWW: &[(&str, RecordType, &str)] = &[("www.x.", A, "192.0.2.1")];
const WWW_MOVED: &[(&str, RecordType, &str)] = &[("www.x.", A, "192.0.2.2")];

impl Fixture {
    async fn reload_with(&self, serial: u32, records: &[(&str, RecordType, &str)]) {
        *self.files.lock().expect("not poisoned") = Ok(desired(vec![zone("x.", serial, records)], vec![]));
        self.handle().reload().await.expect("reloaded");
    }
}

#[tokio::test]
async fn a_change_without_a_greater_serial_of_its_own_gets_the_next() {
    let fixture = Fixture::new(desired(vec![zone("x.", 10, WWW)], vec![]));
    assert_eq!(fixture.serial("x."), Some(10));
    fixture.reload_with(10, WWW).await;
    assert_eq!(fixture.serial("x."), Some(10), "nothing changed");
    fixture.reload_with(10, WWW_MOVED).await;
    assert_eq!(fixture.serial("x."), Some(11), "the serial was forgotten");
    fixture.reload_with(11, WWW).await;
    assert_eq!(fixture.serial("x."), Some(12), "it must differ from the last one");
    fixture.reload_with(20, WWW).await;
    assert_eq!(fixture.serial("x."), Some(20), "a greater one is used as it is");
    fixture.reload_with(15, WWW).await;
    assert_eq!(fixture.serial("x."), Some(20), "only the serial went back");
    let control = fixture.handle();
    control
        .create(name("new.x."), A, None, vec![value(A, "192.0.2.3")])
        .await
        .expect("created");
    assert_eq!(fixture.serial("x."), Some(21));
    control
        .put(name("new.x."), A, None, vec![value(A, "192.0.2.3")])
        .await
        .expect("the same");
    assert_eq!(fixture.serial("x."), Some(21), "nothing changed");
    control.delete(name("new.x."), None, None).await.expect("deleted");
    assert_eq!(fixture.serial("x."), Some(22));
}

#[tokio::test]
async fn serials_go_on_over_restarts() {
    let fixture = Fixture::new(desired(vec![zone("x.", 10, WWW)], vec![]));
    let control = fixture.handle();
    control
        .create(name("new.x."), A, None, vec![value(A, "192.0.2.3")])
        .await
        .expect("created");
    assert_eq!(fixture.serial("x."), Some(11));
    let fixture = fixture.restart(desired(vec![zone("x.", 10, WWW)], vec![])).await;
    assert_eq!(fixture.serial("x."), Some(11), "the same content");
    let fixture = fixture.restart(desired(vec![zone("x.", 10, WWW_MOVED)], vec![])).await;
    assert_eq!(fixture.serial("x."), Some(12), "changed while nobody looked");
    let fixture = fixture.restart(desired(vec![], vec![])).await;
    assert_eq!(fixture.serial("x."), None);
    let fixture = fixture.restart(desired(vec![zone("x.", 10, WWW_MOVED)], vec![])).await;
    assert_eq!(fixture.serial("x."), Some(12), "the zone was away, its serial was not");
}

#[tokio::test]
async fn serials_wrap() {
    let fixture = Fixture::new(desired(vec![zone("x.", u32::MAX, WWW)], vec![]));
    fixture.reload_with(u32::MAX, WWW_MOVED).await;
    assert_eq!(fixture.serial("x."), Some(0));
    fixture.reload_with(5, WWW_MOVED).await;
    assert_eq!(fixture.serial("x."), Some(5));
}

#[tokio::test]
async fn a_zone_of_the_api_has_a_serial_too() {
    const SOA: RecordType = RecordType::SOA;
    let fixture = Fixture::new(desired(vec![], vec![]));
    let control = fixture.handle();
    let soa = |serial: u32| vec![value(SOA, &format!("ns.y. host.y. {serial} 1 2 3 4"))];
    control.put(name("y."), SOA, None, soa(100)).await.expect("a zone");
    assert_eq!(fixture.serial("y."), Some(100));
    control
        .create(name("a.y."), A, None, vec![value(A, "192.0.2.1")])
        .await
        .expect("created");
    assert_eq!(fixture.serial("y."), Some(101));
    control.put(name("y."), SOA, None, soa(50)).await.expect("replaced");
    assert_eq!(fixture.serial("y."), Some(101));
    // Both the stored serial and the served one name the value.
    let deleted = control.delete(name("y."), Some(SOA), Some(soa(101).remove(0))).await;
    deleted.expect("deleted");
    assert!(fixture.snapshot().zones.is_empty());
    control
        .put(name("y."), SOA, None, soa(100))
        .await
        .expect("a zone again");
    assert_eq!(fixture.serial("y."), Some(101), "the same content as before");
}
