//! Whether two replies to one question say the same.

use std::collections::BTreeSet;
use std::fmt;

use dns_userspace::name::Name;
use dns_userspace::record::RecordType;

use super::exceptions::Exception;
use super::peers::Program;
use super::reply::{Record, Reply};
use super::worlds::World;

/// A question to a world.
#[derive(Clone, Debug)]
pub struct Question {
    /// QNAME, in the case it is asked in.
    pub name: Name,
    /// QTYPE.
    pub qtype: RecordType,
}

/// What two servers said to one question.
pub struct Pair<'a> {
    /// Whom it was asked of.
    pub world: &'a World,
    /// What was asked.
    pub question: &'a Question,
    /// Who else was asked.
    pub program: Program,
    /// Our reply.
    pub ours: &'a Reply,
    /// The other one's.
    pub theirs: &'a Reply,
}

/// How two replies compare.
#[derive(Debug)]
pub enum Verdict {
    /// They say the same.
    Equal,
    /// They differ as `docs/differences.md` says.
    Excepted(Exception),
    /// They differ.
    Different(&'static str),
}

impl Pair<'_> {
    /// Compares two replies of which neither is truncated.
    pub fn judge(&self) -> Verdict {
        match self.difference() {
            None => Verdict::Equal,
            Some(what) => match Exception::of(self) {
                Some(exception) => Verdict::Excepted(exception),
                None => Verdict::Different(what),
            },
        }
    }

    /// What is not as it must be, if something is not.
    fn difference(&self) -> Option<&'static str> {
        let (ours, theirs) = (self.ours, self.theirs);
        let checks: [(&'static str, bool); 11] = [
            ("flags", ours.flags == theirs.flags),
            ("question", ours.question == theirs.question),
            ("OPT", ours.has_opt == theirs.has_opt),
            ("RCODE", ours.rcode == theirs.rcode),
            ("AA", ours.authoritative == theirs.authoritative),
            ("TC", ours.truncated == theirs.truncated),
            ("answer", ours.answer() == theirs.answer()),
            ("authority", ours.authority() == theirs.authority()),
            ("a record that stands twice", !ours.repeats),
            ("additional records that no zone holds", self.additional_is_held()),
            ("glue", self.glue_is_equal()),
        ];
        checks.into_iter().find(|(_, is_right)| !is_right).map(|(what, _)| what)
    }

    fn additional_is_held(&self) -> bool {
        self.ours.additional().iter().all(|record| {
            let Ok(owner) = Name::from_wire(&record.owner) else {
                return false;
            };
            self.world.has_address(&owner, record.rtype, record.ttl, &record.rdata)
        })
    }

    /// RFC 9471: of a referral, the glue below its own cut; and whatever the other gives, we give.
    fn glue_is_equal(&self) -> bool {
        if !self.ours.is_referral() {
            return true;
        }
        let theirs = self.theirs.additional();
        glue(self.ours, true) == glue(self.theirs, true) && theirs.is_subset(self.ours.additional())
    }
}

/// Addresses of a referral's name servers; with `own_alone`, of those at and below its own cut.
pub fn glue(referral: &Reply, own_alone: bool) -> BTreeSet<&Record> {
    let servers: BTreeSet<&[u8]> = referral.authority().iter().map(|ns| &ns.rdata[..]).collect();
    let cut = referral.authority().first().map_or(&[][..], |ns| &ns.owner[..]);
    let is_own = |owner: &[u8]| {
        let (owner, cut) = (Name::from_wire(owner), Name::from_wire(cut));
        owner.is_ok_and(|owner| cut.is_ok_and(|cut| owner.is_at_or_below(&cut)))
    };
    let found = referral.additional().iter();
    found
        .filter(|record| servers.contains(&record.owner[..]) && (!own_alone || is_own(&record.owner)))
        .collect()
}

impl fmt::Display for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.question.name, self.question.qtype)?;
        writeln!(f, "hotdns: {}", self.ours)?;
        write!(f, "{}: {}", self.program.title(), self.theirs)
    }
}
