//! A configuration file from the disk to a [`Config`], or to everything that is wrong with it.

use std::io;
use std::path::Path;

use super::document;
use super::keys;
use super::problem::{ConfigError, ConfigProblem, Findings};
use super::{Config, Loaded, Overrides, shown};
use crate::host::files;
use crate::host::memory::{self, Size};

/// The most octets of a configuration file, `records` and all.
const MOST_OCTETS: u64 = 64 << 20;
/// The most keys and values of one; fewer where there is little memory.
const MOST_NODES: u64 = 4_000_000;
/// What a key or a value takes at most while the file is read, in octets.
const NODE_OCTETS: u64 = 256;

/// Reads a configuration file.
pub(super) fn load(path: &Path, overrides: &Overrides) -> Result<Loaded, Vec<ConfigError>> {
    let fail = |at, problem| {
        vec![ConfigError {
            file: path.into(),
            at,
            problem,
        }]
    };
    let text = files::read_text(path, MOST_OCTETS).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => fail(None, ConfigProblem::NotUtf8),
        io::ErrorKind::FileTooLarge => {
            let most = Size(MOST_OCTETS);
            fail(None, ConfigProblem::FileTooLarge { most })
        }
        _ => fail(None, ConfigProblem::Unreadable { error }),
    })?;
    let document = document::parse(&text, most_nodes()).map_err(|(at, problem)| fail(Some(at), problem))?;
    let mut findings = Findings::new(path);
    let base = path.parent().unwrap_or(Path::new(""));
    let config = keys::read(&document, base, overrides, &mut findings);
    let warnings = findings.into_result()?;
    let shown = shown::shown(&document);
    Ok(Loaded {
        config,
        warnings,
        shown,
    })
}

/// As many nodes as a quarter of the memory has room for, within bounds.
fn most_nodes() -> usize {
    let Size(octets) = memory::available();
    (octets / 4 / NODE_OCTETS).clamp(MOST_NODES / 40, MOST_NODES) as usize
}

impl Default for Config {
    /// What an empty file gives.
    fn default() -> Self {
        let empty = document::parse("", 0).expect("an empty document parses");
        let nowhere = Path::new("");
        keys::read(&empty, nowhere, &Overrides::default(), &mut Findings::new(nowhere))
    }
}
