//! The expression of a rule: calls joined by `!`, `&&` and `||`, which bind in this order.

use super::matcher::{Matcher, matchers};
use super::scan::{RuleProblem, Token, tokens};
use super::{Dialect, names};
use crate::model::name::Name;

/// Octets of a rule at most.
const MOST_OCTETS: usize = 64 * 1024;
/// Parentheses and negations within one another at most.
const MOST_DEPTH: usize = 100;

/// A rule that Traefik takes.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) expression: Expression,
}

/// What a rule is made of.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    Is(Matcher),
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

impl Rule {
    /// Whether some request to `host` can be taken by the rule.
    pub fn takes(&self, host: &Name) -> bool {
        names::takes(self, host)
    }
}

pub(super) fn parse(text: &str, dialect: Dialect) -> Result<Rule, RuleProblem> {
    if text.len() > MOST_OCTETS {
        return Err(RuleProblem::new(0, format!("it has more than {MOST_OCTETS} octets")));
    }
    let tokens = tokens(text)?;
    let mut reader = Reader {
        tokens: &tokens,
        dialect,
        depth: 0,
    };
    let expression = reader.any()?;
    match reader.peek() {
        (_, Token::End) => Ok(Rule { expression }),
        (at, Token::LineEnd) => Err(RuleProblem::new(
            *at,
            "the rule ends at this line's end; write `&&` or `||` before the end of the line, not after it",
        )),
        (at, Token::Close) => Err(RuleProblem::new(*at, "this `)` has no `(`")),
        (at, other) => Err(RuleProblem::new(
            *at,
            format!("`&&` or `||` was expected here, not {}", other.shown()),
        )),
    }
}

struct Reader<'a> {
    tokens: &'a [(usize, Token)],
    dialect: Dialect,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> &'a (usize, Token) {
        &self.tokens[0]
    }

    /// The next token; the end stays.
    fn take(&mut self) -> &'a (usize, Token) {
        let token = self.peek();
        if token.1 != Token::End {
            self.tokens = &self.tokens[1..];
        }
        token
    }

    fn takes(&mut self, wanted: &Token) -> bool {
        let is_next = self.peek().1 == *wanted;
        if is_next {
            self.take();
        }
        is_next
    }

    fn any(&mut self) -> Result<Expression, RuleProblem> {
        let mut parts = vec![self.all()?];
        while self.takes(&Token::Or) {
            parts.push(self.all()?);
        }
        Ok(joined(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, RuleProblem> {
        let mut parts = vec![self.one()?];
        while self.takes(&Token::And) {
            parts.push(self.one()?);
        }
        Ok(joined(parts, Expression::All))
    }

    fn one(&mut self) -> Result<Expression, RuleProblem> {
        let (at, token) = self.take();
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(RuleProblem::new(
                *at,
                format!("parentheses are nested over {MOST_DEPTH} deep"),
            ));
        }
        let expression = match token {
            Token::Not => Expression::Not(Box::new(self.one()?)),
            Token::Open => {
                let inner = self.any()?;
                self.close(*at)?;
                inner
            }
            Token::Word(name) => {
                let arguments = self.arguments(*at, name)?;
                matchers(self.dialect, name, arguments).map_err(|reason| RuleProblem::new(*at, reason))?
            }
            other => {
                let reason = format!(
                    "a function such as Host(`a.example.com`) was expected, not {}",
                    other.shown()
                );
                return Err(RuleProblem::new(*at, reason));
            }
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn close(&mut self, opened: usize) -> Result<(), RuleProblem> {
        let (at, token) = self.take();
        match token {
            Token::Close => Ok(()),
            Token::LineEnd => Err(RuleProblem::new(
                *at,
                "the rule ends at this line's end; put `&&`, `||`, `,` or `(` at the end of the line",
            )),
            Token::End => Err(RuleProblem::new(opened, "this `(` has no `)`")),
            other => Err(RuleProblem::new(
                *at,
                format!("`)` was expected here, not {}", other.shown()),
            )),
        }
    }

    fn arguments(&mut self, named: usize, name: &str) -> Result<Vec<String>, RuleProblem> {
        let opened = self.peek().0;
        if !self.takes(&Token::Open) {
            let reason = format!("`{name}` is written with its arguments: {name}(`…`)");
            return Err(RuleProblem::new(named, reason));
        }
        let mut arguments = Vec::new();
        while self.peek().1 != Token::Close {
            match self.take() {
                (at, Token::Text(text)) if text.is_empty() => {
                    return Err(RuleProblem::new(*at, format!("`{name}` has an empty argument")));
                }
                (_, Token::Text(text)) => arguments.push(text.clone()),
                (_, Token::End) => return Err(RuleProblem::new(opened, "this `(` has no `)`")),
                (at, other) => {
                    let reason = format!("the arguments of `{name}` are strings, not {}", other.shown());
                    return Err(RuleProblem::new(*at, reason));
                }
            }
            if !self.takes(&Token::Comma) {
                break;
            }
        }
        self.close(opened)?;
        match arguments.is_empty() {
            true => Err(RuleProblem::new(named, format!("`{name}` has no argument"))),
            false => Ok(arguments),
        }
    }
}

/// Several parts as one; a single part is itself.
pub(super) fn joined(mut parts: Vec<Expression>, join: impl FnOnce(Vec<Expression>) -> Expression) -> Expression {
    match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    }
}
