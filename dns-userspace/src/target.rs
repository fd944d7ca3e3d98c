//! Targets: where names of watched sources go besides our own zones.
//!
//! ```text
//! history ─ publications ─► Wanted (records of watched sources that are served) ─► hosts file
//!                                                                              └─► Technitium
//! ```
//!
//! A target follows what is served: an RRset that another source hides is not written. Each target is a task of its
//! own, and one that fails holds nothing up.

mod figures;
mod hosts_file;
mod technitium;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

pub use self::figures::TargetFigures;
use self::hosts_file::HostsFile;
use self::technitium::Technitium;
use self::wanted::Wanted;
use crate::config::{HostsFileConfig, TargetsConfig, TechnitiumConfig};
use crate::control::{History, Subscription};
use crate::source::Registry;

/// Where names go. Its calls block.
trait Target: Send + 'static {
    /// What messages call it, such as `technitium/home`.
    fn key(&self) -> String;

    /// Writes what differs; when it wants to be called again although nothing has changed.
    fn write(&mut self, wanted: &Wanted, around: &Around) -> Result<Option<Duration>, String>;
}

/// What stands around a target.
#[derive(Clone)]
struct Around {
    sources: Arc<Registry>,
    figures: Arc<TargetFigures>,
    stop: CancellationToken,
}

/// Before a target that failed is tried again, in seconds.
const PAUSES: [u64; 6] = [1, 2, 4, 8, 16, 30];

/// The targets that run.
#[derive(Default)]
pub struct Targets {
    running: Vec<Running>,
    /// What they count.
    pub figures: Arc<TargetFigures>,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Configured {
    Technitium(TechnitiumConfig),
    HostsFile(HostsFileConfig),
}

/// Its task.
struct Running {
    configured: Configured,
    stop: CancellationToken,
    /// Is cancelled once it has ended.
    ended: CancellationToken,
}

impl Targets {
    /// These are configured from now on: those that run already and differ in nothing go on, the others are stopped.
    /// The tasks of those that come, each until `stop`.
    pub fn replace(
        &mut self,
        config: &TargetsConfig,
        history: &Arc<History>,
        sources: &Arc<Registry>,
        stop: &CancellationToken,
    ) -> Vec<BoxFuture<'static, ()>> {
        let technitium = config.technitium.iter().cloned().map(Configured::Technitium);
        let hosts = config.hosts_file.iter().cloned().map(Configured::HostsFile);
        let wanted: Vec<Configured> = technitium.chain(hosts).collect();
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
                sources: Arc::clone(sources),
                figures: Arc::clone(&self.figures),
                stop: stop.child_token(),
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
                match configured {
                    Configured::Technitium(config) => follow(served, Technitium::new(config), around).await,
                    Configured::HostsFile(config) => follow(served, HostsFile::new(config), around).await,
                }
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
            () = around.stop.cancelled() => return,
        };
        let is_woken = event.is_none();
        let mut is_changed = event.is_some_and(|event| wanted.take(&event));
        while let Some(event) = served.poll() {
            is_changed |= wanted.take(&event);
        }
        // What is served before the records are read says nothing.
        if wanted.is_withheld() || !(is_changed || is_woken) {
            continue;
        }
        let Some(mut taken) = target.take() else {
            return;
        };
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
                said = Some(reason);
                again = Some(Instant::now() + pause);
            }
        }
    }
}

#[cfg(test)]
mod tests;
