//! Which of several replicas writes to others: the one that holds a Lease (`coordination.k8s.io/v1`).
//!
//! ```text
//! Lease: nobody's, or ours ─► renewed every duration / 7 ─► Leadership: we write, until 2/3 of the duration are over
//!        another's ─► unchanged for its whole duration, by our clock ─► taken over
//! ```
//!
//! A replica that cannot renew stops to write before another one may begin. Clocks of different machines are never
//! compared. Answers to DNS queries need no leader: every replica serves.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::connect::connect;
use super::figures::KubernetesFigures;
use crate::config::KubernetesSource;
use crate::host::name::host_name;
use crate::model::shown::with_causes;

/// Where Kubernetes says which namespace a pod is in.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Where nothing says it.
const NAMESPACE: &str = "infrastructure";
/// Renewals within one duration.
const RENEWALS: u32 = 7;

/// Who is elected, and how.
#[derive(Debug, Clone)]
pub struct Election {
    /// The namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub lease: String,
    /// What this replica calls itself.
    pub identity: String,
    /// How long the Lease lasts where it is not renewed.
    pub duration: Duration,
}

/// What is known of the Lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lead {
    /// Until when this replica may write; `None`: it may not.
    until: Option<Instant>,
    /// Who holds the Lease, as it was read last.
    pub holder: Option<String>,
    /// Why it cannot be read or written.
    pub error: Option<String>,
}

/// Whether this replica writes to others. Without an election it does.
#[derive(Debug, Clone, Default)]
pub struct Leadership {
    election: Option<(Arc<Election>, watch::Receiver<Lead>)>,
    /// What [`Self::changed`] has told last.
    told: bool,
}

/// What tells everybody how the election stands.
pub struct Elector {
    election: Arc<Election>,
    lead: watch::Sender<Lead>,
    figures: Arc<KubernetesFigures>,
    /// The Lease of another one as it was first seen, and when.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Leadership {
    /// Whether it may write now.
    pub fn leads(&self) -> bool {
        let Some((_, lead)) = &self.election else {
            return true;
        };
        lead.borrow().until.is_some_and(|until| Instant::now() < until)
    }

    /// The election and how it stands, where there is one.
    pub fn election(&self) -> Option<(Arc<Election>, Lead)> {
        let (election, lead) = self.election.as_ref()?;
        Some((Arc::clone(election), lead.borrow().clone()))
    }

    /// Waits until it may write where by the last call it could not, or the other way around. Never ends without an
    /// election.
    pub async fn changed(&mut self) {
        let Some((_, lead)) = &mut self.election else {
            return std::future::pending().await;
        };
        loop {
            let until = lead.borrow_and_update().until;
            let leads = until.is_some_and(|until| Instant::now() < until);
            if leads != self.told {
                self.told = leads;
                return;
            }
            let lost = async {
                match until.filter(|_| leads) {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = lead.changed() => if changed.is_err() {
                    // The elector is gone: what it said last holds.
                    return std::future::pending().await;
                },
                () = lost => {}
            }
        }
    }
}

impl Election {
    /// With what the environment says where the configuration says nothing.
    pub fn new(config: &crate::config::LeaderElection) -> Self {
        let of_pod = || std::fs::read_to_string(NAMESPACE_FILE).ok();
        let namespace = config.namespace.as_deref().map(str::to_owned).or_else(of_pod);
        // Of a pod it is the pod's name.
        Self {
            namespace: namespace.map_or_else(|| NAMESPACE.to_owned(), |text| text.trim().to_owned()),
            lease: config.lease.to_string(),
            // Two replicas may be on one host.
            identity: format!("{}_{:08x}", host_name(), rand::random::<u32>()),
            duration: config.duration,
        }
    }
}

impl Elector {
    /// An election that has not begun, and how others see it.
    pub fn new(election: Election, figures: Arc<KubernetesFigures>) -> (Self, Leadership) {
        let election = Arc::new(election);
        let (lead, receiver) = watch::channel(Lead::default());
        let leadership = Leadership {
            election: Some((Arc::clone(&election), receiver)),
            told: false,
        };
        figures.set_leader(&election.lease, false);
        let elector = Self {
            election,
            lead,
            figures,
            seen: None,
        };
        (elector, leadership)
    }

