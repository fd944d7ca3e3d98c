//! Records and texts as versions of external-dns write them.

use super::*;
use crate::control::tests::fixture::{Fixture, desired, name, value};
use crate::model::source::Origin;

const HERITAGE_OF_WWW: &str = "heritage=external-dns,external-dns/owner=me,external-dns/resource=ingress/web/www";

fn source() -> SourceId {
    SourceId::watched("kubernetes", "home", 0)
}

/// A conflict at a name that an object of the source asks for.
fn asked(owner: &str, rtype: RecordType) -> Conflict {
    Conflict {
        owner: name(owner),
        rtype,
        left_out: Origin::of_object(source(), "Ingress web/www", None),
        served: Origin::api(),
        served_type: rtype,
        view: None,
    }
}

/// What is taken, which texts go, and what is left, of the API's records.
async fn adopted(
    records: &[(&str, RecordType, &str)],
    conflicts: &[Conflict],
    affixes: &Affixes,
    owner_id: Option<&str>,
) -> (Vec<String>, Vec<String>, Vec<String>) {
    let fixture = Fixture::new(desired(vec![], vec![]));
    for (owner, rtype, text) in records {
        let control = fixture.handle();
        let put = control.put(name(owner), *rtype, None, vec![value(*rtype, text)]);
        put.await.expect("it is put");
    }
    let found = adoption(&fixture.snapshot(), &source(), conflicts.iter(), affixes, owner_id);
    let taken = found
        .taken
        .iter()
        .map(|taken| format!("{} {} {}", taken.owner, taken.rtype, taken.resource));
    let left = found
        .left
        .iter()
        .map(|(owner, rtype, reason)| format!("{owner} {rtype}: {reason}"));
    (
        taken.collect(),
        found.texts.iter().map(Name::to_string).collect(),
        left.collect(),
    )
}

#[tokio::test]
async fn every_form_of_the_texts_names_is_found() {
    const A: RecordType = RecordType::A;
    let affixes = |prefix: &str, suffix: &str| Affixes {
        prefix: prefix.to_owned(),
        suffix: suffix.to_owned(),
        wildcard: "any".to_owned(),
    };
    for (owner, text, of) in [
        ("www.x.test.", "a-www.x.test.", affixes("", "")),
        ("www.x.test.", "www.x.test.", affixes("", "")),
        ("www.x.test.", "txt.a-www.x.test.", affixes("txt.", "")),
        ("www.x.test.", "own-www.x.test.", affixes("own-", "")),
        ("www.x.test.", "a-www-txt.x.test.", affixes("", "-txt")),
        ("www.x.test.", "www-txt.x.test.", affixes("", "-txt")),
        ("www.x.test.", "own-a.www.x.test.", affixes("own-%{record_type}.", "")),
        ("www.x.test.", "www-a-own.x.test.", affixes("", "-%{record_type}-own")),
        ("*.x.test.", "a-any.x.test.", affixes("", "")),
        ("x.test.", "a-x.test.", affixes("", "")),
    ] {
        let records = [(owner, A, "192.0.2.1"), (text, RecordType::TXT, HERITAGE_OF_WWW)];
        let (taken, texts, left) = adopted(&records, &[asked(owner, A)], &of, None).await;
        assert_eq!(taken, [format!("{owner} A ingress/web/www")], "{text}: {left:?}");
        assert_eq!(texts, [text]);
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn what_nobody_asks_for_is_of_others_or_encrypted_stays() {
    const A: RecordType = RecordType::A;
    let of_others = HERITAGE_OF_WWW.replace("owner=me", "owner=them");
    let secret = "m9fZ0qOtnGqBSwSX3D0wJxPZvV8gQbnXmZpD1uXGzWQK7mYQ0pYhJg==";
    let records = [
        ("www.x.test.", A, "192.0.2.1"),
        ("www.x.test.", RecordType::AAAA, "2001:db8::1"),
        ("www.x.test.", RecordType::TXT, HERITAGE_OF_WWW),
        ("them.x.test.", A, "192.0.2.1"),
        ("a-them.x.test.", RecordType::TXT, &of_others),
        ("secret.x.test.", A, "192.0.2.1"),
        ("a-secret.x.test.", RecordType::TXT, secret),
        ("hand.x.test.", A, "192.0.2.1"),
        ("a-lost.x.test.", RecordType::TXT, HERITAGE_OF_WWW),
    ];
    let conflicts = ["www.x.test.", "them.x.test.", "secret.x.test.", "hand.x.test."].map(|owner| asked(owner, A));
    let (taken, texts, left) = adopted(&records, &conflicts, &Affixes::default(), Some("me")).await;
    assert_eq!(taken, ["www.x.test. A ingress/web/www"]);
    assert!(texts.is_empty(), "the AAAA record needs it still: {texts:?}");
    let reasons = [
        "of the owner `them`",
        "is encrypted",
        "asks for it; it was made for ingress/web/www",
        "--txt-prefix",
    ];
    for reason in reasons {
        assert!(left.iter().any(|line| line.contains(reason)), "{reason}: {left:?}");
    }
    assert_eq!(left.len(), reasons.len(), "{left:?}");
}
