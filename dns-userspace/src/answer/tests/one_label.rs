//! `wildcard: one_label`: a wildcard for names with one label in place of its `*`.

use super::*;

fn world() -> World {
    let zone = "
        @   60 SOA ns host 1 1 1 1 1
        *.w 60 A   192.0.2.1 !one_label
        *.w 60 TXT text !one_label
        *.m 60 A   192.0.2.2 !one_label
        *.m 60 TXT text";
    World::new(&[("example.", zone)], "*.o. 60 A 192.0.2.3 !one_label")
}

fn rcode(qname: &str) -> (ResponseCode, usize, usize) {
    let reply = world().ask(qname, RecordType::A);
    (reply.rcode, reply.answer.len(), reply.authority.len())
}

#[test]
fn one_label_is_covered() {
    for qname in ["a.w.example.", "*.w.example.", "a.o.", "*.o."] {
        assert_eq!(rcode(qname), (ResponseCode::NoError, 1, 0), "{qname}");
    }
    assert_eq!(world().ask("a.w.example.", RecordType::MX).authority.len(), 1, "NODATA");
}

#[test]
fn a_deeper_name_does_not_exist() {
    for qname in ["b.a.w.example.", "c.b.a.w.example.", "x.*.w.example."] {
        assert_eq!(rcode(qname), (ResponseCode::NXDomain, 0, 1), "{qname}");
    }
}

#[test]
fn a_deeper_name_below_an_overlay_is_not_ours() {
    assert_eq!(rcode("b.a.o."), (ResponseCode::Refused, 0, 0));
}

#[test]
fn rrsets_that_do_not_agree_are_as_rfc_4592_has_it() {
    assert_eq!(rcode("b.a.m.example."), (ResponseCode::NoError, 1, 0));
}
