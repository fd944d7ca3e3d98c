//! `acl`: who may ask, of the server or of a zone.

use std::sync::Arc;

use super::choice::choices;
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;
use super::section::CheckedMapping;
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
    keys: &["allow", "deny", "action"],
    applies: Applies::Live(&[("acl", |old, new| old.acl != new.acl)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> Acl {
    read_in(&input.root, findings)
}

/// The list under `acl` of the configuration or of a zone.
pub(super) fn read_in(parent: &CheckedMapping<'_>, findings: &mut Findings) -> Acl {
    let section = parent.section("acl", KEY.keys, findings);
    let allow = section
        .prefixes("allow", "allow: [10.0.0.0/8]", findings)
        .unwrap_or_default();
    let deny = section
        .prefixes("deny", "deny: [10.0.0.0/8]", findings)
        .unwrap_or_default();
    let denied = match section.choice("action", findings) {
        None | Some(AccessAction::Refuse) => Access::Refused,
        Some(AccessAction::Drop) => Access::Dropped,
    };
    (!allow.is_empty() || !deny.is_empty()).then(|| Arc::new(AccessList::new(&allow, &deny, denied)))
}
