//! Files with zones and records in them, as repositories and folders of exports have them: from octets to objects.
//!
//! ```text
//! zones/example.com.zone   a zone; its name is that of its `$ORIGIN`, of `zones`, or of the file
//! zones/hosts.yaml         records in the words of the API: {records: [{name, type, value}]}
//! zones/README.md          is no such file
//! ```
//!
//! A file is read for itself ([`read`]), so one that has not changed need not be read again. [`objects`] puts files
//! together: a zone that lies below another one of the same source is its own, and what the upper one has there is left
//! out, as by every server of both.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use tracing::warn;

use super::{Claim, Object};
use crate::config::TextSettings;
use crate::formats::{Format, Record, Source};
use crate::model::name::{Name, NameKey};
use crate::model::rdata;
use crate::model::record::{Handling, Order, RecordType, Wildcard};
use crate::zonefile;

/// Errors of one file that are told.
const MOST_ERRORS: usize = 5;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Zone,
    Records,
}

/// What one file says.
#[derive(Debug)]
pub(super) struct Part {
    /// The zone that it holds; none where it has records alone.
    apex: Option<Name>,
    claims: Vec<Claim>,
}

/// Files that were read, by their paths.
pub(super) type Parts = BTreeMap<Arc<str>, Arc<Part>>;

/// What a file is, by its path below the folder; `None`: nothing for us. Files and folders that begin with a dot are
/// somebody else's.
pub(super) fn kind_of(path: &str, settings: &TextSettings) -> Option<Kind> {
    if mapped(path, settings).is_some() {
        return Some(Kind::Zone);
    }
    if path.split('/').any(|part| part.starts_with('.')) {
        return None;
    }
    let file = path.rsplit('/').next().unwrap_or_default();
    match file.rsplit_once('.').map(|(_, extension)| extension) {
        Some("zone" | "db") => Some(Kind::Zone),
        Some("yaml" | "yml" | "json") => Some(Kind::Records),
        _ if file.starts_with("db.") => Some(Kind::Zone),
        _ => None,
    }
}

fn mapped<'s>(path: &str, settings: &'s TextSettings) -> Option<&'s Name> {
    let mut zones = settings.zones.iter();
    zones.find(|(file, _)| **file == *path).map(|(_, apex)| apex)
}

/// Reads a file. `path` is its path below the folder, and `shown_as` what messages call it.
///
/// # Errors
/// What is wrong with it, each with file and line.
pub(super) fn read(
    path: &str,
    shown_as: &str,
    octets: &[u8],
    kind: Kind,
    settings: &TextSettings,
) -> Result<Part, String> {
    match kind {
        Kind::Zone => read_zone(path, shown_as, octets, settings),
        Kind::Records => read_records(shown_as, octets, settings),
    }
}

fn read_zone(path: &str, shown_as: &str, octets: &[u8], settings: &TextSettings) -> Result<Part, String> {
    let apex = match mapped(path, settings) {
        Some(apex) => apex.clone(),
        None => origin_of(octets).or_else(|| apex_of_file(path)).ok_or_else(|| {
            format!(
                "{shown_as}: which zone is it? Begin it with `$ORIGIN example.com.`, call it example.com.zone, or name \
                 file and zone under `zones`"
            )
        })?,
    };
    let content = zonefile::read_text(octets, &apex, shown_as.into()).map_err(|errors| {
        let shown: Vec<String> = errors.iter().take(MOST_ERRORS).map(ToString::to_string).collect();
        shown.join("; ")
    })?;
    for warning in &content.warnings {
        warn!("{warning}");
    }
    let claims = content.rrsets.into_iter().map(|(owner, rrset)| Claim {
        view: None,
        owner,
        rtype: rrset.rtype,
        ttl: rrset.ttl,
        rdatas: rrset.rdatas.iter().map(Into::into).collect(),
        handling: Handling::default(),
    });
    Ok(Part {
        claims: claims.collect(),
        apex: Some(apex),
    })
}

/// The absolute `$ORIGIN` in front of the first record.
fn origin_of(octets: &[u8]) -> Option<Name> {
    let text = String::from_utf8_lossy(octets);
    let lines = text.lines().map(|line| line.split(';').next().unwrap_or_default());
    let directives = lines.take_while(|line| line.trim().is_empty() || line.starts_with('$'));
    let mut origins = directives.filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next().filter(|word| word.eq_ignore_ascii_case("$ORIGIN"))?;
        words.next().filter(|name| name.ends_with('.'))
    });
    Name::parse(origins.next()?).ok()
}

