//! `bench soak`: a running hotdns in a rough world, against a model of what it has acknowledged.
//!
//! ```text
//!   script ── one step after the other, drawn from the seed ──────────► zone files, configuration, reloads, SIGHUP,
//!     │                                                                 addresses, interfaces, kill -9
//!   editors ─ PUT and DELETE, each over names of its own ─────────────► API
//!   hostile ─ malformed frames, TCP and HTTP that never read or end ──► everything
//!     └─ after each step, and by editors after each change: asked over UDP and TCP, compared with the model
//! ```
//!
//! What must hold at any time: an acknowledged change is what every later answer shows, in both planes, also after a
//! `kill -9`; what is broken is named, and the last good state is served; an interface that goes takes nothing from the
//! others; memory and descriptors are bounded, and come back.
//!
//! The steps, the changes and the hostile octets follow from the seed. How they meet in time does not; so a fault is
//! said with the seed and the number of its step, and is looked for again with both.

mod editor;
mod hostile;
mod script;
mod world;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::json;

use self::script::Script;
use self::world::World;
use super::report::with_commas;
use crate::net::PATIENCE;

/// How long, and how rough.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How long, in seconds.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// End after so many steps, if that is earlier.
    #[arg(long)]
    steps: Option<u64>,
    /// What everything is drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// API clients at the same time.
    #[arg(long, default_value_t = 4)]
    editors: u64,
    /// Hostile connections of each kind at the same time.
    #[arg(long, default_value_t = 20)]
    hostile: usize,
    /// Also write what was seen, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What all threads share.
struct Shared {
    /// Everybody is to end.
    stop: AtomicBool,
    /// Held for reading while an answer is waited for, for writing while the server is down on purpose.
    up: RwLock<()>,
    /// What went wrong first.
    fault: Mutex<Option<anyhow::Error>>,
    /// How often the server was started anew.
    starts: AtomicU64,
    changes: AtomicU64,
    answers: AtomicU64,
    hostilities: AtomicU64,
}

impl Shared {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Keeps the first fault, and ends everything.
    fn fail(&self, fault: anyhow::Error) {
        let mut first = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(fault);
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The server's process at some moment.
#[derive(Clone, Copy, Debug, Default)]
struct Footprint {
    bytes: u64,
    descriptors: usize,
}

impl Footprint {
    fn larger(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }
}

/// What a server of this size never needs, whatever is done to it.
const MOST_BYTES: u64 = 1 << 30;
/// What is left over when everybody has gone may be so much more than it was: allocators keep some.
const SLACK_BYTES: u64 = 96 << 20;
const SLACK_DESCRIPTORS: usize = 24;

/// Runs, and reports; an error where anything did not hold.
pub fn run(options: &Options) -> Result<()> {
    ensure!(options.seconds > 0, "--seconds must be above 0");
    let mut world = World::new()?;
    let shared = Shared {
        stop: AtomicBool::new(false),
        up: RwLock::new(()),
        fault: Mutex::new(None),
        starts: AtomicU64::new(0),
        changes: AtomicU64::new(0),
        answers: AtomicU64::new(0),
        hostilities: AtomicU64::new(0),
    };
    let mut script = Script::new(options.seed);
    script.settle(&mut world, &shared).context("at the start")?;
    let quiet = world.footprint()?;
    let (client, server, pair) = (world.client.clone(), world.server.clone(), world.first.clone());

    let start = Instant::now();
    let mut most = quiet;
    thread::scope(|scope| {
        for number in 0..options.editors {
            let (client, server, shared) = (&client, &server, &shared);
            scope.spawn(move || {
                if let Err(fault) = server.enter(|| editor::edit(number, options.seed, client, shared)) {
                    shared.fail(fault.context(format!("API client {number}")));
                }
            });
        }
        hostile::start(scope, options.seed, options.hostile, (&client, &server, &pair), &shared);
        let is_time = |steps: u64| {
            start.elapsed() < Duration::from_secs(options.seconds) && options.steps.is_none_or(|most| steps < most)
        };
        while !shared.is_over() && is_time(script.steps()) {
            let outcome = script.step(&mut world, &shared).and_then(|()| {
                most = most.larger(world.footprint()?);
                ensure!(most.bytes <= MOST_BYTES, "{} MiB of memory", most.bytes >> 20);
                Ok(())
            });
            if let Err(fault) = outcome {
                shared.fail(fault);
            }
        }
        shared.stop.store(true, Ordering::Relaxed);
    });
    eprint!("\r\x1b[K");
    let fault = shared.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
    let outcome = match fault {
        Some(fault) => Err(fault),
        None => script
            .settle(&mut world, &shared)
            .and_then(|()| calm_down(&mut world, quiet)),
    };
    report(
        options,
        &script,
        &shared,
        (quiet, most, world.footprint().unwrap_or_default()),
    )?;
    if let Err(fault) = outcome {
        bail!(
            "{fault:#}\nseed {}, after the steps {}\n{}",
            options.seed,
            script.history(),
            world.end_of_log()
        );
    }
    Ok(())
}

/// When everybody has gone, connections and buffers go too.
fn calm_down(world: &mut World, quiet: Footprint) -> Result<()> {
    let start = Instant::now();
    loop {
        let now = world.footprint()?;
        let is_calm =
            now.descriptors <= quiet.descriptors + SLACK_DESCRIPTORS && now.bytes <= 2 * quiet.bytes + SLACK_BYTES;
        if is_calm {
            return Ok(());
        }
        ensure!(
            start.elapsed() < PATIENCE,
            "{now:?} {PATIENCE:?} after the last client went, it began with {quiet:?}"
        );
        thread::sleep(Duration::from_millis(100));
    }
}

fn report(
    options: &Options,
    script: &Script,
    shared: &Shared,
    footprints: (Footprint, Footprint, Footprint),
) -> Result<()> {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (quiet, most, last) = footprints;
    println!("steps                   {:>12}", with_commas(script.steps() as f64));
    for (what, times) in script.tally() {
        println!("  {what:<22}{times:>12}");
    }
    println!(
        "changes over the API    {:>12}",
        with_commas(count(&shared.changes) as f64)
    );
    println!(
        "answers compared        {:>12}",
        with_commas(count(&shared.answers) as f64)
    );
    println!(
        "hostile packets, clients{:>12}",
        with_commas(count(&shared.hostilities) as f64)
    );
    println!(
        "memory                  {:>8} MiB at first, {} at most, {} at last",
        quiet.bytes >> 20,
        most.bytes >> 20,
        last.bytes >> 20
    );
    println!(
        "descriptors             {:>12} at first, {} at most, {} at last",
        quiet.descriptors, most.descriptors, last.descriptors
    );
    if let Some(path) = &options.json {
        let value = json!({
            "seed": options.seed, "steps": script.steps(), "by_step": script.tally(),
            "changes": count(&shared.changes), "answers": count(&shared.answers),
            "hostilities": count(&shared.hostilities),
            "bytes": [quiet.bytes, most.bytes, last.bytes],
            "descriptors": [quiet.descriptors, most.descriptors, last.descriptors],
        });
        let text = serde_json::to_string_pretty(&value).context("cannot make JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
