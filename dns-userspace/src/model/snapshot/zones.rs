//! The zones of a snapshot, by apex.
//!
//! ```text
//! default   all: apex ─► Zone        own: nothing
//! a view    all: the default's map   own: apex ─► Zone, where the view's records make it another one
//! ```
//!
//! A view has the zones that the default has, and most of them as they are there. Its tree takes the default's map
//! whole, so a change of one zone copies the way to it in one map, however many views there are.

use std::borrow::Borrow;
use std::ops::Index;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::RangedIter;
use imbl::shared_ptr::DefaultSharedPtr;

use super::Zone;
use crate::model::name::NameKey;

/// Zones by apex: the default's, and those that take the place of some of them in a view.
#[derive(Clone, Default)]
pub struct Zones {
    all: OrdMap<NameKey, Arc<Zone>>,
    /// Each has an apex that is in `all`.
    own: OrdMap<NameKey, Arc<Zone>>,
}

/// Zones in the order of their apexes.
pub struct ZonesFrom<'z> {
    all: RangedIter<'z, NameKey, Arc<Zone>, DefaultSharedPtr>,
    own: &'z OrdMap<NameKey, Arc<Zone>>,
}

impl Zones {
    /// The zone of that name.
    pub fn get<Q: Ord + ?Sized>(&self, apex: &Q) -> Option<&Arc<Zone>>
    where
        NameKey: Borrow<Q>,
    {
        self.get_key_value(apex).map(|(_, zone)| zone)
    }

    /// The same, with its apex.
    pub fn get_key_value<Q: Ord + ?Sized>(&self, apex: &Q) -> Option<(&NameKey, &Arc<Zone>)>
    where
        NameKey: Borrow<Q>,
    {
        self.all.get_key_value(apex).map(|found| seen(&self.own, found))
    }

    /// The first zone at `key` or behind it.
    pub fn get_next<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&NameKey, &Arc<Zone>)>
    where
        NameKey: Borrow<Q>,
    {
        self.all.get_next(key).map(|found| seen(&self.own, found))
    }

    /// Whether there is a zone of that name.
    pub fn contains_key<Q: Ord + ?Sized>(&self, apex: &Q) -> bool
    where
        NameKey: Borrow<Q>,
    {
        self.all.contains_key(apex)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All, ascending.
    pub fn iter(&self) -> ZonesFrom<'_> {
        self.range_from(&NameKey::ROOT)
    }

    /// Those at `key` and behind it, ascending.
    pub fn range_from(&self, key: &NameKey) -> ZonesFrom<'_> {
        ZonesFrom {
            all: self.all.range::<_, NameKey>(key..),
            own: &self.own,
        }
    }

    /// Their apexes, ascending.
    pub fn keys(&self) -> impl Iterator<Item = &NameKey> {
        self.all.keys()
    }

    /// All, in the order of their apexes.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.iter().map(|(_, zone)| zone)
    }

    /// Those that are others than the default's.
    pub fn own(&self) -> impl Iterator<Item = (&NameKey, &Arc<Zone>)> {
        self.own.iter()
    }

    /// The one of that name, if it is another one than the default's.
    pub(crate) fn get_own(&self, apex: &NameKey) -> Option<&Arc<Zone>> {
        self.own.get(apex)
    }

    /// Puts a zone into the default.
    pub(crate) fn insert(&mut self, apex: NameKey, zone: Arc<Zone>) {
        self.all.insert(apex, zone);
    }

    /// Takes a zone out of the default.
    pub(crate) fn remove(&mut self, apex: &NameKey) {
        self.all.remove(apex);
    }

    /// The zones of a view on top of these, the default's; `own` are those that were its own so far.
    pub(crate) fn in_view(&self, own: &Self) -> Self {
        Self {
            all: self.all.clone(),
            own: own.own.clone(),
        }
    }

    /// Makes a zone of the default another one here; `None`: the default's again.
    pub(crate) fn set_own(&mut self, apex: &NameKey, zone: Option<Arc<Zone>>) {
        match zone {
            Some(zone) => drop(self.own.insert(apex.clone(), zone)),
            None => drop(self.own.remove(apex)),
        }
    }
}

/// A zone as it is where these are a view's own.
fn seen<'z>(
    own: &'z OrdMap<NameKey, Arc<Zone>>,
    (apex, zone): (&'z NameKey, &'z Arc<Zone>),
) -> (&'z NameKey, &'z Arc<Zone>) {
    (apex, own.get(apex).unwrap_or(zone))
}

impl Index<&NameKey> for Zones {
    type Output = Arc<Zone>;

    fn index(&self, apex: &NameKey) -> &Arc<Zone> {
        self.own.get(apex).unwrap_or_else(|| &self.all[apex])
    }
}

impl<'z> Iterator for ZonesFrom<'z> {
    type Item = (&'z NameKey, &'z Arc<Zone>);

    fn next(&mut self) -> Option<Self::Item> {
        self.all.next().map(|found| seen(self.own, found))
    }
}

impl<'z> IntoIterator for &'z Zones {
    type Item = (&'z NameKey, &'z Arc<Zone>);
    type IntoIter = ZonesFrom<'z>;

    fn into_iter(self) -> ZonesFrom<'z> {
        self.iter()
    }
}
