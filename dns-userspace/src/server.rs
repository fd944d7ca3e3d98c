//! The running server: brings the parts up in order, takes them down, and acts on signals.
//!
//! ```text
//! configuration ─► storage ─► store ─► first publish ─► sockets bound ─► XDP attached ─► ready
//!      SIGHUP ─► reload       SIGTERM, SIGINT ─► accept nothing new, drain, stop (a second one: at once)
//! ```
//!
//! A bad configuration refuses the start; a bad zone never does. Only the supervisor spawns tasks: one that dies
//! ends the process with an error, and whoever started it starts it anew. `kill -9` is a way to stop, too: nothing
//! is pinned or left attached, and what was acknowledged is on disk.

mod logging;
mod signals;
mod supervisor;
mod system;

use std::process::ExitCode;

use anyhow::{Context, bail};
use tracing::{info, warn};

use self::signals::Signals;
use self::supervisor::{Spawner, Supervisor};
use self::system::System;
use crate::config::{ConfigError, ConfigSource, Desired};

/// Serves until a signal says stop (exit code 0) or a part fails (1, and the reason is the last line).
pub fn run(source: ConfigSource) -> ExitCode {
    logging::catch_panics();
    let result = run_in_runtime(source);
    if let Err(error) = &result {
        logging::say(&format!("hotdns: {error:#}"));
    }
    logging::flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run_in_runtime(source: ConfigSource) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    // Before any work: a signal whose handler is missing kills the process, and is lost where that is PID 1.
    let signals = {
        let _context = runtime.enter();
        Signals::install().context("cannot listen for signals")?
    };
    let result = runtime.block_on(serve(source, signals));
    // Whatever did not stop in time is not waited for again.
    runtime.shutdown_background();
    result
}

async fn serve(source: ConfigSource, mut signals: Signals) -> anyhow::Result<()> {
    let supervisor = Supervisor::new();
    // In a task of its own: much of the start blocks its thread, and signals are to be heard meanwhile. A SIGHUP waits
    // for the supervisor.
    let starting = tokio::spawn(start(source, supervisor.spawner()));
    let system = tokio::select! {
        started = starting => started.context("the start failed")??,
        signal = signals.stop() => {
            match logging::is_started() {
                true => info!("{signal} before the start was done: stopping"),
                false => logging::say(&format!("hotdns: {signal} before the configuration was read: stopping")),
            }
            return Ok(());
        }
    };
    supervisor.supervise(system, signals).await
}

async fn start(source: ConfigSource, spawner: Spawner) -> anyhow::Result<System> {
    let reader = source.clone();
    let read = tokio::task::spawn_blocking(move || reader.load_everything()).await;
    let desired = read
        .context("the configuration cannot be read")?
        .or_else(|errors| refuse(&errors))?;
    logging::start(desired.config.log_level, desired.config.log_format);
    announce(&desired);
    System::start(source, desired, spawner).await
}

/// Says every error of the configuration, which is before there is a log.
fn refuse<T>(errors: &[ConfigError]) -> anyhow::Result<T> {
    for error in errors {
        logging::say(&error.to_string());
    }
    bail!("the configuration has {} error(s) and nothing is served", errors.len());
}

/// Logs what is odd but no reason to refuse the start.
fn announce(desired: &Desired) {
    let config = &desired.config;
    info!(
        config = %config.file.display(),
        zones = desired.zones.len(),
        records = config.records.len(),
        version = env!("CARGO_PKG_VERSION"),
        "starting",
    );
    for warning in &desired.warnings {
        warn!("{warning}");
    }
    for clash in &desired.clashes {
        warn!("{clash} (the zone file's is served)");
    }
}
