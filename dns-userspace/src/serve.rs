//! The planes that answer: XDP and sockets.

pub mod answerer;
pub mod explain;
pub mod fastpath;
pub mod gate;
mod job;
pub mod object;
mod packet_info;
pub mod policy;
pub(crate) mod inspect;
pub mod query_log;
pub mod sockets;
pub mod stream;
pub mod tcp;
pub mod udp;
pub mod worker;
#[cfg(feature = "xdp")]
pub mod xdp;
#[cfg(not(feature = "xdp"))]
#[path = "serve/no_xdp.rs"]
pub mod xdp;
