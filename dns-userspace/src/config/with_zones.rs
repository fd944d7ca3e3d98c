//! The configuration together with what its zone files hold: what a start, a reload and a check work from.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::sync::Arc;

use super::problem::{ConfigError, ConfigProblem, ConfigWarning};
use super::unchanged::ReadZones;
use super::{Config, ConfiguredRecord, ConfiguredZone, Loaded};
use crate::host::stamp::FileStamp;
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::model::views::ViewName;
use crate::model::work;
use crate::zonefile::{self, Budget, LoadError, ZoneContent, ZoneFileError};

/// A valid configuration file and each of its zone files, good or bad.
#[derive(Debug)]
pub struct ConfigWithZones {
    /// The configuration.
    pub config: Config,
    /// Oddities of the configuration for the log.
    pub warnings: Vec<ConfigWarning>,
    /// The zones whose files were read, in the order of the configuration.
    pub zones: Vec<ZoneWithContent>,
    /// The others: they are as they were read before.
    pub unchanged: Vec<ConfiguredZone>,
    /// RRsets of `records` that are also in a zone file, or cannot stand beside its: errors at a check; at start-up
    /// warnings, and the zone file's are served; for a reload see [`ConfigWithZones::for_reload`].
    pub clashes: Vec<RecordClash>,
    /// The configuration file as JSON, secrets masked.
    pub shown: serde_json::Value,
}

/// A configured zone and its zone file.
#[derive(Debug)]
pub struct ZoneWithContent {
    /// What the configuration says.
    pub zone: ConfiguredZone,
    /// What the file holds, or everything that is wrong with it.
    pub content: Result<ZoneContent, Vec<ZoneError>>,
    /// What the file was before it was read; `None`: there was none.
    pub(super) stamp: Option<FileStamp>,
}

