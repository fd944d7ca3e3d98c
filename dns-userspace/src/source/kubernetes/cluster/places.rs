//! Which others an object is about: by what they are found where it changes.

use std::sync::Arc;

use super::super::kinds::Kind;
use super::super::objects::{Body, Object, service_of};
use crate::model::name::NameKey;

/// The name of a Zone.
pub(super) fn apex_of(object: &Object) -> Option<NameKey> {
    match &object.body {
        Body::Zone(zone) => Some(zone.apex()?.key()),
        _ => None,
    }
}

/// The Gateways that a route names.
pub(super) fn gateways_of(object: &Object) -> Vec<(Arc<str>, Arc<str>)> {
    match &object.body {
        Body::Route(route) => route.gateways(&object.meta.namespace).collect(),
        _ => Vec::new(),
    }
}

/// The Service that a slice is of.
pub(super) fn services_of(object: &Object) -> Vec<(Arc<str>, Arc<str>)> {
    let service = service_of(&object.meta).filter(|_| object.kind == Kind::EndpointSlice);
    service
        .into_iter()
        .map(|service| (Arc::clone(&object.meta.namespace), service.into()))
        .collect()
}
