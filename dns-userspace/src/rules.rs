//! Rules: what is said to names that are not ours before anybody else is asked.
//!
//! ```text
//! name, type, client ─► rule 1 ─ does not concern it ─► rule 2 ─► … ─► Pass: the cache, upstream
//!                          └► template: an answer │ block, rpz: NXDOMAIN, NODATA, … │ rewrite: another name
//! upstream's answer ─► ttl: other TTLs ─► filter: without some addresses ─► the cache, the client
//! ```
//!
//! Rules are tried in the order of the configuration; the first that has something to say decides. Names of our zones
//! and overlays come before all rules. Beside these, XDP and the fast path give kept answers to names that no rule
//! concerns (`RuleBook::concern`), and what rules say to all clients of a view (`RuleBook::verdict_for_all`).

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::message::Message;
use crate::model::name::{Name, wire_name_length};
use crate::model::record::RecordType;
use crate::model::views::Clients;

mod autopath;
mod block;
mod list;
mod remote;
mod rewrite;
mod rpz;
mod shown;
mod template;
mod text;
mod treat;
mod upkeep;

pub use autopath::Autopath;
pub(crate) use autopath::{Search, alias};
pub use block::{Block, BlockAnswer};
pub use list::{BlockList, ListError};
pub use remote::{Fetched, RemoteList};
pub use rewrite::{Rewrite, RewriteScope};
pub use rpz::{PolicyZone, Rpz, RpzSource};
pub use shown::{ShownList, ShownRule};
pub use template::{Template, TemplateError};
pub use text::{Pattern, Text, TextError};
pub use treat::{Filter, NewTtl, PRIVATE, TtlRule};
use upkeep::Upkeep;

/// One rule of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What the API and messages call it.
    pub name: Arc<str>,
    /// Whose queries it is for; `None`: everybody's.
    pub clients: Option<Vec<IpNet>>,
    /// The clients of which views; `None`: of all, and those that are in none.
    pub views: Option<RuleViews>,
    /// What it does.
    pub action: Action,
}

/// The views that a rule is for.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleViews {
    /// Who is in which view, at the reload that has read the rule.
    pub clients: Arc<Clients>,
    /// The numbers of the views.
    pub numbers: Vec<u16>,
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
    /// Answers as a response policy zone says.
    Rpz(Rpz),
    /// Gives upstream's answers other TTLs.
    Ttl(TtlRule),
    /// Leaves addresses out of upstream's answers.
    Filter(Filter),
}

impl Rule {
    /// The files that it is read from.
    pub fn files(&self) -> &[PathBuf] {
        match &self.action {
            Action::Block(block) => &block.files,
            Action::Rpz(Rpz {
                source: RpzSource::File(file),
                ..
            }) => std::slice::from_ref(file),
            _ => &[],
        }
    }

    /// The lists that it fetches.
    pub fn remotes(&self) -> &[RemoteList] {
        match &self.action {
            Action::Block(block) => &block.urls,
            Action::Rpz(Rpz {
                source: RpzSource::Remote(list),
                ..
            }) => std::slice::from_ref(list),
            _ => &[],
        }
    }

    /// Whether it is for upstream's answers, and for no question.
    fn treats_answers(&self) -> bool {
        matches!(self.action, Action::Ttl(_) | Action::Filter(_))
    }

