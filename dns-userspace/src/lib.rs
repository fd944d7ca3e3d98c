//! The hotdns server: sources, store, reference answerer, compiler, data planes and control plane.
//!
//! `docs/ARCHITECTURE.md` has the map.

pub mod access;
pub mod answer;
pub mod check;
pub mod compile;
pub mod config;
pub mod control;
pub mod cookies;
pub mod dataplane;
pub mod fastpath;
pub mod files;
pub mod forward;
pub mod host;
pub mod http;
pub mod memory;
pub mod metrics;
pub mod name;
pub mod octets;
pub mod prefixes;
pub mod privileges;
pub mod publish;
pub mod rdata;
pub mod readiness;
pub mod record;
pub mod server;
pub mod shown;
pub mod snapshot;
pub mod source;
pub mod storage;
pub mod store;
pub mod table;
pub mod views;
mod work;
pub mod zonefile;
