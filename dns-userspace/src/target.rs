//! Targets: where names of watched sources go besides our own zones.
//!
//! ```text
//! history ─ publications ─► Wanted (records of watched sources that are served) ─► hosts file
//!                                                                              └─► Technitium
//! ```
//!
//! A target follows what is served: an RRset that another source hides is not written. Each target is a task of its
//! own, and one that fails holds nothing up.

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
use crate::config::{DryRun, TargetsConfig};
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

/// The tasks of all targets, each until the end.
pub fn tasks(config: &TargetsConfig, history: &Arc<History>, around: &Around) -> Vec<BoxFuture<'static, ()>> {
    let mut tasks = Vec::new();
    let mut add = |task: BoxFuture<'static, ()>| tasks.push(task);
    for config in &config.technitium {
        let target = Managed::new(config.provider.clone(), Technitium::new(config));
        add(follow(history.subscribe(None), target, around.clone()).boxed());
    }
    for config in &config.cloudflare {
        let target = Managed::new(config.provider.clone(), Cloudflare::new(config));
        add(follow(history.subscribe(None), target, around.clone()).boxed());
    }
    for config in &config.route53 {
        let target = Managed::new(config.provider.clone(), Route53::new(config));
        add(follow(history.subscribe(None), target, around.clone()).boxed());
    }
    for config in &config.slack {
        add(follow(history.subscribe(None), Slack::new(config.clone()), around.clone()).boxed());
    }
    for config in &config.hosts_file {
        add(follow(history.subscribe(None), HostsFile::new(config.clone()), around.clone()).boxed());
    }
    tasks
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
            () = around.stop.cancelled() => return,
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
