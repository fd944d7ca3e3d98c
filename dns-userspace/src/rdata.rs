//! RDATA between presentation format and wire form.
