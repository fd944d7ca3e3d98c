//! Differences that are known: each narrow, each with the RFC that decides, as `docs/differences.md` says.

use std::collections::BTreeSet;

use dns_userspace::answer::{Environment, Outcome, respond};
use dns_userspace::message::Limit;
use dns_userspace::model::name::Name;
use dns_userspace::model::record::RecordType;

use super::judge::Pair;
use super::peers::Program;
use super::reply::{Record, Reply};
use crate::frames::Query;
use crate::planes::COOKIES;

/// A case in which the other servers do not agree with each other, or with the RFC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exception {
    /// Knot and BIND answer from one zone alone: what other zones of theirs hold, and that these exist, is not in it.
    OneZoneAlone,
    /// BIND ends a chain of aliases where it leaves the zone, also where it serves the next one.
    ChainEndsAtZone,
    /// BIND answers SERVFAIL for a chain that is a circle, or longer than 11 aliases.
    ChainIsCircle,
    /// Knot ends a chain after five aliases.
    ChainIsLong,
    /// NSD substitutes only once where a DNAME leads below itself.
    DnameBelowItself,
    /// Knot goes on after YXDOMAIN, and answers for the DNAME's target.
    GoesOnAfterYxdomain,
    /// NSD leaves glue out that lies at or below another zone of its.
    GlueInOtherZone,
    /// NSD and Knot make glue from a wildcard below the cut.
    GlueFromWildcard,
    /// NSD and BIND leave glue out where it has no room, without TC.
    GlueIsLeftOut,
    /// Knot leaves the SOA of a negative answer out where it has no room, without TC.
    SoaIsLeftOut,
    /// The other's message is larger than the limit, ours is not.
    LargerMessage,
    /// Ours is larger than the limit, the other's is not: we compress onto less of the question.
    SmallerMessage,
}

