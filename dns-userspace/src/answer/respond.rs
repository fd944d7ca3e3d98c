//! From a query's octets to a reply's: what is refused before the data are asked, size limits, and where the upstream
//! comes in.
//!
//! RFC 8906 §2: every query gets a reply, so each way out of here but "not a query" writes one.

use super::encode::{Framing, encode, encode_bare};
use super::resolve::resolve_unheard;
use super::{Admission, End, Environment, Outcome, PartialChain, Resolution, Serials, chaos, class, rcode};
use crate::message::{Edns, ExtendedError, Fault, InfoCode, Query, Question, parse};
use crate::model::access::Access;
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::model::snapshot::Snapshot;

/// TC in the third octet of a message.
const TC: u8 = 0x02;
/// What a client is told of a zone that failed. Paths and what is in files are for the log and the reload's reply.
const ZONE_FAILED: &str = "the zone's data are not valid";

/// Answers one query. `out` is emptied, and holds the reply where the outcome is [`Outcome::Reply`].
pub fn respond(
    query: &[u8],
    snapshot: &Snapshot,
    serials: &dyn Serials,
    environment: &Environment<'_>,
    out: &mut Vec<u8>,
) -> Outcome {
    out.clear();
    let Some(query) = parse(query) else {
        return Outcome::Silence;
    };
    let framing = framing(&query, environment);
    let admitted = environment.admission;
    if query.asks_for_cookie_alone && admitted == Admission::Refused {
        return refuse(Refusal::PROHIBITED, &query, framing, out);
    }
    if query.asks_for_cookie_alone && admitted != Admission::Truncated {
        encode_bare(rcode::NOERROR, None, &framing, out);
        return Outcome::Reply;
    }
    let question = match admit(&query) {
        Ok(question) => question,
        // Over a rate limit, only what can be asked again is worth a reply.
        Err(_) if admitted == Admission::Truncated => return Outcome::Silence,
        Err(_) if admitted == Admission::Admitted && is_dropped(&query, snapshot, environment) => {
            return Outcome::Denied;
        }
        Err(refusal) => return refuse(refusal, &query, framing, out),
    };
    match admitted {
        Admission::Admitted => {}
        Admission::Truncated => {
            encode_bare(rcode::NOERROR, Some(&question), &framing, out);
            out[2] |= TC;
            return Outcome::Reply;
        }
        Admission::Refused => return refuse(Refusal::PROHIBITED, &query, framing, out),
    }
    let Ok(qname) = Name::from_wire(question.name) else {
        return refuse(Refusal::FORMERR, &query, framing, out);
    };
    if question.qclass == class::CHAOS {
        let identity = environment.identity;
        return match identity.and_then(|identity| chaos::resolve(question.name, question.qtype, identity)) {
            Some(resolution) => {
                encode(&resolution, &question, &framing, serials, out, None);
                Outcome::Reply
            }
            None => refuse(Refusal::NOT_OURS, &query, framing, out),
        };
    }
    if snapshot.is_withheld {
        return refuse(Refusal::NOT_READY, &query, framing, out);
    }
    match snapshot.access(&qname, question.qtype, environment.cookies.client) {
        Access::Allowed => {}
        Access::Refused => return refuse(Refusal::PROHIBITED, &query, framing, out),
        Access::Dropped => return Outcome::Denied,
    }
    let snapshot = snapshot.for_client(environment.cookies.client);
    let mut resolution = resolve_unheard(snapshot, &qname, question.qtype, &environment.resolve_options());
    let mut may_ask_upstream = environment.recursion_available && query.recursion_desired;
    if question.qclass == class::ANY {
        // RFC 1035 §6.2: never authoritative, since it does not cover all classes. Nobody else is asked either.
        resolution.authoritative = false;
        may_ask_upstream = false;
    }
    match std::mem::replace(&mut resolution.end, End::Final) {
        End::NotOurs | End::FallsThrough(None) if may_ask_upstream => return Outcome::Forward,
        End::ChainLeaves(target) | End::FallsThrough(Some(target)) if may_ask_upstream => {
            return Outcome::CompleteUpstream(PartialChain {
                target,
                qtype: question.qtype,
                resolution,
            });
        }
        End::NotOurs => return refuse(Refusal::NOT_OURS, &query, framing, out),
        End::ZoneFailed => {
            let error = ExtendedError {
                code: InfoCode::InvalidData,
                text: ZONE_FAILED,
            };
            encode(&resolution, &question, &framing.with_error(error), serials, out, None);
        }
        End::AliasFailed(fault) => {
            let error = ExtendedError {
                code: InfoCode::Other,
                text: &fault.to_string(),
            };
            encode(&resolution, &question, &framing.with_error(error), serials, out, None);
        }
        End::Final | End::ChainLeaves(_) | End::FallsThrough(_) => {
            encode(&resolution, &question, &framing, serials, out, None);
        }
    }
    Outcome::Reply
}

