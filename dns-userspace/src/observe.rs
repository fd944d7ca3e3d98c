//! What people see of a running server beside its answers: counters, metrics and readiness.

pub mod control;
pub mod figures;
pub mod metrics;
pub mod readiness;
