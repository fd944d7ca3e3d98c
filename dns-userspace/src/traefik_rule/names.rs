//! From the clauses of a rule to names.

use std::collections::BTreeSet;

use super::clauses::{Clause, clauses};
use super::expression::Rule;
use super::forms::{Form, Underivable, is_one_label_before};
use super::matcher::Matcher;
use super::pattern::is_host;
use crate::model::name::Name;

/// The hosts of a rule, as names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Single names, in lower case.
    pub exact: BTreeSet<Name>,
    /// Wildcards such as `*.example.com.` of which the rule takes the names with one label in place of `*`.
    pub one_label: BTreeSet<Name>,
    /// Wildcards of which the rule takes the names with one label or more in place of `*`.
    pub any_depth: BTreeSet<Name>,
    /// Hosts that the rule takes and that names and wildcards cannot say.
    pub underivable: Vec<Underivable>,
    /// Whether the rule takes every host, as ``PathPrefix(`/`)`` does. No name comes of that.
    pub takes_every_host: bool,
}

impl Names {
    /// Whether no name comes of the rule.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.one_label.is_empty() && self.any_depth.is_empty()
    }

    fn report(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        let underivable = Underivable {
            what: what.into(),
            reason: reason.into(),
        };
        if !self.underivable.contains(&underivable) {
            self.underivable.push(underivable);
        }
    }

    fn add(&mut self, form: Form) {
        match form {
            Form::Every => self.takes_every_host = true,
            Form::Unknown(Underivable { what, reason }) => self.report(what, reason),
            Form::Exact(host) if host.parse::<std::net::IpAddr>().is_ok() => {
                self.report(host, "it is an address, and no name");
            }
            Form::Exact(host) => match name(&host) {
                Some(name) => drop(self.exact.insert(name)),
                None => self.report(host, "it is no name of a host"),
            },
            Form::OneLabel(base) => match wildcard(&base) {
                Some(name) => drop(self.one_label.insert(name)),
                None => self.report(format!("*.{base}"), "it is no name of a host"),
            },
            Form::AnyDepth(base) => match wildcard(&base) {
                Some(name) => drop(self.any_depth.insert(name)),
                None => self.report(format!("*.{base}"), "it is no name of a host"),
            },
        }
    }
}

fn name(host: &str) -> Option<Name> {
    is_host(host).then(|| Name::parse(host).ok()).flatten()
}

fn wildcard(base: &str) -> Option<Name> {
    name(base)?.child(b"*")
}

pub(super) fn hosts(rule: &Rule) -> Names {
    let mut names = Names::default();
    let Some(clauses) = clauses(&rule.expression) else {
        names.report("the rule", "it has too many combinations; write it as several routers");
        return names;
    };
    for clause in &clauses {
        for form in of_clause(clause) {
            names.add(form);
        }
    }
    // What takes any depth takes one label.
    names.one_label = &names.one_label - &names.any_depth;
    names
}

pub(super) fn takes(rule: &Rule, host: &Name) -> bool {
    let host = host.to_lowercase().to_string();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let clauses = clauses(&rule.expression).unwrap_or_default();
    clauses.iter().any(|clause| clause_takes(clause, host))
}

fn clause_takes(clause: &Clause<'_>, host: &str) -> bool {
    clause.iter().all(|literal| match asks(literal.matcher, host) {
        Some(answer) => answer == literal.is_wanted,
        None => true,
    })
}

/// What a question says of a host; `None` where it is about something else.
fn asks(matcher: &Matcher, host: &str) -> Option<bool> {
    match matcher {
        Matcher::EveryHost => Some(true),
        Matcher::Host(wanted) => Some(wanted == host),
        Matcher::OneLabel(base) => Some(is_one_label_before(host, base)),
        Matcher::Pattern(pattern) => Some(pattern.takes(host)),
        Matcher::Other(_) => None,
    }
}

/// The hosts of one question.
fn forms(matcher: &Matcher) -> Option<Vec<Form>> {
    match matcher {
        Matcher::EveryHost => Some(vec![Form::Every]),
        Matcher::Host(host) => Some(vec![Form::Exact(host.clone())]),
        Matcher::OneLabel(base) => Some(vec![Form::OneLabel(base.clone())]),
        Matcher::Pattern(pattern) => Some(pattern.forms().to_vec()),
        Matcher::Other(_) => None,
    }
}

/// The hosts of one clause, as sets whose union they are.
fn of_clause(clause: &Clause<'_>) -> Vec<Form> {
    let wanted = clause.iter().filter(|literal| literal.is_wanted);
    let wanted: Vec<Vec<Form>> = wanted.filter_map(|literal| forms(literal.matcher)).collect();
    let unwanted = clause.iter().filter(|literal| !literal.is_wanted);
    let unwanted: Vec<Vec<Form>> = unwanted.filter_map(|literal| forms(literal.matcher)).collect();
    let is_exact = |form: &&Form| matches!(form, Form::Exact(_));
    // Of single hosts each question is asked itself.
    let exact = wanted.iter().flatten().filter(is_exact).cloned();
    let mut found: Vec<Form> = exact
        .filter(|form| matches!(form, Form::Exact(host) if clause_takes(clause, host)))
        .collect();
    let mut sets = vec![Form::Every];
    for forms in &wanted {
        let others: Vec<&Form> = forms.iter().filter(|form| !is_exact(form)).collect();
        sets = sets
            .iter()
            .flat_map(|set| others.iter().filter_map(|other| set.and(other)))
            .collect();
        sets.sort();
        sets.dedup();
    }
    for other in unwanted.iter().flatten() {
        sets = sets.iter().filter_map(|set| set.without(other)).collect();
    }
    found.append(&mut sets);
    found
}
