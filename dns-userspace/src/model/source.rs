//! Who brings records: sources, their precedence, and the origin that every RRset carries.
//!
//! ```text
//!  SourceId  kind, instance, precedence, remedy      "kubernetes prod"
//!  Origin    a source, and one object of it          "kubernetes prod, Ingress monitoring/grafana"
//! ```
//!
//! A source is one place that records come from: the API, all zone files, the configuration file, one cluster. Where
//! two sources bring RRsets that cannot both be served, the one with the lower precedence number is served. Sources are
//! compared by that number, then by kind and name, so an ordered map of sources is in the order of the merge.

use std::cmp::Ordering;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// What is known of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceInfo {
    /// One word for metrics and the API: `api`, `zone_file`, `config`, or the kind of a watched source.
    pub kind: Box<str>,
    /// The instance, where a kind can have several, such as `prod`.
    pub name: Option<Box<str>>,
    /// The lowest number is served where RRsets exclude each other.
    pub precedence: u32,
    /// Whether the HTTP API and its dialects change the records of this source.
    pub is_editable: bool,
    /// What a person does to change a record of this source, as the end of "to change it, …".
    pub remedy: Box<str>,
}

/// One source. A clone costs nothing.
#[derive(Clone)]
pub struct SourceId(Arc<SourceInfo>);

/// Precedence numbers: lower is served first.
pub mod precedence {
    /// The HTTP API and its dialects.
    pub const API: u32 = 0;
    /// Zone files.
    pub const ZONE_FILE: u32 = 1_000;
    /// `records` of the configuration file.
    pub const CONFIG: u32 = 2_000;
    /// Secondary zones.
    pub const SECONDARY: u32 = 3_000;
    /// Watched sources: this number plus the position in the configuration.
    pub const WATCHED: u32 = 4_000;
}

static API: LazyLock<Origin> = LazyLock::new(|| Origin::of(SourceId::built_in("api", precedence::API)));
static ZONE_FILES: LazyLock<SourceId> = LazyLock::new(|| SourceId::built_in("zone_file", precedence::ZONE_FILE));
static CONFIG: LazyLock<Origin> = LazyLock::new(|| Origin::of(SourceId::built_in("config", precedence::CONFIG)));

impl SourceId {
    /// A source of this description.
    pub fn new(info: SourceInfo) -> Self {
        Self(Arc::new(info))
    }

    fn built_in(kind: &str, precedence: u32) -> Self {
        let is_editable = precedence == precedence::API;
        let remedy = match is_editable {
            true => "use the API",
            false => "edit the file, then reload",
        };
        Self::new(SourceInfo {
            kind: kind.into(),
            name: None,
            precedence,
            is_editable,
            remedy: remedy.into(),
        })
    }

    /// A watched source for tests: the one at this place of the configuration.
    #[cfg(test)]
    pub(crate) fn watched(kind: &str, name: &str, place: u32) -> Self {
        Self::new(SourceInfo {
            kind: kind.into(),
            name: Some(name.into()),
            precedence: precedence::WATCHED + place,
            is_editable: false,
            remedy: "change the object".into(),
        })
    }

    /// The HTTP API and its dialects.
    pub fn api() -> Self {
        API.source().clone()
    }

    /// All zone files.
    pub fn zone_files() -> Self {
        ZONE_FILES.clone()
    }

    /// `records` of the configuration file.
    pub fn config() -> Self {
        CONFIG.source().clone()
    }

    /// The closed word for metrics and the API, such as `zone_file`.
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The source of a key, for those who show what it said once: of a watched one no more is known than its name.
    pub fn of_key(key: &str) -> Self {
        let (kind, name) = match key.split_once('/') {
            Some((kind, name)) => (kind, Some(name.into())),
            None => (key, None),
        };
        match key {
            "api" => Self::api(),
            "zone_file" => Self::zone_files(),
            "config" => Self::config(),
            _ => Self::new(SourceInfo {
                kind: kind.into(),
                name,
                precedence: precedence::WATCHED,
                is_editable: false,
                remedy: "change it there".into(),
            }),
        }
    }

    /// What tells it from all others, where text is needed: `api`, `kubernetes/prod`.
    pub fn key(&self) -> String {
        match &self.0.name {
            None => self.0.kind.to_string(),
            Some(name) => format!("{}/{name}", self.0.kind),
        }
    }

    /// All that is known of it.
    pub fn info(&self) -> &SourceInfo {
        &self.0
    }
}

