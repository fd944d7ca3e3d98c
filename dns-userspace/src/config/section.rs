//! Typed reading of a mapping: each accessor takes one key, reports what is wrong with it, and reading goes on.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use humantime_serde::re::humantime;
use ipnet::IpNet;

use super::address::parse_prefix;
use super::choice::ClosedList;
use super::document::{FilePosition, YamlKind, YamlNode};
use super::problem::{ConfigProblem, Findings};
use crate::host::memory::Size;
use crate::model::name::Name;

/// A mapping whose keys are checked: no unknown ones, none twice.
pub(super) struct CheckedMapping<'a> {
    /// Where the mapping begins.
    pub(super) at: FilePosition,
    /// In front of the keys in messages: `backend.upstream.`, or nothing.
    prefix: String,
    /// In messages: "`backend.upstream`", "a record".
    title: String,
    entries: Vec<(&'static str, &'a YamlNode)>,
}

/// Text and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) at: FilePosition,
    pub(super) text: &'a str,
}

impl<'a> CheckedMapping<'a> {
    /// The whole document.
    pub(super) fn root(node: &'a YamlNode, known: &'static [&'static str], findings: &mut Findings) -> Self {
        Self::open(node, String::new(), "the configuration".to_owned(), known, findings)
    }

    /// One entry of a list of mappings, `title` being "a record" or the like.
    pub(super) fn item(
        node: &'a YamlNode,
        title: &str,
        known: &'static [&'static str],
        findings: &mut Findings,
    ) -> Self {
        Self::open(node, String::new(), title.to_owned(), known, findings)
    }

    /// The mapping under `key`; empty where there is none.
    pub(super) fn section(&self, key: &'static str, known: &'static [&'static str], findings: &mut Findings) -> Self {
        let path = self.path(key);
        match self.get(key).filter(|node| !node.is_null()) {
            Some(node) => Self::open(node, format!("{path}."), format!("`{path}`"), known, findings),
            None => Self {
                at: self.at,
                prefix: format!("{path}."),
                title: format!("`{path}`"),
                entries: Vec::new(),
            },
        }
    }

    fn open(
        node: &'a YamlNode,
        prefix: String,
        title: String,
        known: &'static [&'static str],
        findings: &mut Findings,
    ) -> Self {
        let mut section = Self {
            at: node.at,
            prefix,
            title,
            entries: Vec::new(),
        };
        let YamlKind::Mapping(entries) = &node.kind else {
            let key = section.title.trim_matches('`').to_owned();
            let problem = ConfigProblem::WrongType {
                key,
                found: node.describe(),
                expected: "a mapping",
                example: "key: value",
            };
            findings.error(node.at, problem);
            return section;
        };
        let mut seen: HashMap<&str, FilePosition> = HashMap::with_capacity(entries.len());
        for (key, value) in entries {
            let YamlKind::Scalar { text, .. } = &key.kind else {
                findings.error(
                    key.at,
                    ConfigProblem::KeyNotText {
                        found: key.describe(),
                        known,
                    },
                );
                continue;
            };
            if let Some(first) = seen.get(&**text).copied() {
                let key_given = section.path(text);
                findings.error(key.at, ConfigProblem::DuplicateKey { key: key_given, first });
                continue;
            }
            seen.insert(text, key.at);
            match known.iter().find(|known| *known == text) {
                Some(known) => section.entries.push((known, value)),
                None => {
                    let problem = ConfigProblem::UnknownKey {
                        key: text.clone(),
                        section: section.title.clone(),
                        nearest: nearest(text, known),
                        known,
                    };
                    findings.error(key.at, problem);
                }
            }
        }
        section
    }

    /// The key with the sections above it, as messages name it.
    pub(super) fn path(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn get(&self, key: &'static str) -> Option<&'a YamlNode> {
        self.entries
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, node)| *node)
    }

