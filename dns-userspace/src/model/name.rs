//! Domain names: owned, validated, compared without regard to case.
//!
//! ```text
//! Name     wire form, case kept:        03 'W' 'w' 'w' 07 'e' … 00
//! NameKey  canonical order as bytes:    "com\0example\0www\0"   (labels reversed, folded, escaped)
//! ```
//!
//! A [`NameKey`] compares as RFC 4034 §6.1 orders names, and the key of a name is a prefix of the keys of
//! everything below it: "the names under X" is one range of an ordered map.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::model::octets::Octets;
use crate::model::shown::{MOST_OF_TEXT, shorten};

mod given;
mod reverse;

/// The largest wire form of a name, root label included (RFC 1035 §3.1).
pub const MAX_NAME_BYTES: usize = 255;
/// The largest label (RFC 1035 §2.3.4).
pub const MAX_LABEL_BYTES: usize = 63;

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No characters at all.
    #[error("the name is empty; write `.` for the root")]
    Empty,
    /// Two dots in a row, or one at the start.
    #[error("the name `{0}` has an empty label")]
    EmptyLabel(String),
    /// A label over 63 octets.
    #[error("a label of the name `{name}` has {bytes} octets; the limit is 63")]
    LabelTooLong {
        /// The name as written.
        name: String,
        /// Octets in the label.
        bytes: usize,
    },
    /// A name over 255 octets.
    #[error("the name `{0}` is longer than 255 octets")]
    TooLong(String),
    /// A backslash that is not followed by a character or by three digits up to 255.
    #[error("the name `{0}` has a bad escape; write `\\.`, `\\\\` or `\\DDD` with DDD from 000 to 255")]
    BadEscape(String),
    /// A raw character that is no visible ASCII, in a name that somebody gives.
    #[error(
        "the name `{name}` has {character} in it; remove it, or write `\\{octet:03}` if the name really has this octet"
    )]
    RawCharacter {
        /// The name as written.
        name: String,
        /// The character, as a person calls it.
        character: String,
        /// Its octet.
        octet: u32,
    },
    /// `@` where there is no origin.
    #[error(
        "`{0}`: `@` stands for the origin of a zone file, and there is none here; write the zone's name itself, such \
         as \
         `example.com.`, or `\\@` for a label of this character"
    )]
    Origin(String),
    /// A label with other than ASCII characters that is no U-label.
    #[error("the label `{label}` of the name `{name}` is not valid in internationalized names (UTS 46): {reason}")]
    NotIdna {
        /// The name as written.
        name: String,
        /// The label.
        label: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Wire bytes that are no uncompressed name.
    #[error("the octets are not an uncompressed domain name")]
    BadWire,
}

/// Names of up to so many octets take no memory of their own, and their keys.
const INLINE_BYTES: usize = 30;

/// An absolute domain name in uncompressed wire form, case kept.
///
/// Equality, order and hash disregard ASCII case (RFC 4343); the order is the canonical one (RFC 4034 §6.1).
#[derive(Clone)]
pub struct Name(Octets<INLINE_BYTES>);

impl Name {
    /// The root, `.`.
    pub fn root() -> Self {
        Self((&[0][..]).into())
    }

