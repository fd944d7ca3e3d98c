//! What people see of a running server beside its answers: counters, metrics and readiness.

pub(crate) mod control;
pub(crate) mod figures;
pub mod latency;
pub mod metrics;
pub(crate) mod readiness;
