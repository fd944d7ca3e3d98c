//! Another name is looked up in the place of the one that was asked: `X.traefik.` → `X.db.`.

use super::text::{Filling, Pattern, Text};
use super::{Asked, Verdict};
use crate::model::name::Name;

/// A rule that replaces names.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewrite {
    /// Which names.
    pub scope: RewriteScope,
}

/// Which names are replaced, and by what.
#[derive(Debug, Clone, PartialEq)]
pub enum RewriteScope {
    /// This one by that one.
    Name(Name, Name),
    /// All below this one, each by the same labels below that one; and the name itself.
    Suffix(Name, Name),
    /// Those that a pattern finds.
    Match(Pattern, Text),
}

impl Rewrite {
    pub(super) fn evaluate(&self, asked: &Asked<'_>) -> Verdict {
        let found = match &self.scope {
            RewriteScope::Name(from, to) => from.as_wire().eq_ignore_ascii_case(asked.wire).then(|| to.clone()),
            RewriteScope::Suffix(from, to) => replace_suffix(asked, from, to),
            RewriteScope::Match(Pattern(regex), to) => regex.captures(asked.text()).and_then(|captures| {
                let filling = Filling {
                    name: asked.text(),
                    qtype: asked.qtype,
                    zone: ".",
                    captures: Some(&captures),
                };
                Name::parse(&to.fill(&filling)).ok()
            }),
        };
        // A name that is replaced by itself is not replaced.
        let found = found.filter(|name| !name.as_wire().eq_ignore_ascii_case(asked.wire));
        found.map_or(Verdict::Pass, Verdict::Rewritten)
    }
}

fn replace_suffix(asked: &Asked<'_>, from: &Name, to: &Name) -> Option<Name> {
    let from = from.as_wire().to_ascii_lowercase();
    if !asked.is_in(&from) {
        return None;
    }
    let mut wire = asked.wire[..asked.wire.len() - from.len()].to_vec();
    wire.extend_from_slice(to.as_wire());
    Name::from_wire(&wire).ok()
}
