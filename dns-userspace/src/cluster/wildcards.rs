//! A Certificate `wildcard-<zone>` for each zone of the configuration, made once, and Traefik's default certificate.
//!
//! A zone gets it when the first name of the cluster is served in it. One that is there already stays as it is; one
//! that somebody deletes is made again at the next start. Traefik is told once the Certificate is ready: before, there
//! is no Secret.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::Method;
use kube::Client;
use serde_json::{Value, json};
use tracing::info;

use super::certificates::{Certificate, CertificatesTask, PATH};
use crate::config::{CertificatesConfig, DryRun};
use crate::control::{Event, Subscription};
use crate::model::name::{Name, NameKey};
use crate::model::record::RrSet;
use crate::model::snapshot::Node;
use crate::model::source::precedence;
use crate::source::{Leadership, get, send};

const STORE: &str = "/apis/traefik.io/v1alpha1";

/// What is made, and how far that is.
pub(super) struct Wildcards {
    config: CertificatesConfig,
    served: Subscription,
    leadership: Leadership,
    dry_run: DryRun,
    /// Zones of the configuration in which names are served.
    wanted: BTreeSet<Name>,
    /// Zones whose Certificate is there, or was.
    made: BTreeSet<Name>,
    /// Zones whose Certificate is ready.
    ready: BTreeSet<Name>,
    is_default_set: bool,
}

impl Wildcards {
    pub(super) fn new(task: &CertificatesTask) -> Self {
        Self {
            config: task.config.clone(),
            served: task.history.subscribe(None),
            leadership: task.leadership.clone(),
            dry_run: task.dry_run,
            wanted: BTreeSet::new(),
            made: BTreeSet::new(),
            ready: BTreeSet::new(),
            is_default_set: false,
        }
    }

    /// Waits until something may have to be made.
    pub(super) async fn changed(&mut self) {
        loop {
            let before = self.wanted.len();
            let is_done = self.wanted.len() == self.config.wildcards.len();
            tokio::select! {
                event = self.served.next(), if !is_done => match event {
                    Some(event) => self.look(&event),
                    None => return std::future::pending().await,
                },
                () = self.leadership.changed() => return,
            }
            if self.wanted.len() != before {
                return;
            }
        }
    }

    fn look(&mut self, event: &Event) {
        let missing: Vec<&Name> = self
            .config
            .wildcards
            .iter()
            .filter(|zone| !self.wanted.contains(*zone))
            .collect();
        let mut found = Vec::new();
        let mut see = |key: &NameKey, node: &Node| {
            if node.rrsets.iter().any(is_of_a_cluster) {
                let owner = node.owner(key);
                found.extend(
                    missing
                        .iter()
                        .filter(|zone| owner.is_at_or_below(zone))
                        .map(|zone| (*zone).clone()),
                );
            }
        };
        match event {
            Event::Published(publication) if !publication.delta.moves_zones() => {
                for key in &publication.delta.names {
                    if let Some(node) = publication.new.node(key) {
                        see(key, node);
                    }
                }
            }
            Event::Reset(snapshot) => snapshot.all_nodes().for_each(|(key, node)| see(key, node)),
            Event::Published(publication) => publication.new.all_nodes().for_each(|(key, node)| see(key, node)),
        }
        self.wanted.extend(found);
    }

    /// A Certificate as the cluster has it.
    pub(super) fn note(&mut self, certificate: &Certificate) {
        if certificate.namespace != *self.config.namespace {
            return;
        }
        let found = self
            .config
            .wildcards
            .iter()
            .find(|zone| name_of(zone) == certificate.name);
        if let Some(zone) = found {
            self.made.insert(zone.clone());
            if certificate.is_ready {
                self.ready.insert(zone.clone());
            }
        }
    }

    /// Makes what is missing, where this replica may.
    pub(super) async fn make(&mut self, client: &Client) -> Result<(), kube::Error> {
        if !self.leadership.leads() {
            return Ok(());
        }
        let missing: Vec<Name> = self.wanted.difference(&self.made).cloned().collect();
        for zone in missing {
            let name = name_of(&zone);
            if self.dry_run.is_on() {
                info!("dry run: Certificate {}/{name} would be made", self.config.namespace);
            } else {
                self.make_one(client, &zone).await?;
            }
            self.made.insert(zone);
        }
        let first = self.config.wildcards.first();
        if self.config.default_certificate
            && !self.is_default_set
            && let Some(zone) = first.filter(|zone| self.ready.contains(*zone)).cloned()
        {
            self.set_default(client, &zone).await?;
            self.is_default_set = true;
        }
        Ok(())
    }

    async fn make_one(&self, client: &Client, zone: &Name) -> Result<(), kube::Error> {
        let CertificatesConfig {
            namespace,
            issuer,
            issuer_kind,
            ..
        } = &self.config;
        let (name, domain) = (name_of(zone), domain(zone));
        let object = json!({
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "hotdns"}},
            "spec": {
                "secretName": format!("{name}-tls"),
                "issuerRef": {"name": issuer, "kind": issuer_kind},
                "dnsNames": [format!("*.{domain}"), domain],
            },
        });
        let path = format!("{PATH}/namespaces/{namespace}/certificates");
        match send(client, Method::POST, &path, &object).await {
            Ok(()) => info!("Certificate {namespace}/{name} made, for {domain} and *.{domain}"),
            // Somebody was faster: it stays as it is.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Has Traefik show a zone's Certificate where no other fits.
    async fn set_default(&self, client: &Client, zone: &Name) -> Result<(), kube::Error> {
        let namespace = &self.config.namespace;
        let secret = format!("{}-tls", name_of(zone));
        if self.dry_run.is_on() {
            info!("dry run: TLSStore {namespace}/default would have the default certificate {secret}");
            return Ok(());
        }
        let stores = format!("{STORE}/namespaces/{namespace}/tlsstores");
        let path = format!("{stores}/default");
        let spec = json!({"defaultCertificate": {"secretName": secret}});
        match client.request::<Value>(get(&path)?).await {
            Ok(store) if store["spec"]["defaultCertificate"]["secretName"] == secret.as_str() => return Ok(()),
            Ok(_) => send(client, Method::PATCH, &path, &json!({ "spec": spec })).await?,
            Err(kube::Error::Api(status)) if status.code == 404 => {
                let store = json!({
                    "apiVersion": "traefik.io/v1alpha1",
                    "kind": "TLSStore",
                    "metadata": {"name": "default", "namespace": namespace},
                    "spec": spec,
                });
                send(client, Method::POST, &stores, &store).await?;
            }
            Err(error) => return Err(error),
        }
        info!("TLSStore {namespace}/default has the default certificate {secret} now");
        Ok(())
    }
}

fn is_of_a_cluster(rrset: &Arc<RrSet>) -> bool {
    let info = rrset.origin.source().info();
    info.precedence >= precedence::WATCHED && &*info.kind == "kubernetes"
}

fn domain(zone: &Name) -> String {
    zone.to_string().trim_end_matches('.').to_lowercase()
}

/// The name of a zone's Certificate: `wildcard-home.lab`.
fn name_of(zone: &Name) -> String {
    format!("wildcard-{}", domain(zone))
}
