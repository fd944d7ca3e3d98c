//! etcd, which many nodes share: every change of the API's records is a transaction there, and comes from there to the
//! other nodes. What else is kept, and the last state of all, is in this node's own database.
//!
//! ```text
//! writer ─ append ─► EtcdJournal ─ transaction, if `head` is as this node knows it ─► etcd
//!    ▲                    └─ the same, and how far ─► Storage (SQLite)                 │ watch
//!    └────────────── News ◄──────────────── Link (a task) ◄────────────────────────────┘
//! ```
//!
//! `head` is written by every transaction and compared by every transaction, so that there is one order of all: a node
//! that does not know the latest one takes it in first and tries again on top of it. [`layout`] is what is stored.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use self::client::{CallError, Client};
use self::layout::{FORMAT, Head, HeadSet, Layout};
pub use self::link::EtcdLink;
pub use self::tokens::{ShareError, SharedTokens, TokenTexts};
use super::nodes::{NodeLink, Nodes};
use super::shared::{Mark, News, Shared, SharedChange, SharedZone, Take};
use super::{
    Entry, HistoryLimits, HistoryQuery, HistoryRow, Journal, Progress, ServedSerial, Storage, StorageError,
    StorageState, Stored, Trouble, WriteError,
};
use crate::host::name::host_name;
use crate::model::source::SourceId;

mod client;
mod fill;
mod layout;
mod link;
mod operations;
mod tokens;
#[cfg(test)]
mod tests;

/// How long a change waits for etcd.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long one call may take.
const WITHIN: Duration = Duration::from_secs(2);
/// Between two tries of a change.
const PAUSE: Duration = Duration::from_millis(50);
/// News that wait for the writer before the link does.
const NEWS: usize = 1024;
/// The key of this node's place in its own database.
const PLACE: &str = "etcd";

/// `storage.etcd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdSettings {
    /// URLs of the members, without a final `/`; at least one.
    pub endpoints: Vec<Box<str>>,
    /// What is in front of all keys.
    pub prefix: Box<str>,
    /// The user, and the file of the password.
    pub user: Option<(Box<str>, PathBuf)>,
    /// Certificates of the authorities that sign the members'; the system's without.
    pub ca: Option<PathBuf>,
    /// The certificate that this node shows, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// What the other nodes call this one; the name of the host without.
    pub node: Option<Box<str>>,
}

/// What the journal and its link have in common.
struct Line {
    settings: Arc<EtcdSettings>,
    layout: Layout,
    nodes: Arc<Nodes>,
    id: Arc<str>,
    name: Box<str>,
    /// The member that is connected.
    client: ArcSwapOption<Client>,
    /// How far this node is.
    position: Mutex<Option<Mark>>,
    /// Whether everything is to be read anew.
    is_list_wanted: AtomicBool,
    /// The tokens that the nodes share; `None` until they are read.
    tokens: watch::Sender<Option<TokenTexts>>,
}

impl Line {
    fn position(&self) -> Option<Mark> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_position(&self, mark: Mark) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark);
    }
}

/// How far this node was, as its own database has it.
#[derive(Serialize, Deserialize)]
struct KeptPlace {
    node: String,
    mark: Mark,
}

/// The journal.
pub struct EtcdJournal {
    local: Storage,
    line: Arc<Line>,
    news: mpsc::Receiver<News>,
    runtime: Handle,
    /// Why what etcd holds is not taken.
    doubt: Option<String>,
    /// Whether the own database lacks something that is served.
    is_stale: bool,
    /// What the own database held, until it is known what etcd holds.
    held: Option<Stored>,
    /// What is appended or taken and not served yet.
    unserved: Option<Mark>,
    trouble: Option<Trouble>,
}

