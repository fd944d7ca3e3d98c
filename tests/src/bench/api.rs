//! `bench api`: how many changes the HTTP API takes, and how long each waits.
//!
//! 1. Clients with connections that stay open put single records, while few records are kept, and again while many are.
//! 2. The same under the load of a closed loop, which takes all processors.
//! 3. Change sets of 1,000 records each, until the store is full; then one set of 10,000.
//! 4. `?q=` over all records, with a text that one record has, and with one that none has.
//! 5. SIGKILL and a new start with all these records.
//!
//! Every reply's status is read; an unexpected one is an error.

mod client;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use self::client::Client;
use super::change::Api;
use super::circuit::Frames;
use super::contestant::{Contestant, Stage};
use super::load::{self, Load, Returns};
use super::report::{percentile, with_commas};

/// What to measure.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Records in the store, at most
    #[arg(long, default_value_t = 100_000)]
    records: u32,
    /// Clients at the same time
    #[arg(long, default_value_t = 100)]
    clients: u32,
    /// Single changes of all clients together, each time they are measured
    #[arg(long, default_value_t = 60_000)]
    changes: u32,
    /// Seconds of single changes under the load of the closed loop
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Packets under way in the closed loop
    #[arg(long, default_value_t = 8)]
    in_flight: usize,
    /// Searches of each kind
    #[arg(long, default_value_t = 50)]
    searches: u32,
    /// Also write what was measured, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is to be reached.
#[derive(Clone, Copy)]
enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    goal: Option<Goal>,
}

#[derive(Default)]
struct Figures(Vec<Figure>);

impl Figures {
    fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str, goal: Option<Goal>) {
        let name = name.into();
        eprintln!("{name}: {value:.1} {unit}");
        self.0.push(Figure {
            name,
            value,
            unit,
            goal,
        });
    }
}

/// Records of one change set.
const SET: u32 = 1_000;
/// Records of the one large change set.
const LARGE_SET: u32 = 10_000;
/// How long a server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures and reports; an error where a reply is not what it should be, or a goal is missed.
pub fn run(options: &Options) -> Result<()> {
    ensure!(
        options.clients > 0 && options.changes >= options.clients && options.records >= SET,
        "--clients must be above 0, --changes at least as many, and --records at least {SET}"
    );
    let loads = load::named(1_000, &["a"])?;
    let load = &loads[0];
    let mut stage = Contestant::Hotdns.start(std::slice::from_ref(&load.zone), &loads)?;
    let mut figures = Figures::default();

    fill(&stage, load, 0, SET)?;
    let few = singles(&stage, load, options, None).context("single changes")?;
    few.show("few records", &mut figures, true);

    let took = fill(&stage, load, SET, options.records).context("change sets")?;
    let rate = f64::from(options.records - SET) / took.as_secs_f64();
    figures.add("change sets of 1,000", rate, "records/s", Some(Goal::AtLeast(50_000.0)));
    let set = records(load, options.records, LARGE_SET);
    let took = in_server(&stage, async || {
        let mut client = Client::connect().await?;
        let began = Instant::now();
        client.change_set(&set).await?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    })?;
    figures.add("one change set of 10,000", took, "ms", Some(Goal::AtMost(1_000.0)));

    let many = singles(&stage, load, options, None).context("single changes, many records")?;
    many.show("many records", &mut figures, true);
    let ratio = many.rate() / few.rate();
    figures.add("many to few records", ratio, "of the rate", Some(Goal::AtLeast(0.8)));

    search(&stage, options, &mut figures).context("searches")?;
    for in_threads in [false, true] {
        under_load(&mut stage, load, options, in_threads, &mut figures).context("under load")?;
    }
    stage.circuit.receive_in_threads(false)?;
    start_again(&mut stage, load, &mut figures).context("kill -9")?;
    report(options, &figures.0)
}

/// Runs something in the server's namespace, where the API is, in one thread.
fn in_server<T: Send>(stage: &Stage, what: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
    stage.circuit.server.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("cannot make a runtime")?.block_on(what())
    })
}

fn name(load: &Load, number: u32) -> String {
    format!("kept-{number}.{}", load.zone.origin)
}

/// The edits that put records, as JSON.
fn records(load: &Load, first: u32, count: u32) -> String {
    let edits: Vec<Value> = (first..first + count)
        .map(|number| {
            let address = std::net::Ipv4Addr::from(0x0C00_0000 + number);
            json!({"op": "put", "name": name(load, number), "type": "A", "ttl": 60, "value": address.to_string()})
        })
        .collect();
    json!({ "edits": edits }).to_string()
}

/// Fills the store by change sets, up to `end` records; gives how long that took. The sets are written before.
fn fill(stage: &Stage, load: &Load, begin: u32, end: u32) -> Result<Duration> {
    let firsts = (begin..end).step_by(SET as usize);
    let sets: Vec<String> = firsts.map(|first| records(load, first, SET.min(end - first))).collect();
    in_server(stage, async || {
        let mut client = Client::connect().await?;
        let began = Instant::now();
        for set in &sets {
            client.change_set(set).await?;
        }
        Ok(began.elapsed())
    })
}

/// What single changes took.
struct Singles {
    /// Of each change, in milliseconds.
    took: Vec<f64>,
    elapsed: Duration,
}

impl Singles {
    fn rate(&self) -> f64 {
        self.took.len() as f64 / self.elapsed.as_secs_f64()
    }

    fn show(&self, when: &str, figures: &mut Figures, is_idle: bool) {
        let rate = Goal::AtLeast(if is_idle { 15_000.0 } else { 1_000.0 });
        figures.add(format!("single changes, {when}"), self.rate(), "changes/s", Some(rate));
        figures.add(format!("p50, {when}"), percentile(&self.took, 0.5), "ms", None);
        let goal = is_idle.then_some(Goal::AtMost(50.0));
        figures.add(format!("p99, {when}"), percentile(&self.took, 0.99), "ms", goal);
    }
}

