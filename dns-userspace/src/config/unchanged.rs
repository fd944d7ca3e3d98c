//! Which zone files need not be read again.
//!
//! A zone is left as it is where nothing that its content comes from has changed since it was read: its entry in the
//! configuration, its file, and the files that it includes. Of `records` it depends too, which may clash with it: where
//! those or the list of zones have changed, a zone that holds one of `records` is read again. A zone with an error is
//! always read again, so that each reload reports it.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::with_zones::{ConfigWithZones, holder};
use super::{Config, ConfiguredRecord, ConfiguredZone};
use crate::host::stamp::FileStamp;
use crate::model::name::Name;
use crate::zonefile::StampedFile;

/// The zones as they were read last.
#[derive(Debug, Default)]
pub struct ReadZones {
    zones: HashMap<Name, ReadZone>,
    /// The files of zones with an error: which others they include is not known.
    broken: Vec<(PathBuf, Option<FileStamp>)>,
    configured: Vec<ConfiguredZone>,
    records: Vec<ConfiguredRecord>,
}

/// A zone that was read without an error.
#[derive(Debug, Clone)]
struct ReadZone {
    configured: ConfiguredZone,
    files: Vec<StampedFile>,
    octets: u64,
}

impl ReadZones {
    /// The zones of what was read, where `before` is what was read before.
    pub fn of(read: &ConfigWithZones, before: &Self) -> Self {
        let clashing: HashSet<&Name> = read.clashes.iter().filter_map(|clash| clash.zone()).collect();
        let new = read.zones.iter().filter_map(|zone| {
            let content = zone.content.as_ref().ok()?;
            let read_zone = ReadZone {
                configured: zone.zone.clone(),
                files: content.files.clone(),
                octets: content.octets,
            };
            (!clashing.contains(&zone.zone.apex)).then(|| (zone.zone.apex.clone(), read_zone))
        });
        let kept = read.unchanged.iter().filter_map(|zone| {
            let kept = before.zones.get(&zone.apex)?;
            Some((zone.apex.clone(), kept.clone()))
        });
        let broken = read.zones.iter().filter(|zone| zone.content.is_err());
        Self {
            broken: broken.map(|zone| (zone.zone.file.clone(), zone.stamp)).collect(),
            zones: new.chain(kept).collect(),
            configured: read.config.zones.clone(),
            records: read.config.records.clone(),
        }
    }

    /// The zones of a configuration that are as they were, each with what it takes of the memory for zones, in octets.
    pub(super) fn unchanged(&self, config: &Config) -> HashMap<Name, u64> {
        let holding = self.holding_records(config);
        let unchanged = config.zones.iter().filter_map(|zone| {
            let read = self.zones.get(&zone.apex)?;
            let is_unchanged = read.configured == *zone
                && !holding.contains(&zone.apex)
                && read.files.iter().all(|(path, stamp)| stamp.is_still(path));
            is_unchanged.then(|| (zone.apex.clone(), read.octets))
        });
        unchanged.collect()
    }

    /// The zones that hold one of `records`, where a clash with it may be new.
    fn holding_records(&self, config: &Config) -> HashSet<Name> {
        if config.records == self.records && config.zones == self.configured {
            return HashSet::new();
        }
        let mut zones: HashMap<&Name, &Name> = config.zones.iter().map(|zone| (&zone.apex, &zone.apex)).collect();
        let owners = config.records.iter().map(|record| &record.owner);
        owners
            .filter_map(|owner| holder(owner, &mut zones).map(|apex| (**apex).clone()))
            .collect()
    }

    /// The files that were read, each as it was then, for whoever watches them; `None`: there was none.
    pub fn files(&self) -> impl Iterator<Item = (&PathBuf, Option<FileStamp>)> {
        let read = self.zones.values().flat_map(|zone| &zone.files);
        let read = read.map(|(path, stamp)| (path, Some(*stamp)));
        read.chain(self.broken.iter().map(|(path, stamp)| (path, *stamp)))
    }
}

#[cfg(test)]
mod tests;
