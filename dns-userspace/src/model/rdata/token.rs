//! Words of presentation format: what RFC 1035 §5.1 says of spaces, parentheses, comments and quotes.
//!
//! A [`Lexer`] splits octets into entries (a line, or several joined by parentheses) and these into [`Token`]s, which
//! are no more than offsets: nothing is copied and no escape is taken apart here. A [`Words`] hands the tokens of one
//! entry to a reader, one after the other.
//!
//! ```text
//! a.example. 300 IN TXT "b c" ; d      tokens: a.example. │ 300 │ IN │ TXT │ "b c"
//! ```
//!
//! As in BIND a quoted string ends on its line. `key="a b"` is one token (RFC 9460 §2.1).

/// One word, by its place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// Offset of the first octet; for a quoted string, the one after the quote.
    pub(crate) start: usize,
    /// Offset after the last octet, closing quote excluded.
    pub(crate) end: usize,
    /// How it is written.
    pub(crate) kind: TokenKind,
}

/// Words of one entry. An RDATA of 65,535 octets has fewer, each hexadecimal digit of it a word.
const MOST_WORDS: usize = 1 << 18;

/// How a token is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Without quotes.
    Plain,
    /// In quotes.
    Quoted,
    /// Begins without quotes and has a quoted part: `key="a b"`.
    PartlyQuoted,
}

/// What keeps a text from being split into words, with its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LexError {
    /// A quote without its partner on the same line.
    #[error("this quoted string does not end on its line; put the closing `\"`, or write a quote inside it as `\\\"`")]
    UnclosedQuote(usize),
    /// `(` without `)`.
    #[error("this parenthesis is never closed; put `)` where the record ends, or write `\\(`")]
    UnclosedParenthesis(usize),
    /// `)` without `(`.
    #[error("this parenthesis was never opened; remove it, or write `\\)`")]
    UnexpectedParenthesis(usize),
    /// More words than any RDATA has.
    #[error("this entry has more than {MOST_WORDS} words; mind a parenthesis that is not closed where its record ends")]
    TooManyWords(usize),
    /// A carriage return within a line.
    #[error(
        "a carriage return stands within the line; end lines with LF or CRLF, or write `\\013` for the character itself"
    )]
    LoneReturn(usize),
    /// A backslash with nothing after it on the line.
    #[error("a backslash ends the line; write `\\\\` for the character itself")]
    LoneBackslash(usize),
}

impl LexError {
    /// Where in the text.
    pub(crate) fn offset(self) -> usize {
        match self {
            Self::UnclosedQuote(at)
            | Self::UnclosedParenthesis(at)
            | Self::UnexpectedParenthesis(at)
            | Self::TooManyWords(at)
            | Self::LoneReturn(at)
            | Self::LoneBackslash(at) => at,
        }
    }
}

/// Splits a text into entries.
pub(crate) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    seen_comment: bool,
}

