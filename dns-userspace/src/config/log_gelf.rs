//! `log_gelf`: a collector that the log goes to besides standard error.

use super::collector::{GelfTarget, gelf};
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[],
    applies: Applies::AtRestart(&[("log_gelf", |old, new| old.log_gelf != new.log_gelf)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> Option<GelfTarget> {
    let text = input
        .root
        .text("log_gelf", "log_gelf: gelf+udp://127.0.0.1:12201", findings)?;
    if text.text == "off" {
        return None;
    }
    gelf("log_gelf".to_owned(), text, findings)
}
