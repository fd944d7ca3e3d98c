//! What a change of the API comes to, given what is served and the changes before it in the same group. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Change, ControlError, TtlRules, Wanted, Written};
use crate::name::{Name, NameKey};
use crate::rdata;
use crate::record::{Handling, Order, Rdata, RecordType, RrSet, Source, Wildcard};
use crate::snapshot::Snapshot;
use crate::store::Store;

/// What an answer may take beside the message's header, the longest question and an OPT record.
const ROOM_BYTES: usize = 65_535 - 12 - (255 + 4) - 11;
/// An RR's owner (as a pointer), type, class, TTL and length.
const RR_OVERHEAD_BYTES: usize = 12;

/// The RRsets to put (`Some`) and to delete (`None`), in canonical order.
pub(super) type Accepted = Vec<(Name, RecordType, Option<Arc<RrSet>>)>;

/// Changes that were accepted and are not committed yet, on top of the store.
pub(super) struct Pending<'a> {
    store: &'a Store,
    snapshot: Arc<Snapshot>,
    rules: TtlRules,
    config_file: &'a str,
    served_serial: &'a dyn Fn(&NameKey) -> Option<u32>,
    names: BTreeMap<NameKey, PendingName>,
}

struct PendingName {
    owner: Name,
    /// `None`: deleted.
    rrsets: BTreeMap<RecordType, Option<Arc<RrSet>>>,
}

/// Values, and the weight of each where they have weights.
#[derive(Default)]
struct Values {
    rdatas: Vec<Rdata>,
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
    pub(super) fn touches(&self, key: &NameKey) -> bool {
        self.names.contains_key(key)
    }

    /// What the accepted changes come to.
    pub(super) fn into_changes(self) -> Accepted {
        self.names
            .into_values()
            .flat_map(|PendingName { owner, rrsets }| {
                rrsets
                    .into_iter()
                    .map(move |(rtype, rrset)| (owner.clone(), rtype, rrset))
            })
            .collect()
    }

    /// Accepts or refuses one change. An accepted one is part of what the next is seen against.
    pub(super) fn evaluate(&mut self, change: Change) -> Result<Option<Written>, ControlError> {
        match change {
            Change::Create {
                owner,
                rtype,
                wanted,
                rdatas,
            } => self.create(owner, rtype, wanted, rdatas).map(Some),
            Change::Put {
                owner,
                rtype,
                wanted,
                rdatas,
            } => self.replace(owner, rtype, wanted, rdatas).map(Some),
            Change::Delete { owner, rtype, rdata } => self.delete(owner, rtype, rdata).map(|()| None),
        }
    }

    fn create(
        &mut self,
        owner: Name,
        rtype: RecordType,
        wanted: Wanted,
        rdatas: Vec<Rdata>,
    ) -> Result<Written, ControlError> {
        let key = owner.key();
        let held = self.admit(&owner, &key, rtype, wanted.ttl)?;
        let before = held.as_ref().map_or(0, |rrset| rrset.rdatas.len());
        let mut values = Values::default();
        if let Some(held) = &held {
            values.rdatas = held.rdatas.iter().map(Rdata::from).collect();
            values.weights = held.handling.order().weights().to_vec();
        }
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
        let weighs_alike = self.add_values(&mut values, &key, rtype, rdatas, wanted.order.as_ref());
        if rtype.is_singleton() && values.rdatas.len() > 1 {
            return Err(ControlError::SingletonConflict { owner, rtype });
        }
        let wildcard = self.wildcard(&owner, rtype, &wanted, held.as_deref())?;
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
        self.accept(owner, rtype, wanted.ttl, values.rdatas, handling, held)
    }

    fn replace(
        &mut self,
        owner: Name,
        rtype: RecordType,
        wanted: Wanted,
        rdatas: Vec<Rdata>,
    ) -> Result<Written, ControlError> {
        let key = owner.key();
        let held = self.admit(&owner, &key, rtype, wanted.ttl)?;
        let mut values = Values::default();
        self.add_values(&mut values, &key, rtype, rdatas, wanted.order.as_ref());
        if rtype.is_singleton() && values.rdatas.len() > 1 {
            return Err(ControlError::SingletonConflict { owner, rtype });
        }
        let wildcard = self.wildcard(&owner, rtype, &wanted, None)?;
        let handling = Handling::new(values.order(wanted.order), wildcard);
        self.accept(owner, rtype, wanted.ttl, values.rdatas, handling, held)
    }

    /// Adds the values of a request that are not there yet, with their weights. False where one that is there has
    /// another weight.
    fn add_values(
        &self,
        values: &mut Values,
        key: &NameKey,
        rtype: RecordType,
        rdatas: Vec<Rdata>,
        order: Option<&Order>,
    ) -> bool {
        let mut weighs_alike = true;
        for (at, rdata) in rdatas.into_iter().enumerate() {
            let weight = order.and_then(|order| order.weights().get(at).copied());
            let known = values
                .rdatas
                .iter()
                .position(|known| self.equal(key, rtype, known, &rdata));
            match known {
                Some(known) => weighs_alike &= weight.is_none() || weight == values.weights.get(known).copied(),
                None => {
                    values.rdatas.push(rdata);
                    values.weights.extend(weight);
                }
            }
        }
        weighs_alike
    }

