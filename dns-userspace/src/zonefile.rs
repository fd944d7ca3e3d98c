//! Zone files: RFC 1035 master files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::name::Name;
use crate::rdata;
use crate::record::{RecordType, RrSet, Source};

/// What a zone file holds.
#[derive(Debug)]
pub struct ZoneContent {
    /// RRsets.
    pub rrsets: Vec<(Name, RrSet)>,
    /// Oddities.
    pub warnings: Vec<String>,
}

/// One problem.
#[derive(Debug, Clone)]
pub struct ZoneFileError {
    /// File.
    pub file: PathBuf,
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
    /// Text.
    pub text: String,
    /// Message.
    pub message: String,
}

impl fmt::Display for ZoneFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}: `{}`",
            self.file.display(),
            self.line,
            self.column,
            self.message,
            self.text
        )
    }
}

/// Reads lines of "owner ttl type value".
pub fn load(path: &Path, _apex: &Name, shown_as: Arc<str>) -> Result<ZoneContent, Vec<ZoneFileError>> {
    let error = |line: usize, text: &str, message: String| {
        vec![ZoneFileError {
            file: path.into(),
            line: line as u32,
            column: 1,
            text: text.to_owned(),
            message,
        }]
    };
    let text = std::fs::read_to_string(path).map_err(|e| error(0, "", e.to_string()))?;
    let mut rrsets = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let parse = || -> Option<(Name, RrSet)> {
            let mut words = line.splitn(5, ' ');
            let owner = Name::parse(words.next()?).ok()?;
            let ttl = words.next()?.parse().ok()?;
            words.next()?;
            let rtype: RecordType = words.next()?.parse().ok()?;
            let rdatas = vec![rdata::parse_value(rtype, words.next()?).ok()?];
            Some((
                owner,
                RrSet {
                    rtype,
                    ttl,
                    rdatas,
                    source: Source::ZoneFile(Arc::clone(&shown_as)),
                },
            ))
        };
        rrsets.push(parse().ok_or_else(|| error(number + 1, line, "not a record".to_owned()))?);
    }
    Ok(ZoneContent {
        rrsets,
        warnings: Vec::new(),
    })
}
