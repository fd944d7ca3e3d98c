//! Zone files: RFC 1035 §5 master files as Knot, NSD and BIND read them.
//!
//! ```text
//! file ─► Lexer ─► entries ─► Reader ── RRs ──► Collection ─► checks ─► ZoneContent
//!                             $ORIGIN $TTL       by owner
//!                             $INCLUDE $GENERATE  and type
//! ```
//!
//! An error does not end the reading: up to [`MAX_ERRORS`] are reported, each with file, line, column, the offending
//! text and what to do. Class IN only. A file that is included lies in the folder of the zone file or below it.
//!
//! RFC 1035 §5, RFC 2308 §4 (`$TTL`), RFC 3597 §5, RFC 2181 §5 and §8 (RRsets and TTLs); `$GENERATE` as in BIND.

mod budget;
mod collection;
mod generate;
mod include;
mod problem;
mod reader;
mod rewrite;
mod source;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use budget::Budget;
pub(crate) use rewrite::{Content, Editable, NotRewritten, Wanted, content_of, render};

use crate::host::stamp::FileStamp;
use crate::model::name::Name;
use crate::model::record::RrSet;

/// Errors of one zone after which the reading ends.
pub const MAX_ERRORS: usize = 20;

/// What a zone file holds.
#[derive(Debug)]
pub struct ZoneContent {
    /// Each RRset with its owner, in the order in which they first appear.
    pub rrsets: Vec<(Name, RrSet)>,
    /// What loads and is doubtful, each with its file, line and column.
    pub warnings: Vec<String>,
    /// The files that it was read from, included ones too.
    pub(crate) files: Vec<StampedFile>,
    /// What it takes of the memory for zones, in octets: an estimate.
    pub(crate) octets: u64,
}

/// A file, and what the file system said of it when it was read.
pub(crate) type StampedFile = (PathBuf, FileStamp);

/// An error in a zone file and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneFileError {
    /// The zone file, or the included one with the error.
    pub file: PathBuf,
    /// From 1; 0 where the error is of no line, as when the file cannot be read.
    pub line: u32,
    /// In characters from 1; 0 like `line`.
    pub column: u32,
    /// The offending text; may be empty.
    pub text: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for ZoneFileError {
    /// ``FILE:LINE:COLUMN: MESSAGE: `TEXT` ``
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line != 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        write!(f, " {}", self.message)?;
        if self.text.is_empty() {
            Ok(())
        } else {
            write!(f, ": `{}`", self.text)
        }
    }
}

impl std::error::Error for ZoneFileError {}

/// Why a zone is not loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The zone file itself cannot be read: whoever names it has to say where.
    Unreadable(io::Error),
    /// Errors in its files: one at least, and at most [`MAX_ERRORS`].
    Errors(Vec<ZoneFileError>),
}

/// Reads the zone `apex` from `path`. `shown_as` becomes the source of its RRsets. On failure there is at least one
/// error, and at most [`MAX_ERRORS`].
pub fn load(path: &Path, apex: &Name, shown_as: Arc<str>) -> Result<ZoneContent, Vec<ZoneFileError>> {
    load_within(path, apex, shown_as, &mut Budget::unlimited()).map_err(|error| match error {
        LoadError::Errors(errors) => errors,
        LoadError::Unreadable(error) => vec![ZoneFileError {
            file: path.to_owned(),
            line: 0,
            column: 0,
            text: String::new(),
            message: format!("the zone file cannot be read: {error}"),
        }],
    })
}

/// Reads the zone `apex` from a text, such as the body of a request. `$INCLUDE` is an error in it.
pub fn read_text(text: &[u8], apex: &Name, shown_as: Arc<str>) -> Result<ZoneContent, Vec<ZoneFileError>> {
    let read = reader::load_text(text, apex, shown_as, &mut Budget::unlimited());
    read.map_err(|error| match error {
        LoadError::Errors(errors) => errors,
        LoadError::Unreadable(_) => Vec::new(),
    })
}

/// The same with the memory that `budget` has left. A zone that is loaded takes its share of it.
pub fn load_within(
    path: &Path,
    apex: &Name,
    shown_as: Arc<str>,
    budget: &mut Budget,
) -> Result<ZoneContent, LoadError> {
    reader::load(path, apex, shown_as, budget)
}
