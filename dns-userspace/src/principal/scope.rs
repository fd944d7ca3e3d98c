//! What a principal may do, and how that is written in the file of tokens, in the API and in claims.
//!
//! ```yaml
//! scope:
//!   zones: [example.org.]          # names at or below one of these
//!   names: ["_acme-challenge.*"]   # a name, or its first labels and `.*`
//!   types: [TXT]
//!   methods: [GET, PUT, DELETE]
//!   sources: [api]                 # whose records may be changed
//!   views: [default, office]       # `default` is the records of no view
//! ```

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::model::source::SourceId;

/// What [`Scope::views`] calls the records of no view.
pub const DEFAULT_VIEW: &str = "default";
/// The methods that a scope can name. HEAD is a GET.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// What somebody may do; an empty list allows all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Names at or below one of these.
    pub zones: Vec<Name>,
    /// Names that one of these patterns fits.
    pub names: Vec<NamePattern>,
    /// Types.
    pub types: Vec<RecordType>,
    /// Methods of HTTP, in upper case.
    pub methods: Vec<Box<str>>,
    /// Sources whose records may be changed, by kind (`api`) or by kind and name (`git/infra`).
    pub sources: Vec<Box<str>>,
    /// Views; [`DEFAULT_VIEW`] is the records of no view.
    pub views: Vec<Box<str>>,
}

/// A name, or all names that begin with its labels: `_acme-challenge.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePattern {
    /// This name alone.
    Exactly(Name),
    /// Every name whose first labels are these; the labels as the name that they make.
    BeginsWith(Name),
}

/// A scope as it is written: every list may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Scope)]
pub struct ScopeText {
    /// Names at or below one of these. Reads obey it too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// Names, or their first labels and `.*`, as in `_acme-challenge.*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Record types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// GET (HEAD with it), POST, PUT, PATCH, DELETE.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Sources whose records may be changed: `api`, or a kind and a name such as `git/infra`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Views; `default` is the records of no view. Reads obey it too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<String>,
}

/// A part of a scope that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`scope.{list}`: {reason}")]
pub struct ScopeError {
    /// The list.
    pub list: &'static str,
    /// What is wrong, and what to write.
    pub reason: String,
}

impl Scope {
    /// Whether an RRset may be changed; `None` asks for all types at the name.
    pub fn may_change(&self, owner: &Name, rtype: Option<RecordType>) -> bool {
        let has_name = self.names.is_empty() || self.names.iter().any(|pattern| pattern.fits(owner));
        let has_type = self.types.is_empty() || rtype.is_some_and(|rtype| self.types.contains(&rtype));
        self.may_read(owner) && has_name && has_type
    }

    /// Whether what is at a name may be read.
    pub fn may_read(&self, owner: &Name) -> bool {
        self.zones.is_empty() || self.zones.iter().any(|zone| owner.is_at_or_below(zone))
    }

    /// Whether requests of this method may be sent.
    pub fn has_method(&self, method: &str) -> bool {
        let method = if method == "HEAD" { "GET" } else { method };
        self.methods.is_empty() || self.methods.iter().any(|allowed| **allowed == *method)
    }

    /// Whether a view may be read and changed; `None` is the default.
    pub fn has_view(&self, view: Option<&str>) -> bool {
        let view = view.unwrap_or(DEFAULT_VIEW);
        self.views.is_empty() || self.views.iter().any(|allowed| **allowed == *view)
    }

    /// Whether the records of a source may be changed.
    pub fn has_source(&self, source: &SourceId) -> bool {
        let fits = |allowed: &str| allowed == source.kind() || allowed == source.key();
        self.sources.is_empty() || self.sources.iter().any(|allowed| fits(allowed))
    }

    /// Whether no records are left out; methods may be.
    pub fn has_all_records(&self) -> bool {
        let Self {
            zones,
            names,
            types,
            methods: _,
            sources,
            views,
        } = self;
        zones.is_empty() && names.is_empty() && types.is_empty() && sources.is_empty() && views.is_empty()
    }
}

impl TryFrom<&ScopeText> for Scope {
    type Error = ScopeError;

    fn try_from(text: &ScopeText) -> Result<Self, ScopeError> {
        let types = read("types", &text.types, |text| {
            let rtype = text.parse::<RecordType>().map_err(|error| error.to_string())?;
            let is_data = rtype.is_data().then_some(rtype);
            is_data.ok_or_else(|| format!("{rtype} is no type of stored records: write one such as TXT"))
        })?;
        let methods = read("methods", &text.methods, |text| {
            let method = text.to_ascii_uppercase();
            if METHODS.contains(&method.as_str()) {
                return Ok(method.into());
            }
            Err(format!("`{text}` is none of {}", METHODS.join(", ")))
        })?;
        Ok(Self {
            zones: read("zones", &text.zones, name)?,
            names: read("names", &text.names, str::parse)?,
            types,
            methods,
            sources: read("sources", &text.sources, word)?,
            views: read("views", &text.views, word)?,
        })
    }
}

