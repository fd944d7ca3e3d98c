//! Zones that a service holds: records of watched names are added and deleted there, by value.
//!
//! ```text
//! zones, read whole ─► ours, by their marks ─┬─► drift: what we did not make so
//! wanted ────────────────────────────────────┴─► plan: add, update, delete ─► requests, so many a second
//! ```
//!
//! A record is ours where its comment says so: `hotdns/TARGET: SOURCE, OBJECT`. Others are never touched, and a
//! record that somebody made by hand stays what it is when we want the same one. A record of ours is deleted only while
//! its source is in step, or is not configured any more: a cluster that is away says nothing about its names.
//! Records of external-dns become ours where the configuration says so (`adopt`).
//! What others changed of ours is reported, and put right only where the object asks for it (`auto-remediate`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::drift::{self, Drift, DriftKind};
use super::plan::{Change, Held, RecordId, Wish, plan};
use super::provider::{Provider, ProviderError, shown};
use super::resync::Resync;
use super::status::{DriftReport, MOST_SHOWN, PendingChange, TargetReport, TargetState};
use super::wanted::Wanted;
use super::{Around, Target, adopt, unified};
use crate::config::{DryRun, ProviderConfig};
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::source::oldest_of;

/// Attempts at a change, before it waits for the next time that the zones are read.
const ATTEMPTS: u32 = 5;
/// Before changes that wait are tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// Zones that a service holds.
pub(super) struct Managed<P> {
    config: ProviderConfig,
    provider: P,
    resync: Resync,
    /// What was wanted last.
    wishes: BTreeMap<RecordId, Wish>,
    /// What the zones had when they were read, with what we changed since.
    held: BTreeMap<RecordId, Held>,
    /// When the zones were read; `None`: they are to be read.
    read: Option<Instant>,
    /// Changes that failed.
    failed: BTreeMap<RecordId, Failed>,
    /// What others changed.
    drift: BTreeMap<RecordId, Drift>,
    /// What a dry run said last.
    said: Vec<(RecordId, Change)>,
}

/// A change that failed.
struct Failed {
    attempts: u32,
    error: String,
}

