//! `bench cache`: answers that hotdns, Unbound and dnsdist have kept, from sockets, in turn; and those that hotdns has
//! promoted, from XDP, beside the limit. Then misses, times at half load, zones beside a cache, and memory.
//!
//! Each has an upstream server of its own (Knot DNS, in its namespace) with the same zone. Every name is asked once, so
//! that each has all answers. Then, in each round, each contestant is measured in the closed loop. No reply may be
//! wrong, and the upstream servers have nothing to do.

mod beside;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use super::circuit::Frames;
use super::contestant::{Contestant, Stage};
use super::load::{self, Features, Load};
use super::report::{median, with_commas};
use super::stream::{self, Shape};

/// What to measure, and how long.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many names are asked.
    #[arg(long, default_value_t = 10_000)]
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
    /// TCP connections, each with 32 queries under way: what an answer takes without the kernel's part of UDP. 0 leaves
    /// it out.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Who takes part; by default hotdns, Unbound and dnsdist.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Contestant>,
    /// How many names are kept where memory is measured.
    #[arg(long, default_value_t = 1_000_000)]
    kept: u64,
    /// What is measured; by default all of it.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::value_variants().to_vec())]
    parts: Vec<Part>,
}

/// What can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Kept and promoted answers in the closed loop.
    Hits,
    /// Times of kept answers at half load; with `hits`.
    HalfLoad,
    /// Names that nobody has asked for.
    Misses,
    /// Answers of zones with a cache beside them.
    Zones,
    /// Memory for kept names.
    Memory,
}

const ALL: [Contestant; 5] = [
    Contestant::HotdnsSockets,
    Contestant::Unbound,
    Contestant::Dnsdist,
    Contestant::Bounce,
    Contestant::Hotdns,
];
const OTHERS: [Contestant; 2] = [Contestant::Unbound, Contestant::Dnsdist];
/// Of the limit, for promoted answers.
const PROMOTED_GOAL: f64 = 0.38;
/// Enough for an answer to be promoted, wherever the time begins in which it counts.
const OFTEN: usize = 21;
/// Of the best of the others.
const GOAL: f64 = 1.2;
/// Queries under way while every name is asked once.
const WARMING: usize = 32;

/// Measures and reports; an error where a reply was wrong, or hotdns misses what it is to reach.
pub fn run(options: &Options) -> Result<()> {
    ensure!(
        options.names > 0 && options.rounds > 0 && options.in_flight > 0 && options.seconds > 0.0,
        "--names, --rounds, --in-flight and --seconds must be above 0"
    );
    type Measure = fn(&Options) -> Result<()>;
    let others: [(Part, Measure); 3] = [
        (Part::Misses, beside::misses),
        (Part::Zones, beside::zones),
        (Part::Memory, beside::memory),
    ];
    for (part, measure) in others {
        if options.parts.contains(&part) {
            measure(options)?;
        }
    }
    if options.parts.contains(&Part::Hits) {
        hits(options)?;
    }
    Ok(())
}

