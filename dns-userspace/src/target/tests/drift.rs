//! What others change of ours at a target: reported, and put right only where the object asks for it.

use super::technitium::Fake;
use super::*;
use crate::source::Mark;

fn drift_of(around: &Around) -> Vec<String> {
    let report = around.targets.all().remove("technitium/home").expect("a report");
    let drift = report
        .drift
        .iter()
        .map(|drift| format!("{} {}", drift.kind, drift.record));
    drift.collect()
}

/// What the metric says: `hostname drift_type count`.
fn counted(around: &Around) -> Vec<String> {
    let families = around
        .figures
        .collectors()
        .into_iter()
        .flat_map(|collector| collector.collect());
    let drift = families.filter(|family| family.name() == "catalyst_dns_sync_drift_detected_total");
    let shown = drift.flat_map(|family| {
        let metrics = family.get_metric().to_vec();
        metrics.into_iter().map(|metric| {
            let label = |name: &str| {
                let found = metric.get_label().iter().find(|label| label.name() == name);
                found.map(|label| label.value().to_owned()).unwrap_or_default()
            };
            format!(
                "{} {} {} {}",
                label("zone"),
                label("hostname"),
                label("drift_type"),
                metric.get_counter().get_value()
            )
        })
    });
    let mut shown: Vec<String> = shown.collect();
    shown.sort();
    shown
}

#[test]
fn each_kind_is_counted_once_and_nothing_is_put_right_unasked() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().expect("a folder"));
    let around = around();
    let mut target = fake.target(&folder, &["talos00"]);
    let two = wanted(&["a.talos00. 300 A 192.168.1.54", "b.talos00. 300 A 192.168.1.54"]);
    target.write(&two, &around).expect("written");
    // A record of ours is deleted, another value is put beside one, and one with our mark is made.
    let mark = "hotdns/home: kubernetes/prod, Ingress demo/web".to_owned();
    let key = |owner: &str, value: &str| (owner.to_owned(), "A".to_owned(), value.to_owned());
    fake.shown().records.remove(&key("a.talos00", "192.168.1.54"));
    fake.add("b.talos00", "A", "203.0.113.9");
    fake.shown()
        .records
        .insert(key("c.talos00", "192.168.1.54"), (300, mark));
    fake.add("d.talos00", "A", "203.0.113.9");
    let before = fake.records();
    for _ in 0..2 {
        target.write(&two, &around).expect("read");
        assert_eq!(fake.records(), before, "nothing is put right");
    }
    assert_eq!(
        drift_of(&around),
        [
            "missing_record a.talos00 A 192.168.1.54",
            "unexpected_ip b.talos00 A 203.0.113.9",
            "unexpected_record c.talos00 A 192.168.1.54",
        ]
    );
    assert_eq!(
        counted(&around),
        [
            "talos00 a.talos00 missing_record 1",
            "talos00 b.talos00 unexpected_ip 1",
            "talos00 c.talos00 unexpected_record 1",
        ]
    );

    // The object asks for it: from now on it is put right.
    let mark = Mark {
        notifies: false,
        remediates: true,
    };
    around.sources.marks().set("kubernetes/prod", "Ingress demo/web", mark);
    target.write(&two, &around).expect("written");
    assert_eq!(
        fake.records(),
        [
            "a.talos00 300 A 192.168.1.54 (ours)",
            "b.talos00 300 A 192.168.1.54 (ours)",
            "d.talos00 3600 A 203.0.113.9",
        ]
    );
    target.write(&two, &around).expect("read");
    assert_eq!(drift_of(&around), [""; 0]);
}

#[test]
fn a_change_of_the_object_is_written_over_what_others_made() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().expect("a folder"));
    let around = around();
    let mut target = fake.target(&folder, &["talos00"]);
    target
        .write(&wanted(&["a.talos00. 300 A 192.168.1.54"]), &around)
        .expect("written");
    fake.shown().records.clear();
    target
        .write(&wanted(&["a.talos00. 300 A 192.168.1.54"]), &around)
        .expect("read");
    assert_eq!(fake.records(), [""; 0]);
    target
        .write(&wanted(&["a.talos00. 60 A 192.168.1.54"]), &around)
        .expect("written");
    assert_eq!(fake.records(), ["a.talos00 60 A 192.168.1.54 (ours)"]);
}

#[test]
fn a_change_that_fails_five_times_is_kept_and_shown() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().expect("a folder"));
    let around = around();
    let mut target = fake.target_with(&folder, &["talos00"], |config| {
        config.resync = Some(Duration::from_secs(60))
    });
    let one = wanted(&["a.talos00. 300 A 192.168.1.54"]);
    target.write(&wanted(&[]), &around).expect("read");
    fake.shown().faults = 100;
    for _ in 0..5 {
        target.write(&one, &around).expect_err("refused");
    }
    let requests = fake.shown().requests.len();
    target.write(&one, &around).expect("it waits");
    assert_eq!(fake.shown().requests.len(), requests, "it is not tried again");
    let report = around.targets.all().remove("technitium/home").expect("a report");
    assert_eq!((report.pending_count, report.pending[0].attempts), (1, 5));
    assert_eq!(report.pending[0].record, "a.talos00 A 192.168.1.54");
    assert!(report.pending[0].reason.contains("Access was denied"), "{report:?}");
}

#[test]
fn a_dry_run_writes_nothing_and_shows_the_difference() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().expect("a folder"));
    let around = Around {
        dry_run: DryRun::Diff,
        ..around()
    };
    fake.add("hand.talos00", "A", "192.0.2.1");
    let mut target = fake.target(&folder, &["talos00"]);
    target
        .write(&wanted(&["a.talos00. 300 A 192.168.1.54"]), &around)
        .expect("read");
    assert_eq!(fake.records(), ["hand.talos00 3600 A 192.0.2.1"]);
    assert!(fake.shown().requests.iter().all(|request| request.contains("/get ")));
    let report = around.targets.all().remove("technitium/home").expect("a report");
    assert_eq!(
        report.diff.as_deref(),
        Some(
            "--- technitium/home\n+++ technitium/home (wanted)\n@@ -1 +1,2 @@\n\
             +a.talos00 300 A 192.168.1.54\n hand.talos00 3600 A 192.0.2.1\n"
        )
    );
}

#[test]
fn faults_on_purpose_are_tried_again_until_all_is_written() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().expect("a folder"));
    let around = around();
    let mut target = fake.target_with(&folder, &["talos00"], |config| config.fault_rate = 1.0);
    let one = wanted(&["a.talos00. 300 A 192.168.1.54"]);
    let error = target.write(&one, &around).expect_err("on purpose");
    assert!(
        error.contains("on purpose") && fake.shown().requests.is_empty(),
        "{error}"
    );
    let mut target = fake.target_with(&folder, &["talos00"], |config| config.fault_rate = 0.3);
    let written = (0..1000).any(|_| target.write(&one, &around).is_ok() && !fake.records().is_empty());
    assert!(written);
}
