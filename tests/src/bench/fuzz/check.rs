//! What holds for every packet, whatever the tables say.

use hickory_proto::op::Message;
use hickory_proto::serialize::binary::BinDecodable;

use crate::frames::UdpFrame;
use crate::testrun::{Outcome, Verdict};

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes up, as it came.
    Passed,
    /// It is gone.
    Dropped,
    /// It is answered, with this DNS message.
    Answered(Vec<u8>),
}

impl Fate {
    /// Its name in a tally.
    pub fn name(&self) -> String {
        match self {
            Self::Passed => "passed".to_owned(),
            Self::Dropped => "dropped".to_owned(),
            Self::Answered(reply) => format!("answered, RCODE {}", reply[3] & 15),
        }
    }
}

/// Checks an outcome; an error says what is wrong with it.
pub fn check(packet: &[u8], outcome: &Outcome) -> Result<Fate, String> {
    match outcome.verdict {
        Verdict::Pass if outcome.packet == packet => Ok(Fate::Passed),
        Verdict::Pass => Err("passed up, but changed".to_owned()),
        Verdict::Drop => Ok(Fate::Dropped),
        Verdict::Transmit => answer(packet, &outcome.packet).map(Fate::Answered),
        verdict @ (Verdict::Aborted | Verdict::Redirect | Verdict::Unknown(_)) => Err(format!("verdict {verdict:?}")),
    }
}

/// The answer in a frame, if the frame and the message are right.
fn answer(packet: &[u8], frame: &[u8]) -> Result<Vec<u8>, String> {
    let query = query(packet)?;
    let source = query.source.ip();
    if query.source.port() == 0 || source.is_unspecified() || source.is_multicast() || query.source == query.destination
    {
        return Err(format!("answered to {}", query.source));
    }
    let reply = UdpFrame::parse(frame).map_err(|error| format!("the answer's frame is wrong: {error}"))?;
    let expected = UdpFrame {
        source_mac: query.destination_mac,
        destination_mac: query.source_mac,
        source: query.destination,
        destination: query.source,
        vlans: query.vlans.clone(),
        ttl: 64,
        // ECN is cleared, and DSCP is the server's own choice.
        traffic_class: reply.traffic_class & !3,
        checksum: crate::frames::UdpChecksum::Right,
        payload: reply.payload.clone(),
    };
    if reply != expected {
        return Err(format!("the answer's headers are not the query's, swapped: {reply:?}"));
    }
    if frame.len() != reply.header_length() + reply.payload.len() {
        return Err(format!(
            "{} bytes follow the answer",
            frame.len() - reply.header_length() - reply.payload.len()
        ));
    }
    message(&query.payload, &reply.payload)?;
    Ok(reply.payload)
}

