//! Names that are not ours: upstream servers in order.
