//! `log_level`: how much is logged.

use super::choice::choices;
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;

choices! {
    /// How much is logged; each level includes those before it.
    LogLevel {
        /// What ends the process or loses a function.
        Error = "error",
        /// What somebody should look at.
        Warn = "warn",
        /// Start, stop, reloads and their results.
        Info = "info",
        /// Single changes and connections.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[],
    applies: Applies::Live(&[("log_level", |old, new| old.log_level != new.log_level)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> LogLevel {
    input.root.choice("log_level", findings).unwrap_or(LogLevel::Info)
}
