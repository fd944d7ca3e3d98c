//! The connection to etcd: a lease for this node, and a watch that tells the writer what others change.
//!
//! ```text
//! connect ─► compare with what this node knows ─┬ goes on from there ─► Resumed ─► watch ─► Step, Step, …
//!    ▲                                          ├ it was compacted, restored, or is new ─► list ─► Whole ─► watch
//!    │                                          └ nothing is there ─► Empty ─► watch
//!    └── pause ◄── a member that does not answer, a stream that ends, a lease that is lost
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::client::{CallError, Client, Event, KeyValue, base64};
use super::layout::{FORMAT, Head, Place, StoredNode, StoredZone, end_of_rrset, read_rrset};
use super::tokens::{self, SharedTokens};
use super::{Line, WITHIN};
use crate::journal::nodes::{Node, NodeLink, Nodes};
use crate::journal::shared::{Mark, News, SharedChange, SharedSet, SharedZone, Step, Whole, Why};

/// After this long without a word from a node it is not waited for any more.
const LEASE_SECS: u64 = 6;
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(2);
/// Between two words of a node about what it serves.
const TELL_EVERY: Duration = Duration::from_millis(30);
/// Between two tries to connect.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// RRsets of one part of a list.
const PAGE: u32 = 5000;
const OF_PAGE: Duration = Duration::from_secs(20);

/// The connection, which is to be run.
pub struct EtcdLink {
    line: Arc<Line>,
    news: mpsc::Sender<News>,
}

impl EtcdLink {
    pub(super) fn new(line: Arc<Line>, news: mpsc::Sender<News>) -> Self {
        Self { line, news }
    }

    /// The nodes, to be shown.
    pub fn nodes(&self) -> Arc<Nodes> {
        Arc::clone(&self.line.nodes)
    }

    /// The tokens that the nodes share.
    pub fn tokens(&self) -> SharedTokens {
        SharedTokens::new(Arc::clone(&self.line))
    }

    /// Connects and follows, until the server stops; `wake` tells the writer that there is something new.
    pub async fn run(self, wake: impl Fn() + Send + Sync, stopping: CancellationToken) {
        tokio::select! {
            () = self.follow(&wake) => {}
            () = stopping.cancelled() => {}
        }
        // The others need not wait for this node.
        if let Some(client) = self.line.client.load_full() {
            let key = self.line.layout.node(&self.line.id);
            let body = json!({"key": base64(key)});
            let _: Result<Value, _> = client.call("kv/deleterange", &body, Duration::from_millis(500)).await;
        }
    }

    async fn follow(&self, wake: &(impl Fn() + Send + Sync)) {
        let mut pause = SHORTEST_PAUSE;
        // What is wrong with each member, since one was connected last.
        let mut wrong: BTreeMap<&str, String> = BTreeMap::new();
        for url in self.line.settings.endpoints.iter().cycle() {
            let begun = Instant::now();
            let reason = match Client::new(url, &self.line.settings) {
                Ok(client) => self.session(Arc::new(client), wake).await,
                Err(reason) => reason,
            };
            if self.line.client.swap(None).is_some() {
                wrong.clear();
            }
            wrong.insert(url, reason);
            let reasons: Vec<&str> = wrong.values().map(String::as_str).collect();
            let reason = reasons.join("; ");
            self.line
                .nodes
                .change(|state| state.link = NodeLink::Away(reason.into()));
            wake();
            pause = match begun.elapsed() > LONGEST_PAUSE {
                true => SHORTEST_PAUSE,
                false => (pause * 2).min(LONGEST_PAUSE),
            };
            sleep(pause).await;
        }
    }

    /// One connection; why it ended.
    async fn session(&self, client: Arc<Client>, wake: &(impl Fn() + Send + Sync)) -> String {
        let work = async {
            let lease: Value = client
                .call("lease/grant", &json!({"TTL": LEASE_SECS.to_string()}), WITHIN)
                .await?;
            let lease = lease["ID"].clone();
            let (from, listed) = self.list_nodes(&client).await?;
            // From here on the writer may write.
            self.line.client.store(Some(Arc::clone(&client)));
            self.line.nodes.change(|state| {
                state.link = NodeLink::Connected(client.url().into());
                state.contact = Some(Instant::now());
            });
            let session = Session {
                link: self,
                client: &client,
                wake,
                nodes_from: listed,
            };
            let watched = async {
                let from = session.begin(from).await?;
                session.watch(from).await
            };
            tokio::select! {
                ended = watched => ended,
                ended = self.live(&client, &lease) => ended,
                () = self.line.nodes.renew.notified() => Err(CallError::NotDone("it is connected anew".to_owned())),
            }
        };
        let ended: Result<(), CallError> = work.await;
        ended.err().map_or_else(String::new, |error| error.to_string())
    }

