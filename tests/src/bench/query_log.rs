//! `bench query-log`: what the query log costs XDP, and how many lines are written.
//!
//! ```text
//!   closed loop   off, 1 %, all; to nowhere, to a file in memory: in turn, round after round
//!   open loop     a given rate, all of it logged: what is answered, what is written, what is lost
//! ```
//!
//! A share compares a server with the one without a log, measured just before it in the same round. The loops take all
//! processors there are, so the threads that write lines take their time from the XDP program: nothing is free here.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;

use super::circuit::Frames;
use super::contestant::{Contestant, Stage};
use super::hot;
use super::load::{self, Features, LOG_FILE, Load, Returns};
use super::metrics::Metrics;
use super::report::{median, with_commas};

/// What to measure, and how long.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many names the zone has, all of which are asked for.
    #[arg(long, default_value_t = 10_000)]
    names: u64,
    /// How long one measurement takes, in seconds.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// How often each is measured, in turn.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Packets under way.
    #[arg(long, default_value_t = 128)]
    in_flight: usize,
    /// Queries a second of the open loop.
    #[arg(long, default_value_t = 500_000.0)]
    rate: f64,
    /// Also write what was measured, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is compared; the first is what the others are shares of.
const TURNS: [(Features, &str); 5] = [
    (Features::None, "no query log"),
    (Features::LogSampled, "1 %, to /dev/null"),
    (Features::LogSampledFile, "1 %, to a file in memory"),
    (Features::Log, "all, to /dev/null"),
    (Features::LogFile, "all, to a file in memory"),
];
/// Lines that wait when a measurement ends are written by then.
const REST: Duration = Duration::from_millis(300);

/// One server, and what it did in each round.
struct Row {
    title: &'static str,
    load: Load,
    stage: Stage,
    rates: Vec<f64>,
    shares: Vec<f64>,
    /// For equal time in soft interrupts: the program alone.
    shares_by_time: Vec<f64>,
    logs: Vec<Logged>,
    nanoseconds: f64,
}

/// What became of lines.
#[derive(Clone, Copy, Default)]
struct Logged {
    /// Lines a second.
    written: f64,
    /// Of all lines that were to be, those that no thread could take or write.
    lost: f64,
}

/// Measures and reports.
pub fn run(options: &Options) -> Result<()> {
    ensure!(
        options.seconds > 0.0 && options.seconds.is_finite() && options.rounds > 0 && options.in_flight > 0,
        "--seconds, --rounds and --in-flight must be above 0"
    );
    ensure!(options.rate >= 1.0, "--rate must be at least 1");
    let mut rows = TURNS
        .iter()
        .map(|(features, title)| start(options, *features, title))
        .collect::<Result<Vec<_>>>()?;
    for round in 0..options.rounds {
        let mut before = None;
        for row in &mut rows {
            eprint!("\r\x1b[Kround {} of {}: {}", round + 1, options.rounds, row.title);
            let (rate, by_time, logged) = closed(row, options)?;
            let (without, without_by_time) = *before.get_or_insert((rate, by_time));
            row.rates.push(rate);
            row.shares.push(rate / without);
            row.shares_by_time.push(by_time / without_by_time);
            row.logs.push(logged);
        }
    }
    for row in &mut rows {
        let circuit = &mut row.stage.circuit;
        let figures = hot::figures(circuit, &row.load, Returns::Replies, Frames::Full, options.in_flight)?;
        row.nanoseconds = figures.nanoseconds;
    }
    let mut paced = Vec::new();
    for row in rows.iter_mut().filter(|row| is_whole(row.load.features)) {
        eprint!("\r\x1b[Kan open loop: {}", row.title);
        let samples = (0..options.rounds.min(5))
            .map(|_| open(row, options))
            .collect::<Result<Vec<_>>>()?;
        paced.push((row.title, samples));
    }
    eprint!("\r\x1b[K");
    show(&rows, &paced);
    write(options, &rows, &paced)
}

fn is_whole(features: Features) -> bool {
    matches!(features, Features::Log | Features::LogFile)
}

fn start(options: &Options, features: Features, title: &'static str) -> Result<Row> {
    eprint!("\r\x1b[Kstarting: {title}");
    let mut loads = load::named(options.names, &["a"])?;
    let mut load = loads.pop().context("a load")?;
    load.features = features;
    let stage = Contestant::Hotdns.start(std::slice::from_ref(&load.zone), std::slice::from_ref(&load))?;
    Ok(Row {
        title,
        load,
        stage,
        rates: Vec::new(),
        shares: Vec::new(),
        shares_by_time: Vec::new(),
        logs: Vec::new(),
        nanoseconds: 0.0,
    })
}

/// Rate, rate for equal time in soft interrupts, and lines.
fn closed(row: &mut Row, options: &Options) -> Result<(f64, f64, Logged)> {
    let time = Duration::from_secs_f64(options.seconds);
    empty(row)?;
    row.stage
        .circuit
        .start(&row.load, Returns::Replies, Frames::Full, options.in_flight)?;
    let outcome = (|| -> Result<_> {
        row.stage.circuit.measure(time / 10)?;
        let (start, before) = (Instant::now(), Metrics::read(&row.stage)?);
        let sample = row.stage.circuit.measure(time)?;
        let (elapsed, after) = (start.elapsed(), Metrics::read(&row.stage)?);
        ensure!(
            sample.wrong(&row.load) == 0.0,
            "{}: wrong replies: {sample:?}",
            row.title
        );
        let logged = Logged::between(&before, &after, elapsed);
        Ok((sample.rate(), sample.rate() / sample.softirq, logged))
    })();
    row.stage.circuit.stop()?;
    outcome
}

