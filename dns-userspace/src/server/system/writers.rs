//! What writes to others: targets, and objects of a cluster; and which of several replicas does.

use std::sync::Arc;

use super::live::run_until_stopped;
use crate::api::InCluster;
use crate::cluster::{CertificateFigures, Certificates, CertificatesTask, ObjectAdmission};
use crate::config::{Config, KubernetesSource, Readyz, SourceSettings};
use crate::control::History;
use crate::model::source::SourceId;
use crate::observe::metrics::Metrics;
use crate::server::supervisor::Spawner;
use crate::source::{Election, Elector, KubernetesFigures, Leadership, Registry};
use crate::target::{Around, RunningTargets, TargetFigures, Targets};

/// Whether this replica writes.
pub(super) struct Writers {
    leadership: Leadership,
}

/// Begins the election, where there is one, and makes the sources, none of which is watched yet.
pub(super) fn start(config: &Config, spawner: &Spawner) -> (Writers, Arc<Registry>) {
    let figures: Arc<KubernetesFigures> = Arc::default();
    let mut leadership = Leadership::default();
    let election = &config.kubernetes.leader_election;
    // A dry run writes no Lease either: what it says would be written is the same on each replica.
    if election.enabled
        && !config.dry_run.is_on()
        && let Some((_, cluster)) = cluster(config)
    {
        let (elector, seen) = Elector::new(Election::new(election), Arc::clone(&figures));
        leadership = seen;
        let (cluster, stopping) = (cluster.clone(), spawner.stopping());
        spawner.spawn("leader election", async move {
            elector.run(cluster, stopping).await;
            Ok(())
        });
    }
    let sources = Registry::new(&config.sources).writing(leadership.clone(), figures, config.dry_run);
    (Writers { leadership }, Arc::new(sources))
}

impl Writers {
    /// Starts the tasks of targets and certificates.
    pub(super) fn tasks(
        self,
        config: &Config,
        history: &Arc<History>,
        sources: &Arc<Registry>,
        metrics: &Metrics,
        spawner: &Spawner,
    ) -> (RunningTargets, Arc<Targets>) {
        let around = Around {
            sources: Arc::clone(sources),
            figures: Arc::new(TargetFigures::default()),
            targets: Arc::default(),
            dry_run: config.dry_run,
            stop: spawner.stopping(),
        };
        metrics.show_targets(&around.figures);
        let reports = Arc::clone(&around.targets);
        let mut targets = RunningTargets::new(around);
        for task in targets.replace(&config.targets, history) {
            run_until_stopped(spawner, "target", task);
        }
        let certificates = &config.kubernetes.certificates;
        if (certificates.watch || !certificates.wildcards.is_empty())
            && let Some((_, cluster)) = cluster(config)
        {
            let figures: Arc<CertificateFigures> = Arc::default();
            metrics.show_certificates(Arc::clone(&figures));
            let task = Certificates::new(CertificatesTask {
                cluster: cluster.clone(),
                config: certificates.clone(),
                history: Arc::clone(history),
                leadership: self.leadership,
                dry_run: config.dry_run,
                figures,
            });
            let stopping = spawner.stopping();
            spawner.spawn("certificates", async move {
                task.run(stopping).await;
                Ok(())
            });
        }
        (targets, reports)
    }
}

/// What requests need to know of the cluster.
pub(super) fn in_cluster(config: &Config) -> InCluster {
    let admission = config.kubernetes.webhook.as_ref().and_then(|_| cluster(config));
    InCluster {
        readyz_needs_peers: config.kubernetes.readyz == Readyz::Peers,
        admission: admission.map(|(source, settings)| ObjectAdmission::new(source.clone(), settings.clone())),
    }
}

fn cluster(config: &Config) -> Option<(&SourceId, &KubernetesSource)> {
    let source = config.kubernetes.cluster(&config.sources)?;
    match &source.settings {
        SourceSettings::Kubernetes(settings) => Some((&source.id, settings)),
        _ => None,
    }
}
