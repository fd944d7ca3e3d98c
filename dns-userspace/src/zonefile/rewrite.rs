//! A zone file in which some RRsets change, and all else stays as somebody wrote it: comments, order, blank lines.
//!
//! ```text
//! www    300  A  192.0.2.1   ; the web server      www    300  A  192.0.2.7   ; the web server
//!        300  AAAA  2001:db8::1                 ─►        300  AAAA  2001:db8::1
//!                                                  new    60  IN  A  192.0.2.8
//! ```
//!
//! The new text is read again, and taken only if it says exactly what is wanted. Where that cannot be had line by line,
//! the records are written anew below the comments at the top. What `$INCLUDE` and `$GENERATE` make is not changed: it
//! has no line of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::collection::Traced;
use super::{LoadError, ZoneContent, ZoneFileError, reader};
use crate::model::name::{Name, NameKey};
use crate::model::rdata::{self, Lexer, Token, TokenKind};
use crate::model::record::{Rdata, RecordType, RrSet};

/// What a zone says: for each RRset its TTL and its values, in their order in a set of them.
pub(crate) type Content = BTreeMap<(NameKey, RecordType), (u32, Vec<Rdata>)>;

/// An RRset as it is to be; `None`: it goes.
pub(crate) struct Wanted<'a> {
    pub(crate) owner: &'a Name,
    pub(crate) rtype: RecordType,
    pub(crate) rrset: Option<&'a RrSet>,
}

/// Why a change cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotRewritten {
    /// The RRset is made by `$INCLUDE` or `$GENERATE`.
    Made(Name, RecordType),
    /// The file would not say what is wanted.
    Other(String),
}

/// A zone file that was read, with the places of its records.
pub(crate) struct Editable {
    path: PathBuf,
    apex: Name,
    shown_as: Arc<str>,
    text: Vec<u8>,
    content: ZoneContent,
    places: Vec<Traced>,
    entries: Vec<Entry>,
    has_origin: bool,
    has_made: bool,
}

/// A record or a directive: whole lines.
struct Entry {
    lines: Range<usize>,
    /// From the first word to the last.
    words: Range<usize>,
    blank_start: bool,
    is_directive: bool,
}

/// Another text for a part of the file.
type Replacement = (Range<usize>, String);

/// What a list of RRsets says.
pub(crate) fn content_of<'a>(rrsets: impl IntoIterator<Item = (&'a Name, &'a RrSet)>) -> Content {
    let each = rrsets.into_iter().map(|(owner, rrset)| {
        let mut values: Vec<Rdata> = rrset.rdatas.iter().map(Rdata::from).collect();
        values.sort_unstable();
        ((owner.key(), rrset.rtype), (rrset.ttl, values))
    });
    each.collect()
}

impl Editable {
    /// Reads the zone file at `path`.
    pub(crate) fn read(path: &Path, apex: &Name, shown_as: Arc<str>) -> Result<Self, LoadError> {
        let text = std::fs::read(path).map_err(LoadError::Unreadable)?;
        Self::of(text, path, apex, shown_as)
    }

    fn of(mut text: Vec<u8>, path: &Path, apex: &Name, shown_as: Arc<str>) -> Result<Self, LoadError> {
        if text.starts_with(b"\xEF\xBB\xBF") {
            text.drain(..3);
        }
        let (content, places) = reader::load_traced(text.clone(), path, apex, Arc::clone(&shown_as))?;
        let mut editable = Self {
            path: path.to_owned(),
            apex: apex.clone(),
            shown_as,
            entries: entries(&text),
            text,
            content,
            places,
            has_origin: false,
            has_made: false,
        };
        for entry in editable.entries.iter().filter(|entry| entry.is_directive) {
            let word = editable.text[entry.words.clone()].to_ascii_uppercase();
            editable.has_origin |= word.starts_with(b"$ORIGIN");
            editable.has_made |= word.starts_with(b"$INCLUDE") || word.starts_with(b"$GENERATE");
        }
        Ok(editable)
    }

    /// Its octets.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// What it says.
    pub(crate) fn content(&self) -> Content {
        content_of(self.content.rrsets.iter().map(|(owner, rrset)| (owner, rrset)))
    }

