//! The line of a query: JSON, written member by member into the memory that goes to the sink.
//!
//! At hundreds of thousands of lines a second a tree of values, or a text for each member, would be most of the work.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::entry::Entry;
use super::place::Places;
use crate::config::QueryLogConfig;
use crate::message::{Question, Reader, rcode_name};
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::model::snapshot::Snapshot;

/// Makes lines.
pub(super) struct Lines {
    config: QueryLogConfig,
    places: Places,
    clock: Clock,
}

/// An entry that no filter leaves out.
pub(super) struct Chosen<'a> {
    entry: Entry<'a>,
    question: Option<Question<'a>>,
    header: &'a [u8; 12],
    rcode: u8,
}

impl Lines {
    pub(super) fn new(config: QueryLogConfig) -> Self {
        Self {
            config,
            places: Places::new(),
            clock: Clock::default(),
        }
    }

    /// From now on this is what is served.
    pub(super) fn follow(&mut self, snapshot: &Arc<Snapshot>) {
        self.places.follow(snapshot);
    }

    /// None where a filter leaves it out, or the reply is none.
    pub(super) fn choose<'a>(&self, entry: Entry<'a>) -> Option<Chosen<'a>> {
        let header: &[u8; 12] = entry.reply.first_chunk()?;
        let question = entry.question();
        if !self.config.names.is_empty() {
            let name = Name::from_wire(question.as_ref()?.name).ok()?;
            if !self.config.names.iter().any(|zone| name.is_at_or_below(zone)) {
                return None;
            }
        }
        let extended = if entry.has_whole_reply() {
            extended_rcode(entry.reply).unwrap_or(0)
        } else {
            0
        };
        let rcode = (header[3] & 0x0F) | extended << 4;
        if !self.config.rcodes.is_empty() && !self.config.rcodes.contains(&rcode) {
            return None;
        }
        Some(Chosen {
            entry,
            question,
            header,
            rcode,
        })
    }

    /// Puts the line, without an end, behind what is there.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, chosen: &Chosen<'_>) {
        let head = chosen.entry.head;
        put(out, "{\"time\":\"");
        self.clock.write(out, head.time);
        put(out, "\",\"client\":\"");
        write_address(out, head.client);
        put(out, "\",\"port\":");
        number(out, head.port);
        word(out, "transport", Some(head.transport));
        word(out, "plane", Some(head.plane.label()));
        match &chosen.question {
            Some(question) => {
                put(out, ",\"name\":\"");
                write_name(out, question.name);
                put(out, "\",\"type\":\"");
                match question.qtype.mnemonic() {
                    Some(text) => put(out, text),
                    None => numbered(out, "TYPE", question.qtype.0),
                }
                put(out, "\",\"class\":\"");
                match question.qclass {
                    1 => put(out, "IN"),
                    3 => put(out, "CH"),
                    255 => put(out, "ANY"),
                    other => numbered(out, "CLASS", other),
                }
                put(out, "\"");
            }
            None => put(out, ",\"name\":null,\"type\":null,\"class\":null"),
        }
        put(out, ",\"flags\":[");
        write_flags(out, chosen.header);
        put(out, "]");
        word(out, "rcode", Some(rcode_name(chosen.rcode.into())));
        put(out, ",\"answers\":");
        number(out, u16::from_be_bytes([chosen.header[6], chosen.header[7]]));
        put(out, ",\"size\":");
        number(out, head.size);
        put(out, ",\"microseconds\":");
        match head.took {
            Some(took) => number(out, took.as_micros()),
            None => put(out, "null"),
        }
        self.write_place(out, chosen);
        word(out, "pass_reason", head.passed.map(|reason| reason.label()));
        put(out, "}");
    }

    fn write_place(&mut self, out: &mut Vec<u8>, chosen: &Chosen<'_>) {
        let Some(question) = &chosen.question else {
            put(out, ",\"view\":null,\"zone\":null,\"source\":null");
            return;
        };
        let view = self.places.view_of(chosen.entry.head.client);
        put(out, ",\"view\":");
        match self.places.view_name(view) {
            // Whatever somebody has called it. Into memory: this does not fail.
            Some(name) => drop(serde_json::to_writer(&mut *out, name)),
            None => put(out, "null"),
        }
        let place = self.places.of(question.name, question.qtype, view);
        match &place.zone {
            Some(zone) => {
                put(out, ",\"zone\":\"");
                write_name(out, zone.as_wire());
                put(out, "\"");
            }
            None => put(out, ",\"zone\":null"),
        }
        word(out, "source", place.source.as_ref().map(|source| source.kind()));
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    put(out, itoa::Buffer::new().format(number));
}

