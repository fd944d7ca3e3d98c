//! `http_port`: the port of `http.listen` addresses that name none.

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;

const DEFAULT: u16 = 8080;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[],
    applies: Applies::AtRestart(&[("http_port", |old, new| old.http_port != new.http_port)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> u16 {
    let port = input
        .root
        .number("http_port", 1..=u16::MAX, "", "http_port: 8080", findings);
    port.unwrap_or(DEFAULT)
}
