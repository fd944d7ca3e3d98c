//! What a change of the API comes to, given what is served and the changes before it in the same group. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Change, ControlError, TtlRules, Wanted, Written};
use crate::name::{Name, NameKey};
use crate::rdata;
use crate::record::{
    Handling, MOST_OF_MESSAGE, Order, Rdata, RdataList, RecordType, RrSet, Source, Wildcard, octets_of_answer,
};
use crate::snapshot::{Node, Snapshot};
use crate::store::Store;
use crate::views::ViewName;
use crate::work;

/// The RRsets to put (`Some`) and to delete (`None`), in canonical order.
pub(super) type Accepted = Vec<(Option<ViewName>, Name, RecordType, Option<Arc<RrSet>>)>;

/// A name in a view, or in the default.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) view: Option<ViewName>,
    pub(super) key: NameKey,
}

/// Changes that were accepted and are not committed yet, on top of the store.
pub(super) struct Pending<'a> {
    store: &'a Store,
    snapshot: Arc<Snapshot>,
    rules: TtlRules,
    config_file: &'a str,
    served_serial: &'a dyn Fn(&NameKey) -> Option<u32>,
    names: BTreeMap<At, PendingName>,
}

struct PendingName {
    owner: Name,
    /// `None`: deleted.
    rrsets: BTreeMap<RecordType, Option<Arc<RrSet>>>,
}

/// RRsets at one name, above which the API adds none: each change of one compiles all of them. The types that there are
/// for data are about ninety.
const MOST_TYPES: usize = 256;
/// Values of a request that are each looked for among those that are there; with more, the latter are put into a table.
const FEW_VALUES: usize = 8;

/// Values, and the weight of each where they have weights.
#[derive(Default)]
struct Values {
    rdatas: RdataList,
    weights: Vec<u16>,
}

impl Values {
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

impl<'a> Pending<'a> {
    pub(super) fn new(
        store: &'a Store,
        rules: TtlRules,
        config_file: &'a str,
        served_serial: &'a dyn Fn(&NameKey) -> Option<u32>,
    ) -> Self {
        Self {
            store,
            snapshot: store.snapshot(),
            rules,
            config_file,
            served_serial,
            names: BTreeMap::new(),
        }
    }

    /// Whether an earlier change of the group is at this name.
    pub(super) fn touches(&self, at: &At) -> bool {
        self.names.contains_key(at)
    }

    /// What the accepted changes come to.
    pub(super) fn into_changes(self) -> Accepted {
        self.names
            .into_iter()
            .flat_map(|(At { view, .. }, PendingName { owner, rrsets })| {
                rrsets
                    .into_iter()
                    .map(move |(rtype, rrset)| (view.clone(), owner.clone(), rtype, rrset))
            })
            .collect()
    }

    /// Accepts or refuses one change, in a view or the default. An accepted one is part of what the next is seen
    /// against.
    pub(super) fn evaluate(&mut self, view: Option<ViewName>, change: Change) -> Result<Option<Written>, ControlError> {
        if let Some(view) = view.as_ref().filter(|view| self.snapshot.view(view).is_none()) {
            return Err(ControlError::UnknownView(view.clone()));
        }
        let at = At {
            view,
            key: change.key(),
        };
        match change {
            Change::Create {
                owner,
                rtype,
                wanted,
                rdatas,
            } => self.create(at, owner, rtype, wanted, rdatas).map(Some),
            Change::Put {
                owner,
                rtype,
                wanted,
                rdatas,
            } => self.replace(at, owner, rtype, wanted, rdatas).map(Some),
            Change::Delete { owner, rtype, rdata } => self.delete(at, owner, rtype, rdata).map(|()| None),
        }
    }

