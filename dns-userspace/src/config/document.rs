//! A YAML document as a tree in which every node knows its line and column.
//!
//! ```text
//! text ─ YAML events ─► Node { at, kind: Scalar | Sequence | Mapping }
//! ```
//!
//! Scalars keep their text: whether `1.10` is a number is for the reader of that key to say, so a TXT record never
//! turns into `1.1`. Of YAML 1.2 this takes one document without tags; anchors and aliases work.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span, options};

use super::problem::Problem;

/// Where something stands in a file; both count from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One node of the document.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) kind: Kind,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Kind {
    /// `plain`: written without quotes, so it may be a number, a boolean or null.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

impl Node {
    /// The type in a user's words, for "expected this, found that".
    pub(super) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar { .. } if self.is_null() => "nothing",
            Kind::Scalar { text, plain: true } if is_boolean(text) => "a boolean",
            Kind::Scalar { text, plain: true } if is_number(text) => "a number",
            Kind::Scalar { .. } => "text",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }

    /// Whether the node is YAML's null (YAML 1.2.2 §10.3.2).
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

fn is_boolean(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

/// YAML 1.2.2 §10.3.2, integers and floats.
fn is_number(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    let based = |prefix, radix| {
        text.strip_prefix(prefix)
            .is_some_and(|rest: &str| !rest.is_empty() && rest.chars().all(|digit| digit.is_digit(radix)))
    };
    based("0x", 16)
        || based("0o", 8)
        || matches!(digits.to_ascii_lowercase().as_str(), ".inf" | ".nan")
        || (digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') && digits.parse::<f64>().is_ok())
}

/// Parses `text`; an empty document is an empty mapping.
pub(super) fn parse(text: &str) -> Result<Node, (Position, Problem)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, parser_options()) {
        let (event, span) = event.map_err(|error| syntax_error(&error))?;
        builder.take(event, &span)?;
    }
    match builder.root {
        Some(root) if !root.is_null() => Ok(Rc::into_inner(root).expect("the builder, which is done, held the others")),
        _ => Ok(Node {
            at: START,
            kind: Kind::Mapping(Vec::new()),
        }),
    }
}

/// The position of a file's first character.
pub(super) const START: Position = Position { line: 1, column: 1 };

fn parser_options() -> Options {
    options! { emit_comments: false, flow_nesting_limit: 32, block_nesting_limit: 32 }
}

fn syntax_error(error: &ScanError) -> (Position, Problem) {
    let marker = error.marker();
    (
        position(marker.line(), marker.col()),
        Problem::Syntax {
            message: error.info().to_string(),
        },
    )
}

fn position(line: usize, column_from_zero: usize) -> Position {
    let fit = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position {
        line: fit(line),
        column: fit(column_from_zero).saturating_add(1),
    }
}

/// Turns events into the tree.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    documents: usize,
}

/// A collection whose end has not come yet.
struct Open {
    at: Position,
    anchor: usize,
    key: Option<Rc<Node>>,
    kind: Kind,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), (Position, Problem)> {
        let at = position(span.start.line(), span.start.col());
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err((at, Problem::SeveralDocuments));
                }
            }
            Event::Scalar(_, _, _, Some(tag))
            | Event::SequenceStart(_, _, Some(tag))
            | Event::MappingStart(_, _, Some(tag)) => {
                return Err((at, Problem::Tag { tag: tag.to_string() }));
            }
            Event::Scalar(text, style, anchor, None) => {
                let plain = style == ScalarStyle::Plain;
                let node = Node {
                    at,
                    kind: Kind::Scalar {
                        text: text.into_owned(),
                        plain,
                    },
                };
                self.add(Rc::new(node), anchor);
            }
            Event::SequenceStart(_, anchor, None) => {
                self.open.push(Open {
                    at,
                    anchor,
                    key: None,
                    kind: Kind::Sequence(Vec::new()),
                });
            }
            Event::MappingStart(_, anchor, None) => {
                self.open.push(Open {
                    at,
                    anchor,
                    key: None,
                    kind: Kind::Mapping(Vec::new()),
                });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { at, anchor, kind, .. }) = self.open.pop() {
                    self.add(Rc::new(Node { at, kind }), anchor);
                }
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => self.add(node, 0),
                // An alias inside the node that it names: that node has not ended.
                None => return Err((at, Problem::AliasWithinItself)),
            },
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, node: Rc<Node>, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open {
                kind: Kind::Sequence(items),
                ..
            }) => items.push(node),
            Some(Open {
                kind: Kind::Mapping(entries),
                key,
                ..
            }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => *key = Some(node),
            },
            Some(Open {
                kind: Kind::Scalar { .. },
                ..
            }) => unreachable!("only collections are opened"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(node: &Node) -> &[(Rc<Node>, Rc<Node>)] {
        match &node.kind {
            Kind::Mapping(entries) => entries,
            other => panic!("a mapping, not {other:?}"),
        }
    }

    #[test]
    fn nodes_know_where_they_stand() {
        let root = parse("# first\na: 1\nb:\n  - \"x\"\n  - {c: [d, e]}\n").expect("valid");
        let (key, value) = &entries(&root)[0];
        assert_eq!(
            (key.at.line, key.at.column, value.at.line, value.at.column),
            (2, 1, 2, 4)
        );
        let Kind::Sequence(items) = &entries(&root)[1].1.kind else {
            panic!("a list")
        };
        assert_eq!((items[0].at.line, items[0].at.column), (4, 5));
        assert_eq!((items[1].at.line, items[1].at.column), (5, 5));
    }

    #[test]
    fn scalars_are_described_as_yaml_1_2_reads_them() {
        for (text, what) in [
            ("5", "a number"),
            ("-1.5e3", "a number"),
            ("0x1F", "a number"),
            ("true", "a boolean"),
            ("\"5\"", "text"),
            ("off", "text"),
            ("1.2.3.4", "text"),
            ("infinity", "text"),
            ("~", "nothing"),
            ("[]", "a list"),
            ("{}", "a mapping"),
        ] {
            let root = parse(&format!("k: {text}")).expect("valid");
            assert_eq!(entries(&root)[0].1.describe(), what, "{text}");
        }
    }

    #[test]
    fn aliases_repeat_their_anchor() {
        let root = parse("a: &x [1]\nb: *x\n").expect("valid");
        assert!(matches!(&entries(&root)[1].1.kind, Kind::Sequence(items) if items.len() == 1));
        assert!(matches!(parse("a: &x [*x]"), Err((_, Problem::AliasWithinItself))));
    }

    #[test]
    fn what_is_not_one_plain_document_is_refused_where_it_stands() {
        let (at, problem) = parse("a: 1\n---\nb: 2\n").expect_err("two documents");
        assert!(matches!(problem, Problem::SeveralDocuments));
        assert_eq!(at.line, 2);
        let (at, problem) = parse("a: !!str 1\n").expect_err("a tag");
        assert!(matches!(problem, Problem::Tag { .. }), "{problem:?}");
        assert_eq!(at.line, 1);
        let (at, problem) = parse("a: [1\nb: 2\n").expect_err("an open list");
        assert!(matches!(problem, Problem::Syntax { .. }));
        assert_eq!(at.line, 2);
    }

    #[test]
    fn an_empty_document_is_an_empty_mapping() {
        for text in ["", "# nothing\n", "---\n", "\u{feff}"] {
            assert!(entries(&parse(text).expect("valid")).is_empty(), "{text:?}");
        }
    }
}
