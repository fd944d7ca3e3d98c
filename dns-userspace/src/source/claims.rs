//! Claims: which RRsets the objects of a watched world ask for, merged into one layer. Pure: no IO, no clock.
//!
//! ```text
//! apply(object), delete(key), reset(all) ─► claims by object, and by name ─► edits, for what differs alone
//! ```
//!
//! Several objects may ask for one name. Objects are taken in the order of their age, the oldest first; of two that are
//! equally old, the one whose key comes first.
//!
//! - Values of one type are joined: two Ingresses `www.example.org` with 192.0.2.1 and 192.0.2.2 make one RRset of
//!   both. Its TTL is the smallest.
//!   The order is the oldest object's.
//! - Of a type that has one value at most (CNAME, ALIAS, DNAME, SOA) the oldest object's is taken.
//! - Where one object gives its values a weight, the RRset is answered by weight; values without one count as 1.
//! - A wildcard stands for names of one more label alone where all that ask for it say so.
//! - An RRset that cannot be beside one of an older object is left out: an A beside an older CNAME, say.
//!
//! Who is left out is told ([`Claims::left_out`]). The result depends on the objects alone, and not on the order in
//! which they came.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::model::name::{Name, NameKey};
use crate::model::rdata;
use crate::model::record::{Handling, Keeping, Order, Rdata, RdataList, RecordType, RrSet, Wildcard};
use crate::model::source::{Origin, SourceId};
use crate::model::views::ViewName;
use crate::model::work;
use crate::store::Edit;

/// Between the oldest object of an RRset and how many others there are.
const AND: &str = " and ";

/// One RRset that an object asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The view it is for; `None` is the default.
    pub view: Option<ViewName>,
    /// The owner.
    pub owner: Name,
    /// The type.
    pub rtype: RecordType,
    /// The TTL, in seconds.
    pub ttl: u32,
    /// The values, in uncompressed wire form.
    pub rdatas: Vec<Rdata>,
    /// The order of the values with their weights, and what a wildcard stands for.
    pub handling: Handling,
}

/// An object and all that it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// What tells it from all others in its world, as people know it: `Ingress monitoring/grafana`.
    pub key: Arc<str>,
    /// When it was made, in seconds of Unix time; 0 where the world does not know.
    pub since: u64,
    /// What it asks for.
    pub claims: Vec<Claim>,
}

/// A claim that is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The name that was asked for.
    pub owner: Name,
    /// The type.
    pub rtype: RecordType,
    /// The older object whose RRset is served, by its key.
    pub winner: Arc<str>,
    /// The type of that.
    pub winner_type: RecordType,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            owner,
            rtype,
            winner,
            winner_type,
        } = self;
        write!(
            f,
            "{owner} {rtype} is left out: {owner} {winner_type} of {winner}, which is older, is served"
        )
    }
}

/// A name in a view, or in the default.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    view: Option<ViewName>,
    key: NameKey,
}

/// Objects in the order in which they are taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    since: u64,
    key: Arc<str>,
}

/// The claims of all objects of one source.
#[derive(Debug)]
pub struct Claims {
    source: SourceId,
    objects: BTreeMap<Arc<str>, Claimant>,
    /// Who asks for something at a name.
    at: BTreeMap<Place, BTreeSet<Rank>>,
    /// What comes of it.
    wanted: BTreeMap<Place, BTreeMap<RecordType, (Name, Arc<RrSet>)>>,
    /// How many RRsets that is.
    rrsets: usize,
    /// Places at which somebody is left out, by who it is.
    left_out: BTreeMap<Arc<str>, BTreeMap<Place, Vec<LeftOut>>>,
}

/// What one place comes to.
#[derive(Default)]
struct Merged {
    rrsets: BTreeMap<RecordType, (Name, Arc<RrSet>)>,
    left_out: BTreeMap<Arc<str>, Vec<LeftOut>>,
}

/// An RRset while it is put together.
struct Joined {
    owner: Name,
    ttl: u32,
    seen: HashSet<Rdata>,
    rdatas: RdataList,
    /// The order that the oldest object asks for.
    order: Order,
    /// What is written about it: of the oldest object.
    keeping: Keeping,
    /// One for each value; `None` where its object gives none.
    weights: Vec<Option<u16>>,
    wildcard: Wildcard,
    /// The oldest object, and how many others there are.
    first: Rank,
    others: usize,
}

impl Claims {
    /// No object yet.
    pub fn new(source: SourceId) -> Self {
        Self {
            source,
            objects: BTreeMap::new(),
            at: BTreeMap::new(),
            wanted: BTreeMap::new(),
            rrsets: 0,
            left_out: BTreeMap::new(),
        }
    }

    /// An object as it came last.
    pub fn object(&self, key: &str) -> Option<&Claimant> {
        self.objects.get(key)
    }

    /// How many objects there are.
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// How many RRsets are asked for, once they are merged.
    pub fn rrsets(&self) -> usize {
        self.rrsets
    }

