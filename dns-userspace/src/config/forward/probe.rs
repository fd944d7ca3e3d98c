//! `probe` of an upstream set: servers are asked by time, so that one that is back is noticed before a client asks.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::choice::choices;
use crate::config::problem::{ConfigProblem, Findings};
use crate::config::section::{CheckedMapping, Text};
use crate::model::name::Name;
use crate::model::record::RecordType;

choices! {
    /// Which servers are probed.
    ProbeWhen {
        /// Those that rest because they did not reply.
        Resting = "resting",
        /// Those, and all that have not replied since the probe before.
        Always = "always",
    }
}

/// How servers are probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeConfig {
    /// The time between two probes; zero: there are none.
    pub interval: Duration,
    /// What is asked.
    pub name: Name,
    /// Its type.
    pub rtype: RecordType,
    /// Which servers.
    pub when: ProbeWhen,
}

const KEYS: &[&str] = &["interval", "name", "type", "when"];
const INTERVAL: Duration = Duration::from_secs(5);
const INTERVALS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            interval: INTERVAL,
            name: Name::root(),
            rtype: RecordType::NS,
            when: ProbeWhen::Resting,
        }
    }
}

pub(super) fn read(set: &CheckedMapping<'_>, findings: &mut Findings) -> ProbeConfig {
    let section = set.section("probe", KEYS, findings);
    let default = ProbeConfig::default();
    let interval = section.duration("interval", "interval: 5s", &INTERVALS, findings);
    let name = section.text("name", "name: .", findings);
    let rtype = section.text("type", "type: NS", findings);
    ProbeConfig {
        interval: interval.unwrap_or(default.interval),
        name: name
            .and_then(|text| text.to_name("name", findings))
            .unwrap_or(default.name),
        rtype: rtype
            .and_then(|text| read_type(text, findings))
            .unwrap_or(default.rtype),
        when: section.choice("when", findings).unwrap_or(default.when),
    }
}

fn read_type(Text { at, text }: Text<'_>, findings: &mut Findings) -> Option<RecordType> {
    let problem = match text.parse::<RecordType>() {
        Ok(rtype) if rtype.is_data() => return Some(rtype),
        Ok(rtype) => ConfigProblem::NotDataType { rtype },
        Err(error) => ConfigProblem::BadType { error },
    };
    findings.error(at, problem);
    None
}
