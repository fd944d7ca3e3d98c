//! Entries in order: directives change how the next ones are read, records go to the collection.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::budget::{self, Budget, Meter};
use super::collection::{Collection, Traced, Warning};
use super::generate::{Range, expand};
use super::include::Nesting;
use super::problem::{Located, ZoneFileProblem};
use super::source::{SourceFile, TextPlace, Unread};
use super::{LoadError, MAX_ERRORS, ZoneContent, ZoneFileError};
use crate::model::name::Name;
use crate::model::rdata::{self, Lexer, Token, TokenKind, Word, Words, parse_seconds};
use crate::model::record::RecordType;
use crate::model::shown::{MOST_OF_TEXT, shorten};

/// RFC 2181 §8.
const MAX_TTL: u32 = i32::MAX as u32;

pub(super) fn load(
    path: &Path,
    apex: &Name,
    shown_as: Arc<str>,
    budget: &mut Budget,
) -> Result<ZoneContent, LoadError> {
    let nesting = Nesting::new(path).map_err(LoadError::Unreadable)?;
    let mut meter = Meter::new(budget);
    let source = match SourceFile::read(path, path, &mut meter) {
        Ok(source) => source,
        Err(Unread::Io(error)) => {
            meter.finish(false);
            return Err(LoadError::Unreadable(error));
        }
        Err(Unread::TooLarge(problem)) => {
            meter.finish(false);
            return Err(LoadError::Errors(vec![ZoneFileError {
                file: path.to_owned(),
                line: 0,
                column: 0,
                text: String::new(),
                message: problem.to_string(),
            }]));
        }
    };
    read(source, nesting, meter, apex, shown_as)
}

/// Reads a zone from a text that is in no file, and includes none.
pub(super) fn load_text(
    text: &[u8],
    apex: &Name,
    shown_as: Arc<str>,
    budget: &mut Budget,
) -> Result<ZoneContent, LoadError> {
    let source = SourceFile {
        path: Path::new(&*shown_as).to_owned(),
        stamp: None,
        octets: text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text).to_vec(),
    };
    read(source, Nesting::none(), Meter::new(budget), apex, shown_as)
}

/// The same as [`load`] of a text in the place of the file at `path`, with the place of each RR.
pub(super) fn load_traced(
    text: Vec<u8>,
    path: &Path,
    apex: &Name,
    shown_as: Arc<str>,
) -> Result<(ZoneContent, Vec<Traced>), LoadError> {
    let source = SourceFile {
        path: path.to_owned(),
        stamp: None,
        octets: text,
    };
    let nesting = Nesting::new(path).map_err(LoadError::Unreadable)?;
    let mut budget = Budget::unlimited();
    let mut reader = MasterFileReader::new(nesting, Meter::new(&mut budget), apex, shown_as);
    reader.collection.keep_places();
    reader.read(source, apex);
    let places = reader.collection.take_places();
    Ok((reader.finish()?, places))
}

fn read(
    source: SourceFile,
    nesting: Nesting,
    meter: Meter<'_>,
    apex: &Name,
    shown_as: Arc<str>,
) -> Result<ZoneContent, LoadError> {
    let mut reader = MasterFileReader::new(nesting, meter, apex, shown_as);
    reader.read(source, apex);
    reader.finish()
}

struct MasterFileReader<'b> {
    sources: Vec<Rc<SourceFile>>,
    nesting: Nesting,
    collection: Collection,
    meter: Meter<'b>,
    /// The zone takes too much memory: the rest of it is not read.
    has_stopped: bool,
    errors: Vec<ZoneFileError>,
    /// Scratch.
    rdata: Vec<u8>,
}

/// What later entries of a file go by. An included file begins with its own copy, of which the TTLs alone hold behind
/// it, too: RFC 1035 §5.1 has the origin end with the file, RFC 2308 §4 has `$TTL` stand for all that follows.
#[derive(Clone)]
struct FileScope {
    origin: Name,
    owner: LastOwner,
    /// `$TTL`, or without it the minimum of an SOA record that has no TTL.
    default_ttl: Option<u32>,
    /// The last TTL that was stated (RFC 1035 §5.1).
    last_ttl: Option<u32>,
}

