//! The search for a text in records: `?q=`.
//!
//! A search looks at every record there is, so it writes out as little as it can: the owner once for all RRsets of a
//! name, and values only of types whose presentation can have the text. For example, the text `shop` is never looked
//! for in addresses.

use std::fmt::Write;

use memchr::memmem::Finder;

use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::{RecordType, RrSet};

/// A text that is looked for in names, values, sources and notes, whatever the case.
#[derive(Debug, Clone)]
pub(super) struct Search {
    finder: Finder<'static>,
    may_be_in_ipv4: bool,
    may_be_in_ipv6: bool,
}

impl Search {
    /// A search for this text; `None` where there is none to look for.
    pub(super) fn new(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        let has_only = |is_wanted: fn(u8) -> bool| text.bytes().all(is_wanted);
        Some(Self {
            may_be_in_ipv4: has_only(|octet| octet.is_ascii_digit() || octet == b'.'),
            may_be_in_ipv6: has_only(|octet| octet.is_ascii_hexdigit() || matches!(octet, b':' | b'.')),
            finder: Finder::new(&text).into_owned(),
        })
    }

    /// Whether the text is in a name.
    pub(super) fn is_in_name(&self, owner: &Name, room: &mut String) -> bool {
        room.clear();
        // Nothing can go wrong with a string.
        let _ = write!(room, "{owner}");
        self.is_in(room)
    }

    /// Whether the text is in a value, the source or the note of an RRset.
    pub(super) fn is_in_rrset(&self, rrset: &RrSet, room: &mut String) -> bool {
        let note = rrset.handling.keeping().note.as_deref();
        let parts = [Some(rrset.origin.label()), rrset.origin.object(), note];
        let mut parts = parts.into_iter().flatten();
        parts.any(|part| {
            room.clear();
            room.push_str(part);
            self.is_in(room)
        }) || (self.may_be_in_values(rrset.rtype)
            && rrset.rdatas.iter().any(|value| {
                room.clear();
                rdata::append_value(rrset.rtype, value, room);
                self.is_in(room)
            }))
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
        search.is_in_rrset(&rrset(rtype, value), &mut String::new())
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
        assert!(search("w.exam").is_in_name(&name, &mut String::new()));
        assert!(!search("mail").is_in_name(&name, &mut String::new()));
        assert!(finds("SHOP.zone", RecordType::A, "192.0.2.1"));
        assert!(Search::new("").is_none());
    }
}
