//! Lines: what the table is to say of each name of a snapshot, and which lines a change touches.
//!
//! ```text
//!  snapshot, name ─ compile ─► Entry, and what it was made from
//!                 └ which rules apply, then resolve + encode for each type ─► bodies
//!  old, new, delta ─ touched ─► every name whose line may differ
//! ```
//!
//! A body is the reference answerer's own answer without header and question, so there is one place that knows what
//! is right. What this folder adds is where an answer may be used: exactly for its owner, or for every name below a
//! wildcard's encloser, a cut or an apex, with the pointers that move listed.
//!
//! Each rule has a file, which has both directions: what the rule makes a line say, and which lines it touches.
//!
//! | rule | example |
//! |---|---|
//! | `ancestors` | `a.b.example.` comes, and `b.example.` exists by it |
//! | `below` | what takes the place of all that is below it; the next four |
//! | `cut` | below `sub.example. NS` all get the referral |
//! | `dname` | below `old.example. DNAME` all pass |
//! | `zone` | a zone comes, fails, or gets an access list: all of its lines say so |
//! | `overlay` | `over.lay.net.` is ours, `lay.net.` is not |
//! | `wildcard` | the line of `x.example.` says that there is `*.x.example.` |
//! | `named` | the SOA record names `ns1.dc.example.`: negative answers at and below `dc.example.` are others |
//! | `sparse` | a few hosts far below `1.7.5.ip6.arpa.`: no lines between |
//! | `dependents` | an MX answer carries the addresses of its target |
//! | `view` | `www.example.` is another in the view `office` |
//!
//! `compiler` and `touched` apply the rules in their order; `types`, `inline` and `body` fill a line in.

mod above;
mod ancestors;
mod below;
mod body;
mod compiler;
mod cut;
mod dependents;
mod dname;
mod inline;
mod named;
mod names;
mod overlay;
mod sparse;
mod touched;
mod types;
mod view;
mod wildcard;
mod zone;

use self::above::Above;
use self::compiler::Compiler;
pub(crate) use self::named::all_named;
pub(crate) use self::names::all_names;
pub use self::sparse::is_in_sparse_area;
pub(crate) use self::view::{
    AllDependents, Everywhere, NameLines, compile_everywhere, needs_line_anywhere, touched_anywhere, viewed,
};
pub(crate) use self::zone::negatives;
use crate::answer::{Consulted, Environment, ResolveOptions};
use crate::model::name::NameKey;
use crate::model::snapshot::Snapshot;
use crate::table::Entry;

/// The parts of the configuration on which compiled answers depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileOptions {
    /// Whether chains that leave our zones are completed upstream: then they are userspace's.
    pub has_upstream: bool,
    /// As [`Environment::max_cname_depth`].
    pub max_cname_depth: u8,
    /// As [`Environment::resolve_cname_chain`].
    pub resolve_cname_chain: bool,
    /// As [`Environment::return_soa_on_nxdomain`].
    pub return_soa_on_nxdomain: bool,
}

impl CompileOptions {
    /// The options that give what `environment` gives over UDP.
    pub fn of(environment: &Environment<'_>, has_upstream: bool) -> Self {
        Self {
            has_upstream,
            max_cname_depth: environment.max_cname_depth,
            resolve_cname_chain: environment.resolve_cname_chain,
            return_soa_on_nxdomain: environment.return_soa_on_nxdomain,
        }
    }

    fn resolve_options(&self) -> ResolveOptions {
        ResolveOptions {
            max_cname_depth: self.max_cname_depth,
            resolve_cname_chain: self.resolve_cname_chain,
            return_soa_on_nxdomain: self.return_soa_on_nxdomain,
            is_proven: false,
        }
    }
}

/// What the table is to say of a name, and what that was made from.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// `None`: the name needs no line.
    pub entry: Option<Entry>,
    /// Other names on which the entry depends.
    pub consulted: Vec<Consulted>,
}

/// Compiles one name.
pub fn compile(snapshot: &Snapshot, key: &NameKey, options: &CompileOptions) -> Compiled {
    Compiling::new(snapshot, options).next(key)
}

/// Compiles names one after the other. In canonical order that takes less time than each on its own.
pub struct Compiling<'a> {
    snapshot: &'a Snapshot,
    options: CompileOptions,
    above: Option<Above<'a>>,
}

impl<'a> Compiling<'a> {
    /// Compiles names of this snapshot.
    pub fn new(snapshot: &'a Snapshot, options: &CompileOptions) -> Self {
        Self {
            snapshot,
            options: *options,
            above: None,
        }
    }

    /// Compiles one more.
    pub fn next(&mut self, key: &NameKey) -> Compiled {
        let above = match self.above.take() {
            Some(above) if above.is_of(key) => above,
            before => Above::new(self.snapshot, key.parent().unwrap_or(NameKey::ROOT), before.as_ref()),
        };
        let mut compiler = Compiler::new(self.snapshot, &self.options, key);
        let entry = compiler.entry(&above);
        self.above = Some(above);
        Compiled {
            entry,
            consulted: compiler.consulted,
        }
    }
}
