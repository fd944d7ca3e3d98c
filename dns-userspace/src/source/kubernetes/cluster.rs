//! What is known of a cluster: its objects, and which of them others depend on. Pure: no IO; the time is given.
//!
//! ```text
//! apply, delete, reset ─► objects ─► keys of all that may ask for something else now ─► outcome(key)
//! ```
//!
//! | changed | what may differ |
//! |---|---|
//! | Gateway | the routes that name it |
//! | Namespace | the objects in it |
//! | IngressClass | all Ingresses |
//! | EndpointSlice | its Service |

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::follow::Read;
use super::kinds::Kind;
use super::objects::{Body, EndpointSlice, Gateway, Meta, Namespace, Object, ObjectKey, Outcome, service_of};
use super::settings::{Publishing, Target};

/// The objects of a cluster.
#[derive(Debug)]
pub struct Cluster {
    publishing: Arc<Publishing>,
    objects: BTreeMap<ObjectKey, Stored>,
    /// Objects that cannot be read, and why.
    unread: BTreeMap<ObjectKey, String>,
    /// The routes that name a Gateway, by its namespace and name.
    routes: HashMap<(Arc<str>, Arc<str>), BTreeSet<ObjectKey>>,
    /// Whether Gateways may be listed.
    has_gateways: bool,
}

#[derive(Debug)]
struct Stored {
    object: Object,
    /// Addresses that its status had before it lost them, and when they stop to count.
    held: Option<(Vec<Target>, Instant)>,
}

impl Cluster {
    /// No object yet.
    pub fn new(publishing: Arc<Publishing>) -> Self {
        Self {
            publishing,
            objects: BTreeMap::new(),
            unread: BTreeMap::new(),
            routes: HashMap::new(),
            has_gateways: true,
        }
    }

    /// What is published of objects.
    pub fn publishing(&self) -> &Publishing {
        &self.publishing
    }

