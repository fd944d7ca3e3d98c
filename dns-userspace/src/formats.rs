//! Records in the formats of other programs, between text and RRsets in words. Nothing here reads a file but the zone
//! file's `$INCLUDE`, and nothing is sent: whoever calls does both.
//!
//! ```text
//! hosts, dnsmasq.conf, Corefile, named.conf ─┐                  ┌─► zone file, hosts, CSV, DNSRecordBackup
//! zone file, CSV, DNSRecordBackup, JSON, YAML ┴─► Imported ─────┴─► JSON, YAML, configuration
//!                                        records, zones, settings,
//!                                        and what has no counterpart
//! ```
//!
//! What is imported is valid: names and values have been parsed, and values are canonical. A text that is exported and
//! imported again gives the same records.

mod backup;
mod config;
mod corefile;
mod documents;
mod dnsmasq;
mod hosts;
mod named_conf;
mod records;
mod sheet;
mod template;
mod zone_text;

use std::fmt;
use std::path::Path;

pub use records::{Record, Records};

use crate::model::name::Name;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A master file (RFC 1035 §5).
    Zone,
    /// hosts(5).
    Hosts,
    /// dnsmasq's configuration.
    Dnsmasq,
    /// CoreDNS' configuration.
    Corefile,
    /// BIND's configuration: its list of zones.
    NamedConf,
    /// `name,type,ttl,value`, one value a row.
    Csv,
    /// A `DNSRecordBackup` document in YAML.
    Backup,
    /// The API's JSON.
    Json,
    /// The same, or a configuration's `records`, in YAML.
    Yaml,
}

/// Everything that a text says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// RRsets, in the order in which they first appear.
    pub records: Vec<Record>,
    /// Zones that are named, whose content is elsewhere.
    pub zones: Vec<ImportedZone>,
    /// Resolvers that all other names are forwarded to, as the configuration writes them.
    pub upstreams: Vec<String>,
    /// Addresses that DNS is served on.
    pub listen: Vec<String>,
    /// The port that DNS is served on.
    pub port: Option<u16>,
    /// What has no counterpart here, with its place.
    pub left_out: Vec<LeftOut>,
}

/// A zone whose content is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedZone {
    /// Its apex, absolute.
    pub name: String,
    /// Its master file, as it is written.
    pub file: String,
}

/// A part of a text that was not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// From 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
    /// Why, and what to do instead.
    pub reason: String,
}

/// An error in a text, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FormatError {
    /// From 1; 0 where the error is of no line.
    pub line: usize,
    /// What is wrong and what to do; already with its place where a zone file has it.
    pub message: String,
}

/// What a text is read with.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The text.
    pub text: &'a str,
    /// How messages name it: the file's path, where it is one.
    pub shown_as: &'a Path,
    /// The zone that it is of; a zone file needs one.
    pub zone: Option<&'a Name>,
}

impl Format {
    /// Every format with the word for it.
    pub const WORDS: [(&'static str, Self); 9] = [
        ("zone", Self::Zone),
        ("hosts", Self::Hosts),
        ("dnsmasq", Self::Dnsmasq),
        ("corefile", Self::Corefile),
        ("named", Self::NamedConf),
        ("csv", Self::Csv),
        ("backup", Self::Backup),
        ("json", Self::Json),
        ("yaml", Self::Yaml),
    ];

    /// The format that a file's name speaks of.
    pub fn of_file(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let extension = path
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        match name.as_str() {
            "hosts" => return Some(Self::Hosts),
            "corefile" => return Some(Self::Corefile),
            _ if name.starts_with("named.conf") => return Some(Self::NamedConf),
            _ if name.starts_with("dnsmasq") => return Some(Self::Dnsmasq),
            _ if name.starts_with("db.") => return Some(Self::Zone),
            _ => {}
        }
        match extension.to_ascii_lowercase().as_str() {
            "zone" => Some(Self::Zone),
            "hosts" => Some(Self::Hosts),
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }

    /// Reads a text.
    ///
    /// # Errors
    /// Every error that was found, with its line.
    pub fn read(self, source: Source<'_>) -> Result<Imported, Vec<FormatError>> {
        let text = source.text.strip_prefix('\u{feff}').unwrap_or(source.text);
        let one = |error: FormatError| vec![error];
        match self {
            Self::Zone => zone_text::read(text, source),
            Self::Hosts => Ok(hosts::read(text)),
            Self::Dnsmasq => Ok(dnsmasq::read(text)),
            Self::Corefile => corefile::read(text).map_err(one),
            Self::NamedConf => named_conf::read(text).map_err(one),
            Self::Csv => sheet::read(text),
            Self::Backup => backup::read(text),
            Self::Json | Self::Yaml => documents::read(text),
        }
    }

    /// Writes records; also what of them the format has no words for.
    ///
    /// # Errors
    /// The format is one that is only read.
    pub fn write(self, records: &[Record], zone: Option<&Name>) -> Result<(String, Vec<LeftOut>), FormatError> {
        match self {
            Self::Zone => Ok(zone_text::write(records)),
            Self::Hosts => Ok(hosts::write(records)),
            Self::Csv => sheet::write(records).map(|text| (text, Vec::new())),
            Self::Backup => backup::write(records, zone),
            Self::Json => documents::write_json(records).map(|text| (text, Vec::new())),
            Self::Yaml => documents::write_yaml(records).map(|text| (text, Vec::new())),
            Self::Dnsmasq | Self::Corefile | Self::NamedConf => Err(FormatError::whole(
                "this format is only read; export as zone, hosts, csv, backup, json or yaml",
            )),
        }
    }
}

impl Imported {
    /// These records, where nothing is wrong with any.
    fn of(records: Records, errors: Vec<FormatError>) -> Result<Self, Vec<FormatError>> {
        match errors.is_empty() {
            true => Ok(Self {
                records: records.into_vec(),
                ..Self::default()
            }),
            false => Err(errors),
        }
    }

    /// Notes something that is not taken over.
    fn leave_out(&mut self, line: usize, text: &str, reason: impl Into<String>) {
        self.left_out.push(LeftOut {
            line,
            text: text.trim().to_owned(),
            reason: reason.into(),
        });
    }

    /// The same as a configuration that `hotdns run` takes.
    ///
    /// # Errors
    /// It cannot be written as YAML.
    pub fn to_config(&self) -> Result<String, FormatError> {
        config::write(self)
    }
}

impl FormatError {
    fn at(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }

    fn whole(message: impl Into<String>) -> Self {
        Self::at(0, message)
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "{line}: {}", self.message),
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "`{}`: {}", self.text, self.reason),
            line => write!(f, "{line}: `{}`: {}", self.text, self.reason),
        }
    }
}