/// What one open loop offered and got in a second, and its lines, all of which had time to be written.
fn open(row: &mut Row, options: &Options) -> Result<(f64, f64, Logged)> {
    let time = Duration::from_secs_f64(options.seconds);
    empty(row)?;
    let before = Metrics::read(&row.stage)?;
    let start = Instant::now();
    let sample = row.stage.circuit.flood(&row.load, options.rate, time)?;
    let elapsed = start.elapsed();
    std::thread::sleep(REST);
    let after = Metrics::read(&row.stage)?;
    Ok((
        sample.offered(),
        sample.goodput(),
        Logged::between(&before, &after, elapsed),
    ))
}

/// Empties the file, which is in memory.
fn empty(row: &Row) -> Result<()> {
    let path = row.stage.folder.path().join(LOG_FILE);
    match std::fs::OpenOptions::new().write(true).truncate(true).open(&path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot empty {}", path.display())),
    }
}

impl Logged {
    fn between(before: &Metrics, after: &Metrics, elapsed: Duration) -> Self {
        let of = |name| after.since(before, name);
        let written = of("hotdns_query_log_written_total");
        let lost = of("hotdns_query_log_dropped_total") + of("hotdns_xdp_untold_total");
        Self {
            written: written / elapsed.as_secs_f64(),
            lost: lost / (written + lost).max(1.0),
        }
    }
}

fn medians(logs: &[Logged]) -> Logged {
    let of = |part: fn(&Logged) -> f64| median(&logs.iter().map(part).collect::<Vec<_>>());
    Logged {
        written: of(|logged| logged.written),
        lost: of(|logged| logged.lost),
    }
}

type Paced = (&'static str, Vec<(f64, f64, Logged)>);

fn show(rows: &[Row], paced: &[Paced]) {
    println!(
        "{:<26} {:>12} {:>7} {:>15} {:>8} {:>9} {:>10} {:>7}",
        "closed loop", "queries/s", "share", "(min to max)", "by time", "ns/query", "lines/s", "lost"
    );
    for row in rows {
        let least = row.shares.iter().copied().fold(f64::INFINITY, f64::min);
        let most = row.shares.iter().copied().fold(0.0, f64::max);
        let Logged { written, lost } = medians(&row.logs);
        println!(
            "{:<26} {:>12} {:>7.3} {:>15} {:>8.3} {:>9.0} {:>10} {:>6.1}%",
            row.title,
            with_commas(median(&row.rates)),
            median(&row.shares),
            format!("{least:.3}-{most:.3}"),
            median(&row.shares_by_time),
            row.nanoseconds,
            with_commas(written),
            lost * 100.0
        );
    }
    println!(
        "\n{:<26} {:>12} {:>12} {:>12} {:>7}",
        "open loop", "offered/s", "answered/s", "lines/s", "lost"
    );
    for (title, samples) in paced {
        let (offered, answered, logged) = middle(samples);
        println!(
            "{title:<26} {:>12} {:>12} {:>12} {:>6.2}%",
            with_commas(offered),
            with_commas(answered),
            with_commas(logged.written),
            logged.lost * 100.0
        );
    }
}

fn middle(samples: &[(f64, f64, Logged)]) -> (f64, f64, Logged) {
    let of = |part: fn(&(f64, f64, Logged)) -> f64| median(&samples.iter().map(part).collect::<Vec<_>>());
    let logs: Vec<Logged> = samples.iter().map(|sample| sample.2).collect();
    (of(|sample| sample.0), of(|sample| sample.1), medians(&logs))
}

fn write(options: &Options, rows: &[Row], paced: &[Paced]) -> Result<()> {
    let Some(path) = &options.json else { return Ok(()) };
    let logs = |logs: &[Logged]| -> Vec<_> {
        let one = |logged: &Logged| json!({"lines_per_second": logged.written, "lost": logged.lost});
        logs.iter().map(one).collect()
    };
    let closed: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "title": row.title,
                "queries_per_second": row.rates,
                "shares": row.shares,
                "shares_by_softirq_time": row.shares_by_time,
                "nanoseconds": row.nanoseconds,
                "log": logs(&row.logs),
            })
        })
        .collect();
    let open: Vec<_> = paced
        .iter()
        .map(|(title, samples)| {
            json!({
                "title": title,
                "offered_per_second": samples.iter().map(|sample| sample.0).collect::<Vec<_>>(),
                "answered_per_second": samples.iter().map(|sample| sample.1).collect::<Vec<_>>(),
                "log": logs(&samples.iter().map(|sample| sample.2).collect::<Vec<_>>()),
            })
        })
        .collect();
    let all = json!({"closed": closed, "open": open});
    let text = serde_json::to_string_pretty(&all).context("cannot make JSON")?;
    std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}
