//! A journal that several nodes write to: what it tells of the others, and what it is told in return.

use std::sync::Arc;
use std::time::Duration;

use super::{Entry, ServedSerial, Stored, WriteError};
use crate::model::name::Name;
use crate::model::record::{RecordType, RrSet};
use crate::model::views::ViewName;

/// Where in the journal something stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// The revision of its transaction.
    pub(super) revision: u64,
    /// What that transaction wrote at `head`, octet by octet.
    pub(super) head: String,
    /// The version that it made.
    pub version: u64,
}

/// What there is to know of a journal that others write to.
#[derive(Debug)]
pub enum News {
    /// The journal is there, and goes on from where this node was.
    Resumed,
    /// The journal is there, and nothing is in it.
    Empty,
    /// A transaction: another node's, or an own one again.
    Step(Step),
    /// All that is in the journal.
    Whole(Whole),
}

/// A transaction.
#[derive(Debug)]
pub struct Step {
    /// Its change sets, in their order.
    pub sets: Vec<SharedSet>,
    /// The zones that it changes.
    pub zones: Vec<SharedZone>,
    /// Where it stands.
    pub mark: Mark,
}

/// A change set.
#[derive(Debug)]
pub struct SharedSet {
    /// The version that it made.
    pub version: u64,
    /// Who asked for it.
    pub actor: Arc<str>,
    /// Why, in the words of who asked.
    pub comment: Option<Arc<str>>,
    /// The RRsets that it changes.
    pub changes: Vec<SharedChange>,
}

/// An RRset of the API that is now this one, or none.
#[derive(Debug, Clone)]
pub struct SharedChange {
    /// The view; `None` is the default.
    pub view: Option<ViewName>,
    /// Its owner.
    pub owner: Name,
    /// Its type.
    pub rtype: RecordType,
    /// The RRset, with its version; `None`: there is none any more.
    pub rrset: Option<Arc<RrSet>>,
}

/// A zone as the node that changed it last serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedZone {
    /// The zone.
    pub apex: Name,
    /// The serial in its SOA.
    pub serial: u32,
    /// The version at which it changed last.
    pub version: u64,
}

/// All that is in the journal.
#[derive(Debug)]
pub struct Whole {
    /// All RRsets of the API.
    pub rrsets: Vec<SharedChange>,
    /// All zones that have a serial.
    pub zones: Vec<SharedZone>,
    /// Why it is told whole.
    pub why: Why,
    /// Where it stands.
    pub mark: Mark,
}

/// Why a journal is told whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// This node sees it for the first time.
    First,
    /// What this node has missed is forgotten there: it is compacted.
    Compacted,
    /// It does not hold what this node has read from it: it is an older one, or another one.
    Restored,
    /// It was written anew by another node.
    Meant,
    /// This node has asked for it: its own database lacks something.
    Again,
}

/// What goes to the other nodes with a change set.
#[derive(Debug, Clone)]
pub struct SetNote {
    /// The version that it made.
    pub version: u64,
    /// Who asked for it.
    pub actor: Arc<str>,
    /// Why, in the words of who asked.
    pub comment: Option<Arc<str>>,
    /// The RRsets that it deletes, where they are not those of the last set.
    pub deleted: Vec<(Option<ViewName>, Name, RecordType)>,
}

/// A journal that several nodes write to. [`super::Journal::append`] fails with [`WriteError::Behind`] where another
/// node has written meanwhile.
pub trait Shared: Send {
    /// What comes next, waited for so long.
    fn news(&mut self, patience: Duration) -> Option<News>;

    /// Whether this node knows all that was written: an error where it does not, or nobody can say.
    fn is_current(&mut self) -> Result<(), WriteError>;

    /// Whether it is what this node has, in its own database, too.
    fn is_known(&self, mark: &Mark) -> bool;

    /// Whether something that stands there is new to this node.
    fn is_new(&self, mark: &Mark) -> bool;

    /// What this node's own database held, where that is not known to be what etcd holds; once.
    fn held(&mut self) -> Option<Stored>;

    /// Whether this node was in step with the journal before.
    fn was_in_step(&self) -> bool;

    /// What news have said is served from now on; `entries` keep it here. A whole that is taken is all there is.
    fn take(&mut self, entries: &[Entry], serials: &[ServedSerial], mark: &Mark);

    /// What was appended or taken last is served.
    fn served(&mut self);

    /// What news have said is not taken, for this reason. No change can be made until it is put right.
    fn doubt(&mut self, reason: String);

    /// Writes these in the place of all that the journal has; the version is that of the writing.
    fn fill(&mut self, rrsets: &[SharedChange], zones: &[SharedZone], version: u64) -> Result<(), WriteError>;

    /// Makes versions go on above this one.
    fn raise(&mut self, version: u64) -> Result<(), WriteError>;

    /// What somebody has said is to be done with a journal that is doubted, once.
    fn said(&mut self) -> Option<Take>;
}

/// Which state is taken, where a journal and a node do not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// The journal's.
    Etcd,
    /// This node's.
    Node,
}
