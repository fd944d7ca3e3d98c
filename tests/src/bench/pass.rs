//! `bench pass`: what the program costs frames that it passes, beside a program that passes all, on the same interface.
//!
//! ```text
//!   client's namespace               server's namespace
//!   generate ── frame, XDP_TX ─────► pass | hotdns ── XDP_PASS ─► the kernel's stack ─┐
//!      ▲                                                                              │ tc: redirect, at its entrance
//!      └──────────── the same frame, counted ─────────────────────────────────────────┘
//! ```
//!
//! The way of a passed frame is as short as it can be: a socket buffer is made, and sent back where the stack begins.
//! What the program costs is a smaller part of any longer way. Nobody answers behind it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aya::programs::xdp::XdpLink;
use clap::Args;
use serde_json::json;

use super::circuit::{Circuit, Frames, Sample};
use super::hot;
use super::load::{Features, Load, Returns, Target};
use super::report::{median, with_commas};
use super::site::Site;
use super::zone::{Content, Zone};

/// What to measure, and how long.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How long one measurement takes, in seconds.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// How often each is measured, in turn.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Packets under way.
    #[arg(long, default_value_t = 128)]
    in_flight: usize,
    /// Also write what was measured, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The share of the empty program's rate.
const TARGET: Target = Target { must: 0.95, aim: 1.0 };
/// A port that nobody listens on.
const OTHER_PORT: u16 = 4000;

/// The two programs that take turns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Empty,
    Hotdns,
}

struct Row {
    title: &'static str,
    /// Of the empty program, and of hotdns, in each round.
    rates: [Vec<f64>; 2],
    /// The same for equal time in soft interrupts: whatever else the machine did.
    speeds: [Vec<f64>; 2],
    /// Their time in nanoseconds, as the kernel measures it.
    nanoseconds: [f64; 2],
}

impl Row {
    fn ratios(&self) -> Vec<f64> {
        let [empty, hotdns] = &self.rates;
        hotdns.iter().zip(empty).map(|(own, empty)| own / empty).collect()
    }

    fn ratio_by_time(&self) -> f64 {
        let [empty, hotdns] = &self.speeds;
        median(
            &hotdns
                .iter()
                .zip(empty)
                .map(|(own, empty)| own / empty)
                .collect::<Vec<_>>(),
        )
    }
}

/// Measures and reports; an error where the figures cannot be trusted.
pub fn run(options: &Options) -> Result<()> {
    ensure!(
        options.seconds > 0.0 && options.seconds.is_finite() && options.rounds > 0 && options.in_flight > 0,
        "--seconds, --rounds and --in-flight must be above 0"
    );
    let loads = loads();
    let mut site = Site::new("pass", &loads[0].zone)?;
    send_back(&site)?;

    let mut rows = Vec::new();
    for load in &loads {
        let mut rates = [Vec::new(), Vec::new()];
        let mut speeds = rates.clone();
        for round in 0..options.rounds {
            for (place, turn) in [Turn::Empty, Turn::Hotdns].into_iter().enumerate() {
                eprint!("\r\x1b[Kround {} of {}: {}", round + 1, options.rounds, load.title);
                let _link = attach(&mut site, turn)?;
                let sample = measure(&mut site.circuit, load, options)?;
                rates[place].push(sample.rate());
                speeds[place].push(sample.rate() / sample.softirq);
            }
        }
        let mut nanoseconds = [0.0; 2];
        for (turn, nanoseconds) in [Turn::Empty, Turn::Hotdns].into_iter().zip(&mut nanoseconds) {
            let _link = attach(&mut site, turn)?;
            *nanoseconds = hot::figures(
                &mut site.circuit,
                load,
                Returns::Echoed,
                Frames::Full,
                options.in_flight,
            )?
            .nanoseconds;
        }
        rows.push(Row {
            title: load.title,
            rates,
            speeds,
            nanoseconds,
        });
    }
    eprint!("\r\x1b[K");
    show(&rows);
    write(options, &rows)
}

