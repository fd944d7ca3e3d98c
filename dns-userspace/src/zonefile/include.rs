//! Which files `$INCLUDE` may read: those in the folder of the zone file or below it, each once on the way down.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::problem::Problem;
use super::source::SourceFile;

/// Files that include each other, counted from the zone file.
const MAX_DEPTH: usize = 16;

/// Files that are read for one zone, one that is included twice counted twice.
const MAX_FILES: usize = 10_000;

/// The files that are being read, each included by the one before.
pub(super) struct Nesting {
    /// The zone file's folder, symbolic links resolved.
    folder: PathBuf,
    /// Resolved paths.
    open: Vec<PathBuf>,
    /// How many were entered.
    entered: usize,
}

impl Nesting {
    /// Begins with the zone file itself.
    pub(super) fn new(zone_file: &Path) -> std::io::Result<Self> {
        let folder = match zone_file.parent() {
            Some(parent) if parent != Path::new("") => parent.canonicalize()?,
            _ => Path::new(".").canonicalize()?,
        };
        Ok(Self {
            folder,
            open: vec![zone_file.canonicalize()?],
            entered: 0,
        })
    }

    /// Reads the file that `from` names `path`, relative to its own folder. [`Nesting::leave`] ends what this begins.
    pub(super) fn enter(&mut self, from: &Path, path: &[u8]) -> Result<SourceFile, Problem> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Problem::IncludeDepth { limit: MAX_DEPTH });
        }
        self.entered += 1;
        if self.entered >= MAX_FILES {
            return Err(Problem::IncludeCount { limit: MAX_FILES });
        }
        let shown_as = from.parent().unwrap_or(Path::new("")).join(OsStr::from_bytes(path));
        let resolved = shown_as.canonicalize().map_err(Problem::IncludeIo)?;
        if !resolved.starts_with(&self.folder) {
            return Err(Problem::IncludeOutside);
        }
        if self.open.contains(&resolved) {
            return Err(Problem::IncludeLoop);
        }
        let source = SourceFile::read(&shown_as, &resolved).map_err(Problem::IncludeIo)?;
        self.open.push(resolved);
        Ok(source)
    }

    pub(super) fn leave(&mut self) {
        self.open.pop();
    }
}
