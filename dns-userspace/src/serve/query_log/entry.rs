//! What is logged of one query, and its line.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::config::QueryLogConfig;
use crate::message::{Protocol, Reader, rcode_name};
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::observe::latency::Plane;

/// A query and its reply, as they are.
pub(super) struct Entry {
    pub(super) time: SystemTime,
    pub(super) took: Duration,
    pub(super) client: IpAddr,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    pub(super) plane: Plane,
    pub(super) query: Box<[u8]>,
    pub(super) reply: Box<[u8]>,
}

/// The members of a line, in their order.
#[derive(Serialize)]
struct Line<'a> {
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
    microseconds: u64,
}

impl Entry {
    /// The line; `None` where a filter leaves it out, or the reply is none.
    pub(super) fn line(&self, config: &QueryLogConfig) -> Option<String> {
        let header: &[u8; 12] = self.reply.first_chunk()?;
        let mut reader = Reader::behind_header(&self.query);
        let question = reader.question();
        let name = question.and_then(|question| Name::from_wire(question.name).ok());
        let is_below = |zone: &Name| name.as_ref().is_some_and(|name| name.is_at_or_below(zone));
        if !config.names.is_empty() && !config.names.iter().any(is_below) {
            return None;
        }
        let rcode = (header[3] & 0x0F) | extended_rcode(&self.reply).unwrap_or(0) << 4;
        if !config.rcodes.is_empty() && !config.rcodes.contains(&rcode) {
            return None;
        }
        let class = question.map(|question| match question.qclass {
            1 => "IN".to_owned(),
            3 => "CH".to_owned(),
            255 => "ANY".to_owned(),
            other => format!("CLASS{other}"),
        });
        let line = Line {
            time: humantime_serde::re::humantime::format_rfc3339_micros(self.time).to_string(),
            client: self.client,
            port: self.port,
            transport: self.protocol.label(),
            plane: self.plane.label(),
            name: name.map(|name| name.to_string()),
            r#type: question.map(|question| shown_type(question.qtype)),
            class,
            flags: flags(header),
            rcode: rcode_name(rcode.into()),
            answers: u16::from_be_bytes([header[6], header[7]]),
            size: self.reply.len(),
            microseconds: self.took.as_micros().try_into().unwrap_or(u64::MAX),
        };
        serde_json::to_string(&line).ok()
    }
}

fn shown_type(rtype: RecordType) -> String {
    rtype.to_string()
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
    use super::*;

    fn entry(rcode: u8) -> Entry {
        let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend_from_slice(b"\x03WWW\x07example\x03com\x00\x00\x01\x00\x01");
        let mut reply = query.clone();
        (reply[2], reply[3], reply[7]) = (0x85, rcode, 2);
        Entry {
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_767_225_600_000_001),
            took: Duration::from_micros(7),
            client: "192.0.2.1".parse().expect("an address"),
            port: 4242,
            protocol: Protocol::Udp,
            plane: Plane::FastPath,
            query: query.into(),
            reply: reply.into(),
        }
    }

    #[test]
    fn a_line_says_who_asked_what_and_got_what() {
        let line = entry(0).line(&QueryLogConfig::default()).expect("a line");
        assert_eq!(
            line,
            "{\"time\":\"2026-01-01T00:00:00.000001Z\",\"client\":\"192.0.2.1\",\"port\":4242,\"transport\":\"udp\",\
             \"plane\":\"fast_path\",\"name\":\"WWW.example.com.\",\"type\":\"A\",\"class\":\"IN\",\
             \"flags\":[\"aa\",\"rd\"],\"rcode\":\"NOERROR\",\"answers\":2,\"size\":33,\"microseconds\":7}"
        );
    }

    #[test]
    fn filters_leave_out() {
        let of = |names: &[&str], rcodes: &[u8]| QueryLogConfig {
            names: names.iter().map(|name| Name::parse(name).expect("a name")).collect(),
            rcodes: rcodes.to_vec(),
            ..QueryLogConfig::default()
        };
        assert!(entry(0).line(&of(&["example.com."], &[0])).is_some());
        assert!(entry(0).line(&of(&["example.net.", "com."], &[])).is_some());
        assert!(entry(0).line(&of(&["example.net."], &[])).is_none());
        assert!(entry(3).line(&of(&[], &[0, 2])).is_none());
    }
}
