//! The planes that answer: XDP and sockets.

pub mod xdp;
