//! What is stored is read as it was written, by this program and by one that knows more or less.

use std::sync::Arc;

use serde_json::Value;

use super::client::KeyValue;
use super::layout::{Layout, Place, end_of_rrset, read_rrset, write_rrset};
use super::operations::Operations;
use crate::journal::shared::{Mark, SharedChange};
use crate::model::name::Name;
use crate::model::record::{Handling, Keeping, Order, RecordType, RrSet, Wildcard};
use crate::model::source::Origin;
use crate::model::views::ViewName;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn rrset(handling: Handling) -> RrSet {
    RrSet {
        rtype: RecordType::A,
        ttl: 60,
        rdatas: [[192, 0, 2, 1], [192, 0, 2, 2]].into(),
        origin: Origin::api().at_version(7_000_000),
        handling,
    }
}

fn kv(value: &str) -> KeyValue {
    KeyValue {
        key: b"k".to_vec(),
        value: value.as_bytes().to_vec(),
        mod_revision: 1,
    }
}

#[test]
fn keys_say_what_they_are_for() {
    let layout = Layout::new("/a/");
    let office: ViewName = "of/fi%ce".into();
    for (view, owner) in [
        (None, "WWW.Example.com."),
        (Some(&office), "0/25.2.0.192.in-addr.arpa."),
        (None, "*.x."),
        (None, "a\\.b.\\255x."),
        (None, "."),
    ] {
        let key = layout.rrset(&end_of_rrset(view, &name(owner), RecordType::MX));
        assert!(key.starts_with("/a/v1/rrsets/"), "{key}");
        let place = layout.place(key.as_bytes()).expect("a place");
        assert_eq!(place, Place::Rrset(view.cloned(), name(owner), RecordType::MX), "{key}");
    }
    assert_eq!(layout.place(layout.head().as_bytes()), Some(Place::Head));
    assert_eq!(layout.place(layout.filling().as_bytes()), Some(Place::Filling));
    assert_eq!(
        layout.place(layout.node("x").as_bytes()),
        Some(Place::Node("x".to_owned()))
    );
    let zone = layout.zone(&name("Shop.example."));
    assert_eq!(layout.place(zone.as_bytes()), Some(Place::Zone(name("shop.example."))));
    for other in [
        "/a/v1/new",
        "/a/v2/head",
        "/b/v1/head",
        "/a/v1/rrsets/x",
        "/a/v1/rrsets//x./A",
    ] {
        assert_eq!(layout.place(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn rrsets_are_read_as_they_were_written() {
    let kept = Keeping {
        locked: true,
        disabled: true,
        note: Some("as agreed".into()),
    };
    for handling in [
        Handling::default(),
        Handling::new(Order::Weighted([1, 2].into()), Wildcard::OneLabel).kept(kept),
        Handling::new(Order::Rotate, Wildcard::Rfc4592),
    ] {
        for owner in ["www.example.com.", "WWW.example.com."] {
            let written = rrset(handling.clone());
            let value = write_rrset(&name(owner), &written);
            let key = name("www.example.com.");
            let (found, read) = read_rrset(key, RecordType::A, &kv(&value)).expect("read");
            assert_eq!((found.to_string().as_str(), &read), (owner, &written), "{value}");
            assert_eq!(read.origin.version(), 7_000_000);
        }
    }
}

#[test]
fn members_that_are_not_known_are_passed_over_and_bad_values_are_told() {
    let read = |text: &str| read_rrset(name("x."), RecordType::A, &kv(text));
    let newer = r#"{"ttl":60,"rdatas":["wAACAQ=="],"version":1,"colour":"green"}"#;
    assert!(read(newer).is_ok());
    for wrong in [
        "",
        "{}",
        r#"{"ttl":60,"rdatas":[],"version":1}"#,
        r#"{"ttl":60,"rdatas":["wAAC"],"version":1}"#,
        r#"{"ttl":60,"rdatas":["?"],"version":1}"#,
        r#"{"ttl":4294967295,"rdatas":["wAACAQ=="],"version":1}"#,
        r#"{"ttl":60,"rdatas":["wAACAQ=="],"version":1,"order":"weighted","weights":[1,2]}"#,
        r#"{"ttl":60,"rdatas":["wAACAQ=="],"version":1,"owner":"y."}"#,
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

/// How many operations a level of a transaction has, the deepest level below it, and how many there are in all.
fn shape(level: &[Value]) -> (usize, usize, usize) {
    let mut all = (level.len(), 1, 0);
    for operation in level {
        match operation["request_txn"]["success"].as_array() {
            Some(within) => {
                let (widest, depth, count) = shape(within);
                all = (all.0.max(level.len() + widest), all.1.max(depth + 1), all.2 + count);
            }
            None => all.2 += 1,
        }
    }
    all
}

#[test]
fn large_transactions_keep_within_etcds_limit_on_operations() {
    let layout = Layout::new("/hotdns");
    let known = Mark {
        revision: 3,
        head: "{}".to_owned(),
        version: 1,
    };
    for (count, depth) in [(0, 1), (120, 1), (121, 2), (3600, 2), (3601, 3), (60_000, 3)] {
        let mut operations = Operations::default();
        for number in 0..count {
            let change = SharedChange {
                view: None,
                owner: name(&format!("n{number}.x.")),
                rtype: RecordType::A,
                rrset: (number % 2 == 0).then(|| Arc::new(rrset(Handling::default()))),
            };
            operations.put_rrset(&layout, &change);
        }
        let body = operations.transaction(&layout, &known, "{}");
        let (widest, deepest, all) = shape(body["success"].as_array().expect("operations"));
        assert_eq!((deepest, all), (depth, count + 1), "{count}");
        assert!(widest <= 128, "{count}: {widest}");
        assert_eq!(body["compare"].as_array().map(Vec::len), Some(2));
    }
}