/// What [`Lexer::next_entry`] says of an entry besides its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The line begins with a blank: the owner is the last one stated.
    pub(crate) blank_start: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            seen_comment: false,
        }
    }

    /// How far has been read: behind the line that ends the entry.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Whether there was a comment in what has been read.
    pub(crate) fn has_seen_comment(&self) -> bool {
        self.seen_comment
    }

    /// Puts the next entry that has a token into `tokens`, which is emptied first; `None` at the end. After an error
    /// the next call goes on behind the entry that has it.
    pub(crate) fn next_entry(&mut self, tokens: &mut Vec<Token>) -> Result<Option<Entry>, LexError> {
        tokens.clear();
        let mut depth = 0usize;
        let mut opened_at = 0;
        let mut blank_start = self.at_blank();
        while let Some(&octet) = self.text.get(self.at) {
            match octet {
                b'\n' => {
                    self.at += 1;
                    if depth == 0 && !tokens.is_empty() {
                        return Ok(Some(Entry { blank_start }));
                    }
                    if depth == 0 {
                        blank_start = self.at_blank();
                    }
                }
                b'\r' if !self.is_before_line_end() => {
                    return Err(self.recover(LexError::LoneReturn(self.at), depth > 0));
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b';' => {
                    self.seen_comment = true;
                    self.skip_to_line_end();
                }
                b'(' => {
                    if depth == 0 {
                        opened_at = self.at;
                    }
                    depth += 1;
                    self.at += 1;
                }
                b')' if depth == 0 => return Err(self.recover(LexError::UnexpectedParenthesis(self.at), false)),
                b')' => {
                    depth -= 1;
                    self.at += 1;
                }
                _ if tokens.len() >= MOST_WORDS => {
                    return Err(self.recover(LexError::TooManyWords(self.at), depth > 0));
                }
                _ => match self.token() {
                    Ok(token) => tokens.push(token),
                    Err(error) => return Err(self.recover(error, depth > 0)),
                },
            }
        }
        if depth > 0 {
            return Err(LexError::UnclosedParenthesis(opened_at));
        }
        Ok((!tokens.is_empty()).then_some(Entry { blank_start }))
    }

    fn token(&mut self) -> Result<Token, LexError> {
        let begin = self.at;
        if self.text[begin] == b'"' {
            let end = self.quoted(begin)?;
            self.at = end + 1;
            return Ok(Token {
                start: begin + 1,
                end,
                kind: TokenKind::Quoted,
            });
        }
        let mut at = begin;
        let mut kind = TokenKind::Plain;
        while let Some(&octet) = self.text.get(at) {
            match octet {
                b' ' | b'\t' | b'\n' | b'\r' | b';' | b'(' | b')' => break,
                b'\\' => at = self.escaped(at)?,
                b'"' => {
                    kind = TokenKind::PartlyQuoted;
                    at = self.quoted(at)?;
                }
                _ => {}
            }
            at += 1;
        }
        self.at = at;
        Ok(Token {
            start: begin,
            end: at,
            kind,
        })
    }

    /// Offset of the quote that closes the one at `open`.
    fn quoted(&self, open: usize) -> Result<usize, LexError> {
        let mut at = open + 1;
        loop {
            match self.text.get(at) {
                None | Some(b'\n') => return Err(LexError::UnclosedQuote(open)),
                Some(b'"') => return Ok(at),
                // A backslash before the line's end is inside a string that does not end there.
                Some(b'\\') => at = self.escaped(at).map_err(|_| LexError::UnclosedQuote(open))?,
                Some(_) => {}
            }
            at += 1;
        }
    }

    /// Offset of the character that the backslash at `at` escapes.
    fn escaped(&self, at: usize) -> Result<usize, LexError> {
        match self.text.get(at + 1..) {
            None | Some([] | [b'\n', ..] | [b'\r', b'\n', ..]) => Err(LexError::LoneBackslash(at)),
            Some(_) => Ok(at + 1),
        }
    }

    /// Goes behind the entry with an error: its line and, inside parentheses, the lines that look like its rest.
    fn recover(&mut self, error: LexError, in_parentheses: bool) -> LexError {
        self.skip_line();
        while in_parentheses && matches!(self.text.get(self.at), Some(b' ' | b'\t' | b')' | b';' | b'\r' | b'\n')) {
            self.skip_line();
        }
        error
    }

    fn skip_to_line_end(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(|&octet| octet == b'\n').unwrap_or(rest.len());
    }

    fn skip_line(&mut self) {
        self.skip_to_line_end();
        self.at = self.text.len().min(self.at + 1);
    }

    /// Whether a line feed, or nothing at all, is next.
    fn is_before_line_end(&self) -> bool {
        matches!(self.text.get(self.at + 1), None | Some(b'\n'))
    }

    fn at_blank(&self) -> bool {
        matches!(self.text.get(self.at), Some(b' ' | b'\t'))
    }
}

