//! `log_level`: how much is logged, by all or by single parts: `info,resolve=debug`.

use super::choice::{ClosedList, choices};
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::Text;

choices! {
    /// How much is logged; each level includes those before it.
    LogLevel {
        /// What ends the process or loses a function.
        Error = "error",
        /// What somebody should look at.
        Warn = "warn",
        /// Start, stop, reloads and their results.
        Info = "info",
        /// Single changes and connections.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

/// How much is logged by which part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter {
    /// By all parts that have no level of their own.
    pub level: LogLevel,
    /// Parts with one: the rooms of `docs/ARCHITECTURE.md`, and modules in them.
    pub parts: Vec<(Box<str>, LogLevel)>,
}

impl From<LogLevel> for LogFilter {
    fn from(level: LogLevel) -> Self {
        Self {
            level,
            parts: Vec::new(),
        }
    }
}

/// The parts that a level may be given to, and modules in them, as in `source::kubernetes`. `audit` is the line of each
/// change over HTTP, `xdp` the program in the kernel.
pub(super) const PARTS: &[&str] = &[
    "answer",
    "api",
    "audit",
    "cluster",
    "config",
    "control",
    "cookies",
    "formats",
    "host",
    "journal",
    "lines",
    "message",
    "model",
    "observe",
    "principal",
    "publish",
    "query",
    "resolve",
    "rules",
    "serve",
    "server",
    "source",
    "store",
    "table",
    "target",
    "tls",
    "traefik_rule",
    "xdp",
    "zonefile",
];

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[],
    applies: Applies::Live(&[("log_level", |old, new| old.log_level != new.log_level)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> LogFilter {
    let mut filter = LogFilter::from(LogLevel::Info);
    let Some(Text { at, text }) = input.root.text("log_level", "log_level: info", findings) else {
        return filter;
    };
    for part in text.split(',').map(str::trim) {
        let (name, word) = match part.split_once('=') {
            Some((name, word)) => (Some(name.trim()), word.trim()),
            None => (None, part),
        };
        let Some(level) = LogLevel::from_word(word) else {
            let problem = ConfigProblem::NotAChoice {
                key: "log_level".to_owned(),
                value: word.to_owned(),
                choices: LogLevel::WORDS,
            };
            findings.error(at, problem);
            continue;
        };
        match name {
            None => filter.level = level,
            Some(name) if PARTS.contains(&name.split("::").next().unwrap_or(name)) => {
                filter.parts.push((name.into(), level));
            }
            Some(name) => {
                let problem = ConfigProblem::NotAChoice {
                    key: "log_level".to_owned(),
                    value: name.to_owned(),
                    choices: PARTS,
                };
                findings.error(at, problem);
            }
        }
    }
    filter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_room_may_have_a_level() {
        let rooms = include_str!("../lib.rs").lines().filter_map(|line| {
            let (_, name) = line.split_once("mod ")?;
            name.strip_suffix(';')
        });
        for room in rooms {
            assert!(PARTS.contains(&room), "{room}");
        }
    }
}
