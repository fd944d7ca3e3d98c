//! `bench flood`: what attacks cost: random names at full speed, and the dearest queries.
//!
//! 1. Floods of random names under one zone, shallow and as deep as names can be: how many XDP answers, why the others
//!    pass, and what the process behind it costs.
//! 2. One source at full speed, with rate limits on: how many of its answers another client still gets.
//! 3. The cost of a query of each kind, in nanoseconds of the kernel's own statistics, beside the common one's.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::circuit::{Circuit, Frames};
use super::contestant::{Contestant, Stage};
use super::hot;
use super::load::{self, Features, Load, Returns};
use super::metrics::{Metrics, processor_seconds};
use super::report::{median, with_commas};
use crate::frames::Query;

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
/// The least share of its answers that a client keeps while another source floods.
const LEAST_KEPT: f64 = 0.9;
/// The address of that client, beside the source that floods, and how often it asks: within the limit.
const OTHER_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
const OTHER_INTERVAL: Duration = Duration::from_millis(20);
/// It waits no longer for a reply.
const OTHER_PATIENCE: Duration = Duration::from_secs(1);
/// More than any machine can send.
const FULL_SPEED: f64 = 1e9;
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

/// One source against another client.
struct Rivals {
    /// What the source sent, and got, a second.
    offered: f64,
    replies: f64,
    /// The share of the other client's queries that were answered, and how many those are.
    kept: f64,
    asked: u64,
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
    let rivals = rivals(options)?;
    let costs = costs(options)?;
    eprint!("\r\x1b[K");
    show(&floods, &rivals, &costs);
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&to_json(&floods, &rivals, &costs)).context("cannot make JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    verdict(&floods, &rivals, &costs)
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

/// One source floods, another client asks now and then.
fn rivals(options: &Options) -> Result<Rivals> {
    eprint!("\r\x1b[Kflood from one source");
    let load = Load {
        features: Features::RateLimits,
        ..load::named(options.names, &["a"])?.remove(0)
    };
    let mut stage = Contestant::Hotdns.start(std::slice::from_ref(&load.zone), std::slice::from_ref(&load))?;
    let socket = other_client(&stage, &load)?;
    let stop = AtomicBool::new(false);
    let time = Duration::from_secs_f64(options.seconds);
    let (sample, (asked, answered)) = thread::scope(|scope| {
        let asker = scope.spawn(|| ask(&socket, &load, &stop));
        let sample = stage.circuit.flood(&load, FULL_SPEED, time);
        stop.store(true, Relaxed);
        anyhow::Ok((sample?, asker.join().ok().context("the client panicked")??))
    })?;
    ensure!(asked > 0, "the other client has asked nothing");
    Ok(Rivals {
        offered: sample.offered(),
        replies: sample.replies as f64 / sample.elapsed.as_secs_f64(),
        kept: answered as f64 / asked as f64,
        asked,
    })
}

/// A socket of a client with an address of its own, on the same side.
fn other_client(stage: &Stage, load: &Load) -> Result<UdpSocket> {
    let Circuit {
        client, server, pair, ..
    } = &stage.circuit;
    client.ip(&[
        "address",
        "add",
        &format!("{OTHER_CLIENT}/24"),
        "dev",
        &pair.first.device,
    ])?;
    let (mac, address) = (pair.first.mac_address(), OTHER_CLIENT.to_string());
    let neighbour = [
        "neighbour",
        "replace",
        &address,
        "lladdr",
        &mac,
        "dev",
        &pair.second.device,
    ];
    server.ip(&[&neighbour[..], &["nud", "permanent"]].concat())?;
    let to = stage.circuit.server_address(load);
    client.enter(|| {
        // Below the ports that the generator counts.
        let socket = UdpSocket::bind((OTHER_CLIENT, 20_000)).context("cannot bind")?;
        socket.connect(to).with_context(|| format!("cannot reach {to}"))?;
        socket.set_read_timeout(Some(OTHER_PATIENCE))?;
        Ok(socket)
    })
}

/// Asks one query after the other until it is told to stop: how many there were, and how many were answered as they
/// should.
fn ask(socket: &UdpSocket, load: &Load, stop: &AtomicBool) -> Result<(u64, u64)> {
    let (mut asked, mut answered, mut reply) = (0, 0, [0; 4096]);
    while !stop.load(Relaxed) {
        let query = Query {
            id: asked as u16,
            ..load.query(asked % load.zone.names)
        }
        .build();
        socket.send(&query).context("cannot send")?;
        asked += 1;
        while let Ok(length) = socket.recv(&mut reply) {
            if length >= 12 && reply[..2] == query[..2] {
                // Neither truncated nor refused.
                answered += u64::from(reply[2] & 2 == 0 && reply[3] & 15 == load.rcode && reply[6..8] != [0, 0]);
                break;
            }
        }
        thread::sleep(OTHER_INTERVAL);
    }
    Ok((asked, answered))
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

fn show(floods: &[Flood], rivals: &Rivals, costs: &[(Load, f64)]) {
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
    println!(
        "one source, with rate limits: {} queries/s, {} replies/s; another client keeps {:.1} % of {} answers (at \
         least {:.0} %)\n",
        with_commas(rivals.offered),
        with_commas(rivals.replies),
        rivals.kept * 100.0,
        rivals.asked,
        LEAST_KEPT * 100.0
    );
    println!("{:<40} {:>9} {:>9}", "cost of a query", "ns", "times A");
    let common = costs.first().map_or(1.0, |(_, cost)| *cost);
    for (load, cost) in costs {
        println!("  {:<38} {cost:>9.0} {:>9.2}", load.title, cost / common);
    }
}

fn to_json(floods: &[Flood], rivals: &Rivals, costs: &[(Load, f64)]) -> Value {
    let nanoseconds = costs
        .iter()
        .map(|(load, cost)| json!({"load": load.name, "nanoseconds": cost}));
    json!({
        "floods": floods.iter().map(|flood| json!({
            "load": flood.load.name,
            "queries_per_second": flood.rate,
            "answered_by_xdp": flood.answered,
            "passed": flood.passed.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "processor": flood.processor,
        })).collect::<Vec<_>>(),
        "one_source": {
            "queries_per_second": rivals.offered,
            "replies_per_second": rivals.replies,
            "other_client_keeps": rivals.kept,
            "other_client_asked": rivals.asked,
        },
        "nanoseconds": nanoseconds.collect::<Vec<_>>(),
    })
}

fn verdict(floods: &[Flood], rivals: &Rivals, costs: &[(Load, f64)]) -> Result<()> {
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
    if rivals.kept < LEAST_KEPT {
        missed.push(format!("one source: another client keeps {:.1} %", rivals.kept * 100.0));
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
