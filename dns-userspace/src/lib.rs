//! The hotdns server, in the order in which data flows.
//!
//! ```text
//! host, model, message ─ zonefile, config ─► control ─► store ─► journal ─► publish ─► serve ─► clients
//!                      api ────────────┘                 lines, table ┘         └─ answer, resolve
//! ```
//!
//! What only this crate uses is `pub(crate)`, so that the compiler finds what nobody uses. What is `pub` is for the
//! program, and for the packages `tests` and `xtask`.
//!
//! No folder imports one that imports it: `cargo xtask tidy` looks. `docs/ARCHITECTURE.md` has the map.

pub(crate) mod host;
pub(crate) mod tls;
pub mod model;
pub mod message;
pub mod zonefile;
pub mod traefik_rule;
pub mod store;
pub mod principal;
pub mod journal;
pub mod answer;
pub mod cookies;
pub mod rules;
pub mod config;
pub mod formats;
pub mod control;
pub mod source;
pub(crate) mod target;
pub(crate) mod cluster;
pub mod table;
pub mod lines;
pub mod publish;
pub mod observe;
pub mod query;
pub mod resolve;
pub mod serve;
pub(crate) mod api;
pub mod server;
