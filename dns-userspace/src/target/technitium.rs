//! A Technitium DNS server: records of watched names are added and deleted there, by value.
//!
//! ```text
//! zones, read whole ─► ours, by their comments ─┐
//! wanted ───────────────────────────────────────┴─► plan: add, update, delete ─► requests, so many a second
//! ```
//!
//! A record is ours where its comment says so: `hotdns/TARGET: SOURCE, OBJECT`. Others are never touched, and a
//! record that somebody made by hand stays what it is when we want the same one. A record of ours is deleted only while
//! its source is in step, or is not configured any more: a cluster that is away says nothing about its names.

mod api;
mod plan;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use self::api::{Api, ApiError};
use self::plan::{Change, Held, RecordId, Wish, plan};
use super::wanted::Wanted;
use super::{Around, Target};
use crate::config::TechnitiumConfig;
use crate::model::name::Name;
use crate::source::SourceState;

/// Attempts at a change, before it waits for the next time that the zones are read.
const ATTEMPTS: u32 = 5;

/// A Technitium DNS server.
pub(super) struct Technitium {
    config: TechnitiumConfig,
    api: Api,
    /// What the zones had when they were read, with what we changed since.
    held: BTreeMap<RecordId, Held>,
    /// When the zones were read; `None`: they are to be read.
    read: Option<Instant>,
    /// Changes that failed, and how often.
    failed: BTreeMap<RecordId, u32>,
}

impl Technitium {
    pub(super) fn new(config: TechnitiumConfig) -> Self {
        Self {
            api: Api::new(&config),
            config,
            held: BTreeMap::new(),
            read: None,
            failed: BTreeMap::new(),
        }
    }

    /// The records that are wanted in the zones.
    fn wishes(&self, wanted: &Wanted) -> BTreeMap<RecordId, Wish> {
        let mut wishes = BTreeMap::new();
        for (owner, rrset) in wanted.iter() {
            let Some(zone) = self.zone_of(owner) else {
                continue;
            };
            let source = rrset.origin.source().key();
            let object = rrset.origin.object().unwrap_or_default();
            for rdata in &rrset.rdatas {
                let Some(id) = RecordId::new(owner, rrset.rtype, rdata) else {
                    continue;
                };
                let comment = format!("{}{source}, {object}", self.mark());
                let wish = Wish {
                    zone: zone.clone(),
                    ttl: rrset.ttl,
                    comment,
                };
                wishes.insert(id, wish);
            }
        }
        wishes
    }

    /// The longest of the zones that hold a name.
    fn zone_of(&self, owner: &Name) -> Option<&Name> {
        let zones = self.config.zones.iter().filter(|zone| owner.is_at_or_below(zone));
        zones.max_by_key(|zone| zone.label_count())
    }

    /// How the comments of our records begin.
    fn mark(&self) -> String {
        format!("hotdns/{}: ", self.config.name)
    }

    fn read_zones(&mut self, around: &Around) -> Result<(), String> {
        let mut held = BTreeMap::new();
        for zone in self.config.zones.clone() {
            for (id, record) in self.api.records(&zone, around).map_err(|error| error.to_string())? {
                held.insert(id, record);
            }
        }
        self.held = held;
        self.failed.clear();
        self.read = Some(Instant::now());
        Ok(())
    }

    /// Whether records of a source may be deleted: it is in step, or not there any more.
    fn may_delete(around: &Around, comment: &str, mark: &str) -> bool {
        let source = comment.strip_prefix(mark).and_then(|rest| rest.split(',').next());
        let mut sources = around.sources.iter();
        let known = sources.find(|known| Some(known.status.source().key().as_str()) == source);
        known.is_none_or(|known| known.status.report().state == SourceState::Synced)
    }

    /// Counts what differs although we did not make it so. `ours`: what we knew before the zones were read again.
    fn count_drift(&self, ours: &BTreeMap<RecordId, Held>, wishes: &BTreeMap<RecordId, Wish>, around: &Around) {
        let mark = self.mark();
        for (id, wish) in wishes {
            if !self.held.contains_key(id) && ours.contains_key(id) {
                around
                    .figures
                    .count_drift(&shown(&wish.zone), &id.hostname(), "missing_record");
            }
        }
        for (id, held) in &self.held {
            if wishes.contains_key(id) || ours.contains_key(id) {
                continue;
            }
            let is_of_a_wish = wishes.keys().any(|wish| wish.is_beside(id));
            match (is_of_a_wish, held.comment.starts_with(&mark)) {
                (true, _) => around
                    .figures
                    .count_drift(&shown(&held.zone), &id.hostname(), "unexpected_ip"),
                (false, true) => around
                    .figures
                    .count_drift(&shown(&held.zone), &id.hostname(), "unexpected_record"),
                (false, false) => {}
            }
        }
    }

