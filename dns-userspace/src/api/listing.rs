//! Pages of what is served, in canonical order (RFC 4034 §6.1), then by type.
//!
//! A cursor is the position of the last RRset of a page: it stays good whatever comes and goes, and an RRset that
//! exists all the while is listed once. Zones can lie inside each other and between overlays, so a page is a merge of
//! ordered maps; what a deeper zone hides is left out.

use std::iter::Peekable;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::RangedIter;
use imbl::shared_ptr::DefaultSharedPtr;

use super::search::{Memory, Search};
use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::model::snapshot::{Node, Snapshot, ZonesFrom};
use crate::model::views::ViewName;

/// Which RRsets are wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    /// The records of this view instead of the default's.
    pub(super) view: Option<ViewName>,
    pub(super) name: Option<NameKey>,
    pub(super) rtype: Option<RecordType>,
    /// By the zone's apex.
    pub(super) zone: Option<NameKey>,
    /// Names at or below one of these; none is all. It is what the one who asks may see.
    pub(super) within: Vec<NameKey>,
    /// By a part of the name, of a value, of the source or of the note.
    pub(super) text: Option<Search>,
}

impl Filter {
    /// Whether the one who asks may see what is at a name.
    pub(super) fn has_name(&self, key: &NameKey) -> bool {
        self.within.is_empty() || self.within.iter().any(|zone| key.is_at_or_below(zone))
    }
}

/// An RRset's place in the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    key: NameKey,
    rtype: RecordType,
}

impl Position {
    pub(super) fn new(key: NameKey, rtype: RecordType) -> Self {
        Self { key, rtype }
    }

    /// Whether an RRset there comes behind this one.
    pub(super) fn is_before(&self, key: &NameKey, rtype: RecordType) -> bool {
        (key, rtype) > (&self.key, self.rtype)
    }

    /// As a cursor that clients hand back.
    pub(super) fn encode(&self) -> String {
        let mut bytes = self.rtype.0.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.key.to_name().as_wire());
        data_encoding::BASE64URL_NOPAD.encode(&bytes)
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
        let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (rtype, name) = bytes.split_first_chunk::<2>()?;
        Some(Self {
            key: Name::from_wire(name).ok()?.key(),
            rtype: RecordType(u16::from_be_bytes(*rtype)),
        })
    }
}

/// Shows the RRsets behind `after` to `take` until it takes one no more. Returns the last that it took, and whether
/// there is one that it did not take.
pub(super) fn walk(
    snapshot: &Snapshot,
    filter: &Filter,
    after: Option<&Position>,
    mut take: impl FnMut(&Name, &RrSet) -> bool,
) -> (Option<Position>, bool) {
    let (mut last, mut memory) = (None, Memory::default());
    let mut visit = |key: &NameKey, node: &Arc<Node>| {
        if !filter.has_name(key) {
            return false;
        }
        let is_in_name = filter
            .text
            .as_ref()
            .is_none_or(|search| search.is_in_name(key, &mut memory));
        let mut owner = None;
        for rrset in &node.rrsets {
            let is_wanted = filter.rtype.is_none_or(|rtype| rtype == rrset.rtype);
            let is_behind = after.is_none_or(|after| (key, rrset.rtype) > (&after.key, after.rtype));
            let mut is_found = || {
                is_in_name
                    || filter
                        .text
                        .as_ref()
                        .is_some_and(|search| search.is_in_rrset(rrset, &mut memory))
            };
            if is_wanted && is_behind && is_found() {
                if !take(owner.get_or_insert_with(|| node.owner(key)), rrset) {
                    return true;
                }
                last = Some((key.clone(), rrset.rtype));
            }
        }
        false
    };
    let own = filter.view.as_ref().map(|view| match snapshot.view(view) {
        Some(view) => view.own.clone(),
        None => OrdMap::new(),
    });
    let is_in_zone = |key: &NameKey| {
        let wanted = filter.zone.as_ref();
        wanted.is_none_or(|apex| snapshot.zone_of(key).is_some_and(|zone| zone.apex.key() == *apex))
    };
    let has_more = match (&filter.name, &own) {
        (Some(name), Some(own)) => own.get(name).is_some_and(|node| is_in_zone(name) && visit(name, node)),
        (None, Some(own)) => {
            let root = Name::root().key();
            let start = after.map_or(&root, |after| &after.key);
            let mut nodes = own.range::<_, NameKey>(start..);
            nodes.any(|(key, node)| is_in_zone(key) && visit(key, node))
        }
        (Some(name), None) => match snapshot.node(name) {
            Some(node) if is_in_zone(name) => visit(name, node),
            _ => false,
        },
        (None, None) => {
            let start = match (&filter.zone, after) {
                (Some(apex), Some(after)) if *apex < after.key => &after.key,
                (Some(apex), _) => apex,
                (None, Some(after)) => &after.key,
                (None, None) => &Name::root().key(),
            };
            let mut walk = Walk::new(snapshot, start);
            loop {
                let Some((key, node, zone)) = walk.next() else {
                    break false;
                };
                if let Some(apex) = &filter.zone {
                    if !key.is_at_or_below(apex) {
                        break false;
                    }
                    if zone != Some(apex) {
                        continue;
                    }
                }
                if visit(key, node) {
                    break true;
                }
            }
        }
    };
    (last.map(|(key, rtype)| Position { key, rtype }), has_more)
}

