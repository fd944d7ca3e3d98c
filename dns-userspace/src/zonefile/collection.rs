//! RRs gathered into RRsets by owner and type, and the checks of a whole zone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::problem::ZoneFileProblem;
use super::source::TextPlace;
use super::{MAX_ERRORS, budget};
use crate::model::name::Name;
use crate::model::rdata::{canonical, same_value};
use crate::model::record::{Clash, Handling, MOST_OF_MESSAGE, Rdata, RecordType, RrSet, octets_of_answer};
use crate::model::source::Origin;
use crate::model::work;

/// Warnings of one zone that are listed; the others are counted.
const MAX_WARNINGS: usize = 20;
/// RRs of an RRset that are compared one by one to find a duplicate; beyond, a set of them is kept.
const COMPARED_ONE_BY_ONE: usize = 16;

/// RRsets of an owner that are looked through one by one; beyond, they are found by their type.
const FOLLOWED_ONE_BY_ONE: usize = 16;

/// The RRsets of an owner that has more.
struct Wide {
    by_type: HashMap<RecordType, usize>,
    last: usize,
}

/// Where an owner's RRsets end, none of which has the type that was looked for.
struct Chain {
    first: usize,
    last: usize,
    /// How many there are, as far as they were looked through.
    length: usize,
}

/// An RRset of more.
struct Long {
    rdatas: Vec<Rdata>,
    /// In canonical form.
    seen: HashSet<Rdata>,
}

/// The RRsets of a zone while it is read.
pub(super) struct Collection {
    apex: Name,
    origin: Origin,
    rrsets: Vec<(Name, RrSet)>,
    notes: Vec<Note>,
    /// The first RRset of each owner; the others follow by [`Note::next`].
    first: HashMap<Name, usize>,
    /// The RRset that the last RR went to.
    last: Option<usize>,
    long: HashMap<usize, Long>,
    /// By the owner's first RRset.
    wide: HashMap<usize, Wide>,
    /// What all of it will take, as an estimate.
    octets: u64,
    warnings: Warnings,
    /// Each RR with its place, where that is wanted.
    trace: Option<Vec<Traced>>,
}

/// An RR and where it stands.
#[derive(Clone)]
pub(super) struct Traced {
    pub(super) owner: Name,
    pub(super) rtype: RecordType,
    pub(super) ttl: u32,
    pub(super) rdata: Rdata,
    pub(super) place: TextPlace,
}

/// The first warnings, and how many more there were.
#[derive(Default)]
pub(super) struct Warnings {
    pub(super) listed: Vec<(TextPlace, Warning)>,
    pub(super) more: usize,
}

impl Warnings {
    fn push(&mut self, warning: (TextPlace, Warning)) {
        if self.listed.len() < MAX_WARNINGS {
            self.listed.push(warning);
        } else {
            self.more += 1;
        }
    }
}

struct Note {
    place: TextPlace,
    /// The owner's next RRset.
    next: Option<usize>,
    ttl_differs: bool,
}

/// What loads and is doubtful.
#[derive(Debug, thiserror::Error)]
pub(super) enum Warning {
    #[error("the TTLs in the {rtype} RRset of `{owner}` differ; the smallest is served (RFC 2181 §5.2)")]
    Ttls { owner: Name, rtype: RecordType },
    #[error(
        "the {rtype} RRset of `{owner}` takes {bytes} octets before compression; a DNS message has at most 65535, and \
         no client gets what does not fit"
    )]
    TooLarge {
        owner: Name,
        rtype: RecordType,
        bytes: usize,
    },
    #[error("a wildcard owns an NS RRset (RFC 4592 §4.2); its answers differ between servers")]
    WildcardNs,
    #[error("the zone is signed; its DNSSEC records are served as data, and answers to DO=1 carry no signatures")]
    Signed,
    #[error("the zone has no NS record at its apex `{apex}`; resolvers expect one")]
    NoNs { apex: Name },
    #[error("no $TTL and no TTL before the SOA record: its minimum, {seconds} s, is the default TTL")]
    SoaMinimum { seconds: u32 },
}

/// A zone's RRsets, the warnings and the errors of its checks.
pub(super) struct Checked {
    pub(super) rrsets: Vec<(Name, RrSet)>,
    pub(super) warnings: Warnings,
    /// Those that are reported, and no more.
    pub(super) errors: Vec<(TextPlace, ZoneFileProblem)>,
}

