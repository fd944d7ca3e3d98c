//! `log_fields`: what the members of a JSON line of the log are called.

use super::choice::choices;
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;

choices! {
    /// What the members of a JSON line are called.
    LogFields {
        /// `timestamp`, `level`, `message`, `target`, and those of the event.
        Hotdns = "hotdns",
        /// As catalyst-dns-sync calls them: `timestamp`, `level`, `msg`, `app`, `version`, `hostname`, `ip`, `ttl`,
        /// `namespace`, `resource`, `zone`.
        Catalyst = "catalyst",
    }
}

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[],
    applies: Applies::AtRestart(&[("log_fields", |old, new| old.log_fields != new.log_fields)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> LogFields {
    input.root.choice("log_fields", findings).unwrap_or(LogFields::Hotdns)
}
