//! What a group of change sets comes to, as a value: the stages of a change take it, and subscribers are given it.

use std::sync::Arc;
use std::time::SystemTime;

use super::past::Past;
use crate::model::name::{Name, NameKey};
use crate::model::snapshot::Snapshot;
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
    /// What is served from now on; the serials in it are those of `serials`.
    pub new: Arc<Snapshot>,
    /// How these differ.
    pub delta: Delta,
    /// The zones that get another SOA serial, or are new.
    pub serials: Vec<ZoneSerial>,
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
    /// Of a plan on top of `old`. The serials are in the plan's snapshot, too, from now on.
    pub(super) fn new(old: Arc<Snapshot>, plan: &mut Plan, serials: Vec<ZoneSerial>, causes: Vec<Cause>) -> Self {
        let gone = plan.delta.zones.iter().map(|zone| &zone.apex);
        let gone: Vec<NameKey> = gone
            .filter(|apex| !plan.snapshot.zones.contains_key(*apex))
            .cloned()
            .collect();
        let serials_of_zones = serials.iter().map(|zone| (zone.apex.key(), zone.serial, zone.version));
        plan.set_serials(serials_of_zones, gone.iter());
        Self {
            causes,
            version: plan.version(),
            time: SystemTime::now(),
            old,
            new: plan.snapshot.clone(),
            delta: plan.delta.clone(),
            serials,
            edited: plan.edited.clone(),
            past: Arc::default(),
        }
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
