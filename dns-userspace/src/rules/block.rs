//! Names that get nothing useful.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::list::{BlockList, ListError};
use super::remote::RemoteList;
use super::template::message;
use super::{Asked, Verdict};
use crate::message::Record;
use crate::model::record::RecordType;

const CLASS_IN: u16 = 1;
const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;
/// The TTL of a sinkhole's addresses: short, so that a name that is blocked no more is soon there again.
const TTL: u32 = 60;

/// A rule that blocks names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Files with lists.
    pub files: Vec<PathBuf>,
    /// Lists at URLs.
    pub urls: Vec<RemoteList>,
    /// Names of the configuration itself, in the notation of the files.
    pub names: Vec<Arc<str>>,
    /// What blocked names get.
    pub answer: BlockAnswer,
}

/// What blocked names get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockAnswer {
    /// NXDOMAIN.
    Nxdomain,
    /// No data.
    Nodata,
    /// REFUSED.
    Refused,
    /// These addresses; other types get no data.
    Sinkhole(Vec<IpAddr>),
    /// No reply.
    Drop,
}

impl Block {
    /// The names. Where a file cannot be read, all of what the rule had before stays beside what could be.
    pub(super) fn load(&self, rule: &Arc<str>, before: Option<&BlockList>) -> (BlockList, Vec<ListError>) {
        let mut list = BlockList::default();
        let mut errors = Vec::new();
        for name in &self.names {
            list.add_line(name);
        }
        let files = self.files.iter();
        let files = files.map(|file| (file.display().to_string(), list.read(file)));
        let mut read: Vec<_> = files.collect();
        for remote in &self.urls {
            // What was not fetched yet has no names; the log says so where that fails.
            let lines = remote.copy().map(|text| text.map_or(0, |text| list.read_lines(&text)));
            read.push((remote.url.to_string(), lines));
        }
        for (name, lines) in read {
            match lines {
                Ok(0) => {}
                Ok(lines) => tracing::info!(
                    rule = &**rule,
                    list = name,
                    lines,
                    "a block list has lines that are no names: they are left out"
                ),
                Err(error) => errors.push(ListError {
                    rule: Arc::clone(rule),
                    list: name,
                    error: error.to_string(),
                }),
            }
        }
        if let Some(before) = before.filter(|_| !errors.is_empty()) {
            list.add_all(before);
        }
        (list, errors)
    }

    pub(super) fn verdict(&self, asked: &Asked<'_>) -> Verdict {
        let addresses = match &self.answer {
            BlockAnswer::Drop => return Verdict::Drop,
            BlockAnswer::Nxdomain => return Verdict::Blocked(message(NXDOMAIN, Vec::new())),
            BlockAnswer::Refused => return Verdict::Blocked(message(REFUSED, Vec::new())),
            BlockAnswer::Nodata => return Verdict::Blocked(message(0, Vec::new())),
            BlockAnswer::Sinkhole(addresses) => addresses,
        };
        let octets = addresses.iter().filter_map(|address| match (address, asked.qtype) {
            (IpAddr::V4(v4), RecordType::A) => Some(v4.octets().to_vec()),
            (IpAddr::V6(v6), RecordType::AAAA) => Some(v6.octets().to_vec()),
            _ => None,
        });
        let records = octets.map(|rdata| Record {
            owner: asked.wire.to_vec(),
            rtype: asked.qtype.0,
            class: CLASS_IN,
            ttl: TTL,
            rdata,
        });
        Verdict::Blocked(message(0, records.collect()))
    }
}
