//! Edits: what a person or a program asks of one RRset, seen against what is served and against the edits before it.
//!
//! An edit of the API refuses what could not be served: a second CNAME, a TTL outside of the bounds, an RRset of
//! another source. What a watched source or a file says is a [`Change`] and never refused: what cannot be served is a
//! conflict.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::draft::{At, Draft, Written};
use super::{Change, Refusal, Refused};
use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::{
    Handling, Keeping, MOST_OF_MESSAGE, Order, Rdata, RdataList, RecordType, RrSet, Wildcard, octets_of_answer,
};
use crate::model::source::{Origin, SourceId};
use crate::model::views::ViewName;
use crate::model::work;

/// RRsets at one name, above which edits add none: each change of one compiles all of them. The types that there are
/// for data are about ninety.
const MOST_TYPES: usize = 256;
/// Values of a request that are each looked for among those that are there; with more, the latter are put into a table.
const FEW_VALUES: usize = 8;

/// Edits that are made together: all of them, or none.
#[derive(Debug, Clone)]
pub struct ChangeSet {
    /// Whose layer changes.
    pub source: SourceId,
    /// Who asks: `api`, or the name of a token.
    pub actor: Arc<str>,
    /// In this order, each on top of those before it.
    pub edits: Vec<Edit>,
}

/// One edit.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Creates an RRset or adds the values that it lacks.
    AddValues {
        /// The view; `None` is the default.
        view: Option<ViewName>,
        /// The owner.
        owner: Name,
        /// The type.
        rtype: RecordType,
        /// What is asked beside the values, and checked against an existing RRset's.
        wanted: Wanted,
        /// The values.
        rdatas: Vec<Rdata>,
    },
    /// Replaces an RRset, or creates it. Without a TTL an RRset keeps its own.
    Put {
        /// The view; `None` is the default.
        view: Option<ViewName>,
        /// The owner.
        owner: Name,
        /// The type.
        rtype: RecordType,
        /// What is asked beside the values.
        wanted: Wanted,
        /// The values.
        rdatas: Vec<Rdata>,
    },
    /// Adds one value with its TTL, which all values of the RRset get; of a type with one value it replaces that.
    Upsert {
        /// The view; `None` is the default.
        view: Option<ViewName>,
        /// The owner.
        owner: Name,
        /// The type.
        rtype: RecordType,
        /// The TTL.
        ttl: u32,
        /// The value.
        rdata: Rdata,
    },
    /// Removes values of an RRset; with the last value the RRset goes.
    RemoveValues {
        /// The view; `None` is the default.
        view: Option<ViewName>,
        /// The owner.
        owner: Name,
        /// The type.
        rtype: RecordType,
        /// The values; each must be there.
        rdatas: Vec<Rdata>,
    },
    /// Deletes an RRset, or, without a type, all RRsets that the source has at a name.
    Delete {
        /// The view; `None` is the default.
        view: Option<ViewName>,
        /// The owner.
        owner: Name,
        /// The type.
        rtype: Option<RecordType>,
    },
    /// The source has this RRset from now on: what a watched world says, which is never refused.
    Set {
        /// The view; `None` is the default.
        view: Option<ViewName>,
        /// The owner.
        owner: Name,
        /// The whole RRset.
        rrset: Arc<RrSet>,
    },
    /// The source no longer has this RRset; nothing where it had none.
    Unset {
        /// The view; `None` is the default.
        view: Option<ViewName>,
        /// The owner.
        owner: Name,
        /// The type.
        rtype: RecordType,
    },
    /// These are all RRsets of the source, in the default and in views. Only what differs is changed.
    SetAll(Vec<(Option<ViewName>, Name, Arc<RrSet>)>),
    /// What a source knows whole: see [`Change`].
    Apply(Change),
    /// Makes a zone, with its SOA and other records in the default.
    CreateZone {
        /// The name of the zone.
        apex: Name,
        /// Its records.
        records: Vec<ZoneRecord>,
    },
    /// Deletes a zone, with all that the source has in it.
    DeleteZone {
        /// The name of the zone.
        apex: Name,
    },
}