/// What passes: all that is not for our port, and DNS that only userspace answers, early and late.
fn loads() -> Vec<Load> {
    let zone = Zone {
        origin: "move.test.".to_owned(),
        middle: String::new(),
        content: Content::Dname,
        names: 1,
    };
    let below_dname = Load {
        name: "dname",
        title: "DNS: below a DNAME",
        zone,
        elsewhere: Some(".moved.".to_owned()),
        is_numbered_twice: false,
        numbers: 1 << 32,
        qtype: 1,
        edns: None,
        ipv6: false,
        vlan: None,
        port: 53,
        rcode: 0,
        answers: true,
        target: None,
        features: Features::None,
    };
    vec![
        Load {
            name: "port",
            title: "UDP to another port",
            port: OTHER_PORT,
            target: Some(TARGET),
            ..below_dname.clone()
        },
        Load {
            name: "port-ipv6",
            title: "UDP to another port, IPv6",
            port: OTHER_PORT,
            ipv6: true,
            target: Some(TARGET),
            ..below_dname.clone()
        },
        Load {
            name: "any",
            title: "DNS: type ANY",
            qtype: 255,
            ..below_dname.clone()
        },
        below_dname,
    ]
}

/// What comes up from the interface leaves by it again, as it came.
fn send_back(site: &Site) -> Result<()> {
    let (namespace, device) = (&site.circuit.server, site.circuit.pair.second.device.as_str());
    namespace.run("tc", &["qdisc", "add", "dev", device, "ingress"])?;
    let filter = ["protocol", "all", "prio", "1", "u32", "match", "u32", "0", "0"];
    let action = ["action", "mirred", "egress", "redirect", "dev", device];
    let place = ["filter", "add", "dev", device, "parent", "ffff:"];
    namespace.run("tc", &[&place[..], &filter, &action].concat())?;
    Ok(())
}

fn attach(site: &mut Site, turn: Turn) -> Result<XdpLink> {
    match turn {
        Turn::Empty => site.circuit.attach_to_server("pass"),
        Turn::Hotdns => site.attach(),
    }
}

/// One measurement; every frame has to pass, and to come back.
fn measure(circuit: &mut Circuit, load: &Load, options: &Options) -> Result<Sample> {
    let time = Duration::from_secs_f64(options.seconds);
    let sample = circuit.sample(load, Returns::Echoed, Frames::Full, options.in_flight, time)?;
    let left: u64 = sample.left.iter().sum();
    if sample.replies() == 0 || sample.mismatched > 0 || left != options.in_flight as u64 {
        bail!(
            "{}: {left} of {} frames are left, {} are other ones: {sample:?}",
            load.title,
            options.in_flight,
            sample.mismatched
        );
    }
    Ok(sample)
}

fn show(rows: &[Row]) {
    println!(
        "{:<30} {:>12} {:>12} {:>8} {:>15} {:>8} {:>7} {:>7} {:>6} {:>6}",
        "frames/s", "empty", "hotdns", "share", "(min to max)", "by time", "ns", "ns", "must", "aim"
    );
    for (row, load) in rows.iter().zip(loads()) {
        let ratios = row.ratios();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        print!(
            "{:<30} {:>12} {:>12} {:>8.3} {:>15} {:>8.3} {:>7.0} {:>7.0}",
            row.title,
            with_commas(median(&row.rates[0])),
            with_commas(median(&row.rates[1])),
            median(&ratios),
            format!("{least:.3}-{most:.3}"),
            row.ratio_by_time(),
            row.nanoseconds[0],
            row.nanoseconds[1]
        );
        match load.target {
            Some(Target { must, aim }) => println!(" {must:>6.2} {aim:>6.2}"),
            None => println!(),
        }
    }
}

fn write(options: &Options, rows: &[Row]) -> Result<()> {
    let Some(path) = &options.json else { return Ok(()) };
    let rows: Vec<_> = rows
        .iter()
        .zip(loads())
        .map(|(row, load)| {
            json!({
                "load": load.name,
                "title": row.title,
                "frames_per_second": {"empty": row.rates[0], "hotdns": row.rates[1]},
                "nanoseconds": {"empty": row.nanoseconds[0], "hotdns": row.nanoseconds[1]},
                "share": median(&row.ratios()),
                "share_by_softirq_time": row.ratio_by_time(),
                "must": load.target.map(|target| target.must),
                "aim": load.target.map(|target| target.aim),
            })
        })
        .collect();
    let text = serde_json::to_string_pretty(&rows).context("cannot make JSON")?;
    std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}