fn numbered(out: &mut Vec<u8>, text: &str, value: u16) {
    put(out, text);
    number(out, value);
}

/// A member whose value is one of our own words, in which JSON escapes nothing.
fn word(out: &mut Vec<u8>, member: &str, value: Option<&str>) {
    put(out, ",\"");
    put(out, member);
    match value {
        Some(value) => {
            put(out, "\":\"");
            put(out, value);
            put(out, "\"");
        }
        None => put(out, "\":null"),
    }
}

fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (at, octet) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                number(out, octet);
            }
        }
        // Into memory: this does not fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

/// What [`Name`] shows, as a text of JSON, without quotes: there a backslash is two.
fn write_name(out: &mut Vec<u8>, name: &[u8]) {
    if name == [0] {
        out.push(b'.');
    }
    let mut rest = name;
    while let Some((&length, behind)) = rest.split_first()
        && length != 0
        && let Some((label, behind)) = behind.split_at_checked(length.into())
    {
        rest = behind;
        if label.iter().all(|octet| IS_PLAIN[usize::from(*octet)]) {
            out.extend_from_slice(label);
        } else {
            label.iter().for_each(|octet| write_octet(out, *octet));
        }
        out.push(b'.');
    }
}

/// The octets of names that stand for themselves.
static IS_PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut octet = 0x21;
    while octet <= 0x7E {
        plain[octet] = !matches!(octet as u8, b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$');
        octet += 1;
    }
    plain
};

fn write_octet(out: &mut Vec<u8>, octet: u8) {
    match octet {
        _ if IS_PLAIN[usize::from(octet)] => out.push(octet),
        b'\\' => put(out, r"\\\\"),
        b'"' => put(out, r#"\\\""#),
        0x21..=0x7E => {
            put(out, r"\\");
            out.push(octet);
        }
        _ => {
            put(out, r"\\");
            digits(out, octet.into(), 100);
        }
    }
}

/// A number with leading zeros; `most` is the value of its first digit.
fn digits(out: &mut Vec<u8>, number: u32, most: u32) {
    let mut value = most;
    while value > 0 {
        out.push(b'0' + (number / value % 10) as u8);
        value /= 10;
    }
}

/// Moments as RFC 3339 has them, to the microsecond. What is the same for a whole second is made once.
#[derive(Default)]
struct Clock {
    second: u64,
    /// Up to the seconds; empty where there is none yet.
    text: String,
}

impl Clock {
    fn write(&mut self, out: &mut Vec<u8>, time: SystemTime) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.text.is_empty() || self.second != since.as_secs() {
            self.second = since.as_secs();
            let time = UNIX_EPOCH + Duration::from_secs(self.second);
            self.text = humantime_serde::re::humantime::format_rfc3339_seconds(time).to_string();
            self.text.truncate(self.text.len().saturating_sub(1));
        }
        put(out, &self.text);
        out.push(b'.');
        digits(out, since.subsec_micros(), 100_000);
        out.push(b'Z');
    }
}

/// The flags that are set in the reply, as `dig` calls them.
fn write_flags(out: &mut Vec<u8>, header: &[u8; 12]) {
    let bits = [
        (2, 0x04, "\"aa\""),
        (2, 0x02, "\"tc\""),
        (2, 0x01, "\"rd\""),
        (3, 0x80, "\"ra\""),
        (3, 0x20, "\"ad\""),
        (3, 0x10, "\"cd\""),
    ];
    let mut is_first = true;
    for (at, bit, name) in bits {
        if header[at] & bit != 0 {
            if !is_first {
                out.push(b',');
            }
            put(out, name);
            is_first = false;
        }
    }
}

