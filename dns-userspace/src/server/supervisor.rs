//! The only place that spawns tasks, and that knows when the process ends.
//!
//! ```text
//! spawn(name, task) ─► runs until `stopping` ─┬─ ended when asked to: fine
//!                                             └─ ended before, failed, panicked ─► the process stops, with an error
//! ```

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::signals::Signals;

/// How long queries, requests and tasks may take to finish once the process is told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// What is supervised: everything that was started.
pub(super) trait Service: Send + Sync + 'static {
    /// Reads the files again, and logs the result.
    fn reload(&self) -> impl Future<Output = ()> + Send;
    /// Takes nothing new, finishes what has come, closes the storage; within `limit`.
    fn stop(&self, limit: Duration) -> impl Future<Output = ()> + Send;
}

/// Owns the tasks of the process.
pub(super) struct Supervisor {
    spawner: Spawner,
    deaths: mpsc::UnboundedReceiver<Death>,
}

/// Spawns supervised tasks.
#[derive(Clone)]
pub(super) struct Spawner {
    tasks: TaskTracker,
    stopping: CancellationToken,
    deaths: mpsc::UnboundedSender<Death>,
}

/// A task that ended though nobody asked it to.
#[derive(Debug)]
struct Death {
    task: &'static str,
    cause: anyhow::Error,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the task `{}` died: {:#}", self.task, self.cause)
    }
}

impl Supervisor {
    pub(super) fn new() -> Self {
        let (sender, deaths) = mpsc::unbounded_channel();
        let spawner = Spawner {
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            deaths: sender,
        };
        Self { spawner, deaths }
    }

    pub(super) fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// Runs until a signal or a death, then stops everything; an error unless it was the first signal alone.
    pub(super) async fn supervise(mut self, service: impl Service, mut signals: Signals) -> anyhow::Result<()> {
        let service = Arc::new(service);
        if let Some(mut hangups) = signals.take_hangups() {
            let (service, stopping) = (Arc::clone(&service), self.spawner.stopping());
            // A reload that is under way when the process stops is left to the service's `stop`.
            self.spawner.spawn("reload", async move {
                let reloads = async {
                    loop {
                        hangups.next().await;
                        info!("SIGHUP: reloading");
                        service.reload().await;
                    }
                };
                tokio::select! {
                    () = reloads => {}
                    () = stopping.cancelled() => {}
                }
                Ok(())
            });
        }
        let result = tokio::select! {
            signal = signals.stop() => {
                info!("{signal}: stopping");
                Ok(())
            }
            Some(death) = self.deaths.recv() => {
                error!("{death}");
                Err(anyhow!("{death}"))
            }
        };
        tokio::select! {
            () = self.drain(&*service) => {}
            signal = signals.stop() => return result.and(Err(anyhow!("{signal} while stopping: ended at once"))),
        }
        info!("stopped");
        result
    }

    /// Stops everything, within [`DRAIN`].
    async fn drain(&self, service: &impl Service) {
        // From here on an end is no death.
        self.spawner.stopping.cancel();
        self.spawner.tasks.close();
        let all = async {
            service.stop(DRAIN).await;
            self.spawner.tasks.wait().await;
        };
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            warn!("not everything ended within {} s: ended without it", DRAIN.as_secs());
        }
    }
}

