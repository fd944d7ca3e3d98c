//! The planes that answer: XDP and sockets.

pub mod object;
pub mod xdp;
