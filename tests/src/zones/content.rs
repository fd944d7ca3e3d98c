//! RRsets that may stand together in one master file or in `records`.

use std::collections::BTreeMap;

use dns_userspace::model::name::{Name, NameKey};
use dns_userspace::model::record::{Handling, RecordType, RrSet};
use dns_userspace::model::source::Origin;

/// Owner names and their RRsets; what cannot be added to what is there is left out.
#[derive(Default)]
pub(super) struct Content {
    names: BTreeMap<NameKey, (Name, BTreeMap<RecordType, RrSet>)>,
    glue: Vec<(Name, RrSet)>,
}

impl Content {
    /// Adds an RRset, if there is none of its type, and no CNAME where it or the other is.
    pub(super) fn add(&mut self, owner: &Name, rrset: RrSet) {
        let (_, types) = self
            .names
            .entry(owner.key())
            .or_insert_with(|| (owner.clone(), BTreeMap::new()));
        if types.keys().all(|&other| may_stand_beside(other, rrset.rtype)) {
            // All RRsets of a wildcard say the same of it.
            let wildcard = types
                .values()
                .next()
                .map_or(rrset.handling.wildcard(), |other| other.handling.wildcard());
            let handling = Handling::new(rrset.handling.order().clone(), wildcard);
            types.entry(rrset.rtype).or_insert(RrSet { handling, ..rrset });
        }
    }

    /// The same, for a name that may be elsewhere: it is left out where no other name shares a zone's apex with it.
    pub(super) fn add_glue(&mut self, owner: &Name, rrset: RrSet) {
        self.glue.push((owner.clone(), rrset));
    }

    /// All of it, with this source.
    pub(super) fn into_records(mut self, source: &Origin) -> Vec<(Name, RrSet)> {
        let apex = self
            .names
            .values()
            .find(|(_, types)| types.contains_key(&RecordType::SOA));
        let apex = apex.map(|(owner, _)| owner.clone());
        for (owner, rrset) in std::mem::take(&mut self.glue) {
            if apex.as_ref().is_none_or(|apex| owner.is_at_or_below(apex)) {
                self.add(&owner, rrset);
            }
        }
        let sets = self.names.into_values();
        sets.flat_map(|(owner, types)| types.into_values().map(move |rrset| (owner.clone(), rrset)))
            .map(|(owner, rrset)| {
                (
                    owner,
                    RrSet {
                        origin: source.clone(),
                        ..rrset
                    },
                )
            })
            .collect()
    }
}

/// What may be at one name.
pub(super) fn may_stand_beside(one: RecordType, other: RecordType) -> bool {
    one.clash(other).is_none()
}
