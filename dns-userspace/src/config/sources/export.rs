//! `sources.export`: zone files that a provider or another server has exported, as a file or a folder.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::document::{FilePosition, YamlKind};
use super::super::problem::{ConfigProblem, Findings};
use super::super::section::CheckedMapping;
use super::Surroundings;
use crate::model::name::Name;

/// An instance of `sources.export`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportSource {
    /// The file or the folder.
    pub path: Arc<Path>,
    /// How files are read.
    pub texts: TextSettings,
    /// After being away for so long, what was exported last is served no more; `None`: it is served for ever.
    pub expire: Option<Duration>,
}

/// How files with zones and records in them are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextSettings {
    /// Files whose zone neither their `$ORIGIN` nor their name says, by their path below the folder.
    pub zones: Vec<(Arc<str>, Name)>,
    /// The TTL of records that name none, in seconds.
    pub ttl: u32,
}

pub(super) const KEYS: &[&str] = &["name", "path", "zones", "ttl", "expire"];
pub(super) const REMEDY: &str = "change it where it is exported from";
/// The pauses between two looks at a source that tells nothing by itself.
pub(super) const POLLS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(86_400);
const EXPIRES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3650 * 86_400);
const ZONE_KEYS: &[&str] = &["file", "name"];
const ZONES: &str = "zones: [{file: internal.txt, name: internal.example.}]";

pub(super) fn read(
    section: &CheckedMapping<'_>,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<ExportSource> {
    let texts = texts(section, around, findings);
    let expire = section.duration("expire", "expire: 14d", &EXPIRES, findings);
    Some(ExportSource {
        path: around.path(section, "path", "path: /var/backups/dns", findings)?,
        texts,
        expire,
    })
}

/// Reads `zones` and `ttl`.
pub(super) fn texts(section: &CheckedMapping<'_>, around: &Surroundings<'_>, findings: &mut Findings) -> TextSettings {
    let mut zones: Vec<(Arc<str>, Name)> = Vec::new();
    let mut places: Vec<FilePosition> = Vec::new();
    for item in section.list("zones", ZONES, findings).unwrap_or_default() {
        let zone = CheckedMapping::item(item, "a zone of a source", ZONE_KEYS, findings);
        if !matches!(item.kind, YamlKind::Mapping(_)) {
            continue;
        }
        let file = zone.required_text("file", "file: internal.txt", findings);
        let name = zone.required_text("name", "name: internal.example.", findings);
        let apex = name.and_then(|name| name.to_name("name", findings));
        let (Some(file), Some(apex)) = (file, apex) else {
            continue;
        };
        if let Some(known) = zones.iter().position(|(_, known)| *known == apex) {
            let first = places[known];
            findings.error(item.at, ConfigProblem::DuplicateZone { apex, first });
            continue;
        }
        zones.push((file.text.trim_start_matches("./").into(), apex));
        places.push(item.at);
    }
    TextSettings {
        zones,
        ttl: around.ttl(section, findings),
    }
}
