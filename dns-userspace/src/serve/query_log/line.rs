//! The line of a query.

use std::net::IpAddr;

use serde::Serialize;

use super::entry::Entry;
use crate::config::QueryLogConfig;
use crate::message::{Reader, rcode_name};
use crate::model::name::{Name, NameKey};
use crate::model::record::RecordType;
use crate::model::snapshot::Snapshot;

/// The members of a line, in their order.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    time: String,
    client: IpAddr,
    port: u16,
    transport: &'a str,
    plane: &'a str,
    name: Option<String>,
    r#type: Option<String>,
    class: Option<String>,
    flags: Vec<&'a str>,
    rcode: &'a str,
    answers: u16,
    size: usize,
    microseconds: Option<u64>,
    view: Option<&'a str>,
    zone: Option<String>,
    source: Option<&'a str>,
    pass_reason: Option<&'a str>,
}

impl Line<'_> {
    /// The line in a few words: `www.example.com. A NOERROR 192.0.2.1`.
    pub(super) fn summary(&self) -> String {
        let [name, rtype] = [&self.name, &self.r#type].map(|text| text.as_deref().unwrap_or("-"));
        format!("{name} {rtype} {} {}", self.rcode, self.client)
    }
}

/// The line; `None` where a filter leaves it out, or the reply is none. `name` is the question's.
pub(super) fn line<'a>(
    entry: &'a Entry,
    name: Option<&Name>,
    config: &QueryLogConfig,
    snapshot: &'a Snapshot,
) -> Option<Line<'a>> {
    let header: &[u8; 12] = entry.reply.first_chunk()?;
    let question = entry.question();
    let is_below = |zone: &Name| name.is_some_and(|name| name.is_at_or_below(zone));
    if !config.names.is_empty() && !config.names.iter().any(is_below) {
        return None;
    }
    let extended = if entry.has_whole_reply() {
        extended_rcode(&entry.reply).unwrap_or(0)
    } else {
        0
    };
    let rcode = (header[3] & 0x0F) | extended << 4;
    if !config.rcodes.is_empty() && !config.rcodes.contains(&rcode) {
        return None;
    }
    let class = question.map(|question| match question.qclass {
        1 => "IN".to_owned(),
        3 => "CH".to_owned(),
        255 => "ANY".to_owned(),
        other => format!("CLASS{other}"),
    });
    let place = Place::of(snapshot, name, question.map(|question| question.qtype), entry.client);
    Some(Line {
        time: humantime_serde::re::humantime::format_rfc3339_micros(entry.time).to_string(),
        client: entry.client,
        port: entry.port,
        transport: entry.transport,
        plane: entry.plane.label(),
        name: name.map(Name::to_string),
        r#type: question.map(|question| question.qtype.to_string()),
        class,
        flags: flags(header),
        rcode: rcode_name(rcode.into()),
        answers: u16::from_be_bytes([header[6], header[7]]),
        size: entry.size,
        microseconds: entry.took.map(|took| took.as_micros().try_into().unwrap_or(u64::MAX)),
        view: place.view,
        zone: place.zone,
        source: place.source,
        pass_reason: entry.passed.map(|reason| reason.label()),
    })
}

/// Where the answer is from, in what is served now.
#[derive(Default)]
struct Place<'a> {
    view: Option<&'a str>,
    zone: Option<String>,
    source: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(snapshot: &'a Snapshot, name: Option<&Name>, qtype: Option<RecordType>, client: IpAddr) -> Self {
        let (Some(name), Some(qtype)) = (name, qtype) else {
            return Self::default();
        };
        let number = usize::from(snapshot.views.clients.view_of(client));
        let view = number.checked_sub(1).and_then(|at| snapshot.views.list.get(at));
        let tree = view.map_or(snapshot, |view| &view.tree);
        let (key, zone) = (name.key(), tree.zone_asked(name, qtype));
        let node = tree.node(&key).or_else(|| {
            // RFC 4592 §3.3.1: the wildcard at the closest encloser, which is the first that is there.
            let is_there = |name: &NameKey| zone.is_some_and(|zone| zone.name_exists(name));
            let mut above = key.parent();
            while let Some(encloser) = above {
                if let Some(node) = tree.node(&encloser.wildcard_child()) {
                    return Some(node);
                }
                above = encloser.parent().filter(|_| !is_there(&encloser));
            }
            None
        });
        let rrset = node.and_then(|node| node.rrset(qtype).or_else(|| node.rrset(RecordType::CNAME)));
        Self {
            view: view.map(|view| &*view.name),
            zone: zone.map(|zone| zone.apex.to_string()),
            source: rrset.map(|rrset| rrset.origin.label()),
        }
    }
}