/// The zone that a file's name speaks of: `example.com.zone`, `example.com.txt`, `db.example.com`.
fn apex_of_file(path: &str) -> Option<Name> {
    let file = path.rsplit('/').next()?;
    let ends = [".zone", ".db", ".txt"];
    let name = ends
        .iter()
        .find_map(|end| file.strip_suffix(end))
        .or_else(|| file.strip_prefix("db."))?;
    Name::parse_given(name).ok()
}

fn read_records(shown_as: &str, octets: &[u8], settings: &TextSettings) -> Result<Part, String> {
    let text = std::str::from_utf8(octets).map_err(|error| format!("{shown_as}: {error}"))?;
    let source = Source {
        text,
        shown_as: Path::new(shown_as),
        zone: None,
    };
    let imported = Format::Yaml.read(source).map_err(|errors| {
        let shown = errors
            .iter()
            .take(MOST_ERRORS)
            .map(|error| format!("{shown_as}:{error}"));
        shown.collect::<Vec<String>>().join("; ")
    })?;
    let claims = imported.records.iter().enumerate().filter_map(|(number, record)| {
        let claim = claim(record, settings.ttl);
        claim
            .map_err(|error| format!("{shown_as}: /records/{number}: {error}"))
            .transpose()
    });
    Ok(Part {
        apex: None,
        claims: claims.collect::<Result<_, _>>()?,
    })
}

/// What a record asks for; nothing where it is disabled.
fn claim(record: &Record, default_ttl: u32) -> Result<Option<Claim>, String> {
    if record.disabled == Some(true) {
        return Ok(None);
    }
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let owner = Name::parse_given(&record.name).map_err(|error| text(&error))?;
    let rtype: RecordType = record.r#type.parse().map_err(|error| text(&error))?;
    let rdatas = record.value.iter().map(|value| rdata::parse_value(rtype, value));
    let rdatas: Result<Vec<_>, _> = rdatas.collect();
    let weights = record.weights.iter().flatten().map(|weight| u16::try_from(*weight));
    let weights: Vec<u16> = weights.collect::<Result<_, _>>().map_err(|error| text(&error))?;
    let order = record.order.as_deref().unwrap_or("fixed");
    if order == "weighted" && weights.len() != record.value.len() {
        return Err("`order: weighted` needs `weights`, one for each value".to_owned());
    }
    let order = Order::from_word(order, weights.into())
        .ok_or_else(|| format!("`{order}` is no order; there are {}", Order::WORDS.join(", ")))?;
    let wildcard = record.wildcard.as_deref().unwrap_or("rfc4592");
    let wildcard = Wildcard::from_word(wildcard).ok_or_else(|| {
        let words = Wildcard::WORDS.join(", ");
        format!("`{wildcard}` is no kind of wildcard; there are {words}")
    })?;
    if record.view.is_some() {
        return Err("a record of a watched source is in no view: leave `view` out".to_owned());
    }
    Ok(Some(Claim {
        view: None,
        owner,
        rtype,
        ttl: record.ttl.unwrap_or(default_ttl),
        rdatas: rdatas.map_err(|error| text(&error))?,
        handling: Handling::new(order, wildcard),
    }))
}

/// The objects of all files: one for each.
///
/// # Errors
/// Two files hold the same zone.
pub(super) fn objects(parts: &Parts) -> Result<Vec<Object>, String> {
    let mut apexes: HashMap<NameKey, &Arc<str>> = HashMap::new();
    for (path, part) in parts {
        let Some(apex) = &part.apex else { continue };
        if let Some(other) = apexes.insert(apex.key(), path) {
            return Err(format!(
                "{other} and {path} both hold the zone {apex}: leave one of them out"
            ));
        }
    }
    let objects = parts.iter().map(|(path, part)| {
        let own = part.apex.as_ref().map(Name::key);
        let claims = part.claims.iter().filter(|claim| match &own {
            Some(own) => is_in_zone(claim, own, &apexes),
            None => true,
        });
        Object {
            key: Arc::clone(path),
            since: 0,
            claims: Ok(claims.cloned().collect()),
        }
    });
    Ok(objects.collect())
}

/// Whether a record of the zone `own` is not below another one of the same source. DS records at the apex of that are
/// the upper zone's.
fn is_in_zone(claim: &Claim, own: &NameKey, apexes: &HashMap<NameKey, &Arc<str>>) -> bool {
    let key = claim.owner.key();
    let is_ds = claim.rtype == RecordType::DS;
    let mut above = (0..=claim.owner.label_count())
        .rev()
        .map(|labels| claim.owner.suffix(labels).key());
    let home = above.find(|at| apexes.contains_key(at) && !(is_ds && *at == key && at != own));
    home.is_none_or(|home| home == *own)
}

#[cfg(test)]
mod tests;
