//! A cluster as a world: all its kinds together, listed and followed.
//!
//! Where one kind's watch finds the cluster away, the whole world is away: what it said last is served, and the driver
//! lists it again. A kind that the cluster does not serve, or that we may not list, does not hold up the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::connect::connect;
use super::explain::KnownCluster;
use super::figures::{Fault, KubernetesFigures};
use super::follow::{Scope, Told, follow};
use super::kinds::Kind;
use super::objects::{ObjectKey, domain_claims};
use super::persist::{Persisting, persist};
use super::report::{Reporting, Reports, report};
use super::settings::{config_map_scope, watched};
use crate::config::{KubernetesSource, PodNames};
use crate::source::{Change, Event, Listing, Mark, Marks, Object, World, WorldError};

/// How long each of the first lists may take, once the one before it has come.
const LIST_TIMEOUT: Duration = Duration::from_secs(120);
/// What is told and not yet taken.
const QUEUE: usize = 1024;
/// EndpointSlices of Services that have no address of their own.
const HEADLESS: &str = "service.kubernetes.io/headless";

/// A cluster.
pub struct KubernetesWorld {
    settings: Arc<KubernetesSource>,
    cluster: Arc<KnownCluster>,
    /// What is refused to us, and what the server says of it.
    refused: BTreeMap<String, String>,
    changes: VecDeque<Change>,
    told: Option<mpsc::Receiver<Told>>,
    tasks: JoinSet<()>,
    /// What is reported to objects, where that is wanted.
    reports: Option<(Arc<Reports>, Reporting)>,
    /// Where the records of a ConfigMap and of the API are to be the same.
    persisting: Option<Persisting>,
    /// What is not written at present, and why.
    held: BTreeMap<String, String>,
    figures: Arc<KubernetesFigures>,
    /// The key of the source, and what its objects ask for besides records.
    marks: (String, Marks),
}

impl KubernetesWorld {
    /// A cluster that nothing is known of; with `reporting`, objects are told what became of them.
    pub fn new(settings: KubernetesSource, reporting: Option<Reporting>, figures: Arc<KubernetesFigures>) -> Self {
        let settings = Arc::new(settings);
        Self {
            cluster: Arc::new(KnownCluster::new(Arc::clone(&settings))),
            settings,
            refused: BTreeMap::new(),
            changes: VecDeque::new(),
            told: None,
            tasks: JoinSet::new(),
            reports: reporting.map(|reporting| (Arc::default(), reporting)),
            persisting: None,
            held: BTreeMap::new(),
            figures,
            marks: Default::default(),
        }
    }

    /// The same, which others can ask about its objects.
    #[must_use]
    pub fn known_to(self, cluster: Arc<KnownCluster>) -> Self {
        Self { cluster, ..self }
    }

    /// The same, whose ConfigMap is kept in step with the records of the API, where the settings say so.
    #[must_use]
    pub fn persisting(self, persisting: Persisting) -> Self {
        Self {
            persisting: Some(persisting).filter(|_| self.settings.persist),
            ..self
        }
    }

    /// The same, whose objects say in `marks` what they ask for besides records; `source` is its key.
    #[must_use]
    pub fn marking(self, source: String, marks: Marks) -> Self {
        Self {
            marks: (source, marks),
            ..self
        }
    }

    /// Says what an object asks for besides records.
    fn mark(&self, key: &ObjectKey) {
        let (source, marks) = &self.marks;
        let mark = self.cluster.get().object(key).map(|object| {
            let annotations = object.meta.annotations();
            Mark {
                notifies: annotations.is_set("slack-notify"),
                remediates: annotations.is_set("auto-remediate"),
            }
        });
        marks.set(source, &key.to_string(), mark.unwrap_or_default());
    }

