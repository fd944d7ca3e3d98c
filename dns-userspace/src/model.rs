//! Pure values: names, types, RDATA, RRsets and who brought them; snapshots of all that is served.

pub mod access;
pub mod name;
pub(crate) mod octets;
pub(crate) mod prefixes;
pub mod rdata;
pub mod record;
pub mod shown;
pub mod snapshot;
pub mod source;
pub mod views;
pub(crate) mod work;
