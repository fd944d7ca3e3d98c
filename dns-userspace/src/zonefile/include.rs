//! Which files `$INCLUDE` may read: those in the folder of the zone file or below it, each once on the way down.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::budget::Meter;
use super::problem::ZoneFileProblem;
use super::source::{SourceFile, Unread};
use crate::host::memory::Size;

/// Files that include each other, counted from the zone file.
const MAX_DEPTH: usize = 16;

/// Files that are read for one zone, one that is included twice counted twice.
const MAX_FILES: usize = 10_000;

/// Octets that files have in all each time they are included again.
const MOST_REPEATED: u64 = 64 << 20;

/// The files that are being read, each included by the one before.
pub(super) struct Nesting {
    /// The zone file's folder, symbolic links resolved; `None` for a text that is in no folder.
    folder: Option<PathBuf>,
    /// Resolved paths.
    open: Vec<PathBuf>,
    /// How many were entered.
    entered: usize,
    /// All that were read.
    read: HashMap<PathBuf, Rc<SourceFile>>,
    /// Octets of those that were entered again.
    repeated: u64,
}

impl Nesting {
    /// Begins with the zone file itself.
    pub(super) fn new(zone_file: &Path) -> std::io::Result<Self> {
        let folder = match zone_file.parent() {
            Some(parent) if parent != Path::new("") => parent.canonicalize()?,
            _ => Path::new(".").canonicalize()?,
        };
        Ok(Self {
            folder: Some(folder),
            open: vec![zone_file.canonicalize()?],
            entered: 0,
            read: HashMap::new(),
            repeated: 0,
        })
    }

    /// Of a text that is no file. What it includes is in `folder`; without one it includes nothing.
    pub(super) fn of_text(folder: Option<&Path>) -> std::io::Result<Self> {
        Ok(Self {
            folder: folder.map(Path::canonicalize).transpose()?,
            open: Vec::new(),
            entered: 0,
            read: HashMap::new(),
            repeated: 0,
        })
    }

    /// Reads the file that `from` names `path`, relative to its own folder; one that was read before is not read again.
    /// Whether it is a new one, too. [`Nesting::leave`] ends what this begins.
    pub(super) fn enter(
        &mut self,
        from: &Path,
        path: &[u8],
        meter: &mut Meter<'_>,
    ) -> Result<(Rc<SourceFile>, bool), ZoneFileProblem> {
        let Some(folder) = &self.folder else {
            return Err(ZoneFileProblem::IncludeInText);
        };
        if self.open.len() >= MAX_DEPTH {
            return Err(ZoneFileProblem::IncludeDepth { limit: MAX_DEPTH });
        }
        self.entered += 1;
        if self.entered >= MAX_FILES {
            return Err(ZoneFileProblem::IncludeCount { limit: MAX_FILES });
        }
        let shown_as = from.parent().unwrap_or(Path::new("")).join(OsStr::from_bytes(path));
        let resolved = shown_as.canonicalize().map_err(ZoneFileProblem::IncludeIo)?;
        if !resolved.starts_with(folder) {
            return Err(ZoneFileProblem::IncludeOutside);
        }
        if self.open.contains(&resolved) {
            return Err(ZoneFileProblem::IncludeLoop);
        }
        let before = self.read.get(&resolved);
        let is_new = before.is_none();
        let source = match before {
            Some(source) => {
                self.repeated += source.octets.len() as u64;
                if self.repeated > MOST_REPEATED {
                    let limit = Size(MOST_REPEATED);
                    return Err(ZoneFileProblem::IncludeRepeated { limit });
                }
                Rc::clone(source)
            }
            None => {
                let source = SourceFile::read(&shown_as, &resolved, meter).map_err(|unread| match unread {
                    Unread::Io(error) => ZoneFileProblem::IncludeIo(error),
                    Unread::TooLarge(problem) => problem,
                })?;
                let source = Rc::new(source);
                self.read.insert(resolved.clone(), Rc::clone(&source));
                source
            }
        };
        self.open.push(resolved);
        Ok((source, is_new))
    }

    pub(super) fn leave(&mut self) {
        self.open.pop();
    }
}