    /// The keys that are given, in their order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        let keys: Vec<&'static str> = self.entries.iter().map(|(key, _)| *key).collect();
        keys.into_iter()
    }

    /// Where the value of `key` stands, if it is given.
    pub(super) fn position(&self, key: &'static str) -> Option<FilePosition> {
        self.get(key).map(|node| node.at)
    }

    /// Whether `key` is given, and has a value.
    pub(super) fn has_value(&self, key: &'static str) -> bool {
        self.get(key).is_some_and(|node| !node.is_null())
    }

    /// The text under a key that must be there.
    pub(super) fn required_text(
        &self,
        key: &'static str,
        example: &'static str,
        findings: &mut Findings,
    ) -> Option<Text<'a>> {
        if self.get(key).is_none() {
            findings.error(
                self.at,
                ConfigProblem::MissingKey {
                    key,
                    section: self.title.clone(),
                    example,
                },
            );
        }
        self.text(key, example, findings)
    }

    /// Text: quoted, or plain and neither a number nor a boolean nor null.
    pub(super) fn text(&self, key: &'static str, example: &'static str, findings: &mut Findings) -> Option<Text<'a>> {
        let node = self.get(key)?;
        let text = text_of(node);
        if text.is_none() {
            findings.error(node.at, self.wrong_type(key, node, "text", example));
        }
        text
    }

    /// A whole number in decimal digits within `range`.
    pub(super) fn number<T>(
        &self,
        key: &'static str,
        range: RangeInclusive<T>,
        unit: &'static str,
        example: &'static str,
        findings: &mut Findings,
    ) -> Option<T>
    where
        T: Copy + PartialOrd + TryFrom<i128> + Into<u64>,
    {
        self.number_of(key, self.get(key)?, range, unit, example, findings)
    }

    fn number_of<T>(
        &self,
        key: &'static str,
        node: &YamlNode,
        range: RangeInclusive<T>,
        unit: &'static str,
        example: &'static str,
        findings: &mut Findings,
    ) -> Option<T>
    where
        T: Copy + PartialOrd + TryFrom<i128> + Into<u64>,
    {
        let YamlKind::Scalar { text, plain: true } = &node.kind else {
            findings.error(node.at, self.wrong_type(key, node, "a whole number", example));
            return None;
        };
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            findings.error(node.at, self.wrong_type(key, node, "a whole number", example));
            return None;
        }
        // What exceeds even this type is outside every range.
        let number = text.parse::<i128>().ok().and_then(|number| T::try_from(number).ok());
        let within = number.filter(|number| range.contains(number));
        if within.is_none() {
            let problem = ConfigProblem::OutOfRange {
                key: self.path(key),
                value: text.clone(),
                min: (*range.start()).into(),
                max: (*range.end()).into(),
                unit,
            };
            findings.error(node.at, problem);
        }
        within
    }

    /// A number from 0 to 1.
    pub(super) fn ratio(&self, key: &'static str, example: &'static str, findings: &mut Findings) -> Option<f64> {
        let node = self.get(key)?;
        let number = match &node.kind {
            YamlKind::Scalar { text, plain: true } => text.parse::<f64>().ok(),
            _ => None,
        };
        let ratio = number.filter(|ratio| (0.0..=1.0).contains(ratio));
        if ratio.is_none() {
            findings.error(node.at, self.wrong_type(key, node, "a number from 0 to 1", example));
        }
        ratio
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &'static str, example: &'static str, findings: &mut Findings) -> Option<bool> {
        let node = self.get(key)?;
        match &node.kind {
            YamlKind::Scalar { text, plain: true } if matches!(text.as_str(), "true" | "True" | "TRUE") => Some(true),
            YamlKind::Scalar { text, plain: true } if matches!(text.as_str(), "false" | "False" | "FALSE") => {
                Some(false)
            }
            _ => {
                findings.error(node.at, self.wrong_type(key, node, "a boolean", example));
                None
            }
        }
    }

    /// One word of a closed list.
    pub(super) fn choice<T: ClosedList>(&self, key: &'static str, findings: &mut Findings) -> Option<T> {
        T::from_word(self.word(key, T::WORDS, findings)?)
    }

    /// One of these words.
    pub(super) fn word(
        &self,
        key: &'static str,
        words: &'static [&'static str],
        findings: &mut Findings,
    ) -> Option<&'static str> {
        let node = self.get(key)?;
        let YamlKind::Scalar { text, .. } = &node.kind else {
            findings.error(node.at, self.wrong_type(key, node, "text", words[0]));
            return None;
        };
        let word = words.iter().find(|word| *word == text).copied();
        if word.is_none() {
            let problem = ConfigProblem::NotAChoice {
                key: self.path(key),
                value: text.clone(),
                choices: words,
            };
            findings.error(node.at, problem);
        }
        word
    }

    /// The items of a list; nothing where the key is absent or has no value.
    pub(super) fn list(
        &self,
        key: &'static str,
        example: &'static str,
        findings: &mut Findings,
    ) -> Option<&'a [Rc<YamlNode>]> {
        let node = self.get(key).filter(|node| !node.is_null())?;
        match &node.kind {
            YamlKind::Sequence(items) => Some(items),
            _ => {
                findings.error(node.at, self.wrong_type(key, node, "a list", example));
                None
            }
        }
    }

    /// The items of a list of whole numbers.
    pub(super) fn numbers(
        &self,
        key: &'static str,
        range: RangeInclusive<u16>,
        example: &'static str,
        findings: &mut Findings,
    ) -> Option<Vec<u16>> {
        let items = self.list(key, example, findings)?;
        let mut numbers = Vec::with_capacity(items.len());
        for item in items {
            numbers.extend(self.number_of(key, item, range.clone(), "", example, findings));
        }
        (numbers.len() == items.len()).then_some(numbers)
    }

    /// The items of a list of text.
    pub(super) fn texts(
        &self,
        key: &'static str,
        example: &'static str,
        findings: &mut Findings,
    ) -> Option<Vec<Text<'a>>> {
        let items = self.list(key, example, findings)?;
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match text_of(item) {
                Some(text) => texts.push(text),
                None => findings.error(item.at, self.wrong_type(key, item, "text", example)),
            }
        }
        Some(texts)
    }

    /// A text, or a list of texts.
    pub(super) fn text_or_texts(
        &self,
        key: &'static str,
        example: &'static str,
        findings: &mut Findings,
    ) -> Option<Vec<Text<'a>>> {
        match &self.get(key)?.kind {
            YamlKind::Sequence(_) => self.texts(key, example, findings),
            _ => self.text(key, example, findings).map(|text| vec![text]),
        }
    }

    /// Text of 1 to `most` octets.
    pub(super) fn short_text(
        &self,
        key: &'static str,
        example: &'static str,
        most: usize,
        findings: &mut Findings,
    ) -> Option<Box<str>> {
        let Text { at, text } = self.text(key, example, findings)?;
        let key = self.path(key);
        let problem = match text.len() {
            0 => ConfigProblem::Empty {
                key,
                remedy: "write a text, or leave the key out to say nothing",
            },
            bytes if bytes > most => ConfigProblem::TooLong { key, bytes, most },
            _ => return Some(text.into()),
        };
        findings.error(at, problem);
        None
    }

    /// A duration with its unit, within `range`.
    pub(super) fn duration(
        &self,
        key: &'static str,
        example: &'static str,
        range: &RangeInclusive<Duration>,
        findings: &mut Findings,
    ) -> Option<Duration> {
        let Text { at, text } = self.text(key, example, findings)?;
        let duration = humantime::parse_duration(text)
            .ok()
            .filter(|duration| range.contains(duration));
        if duration.is_none() {
            let problem = ConfigProblem::BadDuration {
                key: self.path(key),
                text: text.to_owned(),
                min: in_one_unit(*range.start()),
                max: in_one_unit(*range.end()),
            };
            findings.error(at, problem);
        }
        duration
    }

    /// A size with its unit, within `range`.
    pub(super) fn size(
        &self,
        key: &'static str,
        example: &'static str,
        range: &RangeInclusive<Size>,
        findings: &mut Findings,
    ) -> Option<Size> {
        let Text { at, text } = self.text(key, example, findings)?;
        let size = Size::parse(text).filter(|size| range.contains(size));
        if size.is_none() {
            let problem = ConfigProblem::BadSize {
                key: self.path(key),
                text: text.to_owned(),
                min: *range.start(),
                max: *range.end(),
            };
            findings.error(at, problem);
        }
        size
    }

    /// A list of address prefixes; `None` where it is not given.
    pub(super) fn prefixes(
        &self,
        key: &'static str,
        example: &'static str,
        findings: &mut Findings,
    ) -> Option<Vec<IpNet>> {
        let path = self.path(key);
        let texts = self.texts(key, example, findings)?;
        let mut prefixes = Vec::with_capacity(texts.len());
        for Text { at, text } in texts {
            match parse_prefix(&path, text) {
                Ok(prefix) => prefixes.push(prefix),
                Err(problem) => findings.error(at, problem),
            }
        }
        Some(prefixes)
    }

    fn wrong_type(&self, key: &str, node: &YamlNode, expected: &'static str, example: &'static str) -> ConfigProblem {
        ConfigProblem::WrongType {
            key: self.path(key),
            found: node.describe(),
            expected,
            example,
        }
    }
}

