//! `bench change`: how long it takes until a change is on the wire, and whether an old answer is ever seen after it.
//!
//! 1. ready with 10,000 records; the reload of one changed record
//! 2. 1,000 changes under the load of a closed loop: from the 2xx to the new answer, over UDP (XDP) and TCP (userspace)
//! 3. 100 clients, 10,000 changes: every one answered, the final state equal in the API, XDP and userspace
//! 4. SIGKILL and a new start: every acknowledged record is there

mod api;
mod client;

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

pub(super) use self::api::Api;
pub(super) use self::client::Resolver;
use super::circuit::Frames;
use super::contestant::{Contestant, Stage};
use super::load::{self, Returns};
use super::report::percentile;
use crate::frames::wire_name;

/// What to measure.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many records the zone file has.
    #[arg(long, default_value_t = 10_000)]
    records: u64,
    /// Changes that are followed one by one.
    #[arg(long, default_value_t = 1_000)]
    changes: u32,
    /// API clients at the same time.
    #[arg(long, default_value_t = 100)]
    clients: u32,
    /// Changes of all clients together.
    #[arg(long, default_value_t = 10_000)]
    bulk: u32,
    /// Packets under way in the closed loop meanwhile; 0: no load.
    #[arg(long, default_value_t = 8)]
    in_flight: usize,
    /// Without XDP.
    #[arg(long)]
    sockets: bool,
    /// Also write what was measured, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A measured value and what it should be.
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    /// The most that is good enough, where there is such a thing.
    limit: Option<f64>,
}

const READY_LIMIT: Duration = Duration::from_secs(60);

/// Measures and reports; an error where an answer was old or wrong, or a limit is missed.
pub fn run(options: &Options) -> Result<()> {
    ensure!(
        options.clients > 0 && options.records > 0,
        "--clients and --records must be above 0"
    );
    ensure!(options.records <= 1_000_000, "--records must be at most 1,000,000");
    let loads = load::named(options.records, &["a"])?;
    let load = &loads[0];
    let contestant = if options.sockets {
        Contestant::HotdnsSockets
    } else {
        Contestant::Hotdns
    };
    let mut stage = contestant.start(std::slice::from_ref(&load.zone), &loads)?;
    let mut figures = Vec::new();

    ready(&mut stage, load, &mut figures).context("ready")?;
    reload(&mut stage, load, &mut figures).context("reload")?;

    if options.in_flight > 0 {
        stage
            .circuit
            .start(load, Returns::Replies, Frames::Full, options.in_flight)?;
    }
    let followed = follow(&stage, load, options, &mut figures).context("changes one by one");
    let bulk = followed.and_then(|()| bulk(&stage, load, options, &mut figures).context("many changes at once"));
    if options.in_flight > 0 {
        let sample = stage.circuit.measure(Duration::from_millis(500))?;
        let left = stage.circuit.stop()?;
        figures.push(Figure {
            name: "load meanwhile",
            value: sample.rate(),
            unit: "queries/s",
            limit: None,
        });
        ensure!(
            sample.replies() > 0,
            "the closed loop came to a stand: {left:?} frames left"
        );
        ensure!(
            sample.wrong(load) == 0.0,
            "some of the loop's replies were wrong: {sample:?}"
        );
    }
    bulk?;

    kill_and_start(&mut stage, load, options, &mut figures).context("kill -9")?;
    report(options, &figures)
}

/// From the start of the process to `/ready`, and to the first answer.
fn ready(stage: &mut Stage, load: &load::Load, figures: &mut Vec<Figure>) -> Result<()> {
    let start = Instant::now();
    stage.restart()?;
    wait_until_ready(stage)?;
    figures.push(Figure {
        name: "start to ready",
        value: start.elapsed().as_secs_f64() * 1e3,
        unit: "ms",
        limit: Some(1000.0),
    });
    stage.wait_for_answer(load)
}

fn wait_until_ready(stage: &mut Stage) -> Result<()> {
    let Stage { process, circuit, .. } = stage;
    let process = process.as_mut().context("hotdns is not running")?;
    circuit.server.enter(|| {
        let api = Api::new();
        process.wait_until("ready", READY_LIMIT, || api.is_ready())
    })
}

