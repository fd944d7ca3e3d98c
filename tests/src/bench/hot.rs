//! `bench hot`: queries a second, as a share of the limit, all contestants in turn.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use super::circuit::{Frames, Sample};
use super::contestant::{Contestant, Stage};
use super::load::{self, Load};
use super::report::{Figures, Outcome, Report};
use crate::testrun::BpfStatistics;

/// What to measure, and how long.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many names a zone has.
    #[arg(long, default_value_t = 100_000)]
    names: u64,
    /// How long one measurement takes, in seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How often everything is measured, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Packets under way.
    #[arg(long, default_value_t = 128)]
    in_flight: usize,
    /// The frames that are put into the loop.
    #[arg(long, value_enum, default_value_t = Frames::Full)]
    frames: Frames,
    /// Who takes part beside the limit; by default all that are installed.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Contestant>,
    /// The loads: a, edns, cookie, ipv6, vlan, nodata, nxdomain, deep, wildcard, txt, aaaa, cname, referral, long.
    #[arg(long, value_delimiter = ',', default_value = "a")]
    loads: Vec<String>,
    /// Also write everything that was measured, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures and reports; an error where the figures cannot be trusted.
pub fn run(options: &Options) -> Result<()> {
    ensure!(
        options.names > 0 && options.names <= 1 << 32,
        "--names must be 1 to 2^32"
    );
    ensure!(
        options.seconds > 0.0 && options.seconds.is_finite(),
        "--seconds must be above 0"
    );
    ensure!(
        options.rounds > 0 && options.in_flight > 0,
        "--rounds and --in-flight must be above 0"
    );
    let loads = load::named(options.names, &options.loads)?;
    let mut report = Report::new(options.names, options.in_flight, options.seconds, options.frames);
    let mut stages = start(options, &loads, &mut report)?;
    let time = Duration::from_secs_f64(options.seconds);
    for round in 0..options.rounds {
        for load in &loads {
            for stage in stages.iter_mut().filter(|stage| stage.contestant.takes(load)) {
                eprint!(
                    "\r\x1b[Kround {} of {}: {}: {}",
                    round + 1,
                    options.rounds,
                    load.title,
                    stage.contestant.title()
                );
                let sample = measure(stage, load, options, time)?;
                report.add(
                    load,
                    stage.contestant,
                    Outcome::new(load, stage.contestant, options.in_flight, &sample),
                );
            }
        }
    }
    for load in &loads {
        for stage in stages.iter_mut().filter(|stage| stage.contestant.is_xdp_program()) {
            let figures = figures(stage, load, options)?;
            report.add_figures(load, stage.contestant, figures);
        }
    }
    eprint!("\r\x1b[K");
    println!("{report}");
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report.to_json()).context("cannot make JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    report.faults()
}

/// Starts everyone who takes part. Who was not asked for by name may be missing.
fn start(options: &Options, loads: &[Load], report: &mut Report) -> Result<Vec<Stage>> {
    let mut zones: Vec<_> = Vec::new();
    for load in loads {
        if !zones.contains(&load.zone) {
            zones.push(load.zone.clone());
        }
    }
    let mut stages = Vec::new();
    for contestant in Contestant::value_variants() {
        let is_wanted = options.only.contains(contestant);
        if !is_wanted && !options.only.is_empty() && *contestant != Contestant::Bounce {
            continue;
        }
        eprint!("\r\x1b[Kstarting {}", contestant.title());
        let started = contestant
            .version()
            .and_then(|version| Ok((version, contestant.start(&zones, loads)?)));
        match started {
            Ok((version, stage)) => {
                report.add_version(*contestant, version);
                stages.push(stage);
            }
            Err(error) if is_wanted || *contestant == Contestant::Bounce => {
                return Err(error).with_context(|| format!("cannot measure {}", contestant.title()));
            }
            Err(error) => eprintln!("\r\x1b[Kwithout {}: {error:#}", contestant.title()),
        }
    }
    if stages.len() == 1 && !options.only.contains(&Contestant::Bounce) {
        bail!("nobody to compare with the limit: build hotdns (`cargo xtask build`)");
    }
    Ok(stages)
}

/// One measurement; once more where the frames came to lie on too few processors.
fn measure(stage: &mut Stage, load: &Load, options: &Options, time: Duration) -> Result<Sample> {
    let replies = stage.contestant != Contestant::Bounce;
    let mut best: Option<Sample> = None;
    for _ in 0..3 {
        let sample = stage
            .circuit
            .sample(load, replies, options.frames, options.in_flight, time)?;
        let is_good = !stage.contestant.is_xdp_program() || sample.balance() >= super::report::BALANCE;
        if best.as_ref().is_none_or(|best| sample.balance() > best.balance()) {
            best = Some(sample);
        }
        if is_good {
            break;
        }
    }
    best.context("nothing was measured")
}

/// Time in the program as the kernel measures it: apart from the rounds, as measuring it costs time.
fn figures(stage: &mut Stage, load: &Load, options: &Options) -> Result<Figures> {
    let _statistics = BpfStatistics::enable().context("cannot turn on the kernel's BPF statistics")?;
    let replies = stage.contestant != Contestant::Bounce;
    stage.circuit.start(load, replies, options.frames, options.in_flight)?;
    let before = stage.program_figures()?;
    stage
        .circuit
        .measure(Duration::from_secs_f64(options.seconds.min(1.0)))?;
    let after = stage.program_figures()?;
    stage.circuit.stop()?;
    let (time, count) = (
        after.run_time_ns - before.run_time_ns,
        after.run_count - before.run_count,
    );
    Ok(Figures {
        nanoseconds: time as f64 / count.max(1) as f64,
        verified_instructions: after.verified_instructions,
    })
}
