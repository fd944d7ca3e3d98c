//! `dry_run`: whether what would be written to others is only said.

use super::choice::choices;
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;

choices! {
    /// What becomes of changes that hotdns would make elsewhere: at targets, objects of clusters, certificates.
    DryRun {
        /// They are made.
        Off = "off",
        /// They are written into the log, and not made.
        Log = "log",
        /// The same, with a unified diff of each target.
        Diff = "diff",
    }
}

#[expect(clippy::derivable_impls, reason = "what it derives is the same for all closed lists")]
impl Default for DryRun {
    fn default() -> Self {
        Self::Off
    }
}

impl DryRun {
    /// Whether nothing is written.
    pub fn is_on(self) -> bool {
        self != Self::Off
    }
}

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[],
    applies: Applies::AtRestart(&[("dry_run", |old, new| old.dry_run != new.dry_run)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> DryRun {
    let of_file = input.root.choice("dry_run", findings);
    input.overrides.dry_run.or(of_file).unwrap_or_default()
}
