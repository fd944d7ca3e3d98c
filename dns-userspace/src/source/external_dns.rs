//! What external-dns keeps in TXT records beside the records that it writes: whose they are. Pure: no IO.
//!
//! ```text
//! www.example.org.    A    192.0.2.1
//! a-www.example.org.  TXT  "heritage=external-dns,external-dns/owner=me,external-dns/resource=ingress/web/www"
//! ```
//!
//! The name of a TXT record is that of the record with external-dns's `--txt-prefix` before it or its `--txt-suffix`
//! behind the first label, with the type as `a-` before the first label; old versions leave the type out. Both may
//! have `%{record_type}` in them: the type is there then, and not before the label.

use crate::model::name::{Name, NameKey};
use crate::model::record::RecordType;

const HERITAGE: &str = "heritage=external-dns";
const TYPE_PLACE: &str = "%{record_type}";
/// Octets of an encrypted text at least: a nonce of 12, a tag of 16, and some text, in base64.
const LEAST_ENCRYPTED: usize = 44;

/// How external-dns names its TXT records: its options of these names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Affixes {
    /// `--txt-prefix`.
    pub prefix: String,
    /// `--txt-suffix`.
    pub suffix: String,
    /// `--txt-wildcard-replacement`.
    pub wildcard: String,
}

/// What a TXT record of external-dns says.
pub struct Heritage {
    /// The `--txt-owner-id`.
    pub owner_id: String,
    /// What the record was made for, such as `ingress/web/www`.
    pub resource: String,
}

/// What a TXT record is to external-dns.
pub enum Text {
    /// It says whose a record is.
    Heritage(Heritage),
    /// It may say so: it is encrypted.
    Encrypted,
}

impl Text {
    /// What a text is; `None`: nothing of external-dns's.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim_matches('"');
        if !text.starts_with(HERITAGE) {
            let is_base64 = |one: char| one.is_ascii_alphanumeric() || "+/=".contains(one);
            let is_encrypted =
                text.len() >= LEAST_ENCRYPTED && text.len().is_multiple_of(4) && text.chars().all(is_base64);
            return is_encrypted.then_some(Self::Encrypted);
        }
        let label = |key: &str| {
            let labels = text.split(',').filter_map(|label| label.split_once('='));
            let found = labels.into_iter().find(|(of, _)| of.trim() == key);
            found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        Some(Self::Heritage(Heritage {
            owner_id: label("external-dns/owner"),
            resource: label("external-dns/resource"),
        }))
    }
}

/// Where external-dns has the TXT records of a record: with the type, and as old versions do, without it.
pub fn places(owner: &Name, rtype: RecordType, affixes: &Affixes) -> Vec<NameKey> {
    let text = owner.to_string();
    let text = text.trim_end_matches('.');
    let (first, rest) = text.split_once('.').unwrap_or((text, ""));
    let first = match first {
        "*" if !affixes.wildcard.is_empty() => &affixes.wildcard,
        first => first,
    };
    let word = rtype.to_string().to_ascii_lowercase();
    let is_in_affix = affixes.prefix.contains(TYPE_PLACE) || affixes.suffix.contains(TYPE_PLACE);
    let with = |in_affix: &str, before: &str| {
        let (prefix, suffix) = (
            affixes.prefix.replace(TYPE_PLACE, in_affix),
            affixes.suffix.replace(TYPE_PLACE, in_affix),
        );
        let dot = if rest.is_empty() { "" } else { "." };
        let name = format!("{prefix}{before}{first}{suffix}{dot}{rest}.");
        name.parse::<Name>().ok().map(|name| name.key())
    };
    let before = if is_in_affix { String::new() } else { format!("{word}-") };
    let places = [with(&word, &before), with("", "")];
    places.into_iter().flatten().collect()
}
