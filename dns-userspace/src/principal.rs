//! Who asks for a change, and what they may change.
//!
//! ```text
//! bearer token, local user, TSIG key ─► Principal ─ check(ChangeSet) ─► writer
//! ```
//!
//! Every path that edits records passes [`Principal::check`]: the HTTP API, its dialects, UPDATE. A scope names zones,
//! names, types, methods, sources and views; an empty list of it allows all. A scope with
//! `names: ["_acme-challenge.*"]` and `types: [TXT]`, say, lets a client of ACME prove names, and nothing else.
//!
//! Reads obey [`Scope::zones`] and [`Scope::views`]. What concerns the whole server (tokens, the configuration, a
//! reload) needs a scope that limits no records: [`Principal::is_unlimited`].

mod credentials;
mod jwt;
mod passwords;
mod scope;
mod token;
mod tokens;

use std::sync::Arc;

use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::store::{ChangeSet, Edit};

pub(crate) use self::credentials::{Credentials, TrustedHeader};
pub(crate) use self::jwt::{KeySource, Verification};
pub(crate) use self::passwords::PasswordFile;
pub use self::scope::{DEFAULT_VIEW, NamePattern, Scope};
pub(crate) use self::scope::{ScopeError, ScopeText};
#[cfg(test)]
pub(crate) use self::token::TokenError;
pub(crate) use self::token::TokenFile;
pub(crate) use self::tokens::{DELETED, FreshToken, MakeTokenError, TokenShown, TokensFile, Wish, now, parse_time};

/// Who asks.
#[derive(Debug, Clone)]
pub struct Principal {
    name: Arc<str>,
    scope: Arc<Scope>,
    /// When its credential ends, in seconds of Unix time.
    expires: Option<u64>,
}

/// A change that is not allowed. Nothing of its change set is made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{principal} may not change {owner}{}{}: its scope is {scope}", of_type(.rtype), in_view(.view))]
pub struct Forbidden {
    /// The position of the edit that is at fault, from 0.
    pub edit: usize,
    /// Who asks.
    pub principal: Arc<str>,
    /// The name that the edit is about.
    pub owner: Name,
    /// The type; `None` where all types are meant.
    pub rtype: Option<RecordType>,
    /// The view; `None` is the default.
    pub view: Option<String>,
    /// What is allowed, in words.
    pub scope: String,
}

fn of_type(rtype: &Option<RecordType>) -> String {
    rtype.map_or_else(String::new, |rtype| format!(" {rtype}"))
}

fn in_view(view: &Option<String>) -> String {
    view.as_ref()
        .map_or_else(String::new, |view| format!(" in the view `{view}`"))
}

impl Principal {
    /// Somebody with this scope.
    pub fn new(name: impl Into<Arc<str>>, scope: Scope) -> Self {
        Self {
            name: name.into(),
            scope: Arc::new(scope),
            expires: None,
        }
    }

    /// The same, until that second of Unix time.
    #[must_use]
    pub fn until(self, expires: Option<u64>) -> Self {
        Self { expires, ..self }
    }

    /// A user of this machine, who may do everything where no token is set.
    pub fn local() -> Self {
        Self::new("local", Scope::default())
    }

    /// The holder of a token that may do everything.
    pub fn token(name: &str) -> Self {
        Self::new(name, Scope::default())
    }

    /// As histories name them.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it may do.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// When its credential ends, in seconds of Unix time.
    pub fn expires(&self) -> Option<u64> {
        self.expires
    }

    /// Whether no records are out of its scope. What concerns the whole server needs this.
    pub fn is_unlimited(&self) -> bool {
        self.scope.has_all_records()
    }

    /// An error where an edit is out of scope.
    pub fn check(&self, set: &ChangeSet) -> Result<(), Forbidden> {
        for (edit, asked) in set.edits.iter().enumerate() {
            let (view, owner, rtype) = match asked {
                Edit::AddValues { view, owner, rtype, .. }
                | Edit::Put { view, owner, rtype, .. }
                | Edit::Upsert { view, owner, rtype, .. }
                | Edit::RemoveValues { view, owner, rtype, .. } => (view, owner, Some(*rtype)),
                Edit::Delete { view, owner, rtype } => (view, owner, *rtype),
                Edit::CreateZone { apex, .. } | Edit::DeleteZone { apex } => (&None, apex, None),
                Edit::Set { view, owner, rrset, .. } => (view, owner, Some(rrset.rtype)),
                Edit::Unset { view, owner, rtype, .. } => (view, owner, Some(*rtype)),
                // What a source knows whole is not asked for by anybody.
                Edit::SetAll(_) | Edit::Apply(_) => continue,
            };
            // A zone is all names in it.
            let is_zone = matches!(asked, Edit::CreateZone { .. } | Edit::DeleteZone { .. });
            let is_allowed = self.scope.may_change(owner, rtype)
                && (!is_zone || self.scope.names.is_empty())
                && self.scope.has_view(view.as_deref())
                && self.scope.has_source(&set.source);
            if !is_allowed {
                return Err(Forbidden {
                    edit,
                    principal: Arc::clone(&self.name),
                    owner: owner.clone(),
                    rtype,
                    view: view.as_deref().map(str::to_owned),
                    scope: self.scope.to_string(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) use self::jwt::tests as identity_provider;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::source::SourceId;

    fn delete(owner: &str, rtype: Option<RecordType>) -> ChangeSet {
        ChangeSet {
            source: SourceId::api(),
            actor: "test".into(),
            edits: vec![Edit::Delete {
                view: None,
                owner: owner.parse().expect("a name"),
                rtype,
            }],
        }
    }

    #[test]
    fn a_scope_allows_what_all_of_its_lists_have() {
        let acme = Scope {
            zones: vec!["example.org.".parse().expect("a name")],
            names: vec!["_acme-challenge.*".parse().expect("a pattern")],
            types: vec![RecordType::TXT],
            ..Scope::default()
        };
        let acme = Principal::new("acme", acme);
        for (owner, rtype, allowed) in [
            ("_acme-challenge.www.example.org.", Some(RecordType::TXT), true),
            ("_ACME-challenge.example.org.", Some(RecordType::TXT), true),
            ("_acme-challenge.example.org.", Some(RecordType::A), false),
            ("_acme-challenge.example.org.", None, false),
            ("_acme-challenge.example.net.", Some(RecordType::TXT), false),
            ("_acme-challenges.example.org.", Some(RecordType::TXT), false),
            ("www.example.org.", Some(RecordType::TXT), false),
        ] {
            let result = acme.check(&delete(owner, rtype));
            assert_eq!(result.is_ok(), allowed, "{owner} {rtype:?}: {result:?}");
        }
        let refused = acme.check(&delete("www.example.org.", None)).expect_err("out of scope");
        let text = refused.to_string();
        assert!(
            text.contains("acme may not change www.example.org.") && text.contains("_acme-challenge.*"),
            "{text}"
        );
    }

    #[test]
    fn who_has_no_scope_may_do_everything() {
        assert_eq!(Principal::local().check(&delete("www.x.", None)), Ok(()));
    }
}