/// The owner that a line with a blank start has.
#[derive(Clone)]
enum LastOwner {
    /// None so far.
    None,
    /// The last one was in error, which has been reported.
    Bad,
    Known {
        name: Name,
        /// As written under the present origin: the next line may repeat it.
        written: Box<[u8]>,
    },
}

/// What stands before the data of a record.
struct Head {
    ttl: Option<u32>,
    rtype: RecordType,
    /// Number of the type's token.
    type_token: usize,
}

/// An entry whose octets may be those of a file or made by `$GENERATE`.
#[derive(Clone, Copy)]
struct EntryText<'a> {
    octets: &'a [u8],
    tokens: &'a [Token],
    /// The file's number.
    source: u32,
    /// Where the entry is, if its octets are not the file's.
    made_at: Option<TextPlace>,
}

impl EntryText<'_> {
    fn place(&self, token: usize) -> TextPlace {
        match (self.made_at, self.tokens.get(token).or(self.tokens.last())) {
            (Some(place), _) => place,
            (None, Some(token)) => TextPlace::of(self.source, token),
            (None, None) => TextPlace::new(self.source, 0, 0),
        }
    }
}

impl<'b> MasterFileReader<'b> {
    fn new(nesting: Nesting, meter: Meter<'b>, apex: &Name, shown_as: Arc<str>) -> Self {
        Self {
            sources: Vec::new(),
            nesting,
            collection: Collection::new(apex.clone(), shown_as),
            meter,
            has_stopped: false,
            errors: Vec::new(),
            rdata: Vec::new(),
        }
    }

    /// Reads the zone file itself.
    fn read(&mut self, source: SourceFile, apex: &Name) {
        let mut scope = FileScope {
            origin: apex.clone(),
            owner: LastOwner::None,
            default_ttl: None,
            last_ttl: None,
        };
        let source = Rc::new(source);
        self.collection.expect(source.count_owners());
        self.file(source, &mut scope);
    }

    fn file(&mut self, source: Rc<SourceFile>, scope: &mut FileScope) {
        let number = self.sources.len() as u32;
        self.sources.push(Rc::clone(&source));
        let mut lexer = Lexer::new(&source.octets);
        let mut tokens = Vec::new();
        while self.errors.len() < MAX_ERRORS && !self.has_stopped {
            let entry = match lexer.next_entry(&mut tokens) {
                Ok(None) => return,
                Ok(Some(entry)) => entry,
                Err(error) => {
                    let rest = &source.octets[error.offset()..];
                    let line = rest.iter().position(|&octet| octet == b'\n').unwrap_or(rest.len());
                    let place = TextPlace::new(number, error.offset(), error.offset() + line);
                    self.report(place, &error.into());
                    if lexer.is_at_end() {
                        return;
                    }
                    continue;
                }
            };
            let text = EntryText {
                octets: &source.octets,
                tokens: &tokens,
                source: number,
                made_at: None,
            };
            let is_directive =
                !entry.blank_start && tokens[0].kind == TokenKind::Plain && source.octets[tokens[0].start] == b'$';
            let result = match is_directive {
                true => self.directive(scope, text),
                false => self.record(scope, text, entry.blank_start),
            };
            if let Err(Located { token, problem }) = result {
                self.report(text.place(token), &problem);
            }
        }
    }

    fn record(&mut self, scope: &mut FileScope, text: EntryText<'_>, blank_start: bool) -> Result<(), Located> {
        let mut words = Words::new(text.octets, text.tokens);
        if !blank_start && let Some(word) = words.next() {
            self.owner(scope, word)?;
        }
        let owner = match &scope.owner {
            LastOwner::Known { name, .. } => name,
            LastOwner::None => return Err(Located::new(0, ZoneFileProblem::NoOwner)),
            LastOwner::Bad => return Ok(()),
        };
        let head = head(&mut words)?;
        self.rdata.clear();
        rdata::parse(head.rtype, &mut words, Some(&scope.origin), &mut self.rdata)?;
        let place = text.place(head.type_token);
        let ttl = match head.ttl {
            Some(ttl) => {
                scope.last_ttl = Some(ttl);
                ttl
            }
            // RFC 2308 §4: $TTL; without it, RFC 1035 §5.1: the last one stated.
            None => match scope.default_ttl.or(scope.last_ttl) {
                Some(ttl) => ttl,
                None if head.rtype == RecordType::SOA => {
                    let seconds = soa_minimum(&self.rdata).min(MAX_TTL);
                    self.collection.warn(place, Warning::SoaMinimum { seconds });
                    scope.default_ttl = Some(seconds);
                    seconds
                }
                None => return Err(Located::new(head.type_token, ZoneFileProblem::NoTtl)),
            },
        };
        let before = self.collection.octets();
        let added = self.collection.add(owner, head.rtype, ttl, &self.rdata, place);
        let taken = added.and_then(|()| {
            let octets = self.collection.octets() - before;
            let whole = |so_far| extrapolate(so_far, &self.sources[0], place);
            self.meter.take_records(octets, whole)
        });
        taken.map_err(|problem| Located::new(head.type_token, problem))
    }