    fn perform(&mut self, id: &RecordId, change: &Change, around: &Around) -> Result<(), ApiError> {
        match change {
            Change::Add(wish) => {
                match self.api.add(id, wish, around) {
                    // Somebody made the same record by hand, since the zones were read: it stays theirs.
                    Err(ApiError::Exists(_)) => {
                        self.held.insert(id.clone(), Held::foreign(wish));
                        return Ok(());
                    }
                    outcome => outcome?,
                }
                self.held.insert(id.clone(), Held::of(wish));
                self.say(around, "created", &wish.zone, id, wish.ttl, &wish.comment);
            }
            Change::Update(wish) => {
                self.api.update(id, wish, around)?;
                self.held.insert(id.clone(), Held::of(wish));
                self.say(around, "updated", &wish.zone, id, wish.ttl, &wish.comment);
            }
            Change::Delete(held) => {
                match self.api.delete(id, held, around) {
                    Err(ApiError::Absent(_)) => {}
                    outcome => outcome?,
                }
                self.held.remove(id);
                self.say(around, "deleted", &held.zone, id, held.ttl, &held.comment);
            }
        }
        Ok(())
    }

    fn say(&self, around: &Around, status: &str, zone: &Name, id: &RecordId, ttl: u32, comment: &str) {
        around.figures.count_change(&shown(zone), status);
        let resource = comment.strip_prefix(&self.mark()).unwrap_or_default();
        info!(hostname = %id.hostname(), ip = %id.value, ttl, resource, zone = %shown(zone), "DNS record {status}");
    }
}

impl Target for Technitium {
    fn key(&self) -> String {
        format!("technitium/{}", self.config.name)
    }

    fn write(&mut self, wanted: &Wanted, around: &Around) -> Result<Option<Duration>, String> {
        let key = self.key();
        let wishes = self.wishes(wanted);
        if self.read.is_none_or(|read| read.elapsed() >= self.config.resync) {
            let is_first = self.read.is_none();
            let before = self.held.clone();
            self.read_zones(around)?;
            if !is_first {
                self.count_drift(&before, &wishes, around);
            }
        }
        let mark = self.mark();
        let mut waiting = 0;
        let mut worst = None;
        for (id, change) in plan(&wishes, &self.held, &mark) {
            if around.stop.is_cancelled() {
                return Ok(None);
            }
            if let Change::Delete(held) = &change
                && !Self::may_delete(around, &held.comment, &mark)
            {
                waiting += 1;
                continue;
            }
            if self.failed.get(&id).is_some_and(|attempts| *attempts >= ATTEMPTS) {
                waiting += 1;
                continue;
            }
            match self.perform(&id, &change, around) {
                Ok(()) => {
                    self.failed.remove(&id);
                }
                Err(error) => {
                    waiting += 1;
                    *self.failed.entry(id.clone()).or_default() += 1;
                    warn!(hostname = %id.hostname(), "target {key}: {error}");
                    let ends_it = error.is_of_all();
                    worst = Some(error.to_string());
                    // A server that is away, or a token that is refused, says the same to each change.
                    if ends_it {
                        self.failed.remove(&id);
                        break;
                    }
                }
            }
        }
        around.figures.set_pending(&key, waiting);
        let ours = self
            .held
            .values()
            .filter(|held| held.comment.starts_with(&mark))
            .count();
        around.figures.set_records(&key, ours);
        match worst {
            Some(error) => Err(error),
            None if waiting > 0 => Ok(Some(Duration::from_secs(5).min(self.config.resync))),
            None => Ok(Some(self.config.resync)),
        }
    }
}

/// A name as Technitium shows it: without the final dot.
fn shown(name: &Name) -> String {
    name.to_string().trim_end_matches('.').to_owned()
}
