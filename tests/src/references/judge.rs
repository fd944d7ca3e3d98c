//! Whether two replies to one question say the same.

use std::collections::BTreeSet;
use std::fmt;

use dns_userspace::model::name::Name;
use dns_userspace::model::record::RecordType;

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
            None if self.is_larger() => Verdict::Different("larger than Knot's"),
            None => Verdict::Equal,
            Some(what) => match Exception::of(self) {
                Some(exception) => Verdict::Excepted(exception),
                None => Verdict::Different(what),
            },
        }
    }

    /// Compares the replies over UDP, where the whole ones say the same. `limit` is the most that a reply may have, in
    /// octets.
    pub fn judge_size(&self, whole: &Self, limit: usize) -> Verdict {
        let own = Pair {
            theirs: whole.ours,
            ..*self
        };
        let is_complete = self.ours.truncated || own.glue_is_equal();
        if self.ours.length > limit || !self.ours.is_part_of(whole.ours) || !is_complete {
            return Verdict::Different("a reply that lacks something");
        }
        if self.ours.truncated && self.theirs.truncated {
            return Verdict::Equal;
        }
        match Exception::of_size(self, whole, limit) {
            Some(exception) => Verdict::Excepted(exception),
            None => Verdict::Different("TC"),
        }
    }

    /// What is not as it must be, if something is not.
    pub fn difference(&self) -> Option<&'static str> {
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

    /// Whether our reply says the same as Knot's in more octets. Where names differ in case, ours keep theirs, and do
    /// not stand for each other.
    fn is_larger(&self) -> bool {
        self.program == Program::Knot
            && self.world.is_lower_case()
            && self.ours.sections == self.theirs.sections
            && self.ours.length > self.theirs.length
    }

    fn additional_is_held(&self) -> bool {
        self.ours.additional().iter().all(|record| {
            let Ok(owner) = Name::from_wire(&record.owner) else {
                return false;
            };
            self.world.has_address(&owner, record.rtype, record.ttl, &record.rdata)
        })
    }

    /// RFC 9471: of a referral, all give the glue below its own cut. Glue below other cuts of the same zone is ours to
    /// give where the other gives it.
    fn glue_is_equal(&self) -> bool {
        let cut = self.ours.authority().first().filter(|_| self.ours.is_referral());
        let Some(cut) = cut.and_then(|ns| Name::from_wire(&ns.owner).ok()) else {
            return true;
        };
        let Some(zone) = cut.parent().and_then(|above| self.world.zone_of(&above)) else {
            return true;
        };
        let glue = |reply: &Reply, is_glue: &dyn Fn(&Name) -> bool| -> BTreeSet<Record> {
            let of_glue = |record: &&Record| Name::from_wire(&record.owner).is_ok_and(|owner| is_glue(&owner));
            reply.additional().iter().filter(of_glue).cloned().collect()
        };
        let own = |owner: &Name| owner.is_at_or_below(&cut);
        let siblings = |owner: &Name| owner.is_at_or_below(&zone.apex) && zone.cut_above(owner).is_some();
        glue(self.ours, &own) == glue(self.theirs, &own)
            && glue(self.theirs, &siblings).is_subset(&glue(self.ours, &siblings))
    }
}

impl fmt::Display for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.question.name, self.question.qtype)?;
        writeln!(f, "hotdns: {}", self.ours)?;
        write!(f, "{}: {}", self.program.title(), self.theirs)
    }
}