    /// A name from its whole uncompressed wire form.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        match wire_name_length(wire) {
            Some(length) if length == wire.len() => Ok(Self(wire.into())),
            _ => Err(NameError::BadWire),
        }
    }

    /// A name in the presentation format of RFC 1035 §5.1, with any octets; absolute with or without the final dot. For
    /// what people and programs give us there is [`Name::parse_given`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::parse_bytes(text.as_bytes(), None)
    }

    /// A name in presentation format, relative to `origin` unless it ends in a dot; `@` is the origin itself.
    pub fn parse_relative(text: &[u8], origin: &Name) -> Result<Self, NameError> {
        if text == b"@" {
            return Ok(origin.clone());
        }
        Self::parse_bytes(text, Some(origin))
    }

    fn parse_bytes(text: &[u8], origin: Option<&Name>) -> Result<Self, NameError> {
        let shown = || shorten(text, MOST_OF_TEXT);
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text == b"." {
            return Ok(Self::root());
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut label_start = 0;
        wire.push(0);
        let mut absolute = false;
        let mut rest = text;
        while let Some((&first, tail)) = rest.split_first() {
            rest = tail;
            let octet = match first {
                b'.' => {
                    close_label(&mut wire, label_start, &shown)?;
                    if rest.is_empty() {
                        absolute = true;
                        break;
                    }
                    label_start = wire.len();
                    wire.push(0);
                    continue;
                }
                b'\\' => {
                    let (octet, used) = unescape(rest).ok_or_else(|| NameError::BadEscape(shown()))?;
                    rest = &rest[used..];
                    octet
                }
                other => other,
            };
            wire.push(octet);
        }
        if !absolute {
            close_label(&mut wire, label_start, &shown)?;
        }
        match origin {
            Some(origin) if !absolute => wire.extend_from_slice(&origin.0),
            _ => wire.push(0),
        }
        if wire.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong(shown()));
        }
        Ok(Self(wire.into()))
    }

    /// The uncompressed wire form, root label included.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Labels from the left, the root label left out.
    pub fn labels(&self) -> Labels<'_> {
        Labels(&self.0)
    }

    /// Number of labels, the root label left out.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// Whether this is `.`.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// Whether the leftmost label is `*` alone (RFC 4592 §2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(&[1, b'*'])
    }

    /// The name without its leftmost label; `None` at the root.
    pub fn parent(&self) -> Option<Name> {
        let skip = usize::from(self.0[0]);
        (skip != 0).then(|| Self(self.0[skip + 1..].into()))
    }

    /// `label` in front of this name; `None` where it gets too long.
    pub fn child(&self, label: &[u8]) -> Option<Name> {
        if label.is_empty() || label.len() > MAX_LABEL_BYTES || label.len() + 1 + self.0.len() > MAX_NAME_BYTES {
            return None;
        }
        let mut wire = Vec::with_capacity(label.len() + 1 + self.0.len());
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
        wire.extend_from_slice(&self.0);
        Some(Self(wire.into()))
    }

    /// The rightmost `labels` labels (the root for 0); the name itself where it has no more.
    pub fn suffix(&self, labels: usize) -> Name {
        let mut rest = &self.0[..];
        for _ in labels..self.label_count() {
            rest = &rest[usize::from(rest[0]) + 1..];
        }
        Self(rest.into())
    }

    /// Whether this is `ancestor` or below it.
    pub fn is_at_or_below(&self, ancestor: &Name) -> bool {
        let Some(skip) = self.0.len().checked_sub(ancestor.0.len()) else {
            return false;
        };
        let mut at = 0;
        while at < skip {
            at += usize::from(self.0[at]) + 1;
        }
        at == skip && self.0[at..].eq_ignore_ascii_case(&ancestor.0)
    }

    /// The same name, ASCII letters in lower case.
    pub fn to_lowercase(&self) -> Name {
        Self(self.0.to_ascii_lowercase().into())
    }

    /// The name, in lower case, whose key these are the bytes of.
    pub(crate) fn from_key(key: &[u8]) -> Self {
        // From the last octet of the wire form to the first; escapes make it shorter than the key.
        let mut wire = [0; MAX_NAME_BYTES];
        let mut start = MAX_NAME_BYTES - 1;
        let mut labels = key;
        while let Some(end) = labels.iter().position(|&octet| octet == 0) {
            let (label, rest) = (&labels[..end], &labels[end + 1..]);
            labels = rest;
            let length = unescaped(label).count();
            start -= length + 1;
            wire[start] = length as u8;
            for (place, octet) in wire[start + 1..].iter_mut().zip(unescaped(label)) {
                *place = octet;
            }
        }
        Self(wire[start..].into())
    }

    /// The key by which ordered maps hold this name.
    pub fn key(&self) -> NameKey {
        NameKey::from_wire(&self.0)
    }
}

/// Length in octets of the uncompressed name at the start of `bytes`, root label included; `None` where there is
/// none (RFC 1035 §3.1: labels up to 63 octets, the whole up to 255).
pub fn wire_name_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label = usize::from(*bytes.get(at)?);
        if label > MAX_LABEL_BYTES {
            return None;
        }
        at += label + 1;
        if at > MAX_NAME_BYTES {
            return None;
        }
        if label == 0 {
            return Some(at);
        }
    }
}

fn close_label(wire: &mut [u8], start: usize, shown: &dyn Fn() -> String) -> Result<(), NameError> {
    let bytes = wire.len() - start - 1;
    if bytes == 0 {
        return Err(NameError::EmptyLabel(shown()));
    }
    if bytes > MAX_LABEL_BYTES {
        return Err(NameError::LabelTooLong { name: shown(), bytes });
    }
    wire[start] = bytes as u8;
    Ok(())
}

