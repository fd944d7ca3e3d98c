//! Regular expressions of hosts: what of them names and wildcards can say.
//!
//! ```text
//! ^(www|api)\.x$         www.x, api.x            finite: every host of it
//! ^[^.]+\.x$             *.x for one label       a first label that can be any
//! ^.+\.x$  ^(.+\.)?x$    *.x for any depth       any labels before a fixed end
//! ^web-[0-9]+\.x$        unknown                 a first label that can be some, endlessly many
//! ```
//!
//! The expression is expanded into sequences of octets, any labels, and anchors; each sequence is read by itself.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::forms::{Form, Underivable};

/// Sequences that one expression may expand to.
const MOST_SEQUENCES: usize = 1000;
/// Repetitions that are written out.
const MOST_COPIES: u32 = 8;
/// A label has no more octets (RFC 1035 §2.3.4).
const LONGEST_LABEL: u32 = 63;

/// A regular expression that Traefik asks of a host.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    forms: Vec<Form>,
}

/// A part of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Octet(u8),
    /// `.` of a regular expression: any octet, which people write for a dot.
    AnyOctet,
    /// Any label.
    Label,
    /// Any labels with the dots between them, one at least.
    Labels,
    Start,
    End,
    /// Something else, in the words of the expression.
    Odd(String),
}

type Sequence = Vec<Part>;

impl Pattern {
    /// A pattern written as `text`, which is the regular expression `expression`.
    pub(super) fn new(text: &str, expression: &str) -> Result<Self, String> {
        // Go's expressions are of ASCII here: hosts are.
        let regex = RegexBuilder::new(expression)
            .unicode(false)
            .build()
            .map_err(|error| format!("`{text}` is no regular expression: {error}"))?;
        let hir = regex_syntax::ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .build()
            .parse(expression)
            .map_err(|error| format!("`{text}` is no regular expression: {error}"))?;
        let forms = match expand(&hir) {
            Ok(sequences) => forms(text, sequences),
            Err(reason) => vec![unknown(text, reason)],
        };
        Ok(Self { regex, forms })
    }

    /// Whether it takes this host.
    pub(super) fn takes(&self, host: &str) -> bool {
        self.regex.is_match(host.as_bytes())
    }

    /// Its hosts: all of these sets together.
    pub(super) fn forms(&self) -> &[Form] {
        &self.forms
    }
}

fn unknown(text: &str, reason: impl Into<String>) -> Form {
    Form::Unknown(Underivable {
        what: text.to_owned(),
        reason: reason.into(),
    })
}

/// Octets that a host in lower case can have.
fn is_of_host(octet: u8) -> bool {
    octet.is_ascii_lowercase() || octet.is_ascii_digit() || matches!(octet, b'-' | b'_' | b'.')
}

fn class_octets(class: &Class) -> Vec<u8> {
    let is_in = |octet: u8| match class {
        Class::Bytes(class) => class
            .ranges()
            .iter()
            .any(|range| (range.start()..=range.end()).contains(&octet)),
        Class::Unicode(class) => {
            let symbol = char::from(octet);
            class
                .ranges()
                .iter()
                .any(|range| (range.start()..=range.end()).contains(&symbol))
        }
    };
    (0..=0x7f).filter(|&octet| is_of_host(octet) && is_in(octet)).collect()
}

/// Whether these octets are enough for every label.
fn make_any_label(octets: &[u8]) -> bool {
    let mut wanted = (b'a'..=b'z').chain(b'0'..=b'9').chain([b'-']);
    wanted.all(|octet| octets.contains(&octet))
}

/// Whether these are `[a-z0-9]([a-z0-9-]*[a-z0-9])?`: every label that begins and ends with no hyphen, as those of
/// hosts do (RFC 1123 §2.1).
fn make_host_label(first: &Hir, second: &Hir) -> bool {
    let is_end = |octets: &[u8]| {
        let mut wanted = (b'a'..=b'z').chain(b'0'..=b'9');
        wanted.all(|octet| octets.contains(&octet)) && !octets.contains(&b'.')
    };
    let class = |hir: &Hir| match bare(hir).kind() {
        HirKind::Class(class) => Some(class_octets(class)),
        _ => None,
    };
    let HirKind::Repetition(optional) = bare(second).kind() else {
        return false;
    };
    let HirKind::Concat(inner) = bare(&optional.sub).kind() else {
        return false;
    };
    let ([middle, last], 0, Some(1)) = (&inner[..], optional.min, optional.max) else {
        return false;
    };
    let HirKind::Repetition(middle) = bare(middle).kind() else {
        return false;
    };
    let is_long = middle.min == 0 && middle.max.is_none_or(|most| most >= LONGEST_LABEL - 2);
    let is_middle = class(&middle.sub).is_some_and(|octets| make_any_label(&octets) && !octets.contains(&b'.'));
    let are_ends = [first, last]
        .into_iter()
        .all(|end| class(end).is_some_and(|octets| is_end(&octets)));
    is_long && is_middle && are_ends
}

