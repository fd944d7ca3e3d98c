//! `bench hot`: queries a second, as a share of the limit, all contestants in turn.
//!
//! ```text
//!   loads ─► groups that ask one zone ─► for each group: a server with that zone alone, a circuit of its own
//!                                            └─► rounds: each load: the limit, hotdns, on `a` also the others, in turn
//! ```

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use super::circuit::{Circuit, Frames, Sample};
use super::container;
use super::contestant::{Contestant, Stage};
use super::load::{self, Features, Load, PRIORITY_TITLE, Returns};
use super::report::{Figures, Outcome, Report};
use crate::testrun::BpfStatistics;

/// What to measure, and how long.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many names a zone has, but for the loads that say otherwise.
    #[arg(long, default_value_t = 100_000)]
    names: u64,
    /// How long one measurement takes, in seconds; 1.5, or 0.4 with --quick.
    #[arg(long)]
    seconds: Option<f64>,
    /// How often everything is measured, in turn; 5, or 2 with --quick.
    #[arg(long)]
    rounds: Option<usize>,
    /// Packets under way.
    #[arg(long, default_value_t = 128)]
    in_flight: usize,
    /// The frames that are put into the loop.
    #[arg(long, value_enum, default_value_t = Frames::Full)]
    frames: Frames,
    /// Who takes part beside the limit, on every load; by default hotdns, and on the load `a` all that are installed.
    /// Another build of hotdns only takes part where it is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Contestant>,
    /// The loads: a, a-1k, a-1m, edns, cookie, ipv6, vlan, nodata, nxdomain, deep, deepest, deepest-cookie, wildcard,
    /// txt, large, aaaa, cname, alias, referral, long, limits, all, log-1, log; by default those that have something to
    /// reach.
    #[arg(long, value_delimiter = ',')]
    loads: Vec<String>,
    /// Also ask from ordinary sockets of the client's namespace, as containers do: what share XDP answers, and the
    /// rate.
    #[arg(long)]
    containers: bool,
    /// Less time for each, and no zone of a million names.
    #[arg(long)]
    quick: bool,
    /// Also write everything that was measured, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How often a measurement is made again where the frames came to lie on too few processors.
const ATTEMPTS: usize = 4;
/// Without `--quick` and with it.
const SECONDS: [f64; 2] = [1.5, 0.4];
const ROUNDS: [usize; 2] = [5, 2];
/// For the kernel's statistics.
const FIGURES_TIME: Duration = Duration::from_millis(400);

impl Options {
    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.unwrap_or(SECONDS[usize::from(self.quick)]))
    }

    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(ROUNDS[usize::from(self.quick)])
    }

    fn loads(&self) -> Result<Vec<Load>> {
        if !self.loads.is_empty() {
            return load::named(self.names, &self.loads);
        }
        let table = load::TABLE.into_iter().filter(|name| !self.quick || *name != "a-1m");
        load::named(self.names, &table.collect::<Vec<_>>())
    }

    /// Whether a contestant is measured on a load.
    fn wants(&self, contestant: Contestant, load: &Load) -> bool {
        let is_chosen = match (contestant, self.only.is_empty()) {
            (Contestant::Bounce, _) => true,
            (Contestant::Hotdns, true) => true,
            (Contestant::HotdnsOther, true) => false,
            (_, true) => load.name == "a",
            (_, false) => self.only.contains(&contestant),
        };
        is_chosen && contestant.takes(load)
    }
}

/// Measures and reports; an error where the figures cannot be trusted.
pub fn run(options: &Options) -> Result<()> {
    ensure!(
        options.names > 0 && options.names <= 1 << 32,
        "--names must be 1 to 2^32"
    );
    let seconds = options.seconds.unwrap_or(1.0);
    ensure!(seconds > 0.0 && seconds.is_finite(), "--seconds must be above 0");
    ensure!(
        options.rounds() > 0 && options.in_flight > 0,
        "--rounds and --in-flight must be above 0"
    );
    let mut loads = options.loads()?;
    let mut report = Report::new(options.names, options.in_flight, options.time(), options.frames);
    if loads.iter().any(Load::is_in_vlan)
        && let Some(obstacle) = Circuit::vlan_obstacle()?
    {
        eprintln!("{obstacle}: a priority tag stands in for a VLAN's");
        for load in loads.iter_mut().filter(|load| load.is_in_vlan()) {
            (load.vlan, load.title) = (Some(0), PRIORITY_TITLE);
        }
    }
    let mut limit = Contestant::Bounce.start(&[], &[]).context("cannot measure the limit")?;
    report.add_version(Contestant::Bounce, Contestant::Bounce.version()?);
    while !loads.is_empty() {
        let (zone, features) = (loads[0].zone.clone(), loads[0].features);
        let is_alike = |load: &mut Load| load.zone == zone && load.features == features;
        let group: Vec<Load> = loads.extract_if(.., is_alike).collect();
        measure_group(options, &mut limit, &group, &mut report)?;
    }
    eprint!("\r\x1b[K");
    println!("{report}");
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report.to_json()).context("cannot make JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    report.faults()
}