impl EtcdJournal {
    /// Opens the own database in `folder`, and reads what this node served last: `None` where it never was in step.
    /// etcd is not asked here: the link does, which is to be run.
    ///
    /// # Errors
    /// The own database is no good.
    pub fn open(
        folder: &Path,
        settings: EtcdSettings,
        runtime: Handle,
    ) -> Result<(Self, Option<Stored>, EtcdLink), StorageError> {
        let (local, mut stored) = Storage::open(folder)?;
        let kept = stored.as_mut().and_then(|stored| stored.watched.remove(PLACE));
        let resume = kept.and_then(|kept| kept.progress).and_then(|progress| progress.resume);
        let place: Option<KeptPlace> = resume.and_then(|text| serde_json::from_str(&text).ok());
        let name = settings.node.clone().unwrap_or_else(|| host_name().into());
        let (id, mark) = match place {
            Some(place) => (place.node, Some(place.mark)),
            None => (number(), None),
        };
        let id: Arc<str> = id.into();
        let version = mark.as_ref().map_or(0, |mark| mark.version);
        // Without a place, what is there is of a life without etcd: it is served until etcd says something.
        let is_known = mark.is_some() || stored.as_ref().is_some_and(|stored| !stored.rrsets.is_empty());
        let line = Arc::new(Line {
            layout: Layout::new(&settings.prefix),
            settings: Arc::new(settings),
            nodes: Arc::new(Nodes::new(Arc::clone(&id), version)),
            id,
            name,
            client: ArcSwapOption::empty(),
            position: Mutex::new(mark),
            is_list_wanted: AtomicBool::new(false),
            tokens: watch::Sender::new(None),
        });
        let (sender, news) = mpsc::channel(NEWS);
        let mut journal = Self {
            local,
            line: Arc::clone(&line),
            news,
            runtime,
            doubt: None,
            is_stale: false,
            held: None,
            unserved: None,
            trouble: None,
        };
        if !is_known {
            journal.held = stored.take();
        }
        journal.refresh();
        Ok((journal, stored, EtcdLink::new(line, sender)))
    }

    /// Looks anew at what is wrong.
    fn refresh(&mut self) {
        let away = |reason: &str| {
            let reason = format!("etcd is away: {reason}; what was read from it last is served");
            Trouble::new(StorageState::Away, reason)
        };
        self.trouble = match (&self.doubt, self.line.nodes.state().link) {
            (Some(reason), _) => Some(Trouble::new(StorageState::Doubted, reason_of(reason))),
            (None, NodeLink::Away(reason)) => Some(away(&reason)),
            (None, NodeLink::Starting) => Some(Trouble::new(
                StorageState::Starting,
                "etcd was not asked yet".to_owned(),
            )),
            (None, _) => self.local.trouble().cloned(),
        };
    }

