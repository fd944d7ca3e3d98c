//! From a snapshot to ready answers: table entries for names.