    fn create(
        &mut self,
        at: At,
        owner: Name,
        rtype: RecordType,
        wanted: Wanted,
        rdatas: Vec<Rdata>,
    ) -> Result<Written, ControlError> {
        let held = self.admit(&owner, &at, rtype, wanted.ttl)?;
        let mut values = Values::default();
        if let Some(held) = &held {
            values.rdatas = RdataList::from(&held.rdatas);
            values.weights = held.handling.order().weights().to_vec();
        }
        let before = values.rdatas.len();
        let conflict = |held: &RrSet| ControlError::OrderConflict {
            owner: owner.clone(),
            rtype,
            held: held.handling.order().clone(),
        };
        if let (Some(held), Some(order)) = (&held, &wanted.order)
            && held.handling.order().kind() != order.kind()
        {
            return Err(conflict(held));
        }
        let weighs_alike = self.add_values(&mut values, &at, rtype, rdatas, wanted.order.as_ref());
        if rtype.is_singleton() && values.rdatas.len() > 1 {
            return Err(ControlError::SingletonConflict { owner, rtype });
        }
        let wildcard = self.wildcard(&owner, &at, rtype, &wanted, held.as_deref())?;
        if let Some(held) = &held {
            if let Some(given) = wanted.ttl.filter(|&given| given != held.ttl) {
                return Err(ControlError::TtlConflict {
                    owner,
                    rtype,
                    held: held.ttl,
                    given,
                });
            }
            if let Some(given) = wanted.wildcard.filter(|&given| given != held.handling.wildcard()) {
                return Err(ControlError::WildcardConflict { owner, rtype, given });
            }
            let lacks_weights = matches!(held.handling.order(), Order::Weighted(_)) && !values.have_weights();
            if lacks_weights || !weighs_alike {
                return Err(conflict(held));
            }
            if values.rdatas.len() == before {
                return Err(ControlError::Exists { owner, rtype });
            }
        }
        let order = wanted.order.or_else(|| Some(held.as_ref()?.handling.order().clone()));
        let handling = Handling::new(values.order(order), wildcard);
        self.accept((owner, at), rtype, wanted.ttl, values.rdatas, handling, held)
    }

    fn replace(
        &mut self,
        at: At,
        owner: Name,
        rtype: RecordType,
        wanted: Wanted,
        rdatas: Vec<Rdata>,
    ) -> Result<Written, ControlError> {
        let held = self.admit(&owner, &at, rtype, wanted.ttl)?;
        let mut values = Values::default();
        self.add_values(&mut values, &at, rtype, rdatas, wanted.order.as_ref());
        if rtype.is_singleton() && values.rdatas.len() > 1 {
            return Err(ControlError::SingletonConflict { owner, rtype });
        }
        let wildcard = self.wildcard(&owner, &at, rtype, &wanted, None)?;
        let handling = Handling::new(values.order(wanted.order), wildcard);
        self.accept((owner, at), rtype, wanted.ttl, values.rdatas, handling, held)
    }

    /// Adds the values of a request that are not there yet, with their weights. False where one that is there has
    /// another weight.
    fn add_values(
        &self,
        values: &mut Values,
        at: &At,
        rtype: RecordType,
        rdatas: Vec<Rdata>,
        order: Option<&Order>,
    ) -> bool {
        let mut weighs_alike = true;
        // Of an SOA's values it is not their octets alone that say which are the same.
        let one_by_one = rdatas.len() <= FEW_VALUES || rtype.is_singleton();
        let mut places: HashMap<Rdata, usize> = HashMap::new();
        if !one_by_one {
            let held = values.rdatas.iter().map(|known| rdata::canonical(rtype, known));
            places = held.zip(0..).collect();
        }
        for (number, rdata) in rdatas.into_iter().enumerate() {
            let weight = order.and_then(|order| order.weights().get(number).copied());
            let known = if one_by_one {
                let mut held = values.rdatas.iter().inspect(|_| work::step());
                held.position(|known| self.equal(at, rtype, known, &rdata))
            } else {
                work::step();
                let next = values.rdatas.len();
                let place = *places.entry(rdata::canonical(rtype, &rdata)).or_insert(next);
                (place != next).then_some(place)
            };
            match known {
                Some(known) => weighs_alike &= weight.is_none() || weight == values.weights.get(known).copied(),
                None => {
                    values.rdatas.push(&rdata);
                    values.weights.extend(weight);
                }
            }
            if rtype.is_singleton() && values.rdatas.len() > 1 {
                break; // which is refused
            }
        }
        weighs_alike
    }

    /// What the wildcard is to stand for: what the request says, or else the name's other RRsets, or the RRset itself.
    fn wildcard(
        &self,
        owner: &Name,
        at: &At,
        rtype: RecordType,
        wanted: &Wanted,
        held: Option<&RrSet>,
    ) -> Result<Wildcard, ControlError> {
        let served = self.served(at);
        let mut others = served.iter().filter(|rrset| rrset.rtype != rtype);
        let Some(given) = wanted.wildcard else {
            let like = others.next().map(|other| &**other).or(held);
            return Ok(like.map_or(Wildcard::Rfc4592, |rrset| rrset.handling.wildcard()));
        };
        match others.find(|other| other.handling.wildcard() != given) {
            Some(other) => Err(ControlError::WildcardConflict {
                owner: owner.clone(),
                rtype: other.rtype,
                given,
            }),
            None => Ok(given),
        }
    }

