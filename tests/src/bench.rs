//! The benchmarks: what is measured, against what, and how it is shown.
//!
//! ```text
//!   hot      closed loops, one namespace pair for each contestant, measured in turn:
//!            load ─ queries ─► circuit (generate ⇄ contestant) ─ counters ─► report: table and JSON
//!   pass     the same circuits: frames that pass, beside a program that passes all, on one interface
//!   flood    the same circuits: random names, and the dearest queries
//!   churn    a closed loop and checkers, while thousands of names change each second
//!   sockets  the same circuits, without XDP: open loops that overload, TCP, idle connections
//!   api      a running hotdns: changes over HTTP, one by one and in sets, searches, a restart
//!   change   a running hotdns: API, reload, restart, while a closed loop gives it load
//!   soak     a running hotdns: reloads, broken files, interfaces, API load and hostile clients, against a model
//!   scale    the writer in this process: one change, with ten zones and with a hundred thousand
//!   query-log the same circuits: without a query log, with one in a hundred and with all in it
//!   load     a running hotdns with a large zone: time and memory
//!   fuzz     the XDP program through TEST_RUN, on mutated packets
//! ```
//!
//! The machine is shared and noisy: every figure is a ratio to what was measured beside it, in turn, in the same run.

pub mod api;
pub mod cache;
pub mod change;
pub mod churn;
pub mod circuit;
pub mod container;
pub mod contestant;
pub mod flood;
pub mod fuzz;
pub mod hot;
#[expect(dead_code, reason = "some of it is the generator's alone")]
#[path = "../../dns-ebpf/src/bin/bench/layout.rs"]
mod layout;
pub mod load;
pub mod metrics;
pub mod object;
pub mod paced;
pub mod pass;
pub mod query_log;
pub mod report;
pub mod scale;
mod site;
pub mod size;
pub mod soak;
pub mod sockets;
pub mod stream;
pub mod zone;
