//! IngressClass (`networking.k8s.io`): which one is the default.

use super::{DEFAULT_CLASS_ANNOTATION, Meta};

/// What is read of an IngressClass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressClass {
    /// Whether Ingresses without a class are of this one.
    pub is_default: bool,
}

impl IngressClass {
    pub(super) fn of(meta: &Meta) -> Self {
        let value = meta.annotations.get(DEFAULT_CLASS_ANNOTATION);
        Self {
            is_default: value.is_some_and(|value| value == "true"),
        }
    }
}
