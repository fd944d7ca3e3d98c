//! `bench flood`: what attacks cost: random names at full speed, and the dearest queries.
//!
//! 1. Floods of random names under one zone, shallow and as deep as names can be: how many XDP answers, why the others pass,
//!    and what the process behind it costs.
//! 2. The cost of a query of each kind, in nanoseconds of the kernel's own statistics, beside the common one's.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::circuit::Frames;
use super::contestant::{Contestant, Stage};
use super::hot;
use super::load::{self, Load, Returns};
use super::metrics::{Metrics, processor_seconds};
use super::report::{median, with_commas};

/// What to measure, and how long.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many names a zone has.
    #[arg(long, default_value_t = 100_000)]
    names: u64,
    /// How long a flood takes, in seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How often the cost of each kind of query is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Packets under way.
    #[arg(long, default_value_t = 128)]
    in_flight: usize,
    /// Also write what was measured, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Floods of names that are not there.
const FLOODS: [&str; 4] = ["nxdomain", "deep", "deepest", "deepest-cookie"];
/// Kinds of queries whose cost is measured: the common one, and what may be the dearest.
const KINDS: [&str; 12] = [
    "a",
    "cookie",
    "nxdomain",
    "deep",
    "deepest",
    "deepest-cookie",
    "wildcard",
    "cname",
    "referral",
    "txt",
    "large",
    "long",
];
/// The most that may pass, of all queries.
const MOST_PASSED: f64 = 0.01;
/// The most that the server's process may use, of one processor.
const MOST_PROCESSOR: f64 = 0.05;
/// The most that the dearest query may cost, times the common one.
const MOST_TIMES: f64 = 5.0;
/// Before anything is measured.
const WARM_UP: Duration = Duration::from_millis(300);

struct Flood {
    load: Load,
    rate: f64,
    /// The share of the queries that XDP answered.
    answered: f64,
    /// The share that passed, by reason.
    passed: Vec<(String, f64)>,
    /// The share of one processor that the server's process used.
    processor: f64,
}

/// Measures and reports; an error where something is missed.
pub fn run(options: &Options) -> Result<()> {
    ensure!(
        options.names > 0 && options.seconds > 0.0 && options.seconds.is_finite(),
        "--names and --seconds must be above 0"
    );
    ensure!(
        options.rounds > 0 && options.in_flight > 0,
        "--rounds and --in-flight must be above 0"
    );
    let floods = floods(options)?;
    let costs = costs(options)?;
    eprint!("\r\x1b[K");
    show(&floods, &costs);
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&to_json(&floods, &costs)).context("cannot make JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    verdict(&floods, &costs)
}

fn floods(options: &Options) -> Result<Vec<Flood>> {
    let loads = load::named(options.names, &FLOODS)?;
    let mut stage = Contestant::Hotdns.start(std::slice::from_ref(&loads[0].zone), &loads)?;
    let mut floods = Vec::new();
    for load in loads {
        eprint!("\r\x1b[Kflood: {}", load.title);
        floods.push(flood(&mut stage, load, options)?);
    }
    Ok(floods)
}

fn flood(stage: &mut Stage, load: Load, options: &Options) -> Result<Flood> {
    let process = stage.process.as_ref().context("hotdns is not running")?.pid();
    stage
        .circuit
        .start(&load, Returns::Replies, Frames::Full, options.in_flight)?;
    thread::sleep(WARM_UP);
    // The server's time is read within that of its metrics: to answer those is none of the flood's cost.
    let before = Metrics::read(stage)?;
    let (start, used) = (Instant::now(), processor_seconds(process)?);
    let sample = stage.circuit.measure(Duration::from_secs_f64(options.seconds))?;
    let processor = (processor_seconds(process)? - used) / start.elapsed().as_secs_f64();
    let after = Metrics::read(stage)?;
    stage.circuit.stop()?;
    ensure!(
        sample.replies() > 0 && sample.wrong(&load) == 0.0,
        "{}: some replies are wrong: {sample:?}",
        load.title
    );
    let answered = after.since(&before, "hotdns_xdp_answers_total");
    let passed = after.family_since(&before, "hotdns_xdp_passed_total");
    let all = answered + passed.iter().map(|(_, count)| count).sum::<f64>();
    Ok(Flood {
        load,
        rate: sample.rate(),
        answered: answered / all,
        passed: passed
            .into_iter()
            .map(|(reason, count)| (reason, count / all))
            .collect(),
        processor,
    })
}

