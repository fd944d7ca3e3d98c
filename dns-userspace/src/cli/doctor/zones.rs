//! The configuration itself, and the health of each zone.

use std::path::PathBuf;

use dns_userspace::config::{Config, ZoneWithContent};
use dns_userspace::model::name::Name;
use dns_userspace::model::rdata::additional_target;
use dns_userspace::model::record::RecordType;
use dns_userspace::zonefile::ZoneContent;

use super::{Finding, State, source};

/// Zones that have a row of their own where nothing is wrong with them.
const MOST_ROWS: usize = 20;

/// Reads the configuration with its zone files.
pub(super) fn configuration(path: PathBuf, findings: &mut Vec<Finding>) -> Option<Config> {
    let shown = path.display().to_string();
    let loaded = match source(path).load_everything() {
        Ok(loaded) => loaded,
        Err(errors) => {
            let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let fix = "correct these, then run `hotdns check` again";
            findings.push(Finding::new(State::Fail, "configuration", text.join("\n"), fix));
            return None;
        }
    };
    findings.push(Finding::ok("configuration", shown));
    for warning in &loaded.warnings {
        findings.push(Finding::new(State::Warn, "configuration", warning.to_string(), ""));
    }
    for clash in &loaded.clashes {
        findings.push(Finding::new(
            State::Fail,
            "configuration",
            clash.to_string(),
            "keep one of the two",
        ));
    }
    let mut unlisted = 0;
    for (number, zone) in loaded.zones.iter().enumerate() {
        let finding = health(zone);
        if finding.state == State::Ok && number >= MOST_ROWS {
            unlisted += 1;
        } else {
            findings.push(finding);
        }
    }
    if unlisted > 0 {
        findings.push(Finding::ok("zones", format!("{unlisted} more without a fault")));
    }
    Some(loaded.config)
}

fn health(zone: &ZoneWithContent) -> Finding {
    let apex = &zone.zone.apex;
    let check = format!("zone {apex}");
    match &zone.content {
        Err(errors) => {
            let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let fix = "until this is corrected the zone answers SERVFAIL";
            Finding::new(State::Fail, check, text.join("\n"), fix)
        }
        Ok(content) => {
            let faults = faults(apex, content);
            let warnings = content.warnings.iter().cloned();
            let all: Vec<String> = faults.into_iter().chain(warnings).collect();
            if all.is_empty() {
                return Finding::ok(check, format!("{} RRsets", content.rrsets.len()));
            }
            Finding::new(
                State::Warn,
                check,
                all.join("\n"),
                format!("see {}", zone.zone.shown_as),
            )
        }
    }
}

/// What resolvers stumble over: no NS records, one name server alone, name servers in the zone without an address.
fn faults(apex: &Name, content: &ZoneContent) -> Vec<String> {
    let mut faults = Vec::new();
    let servers: Vec<Name> = content
        .rrsets
        .iter()
        .filter(|(owner, rrset)| owner.key() == apex.key() && rrset.rtype == RecordType::NS)
        .flat_map(|(_, rrset)| rrset.rdatas.iter())
        .filter_map(|rdata| Name::from_wire(additional_target(RecordType::NS, rdata)?).ok())
        .collect();
    match servers.len() {
        0 => faults.push("it has no NS record at its apex, so its parent cannot delegate to it".to_owned()),
        1 => faults.push("it has one name server alone; RFC 2182 §5 asks for two at least".to_owned()),
        _ => {}
    }
    for server in servers.iter().filter(|server| server.is_at_or_below(apex)) {
        let has_address = content
            .rrsets
            .iter()
            .any(|(owner, rrset)| owner.key() == server.key() && rrset.rtype.is_address());
        if !has_address {
            faults.push(format!("its name server {server} has no address"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(zone: &str) -> Vec<(State, String)> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("example.com.zone"), zone).expect("written");
        let path = folder.path().join("hotdns.yaml");
        std::fs::write(&path, "zones: [{name: example.com., file: example.com.zone}]\n").expect("written");
        let mut findings = Vec::new();
        assert!(configuration(path, &mut findings).is_some());
        findings
            .into_iter()
            .skip(1)
            .map(|finding| (finding.state, finding.found))
            .collect()
    }

    #[test]
    fn zones_that_resolvers_stumble_over_are_named() {
        let soa = "$TTL 300\n@ SOA ns1 h 1 2 3 4 5\n";
        let good = format!("{soa}@ NS ns1\n@ NS ns2.example.net.\nns1 A 192.0.2.1\n");
        assert_eq!(states(&good), [(State::Ok, "3 RRsets".to_owned())]);
        let [(state, found)] = &states(&format!("{soa}@ NS ns1\nwww A 192.0.2.1\n"))[..] else {
            panic!()
        };
        assert_eq!(*state, State::Warn);
        assert!(
            found.contains("one name server") && found.contains("ns1.example.com. has no address"),
            "{found}"
        );
        assert_eq!(states("no zone\n")[0].0, State::Fail);
    }
}
