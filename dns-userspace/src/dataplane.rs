//! The planes that answer: XDP and sockets.

pub mod sockets;
pub mod tcp;
pub mod udp;
pub mod worker;
