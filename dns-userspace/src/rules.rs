//! Rules: what is said to names that are not ours before anybody else is asked.
//!
//! ```text
//! name, type, client ─► rule 1 ─ does not concern it ─► rule 2 ─► … ─► Pass: the cache, upstream
//!                          └► template: an answer │ block: NXDOMAIN, NODATA, addresses, none │ rewrite: another name
//! ```
//!
//! Rules are tried in the order of the configuration; the first that has something to say decides. Names of our zones
//! and overlays come before all rules: so XDP, which answers from these alone, never contradicts a rule.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use serde::Serialize;

use crate::message::Message;
use crate::model::name::Name;
use crate::model::record::RecordType;

mod autopath;
mod block;
mod list;
mod rewrite;
mod template;
mod text;

pub use autopath::Autopath;
pub(crate) use autopath::{Search, alias};
pub use block::{Block, BlockAnswer};
pub use list::{BlockList, ListError};
pub use rewrite::{Rewrite, Scope};
pub use template::{Template, TemplateError};
pub use text::{Pattern, Text, TextError};

/// One rule of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What the API and messages call it.
    pub name: Arc<str>,
    /// Whose queries it is for; `None`: everybody's.
    pub clients: Option<Vec<IpNet>>,
    /// What it does.
    pub action: Action,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Answers from a pattern.
    Template(Template),
    /// Answers names of lists with nothing useful.
    Block(Block),
    /// Looks up another name instead.
    Rewrite(Rewrite),
}

impl Rule {
    /// The files that it is read from.
    pub fn files(&self) -> &[PathBuf] {
        match &self.action {
            Action::Block(block) => &block.files,
            Action::Template(_) | Action::Rewrite(_) => &[],
        }
    }
}

/// What the rules say to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Pass,
    /// This is the answer.
    Answer(Message),
    /// This is, because the name is blocked.
    Blocked(Message),
    /// The name is blocked, and the client gets no reply.
    Drop,
    /// This name is looked up, and its answer is given for the one that was asked.
    Rewritten(Name),
    /// The name is an alias of the first of these that is ours.
    Search(Search),
}

/// The rules in force. They are replaced as a whole.
#[derive(Default)]
pub struct RuleBook {
    /// Search paths of clusters, which come before the rules.
    autopaths: ArcSwap<Vec<Arc<Autopath>>>,
    rules: ArcSwap<Vec<Active>>,
    /// By name: until when a rule is off.
    pauses: Mutex<HashMap<Arc<str>, Instant>>,
    has_pauses: AtomicBool,
}

/// A rule with its lists.
#[derive(Clone)]
struct Active {
    rule: Rule,
    list: Option<Arc<BlockList>>,
}

/// A rule as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ShownRule {
    /// Its name.
    pub name: String,
    /// `template`, `block` or `rewrite`.
    pub kind: &'static str,
    /// Names in its lists, where it has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<usize>,
    /// Seconds for which it is still off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_for: Option<u64>,
}

impl RuleBook {
    /// Puts these rules in the place of those before, and reads the files of their lists. A list that cannot be read
    /// keeps what it had.
    pub fn replace(&self, rules: &[Rule]) -> Vec<ListError> {
        let mut errors = Vec::new();
        let before = self.rules.load();
        let active = rules.iter().map(|rule| {
            let before = before.iter().find(|before| before.rule.name == rule.name);
            let before = before.and_then(|before| before.list.clone());
            let list = match &rule.action {
                Action::Block(block) => {
                    let (list, failed) = block.load(&rule.name, before.as_deref());
                    errors.extend(failed);
                    Some(Arc::new(list))
                }
                Action::Template(_) | Action::Rewrite(_) => None,
            };
            Active {
                rule: rule.clone(),
                list,
            }
        });
        let active = active.collect();
        self.rules.store(Arc::new(active));
        errors
    }

    /// Goes through the search paths of these clusters.
    pub fn go_through(&self, autopaths: Vec<Arc<Autopath>>) {
        self.autopaths.store(Arc::new(autopaths));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.load().is_empty() && self.autopaths.load().is_empty()
    }

    /// What the rules say to a question of class IN; the name in wire form. `may_rewrite`: whether the name may be
    /// replaced by another.
    pub(crate) fn evaluate(&self, name: &[u8], qtype: RecordType, client: IpAddr, may_rewrite: bool) -> Verdict {
        let found = self.first(name, qtype, client, may_rewrite);
        found.map_or(Verdict::Pass, |(_, verdict)| verdict)
    }

