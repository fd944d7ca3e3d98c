//! `zone_folder`: a folder whose `NAME.zone` files are zones, and into which zones that are made over HTTP go.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use super::document::FilePosition;
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::Text;
use crate::host::stamp::FileStamp;
use crate::model::name::Name;

/// `zone_folder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneFolder {
    /// The folder. It need not be there before a zone is made.
    pub path: PathBuf,
    /// The folder as the configuration writes it.
    pub shown_as: Arc<str>,
    /// Whether zones that are made over HTTP become files of it.
    pub create: bool,
    /// Where the configuration names it.
    pub at: FilePosition,
    /// What the folder was before it was read.
    pub stamp: Option<FileStamp>,
    /// The zones, each with the name of its file.
    pub zones: Vec<(Name, String)>,
}

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["path", "create"],
    applies: Applies::AtReload,
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> Option<ZoneFolder> {
    let section = input.root.section("zone_folder", KEY.keys, findings);
    let create = section.boolean("create", "create: true", findings);
    let text = match input.root.has_value("zone_folder") {
        true => section.required_text("path", "path: /data/zones", findings),
        false => None,
    };
    let Text { at, text } = text?;
    if text.is_empty() {
        let key = section.path("path");
        let remedy = "write the path of a folder";
        findings.error(at, ConfigProblem::Empty { key, remedy });
        return None;
    }
    let path = input.base.join(text);
    let stamp = FileStamp::at(&path);
    let mut zones = Vec::new();
    match files(&path) {
        Ok(files) => {
            for file in files {
                let stem = file.strip_suffix(".zone").unwrap_or(&file);
                match Name::parse_given(stem) {
                    Ok(apex) => zones.push((apex, file)),
                    Err(error) => {
                        let file = path.join(&file);
                        findings.warning(at, format!("{} is no zone: {error}; rename it", file.display()));
                    }
                }
            }
        }
        Err(error) => {
            let (key, error) = (section.path("path"), error.to_string());
            let folder = path.display().to_string();
            findings.error(at, ConfigProblem::FolderUnreadable { key, folder, error });
        }
    }
    Some(ZoneFolder {
        path,
        shown_as: text.trim_end_matches('/').into(),
        create: create.unwrap_or(true),
        at,
        stamp,
        zones,
    })
}

/// The names of its zone files, in order. A folder that is not there has none.
fn files(path: &std::path::Path) -> std::io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".zone") && !name.starts_with('.') {
            files.push(name.into_owned());
        }
    }
    files.sort_unstable();
    Ok(files)
}
