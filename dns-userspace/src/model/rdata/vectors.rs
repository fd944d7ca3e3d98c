//! Tests of the whole engine: wire forms from the RFCs, round trips, seeded random RDATA, an independent reader.

use data_encoding::HEXLOWER;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::layout::{Kind, LAYOUTS};
use super::*;
use crate::model::name::Name;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    HEXLOWER.decode(digits.as_bytes()).expect("hexadecimal")
}

fn rtype(text: &str) -> RecordType {
    text.parse().expect("a type")
}

/// Type, value, wire form, canonical format (empty: the value itself).
const VECTORS: &[(&str, &str, &str, &str)] = &[
    ("A", "192.0.2.1", "c0000201", ""),
    (
        "AAAA",
        "2001:DB8:0:0:0:0:0:1",
        "20010db8000000000000000000000001",
        "2001:db8::1",
    ),
    ("NS", "a.B", "01610142 00", "a.B."),
    ("CNAME", "a\\.b.c.", "03612e62 0163 00", ""),
    ("PTR", ".", "00", ""),
    (
        "SOA",
        "a. b. ( 1 2h 15m\n 1w2d 4294967295 )",
        "016100 016200 00000001 00001c20 00000384 000bdd80 ffffffff",
        "a. b. 1 7200 900 777600 4294967295",
    ),
    (
        "HINFO",
        "PDP-11 \"UNIX V7\"",
        "065044502d3131 07554e4958205637",
        "\"PDP-11\" \"UNIX V7\"",
    ),
    ("MINFO", "a. b.", "016100 016200", ""),
    (
        "MX",
        "10 mail.example.com",
        "000a 046d61696c 076578616d706c65 03636f6d 00",
        "10 mail.example.com.",
    ),
    (
        "TXT",
        "plain text; \"kept\" \\ as it is",
        "1d706c61696e20746578743b20226b65707422205c206173206974206973",
        "\"plain text; \\\"kept\\\" \\\\ as it is\"",
    ),
    ("TXT", "", "00", "\"\""),
    ("TXT", "\"\"", "00", ""),
    ("TXT", "ü", "02c3bc", "\"\\195\\188\""),
    ("TXT", "\\# 1 00", "075c2320312030 30", "\"\\\\# 1 00\""),
    (
        "TXT",
        "\"a;b\" \"\\000\\255\\\"\"  \"\"",
        "03613b62 0300ff22 00",
        "\"a;b\" \"\\000\\255\\\"\" \"\"",
    ),
    ("SPF", "v=spf1 -all", "0b763d73706631202d616c6c", "\"v=spf1 -all\""),
    ("RP", "a. .", "016100 00", ""),
    ("AFSDB", "1 a.", "0001 016100", ""),
    ("RT", "10 a.", "000a 016100", ""),
    // RFC 6742 §2.1.3, §2.2.3, §2.3.3, §2.4.3
    ("NID", "10 0014:4fff:ff20:ee64", "000a 00144fffff20ee64", ""),
    (
        "NID",
        "0 14:4FFF:FF20:ee64",
        "0000 00144fffff20ee64",
        "0 0014:4fff:ff20:ee64",
    ),
    ("L32", "10 10.1.2.0", "000a 0a010200", ""),
    (
        "L64",
        "10 2001:0DB8:1140:1000",
        "000a 20010db811401000",
        "10 2001:0db8:1140:1000",
    ),
    ("LP", "10 a.", "000a 016100", ""),
    ("SRV", "0 5 65535 a.", "0000 0005 ffff 016100", ""),
    // RFC 3403 §6.2
    (
        "NAPTR",
        "100 50 \"s\" \"http+N2L+N2C+N2R\" \"\" www.example.com.",
        "0064 0032 0173 10687474702b4e324c2b4e32432b4e3252 00 03777777076578616d706c6503636f6d00",
        "",
    ),
    (
        "NAPTR",
        "1 2 u E2U+sip \"!^.*$!sip:a\\\\@b!\" .",
        "0001 0002 0175 074532552b736970 0f215e2e2a24217369703a615c40622100",
        "1 2 \"u\" \"E2U+sip\" \"!^.*$!sip:a\\\\@b!\" .",
    ),
    ("KX", "10 a.", "000a 016100", ""),
    ("CERT", "PGP 0 RSASHA256 AA EC\n", "0003 0000 08 000102", "3 0 8 AAEC"),
    ("DNAME", "a.", "016100", ""),
    // RFC 3123 §5 and §4
    (
        "APL",
        "1:192.168.32.0/21 !1:192.168.38.0/28",
        "00011503c0a820 00011c83c0a826",
        "",
    ),
    (
        "APL",
        "1:224.0.0.0/4 2:FF00:0:0:0:0:0:0:0/8",
        "00010401e0 00020801ff",
        "1:224.0.0.0/4 2:ff00::/8",
    ),
    ("APL", "1:0.0.0.0/0", "00010000", ""),
    // RFC 4034 §5.4
    (
        "DS",
        "60485 5 1 ( 2BB183AF5F22588179A53B0A\n 98631FAD1A292118 )",
        "ec45 05 01 2bb183af5f22588179a53b0a98631fad1a292118",
        "60485 5 1 2bb183af5f22588179a53b0a98631fad1a292118",
    ),
    ("CDS", "0 0 0 00", "0000 00 00 00", ""),
    ("CDNSKEY", "0 3 0 AA==", "0000 03 00 00", ""),
    // RFC 4255 §3.2
    (
        "SSHFP",
        "2 1 123456789abcdef67890123456789abcdef67890",
        "02 01 123456789abcdef67890123456789abcdef67890",
        "",
    ),
    // RFC 4025 §3.2
    ("IPSECKEY", "10 1 2 192.0.2.38 AQNR", "0a 01 02 c0000226 010351", ""),
    ("IPSECKEY", "10 0 2 . AQNR", "0a 00 02 010351", ""),
    ("IPSECKEY", "10 3 2 a. AQNR", "0a 03 02 016100 010351", ""),
    (
        "IPSECKEY",
        "10 2 2 2001:db8::1 AQNR",
        "0a 02 02 20010db8000000000000000000000001 010351",
        "",
    ),
    ("IPSECKEY", "10 0 0 .", "0a 00 00", ""),
    // RFC 4034 §4.3
    (
        "NSEC",
        "host.example.com. ( A MX RRSIG NSEC TYPE1234 )",
        "04686f7374 076578616d706c65 03636f6d 00 0006400100000003 \
         041b000000000000000000000000000000000000000000000000000020",
        "host.example.com. A MX RRSIG NSEC TYPE1234",
    ),
    (
        "RRSIG",
        "A RSASHA1 3 86400 20030322173103 ( 20030220173103 2642 a. AAEC )",
        "0001 05 03 00015180 3e7c9dd7 3e5510d7 0a52 016100 000102",
        "A 5 3 86400 20030322173103 20030220173103 2642 a. AAEC",
    ),
    (
        "SIG",
        "TYPE65280 8 0 1h 1 0 65535 .",
        "ff00 08 00 00000e10 00000001 00000000 ffff 00",
        "TYPE65280 8 0 3600 19700101000001 19700101000000 65535 .",
    ),
    ("KEY", "512 255 1", "0200 ff 01", ""),
    ("DNSKEY", "257 3 ED25519 AAEC", "0101 03 0f 000102", "257 3 15 AAEC"),
    // RFC 4701 §3.6.1
    (
        "DHCID",
        "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=",
        "0002 01 636fc0b8271c82825bb1ac5c41cf5351aa69b4febd94e8f17cdb95000da48c40",
        "",
    ),
    // RFC 5155 appendix A
    (
        "NSEC3",
        "1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A RRSIG",
        "01 01 000c 04aabbccdd 14174eb2409fe28bcb4887a1836f957f0a8425e27b 0006400000000002",
        "1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr A RRSIG",
    ),
    ("NSEC3PARAM", "1 0 0 -", "01 00 0000 00", ""),
    ("TLSA", "3 1 1 d2ab de24", "03 01 01 d2abde24", "3 1 1 d2abde24"),
    // RFC 8005 §6
    (
        "HIP",
        "2 200100107B1A74DF365639CC39F1D578 AwEAAbdx a.example. b.",
        "10 02 0006 200100107b1a74df365639cc39f1d578 0301 0001 b771 0161 076578616d706c65 00 016200",
        "2 200100107b1a74df365639cc39f1d578 AwEAAbdx a.example. b.",
    ),
    // RFC 7477 §2.1
    ("CSYNC", "66 3 A NS AAAA", "00000042 0003 000460000008", ""),
    // RFC 8976 appendix A.1 (its digest cut to 12 octets)
    (
        "ZONEMD",
        "2018031900 240 1 c68090d90a7aed716bbc459f",
        "7848b91c f0 01 c68090d90a7aed716bbc459f",
        "",
    ),
    // RFC 7043 §3.2 and §4.2
    ("EUI48", "00-00-5e-00-53-2A", "00005e00532a", "00-00-5e-00-53-2a"),
    ("EUI64", "00-00-5e-ef-10-00-00-2a", "00005eef1000002a", ""),
    // RFC 7553 §4
    (
        "URI",
        "10 1 \"ftp://ftp1.example.com/public\"",
        "000a 0001 6674703a2f2f667470312e6578616d706c652e636f6d2f7075626c6963",
        "",
    ),
    // RFC 8659 §4.1.1
    (
        "CAA",
        "0 issue \"ca1.example.net\"",
        "00 056973737565 6361312e6578616d706c652e6e6574",
        "",
    ),
    (
        "CAA",
        "128 tbs Unknown",
        "80 03746273 556e6b6e6f776e",
        "128 tbs \"Unknown\"",
    ),
    ("CAA", "0 issue \"\"", "00 056973737565", ""),
    // RFC 1876 §4 and its defaults
    (
        "LOC",
        "42 21 54 N 71 06 18 W -24m 30m",
        "00 33 16 13 89172dd0 70be15f0 00988d20",
        "42 21 54.000 N 71 6 18.000 W -24.00m 30.00m 10000.00m 10.00m",
    ),
    (
        "LOC",
        "52 s 0 0 59.999 e 42849672.95m 0 0.01m 90000000.00m",
        "00 00 10 99 74d78e00 8000ea5f ffffffff",
        "52 0 0.000 S 0 0 59.999 E 42849672.95m 0.00m 0.01m 90000000.00m",
    ),
    // RFC 9460 appendix D
    (
        "SVCB",
        "0 foo.example.com.",
        "0000 03666f6f 076578616d706c65 03636f6d 00",
        "",
    ),
    ("SVCB", "1 .", "0001 00", ""),
    (
        "SVCB",
        "16 foo.example.com. port=53",
        "0010 03666f6f076578616d706c6503636f6d00 0003 0002 0035",
        "",
    ),
    (
        "SVCB",
        "1 foo.example.com. key667=hello",
        "0001 03666f6f076578616d706c6503636f6d00 029b 0005 68656c6c6f",
        "1 foo.example.com. key667=\"hello\"",
    ),
    (
        "SVCB",
        "1 foo.example.com. key667=\"hello\\210qoo\"",
        "0001 03666f6f076578616d706c6503636f6d00 029b 0009 68656c6c6fd2716f6f",
        "",
    ),
    (
        "SVCB",
        "1 foo.example.com. ipv6hint=\"2001:db8::1,2001:db8::53:1\"",
        "0001 03666f6f076578616d706c6503636f6d00 0006 0020 20010db8000000000000000000000001 \
         20010db8000000000000000000530001",
        "1 foo.example.com. ipv6hint=2001:db8::1,2001:db8::53:1",
    ),
    (
        "SVCB",
        "16 foo.example.org. alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1",
        "0010 03666f6f076578616d706c65036f726700 0000 0004 0001 0004 0001 0009 026832 0568332d3139 0004 0004 c0000201",
        "16 foo.example.org. mandatory=alpn,ipv4hint alpn=\"h2,h3-19\" ipv4hint=192.0.2.1",
    ),
    (
        "SVCB",
        "16 foo.example.org. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
        "0010 03666f6f076578616d706c65036f726700 0001 000c 08665c6f6f2c626172 026832",
        "",
    ),
    (
        "SVCB",
        "16 foo.example.org. alpn=f\\\\\\092oo\\092,bar,h2",
        "0010 03666f6f076578616d706c65036f726700 0001 000c 08665c6f6f2c626172 026832",
        "16 foo.example.org. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
    ),
    (
        "HTTPS",
        "1 . alpn=h2 no-default-alpn ech=AAEC key3=\\000\\053 dohpath=/q{?dns} ohttp key9",
        "0001 00 0001 0003 026832 0002 0000 0003 0002 0035 0005 0003 000102 0007 0008 2f717b3f646e737d 0008 0000 0009 \
         0000",
        "1 . alpn=\"h2\" no-default-alpn port=53 ech=AAEC dohpath=\"/q{?dns}\" ohttp key9",
    ),
    // RFC 3597 §5
    (
        "TYPE731",
        "\\# 6 abcd (\n ef 01 23 45 )",
        "abcdef012345",
        "\\# 6 abcdef012345",
    ),
    ("TYPE62347", "\\# 0", "", ""),
    ("A", "\\# 4 0A000001", "0a000001", "10.0.0.1"),
    ("APL", "\\# 0", "", ""),
    ("APL", "\\# 5 00030101ff", "00030101ff", ""),
    ("LOC", "\\# 2 01ff", "01ff", ""),
];