    /// The API's RRset of that name and type, if there is one; an error where the API may not put one.
    fn admit(
        &self,
        owner: &Name,
        at: &At,
        rtype: RecordType,
        ttl: Option<u32>,
    ) -> Result<Option<Arc<RrSet>>, ControlError> {
        let TtlRules { min, max, .. } = self.rules;
        if let Some(given) = ttl.filter(|ttl| !(min..=max).contains(ttl)) {
            return Err(ControlError::InvalidTtl { given, min, max });
        }
        if rtype == RecordType::SOA && at.view.is_some() {
            return Err(ControlError::SoaInView);
        }
        let served = self.served(at);
        let held = served.iter().find(|rrset| rrset.rtype == rtype).cloned();
        if let Some(held) = &held {
            self.not_from_a_file(owner, held)?;
        }
        let soa = at
            .view
            .as_ref()
            .and_then(|_| self.snapshot.zones.get(&at.key))
            .and_then(|zone| zone.rrset(&at.key, RecordType::SOA));
        for other in served.iter().chain(soa).filter(|rrset| rrset.rtype != rtype) {
            if let Some(clash) = rtype.clash(other.rtype) {
                return Err(ControlError::Clash {
                    owner: owner.clone(),
                    held: other.rtype,
                    rtype,
                    clash,
                });
            }
        }
        if held.is_none() && served.len() >= MOST_TYPES {
            return Err(ControlError::TooManyTypes {
                owner: owner.clone(),
                limit: MOST_TYPES,
            });
        }
        Ok(held)
    }

    fn accept(
        &mut self,
        (owner, at): (Name, At),
        rtype: RecordType,
        ttl: Option<u32>,
        rdatas: RdataList,
        handling: Handling,
        held: Option<Arc<RrSet>>,
    ) -> Result<Written, ControlError> {
        let bytes = octets_of_answer(&owner, rdatas.iter());
        if bytes > MOST_OF_MESSAGE {
            return Err(ControlError::TooLarge {
                owner,
                rtype,
                bytes,
                limit: MOST_OF_MESSAGE,
            });
        }
        let owner = self.owner_as_held(&at).unwrap_or(owner);
        let rrset = RrSet {
            rtype,
            ttl: ttl.or(held.as_ref().map(|held| held.ttl)).unwrap_or(self.rules.default),
            rdatas: rdatas.into(),
            source: Source::Api,
            handling,
        };
        let created = held.is_none();
        let rrset = match held {
            Some(held) if *held == rrset => held,
            _ => {
                let rrset = Arc::new(rrset);
                self.set(at, &owner, rtype, Some(rrset.clone()));
                rrset
            }
        };
        Ok(Written { owner, rrset, created })
    }

    fn delete(
        &mut self,
        at: At,
        owner: Name,
        rtype: Option<RecordType>,
        rdata: Option<Rdata>,
    ) -> Result<(), ControlError> {
        let served = self.served(&at);
        let Some(rtype) = rtype else {
            let api: Vec<_> = served.iter().filter(|rrset| rrset.source == Source::Api).collect();
            if api.is_empty() {
                let first = served
                    .first()
                    .ok_or_else(|| ControlError::NotFound(format!("{owner} has no records")))?;
                return self.not_from_a_file(&owner, first);
            }
            let owner = self.owner_as_held(&at).unwrap_or(owner);
            for rrset in api {
                self.set(at.clone(), &owner, rrset.rtype, None);
            }
            return Ok(());
        };
        let held = served
            .iter()
            .find(|rrset| rrset.rtype == rtype)
            .ok_or_else(|| ControlError::NotFound(format!("{owner} has no {rtype} records")))?;
        let mut left = Values::default();
        if let Some(rdata) = &rdata {
            for (number, known) in held.rdatas.iter().enumerate() {
                if !self.equal(&at, rtype, known, rdata) {
                    left.rdatas.push(known);
                    left.weights.extend(held.handling.order().weights().get(number));
                }
            }
            if left.rdatas.len() == held.rdatas.len() {
                return Err(ControlError::NotFound(format!("{owner} {rtype} has no such value")));
            }
        }
        self.not_from_a_file(&owner, held)?;
        let owner = self.owner_as_held(&at).unwrap_or(owner);
        let rest = (!left.rdatas.is_empty()).then(|| {
            let order = left.order(Some(held.handling.order().clone()));
            Arc::new(RrSet {
                handling: Handling::new(order, held.handling.wildcard()),
                rdatas: left.rdatas.into(),
                ..(**held).clone()
            })
        });
        self.set(at, &owner, rtype, rest);
        Ok(())
    }

