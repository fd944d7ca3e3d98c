//! What this server does in a cluster besides reading it: certificates, and a look at objects before the cluster takes
//! them.
//!
//! ```text
//! names that are served ─► Certificate `wildcard-<zone>`, Traefik's default certificate
//! Certificates ─ list, watch ─► metrics
//! AdmissionReview ─► hosts of the object ─ zones, names that are served ─► allowed, or why not
//! ```

mod admission;
mod certificates;
mod figures;
mod wildcards;

pub use self::admission::ObjectAdmission;
pub use self::certificates::{Certificates, CertificatesTask};
pub use self::figures::{CertificateFigures, CertificatesCollector};

#[cfg(test)]
mod tests;