#[test]
fn values_have_the_wire_form_of_the_rfcs() {
    for (text, value, wire, canonical) in VECTORS {
        let (rtype, wire) = (rtype(text), hex(wire));
        let parsed = parse_value(rtype, value).unwrap_or_else(|error| panic!("{text} {value}: {error}"));
        assert_eq!(HEXLOWER.encode(&parsed), HEXLOWER.encode(&wire), "{text} {value}");
        assert!(is_well_formed(rtype, &wire), "{text} {value}");
        let shown = if canonical.is_empty() { value } else { canonical };
        assert_eq!(&format_value(rtype, &wire), shown, "{text}");
        assert_eq!(parse_value(rtype, shown).as_deref(), Ok(&wire[..]), "{text} {shown}");
    }
}

#[test]
fn every_example_in_the_table_is_a_value() {
    for layout in LAYOUTS {
        let wire = parse_value(layout.rtype, layout.example);
        let wire = wire.unwrap_or_else(|error| panic!("{}: {error}", layout.rtype));
        let shown = format_value(layout.rtype, &wire);
        assert_eq!(parse_value(layout.rtype, &shown), Ok(wire), "{} {shown}", layout.rtype);
    }
}

#[test]
fn bad_values_name_the_offending_part() {
    let long = format!("\"{}\"", "a".repeat(256));
    for (text, value, part, message) in [
        ("A", "192.0.2.256", "192.0.2.256", "no IPv4 address"),
        ("A", "192.0.2.01", "192.0.2.01", "no IPv4 address"),
        ("A", "", "", "IPv4 address is missing"),
        ("A", "192.0.2.1 192.0.2.2", "192.0.2.2", "more than the value takes"),
        (
            "A",
            "192.0.2.1\n192.0.2.2",
            "192.0.2.1 192.0.2.2",
            "values of their own",
        ),
        ("A", "192.0.2.1 ; x", "192.0.2.1 ; x", "no comment"),
        ("A", "\"192.0.2.1\"", "192.0.2.1", "quotes do not belong"),
        ("AAAA", "::g", "::g", "no IPv6 address"),
        (
            "MX",
            "10",
            "10",
            "mail server is missing; MX takes preference, mail server, as in `10 mail.example.com.`",
        ),
        ("MX", "65536 a.", "65536", "0 to 65535"),
        ("MX", "+1 a.", "+1", "0 to 65535"),
        ("MX", "10 a..b", "a..b", "empty label"),
        ("CNAME", "@", "@", "write the name itself"),
        ("SOA", "a. b. 1 2 3 4 x", "x", "no time"),
        ("TXT", "\"a\" b", "b", "must all be in quotes"),
        ("TXT", "\"a", "\"a", "does not end"),
        ("TXT", "\"\\256\"", "\\256", "backslash"),
        ("TXT", &long, &long[1..257], "256 octets"),
        ("CAA", "0 is-sue a", "is-sue", "letters and digits"),
        ("DS", "1 8 1 abc", "abc", "not hexadecimal"),
        ("DS", "1 8 1", "1", "digest is missing"),
        ("DS", "1 NOSUCH 1 ab", "NOSUCH", "mnemonic"),
        ("DNSKEY", "1 3 8 A", "A", "not base64"),
        ("NSEC3", "1 0 0 - z", "z", "base32hex"),
        ("NSEC", "a. A NOSUCH", "NOSUCH", "unknown record type"),
        (
            "RRSIG",
            "A 8 2 1 20300230000000 1 1 a. AAEC",
            "20300230000000",
            "no date",
        ),
        ("IPSECKEY", "10 4 2 x AQNR", "4", "gateway type"),
        ("APL", "3:a/1", "3:a/1", "address prefix"),
        ("LOC", "91 N 0 E 0", "91", "latitude"),
        ("LOC", "90 0 0.001 N 0 E 0", "90", "latitude"),
        ("LOC", "1 N 1 E 1 1 1 1 1", "1", "more than"),
        ("NID", "10 14:4fff:ff20", "14:4fff:ff20", "no identifier"),
        ("L64", "10 0:0:0:00000", "0:0:0:00000", "no identifier"),
        ("L64", "10 0:0:0:", "0:0:0:", "no identifier"),
        ("EUI48", "00-00-5e-00-53", "00-00-5e-00-53", "6-octet"),
        ("SVCB", "1 a. key123=a key123=b", "key123=b", "twice"),
        ("SVCB", "1 a. mandatory=port", "mandatory=port", "`port` is listed"),
        (
            "SVCB",
            "1 a. mandatory=port,port port=1",
            "mandatory=port,port port=1",
            "mandatory",
        ),
        ("SVCB", "1 a. no-default-alpn", "no-default-alpn", "needs `alpn`"),
        (
            "SVCB",
            "1 a. no-default-alpn=x alpn=h2",
            "no-default-alpn=x",
            "no value",
        ),
        ("SVCB", "1 a. alpn=", "alpn=", "protocol names"),
        ("SVCB", "1 a. port=65536", "port=65536", "port number"),
        ("SVCB", "1 a. nosuch=1", "nosuch=1", "unknown service parameter"),
        ("SVCB", "1 a. PORT=1", "PORT=1", "unknown service parameter"),
        ("SVCB", "1 a. KEY123=1", "KEY123=1", "unknown service parameter"),
        ("SVCB", "1 a. key01=1", "key01=1", "unknown service parameter"),
        ("SVCB", "1 a. key65535=1", "key65535=1", "unknown service parameter"),
        ("SVCB", "1 a. alpn=\"a\"b", "alpn=\"a\"b", "quotes begin inside"),
        ("TYPE65280", "abc", "abc", "`\\# LENGTH HEX`"),
        ("TYPE65280", "\\# 2 ab", "2", "announces 2 octets, then come 1"),
        ("TYPE65280", "\\# x", "x", "number of octets"),
        ("A", "\\# 3 c00002", "\\#", "no well-formed RDATA"),
        ("MX", "\\# 4 000ac00c", "\\#", "no well-formed RDATA"),
        ("OPT", "\\# 0", "\\# 0", "no type that data can have"),
        ("ANY", "x", "x", "no type that data can have"),
    ] {
        let error = parse_value(rtype(text), value).expect_err(value);
        assert!(error.to_string().contains(message), "{text} {value}: {error}");
        assert!(part.contains(&error.text), "{text} {value}: {}", error.text);
    }
}

