//! The configuration together with what its zone files hold: what a start, a reload and a check work from.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::problem::{ConfigError, ConfigWarning, Problem};
use super::records::{ConfiguredRecord, ConfiguredZone};
use super::{Config, Loaded};
use crate::name::Name;
use crate::record::RecordType;
use crate::zonefile::{self, ZoneContent, ZoneFileError};

/// A valid configuration file and each of its zone files, good or bad.
#[derive(Debug)]
pub struct Desired {
    /// The configuration.
    pub config: Config,
    /// Oddities of the configuration for the log.
    pub warnings: Vec<ConfigWarning>,
    /// One entry for each configured zone, in the same order.
    pub zones: Vec<DesiredZone>,
    /// RRsets of `records` that are also in a zone file, or cannot stand beside its: errors at a check and a reload;
    /// at start-up warnings, and the zone file's are served.
    pub clashes: Vec<ConfigError>,
}

/// A configured zone and its zone file.
#[derive(Debug)]
pub struct DesiredZone {
    /// What the configuration says.
    pub zone: ConfiguredZone,
    /// What the file holds, or everything that is wrong with it.
    pub content: Result<ZoneContent, Vec<ZoneFileError>>,
}

impl Desired {
    /// Reads the zone files of a configuration.
    pub(crate) fn read_zone_files(loaded: Loaded) -> Self {
        let Loaded { config, warnings } = loaded;
        let read = |zone: &ConfiguredZone| DesiredZone {
            zone: zone.clone(),
            content: zonefile::load(&zone.file, &zone.apex, Arc::clone(&zone.shown_as)),
        };
        let zones: Vec<DesiredZone> = config.zones.iter().map(read).collect();
        let mut clashes = find_clashes(&config, &zones);
        clashes.sort_by_key(|clash| clash.at);
        Self {
            config,
            warnings,
            zones,
            clashes,
        }
    }
}

impl Desired {
    /// This, unless `records` clash with a zone file: for a reload, where that is an error.
    pub fn without_clashes(self) -> Result<Self, Vec<ConfigError>> {
        if self.clashes.is_empty() {
            Ok(self)
        } else {
            Err(self.clashes)
        }
    }
}

/// What of `records` the zone files do not leave room for.
fn find_clashes(config: &Config, zones: &[DesiredZone]) -> Vec<ConfigError> {
    let mut in_zone: HashMap<&Name, HashMap<&Name, Vec<&ConfiguredRecord>>> =
        zones.iter().map(|zone| (&zone.zone.apex, HashMap::new())).collect();
    for record in config.records.iter().filter(|record| record.view.is_none()) {
        if let Some(records) = holder(&record.owner, &mut in_zone) {
            records.entry(&record.owner).or_default().push(record);
        }
    }
    let mut found: HashMap<(&Name, RecordType), ConfigError> = HashMap::new();
    for DesiredZone { zone, content } in zones {
        let (Ok(content), Some(records)) = (content, in_zone.get(&zone.apex)) else {
            continue;
        };
        if records.is_empty() {
            continue;
        }
        for (owner, rrset) in &content.rrsets {
            for record in records.get(owner).into_iter().flatten() {
                if let Some(problem) = clash(record, rrset.rtype, &zone.shown_as) {
                    let at = Some(record.at);
                    let error = ConfigError {
                        file: Arc::clone(&config.file),
                        at,
                        problem,
                    };
                    found.entry((&record.owner, record.rrset.rtype)).or_insert(error);
                }
            }
        }
    }
    let mut clashes: Vec<ConfigError> = found.into_values().collect();
    clashes.extend(aliases_at_apexes(config));
    clashes
}

/// What views have at apexes that cannot stand beside the SOA there: at an apex the default's other types stay.
fn aliases_at_apexes(config: &Config) -> impl Iterator<Item = ConfigError> {
    let apexes: HashSet<&Name> = config.zones.iter().map(|zone| &zone.apex).collect();
    let records = config.records.iter().filter(|record| record.view.is_some());
    let at_apexes = records.filter(move |record| apexes.contains(&record.owner));
    at_apexes.filter_map(|record| {
        let clash = record.rrset.rtype.clash(RecordType::SOA)?;
        let owner = record.owner.clone();
        Some(ConfigError {
            file: Arc::clone(&config.file),
            at: Some(record.at),
            problem: Problem::AliasAtApex { owner, clash },
        })
    })
}

/// What is kept for the deepest zone that holds `owner`.
fn holder<'a, T>(owner: &Name, zones: &'a mut HashMap<&Name, T>) -> Option<&'a mut T> {
    let apex = (0..=owner.label_count())
        .rev()
        .map(|labels| owner.suffix(labels))
        .find(|apex| zones.contains_key(apex))?;
    zones.get_mut(&apex)
}

fn clash(record: &ConfiguredRecord, zone_type: RecordType, zone_file: &Arc<str>) -> Option<Problem> {
    let (owner, rtype, zone_file) = (record.owner.clone(), record.rrset.rtype, Arc::clone(zone_file));
    if rtype == zone_type {
        Some(Problem::AlsoInZoneFile {
            owner,
            rtype,
            zone_file,
        })
    } else {
        rtype.clash(zone_type).map(|clash| Problem::ClashWithZoneFile {
            owner,
            rtype,
            zone_type,
            zone_file,
            clash,
        })
    }
}