    /// The keys of all objects that names are published of, those that cannot be read too.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        let all = self.objects.keys().chain(self.unread.keys());
        all.filter(|key| key.kind.is_published())
    }

    /// An object.
    pub fn object(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(key).map(|stored| &stored.object)
    }

    /// What an object asks for; `None` where there is no such object.
    pub fn outcome(&self, key: &ObjectKey) -> Option<Outcome> {
        if let Some(error) = self.unread.get(key) {
            return Some(Outcome {
                claims: Err(error.clone()),
                notes: Vec::new(),
            });
        }
        Some(self.objects.get(key)?.object.outcome(self))
    }

    /// An object has come, or is another one now.
    pub fn apply(&mut self, object: Object, now: Instant) -> BTreeSet<ObjectKey> {
        let key = object.key();
        self.unread.remove(&key);
        let before = self.forget(&key);
        let mut touched = self.touched(&key, &object);
        if let Some(before) = &before {
            touched.append(&mut self.touched(&key, &before.object));
        }
        let held = before.and_then(|before| self.hold(before, &object, now));
        if let Body::Route(route) = &object.body {
            for gateway in route.gateways(&object.meta.namespace) {
                self.routes.entry(gateway).or_default().insert(key.clone());
            }
        }
        self.objects.insert(key, Stored { object, held });
        touched
    }

    /// An object cannot be read: what it asked for before stays.
    pub fn apply_unread(&mut self, key: ObjectKey, error: String) -> BTreeSet<ObjectKey> {
        self.unread.insert(key.clone(), error);
        BTreeSet::from([key])
    }

    /// An object is gone.
    pub fn delete(&mut self, key: &ObjectKey) -> BTreeSet<ObjectKey> {
        self.unread.remove(key);
        match self.forget(key) {
            Some(before) => self.touched(key, &before.object),
            None => BTreeSet::from([key.clone()]),
        }
    }

    /// These are all objects of a kind, in all namespaces or in one.
    pub fn reset(
        &mut self,
        kind: Kind,
        namespace: Option<&str>,
        objects: Vec<Read>,
        now: Instant,
    ) -> BTreeSet<ObjectKey> {
        let mut gone: BTreeSet<ObjectKey> = self.objects.keys().chain(self.unread.keys()).cloned().collect();
        gone.retain(|key| key.kind == kind && namespace.is_none_or(|namespace| *key.namespace == *namespace));
        let mut touched = BTreeSet::new();
        for object in objects {
            match object {
                Ok(object) => {
                    gone.remove(&object.key());
                    touched.append(&mut self.apply(*object, now));
                }
                Err((key, error)) => {
                    gone.remove(&key);
                    touched.append(&mut self.apply_unread(key, error));
                }
            }
        }
        for key in gone {
            touched.append(&mut self.delete(&key));
        }
        touched
    }

    /// When addresses that are held stop to count next.
    pub fn next_expiry(&self) -> Option<Instant> {
        let held = self.objects.values().filter_map(|stored| stored.held.as_ref());
        held.map(|(_, until)| *until).min()
    }

    /// Lets go of addresses whose time is over.
    pub fn expire(&mut self, now: Instant) -> BTreeSet<ObjectKey> {
        let over = |stored: &Stored| stored.held.as_ref().is_some_and(|(_, until)| *until <= now);
        let expired = self.objects.iter().filter(|(_, stored)| over(stored));
        let expired: Vec<ObjectKey> = expired.map(|(key, _)| key.clone()).collect();
        let mut touched = BTreeSet::new();
        for key in expired {
            if let Some(stored) = self.objects.get_mut(&key) {
                stored.held = None;
            }
            if let Some(object) = self.object(&key) {
                touched.append(&mut self.touched(&key, object));
            }
        }
        touched
    }

    /// The addresses of an object, those that are held where its status has none.
    pub fn addresses(&self, object: &Object) -> Vec<Target> {
        let own = object.addresses();
        let held = self.objects.get(&object.key()).and_then(|stored| stored.held.as_ref());
        match held {
            Some((held, _)) if own.is_empty() => held.clone(),
            _ => own,
        }
    }

    /// The class of Ingresses that name none.
    pub fn default_class(&self) -> Option<&str> {
        let mut classes = self.of_kind(Kind::IngressClass);
        let default = classes.find(|object| matches!(&object.body, Body::IngressClass(class) if class.is_default));
        default.map(|object| &*object.meta.name)
    }

    /// A namespace, where namespaces may be watched.
    pub fn namespace(&self, name: &Arc<str>) -> Option<&Namespace> {
        match &self.namespace_object(name)?.body {
            Body::Namespace(namespace) => Some(namespace),
            _ => None,
        }
    }

    /// The labels of a namespace.
    pub fn namespace_labels(&self, name: &Arc<str>) -> Option<&BTreeMap<String, String>> {
        Some(&self.namespace_object(name)?.meta.labels)
    }

    fn namespace_object(&self, name: &Arc<str>) -> Option<&Object> {
        self.object(&ObjectKey::new(Kind::Namespace, &"".into(), name))
    }

    /// Whether Gateways may be listed. Where not, routes are published by what their own status says.
    pub fn has_gateways(&self) -> bool {
        self.has_gateways
    }

    /// Gateways may be listed, or may not: what routes ask for is another thing then.
    pub fn set_gateways(&mut self, has_gateways: bool) -> BTreeSet<ObjectKey> {
        if std::mem::replace(&mut self.has_gateways, has_gateways) == has_gateways {
            return BTreeSet::new();
        }
        self.routes.values().flatten().cloned().collect()
    }

    /// A Gateway.
    pub fn gateway(&self, namespace: &Arc<str>, name: &Arc<str>) -> Option<(&Gateway, &Meta)> {
        let object = self.object(&ObjectKey::new(Kind::Gateway, namespace, name))?;
        match &object.body {
            Body::Gateway(gateway) => Some((gateway, &object.meta)),
            _ => None,
        }
    }

    /// The addresses of a Gateway.
    pub fn gateway_addresses(&self, namespace: &Arc<str>, name: &Arc<str>) -> Vec<Target> {
        let object = self.object(&ObjectKey::new(Kind::Gateway, namespace, name));
        object.map(|object| self.addresses(object)).unwrap_or_default()
    }

    /// The EndpointSlices of a Service.
    pub fn slices(&self, namespace: &Arc<str>, service: &str) -> impl Iterator<Item = &EndpointSlice> {
        // Names of slices begin with that of their Service, by custom alone: the label decides.
        let first = ObjectKey::new(Kind::EndpointSlice, namespace, &"".into());
        let of_namespace = self.objects.range(first..).map(|(_, stored)| &stored.object);
        let namespace = Arc::clone(namespace);
        let of_namespace = of_namespace
            .take_while(move |object| object.kind == Kind::EndpointSlice && object.meta.namespace == namespace);
        of_namespace.filter_map(move |object| match &object.body {
            Body::EndpointSlice(slice) if service_of(&object.meta) == Some(service) => Some(&**slice),
            _ => None,
        })
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        let first = ObjectKey::new(kind, &"".into(), &"".into());
        let objects = self.objects.range(first..).map(|(_, stored)| &stored.object);
        objects.take_while(move |object| object.kind == kind)
    }

    fn forget(&mut self, key: &ObjectKey) -> Option<Stored> {
        let stored = self.objects.remove(key)?;
        if let Body::Route(route) = &stored.object.body {
            for gateway in route.gateways(&stored.object.meta.namespace) {
                if let Some(routes) = self.routes.get_mut(&gateway) {
                    routes.remove(key);
                    if routes.is_empty() {
                        self.routes.remove(&gateway);
                    }
                }
            }
        }
        Some(stored)
    }

    /// Addresses to hold: those from before, where the status has lost all. An object that is another one of the same
    /// name holds nothing.
    fn hold(&self, before: Stored, object: &Object, now: Instant) -> Option<(Vec<Target>, Instant)> {
        if before.object.meta.uid != object.meta.uid || !object.addresses().is_empty() {
            return None;
        }
        let addresses = before.object.addresses();
        match addresses.is_empty() {
            true => before.held,
            false => Some((addresses, now + self.publishing.hold)),
        }
    }

    /// What may ask for something else, now that this object is another one.
    fn touched(&self, key: &ObjectKey, object: &Object) -> BTreeSet<ObjectKey> {
        match key.kind {
            Kind::Gateway => {
                let at = (Arc::clone(&key.namespace), Arc::clone(&key.name));
                self.routes.get(&at).cloned().unwrap_or_default()
            }
            Kind::Namespace => {
                let keys = self.keys().filter(|other| other.namespace == key.name);
                keys.cloned().collect()
            }
            Kind::IngressClass => self.of_kind(Kind::Ingress).map(Object::key).collect(),
            Kind::EndpointSlice => {
                let service =
                    service_of(&object.meta).map(|name| ObjectKey::new(Kind::Service, &key.namespace, &name.into()));
                service.into_iter().collect()
            }
            _ => BTreeSet::from([key.clone()]),
        }
    }
}
