//! The functions of a rule, and what each asks of a request.

use super::Dialect;
use super::expression::{Expression, joined};
use super::pattern::Pattern;
use super::template;

/// One question about a request.
#[derive(Debug, Clone)]
pub(super) enum Matcher {
    /// Every host: ``Host(`*`)`` and ``HostSNI(`*`)``.
    EveryHost,
    /// This host, in lower case, without a final dot.
    Host(String),
    /// The hosts of one label before this: `x` for ``Host(`*.x`)``.
    OneLabel(String),
    /// The hosts that a regular expression takes.
    Pattern(Pattern),
    /// Something that says nothing about the host.
    Other(Other),
}

/// A question about something else than the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Other {
    /// The path is this.
    Path(String),
    /// The path begins so.
    PathPrefix(String),
    /// The method is this.
    Method(String),
    /// Anything else: its name, and its arguments.
    Any(&'static str, Vec<String>),
}

/// A function: its name, the dialects that have it, and how many arguments it takes.
struct Function {
    name: &'static str,
    v3: Option<(usize, usize)>,
    v2: Option<(usize, usize)>,
}

const MANY: usize = usize::MAX;

const HTTP: &[Function] = &[
    function("Host", Some((1, 1)), Some((1, MANY))),
    function("HostHeader", None, Some((1, MANY))),
    function("HostRegexp", Some((1, 1)), Some((1, MANY))),
    function("Path", Some((1, 1)), Some((1, MANY))),
    function("PathPrefix", Some((1, 1)), Some((1, MANY))),
    function("PathRegexp", Some((1, 1)), None),
    function("Method", Some((1, 1)), Some((1, MANY))),
    function("ClientIP", Some((1, 1)), Some((1, MANY))),
    function("Header", Some((2, 2)), None),
    function("HeaderRegexp", Some((2, 2)), None),
    function("Headers", None, Some((2, 2))),
    function("HeadersRegexp", None, Some((2, 2))),
    function("Query", Some((1, 2)), Some((1, MANY))),
    function("QueryRegexp", Some((1, 2)), None),
];

const TCP: &[Function] = &[
    function("HostSNI", Some((1, 1)), Some((1, MANY))),
    function("HostSNIRegexp", Some((1, 1)), Some((1, MANY))),
    function("ALPN", Some((1, 1)), Some((1, MANY))),
    function("ClientIP", Some((1, 1)), Some((1, MANY))),
];

const fn function(name: &'static str, v3: Option<(usize, usize)>, v2: Option<(usize, usize)>) -> Function {
    Function { name, v3, v2 }
}

impl Function {
    fn arity(&self, is_v2: bool) -> Option<(usize, usize)> {
        if is_v2 { self.v2 } else { self.v3 }
    }

    /// Traefik knows a function by its name, in lower case, in upper case, and with one capital.
    fn is_called(&self, name: &str) -> bool {
        let lower = self.name.to_ascii_lowercase();
        let mut one_capital = lower.clone();
        one_capital[..1].make_ascii_uppercase();
        name == self.name || name == lower || name == self.name.to_ascii_uppercase() || name == one_capital
    }
}

