//! The store: sources in, snapshots and deltas out.
