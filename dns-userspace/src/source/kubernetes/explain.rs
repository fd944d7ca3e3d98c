//! What is known of one object: which names it gives, which of them are served, to whom the others were lost, and what
//! of it is not published at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cluster::Cluster;
use super::kinds::Kind;
use super::objects::ObjectKey;
use crate::config::KubernetesSource;
use crate::model::name::Name;
use crate::model::rdata::same_value;
use crate::model::record::RecordType;
use crate::model::snapshot::Snapshot;
use crate::model::source::SourceId;
use crate::model::views::ViewName;
use crate::rules::Autopath;
use crate::source::Claim;

/// A cluster as it is known at present: its source changes it, and whoever asks reads it.
#[derive(Debug)]
pub struct KnownCluster(Mutex<Cluster>);

/// What is known of an object.
#[derive(Debug)]
pub struct Explanation {
    /// As people write it: `Ingress monitoring/grafana`.
    pub object: String,
    /// When it was made, in seconds of Unix time.
    pub since: u64,
    /// Whether it is about to go.
    pub is_ending: bool,
    /// What people wrote about it.
    pub about: Option<Box<str>>,
    /// What it asks for, or why it cannot be understood.
    pub claims: Result<Vec<Claim>, String>,
    /// What of it is not published, and why.
    pub notes: Vec<String>,
}

impl KnownCluster {
    /// One that nothing is known of.
    pub fn new(settings: Arc<KubernetesSource>) -> Self {
        Self(Mutex::new(Cluster::new(settings)))
    }

    /// The search paths of its pods, where they are gone through.
    pub fn autopath(&self) -> Option<Arc<Autopath>> {
        self.get().autopath().cloned()
    }

    pub(super) fn get(&self) -> MutexGuard<'_, Cluster> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object by `kind/namespace/name`, where a kind has no namespaces `kind/name`; `None`: there is none. The kind
    /// is written as `kubectl` takes it. An error says what is wrong with the text.
    pub fn explain(&self, object: &str) -> Result<Option<Explanation>, String> {
        let parts: Vec<&str> = object.split('/').collect();
        let (kind, namespace, name) = match parts.as_slice() {
            [kind, namespace, name] => (*kind, *namespace, *name),
            [kind, name] => (*kind, "", *name),
            _ => {
                return Err(format!(
                    "`{object}`: write kind/namespace/name, such as ingress/monitoring/grafana"
                ));
            }
        };
        let Some(kind) = Kind::find(kind) else {
            let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            return Err(format!(
                "`{kind}` is no kind that is read: write one of {}",
                known.join(", ")
            ));
        };
        let key = ObjectKey::new(kind, &namespace.into(), &name.into());
        let cluster = self.get();
        let Some(outcome) = cluster.outcome(&key) else {
            return Ok(None);
        };
        let meta = cluster.object(&key).map(|object| &object.meta);
        let mut notes = outcome.notes;
        if !kind.is_published() {
            notes.push(format!("a {} gives no names of its own", kind.name()));
        }
        if meta.is_some_and(|meta| meta.annotations().is_excluded()) {
            notes.push("an annotation `exclude` or `controller` says that nothing of it is to be published".to_owned());
        }
        Ok(Some(Explanation {
            object: key.to_string(),
            since: meta.map_or(0, |meta| meta.created),
            is_ending: meta.is_some_and(|meta| meta.deletion_timestamp.is_some()),
            about: meta.and_then(|meta| meta.annotations().about()),
            claims: outcome.claims,
            notes,
        }))
    }
}

/// Why what a claim asks for is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unserved {
    /// There is no such view.
    NoView(ViewName),
    /// Nothing of the type is served at the name; of what has just come, that is so for a moment.
    NotYet(Name, RecordType),
    /// Another RRset is served.
    Other {
        /// The name.
        owner: Name,
        /// The type of what is served.
        rtype: RecordType,
        /// Whose it is.
        origin: String,
    },
}

impl Unserved {
    /// Whether that may be so only for a moment.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::NotYet(..))
    }
}

impl std::fmt::Display for Unserved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoView(view) => write!(f, "there is no view `{view}`"),
            Self::NotYet(owner, rtype) => write!(f, "{owner} {rtype} is not served yet"),
            Self::Other { owner, rtype, origin } => write!(f, "{owner} {rtype} of {origin} is served"),
        }
    }
}

/// Why what a claim asks for is not served; `None` where it is.
pub fn unserved(claim: &Claim, snapshot: &Snapshot, source: &SourceId) -> Option<Unserved> {
    let tree = match &claim.view {
        None => snapshot,
        Some(view) => match snapshot.view(view) {
            Some(found) => &*found.tree,
            None => return Some(Unserved::NoView(view.clone())),
        },
    };
    let Claim { owner, rtype, .. } = claim;
    let node = tree.node(&owner.key());
    let Some(rrset) = node.and_then(|node| node.excluding(*rtype)) else {
        return Some(Unserved::NotYet(owner.clone(), *rtype));
    };
    let is_ours = rrset.origin.source() == source && rrset.rtype == *rtype;
    let holds = |rdata: &[u8]| rrset.rdatas.iter().any(|held| same_value(*rtype, held, rdata));
    if is_ours && claim.rdatas.iter().all(|rdata| holds(rdata)) {
        return None;
    }
    Some(Unserved::Other {
        owner: owner.clone(),
        rtype: rrset.rtype,
        origin: rrset.origin.to_string(),
    })
}
