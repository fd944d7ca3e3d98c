//! Rules as people see them.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::{Action, Active, RuleBook};

/// A rule as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ShownRule {
    /// Its name.
    pub name: String,
    /// `template`, `block`, `rewrite`, `rpz`, `ttl` or `filter`.
    pub kind: &'static str,
    /// Names in its lists, where it has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<usize>,
    /// Answers of upstream that it has changed, where it changes some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<u64>,
    /// The lists that it fetches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ShownList>,
    /// Seconds for which it is still off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_for: Option<u64>,
}

/// A list that is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ShownList {
    /// Where it is.
    pub url: String,
    /// Seconds since it was seen to be what it is; none where it was not fetched yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    /// Why the last look failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl RuleBook {
    /// All rules, in their order.
    pub fn list(&self) -> Vec<ShownRule> {
        self.rules.load().iter().map(|active| self.shown(active)).collect()
    }

    fn shown(&self, Active { rule, lists, hits }: &Active) -> ShownRule {
        let remotes = rule.remotes().iter().map(|list| ShownList {
            url: list.url.to_string(),
            age: list.age().map(|age| age.as_secs()),
            error: self.upkeep.error_of(list),
        });
        ShownRule {
            name: rule.name.to_string(),
            kind: match rule.action {
                Action::Template(_) => "template",
                Action::Block(_) => "block",
                Action::Rewrite(_) => "rewrite",
                Action::Rpz(_) => "rpz",
                Action::Ttl(_) => "ttl",
                Action::Filter(_) => "filter",
            },
            names: lists.len(),
            changed: rule.treats_answers().then(|| hits.load(Ordering::Relaxed)),
            lists: remotes.collect(),
            paused_for: self.paused_for(&rule.name).map(|left| left.as_secs() + 1),
        }
    }
}
