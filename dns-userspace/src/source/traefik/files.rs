//! Traefik's dynamic configuration in files, as its file provider reads it: YAML, TOML and JSON.
//!
//! ```text
//! http: {routers: {a: {rule: Host(`a.x`), service: s}}}   ─► Router a@file, as the API would show it
//! ```
//!
//! Names of keys are taken in any case, as by Traefik. A file with an error changes nothing at all: what was read last
//! is served, and the source says which file and why. Templates (`{{ … }}`) are not evaluated.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::super::WorldError;
use super::super::proxy_files::Texts;
use super::{Router, Routers, key};

/// The endings of the files of a folder that Traefik reads, and JSON, which is YAML too.
pub(super) const ENDINGS: &[&str] = &["yaml", "yml", "toml", "json"];

/// All routers of these files.
pub(super) fn routers(texts: Texts) -> Result<Routers, WorldError> {
    let mut routers: BTreeMap<Arc<str>, (Router, bool)> = BTreeMap::new();
    for (path, text) in texts {
        let whole = parse(&path, &text).map_err(|reason| {
            let hint = match text.contains("{{") {
                true => "; templates are not evaluated: let hotdns ask Traefik's API, with `address` for `path`",
                false => "",
            };
            WorldError(format!("{}: {reason}{hint}", path.display()))
        })?;
        for (protocol, is_http) in [("http", true), ("tcp", false)] {
            let section = member(&whole, protocol).and_then(|section| member(section, "routers"));
            for (name, router) in section.and_then(Value::as_object).into_iter().flatten() {
                // As with Traefik, the first one of a name stands.
                let router = || (read(router), is_http);
                routers
                    .entry(key(&format!("{name}@file"), is_http))
                    .or_insert_with(router);
            }
        }
    }
    let routers = routers.into_iter();
    Ok(routers.map(|(key, (router, is_http))| (key, router, is_http)).collect())
}

fn parse(path: &Path, text: &str) -> Result<Value, String> {
    match path.extension().is_some_and(|ending| ending == "toml") {
        true => toml::from_str(text).map_err(|error| error.to_string()),
        false if text.trim().is_empty() => Ok(Value::Null),
        false => serde_saphyr::from_str(text).map_err(|error| error.to_string()),
    }
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let mut members = value.as_object()?.iter();
    members
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn read(router: &Value) -> Router {
    let text = |name| {
        member(router, name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let parents = member(router, "parentRefs").and_then(Value::as_array);
    Router {
        rule: text("rule"),
        rule_syntax: text("ruleSyntax"),
        parent_refs: parents
            .into_iter()
            .flatten()
            .filter_map(|parent| parent.as_str().map(str::to_owned))
            .collect(),
        ..Router::default()
    }
}