#[test]
fn names_are_found_where_they_are() {
    let found = |text: &str, value: &str| {
        let rdata = parse_value(rtype(text), value).expect("a value");
        embedded_names(rtype(text), &rdata)
            .map(|name| (name.offset, name.length, name.compressible))
            .collect::<Vec<_>>()
    };
    assert_eq!(found("SOA", "a. b. 1 2 3 4 5"), [(0, 3, true), (3, 3, true)]);
    assert_eq!(found("MX", "10 a."), [(2, 3, true)]);
    assert_eq!(found("SRV", "1 2 3 a."), [(6, 3, false)]);
    assert_eq!(found("NAPTR", "1 2 u x y a."), [(10, 3, false)]);
    assert_eq!(found("RRSIG", "A 8 2 1 1 1 1 a. AAEC"), [(18, 3, false)]);
    assert_eq!(found("IPSECKEY", "1 3 2 a. AQNR"), [(3, 3, false)]);
    assert_eq!(found("IPSECKEY", "1 1 2 1.2.3.4 AQNR"), []);
    assert_eq!(found("HIP", "2 ab AA== a. b."), [(6, 3, false), (9, 3, false)]);
    assert_eq!(found("A", "1.2.3.4"), []);
    assert_eq!(found("TYPE65280", "\\# 3 016100"), []);
}