/// Nanoseconds of each kind; the kinds that ask one zone take turns.
fn costs(options: &Options) -> Result<Vec<(Load, f64)>> {
    let mut loads = load::named(options.names, &KINDS)?;
    let mut costs = Vec::new();
    while !loads.is_empty() {
        let zone = loads[0].zone.clone();
        let group: Vec<Load> = loads.extract_if(.., |load| load.zone == zone).collect();
        let mut stage = Contestant::Hotdns.start(std::slice::from_ref(&zone), &group)?;
        let mut times = vec![Vec::new(); group.len()];
        for _ in 0..options.rounds {
            for (load, times) in group.iter().zip(&mut times) {
                eprint!("\r\x1b[Kcost: {}", load.title);
                let figures = hot::figures(
                    &mut stage.circuit,
                    load,
                    Returns::Replies,
                    Frames::Full,
                    options.in_flight,
                )?;
                times.push(figures.nanoseconds);
            }
        }
        costs.extend(group.into_iter().zip(times.iter().map(|times| median(times))));
    }
    Ok(costs)
}

fn show(floods: &[Flood], costs: &[(Load, f64)]) {
    println!(
        "{:<40} {:>12} {:>9} {:>9}  passed, by reason (at most {:.0} % together)",
        "flood",
        "queries/s",
        "from XDP",
        "process",
        MOST_PASSED * 100.0
    );
    for flood in floods {
        let passed: Vec<String> = flood
            .passed
            .iter()
            .map(|(reason, share)| format!("{reason} {:.3} %", share * 100.0))
            .collect();
        println!(
            "  {:<38} {:>12} {:>8.3}% {:>8.2}%  {}",
            flood.load.title,
            with_commas(flood.rate),
            flood.answered * 100.0,
            flood.processor * 100.0,
            passed.join(", ")
        );
    }
    println!(
        "process: what the server's process used, of one processor (at most {:.0} %)\n",
        MOST_PROCESSOR * 100.0
    );
    println!("{:<40} {:>9} {:>9}", "cost of a query", "ns", "times A");
    let common = costs.first().map_or(1.0, |(_, cost)| *cost);
    for (load, cost) in costs {
        println!("  {:<38} {cost:>9.0} {:>9.2}", load.title, cost / common);
    }
}

fn to_json(floods: &[Flood], costs: &[(Load, f64)]) -> Value {
    json!({
        "floods": floods.iter().map(|flood| json!({
            "load": flood.load.name,
            "queries_per_second": flood.rate,
            "answered_by_xdp": flood.answered,
            "passed": flood.passed.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "processor": flood.processor,
        })).collect::<Vec<_>>(),
        "nanoseconds": costs.iter().map(|(load, cost)| json!({"load": load.name, "nanoseconds": cost})).collect::<Vec<_>>(),
    })
}

fn verdict(floods: &[Flood], costs: &[(Load, f64)]) -> Result<()> {
    let mut missed = Vec::new();
    for flood in floods {
        let title = flood.load.title;
        if flood.answered < 1.0 - MOST_PASSED {
            missed.push(format!("{title}: XDP answers {:.2} %", flood.answered * 100.0));
        }
        if flood.processor > MOST_PROCESSOR {
            missed.push(format!(
                "{title}: the process uses {:.1} % of a processor",
                flood.processor * 100.0
            ));
        }
    }
    let common = costs.first().map_or(1.0, |(_, cost)| *cost);
    for (load, cost) in costs.iter().filter(|(_, cost)| *cost > MOST_TIMES * common) {
        missed.push(format!("{}: {:.1} times the common cost", load.title, cost / common));
    }
    if !missed.is_empty() {
        bail!("missed:\n  {}", missed.join("\n  "));
    }
    Ok(())
}
