//! What a certificate says: its names, and from when until when it is valid (X.509, RFC 5280).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use data_encoding::HEXUPPER;
use ring::digest::{SHA256, digest};
use yasna::models::TaggedDerValue;
use yasna::tags::TAG_UTCTIME;
use yasna::{ASN1Result, BERReader, BERReaderSeq, Tag, parse_der};

/// Subject Alternative Name.
const ALTERNATIVE_NAMES: [u64; 4] = [2, 5, 29, 17];
/// `dNSName` and `iPAddress` among them.
const DNS_NAME: u64 = 2;
const IP_ADDRESS: u64 = 7;

/// What is told of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The names and addresses that it is for.
    pub(crate) names: Vec<String>,
    /// In seconds since 1970.
    pub(crate) not_before: i64,
    /// Likewise.
    pub(crate) not_after: i64,
    /// SHA-256, as `openssl x509 -fingerprint -sha256` shows it.
    pub(crate) fingerprint: String,
}

impl Certificate {
    /// Of a certificate in DER; `None` where it is none.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (names, not_before, not_after) = parse_der(der, signed).ok()?;
        Some(Self {
            names,
            not_before,
            not_after,
            fingerprint: fingerprint(der),
        })
    }
}

/// SHA-256 of a certificate.
pub(super) fn fingerprint(der: &[u8]) -> String {
    let octets = digest(&SHA256, der);
    let pairs: Vec<String> = octets.as_ref().iter().map(|octet| HEXUPPER.encode(&[*octet])).collect();
    pairs.join(":")
}

type Said = (Vec<String>, i64, i64);

fn signed(reader: BERReader<'_, '_>) -> ASN1Result<Said> {
    reader.read_sequence(|reader| {
        let said = reader.next().read_sequence(to_be_signed)?;
        // The algorithm, and the signature.
        reader.next().read_der()?;
        reader.next().read_der()?;
        Ok(said)
    })
}

fn to_be_signed(reader: &mut BERReaderSeq<'_, '_>) -> ASN1Result<Said> {
    // The version.
    reader.read_optional(|reader| reader.read_tagged(Tag::context(0), |reader| reader.read_der()))?;
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        reader.next().read_der()?;
    }
    let (not_before, not_after) = reader
        .next()
        .read_sequence(|reader| Ok((seconds(reader.next())?, seconds(reader.next())?)))?;
    // Subject, and its key.
    for _ in 0..2 {
        reader.next().read_der()?;
    }
    // Unique identifiers, which nobody has.
    for number in [1, 2] {
        let identifier = |reader: BERReader<'_, '_>| {
            reader.read_tagged_implicit(Tag::context(number), |reader| reader.read_bitvec_bytes())
        };
        reader.read_optional(identifier)?;
    }
    let names = reader.read_optional(|reader| reader.read_tagged(Tag::context(3), alternative_names))?;
    Ok((names.unwrap_or_default(), not_before, not_after))
}

fn seconds(reader: BERReader<'_, '_>) -> ASN1Result<i64> {
    if reader.lookahead_tag()? == TAG_UTCTIME {
        Ok(reader.read_utctime()?.datetime().unix_timestamp())
    } else {
        Ok(reader.read_generalized_time()?.datetime().unix_timestamp())
    }
}

/// The names among the extensions.
fn alternative_names(reader: BERReader<'_, '_>) -> ASN1Result<Vec<String>> {
    let mut names = Vec::new();
    reader.read_sequence_of(|reader| {
        reader.read_sequence(|reader| {
            let extension = reader.next().read_oid()?;
            // Whether it is critical.
            reader.read_optional(|reader| reader.read_bool())?;
            let value = reader.next().read_bytes()?;
            if extension.components()[..] == ALTERNATIVE_NAMES {
                let all = parse_der(&value, |reader| {
                    reader.collect_sequence_of(|reader| reader.read_tagged_der())
                })?;
                names.extend(all.iter().filter_map(name));
            }
            Ok(())
        })
    })?;
    Ok(names)
}

/// One that a client may ask for: a DNS name, or an address.
fn name(value: &TaggedDerValue) -> Option<String> {
    let (tag, octets) = (value.tag(), value.value());
    if tag == Tag::context(DNS_NAME) {
        return Some(String::from_utf8_lossy(octets).into_owned());
    }
    if tag != Tag::context(IP_ADDRESS) {
        return None;
    }
    let address = match *octets {
        [a, b, c, d] => IpAddr::from(Ipv4Addr::new(a, b, c, d)),
        _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?)),
    };
    Some(address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_tells_its_names_and_its_time() {
        let names = ["localhost", "*.example.com", "192.0.2.1", "2001:db8::1"].map(str::to_owned);
        let mut wanted = rcgen::CertificateParams::new(names.to_vec()).expect("names");
        wanted.not_before = rcgen::date_time_ymd(2026, 1, 1);
        // Times from 2050 on are written in another way.
        wanted.not_after = rcgen::date_time_ymd(2096, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let made = wanted.self_signed(&key).expect("made");
        let read = Certificate::read(made.der()).expect("a certificate");
        assert_eq!(read.names, names);
        assert_eq!((read.not_before, read.not_after), (1_767_225_600, 3_976_214_400));
        assert_eq!(read.fingerprint.len(), 32 * 3 - 1);
        for end in 0..made.der().len() {
            assert_eq!(Certificate::read(&made.der()[..end]), None, "cut off at {end}");
        }
        assert_eq!(Certificate::read(b"no certificate"), None);
    }
}