    /// The nodes that live; the revision that follows, and that of the list.
    async fn list_nodes(&self, client: &Client) -> Result<(u64, u64), CallError> {
        let (start, end) = self.line.layout.part("nodes/");
        let list = client.range(&start, Some(&end), (None, 0), WITHIN).await?;
        let found = list.kvs.iter().filter_map(|kv| self.node(kv));
        let found: BTreeMap<Arc<str>, Node> = found.collect();
        self.line.nodes.change(|state| state.nodes = found);
        Ok((list.header.revision + 1, list.header.revision))
    }

    fn node(&self, kv: &KeyValue) -> Option<(Arc<str>, Node)> {
        let Some(Place::Node(id)) = self.line.layout.place(&kv.key) else {
            return None;
        };
        let stored: StoredNode = serde_json::from_slice(&kv.value).ok()?;
        let node = Node {
            name: stored.name.into(),
            version: stored.version,
            program: stored.program.into(),
        };
        Some((id.into(), node))
    }

    /// Keeps the lease, and tells what this node serves.
    async fn live(&self, client: &Client, lease: &Value) -> Result<(), CallError> {
        let mut state = self.line.nodes.follow();
        let mut told = None;
        let mut kept = Instant::now();
        loop {
            let served = state.borrow_and_update().served;
            if told != Some(served) {
                let node = StoredNode {
                    name: self.line.name.to_string(),
                    version: served,
                    program: env!("CARGO_PKG_VERSION").to_owned(),
                };
                let value = serde_json::to_string(&node).unwrap_or_default();
                let key = self.line.layout.node(&self.line.id);
                let body = json!({"key": base64(key), "value": base64(value), "lease": lease});
                let _: Value = client.call("kv/put", &body, WITHIN).await?;
                told = Some(served);
                sleep(TELL_EVERY).await;
            }
            if kept.elapsed() >= KEEP_ALIVE_EVERY {
                let answer: Value = client.call("lease/keepalive", &json!({"ID": lease}), WITHIN).await?;
                let is_kept = answer["result"]["TTL"].as_str().is_some_and(|ttl| ttl != "0");
                if !is_kept {
                    return Err(CallError::NotDone("the lease of this node has expired".to_owned()));
                }
                kept = Instant::now();
                self.line.nodes.change(|state| state.contact = Some(kept));
            }
            let rest = KEEP_ALIVE_EVERY.saturating_sub(kept.elapsed());
            tokio::select! {
                // The sender lives as long as the link.
                _ = state.wait_for(|state| Some(state.served) != told) => {}
                () = sleep(rest) => {}
            }
        }
    }
}

struct Session<'a, W> {
    link: &'a EtcdLink,
    client: &'a Client,
    wake: &'a W,
    /// What was changed of nodes up to this revision is known.
    nodes_from: u64,
}

