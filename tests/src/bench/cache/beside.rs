//! What else a cache has to reach, besides its hits: misses, times, memory, and zones that do not notice it.

use std::time::Duration;

use anyhow::{Context, Result};

use super::super::contestant::{Contestant, Stage};
use super::super::load::{self, Features, Load};
use super::super::paced;
use super::super::report::{median, with_commas};
use super::{OTHERS, Options, rate, ratio, warm};

/// Microseconds within which 99 of a hundred hits are to be answered at half load.
const TIME_GOAL: f64 = 1000.0;
/// Octets that a name may take, besides those of its answer.
const BYTES_GOAL: f64 = 300.0;
/// Octets of an answer with one address.
const ANSWER_BYTES: f64 = 16.0;
/// Of what answers of zones reach where there is no cache.
const ZONE_GOAL: f64 = 0.97;

/// Names that nobody has asked for, each once: what goes upstream and comes back.
pub(super) fn misses(options: &Options) -> Result<()> {
    let load = Load {
        features: Features::Cache,
        ..load::named(options.names, &["wildcard"])?.remove(0)
    };
    let (mut stages, mut rates) = (Vec::new(), Vec::new());
    for contestant in [Contestant::HotdnsSockets].into_iter().chain(OTHERS) {
        stages.push(start(contestant, &load)?);
        rates.push(Vec::new());
    }
    let places = stages.len();
    for round in 0..options.rounds {
        for place in (0..places).map(|place| (place + round) % places) {
            rates[place].push(rate(&mut stages[place], &load, options)?);
        }
    }
    println!("misses: random names, each answered by the upstream server, queries a second");
    for (stage, rates) in stages.iter().zip(&rates) {
        println!(
            "{:<18} UDP {:>11}",
            stage.contestant.title(),
            with_commas(median(rates))
        );
    }
    let over_unbound = ratio(&rates[0], &rates[1]);
    println!("hotdns over Unbound: {over_unbound:.2} (to reach: 1.00)");
    Ok(())
}

/// How long kept answers take at half of what the best of the others reaches.
pub(super) fn half_load(stages: &[&Stage], load: &Load, options: &Options) -> Result<()> {
    let time = Duration::from_secs_f64(options.seconds);
    let (mut best, mut own): (f64, f64) = (0.0, 0.0);
    for stage in stages {
        let peak = paced::peak(&stage.circuit, load, time)?;
        let to = if OTHERS.contains(&stage.contestant) {
            &mut best
        } else {
            &mut own
        };
        *to = to.max(peak);
    }
    let half = if best > 0.0 { best } else { own } / 2.0;
    println!("times at half load, {} queries a second", with_commas(half));
    for stage in stages {
        let samples = (0..options.rounds)
            .map(|_| paced::times(&stage.circuit, load, half, time))
            .collect::<Result<Vec<_>>>()?;
        let of = |share: f64| {
            median(
                &samples
                    .iter()
                    .map(|sample| sample.percentile(share))
                    .collect::<Vec<_>>(),
            )
        };
        let (middle, slow) = (of(0.5), of(0.99));
        let goal = if stage.contestant == Contestant::HotdnsSockets {
            format!(" (to reach: {TIME_GOAL} µs)")
        } else {
            String::new()
        };
        println!(
            "{:<18} half within {middle:.0} µs, 99 % within {slow:.0} µs{goal}",
            stage.contestant.title()
        );
    }
    Ok(())
}

/// Answers of a zone, with and without a cache beside it, in turn: from sockets and from XDP.
pub(super) fn zones(options: &Options) -> Result<()> {
    let without = load::named(options.names, &["a"])?.remove(0);
    let with = Load {
        features: Features::CacheBeside,
        ..without.clone()
    };
    for contestant in [Contestant::HotdnsSockets, Contestant::Hotdns] {
        let mut stages = [start(contestant, &without)?, start(contestant, &with)?];
        let mut rates = [Vec::new(), Vec::new()];
        for round in 0..options.rounds {
            for place in [round % 2, (round + 1) % 2] {
                rates[place].push(rate(&mut stages[place], &without, options)?);
            }
        }
        let share = ratio(&rates[1], &rates[0]);
        println!(
            "answers of a zone with a cache beside it, {}: {share:.3} of those without (to reach: {ZONE_GOAL})",
            contestant.title()
        );
    }
    Ok(())
}

/// Memory of a process that keeps many names.
pub(super) fn memory(options: &Options) -> Result<()> {
    let load = Load {
        features: Features::Cache,
        ..load::named(options.kept, &["a"])?.remove(0)
    };
    let mut stage = start(Contestant::HotdnsSockets, &load)?;
    let resident = |stage: &Stage| -> Result<f64> {
        let process = stage.process.as_ref().context("a process")?;
        Ok(process.resident_bytes()? as f64)
    };
    let before = resident(&stage)?;
    warm(&mut stage, &load, 1)?;
    let each = (resident(&stage)? - before) / options.kept as f64 - ANSWER_BYTES;
    println!(
        "{} kept names: {each:.0} octets each over the answer's (to reach: {BYTES_GOAL})",
        with_commas(options.kept as f64)
    );
    Ok(())
}

fn start(contestant: Contestant, load: &Load) -> Result<Stage> {
    eprint!("\r\x1b[Kstarting {}", contestant.title());
    let started = contestant.start(std::slice::from_ref(&load.zone), std::slice::from_ref(load));
    eprint!("\r\x1b[K");
    started.with_context(|| format!("cannot measure {}", contestant.title()))
}
