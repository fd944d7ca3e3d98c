//! What is to be reported, by object, and which objects ask for one name. Pure.
//!
//! ```text
//! set(object) ─┐
//! touch(names) ┴─► the objects that may have to be told something else ─► take_touched
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::super::kinds::Kind;
use super::super::objects::{Condition, Object, ObjectKey, Outcome};
use crate::model::name::{Name, NameKey};
use crate::source::Claim;

/// An object, and what it asks for.
#[derive(Debug, Clone)]
pub(super) struct Reported {
    pub(super) uid: Box<str>,
    pub(super) generation: i64,
    pub(super) outcome: Result<Vec<Claim>, String>,
    pub(super) notes: Vec<String>,
    /// What the object's status says.
    pub(super) said: Option<Condition>,
    /// Whether it has come, or is another one, while the cluster was watched.
    pub(super) is_news: bool,
}

/// What an object was told.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    /// In its status.
    pub(super) condition: Option<Condition>,
    /// In Events, by their reason: what was said last of what is still so.
    pub(super) notes: BTreeMap<&'static str, String>,
}

/// The objects, and who asks for which name.
#[derive(Debug, Default)]
pub(super) struct Index {
    objects: BTreeMap<ObjectKey, Reported>,
    said: BTreeMap<ObjectKey, Said>,
    /// Who asks for something at a name, in any view.
    at: BTreeMap<NameKey, BTreeSet<ObjectKey>>,
    touched: BTreeSet<ObjectKey>,
}

impl Reported {
    /// Of an object; `None` where nobody is told of it. Names inside the cluster (`domain`) are nobody's news.
    pub(super) fn of(
        key: &ObjectKey,
        object: &Object,
        outcome: &Outcome,
        domain: Option<&Name>,
        is_news: bool,
    ) -> Option<Self> {
        let outside = match &outcome.claims {
            Err(error) => Err(error.clone()),
            Ok(claims) => {
                let is_outside = |claim: &&Claim| key.kind != Kind::Service || !is_inside(&claim.owner, domain);
                Ok(claims.iter().filter(is_outside).cloned().collect::<Vec<_>>())
            }
        };
        let is_silent = key.kind == Kind::Pod || outside.as_ref().is_ok_and(Vec::is_empty);
        if is_silent && !key.kind.is_ours() && outside.is_ok() {
            return None;
        }
        Some(Self {
            uid: object.meta.uid.clone(),
            generation: object.meta.generation,
            outcome: outside,
            notes: outcome.notes.clone(),
            said: object.condition().cloned(),
            is_news,
        })
    }

    fn names(&self) -> impl Iterator<Item = NameKey> {
        let claims = self.outcome.as_ref().ok().into_iter().flatten();
        claims.map(|claim| claim.owner.key())
    }
}

/// Whether cluster DNS has a name: one below its domain, or of an address.
fn is_inside(owner: &Name, domain: Option<&Name>) -> bool {
    let text = owner.to_string().to_ascii_lowercase();
    let is_of_address = text.ends_with(".in-addr.arpa.") || text.ends_with(".ip6.arpa.");
    domain.is_some_and(|domain| is_of_address || owner.is_at_or_below(domain))
}

impl Index {
    /// An object as it is now; `None` where it is gone, or nobody is to be told.
    pub(super) fn set(&mut self, key: &ObjectKey, reported: Option<Reported>) {
        let before = self.objects.remove(key);
        for name in before.iter().flat_map(Reported::names) {
            if let Some(keys) = self.at.get_mut(&name) {
                keys.remove(key);
                self.touched.extend(keys.iter().cloned());
                if keys.is_empty() {
                    self.at.remove(&name);
                }
            }
        }
        let Some(reported) = reported else {
            self.said.remove(key);
            self.touched.remove(key);
            return;
        };
        for name in reported.names() {
            let keys = self.at.entry(name).or_default();
            self.touched.extend(keys.iter().cloned());
            keys.insert(key.clone());
        }
        self.touched.insert(key.clone());
        self.objects.insert(key.clone(), reported);
    }

    /// Other data are served at these names.
    pub(super) fn touch<'n>(&mut self, names: impl IntoIterator<Item = &'n NameKey>) {
        for name in names {
            self.touched.extend(self.at.get(name).into_iter().flatten().cloned());
        }
    }

    /// Anything may be served otherwise.
    pub(super) fn touch_all(&mut self) {
        self.touched = self.objects.keys().cloned().collect();
    }

    /// An object is looked at again.
    pub(super) fn touch_object(&mut self, key: &ObjectKey) {
        if self.objects.contains_key(key) {
            self.touched.insert(key.clone());
        }
    }

    /// The objects that may have to be told something else.
    pub(super) fn take_touched(&mut self) -> BTreeSet<ObjectKey> {
        std::mem::take(&mut self.touched)
    }

    /// Others have told the objects meanwhile: what we said last may not be what they hear last.
    pub(super) fn forget_said(&mut self) {
        for said in self.said.values_mut() {
            said.condition = None;
        }
    }

    /// An object, and what it was told.
    pub(super) fn get(&self, key: &ObjectKey) -> Option<(&Reported, Said)> {
        let said = self.said.get(key).cloned().unwrap_or_default();
        self.objects.get(key).map(|reported| (reported, said))
    }

    /// An object was told this.
    pub(super) fn set_said(&mut self, key: &ObjectKey, said: Said) {
        if self.objects.contains_key(key) {
            self.said.insert(key.clone(), said);
        }
    }

    /// What others ask for at the name and in the view of a claim.
    pub(super) fn beside<'i>(
        &'i self,
        key: &'i ObjectKey,
        claim: &'i Claim,
    ) -> impl Iterator<Item = (&'i ObjectKey, &'i Claim)> {
        let name = claim.owner.key();
        let keys = self
            .at
            .get(&name)
            .into_iter()
            .flatten()
            .filter(move |other| *other != key);
        keys.flat_map(move |other| {
            let claims = self
                .objects
                .get(other)
                .and_then(|reported| reported.outcome.as_ref().ok());
            let name = name.clone();
            let claims = claims.into_iter().flatten();
            let there = claims.filter(move |of| of.view == claim.view && of.owner.key() == name);
            there.map(move |of| (other, of))
        })
    }
}