/// The octet that an escape stands for and how many characters after the backslash it took (RFC 1035 §5.1).
pub fn unescape(rest: &[u8]) -> Option<(u8, usize)> {
    let first = *rest.first()?;
    if !first.is_ascii_digit() {
        return Some((first, 1));
    }
    let digits = rest.get(..3)?;
    let mut value = 0u16;
    for digit in digits {
        value = value * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    u8::try_from(value).ok().map(|octet| (octet, 3))
}

/// Labels of a name from the left; see [`Name::labels`].
#[derive(Clone)]
pub struct Labels<'a>(&'a [u8]);

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.0[0]);
        if length == 0 {
            return None;
        }
        let (label, rest) = self.0[1..].split_at(length);
        self.0 = rest;
        Some(label)
    }
}

impl fmt::Display for Name {
    /// Presentation format with the final dot (RFC 1035 §5.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        if self.is_root() {
            return f.write_char('.');
        }
        let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'*');
        for label in self.labels() {
            // Most are, and then are written at once.
            let plain = label.iter().all(is_plain).then(|| std::str::from_utf8(label));
            if let Some(Ok(label)) = plain {
                f.write_str(label)?;
                f.write_char('.')?;
                continue;
            }
            for &octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => write!(f, "\\{}", char::from(octet))?,
                    0x21..=0x7E => f.write_char(char::from(octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_char('.')?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut folded = [0; MAX_NAME_BYTES];
        let folded = &mut folded[..self.0.len()];
        folded.copy_from_slice(&self.0);
        folded.make_ascii_lowercase();
        state.write(folded);
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The octets of a label of a key, without its escapes.
fn unescaped(label: &[u8]) -> impl Iterator<Item = u8> {
    let mut octets = label.iter();
    std::iter::from_fn(move || match octets.next()? {
        1 => octets.next().map(|escaped| escaped - 1),
        &octet => Some(octet),
    })
}

/// A name as bytes whose order is the canonical order of names: labels from the right, in lower case, each ended by
/// a zero octet; the octets 0 and 1 inside a label are escaped (`01 01`, `01 02`). The root's key is empty.
#[derive(Clone, PartialEq, Eq)]
pub struct NameKey(Octets<INLINE_BYTES>);

impl NameKey {
    /// The root's.
    pub const ROOT: Self = Self(Octets::EMPTY);

    /// The key of an uncompressed, valid wire name.
    pub fn from_wire(wire: &[u8]) -> Self {
        let mut key = Vec::with_capacity(wire.len() + 4);
        Self::write(wire, &mut key);
        Self(key.into())
    }

    /// Puts the key's bytes of an uncompressed, valid wire name into `key`, which is emptied first. For look-ups
    /// that should not allocate: an ordered map of keys takes the slice.
    pub fn write(wire: &[u8], key: &mut Vec<u8>) {
        key.clear();
        let mut starts = [0u8; 128];
        let mut count = 0;
        let mut at = 0;
        while wire[at] != 0 {
            starts[count] = at as u8;
            count += 1;
            at += usize::from(wire[at]) + 1;
        }
        for &start in starts[..count].iter().rev() {
            let start = usize::from(start);
            let label = &wire[start + 1..=start + usize::from(wire[start])];
            let from = key.len();
            // Labels are copied whole: hardly one has anything to escape.
            if label.iter().all(|&octet| octet > 1) {
                key.extend_from_slice(label);
            } else {
                for &octet in label {
                    match octet {
                        0 | 1 => key.extend_from_slice(&[1, octet + 1]),
                        _ => key.push(octet),
                    }
                }
            }
            key[from..].make_ascii_lowercase();
            key.push(0);
        }
    }

    /// A key from bytes that [`NameKey::write`] made, or from a prefix of them that ends with a label.
    pub(crate) fn from_key_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes that are compared.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is `ancestor` or below it.
    pub fn is_at_or_below(&self, ancestor: &NameKey) -> bool {
        self.0.starts_with(&ancestor.0)
    }

    /// The key of the parent; `None` at the root.
    pub fn parent(&self) -> Option<NameKey> {
        let body = &self.0[..self.0.len().checked_sub(1)?];
        let end = body.iter().rposition(|&octet| octet == 0).map_or(0, |at| at + 1);
        Some(Self(body[..end].into()))
    }

    /// The bytes of this key, of its parent's, and so on up to the root's.
    pub fn lineage(&self) -> impl Iterator<Item = &[u8]> {
        Self::lineage_of(&self.0)
    }

    /// The same for the bytes of a key.
    pub(crate) fn lineage_of(key: &[u8]) -> impl Iterator<Item = &[u8]> {
        std::iter::successors(Some(key), |key| {
            let body = &key[..key.len().checked_sub(1)?];
            Some(&key[..body.iter().rposition(|&octet| octet == 0).map_or(0, |at| at + 1)])
        })
    }

    /// The key of the first so many octets, which are one of [`NameKey::lineage`].
    pub(crate) fn ancestor(&self, octets: usize) -> Self {
        Self(self.0[..octets].into())
    }

    /// Number of labels, the root label left out.
    pub fn label_count(&self) -> usize {
        Self::labels_of(&self.0)
    }

    /// The same for the bytes of a key.
    pub(crate) fn labels_of(key: &[u8]) -> usize {
        key.iter().filter(|&&octet| octet == 0).count()
    }

    /// The key of `*.` in front of this name.
    pub fn wildcard_child(&self) -> NameKey {
        let mut key = self.0.to_vec();
        key.extend_from_slice(b"*\0");
        Self(key.into())
    }

    /// Whether the leftmost label is `*` alone.
    pub fn is_wildcard(&self) -> bool {
        self.0.ends_with(b"*\0") && (self.0.len() == 2 || self.0[self.0.len() - 3] == 0)
    }

    /// The name, in lower case.
    pub fn to_name(&self) -> Name {
        Name::from_key(&self.0)
    }
}

impl Hash for NameKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Ord for NameKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for NameKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<[u8]> for NameKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_name(), f)
    }
}