impl<P: Provider> Managed<P> {
    pub(super) fn new(config: ProviderConfig, provider: P) -> Self {
        if config.fault_rate > 0.0 {
            let (kind, name, rate) = (P::KIND, &config.name, config.fault_rate);
            warn!("target {kind}/{name}: `chaos: {rate}`: this part of its requests FAILS ON PURPOSE");
        }
        Self {
            resync: Resync::new(config.resync, Instant::now()),
            config,
            provider,
            wishes: BTreeMap::new(),
            held: BTreeMap::new(),
            read: None,
            failed: BTreeMap::new(),
            drift: BTreeMap::new(),
            said: Vec::new(),
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
                let mut wish = Wish {
                    zone: zone.clone(),
                    ttl: rrset.ttl,
                    comment: format!("{}{source}, {object}", self.mark()),
                    source: source.clone(),
                    object: object.to_owned(),
                };
                self.provider.fit(&mut wish);
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

    /// An error that we make ourselves, so often as the configuration says.
    fn fault(&self) -> Option<ProviderError> {
        let strikes = self.config.fault_rate > 0.0 && rand::random::<f64>() < self.config.fault_rate;
        strikes.then(|| ProviderError::Away("it fails on purpose (`chaos`)".to_owned()))
    }

    fn read_zones(&mut self, around: &Around) -> Result<(), String> {
        let mark = self.mark();
        let mut held = BTreeMap::new();
        for zone in self.config.zones.clone() {
            let records = match self.fault() {
                Some(fault) => Err(fault),
                None => self.provider.records(&zone, &mark, around),
            };
            held.extend(records.map_err(|error| error.to_string())?);
        }
        let before = std::mem::replace(&mut self.held, held);
        self.adopt();
        if self.read.is_some() {
            self.find_drift(&before, around);
        }
        // Each change that waits gets one more attempt.
        for failed in self.failed.values_mut() {
            failed.attempts = failed.attempts.min(ATTEMPTS - 1);
        }
        self.read = Some(Instant::now());
        Ok(())
    }

    /// Marks what external-dns has written and is ours to take over.
    fn adopt(&mut self) {
        let mark = self.mark();
        let Some(config) = &self.config.adopt else {
            return;
        };
        for (owner, rtype) in adopt::adopt(&mut self.held, &self.wishes, config, &mark) {
            self.provider.adopt(&owner, rtype);
        }
    }

    fn find_drift(&mut self, before: &BTreeMap<RecordId, Held>, around: &Around) {
        let found = drift::find(before, &self.held, &self.wishes, &self.mark());
        for (id, drift) in found {
            let zone = self.held.get(&id).map(|held| &held.zone);
            let zone = zone.or_else(|| self.wishes.get(&id).map(|wish| &wish.zone)).map(shown);
            let (kind, hostname) = (drift.kind.label(), id.hostname());
            around.figures.count_drift(&zone.unwrap_or_default(), &hostname, kind);
            let is_remediated = self.remediates(&id, drift.kind, around);
            warn!(hostname, ip = %id.value, drift_type = kind, is_remediated, "target {}: drift", self.key());
            self.drift.insert(id, drift);
        }
    }

    /// Whether the object that a difference is about asks for it to be put right.
    fn remediates(&self, id: &RecordId, kind: DriftKind, around: &Around) -> bool {
        let marks = around.sources.marks();
        let is_set = |wish: &Wish| marks.get(&wish.source, &wish.object).remediates;
        match kind {
            DriftKind::MissingRecord => self.wishes.get(id).is_some_and(is_set),
            DriftKind::UnexpectedIp => {
                let mut beside = self.wishes.iter().filter(|(other, _)| other.is_beside(id));
                beside.any(|(_, wish)| is_set(wish))
            }
            DriftKind::UnexpectedRecord => {
                let comment = self.held.get(id).map(|held| held.comment.as_str()).unwrap_or_default();
                let object = comment
                    .strip_prefix(&self.mark())
                    .and_then(|rest| rest.split_once(", "));
                object.is_some_and(|(source, object)| marks.get(source, object).remediates)
            }
        }
    }

    /// What is to be done now, and what waits.
    fn plan(&self, around: &Around) -> (Vec<(RecordId, Change)>, Vec<PendingChange>) {
        let mark = self.mark();
        let mut changes = plan(&self.wishes, &self.held, &mark);
        let mut waiting = Vec::new();
        changes.retain(|(id, change)| {
            if let Some(drift) = self.drift.get(id)
                && !self.remediates(id, drift.kind, around)
            {
                return false;
            }
            if let Change::Delete(held) = change
                && !self.may_delete(id, held, around)
            {
                waiting.push(pending(id, change, 0, "its source is not in step"));
                return false;
            }
            match self.failed.get(id) {
                Some(failed) if failed.attempts >= ATTEMPTS => {
                    waiting.push(pending(id, change, failed.attempts, &failed.error));
                    false
                }
                _ => true,
            }
        });
        // What others added at a name whose object does not want it there.
        for (id, drift) in &self.drift {
            if let Some(held) = self.held.get(id)
                && drift.kind == DriftKind::UnexpectedIp
                && !held.comment.starts_with(&mark)
                && self.remediates(id, drift.kind, around)
            {
                changes.push((id.clone(), Change::Delete(held.clone())));
            }
        }
        (changes, waiting)
    }

    /// Whether a record may be deleted: its source is in step, or not there any more. Of a record of external-dns these
    /// are the sources of what is wanted in its place.
    fn may_delete(&self, id: &RecordId, held: &Held, around: &Around) -> bool {
        let is_in_step = |source: &str| {
            let mut sources = around.sources.iter();
            let known = sources.find(|known| known.status.source().key() == source);
            known.is_none_or(|known| known.status.report().state.is_settled())
        };
        if held.is_adopted {
            let first = RecordId {
                owner: id.owner.clone(),
                rtype: RecordType(0),
                value: String::new(),
            };
            let mut beside = self
                .wishes
                .range(first..)
                .take_while(|(other, _)| other.owner == id.owner);
            return beside.all(|(_, wish)| is_in_step(&wish.source));
        }
        let mark = self.mark();
        let source = held.comment.strip_prefix(&mark).and_then(|rest| rest.split(',').next());
        source.is_none_or(is_in_step)
    }

    /// What came of a change.
    fn take(
        &mut self,
        id: &RecordId,
        change: &Change,
        outcome: Result<(), ProviderError>,
        around: &Around,
    ) -> Result<(), ProviderError> {
        match (change, outcome) {
            // Somebody made the same record by hand, since the zones were read: it stays theirs.
            (Change::Add(wish), Err(ProviderError::Exists(_))) => {
                self.held.insert(id.clone(), Held::foreign(wish));
            }
            (Change::Delete(_), Err(ProviderError::Absent(_))) => {
                self.held.remove(id);
            }
            (_, Err(error)) => return Err(error),
            (Change::Add(wish), Ok(())) => {
                self.held.insert(id.clone(), Held::of(wish));
                self.say(around, "created", &wish.zone, id, wish.ttl, &wish.comment);
            }
            (Change::Update(wish), Ok(())) => {
                let before = self.held.insert(id.clone(), Held::of(wish));
                if before.is_some_and(|before| before.is_adopted) {
                    let key = self.key();
                    info!(hostname = %id.hostname(), ip = %id.value, "target {key}: taken over from external-dns");
                }
                self.say(around, "updated", &wish.zone, id, wish.ttl, &wish.comment);
            }
            (Change::Delete(held), Ok(())) => {
                self.held.remove(id);
                self.say(around, "deleted", &held.zone, id, held.ttl, &held.comment);
            }
        }
        self.failed.remove(id);
        self.drift.remove(id);
        Ok(())
    }

    fn say(&self, around: &Around, status: &str, zone: &Name, id: &RecordId, ttl: u32, comment: &str) {
        around.figures.count_change(&shown(zone), status);
        let (mark, hostname, zone) = (self.mark(), id.hostname(), shown(zone));
        let origin = comment.strip_prefix(&mark).unwrap_or_default();
        let (source, object) = origin.split_once(", ").unwrap_or((origin, ""));
        // `Ingress monitoring/grafana`
        let (kind, place) = oldest_of(object).split_once(' ').unwrap_or(("", object));
        let (namespace, name) = place.split_once('/').unwrap_or(("", place));
        let resource = format!("{kind}/{name}");
        info!(hostname, ip = %id.value, ttl, namespace, resource, source, zone, "DNS record {status}");
    }

    /// Performs changes until all are done, or none can be; the last error.
    fn perform(
        &mut self,
        changes: &[(RecordId, Change)],
        waiting: &mut Vec<PendingChange>,
        around: &Around,
    ) -> Option<ProviderError> {
        let key = self.key();
        let mut worst = None;
        let mut tried = 0;
        for chunk in changes.chunks(P::BATCH) {
            if around.stop.is_cancelled() || !around.sources.leadership().leads() {
                return worst;
            }
            let outcomes = match self.fault() {
                Some(fault) => vec![Err(fault)],
                None => self.provider.perform(chunk, around),
            };
            tried += outcomes.len();
            let mut is_over = outcomes.len() < chunk.len();
            for ((id, change), outcome) in chunk.iter().zip(outcomes) {
                let Err(error) = self.take(id, change, outcome, around) else {
                    continue;
                };
                warn!(hostname = %id.hostname(), "target {key}: {error}");
                // A server that is away, or a token that is refused, says the same to each change.
                is_over |= error.is_of_all();
                let failed = self.failed.entry(id.clone()).or_insert(Failed {
                    attempts: 0,
                    error: String::new(),
                });
                failed.error = error.to_string();
                failed.attempts += u32::from(!error.is_of_all());
                waiting.push(pending(id, change, failed.attempts, &failed.error));
                worst = Some(error);
            }
            if is_over {
                break;
            }
        }
        let rest = changes.iter().skip(tried);
        waiting.extend(rest.map(|(id, change)| pending(id, change, 0, "it was not tried yet")));
        worst
    }

    /// Says what would be done.
    fn rehearse(&mut self, changes: Vec<(RecordId, Change)>, around: &Around) -> Option<String> {
        let diff = (around.dry_run == DryRun::Diff).then(|| unified::diff(&self.key(), &self.held, &changes));
        if self.said != changes {
            let key = self.key();
            info!(
                "target {key}: dry run: {} changes would be made, none is",
                changes.len()
            );
            for (id, change) in &changes {
                info!(hostname = %id.hostname(), ip = %id.value, "target {key}: dry run: would {}", change.verb());
            }
            if let Some(diff) = &diff {
                info!("target {key}: dry run:\n{diff}");
            }
            self.said = changes;
        }
        diff
    }

    fn report(&self, waiting: Vec<PendingChange>, around: &Around) -> TargetReport {
        let mark = self.mark();
        let ours = self.held.values().filter(|held| held.comment.starts_with(&mark));
        let drift = self.drift.iter().take(MOST_SHOWN).map(|(id, drift)| DriftReport {
            kind: drift.kind.label(),
            record: id.to_string(),
            since: drift.since,
            is_remediated: self.remediates(id, drift.kind, around),
        });
        let age = self.read.map(|read| read.elapsed());
        TargetReport {
            state: TargetState::Synced,
            error: None,
            records: ours.count(),
            last_read: age.and_then(|age| SystemTime::now().checked_sub(age)),
            pending_count: waiting.len(),
            pending: waiting.into_iter().take(MOST_SHOWN).collect(),
            drift: drift.collect(),
            drift_count: self.drift.len(),
            diff: None,
        }
    }
}

impl<P: Provider> Target for Managed<P> {
    fn key(&self) -> String {
        format!("{}/{}", P::KIND, self.config.name)
    }

    fn stand_by(&mut self) {
        // Another replica writes meanwhile: what is known of the zones is no longer true.
        self.read = None;
        self.failed.clear();
        self.drift.clear();
    }

    fn write(&mut self, wanted: &Wanted, around: &Around) -> Result<Option<Duration>, String> {
        let (key, now) = (self.key(), Instant::now());
        let wishes = self.wishes(wanted);
        self.resync.note(differing(&self.wishes, &wishes), now);
        self.wishes = wishes;
        let due = self.resync.interval(now).min(self.config.drift);
        match self.read {
            Some(read) if now.duration_since(read) < due => self.adopt(),
            _ => self.read_zones(around)?,
        }
        drift::forget(&mut self.drift, &self.held, &self.wishes);
        let (changes, mut waiting) = self.plan(around);
        if around.dry_run.is_on() {
            let diff = self.rehearse(changes, around);
            let report = TargetReport {
                state: TargetState::DryRun,
                diff,
                ..self.report(waiting, around)
            };
            around.targets.update(&key, |shown| *shown = report);
            return Ok(Some(due));
        }
        let worst = self.perform(&changes, &mut waiting, around);
        self.failed
            .retain(|id, _| waiting.iter().any(|change| change.record == id.to_string()));
        let has_waiting = !waiting.is_empty();
        let mut report = self.report(waiting, around);
        around.figures.set_pending(&key, report.pending_count);
        around.figures.set_records(&key, report.records);
        report.error = worst.as_ref().map(ToString::to_string);
        if worst.as_ref().is_some_and(ProviderError::is_of_all) {
            report.state = TargetState::Failing;
        }
        around.targets.update(&key, |shown| *shown = report);
        match worst {
            Some(error) => Err(error.to_string()),
            None if has_waiting => Ok(Some(PAUSE.min(due))),
            // What was taken over may leave a TXT record behind that is needed no more.
            None if self.config.adopt.is_some() && !changes.is_empty() => Ok(Some(Duration::ZERO)),
            None => Ok(Some(due)),
        }
    }
}

fn pending(id: &RecordId, change: &Change, attempts: u32, reason: &str) -> PendingChange {
    PendingChange {
        change: change.verb(),
        record: id.to_string(),
        attempts,
        reason: reason.to_owned(),
    }
}

/// How many records are wanted otherwise.
fn differing(before: &BTreeMap<RecordId, Wish>, after: &BTreeMap<RecordId, Wish>) -> usize {
    let gone = before.keys().filter(|id| !after.contains_key(id)).count();
    let other = after.iter().filter(|(id, wish)| before.get(id) != Some(wish)).count();
    gone + other
}
