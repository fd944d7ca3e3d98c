//! Rules for upstream's answers: `ttl` and `filter`.

use std::ops::RangeInclusive;

use crate::config::problem::{ConfigProblem, Findings};
use crate::config::section::{CheckedMapping, Text};
use crate::model::name::Name;
use crate::rules::{Action, Filter, NewTtl, PRIVATE, TtlRule};

const TTL_KEYS: &[&str] = &["suffix", "min", "max", "fixed"];
const FILTER_KEYS: &[&str] = &["addresses", "except"];
/// As for `cache`.
const TTLS: RangeInclusive<u32> = 0..=604_800;

/// `ttl`.
pub(super) fn read_ttl(rule: &CheckedMapping<'_>, findings: &mut Findings) -> Option<Action> {
    let section = rule.section("ttl", TTL_KEYS, findings);
    refuse_clients(rule, findings);
    let suffix = section.text("suffix", "suffix: example.com.", findings);
    let suffix = match suffix {
        Some(text) => text.to_name("suffix", findings)?,
        None => Name::root(),
    };
    let mut number = |key, example| section.number(key, TTLS, "seconds", example, findings);
    let (min, max, fixed) = (
        number("min", "min: 60"),
        number("max", "max: 3600"),
        number("fixed", "fixed: 30"),
    );
    let ttl = match (min, max, fixed) {
        (None, None, Some(ttl)) => NewTtl::Fixed(ttl),
        (min, max, None) if min.is_some() || max.is_some() => {
            let (least, most) = (min.unwrap_or(0), max.unwrap_or(u32::MAX));
            if least > most {
                let error = format!("`min` is {least}, more than `max`, {most}");
                findings.error(section.at, ConfigProblem::BadRule { key: "ttl", error });
                return None;
            }
            NewTtl::Within(least, most)
        }
        _ => {
            let error = "write `fixed`, or one of `min` and `max`, or both".to_owned();
            findings.error(section.at, ConfigProblem::BadRule { key: "ttl", error });
            return None;
        }
    };
    Some(Action::Ttl(TtlRule { suffix, ttl }))
}

/// `filter`.
pub(super) fn read_filter(rule: &CheckedMapping<'_>, findings: &mut Findings) -> Option<Action> {
    let section = rule.section("filter", FILTER_KEYS, findings);
    refuse_clients(rule, findings);
    let before = findings.error_count();
    let addresses = section.prefixes("addresses", "addresses: [10.0.0.0/8]", findings);
    let addresses = addresses.unwrap_or_else(|| PRIVATE.iter().filter_map(|text| text.parse().ok()).collect());
    let except = section
        .texts("except", "except: [corp.example.]", findings)
        .unwrap_or_default();
    let except = except
        .into_iter()
        .filter_map(|text: Text<'_>| text.to_name("except", findings));
    let except = except.collect();
    (findings.error_count() == before).then_some(Action::Filter(Filter { addresses, except }))
}

/// What is kept for all clients is no single client's.
fn refuse_clients(rule: &CheckedMapping<'_>, findings: &mut Findings) {
    if let Some(at) = rule.position("clients") {
        findings.error(at, ConfigProblem::ClientsOfAnswers);
    }
}