/// Labels of a valid wire name, the root label left out.
pub(crate) fn label_count(name: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while name[at] != 0 {
        at += usize::from(name[at]) + 1;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a valid name")
    }

    #[test]
    fn rfc4034_6_1_canonical_order() {
        let ordered = [
            "example.",
            "a.example.",
            "yljkjljk.a.example.",
            "Z.a.example.",
            "zABC.a.EXAMPLE.",
            "z.example.",
            "\\001.z.example.",
            "*.z.example.",
            "\\200.z.example.",
        ];
        for pair in ordered.windows(2) {
            assert!(name(pair[0]) < name(pair[1]), "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn keys_come_back_as_names_and_are_prefixes() {
        for text in [".", "a.b.", "\\000\\001x.b.", "*.b."] {
            let key = name(text).key();
            assert_eq!(key.to_name(), name(text));
            if let Some(parent) = name(text).parent() {
                assert_eq!(key.parent(), Some(parent.key()));
                assert!(key.is_at_or_below(&parent.key()));
            }
        }
        assert!(!name("ab.").key().is_at_or_below(&name("b.").key()));
        assert!(name("*.b.").key().is_wildcard() && !name("x*.b.").key().is_wildcard());
        assert_eq!(name("b.").key().wildcard_child(), name("*.b.").key());
    }

    #[test]
    fn presentation_format_round_trips() {
        for text in [".", "www.example.com.", "a\\.b.c.", "\\000\\255.x.", "*.x."] {
            assert_eq!(name(text).to_string(), text);
        }
        assert_eq!(name("www.example.com"), name("WWW.example.com."));
    }

    #[test]
    fn bad_names_say_what_is_wrong() {
        assert_eq!(Name::parse(""), Err(NameError::Empty));
        assert!(matches!(Name::parse("a..b"), Err(NameError::EmptyLabel(_))));
        assert!(matches!(Name::parse(".a"), Err(NameError::EmptyLabel(_))));
        assert!(matches!(
            Name::parse(&"a".repeat(64)),
            Err(NameError::LabelTooLong { bytes: 64, .. })
        ));
        assert!(matches!(Name::parse(&"a.".repeat(128)), Err(NameError::TooLong(_))));
        assert!(Name::parse(&"a.".repeat(127)).is_ok());
        assert!(matches!(Name::parse("a\\256."), Err(NameError::BadEscape(_))));
        assert!(matches!(Name::parse("a\\"), Err(NameError::BadEscape(_))));
    }

    #[test]
    fn suffixes_and_ancestors() {
        let www = name("www.Example.com.");
        assert_eq!(www.suffix(2), name("example.com."));
        assert_eq!(www.suffix(0), Name::root());
        assert!(www.is_at_or_below(&name("EXAMPLE.com.")) && www.is_at_or_below(&Name::root()));
        assert!(!name("badexample.com.").is_at_or_below(&name("example.com.")));
    }
}