    fn not_from_a_file(&self, owner: &Name, rrset: &RrSet) -> Result<(), ControlError> {
        let file = match &rrset.source {
            Source::Api => return Ok(()),
            Source::Config => self.config_file.to_owned(),
            Source::ZoneFile(file) => file.to_string(),
        };
        Err(ControlError::ManagedByFile {
            owner: owner.clone(),
            rtype: rrset.rtype,
            file,
        })
    }

    /// What is served at a name, with the pending changes; of a view what it has there itself.
    fn served(&self, at: &At) -> Vec<Arc<RrSet>> {
        let mut rrsets = self.node(at).map_or_else(Vec::new, |node| node.rrsets.to_vec());
        if let Some(pending) = self.names.get(at) {
            rrsets.retain(|rrset| !pending.rrsets.contains_key(&rrset.rtype));
            rrsets.extend(pending.rrsets.values().flatten().cloned());
        }
        rrsets
    }

    fn node(&self, at: &At) -> Option<&Arc<Node>> {
        match &at.view {
            None => self.snapshot.node(&at.key),
            Some(view) => self.snapshot.view(view)?.own.get(&at.key),
        }
    }

    /// A name keeps the case in which it came first.
    fn owner_as_held(&self, at: &At) -> Option<Name> {
        let pending = self.names.get(at).map(|pending| pending.owner.clone());
        pending.or_else(|| self.node(at).map(|node| node.owner(&at.key)))
    }

    fn set(&mut self, at: At, owner: &Name, rtype: RecordType, rrset: Option<Arc<RrSet>>) {
        let stored = self.store.api_rrset(at.view.as_ref(), &at.key, rtype).is_some();
        let name = self.names.entry(at).or_insert_with(|| PendingName {
            owner: owner.clone(),
            rrsets: BTreeMap::new(),
        });
        if rrset.is_none() && !stored {
            // It came and went within the group.
            name.rrsets.remove(&rtype);
        } else {
            name.rrsets.insert(rtype, rrset);
        }
    }

