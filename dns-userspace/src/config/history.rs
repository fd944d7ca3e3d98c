//! `history`: how much of what was changed is kept.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::Text;
use crate::host::memory::Size;
use crate::journal::HistoryLimits;

const AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(100 * 365 * 24 * 60 * 60);
const BYTES: RangeInclusive<Size> = Size(1 << 10)..=Size(1 << 50);

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["max_age", "max_bytes"],
    applies: Applies::Live(&[("history", |old, new| old.history != new.history)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> HistoryLimits {
    let section = input.root.section("history", KEY.keys, findings);
    let default = HistoryLimits::default();
    let max_age = section.duration("max_age", "max_age: 90d", &AGES, findings);
    let given = section.text("max_bytes", "max_bytes: 1GiB", findings);
    let max_bytes = given.and_then(|Text { at, text }| {
        let size = Size::parse(text).filter(|size| BYTES.contains(size));
        if size.is_none() {
            let problem = ConfigProblem::BadSize {
                key: section.path("max_bytes"),
                text: text.to_owned(),
                min: *BYTES.start(),
                max: *BYTES.end(),
            };
            findings.error(at, problem);
        }
        size
    });
    HistoryLimits {
        max_age: max_age.unwrap_or(default.max_age),
        max_bytes: max_bytes.map_or(default.max_bytes, |size| size.0),
    }
}
