//! Chains of aliases between upstream's data and ours.

use super::*;
use crate::message::InfoCode;

/// Names below `ours.`, but for `cut.ours.`, are ours.
#[derive(Debug)]
pub(super) struct Ours;

impl LocalData for Ours {
    fn is_ours(&self, name: &Name, _: RecordType, _: IpAddr) -> bool {
        let name = name.to_string().to_ascii_lowercase();
        (name == "ours." || name.ends_with(".ours.")) && !name.ends_with("cut.ours.")
    }

    fn may_ask(&self, name: &Name, _: RecordType, _: IpAddr) -> bool {
        name.to_string() != "secret.ours."
    }

    fn view_name(&self, _: u16) -> Option<ViewName> {
        None
    }

    fn view_of(&self, _: IpAddr) -> u16 {
        0
    }

    fn answer(&self, name: &Name, qtype: RecordType, client: IpAddr, out: &mut Vec<u8>) -> Resumed {
        if !self.is_ours(name, qtype, client) {
            return Resumed::NotOurs;
        }
        let mut query = testing::query(0, &name.to_string());
        let length = query.len();
        query[length - 4..length - 2].copy_from_slice(&qtype.0.to_be_bytes());
        let ours = b"\xC0\x0C\0\x01\0\x01\0\0\0\x07\0\x04\x0A\0\0\x01";
        let mut next = None;
        match name.to_string().to_ascii_lowercase().as_str() {
            "host.ours." => *out = respond(&query, 0, [1, 0, 0], ours),
            "broken.ours." => return Resumed::Failed(InfoCode::InvalidData, "as the test says".to_owned()),
            name @ ("back.ours." | "circle.ours.") => {
                let target = if name == "back.ours." { "far." } else { "start." };
                let target: Name = target.parse().unwrap();
                let mut record = b"\xC0\x0C\0\x05\0\x01\0\0\0\x07\0".to_vec();
                record.push(target.as_wire().len() as u8);
                record.extend_from_slice(target.as_wire());
                *out = respond(&query, 0, [1, 0, 0], &record);
                next = Some(target);
            }
            // NXDOMAIN, with an SOA of the root's shape.
            _ => {
                let soa =
                    b"\x04ours\0\0\x06\0\x01\0\0\0\x07\0\x16\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05";
                *out = respond(&query, 3, [0, 1, 0], soa);
            }
        }
        Resumed::Answered(next)
    }
}

fn record(owner: &str, rtype: u8, rdata: &[u8]) -> Vec<u8> {
    let mut record = owner.parse::<Name>().unwrap().as_wire().to_vec();
    record.extend_from_slice(&[0, rtype, 0, 1, 0, 0, 0, 60, 0, rdata.len() as u8]);
    record.extend_from_slice(rdata);
    record
}

fn cname(owner: &str, target: &str) -> Vec<u8> {
    record(owner, 5, target.parse::<Name>().unwrap().as_wire())
}

/// An alias, and upstream's own idea of what follows.
fn upstream(query: &[u8], _: bool) -> Vec<Vec<u8>> {
    let length = crate::model::name::wire_name_length(&query[12..]).unwrap();
    let name = Name::from_wire(&query[12..12 + length]).unwrap().to_string();
    let theirs = |owner: &str| record(owner, 1, &[203, 0, 113, 9]);
    let ns = record("ours.", 2, b"\x02ns\x05other\0");
    let reply = |rcode: u8, answer: &[Vec<u8>], authority: &[Vec<u8>], additional: &[Vec<u8>]| {
        let counts = [answer.len() as u8, authority.len() as u8, additional.len() as u8];
        vec![respond(
            query,
            rcode,
            counts,
            &[answer.concat(), authority.concat(), additional.concat()].concat(),
        )]
    };
    let alias = |target: &str| {
        reply(
            0,
            &[cname(&name, target), theirs(target)],
            std::slice::from_ref(&ns),
            &[theirs("x.ours.")],
        )
    };
    match name.as_str() {
        "to-host." => alias("HOST.ours."),
        "to-gone." => alias("gone.ours."),
        "to-broken." => alias("broken.ours."),
        "to-back." => alias("back.ours."),
        "start." => alias("circle.ours."),
        "to-cut." => alias("x.cut.ours."),
        "denied." => reply(3, &[cname("denied.", "host.ours.")], &[], &[]),
        "long." => reply(
            0,
            &[
                cname("long.", "middle."),
                cname("middle.", "host.ours."),
                theirs("host.ours."),
            ],
            &[],
            &[],
        ),
        "by-dname." => reply(
            0,
            &[
                record("dname.", 39, b"\x04ours\0"),
                cname("by-dname.", "host.dname."),
                cname("host.dname.", "host.ours."),
                theirs("host.ours."),
            ],
            &[],
            &[],
        ),
        "beside." => reply(
            0,
            &[theirs("beside."), theirs("www.ours.")],
            &[],
            &[theirs("x.ours."), theirs("x.other.")],
        ),
        _ => reply(0, &[theirs(&name)], &[], &[]),
    }
}

