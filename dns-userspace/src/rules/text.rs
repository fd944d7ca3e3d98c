//! Texts with places for what a pattern has found.
//!
//! | written | stands for |
//! |---|---|
//! | `{name}`, `{{ .Name }}` | the name that was asked, with its final dot |
//! | `{1}`, `$1`, `${1}`, `{{ index .Match 1 }}` | what the first group of `match` has found; 0 is all of it |
//! | `{host}`, `${host}`, `{{ .Group.host }}` | what the group `(?P<host>…)` has found |
//! | `{type}`, `{{ .Type }}` | the type that was asked |
//! | `{class}`, `{{ .Class }}` | `IN` |
//! | `{zone}`, `{{ .Zone }}` | the rule's zone |
//! | `{{` and `}}` around anything else, a single `{` | an error |

use regex::{Captures, Regex, RegexBuilder};

use crate::model::record::RecordType;

/// Octets that a compiled pattern may take.
const PATTERN_BYTES: usize = 1 << 20;

/// A regular expression, equal to another with the same text.
#[derive(Debug, Clone)]
pub struct Pattern(pub(super) Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Pattern {
    /// A pattern for names in lower case, with their final dot.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let built = RegexBuilder::new(text)
            .size_limit(PATTERN_BYTES)
            .case_insensitive(true)
            .build();
        built.map(Self).map_err(|error| TextError::Pattern(last_line(&error)))
    }
}

/// The sentence at the end of a message that draws the pattern.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

/// What is wrong with a pattern, or with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message documents it")]
pub enum TextError {
    #[error("`match` is no regular expression ({0})")]
    Pattern(String),
    #[error("`{0}` stands for nothing: write {{name}}, {{type}}, {{zone}}, or {{1}} for the first group of `match`")]
    Unknown(String),
    #[error("`match` has no group {0}: put what it is to find in parentheses")]
    NoGroup(String),
    #[error("a `{{` without its `}}`")]
    Open,
}

/// A text with places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Name,
    Type,
    Zone,
    Group(usize),
}

/// What places are filled with.
pub(super) struct Filling<'a> {
    pub(super) name: &'a str,
    pub(super) qtype: RecordType,
    pub(super) zone: &'a str,
    pub(super) captures: Option<&'a Captures<'a>>,
}

impl Text {
    /// Reads a text whose groups are those of `pattern`.
    pub fn parse(text: &str, pattern: Option<&Pattern>) -> Result<Self, TextError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '$']) {
            let (before, from) = rest.split_at(at);
            pieces.push(Piece::Literal(before.to_owned()));
            let (place, behind) = if let Some(inside) = from.strip_prefix("{{") {
                let (inside, behind) = inside.split_once("}}").ok_or(TextError::Open)?;
                (go_place(inside.trim()), behind)
            } else if let Some(inside) = from.strip_prefix("${").or_else(|| from.strip_prefix('{')) {
                let (inside, behind) = inside.split_once('}').ok_or(TextError::Open)?;
                (inside.trim().to_owned(), behind)
            } else {
                let behind = from[1..].trim_start_matches(|c: char| c.is_ascii_digit());
                let digits = &from[1..from.len() - behind.len()];
                if digits.is_empty() {
                    pieces.push(Piece::Literal("$".to_owned()));
                    rest = behind;
                    continue;
                }
                (digits.to_owned(), behind)
            };
            pieces.push(piece(&place, pattern)?);
            rest = behind;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        pieces.retain(|piece| *piece != Piece::Literal(String::new()));
        Ok(Self(pieces))
    }

    pub(super) fn fill(&self, filling: &Filling<'_>) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Name => text.push_str(filling.name),
                Piece::Type => text.push_str(&filling.qtype.to_string()),
                Piece::Zone => text.push_str(filling.zone),
                Piece::Group(number) => {
                    let found = filling.captures.and_then(|captures| captures.get(*number));
                    text.push_str(found.map_or("", |found| found.as_str()));
                }
            }
        }
        text
    }
}

/// CoreDNS's spelling in ours.
fn go_place(inside: &str) -> String {
    let words: Vec<&str> = inside.split_whitespace().collect();
    match words[..] {
        ["index", ".Match", number] => number.to_owned(),
        ["index", ".Group", name] => name.trim_matches('"').to_owned(),
        [".Name"] => "name".to_owned(),
        [".Type"] => "type".to_owned(),
        [".Class"] => "class".to_owned(),
        [".Zone"] => "zone".to_owned(),
        [word] if word.starts_with(".Group.") => word[".Group.".len()..].to_owned(),
        _ => inside.to_owned(),
    }
}

fn piece(place: &str, pattern: Option<&Pattern>) -> Result<Piece, TextError> {
    match place {
        "name" => return Ok(Piece::Name),
        "type" => return Ok(Piece::Type),
        "class" => return Ok(Piece::Literal("IN".to_owned())),
        "zone" => return Ok(Piece::Zone),
        _ => {}
    }
    if let Ok(number) = place.parse::<usize>() {
        let groups = pattern.map_or(0, |Pattern(regex)| regex.captures_len());
        return if number < groups {
            Ok(Piece::Group(number))
        } else {
            Err(TextError::NoGroup(number.to_string()))
        };
    }
    let named = pattern.and_then(|Pattern(regex)| regex.capture_names().position(|name| name == Some(place)));
    named
        .map(Piece::Group)
        .ok_or_else(|| TextError::Unknown(place.to_owned()))
}