    /// An object has come, or is another one now.
    pub fn apply(&mut self, object: Claimant) -> Vec<Edit> {
        let mut touched = self.remove(&object.key);
        let rank = Rank {
            since: object.since,
            key: Arc::clone(&object.key),
        };
        for claim in &object.claims {
            let place = Place::of(claim);
            self.at.entry(place.clone()).or_default().insert(rank.clone());
            touched.insert(place);
        }
        self.objects.insert(Arc::clone(&object.key), object);
        self.merge(touched)
    }

    /// An object is gone.
    pub fn delete(&mut self, key: &str) -> Vec<Edit> {
        let touched = self.remove(key);
        self.merge(touched)
    }

    /// These are all objects.
    pub fn reset(&mut self, objects: impl IntoIterator<Item = Claimant>) -> Vec<Edit> {
        let objects: BTreeMap<Arc<str>, Claimant> = objects
            .into_iter()
            .map(|object| (Arc::clone(&object.key), object))
            .collect();
        let mut touched = BTreeSet::new();
        let gone: Vec<Arc<str>> = self
            .objects
            .keys()
            .filter(|key| !objects.contains_key(*key))
            .cloned()
            .collect();
        for key in gone {
            touched.extend(self.remove(&key));
        }
        for (key, object) in objects {
            if self.objects.get(&key).is_some_and(|known| known.is_the_same(&object)) {
                continue;
            }
            touched.extend(self.remove(&key));
            let rank = Rank {
                since: object.since,
                key: Arc::clone(&key),
            };
            for claim in &object.claims {
                let place = Place::of(claim);
                self.at.entry(place.clone()).or_default().insert(rank.clone());
                touched.insert(place);
            }
            self.objects.insert(key, object);
        }
        self.merge(touched)
    }

    /// All RRsets that are asked for, merged.
    pub fn all(&self) -> Vec<(Option<ViewName>, Name, Arc<RrSet>)> {
        let places = self.wanted.iter().flat_map(|(place, rrsets)| {
            let rrsets = rrsets.values();
            rrsets.map(|(owner, rrset)| (place.view.clone(), owner.clone(), Arc::clone(rrset)))
        });
        places.collect()
    }

    /// What of an object is not served, because of older ones of the same source.
    pub fn left_out(&self, key: &str) -> impl Iterator<Item = &LeftOut> {
        let places = self.left_out.get(key).into_iter();
        places.flat_map(BTreeMap::values).flatten()
    }

    /// The same of all objects, each with the object's key.
    pub fn all_left_out(&self) -> impl Iterator<Item = (&Arc<str>, &LeftOut)> {
        let objects = self.left_out.iter();
        objects.flat_map(|(key, places)| places.values().flatten().map(move |left_out| (key, left_out)))
    }

    fn remove(&mut self, key: &str) -> BTreeSet<Place> {
        let Some(object) = self.objects.remove(key) else {
            return BTreeSet::new();
        };
        let rank = Rank {
            since: object.since,
            key: object.key,
        };
        let places: BTreeSet<Place> = object.claims.iter().map(Place::of).collect();
        for place in &places {
            if let Some(ranks) = self.at.get_mut(place) {
                ranks.remove(&rank);
                if ranks.is_empty() {
                    self.at.remove(place);
                }
            }
        }
        places
    }

    /// Brings the layer in step at these places.
    fn merge(&mut self, touched: BTreeSet<Place>) -> Vec<Edit> {
        let mut edits = Vec::new();
        for place in touched {
            let Merged { rrsets, left_out } = self.merged(&place);
            for of_object in self.left_out.values_mut() {
                of_object.remove(&place);
            }
            for (key, all) in left_out {
                self.left_out.entry(key).or_default().insert(place.clone(), all);
            }
            let before = self.wanted.remove(&place).unwrap_or_default();
            self.rrsets = self.rrsets - before.len() + rrsets.len();
            for (rtype, (owner, _)) in &before {
                if !rrsets.contains_key(rtype) {
                    edits.push(Edit::Unset {
                        view: place.view.clone(),
                        owner: owner.clone(),
                        rtype: *rtype,
                    });
                }
            }
            for (rtype, (owner, rrset)) in &rrsets {
                // The owner's letters are served as they were given, so they count.
                let is_known = |(known_owner, known): &(Name, Arc<RrSet>)| {
                    known_owner.as_wire() == owner.as_wire() && known == rrset
                };
                if !before.get(rtype).is_some_and(is_known) {
                    edits.push(Edit::Set {
                        view: place.view.clone(),
                        owner: owner.clone(),
                        rrset: Arc::clone(rrset),
                    });
                }
            }
            if !rrsets.is_empty() {
                self.wanted.insert(place, rrsets);
            }
        }
        self.left_out.retain(|_, places| !places.is_empty());
        edits
    }

