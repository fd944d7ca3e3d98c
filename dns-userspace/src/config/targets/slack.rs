//! Webhooks that take what Slack's take.

use std::path::Path;
use std::sync::Arc;

use super::super::section::CheckedMapping;
use super::TargetReader;
use crate::model::name::Name;

/// A webhook that is told of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlackConfig {
    /// Its name.
    pub name: Box<str>,
    /// The file with its URL, which is a secret.
    pub url: Arc<Path>,
    /// Only names at or below one of these; none: all.
    pub zones: Vec<Name>,
    /// Messages in a minute at most.
    pub max_rate: u16,
}

pub(super) const KEYS: &[&str] = &["name", "url_file", "zones", "max_rate"];

pub(super) fn read<'a>(section: &CheckedMapping<'a>, reader: &mut TargetReader<'a, '_>) -> Option<SlackConfig> {
    let name = reader.name(section);
    let url = section.required_text("url_file", "url_file: webhook", reader.findings);
    let zones = reader.zones(section);
    let max_rate = section.number(
        "max_rate",
        1..=1000,
        "messages a minute",
        "max_rate: 20",
        reader.findings,
    );
    Some(SlackConfig {
        name: name?,
        url: reader.base.join(url?.text).into(),
        zones,
        max_rate: max_rate.unwrap_or(20),
    })
}