/// An RRset of a zone that is made.
#[derive(Debug, Clone)]
pub struct ZoneRecord {
    /// The owner.
    pub owner: Name,
    /// The type.
    pub rtype: RecordType,
    /// What is asked beside the values.
    pub wanted: Wanted,
    /// The values.
    pub rdatas: Vec<Rdata>,
}

/// RRsets that edits have changed.
pub(super) type Edited = Vec<(SourceId, At, RecordType, Name)>;

impl Edit {
    /// The name that is edited, where it is one.
    pub(super) fn at(&self) -> Option<At> {
        match self {
            Self::AddValues { view, owner, .. }
            | Self::Put { view, owner, .. }
            | Self::Upsert { view, owner, .. }
            | Self::RemoveValues { view, owner, .. }
            | Self::Delete { view, owner, .. }
            | Self::Set { view, owner, .. }
            | Self::Unset { view, owner, .. } => Some(At {
                view: view.clone(),
                key: owner.key(),
            }),
            Self::SetAll(_) | Self::Apply(_) | Self::CreateZone { .. } | Self::DeleteZone { .. } => None,
        }
    }
}

impl ChangeSet {
    /// An error where the values of an edit alone are more than any message carries. Nothing of the store is needed to
    /// know that.
    pub fn check_size(&self) -> Result<(), Refused> {
        for (edit, asked) in self.edits.iter().enumerate() {
            let (Edit::AddValues {
                owner, rtype, rdatas, ..
            }
            | Edit::Put {
                owner, rtype, rdatas, ..
            }) = asked
            else {
                continue;
            };
            if octets_of_answer(owner, rdatas.iter().map(|rdata| &**rdata)) <= MOST_OF_MESSAGE {
                continue;
            }
            // A value that is given twice counts once.
            let distinct: HashSet<Rdata> = rdatas.iter().map(|given| rdata::canonical(*rtype, given)).collect();
            let bytes = octets_of_answer(owner, distinct.iter().map(|rdata| &**rdata));
            if bytes > MOST_OF_MESSAGE {
                let refusal = Refusal::TooLarge {
                    owner: owner.clone(),
                    rtype: *rtype,
                    bytes,
                    limit: MOST_OF_MESSAGE,
                };
                return Err(Refused { edit, refusal });
            }
        }
        Ok(())
    }
}

/// What a request says of an RRset beside its values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its TTL.
    pub ttl: Option<u32>,
    /// Its order; a weighted one has one weight for each value of the request.
    pub order: Option<Order>,
    /// What its wildcard stands for.
    pub wildcard: Option<Wildcard>,
    /// How it is to be kept.
    pub keeping: KeepingWanted,
}

/// What a request says of how an RRset is to be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeepingWanted {
    /// Whether no change of it is made until it is unlocked.
    pub locked: Option<bool>,
    /// Whether it is kept and not served.
    pub disabled: Option<bool>,
    /// What is written about it; an empty text removes it.
    pub note: Option<Box<str>>,
}

impl KeepingWanted {
    /// How an RRset is kept that was kept so before. What is not said stays as it is.
    fn of(&self, before: &Keeping) -> Keeping {
        Keeping {
            locked: self.locked.unwrap_or(before.locked),
            disabled: self.disabled.unwrap_or(before.disabled),
            note: match &self.note {
                Some(note) => (!note.is_empty()).then(|| note.clone()),
                None => before.note.clone(),
            },
        }
    }
}

impl From<Option<u32>> for Wanted {
    fn from(ttl: Option<u32>) -> Self {
        Self { ttl, ..Self::default() }
    }
}

/// Bounds and default of TTLs that come through the API, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlRules {
    /// The smallest allowed.
    pub min: u32,
    /// The largest allowed.
    pub max: u32,
    /// What a new RRset without a TTL gets.
    pub default: u32,
}

/// What edits are seen against beside the layers.
#[derive(Debug, Clone, Copy)]
pub struct EditRules {
    /// Bounds and default of TTLs.
    pub ttl: TtlRules,
}

/// Which RRset is edited, and by whom.
struct Target<'a> {
    source: &'a SourceId,
    at: At,
    owner: Name,
    rtype: RecordType,
}

