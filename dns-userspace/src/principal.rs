//! Who asks for a change, and what they may change.
//!
//! ```text
//! bearer token, local user, TSIG key ─► Principal ─ check(ChangeSet) ─► writer
//! ```
//!
//! Every path that edits records passes [`Principal::check`]: the HTTP API, its dialects, UPDATE. A scope names zones,
//! names and types; an empty list of it allows all. A scope with `names: ["_acme-challenge.*"]` and `types: [TXT]`,
//! say, lets a client of ACME prove names, and nothing else.

mod token;

use std::sync::Arc;

use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::store::{ChangeSet, Edit};

#[cfg(test)]
pub(crate) use self::token::TokenError;
pub(crate) use self::token::TokenFile;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Principal {
    name: Arc<str>,
    scope: Arc<Scope>,
}

/// What somebody may change; an empty list allows all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Names at or below one of these.
    pub zones: Vec<Name>,
    /// Names that one of these patterns fits.
    pub names: Vec<NamePattern>,
    /// Types.
    pub types: Vec<RecordType>,
}

/// A name, or all names that begin with its labels: `_acme-challenge.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePattern {
    /// This name alone.
    Exactly(Name),
    /// Every name whose first labels are these; the labels as the name that they make.
    BeginsWith(Name),
}

/// A change that is not allowed. Nothing of its change set is made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{principal} may not change {owner}{}: its scope is {scope}", of_type(.rtype))]
pub struct Forbidden {
    /// The position of the edit that is at fault, from 0.
    pub edit: usize,
    /// Who asks.
    pub principal: Arc<str>,
    /// The name that the edit is about.
    pub owner: Name,
    /// The type; `None` where all types are meant.
    pub rtype: Option<RecordType>,
    /// What is allowed, in words.
    pub scope: String,
}

fn of_type(rtype: &Option<RecordType>) -> String {
    rtype.map_or_else(String::new, |rtype| format!(" {rtype}"))
}

impl Principal {
    /// Somebody with this scope.
    pub fn new(name: impl Into<Arc<str>>, scope: Scope) -> Self {
        Self {
            name: name.into(),
            scope: Arc::new(scope),
        }
    }

    /// A user of this machine, who may do everything where no token is set.
    pub fn local() -> Self {
        Self::new("local", Scope::default())
    }

    /// The holder of a token that may do everything.
    pub fn token(name: &str) -> Self {
        Self::new(name, Scope::default())
    }

    /// Whether nothing is out of scope: a copy of the database is for nobody else.
    pub fn may_do_everything(&self) -> bool {
        *self.scope == Scope::default()
    }

    /// As histories name them.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// An error where an edit is out of scope.
    pub fn check(&self, set: &ChangeSet) -> Result<(), Forbidden> {
        for (edit, asked) in set.edits.iter().enumerate() {
            let (owner, rtype) = match asked {
                Edit::AddValues { owner, rtype, .. }
                | Edit::Put { owner, rtype, .. }
                | Edit::Upsert { owner, rtype, .. }
                | Edit::RemoveValues { owner, rtype, .. } => (owner, Some(*rtype)),
                Edit::Delete { owner, rtype, .. } => (owner, *rtype),
                Edit::CreateZone { apex, .. } | Edit::DeleteZone { apex } => (apex, None),
                Edit::Set { owner, rrset, .. } => (owner, Some(rrset.rtype)),
                Edit::Unset { owner, rtype, .. } => (owner, Some(*rtype)),
                // What a source knows whole is not asked for by anybody.
                Edit::SetAll(_) | Edit::Apply(_) => continue,
            };
            if !self.scope.allows(owner, rtype) {
                return Err(Forbidden {
                    edit,
                    principal: Arc::clone(&self.name),
                    owner: owner.clone(),
                    rtype,
                    scope: self.scope.to_string(),
                });
            }
        }
        Ok(())
    }
}

impl Scope {
    /// Whether an RRset may be changed; `None` asks for all types at the name.
    fn allows(&self, owner: &Name, rtype: Option<RecordType>) -> bool {
        let in_zone = self.zones.is_empty() || self.zones.iter().any(|zone| owner.is_at_or_below(zone));
        let has_name = self.names.is_empty() || self.names.iter().any(|pattern| pattern.fits(owner));
        let has_type = self.types.is_empty() || rtype.is_some_and(|rtype| self.types.contains(&rtype));
        in_zone && has_name && has_type
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        let list = |items: Vec<String>| items.join(", ");
        if !self.zones.is_empty() {
            parts.push(format!(
                "the zones {}",
                list(self.zones.iter().map(Name::to_string).collect())
            ));
        }
        if !self.names.is_empty() {
            parts.push(format!(
                "the names {}",
                list(self.names.iter().map(NamePattern::to_string).collect())
            ));
        }
        if !self.types.is_empty() {
            parts.push(format!(
                "the types {}",
                list(self.types.iter().map(RecordType::to_string).collect())
            ));
        }
        match parts.is_empty() {
            true => f.write_str("everything"),
            false => f.write_str(&parts.join("; ")),
        }
    }
}

impl NamePattern {
    fn fits(&self, owner: &Name) -> bool {
        match self {
            Self::Exactly(name) => owner.key() == name.key(),
            Self::BeginsWith(labels) => {
                // Wire forms: the labels, without the root that ends them, are the beginning of the owner.
                let labels = labels.as_wire();
                let labels = &labels[..labels.len() - 1];
                let owner = owner.as_wire();
                owner.len() > labels.len() + 1 && owner[..labels.len()].eq_ignore_ascii_case(labels)
            }
        }
    }
}

impl std::str::FromStr for NamePattern {
    type Err = String;

    /// A name, or its first labels and `.*`.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = |text: &str| Name::parse(text).map_err(|error| format!("`{text}` is no name: {error}"));
        match text.strip_suffix(".*") {
            Some(labels) => name(labels).map(Self::BeginsWith),
            None => name(text).map(Self::Exactly),
        }
    }
}

impl std::fmt::Display for NamePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(name) => write!(f, "{name}"),
            Self::BeginsWith(labels) => write!(f, "{labels}*"),
        }
    }
}

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

    #[test]
    fn a_name_alone_is_no_pattern() {
        let pattern: NamePattern = "WWW.x.".parse().expect("a pattern");
        assert!(pattern.fits(&"www.x.".parse().expect("a name")));
        assert!(!pattern.fits(&"a.www.x.".parse().expect("a name")));
        assert!("a..b.*".parse::<NamePattern>().is_err());
    }
}