impl<W: Fn() + Send + Sync> Session<'_, W> {
    fn line(&self) -> &Line {
        &self.link.line
    }

    async fn tell(&self, news: News) -> Result<(), CallError> {
        let sent = self.link.news.send(news).await;
        (self.wake)();
        sent.map_err(|_| CallError::NotDone("the server stops".to_owned()))
    }

    /// Compares what is there with what this node knows, and tells. The revision from which to watch, which is `from`
    /// at the least where nothing is known.
    async fn begin(&self, from: u64) -> Result<u64, CallError> {
        let line = self.line();
        let key = line.layout.head();
        let found = self.client.range(key.as_bytes(), None, (None, 1), WITHIN).await?;
        let Some((kv, head)) = found.kvs.first().map(|kv| (kv, read_head(kv))) else {
            self.tell(News::Empty).await?;
            return Ok(from);
        };
        let head = head?;
        line.nodes.change(|state| state.newest = head.version);
        if head.incomplete {
            return match self.is_being_filled().await? {
                // What is written there comes as a whole.
                true => Ok(found.header.revision + 1),
                false => self.tell(News::Empty).await.map(|()| found.header.revision + 1),
            };
        }
        let wanted = line.is_list_wanted.swap(false, Ordering::Relaxed);
        let why = match line.position() {
            None => Some(Why::First),
            Some(_) if wanted => Some(Why::Again),
            Some(known) => self.compare(&known, kv, &head, found.header.revision).await?,
        };
        match (why, line.position()) {
            (None, Some(known)) => {
                self.tell(News::Resumed).await?;
                Ok(known.revision + 1)
            }
            (why, _) => self.list(why.unwrap_or(Why::First)).await,
        }
    }

    async fn is_being_filled(&self) -> Result<bool, CallError> {
        let key = self.line().layout.filling();
        let found = self.client.range(key.as_bytes(), None, (None, 1), WITHIN).await?;
        Ok(!found.kvs.is_empty())
    }

    /// Why all is to be listed; `None`: it goes on from what this node knows.
    async fn compare(&self, known: &Mark, kv: &KeyValue, head: &Head, revision: u64) -> Result<Option<Why>, CallError> {
        let is_known = |kv: &KeyValue| kv.mod_revision == known.revision && kv.value == known.head.as_bytes();
        if is_known(kv) {
            return Ok(None);
        }
        let why = if revision < known.revision {
            Why::Restored
        } else {
            let key = self.line().layout.head();
            let then = self
                .client
                .range(key.as_bytes(), None, (Some(known.revision), 1), WITHIN)
                .await;
            match then {
                Ok(then) if then.kvs.first().is_some_and(is_known) => return Ok(None),
                Ok(_) | Err(CallError::Future) => Why::Restored,
                // What it held then cannot be compared.
                Err(CallError::Compacted) if head.version >= known.version => Why::Compacted,
                Err(CallError::Compacted) => Why::Restored,
                Err(error) => return Err(error),
            }
        };
        match why {
            Why::Restored => error!(
                "etcd does not hold what this node has read from it: it was restored from an older state, or is \
                 another one (revision {revision}, version {}; this node knows revision {}, version {}). Changes that \
                 were made since are lost where etcd's state is taken",
                head.version, known.revision, known.version
            ),
            _ => info!("etcd was compacted beyond what this node has read: everything is read anew"),
        }
        Ok(Some(why))
    }

    /// Reads everything, as of one revision, and tells it; the revision behind that.
    async fn list(&self, why: Why) -> Result<u64, CallError> {
        let line = self.line();
        let key = line.layout.head();
        let now = self.client.range(key.as_bytes(), None, (None, 1), WITHIN).await?;
        let revision = now.header.revision;
        let Some(kv) = now.kvs.first() else {
            self.tell(News::Empty).await?;
            return Ok(revision + 1);
        };
        let head = read_head(kv)?;
        if head.incomplete {
            return Ok(revision + 1);
        }
        let (mut rrsets, mut zones) = (Vec::new(), Vec::new());
        for part in ["rrsets/", "zones/"] {
            let (mut start, end) = line.layout.part(part);
            loop {
                let page = self
                    .client
                    .range(&start, Some(&end), (Some(revision), PAGE), OF_PAGE)
                    .await?;
                for kv in &page.kvs {
                    match line.layout.place(&kv.key) {
                        Some(Place::Zone(apex)) => zones.extend(read_zone(apex, kv)),
                        Some(Place::Rrset(..)) => rrsets.extend(self.read_change(kv, false)),
                        _ => {}
                    }
                }
                match page.kvs.into_iter().next_back().filter(|_| page.more) {
                    Some(last) => {
                        start = last.key;
                        start.push(0);
                    }
                    None => break,
                }
            }
        }
        let mark = Mark {
            revision: kv.mod_revision,
            head: String::from_utf8_lossy(&kv.value).into_owned(),
            version: head.version,
        };
        line.nodes.change(|state| state.newest = head.version);
        let whole = Whole {
            rrsets,
            zones,
            why,
            mark,
        };
        self.tell(News::Whole(whole)).await?;
        Ok(revision + 1)
    }

    /// Tells what changes from a revision on.
    async fn watch(&self, mut from: u64) -> Result<(), CallError> {
        let (start, end) = self.line().layout.all();
        loop {
            // What is read after `from` is known, and what the watch tells of it again.
            let tokens_from = tokens::list(self.line(), self.client).await?;
            let mut watch = self.client.watch(&start, &end, from, WITHIN).await?;
            loop {
                let message = watch.next().await?;
                let mut events = message.events.into_iter().peekable();
                let mut is_anew = false;
                while let Some(first) = events.next() {
                    let revision = first.kv.mod_revision;
                    let mut group = vec![first];
                    while let Some(next) = events.next_if(|next| next.kv.mod_revision == revision) {
                        group.push(next);
                    }
                    if self.take(&group, tokens_from).await? {
                        is_anew = true;
                        break;
                    }
                }
                if is_anew {
                    from = self.list(Why::Meant).await?;
                    break;
                }
            }
        }
    }

    /// What one transaction has changed; whether everything is to be listed. Of tokens all is known up to
    /// `tokens_from`.
    async fn take(&self, group: &[Event], tokens_from: u64) -> Result<bool, CallError> {
        let line = self.line();
        let (mut head, mut has_filler_gone) = (None, false);
        let mut changes = Vec::new();
        let mut zones = Vec::new();
        for event in group {
            match line.layout.place(&event.kv.key) {
                Some(Place::Head) if event.is_delete() => {
                    return Err(CallError::NotDone(format!("{} was deleted", line.layout.head())));
                }
                Some(Place::Head) => head = Some((&event.kv, read_head(&event.kv)?)),
                Some(Place::Rrset(..)) => changes.extend(self.read_change(&event.kv, event.is_delete())),
                Some(Place::Zone(apex)) if !event.is_delete() => zones.extend(read_zone(apex, &event.kv)),
                Some(Place::Node(id)) if event.kv.mod_revision > self.nodes_from => {
                    let node = self.link.node(&event.kv).filter(|_| !event.is_delete());
                    line.nodes.change(|state| match node {
                        Some((id, node)) => drop(state.nodes.insert(id, node)),
                        None => drop(state.nodes.remove(&*id)),
                    });
                }
                Some(Place::Filling) => has_filler_gone |= event.is_delete(),
                Some(Place::Token(id)) if event.kv.mod_revision > tokens_from => {
                    let text = (!event.is_delete()).then_some(&event.kv.value[..]);
                    tokens::note(line, id, text);
                }
                _ => {}
            }
        }
        // RRsets without it are those of a node that writes everything anew.
        let Some((kv, head)) = head.filter(|(_, head)| !head.incomplete) else {
            return match has_filler_gone {
                true => Err(CallError::NotDone(
                    "a node that wrote everything anew has not ended".to_owned(),
                )),
                false => Ok(false),
            };
        };
        line.nodes
            .change(|state| (state.newest, state.contact) = (head.version, Some(Instant::now())));
        if head.whole {
            // What this node has written itself it knows.
            let is_known = |known: Mark| known.revision >= kv.mod_revision && known.version >= head.version;
            return Ok(head.node != *line.id || !line.position().is_some_and(is_known));
        }
        let mark = Mark {
            revision: kv.mod_revision,
            head: String::from_utf8_lossy(&kv.value).into_owned(),
            version: head.version,
        };
        let sets = sets_of(&head, changes);
        self.tell(News::Step(Step { sets, zones, mark })).await?;
        Ok(false)
    }

    /// An RRset that was put or deleted; one that is not understood is passed over.
    fn read_change(&self, kv: &KeyValue, is_delete: bool) -> Option<SharedChange> {
        let Some(Place::Rrset(view, owner, rtype)) = self.line().layout.place(&kv.key) else {
            return None;
        };
        let (owner, rrset) = match is_delete {
            true => (owner, None),
            false => match read_rrset(owner, rtype, kv) {
                Ok((owner, rrset)) => (owner, Some(Arc::new(rrset))),
                Err(reason) => {
                    warn!("etcd: {} is passed over: {reason}", String::from_utf8_lossy(&kv.key));
                    return None;
                }
            },
        };
        Some(SharedChange {
            view,
            owner,
            rtype,
            rrset,
        })
    }
}