/// What is there before an edit.
struct Present {
    /// The owner in the case in which it was given first.
    owner: Option<Name>,
    /// All that is served at the name.
    served: Vec<Arc<RrSet>>,
    /// The source's own RRset of the type.
    held: Option<Arc<RrSet>>,
}

/// Values, and the weight of each where they have weights.
#[derive(Default)]
struct Values {
    rdatas: RdataList,
    weights: Vec<u16>,
}

/// Where among values a value is.
struct Lookup {
    rtype: RecordType,
    /// An SOA may be given with the serial that is served, this one, as well as with the one that was stored.
    serial: Option<u32>,
    /// By canonical form; `None` where few are looked for.
    table: Option<HashMap<Rdata, usize>>,
}

impl Lookup {
    /// To look for so many values, `asked`, among those in `held`.
    fn new(rtype: RecordType, serial: Option<u32>, held: &RdataList, asked: usize) -> Self {
        // Of an SOA's values it is not their octets alone that say which are the same.
        let table = (asked > FEW_VALUES && !rtype.is_singleton()).then(|| {
            let held = held.iter().map(|known| rdata::canonical(rtype, known));
            held.zip(0..).collect()
        });
        Self { rtype, serial, table }
    }

    fn place(&self, held: &RdataList, rdata: &[u8]) -> Option<usize> {
        match &self.table {
            Some(table) => {
                work::step();
                table.get(&rdata::canonical(self.rtype, rdata)).copied()
            }
            None => {
                let mut held = held.iter().inspect(|_| work::step());
                held.position(|known| self.is_same(known, rdata))
            }
        }
    }

    /// A value is at this place from now on.
    fn note(&mut self, rdata: &[u8], place: usize) {
        if let Some(table) = &mut self.table {
            table.insert(rdata::canonical(self.rtype, rdata), place);
        }
    }

    fn is_same(&self, held: &[u8], given: &[u8]) -> bool {
        if rdata::same_value(self.rtype, held, given) {
            return true;
        }
        self.rtype == RecordType::SOA
            && self.serial.is_some_and(|serial| {
                let mut held = held.to_vec();
                rdata::set_serial(&mut held, serial);
                rdata::same_value(self.rtype, &held, given)
            })
    }
}

impl Values {
    fn of(rrset: &RrSet) -> Self {
        Self {
            rdatas: RdataList::from(&rrset.rdatas),
            weights: rrset.handling.order().weights().to_vec(),
        }
    }

    /// Adds the values that are not there yet, with their weights. False where one that is there has another weight.
    fn add(&mut self, rtype: RecordType, rdatas: &[Rdata], order: Option<&Order>, serial: Option<u32>) -> bool {
        let mut lookup = Lookup::new(rtype, serial, &self.rdatas, rdatas.len());
        let mut weighs_alike = true;
        for (number, rdata) in rdatas.iter().enumerate() {
            let weight = order.and_then(|order| order.weights().get(number).copied());
            match lookup.place(&self.rdatas, rdata) {
                Some(known) => weighs_alike &= weight.is_none() || weight == self.weights.get(known).copied(),
                None => {
                    lookup.note(rdata, self.rdatas.len());
                    self.rdatas.push(rdata);
                    self.weights.extend(weight);
                }
            }
            if rtype.is_singleton() && self.rdatas.len() > 1 {
                break; // which is refused
            }
        }
        weighs_alike
    }

    fn have_weights(&self) -> bool {
        self.weights.len() == self.rdatas.len()
    }

    /// This order, with the weights of these values.
    fn order(&self, order: Option<Order>) -> Order {
        match order.unwrap_or_default() {
            Order::Weighted(_) => Order::Weighted(self.weights.clone().into()),
            order => order,
        }
    }
}