    /// The member that is connected; waits a moment where it was just lost.
    fn client(&self, until: Instant) -> Result<Arc<Client>, WriteError> {
        loop {
            if let Some(client) = self.line.client.load_full() {
                return Ok(client);
            }
            let state = self.line.nodes.state();
            let was_there = state.contact.is_some_and(|contact| contact.elapsed() < PATIENCE);
            if !was_there || Instant::now() >= until {
                let reason = state.link.reason().map_or("it was not reached yet", |reason| reason);
                return Err(WriteError::Away(format!("etcd is away: {reason}")));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Makes a transaction, if `head` is as this node knows it. Where it stands.
    fn commit(&self, operations: &operations::Operations, head: &Head) -> Result<Mark, WriteError> {
        if let Some(reason) = &self.doubt {
            return Err(WriteError::Away(reason.clone()));
        }
        let Some(known) = self.line.position() else {
            let state = self.line.nodes.state();
            let reason = state.link.reason().map_or("it was not read yet", |reason| reason);
            return Err(WriteError::Away(format!(
                "this node is not in step with etcd: {reason}"
            )));
        };
        let text = serde_json::to_string(head).unwrap_or_default();
        let body = operations.transaction(&self.line.layout, &known, &text);
        let until = Instant::now() + PATIENCE;
        // Whether it may have been made already.
        let mut unknown = None;
        loop {
            let client = match self.client(until) {
                Ok(client) => client,
                Err(error) => return Err(unknown.map_or(error, WriteError::Unknown)),
            };
            let answer: Result<client::Transacted, _> = self.runtime.block_on(client.call("kv/txn", &body, WITHIN));
            match answer {
                Ok(made) if made.succeeded => {
                    return Ok(Mark {
                        revision: made.header.revision,
                        head: text,
                        version: head.version,
                    });
                }
                Ok(_) => {
                    let Some(reason) = unknown else {
                        return Err(WriteError::Behind);
                    };
                    return self
                        .find(&client, text, head.version)
                        .ok_or(WriteError::Unknown(reason));
                }
                Err(CallError::TooLarge(reason)) => return Err(WriteError::TooLarge(reason)),
                Err(CallError::NotDone(reason)) if Instant::now() >= until => {
                    return Err(unknown.map_or(WriteError::Away(reason), WriteError::Unknown));
                }
                Err(CallError::Unknown(reason)) if Instant::now() >= until => return Err(WriteError::Unknown(reason)),
                Err(CallError::Unknown(reason)) => unknown = Some(reason),
                Err(_) => {}
            }
            self.line.nodes.renew.notify_one();
            std::thread::sleep(PAUSE);
        }
    }

    /// Where the latest transaction stands, if it is this one.
    fn find(&self, client: &Client, text: String, version: u64) -> Option<Mark> {
        let key = self.line.layout.head();
        let found = self
            .runtime
            .block_on(client.range(key.as_bytes(), None, (None, 1), WITHIN));
        let kv = found.ok()?.kvs.pop()?;
        (kv.value == text.as_bytes()).then_some(Mark {
            revision: kv.mod_revision,
            head: text,
            version,
        })
    }

    /// Keeps here what is in etcd.
    fn keep(&mut self, entries: &[Entry], serials: &[ServedSerial], mark: &Mark) {
        self.line.set_position(mark.clone());
        let is_whole = matches!(entries.first(), Some(Entry::Forget(_)));
        let mut all = entries.to_vec();
        if is_whole || !self.is_stale {
            let place = KeptPlace {
                node: self.line.id.to_string(),
                mark: mark.clone(),
            };
            let progress = Progress {
                resume: serde_json::to_string(&place).ok(),
                synced: millis() / 1000,
            };
            all.push(Entry::Progress(SourceId::of_key(PLACE), progress));
        }
        match self.local.append(&all, serials) {
            Ok(()) if is_whole => self.is_stale = false,
            Ok(()) => {}
            // The place stays where it was: after a restart etcd says again what is lacking here.
            Err(_) => self.is_stale = true,
        }
        self.unserved = Some(mark.clone());
    }

    fn head(&self, version: u64) -> Head {
        Head {
            format: FORMAT,
            needs: FORMAT,
            version,
            id: number(),
            node: self.line.id.to_string(),
            time: millis(),
            ..Head::default()
        }
    }
}

fn reason_of(reason: &str) -> String {
    format!("etcd holds something else than this node, and that is not taken: {reason}")
}

fn millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A random number, in hexadecimal digits.
fn number() -> String {
    format!("{:016x}", rand::random::<u64>())
}

impl Journal for EtcdJournal {
    fn append(&mut self, entries: &[Entry], serials: &[ServedSerial]) -> Result<(), WriteError> {
        let sets: Vec<HeadSet> = entries.iter().filter_map(set_of).collect();
        let Some(last) = sets.last() else {
            // Of this node alone: a reload, a watched source.
            return self.local.append(entries, serials);
        };
        let mut head = self.head(last.version);
        head.sets = sets;
        let operations = operations::of_entries(&self.line.layout, entries, serials);
        let outcome = self.commit(&operations, &head);
        if let Ok(mark) = &outcome {
            self.keep(entries, serials, mark);
        }
        self.refresh();
        outcome.map(drop)
    }

    fn look(&mut self, is_known: &dyn Fn(&Stored) -> bool) -> Option<Stored> {
        if let Some(stored) = Journal::look(&mut self.local, is_known) {
            // It was away, and lacks what came meanwhile. Of the API's records what etcd holds is what counts.
            self.held = Some(stored);
            self.is_stale = true;
        }
        if self.is_stale && self.local.trouble().is_none() && self.line.client.load().is_some() {
            self.line.is_list_wanted.store(true, Ordering::Relaxed);
            self.line.nodes.renew.notify_one();
        }
        self.refresh();
        None
    }

    fn history(&mut self, query: HistoryQuery) -> Result<Vec<HistoryRow>, WriteError> {
        self.local.history(query)
    }

    fn prune(&mut self, limits: HistoryLimits, now: u64) -> bool {
        self.local.prune(limits, now)
    }

    fn backup(&mut self, to: Option<&Path>) -> Result<PathBuf, WriteError> {
        self.local.backup(to)
    }

    fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    fn unavailable(&self) -> Option<&str> {
        self.local.unavailable()
    }

    fn place(&self) -> String {
        let endpoints = self.line.settings.endpoints.join(", ");
        format!("etcd ({endpoints}), with {}", self.local.place())
    }

    fn shared(&mut self) -> Option<&mut dyn Shared> {
        Some(self)
    }
}

fn set_of(entry: &Entry) -> Option<HeadSet> {
    let Entry::Set(note) = entry else { return None };
    let deleted = note.deleted.iter();
    let deleted = deleted.map(|(view, owner, rtype)| layout::end_of_rrset(view.as_ref(), owner, *rtype));
    Some(HeadSet {
        version: note.version,
        actor: note.actor.to_string(),
        comment: note.comment.as_deref().map(str::to_owned),
        deleted: deleted.collect(),
    })
}

impl Shared for EtcdJournal {
    fn news(&mut self, patience: Duration) -> Option<News> {
        let news = match self.news.try_recv() {
            Ok(news) => Some(news),
            Err(_) if patience.is_zero() => None,
            Err(_) => self
                .runtime
                .block_on(async { timeout(patience, self.news.recv()).await.ok().flatten() }),
        };
        // What was doubted is looked at anew.
        if let Some(News::Resumed | News::Empty | News::Whole(_)) = &news
            && self.doubt.take().is_some()
            && let Some(client) = self.line.client.load_full()
        {
            self.line
                .nodes
                .change(|state| state.link = NodeLink::Connected(client.url().into()));
        }
        self.refresh();
        news
    }

    fn is_current(&mut self) -> Result<(), WriteError> {
        if let Some(reason) = &self.doubt {
            return Err(WriteError::Away(reason.clone()));
        }
        let client = self.client(Instant::now() + PATIENCE)?;
        let key = self.line.layout.head();
        let found = self
            .runtime
            .block_on(client.range(key.as_bytes(), None, (None, 1), WITHIN));
        let found = found.map_err(|error| {
            self.line.nodes.renew.notify_one();
            WriteError::Away(error.to_string())
        })?;
        let known = self.line.position().map(|mark| (mark.revision, mark.head.into_bytes()));
        match found.kvs.into_iter().next().map(|kv| (kv.mod_revision, kv.value)) == known {
            true => Ok(()),
            false => Err(WriteError::Behind),
        }
    }

    fn is_new(&self, mark: &Mark) -> bool {
        let known = self.line.position();
        known.is_none_or(|known| mark.revision > known.revision || (self.is_stale && *mark == known))
    }

    fn is_known(&self, mark: &Mark) -> bool {
        !self.is_stale && self.line.position().as_ref() == Some(mark)
    }

    fn held(&mut self) -> Option<Stored> {
        let mut held = self.held.take()?;
        held.watched.remove(PLACE);
        Some(held)
    }

    fn was_in_step(&self) -> bool {
        self.line.position().is_some()
    }

    fn take(&mut self, entries: &[Entry], serials: &[ServedSerial], mark: &Mark) {
        self.keep(entries, serials, mark);
        self.refresh();
    }

    fn served(&mut self) {
        if let Some(mark) = self.unserved.take() {
            self.line.nodes.change(|state| {
                state.served = mark.version;
                state.newest = state.newest.max(mark.version);
                state.revision = mark.revision;
            });
        }
    }

    fn doubt(&mut self, reason: String) {
        let shown: Arc<str> = reason_of(&reason).into();
        self.line
            .nodes
            .change(|state| state.link = NodeLink::Doubted(Arc::clone(&shown)));
        self.doubt = Some(reason);
        self.refresh();
    }

    fn fill(&mut self, rrsets: &[SharedChange], zones: &[SharedZone], version: u64) -> Result<(), WriteError> {
        let mark = self.write_anew(rrsets, zones, version)?;
        self.doubt = None;
        self.keep(&[], &[], &mark);
        self.refresh();
        Ok(())
    }

    fn raise(&mut self, version: u64) -> Result<(), WriteError> {
        let mut head = self.head(version);
        head.sets = vec![HeadSet {
            version,
            actor: "etcd".to_owned(),
            comment: Some("versions go on above those that were given before etcd was restored".to_owned()),
            deleted: Vec::new(),
        }];
        let mark = self.commit(&operations::Operations::default(), &head)?;
        self.keep(&[], &[], &mark);
        Ok(())
    }

    fn said(&mut self) -> Option<Take> {
        self.line.nodes.said()
    }
}