impl Collection {
    pub(super) fn new(apex: Name, shown_as: Arc<str>) -> Self {
        Self {
            apex,
            origin: Origin::zone_file(shown_as),
            rrsets: Vec::new(),
            notes: Vec::new(),
            first: HashMap::new(),
            last: None,
            long: HashMap::new(),
            wide: HashMap::new(),
            octets: 0,
            warnings: Warnings::default(),
            trace: None,
        }
    }

    /// Keeps the place of each RR from now on.
    pub(super) fn keep_places(&mut self) {
        self.trace = Some(Vec::new());
    }

    /// The places that were kept.
    pub(super) fn take_places(&mut self) -> Vec<Traced> {
        self.trace.take().unwrap_or_default()
    }

    pub(super) fn apex(&self) -> &Name {
        &self.apex
    }

    /// What all that has been taken in will take of memory, as an estimate.
    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// Makes room for so many owners more: to grow bit by bit is to hash each name several times.
    pub(super) fn expect(&mut self, owners: usize) {
        self.first.reserve(owners);
    }

    pub(super) fn warn(&mut self, place: TextPlace, warning: Warning) {
        self.warnings.push((place, warning));
    }

    /// Takes an RR in. A duplicate is left out (RFC 2181 §5).
    pub(super) fn add(
        &mut self,
        owner: &Name,
        rtype: RecordType,
        ttl: u32,
        rdata: &[u8],
        place: TextPlace,
    ) -> Result<(), ZoneFileProblem> {
        if let Some(trace) = &mut self.trace {
            trace.push(Traced {
                owner: owner.clone(),
                rtype,
                ttl,
                rdata: rdata.into(),
                place,
            });
        }
        let at = match self.find(owner, rtype) {
            Ok(at) => at,
            Err(chain) => {
                let rrset = RrSet {
                    rtype,
                    ttl,
                    rdatas: [rdata].into(),
                    origin: self.origin.clone(),
                    handling: Handling::default(),
                };
                let at = self.rrsets.len();
                self.rrsets.push((owner.clone(), rrset));
                self.notes.push(Note {
                    place,
                    next: None,
                    ttl_differs: false,
                });
                match chain {
                    Some(chain) => {
                        self.octets += budget::of_rrset(rdata.len());
                        self.append(&chain, rtype, at);
                    }
                    None => {
                        self.octets += budget::of_name(owner.as_wire().len(), rdata.len());
                        self.first.insert(owner.clone(), at);
                    }
                }
                self.last = Some(at);
                return Ok(());
            }
        };
        self.last = Some(at);
        let rrset = &mut self.rrsets[at].1;
        let mut long = self.long.get_mut(&at);
        let is_known = match &mut long {
            None => rrset.rdatas.iter().any(|known| same_value(rtype, known, rdata)),
            Some(long) => !long.seen.insert(canonical(rtype, rdata)),
        };
        if !is_known && rtype.is_singleton() {
            return Err(ZoneFileProblem::Singleton {
                owner: owner.clone(),
                rtype,
            });
        }
        if rrset.ttl != ttl {
            rrset.ttl = rrset.ttl.min(ttl);
            if !std::mem::replace(&mut self.notes[at].ttl_differs, true) {
                self.warnings.push((
                    place,
                    Warning::Ttls {
                        owner: owner.clone(),
                        rtype,
                    },
                ));
            }
        }
        if !is_known {
            self.octets += budget::of_rr(rdata.len());
        }
        match long {
            _ if is_known => {}
            Some(long) => long.rdatas.push(rdata.into()),
            None => {
                rrset.rdatas = rrset.rdatas.iter().chain([rdata]).collect();
                if rrset.rdatas.len() > COMPARED_ONE_BY_ONE {
                    let rdatas: Vec<Rdata> = rrset.rdatas.iter().map(Rdata::from).collect();
                    let seen = rdatas.iter().map(|known| canonical(rtype, known)).collect();
                    self.long.insert(at, Long { rdatas, seen });
                }
            }
        }
        Ok(())
    }