#[test]
fn targets_for_the_additional_section() {
    let target = |text: &str, value: &str| {
        let rdata = parse_value(rtype(text), value).expect("a value");
        additional_target(rtype(text), &rdata).map(|wire| Name::from_wire(wire).expect("a name").to_string())
    };
    for (text, value) in [
        ("NS", "A."),
        ("MX", "1 A."),
        ("SRV", "1 1 1 A."),
        ("SVCB", "1 A."),
        ("HTTPS", "0 A."),
    ] {
        assert_eq!(target(text, value).as_deref(), Some("A."), "{text}");
    }
    for (text, value) in [
        ("MX", "0 ."),
        ("HTTPS", "1 ."),
        ("AFSDB", "1 a."),
        ("CNAME", "a."),
        ("A", "1.2.3.4"),
    ] {
        assert_eq!(target(text, value), None, "{text}");
    }
}

#[test]
fn rfc4034_6_2_names_compare_in_lower_case() {
    let same = |text: &str, first: &str, second: &str| {
        let value = |value| parse_value(rtype(text), value).expect("a value");
        same_value(rtype(text), &value(first), &value(second))
    };
    assert!(same("MX", "10 A.b.", "10 a.B."));
    assert!(same("NAPTR", "1 1 u x y A.", "1 1 u x y a."));
    assert!(!same("NAPTR", "1 1 u x y a.", "1 1 u X y a."));
    assert!(same("RRSIG", "A 8 2 1 1 1 1 A. AAEC", "A 8 2 1 1 1 1 a. AAEC"));
    // RFC 6840 §5.1
    assert!(!same("NSEC", "A. A", "a. A"));
    assert!(!same("TXT", "A", "a") && !same("SVCB", "1 A.", "1 a."));
}

