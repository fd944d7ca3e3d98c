//! What an entry is found by.
//!
//! ```text
//! 3www7example0 │ type 2 │ class 2 │ DO, CD 1 │ view 2 │ set 2
//! ```

use dns_common::hot::NO_AGE;

use super::super::exchange::Asking;
use crate::table::HotAnswer;

/// Octets behind the name.
const TAIL_BYTES: usize = 9;
/// Of a name, and what is behind it.
const MOST_BYTES: usize = 255 + TAIL_BYTES;

/// A key that is being looked up.
pub(in crate::resolve) struct Key {
    octets: [u8; MOST_BYTES],
    length: usize,
}

impl Key {
    /// The key of a question that goes to a set of servers, for the clients of a view.
    pub(in crate::resolve) fn of(asking: &Asking) -> Self {
        Self::new(
            &asking.name,
            asking.qtype,
            asking.qclass,
            asking.dnssec_ok,
            asking.checking_disabled,
            asking.view,
            asking.set,
        )
    }

    /// The same from its parts; the name in wire form, in any case.
    pub(in crate::resolve) fn new(
        name: &[u8],
        qtype: u16,
        qclass: u16,
        dnssec_ok: bool,
        checking_disabled: bool,
        view: u16,
        set: u16,
    ) -> Self {
        let name = &name[..name.len().min(MOST_BYTES - TAIL_BYTES)];
        let mut octets = [0; MOST_BYTES];
        octets[..name.len()].copy_from_slice(name);
        octets[..name.len()].make_ascii_lowercase();
        let flags = u8::from(dnssec_ok) | u8::from(checking_disabled) << 1;
        let ([t1, t0], [c1, c0]) = (qtype.to_be_bytes(), qclass.to_be_bytes());
        let ([v1, v0], [s1, s0]) = (view.to_be_bytes(), set.to_be_bytes());
        let length = name.len() + TAIL_BYTES;
        octets[name.len()..length].copy_from_slice(&[t1, t0, c1, c0, flags, v1, v0, s1, s0]);
        Self { octets, length }
    }

    pub(in crate::resolve) fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    pub(super) fn into_boxed(self) -> Box<[u8]> {
        self.octets().into()
    }
}

/// The type in the keys of denials: no question has it.
const NO_TYPE: u16 = 0;

/// The key by which it is found that a name is denied, whatever type is asked for.
pub(super) fn of_denial(name: &[u8], asking: &Asking) -> Key {
    Key::new(
        name,
        NO_TYPE,
        asking.qclass,
        asking.dnssec_ok,
        asking.checking_disabled,
        asking.view,
        asking.set,
    )
}

/// Whether it is such a key, beside that of the question that was denied.
pub(super) fn is_of_denial(key: &[u8]) -> bool {
    tail_of(key).is_some_and(|(qtype, ..)| qtype == NO_TYPE)
}

/// The name in a key, in wire form and lower case.
pub(super) fn name_of(key: &[u8]) -> &[u8] {
    &key[..key.len().saturating_sub(TAIL_BYTES)]
}

/// The view in a key.
pub(super) fn view_of(key: &[u8]) -> u16 {
    key.last_chunk::<4>()
        .map_or(0, |&[v1, v0, _, _]| u16::from_be_bytes([v1, v0]))
}

/// What is behind it: type, class, DO, CD, set.
pub(super) fn tail_of(key: &[u8]) -> Option<(u16, u16, bool, bool, u16)> {
    let &[t1, t0, c1, c0, flags, _, _, s1, s0] = key.last_chunk::<TAIL_BYTES>()?;
    Some((
        u16::from_be_bytes([t1, t0]),
        u16::from_be_bytes([c1, c0]),
        flags & 1 != 0,
        flags & 2 != 0,
        u16::from_be_bytes([s1, s0]),
    ))
}

/// The question of a key, as the fast path has questions, with an answer that says nothing and does not age.
pub(super) fn hot_question(key: &[u8]) -> Option<HotAnswer<'_>> {
    let (qtype, _, dnssec_ok, checking_disabled, _) = tail_of(key)?;
    Some(HotAnswer {
        name: name_of(key),
        qtype,
        dnssec_ok,
        checking_disabled,
        view: view_of(key),
        came: NO_AGE,
        ttl: 0,
        rcode: 0,
        counts: [0; 2],
        body: &[],
        ttls: &[],
        generation: None,
        rule: None,
    })
}

/// The numbers of view and set in a key.
pub(super) fn numbers_of(key: &[u8]) -> Option<(u16, u16)> {
    let &[v1, v0, s1, s0] = key.last_chunk::<4>().filter(|_| key.len() > TAIL_BYTES)?;
    Some((u16::from_be_bytes([v1, v0]), u16::from_be_bytes([s1, s0])))
}

/// The same key with other numbers.
pub(super) fn with_numbers(key: &[u8], view: u16, set: u16) -> Box<[u8]> {
    let mut key = key[..key.len().saturating_sub(4)].to_vec();
    key.extend_from_slice(&view.to_be_bytes());
    key.extend_from_slice(&set.to_be_bytes());
    key.into()
}