    /// What the wildcard is to stand for: what the request says, or else the name's other RRsets, or the RRset itself.
    fn wildcard(
        &self,
        owner: &Name,
        rtype: RecordType,
        wanted: &Wanted,
        held: Option<&RrSet>,
    ) -> Result<Wildcard, ControlError> {
        let served = self.served(&owner.key());
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
        key: &NameKey,
        rtype: RecordType,
        ttl: Option<u32>,
    ) -> Result<Option<Arc<RrSet>>, ControlError> {
        let TtlRules { min, max, .. } = self.rules;
        if let Some(given) = ttl.filter(|ttl| !(min..=max).contains(ttl)) {
            return Err(ControlError::InvalidTtl { given, min, max });
        }
        let served = self.served(key);
        let held = served.iter().find(|rrset| rrset.rtype == rtype).cloned();
        if let Some(held) = &held {
            self.not_from_a_file(owner, held)?;
        }
        for other in served.iter().filter(|rrset| rrset.rtype != rtype) {
            if let Some(clash) = rtype.clash(other.rtype) {
                return Err(ControlError::Clash {
                    owner: owner.clone(),
                    held: other.rtype,
                    rtype,
                    clash,
                });
            }
        }
        Ok(held)
    }

    fn accept(
        &mut self,
        owner: Name,
        rtype: RecordType,
        ttl: Option<u32>,
        rdatas: Vec<Rdata>,
        handling: Handling,
        held: Option<Arc<RrSet>>,
    ) -> Result<Written, ControlError> {
        let bytes = rdatas.iter().map(|rdata| rdata.len() + RR_OVERHEAD_BYTES).sum();
        if bytes > ROOM_BYTES {
            return Err(ControlError::TooLarge {
                owner,
                rtype,
                bytes,
                limit: ROOM_BYTES,
            });
        }
        let key = owner.key();
        let owner = self.owner_as_held(&key).unwrap_or(owner);
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
                self.set(key, &owner, rtype, Some(rrset.clone()));
                rrset
            }
        };
        Ok(Written { owner, rrset, created })
    }

    fn delete(&mut self, owner: Name, rtype: Option<RecordType>, rdata: Option<Rdata>) -> Result<(), ControlError> {
        let key = owner.key();
        let served = self.served(&key);
        let Some(rtype) = rtype else {
            let api: Vec<_> = served.iter().filter(|rrset| rrset.source == Source::Api).collect();
            if api.is_empty() {
                let first = served
                    .first()
                    .ok_or_else(|| ControlError::NotFound(format!("{owner} has no records")))?;
                return self.not_from_a_file(&owner, first);
            }
            let owner = self.owner_as_held(&key).unwrap_or(owner);
            for rrset in api {
                self.set(key.clone(), &owner, rrset.rtype, None);
            }
            return Ok(());
        };
        let held = served
            .iter()
            .find(|rrset| rrset.rtype == rtype)
            .ok_or_else(|| ControlError::NotFound(format!("{owner} has no {rtype} records")))?;
        let mut left = Values::default();
        if let Some(rdata) = &rdata {
            for (at, known) in held.rdatas.iter().enumerate() {
                if !self.equal(&key, rtype, known, rdata) {
                    left.rdatas.push(known.into());
                    left.weights.extend(held.handling.order().weights().get(at));
                }
            }
            if left.rdatas.len() == held.rdatas.len() {
                return Err(ControlError::NotFound(format!("{owner} {rtype} has no such value")));
            }
        }
        self.not_from_a_file(&owner, held)?;
        let owner = self.owner_as_held(&key).unwrap_or(owner);
        let rest = (!left.rdatas.is_empty()).then(|| {
            let order = left.order(Some(held.handling.order().clone()));
            Arc::new(RrSet {
                handling: Handling::new(order, held.handling.wildcard()),
                rdatas: left.rdatas.into(),
                ..(**held).clone()
            })
        });
        self.set(key, &owner, rtype, rest);
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

    /// What is served at a name, with the pending changes.
    fn served(&self, key: &NameKey) -> Vec<Arc<RrSet>> {
        let mut rrsets = self
            .snapshot
            .node(key)
            .map_or_else(Vec::new, |node| node.rrsets.to_vec());
        if let Some(pending) = self.names.get(key) {
            rrsets.retain(|rrset| !pending.rrsets.contains_key(&rrset.rtype));
            rrsets.extend(pending.rrsets.values().flatten().cloned());
        }
        rrsets
    }

    /// A name keeps the case in which it came first.
    fn owner_as_held(&self, key: &NameKey) -> Option<Name> {
        let pending = self.names.get(key).map(|pending| pending.owner.clone());
        pending.or_else(|| self.snapshot.node(key).map(|node| node.owner(key)))
    }

    fn set(&mut self, key: NameKey, owner: &Name, rtype: RecordType, rrset: Option<Arc<RrSet>>) {
        let stored = self.store.api_rrset(&key, rtype).is_some();
        let name = self.names.entry(key).or_insert_with(|| PendingName {
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
    fn equal(&self, key: &NameKey, rtype: RecordType, held: &[u8], given: &[u8]) -> bool {
        if rdata::same_value(rtype, held, given) {
            return true;
        }
        let served = (rtype == RecordType::SOA).then(|| (self.served_serial)(key)).flatten();
        served.is_some_and(|serial| {
            let mut held = Rdata::from(held);
            super::serial::set(&mut held, serial);
            rdata::same_value(rtype, &held, given)
        })
    }
}