    /// Makes the owner that `word` names the scope's.
    fn owner(&self, scope: &mut FileScope, word: Word<'_>) -> Result<(), Located> {
        if let LastOwner::Known { written, .. } = &scope.owner
            && **written == *word.octets
            && word.kind == TokenKind::Plain
        {
            return Ok(());
        }
        scope.owner = LastOwner::Bad;
        let name = name(word, &scope.origin)?;
        if !name.is_at_or_below(self.collection.apex()) {
            let apex = self.collection.apex().clone();
            return Err(Located::new(word.index, ZoneFileProblem::OutOfZone { apex }));
        }
        scope.owner = LastOwner::Known {
            name,
            written: word.octets.into(),
        };
        Ok(())
    }

    fn directive(&mut self, scope: &mut FileScope, text: EntryText<'_>) -> Result<(), Located> {
        let mut words = Words::new(text.octets, text.tokens);
        let Some(directive) = words.next() else { return Ok(()) };
        match directive.octets.to_ascii_uppercase().as_slice() {
            b"$ORIGIN" => {
                let word = single(&mut words, "$ORIGIN", "one name")?;
                set_origin(scope, name(word, &scope.origin)?);
                Ok(())
            }
            b"$TTL" => {
                let word = single(&mut words, "$TTL", "one time, as in `3600` or `1h`")?;
                scope.default_ttl = Some(ttl(word.octets).ok_or(Located::new(word.index, ZoneFileProblem::Ttl))?);
                Ok(())
            }
            b"$INCLUDE" => self.include(scope, text, &mut words),
            b"$GENERATE" => self.generate(scope, text, &mut words),
            _ => Err(Located::new(0, ZoneFileProblem::Directive)),
        }
    }

    fn include(&mut self, scope: &mut FileScope, text: EntryText<'_>, words: &mut Words<'_>) -> Result<(), Located> {
        let shape = ZoneFileProblem::DirectiveShape {
            directive: "$INCLUDE",
            takes: "a file and, if wanted, an origin",
        };
        let file = match words.next() {
            Some(word) if words.remaining() <= 1 => word,
            _ => return Err(Located::new(words.last_index(), shape)),
        };
        let mut path = Vec::new();
        if rdata::unescape_word(file.octets, &mut path).is_none() {
            return Err(Located::new(file.index, rdata::RdataFault::Escape));
        }
        let mut inner = scope.clone();
        if let Some(word) = words.next() {
            set_origin(&mut inner, name(word, &scope.origin)?);
        }
        let from = Rc::clone(&self.sources[text.source as usize]);
        let (source, is_new) = self
            .nesting
            .enter(&from.path, &path, &mut self.meter)
            .map_err(|problem| Located::new(file.index, problem))?;
        if is_new {
            self.collection.expect(source.count_owners());
        }
        self.file(source, &mut inner);
        self.nesting.leave();
        (scope.default_ttl, scope.last_ttl) = (inner.default_ttl, inner.last_ttl);
        Ok(())
    }