    /// Whether two values are the same RDATA. An SOA's may be given with the serial that is served or with the one
    /// that was stored.
    fn equal(&self, at: &At, rtype: RecordType, held: &[u8], given: &[u8]) -> bool {
        if rdata::same_value(rtype, held, given) {
            return true;
        }
        let served = (rtype == RecordType::SOA)
            .then(|| (self.served_serial)(&at.key))
            .flatten();
        served.is_some_and(|serial| {
            let mut held = Rdata::from(held);
            super::serial::set(&mut held, serial);
            rdata::same_value(rtype, &held, given)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Change as Stored;

    const RULES: TtlRules = TtlRules {
        min: 60,
        max: 86_400,
        default: 300,
    };

    fn owner() -> Name {
        "a.x.".parse().expect("a name")
    }

    fn addresses(count: u32) -> Vec<Rdata> {
        (0..count).map(|address| Box::from(address.to_be_bytes())).collect()
    }

    fn create(rtype: RecordType, rdatas: Vec<Rdata>) -> Change {
        Change::Create {
            owner: owner(),
            rtype,
            wanted: Wanted::default(),
            rdatas,
        }
    }

    fn put(rdatas: Vec<Rdata>) -> Change {
        Change::Put {
            owner: owner(),
            rtype: RecordType::A,
            wanted: Wanted::default(),
            rdatas,
        }
    }

    /// The results of changes that come one after the other on a store with these values, and the steps they took.
    fn evaluate(held: Vec<Rdata>, changes: Vec<Change>) -> (Vec<Result<usize, ControlError>>, u64) {
        let mut store = Store::new();
        if !held.is_empty() {
            let rrset = RrSet {
                rtype: RecordType::A,
                ttl: 300,
                rdatas: held.into(),
                source: Source::Api,
                handling: Handling::default(),
            };
            let change = Stored::PutApi {
                view: None,
                owner: owner(),
                rrset,
            };
            let plan = store.plan(vec![change]);
            store.commit(&plan);
        }
        let mut pending = Pending::new(&store, RULES, "hotdns.yaml", &|_| None);
        work::steps(|| {
            let results = changes.into_iter().map(|change| {
                let written = pending.evaluate(None, change)?;
                Ok(written.map_or(0, |written| written.rrset.rdatas.len()))
            });
            results.collect()
        })
    }

    #[test]
    fn many_values_take_time_in_proportion_to_their_number() {
        for (held, changes, expected) in [
            (0, vec![create(RecordType::A, addresses(4000))], 4000),
            (0, vec![put(addresses(4000))], 4000),
            (2000, vec![create(RecordType::A, addresses(4000))], 4000),
            (3999, vec![create(RecordType::A, addresses(4000))], 4000),
        ] {
            let (results, steps) = evaluate(addresses(held), changes);
            assert_eq!(results, [Ok(expected)]);
            assert!(steps <= 4000, "{steps}");
        }
        // Each many times, and none that is new.
        let again = || addresses(100).into_iter().cycle().take(100_000).collect::<Vec<_>>();
        let (results, steps) = evaluate(addresses(100), vec![create(RecordType::A, again()), put(again())]);
        assert!(matches!(results[0], Err(ControlError::Exists { .. })), "{results:?}");
        assert_eq!(results[1], Ok(100));
        assert!(steps <= 200_000, "{steps}");
        let (results, steps) = evaluate(
            addresses(4000),
            vec![create(RecordType::A, addresses(4001).split_off(3995))],
        );
        assert_eq!(results, [Ok(4001)]);
        assert!(steps <= 8 * 4001, "{steps}");
    }

    #[test]
    fn values_of_types_that_have_one_end_at_the_second() {
        let name = |number: u32| -> Rdata { Name::parse(&format!("h{number}.")).expect("a name").as_wire().into() };
        let soa =
            |serial: u32| rdata::parse_value(RecordType::SOA, &format!("n. h. {serial} 2 3 4 5")).expect("an SOA");
        for (rtype, rdatas) in [
            (RecordType::CNAME, (0..50_000).map(name).collect()),
            (RecordType::SOA, (0..50_000).map(soa).collect()),
        ] {
            let (results, steps) = evaluate(Vec::new(), vec![create(rtype, rdatas)]);
            assert!(
                matches!(results[0], Err(ControlError::SingletonConflict { .. })),
                "{results:?}"
            );
            assert!(steps < 10, "{steps}");
        }
    }

    #[test]
    fn values_that_no_message_carries_do_not_reach_the_writer() {
        let too_large = |change: Change| match change.check_size() {
            Err(ControlError::TooLarge { bytes, .. }) => bytes,
            other => panic!("{other:?}"),
        };
        assert_eq!(too_large(put(addresses(100_000))), 12 + 5 + 4 + 11 + 100_000 * 16);
        assert!(too_large(create(RecordType::A, addresses(5000))) > MOST_OF_MESSAGE);
        let twice = [addresses(4000), addresses(4000)].concat();
        create(RecordType::A, twice).check_size().expect("each counts once");
        let rdata = addresses(1).pop();
        let rtype = Some(RecordType::A);
        Change::Delete {
            owner: owner(),
            rtype,
            rdata,
        }
        .check_size()
        .expect("one value");
    }

    #[test]
    fn a_name_has_no_more_types_than_the_api_takes() {
        let types = (0..=MOST_TYPES as u16).map(|rtype| create(RecordType(1000 + rtype), addresses(1)));
        let again = [create(RecordType(1000), addresses(2))];
        let delete = [Change::Delete {
            owner: owner(),
            rtype: Some(RecordType(1000)),
            rdata: None,
        }];
        let (results, _) = evaluate(
            Vec::new(),
            types
                .chain(again)
                .chain(delete)
                .chain([create(RecordType(2000), addresses(1))])
                .collect(),
        );
        assert!(results[..MOST_TYPES].iter().all(Result::is_ok));
        assert!(
            matches!(results[MOST_TYPES], Err(ControlError::TooManyTypes { limit: 256, .. })),
            "{results:?}"
        );
        assert!(results[MOST_TYPES + 1..].iter().all(Result::is_ok), "{results:?}");
    }
}