/// RDATA of `layout` that is well-formed but for checks across parts.
fn random_rdata(rng: &mut StdRng, layout: &layout::Layout) -> Vec<u8> {
    let mut wire = Vec::new();
    for field in layout.fields {
        let octets = |rng: &mut StdRng, count: usize| (0..count).map(|_| rng.random()).collect::<Vec<u8>>();
        match field.kind {
            Kind::Name => random_name(rng, &mut wire),
            Kind::Names => (0..rng.random_range(0..3)).for_each(|_| random_name(rng, &mut wire)),
            Kind::U8 | Kind::Algorithm => wire.extend(octets(rng, 1)),
            Kind::U16 | Kind::Type | Kind::CertificateType => wire.extend(octets(rng, 2)),
            Kind::U32 | Kind::Seconds | Kind::Time | Kind::Ipv4 => wire.extend(octets(rng, 4)),
            Kind::Ipv6 => wire.extend(octets(rng, 16)),
            Kind::Locator => wire.extend(octets(rng, 8)),
            Kind::Eui(count) => wire.extend(octets(rng, count)),
            Kind::String | Kind::Salt | Kind::Base32 => {
                let count = rng.random_range(1..40);
                wire.push(count as u8);
                wire.extend(octets(rng, count));
            }
            Kind::Tag => wire.extend(b"\x05issue"),
            Kind::Strings => {
                for _ in 0..rng.random_range(1..4) {
                    let count = rng.random_range(0..=255);
                    wire.push(count as u8);
                    wire.extend(octets(rng, count));
                }
            }
            Kind::Text(_) | Kind::Hex(_) | Kind::Base64(_) => {
                let count = rng.random_range(12..60);
                wire.extend(octets(rng, count));
            }
            Kind::Gateway => {
                wire[1] %= 4;
                match wire[1] {
                    0 => {}
                    1 => wire.extend(octets(rng, 4)),
                    2 => wire.extend(octets(rng, 16)),
                    _ => random_name(rng, &mut wire),
                }
            }
            Kind::HostIdentity => {
                wire.extend([16, 2, 0, 9]);
                wire.extend(octets(rng, 25));
            }
            Kind::TypeBitmap => {
                for window in 0..rng.random_range(0..4u8) {
                    let count = rng.random_range(1..=32);
                    wire.extend([window * 3, count as u8]);
                    wire.extend(octets(rng, count - 1));
                    wire.push(rng.random_range(1..=255));
                }
            }
            Kind::ServiceParameters => {
                for (key, value) in [
                    (1, &b"\x02h2\x05,\\\"\xFFx"[..]),
                    (3, b"\x01\xBB"),
                    (4, b"\xC0\x00\x02\x01"),
                ] {
                    if rng.random() {
                        wire.extend([0, key, 0, value.len() as u8]);
                        wire.extend(value);
                    }
                }
                wire.extend([0x77, 0x77, 0, 7]);
                wire.extend(octets(rng, 7));
            }
            Kind::Location => {
                wire.push(0);
                wire.extend((0..3).map(|_| rng.random_range(1..=9) << 4 | rng.random_range(0..=9u8)));
                for degrees in [90, 180] {
                    let angle: u32 = (1 << 31) - degrees * 3_600_000 + rng.random_range(0..=degrees * 7_200_000);
                    wire.extend(angle.to_be_bytes());
                }
                wire.extend(octets(rng, 4));
            }
            Kind::AddressPrefixes => {
                wire.extend([0, 1, 24, 3, 192, 0, 2, 0, 2, rng.random_range(0..=128), 0x82]);
                wire.extend([rng.random(), rng.random_range(1..=255)]);
            }
        }
    }
    wire
}