/// Changes one record of the zone file and reloads.
fn reload(stage: &mut Stage, load: &load::Load, figures: &mut Vec<Figure>) -> Result<()> {
    let path = stage.folder.path().join(format!("{}zone", load.zone.origin));
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = load.zone.name(0);
    let (mut resolver, mut times) = (Resolver::connect(stage, load)?, Vec::new());
    for round in 1..=9u8 {
        let address = Ipv4Addr::new(203, 0, 113, round);
        let changed = text.replacen(&format!("{name} A 10.0.0.0\n"), &format!("{name} A {address}\n"), 1);
        ensure!(changed != text, "the zone file has no record of {name}");
        fs::write(&path, changed).with_context(|| format!("cannot write {}", path.display()))?;
        let took = stage.circuit.server.enter(|| {
            let (api, start) = (Api::new(), Instant::now());
            let reply = api.reload()?;
            let took = start.elapsed();
            ensure!(
                reply["failed"] == json!([]) && reply["changed"] != json!([]),
                "reload says {reply}"
            );
            Ok(took)
        })?;
        resolver.expect(&wire_name(&name), address)?;
        times.push(took.as_secs_f64() * 1e3);
    }
    figures.push(Figure {
        name: "reload, p50",
        value: percentile(&times, 0.5),
        unit: "ms",
        limit: Some(100.0),
    });
    figures.push(Figure {
        name: "reload, worst",
        value: percentile(&times, 1.0),
        unit: "ms",
        limit: Some(100.0),
    });
    Ok(())
}

/// Changes one record again and again, and asks for it as soon as the change is acknowledged.
fn follow(stage: &Stage, load: &load::Load, options: &Options, figures: &mut Vec<Figure>) -> Result<()> {
    let name = format!("followed.{}", load.zone.origin);
    let wire = wire_name(&name);
    let mut resolver = Resolver::connect(stage, load)?;
    let (mut acknowledged, mut answered) = (Vec::new(), Vec::new());
    stage.circuit.server.enter(|| {
        let api = Api::new();
        for number in 0..options.changes {
            let address = Ipv4Addr::from(0xC612_0000 + number);
            let start = Instant::now();
            if number % 10 == 9 {
                // Also names that go and come.
                api.delete(&name)?;
                resolver.expect_absence(&wire)?;
            }
            api.put(&name, address)?;
            let done = Instant::now();
            resolver
                .expect_over_udp(&wire, address)
                .with_context(|| format!("change {number}"))?;
            answered.push(done.elapsed().as_secs_f64() * 1e6);
            acknowledged.push((done - start).as_secs_f64() * 1e3);
            resolver
                .expect_over_tcp(&wire, address)
                .with_context(|| format!("change {number}"))?;
        }
        Ok(())
    })?;
    for (name, values, share, unit) in [
        ("request to 2xx, p50", &acknowledged, 0.5, "ms"),
        ("request to 2xx, p99", &acknowledged, 0.99, "ms"),
        ("2xx to the new answer, p50", &answered, 0.5, "µs"),
        ("2xx to the new answer, p99", &answered, 0.99, "µs"),
    ] {
        figures.push(Figure {
            name,
            value: percentile(values, share),
            unit,
            limit: None,
        });
    }
    figures.push(Figure {
        name: "old or wrong answers",
        value: 0.0,
        unit: "",
        limit: Some(0.0),
    });
    Ok(())
}

fn bulk_name(load: &load::Load, client: u32, record: u32) -> String {
    format!("c{client}r{record}.{}", load.zone.origin)
}

/// Ten records for each client, changed in turn.
const RECORDS_PER_CLIENT: u32 = 10;

/// The last address that each bulk record was given: client, record, address.
fn final_state(options: &Options) -> impl Iterator<Item = (u32, u32, Ipv4Addr)> + use<> {
    let each = options.bulk.div_ceil(options.clients);
    (0..options.clients).flat_map(move |client| {
        (0..RECORDS_PER_CLIENT.min(each)).map(move |record| {
            let last = (each - 1 - record) / RECORDS_PER_CLIENT * RECORDS_PER_CLIENT + record;
            (client, record, bulk_address(client, last))
        })
    })
}

fn bulk_address(client: u32, change: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0B00_0000 + (client << 12) + change)
}