    /// The RRset's place, or where the owner's RRsets end; nothing where it has none.
    fn find(&self, owner: &Name, rtype: RecordType) -> Result<usize, Option<Chain>> {
        let first = match self.last {
            Some(last) if self.rrsets[last].1.rtype == rtype && self.rrsets[last].0 == *owner => return Ok(last),
            _ => *self.first.get(owner).ok_or(None)?,
        };
        if let Some(wide) = self.wide.get(&first) {
            let end = Chain {
                first,
                last: wide.last,
                length: wide.by_type.len(),
            };
            return wide.by_type.get(&rtype).copied().ok_or(Some(end));
        }
        let mut end = Chain {
            first,
            last: first,
            length: 0,
        };
        for at in self.chain(first) {
            work::step();
            if self.rrsets[at].1.rtype == rtype {
                return Ok(at);
            }
            end.last = at;
            end.length += 1;
        }
        Err(Some(end))
    }

    /// The RRsets of one owner, from the first on.
    fn chain(&self, first: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(first), |&at| self.notes[at].next)
    }

    /// Adds an RRset to those of its owner.
    fn append(&mut self, chain: &Chain, rtype: RecordType, at: usize) {
        self.notes[chain.last].next = Some(at);
        if let Some(wide) = self.wide.get_mut(&chain.first) {
            wide.by_type.insert(rtype, at);
            wide.last = at;
        } else if chain.length >= FOLLOWED_ONE_BY_ONE {
            let by_type = self
                .chain(chain.first)
                .map(|at| (self.rrsets[at].1.rtype, at))
                .collect();
            self.wide.insert(chain.first, Wide { by_type, last: at });
        }
    }

    /// The checks that need the whole zone. An SOA that is missing is no error where entries `were_lost` to errors.
    pub(super) fn finish(mut self, were_lost: bool) -> Checked {
        for (at, long) in self.long.drain() {
            self.rrsets[at].1.rdatas = long.rdatas.into();
        }
        let mut errors = Vec::new();
        let mut signed_at = None;
        let mut has_soa = false;
        let mut has_ns = false;
        for ((owner, rrset), note) in self.rrsets.iter().zip(&self.notes) {
            if errors.len() >= MAX_ERRORS {
                break;
            }
            let bytes = octets_of_answer(owner, &rrset.rdatas);
            if bytes > MOST_OF_MESSAGE {
                let (owner, rtype) = (owner.clone(), rrset.rtype);
                self.warnings
                    .push((note.place, Warning::TooLarge { owner, rtype, bytes }));
            }
            match rrset.rtype {
                RecordType::SOA if *owner == self.apex => has_soa = true,
                RecordType::SOA => {
                    let problem = ZoneFileProblem::SoaBelowApex {
                        owner: owner.clone(),
                        apex: self.apex.clone(),
                    };
                    errors.push((note.place, problem));
                }
                RecordType::NS if *owner == self.apex => has_ns = true,
                RecordType::NS if owner.is_wildcard() => self.warnings.push((note.place, Warning::WildcardNs)),
                rtype @ (RecordType::CNAME | RecordType::ALIAS) => {
                    if let Some((other, clash)) = self.clash(owner, rtype) {
                        let (owner, rtype) = (owner.clone(), self.rrsets[other].1.rtype);
                        let problem = match clash {
                            Clash::Cname if rtype == RecordType::CNAME => continue,
                            Clash::Cname => ZoneFileProblem::CnameConflict { owner, rtype },
                            Clash::Alias => ZoneFileProblem::AliasConflict { owner, rtype },
                        };
                        errors.push((self.notes[other].place, problem));
                    }
                }
                RecordType::RRSIG | RecordType::NSEC | RecordType::NSEC3 => signed_at = signed_at.or(Some(note.place)),
                _ => {}
            }
        }
        let start = TextPlace::new(0, 0, 0);
        if !has_soa && !were_lost {
            errors.push((
                start,
                ZoneFileProblem::NoSoa {
                    apex: self.apex.clone(),
                },
            ));
        }
        if !has_ns && !were_lost {
            self.warnings.push((
                start,
                Warning::NoNs {
                    apex: self.apex.clone(),
                },
            ));
        }
        if let Some(place) = signed_at {
            self.warnings.push((place, Warning::Signed));
        }
        Checked {
            rrsets: self.rrsets,
            warnings: self.warnings,
            errors,
        }
    }

    /// An RRset of `owner` that may not stand beside that of this type, and why.
    fn clash(&self, owner: &Name, rtype: RecordType) -> Option<(usize, Clash)> {
        let first = self.first.get(owner).copied()?;
        self.chain(first)
            .find_map(|at| Some((at, rtype.clash(self.rrsets[at].1.rtype)?)))
    }
}