impl Spawner {
    /// Cancelled when the process stops: a task that waits for it ends then.
    pub(super) fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Runs a task that has no end of its own before [`Self::stopping`].
    pub(super) fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let reporter = self.clone();
        self.tasks.spawn(async move {
            let end = AssertUnwindSafe(task).catch_unwind().await;
            reporter.report(name, end);
        });
    }

    /// Watches a thread that has no end of its own before [`Self::stopping`].
    pub(super) fn watch_thread(&self, name: &'static str, thread: JoinHandle<()>) {
        let reporter = self.clone();
        self.tasks.spawn(async move {
            // Joining is cheap but blocks; the thread that does it is the runtime's, for as long.
            let end = tokio::task::spawn_blocking(move || thread.join()).await;
            let end = end.unwrap_or_else(|error| Err(Box::new(error.to_string())));
            reporter.report(name, end.map(Ok));
        });
    }

    fn report(&self, task: &'static str, end: std::thread::Result<anyhow::Result<()>>) {
        let cause = match end {
            Err(panic) => anyhow!("it panicked: {}", panic_message(&*panic)),
            Ok(Err(error)) => error,
            Ok(Ok(())) => anyhow!("it ended"),
        };
        if !self.stopping.is_cancelled() {
            // Nobody listens any more once the process stops.
            let _ = self.deaths.send(Death { task, cause });
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[derive(Clone, Default)]
    struct Counting(Arc<Counts>);

    #[derive(Default)]
    struct Counts {
        reloads: AtomicUsize,
        stops: AtomicUsize,
        hangs: bool,
    }

    impl Service for Counting {
        async fn reload(&self) {
            self.0.reloads.fetch_add(1, Ordering::SeqCst);
        }

        async fn stop(&self, _limit: Duration) {
            self.0.stops.fetch_add(1, Ordering::SeqCst);
            if self.0.hangs {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Signals are the process's: these tests take turns.
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    async fn until(what: impl Fn() -> bool) {
        let wait = async {
            while !what() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait)
            .await
            .expect("happens in time");
    }

    #[tokio::test]
    async fn sighup_reloads_and_sigterm_stops_with_success() {
        let _turn = TURN.lock().await;
        let signals = Signals::install().expect("signals");
        let counts = Counting::default();
        let running = tokio::spawn(Supervisor::new().supervise(counts.clone(), signals));
        raise(Signal::SIGHUP).expect("raised");
        until(|| counts.0.reloads.load(Ordering::SeqCst) == 1).await;
        raise(Signal::SIGTERM).expect("raised");
        running.await.expect("no panic").expect("a clean stop");
        assert_eq!(counts.0.stops.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_second_signal_ends_at_once() {
        let _turn = TURN.lock().await;
        let signals = Signals::install().expect("signals");
        let counts = Counting(Arc::new(Counts {
            hangs: true,
            ..Counts::default()
        }));
        let running = tokio::spawn(Supervisor::new().supervise(counts.clone(), signals));
        raise(Signal::SIGINT).expect("raised");
        until(|| counts.0.stops.load(Ordering::SeqCst) == 1).await;
        raise(Signal::SIGINT).expect("raised");
        let error = running.await.expect("no panic").expect_err("not a clean stop");
        assert!(error.to_string().contains("at once"), "{error}");
    }

    #[tokio::test]
    async fn a_task_that_dies_ends_the_process_with_its_name() {
        let _turn = TURN.lock().await;
        for (task, message) in [
            (
                async { panic!("no reason") }.boxed(),
                "`worker` died: it panicked: no reason",
            ),
            (
                async { Err(anyhow!("out of luck")) }.boxed(),
                "`worker` died: out of luck",
            ),
            (async { Ok(()) }.boxed(), "`worker` died: it ended"),
        ] {
            let supervisor = Supervisor::new();
            supervisor.spawner().spawn("worker", task);
            let counts = Counting::default();
            let signals = Signals::install().expect("signals");
            let error = supervisor
                .supervise(counts.clone(), signals)
                .await
                .expect_err("a death");
            assert!(error.to_string().contains(message), "{error}");
            assert_eq!(counts.0.stops.load(Ordering::SeqCst), 1);
        }
        let supervisor = Supervisor::new();
        supervisor
            .spawner()
            .watch_thread("thread", std::thread::spawn(|| panic!("in a thread")));
        let signals = Signals::install().expect("signals");
        let error = supervisor
            .supervise(Counting::default(), signals)
            .await
            .expect_err("a death");
        assert!(
            error.to_string().contains("`thread` died: it panicked: in a thread"),
            "{error}"
        );
    }
}
