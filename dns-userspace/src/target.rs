//! Targets: where names of watched sources go besides our own zones.
//!
//! ```text
//! history ─ publications ─► Wanted (records of watched sources that are served) ─► hosts file
//!                                                                              └─► Technitium
//! ```
//!
//! A target follows what is served: an RRset that another source hides is not written. Each target is a task of its
//! own, and one that fails holds nothing up.

mod adopt;
mod cloudflare;
mod drift;
mod figures;
mod hosts_file;
mod managed;
mod plan;
mod provider;
mod resync;
mod route53;
mod slack;
mod status;
mod technitium;
mod unified;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use self::cloudflare::Cloudflare;
pub use self::figures::TargetFigures;
use self::hosts_file::HostsFile;
use self::managed::Managed;
use self::route53::Route53;
use self::slack::Slack;
pub use self::status::{DriftReport, PendingChange, TargetReport, TargetState, Targets};
use self::technitium::Technitium;
use self::wanted::Wanted;
use crate::config::{
    CloudflareConfig, DryRun, HostsFileConfig, Route53Config, SlackConfig, TargetsConfig, TechnitiumConfig,
};
use crate::control::{History, Subscription};
use crate::source::Registry;

/// Where names go. Its calls block.
trait Target: Send + 'static {
    /// What messages call it, such as `technitium/home`.
    fn key(&self) -> String;

    /// Whether it is of this machine alone: then each replica writes its own.
    fn is_local(&self) -> bool {
        false
    }

    /// Another replica writes from now on.
    fn stand_by(&mut self) {}

    /// Writes what differs; when it wants to be called again although nothing has changed.
    fn write(&mut self, wanted: &Wanted, around: &Around) -> Result<Option<Duration>, String>;
}

/// What stands around a target.
#[derive(Clone)]
pub struct Around {
    /// The watched sources, what their objects ask for, and whether this replica leads.
    pub sources: Arc<Registry>,
    /// What is counted.
    pub figures: Arc<TargetFigures>,
    /// How each target is.
    pub targets: Arc<Targets>,
    /// Whether what would be written is only said.
    pub dry_run: DryRun,
    /// The end.
    pub stop: CancellationToken,
}

/// Before a target that failed is tried again, in seconds.
const PAUSES: [u64; 6] = [1, 2, 4, 8, 16, 30];

/// The targets that run.
pub struct RunningTargets {
    running: Vec<Running>,
    /// What stands around all of them.
    around: Around,
}

/// One target.
#[derive(Debug, Clone, PartialEq)]
enum Configured {
    Technitium(TechnitiumConfig),
    Cloudflare(CloudflareConfig),
    Route53(Route53Config),
    Slack(SlackConfig),
    HostsFile(HostsFileConfig),
}

/// Its task.
struct Running {
    configured: Configured,
    stop: CancellationToken,
    /// Is cancelled once it has ended.
    ended: CancellationToken,
}

impl Configured {
    fn all(config: &TargetsConfig) -> Vec<Self> {
        let technitium = config.technitium.iter().cloned().map(Self::Technitium);
        let cloudflare = config.cloudflare.iter().cloned().map(Self::Cloudflare);
        let route53 = config.route53.iter().cloned().map(Self::Route53);
        let slack = config.slack.iter().cloned().map(Self::Slack);
        let hosts = config.hosts_file.iter().cloned().map(Self::HostsFile);
        technitium
            .chain(cloudflare)
            .chain(route53)
            .chain(slack)
            .chain(hosts)
            .collect()
    }

    async fn follow(self, served: Subscription, around: Around) {
        match self {
            Self::Technitium(config) => {
                let target = Technitium::new(&config);
                follow(served, Managed::new(config.provider, target), around).await;
            }
            Self::Cloudflare(config) => {
                let target = Cloudflare::new(&config);
                follow(served, Managed::new(config.provider, target), around).await;
            }
            Self::Route53(config) => {
                let target = Route53::new(&config);
                follow(served, Managed::new(config.provider, target), around).await;
            }
            Self::Slack(config) => follow(served, Slack::new(config), around).await,
            Self::HostsFile(config) => follow(served, HostsFile::new(config), around).await,
        }
    }
}

impl RunningTargets {
    /// None yet.
    pub fn new(around: Around) -> Self {
        Self {
            running: Vec::new(),
            around,
        }
    }

