//! Numbers of the DNS message format (RFC 1035 §4.1, RFC 6891 §6.1).

/// Octets of the fixed header.
pub const HEADER_BYTES: usize = 12;
/// Octets of QTYPE and QCLASS after the question's name.
pub const QUESTION_TAIL_BYTES: usize = 4;
/// Octets of an OPT RR without options.
pub const OPT_BYTES: usize = 11;
/// The smallest limit of a message over UDP (RFC 1035 §4.2.1), and what smaller values in an OPT mean (RFC 6891
/// §6.2.3).
pub const MIN_UDP_PAYLOAD: u16 = 512;
/// The longest name, root label included (RFC 1035 §3.1).
pub const MAX_NAME_BYTES: usize = 255;

/// Header flags, in host order of the 16-bit word at octet 2.
pub mod flags {
    /// A response.
    pub const QR: u16 = 0x8000;
    /// The four bits of the opcode.
    pub const OPCODE: u16 = 0x7800;
    /// Authoritative answer.
    pub const AA: u16 = 0x0400;
    /// Truncated.
    pub const TC: u16 = 0x0200;
    /// Recursion desired.
    pub const RD: u16 = 0x0100;
    /// Recursion available.
    pub const RA: u16 = 0x0080;
    /// Checking disabled (RFC 4035 §3.2.2).
    pub const CD: u16 = 0x0010;
    /// The four bits of the rcode.
    pub const RCODE: u16 = 0x000F;
    /// REFUSED in these bits.
    pub const REFUSED: u16 = 5;
}

/// Record types and QTYPEs that the core itself treats in a special way.
pub mod rtype {
    /// Host address.
    pub const A: u16 = 1;
    /// IPv6 host address.
    pub const AAAA: u16 = 28;
    /// EDNS pseudo-RR.
    pub const OPT: u16 = 41;
    /// Delegation signer, which lives on the parent's side of a cut.
    pub const DS: u16 = 43;
    /// First of the meta and question types (RFC 6895 §3.1).
    pub const META_FIRST: u16 = 128;
    /// Last of them.
    pub const META_LAST: u16 = 255;
}

/// EDNS options that the core itself knows.
pub mod option {
    /// Asks who answers (RFC 5001).
    pub const NSID: u16 = 3;
    /// DNS cookies (RFC 7873).
    pub const COOKIE: u16 = 10;
    /// Extended DNS errors (RFC 8914).
    pub const EXTENDED_ERROR: u16 = 15;
}

/// INFO-CODEs of extended DNS errors (RFC 8914 §4) that the core itself gives.
pub mod info_code {
    /// The name is in no zone of ours, and not forwarded.
    pub const NOT_AUTHORITATIVE: u16 = 20;
    /// The client may not ask.
    pub const PROHIBITED: u16 = 18;
}

/// Octets of an extended error without text, as an option: code, length, INFO-CODE.
pub const EXTENDED_ERROR_BYTES: usize = 6;

/// Class IN.
pub const CLASS_IN: u16 = 1;
/// DO in the 16-bit flags of an OPT RR's TTL field (RFC 3225 §3).
pub const EDNS_DO: u16 = 0x8000;
