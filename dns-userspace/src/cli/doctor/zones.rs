//! The configuration itself, and the health of each zone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use dns_userspace::config::{Config, ZoneWithContent};
use dns_userspace::model::name::Name;
use dns_userspace::model::rdata::additional_target;
use dns_userspace::model::record::RecordType;
use dns_userspace::serve::explain::query;
use dns_userspace::zonefile::ZoneContent;

use super::{Finding, State, source};

/// Zones whose delegation is looked at: each costs the time that a resolver takes.
const MOST_ASKED: usize = 5;
const PATIENCE: Duration = Duration::from_secs(1);
const DAY: u32 = 86_400;
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
    for zone in loaded.zones.iter().take(MOST_ASKED) {
        findings.extend(delegation(zone));
    }
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

/// What the world finds of a zone: how many name servers, beside those of its file. `None` where nobody can be asked.
fn delegation(zone: &ZoneWithContent) -> Option<Finding> {
    let apex = &zone.zone.apex;
    let own = name_servers(apex, zone.content.as_ref().ok()?).len();
    let (rcode, found) = ask_resolver(apex)?;
    let check = format!("delegation {apex}");
    match rcode {
        0 if found == own => Some(Finding::ok(check, format!("resolvers find its {own} name servers"))),
        0 if found > 0 => Some(Finding::new(
            State::Warn,
            check,
            format!("resolvers find {found} name servers, its file has {own}"),
            "make the NS records at the registry, in the parent zone, and in the file the same",
        )),
        0 | 3 => Some(Finding::new(
            State::Note,
            check,
            "resolvers do not find it: its parent does not delegate to it",
            "for names of the Internet, enter the name servers at the registry",
        )),
        _ => None,
    }
}

/// RCODE and number of answers to the zone's NS records, of this host's own resolver.
fn ask_resolver(apex: &Name) -> Option<(u8, usize)> {
    let configuration = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    let server: IpAddr = configuration
        .lines()
        .find_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok())?;
    let any = match server {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((server, 53)).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    socket.send(&query(apex, RecordType::NS)).ok()?;
    let mut reply = [0; 4096];
    let octets = socket.recv(&mut reply).ok()?;
    (octets >= 12).then(|| (reply[3] & 0x0F, usize::from(u16::from_be_bytes([reply[6], reply[7]]))))
}

/// What RFC 1912 §2.2 says of the times of an SOA record.
fn soa_faults(soa: &[u8]) -> Vec<String> {
    let Some(times) = soa.last_chunk::<20>() else {
        return Vec::new();
    };
    let number = |at: usize| u32::from_be_bytes([times[at], times[at + 1], times[at + 2], times[at + 3]]);
    let (refresh, retry, expire, minimum) = (number(4), number(8), number(12), number(16));
    let mut faults = Vec::new();
    if retry > refresh {
        faults.push(format!(
            "its SOA has RETRY {retry} above REFRESH {refresh}: it is asked less often after a failure"
        ));
    }
    if expire < refresh.saturating_add(retry) {
        faults.push(format!(
            "its SOA has EXPIRE {expire}: secondaries give it up before they have tried twice"
        ));
    }
    if minimum > DAY {
        faults.push(format!(
            "its SOA has MINIMUM {minimum}: a missing name is missing for so long (RFC 2308 §5: three hours at most)"
        ));
    }
    faults
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
    let servers = name_servers(apex, content);
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
    let soa = at_apex(apex, content, RecordType::SOA).next();
    faults.extend(soa.map(soa_faults).unwrap_or_default());
    faults
}

fn name_servers(apex: &Name, content: &ZoneContent) -> Vec<Name> {
    let servers = at_apex(apex, content, RecordType::NS);
    servers
        .filter_map(|rdata| Name::from_wire(additional_target(RecordType::NS, rdata)?).ok())
        .collect()
}

/// The RDATA of a type at the apex.
fn at_apex<'a>(apex: &Name, content: &'a ZoneContent, rtype: RecordType) -> impl Iterator<Item = &'a [u8]> {
    let key = apex.key();
    let rrsets = content
        .rrsets
        .iter()
        .filter(move |(owner, rrset)| owner.key() == key && rrset.rtype == rtype);
    rrsets.flat_map(|(_, rrset)| rrset.rdatas.iter())
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
        // Whether there is a resolver is this host's matter.
        findings
            .into_iter()
            .filter(|finding| !finding.check.starts_with("delegation"))
            .skip(1)
            .map(|finding| (finding.state, finding.found))
            .collect()
    }

    #[test]
    fn zones_that_resolvers_stumble_over_are_named() {
        let soa = "$TTL 300\n@ SOA ns1 h 1 7200 900 1209600 300\n";
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

    #[test]
    fn times_of_an_soa_that_make_no_sense_are_named() {
        let soa = |times: [u32; 5]| [&b"\0\0"[..], &times.map(u32::to_be_bytes).concat()].concat();
        assert_eq!(soa_faults(&soa([1, 7200, 900, 1_209_600, 300])), [""; 0]);
        let faults = soa_faults(&soa([1, 60, 120, 100, 100_000]));
        assert_eq!(faults.len(), 3, "{faults:?}");
    }
}
