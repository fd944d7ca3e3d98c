//! Lists that rules fetch: `urls`, `url`, with `refresh` and `max_bytes`.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use axum::http::Uri;

use crate::config::problem::{ConfigProblem, Findings};
use crate::config::section::{CheckedMapping, Text};
use crate::config::storage::StorageConfig;
use crate::host::memory::Size;
use crate::model::name::Name;
use crate::rules::{Action, RemoteList, Rpz, RpzSource};

const RPZ_KEYS: &[&str] = &["zone", "file", "url", "refresh", "max_bytes"];
const REFRESH: Duration = Duration::from_secs(86_400);
const REFRESHES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);
const MAX_BYTES: Size = Size(64 << 20);
const SIZES: RangeInclusive<Size> = Size(1 << 10)..=Size(256 << 20);
/// The folder of the copies, below `storage.path`.
const FOLDER: &str = "lists";

/// The lists at these URLs.
pub(super) fn read_remotes(
    section: &CheckedMapping<'_>,
    urls: &[Text<'_>],
    storage: &StorageConfig,
    findings: &mut Findings,
) -> Vec<RemoteList> {
    let refresh = section.duration("refresh", "refresh: 1d", &REFRESHES, findings);
    let max_bytes = section.size("max_bytes", "max_bytes: 64MiB", &SIZES, findings);
    let mut lists = Vec::with_capacity(urls.len());
    for Text { at, text } in urls {
        let uri = text.parse::<Uri>().ok();
        let is_good = uri.is_some_and(|uri| {
            let host = uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'));
            host && matches!(uri.scheme_str(), Some("http" | "https"))
        });
        if !is_good {
            let text = (*text).to_owned();
            findings.error(*at, ConfigProblem::BadListUrl { text });
            continue;
        }
        lists.push(RemoteList {
            url: (*text).into(),
            folder: storage.path.join(FOLDER),
            refresh: refresh.unwrap_or(REFRESH),
            max_octets: max_bytes.unwrap_or(MAX_BYTES).0,
        });
    }
    lists
}

/// `rpz`.
pub(super) fn read_rpz(
    rule: &CheckedMapping<'_>,
    base: &Path,
    storage: &StorageConfig,
    findings: &mut Findings,
) -> Option<Action> {
    let section = rule.section("rpz", RPZ_KEYS, findings);
    let before = findings.error_count();
    let zone = section.required_text("zone", "zone: rpz.example.", findings);
    let zone = zone.and_then(|text| text.to_name("zone", findings));
    let file = section.text("file", "file: feed.rpz", findings);
    let url = section.text("url", "url: https://lists.example/feed.rpz", findings);
    let remotes = read_remotes(&section, url.as_slice(), storage, findings);
    let source = match (file, url) {
        (Some(file), None) => Some(RpzSource::File(base.join(file.text))),
        (None, Some(_)) => remotes.into_iter().next().map(RpzSource::Remote),
        _ => {
            findings.error(section.at, ConfigProblem::NotOneSource);
            None
        }
    };
    let zone: Option<Name> = zone.filter(|_| findings.error_count() == before);
    Some(Action::Rpz(Rpz {
        zone: zone?,
        source: source?,
    }))
}