    /// The same with the name of the rule that says it: the first that has something to say.
    pub(crate) fn first(
        &self,
        name: &[u8],
        qtype: RecordType,
        client: IpAddr,
        may_rewrite: bool,
    ) -> Option<(Arc<str>, Verdict)> {
        let (rules, autopaths) = (self.rules.load(), self.autopaths.load());
        // Most names are not of a cluster.
        if rules.is_empty() && !autopaths.iter().any(|autopath| autopath.concerns(name)) {
            return None;
        }
        let asked = Asked::new(name, qtype)?;
        for autopath in &**autopaths {
            let verdict = autopath.evaluate(&asked, client);
            if verdict != Verdict::Pass {
                return Some((format!("cluster {}", autopath.domain()).into(), verdict));
            }
        }
        for Active { rule, list } in &**rules {
            let is_for_client = rule
                .clients
                .as_ref()
                .is_none_or(|clients| clients.iter().any(|prefix| prefix.contains(&client)));
            if !is_for_client || self.is_paused(&rule.name) {
                continue;
            }
            let verdict = match &rule.action {
                Action::Template(template) => template.evaluate(&asked),
                Action::Block(block) => list
                    .as_ref()
                    .filter(|list| list.has(&asked.lower))
                    .map_or(Verdict::Pass, |_| block.verdict(&asked)),
                Action::Rewrite(rewrite) if may_rewrite => rewrite.evaluate(&asked),
                Action::Rewrite(_) => Verdict::Pass,
            };
            if verdict != Verdict::Pass {
                return Some((Arc::clone(&rule.name), verdict));
            }
        }
        None
    }

    /// Switches a rule off for a time; zero switches it on. False where there is no such rule.
    pub fn pause(&self, name: &str, time: Duration) -> bool {
        let rules = self.rules.load();
        let Some(active) = rules.iter().find(|active| *active.rule.name == *name) else {
            return false;
        };
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.retain(|_, until| *until > Instant::now());
        if time.is_zero() {
            pauses.remove(name);
        } else {
            pauses.insert(Arc::clone(&active.rule.name), Instant::now() + time);
        }
        self.has_pauses.store(!pauses.is_empty(), Ordering::Release);
        true
    }

    /// All rules, in their order.
    pub fn list(&self) -> Vec<ShownRule> {
        let rules = self.rules.load();
        let shown = rules.iter().map(|Active { rule, list }| ShownRule {
            name: rule.name.to_string(),
            kind: match rule.action {
                Action::Template(_) => "template",
                Action::Block(_) => "block",
                Action::Rewrite(_) => "rewrite",
            },
            names: list.as_ref().map(|list| list.len()),
            paused_for: self.paused_for(&rule.name).map(|left| left.as_secs() + 1),
        });
        shown.collect()
    }

    fn is_paused(&self, name: &str) -> bool {
        self.has_pauses.load(Ordering::Acquire) && self.paused_for(name).is_some()
    }

    fn paused_for(&self, name: &str) -> Option<Duration> {
        let pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.get(name)?.checked_duration_since(Instant::now())
    }
}

impl fmt::Debug for RuleBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleBook")
            .field("rules", &self.rules.load().len())
            .finish_non_exhaustive()
    }
}

/// A question, as rules look at it.
struct Asked<'a> {
    /// As it was asked, in wire form.
    wire: &'a [u8],
    /// In lower case.
    lower: Vec<u8>,
    /// In lower case, in presentation format, with the final dot.
    text: String,
    qtype: RecordType,
}

impl<'a> Asked<'a> {
    fn new(wire: &'a [u8], qtype: RecordType) -> Option<Self> {
        let lower = wire.to_ascii_lowercase();
        let text = Name::from_wire(&lower).ok()?.to_string();
        Some(Self {
            wire,
            lower,
            text,
            qtype,
        })
    }

    /// Whether the name is `zone` (in wire form, in lower case) or below it.
    fn is_in(&self, zone: &[u8]) -> bool {
        suffixes(&self.lower).any(|suffix| suffix == zone)
    }
}

/// A name in wire form, then the names above it up to the root.
fn suffixes(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(name), |name| match name.split_first() {
        Some((&length, below)) if length > 0 => below.get(usize::from(length)..),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