/// RCODE, and the records of answer, authority and additional section as owner, type and text.
async fn asked(name: &str, qtype: Option<u8>) -> (u16, Vec<Vec<String>>, Vec<u8>) {
    let server = Upstream::start(upstream).await;
    let mut query = with_opt(testing::query(9, name), 1232, false);
    if let Some(qtype) = qtype {
        let length = query.len();
        query[length - 14] = qtype;
    }
    let forwarder = forwarder(&[server.address]).beside(Arc::new(Ours));
    let reply = forwarder.forward(&query, CLIENT, Limit::Datagram).await;
    let read = Read::from_vec(&reply).unwrap();
    assert!(!read.metadata.authoritative, "it begins with upstream");
    let text = |records: &[hickory_proto::rr::Record]| {
        let text = |record: &hickory_proto::rr::Record| format!("{} {}", record.name, record.data);
        records.iter().map(text).collect::<Vec<_>>()
    };
    let sections = vec![text(&read.answers), text(&read.authorities), text(&read.additionals)];
    (read.metadata.response_code.into(), sections, reply)
}

#[tokio::test]
async fn rfc1034_5_3_3_an_alias_into_our_zone_goes_on_with_our_data() {
    let (rcode, sections, _) = asked("to-host.", None).await;
    assert_eq!(rcode, 0);
    assert_eq!(sections[0], ["to-host. HOST.ours.", "HOST.ours. 10.0.0.1"]);
    assert!(sections[1].is_empty() && sections[2].is_empty(), "{sections:?}");

    let (rcode, sections, _) = asked("long.", None).await;
    assert_eq!((rcode, sections[0].len()), (0, 3));
    assert_eq!(sections[0][2], "host.ours. 10.0.0.1");

    let (_, sections, _) = asked("by-dname.", None).await;
    assert_eq!(sections[0].len(), 4, "{sections:?}");
    // hickory-proto shows the octets of types that it does not know in base64: 4 "ours" 0.
    assert_eq!(sections[0][0], "dname. BG91cnMA");
    assert_eq!(sections[0][3], "host.ours. 10.0.0.1");
}

#[tokio::test]
async fn the_rcode_is_that_of_the_last_name() {
    let (rcode, sections, _) = asked("denied.", None).await;
    assert_eq!(
        (rcode, &sections[0][..]),
        (
            0,
            &["denied. host.ours.".to_owned(), "host.ours. 10.0.0.1".to_owned()][..]
        )
    );
    let (rcode, sections, _) = asked("to-gone.", None).await;
    assert_eq!((rcode, &sections[0][..]), (3, &["to-gone. gone.ours.".to_owned()][..]));
    assert!(sections[1][0].starts_with("ours. "), "{sections:?}");
    let (rcode, _, reply) = asked("to-broken.", None).await;
    assert_eq!((rcode, error_of(&reply)), (2, (24, "as the test says".to_owned())));
}

#[tokio::test]
async fn a_chain_goes_to_and_fro_and_a_circle_ends() {
    let (rcode, sections, _) = asked("to-back.", None).await;
    assert_eq!(rcode, 0);
    assert_eq!(
        sections[0],
        ["to-back. back.ours.", "back.ours. far.", "far. 203.0.113.9"]
    );
    let (rcode, sections, _) = asked("start.", None).await;
    assert_eq!(rcode, 0);
    assert_eq!(sections[0], ["start. circle.ours.", "circle.ours. start."]);
}

#[tokio::test]
async fn what_is_not_ours_or_not_followed_stays_as_upstream_has_it() {
    let (_, sections, _) = asked("to-cut.", None).await;
    assert_eq!(sections[0], ["to-cut. x.cut.ours.", "x.cut.ours. 203.0.113.9"]);
    // QTYPE CNAME asks for the alias itself.
    let (_, sections, _) = asked("to-host.", Some(5)).await;
    assert_eq!(sections[0][0], "to-host. HOST.ours.");
}

#[tokio::test]
async fn what_upstream_says_of_our_names_beside_the_answer_is_left_out() {
    let (_, sections, _) = asked("beside.", None).await;
    assert_eq!(sections[0], ["beside. 203.0.113.9"]);
    assert_eq!(sections[2], ["x.other. 203.0.113.9"]);
}

#[tokio::test]
async fn a_chain_of_ours_comes_back_to_us() {
    let server = Upstream::start(upstream).await;
    let target: Name = "to-host.".parse().unwrap();
    let rrset = RrSet {
        rtype: RecordType::CNAME,
        ttl: 60,
        rdatas: [target.as_wire()].into(),
        origin: Origin::config(),
        handling: Handling::default(),
    };
    let chain = PartialChain::of(target, RecordType::A, vec![(None, Arc::new(rrset))]);
    let forwarder = forwarder(&[server.address]).beside(Arc::new(Ours));
    let reply = forwarder
        .complete(&testing::query(4, "www.ours."), &chain, CLIENT, Limit::Datagram)
        .await;
    let read = Read::from_vec(&reply).unwrap();
    assert!(read.metadata.authoritative);
    let owners: Vec<_> = read.answers.iter().map(|record| record.name.to_ascii()).collect();
    assert_eq!(owners, ["www.ours.", "to-host.", "HOST.ours."]);
}