type Nodes<'a> = Peekable<RangedIter<'a, NameKey, Arc<Node>, DefaultSharedPtr>>;

/// All nodes that answer, in order.
struct Walk<'a> {
    overlays: Nodes<'a>,
    /// Zones that the walk is in, the deepest last.
    within: Vec<(&'a NameKey, Nodes<'a>)>,
    /// Zones that begin further on.
    ahead: Peekable<ZonesFrom<'a>>,
}

impl<'a> Walk<'a> {
    /// From `start` on.
    fn new(snapshot: &'a Snapshot, start: &NameKey) -> Self {
        let mut within = Vec::new();
        let mut above = start.parent();
        while let Some(key) = above {
            if let Some((apex, zone)) = snapshot.zones.get_key_value(&key) {
                within.push((apex, nodes_from(&zone.nodes, start)));
            }
            above = key.parent();
        }
        within.reverse();
        Self {
            overlays: nodes_from(&snapshot.overlays, start),
            within,
            ahead: snapshot.zones.range_from(start).peekable(),
        }
    }

    /// The next node, with its owner's key and its zone's apex.
    fn next(&mut self) -> Option<(&'a NameKey, &'a Arc<Node>, Option<&'a NameKey>)> {
        loop {
            let mut least = self.overlays.peek().map(|(key, _)| *key);
            for (_, nodes) in &mut self.within {
                let first = nodes.peek().map(|(key, _)| *key);
                least = match (least, first) {
                    (Some(least), Some(first)) => Some(least.min(first)),
                    (least, first) => least.or(first),
                };
            }
            let is_reached = |apex: &NameKey| least.is_none_or(|least| apex <= least);
            if let Some((apex, zone)) = self.ahead.next_if(|(apex, _)| is_reached(apex)) {
                self.within.retain(|(outer, _)| apex.is_at_or_below(outer));
                self.within.push((apex, nodes_from(&zone.nodes, apex)));
                continue;
            }
            let key = least?;
            let overlay = self.overlays.next_if(|(first, _)| *first == key);
            let mut found = overlay.map(|(key, node)| (key, node, None));
            for (apex, nodes) in &mut self.within {
                let node = nodes.next_if(|(first, _)| *first == key);
                if key.is_at_or_below(apex) {
                    // The deepest zone comes last, and hides what those around it have here.
                    found = node.map(|(key, node)| (key, node, Some(*apex)));
                }
            }
            if found.is_some() {
                return found;
            }
        }
    }
}

fn nodes_from<'a>(nodes: &'a OrdMap<NameKey, Arc<Node>>, start: &NameKey) -> Nodes<'a> {
    nodes.range::<_, NameKey>(start..).peekable()
}
