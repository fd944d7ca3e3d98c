//! The contract's views, clause by clause.

use std::net::IpAddr;
use std::sync::Arc;

use crate::answer::{Consulted, End, Environment, Resolution, Section, resolve};
use crate::model::name::Name;
use crate::model::rdata::parse_value;
use crate::model::record::{Handling, RecordType, RrSet};
use crate::model::snapshot::Snapshot;
use crate::model::source::{Origin, SourceId};
use crate::model::views::ViewClients;
use crate::store::{Change, ConfiguredView, Store};

type Record = (&'static str, RecordType, &'static str);

const A: RecordType = RecordType::A;
const AAAA: RecordType = RecordType::AAAA;
const TXT: RecordType = RecordType::TXT;
const NS: RecordType = RecordType::NS;

const DEFAULT: &[Record] = &[
    ("x.", RecordType::SOA, "ns.x. host.x. 1 3600 600 86400 300"),
    ("x.", NS, "ns.x."),
    ("x.", TXT, "default"),
    ("ns.x.", A, "192.0.2.53"),
    ("www.x.", A, "192.0.2.1"),
    ("www.x.", TXT, "default"),
    ("*.wild.x.", A, "192.0.2.2"),
    ("exact.wild.x.", TXT, "default"),
    ("plain.x.", A, "192.0.2.3"),
    ("deep.cut.x.", A, "192.0.2.4"),
    ("alias.x.", RecordType::CNAME, "www.x."),
];

const OFFICE: &[Record] = &[
    ("x.", A, "10.0.0.9"),
    ("www.x.", A, "10.0.0.1"),
    ("below.plain.x.", A, "10.0.0.2"),
    ("*.x.", A, "10.0.0.3"),
    ("only.x.", A, "10.0.0.4"),
    ("cut.x.", NS, "ns.elsewhere."),
    ("lay.", A, "10.0.0.5"),
];

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn records(list: &[Record], source: &Origin) -> Vec<(Name, RrSet)> {
    let one = |(owner, rtype, value): &Record| {
        let rrset = RrSet {
            rtype: *rtype,
            ttl: 300,
            rdatas: [parse_value(*rtype, value).unwrap()].into(),
            origin: source.clone(),
            handling: Handling::default(),
        };
        (name(owner), rrset)
    };
    list.iter().map(one).collect()
}

fn snapshot() -> Arc<Snapshot> {
    snapshot_of(DEFAULT, OFFICE)
}

fn snapshot_of(default: &[Record], office: &[Record]) -> Arc<Snapshot> {
    let view = |name: &str, client: &str, list| ConfiguredView {
        view: ViewClients {
            name: name.into(),
            clients: vec![client.parse().unwrap()],
        },
        records: records(list, &Origin::config()),
    };
    Store::new()
        .plan(vec![
            Change::PutZone {
                source: SourceId::zone_files(),
                apex: name("x."),
                content: Ok(records(default, &Origin::zone_file("x.zone"))),
            },
            Change::Views(vec![
                view("office", "10.0.0.0/8", office),
                view("lab", "10.9.0.0/16", &[("www.x.", AAAA, "2001:db8::1")]),
            ]),
        ])
        .snapshot
}

const NOBODY: &str = "192.0.2.200";
const IN_OFFICE: &str = "10.1.1.1";
const IN_LAB: &str = "10.9.1.1";

fn ask(client: &str, qname: &str, qtype: RecordType) -> Resolution {
    ask_of(snapshot(), client, qname, qtype)
}

fn ask_of(snapshot: Arc<Snapshot>, client: &str, qname: &str, qtype: RecordType) -> Resolution {
    let client: IpAddr = client.parse().unwrap();
    let options = Environment::DEFAULT.resolve_options();
    let mut consulted = |_: Consulted| {};
    resolve(
        snapshot.for_client(client),
        &name(qname),
        qtype,
        &options,
        &mut consulted,
    )
}

/// The last octet of the address that a client gets.
fn address(client: &str, qname: &str) -> Option<u8> {
    let resolution = ask(client, qname, A);
    let section = resolution.answer.last()?;
    section.rrset.rdatas.first()?.last().copied()
}

fn first(section: &Section) -> &[u8] {
    section.rrset.rdatas.first().unwrap_or_default()
}

