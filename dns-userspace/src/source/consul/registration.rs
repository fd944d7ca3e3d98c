//! `register` of `sources.consul`: hotdns as a service of this Consul, with a check that its agent makes.
//!
//! ```text
//! PUT /v1/agent/service/register      at the start, and again where the agent has forgotten it
//! GET /v1/agent/service/ID            every 10 s
//! PUT /v1/agent/service/deregister/ID at the end
//! ```
//!
//! It goes on beside the watch of the services, whatever becomes of that.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::super::peer::{Credential, LatePeer};
use super::super::{Status, WorldError};
use crate::config::{CheckedBy, ConsulSource, Register};
use crate::model::shown::percent_encoded;

/// How often the agent is asked whether it still knows us; the interval of its check, too.
const INTERVAL: Duration = Duration::from_secs(10);
/// For a reply of the agent, and the time-out of its check.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For the last request: the process is about to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Hotdns as a service of a Consul.
pub(in crate::source) struct Registration {
    register: Register,
    namespace: Option<Arc<str>>,
    peer: LatePeer,
    status: Arc<Status>,
    /// Between two questions to the agent.
    pace: Duration,
}

impl Registration {
    /// What a source asks for; nothing where it does not.
    pub(in crate::source) fn new(settings: &ConsulSource, status: &Arc<Status>) -> Option<Self> {
        Some(Self {
            register: settings.register.clone()?,
            namespace: settings.namespace.clone(),
            peer: LatePeer::new("Consul", settings.peer.clone(), Credential::Header("X-Consul-Token")),
            status: Arc::clone(status),
            pace: INTERVAL,
        })
    }

    /// Keeps the service registered until it is told to stop, and takes it out then.
    pub(in crate::source) async fn run(mut self, stop: CancellationToken) {
        let mut is_registered = false;
        loop {
            let kept = tokio::select! {
                kept = self.keep(is_registered) => kept,
                () = stop.cancelled() => break,
            };
            is_registered = kept.is_ok();
            self.tell(kept);
            tokio::select! {
                () = sleep(self.pace) => {}
                () = stop.cancelled() => break,
            }
        }
        // Also where it is not known whether a registration has come through.
        let path = self.path("deregister/");
        let farewell = match self.peer.get() {
            Ok(peer) => peer.put(&path, &Value::Null, FAREWELL).await,
            Err(error) => Err(error),
        };
        if let Err(error) = farewell
            && is_registered
        {
            let id = &self.register.id;
            warn!(
                "source {}: the service {id} is still registered: {error}",
                self.status.source().key()
            );
        }
    }

    /// Registers the service, unless the agent knows it already.
    async fn keep(&mut self, is_registered: bool) -> Result<(), WorldError> {
        let peer = self.peer.get()?;
        if is_registered {
            let answer = peer.ask(&self.path(""), TIMEOUT).await?;
            if answer.status.as_u16() != 404 {
                return answer.checked().map(drop);
            }
        }
        let path = match &self.namespace {
            Some(namespace) => format!(
                "/v1/agent/service/register?replace-existing-checks=true&ns={}",
                percent_encoded(namespace)
            ),
            None => "/v1/agent/service/register?replace-existing-checks=true".to_owned(),
        };
        peer.put(&path, &self.service(), TIMEOUT).await?;
        let id = &self.register.id;
        info!("source {}: registered as the service {id}", self.status.source().key());
        Ok(())
    }

    /// The path of our service, or of a verb for it.
    fn path(&self, verb: &str) -> String {
        let namespace = self.namespace.as_deref().map(percent_encoded);
        let namespace = namespace.map_or_else(String::new, |namespace| format!("?ns={namespace}"));
        format!(
            "/v1/agent/service/{verb}{}{namespace}",
            percent_encoded(&self.register.id)
        )
    }

    fn service(&self) -> Value {
        let Register {
            id,
            service,
            address,
            port,
            tags,
            check,
        } = &self.register;
        let (kind, checked) = match check {
            CheckedBy::Http(url) => ("HTTP", url),
            CheckedBy::Tcp(place) => ("TCP", place),
        };
        let mut service = json!({
            "ID": **id,
            "Name": **service,
            "Tags": tags.iter().map(|tag| &**tag).collect::<Vec<&str>>(),
            "Port": port,
            "Meta": {"version": env!("CARGO_PKG_VERSION")},
            "Check": {
                "CheckID": format!("service:{id}"),
                "Name": "hotdns",
                kind: **checked,
                "Interval": format!("{}s", INTERVAL.as_secs()),
                "Timeout": format!("{}s", TIMEOUT.as_secs()),
            },
        });
        if let Some(address) = address {
            service["Address"] = address.to_string().into();
        }
        service
    }

    /// The same, in a hurry.
    #[cfg(test)]
    pub(super) fn every(self, pace: Duration) -> Self {
        Self { pace, ..self }
    }

    fn tell(&self, kept: Result<(), WorldError>) {
        let registration = match kept {
            Ok(()) => "registered".to_owned(),
            Err(error) => format!("{error}; it is tried again every {} s", INTERVAL.as_secs()),
        };
        let mut is_new = false;
        self.status.update(|report| {
            is_new = report.registration.as_ref() != Some(&registration);
            report.registration = Some(registration.clone());
        });
        if is_new && registration != "registered" {
            let key = self.status.source().key();
            warn!(
                "source {key}: the service {} is not registered: {registration}",
                self.register.id
            );
        }
    }
}