/// Many clients at once; then every record is asked for everywhere.
fn bulk(stage: &Stage, load: &load::Load, options: &Options, figures: &mut Vec<Figure>) -> Result<()> {
    let each = options.bulk.div_ceil(options.clients);
    ensure!(
        each < 1 << 12 && options.clients < 1 << 12,
        "too many changes or clients"
    );
    let barrier = Barrier::new(options.clients as usize + 1);
    let took = stage.circuit.server.enter(|| {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..options.clients)
                .map(|client| {
                    let barrier = &barrier;
                    // A new thread is in the namespace of the one that starts it.
                    scope.spawn(move || -> Result<()> {
                        let api = Api::new();
                        barrier.wait();
                        (0..each).try_for_each(|change| {
                            let name = bulk_name(load, client, change % RECORDS_PER_CLIENT);
                            api.put(&name, bulk_address(client, change))
                        })
                    })
                })
                .collect();
            barrier.wait();
            let start = Instant::now();
            for client in clients {
                client.join().map_err(|_| anyhow::anyhow!("an API client panicked"))??;
            }
            Ok(start.elapsed())
        })
    })?;
    let changes = f64::from(each * options.clients);
    figures.push(Figure {
        name: "API, all clients",
        value: changes / took.as_secs_f64(),
        unit: "changes/s",
        limit: None,
    });
    check_final_state(stage, load, options)
}

fn check_final_state(stage: &Stage, load: &load::Load, options: &Options) -> Result<()> {
    let mut resolver = Resolver::connect(stage, load)?;
    for (client, record, address) in final_state(options) {
        let name = bulk_name(load, client, record);
        resolver
            .expect(&wire_name(&name), address)
            .with_context(|| name.clone())?;
    }
    let stored = stage.circuit.server.enter(|| Api::new().addresses())?;
    for (client, record, address) in final_state(options) {
        let name = bulk_name(load, client, record);
        ensure!(
            stored.get(&name) == Some(&address),
            "{name}: the API has {:?}, not {address}",
            stored.get(&name)
        );
    }
    Ok(())
}

/// Ends hotdns at once; it starts again with everything that it has acknowledged.
fn kill_and_start(stage: &mut Stage, load: &load::Load, options: &Options, figures: &mut Vec<Figure>) -> Result<()> {
    let start = Instant::now();
    stage.restart()?;
    wait_until_ready(stage)?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    figures.push(Figure {
        name: "kill -9 to ready again",
        value: took,
        unit: "ms",
        limit: Some(1000.0),
    });
    stage.wait_for_answer(load)?;
    check_final_state(stage, load, options)
}

fn report(options: &Options, figures: &[Figure]) -> Result<()> {
    let mut missed = Vec::new();
    for Figure {
        name,
        value,
        unit,
        limit,
    } in figures
    {
        let verdict = match limit {
            Some(limit) if value > limit => {
                missed.push(format!("{name}: {value:.1} {unit}, at most {limit}"));
                format!("MISSED (at most {limit})")
            }
            Some(limit) => format!("good (at most {limit})"),
            None => String::new(),
        };
        println!("{name:<28} {value:>12.1} {unit:<10} {verdict}");
    }
    if let Some(path) = &options.json {
        let values: Vec<Value> = figures
            .iter()
            .map(
                |Figure {
                     name,
                     value,
                     unit,
                     limit,
                 }| json!({"name": name, "value": value, "unit": unit, "limit": limit}),
            )
            .collect();
        let all = json!({
            "records": options.records, "changes": options.changes, "clients": options.clients, "bulk": options.bulk,
            "in_flight": options.in_flight, "xdp": !options.sockets, "figures": values,
        });
        let text = serde_json::to_string_pretty(&all).context("cannot make JSON")?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    if !missed.is_empty() {
        bail!("missed:\n  {}", missed.join("\n  "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_state_is_what_the_last_changes_leave() {
        let options = Options {
            records: 1,
            changes: 1,
            clients: 3,
            bulk: 3 * 37,
            in_flight: 0,
            sockets: true,
            json: None,
        };
        let mut state = std::collections::BTreeMap::new();
        for client in 0..3 {
            for change in 0..37 {
                state.insert((client, change % RECORDS_PER_CLIENT), bulk_address(client, change));
            }
        }
        let expected: Vec<_> = state
            .into_iter()
            .map(|((client, record), address)| (client, record, address))
            .collect();
        assert_eq!(final_state(&options).collect::<Vec<_>>(), expected);
    }
}