/// The flags that are set in the reply, as `dig` calls them.
fn flags(header: &[u8; 12]) -> Vec<&'static str> {
    let bits = [
        (2, 0x04, "aa"),
        (2, 0x02, "tc"),
        (2, 0x01, "rd"),
        (3, 0x80, "ra"),
        (3, 0x20, "ad"),
        (3, 0x10, "cd"),
    ];
    let set = bits.iter().filter(|(at, bit, _)| header[*at] & bit != 0);
    set.map(|(_, _, name)| *name).collect()
}

/// The upper bits of the RCODE in the reply's OPT (RFC 6891 §6.1.3).
fn extended_rcode(reply: &[u8]) -> Option<u8> {
    let count = |at: usize| {
        reply
            .get(at..at + 2)
            .map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
    };
    let mut reader = Reader::behind_header(reply);
    for _ in 0..count(4)? {
        reader.question()?;
    }
    for _ in 0..u32::from(count(6)?) + u32::from(count(8)?) {
        reader.record()?;
    }
    for _ in 0..count(10)? {
        let record = reader.record()?;
        if record.rtype == RecordType::OPT {
            return Some((record.ttl >> 24) as u8);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use dns_common::reason::PassReason;

    use super::super::entry::Wants;
    use super::*;
    use crate::observe::latency::Plane;

    fn entry(rcode: u8) -> Entry {
        let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend_from_slice(b"\x03WWW\x07example\x03com\x00\x00\x01\x00\x01");
        let mut reply = query.clone();
        (reply[2], reply[3], reply[7]) = (0x85, rcode, 2);
        Entry {
            wants: Wants::default(),
            weight: 1,
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_767_225_600_000_001),
            took: Some(Duration::from_micros(7)),
            client: "192.0.2.1".parse().expect("an address"),
            port: 4242,
            server: None,
            transport: "udp",
            plane: Plane::Reference,
            passed: Some(PassReason::Foreign),
            size: reply.len(),
            query: query.into(),
            reply: reply.into(),
        }
    }

    fn shown(entry: &Entry, config: &QueryLogConfig) -> Option<String> {
        let name = entry
            .question()
            .and_then(|question| Name::from_wire(question.name).ok());
        let snapshot = Snapshot::default();
        let line = line(entry, name.as_ref(), config, &snapshot)?;
        Some(serde_json::to_string(&line).expect("JSON"))
    }

    #[test]
    fn a_line_says_who_asked_what_and_got_what() {
        assert_eq!(
            shown(&entry(0), &QueryLogConfig::default()).expect("a line"),
            "{\"time\":\"2026-01-01T00:00:00.000001Z\",\"client\":\"192.0.2.1\",\"port\":4242,\"transport\":\"udp\",\
             \"plane\":\"reference\",\"name\":\"WWW.example.com.\",\"type\":\"A\",\"class\":\"IN\",\
             \"flags\":[\"aa\",\"rd\"],\"rcode\":\"NOERROR\",\"answers\":2,\"size\":33,\"microseconds\":7,\
             \"view\":null,\"zone\":null,\"source\":null,\"pass_reason\":\"foreign\"}"
        );
    }

    #[test]
    fn filters_leave_out() {
        let of = |names: &[&str], rcodes: &[u8]| QueryLogConfig {
            names: names.iter().map(|name| Name::parse(name).expect("a name")).collect(),
            rcodes: rcodes.to_vec(),
            ..QueryLogConfig::default()
        };
        assert!(shown(&entry(0), &of(&["example.com."], &[0])).is_some());
        assert!(shown(&entry(0), &of(&["example.net.", "com."], &[])).is_some());
        assert!(shown(&entry(0), &of(&["example.net."], &[])).is_none());
        assert!(shown(&entry(3), &of(&[], &[0, 2])).is_none());
    }
}
