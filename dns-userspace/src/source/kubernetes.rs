//! Kubernetes: objects of a cluster become records.
//!
//! ```text
//! API ─ list, watch ─► Cluster ─ what each object asks for ─► the driver of watched sources
//!  (one task a kind)   (pure: objects, and who depends on whom)
//! ```
//!
//! Which kinds are read is in `kinds`, what each means in `objects/`, one file for a kind. `docs/kubernetes.md` is for
//! users.

mod adopt;
mod annotations;
mod cluster;
mod connect;
mod explain;
mod figures;
mod follow;
mod kinds;
mod leader;
mod objects;
mod persist;
mod report;
mod settings;
mod world;

pub use self::adopt::{Adoption, adoption};
pub use self::annotations::PREFIXES;
pub use self::connect::{connect, get, send};
pub use self::explain::{Explanation, KnownCluster, Unserved, unserved};
pub use self::figures::KubernetesFigures;
pub use self::leader::{Election, Elector, Leadership};
pub use self::persist::Persisting;
pub use self::report::Reporting;
pub use self::world::KubernetesWorld;

#[cfg(test)]
mod tests;
