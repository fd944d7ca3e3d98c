//! `chaos`: what the server says of itself in class CHAOS (RFC 4892).

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;

/// `chaos`: TXT records of class CHAOS, at most 255 octets each; those that are not given are refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChaosConfig {
    /// `version.bind` and `version.server`.
    pub version: Option<Box<str>>,
    /// `hostname.bind`.
    pub hostname: Option<Box<str>>,
    /// `id.server` (RFC 4892).
    pub id: Option<Box<str>>,
}

/// One character-string (RFC 1035 §3.3).
const MAX_BYTES: usize = 255;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["version", "hostname", "id"],
    applies: Applies::Live(&[("chaos", |old, new| old.chaos != new.chaos)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> ChaosConfig {
    let section = input.root.section("chaos", KEY.keys, findings);
    let mut text = |key, example| section.short_text(key, example, MAX_BYTES, findings);
    ChaosConfig {
        version: text("version", "version: \"1.0\""),
        hostname: text("hostname", "hostname: ns1.example.com"),
        id: text("id", "id: ns1"),
    }
}