/// Loads that ask one zone: everyone who takes part serves that zone alone.
fn measure_group(options: &Options, limit: &mut Stage, loads: &[Load], report: &mut Report) -> Result<()> {
    let mut stages = start(options, loads, report)?;
    if stages.is_empty() && loads[0].features != Features::None {
        return Ok(());
    }
    for round in 0..options.rounds() {
        for load in loads {
            for stage in [&mut *limit].into_iter().chain(&mut stages) {
                let contestant = stage.contestant;
                if !options.wants(contestant, load) {
                    continue;
                }
                eprint!(
                    "\r\x1b[Kround {} of {}: {}: {}",
                    round + 1,
                    options.rounds(),
                    load.title,
                    contestant.title()
                );
                let sample = measure(stage, load, options)?;
                report.add(
                    load,
                    contestant,
                    Outcome::new(load, contestant, options.in_flight, &sample),
                );
            }
        }
    }
    if options.containers {
        measure_containers(options, &mut stages, loads, report)?;
    }
    for load in loads {
        for stage in [&mut *limit].into_iter().chain(&mut stages) {
            if stage.contestant.is_xdp_program() && options.wants(stage.contestant, load) {
                let returns = stage.contestant.returns();
                let figures = figures(&mut stage.circuit, load, returns, options.frames, options.in_flight)?;
                report.add_figures(load, stage.contestant, figures);
            }
        }
    }
    Ok(())
}

/// Sockets ask the builds of hotdns that have XDP, in turn.
fn measure_containers(options: &Options, stages: &mut [Stage], loads: &[Load], report: &mut Report) -> Result<()> {
    for _ in 0..options.rounds() {
        for load in loads {
            for stage in stages.iter() {
                let is_ours = matches!(stage.contestant, Contestant::Hotdns | Contestant::HotdnsOther);
                if is_ours && options.wants(stage.contestant, load) {
                    let asked = container::ask(stage, load, options.in_flight, options.time())?;
                    report.add_asked(load, stage.contestant, asked);
                }
            }
        }
    }
    Ok(())
}

/// Starts everyone who takes part beside the limit. Who was not asked for by name may be missing.
fn start(options: &Options, loads: &[Load], report: &mut Report) -> Result<Vec<Stage>> {
    let mut stages = Vec::new();
    for contestant in Contestant::value_variants().iter().copied() {
        let wanted: Vec<Load> = loads
            .iter()
            .filter(|load| options.wants(contestant, load))
            .cloned()
            .collect();
        if wanted.is_empty() || contestant == Contestant::Bounce {
            continue;
        }
        eprint!("\r\x1b[Kstarting {}", contestant.title());
        let zone = std::slice::from_ref(&wanted[0].zone);
        let started = contestant
            .version()
            .and_then(|version| Ok((version, contestant.start(zone, &wanted)?)));
        match started {
            Ok((version, stage)) => {
                report.add_version(contestant, version);
                stages.push(stage);
            }
            // What it is to be configured with may not be in this version.
            Err(error) if wanted[0].features != Features::None => {
                report.leave_out(wanted[0].title, &format!("{error:#}"));
            }
            Err(error) if options.only.contains(&contestant) || contestant == Contestant::Hotdns => {
                return Err(error).with_context(|| format!("cannot measure {}", contestant.title()));
            }
            Err(error) => report.leave_out(contestant.title(), &format!("{error:#}")),
        }
    }
    if stages.is_empty() && !options.only.contains(&Contestant::Bounce) && loads[0].features == Features::None {
        bail!("nobody to compare with the limit");
    }
    Ok(stages)
}

/// One measurement; once more where the frames came to lie on too few processors.
fn measure(stage: &mut Stage, load: &Load, options: &Options) -> Result<Sample> {
    let mut best: Option<Sample> = None;
    for _ in 0..ATTEMPTS {
        let sample = stage.circuit.sample(
            load,
            stage.contestant.returns(),
            options.frames,
            options.in_flight,
            options.time(),
        )?;
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

/// Time in the program on the server's end, as the kernel measures it: apart from the rounds, as measuring it costs
/// time.
pub(super) fn figures(
    circuit: &mut Circuit,
    load: &Load,
    returns: Returns,
    frames: Frames,
    in_flight: usize,
) -> Result<Figures> {
    let _statistics = BpfStatistics::enable().context("cannot turn on the kernel's BPF statistics")?;
    circuit.start(load, returns, frames, in_flight)?;
    let before = circuit.program_figures()?;
    circuit.measure(FIGURES_TIME)?;
    let after = circuit.program_figures()?;
    circuit.stop()?;
    let (time, count) = (
        after.run_time_ns - before.run_time_ns,
        after.run_count - before.run_count,
    );
    Ok(Figures {
        nanoseconds: time as f64 / count.max(1) as f64,
        verified_instructions: after.verified_instructions,
    })
}
