//! `zones`: the zones that are ours, each with its zone file.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::acl::{self, Acl};
use super::document::{FilePosition, YamlKind};
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::{CheckedMapping, Text};
use super::zone_folder::ZoneFolder;
use crate::model::name::Name;

/// A zone of the configuration file. What its zone file holds is not part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredZone {
    /// The name of the zone.
    pub apex: Name,
    /// Where the zone file is.
    pub file: PathBuf,
    /// The zone file as the configuration writes it: what logs and replies call it.
    pub shown_as: Arc<str>,
    /// `acl`: who may ask for its names.
    pub access: Acl,
    /// `fallthrough`: whether names that it lacks are looked up elsewhere.
    pub falls_through: bool,
    /// `store: file`: whether edits over HTTP are written into the file.
    pub is_stored: bool,
    /// Whether it is a zone because its file is in `zone_folder`.
    pub is_in_folder: bool,
    /// Where the configuration names the file.
    pub file_at: FilePosition,
}

const EXAMPLE: &str = "zones: [{name: example.com., file: example.com.zone}]";
const ITEM_KEYS: &[&str] = &["name", "file", "acl", "fallthrough", "store"];

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[],
    applies: Applies::AtReload,
};

pub(super) fn read(input: &Input<'_>, folder: &Option<ZoneFolder>, findings: &mut Findings) -> Vec<ConfiguredZone> {
    let items = input.root.list("zones", EXAMPLE, findings).unwrap_or_default();
    let mut zones = Vec::with_capacity(items.len());
    let mut first: HashMap<Name, FilePosition> = HashMap::new();
    for item in items {
        let section = CheckedMapping::item(item, "a zone", ITEM_KEYS, findings);
        if !matches!(item.kind, YamlKind::Mapping(_)) {
            continue;
        }
        let name = section.required_text("name", "name: example.com.", findings);
        let access = acl::read_in(&section, input.base, findings);
        let falls_through = section.boolean("fallthrough", "fallthrough: true", findings);
        let store = section.word("store", &["file"], findings);
        let file = section.required_text("file", "file: zones/example.com.zone", findings);
        let apex = name.and_then(|name| name.to_name("name", findings));
        if let (Some(apex), Some(name)) = (&apex, name) {
            if let Some(first) = first.get(apex) {
                findings.error(
                    name.at,
                    ConfigProblem::DuplicateZone {
                        apex: apex.clone(),
                        first: *first,
                    },
                );
                continue;
            }
            first.insert(apex.clone(), name.at);
        }
        if let Some(Text { at, text: "" }) = file {
            findings.error(
                at,
                ConfigProblem::Empty {
                    key: "file".to_owned(),
                    remedy: "write the zone file's path",
                },
            );
            continue;
        }
        if let (Some(apex), Some(file)) = (apex, file) {
            zones.push(ConfiguredZone {
                apex,
                file: input.base.join(file.text),
                shown_as: file.text.into(),
                access,
                falls_through: falls_through.unwrap_or(false),
                is_stored: store.is_some(),
                is_in_folder: false,
                file_at: file.at,
            });
        }
    }
    zones.extend(folder.iter().flat_map(|folder| in_folder(folder, &first)));
    zones
}

/// The zones of a folder that are not listed one by one.
fn in_folder<'f>(
    folder: &'f ZoneFolder,
    listed: &HashMap<Name, FilePosition>,
) -> impl Iterator<Item = ConfiguredZone> + use<'f> {
    let others = folder.zones.iter().filter(|(apex, _)| !listed.contains_key(apex));
    let others: Vec<_> = others.collect();
    others.into_iter().map(|(apex, file)| ConfiguredZone {
        apex: apex.clone(),
        file: folder.path.join(file),
        shown_as: format!("{}/{file}", folder.shown_as).into(),
        access: Acl::default(),
        falls_through: false,
        is_stored: true,
        is_in_folder: true,
        file_at: folder.at,
    })
}