/// What is within a group.
fn bare(hir: &Hir) -> &Hir {
    match hir.kind() {
        HirKind::Capture(capture) => bare(&capture.sub),
        _ => hir,
    }
}

/// Every way in which the expression can be taken.
fn expand(hir: &Hir) -> Result<Vec<Sequence>, String> {
    let sequences = match hir.kind() {
        HirKind::Empty => vec![Vec::new()],
        HirKind::Literal(literal) if literal.0.iter().all(|&octet| is_of_host(octet)) => {
            vec![literal.0.iter().map(|&octet| Part::Octet(octet)).collect()]
        }
        // No host has it.
        HirKind::Literal(_) => Vec::new(),
        HirKind::Class(class) => {
            let octets = class_octets(class);
            match make_any_label(&octets) && octets.contains(&b'.') {
                true => vec![vec![Part::AnyOctet]],
                false => octets.into_iter().map(|octet| vec![Part::Octet(octet)]).collect(),
            }
        }
        HirKind::Look(Look::Start | Look::StartLF | Look::StartCRLF) => vec![vec![Part::Start]],
        HirKind::Look(Look::End | Look::EndLF | Look::EndCRLF) => vec![vec![Part::End]],
        HirKind::Look(_) => vec![vec![Part::Odd(shown(hir))]],
        HirKind::Capture(capture) => expand(&capture.sub)?,
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.append(&mut expand(part)?);
            }
            all
        }
        HirKind::Concat(parts) => {
            let mut all = vec![Vec::new()];
            let mut rest = &parts[..];
            while let Some((first, others)) = rest.split_first() {
                let is_label = others.first().is_some_and(|second| make_host_label(first, second));
                let next = if is_label {
                    vec![vec![Part::Label]]
                } else {
                    expand(first)?
                };
                rest = &others[usize::from(is_label)..];
                all = product(&all, &next)?;
            }
            all
        }
        HirKind::Repetition(repetition) => repeat(hir, &repetition.sub, repetition.min, repetition.max)?,
    };
    match sequences.len() > MOST_SEQUENCES {
        true => Err(too_many()),
        false => Ok(sequences),
    }
}

/// As a person writes it.
fn shown(hir: &Hir) -> String {
    hir.to_string().replace("(?-u:", "(?:")
}

fn too_many() -> String {
    format!("it stands for over {MOST_SEQUENCES} names; write a wildcard or the names that are wanted")
}

fn product(left: &[Sequence], right: &[Sequence]) -> Result<Vec<Sequence>, String> {
    if left.len().saturating_mul(right.len()) > MOST_SEQUENCES {
        return Err(too_many());
    }
    let pairs = left
        .iter()
        .flat_map(|left| right.iter().map(move |right| [&left[..], &right[..]].concat()));
    Ok(pairs.collect())
}

fn repeat(whole: &Hir, sub: &Hir, least: u32, most: Option<u32>) -> Result<Vec<Sequence>, String> {
    let nothing = (least == 0).then(Vec::new);
    let is_endless = least <= 1 && most.is_none_or(|most| most >= LONGEST_LABEL);
    if is_endless && let Some(part) = any_of(sub) {
        return Ok(nothing.into_iter().chain([part]).collect());
    }
    match most {
        Some(most) if most <= MOST_COPIES => {
            let one = expand(sub)?;
            let (mut copies, mut all) = (vec![Vec::new()], Vec::new());
            for count in 0..=most {
                if count >= least {
                    all.append(&mut copies.clone());
                }
                if count < most {
                    copies = product(&copies, &one)?;
                }
                if all.len() > MOST_SEQUENCES {
                    return Err(too_many());
                }
            }
            Ok(all)
        }
        _ => {
            let odd = vec![Part::Odd(shown(whole))];
            Ok(nothing.into_iter().chain([odd]).collect())
        }
    }
}

/// What an endless repetition of `sub` is, where it is any label, or any labels.
fn any_of(sub: &Hir) -> Option<Sequence> {
    match sub.kind() {
        HirKind::Class(class) => {
            let octets = class_octets(class);
            match (make_any_label(&octets), octets.contains(&b'.')) {
                (true, true) => Some(vec![Part::Labels]),
                (true, false) => Some(vec![Part::Label]),
                _ => None,
            }
        }
        HirKind::Capture(capture) => any_of(&capture.sub),
        // `([^.]+\.)*`: labels, each with its dot.
        HirKind::Concat(_) => match expand(sub).ok()?.as_slice() {
            [one] if matches!(one[..], [Part::Label | Part::Labels, Part::Octet(b'.')]) => {
                Some(vec![Part::Labels, Part::Octet(b'.')])
            }
            _ => None,
        },
        _ => None,
    }
}