/// When an exception holds.
type Condition = fn(&Pair<'_>) -> bool;

impl Exception {
    /// The exception that explains what two replies differ in.
    pub fn of(pair: &Pair<'_>) -> Option<Self> {
        use Program::{Bind, Knot, Nsd};
        let cases: [(Self, &[Program], Condition); 8] = [
            (Self::OneZoneAlone, &[Knot, Bind], is_one_zone_alone),
            (Self::ChainEndsAtZone, &[Bind], ends_at_zone),
            (Self::ChainIsCircle, &[Bind], is_circle),
            (Self::ChainIsLong, &[Knot], ends_after_five),
            (Self::DnameBelowItself, &[Nsd], has_dname_below_itself),
            (Self::GoesOnAfterYxdomain, &[Knot], goes_on_after_yxdomain),
            (Self::GlueInOtherZone, &[Nsd], has_glue_in_other_zone),
            (Self::GlueFromWildcard, &[Nsd, Knot], has_glue_from_wildcard),
        ];
        let mut found = cases.into_iter();
        let found = found.find(|(_, programs, applies)| programs.contains(&pair.program) && applies(pair));
        found.map(|(exception, ..)| exception)
    }

    /// The exception that explains why one reply over UDP lacks something and the other one does not, or does not say
    /// so, where the whole ones say the same.
    pub fn of_size(pair: &Pair<'_>, whole: &Pair<'_>, limit: usize) -> Option<Self> {
        let (ours, theirs) = (pair.ours, pair.theirs);
        let lacks = |at: usize| theirs.sections[at] != whole.theirs.sections[at];
        let has_room = [whole.ours, whole.theirs].map(|reply| reply.length <= limit);
        match (ours.truncated, theirs.truncated) {
            (false, true) if !has_room[1] => Some(Self::LargerMessage),
            (true, false) if has_room == [false, true] => Some(Self::SmallerMessage),
            (_, false) if pair.program == Program::Knot && !lacks(0) && lacks(1) && !has_room[1] => {
                let is_negative = whole
                    .theirs
                    .authority()
                    .iter()
                    .all(|record| record.rtype == RecordType::SOA.0);
                (is_negative && theirs.authority().is_empty()).then_some(Self::SoaIsLeftOut)
            }
            (_, false) if pair.program != Program::Knot && !lacks(0) && !lacks(1) && lacks(2) => {
                // BIND stops a little below the limit.
                let is_near = whole.theirs.length + 64 > limit;
                (is_near && whole.theirs.is_referral()).then_some(Self::GlueIsLeftOut)
            }
            _ => None,
        }
    }
}

/// A name of a chain, and the records that lead on from it.
struct Link {
    name: Name,
    records: BTreeSet<Record>,
}

/// The chain of our answer, to its last name; `true` where that is a name of the chain again.
fn chain(pair: &Pair<'_>) -> (Vec<Link>, bool) {
    let answer = pair.ours.answer();
    let mut chain: Vec<Link> = Vec::new();
    let mut name = pair.question.name.to_lowercase();
    loop {
        if chain.iter().any(|link| link.name == name) {
            return (chain, true);
        }
        let is_alias = |record: &&Record| record.owner == name.as_wire() && record.rtype == RecordType::CNAME.0;
        let alias = answer.iter().find(is_alias);
        let Some((alias, target)) = alias.and_then(|alias| Some((alias, Name::from_wire(&alias.rdata).ok()?))) else {
            let records = BTreeSet::new();
            chain.push(Link { name, records });
            return (chain, false);
        };
        let is_dname_above = |record: &&Record| {
            record.rtype == RecordType::DNAME.0
                && Name::from_wire(&record.owner).is_ok_and(|owner| name.is_at_or_below(&owner) && owner != name)
        };
        let mut records: BTreeSet<Record> = answer.iter().filter(is_dname_above).cloned().collect();
        records.insert(alias.clone());
        chain.push(Link { name, records });
        name = target;
    }
}

/// The other's reply is what we would reply, if the zone of the question were our only one.
fn is_one_zone_alone(pair: &Pair<'_>) -> bool {
    alone(pair, 16).is_some_and(|ours| Pair { ours: &ours, ..*pair }.difference().is_none())
}

fn ends_after_five(pair: &Pair<'_>) -> bool {
    alone(pair, 5).is_some_and(|ours| Pair { ours: &ours, ..*pair }.difference().is_none())
}

/// What we would reply, if the zone of the question were our only one.
fn alone(pair: &Pair<'_>, max_cname_depth: u8) -> Option<Reply> {
    let question = pair.question;
    let zone = pair.world.zone_for(&question.name, question.qtype)?;
    let environment = Environment {
        limit: Limit::STREAM,
        is_proven: true,
        max_cname_depth,
        cookies: COOKIES,
        ..Environment::DEFAULT
    };
    let query = Query::new(question.name.as_wire(), question.qtype.0).build();
    let mut message = Vec::new();
    let outcome = respond(&query, zone.alone(), &(), &environment, &mut message);
    let reply = Reply::read(&message).filter(|_| matches!(outcome, Outcome::Reply))?;
    Some(Reply {
        flags: pair.ours.flags,
        question: pair.ours.question.clone(),
        has_opt: pair.ours.has_opt,
        ..reply
    })
}

/// So does our reply, or the one of the question's zone alone.
fn ends_at_zone(pair: &Pair<'_>) -> bool {
    let alone = alone(pair, 16);
    let mut replies = [Some(pair.ours), alone.as_ref()].into_iter().flatten();
    replies.any(|ours| is_cut_at_zone(&Pair { ours, ..*pair }))
}

fn is_cut_at_zone(pair: &Pair<'_>) -> bool {
    let qtype = pair.question.qtype;
    let apex = |name: &Name| pair.world.zone_for(name, qtype).map(|zone| &zone.apex);
    let (chain, _) = chain(pair);
    let first = apex(&pair.question.name);
    let Some(leaves) = chain.iter().position(|link| apex(&link.name) != first) else {
        return false;
    };
    let inside: BTreeSet<Record> = chain[..leaves].iter().flat_map(|link| link.records.clone()).collect();
    let theirs = pair.theirs;
    theirs.rcode == 0
        && theirs.authoritative == pair.ours.authoritative
        && *theirs.answer() == inside
        && theirs.authority().is_empty()
}

fn is_circle(pair: &Pair<'_>) -> bool {
    let (chain, is_circle) = chain(pair);
    pair.theirs.rcode == 2
        && (is_circle || chain.len() > 11)
        && !pair.theirs.answer().is_empty()
        && pair.theirs.answer().is_subset(pair.ours.answer())
}

fn has_dname_below_itself(pair: &Pair<'_>) -> bool {
    let (chain, _) = chain(pair);
    let leads_below_itself = |record: &Record| {
        let names = (Name::from_wire(&record.owner), Name::from_wire(&record.rdata));
        record.rtype == RecordType::DNAME.0 && matches!(names, (Ok(owner), Ok(target)) if target.is_at_or_below(&owner))
    };
    let Some(at) = chain
        .iter()
        .position(|link| link.records.iter().any(leads_below_itself))
    else {
        return false;
    };
    let once: BTreeSet<Record> = chain[..=at].iter().flat_map(|link| link.records.clone()).collect();
    pair.theirs.rcode == 0 && *pair.theirs.answer() == once && pair.theirs.authority().is_empty()
}

/// RFC 6672 §3.2 step 3C ends the algorithm there.
fn goes_on_after_yxdomain(pair: &Pair<'_>) -> bool {
    pair.ours.rcode == 6 && pair.ours.answer().is_subset(pair.theirs.answer())
}

fn has_glue_in_other_zone(pair: &Pair<'_>) -> bool {
    let apexes = || pair.world.zones.iter().map(|zone| &zone.apex);
    let cut = pair
        .ours
        .authority()
        .first()
        .and_then(|ns| Name::from_wire(&ns.owner).ok());
    let Some(zone) = cut.and_then(|cut| pair.world.zone_of(&cut.parent()?)) else {
        return false;
    };
    let is_in_other_zone = |record: &&Record| {
        let owner = Name::from_wire(&record.owner);
        owner.is_ok_and(|owner| {
            apexes().any(|apex| owner.is_at_or_below(apex) && apex.label_count() > zone.apex.label_count())
        })
    };
    let left_out = pair.ours.additional().difference(pair.theirs.additional());
    let glue: Vec<&Record> = left_out.filter(is_in_other_zone).collect();
    let mut theirs = pair.theirs.clone();
    theirs.sections[2].extend(glue.iter().map(|record| (*record).clone()));
    !glue.is_empty()
        && Pair {
            theirs: &theirs,
            ..*pair
        }
        .difference()
        .is_none()
}

fn has_glue_from_wildcard(pair: &Pair<'_>) -> bool {
    let mut theirs = pair.theirs.clone();
    theirs.sections[2].retain(|record| {
        let owner = Name::from_wire(&record.owner);
        let mut zones = pair.world.zones.iter();
        owner.is_ok_and(|owner| zones.any(|zone| zone.has(&owner, RecordType(record.rtype))))
    });
    theirs.sections != pair.theirs.sections
        && Pair {
            theirs: &theirs,
            ..*pair
        }
        .difference()
        .is_none()
}
