//! What the RDATA of each type is made of: one table, which reader, writer and checker follow.
//!
//! A type that is not in the table has no presentation format of its own here and is written as RFC 3597 §5 says.

use crate::model::record::RecordType;

/// One part of an RDATA. Kinds from [`Kind::Strings`] on reach to the end of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A domain name.
    Name,
    U8,
    U16,
    U32,
    /// 32 bits of seconds, written with units or without (`1h30m`).
    Seconds,
    /// 32 bits of seconds since 1970, written `YYYYMMDDHHmmSS` (RFC 4034 §3.2).
    Time,
    /// A type by its mnemonic.
    Type,
    /// A DNSSEC algorithm, by number or mnemonic (RFC 4034 appendix A.1).
    Algorithm,
    /// A certificate type, by number or mnemonic (RFC 4398 §2.1).
    CertificateType,
    Ipv4,
    Ipv6,
    /// Eight octets in hexadecimal, as four groups with colons (RFC 6742 §2.1, §2.3).
    Locator,
    /// Octets in hexadecimal pairs with dashes (RFC 7043).
    Eui(usize),
    /// One character-string.
    String,
    /// A length octet and that many octets in hexadecimal, `-` for none (RFC 5155 §3.3).
    Salt,
    /// A length octet and that many octets in base32hex (RFC 5155 §3.3).
    Base32,
    /// A length octet and that many letters and digits (RFC 8659 §4.1.1).
    Tag,
    /// What the gateway type, the second octet, says (RFC 4025 §2.5).
    Gateway,
    /// Algorithm, HIT and public key with their lengths (RFC 8005 §5).
    HostIdentity,
    /// Character-strings, at least one.
    Strings,
    /// One text without a length octet, of at least so many octets.
    Text(usize),
    /// Octets in hexadecimal, at least so many.
    Hex(usize),
    /// Octets in base64, at least so many.
    Base64(usize),
    /// Types present (RFC 4034 §4.1.2).
    TypeBitmap,
    /// Service parameters (RFC 9460 §2.1).
    ServiceParameters,
    /// A place on Earth (RFC 1876).
    Location,
    /// Address prefixes (RFC 3123).
    AddressPrefixes,
    /// Names, or none.
    Names,
}

/// A part and what a message calls it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) kind: Kind,
    pub(super) what: &'static str,
}

/// How names inside an RDATA are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// May be compressed (RFC 3597 §4: only the types of RFC 1035), lower case when compared.
    Compressible,
    /// Lower case when compared (RFC 4034 §6.2, RFC 6840 §5.1).
    Lowered,
    /// Compared octet for octet.
    Kept,
}

/// The RDATA of one type.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) rtype: RecordType,
    pub(super) names: Names,
    pub(super) fields: &'static [Field],
    /// A value for messages.
    pub(super) example: &'static str,
}

/// The layout of `rtype`, where it has one.
pub(super) fn layout(rtype: RecordType) -> Option<&'static Layout> {
    let place = match rtype {
        RecordType::ALIAS => ALIAS_PLACE,
        _ => *INDEX.get(usize::from(rtype.0))?,
    };
    LAYOUTS.get(usize::from(place))
}

const NO_LAYOUT: u8 = u8::MAX;
/// The last of [`LAYOUTS`], whose number is far from all others.
const ALIAS_PLACE: u8 = LAYOUTS_AS_CONST.len() as u8 - 1;

/// Place in [`LAYOUTS`] by type: the loader asks once per RR.
static INDEX: [u8; 300] = {
    let mut index = [NO_LAYOUT; 300];
    let mut place = 0;
    while place < ALIAS_PLACE as usize {
        index[LAYOUTS[place].rtype.0 as usize] = place as u8;
        place += 1;
    }
    index
};

