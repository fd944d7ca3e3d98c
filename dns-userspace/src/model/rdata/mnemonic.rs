//! Words for numbers in RDATA, from the IANA registries. They are read; what is written are the numbers.

/// DNS Security Algorithm Numbers, with the names that BIND writes too.
pub(super) const ALGORITHMS: &[(u16, &str)] = &[
    (1, "RSAMD5"),
    (2, "DH"),
    (3, "DSA"),
    (5, "RSASHA1"),
    (6, "DSA-NSEC3-SHA1"),
    (6, "NSEC3DSA"),
    (7, "RSASHA1-NSEC3-SHA1"),
    (7, "NSEC3RSASHA1"),
    (8, "RSASHA256"),
    (10, "RSASHA512"),
    (12, "ECC-GOST"),
    (12, "ECCGOST"),
    (13, "ECDSAP256SHA256"),
    (14, "ECDSAP384SHA384"),
    (15, "ED25519"),
    (16, "ED448"),
    (252, "INDIRECT"),
    (253, "PRIVATEDNS"),
    (254, "PRIVATEOID"),
];

/// CERT RR Certificate Types (RFC 4398 §2.1).
pub(super) const CERTIFICATE_TYPES: &[(u16, &str)] = &[
    (1, "PKIX"),
    (2, "SPKI"),
    (3, "PGP"),
    (4, "IPKIX"),
    (5, "ISPKI"),
    (6, "IPGP"),
    (7, "ACPKIX"),
    (8, "IACPKIX"),
    (253, "URI"),
    (254, "OID"),
];

/// The number that `word` stands for, in any case.
pub(super) fn number(table: &[(u16, &str)], word: &[u8]) -> Option<u32> {
    let found = table
        .iter()
        .find(|(_, mnemonic)| mnemonic.as_bytes().eq_ignore_ascii_case(word));
    found.map(|&(number, _)| number.into())
}
