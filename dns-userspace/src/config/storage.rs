//! `storage`: the folder of what the server itself keeps.

use std::path::PathBuf;

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::Text;
use crate::journal::EtcdSettings;

mod etcd;

/// `storage`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageConfig {
    /// The folder of the database.
    pub path: PathBuf,
    /// Whether nothing is served until its records are read.
    pub required: bool,
    /// The etcd that several nodes share.
    pub etcd: Option<EtcdSettings>,
}

const DEFAULT_PATH: &str = "/var/lib/hotdns";

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["path", "required", "etcd"],
    applies: Applies::AtRestart(&[
        ("storage.path", |old, new| old.storage.path != new.storage.path),
        ("storage.required", |old, new| {
            old.storage.required != new.storage.required
        }),
        ("storage.etcd", |old, new| old.storage.etcd != new.storage.etcd),
    ]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> StorageConfig {
    let section = input.root.section("storage", KEY.keys, findings);
    let required = section.boolean("required", "required: true", findings);
    let path = match section.text("path", "path: /var/lib/hotdns", findings) {
        Some(Text { at, text: "" }) => {
            let problem = ConfigProblem::Empty {
                key: section.path("path"),
                remedy: "write the path of a folder",
            };
            findings.error(at, problem);
            DEFAULT_PATH.into()
        }
        Some(Text { text, .. }) => input.base.join(text),
        None => DEFAULT_PATH.into(),
    };
    StorageConfig {
        path,
        required: required.unwrap_or(true),
        etcd: etcd::read(&section, input, findings),
    }
}
