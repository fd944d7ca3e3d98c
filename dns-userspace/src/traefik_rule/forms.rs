//! Sets of hosts, as far as DNS can say them, and what comes of two of them.

use std::fmt;

/// A set of hosts. Names are text in lower case without the final dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// Every host.
    Every,
    /// One host.
    Exact(String),
    /// One label before this.
    OneLabel(String),
    /// One label or more before this.
    AnyDepth(String),
    /// Something that DNS cannot say.
    Unknown(Underivable),
}

/// Hosts that a rule takes and DNS cannot say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Underivable {
    /// The part of the rule.
    pub what: String,
    /// Why DNS cannot say it, and what to write where that helps.
    pub reason: String,
}

impl fmt::Display for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => formatter.write_str("every host"),
            Self::Exact(host) => formatter.write_str(host),
            Self::OneLabel(below) | Self::AnyDepth(below) => write!(formatter, "*.{below}"),
            Self::Unknown(unknown) => formatter.write_str(&unknown.what),
        }
    }
}

/// Whether `host` is `base`, or below it.
pub(super) fn is_at_or_below(host: &str, base: &str) -> bool {
    host == base || is_below(host, base)
}

fn is_below(host: &str, base: &str) -> bool {
    host.strip_suffix(base)
        .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// Whether `host` is one label before `base`.
pub(super) fn is_one_label_before(host: &str, base: &str) -> bool {
    host.split_once('.')
        .is_some_and(|(label, rest)| !label.is_empty() && rest == base)
}

impl Form {
    /// Whether a host is in a set that DNS can say; `None` where it cannot.
    pub(super) fn has(&self, host: &str) -> Option<bool> {
        match self {
            Self::Every => Some(true),
            Self::Exact(exact) => Some(exact == host),
            Self::OneLabel(base) => Some(is_one_label_before(host, base)),
            Self::AnyDepth(base) => Some(is_below(host, base)),
            Self::Unknown(_) => None,
        }
    }

    /// The hosts that are in both; `None` where there are none. An exact host against an unknown set is not for this.
    pub(super) fn and(&self, other: &Self) -> Option<Self> {
        use Form::{AnyDepth, Every, Exact, OneLabel};
        match (self, other) {
            (Every, set) | (set, Every) => Some(set.clone()),
            (Self::Unknown(one), Self::Unknown(two)) if one == two => Some(self.clone()),
            (Self::Unknown(unknown), set) | (set, Self::Unknown(unknown)) => Some(Self::Unknown(Underivable {
                what: format!("{} and {set}", unknown.what),
                reason: unknown.reason.clone(),
            })),
            (exact @ Exact(host), set) | (set, exact @ Exact(host)) => {
                set.has(host).unwrap_or(false).then(|| exact.clone())
            }
            (one @ OneLabel(base), OneLabel(other)) => (base == other).then(|| one.clone()),
            (one @ OneLabel(base), AnyDepth(above)) | (AnyDepth(above), one @ OneLabel(base)) => {
                is_at_or_below(base, above).then(|| one.clone())
            }
            (AnyDepth(base), AnyDepth(other)) => match (is_at_or_below(base, other), is_at_or_below(other, base)) {
                (true, _) => Some(self.clone()),
                (_, true) => Some(AnyDepth(other.clone())),
                _ => None,
            },
        }
    }

    /// The hosts that are in this and not in `other`; `None` where there are none.
    pub(super) fn without(&self, other: &Self) -> Option<Self> {
        use Form::{AnyDepth, Every, Exact, OneLabel};
        let is_covered = match (self, other) {
            (_, Every) => true,
            (Exact(host), set) => set.has(host).unwrap_or(false),
            (one, two) if one == two => true,
            (OneLabel(base) | AnyDepth(base), AnyDepth(above)) => is_at_or_below(base, above),
            _ => false,
        };
        if is_covered {
            return None;
        }
        let is_apart = match (self, other) {
            (Exact(_), _) => true,
            (OneLabel(_) | AnyDepth(_), Exact(_) | OneLabel(_) | AnyDepth(_)) => self.and(other).is_none(),
            _ => false,
        };
        if is_apart {
            return Some(self.clone());
        }
        Some(Self::Unknown(match self {
            Self::Unknown(unknown) => Underivable {
                what: format!("{} without {other}", unknown.what),
                reason: unknown.reason.clone(),
            },
            set => Underivable {
                what: format!("{set} without {other}"),
                reason: "a wildcard of DNS has no exceptions; write the names that are wanted, each with Host".into(),
            },
        }))
    }
}