impl Text<'_> {
    /// The text as a domain name; `key` is what messages call it.
    pub(super) fn to_name(self, key: &str, findings: &mut Findings) -> Option<Name> {
        let name = Name::parse_given(self.text);
        let report = |error| {
            let key = key.to_owned();
            findings.error(self.at, ConfigProblem::BadName { key, error });
        };
        name.map_err(report).ok()
    }
}

/// `100ms`, `3600s`.
fn in_one_unit(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

fn text_of(node: &YamlNode) -> Option<Text<'_>> {
    match &node.kind {
        YamlKind::Scalar { text, .. } if node.describe() == "text" => Some(Text { at: node.at, text }),
        _ => None,
    }
}

/// Octets of a key that is compared with the known ones.
const LONGEST_NEAR_KEY: usize = 64;

/// The known key that a typing error of one or two characters may have meant.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    if key.len() > LONGEST_NEAR_KEY {
        return None;
    }
    let near = |known: &&'static str| (edit_distance(key, known), *known);
    let limit = if key.len() < 5 { 1 } else { 2 };
    known
        .iter()
        .map(near)
        .min()
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, known)| known)
}

/// Levenshtein's distance in octets; `-` and `_` count as equal.
fn edit_distance(left: &str, right: &str) -> usize {
    let fold = |octet: u8| {
        if octet == b'-' {
            b'_'
        } else {
            octet.to_ascii_lowercase()
        }
    };
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, b) in right.bytes().enumerate() {
            let substituted = diagonal + usize::from(fold(a) != fold(b));
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_their_key() {
        let known = &["dns_port", "http_port", "ttl"];
        assert_eq!(nearest("dns-port", known), Some("dns_port"));
        assert_eq!(nearest("dnsport", known), Some("dns_port"));
        assert_eq!(nearest("tll", known), Some("ttl"));
        assert_eq!(nearest("views", known), None);
    }
}