/// Why a zone has no content.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    /// An error in one of its files.
    #[error(transparent)]
    InFile(#[from] ZoneFileError),
    /// One that is about what the configuration says.
    #[error(transparent)]
    InConfig(#[from] ConfigError),
}

/// An RRset of `records` that cannot stand beside one of a zone file, or at an apex.
#[derive(Debug)]
pub struct RecordClash {
    /// What is wrong, and where.
    pub error: ConfigError,
    record: RecordId,
    /// The zone whose file has the other one.
    zone: Option<Name>,
}

/// A record of `records`: one has its view, owner and type.
type RecordId = (Option<ViewName>, Name, RecordType);

/// Which zones and records a configuration has that was taken over: those that a later one has besides are new.
#[derive(Debug)]
pub struct Known {
    zones: HashSet<Name>,
    records: HashSet<RecordId>,
}

impl Known {
    /// Those of this one.
    pub fn of(config: &Config) -> Self {
        Self {
            zones: config.zones.iter().map(|zone| zone.apex.clone()).collect(),
            records: config.records.iter().map(id_of).collect(),
        }
    }
}

fn id_of(record: &ConfiguredRecord) -> RecordId {
    (record.view.clone(), record.owner.clone(), record.rrset.rtype)
}

impl fmt::Display for RecordClash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl RecordClash {
    /// The zone whose file has the other RRset; `None` where it is the SOA of an apex.
    pub(super) fn zone(&self) -> Option<&Name> {
        self.zone.as_ref()
    }

    /// The same for the log of a start.
    pub fn at_start(&self) -> String {
        match &self.zone {
            Some(apex) => format!(
                "{self} (the zone file's is served; `hotdns check` calls this an error, and a reload leaves the zone \
                 {apex} as it is until it is corrected)"
            ),
            None => format!("{self} (it is left out; `hotdns check` calls this an error)"),
        }
    }
}

impl ConfigWithZones {
    /// Reads the zone files of a configuration, the smallest first: where there is not memory for all of them, the
    /// largest are refused.
    pub(crate) fn read_zone_files(loaded: Loaded) -> Self {
        Self::read_changed_zone_files(loaded, &ReadZones::default())
    }

    /// The same, but for the zones that are still as they are in `before`.
    pub(crate) fn read_changed_zone_files(loaded: Loaded, before: &ReadZones) -> Self {
        let Loaded {
            config,
            warnings,
            shown,
        } = loaded;
        let mut budget = Budget::new(config.limits.memory);
        let are_unchanged = before.unchanged(&config);
        are_unchanged.values().for_each(|octets| budget.keep(*octets));
        let (unchanged, changed): (Vec<_>, Vec<_>) = config
            .zones
            .iter()
            .zip(0..)
            .partition(|(zone, _)| are_unchanged.contains_key(&zone.apex));
        let unchanged = unchanged.into_iter().map(|(zone, _)| zone.clone()).collect();
        let octets = |zone: &ConfiguredZone| fs::metadata(&zone.file).map_or(0, |file| file.len());
        let mut order: Vec<(u64, usize)> = changed.into_iter().map(|(zone, at)| (octets(zone), at)).collect();
        order.sort_unstable();
        let mut zones: Vec<(usize, ZoneWithContent)> = Vec::with_capacity(order.len());
        for (_, at) in order {
            let zone = config.zones[at].clone();
            let stamp = FileStamp::at(&zone.file);
            let content = read_zone(&config, &zone, &mut budget);
            zones.push((at, ZoneWithContent { zone, content, stamp }));
        }
        zones.sort_unstable_by_key(|(at, _)| *at);
        let zones: Vec<ZoneWithContent> = zones.into_iter().map(|(_, zone)| zone).collect();
        let mut clashes = find_clashes(&config, &zones);
        clashes.sort_by_key(|clash| clash.error.at);
        Self {
            config,
            warnings,
            zones,
            unchanged,
            clashes,
            shown,
        }
    }

    /// What of it a reload may take over; `known` is what was taken over last. Who brings a clash answers for it: a
    /// record or a zone that is new in the configuration is an error of the configuration, which changes nothing. A
    /// zone file that clashes with a record which was there before is that zone's failure alone, as any error in it.
    /// What has been there since the start is so too.
    pub fn for_reload(mut self, known: &Known) -> Result<Self, Vec<ConfigError>> {
        let is_known = |clash: &RecordClash| {
            let zone_is_known = clash.zone.as_ref().is_none_or(|apex| known.zones.contains(apex));
            zone_is_known && known.records.contains(&clash.record)
        };
        if !self.clashes.iter().all(is_known) {
            let errors = self.clashes.into_iter().filter(|clash| !is_known(clash));
            return Err(ConfigError::listed(errors.map(|clash| clash.error).collect()));
        }
        let mut failed: HashMap<Name, Vec<ConfigError>> = HashMap::new();
        let mut left = Vec::new();
        for clash in self.clashes {
            match &clash.zone {
                Some(apex) => failed.entry(apex.clone()).or_default().push(clash.error),
                None => left.push(clash),
            }
        }
        for ZoneWithContent { zone, content, .. } in &mut self.zones {
            if let Some(errors) = failed.remove(&zone.apex) {
                *content = Err(ConfigError::listed(errors).into_iter().map(ZoneError::from).collect());
            }
        }
        self.clashes = left;
        Ok(self)
    }
}

fn read_zone(config: &Config, zone: &ConfiguredZone, budget: &mut Budget) -> Result<ZoneContent, Vec<ZoneError>> {
    let read = zonefile::load_within(&zone.file, &zone.apex, Arc::clone(&zone.shown_as), budget);
    read.map_err(|error| match error {
        LoadError::Errors(errors) => errors.into_iter().map(ZoneError::from).collect(),
        LoadError::Unreadable(error) => vec![ZoneError::from(ConfigError {
            file: Arc::clone(&config.file),
            at: Some(zone.file_at),
            problem: ConfigProblem::ZoneFileUnreadable {
                apex: zone.apex.clone(),
                zone_file: zone.file.display().to_string().into(),
                error: error.to_string(),
            },
        })],
    })
}

/// What of `records` the zone files do not leave room for.
fn find_clashes(config: &Config, zones: &[ZoneWithContent]) -> Vec<RecordClash> {
    let mut in_zone: HashMap<&Name, HashMap<&Name, RecordsAt<'_>>> =
        config.zones.iter().map(|zone| (&zone.apex, HashMap::new())).collect();
    for record in config.records.iter().filter(|record| record.view.is_none()) {
        if let Some(records) = holder(&record.owner, &mut in_zone) {
            records
                .entry(&record.owner)
                .or_default()
                .insert(record.rrset.rtype, record);
        }
    }
    let mut found: HashMap<(&Name, RecordType), RecordClash> = HashMap::new();
    for ZoneWithContent { zone, content, .. } in zones {
        let (Ok(content), Some(records)) = (content, in_zone.get(&zone.apex)) else {
            continue;
        };
        if records.is_empty() {
            continue;
        }
        for (owner, rrset) in &content.rrsets {
            let Some(records) = records.get(owner) else { continue };
            for record in beside(records, rrset.rtype) {
                work::step();
                let Some(problem) = clash(record, rrset.rtype, &zone.shown_as) else {
                    continue;
                };
                found
                    .entry((&record.owner, record.rrset.rtype))
                    .or_insert_with(|| RecordClash {
                        error: error_at(config, record, problem),
                        record: id_of(record),
                        zone: Some(zone.apex.clone()),
                    });
            }
        }
    }
    let mut clashes: Vec<RecordClash> = found.into_values().collect();
    clashes.extend(aliases_at_apexes(config));
    clashes
}

/// The records at one owner.
type RecordsAt<'a> = BTreeMap<RecordType, &'a ConfiguredRecord>;

/// Those of the records at an owner that may not stand beside a zone file's RRset of this type.
fn beside<'a, 'r>(
    records: &'a RecordsAt<'r>,
    zone_type: RecordType,
) -> Box<dyn Iterator<Item = &'r ConfiguredRecord> + 'a> {
    use RecordType as T;
    match zone_type {
        // An owner has one of these alone.
        T::CNAME | T::ALIAS => Box::new(records.values().copied()),
        other => {
            let mut types = vec![other, T::CNAME, T::ALIAS];
            types.dedup();
            Box::new(types.into_iter().filter_map(|rtype| records.get(&rtype).copied()))
        }
    }
}

fn error_at(config: &Config, record: &ConfiguredRecord, problem: ConfigProblem) -> ConfigError {
    ConfigError {
        file: Arc::clone(&config.file),
        at: Some(record.at),
        problem,
    }
}

/// What views have at apexes that cannot stand beside the SOA there: at an apex the default's other types stay.
fn aliases_at_apexes(config: &Config) -> impl Iterator<Item = RecordClash> {
    let apexes: HashSet<&Name> = config.zones.iter().map(|zone| &zone.apex).collect();
    let records = config.records.iter().filter(|record| record.view.is_some());
    let at_apexes = records.filter(move |record| apexes.contains(&record.owner));
    at_apexes.filter_map(|record| {
        let clash = record.rrset.rtype.clash(RecordType::SOA)?;
        let owner = record.owner.clone();
        Some(RecordClash {
            error: error_at(config, record, ConfigProblem::AliasAtApex { owner, clash }),
            record: id_of(record),
            zone: None,
        })
    })
}

/// What is kept for the deepest zone that holds `owner`.
pub(super) fn holder<'a, T>(owner: &Name, zones: &'a mut HashMap<&Name, T>) -> Option<&'a mut T> {
    let apex = (0..=owner.label_count())
        .rev()
        .map(|labels| owner.suffix(labels))
        .find(|apex| zones.contains_key(apex))?;
    zones.get_mut(&apex)
}

fn clash(record: &ConfiguredRecord, zone_type: RecordType, zone_file: &Arc<str>) -> Option<ConfigProblem> {
    let (owner, rtype, zone_file) = (record.owner.clone(), record.rrset.rtype, Arc::clone(zone_file));
    if rtype == zone_type {
        Some(ConfigProblem::AlsoInZoneFile {
            owner,
            rtype,
            zone_file,
        })
    } else {
        rtype.clash(zone_type).map(|clash| ConfigProblem::ClashWithZoneFile {
            owner,
            rtype,
            zone_type,
            zone_file,
            clash,
        })
    }
}