    /// Takes what is told; the objects that may ask for something else now.
    fn take(&mut self, told: Told) -> Result<BTreeSet<ObjectKey>, WorldError> {
        let kind = told.kind();
        match &told {
            Told::Refused(scope, _) => self.figures.count_fault(scope.kind.name(), Fault::Forbidden),
            Told::Failed(_) => self.figures.count_fault("cluster", Fault::Unreachable),
            _ => {}
        }
        let is_single = matches!(told, Told::Applied(_) | Told::Deleted(_));
        let counted = kind.filter(|kind| kind.is_published());
        let before = match &told {
            Told::Applied(Ok(object)) => self.has(&object.key()),
            Told::Deleted(key) => self.has(key),
            _ => counted.map(|kind| self.cluster.get().count(kind)).unwrap_or_default(),
        };
        let key = match &told {
            Told::Applied(Ok(object)) => Some(object.key()),
            Told::Deleted(key) => Some(key.clone()),
            _ => None,
        };
        let previews = (kind == Some(Kind::Namespace)).then(|| self.cluster.get().previews());
        let touched = self.take_in(told)?;
        if let Some(before) = previews {
            self.figures.count_previews(&before, &self.cluster.get().previews());
        }
        let after = match (&key, counted) {
            (Some(key), _) => self.has(key),
            (None, Some(kind)) if !is_single => self.cluster.get().count(kind),
            _ => before.clone(),
        };
        if let Some(kind) = counted {
            for namespace in before
                .keys()
                .chain(after.keys().filter(|namespace| !before.contains_key(*namespace)))
            {
                let of = |counts: &BTreeMap<Arc<str>, i64>| counts.get(namespace).copied().unwrap_or(0);
                self.figures.count_resource(namespace, kind, of(&after) - of(&before));
            }
        }
        Ok(touched)
    }

    /// One in its namespace, where the object is there.
    fn has(&self, key: &ObjectKey) -> BTreeMap<Arc<str>, i64> {
        let is_there = self.cluster.get().object(key).is_some();
        is_there.then(|| (Arc::clone(&key.namespace), 1)).into_iter().collect()
    }

    fn take_in(&mut self, told: Told) -> Result<BTreeSet<ObjectKey>, WorldError> {
        let now = Instant::now();
        Ok(match told {
            Told::Listed(scope, objects) => {
                let mut touched = self.permit(&scope);
                touched.extend(
                    self.cluster
                        .get()
                        .reset(scope.kind, scope.namespace.as_deref(), objects, now),
                );
                touched
            }
            Told::Applied(Ok(object)) => self.cluster.get().apply(*object, now),
            Told::Applied(Err((key, error))) => self.cluster.get().apply_unread(key, error),
            Told::Deleted(key) => self.cluster.get().delete(&key),
            Told::Absent(scope) => {
                self.permit(&scope);
                self.cluster
                    .get()
                    .reset(scope.kind, scope.namespace.as_deref(), Vec::new(), now)
            }
            Told::Refused(scope, reason) => {
                let key = scope.to_string();
                if !self.refused.contains_key(&key) {
                    self.changes.push_back(Change::Applied(refused(&key, &reason)));
                }
                self.refused.insert(key, reason);
                match scope.kind {
                    Kind::Gateway => self.cluster.get().set_gateways(false),
                    _ => BTreeSet::new(),
                }
            }
            Told::Failed(error) => return Err(WorldError(error)),
            Told::Held(what, reason) => {
                let what = format!("write-back to {what}");
                match reason {
                    Some(reason) => {
                        self.changes.push_back(Change::Applied(broken(&what, &reason)));
                        self.held.insert(what, reason);
                    }
                    None => {
                        self.held.remove(&what);
                        self.changes.push_back(Change::Deleted(what.into()));
                    }
                }
                BTreeSet::new()
            }
        })
    }

    /// A kind may be listed; what asks for something else now.
    fn permit(&mut self, scope: &Scope) -> BTreeSet<ObjectKey> {
        let key = scope.to_string();
        if self.refused.remove(&key).is_some() {
            self.changes.push_back(Change::Deleted(key.into()));
        }
        match scope.kind {
            Kind::Gateway => self.cluster.get().set_gateways(true),
            _ => BTreeSet::new(),
        }
    }