fn forms(text: &str, sequences: Vec<Sequence>) -> Vec<Form> {
    let mut forms = Vec::new();
    for sequence in sequences {
        for form in read(text, sequence) {
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
    }
    forms
}

/// The sets that one sequence stands for.
fn read(text: &str, mut sequence: Sequence) -> Vec<Form> {
    let is_start = |part: &Part| *part == Part::Start;
    let is_end = |part: &Part| *part == Part::End;
    let starts = sequence.iter().take_while(|part| is_start(part)).count();
    sequence.drain(..starts);
    let ends = sequence.iter().rev().take_while(|part| is_end(part)).count();
    sequence.truncate(sequence.len() - ends);
    if sequence.iter().any(|part| is_start(part) || is_end(part)) {
        // `a^b` takes nothing; with parts that may be empty, such as `a*^b`, it may.
        return vec![unknown(text, "`^` is not at its start, or `$` not at its end")];
    }
    let ends = ends > 0 || sequence.last() == Some(&Part::Labels);
    match sequence[..] {
        // `^$`: no host.
        [] if starts > 0 && ends => return Vec::new(),
        [] | [Part::Labels] => return vec![Form::Every],
        _ => {}
    }
    if !ends {
        let reason = "it has no `$`, so it takes hosts with any ending; write `$` at its end";
        return vec![unknown(text, reason)];
    }
    let mut forms = Vec::new();
    if let Some(Part::Odd(odd)) = sequence.iter().find(|part| matches!(part, Part::Odd(_))) {
        let reason = format!("`{odd}` takes some labels and not others, or more than one");
        return vec![unknown(text, reason)];
    }
    if starts == 0 && sequence.first() != Some(&Part::Labels) {
        // What is before may be nothing, or anything.
        forms.extend(anchored(text, &sequence));
        sequence.insert(0, Part::Labels);
    }
    forms.extend(anchored(text, &sequence));
    forms
}

/// The sets of a sequence that takes the whole host.
fn anchored(text: &str, sequence: &[Part]) -> Vec<Form> {
    let has_any_octet = sequence.contains(&Part::AnyOctet);
    let mut forms = Vec::new();
    if has_any_octet {
        let reason = "`.` takes any character and not only a dot; write `\\.` for a dot";
        forms.push(unknown(text, reason));
    }
    let (head, tail) = match sequence {
        [head @ (Part::Label | Part::Labels), tail @ ..] => (Some(head), tail),
        tail => (None, tail),
    };
    let mut fixed = String::new();
    for part in tail {
        match part {
            Part::Octet(octet) => fixed.push(char::from(*octet)),
            Part::AnyOctet => fixed.push('.'),
            _ => {
                let reason = match head {
                    Some(_) => "it has more than one part that can be anything, and a wildcard of DNS has one label",
                    None => "what can be anything is not its first label, and a wildcard of DNS is",
                };
                forms.push(unknown(text, reason));
                return forms;
            }
        }
    }
    match head {
        None => forms.extend(is_host(&fixed).then_some(Form::Exact(fixed))),
        Some(head) => {
            let base = fixed.strip_prefix('.');
            match (head, base) {
                (_, Some(base)) if !is_host(base) => {}
                (Part::Label, Some(base)) => forms.push(Form::OneLabel(base.to_owned())),
                (_, Some(base)) => forms.push(Form::AnyDepth(base.to_owned())),
                (Part::Label, None) if fixed.is_empty() => {
                    forms.push(unknown(text, "it takes every name of one label"));
                }
                (Part::Label, None) => {
                    let reason = "a part of its first label is fixed, and a wildcard of DNS is a whole label";
                    forms.push(unknown(text, reason));
                }
                (_, None) => {
                    if is_host(&fixed) {
                        forms.push(Form::AnyDepth(fixed.clone()));
                    }
                    let reason = format!("it takes hosts such as `other{fixed}` too; write `\\.` before `{fixed}`");
                    forms.push(unknown(text, reason));
                }
            }
        }
    }
    forms
}

/// Whether these are labels with dots between them.
pub(super) fn is_host(text: &str) -> bool {
    text.len() <= 253
        && text
            .split('.')
            .all(|label| !label.is_empty() && label.len() <= LONGEST_LABEL as usize)
        && text.bytes().all(is_of_host)
}
