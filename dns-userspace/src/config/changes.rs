//! `changes`: how much one change may remove.

use std::ops::RangeInclusive;

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;
use crate::store::Guard;

const RECORDS: RangeInclusive<u32> = 1..=1_000_000_000;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["max_delete_ratio", "min_records"],
    applies: Applies::Live(&[("changes", |old, new| old.changes != new.changes)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> Guard {
    let section = input.root.section("changes", KEY.keys, findings);
    let default = Guard::default();
    let ratio = section.ratio("max_delete_ratio", "max_delete_ratio: 0.5", findings);
    let least = section.number("min_records", RECORDS, "records", "min_records: 20", findings);
    Guard {
        max_delete_ratio: ratio.unwrap_or(default.max_delete_ratio),
        min_records: least.map_or(default.min_records, |least| least as usize),
    }
}
