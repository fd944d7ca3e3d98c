//! What the server says of itself in class CHAOS: one TXT record at each of four names (RFC 4892 §3, and BIND's
//! older ones).

use std::sync::Arc;

use super::{Identity, Owner, Resolution, rcode, resolve::section};
use crate::model::record::{Handling, RecordType, RrSet};
use crate::model::source::Origin;

/// The answer for a name in wire form; `None` where nothing is to be said.
pub(super) fn resolve(qname: &[u8], qtype: RecordType, identity: &Identity) -> Option<Resolution> {
    if !matches!(qtype, RecordType::TXT | RecordType::ANY) {
        return None;
    }
    let text = match &qname.to_ascii_lowercase()[..] {
        b"\x07version\x04bind\0" | b"\x07version\x06server\0" => &identity.version,
        b"\x08hostname\x04bind\0" => &identity.hostname,
        b"\x02id\x06server\0" => &identity.id,
        _ => &None,
    };
    let text = text.as_deref()?.as_bytes();
    let rrset = RrSet {
        rtype: RecordType::TXT,
        ttl: 0,
        rdatas: [[&[text.len() as u8], text].concat()].into(),
        origin: Origin::config(),
        handling: Handling::default(),
    };
    Some(Resolution {
        authoritative: true,
        answer: vec![section(Owner::Question, &Arc::new(rrset))],
        ..Resolution::empty(rcode::NOERROR)
    })
}
