//! The planes that answer: XDP and sockets.

pub mod answerer;
pub mod explain;
pub mod fastpath;
pub mod gate;
mod job;
pub mod object;
pub(crate) mod inspect;
pub mod query_log;
pub mod sockets;
pub mod stream;
pub mod tcp;
pub mod udp;
pub mod worker;
pub mod xdp;
