//! `bench churn`: thousands of changes a second, while a closed loop goes on and checkers ask names that change.
//!
//! ```text
//!   feeder ─ batches of changes ─► Store ─► Publisher ─► the program's maps, and what the sockets answer from
//!   closed loop ─ names that do not change ──► XDP ─┬─► counted: wrong ones by the generator
//!   checkers ─ names that change, one at a time ────┴─► sockets, where XDP passes
//! ```
//!
//! Store, publisher, program and sockets are those of the server, in this process; what is left out is the API and the
//! disk.
//!
//! Each name goes through numbered states. A query that is sent after state N was acknowledged must not get an older
//! one, and none may get a state that was not yet begun when its reply came. Every eighth state is that the name does
//! not exist.

mod checker;
mod feeder;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::json;

use self::checker::Checks;
use self::feeder::{Fed, States};
use super::circuit::{Frames, Sample};
use super::load::{self, Load, Returns};
use super::report::{median, with_commas};
use super::site::Site;

/// What to measure, and how long.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many names the zone has that do not change.
    #[arg(long, default_value_t = 100_000)]
    names: u64,
    /// How many names change.
    #[arg(long, default_value_t = 10_000)]
    changing: u32,
    /// Changes in a second.
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// Changes that are published together.
    #[arg(long, default_value_t = 500)]
    batch: u32,
    /// How long the loop is measured without changes, and again with them, in each round, in seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Packets under way in the closed loop.
    #[arg(long, default_value_t = 128)]
    in_flight: usize,
    /// Clients that ask names that change.
    #[arg(long, default_value_t = 2)]
    checkers: usize,
    /// Also write what was measured, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Fewer than this share of the wanted changes, and churn was not what was measured.
const FED: f64 = 0.95;

/// The loop without changes and with them, and what came of the changes.
struct Round {
    quiet: Sample,
    churned: Sample,
    fed: Fed,
    checks: Checks,
}

/// Measures and reports; an error where an answer was wrong, old or missing.
pub fn run(options: &Options) -> Result<()> {
    ensure!(
        options.seconds > 0.0 && options.seconds.is_finite() && options.rounds > 0,
        "--seconds and --rounds must be above 0"
    );
    ensure!(
        options.batch > 0 && options.rate > 0 && options.in_flight > 0 && options.checkers > 0,
        "--batch, --rate, --in-flight and --checkers must be above 0"
    );
    ensure!(
        options.changing.is_multiple_of(options.batch) && options.changing > 0,
        "--changing must be a multiple of --batch"
    );
    let load = load::named(options.names, &["a"])?.remove(0);
    eprint!("\r\x1b[Kstarting");
    let mut site = Site::new("churn", &load.zone)?;
    let states = States::new(&load.zone, options.changing, options.batch);
    site.apply(states.first())?;
    site.serve(&load)?;

    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        eprint!("\r\x1b[Kround {} of {}", round + 1, options.rounds);
        rounds.push(measure(&mut site, &states, &load, options)?);
    }
    eprint!("\r\x1b[K");
    report(&rounds, &load, options)
}

fn measure(site: &mut Site, states: &States, load: &Load, options: &Options) -> Result<Round> {
    let time = Duration::from_secs_f64(options.seconds);
    site.circuit
        .start(load, Returns::Replies, Frames::Full, options.in_flight)?;
    let quiet = site.circuit.measure(time)?;
    let stop = AtomicBool::new(false);
    let (publication, circuit) = site.parts();
    let (churned, fed, checks) = thread::scope(|scope| {
        let stop = &stop;
        let feeder = scope.spawn(move || states.feed(publication, options.rate, stop));
        let checkers: Vec<_> = (0..options.checkers)
            .map(|number| scope.spawn(move || checker::check(circuit, load, states, number as u64, stop)))
            .collect();
        let churned = circuit.measure(time);
        stop.store(true, Relaxed);
        let fed = feeder.join().ok().context("the feeder panicked")?;
        let mut checks = Checks::default();
        for checker in checkers {
            checks.add(checker.join().ok().context("a checker panicked")??);
        }
        anyhow::Ok((churned?, fed?, checks))
    })?;
    site.circuit.stop()?;
    Ok(Round {
        quiet,
        churned,
        fed,
        checks,
    })
}

fn report(rounds: &[Round], load: &Load, options: &Options) -> Result<()> {
    let all = |of: &dyn Fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<f64>>();
    let (quiet, churned) = (all(&|round| round.quiet.rate()), all(&|round| round.churned.rate()));
    let ratios: Vec<f64> = churned
        .iter()
        .zip(&quiet)
        .map(|(churned, quiet)| churned / quiet)
        .collect();
    let fed = all(&|round| round.fed.rate());
    let longest = all(&|round| round.fed.longest.as_secs_f64() * 1e3)
        .into_iter()
        .fold(0.0, f64::max);
    let mut checks = Checks::default();
    for round in rounds {
        checks.add(round.checks.clone());
    }
    let wrong = all(&|round| round.churned.wrong(load) + round.quiet.wrong(load))
        .into_iter()
        .sum::<f64>();
    println!("changes/s                     {:>14}", with_commas(median(&fed)));
    println!("longest batch of {:<10}   {longest:>14.1} ms", options.batch);
    println!(
        "loop without changes          {:>14} queries/s",
        with_commas(median(&quiet))
    );
    println!(
        "loop with changes             {:>14} queries/s",
        with_commas(median(&churned))
    );
    println!("its share                     {:>14.3}", median(&ratios));
    println!("names asked that change       {:>14}", with_commas(checks.asked as f64));
    println!("  answered before the change  {:>14}", with_commas(checks.older as f64));
    println!("  old, wrong, missing         {:>14}", checks.faults.len());
    if let Some(path) = &options.json {
        let value = json!({
            "changes_per_second": fed, "longest_batch_ms": longest, "batch": options.batch,
            "loop_without_changes": quiet, "loop_with_changes": churned, "share": median(&ratios),
            "asked": checks.asked, "faults": checks.faults,
        });
        let text = serde_json::to_string_pretty(&value).context("cannot make JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    ensure!(wrong == 0.0, "some of the loop's replies were wrong");
    if !checks.faults.is_empty() {
        let shown: Vec<&str> = checks.faults.iter().take(5).map(String::as_str).collect();
        bail!("{} wrong answers:\n  {}", checks.faults.len(), shown.join("\n  "));
    }
    ensure!(checks.asked > 0, "nothing was asked");
    ensure!(
        median(&fed) >= FED * f64::from(options.rate),
        "only {:.0} of {} changes a second were made: this machine, or this build, is too slow",
        median(&fed),
        options.rate
    );
    Ok(())
}