    fn note(&mut self, keys: BTreeSet<ObjectKey>) {
        let published = keys.into_iter().filter(|key| key.kind.is_published());
        let is_urgent = |key: &ObjectKey| {
            let cluster = self.cluster.get();
            cluster
                .object(key)
                .is_some_and(|object| object.meta.annotations().is_urgent())
        };
        let (urgent, others): (Vec<_>, Vec<_>) = published.partition(is_urgent);
        for key in urgent.into_iter().chain(others) {
            let change = match self.object(&key, true) {
                Some(object) => Change::Applied(object),
                None => Change::Deleted(key.to_string().into()),
            };
            self.changes.push_back(change);
        }
    }

    /// An object as the driver takes it; `None` where it asks for nothing. With `is_news` it has come, or changed,
    /// since the list.
    fn object(&self, key: &ObjectKey, is_news: bool) -> Option<Object> {
        let start = Instant::now();
        self.mark(key);
        let outcome = self.cluster.get().outcome(key);
        self.figures.observe(key.kind, start.elapsed());
        if outcome.as_ref().is_some_and(|outcome| outcome.claims.is_err()) {
            self.figures.count_fault(key.kind.name(), Fault::Invalid);
        }
        if let Some((reports, _)) = &self.reports {
            let domain = self.settings.cluster_domain.as_ref();
            let cluster = self.cluster.get();
            reports.set(key, cluster.object(key).zip(outcome.as_ref()), domain, is_news);
        }
        let outcome = outcome?;
        for note in &outcome.notes {
            tracing::debug!(object = %key, "not published: {note}");
        }
        if outcome.claims.as_ref().is_ok_and(Vec::is_empty) {
            return None;
        }
        Some(Object {
            key: key.to_string().into(),
            since: self.cluster.get().object(key).map_or(0, |object| object.meta.created),
            claims: outcome.claims,
        })
    }
}

impl World for KubernetesWorld {
    async fn list(&mut self) -> Result<Listing, WorldError> {
        self.tasks = JoinSet::new();
        self.changes.clear();
        let client = connect(&self.settings).await.map_err(WorldError)?;
        let scopes = scopes(&self.settings);
        let (sender, mut told) = mpsc::channel(QUEUE);
        let mut waiting = scopes.len();
        for scope in scopes {
            self.tasks.spawn(follow(client.clone(), scope, sender.clone()));
        }
        if let Some(persisting) = &self.persisting {
            let settings = Arc::clone(&self.settings);
            self.held.clear();
            self.tasks
                .spawn(persist(client.clone(), settings, persisting.clone(), sender.clone()));
        }
        if let Some((reports, reporting)) = &self.reports {
            self.tasks.spawn(report(client, Arc::clone(reports), reporting.clone()));
        }
        let mut until = tokio::time::Instant::now() + LIST_TIMEOUT;
        while waiting > 0 {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            let Ok(Some(what)) = timeout(left, told.recv()).await else {
                let seconds = LIST_TIMEOUT.as_secs();
                return Err(WorldError(format!("none of its lists ended within {seconds} s")));
            };
            until = tokio::time::Instant::now() + LIST_TIMEOUT;
            if let Told::Refused(scope, reason) = &what
                && self.settings.watch.is_some()
                && watched(&self.settings).contains(&scope.kind)
            {
                return Err(WorldError(refusal(&scope.to_string(), reason)));
            }
            waiting -= usize::from(matches!(what, Told::Listed(..) | Told::Absent(_) | Told::Refused(..)));
            self.take(what)?;
        }
        self.told = Some(told);
        self.changes.clear();
        let keys: BTreeSet<ObjectKey> = self.cluster.get().keys().cloned().collect();
        let mut objects: Vec<Object> = keys.iter().filter_map(|key| self.object(key, false)).collect();
        // A cluster without any Service is one that is doubted.
        let has_services = keys.iter().any(|key| key.kind == Kind::Service);
        if let Some(domain) = self.settings.cluster_domain.as_ref().filter(|_| has_services) {
            objects.push(Object {
                key: format!("cluster domain {domain}").into(),
                since: 0,
                claims: Ok(domain_claims(domain)),
            });
        }
        objects.extend(self.refused.iter().map(|(key, reason)| refused(key, reason)));
        objects.extend(self.held.iter().map(|(what, reason)| broken(what, reason)));
        Ok(Listing { objects, resume: None })
    }

