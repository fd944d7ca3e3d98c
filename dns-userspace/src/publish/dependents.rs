//! Which ready answers were made from which names: a reverse index.
//!
//! An answer depends on every name that was consulted for it: members of a chain, targets whose addresses it carries,
//! and names that did not exist.

use std::collections::{HashMap, HashSet};

use crate::answer::Consulted;
use crate::model::name::NameKey;

/// The index, both ways.
#[derive(Default)]
pub(super) struct Dependents {
    of: HashMap<Consulted, HashSet<NameKey>>,
    consulted_by: HashMap<NameKey, Vec<Consulted>>,
}

impl Dependents {
    /// Says from what the answers of `name` were made now.
    pub(super) fn set(&mut self, name: NameKey, consulted: Vec<Consulted>) {
        for before in self.consulted_by.remove(&name).unwrap_or_default() {
            if let Some(names) = self.of.get_mut(&before) {
                names.remove(&name);
                if names.is_empty() {
                    self.of.remove(&before);
                }
            }
        }
        if consulted.is_empty() {
            return;
        }
        for now in &consulted {
            self.of.entry(now.clone()).or_default().insert(name.clone());
        }
        self.consulted_by.insert(name, consulted);
    }

    /// The names whose answers depend on this.
    pub(super) fn of(&self, consulted: &Consulted) -> impl Iterator<Item = &NameKey> {
        self.of.get(consulted).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::Name;

    #[test]
    fn follows_what_was_consulted_last() {
        let key = |text: &str| text.parse::<Name>().unwrap().key();
        let mut dependents = Dependents::default();
        let target = Consulted::Data(key("target."));
        dependents.set(key("a."), vec![target.clone()]);
        dependents.set(key("b."), vec![target.clone(), Consulted::Existence(key("x."))]);
        assert_eq!(dependents.of(&target).count(), 2);
        dependents.set(key("a."), vec![]);
        assert_eq!(dependents.of(&target).collect::<Vec<_>>(), [&key("b.")]);
        dependents.set(key("b."), vec![]);
        assert!(dependents.of.is_empty() && dependents.consulted_by.is_empty());
    }
}
