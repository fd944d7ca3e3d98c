//! `dns_port`: the port of `listen` addresses that name none.

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;

const DEFAULT: u16 = 53;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[],
    applies: Applies::AtRestart(&[("dns_port", |old, new| old.dns_port != new.dns_port)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> u16 {
    let port = input
        .root
        .number("dns_port", 1..=u16::MAX, "", "dns_port: 53", findings);
    port.unwrap_or(DEFAULT)
}
