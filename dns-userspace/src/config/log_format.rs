//! `log_format`: how log lines look.

use super::choice::choices;
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;

choices! {
    /// How a log line looks.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[],
    applies: Applies::AtRestart(&[("log_format", |old, new| old.log_format != new.log_format)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> LogFormat {
    input.root.choice("log_format", findings).unwrap_or(LogFormat::Text)
}