/// The upper bits of the RCODE in the reply's OPT (RFC 6891 §6.1.3).
fn extended_rcode(reply: &[u8]) -> Option<u8> {
    let count = |at: usize| {
        reply
            .get(at..at + 2)
            .map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
    };
    if count(10)? == 0 {
        return None;
    }
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

    use super::super::entry::{Head, Wants};
    use super::*;
    use crate::observe::latency::Plane;

    struct Logged {
        head: Head,
        query: Vec<u8>,
        reply: Vec<u8>,
    }

    fn logged(rcode: u8) -> Logged {
        let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend_from_slice(b"\x03WWW\x07example\x03com\x00\x00\x01\x00\x01");
        let mut reply = query.clone();
        (reply[2], reply[3], reply[7]) = (0x85, rcode, 2);
        Logged {
            head: Head {
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
            },
            query,
            reply,
        }
    }

    fn shown(logged: &Logged, config: &QueryLogConfig) -> Option<String> {
        let mut lines = Lines::new(config.clone());
        let entry = Entry {
            head: &logged.head,
            query: &logged.query,
            reply: &logged.reply,
        };
        let mut out = Vec::new();
        lines.write(&mut out, &lines.choose(entry)?);
        Some(String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn a_line_says_who_asked_what_and_got_what() {
        assert_eq!(
            shown(&logged(0), &QueryLogConfig::default()).expect("a line"),
            "{\"time\":\"2026-01-01T00:00:00.000001Z\",\"client\":\"192.0.2.1\",\"port\":4242,\"transport\":\"udp\",\
             \"plane\":\"reference\",\"name\":\"WWW.example.com.\",\"type\":\"A\",\"class\":\"IN\",\
             \"flags\":[\"aa\",\"rd\"],\"rcode\":\"NOERROR\",\"answers\":2,\"size\":33,\"microseconds\":7,\
             \"view\":null,\"zone\":null,\"source\":null,\"pass_reason\":\"foreign\"}"
        );
    }

    #[test]
    fn what_has_no_name_of_its_own_is_a_number_and_what_cannot_be_read_is_null() {
        let mut unknown = logged(0);
        let tail = unknown.query.len() - 4;
        unknown.query[tail..].copy_from_slice(&[0xFF, 0x00, 0x01, 0x00]);
        (unknown.head.took, unknown.head.passed) = (None, None);
        unknown.head.client = "2001:db8::1".parse().expect("an address");
        let line = shown(&unknown, &QueryLogConfig::default()).expect("a line");
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(
            (&read["type"], &read["class"], &read["client"], &read["microseconds"]),
            (
                &"TYPE65280".into(),
                &"CLASS256".into(),
                &"2001:db8::1".into(),
                &serde_json::Value::Null
            )
        );
        unknown.query.truncate(14);
        let line = shown(&unknown, &QueryLogConfig::default()).expect("a line");
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert!(
            read["name"].is_null() && read["zone"].is_null() && read["rcode"] == "NOERROR",
            "{line}"
        );
    }

    #[test]
    fn names_are_what_names_show_whatever_octets_are_in_them() {
        for octet in 0..=255u8 {
            let mut name = [3, b'a', octet, b'b', 2, octet, octet, 0];
            for wire in [&mut name[..], &mut [0][..]] {
                let mut out = vec![b'"'];
                write_name(&mut out, wire);
                out.push(b'"');
                let read: String = serde_json::from_slice(&out).expect("JSON");
                assert_eq!(read, Name::from_wire(wire).expect("a name").to_string());
            }
        }
    }

    #[test]
    fn moments_are_written_as_humantime_does() {
        let mut clock = Clock::default();
        for micros in [
            0,
            999_999,
            1_000_000,
            1_767_225_600_012_345,
            1_767_225_600_912_345,
            4_102_444_799_000_010,
        ] {
            let time = UNIX_EPOCH + Duration::from_micros(micros);
            let mut out = Vec::new();
            clock.write(&mut out, time);
            let expected = humantime_serde::re::humantime::format_rfc3339_micros(time).to_string();
            assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
        }
    }

    #[test]
    fn filters_leave_out() {
        let of = |names: &[&str], rcodes: &[u8]| QueryLogConfig {
            names: names.iter().map(|name| Name::parse(name).expect("a name")).collect(),
            rcodes: rcodes.to_vec(),
            ..QueryLogConfig::default()
        };
        assert!(shown(&logged(0), &of(&["example.com."], &[0])).is_some());
        assert!(shown(&logged(0), &of(&["example.net.", "com."], &[])).is_some());
        assert!(shown(&logged(0), &of(&["example.net."], &[])).is_none());
        assert!(shown(&logged(3), &of(&[], &[0, 2])).is_none());
    }
}