/// Which set has changed what: an RRset says it by its version, one that is deleted is named, or the last set's.
fn sets_of(head: &Head, changes: Vec<SharedChange>) -> Vec<SharedSet> {
    let mut sets: Vec<SharedSet> = head
        .sets
        .iter()
        .map(|set| SharedSet {
            version: set.version,
            actor: set.actor.as_str().into(),
            comment: set.comment.as_deref().map(Into::into),
            changes: Vec::new(),
        })
        .collect();
    if sets.is_empty() {
        sets.push(SharedSet {
            version: head.version,
            actor: "etcd".into(),
            comment: None,
            changes: Vec::new(),
        });
    }
    for change in changes {
        let of_version = |version: u64| head.sets.iter().position(|set| set.version == version);
        let place = match &change.rrset {
            Some(rrset) => of_version(rrset.origin.version()),
            None => {
                let end = end_of_rrset(change.view.as_ref(), &change.owner, change.rtype);
                head.sets.iter().position(|set| set.deleted.contains(&end))
            }
        };
        let last = sets.len() - 1;
        sets[place.unwrap_or(last)].changes.push(change);
    }
    sets
}

fn read_head(kv: &KeyValue) -> Result<Head, CallError> {
    let read: Result<Head, _> = serde_json::from_slice(&kv.value);
    let not_done = |reason: String| CallError::NotDone(format!("{}: {reason}", String::from_utf8_lossy(&kv.key)));
    let head = read.map_err(|error| not_done(format!("it was not written by hotdns: {error}")))?;
    match head.needs > FORMAT {
        true => Err(not_done(format!(
            "it needs format {} and this hotdns knows formats up to {FORMAT}: run a newer hotdns here",
            head.needs
        ))),
        false => Ok(head),
    }
}

fn read_zone(apex: crate::model::name::Name, kv: &KeyValue) -> Option<SharedZone> {
    let stored: StoredZone = serde_json::from_slice(&kv.value).ok()?;
    Some(SharedZone {
        apex,
        serial: stored.serial,
        version: stored.version,
    })
}