impl PartialEq for SourceId {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for SourceId {}

impl PartialOrd for SourceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SourceId {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        let key = |id: &Self| id.0.precedence;
        key(self)
            .cmp(&key(other))
            .then_with(|| (&self.0.kind, &self.0.name).cmp(&(&other.0.kind, &other.0.name)))
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.name {
            None => f.write_str(&self.0.kind),
            Some(name) => write!(f, "{} {name}", self.0.kind),
        }
    }
}

impl fmt::Debug for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Where an RRset comes from: a source, and the object of it, such as a file or `Ingress monitoring/grafana`. With it
/// goes the version at which the RRset got what it says now; origins are compared without it.
///
/// A clone costs nothing: all RRsets of one zone file share one origin.
#[derive(Clone)]
pub struct Origin {
    parts: Arc<OriginParts>,
    version: u64,
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.parts, &other.parts) || self.parts == other.parts
    }
}

impl Eq for Origin {}

#[derive(PartialEq, Eq)]
struct OriginParts {
    source: SourceId,
    object: Option<Box<str>>,
    since: Option<u64>,
}

impl Origin {
    /// Of a source without objects.
    pub fn of(source: SourceId) -> Self {
        Self::from(OriginParts {
            source,
            object: None,
            since: None,
        })
    }

    /// Of one object of a source; `since` is when the object was made, in seconds of Unix time, where it is known.
    pub fn of_object(source: SourceId, object: impl Into<Box<str>>, since: Option<u64>) -> Self {
        Self::from(OriginParts {
            source,
            object: Some(object.into()),
            since,
        })
    }

    /// The HTTP API.
    pub fn api() -> Self {
        API.clone()
    }

    /// The configuration file, without its path.
    pub fn config() -> Self {
        CONFIG.clone()
    }

    /// The configuration file, by its path as messages show it.
    pub fn config_file(path: impl Into<Box<str>>) -> Self {
        Self::of_object(SourceId::config(), path, None)
    }

    /// A zone file, by its path as the configuration gives it.
    pub fn zone_file(path: impl AsRef<str>) -> Self {
        Self::of_object(SourceId::zone_files(), path.as_ref(), None)
    }

    /// The source.
    pub fn source(&self) -> &SourceId {
        &self.parts.source
    }

    /// The closed word for metrics and the API: the kind of the source.
    pub fn label(&self) -> &str {
        self.parts.source.kind()
    }

    /// The object, such as the path of a file.
    pub fn object(&self) -> Option<&str> {
        self.parts.object.as_deref()
    }

    /// Whether both are one in memory. Two that are not may say the same all the same.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.parts, &other.parts)
    }

    /// The version at which the RRset got what it says now; 0 where it has none yet.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The same, of an RRset that got what it says at this version.
    #[must_use]
    pub fn at_version(&self, version: u64) -> Self {
        Self {
            parts: Arc::clone(&self.parts),
            version,
        }
    }

    /// When the object was made, in seconds of Unix time, where it is known.
    pub fn since(&self) -> Option<u64> {
        self.parts.since
    }
}

impl From<OriginParts> for Origin {
    fn from(parts: OriginParts) -> Self {
        Self {
            parts: Arc::new(parts),
            version: 0,
        }
    }
}

impl fmt::Display for Origin {
    /// The object of a file alone: its path says all. Of others the source comes first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_file = matches!(self.label(), "zone_file" | "config");
        match &self.parts.object {
            Some(object) if is_file => f.write_str(object),
            Some(object) => write!(f, "{}, {object}", self.parts.source),
            None if self.label() == "api" => f.write_str("the API"),
            None if self.label() == "config" => f.write_str("the configuration file"),
            None => write!(f, "{}", self.parts.source),
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_in_the_order_of_precedence() {
        let watched = |name: &str, place: u32| SourceId::watched("kubernetes", name, place);
        let mut sources = [
            watched("b", 0),
            SourceId::config(),
            watched("a", 1),
            SourceId::api(),
            SourceId::zone_files(),
        ];
        sources.sort();
        let shown: Vec<String> = sources.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["api", "zone_file", "config", "kubernetes b", "kubernetes a"]);
        assert_eq!(watched("a", 1), watched("a", 1));
        assert_ne!(watched("a", 1), watched("a", 2));
    }

    #[test]
    fn origins_are_compared_by_what_they_say() {
        assert_eq!(Origin::zone_file("x"), Origin::zone_file("x"));
        assert_ne!(Origin::zone_file("x"), Origin::zone_file("y"));
        assert_eq!(Origin::config_file("a.yaml").to_string(), "a.yaml");
        assert_eq!(Origin::api().to_string(), "the API");
    }
}
