//! `bench sockets`: hotdns from sockets beside other servers without XDP, all in turn.
//!
//! In each round, each contestant: UDP in the closed loop; TCP with pipelining; floods of 2 and 10 times its own peak,
//! with the peak taken right before each and the same closed loop again within a second after it; how long queries take
//! at half of the other servers' best peak to clients that are processes. At the end, what connections cost hotdns that
//! do nothing, or do not read.

mod connections;
mod summary;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use self::connections::Cost;
use self::summary::Summary;
use super::circuit::{FloodSample, Frames};
use super::contestant::{Contestant, Stage};
use super::load::{self, Load, Returns};
use super::paced;
use super::stream::{self, Shape};

/// What to measure, and how long.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many names the zone has.
    #[arg(long, default_value_t = 100_000)]
    names: u64,
    /// How long one measurement takes, in seconds.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How often everything is measured, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// UDP packets under way in the closed loop.
    #[arg(long, default_value_t = 128)]
    in_flight: usize,
    /// TCP connections.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Queries under way on each connection.
    #[arg(long, default_value_t = 32)]
    depth: usize,
    /// Connections that do nothing; a tenth as many that do not read.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// What is measured besides the closed loop; by default all of it.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::value_variants().to_vec())]
    parts: Vec<Part>,
    /// Who takes part; by default hotdns, Knot DNS and NSD.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Contestant>,
    /// Also write everything that was measured, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// TCP with pipelining.
    Tcp,
    /// Floods, and the closed loop before and after them.
    Overload,
    /// Times to answer at half load.
    HalfLoad,
    /// What connections cost.
    Connections,
}

/// Floods, as multiples of the own peak.
const OVERLOADS: [f64; 2] = [2.0, 10.0];
/// After a flood: what it has left in queues is answered.
const DRAIN: Duration = Duration::from_millis(500);
/// Then the closed loop runs, to one second after the flood. The peak it is compared with is taken over as long, after
/// a loop and a pause as long as these, so that the two differ in the flood alone.
const BACK: Duration = Duration::from_millis(500);

/// One contestant in one round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// UDP in the closed loop, queries a second.
    pub(crate) udp: f64,
    /// TCP, queries a second.
    pub(crate) tcp: f64,
    /// UDP to clients that are processes, queries a second.
    pub(crate) to_clients: f64,
    /// The rate at which times were taken.
    pub(crate) half_load: f64,
    /// Microseconds within which half of the queries were answered at half load, and 99 %.
    pub(crate) times: [f64; 2],
    /// The share of the queries that was never answered at half load.
    pub(crate) lost: f64,
    /// For each overload: the closed loop right before it, queries a second, which is the peak for what follows.
    pub(crate) peak: [f64; 2],
    /// For each overload: what was offered, as a multiple of the own peak.
    pub(crate) offered: [f64; 2],
    /// For each overload: right replies, as a share of the own peak.
    pub(crate) goodput: [f64; 2],
    /// For each overload: the closed loop within a second after it, as a share of the own peak.
    pub(crate) back: [f64; 2],
}

/// One measurement of one contestant.
type Measure<'a> = dyn FnMut(&mut Stage, &mut Figures) -> Result<()> + 'a;

