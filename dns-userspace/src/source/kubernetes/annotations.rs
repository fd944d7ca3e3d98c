//! Annotations of objects: four prefixes, one meaning.
//!
//! ```text
//! hotdns.io/ttl: "60"        catalyst-dns-sync.io/ttl: "60"
//! external-dns.kubernetes.io/ttl: 10m        external-dns.alpha.kubernetes.io/ttl: "60"
//! ```
//!
//! Where an object has a key under several prefixes, the first in [`PREFIXES`] counts.

use std::collections::BTreeMap;

/// The prefixes, the strongest first.
pub const PREFIXES: [&str; 4] = [
    "hotdns.io/",
    "catalyst-dns-sync.io/",
    "external-dns.kubernetes.io/",
    "external-dns.alpha.kubernetes.io/",
];

/// The largest TTL (RFC 2181 §8).
const MAX_TTL: u64 = 0x7FFF_FFFF;
/// Characters of what is kept of a description.
const MOST_ABOUT: usize = 200;
/// The value of `controller` that external-dns takes for its own.
const CONTROLLER: &str = "dns-controller";
/// Keys of others that are read, too.
const FOREIGN: [&str; 2] = [
    super::objects::CLASS_ANNOTATION,
    super::objects::DEFAULT_CLASS_ANNOTATION,
];

/// The annotations of one object.
#[derive(Debug, Clone, Copy)]
pub struct Annotations<'a>(pub &'a BTreeMap<String, String>);

impl<'a> Annotations<'a> {
    /// The value of a key such as `ttl`, without white space around it.
    pub fn get(self, key: &str) -> Option<&'a str> {
        let found = PREFIXES.iter().find_map(|prefix| self.0.get(&format!("{prefix}{key}")));
        found.map(|value| value.trim())
    }

    /// The items of a list that is separated by commas; empty ones are left out.
    pub fn list(self, key: &str) -> Vec<&'a str> {
        let items = self.get(key).into_iter().flat_map(|value| value.split(','));
        items.map(str::trim).filter(|item| !item.is_empty()).collect()
    }

    /// Whether the value is `true`.
    pub fn is_set(self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Whether the object asks for nothing to be published of it.
    pub fn is_excluded(self) -> bool {
        self.is_set("exclude") || self.get("controller").is_some_and(|value| value != CONTROLLER)
    }

    /// The TTL in seconds. `Ok(None)`: the object has none, or 0.
    pub fn ttl(self) -> Result<Option<u32>, String> {
        let Some(text) = self.get("ttl") else {
            return Ok(None);
        };
        match parse_ttl(text) {
            Some(0) => Ok(None),
            Some(ttl) if ttl <= MAX_TTL => Ok(Some(ttl as u32)),
            _ => Err(format!(
                "annotation `ttl`: `{text}` is no TTL: write seconds from 1 to {MAX_TTL}, or a duration such as 10m"
            )),
        }
    }

    /// Whether the object comes before others that have changed with it.
    pub fn is_urgent(self) -> bool {
        self.get("priority")
            .is_some_and(|value| value.eq_ignore_ascii_case("high"))
    }

    /// What people wrote about it: its description, and who owns it.
    pub fn about(self) -> Option<Box<str>> {
        let given = |key| self.get(key).filter(|text| !text.is_empty());
        let text = match (given("description"), given("owner")) {
            (Some(description), Some(owner)) => format!("{description} (owner: {owner})"),
            (Some(description), None) => description.to_owned(),
            (None, Some(owner)) => format!("owner: {owner}"),
            (None, None) => return None,
        };
        Some(match text.char_indices().nth(MOST_ABOUT) {
            Some((end, _)) => text[..end].into(),
            None => text.into(),
        })
    }

    /// The weight of the object's values against those of others.
    pub fn weight(self) -> Result<Option<u16>, String> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| format!("annotation `weight`: `{text}` is no number from 0 to 65535"))
        };
        self.get("weight").map(parse).transpose()
    }
}

/// Whether an annotation is one that is read; the others of an object are forgotten.
pub fn is_read(key: &str) -> bool {
    PREFIXES.iter().any(|prefix| key.starts_with(prefix)) || FOREIGN.contains(&key)
}

/// Seconds: an integer, or durations such as `1h30m`, of which a fraction of a second is cut.
fn parse_ttl(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, behind) = rest.split_at(digits);
        let unit = behind.find(|character: char| character.is_ascii_digit() || character == '.');
        let (unit, behind) = behind.split_at(unit.unwrap_or(behind.len()));
        let number: f64 = number.parse().ok()?;
        seconds += number
            * match unit {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = behind;
    }
    (!text.is_empty() && seconds.is_finite()).then_some(seconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }

    #[test]
    fn the_first_prefix_counts() {
        let both = of(&[("external-dns.alpha.kubernetes.io/ttl", "1"), ("hotdns.io/ttl", "2")]);
        assert_eq!(Annotations(&both).ttl(), Ok(Some(2)));
        let catalyst = of(&[("catalyst-dns-sync.io/ttl", "60")]);
        assert_eq!(Annotations(&catalyst).ttl(), Ok(Some(60)));
    }

    #[test]
    fn ttls_are_seconds_or_durations() {
        for (text, seconds) in [
            ("60", Some(60)),
            ("10m", Some(600)),
            ("1h30m", Some(5400)),
            ("1.5s", Some(1)),
            ("0", None),
        ] {
            assert_eq!(
                Annotations(&of(&[("hotdns.io/ttl", text)])).ttl(),
                Ok(seconds),
                "{text}"
            );
        }
        for text in ["", "x", "10", "-1", "3000000000", "5d"]
            .iter()
            .filter(|text| **text != "10")
        {
            assert!(Annotations(&of(&[("hotdns.io/ttl", text)])).ttl().is_err(), "{text}");
        }
    }

    #[test]
    fn owner_and_description_are_one_text() {
        for (pairs, about) in [
            (vec![], None),
            (vec![("hotdns.io/owner", "team-a")], Some("owner: team-a")),
            (vec![("catalyst-dns-sync.io/description", "Graphs")], Some("Graphs")),
            (
                vec![("hotdns.io/owner", "team-a"), ("hotdns.io/description", "Graphs")],
                Some("Graphs (owner: team-a)"),
            ),
        ] {
            assert_eq!(Annotations(&of(&pairs)).about().as_deref(), about);
        }
    }

    #[test]
    fn lists_and_exclusions() {
        let some = of(&[
            ("hotdns.io/hostname", " a.x , ,b.x"),
            ("external-dns.kubernetes.io/controller", "mine"),
        ]);
        assert_eq!(Annotations(&some).list("hostname"), ["a.x", "b.x"]);
        assert!(Annotations(&some).is_excluded());
        assert!(!Annotations(&of(&[("hotdns.io/exclude", "false")])).is_excluded());
    }
}
