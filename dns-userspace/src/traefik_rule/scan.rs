//! The tokens of a rule: those of a Go expression, as far as Traefik takes them.

/// What is wrong, and at which octet.
#[derive(Debug)]
pub(super) struct RuleProblem {
    pub(super) at: usize,
    pub(super) reason: String,
}

impl RuleProblem {
    pub(super) fn new(at: usize, reason: impl Into<String>) -> Self {
        Self {
            at,
            reason: reason.into(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    Comma,
    And,
    Or,
    Not,
    /// The end of a line where Go takes the expression for complete.
    LineEnd,
    End,
}

impl Token {
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Word(word) => format!("`{word}`"),
            Self::Text(_) => "a string".into(),
            Self::Open => "`(`".into(),
            Self::Close => "`)`".into(),
            Self::Comma => "`,`".into(),
            Self::And => "`&&`".into(),
            Self::Or => "`||`".into(),
            Self::Not => "`!`".into(),
            Self::LineEnd => "the end of a line".into(),
            Self::End => "the end".into(),
        }
    }
}

/// All tokens, each with the octet at which it begins; the last one is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, RuleProblem> {
    let mut tokens: Vec<(usize, Token)> = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, length) = match first {
            // Go ends a statement at a line that ends with a name, a string or `)`.
            '\n' => match tokens.last() {
                Some((_, Token::Word(_) | Token::Text(_) | Token::Close)) => (Token::LineEnd, 1),
                _ => {
                    at += 1;
                    continue;
                }
            },
            ' ' | '\t' | '\r' => {
                at += 1;
                continue;
            }
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '!' => (Token::Not, 1),
            '&' if rest.starts_with("&&") => (Token::And, 2),
            '|' if rest.starts_with("||") => (Token::Or, 2),
            '&' | '|' => {
                return Err(RuleProblem::new(
                    at,
                    format!("`{first}` is written twice: `{first}{first}`"),
                ));
            }
            '`' => raw_string(at, rest)?,
            '"' => quoted_string(at, rest)?,
            '\'' => {
                let reason = "strings are in back-quotes or double quotes: Host(`a.example.com`)";
                return Err(RuleProblem::new(at, reason));
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let is_other = |symbol: char| !(symbol.is_ascii_alphanumeric() || symbol == '_');
                let length = rest.find(is_other).unwrap_or(rest.len());
                (Token::Word(rest[..length].to_owned()), length)
            }
            other => return Err(RuleProblem::new(at, format!("`{other}` has no meaning in a rule"))),
        };
        tokens.push((at, token));
        at += length;
    }
    while let Some((_, Token::LineEnd)) = tokens.last() {
        tokens.pop();
    }
    tokens.push((text.len(), Token::End));
    Ok(tokens)
}

fn raw_string(at: usize, rest: &str) -> Result<(Token, usize), RuleProblem> {
    let body = &rest[1..];
    let end = body
        .find('`')
        .ok_or_else(|| RuleProblem::new(at, "this string has no closing back-quote"))?;
    // Go drops carriage returns from raw strings.
    Ok((Token::Text(body[..end].replace('\r', "")), end + 2))
}

/// A string in double quotes, with Go's escapes.
fn quoted_string(at: usize, rest: &str) -> Result<(Token, usize), RuleProblem> {
    let open = || RuleProblem::new(at, "this string has no closing double quote");
    let mut octets = Vec::new();
    let mut symbols = rest.char_indices().skip(1);
    while let Some((place, symbol)) = symbols.next() {
        match symbol {
            '"' => {
                let text = String::from_utf8(octets)
                    .map_err(|_| RuleProblem::new(at, "the escapes in this string are no valid UTF-8"))?;
                return Ok((Token::Text(text), place + 1));
            }
            '\n' => return Err(open()),
            '\\' => {
                let (_, escape) = symbols.next().ok_or_else(open)?;
                let bad = || {
                    let hint = "in double quotes a backslash is written twice: HostRegexp(\"^a\\\\.b$\")";
                    RuleProblem::new(at + place, format!("`\\{escape}` is no escape of a string; {hint}"))
                };
                let mut number = |digits: usize, base: u32, first: Option<char>| {
                    let digits: String = first
                        .into_iter()
                        .chain(symbols.by_ref().take(digits).map(|(_, symbol)| symbol))
                        .collect();
                    let is_number = digits.chars().all(|digit| digit.is_digit(base));
                    is_number.then(|| u32::from_str_radix(&digits, base).ok()).flatten()
                };
                let octet = match escape {
                    'a' => 0x07,
                    'b' => 0x08,
                    'f' => 0x0c,
                    'n' => b'\n',
                    'r' => b'\r',
                    't' => b'\t',
                    'v' => 0x0b,
                    '\\' => b'\\',
                    '"' => b'"',
                    'x' => number(2, 16, None)
                        .and_then(|octet| u8::try_from(octet).ok())
                        .ok_or_else(bad)?,
                    '0'..='7' => number(2, 8, Some(escape))
                        .and_then(|octet| u8::try_from(octet).ok())
                        .ok_or_else(bad)?,
                    'u' | 'U' => {
                        let digits = if escape == 'u' { 4 } else { 8 };
                        let symbol = number(digits, 16, None).and_then(char::from_u32).ok_or_else(bad)?;
                        octets.extend_from_slice(symbol.encode_utf8(&mut [0; 4]).as_bytes());
                        continue;
                    }
                    _ => return Err(bad()),
                };
                octets.push(octet);
            }
            other => octets.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err(open())
}
