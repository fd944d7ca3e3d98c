//! `checks` of a source of services: our own checks of its instances.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::super::problem::{ConfigProblem, Findings};
use super::super::section::CheckedMapping;
use crate::model::name::Name;

/// How instances are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSettings {
    /// What is asked of an instance that says nothing else.
    pub ask: CheckAsk,
    /// The time between two checks of one instance.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// Checks in a row that have to pass before an instance that failed is served again.
    pub rise: u32,
    /// Checks in a row that have to fail before an instance is served no more.
    pub fall: u32,
}

/// What is asked of an instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckAsk {
    /// A connection is enough.
    Connection,
    /// This path over HTTP, for a status from 200 to 399.
    Path(Arc<str>),
    /// The addresses of this name over DNS, for the RCODE NOERROR.
    Name(Name),
}

const KEYS: &[&str] = &["type", "path", "name", "interval", "timeout", "rise", "fall"];
const TYPES: &[&str] = &["tcp", "http", "dns"];
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);
const TIMES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// Reads `checks`; nothing where it is absent.
pub(super) fn read(section: &CheckedMapping<'_>, findings: &mut Findings) -> Option<CheckSettings> {
    if !section.has_value("checks") {
        return None;
    }
    let checks = section.section("checks", KEYS, findings);
    let path = checks.short_text("path", "path: /health", 1024, findings);
    let name = checks.text("name", "name: health.example.com", findings);
    let name = name.and_then(|name| name.to_name("checks.name", findings));
    let ask = match checks.word("type", TYPES, findings) {
        Some("http") => CheckAsk::Path(path.map_or_else(|| "/".into(), Arc::from)),
        Some("dns") => match name {
            Some(name) => CheckAsk::Name(name),
            None => {
                // A name that is wrong has been reported already.
                if !checks.has_value("name") {
                    let problem = ConfigProblem::Empty {
                        key: checks.path("name"),
                        remedy: "write the name that DNS checks ask for, as in `name: health.example.com`",
                    };
                    findings.error(checks.at, problem);
                }
                CheckAsk::Connection
            }
        },
        _ => CheckAsk::Connection,
    };
    let count = |key, example, findings: &mut Findings| checks.number(key, 1..=100_u32, "checks", example, findings);
    Some(CheckSettings {
        ask,
        interval: checks
            .duration("interval", "interval: 30s", &TIMES, findings)
            .unwrap_or(INTERVAL),
        timeout: checks
            .duration("timeout", "timeout: 5s", &TIMES, findings)
            .unwrap_or(TIMEOUT),
        rise: count("rise", "rise: 2", findings).unwrap_or(1),
        fall: count("fall", "fall: 2", findings).unwrap_or(1),
    })
}
