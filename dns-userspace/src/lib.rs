//! The hotdns server, in the order in which data flows.
//!
//! ```text
//! host, model ─ zonefile, config ─► control ─► store ─► journal ─► publish ─► serve ─► clients
//!                      api ────────────┘                 lines, table ┘         └─ answer, resolve
//! ```
//!
//! No folder imports one that imports it: `cargo xtask tidy` looks. `docs/ARCHITECTURE.md` has the map.

pub mod answer;
pub mod api;
pub mod config;
pub mod control;
pub mod cookies;
pub mod host;
pub mod journal;
pub mod lines;
pub mod model;
pub mod observe;
pub mod principal;
pub mod publish;
pub mod query;
pub mod resolve;
pub mod serve;
pub mod server;
pub mod store;
pub mod table;
pub mod zonefile;