fn random_name(rng: &mut StdRng, wire: &mut Vec<u8>) {
    for _ in 0..rng.random_range(0..4) {
        let count = rng.random_range(1..=12);
        wire.push(count as u8);
        wire.extend((0..count).map(|_| rng.random::<u8>()));
    }
    wire.push(0);
}

#[test]
fn random_rdata_round_trips_octet_for_octet() {
    let mut rng = StdRng::seed_from_u64(3);
    for layout in LAYOUTS {
        for _ in 0..200 {
            let wire = random_rdata(&mut rng, layout);
            let shown = format_value(layout.rtype, &wire);
            assert!(is_well_formed(layout.rtype, &wire), "{} {shown}", layout.rtype);
            assert!(!shown.starts_with("\\#"), "{} {}", layout.rtype, HEXLOWER.encode(&wire));
            assert_eq!(
                parse_value(layout.rtype, &shown).as_deref(),
                Ok(&wire[..]),
                "{} {shown}",
                layout.rtype
            );
        }
    }
}

#[test]
fn damaged_rdata_never_panics_and_what_is_well_formed_round_trips() {
    let mut rng = StdRng::seed_from_u64(4);
    let mut well_formed = 0;
    for layout in LAYOUTS {
        for _ in 0..400 {
            let mut wire = random_rdata(&mut rng, layout);
            if !wire.is_empty() {
                let at = rng.random_range(0..wire.len());
                wire[at] = rng.random();
                if rng.random() {
                    wire.truncate(rng.random_range(0..=wire.len()));
                }
            }
            let shown = format_value(layout.rtype, &wire);
            for name in embedded_names(layout.rtype, &wire) {
                assert!(name.offset + name.length <= wire.len());
            }
            assert_eq!(canonical(layout.rtype, &wire).len(), wire.len());
            if matches!(layout.rtype, RecordType::TXT | RecordType::SPF) && shown.starts_with("\\#") {
                // As a value this is literal text.
                assert!(!is_well_formed(layout.rtype, &wire));
                continue;
            }
            let parsed = parse_value(layout.rtype, &shown);
            assert_eq!(
                parsed.is_ok(),
                is_well_formed(layout.rtype, &wire),
                "{} {shown}",
                layout.rtype
            );
            if let Ok(parsed) = parsed {
                assert_eq!(*parsed, *wire, "{} {shown}", layout.rtype);
                well_formed += 1;
            }
        }
    }
    assert!(well_formed > 1_000, "{well_formed} were well-formed");
}

