//! What is known of a cluster: its objects, and which of them others depend on. Pure: no IO; the time is given.
//!
//! ```text
//! apply, delete, reset ─► objects ─► keys of all that may ask for something else now ─► outcome(key)
//! ```
//!
//! | changed | what may differ |
//! |---|---|
//! | Gateway | itself, and the routes that name it |
//! | Namespace | the objects in it |
//! | IngressClass | all Ingresses |
//! | EndpointSlice | its Service |
//! | Zone | itself, and all RecordSets |
//! | Node | Services that ask for the nodes' addresses |

mod places;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use self::places::{apex_of, gateways_of, services_of};
use super::follow::Read;
use super::kinds::Kind;
use super::objects::{
    Body, Defaults, EndpointSlice, Gateway, Meta, Namespace, Node, Object, ObjectKey, Outcome, service_of,
};
use super::settings::{Publishing, Target};
use crate::config::PodNames;
use crate::model::name::{Name, NameKey};
use crate::rules::Autopath;

/// Namespaces of preview environments, each with `active` or `ending`.
pub type Previews = BTreeMap<Arc<str>, &'static str>;

/// The objects of a cluster.
#[derive(Debug)]
pub struct Cluster {
    publishing: Arc<Publishing>,
    objects: BTreeMap<ObjectKey, Stored>,
    /// Objects that cannot be read, and why.
    unread: BTreeMap<ObjectKey, String>,
    /// The routes that name a Gateway, by its namespace and name.
    routes: HashMap<(Arc<str>, Arc<str>), BTreeSet<ObjectKey>>,
    /// The EndpointSlices of a Service, by its namespace and name.
    slices: HashMap<(Arc<str>, Arc<str>), BTreeSet<ObjectKey>>,
    /// The Zones of a name.
    zones: BTreeMap<NameKey, BTreeSet<ObjectKey>>,
    /// Whom the namespaces of pods are told, where search paths are gone through.
    autopath: Option<Arc<Autopath>>,
    /// Objects whose addresses are held.
    holding: BTreeSet<ObjectKey>,
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
        let makes_pods = publishing.pods == PodNames::Insecure;
        let domain = publishing.cluster_domain.as_ref();
        let domain = domain.filter(|_| publishing.autopath || makes_pods);
        let autopath = domain.map(|domain| Autopath::new(domain, publishing.autopath, makes_pods));
        Self {
            autopath: autopath.map(Arc::new),
            publishing,
            objects: BTreeMap::new(),
            unread: BTreeMap::new(),
            routes: HashMap::new(),
            slices: HashMap::new(),
            zones: BTreeMap::new(),
            holding: BTreeSet::new(),
            has_gateways: true,
        }
    }

    /// What is published of objects.
    pub fn publishing(&self) -> &Publishing {
        &self.publishing
    }

    /// The search paths of its pods.
    pub fn autopath(&self) -> Option<&Arc<Autopath>> {
        self.autopath.as_ref()
    }

    /// The keys of all objects that names are published of, those that cannot be read too.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        let all = self.objects.keys().chain(self.unread.keys());
        all.filter(|key| key.kind.is_published())
    }

    /// How many objects of a kind there are, by namespace.
    pub fn count(&self, kind: Kind) -> BTreeMap<Arc<str>, i64> {
        let mut counts = BTreeMap::new();
        for object in self.of_kind(kind) {
            *counts.entry(Arc::clone(&object.meta.namespace)).or_default() += 1;
        }
        counts
    }

    /// The preview environments.
    pub fn previews(&self) -> Previews {
        let namespaces = self.of_kind(Kind::Namespace);
        let previews = namespaces.filter_map(|object| match &object.body {
            Body::Namespace(namespace) if namespace.is_preview && namespace.base_hostname.is_some() => {
                let status = if namespace.is_ending { "ending" } else { "active" };
                Some((Arc::clone(&object.meta.name), status))
            }
            _ => None,
        });
        previews.collect()
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
        if self.is_the_same_node(&key, &object) {
            return BTreeSet::new();
        }
        let before = self.forget(&key);
        let mut touched = self.touched(&key, &object);
        if let Some(before) = &before {
            touched.extend(self.touched(&key, &before.object));
        }
        let held = before.and_then(|before| self.hold(before, &object, now));
        for (index, place) in [
            (&mut self.routes, gateways_of(&object)),
            (&mut self.slices, services_of(&object)),
        ] {
            for place in place {
                index.entry(place).or_default().insert(key.clone());
            }
        }
        if let Some(apex) = apex_of(&object) {
            self.zones.entry(apex).or_default().insert(key.clone());
        }
        if let (Some(autopath), Body::Pod(pod)) = (&self.autopath, &object.body) {
            for address in pod.addresses() {
                autopath.set(address, &key.namespace, &key.name);
            }
        }
        if held.is_some() {
            self.holding.insert(key.clone());
        }
        self.objects.insert(key, Stored { object, held });
        touched
    }

    /// Nodes say every few minutes that they are there: that is no change.
    fn is_the_same_node(&self, key: &ObjectKey, object: &Object) -> bool {
        let known = self.object(key).map(|known| &known.body);
        matches!((known, &object.body), (Some(Body::Node(known)), Body::Node(node)) if known == node)
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
                    touched.extend(self.apply(*object, now));
                }
                Err((key, error)) => {
                    gone.remove(&key);
                    touched.extend(self.apply_unread(key, error));
                }
            }
        }
        for key in gone {
            touched.extend(self.delete(&key));
        }
        touched
    }

    /// When addresses that are held stop to count next.
    pub fn next_expiry(&self) -> Option<Instant> {
        let stored = self.holding.iter().filter_map(|key| self.objects.get(key));
        stored.filter_map(|stored| Some(stored.held.as_ref()?.1)).min()
    }

    /// Lets go of addresses whose time is over.
    pub fn expire(&mut self, now: Instant) -> BTreeSet<ObjectKey> {
        let is_over = |key: &&ObjectKey| {
            let held = self.objects.get(*key).and_then(|stored| stored.held.as_ref());
            held.is_none_or(|(_, until)| *until <= now)
        };
        let expired: Vec<ObjectKey> = self.holding.iter().filter(is_over).cloned().collect();
        let mut touched = BTreeSet::new();
        for key in expired {
            self.holding.remove(&key);
            if let Some(stored) = self.objects.get_mut(&key) {
                stored.held = None;
            }
            if let Some(object) = self.object(&key) {
                touched.extend(self.touched(&key, object));
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

    /// The nodes with their names.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        let nodes = self.of_kind(Kind::Node);
        nodes.filter_map(|object| match &object.body {
            Body::Node(node) => Some((&*object.meta.name, &**node)),
            _ => None,
        })
    }

    /// What the deepest Zone at or above a name says for RecordSets in it.
    pub fn defaults_at(&self, name: &Name) -> Option<&Defaults> {
        let key = name.key();
        let keys = key.lineage().find_map(|apex| self.zones.get(apex))?;
        match &self.object(keys.first()?)?.body {
            Body::Zone(zone) => Some(zone.defaults()),
            _ => None,
        }
    }

    /// The EndpointSlices of a Service.
    pub fn slices(&self, namespace: &Arc<str>, service: &Arc<str>) -> impl Iterator<Item = &EndpointSlice> {
        let keys = self.slices.get(&(Arc::clone(namespace), Arc::clone(service)));
        let objects = keys.into_iter().flatten().filter_map(|key| self.object(key));
        objects.filter_map(|object| match &object.body {
            Body::EndpointSlice(slice) => Some(&**slice),
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
        self.holding.remove(key);
        let object = &stored.object;
        if let (Some(autopath), Body::Pod(pod)) = (&self.autopath, &object.body) {
            for address in pod.addresses() {
                autopath.unset(address, &key.namespace, &key.name);
            }
        }
        if let Some(apex) = apex_of(object)
            && let Some(keys) = self.zones.get_mut(&apex)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.zones.remove(&apex);
            }
        }
        for (index, places) in [
            (&mut self.routes, gateways_of(object)),
            (&mut self.slices, services_of(object)),
        ] {
            for place in places {
                if let Some(keys) = index.get_mut(&place) {
                    keys.remove(key);
                    if keys.is_empty() {
                        index.remove(&place);
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
                let routes = self.routes.get(&at).into_iter().flatten().cloned();
                routes.chain([key.clone()]).collect()
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
            Kind::Node => {
                let services = self.of_kind(Kind::Service).filter(|object| {
                    let is_node_port = matches!(&object.body, Body::Service(service) if service.is_node_port());
                    is_node_port && object.meta.annotations().get("access").is_some()
                });
                services.map(Object::key).collect()
            }
            Kind::Zone => {
                let sets = self.of_kind(Kind::RecordSet).map(Object::key);
                sets.chain([key.clone()]).collect()
            }
            _ => BTreeSet::from([key.clone()]),
        }
    }
}