fn hits(options: &Options) -> Result<()> {
    let mut loads = load::named(options.names, &["a"])?;
    loads[0].features = Features::Cache;
    let load = &loads[0];
    let mut stages = Vec::new();
    for contestant in ALL {
        if !options.only.is_empty() && !options.only.contains(&contestant) {
            continue;
        }
        eprint!("\r\x1b[Kstarting {}", contestant.title());
        let version = contestant.version()?;
        let mut stage = contestant
            .start(std::slice::from_ref(&load.zone), std::slice::from_ref(load))
            .with_context(|| format!("cannot measure {}", contestant.title()))?;
        if contestant != Contestant::Bounce {
            let often = if contestant.is_xdp_program() { OFTEN } else { 1 };
            warm(&mut stage, load, often)?;
        }
        stages.push((stage, version, Vec::new(), Vec::new()));
    }
    for round in 0..options.rounds {
        let places = stages.len();
        // Nobody is always the one who is measured after the same other.
        for place in 0..places {
            let (stage, _, rates, tcp) = &mut stages[(place + round) % places];
            eprint!(
                "\r\x1b[Kround {} of {}: {}",
                round + 1,
                options.rounds,
                stage.contestant.title()
            );
            rates.push(rate(stage, load, options)?);
            if options.connections > 0 && !stage.contestant.is_xdp_program() {
                let shape = Shape {
                    connections: options.connections,
                    depth: 32,
                };
                let time = Duration::from_secs_f64(options.seconds / 2.0);
                // dnsdist closes connections with so many queries.
                tcp.push(stream::rate(&stage.circuit, load, shape, time).unwrap_or_default());
            }
        }
    }
    eprint!("\r\x1b[K");
    println!(
        "{} names, {} rounds of {} s, medians of answers a second from the cache",
        with_commas(options.names as f64),
        options.rounds,
        options.seconds
    );
    for (stage, version, rates, tcp) in &stages {
        println!(
            "{:<18} UDP {:>11}   TCP {:>11}   {:?}   {version}",
            stage.contestant.title(),
            with_commas(median(rates)),
            with_commas(if tcp.is_empty() { 0.0 } else { median(tcp) }),
            rates.iter().map(|rate| *rate as u64).collect::<Vec<_>>()
        );
    }
    if options.parts.contains(&Part::HalfLoad) {
        let all = stages.iter().map(|(stage, ..)| stage);
        let on_sockets: Vec<_> = all.filter(|stage| !stage.contestant.is_xdp_program()).collect();
        beside::half_load(&on_sockets, load, options)?;
    }
    let rates_of = |wanted: Contestant| {
        stages
            .iter()
            .find(|(stage, ..)| stage.contestant == wanted)
            .map(|(_, _, rates, _)| rates)
    };
    let ratio_to = |own: &[f64], other| rates_of(other).map(|rates| ratio(own, rates));
    if let Some(promoted) = rates_of(Contestant::Hotdns)
        && let Some(share) = ratio_to(promoted, Contestant::Bounce)
    {
        println!("promoted answers from XDP over the limit: {share:.2} (to reach: {PROMOTED_GOAL})");
        if let Some(times) = ratio_to(promoted, Contestant::HotdnsSockets) {
            println!("promoted answers from XDP over those from sockets: {times:.1}");
        }
    }
    let Some(own) = rates_of(Contestant::HotdnsSockets) else {
        return Ok(());
    };
    let ratios = OTHERS.into_iter().filter_map(|other| ratio_to(own, other));
    if let Some(worst) = ratios.reduce(f64::min) {
        println!("hotdns over the best of the others: {worst:.2} (to reach: {GOAL})");
        ensure!(
            worst >= GOAL,
            "hotdns is to reach {GOAL} times the best of the others, and reaches {worst:.2}"
        );
    }
    Ok(())
}

/// The median over the rounds of how many times as fast one is as the other.
fn ratio(own: &[f64], other: &[f64]) -> f64 {
    median(
        &own.iter()
            .zip(other)
            .map(|(own, other)| own / other)
            .collect::<Vec<_>>(),
    )
}

/// Every name is asked so often, and answered.
fn warm(stage: &mut Stage, load: &Load, often: usize) -> Result<()> {
    let title = stage.contestant.title();
    let socket = stage.circuit.client_socket(stage.circuit.server_address(load))?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut left: Vec<u64> = (0..load.numbers).collect();
    for _ in 0..20 {
        let mut lost = Vec::new();
        let again = left
            .chunks(WARMING)
            .flat_map(|numbers| std::iter::repeat_n(numbers, often));
        for numbers in again {
            for &number in numbers {
                let mut query = load.query(number);
                query.id = number as u16;
                socket.send(&query.build())?;
            }
            let mut waiting: Vec<u64> = numbers.to_vec();
            let mut reply = [0; 4096];
            while !waiting.is_empty() {
                let Ok(length) = socket.recv(&mut reply) else {
                    break;
                };
                let is_answer = length > 12 && reply[3] & 15 == 0 && reply[7] != 0;
                waiting.retain(|number| !is_answer || (*number as u16).to_be_bytes() != reply[..2]);
            }
            lost.extend(waiting);
        }
        if lost.is_empty() {
            return Ok(());
        }
        left = lost;
    }
    anyhow::bail!("{title}: {} names are not answered", left.len())
}

fn rate(stage: &mut Stage, load: &Load, options: &Options) -> Result<f64> {
    let time = Duration::from_secs_f64(options.seconds);
    let sample = stage
        .circuit
        .sample(load, stage.contestant.returns(), Frames::Full, options.in_flight, time)?;
    let title = stage.contestant.title();
    ensure!(sample.replies() > 0, "{title}: no replies");
    ensure!(
        stage.contestant == Contestant::Bounce || sample.wrong(load) == 0.0,
        "{title}: {:.4} % of the replies are wrong (by RCODE: {:?})",
        100.0 * sample.wrong(load),
        sample.rcodes
    );
    Ok(sample.rate())
}
