//! Differences that are known: each narrow, each with the RFC that decides, as `docs/differences.md` says.

use super::judge::Pair;

/// A case in which the other servers do not agree with each other, or with the RFC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exception {}

impl Exception {
    /// The exception that explains what two replies differ in.
    pub fn of(_pair: &Pair<'_>) -> Option<Self> {
        None
    }
}
