//! Views: what the lines of one name say in the default and in each view.
//!
//! ```text
//! www.example.             A 192.0.2.1      the default's line, marked "viewed"
//! www.example. in office   A 10.0.0.1       a line of its own, under the name's hash with the view's number in it
//! www.example. in lab      (as above)       no line: the default's counts
//! new.example. in office   A 10.0.0.2       the default's line is a ghost: nobody else sees the name
//! ```
//!
//! A view has a line of its own where it differs from the default's. The default's line then says so, and is a ghost
//! where the default itself has no such name: so everything that is in a view has a line in the default, and a client
//! of no view sees none of that.

use std::collections::BTreeSet;
use std::sync::Arc;

use dns_common::line::flag;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use super::ancestors::needs_line;
use super::dependents::Dependents;
use super::touched::touched;
use super::{CompileOptions, Compiled, Compiling};
use crate::model::name::NameKey;
use crate::model::snapshot::{Node, Snapshot};
use crate::store::Delta;
use crate::table::Entry;

/// The lines of one name.
pub(crate) struct NameLines {
    /// Of the default; `None`: no line.
    pub(crate) default: Option<Entry>,
    /// Of each view, by number from 1; `None`: the default's line counts.
    pub(crate) views: Vec<Option<Entry>>,
}

/// From which names answers were made: those of the default, and of each view where they are others than the default's.
#[derive(Default)]
pub(crate) struct AllDependents {
    pub(crate) default: Dependents,
    pub(crate) views: Vec<Dependents>,
}

/// Compiles names in the default and in each view, one after the other. In canonical order that takes less time than
/// each on its own.
pub(crate) struct Everywhere<'a> {
    default: Compiling<'a>,
    views: Vec<Compiling<'a>>,
}

/// Compiles a name for the default and every view.
pub(crate) fn compile_everywhere(
    snapshot: &Snapshot,
    key: &NameKey,
    options: &CompileOptions,
    dependents: &mut AllDependents,
) -> NameLines {
    Everywhere::new(snapshot, options).next(key, dependents)
}

impl<'a> Everywhere<'a> {
    /// Compiles names of this snapshot.
    pub(crate) fn new(snapshot: &'a Snapshot, options: &CompileOptions) -> Self {
        let views = snapshot.views.list.iter();
        Self {
            default: Compiling::new(snapshot, options),
            views: views.map(|view| Compiling::new(&view.tree, options)).collect(),
        }
    }

    /// Compiles one more. What it was made from is noted in `dependents`.
    pub(crate) fn next(&mut self, key: &NameKey, dependents: &mut AllDependents) -> NameLines {
        let Compiled { entry, consulted } = self.default.next(key);
        let mut default = entry;
        dependents.views.resize_with(self.views.len(), Dependents::default);
        let views: Vec<Option<Entry>> = self
            .views
            .iter_mut()
            .zip(&mut dependents.views)
            .map(|(view, dependents)| {
                let in_view = view.next(key);
                let is_as_default = in_view.consulted == consulted;
                dependents.set(key.clone(), if is_as_default { Vec::new() } else { in_view.consulted });
                if in_view.entry == default {
                    return None;
                }
                // A name of the default that a view does not have is below a cut or a DNAME of the view.
                let hidden = || Entry::bare(flag::PASS_SELF | flag::PASS_BELOW);
                Some(in_view.entry.unwrap_or_else(hidden))
            })
            .collect();
        dependents.default.set(key.clone(), consulted);
        if views.iter().any(Option::is_some) {
            default.get_or_insert_with(|| Entry::bare(flag::GHOST)).flags |= flag::VIEWED;
        }
        NameLines { default, views }
    }
}

/// Whether a name has a line for any client.
pub(crate) fn needs_line_anywhere(snapshot: &Snapshot, key: &NameKey) -> bool {
    let mut views = snapshot.views.list.iter();
    needs_line(snapshot, key) || views.any(|view| needs_line(&view.tree, key))
}

/// Every name whose lines may differ, in the default or a view. `dependents` are those of the old lines.
pub(crate) fn touched_anywhere(
    old: &Snapshot,
    new: &Snapshot,
    delta: &Delta,
    dependents: &AllDependents,
) -> BTreeSet<NameKey> {
    let of_default = &dependents.default;
    let mut names = touched(old, new, delta, &[of_default]);
    if delta.views_redefined {
        return names;
    }
    for (at, (before, after)) in old.views.list.iter().zip(&new.views.list).enumerate() {
        let more = delta.views.get(at).into_iter().flatten();
        let delta = Delta {
            names: delta.names.iter().chain(more).cloned().collect(),
            zones: delta.zones.clone(),
            access: delta.access.clone(),
            ..Delta::default()
        };
        // What the view has no line for was made as the default's was.
        let of_view = dependents.views.get(at);
        let consulted: Vec<_> = std::iter::once(of_default).chain(of_view).collect();
        names.extend(touched(&before.tree, &after.tree, &delta, &consulted));
    }
    names
}

/// The names whose lines differ in some view: those that would, if the default became the view's tree.
pub(crate) fn viewed(snapshot: &Snapshot, dependents: &AllDependents) -> BTreeSet<NameKey> {
    let mut names = BTreeSet::new();
    for view in &snapshot.views.list {
        let delta = Delta {
            names: differing(snapshot, &view.tree),
            ..Delta::default()
        };
        names.extend(touched(snapshot, &view.tree, &delta, &[&dependents.default]));
    }
    names
}

/// The names whose data are others in a view than in the default.
fn differing(default: &Snapshot, tree: &Snapshot) -> Vec<NameKey> {
    let mut names = Vec::new();
    let mut compare = |one: &OrdMap<NameKey, Arc<Node>>, other: &OrdMap<NameKey, Arc<Node>>| {
        names.extend(one.diff(other).map(|item| match item {
            DiffItem::Add(key, _) | DiffItem::Remove(key, _) => key.clone(),
            DiffItem::Update { new, .. } => new.0.clone(),
        }));
    };
    compare(&default.overlays, &tree.overlays);
    for (apex, zone) in tree.zones.own() {
        if let Some(other) = default.zones.get(apex) {
            compare(&other.nodes, &zone.nodes);
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}