/// The tokens of one entry, read from the front.
#[derive(Clone)]
pub(crate) struct Words<'a> {
    text: &'a [u8],
    tokens: &'a [Token],
    at: usize,
}

/// A token with its octets; escapes are still in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<'a> {
    pub(crate) octets: &'a [u8],
    pub(crate) kind: TokenKind,
    /// Its number in the entry, for messages.
    pub(crate) index: usize,
}

impl<'a> Words<'a> {
    pub(crate) fn new(text: &'a [u8], tokens: &'a [Token]) -> Self {
        Self { text, tokens, at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<Word<'a>> {
        let token = self.tokens.get(self.at)?;
        Some(Word {
            octets: &self.text[token.start..token.end],
            kind: token.kind,
            index: self.at,
        })
    }

    /// The place of the last token that was read.
    pub(crate) fn last_index(&self) -> usize {
        self.at.saturating_sub(1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.tokens.len() - self.at
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let word = self.peek()?;
        self.at += 1;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<Result<(bool, Vec<String>), LexError>> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut tokens = Vec::new();
        let mut found = Vec::new();
        loop {
            match lexer.next_entry(&mut tokens) {
                Ok(None) => return found,
                Ok(Some(entry)) => {
                    let words = Words::new(text.as_bytes(), &tokens);
                    let words = words.map(|word| String::from_utf8_lossy(word.octets).into_owned());
                    found.push(Ok((entry.blank_start, words.collect())));
                }
                Err(error) => {
                    found.push(Err(error));
                    if matches!(error, LexError::UnclosedParenthesis(_)) {
                        return found;
                    }
                }
            }
        }
    }

    fn entry(blank: bool, words: &[&str]) -> Result<(bool, Vec<String>), LexError> {
        Ok((blank, words.iter().map(|&word| word.to_owned()).collect()))
    }

    #[test]
    fn lines_comments_and_blank_starts() {
        assert_eq!(
            entries("a b;c\r\n\n ; only a comment\n\td\r\ne"),
            [entry(false, &["a", "b"]), entry(true, &["d"]), entry(false, &["e"])]
        );
    }

    #[test]
    fn parentheses_join_lines_and_nest() {
        assert_eq!(
            entries("a (b ; x )\n\n c(d)\n) e\nf"),
            [entry(false, &["a", "b", "c", "d", "e"]), entry(false, &["f"])]
        );
    }

    #[test]
    fn quotes_and_escapes_keep_specials() {
        assert_eq!(
            entries(r#"a\;b\(\ c "d;(\" e" f="g h",i "j""k""#),
            [entry(false, &[r"a\;b\(\ c", r#"d;(\" e"#, r#"f="g h",i"#, "j", "k"])]
        );
    }

    #[test]
    fn errors_have_offsets_and_the_rest_is_read() {
        assert_eq!(
            entries("a \"b\nc"),
            [Err(LexError::UnclosedQuote(2)), entry(false, &["c"])]
        );
        assert_eq!(
            entries("a )\nc"),
            [Err(LexError::UnexpectedParenthesis(2)), entry(false, &["c"])]
        );
        assert_eq!(
            entries("a\\\nc"),
            [Err(LexError::LoneBackslash(1)), entry(false, &["c"])]
        );
        assert_eq!(
            entries("a ( \"b\n 1 )\n)\nc"),
            [Err(LexError::UnclosedQuote(4)), entry(false, &["c"])]
        );
        assert_eq!(
            entries("a b\rc d\r\ne ; \rf\r\ng\r"),
            [Err(LexError::LoneReturn(3)), entry(false, &["e"]), entry(false, &["g"])]
        );
        assert_eq!(entries("a ((b)\nc"), [Err(LexError::UnclosedParenthesis(2))]);
        assert_eq!(entries("a \"b\\"), [Err(LexError::UnclosedQuote(2))]);
    }
}
