//! The search for a text in records: `?q=`.
//!
//! A search looks at every record there is, so nearly all of them have to be passed over without being written out:
//!
//! - A name is looked at in its key, whose labels are in lower case already: the text's longest part of plain
//!   characters has to be in one of them. For example, `ept-7.shop` is in no name without a label that has `ept-7`.
//!   Names that have it are written out and searched.
//! - The source and the object of RRsets are searched once for all RRsets in a row that have the same.
//! - Values are written out only of types whose presentation can have the text. For example, `shop` is never looked for
//!   in addresses.
//!
//! So there is no index, which every change would have to keep in step and which would take memory for each record.

use std::fmt::Write;

use memchr::memmem::Finder;

use crate::model::name::{Name, NameKey};
use crate::model::rdata;
use crate::model::record::{RecordType, RrSet};
use crate::model::source::Origin;

/// A text that is looked for in names, values, sources and notes, whatever the case.
#[derive(Debug, Clone)]
pub(super) struct Search {
    finder: Finder<'static>,
    /// What a label of every name has that has the text; `None`: that cannot be said.
    part: Option<Part>,
    may_be_in_ipv4: bool,
    may_be_in_ipv6: bool,
}

/// The longest part of a text that labels have as it is.
#[derive(Debug, Clone)]
struct Part {
    finder: Finder<'static>,
    /// An octet that is no plain character is written with digits, such as `\032`: a name with one may have digits that
    /// its key has not.
    has_digits: bool,
}

/// What a search remembers from one record to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    room: String,
    /// The origin that was searched last, and whether the text is in it.
    origin: Option<(Origin, bool)>,
}

/// Characters that a label shows as they are, and that no other octet is shown with but for digits.
fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'*')
}

impl Search {
    /// A search for this text; `None` where there is none to look for.
    pub(super) fn new(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        let has_only = |is_wanted: fn(u8) -> bool| text.bytes().all(is_wanted);
        let parts = text.as_bytes().split(|octet| !is_plain(*octet));
        let longest = parts.max_by_key(|part| part.len()).filter(|part| !part.is_empty());
        Some(Self {
            part: longest.map(|part| Part {
                finder: Finder::new(part).into_owned(),
                has_digits: part.iter().any(u8::is_ascii_digit),
            }),
            may_be_in_ipv4: has_only(|octet| octet.is_ascii_digit() || octet == b'.'),
            may_be_in_ipv6: has_only(|octet| octet.is_ascii_hexdigit() || matches!(octet, b':' | b'.')),
            finder: Finder::new(&text).into_owned(),
        })
    }

    /// Whether the text is in a name.
    pub(super) fn is_in_name(&self, key: &NameKey, memory: &mut Memory) -> bool {
        if let Some(part) = &self.part {
            let labels = key.as_bytes();
            let is_certain = || !part.has_digits || labels.iter().all(|&octet| octet == 0 || is_plain(octet));
            if part.finder.find(labels).is_none() && is_certain() {
                return false;
            }
        }
        let room = &mut memory.room;
        room.clear();
        // Nothing can go wrong with a string.
        let _ = write!(room, "{}", Name::from_key(key.as_bytes()));
        self.is_in(room)
    }

    /// Whether the text is in a value, the source or the note of an RRset.
    pub(super) fn is_in_rrset(&self, rrset: &RrSet, memory: &mut Memory) -> bool {
        self.is_in_origin(&rrset.origin, memory) || {
            let room = &mut memory.room;
            let note = rrset.handling.keeping().note.as_deref();
            note.is_some_and(|note| {
                room.clear();
                room.push_str(note);
                self.is_in(room)
            }) || (self.may_be_in_values(rrset.rtype)
                && rrset.rdatas.iter().any(|value| {
                    room.clear();
                    rdata::append_value(rrset.rtype, value, room);
                    self.is_in(room)
                }))
        }
    }

    fn is_in_origin(&self, origin: &Origin, memory: &mut Memory) -> bool {
        if let Some((known, is_in)) = &memory.origin
            && known.is_shared_with(origin)
        {
            return *is_in;
        }
        let room = &mut memory.room;
        let is_in = [Some(origin.label()), origin.object()]
            .into_iter()
            .flatten()
            .any(|part| {
                room.clear();
                room.push_str(part);
                self.is_in(room)
            });
        memory.origin = Some((origin.clone(), is_in));
        is_in
    }

