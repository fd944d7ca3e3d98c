//! Names inside RDATA that the answerer has to see: those that may be compressed, those that others are compressed
//! onto, and the targets of aliases.
//!
//! RFC 3597 §4: only the types of RFC 1035 are compressed. RDATA that does not have its type's shape is written as
//! it is, never a panic: the edge has validated it, the answerer does not rely on that.

use crate::model::name::wire_name_length;
use crate::model::record::RecordType;

/// How the names in RDATA are written.
#[derive(Clone, Copy)]
enum Form {
    Compressible,
    Whole,
}

/// How many octets stand before the names of a type, how many names follow each other, and how they are written. Of
/// types that are not compressed, those whose targets have additional records in the answer, and DNAME, from which a
/// CNAME is made.
fn names_in(rtype: RecordType) -> Option<(usize, usize, Form)> {
    match rtype.0 {
        // MD, MF, MB, MG, MR (obsolete or experimental, RFC 1035 §3.3) beside NS, CNAME and PTR.
        3 | 4 | 7 | 8 | 9 => Some((0, 1, Form::Compressible)),
        _ => match rtype {
            RecordType::NS | RecordType::CNAME | RecordType::PTR => Some((0, 1, Form::Compressible)),
            RecordType::SOA | RecordType::MINFO => Some((0, 2, Form::Compressible)),
            RecordType::MX => Some((2, 1, Form::Compressible)),
            RecordType::DNAME => Some((0, 1, Form::Whole)),
            RecordType::SRV => Some((6, 1, Form::Whole)),
            RecordType::SVCB | RecordType::HTTPS => Some((2, 1, Form::Whole)),
            _ => None,
        },
    }
}

/// RDATA in the order in which it is written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Octets as they are.
    Octets(&'a [u8]),
    /// A name that may be compressed, in wire form.
    Name(&'a [u8]),
    /// A name that is written as it is, and that others may be compressed onto.
    WholeName(&'a [u8]),
}

/// Splits RDATA for writing: at most some octets, two names, and some octets again.
pub(crate) fn pieces(rtype: RecordType, rdata: &[u8]) -> [Piece<'_>; 4] {
    let plain = || {
        [
            Piece::Octets(rdata),
            Piece::Octets(&[]),
            Piece::Octets(&[]),
            Piece::Octets(&[]),
        ]
    };
    let Some((before, names, form)) = names_in(rtype) else {
        return plain();
    };
    let piece = match form {
        Form::Compressible => Piece::Name,
        Form::Whole => Piece::WholeName,
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
            piece(first),
            Piece::Octets(rest),
            Piece::Octets(&[]),
        ];
    }
    match wire_name_length(rest).and_then(|length| rest.split_at_checked(length)) {
        Some((second, rest)) => [Piece::Octets(head), piece(first), piece(second), Piece::Octets(rest)],
        None => plain(),
    }
}

/// The target of a CNAME, DNAME or ALIAS, in wire form.
pub(crate) fn alias_target(rdata: &[u8]) -> Option<&[u8]> {
    let length = wire_name_length(rdata)?;
    (length == rdata.len()).then_some(rdata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3597_4_only_names_in_types_of_rfc_1035_are_compressed() {
        let srv = b"\0\0\0\0\0\x35\x01a\0";
        assert_eq!(pieces(RecordType::SRV, srv)[1], Piece::WholeName(b"\x01a\0"));
        let kx = b"\0\x0A\x01a\0";
        assert_eq!(pieces(RecordType::KX, kx)[0], Piece::Octets(kx));
        let mx = b"\0\x0A\x01a\0";
        assert_eq!(pieces(RecordType::MX, mx)[1], Piece::Name(b"\x01a\0"));
        let soa = [&b"\x01a\0\x01b\0"[..], &[7; 20]].concat();
        assert_eq!(pieces(RecordType::SOA, &soa)[2], Piece::Name(b"\x01b\0"));
        assert_eq!(pieces(RecordType::SOA, &soa)[3], Piece::Octets(&[7; 20]));
    }

    #[test]
    fn misshapen_rdata_is_written_as_it_is() {
        for rdata in [&b""[..], b"\0", b"\x05ab", b"\xC0\x0C"] {
            for rtype in [RecordType::MX, RecordType::SOA, RecordType::MINFO, RecordType::SRV] {
                assert_eq!(pieces(rtype, rdata)[0], Piece::Octets(rdata), "{rtype} {rdata:?}");
            }
        }
    }
}
