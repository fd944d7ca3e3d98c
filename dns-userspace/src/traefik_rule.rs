//! Traefik's rules: read, and turned into the DNS names that they route. Pure.
//!
//! ```text
//! Host(`a.x`) && PathPrefix(`/p`)                    a.x
//! HostRegexp(`^[^.]+\.x$`)  Host(`*.x`)              *.x, for one label
//! HostRegexp(`^.+\.x$`)                              *.x, for one label or more
//! HostRegexp(`{subdomain:[a-z0-9-]+}.x`), syntax v2  *.x, for one label
//! HostRegexp(`^web-[0-9]+\.x$`)                      no name: reported, with the reason
//! ```
//!
//! [`parse`] reads the whole grammar of versions 2 and 3, for HTTP routers and for TCP routers. [`hosts`] gives each
//! name to which some request can be sent that the rule takes, and no other name. Where a set of names cannot be
//! written as names and wildcards, [`Names::underivable`] says which and why. A host name here is one of letters,
//! digits, `-` and `_`.

mod clauses;
mod expression;
mod forms;
mod matcher;
mod names;
mod pattern;
mod routes;
mod scan;
mod template;

pub use self::expression::Rule;
pub use self::forms::Underivable;
pub use self::names::Names;
pub use self::routes::Route;

/// Which functions a rule has, and what their arguments mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// An HTTP router of Traefik 3, or `ruleSyntax: v3`.
    HttpV3,
    /// An HTTP router of Traefik 2, or `ruleSyntax: v2`.
    HttpV2,
    /// A TCP router of Traefik 3.
    TcpV3,
    /// A TCP router of Traefik 2.
    TcpV2,
}

impl Dialect {
    /// The dialect of an HTTP router with this `ruleSyntax`. Traefik takes each value but `v2` for version 3.
    pub fn http(syntax: Option<&str>) -> Self {
        match syntax {
            Some("v2") => Self::HttpV2,
            _ => Self::HttpV3,
        }
    }

    /// The dialect of a TCP router with this `ruleSyntax`.
    pub fn tcp(syntax: Option<&str>) -> Self {
        match syntax {
            Some("v2") => Self::TcpV2,
            _ => Self::TcpV3,
        }
    }
}

/// What is wrong with a rule: Traefik refuses it as well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the rule `{rule}`, at character {character}: {reason}")]
pub struct RuleError {
    /// The rule, shortened.
    pub rule: String,
    /// Where it is, the first character being 1.
    pub character: usize,
    /// What is wrong, and what to write.
    pub reason: String,
}

/// Reads a rule.
pub fn parse(text: &str, dialect: Dialect) -> Result<Rule, RuleError> {
    expression::parse(text, dialect).map_err(|problem| RuleError {
        rule: crate::model::shown::shorten(text.as_bytes(), crate::model::shown::MOST_OF_TEXT),
        character: text.get(..problem.at).map_or(1, |before| before.chars().count() + 1),
        reason: problem.reason,
    })
}

/// The names that a rule routes.
pub fn hosts(rule: &Rule) -> Names {
    names::hosts(rule)
}

/// The rule as pairs of a host and a path, where it says no more than that.
pub fn routes(rule: &Rule) -> Option<Vec<Route>> {
    routes::routes(rule)
}

#[cfg(test)]
mod tests;
