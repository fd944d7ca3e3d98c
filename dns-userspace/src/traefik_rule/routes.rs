//! A rule as pairs of a host and a path, where it says no more than that.

use super::clauses::clauses;
use super::expression::Rule;
use super::matcher::{Matcher, Other};

/// A host and the beginning of a path, each where the rule names one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// The host, in lower case; `*.x` for one label before `x`.
    pub host: Option<String>,
    /// What the path begins with.
    pub path_prefix: Option<String>,
}

pub(super) fn routes(rule: &Rule) -> Option<Vec<Route>> {
    let clauses = clauses(&rule.expression)?;
    let routes = clauses.iter().map(|clause| {
        let mut route = Route::default();
        for literal in clause {
            let place = match literal.matcher {
                Matcher::Host(host) => (&mut route.host, host.clone()),
                Matcher::OneLabel(base) => (&mut route.host, format!("*.{base}")),
                Matcher::Other(Other::PathPrefix(path)) => (&mut route.path_prefix, path.clone()),
                _ => return None,
            };
            if !literal.is_wanted || place.0.replace(place.1).is_some() {
                return None;
            }
        }
        Some(route)
    });
    routes.collect()
}