impl Draft<'_> {
    /// Applies one edit. What it touched is added to `edited`.
    pub(super) fn edit(
        &mut self,
        source: &SourceId,
        edit: Edit,
        rules: &EditRules,
        edited: &mut Edited,
    ) -> Result<Written, Refusal> {
        match edit {
            Edit::AddValues {
                view,
                owner,
                rtype,
                wanted,
                rdatas,
            } => {
                let target = self.target(source, view, owner, rtype)?;
                self.add_values(target, wanted, rdatas, rules, edited)
            }
            Edit::Put {
                view,
                owner,
                rtype,
                wanted,
                rdatas,
            } => {
                let target = self.target(source, view, owner, rtype)?;
                self.put(target, wanted, rdatas, rules, edited)
            }
            Edit::Upsert {
                view,
                owner,
                rtype,
                ttl,
                rdata,
            } => {
                let target = self.target(source, view, owner, rtype)?;
                self.upsert(target, ttl, rdata, rules, edited)
            }
            Edit::RemoveValues {
                view,
                owner,
                rtype,
                rdatas,
            } => {
                let target = self.target(source, view, owner, rtype)?;
                self.remove_values(target, &rdatas, edited)
            }
            Edit::Delete {
                view,
                owner,
                rtype: Some(rtype),
            } => {
                let target = self.target(source, view, owner, rtype)?;
                self.delete(target, edited)
            }
            Edit::Delete { view, owner, .. } => {
                let at = self.place(view, &owner)?;
                self.delete_all(source, at, owner, edited)
            }
            Edit::Set { view, owner, rrset } => Ok(self.set(source, view, owner, rrset, edited)),
            Edit::Unset { view, owner, rtype } => Ok(self.unset(source, view, owner, rtype, edited)),
            Edit::SetAll(all) => Ok(self.set_all(source, all, edited)),
            Edit::CreateZone { apex, records } if *source == SourceId::zone_files() => {
                self.create_zone_in_file(apex, records, rules, edited)
            }
            Edit::DeleteZone { apex } if *source == SourceId::zone_files() => {
                Ok(self.delete_zone_of_file(apex, edited))
            }
            Edit::CreateZone { apex, records } => self.create_zone(source, apex, records, rules, edited),
            Edit::DeleteZone { apex } => self.delete_zone(source, apex, edited),
            Edit::Apply(change) => {
                self.change(change);
                Ok(Written {
                    owner: Name::root(),
                    rrset: None,
                    created: false,
                    changed: true,
                })
            }
        }
    }

    /// The RRset that a person or a program edits; an error where its view is not configured.
    fn target<'a>(
        &self,
        source: &'a SourceId,
        view: Option<ViewName>,
        owner: Name,
        rtype: RecordType,
    ) -> Result<Target<'a>, Refusal> {
        Ok(Target {
            source,
            at: self.place(view, &owner)?,
            owner,
            rtype,
        })
    }

    fn place(&self, view: Option<ViewName>, owner: &Name) -> Result<At, Refusal> {
        match view {
            Some(view) if !self.has_view(&view) => Err(Refusal::UnknownView(view)),
            view => Ok(At { view, key: owner.key() }),
        }
    }

    /// An RRset that an edit changes, at the version that this makes.
    pub(super) fn stamped(&self, rrset: RrSet) -> RrSet {
        RrSet {
            origin: rrset.origin.at_version(self.next_version()),
            ..rrset
        }
    }

    fn set(
        &mut self,
        source: &SourceId,
        view: Option<ViewName>,
        owner: Name,
        rrset: Arc<RrSet>,
        edited: &mut Edited,
    ) -> Written {
        let (key, rtype) = (owner.key(), rrset.rtype);
        let at = At { view, key };
        let held = self.own(source, &at, rtype).cloned();
        let changed = held.as_ref() != Some(&rrset);
        let rrset = match changed {
            true => Arc::new(self.stamped((*rrset).clone())),
            false => rrset,
        };
        if changed {
            self.change(Change::Put {
                source: source.clone(),
                view: at.view.clone(),
                owner: owner.clone(),
                rrset: rrset.clone(),
            });
            edited.push((source.clone(), at, rtype, owner.clone()));
        }
        Written {
            owner,
            rrset: Some(rrset),
            created: held.is_none(),
            changed,
        }
    }

    fn unset(
        &mut self,
        source: &SourceId,
        view: Option<ViewName>,
        owner: Name,
        rtype: RecordType,
        edited: &mut Edited,
    ) -> Written {
        let at = At { view, key: owner.key() };
        if self.own(source, &at, rtype).is_some() {
            return self.take_away(source, at, owner, rtype, edited);
        }
        Written {
            owner,
            rrset: None,
            created: false,
            changed: false,
        }
    }

    fn set_all(
        &mut self,
        source: &SourceId,
        all: Vec<(Option<ViewName>, Name, Arc<RrSet>)>,
        edited: &mut Edited,
    ) -> Written {
        let places = all.iter().map(|(view, owner, rrset)| {
            let key = owner.key();
            (
                At {
                    view: view.clone(),
                    key,
                },
                rrset.rtype,
            )
        });
        let wanted: HashSet<(At, RecordType)> = places.collect();
        let mut changed = false;
        for (at, owner, rtype) in self.everything_of(source) {
            if !wanted.contains(&(at.clone(), rtype)) {
                self.take_away(source, at, owner, rtype, edited);
                changed = true;
            }
        }
        for (view, owner, rrset) in all {
            changed |= self.set(source, view, owner, rrset, edited).changed;
        }
        Written {
            owner: Name::root(),
            rrset: None,
            created: false,
            changed,
        }
    }

    fn add_values(
        &mut self,
        target: Target,
        wanted: Wanted,
        rdatas: Vec<Rdata>,
        rules: &EditRules,
        edited: &mut Edited,
    ) -> Result<Written, Refusal> {
        let present = self.admit(&target, wanted.ttl, rules)?;
        let Target { at, owner, rtype, .. } = &target;
        let (owner, rtype, serial) = (owner.clone(), *rtype, self.served_serial(&at.key));
        let held = present.held.clone();
        unlocked(&owner, held.as_deref(), &wanted.keeping)?;
        let before = held
            .as_deref()
            .map_or_else(Keeping::default, |held| held.handling.keeping().clone());
        let keeping = wanted.keeping.of(&before);
        let is_kept_alike = keeping == before;
        let mut values = held.as_deref().map_or_else(Values::default, Values::of);
        let before = values.rdatas.len();
        let conflict = |held: &RrSet| Refusal::OrderConflict {
            owner: owner.clone(),
            rtype,
            held: held.handling.order().clone(),
        };
        if let (Some(held), Some(order)) = (&held, &wanted.order)
            && held.handling.order().kind() != order.kind()
        {
            return Err(conflict(held));
        }
        let weighs_alike = values.add(rtype, &rdatas, wanted.order.as_ref(), serial);
        if rtype.is_singleton() && values.rdatas.len() > 1 {
            return Err(Refusal::SingletonConflict { owner, rtype });
        }
        let wildcard = wildcard(&target, &wanted, &present.served, held.as_deref())?;
        if let Some(held) = &held {
            if let Some(given) = wanted.ttl.filter(|&given| given != held.ttl) {
                return Err(Refusal::TtlConflict {
                    owner,
                    rtype,
                    held: held.ttl,
                    given,
                });
            }
            if let Some(given) = wanted.wildcard.filter(|&given| given != held.handling.wildcard()) {
                return Err(Refusal::WildcardConflict { owner, rtype, given });
            }
            let lacks_weights = matches!(held.handling.order(), Order::Weighted(_)) && !values.have_weights();
            if lacks_weights || !weighs_alike {
                return Err(conflict(held));
            }
            if values.rdatas.len() == before && is_kept_alike {
                return Ok(Written {
                    owner: present.owner.unwrap_or(owner),
                    rrset: Some(held.clone()),
                    created: false,
                    changed: false,
                });
            }
        }
        let order = wanted.order.or_else(|| Some(held.as_ref()?.handling.order().clone()));
        let handling = Handling::new(values.order(order), wildcard).kept(keeping);
        self.accept(target, present, wanted.ttl, values.rdatas, handling, rules, edited)
    }

    fn put(
        &mut self,
        target: Target,
        wanted: Wanted,
        rdatas: Vec<Rdata>,
        rules: &EditRules,
        edited: &mut Edited,
    ) -> Result<Written, Refusal> {
        let present = self.admit(&target, wanted.ttl, rules)?;
        let (rtype, serial) = (target.rtype, self.served_serial(&target.at.key));
        let mut values = Values::default();
        values.add(rtype, &rdatas, wanted.order.as_ref(), serial);
        if rtype.is_singleton() && values.rdatas.len() > 1 {
            return Err(Refusal::SingletonConflict {
                owner: target.owner,
                rtype,
            });
        }
        unlocked(&target.owner, present.held.as_deref(), &wanted.keeping)?;
        let wildcard = wildcard(&target, &wanted, &present.served, None)?;
        // A note stays until another one is written; a lock and a switch are as the request says, or off.
        let before = Keeping {
            note: present
                .held
                .as_ref()
                .and_then(|held| held.handling.keeping().note.clone()),
            ..Keeping::default()
        };
        let keeping = wanted.keeping.of(&before);
        let handling = Handling::new(values.order(wanted.order), wildcard).kept(keeping);
        self.accept(target, present, wanted.ttl, values.rdatas, handling, rules, edited)
    }

    fn upsert(
        &mut self,
        target: Target,
        ttl: u32,
        rdata: Rdata,
        rules: &EditRules,
        edited: &mut Edited,
    ) -> Result<Written, Refusal> {
        let present = self.admit(&target, Some(ttl), rules)?;
        unlocked(&target.owner, present.held.as_deref(), &KeepingWanted::default())?;
        let (rtype, serial) = (target.rtype, self.served_serial(&target.at.key));
        let held = present.held.as_deref().filter(|_| !rtype.is_singleton());
        let mut values = held.map_or_else(Values::default, Values::of);
        // To a weighted RRset nothing is added without a weight.
        if !values.add(rtype, &[rdata], None, serial) || !(values.weights.is_empty() || values.have_weights()) {
            return Err(Refusal::OrderConflict {
                owner: target.owner,
                rtype,
                held: held.map_or(Order::Fixed, |held| held.handling.order().clone()),
            });
        }
        let handling = match &present.held {
            Some(held) => held.handling.clone(),
            None => Handling::new(
                Order::Fixed,
                wildcard(&target, &Wanted::default(), &present.served, None)?,
            ),
        };
        self.accept(target, present, Some(ttl), values.rdatas, handling, rules, edited)
    }

    /// Puts one RRset of a zone that is made.
    pub(super) fn put_record(
        &mut self,
        source: &SourceId,
        record: ZoneRecord,
        rules: &EditRules,
        edited: &mut Edited,
    ) -> Result<Written, Refusal> {
        let target = self.target(source, None, record.owner, record.rtype)?;
        self.put(target, record.wanted, record.rdatas, rules, edited)
    }

    /// What is there, or why the source may not put an RRset there.
    fn admit(&self, target: &Target, ttl: Option<u32>, rules: &EditRules) -> Result<Present, Refusal> {
        let Target {
            source,
            at,
            owner,
            rtype,
        } = target;
        let TtlRules { min, max, .. } = rules.ttl;
        if let Some(given) = ttl.filter(|ttl| !(min..=max).contains(ttl)) {
            return Err(Refusal::InvalidTtl { given, min, max });
        }
        if *rtype == RecordType::SOA && at.view.is_some() {
            return Err(Refusal::SoaInView);
        }
        let (known_owner, served) = self.served(at);
        if let Some(held) = served.iter().find(|rrset| rrset.rtype == *rtype) {
            let hides = self.takes_over && *source < held.origin.source();
            if !hides {
                is_own(source, owner, held)?;
            }
        }
        let soa = at.view.as_ref().and_then(|_| self.soa_at(&at.key));
        for other in served.iter().chain(&soa).filter(|rrset| rrset.rtype != *rtype) {
            if let Some(clash) = rtype.clash(other.rtype) {
                return Err(Refusal::Clash {
                    owner: owner.clone(),
                    held: other.rtype,
                    rtype: *rtype,
                    clash,
                });
            }
        }
        let own = self.own(source, at, *rtype);
        if own.is_none() && served.len() >= MOST_TYPES {
            return Err(Refusal::TooManyTypes {
                owner: owner.clone(),
                limit: MOST_TYPES,
            });
        }
        Ok(Present {
            owner: known_owner,
            served,
            held: own.cloned(),
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one RRset, each of another type")]
    fn accept(
        &mut self,
        target: Target,
        present: Present,
        ttl: Option<u32>,
        rdatas: RdataList,
        handling: Handling,
        rules: &EditRules,
        edited: &mut Edited,
    ) -> Result<Written, Refusal> {
        let Target {
            source,
            at,
            owner,
            rtype,
        } = target;
        let bytes = octets_of_answer(&owner, rdatas.iter());
        if bytes > MOST_OF_MESSAGE {
            return Err(Refusal::TooLarge {
                owner,
                rtype,
                bytes,
                limit: MOST_OF_MESSAGE,
            });
        }
        if *source == SourceId::zone_files() && handling != Handling::default() {
            return Err(Refusal::NotInZoneFile { owner, rtype });
        }
        let owner = present.owner.unwrap_or(owner);
        let held = present.held;
        let origin = match *source == SourceId::zone_files() {
            true => self.origin_in_file(&at.key, rtype),
            false => origin_of(source),
        };
        let rrset = Arc::new(self.stamped(RrSet {
            rtype,
            ttl: ttl.or(held.as_ref().map(|held| held.ttl)).unwrap_or(rules.ttl.default),
            rdatas: rdatas.into(),
            origin: held.as_ref().map_or(origin, |held| held.origin.clone()),
            handling,
        }));
        let created = held.is_none();
        if let Some(held) = held.filter(|held| *held == rrset) {
            return Ok(Written {
                owner,
                rrset: Some(held),
                created,
                changed: false,
            });
        }
        self.change(Change::Put {
            source: source.clone(),
            view: at.view.clone(),
            owner: owner.clone(),
            rrset: rrset.clone(),
        });
        edited.push((source.clone(), at, rtype, owner.clone()));
        Ok(Written {
            owner,
            rrset: Some(rrset),
            created,
            changed: true,
        })
    }

    fn remove_values(&mut self, target: Target, rdatas: &[Rdata], edited: &mut Edited) -> Result<Written, Refusal> {
        let (held, owner) = self.present(&target)?;
        let Target { source, at, rtype, .. } = target;
        let serial = self.served_serial(&at.key);
        let values = Values::of(&held);
        let lookup = Lookup::new(rtype, serial, &values.rdatas, rdatas.len());
        let mut goes = vec![false; values.rdatas.len()];
        for rdata in rdatas {
            match lookup.place(&values.rdatas, rdata) {
                Some(place) => goes[place] = true,
                None => return Err(Refusal::NotFound(format!("{} {rtype} has no such value", target.owner))),
            }
        }
        is_own(source, &target.owner, &held)?;
        is_unlocked(&target.owner, &held)?;
        let mut left = Values::default();
        for (place, rdata) in values.rdatas.iter().enumerate() {
            if !goes[place] {
                left.rdatas.push(rdata);
                left.weights.extend(values.weights.get(place));
            }
        }
        if left.rdatas.is_empty() {
            return Ok(self.take_away(source, at, owner, rtype, edited));
        }
        let order = left.order(Some(held.handling.order().clone()));
        let rrset = Arc::new(self.stamped(RrSet {
            handling: Handling::new(order, held.handling.wildcard()),
            rdatas: left.rdatas.into(),
            ..(*held).clone()
        }));
        self.change(Change::Put {
            source: source.clone(),
            view: at.view.clone(),
            owner: owner.clone(),
            rrset: rrset.clone(),
        });
        edited.push((source.clone(), at, rtype, owner.clone()));
        Ok(Written {
            owner,
            rrset: Some(rrset),
            created: false,
            changed: true,
        })
    }

    fn delete(&mut self, target: Target, edited: &mut Edited) -> Result<Written, Refusal> {
        let (held, owner) = self.present(&target)?;
        is_own(target.source, &target.owner, &held)?;
        is_unlocked(&target.owner, &held)?;
        Ok(self.take_away(target.source, target.at, owner, target.rtype, edited))
    }

    fn delete_all(&mut self, source: &SourceId, at: At, owner: Name, edited: &mut Edited) -> Result<Written, Refusal> {
        let own = self.all_own(source, &at);
        let (known_owner, served) = self.served(&at);
        if own.is_empty() {
            let Some(first) = served.first() else {
                return Err(Refusal::NotFound(format!("{owner} has no records")));
            };
            is_own(source, &owner, first)?;
        }
        let owner = known_owner.unwrap_or(owner);
        for rrset in &own {
            is_unlocked(&owner, rrset)?;
        }
        for rrset in own {
            self.take_away(source, at.clone(), owner.clone(), rrset.rtype, edited);
        }
        Ok(Written {
            owner,
            rrset: None,
            created: false,
            changed: true,
        })
    }

    /// The RRset of a target, the source's own or another's that is served, and its owner.
    fn present(&self, target: &Target) -> Result<(Arc<RrSet>, Name), Refusal> {
        let Target {
            source,
            at,
            owner,
            rtype,
        } = target;
        let (known_owner, served) = self.served(at);
        let own = self.own(source, at, *rtype).cloned();
        let held = own.or_else(|| served.into_iter().find(|rrset| rrset.rtype == *rtype));
        let missing = || Refusal::NotFound(format!("{owner} has no {rtype} records"));
        Ok((held.ok_or_else(missing)?, known_owner.unwrap_or_else(|| owner.clone())))
    }

    pub(super) fn take_away(
        &mut self,
        source: &SourceId,
        at: At,
        owner: Name,
        rtype: RecordType,
        edited: &mut Edited,
    ) -> Written {
        self.change(Change::Delete {
            source: source.clone(),
            view: at.view.clone(),
            owner: owner.clone(),
            rtype,
        });
        edited.push((source.clone(), at, rtype, owner.clone()));
        Written {
            owner,
            rrset: None,
            created: false,
            changed: true,
        }
    }
}

fn origin_of(source: &SourceId) -> Origin {
    match *source == SourceId::api() {
        true => Origin::api(),
        false => Origin::of(source.clone()),
    }
}

fn is_own(source: &SourceId, owner: &Name, rrset: &RrSet) -> Result<(), Refusal> {
    if rrset.origin.source() == source {
        return Ok(());
    }
    Err(Refusal::OwnedBy {
        owner: owner.clone(),
        rtype: rrset.rtype,
        origin: rrset.origin.clone(),
    })
}

/// An error where the RRset is locked.
pub(super) fn is_unlocked(owner: &Name, rrset: &RrSet) -> Result<(), Refusal> {
    let keeping = rrset.handling.keeping();
    if !keeping.locked {
        return Ok(());
    }
    Err(Refusal::Locked {
        owner: owner.clone(),
        rtype: rrset.rtype,
        note: keeping.note.clone(),
    })
}

/// The same, unless the request unlocks it.
fn unlocked(owner: &Name, held: Option<&RrSet>, wanted: &KeepingWanted) -> Result<(), Refusal> {
    match held.filter(|_| wanted.locked != Some(false)) {
        Some(held) => is_unlocked(owner, held),
        None => Ok(()),
    }
}

/// What the wildcard is to stand for: what the request says, or else the name's other RRsets, or the RRset itself.
fn wildcard(
    target: &Target,
    wanted: &Wanted,
    served: &[Arc<RrSet>],
    held: Option<&RrSet>,
) -> Result<Wildcard, Refusal> {
    let mut others = served.iter().filter(|rrset| rrset.rtype != target.rtype);
    let Some(given) = wanted.wildcard else {
        let like = others.next().map(|other| &**other).or(held);
        return Ok(like.map_or(Wildcard::Rfc4592, |rrset| rrset.handling.wildcard()));
    };
    match others.find(|other| other.handling.wildcard() != given) {
        Some(other) => Err(Refusal::WildcardConflict {
            owner: target.owner.clone(),
            rtype: other.rtype,
            given,
        }),
        None => Ok(given),
    }
}