    fn may_be_in_values(&self, rtype: RecordType) -> bool {
        match rtype {
            RecordType::A => self.may_be_in_ipv4,
            RecordType::AAAA => self.may_be_in_ipv6,
            _ => true,
        }
    }

    fn is_in(&self, text: &mut str) -> bool {
        text.make_ascii_lowercase();
        self.finder.find(text.as_bytes()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::Handling;
    use crate::model::source::Origin;

    fn rrset(rtype: RecordType, value: &str) -> RrSet {
        RrSet {
            rtype,
            ttl: 60,
            rdatas: [rdata::parse_value(rtype, value).expect("a value")].into(),
            origin: Origin::zone_file("Zones/shop.zone"),
            handling: Handling::default(),
        }
    }

    fn finds(text: &str, rtype: RecordType, value: &str) -> bool {
        let search = Search::new(text).expect("a text");
        search.is_in_rrset(&rrset(rtype, value), &mut Memory::default())
    }

    #[test]
    fn finds_a_part_of_a_value_whatever_its_case() {
        assert!(finds("2.0.2", RecordType::A, "192.0.2.1"));
        assert!(finds("DB8::a", RecordType::AAAA, "2001:db8::a"));
        assert!(finds("::ffff:192.0", RecordType::AAAA, "::ffff:192.0.2.1"));
        assert!(finds("hello", RecordType::TXT, "\"Say HELLO\""));
        assert!(!finds("2.0.3", RecordType::A, "192.0.2.1"));
        assert!(!finds("a", RecordType::A, "192.0.2.1") || Origin::zone_file("x").label().contains('a'));
    }

    #[test]
    fn finds_a_part_of_a_name_and_of_a_source() {
        let name: Name = "Www.Example.com.".parse().expect("a name");
        let search = |text: &str| Search::new(text).expect("a text");
        assert!(search("w.exam").is_in_name(&name.key(), &mut Memory::default()));
        assert!(!search("mail").is_in_name(&name.key(), &mut Memory::default()));
        assert!(finds("SHOP.zone", RecordType::A, "192.0.2.1"));
        assert!(Search::new("").is_none());
    }

    #[test]
    fn each_part_of_a_name_as_it_is_shown_is_found_in_it() {
        let names = [
            &b"\x03Www\x07Example\x03com\0"[..],
            // A space, NUL, 0xFF, a dot, a slash and what is escaped by a backslash alone.
            b"\x03a b\x02c\0\0",
            b"\x02\xFF1\x030/5\0",
            b"\x03a.b\x02@$\x01\x01\0",
            b"\x03\x01\x02\x03\x02*-\0",
            b"\0",
        ];
        for wire in names {
            let name = Name::from_wire(wire).expect("a name");
            let shown = name.to_string().to_ascii_lowercase();
            for start in 0..shown.len() {
                for end in start + 1..=shown.len() {
                    let search = Search::new(&shown[start..end]).expect("a text");
                    let found = search.is_in_name(&name.key(), &mut Memory::default());
                    assert!(found, "{} in {name}", &shown[start..end]);
                }
            }
            for other in ["www.example.con", "33", "b.c", "0320", "x", "\\."] {
                let search = Search::new(other).expect("a text");
                let found = search.is_in_name(&name.key(), &mut Memory::default());
                assert_eq!(found, shown.contains(other), "{other} in {name}");
            }
        }
    }

    #[test]
    fn what_is_remembered_is_of_the_same_source() {
        let search = Search::new("shop").expect("a text");
        let (of_shop, mut other) = (rrset(RecordType::A, "192.0.2.1"), rrset(RecordType::A, "192.0.2.1"));
        other.origin = Origin::zone_file("zones/mail.zone");
        let mut memory = Memory::default();
        for _ in 0..2 {
            assert!(search.is_in_rrset(&of_shop, &mut memory));
            assert!(search.is_in_rrset(&of_shop, &mut memory));
            assert!(!search.is_in_rrset(&other, &mut memory));
            assert!(!search.is_in_rrset(&other, &mut memory));
        }
    }
}
