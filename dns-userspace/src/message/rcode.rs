//! Names of RCODEs (IANA, "DNS RCODEs").

/// Every RCODE that has a name and can be in a message's header and OPT.
const NAMES: &[(u8, &str)] = &[
    (0, "NOERROR"),
    (1, "FORMERR"),
    (2, "SERVFAIL"),
    (3, "NXDOMAIN"),
    (4, "NOTIMP"),
    (5, "REFUSED"),
    (6, "YXDOMAIN"),
    (7, "YXRRSET"),
    (8, "NXRRSET"),
    (9, "NOTAUTH"),
    (10, "NOTZONE"),
    (11, "DSOTYPENI"),
    (16, "BADVERS"),
    (17, "BADKEY"),
    (18, "BADTIME"),
    (19, "BADMODE"),
    (20, "BADNAME"),
    (21, "BADALG"),
    (22, "BADTRUNC"),
    (23, "BADCOOKIE"),
];

/// The name, or `other`.
pub(crate) fn rcode_name(rcode: usize) -> &'static str {
    let found = NAMES.iter().find(|(number, _)| usize::from(*number) == rcode);
    found.map_or("other", |(_, name)| name)
}

/// The number of a name, in any case.
pub(crate) fn parse_rcode(text: &str) -> Option<u8> {
    let found = NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
    found.map(|(number, _)| *number)
}