    fn generate(&mut self, scope: &FileScope, text: EntryText<'_>, words: &mut Words<'_>) -> Result<(), Located> {
        let shape = || ZoneFileProblem::DirectiveShape {
            directive: "$GENERATE",
            takes: "a range, an owner, [TTL], [IN], a type and data, as in `$GENERATE 1-9 host$ A 192.0.2.$`",
        };
        let missing = |words: &Words<'_>| Located::new(words.last_index(), shape());
        let range = words.next().ok_or_else(|| missing(words))?;
        let numbers = Range::parse(range.octets).map_err(|problem| Located::new(range.index, problem))?;
        let owner = words.next().ok_or_else(|| missing(words))?;
        let head_from = owner.index + 1;
        head(words)?;
        let data_from = words.last_index() + 1;
        if words.is_empty() {
            return Err(missing(words));
        }
        let data = &text.tokens[data_from..];
        self.room_for(numbers, owner.octets, &scope.origin, text.octets, data)
            .map_err(|problem| Located::new(range.index, problem))?;
        let octets_of = |token: &Token| &text.octets[token.start..token.end];
        let mut line = Vec::new();
        let mut tokens = Vec::new();
        let mut inner = scope.clone();
        for value in numbers.numbers() {
            line.clear();
            expand(owner.octets, value, &mut line).map_err(|problem| Located::new(owner.index, problem))?;
            for token in &text.tokens[head_from..data_from] {
                line.push(b' ');
                line.extend_from_slice(octets_of(token));
            }
            for (at, token) in data.iter().enumerate() {
                let quote = if token.kind == TokenKind::Quoted && data.len() > 1 {
                    "\""
                } else {
                    ""
                };
                line.push(b' ');
                line.extend_from_slice(quote.as_bytes());
                let expanded = expand(octets_of(token), value, &mut line);
                expanded.map_err(|problem| Located::new(data_from + at, problem))?;
                line.extend_from_slice(quote.as_bytes());
            }
            self.generated(&mut inner, text, value, &line, &mut tokens)?;
        }
        Ok(())
    }

    /// Checks that there is memory for what a `$GENERATE` makes.
    fn room_for(
        &self,
        numbers: Range,
        owner: &[u8],
        origin: &Name,
        text: &[u8],
        data: &[Token],
    ) -> Result<(), ZoneFileProblem> {
        let count = numbers.count();
        let data: usize = data.iter().map(|token| text[token.start..token.end].len()).sum();
        let each = if owner.contains(&b'$') {
            budget::of_name(owner.len() + origin.as_wire().len(), data)
        } else {
            budget::of_rr(data)
        };
        let what = || format!("this directive, which makes {count} records,");
        self.meter.check(count.saturating_mul(each), what)
    }

    /// Takes in the record that `line` holds.
    fn generated(
        &mut self,
        scope: &mut FileScope,
        directive: EntryText<'_>,
        value: u32,
        line: &[u8],
        tokens: &mut Vec<Token>,
    ) -> Result<(), Located> {
        let wrap = |text: &[u8], problem: ZoneFileProblem| {
            Located::new(
                0,
                ZoneFileProblem::Generated {
                    value,
                    text: shorten(text, MOST_OF_TEXT),
                    problem: Box::new(problem),
                },
            )
        };
        if let Err(error) = Lexer::new(line).next_entry(tokens) {
            return Err(wrap(line, error.into()));
        }
        let made = EntryText {
            octets: line,
            tokens,
            made_at: Some(directive.place(0)),
            ..directive
        };
        self.record(scope, made, false).map_err(|Located { token, problem }| {
            let token = tokens.get(token).or(tokens.last());
            wrap(token.map_or(line, |token| &line[token.start..token.end]), problem)
        })
    }

    fn report(&mut self, place: TextPlace, problem: &ZoneFileProblem) {
        self.has_stopped |= problem.is_of_memory();
        if self.errors.len() < MAX_ERRORS {
            let error = self.sources[place.source as usize].error(place, problem.to_string());
            self.errors.push(error);
        }
    }

    fn finish(mut self) -> Result<ZoneContent, LoadError> {
        let were_lost = !self.errors.is_empty();
        let empty = Collection::new(Name::root(), Arc::from(""));
        let checked = std::mem::replace(&mut self.collection, empty).finish(were_lost);
        if !self.has_stopped {
            for (place, problem) in &checked.errors {
                self.report(*place, problem);
            }
        }
        let octets = self.meter.finish(self.errors.is_empty());
        if !self.errors.is_empty() {
            return Err(LoadError::Errors(self.errors));
        }
        let mut warnings = Vec::new();
        for (place, warning) in &checked.warnings.listed {
            let source = &self.sources[place.source as usize];
            let (line, column) = source.line_and_column(*place);
            warnings.push(format!("{}:{line}:{column}: {warning}", source.path.display()));
        }
        if checked.warnings.more != 0 {
            let file = self.sources[0].path.display();
            warnings.push(format!("{file}: and {} more warnings", checked.warnings.more));
        }
        Ok(ZoneContent {
            rrsets: checked.rrsets,
            warnings,
            files: self
                .sources
                .iter()
                .filter_map(|source| Some((source.path.clone(), source.stamp?)))
                .collect(),
            octets,
        })
    }
}