/// The query, which may have a wrong UDP checksum: it is not verified, as it is partial on veth and lo.
pub fn query(packet: &[u8]) -> Result<UdpFrame, String> {
    let mut fixed = packet.to_vec();
    if let Some(at) = udp_checksum_at(packet)
        && let Some(field) = fixed.get_mut(at..at + 2)
        && packet[at..at + 2] != [0, 0]
    {
        field.fill(0);
        // The right sum is what makes a frame parse: try it by building the same frame anew.
        if let Some(sum) = right_checksum(&fixed) {
            fixed[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
    }
    UdpFrame::parse(&fixed).map_err(|error| format!("answered what is no plain UDP datagram: {error}"))
}

fn ip_at(packet: &[u8]) -> Option<(usize, bool)> {
    let mut at = 12;
    loop {
        match packet.get(at..at + 2)? {
            [0x81, 0x00] | [0x88, 0xA8] => at += 4,
            [0x08, 0x00] => return Some((at + 2, true)),
            [0x86, 0xDD] => return Some((at + 2, false)),
            _ => return None,
        }
    }
}

fn udp_checksum_at(packet: &[u8]) -> Option<usize> {
    let (ip, is_ipv4) = ip_at(packet)?;
    let at = ip + if is_ipv4 { 20 } else { 40 } + 6;
    (at + 2 <= packet.len()).then_some(at)
}

fn right_checksum(packet: &[u8]) -> Option<u16> {
    let (ip, is_ipv4) = ip_at(packet)?;
    let udp_at = ip + if is_ipv4 { 20 } else { 40 };
    let length = usize::from(u16::from_be_bytes(packet.get(udp_at + 4..udp_at + 6)?.try_into().ok()?));
    let udp = packet.get(udp_at..udp_at + length)?;
    let (source, destination) = if is_ipv4 {
        let address = |at: usize| -> Option<[u8; 4]> { packet.get(ip + at..ip + at + 4)?.try_into().ok() };
        (address(12)?.into(), address(16)?.into())
    } else {
        let address = |at: usize| -> Option<[u8; 16]> { packet.get(ip + at..ip + at + 16)?.try_into().ok() };
        (address(8)?.into(), address(24)?.into())
    };
    Some(crate::frames::udp_checksum(source, destination, udp))
}

/// Checks a reply against its query.
fn message(query: &[u8], reply: &[u8]) -> Result<(), String> {
    if query.len() < 12 || reply.len() < 12 {
        return Err(format!("{} bytes answered with {}", query.len(), reply.len()));
    }
    if query[2] & 0x80 != 0 {
        return Err("a response was answered".to_owned());
    }
    if reply[..2] != query[..2] {
        return Err("another ID".to_owned());
    }
    // QR is set, OPCODE is the query's, and RD too, which is QUERY's alone.
    let kept = if query[2] & 0x78 == 0 {
        query[2] & 1
    } else {
        query[2] & 0x78
    };
    if reply[2] & 0xF9 != 0x80 | kept {
        return Err(format!(
            "flags {:02x} {:02x} for {:02x} {:02x}",
            reply[2], reply[3], query[2], query[3]
        ));
    }
    if reply[4..6] == [0, 1] {
        let end = question_end(query).ok_or("a question that ends beyond the query was answered")?;
        if reply.get(12..end) != Some(&query[12..end]) {
            return Err("the question is not echoed as it came".to_owned());
        }
    }
    match Message::from_bytes(reply) {
        Ok(message) if message.to_string().is_empty() => Err("an empty message".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("an independent reader cannot read the answer: {error}")),
    }
}

fn question_end(query: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        match *query.get(at)? {
            0 => break,
            length @ 1..=63 => at += usize::from(length) + 1,
            _ => return None,
        }
    }
    (at + 5 <= query.len()).then_some(at + 5)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::frames::{Query, wire_name};

    fn case() -> (UdpFrame, UdpFrame) {
        let query = Query::new(&wire_name("www.example.com."), 1).build();
        let mut reply = query.clone();
        reply[2] |= 0x80;
        let client = "192.0.2.1:4000".parse().unwrap();
        let server = "192.0.2.2:53".parse().unwrap();
        let sent = UdpFrame::new(([2; 6], [4; 6]), client, server, query);
        (sent, UdpFrame::new(([4; 6], [2; 6]), server, client, reply))
    }

    fn judge(verdict: Verdict, packet: &[u8], out: &[u8]) -> Result<Fate, String> {
        check(
            packet,
            &Outcome {
                verdict,
                packet: out.to_vec(),
                duration: Duration::ZERO,
            },
        )
    }

    #[test]
    fn accepts_an_answer_and_what_is_left_alone() {
        let (query, reply) = case();
        let packet = query.build();
        assert_eq!(
            judge(Verdict::Transmit, &packet, &reply.build()),
            Ok(Fate::Answered(reply.payload))
        );
        assert_eq!(judge(Verdict::Pass, &packet, &packet), Ok(Fate::Passed));
        assert_eq!(judge(Verdict::Drop, &packet, &packet), Ok(Fate::Dropped));
    }

    #[test]
    fn accepts_a_query_with_a_partial_checksum() {
        let (mut query, reply) = case();
        query.checksum = crate::frames::UdpChecksum::Fixed(0x1234);
        assert!(judge(Verdict::Transmit, &query.build(), &reply.build()).is_ok());
    }

    #[test]
    fn refuses_every_other_byte() {
        let (query, reply) = case();
        let (packet, answer) = (query.build(), reply.build());
        for at in 0..answer.len() {
            let mut changed = answer.clone();
            changed[at] ^= 1;
            assert!(judge(Verdict::Transmit, &packet, &changed).is_err(), "byte {at}");
            let mut touched = packet.clone();
            if let Some(byte) = touched.get_mut(at) {
                *byte ^= 1;
                assert!(judge(Verdict::Pass, &packet, &touched).is_err(), "byte {at}");
            }
        }
        assert!(judge(Verdict::Transmit, &packet, &[answer, vec![0]].concat()).is_err());
        assert!(judge(Verdict::Aborted, &packet, &packet).is_err());
    }

    #[test]
    fn refuses_another_question_even_with_right_sums() {
        let (query, mut reply) = case();
        reply.payload[13] ^= 0x20;
        let fault = judge(Verdict::Transmit, &query.build(), &reply.build()).unwrap_err();
        assert!(fault.contains("question"), "{fault}");
    }
}
