//! Chains of aliases that pass between our data and upstream's.
//!
//! ```text
//! ours: www.a. CNAME x.b.   upstream: x.b. CNAME y.a.   ours: y.a. A …      one answer of three legs
//! ```
//!
//! Upstream's alias into our zones is followed in our data (RFC 1034 §4.3.2 step 3a, §5.3.3): what upstream says of our
//! names, and of what follows them, is left out. The sections behind the answer are those of the last leg.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::answer::{Owner, PartialChain, Resumed};
use crate::message::{Message, Record};
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::model::views::ViewName;

const CLASS_IN: u16 = 1;
const CNAME: u16 = RecordType::CNAME.0;
const DNAME: u16 = RecordType::DNAME.0;
const RRSIG: u16 = 46;

/// Our own data, as the clients of chains get them.
pub trait LocalData: std::fmt::Debug + Send + Sync {
    /// Whether our data have something to say to this name; a name that we delegate is not ours.
    fn is_ours(&self, name: &Name, qtype: RecordType, client: IpAddr) -> bool;
    /// Whether the client may ask for the name: what the access list of its zone says.
    fn may_ask(&self, name: &Name, qtype: RecordType, client: IpAddr) -> bool;
    /// The number of the view that the client is in.
    fn view_of(&self, client: IpAddr) -> u16;
    /// The name of the view with this number; none for 0.
    fn view_name(&self, view: u16) -> Option<ViewName>;
    /// Our answer, as [`crate::answer::resume`] gives it.
    fn answer(&self, name: &Name, qtype: RecordType, client: IpAddr, out: &mut Vec<u8>) -> Resumed;
}

/// A part of a chain: one message, of upstream or of ours.
#[derive(Debug)]
pub(super) struct Leg {
    message: Arc<Message>,
    /// Which records of the answer section belong to it; all where there is no list.
    answer: Option<Vec<bool>>,
    additional: Option<Vec<bool>>,
}

impl Leg {
    pub(super) fn new(message: Arc<Message>) -> Self {
        Self {
            message,
            answer: None,
            additional: None,
        }
    }

    /// Our aliases that lead to what upstream is asked.
    pub(super) fn of_ours(chain: &PartialChain, question: &[u8]) -> Self {
        let mut answer = Vec::new();
        for section in &chain.resolution.answer {
            let rrset = &section.rrset;
            let owner = match &section.owner {
                Owner::Question => question,
                Owner::Name(owner) => owner.as_wire(),
            };
            for rdata in &rrset.rdatas {
                answer.push(Record {
                    owner: owner.to_vec(),
                    rtype: rrset.rtype.0,
                    class: CLASS_IN,
                    ttl: rrset.ttl,
                    rdata: rdata.to_vec(),
                });
            }
        }
        Self::new(Arc::new(Message::of_answer(answer)))
    }

    /// The same, with `asked` as the owner of what `found` has; both in wire form.
    pub(super) fn renamed(mut self, found: &[u8], asked: &[u8]) -> Self {
        let has = |record: &Record| record.owner.eq_ignore_ascii_case(found);
        if self.message.answer.iter().any(has) {
            let message = Arc::make_mut(&mut self.message);
            for record in message.answer.iter_mut().filter(|record| has(record)) {
                record.owner = asked.to_vec();
            }
        }
        self
    }

    /// The message as it is.
    pub(super) fn message(&self) -> &Message {
        &self.message
    }

    pub(super) fn answer(&self) -> impl Iterator<Item = &Record> {
        chosen(&self.message.answer, self.answer.as_deref())
    }

    pub(super) fn additional(&self) -> impl Iterator<Item = &Record> {
        chosen(&self.message.additional, self.additional.as_deref())
    }

    /// Aliases in it.
    pub(super) fn aliases(&self) -> usize {
        self.answer().filter(|record| record.rtype == CNAME).count()
    }
}

fn chosen<'a>(records: &'a [Record], list: Option<&'a [bool]>) -> impl Iterator<Item = &'a Record> {
    let is_chosen = move |place: usize| list.is_none_or(|list| list.get(place).copied().unwrap_or(false));
    let records = records.iter().enumerate();
    records.filter_map(move |(place, record)| is_chosen(place).then_some(record))
}

/// What of upstream's message for the name `asked` is used, and the name of ours that its chain leads to, if it does.
pub(super) fn leg_of(
    message: Arc<Message>,
    asked: &[u8],
    is_ours: &mut dyn FnMut(&Name) -> bool,
) -> (Leg, Option<Name>) {
    let mut known: HashMap<Vec<u8>, bool> = HashMap::new();
    let mut is_ours = |owner: &[u8]| -> bool {
        *known
            .entry(owner.to_ascii_lowercase())
            .or_insert_with(|| Name::from_wire(owner).is_ok_and(|name| is_ours(&name)))
    };
    let (owners, target) = follow(&message.answer, asked, &mut is_ours);
    let answer = message.answer.iter();
    let (answer, additional) = if target.is_some() {
        let is_used = |record: &Record| match covered(record) {
            CNAME => owners.contains(&record.owner.to_ascii_lowercase()),
            // RFC 6672 §3.1: the DNAME from which an alias was made is part of the chain.
            DNAME => !is_ours(&record.owner),
            _ => false,
        };
        (answer.map(is_used).collect(), None)
    } else {
        // What upstream says of our names beside the chain is not used either.
        let answer = answer
            .map(|record| record.owner.eq_ignore_ascii_case(asked) || !is_ours(&record.owner))
            .collect();
        let additional = message.additional.iter();
        (answer, Some(additional.map(|record| !is_ours(&record.owner)).collect()))
    };
    let leg = Leg {
        message,
        answer: Some(answer),
        additional,
    };
    (leg, target)
}

/// The owners of the chain from `asked` up to an alias that leads to a name of ours, in lower case, and that name.
fn follow(answer: &[Record], asked: &[u8], is_ours: &mut dyn FnMut(&[u8]) -> bool) -> (HashSet<Vec<u8>>, Option<Name>) {
    let aliases = answer
        .iter()
        .filter(|record| record.rtype == CNAME && record.class == CLASS_IN);
    let aliases: HashMap<Vec<u8>, &[u8]> = aliases
        .map(|record| (record.owner.to_ascii_lowercase(), &record.rdata[..]))
        .collect();
    let mut owners = HashSet::new();
    let mut at = asked.to_ascii_lowercase();
    while let Some(target) = aliases.get(&at) {
        // A circle.
        if !owners.insert(at) {
            break;
        }
        if is_ours(target) {
            return (owners, Name::from_wire(target).ok());
        }
        at = target.to_ascii_lowercase();
    }
    (owners, None)
}

/// The type, or the one that a signature is for.
fn covered(record: &Record) -> u16 {
    match (record.rtype, record.rdata.first_chunk()) {
        (RRSIG, Some(covered)) => u16::from_be_bytes(*covered),
        (rtype, _) => rtype,
    }
}
