//! Reloads: units, conflicts between sources, reports.

use super::super::reload::Counts;
use super::super::{ControlError, Failure, RrsetRef};
use super::fixture::{Fixture, RULES, desired, name, record, value, zone};
use crate::model::record::RecordType;
use crate::model::source::Origin;
use crate::store::{Refusal, TtlRules};

const A: RecordType = RecordType::A;
const CNAME: RecordType = RecordType::CNAME;

fn refs(all: &[(&str, &str)]) -> Vec<RrsetRef> {
    all.iter()
        .map(|(name, rtype)| RrsetRef {
            name: (*name).to_owned(),
            r#type: (*rtype).to_owned(),
            view: None,
        })
        .collect()
}

#[tokio::test]
async fn the_report_names_what_differs() {
    let fixture = Fixture::new(desired(
        vec![zone("x.", 1, &[("a.x.", A, "192.0.2.1"), ("b.x.", A, "192.0.2.1")])],
        vec![record("over.lay.", A, "192.0.2.1", Origin::config())],
    ));
    let same = fixture.handle().reload().await.expect("reloaded");
    assert_eq!((same.added, same.changed, same.removed), (vec![], vec![], vec![]));
    assert!(same.failed.is_empty() && same.restart_needed.is_empty());

    let mut next = desired(
        vec![
            zone("x.", 1, &[("b.x.", A, "192.0.2.2"), ("c.x.", A, "192.0.2.1")]),
            zone("y.", 1, &[]),
        ],
        vec![],
    );
    next.restart_needed = vec!["dns_port".to_owned()];
    *fixture.files.lock().expect("not poisoned") = Ok(next);
    let report = fixture.handle().reload().await.expect("reloaded");
    assert_eq!(report.added, refs(&[("c.x.", "A"), ("y.", "NS"), ("y.", "SOA")]));
    assert_eq!(report.changed, refs(&[("b.x.", "A")]));
    assert_eq!(report.removed, refs(&[("over.lay.", "A"), ("a.x.", "A")]));
    let counts = Counts {
        added: 3,
        changed: 1,
        removed: 2,
    };
    assert_eq!(report.counts, counts);
    assert_eq!(report.restart_needed, ["dns_port"]);
    assert!(fixture.metric(r#"hotdns_records{source="zone_file"} 6"#));
    assert!(fixture.metric(r#"hotdns_records{source="config"} 0"#));
}

#[tokio::test]
async fn an_error_in_the_configuration_changes_nothing() {
    let fixture = Fixture::new(desired(vec![zone("x.", 1, &[])], vec![]));
    let before = fixture.snapshot();
    let errors = vec!["hotdns.yaml:3:1: unknown key `foo`".to_owned()];
    *fixture.files.lock().expect("not poisoned") = Err(errors.clone());
    let refused = fixture.handle().reload().await;
    assert_eq!(refused, Err(ControlError::ReloadFailed(errors)));
    assert!(std::sync::Arc::ptr_eq(&before, &fixture.snapshot()));
    assert!(fixture.metric("hotdns_reload_failures_total 1"));
}

#[tokio::test]
async fn a_bad_zone_file_keeps_the_last_good_content() {
    let fixture = Fixture::new(desired(vec![zone("x.", 1, &[("a.x.", A, "192.0.2.1")])], vec![]));
    let mut bad = zone("x.", 2, &[]);
    bad.content = Err(vec![
        "zones/x.zone:1:1: first".to_owned(),
        "zones/x.zone:2:1: second".to_owned(),
    ]);
    let mut never_good = zone("bad.", 1, &[]);
    never_good.content = Err(vec!["zones/bad.zone: no such file".to_owned()]);
    *fixture.files.lock().expect("not poisoned") = Ok(desired(
        vec![bad.clone(), never_good.clone(), zone("y.", 1, &[])],
        vec![],
    ));
    let report = fixture.handle().reload().await.expect("reloaded");
    let failed = |zone: &str, file: &str, error: &str| Failure::ZoneFile {
        zone: zone.to_owned(),
        file: file.to_owned(),
        error: error.to_owned(),
    };
    assert_eq!(
        report.failed,
        [
            failed(
                "x.",
                "zones/x.zone",
                "zones/x.zone:1:1: first\nzones/x.zone:2:1: second"
            ),
            failed("bad.", "zones/bad.zone", "zones/bad.zone: no such file"),
        ]
    );
    assert_eq!(report.added, refs(&[("y.", "NS"), ("y.", "SOA")]), "the others load");
    assert_eq!(fixture.values("a.x.", A), ["192.0.2.1"]);
    let snapshot = fixture.snapshot();
    assert!(snapshot.zones[&name("x.").key()].failed.is_none());
    let reason = snapshot.zones[&name("bad.").key()].failed.clone();
    assert_eq!(reason.as_deref(), Some("zones/bad.zone: no such file"));
    assert!(fixture.metric("hotdns_reload_failures_total 2"));

    // Still bad after another reload; gone with the configuration; bad again, and the content is gone.
    fixture.handle().reload().await.expect("reloaded");
    assert_eq!(fixture.values("a.x.", A), ["192.0.2.1"]);
    *fixture.files.lock().expect("not poisoned") = Ok(desired(vec![], vec![]));
    fixture.handle().reload().await.expect("reloaded");
    assert!(fixture.snapshot().zones.is_empty());
    *fixture.files.lock().expect("not poisoned") = Ok(desired(vec![bad], vec![]));
    fixture.handle().reload().await.expect("reloaded");
    assert!(fixture.snapshot().zones[&name("x.").key()].failed.is_some());
}

#[tokio::test]
async fn the_apis_rrset_is_served_and_a_files_once_it_is_gone() {
    let fixture = Fixture::new(desired(vec![zone("x.", 1, &[])], vec![]));
    let control = fixture.handle();
    let api = |last: u8| vec![value(A, &format!("198.51.100.{last}"))];
    control.create(name("a.x."), A, None, api(1)).await.expect("created");
    control
        .create(name("b.x."), CNAME, None, vec![value(CNAME, "a.x.")])
        .await
        .expect("created");
    let with_both = zone(
        "x.",
        1,
        &[
            ("a.x.", A, "192.0.2.1"),
            ("b.x.", A, "192.0.2.2"),
            ("c.x.", A, "192.0.2.3"),
        ],
    );
    *fixture.files.lock().expect("not poisoned") = Ok(desired(vec![with_both.clone()], vec![]));
    let report = control.reload().await.expect("reloaded");
    let left_out: Vec<_> = report
        .failed
        .iter()
        .map(|failure| match failure {
            Failure::LeftOut {
                name,
                r#type,
                file,
                served_type,
                served_source,
                error,
            } => {
                assert!(error.contains("zones/x.zone") && error.contains("over HTTP"), "{error}");
                (
                    name.as_str(),
                    r#type.as_str(),
                    file.as_str(),
                    served_type.as_str(),
                    served_source.as_str(),
                )
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        left_out,
        [
            ("a.x.", "A", "zones/x.zone", "A", "api"),
            ("b.x.", "A", "zones/x.zone", "CNAME", "api")
        ]
    );
    assert!(fixture.metric("hotdns_conflicts_count 2"));
    assert_eq!(fixture.values("a.x.", A), ["198.51.100.1"]);
    assert_eq!(fixture.values("c.x.", A), ["192.0.2.3"], "the rest loads");

    // What stands behind the API's matters to the commands that come after, in one group too.
    let (deleted, managed, still_alias) = tokio::join!(
        control.delete(name("a.x."), None, None),
        control.create(name("a.x."), A, None, api(2)),
        control.create(name("b.x."), A, None, api(2)),
    );
    deleted.expect("deleted");
    assert!(matches!(
        managed.expect_err("refused").refusal(),
        Some(Refusal::OwnedBy { origin, .. }) if origin.object() == Some("zones/x.zone")
    ));
    assert!(matches!(
        still_alias.expect_err("refused").refusal(),
        Some(Refusal::Clash { held: CNAME, .. })
    ));
    assert_eq!(fixture.values("a.x.", A), ["192.0.2.1"], "the file's is served at once");
    assert!(fixture.metric("hotdns_conflicts_count 1"));

    // The same at start-up, which it does not fail.
    let fixture = fixture.restart(desired(vec![with_both], vec![])).await;
    assert_eq!(fixture.values("b.x.", CNAME), ["a.x."]);
    assert!(fixture.metric("hotdns_conflicts_count 1"));
}

#[tokio::test]
async fn ttl_rules_follow_a_reload() {
    let fixture = Fixture::new(desired(vec![], vec![]));
    let mut next = desired(vec![], vec![]);
    next.ttl = TtlRules { default: 77, ..RULES };
    *fixture.files.lock().expect("not poisoned") = Ok(next);
    fixture.handle().reload().await.expect("reloaded");
    let created = fixture
        .handle()
        .create(name("a.x."), A, None, vec![value(A, "192.0.2.1")])
        .await;
    assert_eq!(created.expect("created").rrset.expect("there").ttl, 77);
}

#[tokio::test]
async fn what_a_zone_lost_to_the_api_is_counted_as_it_comes_and_goes() {
    let fixture = Fixture::new(desired(vec![], vec![]));
    let control = fixture.handle();
    for host in 0..20 {
        let address = vec![value(A, "198.51.100.1")];
        control
            .create(name(&format!("h{host}.x.")), A, None, address)
            .await
            .expect("created");
    }
    let hosts: Vec<String> = (0..20).map(|host| format!("h{host}.x.")).collect();
    let records: Vec<_> = hosts.iter().map(|host| (host.as_str(), A, "192.0.2.1")).collect();
    *fixture.files.lock().expect("not poisoned") = Ok(desired(vec![zone("x.", 1, &records)], vec![]));
    assert_eq!(control.reload().await.expect("reloaded").failed.len(), 20);
    for host in 0..19 {
        control
            .delete(name(&hosts[host]), Some(A), None)
            .await
            .expect("deleted");
        assert!(fixture.metric(&format!("hotdns_conflicts_count {}", 19 - host)));
        // What is the file's now cannot be had again, in the same group neither.
        let (_, refused) = tokio::join!(
            control.delete(name(&hosts[host + 1]), Some(CNAME), None),
            control.create(name(&hosts[host]), A, None, vec![value(A, "198.51.100.2")]),
        );
        let refusal = refused.expect_err("refused");
        assert!(
            matches!(refusal.refusal(), Some(Refusal::OwnedBy { .. })),
            "{refusal:?}"
        );
    }
    let series = r#"hotdns_conflicts{name="h19.x.",served_source="api",served_type="A",source="zone_file",type="A"} 1"#;
    assert!(fixture.metric(series));
}

/// A zone that is gone from the configuration may be a slip: one with many records is served until somebody insists.
#[tokio::test]
async fn a_zone_that_leaves_the_configuration_is_kept_by_the_deletion_guard() {
    let hosts: Vec<String> = (0..20).map(|number| format!("h{number}.large.")).collect();
    let records: Vec<(&str, RecordType, &str)> = hosts.iter().map(|host| (&**host, A, "192.0.2.1")).collect();
    let zones = vec![
        zone("large.", 1, &records),
        zone("small.", 1, &[("a.small.", A, "192.0.2.1")]),
    ];
    let fixture = Fixture::new(desired(zones, vec![]));
    *fixture.files.lock().expect("not poisoned") = Ok(desired(vec![zone("new.", 1, &[])], vec![]));
    for _ in 0..2 {
        let report = fixture.handle().reload().await.expect("reloaded");
        let [Failure::ZoneFile { zone, error, .. }] = &report.failed[..] else {
            panic!("{report:?}");
        };
        assert_eq!(zone, "large.");
        assert!(
            error.contains("not configured any more") && error.contains("`force`"),
            "{error}"
        );
        let served = fixture.snapshot();
        let is_served = |apex: &str| served.zones.contains_key(&name(apex).key());
        assert_eq!(
            [is_served("large."), is_served("small."), is_served("new.")],
            [true, false, true]
        );
    }
    let force = crate::store::Terms {
        force: true,
        ..Default::default()
    };
    let report = fixture.handle().on(force).reload().await.expect("reloaded");
    assert!(report.failed.is_empty() && report.counts.removed == 22, "{report:?}");
    assert!(!fixture.snapshot().zones.contains_key(&name("large.").key()));
}
