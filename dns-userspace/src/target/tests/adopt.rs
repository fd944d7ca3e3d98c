//! Records of external-dns at a target: taken over where the configuration says so, and nothing else.

use super::technitium::Fake;
use super::*;
use crate::config::AdoptConfig;

const HERITAGE: &str = "heritage=external-dns,external-dns/owner=default,external-dns/resource=ingress/demo/web";
const VALUE: &str = "192.168.1.54";

pub(super) fn config(prefix: &str, suffix: &str) -> AdoptConfig {
    AdoptConfig {
        owner_id: "default".into(),
        prefix: prefix.into(),
        suffix: suffix.into(),
        wildcard: "any".into(),
    }
}

fn target(fake: &Fake, folder: &tempfile::TempDir, adopt: Option<AdoptConfig>) -> Managed<Technitium> {
    fake.target_with(folder, &["talos00"], |config| {
        config.adopt = adopt;
        config.resync = Some(Duration::from_secs(300));
    })
}

/// Writes until nothing is left to do.
fn settle(target: &mut Managed<Technitium>, records: &[&str]) {
    let wanted = wanted(records);
    for _ in 0..5 {
        if target.write(&wanted, &around()).expect("written") != Some(Duration::ZERO) {
            return;
        }
    }
    panic!("it does not come to an end");
}

#[test]
fn every_form_of_the_texts_names_is_taken_over() {
    for (owner, text, adopt) in [
        ("www.talos00", "a-www.talos00", config("", "")),
        ("www.talos00", "www.talos00", config("", "")),
        ("www.talos00", "txt.a-www.talos00", config("txt.", "")),
        ("www.talos00", "a-www-txt.talos00", config("", "-txt")),
        ("www.talos00", "own-a.www.talos00", config("own-%{record_type}.", "")),
        ("www.talos00", "www-a-own.talos00", config("", "-%{record_type}-own")),
        ("*.talos00", "a-any.talos00", config("", "")),
    ] {
        let (fake, folder) = (Fake::start(), tempfile::tempdir().expect("a folder"));
        fake.add(owner, "A", VALUE);
        fake.add(text, "TXT", HERITAGE);
        settle(
            &mut target(&fake, &folder, Some(adopt)),
            &[&format!("{owner}. 300 A {VALUE}")],
        );
        assert_eq!(fake.records(), [format!("{owner} 300 A {VALUE} (ours)")], "{text}");
    }
}

#[test]
fn what_nobody_asks_for_and_what_others_made_stays() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().expect("a folder"));
    for (owner, rtype, value) in [
        // It leads elsewhere now.
        ("moved.talos00", "A", "192.0.2.1"),
        ("a-moved.talos00", "TXT", HERITAGE),
        // It was an alias.
        ("alias.talos00", "CNAME", "lb.example.org"),
        ("cname-alias.talos00", "TXT", HERITAGE),
        // Its TXT record is that of the AAAA record too, which nobody asks for.
        ("two.talos00", "A", VALUE),
        ("two.talos00", "AAAA", "2001:db8::1"),
        ("two.talos00", "TXT", HERITAGE),
        ("left.talos00", "A", VALUE),
        ("a-left.talos00", "TXT", HERITAGE),
        ("hand.talos00", "A", "192.0.2.2"),
        ("them.talos00", "A", "192.0.2.3"),
        (
            "a-them.talos00",
            "TXT",
            &HERITAGE.replace("owner=default", "owner=them"),
        ),
    ] {
        fake.add(owner, rtype, value);
    }
    let wishes: Vec<String> = ["moved", "alias", "two", "hand", "them"]
        .map(|name| format!("{name}.talos00. 300 A {VALUE}"))
        .into();
    let wishes: Vec<&str> = wishes.iter().map(String::as_str).collect();
    settle(&mut target(&fake, &folder, Some(config("", ""))), &wishes);
    let of_them = format!(
        "a-them.talos00 3600 TXT {}",
        HERITAGE.replace("owner=default", "owner=them")
    );
    assert_eq!(
        fake.records(),
        [
            format!("a-left.talos00 3600 TXT {HERITAGE}"),
            of_them,
            format!("alias.talos00 300 A {VALUE} (ours)"),
            "hand.talos00 3600 A 192.0.2.2".to_owned(),
            format!("hand.talos00 300 A {VALUE} (ours)"),
            format!("left.talos00 3600 A {VALUE}"),
            format!("moved.talos00 300 A {VALUE} (ours)"),
            "them.talos00 3600 A 192.0.2.3".to_owned(),
            format!("them.talos00 300 A {VALUE} (ours)"),
            format!("two.talos00 300 A {VALUE} (ours)"),
            "two.talos00 3600 AAAA 2001:db8::1".to_owned(),
            format!("two.talos00 3600 TXT {HERITAGE}"),
        ]
    );
    let asked = fake.shown().requests.clone();
    let at = |what: &str| {
        asked
            .iter()
            .position(|request| request == what)
            .expect("it was asked for")
    };
    let goes = at("/api/zones/records/delete alias.talos00 CNAME");
    assert!(goes < at("/api/zones/records/add alias.talos00 A"), "{asked:?}");

    // Without the key nothing of it is touched.
    let fake = Fake::start();
    fake.add("www.talos00", "A", VALUE);
    fake.add("a-www.talos00", "TXT", HERITAGE);
    let before = fake.records();
    settle(
        &mut target(&fake, &folder, None),
        &[&format!("www.talos00. 300 A {VALUE}")],
    );
    assert_eq!(fake.records(), before);
}

#[test]
fn a_name_that_comes_later_is_taken_over_then_and_is_no_drift() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().expect("a folder"));
    fake.add("www.talos00", "A", "192.0.2.1");
    fake.add("a-www.talos00", "TXT", HERITAGE);
    let mut target = target(&fake, &folder, Some(config("", "")));
    settle(&mut target, &[]);
    assert_eq!(fake.records().len(), 2);
    let beside = around();
    let www = wanted(&[&format!("www.talos00. 300 A {VALUE}")]);
    for _ in 0..3 {
        target.write(&www, &beside).expect("written");
    }
    assert_eq!(fake.records(), [format!("www.talos00 300 A {VALUE} (ours)")]);
    let report = beside.targets.all().remove("technitium/home").expect("a report");
    assert_eq!((report.drift_count, report.pending_count, report.records), (0, 0, 1));
}
