//! A YAML document as a tree in which every node knows its line and column.
//!
//! ```text
//! text ─ YAML events ─► Node { at, kind: Scalar | Sequence | Mapping }
//! ```
//!
//! Scalars keep their text: whether `1.10` is a number is for the reader of that key to say, so a TXT record never
//! turns into `1.1`. Of YAML 1.2 this takes one document without tags; anchors and aliases work.
//!
//! A tree is bounded in its depth, aliases followed, so that whatever recurs over it ends, its drop too; in how many
//! nodes it has; and in how much aliases repeat, so that reading it takes time in proportion to the text.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use serde_saphyr::granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, options};

use super::problem::ConfigProblem;
use crate::host::memory::Size;

/// Collections within each other, also through aliases. No key takes more than six.
const MOST_DEPTH: usize = 32;
/// Octets that aliases repeat in all: those of the text, and as many for each node as [`NODE_OCTETS`].
const MOST_REPEATED: u64 = 64 << 20;
/// What a node counts for beside its text.
const NODE_OCTETS: u64 = 8;

/// Where something stands in a file; both count from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePosition {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One node of the document.
#[derive(Debug)]
pub(super) struct YamlNode {
    pub(super) at: FilePosition,
    extent: Extent,
    pub(super) kind: YamlKind,
}

/// How large a node is, with all that is in it and all that aliases in it repeat.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    /// Collections from this one on; 0 for a scalar.
    depth: u8,
    /// Octets, each node counted for some.
    octets: u64,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum YamlKind {
    /// `plain`: written without quotes, so it may be a number, a boolean or null.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Rc<YamlNode>>),
    Mapping(Vec<(Rc<YamlNode>, Rc<YamlNode>)>),
}

impl YamlNode {
    /// The type in a user's words, for "expected this, found that".
    pub(super) fn describe(&self) -> &'static str {
        match &self.kind {
            YamlKind::Scalar { .. } if self.is_null() => "nothing",
            YamlKind::Scalar { text, plain: true } if is_boolean(text) => "a boolean",
            YamlKind::Scalar { text, plain: true } if is_number(text) => "a number",
            YamlKind::Scalar { .. } => "text",
            YamlKind::Sequence(_) => "a list",
            YamlKind::Mapping(_) => "a mapping",
        }
    }

    /// Whether the node is YAML's null (YAML 1.2.2 §10.3.2).
    pub(super) fn is_null(&self) -> bool {
        let is_word = |text: &str| matches!(text, "" | "~" | "null" | "Null" | "NULL");
        matches!(&self.kind, YamlKind::Scalar { text, plain: true } if is_word(text))
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

/// Parses `text`, of `most_nodes` nodes or fewer; an empty document is an empty mapping.
pub(super) fn parse(text: &str, most_nodes: usize) -> Result<Rc<YamlNode>, (FilePosition, ConfigProblem)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder {
        most_nodes,
        ..Builder::default()
    };
    for event in Parser::new_from_str_with_options(text, parser_options()) {
        let (event, span) = event.map_err(|error| syntax_error(&error))?;
        builder.take(event, &span)?;
    }
    match builder.root {
        Some(root) if !root.is_null() => Ok(root),
        _ => Ok(Rc::new(YamlNode {
            at: START,
            extent: Extent::default(),
            kind: YamlKind::Mapping(Vec::new()),
        })),
    }
}

/// The position of a file's first character.
pub(super) const START: FilePosition = FilePosition { line: 1, column: 1 };

fn parser_options() -> Options {
    options! { emit_comments: false, flow_nesting_limit: MOST_DEPTH, block_nesting_limit: MOST_DEPTH }
}

fn syntax_error(error: &ScanError) -> (FilePosition, ConfigProblem) {
    let marker = error.marker();
    let problem = match error.kind() {
        ErrorKind::RecursionLimitExceeded => TOO_DEEP,
        _ => ConfigProblem::Syntax { message: error.info() },
    };
    (position(marker.line(), marker.col()), problem)
}

const TOO_DEEP: ConfigProblem = ConfigProblem::TooDeep { most: MOST_DEPTH };

fn position(line: usize, column_from_zero: usize) -> FilePosition {
    let fit = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    FilePosition {
        line: fit(line),
        column: fit(column_from_zero).saturating_add(1),
    }
}

