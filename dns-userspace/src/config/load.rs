//! A configuration file from the disk to a [`Config`], or to everything that is wrong with it.

use std::io;
use std::path::Path;

use super::document;
use super::environment::{self, CatalystEnvironment};
use super::keys;
use super::problem::{ConfigError, ConfigProblem, Findings};
use super::{Config, ConfiguredSource, Loaded, Overrides, SourceSettings, TargetsConfig, shown};
use crate::host::files;
use crate::host::memory::{self, Size};

/// The most octets of a configuration file, `records` and all.
const MOST_OCTETS: u64 = 64 << 20;
/// The most keys and values of one; fewer where there is little memory.
const MOST_NODES: u64 = 4_000_000;
/// What a key or a value takes at most while the file is read, in octets.
const NODE_OCTETS: u64 = 256;

/// Reads a configuration file.
///
/// Where no file is named, the environment is the configuration. Where the file has no Kubernetes source and the
/// environment says one, that is added, with its targets.
pub(super) fn load(path: &Path, overrides: &Overrides) -> Result<Loaded, Vec<ConfigError>> {
    let environment = CatalystEnvironment::of(overrides);
    let place = Path::new(environment::PLACE);
    if path.as_os_str().is_empty() {
        if !environment.has_source() {
            return Err(vec![ConfigError {
                file: place.into(),
                at: None,
                problem: ConfigProblem::NoConfiguration,
            }]);
        }
        return read(&environment.to_yaml()?, place, overrides);
    }
    let mut loaded = load_file(path, overrides)?;
    let is_kubernetes = |source: &ConfiguredSource| matches!(source.settings, SourceSettings::Kubernetes(_));
    if environment.has_source() && !loaded.config.sources.iter().any(is_kubernetes) {
        let given = read(&environment.to_yaml()?, place, overrides)?.config;
        loaded.config.sources.extend(given.sources);
        if loaded.config.targets == TargetsConfig::default() {
            loaded.config.targets = given.targets;
        }
        if loaded.config.kubernetes == Config::default().kubernetes {
            loaded.config.kubernetes = given.kubernetes;
        }
    }
    Ok(loaded)
}

fn load_file(path: &Path, overrides: &Overrides) -> Result<Loaded, Vec<ConfigError>> {
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
    read(&text, path, overrides)
}

fn read(text: &str, path: &Path, overrides: &Overrides) -> Result<Loaded, Vec<ConfigError>> {
    let document = document::parse(text, most_nodes()).map_err(|(at, problem)| {
        vec![ConfigError {
            file: path.into(),
            at: Some(at),
            problem,
        }]
    })?;
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

impl Loaded {
    /// A configuration from text that is no file, such as a value of a ConfigMap; `path` is what errors call it.
    pub fn from_text(text: &str, path: &Path) -> Result<Self, Vec<ConfigError>> {
        read(text, path, &Overrides::default())
    }
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