/// What a call asks of a request; several arguments that stand for "one of these" become several questions.
pub(super) fn matchers(dialect: Dialect, name: &str, arguments: Vec<String>) -> Result<Expression, String> {
    let (functions, others, is_v2) = match dialect {
        Dialect::HttpV3 => (HTTP, TCP, false),
        Dialect::HttpV2 => (HTTP, TCP, true),
        Dialect::TcpV3 => (TCP, HTTP, false),
        Dialect::TcpV2 => (TCP, HTTP, true),
    };
    let known = functions.iter().find(|function| function.is_called(name));
    let Some((function, (least, most))) = known.and_then(|known| Some((known, known.arity(is_v2)?))) else {
        return Err(unknown(name, functions, others, is_v2));
    };
    let count = arguments.len();
    if !(least..=most).contains(&count) {
        let wants = match (least, most) {
            (1, 1) => "one argument".to_owned(),
            (least, MANY) => format!("at least {least}"),
            (least, most) if least == most => format!("{least} arguments"),
            (least, most) => format!("{least} to {most} arguments"),
        };
        let hint = match (function.name, is_v2) {
            ("Host" | "HostRegexp" | "HostSNI", false) if count > 1 => {
                format!("; for one of several write {0}(`a`) || {0}(`b`)", function.name)
            }
            _ => String::new(),
        };
        return Err(format!("`{}` takes {wants}, not {count}{hint}", function.name));
    }
    let each = |of_one: fn(String) -> Result<Matcher, String>| {
        let parts: Vec<Expression> = arguments
            .iter()
            .map(|argument| of_one(argument.clone()).map(Expression::Is))
            .collect::<Result<_, String>>()?;
        Ok(joined(parts, Expression::Any))
    };
    match function.name {
        "Host" | "HostHeader" if is_v2 => each(|host| host_v2(&host)),
        "HostSNI" if is_v2 => each(|host| {
            if host == "*" {
                Ok(Matcher::EveryHost)
            } else {
                host_v2(&host)
            }
        }),
        "Host" | "HostSNI" => each(|host| host_v3(&host)),
        "HostRegexp" | "HostSNIRegexp" if is_v2 => each(|text| Ok(Matcher::Pattern(template::pattern(&text)?))),
        "HostRegexp" | "HostSNIRegexp" => each(|text| Ok(Matcher::Pattern(Pattern::new(&text, &text)?))),
        // Version 2 has templates in paths: these are not compared with one another.
        "Path" if arguments.iter().all(|path| !is_v2 || !path.contains('{')) => {
            each(|path| Ok(Matcher::Other(Other::Path(path))))
        }
        "PathPrefix" if arguments.iter().all(|path| !is_v2 || !path.contains('{')) => {
            each(|path| Ok(Matcher::Other(Other::PathPrefix(path))))
        }
        "Method" => each(|method| Ok(Matcher::Other(Other::Method(method.to_ascii_uppercase())))),
        name => Ok(Expression::Is(Matcher::Other(Other::Any(name, arguments)))),
    }
}

fn unknown(name: &str, functions: &[Function], others: &[Function], is_v2: bool) -> String {
    let has = |functions: &[Function], is_v2| {
        let mut called = functions.iter().filter(|function| function.is_called(name));
        called.any(|function| function.arity(is_v2).is_some())
    };
    let (version, other) = if is_v2 { (2, 3) } else { (3, 2) };
    if has(functions, !is_v2) {
        return format!("`{name}` is a function of Traefik {other}, and the rule is one of version {version}");
    }
    if has(others, is_v2) || has(others, !is_v2) {
        let (this, that) = match std::ptr::eq(functions, HTTP) {
            true => ("HTTP", "TCP"),
            false => ("TCP", "HTTP"),
        };
        return format!("`{name}` is a function of {that} routers, and the rule is one of an {this} router");
    }
    let known: Vec<&str> = functions
        .iter()
        .filter(|function| function.arity(is_v2).is_some())
        .map(|function| function.name)
        .collect();
    format!("`{name}` is no function of a rule; there are {}", known.join(", "))
}

fn host_v2(host: &str) -> Result<Matcher, String> {
    Ok(Matcher::Host(in_lower_case(host)?))
}

fn host_v3(host: &str) -> Result<Matcher, String> {
    let host = in_lower_case(host)?;
    Ok(match host.strip_prefix("*.") {
        _ if host == "*" => Matcher::EveryHost,
        Some(below) => Matcher::OneLabel(below.to_owned()),
        None => Matcher::Host(host),
    })
}

/// A host as Traefik compares it.
fn in_lower_case(host: &str) -> Result<String, String> {
    if !host.is_ascii() {
        return Err(format!(
            "`{host}` is not ASCII; write the name with its A-labels (`xn--…`)"
        ));
    }
    let host = host.to_ascii_lowercase();
    Ok(host.strip_suffix('.').map(str::to_owned).unwrap_or(host))
}
