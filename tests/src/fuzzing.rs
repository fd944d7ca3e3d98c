//! What octets from outside may never do: the targets of the fuzzer, and of the test that replays its corpus.
//!
//! ```text
//!  octets ─┬─ message     a query to a fixed server, and a message of an upstream
//!          ├─ zone_file   a zone file
//!          └─ answer      a zone file, a zero octet, and a query to a server of that zone
//! ```
//!
//! A target panics where something is wrong: not only where the code under test does. `cargo xtask fuzz` looks for such
//! octets with coverage as its guide; `tests/corpus/` holds what it began with and what it found, and is replayed in
//! the suite (`tests/tests/corpus.rs`).

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use dns_userspace::answer::Environment;
use dns_userspace::message::{Limit, Message as Upstream};
use dns_userspace::model::name::{Name, wire_name_length};
use dns_userspace::model::rdata::{format_value, is_well_formed, parse_value, same_value};
use dns_userspace::model::source::SourceId;
use dns_userspace::store::Change;
use dns_userspace::zonefile::{self, MAX_ERRORS, ZoneContent, ZoneFileError};
use hickory_proto::op::Message;
use hickory_proto::serialize::binary::BinDecodable;
use tempfile::TempDir;

use crate::frames::Query;
use crate::planes::{COOKIES, Planes, message as shown, on_heap};

/// A target and its folder of the corpus.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Panics where these octets do what they may not.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "message",
        run: message,
    },
    Target {
        name: "zone_file",
        run: zone_file,
    },
    Target {
        name: "answer",
        run: answer,
    },
];

/// The apex of every zone here.
const APEX: &str = "example.";