    /// These are configured from now on: those that run already and differ in nothing go on, the others are stopped.
    /// The tasks of those that come, each until the end.
    pub fn replace(&mut self, config: &TargetsConfig, history: &Arc<History>) -> Vec<BoxFuture<'static, ()>> {
        let wanted = Configured::all(config);
        let is_wanted = |running: &Running| wanted.contains(&running.configured);
        let (kept, gone): (Vec<_>, Vec<_>) = self.running.drain(..).partition(is_wanted);
        self.running = kept;
        gone.iter().for_each(|running| running.stop.cancel());
        // A target whose configuration differs may write where another one wrote: one after the other.
        let gone: Vec<CancellationToken> = gone.into_iter().map(|running| running.ended).collect();
        let mut tasks = Vec::new();
        for configured in wanted {
            if self.running.iter().any(|running| running.configured == configured) {
                continue;
            }
            let around = Around {
                stop: self.around.stop.child_token(),
                ..self.around.clone()
            };
            let running = Running {
                configured: configured.clone(),
                stop: around.stop.clone(),
                ended: CancellationToken::new(),
            };
            let (ended, before) = (running.ended.clone(), gone.clone());
            let served = history.subscribe(None);
            let task = async move {
                let _ended = ended.drop_guard();
                for before in before {
                    before.cancelled().await;
                }
                configured.follow(served, around).await;
            };
            tasks.push(task.boxed());
            self.running.push(running);
        }
        tasks
    }
}

/// Keeps a target in step with what is served.
async fn follow(mut served: Subscription, target: impl Target, around: Around) {
    let key = target.key();
    let mut target = Some(target);
    let mut wanted = Wanted::default();
    let mut failures = 0;
    let mut again: Option<Instant> = None;
    let mut said = None;
    // A target is looked at once though nothing is wanted there: what it has of us may have to go.
    let mut is_first = true;
    let mut leadership = around.sources.leadership().clone();
    around.targets.update(&key, |_| {});
    loop {
        let wake = async {
            match again {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            event = served.next() => match event {
                Some(event) => Some(event),
                None => return,
            },
            () = wake => None,
            () = leadership.changed() => None,
            () = around.stop.cancelled() => {
                around.targets.forget(&key);
                return;
            }
        };
        let is_woken = event.is_none();
        let mut is_changed = event.is_some_and(|event| wanted.take(&event));
        while let Some(event) = served.poll() {
            is_changed |= wanted.take(&event);
        }
        // What is served before the records are read says nothing.
        if wanted.is_withheld() || !(is_changed || is_woken || is_first) {
            continue;
        }
        is_first = false;
        let Some(mut taken) = target.take() else {
            return;
        };
        if !taken.is_local() && !leadership.leads() {
            taken.stand_by();
            target = Some(taken);
            again = None;
            around.targets.update(&key, |report| {
                *report = TargetReport {
                    state: TargetState::Standby,
                    ..TargetReport::default()
                };
            });
            continue;
        }
        let (content, beside) = (wanted.clone(), around.clone());
        let writing = tokio::task::spawn_blocking(move || {
            let outcome = taken.write(&content, &beside);
            (taken, outcome)
        });
        let outcome = match writing.await {
            Ok((taken, outcome)) => {
                target = Some(taken);
                outcome
            }
            Err(panic) => {
                error!("target {key}: its task panicked: {panic}. Nothing more is written there; please report this");
                return;
            }
        };
        match outcome {
            Ok(pause) => {
                failures = 0;
                said = None;
                again = pause.map(|pause| Instant::now() + pause);
            }
            Err(reason) => {
                let pause = Duration::from_secs(PAUSES[failures.min(PAUSES.len() - 1)]);
                failures += 1;
                if said.as_ref() != Some(&reason) {
                    warn!("target {key}: {reason}; tried again");
                }
                around.targets.update(&key, |report| {
                    // Where it is the error of one change, the target has said so itself.
                    if report.error.as_ref() != Some(&reason) {
                        report.state = TargetState::Failing;
                        report.error = Some(reason.clone());
                    }
                });
                said = Some(reason);
                again = Some(Instant::now() + pause);
            }
        }
    }
}

#[cfg(test)]
mod tests;