fn is_nodata(resolution: &Resolution) -> bool {
    resolution.rcode == 0 && resolution.answer.is_empty() && resolution.authority.len() == 1
}

#[test]
fn the_longest_prefix_selects_one_view_or_none() {
    assert_eq!(address(NOBODY, "www.x."), Some(1));
    assert_eq!(first(&ask(NOBODY, "www.x.", A).answer[0]), [192, 0, 2, 1]);
    assert_eq!(first(&ask(IN_OFFICE, "www.x.", A).answer[0]), [10, 0, 0, 1]);
    // One view, not this one and then the one around it.
    assert!(is_nodata(&ask(IN_LAB, "www.x.", A)));
    assert_eq!(ask(IN_LAB, "www.x.", AAAA).answer.len(), 1);
    assert_eq!(ask(IN_LAB, "only.x.", A).rcode, 3);
}

#[test]
fn a_name_with_records_in_the_view_is_answered_from_those_alone() {
    assert!(is_nodata(&ask(IN_OFFICE, "www.x.", TXT)));
    assert_eq!(ask(NOBODY, "www.x.", TXT).answer.len(), 1);
    assert_eq!(address(IN_OFFICE, "plain.x."), Some(3), "as if the view did not exist");
}

#[test]
fn at_an_apex_each_type_that_the_view_lacks_is_the_defaults() {
    assert_eq!(address(IN_OFFICE, "x."), Some(9));
    for rtype in [TXT, NS, RecordType::SOA] {
        assert_eq!(ask(IN_OFFICE, "x.", rtype).answer.len(), 1, "{rtype}");
    }
    assert!(is_nodata(&ask(NOBODY, "x.", A)));
}

#[test]
fn an_alias_at_an_apex_stands_for_the_addresses_that_the_view_lacks() {
    let mut default = DEFAULT.to_vec();
    default.push(("x.", RecordType::ALIAS, "www.x."));
    let resolution = ask_of(
        snapshot_of(&default, &[("x.", AAAA, "2001:db8::9")]),
        IN_OFFICE,
        "x.",
        A,
    );
    assert_eq!(first(&resolution.answer[0]), [192, 0, 2, 1]);
    let own = ask_of(
        snapshot_of(&default, &[("x.", AAAA, "2001:db8::9")]),
        IN_OFFICE,
        "x.",
        AAAA,
    );
    assert_eq!(first(&own.answer[0]).last(), Some(&9));
}

#[test]
fn an_empty_non_terminal_of_the_view_hides_nothing() {
    // `plain.x.` is above a name of the view.
    assert_eq!(address(IN_OFFICE, "plain.x."), Some(3));
    assert_eq!(address(IN_OFFICE, "below.plain.x."), Some(2));
    assert_eq!(ask(NOBODY, "below.plain.x.", A).rcode, 3);
}

#[test]
fn wildcards_come_from_the_merged_tree() {
    assert_eq!(address(IN_OFFICE, "anything.x."), Some(3));
    assert_eq!(ask(NOBODY, "anything.x.", A).rcode, 3);
    // The default's closer encloser, and its exact name, come before the view's wildcard.
    assert_eq!(address(IN_OFFICE, "y.wild.x."), Some(2));
    assert!(is_nodata(&ask(IN_OFFICE, "exact.wild.x.", A)));
    assert_eq!(address(IN_OFFICE, "plain.x."), Some(3));
}

#[test]
fn chains_are_followed_in_the_view() {
    let resolution = ask(IN_OFFICE, "alias.x.", A);
    assert_eq!(resolution.answer.len(), 2);
    assert_eq!(address(IN_OFFICE, "alias.x."), Some(1));
    assert_eq!(first(&ask(NOBODY, "alias.x.", A).answer[1]), [192, 0, 2, 1]);
}

#[test]
fn a_cut_of_the_view_hides_what_the_default_has_below() {
    let referral = ask(IN_OFFICE, "deep.cut.x.", A);
    assert!(!referral.authoritative && referral.answer.is_empty());
    assert_eq!(referral.authority[0].rrset.rtype, NS);
    assert_eq!(address(NOBODY, "deep.cut.x."), Some(4));
}

#[test]
fn an_overlay_of_a_view_is_nobody_elses() {
    assert_eq!(address(IN_OFFICE, "lay."), Some(5));
    assert_eq!(ask(NOBODY, "lay.", A).end, End::NotOurs);
}