/// What our data say to a name that an alias of an upstream server leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Resumed {
    /// It is not ours, or delegated by us: what the upstream server says holds.
    NotOurs,
    /// The answer is in `out`, as a message. The chain in it leads on to this name, where that is not ours.
    Answered(Option<Name>),
    /// SERVFAIL, for this reason.
    Failed(InfoCode, String),
}

/// Goes on with our data where a chain of aliases that began elsewhere leads to `name` (RFC 1034 §4.3.2 step 3a,
/// §5.3.3).
/// `out` is emptied, and has the answer to a question for `name` alone, without an OPT and of any size.
pub fn resume(
    name: &Name,
    qtype: RecordType,
    snapshot: &Snapshot,
    serials: &dyn Serials,
    environment: &Environment<'_>,
    out: &mut Vec<u8>,
) -> Resumed {
    out.clear();
    let snapshot = snapshot.for_client(environment.cookies.client);
    let mut resolution = resolve_unheard(snapshot, name, qtype, &environment.resolve_options());
    let leads_to = match &resolution.end {
        End::ZoneFailed => return Resumed::Failed(InfoCode::InvalidData, ZONE_FAILED.to_owned()),
        End::AliasFailed(fault) => return Resumed::Failed(InfoCode::Other, fault.to_string()),
        _ if !is_answer(&resolution) => return Resumed::NotOurs,
        End::FallsThrough(None) => return Resumed::NotOurs,
        End::ChainLeaves(target) | End::FallsThrough(Some(target)) => Some(target.clone()),
        End::NotOurs | End::Final => None,
    };
    if matches!(resolution.end, End::FallsThrough(_)) {
        // Whether the name exists is said by whoever is asked next.
        resolution.rcode = rcode::NOERROR;
        resolution.authority.clear();
    }
    let question = Question {
        name: name.as_wire(),
        qtype,
        qclass: class::IN,
    };
    let framing = Framing {
        id: 0,
        opcode: 0,
        recursion_desired: true,
        recursion_available: true,
        edns: None,
        draw: Some(environment.draw()),
        limit: usize::from(u16::MAX),
    };
    encode(&resolution, &question, &framing, serials, out, None);
    Resumed::Answered(leads_to)
}

/// Whether our data have something to say to `name`, and are not merely a referral.
pub fn is_ours(name: &Name, qtype: RecordType, snapshot: &Snapshot, environment: &Environment<'_>) -> bool {
    let snapshot = snapshot.for_client(environment.cookies.client);
    let resolution = resolve_unheard(snapshot, name, qtype, &environment.resolve_options());
    match resolution.end {
        End::ZoneFailed | End::AliasFailed(_) => true,
        End::FallsThrough(None) => false,
        _ => is_answer(&resolution),
    }
}

/// A referral for the name itself has AA=0, and so has REFUSED.
fn is_answer(resolution: &Resolution) -> bool {
    resolution.authoritative
}

/// Whether the question, of whatever type, is for a zone that drops what this client asks.
fn is_dropped(query: &Query<'_>, snapshot: &Snapshot, environment: &Environment<'_>) -> bool {
    let question = query.question.filter(|question| question.qclass != class::CHAOS);
    question.is_some_and(|question| {
        let qname = Name::from_wire(question.name);
        qname.is_ok_and(|qname| snapshot.access(&qname, question.qtype, environment.cookies.client) == Access::Dropped)
    })
}

/// The same of a message that may be cut off.
pub fn is_dropped_by_zone(query: &[u8], snapshot: &Snapshot, environment: &Environment<'_>) -> bool {
    parse(query).is_some_and(|query| is_dropped(&query, snapshot, environment))
}

/// The index of the zone that a query asks, where it is one for the data.
pub fn zone_asked(query: &[u8], snapshot: &Snapshot) -> Option<u32> {
    let question = admit(&parse(query)?).ok()?;
    if question.qclass == class::CHAOS {
        return None;
    }
    let qname = Name::from_wire(question.name).ok()?;
    snapshot.zone_asked(&qname, question.qtype).map(|zone| zone.index)
}