    /// What the objects at one place come to, by the rules above.
    fn merged(&self, place: &Place) -> Merged {
        let mut joined: BTreeMap<RecordType, Joined> = BTreeMap::new();
        let mut left_out: BTreeMap<Arc<str>, Vec<LeftOut>> = BTreeMap::new();
        for rank in self.at.get(place).into_iter().flatten() {
            let Some(object) = self.objects.get(&rank.key) else {
                continue;
            };
            // The claims of one object have no order of their own.
            let mut claims: Vec<&Claim> = object
                .claims
                .iter()
                .filter(|claim| Place::of(claim) == *place)
                .collect();
            claims.sort_by(|one, other| (one.rtype, &one.rdatas).cmp(&(other.rtype, &other.rdatas)));
            for claim in claims {
                work::step();
                let types = joined.keys().copied();
                let clash = claim.rtype.first_clash(|other| joined.contains_key(&other), types);
                let taken = joined.contains_key(&claim.rtype) && claim.rtype.is_singleton();
                let blocker = clash.map(|(other, _)| other).or(taken.then_some(claim.rtype));
                match blocker.and_then(|rtype| Some((rtype, joined.get(&rtype)?))) {
                    Some((winner_type, winner)) => left_out.entry(Arc::clone(&rank.key)).or_default().push(LeftOut {
                        owner: claim.owner.clone(),
                        rtype: claim.rtype,
                        winner: Arc::clone(&winner.first.key),
                        winner_type,
                    }),
                    None => joined
                        .entry(claim.rtype)
                        .or_insert_with(|| Joined::new(claim, rank))
                        .add(claim, rank),
                }
            }
        }
        let rrsets = joined.into_iter().filter(|(_, joined)| !joined.rdatas.is_empty());
        Merged {
            rrsets: rrsets
                .map(|(rtype, joined)| (rtype, joined.finish(&self.source, rtype)))
                .collect(),
            left_out,
        }
    }
}

/// The oldest of the objects that an RRset names as its origin: `Ingress demo/a` of `Ingress demo/a and 2 more`.
pub fn oldest_of(objects: &str) -> &str {
    objects.split_once(AND).map_or(objects, |(oldest, _)| oldest)
}

impl Claimant {
    /// Whether it asks for the same, to the letter.
    fn is_the_same(&self, other: &Self) -> bool {
        let mut owners = self.claims.iter().zip(&other.claims);
        self == other && owners.all(|(one, other)| one.owner.as_wire() == other.owner.as_wire())
    }
}

impl Place {
    fn of(claim: &Claim) -> Self {
        Self {
            view: claim.view.clone(),
            key: claim.owner.key(),
        }
    }
}

impl Joined {
    fn new(claim: &Claim, rank: &Rank) -> Self {
        Self {
            owner: claim.owner.clone(),
            ttl: claim.ttl,
            seen: HashSet::new(),
            rdatas: RdataList::default(),
            order: claim.handling.order().clone(),
            keeping: claim.handling.keeping().clone(),
            weights: Vec::new(),
            wildcard: claim.handling.wildcard(),
            first: rank.clone(),
            others: 0,
        }
    }

    fn add(&mut self, claim: &Claim, rank: &Rank) {
        self.ttl = self.ttl.min(claim.ttl);
        self.others += usize::from(*rank != self.first);
        if claim.handling.wildcard() == Wildcard::Rfc4592 {
            self.wildcard = Wildcard::Rfc4592;
        }
        let given = claim.handling.order().weights().iter().copied().map(Some);
        for (rdata, weight) in claim.rdatas.iter().zip(given.chain(std::iter::repeat(None))) {
            if claim.rtype.is_singleton() && !self.rdatas.is_empty() {
                break;
            }
            if self.seen.insert(rdata::canonical(claim.rtype, rdata)) {
                self.rdatas.push(rdata);
                self.weights.push(weight);
            }
        }
    }

    fn handling(&self) -> Handling {
        let order = match self.weights.iter().any(Option::is_some) {
            true => Order::Weighted(self.weights.iter().map(|weight| weight.unwrap_or(1)).collect()),
            false => self.order.clone(),
        };
        let wildcard = Some(self.wildcard).filter(|_| self.owner.is_wildcard());
        Handling::new(order, wildcard.unwrap_or_default()).kept(self.keeping.clone())
    }

    fn finish(self, source: &SourceId, rtype: RecordType) -> (Name, Arc<RrSet>) {
        let since = Some(self.first.since).filter(|since| *since != 0);
        let object = match self.others {
            0 => self.first.key.to_string(),
            others => format!("{}{AND}{others} more", self.first.key),
        };
        let handling = self.handling();
        let rrset = RrSet {
            rtype,
            ttl: self.ttl,
            rdatas: self.rdatas.into(),
            origin: Origin::of_object(source.clone(), object, since),
            handling,
        };
        (self.owner, Arc::new(rrset))
    }
}

#[cfg(test)]
mod tests;