/// What the server of [`message`] serves: each kind of answer, name and fault.
const ZONE: &str = "\
$TTL 300
@ SOA ns1 host 1 7200 3600 1209600 300
@ NS ns1
@ MX 10 mail
@ TXT \"a text\"
ns1 A 192.0.2.53
mail A 192.0.2.25
mail AAAA 2001:db8::25
www A 192.0.2.80
www A 192.0.2.81
alias CNAME www
loop CNAME loop
far CNAME www.example.org.
d DNAME wild
*.wild A 192.0.2.99
a.b.c SRV 1 2 5060 www
cut NS ns.cut
ns.cut A 192.0.2.54
big TXT ( \"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
 \"1123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
 \"2123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
 \"3123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
 \"4123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\" )
";

/// Types that are asked for at each name of a zone.
const QTYPES: [u16; 8] = [1, 2, 5, 6, 15, 28, 255, 65280];
/// Names that are asked for.
const NAMES: usize = 24;

/// A query, or the message of an upstream.
pub fn message(octets: &[u8]) {
    thread_local! {
        static PLANES: RefCell<Planes> = RefCell::new(serve(
            load(ZONE.as_bytes()).unwrap_or_else(|errors| panic!("{errors:?}"))
        ));
    }
    // What is read is whole: an upstream cannot say more than its octets.
    let _ = Upstream::read(octets);
    PLANES.with_borrow_mut(|planes| ask(planes, octets, |reply| Message::from_bytes(reply).is_ok()));
}

/// A zone file: its errors have a place in it, and what it brings is data that can be written and read again.
pub fn zone_file(octets: &[u8]) {
    if is_long_generate(octets) {
        return;
    }
    match load(octets) {
        Ok(content) => {
            for (owner, rrset) in &content.rrsets {
                for rdata in &rrset.rdatas {
                    let text = format_value(rrset.rtype, rdata);
                    let again = parse_value(rrset.rtype, &text)
                        .unwrap_or_else(|error| panic!("{owner} {} {text}: {error}", rrset.rtype));
                    assert!(
                        is_well_formed(rrset.rtype, rdata) && same_value(rrset.rtype, rdata, &again),
                        "{owner} {} {text}: {rdata:02x?} {again:02x?}",
                        rrset.rtype
                    );
                }
            }
        }
        Err(errors) => {
            assert!((1..=MAX_ERRORS).contains(&errors.len()), "{errors:?}");
            let lines = octets.iter().filter(|octet| **octet == b'\n').count() + 1;
            for error in errors {
                assert!(error.line as usize <= lines, "{error}: of {lines} lines");
                assert!(
                    !error.message.is_empty() && (error.line == 0) == (error.column == 0),
                    "{error:?}"
                );
            }
        }
    }
}

/// A zone file, a zero octet, and a query to its server; its names are asked for as well.
pub fn answer(octets: &[u8]) {
    let (text, query) = match octets.iter().position(|octet| *octet == 0) {
        Some(end) => (&octets[..end], &octets[end + 1..]),
        None => (octets, &[][..]),
    };
    if is_long_generate(text) {
        return;
    }
    let Ok(content) = load(text) else { return };
    let owners: Vec<Name> = content
        .rrsets
        .iter()
        .map(|(owner, _)| owner.clone())
        .take(NAMES)
        .collect();
    let mut planes = serve(content);
    // Independent readers refuse RDATA that is odd but allowed: empty (RFC 3597), a CAA tag of more than 15 octets.
    let is_readable = |reply: &[u8]| Upstream::read(reply).is_some();
    ask(&mut planes, query, is_readable);
    for owner in owners {
        let below = owner.child(b"x").unwrap_or_else(|| owner.clone());
        for qtype in QTYPES {
            for name in [&owner, &below] {
                ask(&mut planes, &Query::new(name.as_wire(), qtype).build(), is_readable);
            }
        }
    }
}

/// Asks by datagram and by stream: both planes give the same octets, every query gets a reply that can be read, and
/// nothing else does.
fn ask(planes: &mut Planes, query: &[u8], is_readable: fn(&[u8]) -> bool) {
    for limit in [Limit::Datagram, Limit::STREAM] {
        planes.environment.limit = limit;
        planes.environment.is_proven = limit == Limit::STREAM;
        if let Err(difference) = planes.compare(query) {
            panic!("{difference}");
        }
        let reply = planes.reference(query);
        let is_query = query.len() >= 12 && query[2] & 0x80 == 0;
        assert_eq!(reply.is_some(), is_query, "{}", shown(query));
        if let Some(reply) = reply {
            check(query, &reply, limit, is_readable);
        }
    }
}

fn check(query: &[u8], reply: &[u8], limit: Limit, is_readable: fn(&[u8]) -> bool) {
    let context = || format!("query: {}\nreply: {}", shown(query), shown(reply));
    assert_eq!(reply[..2], query[..2], "{}", context());
    // QR; the opcode is the query's, and RD too, which is QUERY's alone.
    let kept = if query[2] & 0x78 == 0 {
        query[2] & 1
    } else {
        query[2] & 0x78
    };
    assert_eq!(reply[2] & 0xF9, 0x80 | kept, "{}", context());
    if reply[5] == 1 {
        let end = 12 + wire_name_length(&reply[12..]).expect("a question") + 4;
        assert_eq!(reply[12..end], query[12..end], "{}", context());
    }
    let most = match limit {
        Limit::Datagram => 1232,
        Limit::Octets(octets) => usize::from(octets),
    };
    assert!(reply.len() <= most, "{}", context());
    assert!(is_readable(reply), "{}", context());
}

/// A server of one zone, with the configuration's defaults and no upstream.
fn serve(content: ZoneContent) -> Planes {
    let environment = Environment {
        cookies: COOKIES,
        ..Environment::DEFAULT
    };
    let zone = Change::PutZone {
        source: SourceId::zone_files(),
        apex: apex(),
        content: Ok(content.rrsets),
    };
    let mut planes = Planes::new(on_heap(), environment, false).expect("a heap");
    planes.apply(vec![zone]).expect("a heap has room");
    planes
}

fn apex() -> Name {
    APEX.parse().expect("a constant name")
}

/// As the server reads it: from a file in a folder of its own.
fn load(octets: &[u8]) -> Result<ZoneContent, Vec<ZoneFileError>> {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
        // Memory, where there is such a folder: each case is written once.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            TempDir::new_in(memory)
        } else {
            TempDir::new()
        };
        folder.expect("a folder")
    });
    let thread = std::thread::current().id();
    let path = FOLDER.path().join(format!("{thread:?}"));
    fs::write(&path, octets).expect("written");
    zonefile::load(&path, &apex(), Arc::from("zone"))
}

/// Whether this may bring thousands of records with few octets: right, but slow.
fn is_long_generate(octets: &[u8]) -> bool {
    let has_generate = octets
        .windows(9)
        .any(|window| window.eq_ignore_ascii_case(b"$GENERATE"));
    has_generate && octets.windows(4).any(|window| window.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use dns_userspace::model::record::RecordType;

    use super::*;

    #[test]
    fn long_ranges_are_left_out() {
        assert!(is_long_generate(b"$generate 1-9999 a$ A 192.0.2.1\n"));
        assert!(!is_long_generate(b"$GENERATE 1-999 a$ A 192.0.2.1\n"));
        assert!(!is_long_generate(b"a 1234 A 192.0.2.1\n"));
    }

    #[test]
    fn the_fixed_zone_loads() {
        let content = load(ZONE.as_bytes()).expect("no errors");
        assert!(content.rrsets.iter().any(|(_, rrset)| rrset.rtype == RecordType::DNAME));
    }
}
