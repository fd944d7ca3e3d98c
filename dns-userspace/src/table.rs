//! The answer table in memory: one writer, many readers.