/// What a zone comes to if all of its file is like what is before `place`, which has come to `so_far`.
fn extrapolate(so_far: u64, zone_file: &SourceFile, place: TextPlace) -> u64 {
    let (read, all) = (place.offset(), zone_file.octets.len() as u64);
    if place.source != 0 || read == 0 {
        return so_far;
    }
    let whole = u128::from(so_far) * u128::from(all) / u128::from(read);
    u64::try_from(whole).unwrap_or(u64::MAX).max(so_far)
}

/// `[TTL] [CLASS] TYPE` or `[CLASS] [TTL] TYPE` (RFC 1035 §5.1).
fn head(words: &mut Words<'_>) -> Result<Head, Located> {
    let mut stated_ttl = None;
    let mut has_class = false;
    loop {
        let missing = words.last_index();
        let word = words.next().ok_or(Located::new(missing, ZoneFileProblem::NoType))?;
        if word.kind != TokenKind::Plain {
            return Err(Located::new(word.index, ZoneFileProblem::Quoted));
        }
        if stated_ttl.is_none() && word.octets[0].is_ascii_digit() {
            stated_ttl = Some(ttl(word.octets).ok_or(Located::new(word.index, ZoneFileProblem::Ttl))?);
            continue;
        }
        if !has_class && let Some(is_in) = class(word.octets) {
            if !is_in {
                return Err(Located::new(word.index, ZoneFileProblem::Class));
            }
            has_class = true;
            continue;
        }
        let text = String::from_utf8_lossy(word.octets);
        let rtype: RecordType = text
            .parse()
            .map_err(|error: crate::model::record::UnknownType| Located::new(word.index, error))?;
        if !rtype.is_data() {
            return Err(Located::new(word.index, ZoneFileProblem::NoData { rtype }));
        }
        return Ok(Head {
            ttl: stated_ttl,
            rtype,
            type_token: word.index,
        });
    }
}

/// Whether a word that names a class names IN.
fn class(word: &[u8]) -> Option<bool> {
    let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
    if is("IN") || is("CLASS1") {
        return Some(true);
    }
    let numbered =
        word.len() > 5 && word[..5].eq_ignore_ascii_case(b"CLASS") && word[5..].iter().all(u8::is_ascii_digit);
    (is("CH") || is("CHAOS") || is("HS") || is("HESIOD") || is("CS") || numbered).then_some(false)
}

fn ttl(word: &[u8]) -> Option<u32> {
    parse_seconds(word).filter(|&seconds| seconds <= MAX_TTL)
}

fn name(word: Word<'_>, origin: &Name) -> Result<Name, Located> {
    if word.kind != TokenKind::Plain {
        return Err(Located::new(word.index, ZoneFileProblem::Quoted));
    }
    Name::parse_relative(word.octets, origin).map_err(|error| Located::new(word.index, error))
}

/// The one word that a directive takes.
fn single<'a>(words: &mut Words<'a>, directive: &'static str, takes: &'static str) -> Result<Word<'a>, Located> {
    match (words.next(), words.peek()) {
        (Some(word), None) => Ok(word),
        (_, extra) => {
            let at = extra.map_or(words.last_index(), |extra| extra.index);
            Err(Located::new(at, ZoneFileProblem::DirectiveShape { directive, takes }))
        }
    }
}

fn set_origin(scope: &mut FileScope, origin: Name) {
    scope.origin = origin;
    if let LastOwner::Known { written, .. } = &mut scope.owner {
        // The same letters are another name from here on.
        *written = Box::default();
    }
}

/// RFC 1035 §3.3.13: the last 32 bits.
fn soa_minimum(rdata: &[u8]) -> u32 {
    rdata.last_chunk().map_or(0, |octets| u32::from_be_bytes(*octets))
}
