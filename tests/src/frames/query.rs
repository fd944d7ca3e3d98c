//! DNS queries.

/// The wire form of a name in which every byte but the dots stands for itself.
///
/// # Panics
///
/// Where a label or the name is too long: names in tests are written by hand.
pub fn wire_name(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        assert!(label.len() <= 63, "{label} is longer than a label");
        wire.push(label.len() as u8);
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    assert!(wire.len() <= 255, "{text} is longer than a name");
    wire
}

/// An OPT record (RFC 6891 §6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edns {
    /// The UDP payload size that the client takes.
    pub udp_payload: u16,
    /// The version, 0.
    pub version: u8,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// The options' bytes: code, length, data, and so on.
    pub options: Vec<u8>,
}

/// A query with one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Its ID.
    pub id: u16,
    /// All flags, OPCODE and RCODE included.
    pub flags: u16,
    /// The name, in wire form.
    pub name: Vec<u8>,
    /// QTYPE.
    pub qtype: u16,
    /// QCLASS.
    pub qclass: u16,
    /// The OPT record.
    pub edns: Option<Edns>,
}

impl Query {
    /// A query of class IN for a name in wire form, with RD=0 and no OPT.
    pub fn new(name: &[u8], qtype: u16) -> Self {
        Self {
            id: 0x1234,
            flags: 0,
            name: name.to_vec(),
            qtype,
            qclass: 1,
            edns: None,
        }
    }

    /// The message.
    pub fn build(&self) -> Vec<u8> {
        let additional = u16::from(self.edns.is_some());
        let mut message = [self.id, self.flags, 1, 0, 0, additional]
            .map(u16::to_be_bytes)
            .concat();
        message.extend(&self.name);
        message.extend(self.qtype.to_be_bytes());
        message.extend(self.qclass.to_be_bytes());
        if let Some(edns) = &self.edns {
            message.extend([0, 0, 41]);
            message.extend(edns.udp_payload.to_be_bytes());
            message.extend([0, edns.version, u8::from(edns.dnssec_ok) << 7, 0]);
            message.extend((edns.options.len() as u16).to_be_bytes());
            message.extend(&edns.options);
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;
    use hickory_proto::serialize::binary::BinDecodable;

    use super::*;

    #[test]
    fn an_independent_reader_reads_what_was_meant() {
        let edns = Edns {
            udp_payload: 1232,
            dnssec_ok: true,
            options: vec![0, 3, 0, 0],
            ..Edns::default()
        };
        let query = Query {
            edns: Some(edns),
            flags: 0x0100,
            ..Query::new(&wire_name("www.example.com."), 28)
        };
        let message = Message::from_bytes(&query.build()).unwrap();
        assert_eq!(message.queries[0].name().to_string(), "www.example.com.");
        assert_eq!(u16::from(message.queries[0].query_type()), 28);
        let edns = message.edns.as_ref().unwrap();
        assert_eq!((edns.max_payload(), edns.flags().dnssec_ok), (1232, true));
    }
}
