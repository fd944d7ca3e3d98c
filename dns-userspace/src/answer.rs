//! The reference answerer: RFC 1034 §4.3.2 over a snapshot.
