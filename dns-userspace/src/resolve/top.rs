//! Which names go upstream most often: a bounded number of counters (Space-Saving, Metwally et al. 2005).
//!
//! ```text
//! a name with a counter    ─► + 1
//! a new one, room left     ─► a counter, 1
//! a new one, no room left  ─► takes the place of a rare one with n: n + 1, of which n may be others'
//! ```
//!
//! The rare one is the least of a few that are drawn, so that a flood of random names costs each query the same little.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::model::name::Name;

/// Names that are counted at a time.
const MOST_NAMES: usize = 4096;
/// Counters of which the least gives its place.
const DRAWN: usize = 16;

/// A name, and how often it went upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TopName {
    /// The name.
    pub name: String,
    /// Questions for it that went upstream, of all types; at most.
    pub queries: u64,
    /// How many of these may be of other names, which had its counter before.
    pub uncertain: u64,
}

/// The counters.
#[derive(Debug, Default)]
pub(super) struct TopNames(Mutex<Counters>);

#[derive(Debug, Default)]
struct Counters {
    /// By name in wire form, in lower case: the place of its counter.
    places: HashMap<Box<[u8]>, usize>,
    counters: Vec<Counter>,
}

#[derive(Debug)]
struct Counter {
    name: Box<[u8]>,
    queries: u64,
    uncertain: u64,
}

impl TopNames {
    /// Counts a question for a name, in wire form.
    pub(super) fn count(&self, name: &[u8]) {
        let name: Box<[u8]> = name.to_ascii_lowercase().into();
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Counters { places, counters } = &mut *counters;
        if let Some(&place) = places.get(&name) {
            counters[place].queries += 1;
            return;
        }
        if counters.len() < MOST_NAMES {
            places.insert(name.clone(), counters.len());
            counters.push(Counter {
                name,
                queries: 1,
                uncertain: 0,
            });
            return;
        }
        let drawn = (0..DRAWN).map(|_| rand::random_range(0..counters.len()));
        let Some(place) = drawn.min_by_key(|&place| counters[place].queries) else {
            return;
        };
        let counter = &mut counters[place];
        counter.uncertain = counter.queries;
        counter.queries += 1;
        places.remove(&counter.name);
        counter.name = name.clone();
        places.insert(name, place);
    }

    /// Those with the most queries, at most so many.
    pub(super) fn list(&self, most: usize) -> Vec<TopName> {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<&Counter> = counters.counters.iter().collect();
        sorted.sort_by(|a, b| (b.queries, &a.name).cmp(&(a.queries, &b.name)));
        let shown = sorted.into_iter().take(most).map(|counter| TopName {
            name: Name::from_wire(&counter.name).map_or_else(|_| "?".to_owned(), |name| name.to_string()),
            queries: counter.queries,
            uncertain: counter.uncertain,
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_asked_often_stay_in_a_flood_of_others() {
        let top = TopNames::default();
        let wire = |text: &str| Name::parse(text).unwrap().as_wire().to_vec();
        for number in 0..40_000 {
            top.count(&wire(&format!("x{number}.example.")));
            if number % 4 == 0 {
                top.count(&wire(if number % 8 == 0 {
                    "Often.example."
                } else {
                    "often.example."
                }));
            }
        }
        let list = top.list(1);
        assert_eq!((list.len(), list[0].name.as_str()), (1, "often.example."));
        assert!(list[0].queries - list[0].uncertain <= 10_000 && list[0].queries >= 10_000 - list[0].uncertain);
        assert_eq!(top.list(usize::MAX).len(), MOST_NAMES);
    }
}
