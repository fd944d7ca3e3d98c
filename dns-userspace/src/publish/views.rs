//! What the lines of one name say in the default and in each view.
//!
//! A view has a line of its own where it differs from the default's. The default's line then says so, and is a ghost
//! where the default itself has no such name: so everything that is in a view has a line in the default, and a client
//! of no view sees none of that.

use std::sync::Arc;

use dns_common::line::flag;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use super::dependents::Dependents;
use crate::lines::{CompileOptions, Compiled, compile, needs_line};
use crate::model::name::NameKey;
use crate::model::snapshot::{Node, Snapshot};
use crate::table::Entry;

/// The lines of one name.
pub(super) struct Lines {
    /// Of the default; `None`: no line.
    pub(super) default: Option<Entry>,
    /// Of each view, by number from 1; `None`: the default's line counts.
    pub(super) views: Vec<Option<Entry>>,
}

/// From which names answers were made: those of the default, and of each view where they are others than the default's.
#[derive(Default)]
pub(super) struct AllDependents {
    pub(super) default: Dependents,
    pub(super) views: Vec<Dependents>,
}

/// Compiles a name for the default and every view.
pub(super) fn compile_everywhere(
    snapshot: &Snapshot,
    key: &NameKey,
    options: &CompileOptions,
    dependents: &mut AllDependents,
) -> Lines {
    let Compiled { entry, consulted } = compile(snapshot, key, options);
    let mut default = entry;
    let list = &snapshot.views.list;
    dependents.views.resize_with(list.len(), Dependents::default);
    let views: Vec<Option<Entry>> = list
        .iter()
        .zip(&mut dependents.views)
        .map(|(view, dependents)| {
            let in_view = compile(&view.tree, key, options);
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
    Lines { default, views }
}

/// Whether a name has a line for any client.
pub(super) fn needs_line_anywhere(snapshot: &Snapshot, key: &NameKey) -> bool {
    let mut views = snapshot.views.list.iter();
    needs_line(snapshot, key) || views.any(|view| needs_line(&view.tree, key))
}

/// The names whose data are others in a view than in the default.
pub(super) fn differing(default: &Snapshot, tree: &Snapshot) -> Vec<NameKey> {
    let mut names = Vec::new();
    let mut compare = |one: &OrdMap<NameKey, Arc<Node>>, other: &OrdMap<NameKey, Arc<Node>>| {
        names.extend(one.diff(other).map(|item| match item {
            DiffItem::Add(key, _) | DiffItem::Remove(key, _) => key.clone(),
            DiffItem::Update { new, .. } => new.0.clone(),
        }));
    };
    compare(&default.overlays, &tree.overlays);
    for (apex, zone) in &tree.zones {
        if let Some(other) = default.zones.get(apex).filter(|other| !Arc::ptr_eq(other, zone)) {
            compare(&other.nodes, &zone.nodes);
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}
