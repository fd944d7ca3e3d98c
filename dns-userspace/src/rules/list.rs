//! Lists of names, in the notations that are in use.
//!
//! | line | names |
//! |---|---|
//! | `0.0.0.0 ads.example www.ads.example` (hosts) | these names alone |
//! | `ads.example`, `*.ads.example` (domains) | this name and all below it |
//! | `\|\|ads.example^` (adblock) | likewise |
//! | `@@\|\|good.ads.example^` (adblock) | this name and all below it are not blocked |
//! | `# …`, `! …`, `[…]` | nothing: a comment |

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::suffixes;
use crate::host::files;
use crate::model::name::Name;

/// Octets of a file.
const MOST_OCTETS: u64 = 256 << 20;
/// Names that hosts files have for the host itself.
const OWN_NAMES: &[&str] = &[
    "localhost",
    "localhost.localdomain",
    "local",
    "broadcasthost",
    "0.0.0.0",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-allhosts",
];

/// The name itself is blocked.
const SELF: u8 = 1;
/// The name and all below it are blocked.
const TREE: u8 = 2;
/// The name and all below it are not.
const ALLOWED: u8 = 4;

/// Names that are blocked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockList {
    /// By name in wire form, in lower case.
    names: HashMap<Box<[u8]>, u8>,
}

/// A list of a rule could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the rule `{rule}`: {list} cannot be read ({error}): what the rule had before stays")]
pub struct ListError {
    /// The rule.
    pub rule: Arc<str>,
    /// The file or the URL.
    pub list: String,
    /// Why.
    pub error: String,
}

impl BlockList {
    /// Names in it.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.names.capacity()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether a name in wire form, in lower case, is blocked. The longest name of the list that covers it decides.
    pub fn has(&self, name: &[u8]) -> bool {
        if self.names.is_empty() {
            return false;
        }
        for (place, suffix) in suffixes(name).enumerate() {
            let Some(&flags) = self.names.get(suffix) else {
                continue;
            };
            if flags & ALLOWED != 0 {
                return false;
            }
            if flags & TREE != 0 || (place == 0 && flags & SELF != 0) {
                return true;
            }
        }
        false
    }

    /// Adds the names of a file. How many of its lines are no names.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<usize> {
        Ok(self.read_lines(&files::read_text(path, MOST_OCTETS)?))
    }

    /// The same for a text.
    pub(super) fn read_lines(&mut self, text: &str) -> usize {
        text.lines().filter(|line| !self.add_line(line)).count()
    }

    /// Whether a text that was fetched is a list at all: an error page, say, is none.
    pub(super) fn check(text: &str) -> Result<(), String> {
        let mut list = Self::default();
        let left_out = list.read_lines(text);
        if list.is_empty() {
            return Err("it has no names in it".to_owned());
        }
        let names = list.len();
        if left_out > names {
            return Err(format!(
                "it has {names} names, and {left_out} lines that are none: that is no list"
            ));
        }
        Ok(())
    }

    /// Adds what another list has.
    pub(super) fn add_all(&mut self, other: &Self) {
        for (name, flags) in &other.names {
            *self.names.entry(name.clone()).or_default() |= flags;
        }
    }

    /// Adds the names of a line; false where it has none and is no comment.
    pub(super) fn add_line(&mut self, line: &str) -> bool {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with(['#', '!', '[']) {
            return true;
        }
        if let Some(rule) = line.strip_prefix("@@||") {
            return self.add_adblock(rule, ALLOWED);
        }
        if let Some(rule) = line.strip_prefix("||") {
            return self.add_adblock(rule, TREE);
        }
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first.parse::<IpAddr>().is_ok() {
            let names = words.take_while(|word| !word.starts_with('#'));
            return names.fold(true, |all, name| {
                let is_own = OWN_NAMES.contains(&name);
                (is_own || self.add(name, SELF)) && all
            });
        }
        words.next().is_none() && self.add(first.strip_prefix("*.").unwrap_or(first), TREE)
    }

    /// `ads.example^`, with options behind `$` of which we know one.
    fn add_adblock(&mut self, rule: &str, flag: u8) -> bool {
        let (pattern, options) = rule.split_once('$').unwrap_or((rule, ""));
        let Some(name) = pattern.strip_suffix('^').or_else(|| pattern.strip_suffix("^|")) else {
            return false;
        };
        matches!(options, "" | "important") && self.add(name.strip_prefix("*.").unwrap_or(name), flag)
    }

    fn add(&mut self, name: &str, flag: u8) -> bool {
        let Ok(name) = Name::parse_given(name) else {
            return false;
        };
        if name.is_root() {
            return false;
        }
        *self
            .names
            .entry(name.as_wire().to_ascii_lowercase().into())
            .or_default() |= flag;
        true
    }
}