    /// The text in which these RRsets are as they are wanted, and which says `all` then.
    pub(crate) fn with(&self, changes: &[Wanted<'_>], all: &Content) -> Result<Vec<u8>, NotRewritten> {
        let by_line = self.by_line(changes)?;
        let is_it = |text: &[u8]| {
            let read = Self::of(text.to_vec(), &self.path, &self.apex, Arc::clone(&self.shown_as));
            read.map(|read| read.content() == *all)
        };
        if is_it(&by_line).unwrap_or(false) {
            return Ok(by_line);
        }
        if self.has_made {
            return Err(NotRewritten::Other(
                "its lines depend on each other through $INCLUDE or $GENERATE: make the change in the file".to_owned(),
            ));
        }
        let top = self.entries.first().map_or(self.text.len(), |entry| entry.lines.start);
        let mut text = self.text[..top].to_vec();
        text.extend_from_slice(records(&self.apex, all).as_bytes());
        match is_it(&text) {
            Ok(true) => Ok(text),
            Ok(false) => Err(NotRewritten::Other("it would say something else".to_owned())),
            Err(error) => Err(NotRewritten::Other(shown(error))),
        }
    }

    fn by_line(&self, changes: &[Wanted<'_>]) -> Result<Vec<u8>, NotRewritten> {
        let mut replacements: Vec<Replacement> = Vec::new();
        let mut gone = BTreeSet::new();
        for wanted in changes {
            self.change(wanted, &mut replacements, &mut gone)?;
        }
        self.state_owners(&gone, &mut replacements);
        replacements.sort_by_key(|(range, _)| (range.start, range.end));
        let mut text = Vec::with_capacity(self.text.len() + 256);
        let mut at = 0;
        for (range, new) in replacements {
            text.extend_from_slice(&self.text[at..range.start.max(at)]);
            // What is put at the end follows a whole line.
            if !new.is_empty() && range.is_empty() && range.start == self.text.len() && !text.ends_with(b"\n") {
                text.extend_from_slice(if text.is_empty() { b"" } else { b"\n" });
            }
            text.extend_from_slice(new.as_bytes());
            at = range.end.max(at);
        }
        text.extend_from_slice(&self.text[at..]);
        Ok(text)
    }

    /// Where an RR stands; `None` where it has no line of its own.
    fn entry_of(&self, traced: &Traced) -> Option<usize> {
        let at = usize::try_from(traced.place.offset()).ok()?;
        let behind = self.entries.partition_point(|entry| entry.lines.start <= at);
        let entry = behind.checked_sub(1)?;
        (traced.place.source == 0 && !self.entries[entry].is_directive).then_some(entry)
    }

    fn change(
        &self,
        wanted: &Wanted<'_>,
        replacements: &mut Vec<Replacement>,
        gone: &mut BTreeSet<usize>,
    ) -> Result<(), NotRewritten> {
        let values: Vec<&[u8]> = wanted
            .rrset
            .map_or_else(Vec::new, |rrset| rrset.rdatas.iter().collect());
        let ttl = wanted.rrset.map_or(0, |rrset| rrset.ttl);
        let is_here = |traced: &&Traced| traced.rtype == wanted.rtype && traced.owner == *wanted.owner;
        let held: Vec<&Traced> = self.places.iter().filter(is_here).collect();
        if let ([soa], [value]) = (&held[..], &values[..])
            && soa.rtype == RecordType::SOA
            && soa.ttl == ttl
            && let Some(edit) = self.serial(soa, value)
        {
            replacements.push(edit);
            return Ok(());
        }
        let stays = |traced: &Traced| traced.ttl == ttl && values.contains(&&*traced.rdata);
        let kept: Vec<&[u8]> = held
            .iter()
            .filter(|held| stays(held))
            .map(|held| &*held.rdata)
            .collect();
        let missing = values.iter().filter(|value| !kept.contains(value)).copied();
        let in_order: Vec<&[u8]> = kept.iter().copied().chain(missing).collect();
        let is_in_order = in_order == values;
        let mut spare = Vec::new();
        for traced in held.iter().filter(|held| !is_in_order || !stays(held)) {
            let made = || NotRewritten::Made(wanted.owner.clone(), wanted.rtype);
            spare.push((self.entry_of(traced).ok_or_else(made)?, *traced));
        }
        let new = match is_in_order {
            true => in_order[kept.len()..].to_vec(),
            false => values,
        };
        let mut spare = spare.into_iter();
        let mut more = String::new();
        for value in new {
            let value = rdata::format_value(wanted.rtype, value);
            match spare.next() {
                Some((entry, traced)) => replacements.push(self.replaced(entry, traced, ttl, &value)),
                None => more.push_str(&self.line(wanted.owner, ttl, wanted.rtype, &value, "")),
            }
        }
        for (entry, _) in spare {
            replacements.push((self.entries[entry].lines.clone(), String::new()));
            gone.insert(entry);
        }
        if !more.is_empty() {
            let at = self.place_for(wanted);
            replacements.push((at..at, more));
        }
        Ok(())
    }

    /// Where a line is put: behind the RRset, behind the owner's others, or at the end.
    fn place_for(&self, wanted: &Wanted<'_>) -> usize {
        let last = |rtype: Option<RecordType>| {
            let mut places = self.places.iter().rev();
            let is_it =
                |traced: &&Traced| traced.owner == *wanted.owner && rtype.is_none_or(|rtype| traced.rtype == rtype);
            places.find(is_it).and_then(|traced| self.entry_of(traced))
        };
        let entry = last(Some(wanted.rtype)).or_else(|| last(None));
        entry.map_or(self.text.len(), |entry| self.entries[entry].lines.end)
    }

    /// Another serial, where that is all that differs.
    fn serial(&self, soa: &Traced, value: &[u8]) -> Option<Replacement> {
        let serial = rdata::serial(value)?;
        let mut with: Vec<u8> = soa.rdata.to_vec();
        rdata::set_serial(&mut with, serial);
        (with == value).then_some(())?;
        let lines = &self.entries[self.entry_of(soa)?].lines;
        let at = usize::try_from(soa.place.offset()).ok()?;
        let tokens = self.tokens(lines);
        let place = tokens.iter().position(|token| token.start == at)?;
        // Behind the type: the primary, the mailbox, the serial.
        let token = tokens.get(place + 3)?;
        Some((token.start..token.end, serial.to_string()))
    }

    /// The words of an entry, by their places in the file.
    fn tokens(&self, lines: &Range<usize>) -> Vec<Token> {
        let mut tokens = Vec::new();
        // It was read before.
        let _ = Lexer::new(&self.text[lines.clone()]).next_entry(&mut tokens);
        for token in &mut tokens {
            token.start += lines.start;
            token.end += lines.start;
        }
        tokens
    }

    /// An entry with another value, and the TTL that is wanted. Its comment stays.
    fn replaced(&self, entry: usize, traced: &Traced, ttl: u32, value: &str) -> Replacement {
        let Entry { lines, words, .. } = &self.entries[entry];
        let part = |range: Range<usize>| String::from_utf8_lossy(&self.text[range]).into_owned();
        let behind = part(words.end..lines.end);
        let is_one_line = !self.text[words.clone()].contains(&b'\n') && !behind.trim_end().contains('\n');
        let comment = behind.find(';').map_or("", |at| &behind[at..]).trim_end();
        let comment = if is_one_line { comment } else { "" };
        let type_at = usize::try_from(traced.place.offset()).unwrap_or(lines.start);
        let before = part(lines.start..type_at);
        if is_one_line && traced.ttl == ttl && !before.contains('(') {
            let tokens = self.tokens(lines);
            let place = tokens.iter().position(|token| token.start == type_at);
            let data = place.and_then(|place| tokens.get(place + 1));
            let quote = |token: &Token| usize::from(token.kind == TokenKind::Quoted);
            let gap = data.map_or(" ".to_owned(), |token| {
                part(type_at + traced.rtype_length(&self.text)..token.start - quote(token))
            });
            let gap = if gap.trim().is_empty() && !gap.is_empty() {
                gap
            } else {
                " ".to_owned()
            };
            let word = part(type_at..type_at + traced.rtype_length(&self.text));
            let end = self.line_end();
            let comment = match comment {
                "" => String::new(),
                // With the blanks in front of it.
                comment => {
                    let blanks = &behind[..behind.find(';').unwrap_or(0)];
                    let blanks: String = blanks.chars().filter(|letter| *letter != ')').collect();
                    format!("{}{comment}", if blanks.is_empty() { " " } else { &blanks })
                }
            };
            return (lines.clone(), format!("{before}{word}{gap}{value}{comment}{end}"));
        }
        (
            lines.clone(),
            self.line(&traced.owner, ttl, traced.rtype, value, comment),
        )
    }

    /// Entries that have their owner from one that is gone get it themselves.
    fn state_owners(&self, gone: &BTreeSet<usize>, replacements: &mut Vec<Replacement>) {
        if gone.is_empty() {
            return;
        }
        let owners: BTreeMap<usize, &Name> = self
            .places
            .iter()
            .filter_map(|traced| Some((self.entry_of(traced)?, &traced.owner)))
            .collect();
        let mut stated = None;
        for (number, entry) in self.entries.iter().enumerate() {
            let Some(owner) = owners.get(&number).filter(|_| !gone.contains(&number)) else {
                continue;
            };
            let is_stated = stated.replace(*owner) == Some(*owner);
            if !entry.blank_start || is_stated {
                continue;
            }
            let at = entry.lines.start;
            let owner = self.relative(owner);
            let mut others = replacements.iter_mut();
            match others.find(|(range, _)| range.start == at && !range.is_empty()) {
                Some((_, new)) if new.starts_with([' ', '\t']) => new.insert_str(0, &owner),
                Some(_) => {}
                None => replacements.push((at..at, owner)),
            }
        }
    }

    fn line(&self, owner: &Name, ttl: u32, rtype: RecordType, value: &str, comment: &str) -> String {
        let comment = if comment.is_empty() {
            String::new()
        } else {
            format!(" {comment}")
        };
        let owner = self.relative(owner);
        format!("{owner}\t{ttl}\tIN\t{rtype}\t{value}{comment}{}", self.line_end())
    }

    fn line_end(&self) -> &'static str {
        let first = self.text.iter().position(|octet| *octet == b'\n');
        match first.and_then(|at| at.checked_sub(1)).map(|at| self.text[at]) {
            Some(b'\r') => "\r\n",
            _ => "\n",
        }
    }

    /// An owner as lines of this file write it: absolute where the origin changes on the way.
    fn relative(&self, owner: &Name) -> String {
        match self.has_origin {
            true => owner.to_string(),
            false => relative(owner, &self.apex),
        }
    }
}

impl Traced {
    /// How long the word of its type is in the file.
    fn rtype_length(&self, text: &[u8]) -> usize {
        let at = usize::try_from(self.place.offset()).unwrap_or(text.len());
        let rest = text.get(at..).unwrap_or_default();
        let is_end = |octet: &u8| octet.is_ascii_whitespace() || b"();".contains(octet);
        rest.iter().position(is_end).unwrap_or(rest.len())
    }
}

/// A new zone file.
pub(crate) fn render(apex: &Name, all: &Content) -> String {
    format!("; The zone {apex}\n{}", records(apex, all))
}

/// The SOA record first, then in canonical order.
fn records(apex: &Name, all: &Content) -> String {
    let key = apex.key();
    let is_soa = |(owner, rtype): &(NameKey, RecordType)| *rtype == RecordType::SOA && *owner == key;
    let mut rrsets: Vec<_> = all.iter().collect();
    rrsets.sort_by_key(|(place, _)| !is_soa(place));
    let mut text = String::new();
    for ((owner, rtype), (ttl, values)) in rrsets {
        let owner = relative(&owner.to_name(), apex);
        for value in values {
            let value = rdata::format_value(*rtype, value);
            text.push_str(&format!("{owner}\t{ttl}\tIN\t{rtype}\t{value}\n"));
        }
    }
    text
}

fn relative(owner: &Name, apex: &Name) -> String {
    if owner == apex {
        return "@".to_owned();
    }
    let text = owner.to_string();
    let end = format!(".{apex}");
    match text.strip_suffix(&end) {
        Some(labels) if !apex.is_root() => labels.to_owned(),
        _ => text,
    }
}

fn entries(text: &[u8]) -> Vec<Entry> {
    let mut lexer = Lexer::new(text);
    let mut tokens: Vec<Token> = Vec::new();
    let mut entries = Vec::new();
    // It was read without an error before.
    while let Ok(Some(entry)) = lexer.next_entry(&mut tokens) {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            continue;
        };
        let start = text[..first.start]
            .iter()
            .rposition(|octet| *octet == b'\n')
            .map_or(0, |at| at + 1);
        let quote = usize::from(last.kind == TokenKind::Quoted);
        entries.push(Entry {
            lines: start..lexer.offset(),
            words: first.start..last.end + quote,
            blank_start: entry.blank_start,
            is_directive: !entry.blank_start && first.kind == TokenKind::Plain && text[first.start] == b'$',
        });
    }
    entries
}

fn shown(error: LoadError) -> String {
    match error {
        LoadError::Unreadable(error) => error.to_string(),
        LoadError::Errors(errors) => errors.first().map_or_else(String::new, ZoneFileError::to_string),
    }
}

#[cfg(test)]
mod tests;