    async fn next(&mut self) -> Result<Event, WorldError> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Ok(Event { change, resume: None });
            }
            let Some(told) = &mut self.told else {
                return Err(WorldError("it was not listed".to_owned()));
            };
            let expiry = self.cluster.get().next_expiry();
            let expired = async {
                match expiry {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let what = tokio::select! {
                what = told.recv() => Some(what),
                () = expired => None,
            };
            let touched = match what {
                Some(Some(what)) => self.take(what)?,
                Some(None) => return Err(WorldError("all of its watches ended".to_owned())),
                None => self.cluster.get().expire(Instant::now()),
            };
            self.note(touched);
        }
    }
}

/// What is refused, as an object that cannot be understood: it is reported, and the others are served.
fn refused(key: &str, reason: &str) -> Object {
    broken(key, &refusal(key, reason))
}

fn broken(key: &str, reason: &str) -> Object {
    Object {
        key: key.into(),
        since: 0,
        claims: Err(reason.to_owned()),
    }
}

fn refusal(what: &str, reason: &str) -> String {
    format!(
        "{what} may not be listed; give the service account `get`, `list` and `watch` for them, or leave the kind out \
             of `watch`: {reason}"
    )
}

impl std::fmt::Display for Scope {
    /// `all of Ingress`, `all of Ingress in demo`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "all of {}", self.kind.name())?;
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

/// What is followed: the kinds that are published, and those that say more of them.
fn scopes(settings: &KubernetesSource) -> Vec<Scope> {
    let watch = watched(settings);
    let has = |kind| watch.contains(&kind);
    let has_routes = watch.iter().any(|kind| kind.is_route());
    let mut scopes = Vec::new();
    let mut add = |kind: Kind, labels: Option<&str>| {
        let scope = |namespace: Option<&String>| Scope {
            kind,
            namespace: namespace.cloned(),
            labels: labels.map(str::to_owned),
            name: None,
        };
        match settings.namespaces.is_empty() || !kind.place().is_namespaced {
            true => scopes.push(scope(None)),
            false => scopes.extend(settings.namespaces.iter().map(|namespace| scope(Some(namespace)))),
        }
    };
    for kind in watch.iter().filter(|kind| **kind != Kind::ConfigMap) {
        let is_all = match kind {
            // Inside the cluster every Service has a name.
            Kind::Service => settings.cluster_domain.is_some(),
            // Routes that are selected may be at any Gateway.
            Kind::Gateway => has_routes,
            Kind::Node => true,
            _ => false,
        };
        add(*kind, settings.selector.as_deref().filter(|_| !is_all));
    }
    if settings.cluster_domain.is_some() && !has(Kind::Service) {
        add(Kind::Service, None);
    }
    if has(Kind::Service) || settings.cluster_domain.is_some() {
        // Where only nodes with an endpoint lead to a Service, it has to be known which.
        add(Kind::EndpointSlice, Some(HEADLESS).filter(|_| !has(Kind::Node)));
    }
    let needs_pods = settings.autopath || settings.pods == PodNames::Verified;
    if needs_pods && settings.cluster_domain.is_some() {
        add(Kind::Pod, None);
    }
    if has(Kind::Ingress) {
        add(Kind::IngressClass, None);
    }
    if has_routes && !has(Kind::Gateway) {
        add(Kind::Gateway, None);
    }
    if watch.iter().any(|kind| *kind != Kind::ConfigMap) {
        add(Kind::Namespace, None);
    }
    if has(Kind::ConfigMap) {
        scopes.push(config_map_scope(settings));
    }
    scopes
}
