//! What people see of a running server beside its answers: counters, metrics, readiness, and what collectors are shown.

pub(crate) mod control;
pub(crate) mod dnstap;
pub(crate) mod figures;
pub(crate) mod gelf;
pub mod latency;
pub mod metrics;
pub(crate) mod readiness;
pub(crate) mod top;
pub(crate) mod traces;