    /// Takes part until `stop`, then gives the Lease back.
    pub async fn run(mut self, cluster: KubernetesSource, stop: CancellationToken) {
        let pause = self.election.duration / RENEWALS;
        let mut api = None;
        while !stop.is_cancelled() {
            // What the server takes longer for than a pause is tried again.
            let attempt = async {
                if api.is_none() {
                    let client = connect(&cluster).await?;
                    api = Some(Api::<Lease>::namespaced(client, &self.election.namespace));
                }
                let api = api.as_ref().ok_or("no connection")?;
                self.attempt(api).await.map_err(|error| with_causes(&error))
            };
            let outcome = timeout(pause, attempt).await;
            let outcome = outcome.unwrap_or_else(|_| Err(format!("no answer within {} ms", pause.as_millis())));
            if let Err(error) = outcome {
                self.failed(error);
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
        let holds = self.lead.borrow().until.is_some();
        self.set(None, None, None);
        if let Some(api) = api.filter(|_| holds) {
            // The next one need not wait. Where it fails, it waits.
            let _ = timeout(pause, self.release(&api)).await;
        }
    }

    /// One look at the Lease, and what follows from it.
    async fn attempt(&mut self, api: &Api<Lease>) -> Result<(), kube::Error> {
        let begun = Instant::now();
        let found = api.get_opt(&self.election.lease).await?;
        let Some(mut lease) = found else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.election.lease.clone()),
                    namespace: Some(self.election.namespace.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.ours(&LeaseSpec::default())),
            };
            let created = api.create(&PostParams::default(), &lease).await;
            return self.taken(created, begun);
        };
        let spec = lease.spec.take().unwrap_or_default();
        if !self.may_take(&spec, begun) {
            self.set(None, spec.holder_identity, None);
            return Ok(());
        }
        lease.spec = Some(self.ours(&spec));
        let replaced = api.replace(&self.election.lease, &PostParams::default(), &lease).await;
        self.taken(replaced, begun)
    }

    /// Whether the Lease is ours, nobody's, or over.
    fn may_take(&mut self, spec: &LeaseSpec, now: Instant) -> bool {
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == self.election.identity {
            return true;
        }
        match &self.seen {
            Some((seen, since)) if seen == spec => {
                let seconds = u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
                now.duration_since(*since) >= Duration::from_secs(seconds)
            }
            _ => {
                self.seen = Some((spec.clone(), now));
                false
            }
        }
    }

    /// The Lease as we write it.
    fn ours(&self, before: &LeaseSpec) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let is_ours = before.holder_identity.as_deref() == Some(&self.election.identity);
        let transitions = before.lease_transitions.unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.election.identity.clone()),
            lease_duration_seconds: i32::try_from(self.election.duration.as_secs().max(1)).ok(),
            acquire_time: before
                .acquire_time
                .clone()
                .filter(|_| is_ours)
                .or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if is_ours { transitions } else { transitions + 1 }),
            ..LeaseSpec::default()
        }
    }

    /// What came of the attempt to write it, which was begun at `begun`.
    fn taken(&mut self, outcome: Result<Lease, kube::Error>, begun: Instant) -> Result<(), kube::Error> {
        match outcome {
            Ok(_) => {
                self.seen = None;
                let until = begun + self.election.duration * 2 / 3;
                self.set(Some(until), Some(self.election.identity.clone()), None);
                Ok(())
            }
            // Another one was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                self.set(None, None, None);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The Lease could not be read or written: what we hold ends in its time.
    fn failed(&mut self, error: String) {
        let lead = self.lead.borrow().clone();
        if lead.error.as_ref() != Some(&error) {
            warn!("Lease {}: {error}; tried again", self.shown());
        }
        let until = lead.until.filter(|until| Instant::now() < *until);
        self.set(until, lead.holder, Some(error));
    }

    fn set(&self, until: Option<Instant>, holder: Option<String>, error: Option<String>) {
        let had = self.lead.borrow().until.is_some();
        if had != until.is_some() {
            self.figures.set_leader(&self.election.lease, until.is_some());
            let (lease, holder) = (self.shown(), holder.as_deref().unwrap_or("nobody"));
            match until {
                Some(_) => info!("Lease {lease} is ours: this replica writes to others now"),
                None => info!("Lease {lease} is not ours any more, but {holder}'s: this replica writes nothing"),
            }
        }
        self.lead.send_replace(Lead { until, holder, error });
    }

    fn shown(&self) -> String {
        format!("{}/{}", self.election.namespace, self.election.lease)
    }

    async fn release(&self, api: &Api<Lease>) -> Result<(), kube::Error> {
        let Some(mut lease) = api.get_opt(&self.election.lease).await? else {
            return Ok(());
        };
        let Some(spec) = lease.spec.as_mut() else {
            return Ok(());
        };
        if spec.holder_identity.as_deref() != Some(&self.election.identity) {
            return Ok(());
        }
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        api.replace(&self.election.lease, &PostParams::default(), &lease)
            .await
            .map(drop)
    }
}

#[cfg(test)]
mod tests;