#[test]
fn random_text_never_panics() {
    let mut rng = StdRng::seed_from_u64(5);
    let parts = [
        "\\#",
        "1",
        "a.",
        "\"",
        "(",
        ")",
        "\\",
        "\n",
        "x=\"",
        ";",
        "@",
        "300",
        "\\000",
        "-",
        "1:1.2.3.4/8",
        "ü",
    ];
    for layout in LAYOUTS {
        for _ in 0..200 {
            let text: Vec<_> = (0..rng.random_range(0..9))
                .map(|_| parts[rng.random_range(0..parts.len())])
                .collect();
            let text = text.join(if rng.random() { " " } else { "" });
            if let Ok(wire) = parse_value(layout.rtype, &text) {
                assert!(is_well_formed(layout.rtype, &wire), "{} {text}", layout.rtype);
            }
        }
    }
}

/// What hickory-proto, which shares no code with this engine, reads in the octets is written back the same by it.
#[test]
fn an_independent_reader_agrees() {
    use hickory_proto::rr::{RData, RecordType as Other};
    use hickory_proto::serialize::binary::{BinDecoder, BinEncodable, BinEncoder, Restrict};
    let mut rng = StdRng::seed_from_u64(6);
    let mut agreed = std::collections::BTreeSet::new();
    for layout in LAYOUTS {
        let other = Other::from(layout.rtype.0);
        for _ in 0..100 {
            let wire = random_rdata(&mut rng, layout);
            let length = Restrict::new(wire.len() as u16);
            let Ok(read) = RData::read(&mut BinDecoder::new(&wire), other, length) else {
                continue;
            };
            if matches!(read, RData::Unknown { .. }) {
                continue;
            }
            let mut written = Vec::new();
            let mut encoder = BinEncoder::new(&mut written);
            encoder.set_canonical_form(false);
            read.emit(&mut encoder).expect("it was read");
            assert_eq!(
                HEXLOWER.encode(&written),
                HEXLOWER.encode(&wire),
                "{} {read}",
                layout.rtype
            );
            agreed.insert(layout.rtype);
        }
    }
    use RecordType as T;
    for rtype in [
        T::A,
        T::AAAA,
        T::CAA,
        T::CNAME,
        T::HINFO,
        T::HTTPS,
        T::MX,
        T::NAPTR,
        T::NS,
        T::PTR,
        T::SOA,
        T::SRV,
        T::SVCB,
        T::TLSA,
        T::TXT,
    ] {
        assert!(agreed.contains(&rtype), "{rtype} was not compared");
    }
}