fn read<T>(
    list: &'static str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, ScopeError> {
    let parsed = texts.iter().map(|text| parse(text));
    parsed
        .collect::<Result<_, _>>()
        .map_err(|reason| ScopeError { list, reason })
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse_given(text).map_err(|error| format!("`{text}` is no name: {error}"))
}

fn word(text: &str) -> Result<Box<str>, String> {
    match text.trim() {
        "" => Err("an empty text: remove it".to_owned()),
        _ => Ok(text.into()),
    }
}

impl From<&Scope> for ScopeText {
    fn from(scope: &Scope) -> Self {
        fn texts<T: ToString>(list: &[T]) -> Vec<String> {
            list.iter().map(ToString::to_string).collect()
        }
        Self {
            zones: texts(&scope.zones),
            names: texts(&scope.names),
            types: texts(&scope.types),
            methods: texts(&scope.methods),
            sources: texts(&scope.sources),
            views: texts(&scope.views),
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = ScopeText::from(self);
        let lists = [
            ("zones", text.zones),
            ("names", text.names),
            ("types", text.types),
            ("methods", text.methods),
            ("sources", text.sources),
            ("views", text.views),
        ];
        let parts = lists.iter().filter(|(_, items)| !items.is_empty());
        let parts: Vec<String> = parts
            .map(|(list, items)| format!("the {list} {}", items.join(", ")))
            .collect();
        match parts.is_empty() {
            true => f.write_str("everything"),
            false => f.write_str(&parts.join("; ")),
        }
    }
}

impl NamePattern {
    fn fits(&self, owner: &Name) -> bool {
        match self {
            Self::Exactly(name) => owner.key() == name.key(),
            Self::BeginsWith(labels) => {
                // Wire forms: the labels, without the root that ends them, are the beginning of the owner.
                let labels = labels.as_wire();
                let labels = &labels[..labels.len() - 1];
                let owner = owner.as_wire();
                owner.len() > labels.len() + 1 && owner[..labels.len()].eq_ignore_ascii_case(labels)
            }
        }
    }
}

impl std::str::FromStr for NamePattern {
    type Err = String;

    /// A name, or its first labels and `.*`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_suffix(".*") {
            Some(labels) => name(labels).map(Self::BeginsWith),
            None => name(text).map(Self::Exactly),
        }
    }
}

impl std::fmt::Display for NamePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(name) => write!(f, "{name}"),
            Self::BeginsWith(labels) => write!(f, "{labels}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Result<Scope, ScopeError> {
        Scope::try_from(&serde_json::from_str::<ScopeText>(text).expect("the shape of a scope"))
    }

    #[test]
    fn a_name_alone_is_no_pattern() {
        let pattern: NamePattern = "WWW.x.".parse().expect("a pattern");
        assert!(pattern.fits(&"www.x.".parse().expect("a name")));
        assert!(!pattern.fits(&"a.www.x.".parse().expect("a name")));
        assert!("a..b.*".parse::<NamePattern>().is_err());
    }

    #[test]
    fn what_is_written_is_read_and_written_again() {
        let text = r#"{"zones":["x."],"names":["_acme-challenge.*"],"types":["TXT"],"methods":["PUT"],"sources":["api"],
                       "views":["default"]}"#;
        let read = scope(text).expect("a scope");
        let written = serde_json::to_string(&ScopeText::from(&read)).expect("written");
        assert_eq!(scope(&written), Ok(read));
    }

    #[test]
    fn what_means_nothing_is_an_error_that_names_the_list() {
        for (text, list) in [
            (r#"{"zones":["a..b"]}"#, "zones"),
            (r#"{"names":["a..b.*"]}"#, "names"),
            (r#"{"types":["ANY"]}"#, "types"),
            (r#"{"types":["NONSENSE"]}"#, "types"),
            (r#"{"methods":["BREW"]}"#, "methods"),
            (r#"{"views":[""]}"#, "views"),
        ] {
            assert_eq!(scope(text).expect_err(text).list, list);
        }
    }

    #[test]
    fn methods_views_and_sources_are_lists_of_what_is_allowed() {
        let limited = scope(r#"{"methods":["get"],"views":["office"],"sources":["api"]}"#).expect("a scope");
        assert!(limited.has_method("GET") && limited.has_method("HEAD") && !limited.has_method("PUT"));
        assert!(limited.has_view(Some("office")) && !limited.has_view(None));
        assert!(limited.has_source(&SourceId::api()) && !limited.has_source(&SourceId::config()));
        assert!(!limited.has_all_records());
        let reader = scope(r#"{"methods":["GET"]}"#).expect("a scope");
        assert!(reader.has_all_records() && reader.has_view(None));
    }
}
