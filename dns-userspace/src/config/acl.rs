//! `acl`: who may ask, of the server or of a zone.
//!
//! Prefixes stand in the configuration, or in files with one a line, as lists of the networks of a country have them.

use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;

use super::address::parse_prefix;
use super::choice::choices;
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::{CheckedMapping, Text};
use crate::host::files::read_text;
use crate::model::access::{Access, AccessList};

/// `acl`; `None` where it names no prefix.
pub type Acl = Option<Arc<AccessList>>;

choices! {
    /// What happens to clients that may not ask.
    AccessAction {
        /// They get REFUSED.
        Refuse = "refuse",
        /// They get nothing.
        Drop = "drop",
    }
}

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["allow", "deny", "allow_files", "deny_files", "action"],
    applies: Applies::Live(&[("acl", |old, new| old.acl != new.acl)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> Acl {
    read_in(&input.root, input.base, findings)
}

/// The largest file of prefixes, in octets.
const MOST_OCTETS: u64 = 16 << 20;
/// Lines of one file that are told to be wrong.
const MOST_WRONG: usize = 5;

/// The list under `acl` of the configuration or of a zone. Paths are relative to `base`.
pub(super) fn read_in(parent: &CheckedMapping<'_>, base: &Path, findings: &mut Findings) -> Acl {
    let section = parent.section("acl", KEY.keys, findings);
    let mut allow = section
        .prefixes("allow", "allow: [10.0.0.0/8]", findings)
        .unwrap_or_default();
    let mut deny = section
        .prefixes("deny", "deny: [10.0.0.0/8]", findings)
        .unwrap_or_default();
    allow.append(&mut in_files(
        &section,
        "allow_files",
        "allow_files: [lan.txt]",
        base,
        findings,
    ));
    deny.append(&mut in_files(
        &section,
        "deny_files",
        "deny_files: [countries/xx.txt]",
        base,
        findings,
    ));
    let denied = match section.choice("action", findings) {
        None | Some(AccessAction::Refuse) => Access::Refused,
        Some(AccessAction::Drop) => Access::Dropped,
    };
    (!allow.is_empty() || !deny.is_empty()).then(|| Arc::new(AccessList::new(&allow, &deny, denied)))
}

/// The prefixes of all files under `key`.
fn in_files(
    section: &CheckedMapping<'_>,
    key: &'static str,
    example: &'static str,
    base: &Path,
    findings: &mut Findings,
) -> Vec<IpNet> {
    let files = section.texts(key, example, findings).unwrap_or_default();
    let key = section.path(key);
    let mut prefixes = Vec::new();
    for Text { at, text: file } in files {
        let path = base.join(file);
        let refuse = |reason: String| ConfigProblem::BadPrefixFile {
            key: key.clone(),
            path: path.display().to_string(),
            reason,
        };
        let text = match read_text(&path, MOST_OCTETS) {
            Ok(text) => text,
            Err(error) => {
                findings.error(at, refuse(error.to_string()));
                continue;
            }
        };
        let before = prefixes.len();
        let mut wrong = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let prefix = line.split(['#', ';']).next().unwrap_or_default().trim();
            if prefix.is_empty() {
                continue;
            }
            match parse_prefix(&key, prefix) {
                Ok(prefix) => prefixes.push(prefix),
                Err(_) => wrong.push(format!("line {number}: `{prefix}`")),
            }
        }
        let count = wrong.len();
        if count > 0 {
            wrong.truncate(MOST_WRONG);
            let reason = format!(
                "{count} lines are no prefix, such as 192.0.2.0/24, without host bits: {}",
                wrong.join(", ")
            );
            findings.error(at, refuse(reason));
        } else if prefixes.len() == before {
            // An empty list of those that may ask would let everybody ask.
            findings.error(at, refuse("it has no prefix".to_owned()));
        }
    }
    prefixes
}
