//! A rule as clauses: one of them has to hold, and in it each of its questions.
//!
//! ```text
//! (A || B) && !C    A && !C,   B && !C
//! ```
//!
//! A clause that no request can satisfy is left out: ``Path(`/a`) && !PathPrefix(`/`)``.

use super::expression::Expression;
use super::matcher::{Matcher, Other};

/// Clauses of one rule at most.
const MOST_CLAUSES: usize = 2000;

/// A question, and the answer that is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Literal<'a> {
    pub(super) matcher: &'a Matcher,
    pub(super) is_wanted: bool,
}

/// Questions that all have to be answered so.
pub(super) type Clause<'a> = Vec<Literal<'a>>;

/// The clauses that some request can satisfy; `None` where there are too many.
pub(super) fn clauses(expression: &Expression) -> Option<Vec<Clause<'_>>> {
    let mut all = spread(expression, true)?;
    all.retain(|clause| can_hold(clause));
    Some(all)
}

fn spread(expression: &Expression, is_wanted: bool) -> Option<Vec<Clause<'_>>> {
    match expression {
        Expression::Is(matcher) => Some(vec![vec![Literal { matcher, is_wanted }]]),
        Expression::Not(inner) => spread(inner, !is_wanted),
        // De Morgan: what is not all of these lacks one.
        Expression::Any(parts) if is_wanted => one_of(parts, is_wanted),
        Expression::All(parts) if !is_wanted => one_of(parts, is_wanted),
        Expression::Any(parts) | Expression::All(parts) => {
            let mut all: Vec<Clause<'_>> = vec![Vec::new()];
            for part in parts {
                let more = spread(part, is_wanted)?;
                if all.len().saturating_mul(more.len()) > MOST_CLAUSES {
                    return None;
                }
                let pairs = all
                    .iter()
                    .flat_map(|one| more.iter().map(move |other| [&one[..], &other[..]].concat()));
                all = pairs.collect();
            }
            Some(all)
        }
    }
}

fn one_of(parts: &[Expression], is_wanted: bool) -> Option<Vec<Clause<'_>>> {
    let mut all = Vec::new();
    for part in parts {
        all.append(&mut spread(part, is_wanted)?);
        if all.len() > MOST_CLAUSES {
            return None;
        }
    }
    Some(all)
}

/// Whether some request can satisfy what a clause says of paths, methods and the rest.
fn can_hold(clause: &Clause<'_>) -> bool {
    let others: Vec<(&Other, bool)> = clause
        .iter()
        .filter_map(|literal| match literal.matcher {
            Matcher::Other(other) => Some((other, literal.is_wanted)),
            _ => None,
        })
        .collect();
    // Every path begins with `/`.
    let any_path = Other::PathPrefix("/".to_owned());
    let all: Vec<(&Other, bool)> = others.iter().copied().chain([(&any_path, true)]).collect();
    let mut pairs = all
        .iter()
        .enumerate()
        .flat_map(|(at, one)| all[at..].iter().map(move |other| (one, other)));
    !pairs.any(|(one, other)| match (one.1, other.1) {
        (true, true) => exclude(one.0, other.0),
        (true, false) => implies(one.0, other.0),
        (false, true) => implies(other.0, one.0),
        (false, false) => false,
    })
}

/// Whether no request satisfies both.
fn exclude(one: &Other, other: &Other) -> bool {
    match (one, other) {
        (Other::Path(one), Other::Path(other)) | (Other::Method(one), Other::Method(other)) => one != other,
        (Other::Path(path), Other::PathPrefix(prefix)) | (Other::PathPrefix(prefix), Other::Path(path)) => {
            !path.starts_with(prefix.as_str())
        }
        (Other::PathPrefix(one), Other::PathPrefix(other)) => {
            !one.starts_with(other.as_str()) && !other.starts_with(one.as_str())
        }
        _ => false,
    }
}

/// Whether each request that satisfies `one` satisfies `other` too.
fn implies(one: &Other, other: &Other) -> bool {
    match (one, other) {
        (Other::Path(path) | Other::PathPrefix(path), Other::PathPrefix(prefix)) => path.starts_with(prefix.as_str()),
        (one, other) => one == other,
    }
}
