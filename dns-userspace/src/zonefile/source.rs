//! The octets of a file, and places in it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::ZoneFileError;
use super::budget::Meter;
use super::problem::ZoneFileProblem;
use crate::host::files;
use crate::host::stamp::FileStamp;
use crate::model::rdata::Token;
use crate::model::shown::{MOST_OF_TEXT, shorten};

/// Why a file has not been read.
pub(super) enum Unread {
    Io(io::Error),
    TooLarge(ZoneFileProblem),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A file that has been read.
pub(super) struct SourceFile {
    /// As messages show it.
    pub(super) path: PathBuf,
    /// Its content, without a byte order mark.
    pub(super) octets: Vec<u8>,
    /// What the file was; `None` for text of no file.
    pub(super) stamp: Option<FileStamp>,
}

/// A part of one of the files, for messages.
#[derive(Clone, Copy)]
pub(super) struct TextPlace {
    /// Number of the file.
    pub(super) source: u32,
    length: u32,
    offset: u64,
}

impl TextPlace {
    pub(super) fn new(source: u32, start: usize, end: usize) -> Self {
        let length = u32::try_from(end - start).unwrap_or(u32::MAX);
        Self {
            source,
            length,
            offset: start as u64,
        }
    }

    /// Where it begins in its file.
    pub(super) fn offset(self) -> u64 {
        self.offset
    }

    pub(super) fn of(source: u32, token: &Token) -> Self {
        Self::new(source, token.start, token.end)
    }
}

impl SourceFile {
    /// Reads a file whose size the zone has room for.
    pub(super) fn read(shown_as: &Path, path: &Path, meter: &mut Meter<'_>) -> Result<Self, Unread> {
        let mut file = files::open(path)?;
        let metadata = file.metadata()?;
        let announced = metadata.len();
        meter.take_file(announced).map_err(Unread::TooLarge)?;
        let mut octets = Vec::with_capacity(announced as usize);
        file.read_to_end(&mut octets)?;
        let grown = (octets.len() as u64).saturating_sub(announced);
        meter.take_file(grown).map_err(Unread::TooLarge)?;
        let stamp = FileStamp::of(&metadata, &octets);
        if octets.starts_with(b"\xEF\xBB\xBF") {
            octets.drain(..3);
        }
        Ok(Self {
            path: shown_as.to_owned(),
            octets,
            stamp: Some(stamp),
        })
    }

    /// A text that is no file.
    pub(super) fn of_text(shown_as: &Path, text: &[u8]) -> Self {
        Self {
            path: shown_as.to_owned(),
            octets: text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text).to_vec(),
            stamp: None,
        }
    }

    /// How many lines in it begin with an owner, as far as can be told from their first octet.
    pub(super) fn count_owners(&self) -> usize {
        let mut lines = self.octets.split(|&octet| octet == b'\n');
        let is_owner = |first: &u8| !matches!(first, b' ' | b'\t' | b'\r' | b';' | b'$' | b')');
        let mut count = 0;
        lines
            .by_ref()
            .for_each(|line| count += usize::from(line.first().is_some_and(is_owner)));
        // A record has no fewer octets: owner, type and data.
        count.min(self.octets.len() / 8)
    }

    /// Line and column, both from 1, the column in characters.
    pub(super) fn line_and_column(&self, place: TextPlace) -> (u32, u32) {
        let before = &self.octets[..self.octets.len().min(place.offset as usize)];
        let newlines = before.iter().filter(|&&octet| octet == b'\n').count();
        let line_start = before.iter().rposition(|&octet| octet == b'\n').map_or(0, |at| at + 1);
        // Octets that go on with a UTF-8 character begin with the bits 10.
        let characters = before[line_start..]
            .iter()
            .filter(|&&octet| octet & 0xC0 != 0x80)
            .count();
        (newlines as u32 + 1, characters as u32 + 1)
    }

    pub(super) fn text(&self, place: TextPlace) -> String {
        let start = self.octets.len().min(place.offset as usize);
        let end = self.octets.len().min(start + place.length as usize);
        shorten(&self.octets[start..end], MOST_OF_TEXT)
    }

    pub(super) fn error(&self, place: TextPlace, message: String) -> ZoneFileError {
        let (line, column) = self.line_and_column(place);
        ZoneFileError {
            file: self.path.clone(),
            line,
            column,
            text: self.text(place),
            message: shorten(message.as_bytes(), MAX_OF_MESSAGE),
        }
    }
}

/// Characters of a message. Names in it may have a thousand, as they are shown.
const MAX_OF_MESSAGE: usize = 1500;
