//! The planes that answer: XDP and sockets.
