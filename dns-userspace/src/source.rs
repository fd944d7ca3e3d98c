//! Watched sources: worlds outside of this server whose objects become records.
//!
//! ```text
//! World ─ list, changes ─► Watcher ─ Claims ─ edits ─► writer
//!  (one folder each)        (one driver)                  │
//!     ▲                       └── Status ─► API, metrics  │
//!     └──────────── what is kept of it: layer, place ◄────┘
//! ```
//!
//! A new source is a folder with a [`World`], a registration, and a section of the configuration. Connecting anew,
//! pauses between attempts, doubts, restarts, status and the merge of several objects at one name are the driver's.

mod agent;
mod caddy;
mod checks;
mod claims;
mod consul;
mod consul_kv;
mod damper;
pub mod disagreement;
mod export;
pub mod external_dns;
mod folder;
mod git;
mod hold;
mod host_names;
mod hosts;
pub mod kubernetes;
mod marks;
mod nomad;
mod peer;
mod polled;
mod proxy_files;
mod registry;
pub mod services;
mod status;
mod texts;
mod traefik;
mod watcher;
mod world;

pub use self::claims::{Claim, Claimant, Claims, LeftOut, oldest_of};
pub use self::damper::Damping;
pub use self::hold::Paused;
pub use self::kubernetes::{Election, Elector, KubernetesFigures, Leadership, connect, get, send};
pub use self::marks::{Mark, Marks};
pub use self::registry::{CompareError, Gone, RegisteredSource, Registry};
pub use self::status::{SourceReport, SourceState, Status};
pub use self::watcher::{SyncRequests, Watcher, WatcherSettings};
pub use self::world::{Change, Event, Listing, Object, Revision, World, WorldError};

#[cfg(test)]
mod tests;