/// A reply that depends on no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refusal {
    rcode: u8,
    extended_rcode: u8,
    error: Option<ExtendedError<'static>>,
}

impl Refusal {
    const FORMERR: Self = Self::plain(rcode::FORMERR);
    const NOTIMP: Self = Self::plain(rcode::NOTIMP);
    /// REFUSED: a name or a class that is not ours.
    const NOT_OURS: Self = Self {
        error: Some(InfoCode::NotAuthoritative.alone()),
        ..Self::plain(rcode::REFUSED)
    };
    /// SERVFAIL: nobody knows yet what there is.
    const NOT_READY: Self = Self {
        error: Some(InfoCode::NotReady.alone()),
        ..Self::plain(rcode::SERVFAIL)
    };
    /// REFUSED: a client that may not ask.
    const PROHIBITED: Self = Self {
        error: Some(InfoCode::Prohibited.alone()),
        ..Self::plain(rcode::REFUSED)
    };
    /// REFUSED: transfers.
    const NO_TRANSFER: Self = Self {
        error: Some(InfoCode::NotSupported.alone()),
        ..Self::plain(rcode::REFUSED)
    };
    /// 16 (RFC 6891 §9): its lower four bits in the header, its upper eight in the OPT.
    const BADVERS: Self = Self {
        extended_rcode: 1,
        ..Self::plain(0)
    };

    const fn plain(rcode: u8) -> Self {
        Self {
            rcode,
            extended_rcode: 0,
            error: None,
        }
    }
}

/// The question, where it is one for the data.
fn admit<'a>(query: &Query<'a>) -> Result<Question<'a>, Refusal> {
    match query.fault {
        Some(Fault::Malformed) => return Err(Refusal::FORMERR),
        Some(Fault::Opcode) => return Err(Refusal::NOTIMP),
        Some(Fault::Version) => return Err(Refusal::BADVERS),
        None => {}
    }
    let question = query.question.ok_or(Refusal::FORMERR)?;
    match question.qtype {
        RecordType::ANY => {}
        // No transfers. RFC 5936 §2.2.1: a server that does not give one says REFUSED.
        RecordType::AXFR | RecordType::IXFR => return Err(Refusal::NO_TRANSFER),
        // MAILB and MAILA, obsolete (RFC 1035 §3.2.3, RFC 6895 §3.1).
        RecordType(253 | 254) => return Err(Refusal::NOTIMP),
        // Type 0, OPT, TKEY, TSIG and the meta-TYPEs that nobody may ask for (RFC 6895 §3.1, RFC 9824 §3.5).
        qtype if !qtype.is_data() => return Err(Refusal::FORMERR),
        _ => {}
    }
    match question.qclass {
        class::IN | class::CHAOS | class::ANY => Ok(question),
        _ => Err(Refusal::NOT_OURS),
    }
}

fn refuse(refusal: Refusal, query: &Query<'_>, framing: Framing<'_>, out: &mut Vec<u8>) -> Outcome {
    let edns = framing.edns.map(|edns| Edns {
        extended_rcode: refusal.extended_rcode,
        error: refusal.error,
        ..edns
    });
    encode_bare(
        refusal.rcode,
        query.question.as_ref(),
        &Framing { edns, ..framing },
        out,
    );
    Outcome::Reply
}

fn framing<'a>(query: &Query<'_>, environment: &Environment<'a>) -> Framing<'a> {
    Framing {
        id: query.id,
        opcode: query.opcode,
        recursion_desired: query.recursion_desired,
        // A client that may not ask has no recursion either.
        recursion_available: environment.recursion_available && environment.admission != Admission::Refused,
        // RFC 6891 §7: an OPT in the query gets one in the reply, whatever is wrong with it.
        edns: query.edns.map(|edns| Edns {
            udp_payload: environment.udp_payload,
            dnssec_ok: edns.dnssec_ok,
            extended_rcode: 0,
            cookie: edns
                .options
                .client_cookie
                .map(|cookie| environment.cookies.cookie(cookie)),
            nsid: environment.nsid().filter(|_| edns.options.nsid),
            error: None,
        }),
        draw: Some(environment.draw()),
        limit: usize::from(
            environment
                .limit
                .octets(query.edns.map(|edns| edns.udp_payload), environment.udp_payload),
        ),
    }
}
