//! What a group of change sets comes to, as a value: the stages of a change take it, and subscribers are given it.

use std::sync::Arc;
use std::time::SystemTime;

use super::past::Past;
use crate::journal::ServedSerial;
use crate::model::name::Name;
use crate::model::snapshot::{Snapshot, ZoneVersion};
use crate::model::source::SourceId;
use crate::store::{Delta, EditedRrset, Plan};

/// One step from a snapshot to the next.
pub struct Publication {
    /// Who caused it, in the order in which their change sets were applied.
    pub causes: Vec<Cause>,
    /// The version of the latest change in it; that of the new snapshot, unless that change is not seen there.
    pub version: u64,
    /// When it was planned.
    pub time: SystemTime,
    /// What was served before.
    pub old: Arc<Snapshot>,
    /// What is served from now on; the serials of `serials` are in it.
    pub new: Arc<Snapshot>,
    /// How these differ.
    pub delta: Delta,
    /// The zones that get another SOA serial, or are new.
    pub serials: Vec<ZoneSerial>,
    /// Serials that the journal is to keep: of these zones, and those that it could not keep before.
    pub unsaved: Vec<ServedSerial>,
    /// Whether it is what this process serves first: what is on disk, and in files.
    pub is_start: bool,
    /// RRsets that were edited one by one, as their layers have them: what a journal keeps.
    pub edited: Vec<EditedRrset>,
    /// What each change set has changed, in their order.
    pub past: Arc<[Past]>,
}

/// Who caused a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Whose layer changed.
    pub source: SourceId,
    /// Who asked: `api`, `SIGHUP`, or the name of a token.
    pub actor: Arc<str>,
}

impl Cause {
    /// The start of the server.
    pub(super) fn start() -> Self {
        Self::of_config("start")
    }

    /// A reload of the files.
    pub(super) fn reload() -> Self {
        Self::of_config("reload")
    }

    /// Records that were read from the database.
    pub(super) fn storage() -> Self {
        Self {
            source: SourceId::api(),
            actor: "storage".into(),
        }
    }

    fn of_config(actor: &str) -> Self {
        Self {
            source: SourceId::config(),
            actor: actor.into(),
        }
    }
}

/// The SOA serial that a zone is served with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneSerial {
    /// The zone.
    pub apex: Name,
    /// Where the planes keep its serial.
    pub index: u32,
    /// The serial.
    pub serial: u32,
    /// The version at which the zone changed last.
    pub version: u64,
}

impl Publication {
    /// Of a plan on top of `old`, before any stage.
    pub(super) fn new(old: Arc<Snapshot>, plan: &Plan, causes: Vec<Cause>, is_start: bool) -> Self {
        Self {
            causes,
            version: plan.version(),
            time: SystemTime::now(),
            old,
            new: plan.snapshot.clone(),
            delta: plan.delta.clone(),
            serials: Vec::new(),
            unsaved: Vec::new(),
            is_start,
            edited: plan.edited.clone(),
            past: Arc::default(),
        }
    }

    /// These are the serials that zones get. They are in `new`, too, and those of zones that are gone are not.
    pub(super) fn set_serials(&mut self, serials: Vec<ZoneSerial>) {
        let mut versions = self.new.versions.clone();
        for zone in &self.delta.zones {
            if !self.new.zones.contains_key(&zone.apex) {
                versions.remove(&zone.apex);
            }
        }
        versions.extend(serials.iter().map(|zone| {
            let &ZoneSerial { serial, version, .. } = zone;
            (zone.apex.key(), ZoneVersion { serial, version })
        }));
        if !versions.ptr_eq(&self.new.versions) {
            Arc::make_mut(&mut self.new).versions = versions;
        }
        self.serials = serials;
    }

    /// The version of the latest change in it.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether any record that is served differs.
    pub fn is_visible(&self) -> bool {
        self.old.version != self.new.version
    }
}
