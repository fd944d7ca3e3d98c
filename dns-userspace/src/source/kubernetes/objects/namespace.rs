//! Namespaces: labels that Gateways select by, and preview environments.
//!
//! ```text
//! Namespace app-pr-123  annotations preview: "true", base-hostname: myapp ┐
//! IngressRoute in it    label preview: pr-123                             ┴─► pr-123.myapp.ZONE, TTL 60
//! ```

use super::Meta;

/// What is read of a Namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Whether it is a preview environment.
    pub is_preview: bool,
    /// The name in front of the zone, in previews.
    pub base_hostname: Option<String>,
    /// Whether it is about to go: then nothing in it is published any more.
    pub is_ending: bool,
}

impl Namespace {
    pub(super) fn of(meta: &Meta) -> Self {
        let annotations = meta.annotations();
        Self {
            is_preview: annotations.is_set("preview"),
            base_hostname: annotations
                .get("base-hostname")
                .map(|name| name.trim_end_matches('.').to_owned()),
            is_ending: meta.deletion_timestamp.is_some(),
        }
    }
}
