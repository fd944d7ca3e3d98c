//! Names inside RDATA that the answerer has to see: those that may be compressed, and the targets of aliases.
//!
//! RFC 3597 §4: only the types of RFC 1035 are compressed. RDATA that does not have its type's shape is written as
//! it is, never a panic: the edge has validated it, the answerer does not rely on that.

use crate::name::wire_name_length;
use crate::record::RecordType;

/// How many octets stand before the names of a compressible type, and how many names follow each other.
fn compressible_names(rtype: RecordType) -> Option<(usize, usize)> {
    match rtype.0 {
        // MD, MF, MB, MG, MR (obsolete or experimental, RFC 1035 §3.3) beside NS, CNAME and PTR.
        3 | 4 | 7 | 8 | 9 => Some((0, 1)),
        _ => match rtype {
            RecordType::NS | RecordType::CNAME | RecordType::PTR => Some((0, 1)),
            RecordType::SOA | RecordType::MINFO => Some((0, 2)),
            RecordType::MX => Some((2, 1)),
            _ => None,
        },
    }
}

/// RDATA in the order in which it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Octets as they are.
    Octets(&'a [u8]),
    /// A name that may be compressed, in wire form.
    Name(&'a [u8]),
}

/// Splits RDATA for writing: at most some octets, two names, and some octets again.
pub(super) fn pieces(rtype: RecordType, rdata: &[u8]) -> [Piece<'_>; 4] {
    let plain = || {
        [
            Piece::Octets(rdata),
            Piece::Octets(&[]),
            Piece::Octets(&[]),
            Piece::Octets(&[]),
        ]
    };
    let Some((before, names)) = compressible_names(rtype) else {
        return plain();
    };
    let Some((head, rest)) = rdata.split_at_checked(before) else {
        return plain();
    };
    let Some((first, rest)) = wire_name_length(rest).and_then(|length| rest.split_at_checked(length)) else {
        return plain();
    };
    if names == 1 {
        return [
            Piece::Octets(head),
            Piece::Name(first),
            Piece::Octets(rest),
            Piece::Octets(&[]),
        ];
    }
    match wire_name_length(rest).and_then(|length| rest.split_at_checked(length)) {
        Some((second, rest)) => [
            Piece::Octets(head),
            Piece::Name(first),
            Piece::Name(second),
            Piece::Octets(rest),
        ],
        None => plain(),
    }
}

/// The target of a CNAME, DNAME or ALIAS, in wire form.
pub(super) fn alias_target(rdata: &[u8]) -> Option<&[u8]> {
    let length = wire_name_length(rdata)?;
    (length == rdata.len()).then_some(rdata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3597_4_only_types_of_rfc_1035_are_split() {
        let srv = b"\0\0\0\0\0\x35\x01a\0";
        assert_eq!(pieces(RecordType::SRV, srv)[0], Piece::Octets(srv));
        let mx = b"\0\x0A\x01a\0";
        assert_eq!(pieces(RecordType::MX, mx)[1], Piece::Name(b"\x01a\0"));
        let soa = [&b"\x01a\0\x01b\0"[..], &[7; 20]].concat();
        assert_eq!(pieces(RecordType::SOA, &soa)[2], Piece::Name(b"\x01b\0"));
        assert_eq!(pieces(RecordType::SOA, &soa)[3], Piece::Octets(&[7; 20]));
    }

    #[test]
    fn misshapen_rdata_is_written_as_it_is() {
        for rdata in [&b""[..], b"\0", b"\x05ab", b"\xC0\x0C"] {
            for rtype in [RecordType::MX, RecordType::SOA, RecordType::MINFO] {
                assert_eq!(pieces(rtype, rdata)[0], Piece::Octets(rdata), "{rtype} {rdata:?}");
            }
        }
    }
}
