//! `storage`: the folder of what the server itself keeps.

use std::path::PathBuf;

use super::keys::{Applies, Input, Key};
use super::problem::{Findings, Problem};
use super::section::Text;

/// `storage`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The folder of the database.
    pub path: PathBuf,
    /// Whether nothing is served until its records are read.
    pub required: bool,
}

const DEFAULT_PATH: &str = "/var/lib/hotdns";

pub(super) const KEY: Key = Key {
    keys: &["path", "required"],
    applies: Applies::AtRestart(&[
        ("storage.path", |old, new| old.storage.path != new.storage.path),
        ("storage.required", |old, new| {
            old.storage.required != new.storage.required
        }),
    ]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> Storage {
    let section = input.root.section("storage", KEY.keys, findings);
    let required = section.boolean("required", "required: true", findings);
    let path = match section.text("path", "path: /var/lib/hotdns", findings) {
        Some(Text { at, text: "" }) => {
            let problem = Problem::Empty {
                key: section.path("path"),
                remedy: "write the path of a folder",
            };
            findings.error(at, problem);
            DEFAULT_PATH.into()
        }
        Some(Text { text, .. }) => input.base.join(text),
        None => DEFAULT_PATH.into(),
    };
    Storage {
        path,
        required: required.unwrap_or(true),
    }
}