/// Turns events into the tree.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<YamlNode>>,
    root: Option<Rc<YamlNode>>,
    documents: usize,
    nodes: usize,
    most_nodes: usize,
    /// Octets that aliases have repeated so far.
    repeated: u64,
}

/// A collection whose end has not come yet.
struct Open {
    at: FilePosition,
    anchor: usize,
    key: Option<Rc<YamlNode>>,
    extent: Extent,
    kind: YamlKind,
}

impl Open {
    fn new(at: FilePosition, anchor: usize, kind: YamlKind) -> Self {
        let extent = Extent {
            depth: 1,
            octets: NODE_OCTETS,
        };
        Self {
            at,
            anchor,
            key: None,
            extent,
            kind,
        }
    }

    fn add(&mut self, node: Rc<YamlNode>) {
        let Extent { depth, octets } = node.extent;
        self.extent.depth = self.extent.depth.max(depth.saturating_add(1));
        self.extent.octets = self.extent.octets.saturating_add(octets);
        match &mut self.kind {
            YamlKind::Sequence(items) => items.push(node),
            YamlKind::Mapping(entries) => match self.key.take() {
                Some(key) => entries.push((key, node)),
                None => self.key = Some(node),
            },
            YamlKind::Scalar { .. } => unreachable!("only collections are opened"),
        }
    }
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), (FilePosition, ConfigProblem)> {
        let at = position(span.start.line(), span.start.col());
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err((at, ConfigProblem::SeveralDocuments));
                }
            }
            Event::Scalar(_, _, _, Some(tag))
            | Event::SequenceStart(_, _, Some(tag))
            | Event::MappingStart(_, _, Some(tag)) => {
                return Err((at, ConfigProblem::Tag { tag: tag.to_string() }));
            }
            Event::Scalar(text, style, anchor, None) => {
                let plain = style == ScalarStyle::Plain;
                let extent = Extent {
                    depth: 0,
                    octets: text.len() as u64 + NODE_OCTETS,
                };
                let text = text.into_owned();
                let kind = YamlKind::Scalar { text, plain };
                self.count(at)?;
                self.add(Rc::new(YamlNode { at, extent, kind }), anchor);
            }
            Event::SequenceStart(_, anchor, None) => self.open(at, anchor, YamlKind::Sequence(Vec::new()))?,
            Event::MappingStart(_, anchor, None) => self.open(at, anchor, YamlKind::Mapping(Vec::new()))?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open {
                    at,
                    anchor,
                    extent,
                    kind,
                    ..
                }) = self.open.pop()
                {
                    self.add(Rc::new(YamlNode { at, extent, kind }), anchor);
                }
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => {
                    self.repeat(&node, at)?;
                    self.add(node, 0);
                }
                // An alias inside the node that it names: that node has not ended.
                None => return Err((at, ConfigProblem::AliasWithinItself)),
            },
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, at: FilePosition, anchor: usize, kind: YamlKind) -> Result<(), (FilePosition, ConfigProblem)> {
        if self.open.len() >= MOST_DEPTH {
            return Err((at, TOO_DEEP));
        }
        self.count(at)?;
        self.open.push(Open::new(at, anchor, kind));
        Ok(())
    }

    fn count(&mut self, at: FilePosition) -> Result<(), (FilePosition, ConfigProblem)> {
        self.nodes += 1;
        if self.nodes > self.most_nodes {
            let most = self.most_nodes;
            return Err((at, ConfigProblem::TooManyNodes { most }));
        }
        Ok(())
    }

    /// Checks that an alias may stand for a node here.
    fn repeat(&mut self, node: &YamlNode, at: FilePosition) -> Result<(), (FilePosition, ConfigProblem)> {
        if self.open.len() + usize::from(node.extent.depth) > MOST_DEPTH {
            return Err((at, TOO_DEEP));
        }
        self.repeated = self.repeated.saturating_add(node.extent.octets);
        if self.repeated > MOST_REPEATED {
            let most = Size(MOST_REPEATED);
            return Err((at, ConfigProblem::AliasesRepeatTooMuch { most }));
        }
        Ok(())
    }

    fn add(&mut self, node: Rc<YamlNode>, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(open) => open.add(node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Rc<YamlNode>, (FilePosition, ConfigProblem)> {
        super::parse(text, 1_000_000)
    }

    fn entries(node: &YamlNode) -> &[(Rc<YamlNode>, Rc<YamlNode>)] {
        match &node.kind {
            YamlKind::Mapping(entries) => entries,
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
        let YamlKind::Sequence(items) = &entries(&root)[1].1.kind else {
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
        assert!(matches!(&entries(&root)[1].1.kind, YamlKind::Sequence(items) if items.len() == 1));
        assert!(matches!(
            parse("a: &x [*x]"),
            Err((_, ConfigProblem::AliasWithinItself))
        ));
    }

    #[test]
    fn an_anchor_at_the_root_is_an_anchor_like_any_other() {
        for text in ["&a\na: 1\n", "&a {a: 1}", "--- &a\na: 1\n"] {
            assert_eq!(entries(&parse(text).expect(text)).len(), 1, "{text}");
        }
        for text in ["&a", "&a ~", "&a # nothing\n"] {
            assert!(entries(&parse(text).expect(text)).is_empty(), "{text}");
        }
        assert!(matches!(&parse("&a [1]").expect("a list").kind, YamlKind::Sequence(items) if items.len() == 1));
        assert!(matches!(parse("&a [*a]"), Err((_, ConfigProblem::AliasWithinItself))));
        assert!(matches!(parse("*a"), Err((_, ConfigProblem::Syntax { .. }))));
    }

    #[test]
    fn depth_is_bounded_with_aliases_followed() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let block = |depth: usize| {
            (0..depth)
                .map(|at| format!("{}- a\n{0}-\n", " ".repeat(at)))
                .collect::<String>()
        };
        let chain = |links: usize| {
            let links = (1..links).map(|link| format!("- &a{link} [*a{}]\n", link - 1));
            format!("- &a0 [x]\n{}", links.collect::<String>())
        };
        parse(&nested(MOST_DEPTH)).expect("as deep as may be");
        parse(&chain(MOST_DEPTH - 1)).expect("as deep as may be");
        let keys = "{? ".repeat(200_000);
        for text in [
            nested(MOST_DEPTH + 1),
            nested(200_000),
            "[".repeat(200_000),
            "{a: ".repeat(200_000),
            keys,
            "- ".repeat(200_000),
            block(1000),
            chain(MOST_DEPTH),
            chain(50_000),
        ] {
            let (_, problem) = parse(&text).expect_err("too deep");
            assert!(matches!(problem, ConfigProblem::TooDeep { .. }), "{problem}");
        }
    }

    #[test]
    fn what_aliases_repeat_is_bounded() {
        // Ten of ten of ten …, and a long text a million times.
        let mut laughs = "- &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..20 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            laughs += &format!("- &a{level} [{aliases}]\n");
        }
        let long = format!(
            "- &a {}\n- [{}]\n",
            "x".repeat(100_000),
            vec!["*a"; 1_000_000].join(",")
        );
        for text in [laughs, long] {
            let (_, problem) = parse(&text).expect_err("too much");
            assert!(
                matches!(problem, ConfigProblem::AliasesRepeatTooMuch { .. }),
                "{problem}"
            );
        }
        let usual = format!("a: &a [192.0.2.1, 192.0.2.2]\nb: [{}]\n", vec!["*a"; 100_000].join(","));
        parse(&usual).expect("a list that many records share");
    }

    #[test]
    fn nodes_are_counted() {
        let text = format!("a: [{}]", vec!["x"; 100].join(","));
        super::parse(&text, 103).expect("a mapping, its key, a list and its items");
        let (_, problem) = super::parse(&text, 102).expect_err("one too many");
        assert!(problem.to_string().contains("more than 102 values"), "{problem}");
    }

    #[test]
    fn what_is_not_one_plain_document_is_refused_where_it_stands() {
        let (at, problem) = parse("a: 1\n---\nb: 2\n").expect_err("two documents");
        assert!(matches!(problem, ConfigProblem::SeveralDocuments));
        assert_eq!(at.line, 2);
        let (at, problem) = parse("a: !!str 1\n").expect_err("a tag");
        assert!(matches!(problem, ConfigProblem::Tag { .. }), "{problem:?}");
        assert_eq!(at.line, 1);
        let (at, problem) = parse("a: [1\nb: 2\n").expect_err("an open list");
        assert!(matches!(problem, ConfigProblem::Syntax { .. }));
        assert_eq!(at.line, 2);
    }

    #[test]
    fn an_empty_document_is_an_empty_mapping() {
        for text in ["", "# nothing\n", "---\n", "\u{feff}"] {
            assert!(entries(&parse(text).expect("valid")).is_empty(), "{text:?}");
        }
    }
}