    fn is_for(&self, client: IpAddr) -> bool {
        let clients = self.clients.as_ref();
        let views = self.views.as_ref();
        clients.is_none_or(|clients| clients.iter().any(|prefix| prefix.contains(&client)))
            && views.is_none_or(|views| views.numbers.contains(&views.clients.view_of(client)))
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
    upkeep: Upkeep,
    /// What is done once upstream's answers become others.
    on_other_answers: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// What goes around a replacement of the rules.
    fence: OnceLock<Fence>,
}

/// Makes a change with nothing given that was made by the rules before.
type Fence = Box<dyn Fn(&mut dyn FnMut()) + Send + Sync>;

/// A rule with its lists.
#[derive(Clone)]
struct Active {
    rule: Rule,
    lists: Lists,
    /// Questions and answers that it had something to say to.
    hits: Arc<AtomicU64>,
}

/// What a rule has read.
#[derive(Clone)]
enum Lists {
    None,
    Names(Arc<BlockList>),
    Policies(Arc<PolicyZone>),
}

impl Lists {
    /// Names in them, where there are any lists.
    fn len(&self) -> Option<usize> {
        match self {
            Self::None => None,
            Self::Names(list) => Some(list.len()),
            Self::Policies(zone) => Some(zone.len()),
        }
    }
}

impl Active {
    /// What the rule says to a question; `None`: nothing. [`Verdict::Pass`] passes by all rules that come later.
    fn verdict(&self, asked: &Asked<'_>, may_rewrite: bool) -> Option<Verdict> {
        let verdict = match (&self.rule.action, &self.lists) {
            (Action::Template(template), _) => template.evaluate(asked),
            (Action::Block(block), Lists::Names(list)) if list.has(&asked.lower) => block.verdict(asked),
            (Action::Rewrite(rewrite), _) if may_rewrite => rewrite.evaluate(asked),
            (Action::Rpz(_), Lists::Policies(zone)) => return zone.verdict(asked),
            _ => Verdict::Pass,
        };
        Some(verdict).filter(|verdict| *verdict != Verdict::Pass)
    }
}

impl RuleBook {
    /// Puts these rules in the place of those before, and reads their lists. A list that cannot be read keeps what it
    /// had.
    pub fn replace(&self, rules: &[Rule]) -> Vec<ListError> {
        let mut errors = Vec::new();
        let treats_otherwise = self.treats_otherwise(rules);
        let before = self.rules.load();
        let active = rules.iter().map(|rule| {
            let before = before.iter().find(|before| before.rule.name == rule.name);
            let hits = before.map_or_else(Arc::default, |before| Arc::clone(&before.hits));
            let lists = load(rule, before.map(|before| &before.lists), &mut errors);
            let rule = rule.clone();
            Active { rule, lists, hits }
        });
        let active: Arc<Vec<Active>> = Arc::new(active.collect());
        self.fenced(&mut || self.rules.store(Arc::clone(&active)));
        self.upkeep.wake();
        if let Some(act) = self.on_other_answers.get().filter(|_| treats_otherwise) {
            act();
        }
        errors
    }

    /// Goes through the search paths of these clusters.
    pub fn go_through(&self, autopaths: Vec<Arc<Autopath>>) {
        let autopaths = Arc::new(autopaths);
        self.fenced(&mut || self.autopaths.store(Arc::clone(&autopaths)));
    }

    /// Does this, each time that rules for upstream's answers become others. Said once.
    pub fn on_other_answers(&self, act: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_other_answers.set(Box::new(act));
    }

    /// Whether upstream's answers become others by these rules than by those before.
    fn treats_otherwise(&self, rules: &[Rule]) -> bool {
        let before = self.rules.load();
        let before = before
            .iter()
            .map(|active| &active.rule)
            .filter(|rule| rule.treats_answers());
        !before.eq(rules.iter().filter(|rule| rule.treats_answers()))
    }

    /// What the rules make of upstream's answer to a question for `name` (in wire form), of a client in this view.
    pub(crate) fn treat(&self, name: &[u8], view: u16, mut answer: Arc<Message>) -> Arc<Message> {
        for active in self.rules.load().iter().filter(|active| active.rule.treats_answers()) {
            let rule = &active.rule;
            let is_for_view = rule.views.as_ref().is_none_or(|views| views.numbers.contains(&view));
            if !is_for_view || self.is_paused(&rule.name) {
                continue;
            }
            let is_changed = match &rule.action {
                Action::Ttl(ttl) => ttl.apply(name, &mut answer),
                Action::Filter(filter) => filter.apply(name, &mut answer),
                _ => false,
            };
            if is_changed {
                active.hits.fetch_add(1, Ordering::Relaxed);
            }
        }
        answer
    }

    /// Has each replacement and each pause made through `fence`, from now on: it takes back the answers that are given
    /// without asking the rules, makes the change, and keeps others from coming meanwhile.
    pub(crate) fn fence_with(&self, fence: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static) {
        let is_first = self.fence.set(Box::new(fence)).is_ok();
        debug_assert!(is_first, "the rules have one fence");
    }

    /// Makes a change with nothing given that was made without asking the rules.
    fn fenced(&self, change: &mut dyn FnMut()) {
        match self.fence.get() {
            Some(fence) => fence(change),
            None => change(),
        }
    }

    /// Whether some rule has something to say to a question, whoever asks and whether or not it is paused.
    pub(crate) fn concern(&self, name: &[u8], qtype: RecordType) -> bool {
        let (rules, autopaths) = (self.rules.load(), self.autopaths.load());
        if rules.is_empty() && autopaths.is_empty() {
            return false;
        }
        let Some(asked) = Asked::new(name, qtype) else {
            return true;
        };
        // What is below a cluster's domain may be a pod's search path.
        autopaths.iter().any(|autopath| autopath.concerns(name))
            || rules.iter().any(|active| active.verdict(&asked, true).is_some())
    }

