//! What objects ask for besides records: to be told of changes, and that others' changes at targets are undone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::claims::oldest_of;

/// What an object asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// `slack-notify`: changes of its records are told.
    pub notifies: bool,
    /// `auto-remediate`: what differs at a target although we did not change it is put right.
    pub remediates: bool,
}

/// The marks of all objects that have one, by source and object.
#[derive(Debug, Clone, Default)]
pub struct Marks(Arc<Mutex<BTreeMap<(String, String), Mark>>>);

impl Marks {
    /// An object has this mark now; the default where it has none, or is gone.
    pub fn set(&self, source: &str, object: &str, mark: Mark) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (source.to_owned(), object.to_owned());
        match mark == Mark::default() {
            true => drop(marks.remove(&key)),
            false => drop(marks.insert(key, mark)),
        }
    }

    /// The mark of an object as an RRset names it. Of several that are joined in one RRset, the oldest one's counts.
    pub fn get(&self, source: &str, object: &str) -> Mark {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (source.to_owned(), oldest_of(object).to_owned());
        marks.get(&key).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_objects_that_are_joined_the_oldest_counts() {
        let (marks, mark) = (
            Marks::default(),
            Mark {
                notifies: true,
                remediates: false,
            },
        );
        marks.set("kubernetes/home", "Ingress demo/a", mark);
        assert_eq!(marks.get("kubernetes/home", "Ingress demo/a and 2 more"), mark);
        assert_eq!(
            marks.get("kubernetes/home", "Ingress demo/b and 2 more"),
            Mark::default()
        );
        marks.set("kubernetes/home", "Ingress demo/a", Mark::default());
        assert_eq!(marks.get("kubernetes/home", "Ingress demo/a"), Mark::default());
    }
}