/// Measures and reports; an error where a reply was wrong or hotdns misses what it is to reach.
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
        options.rounds > 0 && options.in_flight > 0 && options.connections > 0 && options.depth > 0,
        "--rounds, --in-flight, --connections and --depth must be above 0"
    );
    let loads = load::named(options.names, &["a"])?;
    let load = &loads[0];
    let mut summary = Summary::default();
    let mut stages = start(options, load, &mut summary)?;
    for round in 0..options.rounds {
        let mut pairs: Vec<_> = stages.iter_mut().map(|stage| (stage, Figures::default())).collect();
        // Nobody is always the one who is measured after the same other.
        let places = pairs.len();
        pairs.rotate_left(round % places);
        let step = |pairs: &mut [(&mut Stage, Figures)], what: &str, part: Option<Part>, measure: &mut Measure<'_>| {
            if part.is_some_and(|part| !options.parts.contains(&part)) {
                return Ok(());
            }
            for (stage, figures) in pairs {
                let title = stage.contestant.title();
                eprint!("\r\x1b[Kround {} of {}: {what}: {title}", round + 1, options.rounds);
                measure(stage, figures).with_context(|| format!("{what}: {title}"))?;
            }
            anyhow::Ok(())
        };
        step(&mut pairs, "UDP", None, &mut |stage, figures| {
            figures.udp = closed_loop(stage, load, options, options.seconds)?;
            Ok(())
        })?;
        step(&mut pairs, "TCP", Some(Part::Tcp), &mut |stage, figures| {
            let shape = Shape {
                connections: options.connections,
                depth: options.depth,
            };
            figures.tcp = stream::rate(&stage.circuit, load, shape, Duration::from_secs_f64(options.seconds))?;
            Ok(())
        })?;
        for (index, factor) in OVERLOADS.into_iter().enumerate() {
            let what = format!("{factor} times the peak");
            step(&mut pairs, &what, Some(Part::Overload), &mut |stage, figures| {
                closed_loop(stage, load, options, BACK.as_secs_f64())?;
                thread::sleep(DRAIN);
                let peak = closed_loop(stage, load, options, BACK.as_secs_f64())?;
                let sample = flood(stage, load, factor * peak, options)?;
                thread::sleep(DRAIN);
                figures.peak[index] = peak;
                figures.offered[index] = sample.offered() / peak;
                figures.goodput[index] = sample.goodput() / peak;
                figures.back[index] = closed_loop(stage, load, options, BACK.as_secs_f64())? / peak;
                Ok(())
            })?;
        }
        step(
            &mut pairs,
            "UDP to clients",
            Some(Part::HalfLoad),
            &mut |stage, figures| {
                let time = Duration::from_secs_f64(options.seconds / 2.0);
                figures.to_clients = paced::peak(&stage.circuit, load, time)?;
                Ok(())
            },
        )?;
        let half_load = half_load(&pairs);
        step(&mut pairs, "half load", Some(Part::HalfLoad), &mut |stage, figures| {
            let time = Duration::from_secs_f64(options.seconds);
            let sample = paced::times(&stage.circuit, load, half_load, time)?;
            figures.half_load = sample.rate();
            figures.times = [0.5, 0.99].map(|share| sample.percentile(share));
            figures.lost = sample.lost();
            Ok(())
        })?;
        for (stage, figures) in pairs {
            summary.add(stage.contestant, figures);
        }
    }
    let mut cost = Ok(None);
    if let Some(own) = stages
        .iter_mut()
        .find(|stage| stage.contestant == Contestant::HotdnsSockets)
        && options.idle > 0
        && options.parts.contains(&Part::Connections)
    {
        eprint!("\r\x1b[K{} connections", options.idle);
        cost = Cost::measure(own, load, options.idle).map(Some);
    }
    // What was measured before is shown all the same.
    summary.cost = *cost.as_ref().unwrap_or(&None);
    eprint!("\r\x1b[K");
    println!("{}", summary.shown(options));
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&summary.to_json(options)).context("cannot make JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    cost.context("connections")?;
    summary.verdict(&options.parts)
}

fn start(options: &Options, load: &Load, summary: &mut Summary) -> Result<Vec<Stage>> {
    let default = [Contestant::HotdnsSockets, Contestant::Knot, Contestant::Nsd];
    let mut stages = Vec::new();
    for &contestant in Contestant::value_variants() {
        let is_wanted = options.only.contains(&contestant);
        let takes_part = is_wanted || (options.only.is_empty() && default.contains(&contestant));
        if !takes_part {
            continue;
        }
        if matches!(
            contestant,
            Contestant::Bounce | Contestant::Hotdns | Contestant::KnotXdp
        ) {
            bail!("{} answers from XDP: `bench hot` measures it", contestant.title());
        }
        eprint!("\r\x1b[Kstarting {}", contestant.title());
        let started = contestant.version().and_then(|version| {
            let stage = contestant.start(std::slice::from_ref(&load.zone), std::slice::from_ref(load))?;
            Ok((version, stage))
        });
        match started {
            Ok((version, stage)) => {
                summary.add_version(contestant, version);
                stages.push(stage);
            }
            Err(error) if is_wanted || contestant == Contestant::HotdnsSockets => {
                return Err(error).with_context(|| format!("cannot measure {}", contestant.title()));
            }
            Err(error) => eprintln!("\r\x1b[Kwithout {}: {error:#}", contestant.title()),
        }
    }
    Ok(stages)
}

/// The rate of the closed loop.
fn closed_loop(stage: &mut Stage, load: &Load, options: &Options, seconds: f64) -> Result<f64> {
    let time = Duration::from_secs_f64(seconds / 1.1);
    let sample = stage
        .circuit
        .sample(load, Returns::Replies, Frames::Full, options.in_flight, time)?;
    ensure!(sample.replies() > 0, "no replies");
    ensure!(
        sample.wrong(load) == 0.0,
        "{:.4} % of the replies are wrong (by RCODE: {:?})",
        100.0 * sample.wrong(load),
        sample.rcodes
    );
    Ok(sample.rate())
}

fn flood(stage: &mut Stage, load: &Load, rate: f64, options: &Options) -> Result<FloodSample> {
    let sample = stage
        .circuit
        .flood(load, rate, Duration::from_secs_f64(options.seconds))?;
    ensure!(
        sample.wrong == 0,
        "{} of {} replies are wrong",
        sample.wrong,
        sample.replies
    );
    Ok(sample)
}

/// Half of the best peak of the other servers, to clients of that kind; of hotdns' own where it is alone.
fn half_load(pairs: &[(&mut Stage, Figures)]) -> f64 {
    let best = |of_others: bool| {
        let is_meant = |contestant| !of_others || contestant != Contestant::HotdnsSockets;
        let peaks = pairs.iter().filter(|(stage, _)| is_meant(stage.contestant));
        peaks.map(|(_, figures)| figures.to_clients).fold(0.0, f64::max)
    };
    let others = best(true);
    if others > 0.0 { others / 2.0 } else { best(false) / 2.0 }
}