    /// What the rules say to a question of every client of the view that `client` is in; `None` where that is nothing,
    /// or depends on who asks, or on a rule that is paused.
    pub(crate) fn verdict_for_all(&self, name: &[u8], qtype: RecordType, client: IpAddr, view: u16) -> Option<Verdict> {
        let (rules, autopaths) = (self.rules.load(), self.autopaths.load());
        let asked = Asked::new(name, qtype)?;
        if autopaths.iter().any(|autopath| autopath.concerns(name)) {
            return None;
        }
        for active in &**rules {
            let rule = &active.rule;
            let Some(verdict) = active.verdict(&asked, true) else {
                continue;
            };
            let is_of_this_view = match &rule.views {
                // The rule may be of another reload than the view's number.
                Some(views) if views.clients.view_of(client) != view => return None,
                Some(views) => views.numbers.contains(&view),
                None => true,
            };
            if rule.clients.is_some() || self.is_paused(&rule.name) {
                return None;
            }
            if is_of_this_view {
                return Some(verdict);
            }
        }
        None
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
        for active in &**rules {
            let rule = &active.rule;
            if !rule.is_for(client) || self.is_paused(&rule.name) {
                continue;
            }
            let Some(verdict) = active.verdict(&asked, may_rewrite) else {
                continue;
            };
            if verdict == Verdict::Pass {
                // The name passes by all rules that come later.
                return None;
            }
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
        // What it says may be promoted, and what is said in its place.
        self.fenced(&mut || {
            let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
            pauses.retain(|_, until| *until > Instant::now());
            if time.is_zero() {
                pauses.remove(name);
            } else {
                pauses.insert(Arc::clone(&active.rule.name), Instant::now() + time);
            }
            self.has_pauses.store(!pauses.is_empty(), Ordering::Release);
        });
        true
    }

    fn is_paused(&self, name: &str) -> bool {
        self.has_pauses.load(Ordering::Acquire) && self.paused_for(name).is_some()
    }

    fn paused_for(&self, name: &str) -> Option<Duration> {
        let pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.get(name)?.checked_duration_since(Instant::now())
    }
}

/// Reads the lists of a rule. What cannot be read is `before`.
fn load(rule: &Rule, before: Option<&Lists>, errors: &mut Vec<ListError>) -> Lists {
    match &rule.action {
        Action::Block(block) => {
            let before = match before {
                Some(Lists::Names(list)) => Some(&**list),
                _ => None,
            };
            let (list, failed) = block.load(&rule.name, before);
            errors.extend(failed);
            Lists::Names(Arc::new(list))
        }
        Action::Rpz(rpz) => match rpz.load() {
            Ok(zone) => {
                if zone.left_out > 0 {
                    tracing::warn!(
                        rule = &*rule.name,
                        names = zone.left_out,
                        "a response policy zone has names with other triggers than QNAME, or unknown actions: they are \
                         left out"
                    );
                }
                Lists::Policies(Arc::new(zone))
            }
            Err(error) => {
                errors.push(ListError {
                    rule: Arc::clone(&rule.name),
                    list: rpz.shown_source(),
                    error,
                });
                let before = before.filter(|before| matches!(before, Lists::Policies(_)));
                before.cloned().unwrap_or_else(|| Lists::Policies(Arc::default()))
            }
        },
        _ => Lists::None,
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
    /// The same in presentation format, with the final dot, once a pattern wants it.
    text: OnceCell<String>,
    qtype: RecordType,
}

impl<'a> Asked<'a> {
    fn new(wire: &'a [u8], qtype: RecordType) -> Option<Self> {
        (wire_name_length(wire) == Some(wire.len())).then(|| Self {
            wire,
            lower: wire.to_ascii_lowercase(),
            text: OnceCell::new(),
            qtype,
        })
    }

    /// In lower case, in presentation format, with the final dot.
    fn text(&self) -> &str {
        self.text.get_or_init(|| {
            let name = Name::from_wire(&self.lower);
            name.map(|name| name.to_string()).unwrap_or_default()
        })
    }

    /// Whether the name is `zone` (in wire form, in lower case) or below it.
    fn is_in(&self, zone: &[u8]) -> bool {
        suffixes(&self.lower).any(|suffix| suffix == zone)
    }
}

/// A name in wire form, then the names above it up to the root.
pub(crate) fn suffixes(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(name), |name| match name.split_first() {
        Some((&length, below)) if length > 0 => below.get(usize::from(length)..),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
