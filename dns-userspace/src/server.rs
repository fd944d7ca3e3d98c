//! The running server: brings the parts up in order, takes them down, and acts on signals.
//!
//! ```text
//! configuration ─► HTTP (503) ─► zone files ─► storage ─► first publish ─► sockets ─► XDP attached ─► ready
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
use tokio::sync::oneshot;
use tracing::{info, warn};

use self::signals::Signals;
use self::supervisor::Supervisor;
use self::system::System;
use crate::config::{Config, ConfigError, ConfigSource, ConfigWithZones, Loaded, XdpMode};
use crate::host::privileges::{self, Needs};

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
    // Before any work: a signal whose handler is missing kills the process, and is lost where that is PID 1.
    let held = signals::Held::hold().context("cannot hold signals back")?;
    let reader = source.clone();
    let read = held.work(move || reader.load());
    let loaded = match read.context("the configuration cannot be read")? {
        Ok(read) => read.or_else(|errors| refuse(&errors))?,
        Err(signal) => {
            logging::say(&format!("hotdns: {signal} before the configuration was read: stopping"));
            return Ok(());
        }
    };
    logging::start(&loaded.config);
    let needs = needs(&loaded.config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_start(move || privileges::keep_what_is_needed(needs))
        .build()
        .context("cannot start the runtime")?;
    let signals = {
        let _context = runtime.enter();
        Signals::install().context("cannot listen for signals")?
    };
    held.release().context("cannot let signals through")?;
    let result = runtime.block_on(serve(source, loaded, signals));
    // Whatever did not stop in time is not waited for again.
    runtime.shutdown_background();
    result
}

async fn serve(source: ConfigSource, loaded: Loaded, mut signals: Signals) -> anyhow::Result<()> {
    let supervisor = Supervisor::new();
    let (started, has_started) = oneshot::channel::<()>();
    // Much of the start blocks its thread, which has the privileges for it; this is another one. A SIGHUP waits for the
    // supervisor.
    let listening = tokio::spawn(async move {
        tokio::select! {
            signal = signals.stop() => {
                info!("{signal} before the start was done: stopping");
                logging::flush();
                // Nothing is served yet, and nothing is left behind: as after SIGKILL, but in time.
                std::process::exit(0);
            }
            _ = has_started => signals,
        }
    });
    let system = System::start(source, loaded, supervisor.spawner()).await?;
    drop(started);
    let signals = listening.await.context("nobody listens for signals")?;
    supervisor.supervise(system, signals).await
}

/// For what a server with this configuration needs capabilities after the start.
fn needs(config: &Config) -> Needs {
    Needs {
        xdp: config.xdp.mode != XdpMode::Off && !config.xdp.interfaces.is_empty(),
    }
}

/// Says every error of the configuration, which is before there is a log.
fn refuse<T>(errors: &[ConfigError]) -> anyhow::Result<T> {
    for error in errors {
        logging::say(&error.to_string());
    }
    bail!("the configuration has {} error(s) and nothing is served", errors.len());
}

/// Logs what is odd but no reason to refuse the start.
fn announce(desired: &ConfigWithZones) {
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
        warn!("{}", clash.at_start());
    }
}