macro_rules! layouts {
    ($($rtype:ident $names:ident [$($kind:ident $(($size:literal))? $what:literal),+] $example:literal;)*) => {
        pub(super) static LAYOUTS: &[Layout] = LAYOUTS_AS_CONST;
        const LAYOUTS_AS_CONST: &[Layout] = &[$(Layout {
            rtype: RecordType::$rtype,
            names: Names::$names,
            fields: &[$(Field { kind: Kind::$kind $(($size))?, what: $what }),+],
            example: $example,
        }),*];
    };
}

layouts! {
    A Kept [Ipv4 "IPv4 address"] "192.0.2.1";
    NS Compressible [Name "name server"] "ns1.example.com.";
    CNAME Compressible [Name "target"] "www.example.com.";
    SOA Compressible [
        Name "primary server", Name "mailbox", U32 "serial", Seconds "refresh", Seconds "retry", Seconds "expire",
        Seconds "minimum"
    ] "ns1.example.com. hostmaster.example.com. 1 7200 3600 1209600 300";
    PTR Compressible [Name "target"] "host.example.com.";
    HINFO Kept [String "CPU", String "operating system"] "\"ARM64\" \"Linux\"";
    MINFO Compressible [Name "responsible mailbox", Name "error mailbox"] "admin.example.com. errors.example.com.";
    MX Compressible [U16 "preference", Name "mail server"] "10 mail.example.com.";
    TXT Kept [Strings "text"] "\"v=spf1 -all\"";
    RP Lowered [Name "mailbox", Name "TXT name"] "admin.example.com. people.example.com.";
    AFSDB Lowered [U16 "subtype", Name "host"] "1 afs.example.com.";
    RT Lowered [U16 "preference", Name "intermediate host"] "10 relay.example.com.";
    SIG Lowered [
        Type "type covered", Algorithm "algorithm", U8 "labels", Seconds "original TTL", Time "expiration",
        Time "inception", U16 "key tag", Name "signer", Base64(0) "signature"
    ] "A 8 2 300 20300101000000 20290101000000 12345 example.com. AAECAw==";
    KEY Kept [U16 "flags", U8 "protocol", Algorithm "algorithm", Base64(0) "public key"] "256 3 8 AwEAAQ==";
    AAAA Kept [Ipv6 "IPv6 address"] "2001:db8::1";
    LOC Kept [Location "location"] "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000.00m 10.00m";
    SRV Lowered [U16 "priority", U16 "weight", U16 "port", Name "target"] "0 5 5060 sip.example.com.";
    NAPTR Lowered [
        U16 "order", U16 "preference", String "flags", String "service", String "regular expression",
        Name "replacement"
    ] "100 10 \"s\" \"SIP+D2U\" \"\" _sip._udp.example.com.";
    KX Lowered [U16 "preference", Name "exchanger"] "10 kx.example.com.";
    CERT Kept [
        CertificateType "certificate type", U16 "key tag", Algorithm "algorithm", Base64(1) "certificate"
    ] "1 0 0 AAECAw==";
    DNAME Lowered [Name "target"] "example.net.";
    APL Kept [AddressPrefixes "address prefixes"] "1:192.0.2.0/24 !1:192.0.2.64/28 2:2001:db8::/32";
    DS Kept [U16 "key tag", Algorithm "algorithm", U8 "digest type", Hex(1) "digest"]
        "60485 8 1 2bb183af5f22588179a53b0a98631fad1a292118";
    SSHFP Kept [U8 "algorithm", U8 "fingerprint type", Hex(1) "fingerprint"]
        "2 1 123456789abcdef67890123456789abcdef67890";
    IPSECKEY Kept [
        U8 "precedence", U8 "gateway type", U8 "algorithm", Gateway "gateway", Base64(0) "public key"
    ] "10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==";
    RRSIG Lowered [
        Type "type covered", Algorithm "algorithm", U8 "labels", Seconds "original TTL", Time "expiration",
        Time "inception", U16 "key tag", Name "signer", Base64(1) "signature"
    ] "A 8 2 300 20300101000000 20290101000000 12345 example.com. AAECAw==";
    NSEC Kept [Name "next name", TypeBitmap "types"] "host.example.com. A MX RRSIG NSEC";
    DNSKEY Kept [U16 "flags", U8 "protocol", Algorithm "algorithm", Base64(1) "public key"] "257 3 8 AwEAAQ==";
    DHCID Kept [Base64(1) "digest"] "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=";
    NSEC3 Kept [
        U8 "hash algorithm", U8 "flags", U16 "iterations", Salt "salt", Base32 "next hashed owner", TypeBitmap "types"
    ] "1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr MX DNSKEY NS SOA NSEC3PARAM RRSIG";
    NSEC3PARAM Kept [U8 "hash algorithm", U8 "flags", U16 "iterations", Salt "salt"] "1 0 0 -";
    TLSA Kept [U8 "usage", U8 "selector", U8 "matching type", Hex(1) "certificate association data"]
        "3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971";
    SMIMEA Kept [U8 "usage", U8 "selector", U8 "matching type", Hex(1) "certificate association data"]
        "3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971";
    HIP Kept [HostIdentity "algorithm, HIT and public key", Names "rendezvous servers"]
        "2 200100107b1a74df365639cc39f1d578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p rvs.example.com.";
    CDS Kept [U16 "key tag", Algorithm "algorithm", U8 "digest type", Hex(1) "digest"]
        "60485 8 1 2bb183af5f22588179a53b0a98631fad1a292118";
    CDNSKEY Kept [U16 "flags", U8 "protocol", Algorithm "algorithm", Base64(1) "public key"] "257 3 8 AwEAAQ==";
    OPENPGPKEY Kept [Base64(1) "public key"] "mQENBFVHm5sBCADX";
    CSYNC Kept [U32 "serial", U16 "flags", TypeBitmap "types"] "66 3 A NS AAAA";
    ZONEMD Kept [U32 "serial", U8 "scheme", U8 "hash algorithm", Hex(12) "digest"]
        "1 240 241 e2d523f654b9422a96c5a8f44607bbee";
    SVCB Kept [U16 "priority", Name "target", ServiceParameters "parameters"] "1 . alpn=h2,h3 port=443";
    HTTPS Kept [U16 "priority", Name "target", ServiceParameters "parameters"] "1 . alpn=h2,h3 ipv4hint=192.0.2.1";
    SPF Kept [Strings "text"] "\"v=spf1 -all\"";
    NID Kept [U16 "preference", Locator "node identifier"] "10 0014:4fff:ff20:ee64";
    L32 Kept [U16 "preference", Ipv4 "locator"] "10 192.0.2.0";
    L64 Kept [U16 "preference", Locator "locator"] "10 2001:0db8:1140:1000";
    LP Kept [U16 "preference", Name "name"] "10 l64.example.com.";
    EUI48 Kept [Eui(6) "address"] "00-00-5e-00-53-2a";
    EUI64 Kept [Eui(8) "address"] "00-00-5e-ef-10-00-00-2a";
    URI Kept [U16 "priority", U16 "weight", Text(1) "target"] "10 1 \"https://www.example.com/path\"";
    CAA Kept [U8 "flags", Tag "tag", Text(0) "value"] "0 issue \"ca.example.net\"";
    ALIAS Lowered [Name "target"] "www.example.net.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rfc1035_types_are_compressible() {
        // RFC 3597 §4
        let compressible = LAYOUTS.iter().filter(|layout| layout.names == Names::Compressible);
        let found: Vec<_> = compressible.map(|layout| layout.rtype).collect();
        use RecordType as T;
        assert_eq!(found, [T::NS, T::CNAME, T::SOA, T::PTR, T::MINFO, T::MX]);
    }

    #[test]
    fn each_known_data_type_has_a_layout() {
        for number in 0..=u16::MAX {
            let rtype = RecordType(number);
            let expected = rtype.mnemonic().is_some() && rtype.is_data();
            assert_eq!(layout(rtype).is_some(), expected, "{rtype}");
            assert!(layout(rtype).is_none_or(|layout| layout.rtype == rtype));
        }
    }
}