/// Single changes of all clients at once: as many as wanted, or for some time.
fn singles(stage: &Stage, load: &Load, options: &Options, time: Option<Duration>) -> Result<Singles> {
    let each = options.changes / options.clients;
    in_server(stage, async || {
        let mut connections = Vec::new();
        for _ in 0..options.clients {
            connections.push(Client::connect().await?);
        }
        let begun = Instant::now();
        let clients = connections.into_iter().zip(0..).map(|(mut connection, client)| {
            let origin = load.zone.origin.clone();
            tokio::spawn(async move {
                let mut took = Vec::new();
                let is_over = |done: u32| match time {
                    Some(time) => begun.elapsed() >= time,
                    None => done == each,
                };
                for change in 0.. {
                    if is_over(change) {
                        break;
                    }
                    let name = format!("c{client}r{}.{origin}", change % 10);
                    let address = std::net::Ipv4Addr::from(0x0B00_0000 + (client << 12) + change % (1 << 12));
                    let start = Instant::now();
                    connection.put(&name, address).await?;
                    took.push(start.elapsed().as_secs_f64() * 1e3);
                }
                Ok::<_, anyhow::Error>(took)
            })
        });
        let clients: Vec<_> = clients.collect();
        let mut took = Vec::new();
        for client in clients {
            took.extend(client.await.context("an API client panicked")??);
        }
        Ok(Singles {
            took,
            elapsed: begun.elapsed(),
        })
    })
}

/// Searches by a text that is in the middle of one record's name, and by one that is nowhere.
fn search(stage: &Stage, options: &Options, figures: &mut Figures) -> Result<()> {
    let last = options.records - 1;
    for (what, text, count) in [
        ("one match", format!("ept-{last}."), 1),
        ("no match", "nowhere-at-all".to_owned(), 0),
    ] {
        let took = in_server(stage, async || {
            let mut client = Client::connect().await?;
            let mut took = Vec::new();
            for _ in 0..options.searches {
                let start = Instant::now();
                let found = client.search(&text).await?;
                ensure!(found == count, "`{text}` is found {found} times, not {count}");
                took.push(start.elapsed().as_secs_f64() * 1e3);
            }
            Ok(took)
        })?;
        let goal = Some(Goal::AtMost(20.0));
        figures.add(format!("?q= with {what}, p50"), percentile(&took, 0.5), "ms", goal);
    }
    Ok(())
}

/// Single changes while the closed loop takes what processors there are; the kernel receives its frames in threads of
/// their own, or in whatever thread is in its way.
fn under_load(
    stage: &mut Stage,
    load: &Load,
    options: &Options,
    in_threads: bool,
    figures: &mut Figures,
) -> Result<()> {
    stage.circuit.receive_in_threads(in_threads)?;
    let (returns, in_flight) = (Returns::Replies, options.in_flight);
    stage.circuit.start(load, returns, Frames::Full, in_flight)?;
    let measured = singles(stage, load, options, Some(Duration::from_secs_f64(options.seconds)));
    let sample = stage.circuit.measure(Duration::from_millis(500))?;
    stage.circuit.stop()?;
    ensure!(sample.replies() > 0, "the closed loop came to a stand");
    ensure!(
        sample.wrong(load) == 0.0,
        "some of the loop's replies were wrong: {sample:?}"
    );
    let when = if in_threads {
        "under load, NAPI in threads"
    } else {
        "under load"
    };
    measured?.show(when, figures, false);
    figures.add(format!("the queries, {when}"), sample.rate(), "queries/s", None);
    Ok(())
}

/// Ends hotdns at once, and waits until it serves all of it again.
fn start_again(stage: &mut Stage, load: &Load, figures: &mut Figures) -> Result<()> {
    let start = Instant::now();
    stage.restart()?;
    let Stage { process, circuit, .. } = stage;
    let process = process.as_mut().context("hotdns is not running")?;
    circuit.server.enter(|| {
        let api = Api::new();
        process.wait_until("ready", PATIENCE, || api.is_ready())
    })?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    figures.add("kill -9 to ready", took, "ms", Some(Goal::AtMost(2_000.0)));
    stage.wait_for_answer(load)
}

fn report(options: &Options, figures: &[Figure]) -> Result<()> {
    let mut missed = Vec::new();
    println!(
        "{} records, {} clients",
        with_commas(f64::from(options.records)),
        options.clients
    );
    for figure in figures {
        let Figure {
            name,
            value,
            unit,
            goal,
        } = figure;
        let verdict = goal.map_or(String::new(), |goal| {
            let wanted = match goal {
                Goal::AtLeast(least) => format!("at least {least}"),
                Goal::AtMost(most) => format!("at most {most}"),
            };
            if goal.is_met(*value) {
                return format!("good ({wanted})");
            }
            missed.push(format!("{name}: {value:.1} {unit}, {wanted}"));
            format!("MISSED ({wanted})")
        });
        println!("{name:<42} {value:>12.1} {unit:<12} {verdict}");
    }
    if let Some(path) = &options.json {
        let values: Vec<Value> = figures
            .iter()
            .map(|figure| json!({"name": figure.name, "value": figure.value, "unit": figure.unit}))
            .collect();
        let all = json!({"records": options.records, "clients": options.clients, "figures": values});
        let text = serde_json::to_string_pretty(&all).context("cannot make JSON")?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    ensure!(missed.is_empty(), "missed:\n  {}", missed.join("\n  "));
    Ok(())
}
