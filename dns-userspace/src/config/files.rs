//! `files`: whether the configuration file and the zone files are read again when they change.

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;

/// `files`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilesConfig {
    /// Whether a change of a file is a reload.
    pub watch: bool,
}

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["watch"],
    applies: Applies::Live(&[("files.watch", |old, new| old.files.watch != new.files.watch)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> FilesConfig {
    let section = input.root.section("files", KEY.keys, findings);
    let watch = section.boolean("watch", "watch: true", findings);
    FilesConfig {
        watch: watch.unwrap_or(true),
    }
}
