//! The answering core on the shared table, for sockets.
