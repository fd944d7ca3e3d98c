//! What can be wrong with an entry of a zone file, told so that whoever wrote it can put it right.

use std::io;

use crate::host::memory::Size;
use crate::model::name::{Name, NameError};
use crate::model::rdata::{LexError, RdataFault};
use crate::model::record::{RecordType, UnknownType};

/// An entry's problem. The offending text and the place are added by whoever reports it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ZoneFileProblem {
    #[error(transparent)]
    Words(#[from] LexError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Rdata(#[from] RdataFault),
    #[error(transparent)]
    Type(#[from] UnknownType),
    #[error("quotes do not belong here; remove them")]
    Quoted,
    #[error("the line begins with a blank and no record before it has an owner; write the owner, or `@`")]
    NoOwner,
    #[error("this owner is not in the zone `{apex}`; move the record to its own zone, or mind a missing final dot")]
    OutOfZone { apex: Name },
    #[error("the record type is missing; a record is OWNER [TTL] [IN] TYPE DATA")]
    NoType,
    #[error("this class is not served; only IN is")]
    Class,
    #[error("{rtype} is no type that data can have; remove the record")]
    NoData { rtype: RecordType },
    #[error("a TTL is 0 to 2147483647 seconds (RFC 2181 §8), or a time such as `1h30m`")]
    Ttl,
    #[error("no TTL is known for this record; put `$TTL` at the top of the file, or write one here")]
    NoTtl,
    #[error("unknown directive; known are $ORIGIN, $TTL, $INCLUDE and $GENERATE. An owner with `$` begins `\\$`")]
    Directive,
    #[error("{directive} takes {takes}")]
    DirectiveShape {
        directive: &'static str,
        takes: &'static str,
    },
    #[error("the included file cannot be read: {0}")]
    IncludeIo(io::Error),
    #[error("an included file must lie in the folder of the zone file (symbolic links count by their target)")]
    IncludeOutside,
    #[error("`$INCLUDE` reads files of the server, which a text from elsewhere must not: put the records in its place")]
    IncludeInText,
    #[error("this file includes itself, directly or through another")]
    IncludeLoop,
    #[error("files may include each other up to {limit} deep")]
    IncludeDepth { limit: usize },
    #[error("a zone may be made of {limit} files, each counted as often as it is included")]
    IncludeCount { limit: usize },
    #[error(
        "files that are included once more add up to more than {limit}; include them less often, or write one record \
         for all"
    )]
    IncludeRepeated { limit: Size },
    #[error(
        "{what} takes about {needs} of memory, and {left} of {limit} (`limits.memory`) is left for the zone; raise \
         that limit where there is more memory, or make the zone smaller"
    )]
    Memory {
        what: String,
        needs: Size,
        left: Size,
        limit: Size,
    },
    #[error("a range is START-STOP or START-STOP/STEP, with START up to STOP and STEP at least 1")]
    GenerateRange,
    #[error("this range makes {count} records; the limit is {limit}")]
    GenerateCount { count: u64, limit: u64 },
    #[error(
        "a `${{…}}` is ${{OFFSET}}, ${{OFFSET,WIDTH}} or ${{OFFSET,WIDTH,BASE}}, with a WIDTH up to 255 and a BASE of \
         d, o, x, X, n or N"
    )]
    GenerateModifier,
    #[error("with {value} the offset gives a negative number, which only base d can show")]
    GenerateNegative { value: u32 },
    #[error("in the record made for {value}, at `{text}`: {problem}")]
    Generated {
        value: u32,
        text: String,
        problem: Box<ZoneFileProblem>,
    },
    #[error("`{owner}` has a second {rtype} record; only one can be")]
    Singleton { owner: Name, rtype: RecordType },
    #[error("`{owner}` has a CNAME and other data ({rtype}); only RRSIG, NSEC and KEY may stand beside a CNAME")]
    CnameConflict { owner: Name, rtype: RecordType },
    #[error("`{owner}` has an ALIAS and {rtype}; an ALIAS stands for the A and AAAA records of its target: remove one")]
    AliasConflict { owner: Name, rtype: RecordType },
    #[error("an SOA record is at `{owner}`, which is not the apex of the zone `{apex}`")]
    SoaBelowApex { owner: Name, apex: Name },
    #[error("the zone has no SOA record at its apex `{apex}`; add one")]
    NoSoa { apex: Name },
}

impl ZoneFileProblem {
    /// Whether the zone takes more memory than there is for it.
    pub(super) fn is_of_memory(&self) -> bool {
        match self {
            Self::Memory { .. } => true,
            Self::Generated { problem, .. } => problem.is_of_memory(),
            _ => false,
        }
    }
}

/// A problem and the number of the token that has it.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) token: usize,
    pub(super) problem: ZoneFileProblem,
}

impl Located {
    pub(super) fn new(token: usize, problem: impl Into<ZoneFileProblem>) -> Self {
        Self {
            token,
            problem: problem.into(),
        }
    }
}

impl From<crate::model::rdata::Fault> for Located {
    fn from(fault: crate::model::rdata::Fault) -> Self {
        Self::new(fault.token, fault.fault)
    }
}
