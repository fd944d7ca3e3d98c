//! What was measured, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::circuit::{Frames, Sample, processors};
use super::container::Asked;
use super::contestant::Contestant;
use super::load::{Load, Target};

/// The smallest share of an equal part of the work that a processor must have had: below it a figure is not one of
/// the whole machine.
pub const BALANCE: f64 = 0.5;
/// The largest share of replies that may be wrong.
const WRONG: f64 = 0.0;
/// The smallest share of the frames that an XDP program must not have lost.
const KEPT: f64 = 0.9;
/// What hotdns is to reach beside Knot DNS with AF_XDP, and beside the best of the others: times their rate.
const PEERS: [(&str, Target); 2] = [
    ("Knot DNS, AF_XDP", Target { must: 9.0, aim: 12.0 }),
    ("the best from sockets", Target { must: 11.0, aim: 15.0 }),
];

/// One measurement.
#[derive(Clone, Debug)]
pub struct Outcome {
    rate: f64,
    balance: f64,
    wrong: f64,
    kept: f64,
    sample: Sample,
    faults: Vec<String>,
}

impl Outcome {
    /// Reads a sample, and looks for what makes its figures worthless.
    pub fn new(load: &Load, contestant: Contestant, in_flight: usize, sample: &Sample) -> Self {
        // What bounces is the query itself.
        let wrong = match contestant {
            Contestant::Bounce => sample.mismatched as f64 / sample.replies().max(1) as f64,
            _ => sample.wrong(load),
        };
        let (balance, kept) = (
            sample.balance(),
            sample.left.iter().sum::<u64>() as f64 / in_flight as f64,
        );
        let mut faults = Vec::new();
        if sample.replies() == 0 {
            faults.push("no replies".to_owned());
        }
        if wrong > WRONG {
            faults.push(format!(
                "{:.4} % of the replies are wrong (by RCODE: {:?})",
                wrong * 100.0,
                sample.rcodes
            ));
        }
        if contestant.is_xdp_program() && balance < BALANCE {
            faults.push(format!(
                "one processor has {balance:.2} of its share of the frames: {:?}",
                sample.left
            ));
        }
        if contestant.is_xdp_program() && !(KEPT..=1.0).contains(&kept) {
            faults.push(format!(
                "{:?} of {in_flight} frames are left, {} lost at the client",
                sample.left, sample.lost
            ));
        }
        Self {
            rate: sample.rate(),
            balance,
            wrong,
            kept,
            sample: sample.clone(),
            faults,
        }
    }
}

/// What the kernel says of an XDP program under a load.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Time of a run.
    pub nanoseconds: f64,
    /// Instructions that the verifier walked.
    pub verified_instructions: u64,
}

#[derive(Default)]
struct Row {
    outcomes: Vec<Outcome>,
    asked: Vec<Asked>,
    figures: Option<Figures>,
}

/// All that was measured.
pub struct Report {
    names: u64,
    in_flight: usize,
    time: Duration,
    frames: Frames,
    versions: Vec<(Contestant, String)>,
    loads: Vec<(&'static str, &'static str, Option<Target>)>,
    rows: BTreeMap<(&'static str, u8), Row>,
    left_out: Vec<(&'static str, String)>,
}

impl Report {
    /// An empty report of a run with these settings.
    pub fn new(names: u64, in_flight: usize, time: Duration, frames: Frames) -> Self {
        Self {
            names,
            in_flight,
            time,
            frames,
            versions: Vec::new(),
            loads: Vec::new(),
            rows: BTreeMap::new(),
            left_out: Vec::new(),
        }
    }

    /// Adds what could not be measured, and why.
    pub fn leave_out(&mut self, what: &'static str, why: &str) {
        self.left_out.push((what, why.to_owned()));
    }

    /// Adds someone who takes part.
    pub fn add_version(&mut self, contestant: Contestant, version: String) {
        if self.versions.iter().all(|(known, _)| *known != contestant) {
            self.versions.push((contestant, version));
        }
    }

    /// Adds a measurement: of every round, in order.
    pub fn add(&mut self, load: &Load, contestant: Contestant, outcome: Outcome) {
        if self.loads.iter().all(|(name, ..)| *name != load.name) {
            self.loads.push((load.name, load.title, load.target));
        }
        self.rows
            .entry((load.name, contestant as u8))
            .or_default()
            .outcomes
            .push(outcome);
    }

    /// Adds what ordinary sockets got: of every round, in order.
    pub fn add_asked(&mut self, load: &Load, contestant: Contestant, asked: Asked) {
        self.rows
            .entry((load.name, contestant as u8))
            .or_default()
            .asked
            .push(asked);
    }

    /// The medians of what ordinary sockets got: rate, share that XDP answered, share that had no room.
    fn asked(row: &Row) -> Option<Asked> {
        let of = |part: fn(&Asked) -> f64| median(&row.asked.iter().map(part).collect::<Vec<_>>());
        (!row.asked.is_empty()).then(|| Asked {
            rate: of(|asked| asked.rate),
            by_xdp: of(|asked| asked.by_xdp),
            no_room: of(|asked| asked.no_room),
        })
    }

    /// Adds what the kernel says.
    pub fn add_figures(&mut self, load: &Load, contestant: Contestant, figures: Figures) {
        self.rows.entry((load.name, contestant as u8)).or_default().figures = Some(figures);
    }

    fn row(&self, load: &'static str, contestant: Contestant) -> Option<&Row> {
        self.rows
            .get(&(load, contestant as u8))
            .filter(|row| !row.outcomes.is_empty())
    }

    /// Each round's rate over the same round's limit.
    fn ratios(&self, load: &'static str, row: &Row) -> Vec<f64> {
        let limit = self
            .row(load, Contestant::Bounce)
            .map(|row| row.outcomes.as_slice())
            .unwrap_or_default();
        row.outcomes
            .iter()
            .zip(limit)
            .map(|(own, limit)| own.rate / limit.rate)
            .collect()
    }

    /// The same for equal time in soft interrupts: of what runs nowhere else, and whatever else the machine does.
    fn ratios_by_time(&self, load: &'static str, row: &Row) -> Vec<f64> {
        let limit = self
            .row(load, Contestant::Bounce)
            .map(|row| row.outcomes.as_slice())
            .unwrap_or_default();
        let speed = |outcome: &Outcome| outcome.rate / outcome.sample.softirq;
        row.outcomes
            .iter()
            .zip(limit)
            .map(|(own, limit)| speed(own) / speed(limit))
            .collect()
    }

    /// Everything that makes a figure worthless; an error if there is something.
    pub fn faults(&self) -> Result<()> {
        let mut faults = Vec::new();
        for (contestant, _) in &self.versions {
            for (load, title, _) in &self.loads {
                for outcome in self.row(load, *contestant).into_iter().flat_map(|row| &row.outcomes) {
                    let name = contestant.title();
                    faults.extend(outcome.faults.iter().map(|fault| format!("{name}, {title}: {fault}")));
                }
            }
        }
        if !faults.is_empty() {
            bail!("these figures cannot be trusted:\n  {}", faults.join("\n  "));
        }
        Ok(())
    }

    /// Everything, for programs.
    pub fn to_json(&self) -> Value {
        let loads = self.loads.iter().map(|(load, title, target)| {
            let contestants = self.versions.iter().filter_map(|(contestant, _)| {
                let row = self.row(load, *contestant)?;
                let rates: Vec<f64> = row.outcomes.iter().map(|outcome| outcome.rate.round()).collect();
                let ratios = self.ratios(load, row);
                let by_time = contestant
                    .is_xdp_program()
                    .then(|| median(&self.ratios_by_time(load, row)));
                Some(json!({
                    "name": contestant.title(),
                    "queries_per_second": median(&rates),
                    "share_of_limit": median(&ratios),
                    "share_of_limit_by_softirq_time": by_time,
                    "rounds": row.outcomes.iter().zip(&ratios).map(|(outcome, ratio)| json!({
                        "queries_per_second": outcome.rate.round(),
                        "share_of_limit": ratio,
                        "replies_per_processor": outcome.sample.per_cpu,
                        "replies_by_rcode": outcome.sample.rcodes,
                        "balance": outcome.balance,
                        "softirq_share": outcome.sample.softirq,
                        "wrong": outcome.wrong,
                        "truncated": outcome.sample.truncated,
                        "frames_left": outcome.sample.left,
                        "frames_kept": outcome.kept,
                        "faults": outcome.faults,
                    })).collect::<Vec<_>>(),
                    "containers": Self::asked(row).map(|asked| json!({
                        "queries_per_second": asked.rate.round(),
                        "answered_by_xdp": asked.by_xdp,
                        "passed_for_no_room": asked.no_room,
                    })),
                    "nanoseconds_per_packet": row.figures.map(|figures| figures.nanoseconds),
                    "verified_instructions": row.figures.map(|figures| figures.verified_instructions),
                }))
            });
            json!({
                "load": load,
                "title": title,
                "must": target.map(|target| target.must),
                "aim": target.map(|target| target.aim),
                "contestants": contestants.collect::<Vec<_>>(),
            })
        });
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        json!({
            "unix_time": time,
            "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
            "processors": processors().map_or(0, |cpus| cpus.len()),
            "names": self.names,
            "in_flight": self.in_flight,
            "seconds": self.time.as_secs_f64(),
            "frames": format!("{:?}", self.frames).to_lowercase(),
            "versions": self.versions.iter().map(|(contestant, version)| json!({
                "name": contestant.title(), "version": version,
            })).collect::<Vec<_>>(),
            "loads": loads.collect::<Vec<_>>(),
            "times_the_rate_of": self.beside_others().into_iter().map(|(title, times, target)| {
                json!({"title": title, "times": times, "must": target.must, "aim": target.aim})
            }).collect::<Vec<_>>(),
            "left_out": self.left_out.iter().map(|(what, why)| json!({"what": what, "why": why})).collect::<Vec<_>>(),
        })
    }

    /// How many times the rate of others hotdns has on the load `a`.
    fn beside_others(&self) -> Vec<(&'static str, f64, Target)> {
        let rate = |contestant| {
            let row = self.row("a", contestant)?;
            Some(median(
                &row.outcomes.iter().map(|outcome| outcome.rate).collect::<Vec<_>>(),
            ))
        };
        let Some(own) = rate(Contestant::Hotdns) else {
            return Vec::new();
        };
        let others = self.versions.iter().map(|(contestant, _)| *contestant);
        let best = others
            .filter(|contestant| contestant.is_other_on_sockets())
            .filter_map(rate)
            .reduce(f64::max);
        [rate(Contestant::KnotXdp), best]
            .into_iter()
            .zip(PEERS)
            .filter_map(|(rate, (title, target))| Some((title, own / rate?, target)))
            .collect()
    }

    /// What ordinary sockets got.
    fn containers(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_first = true;
        for (load, title, _) in &self.loads {
            for (contestant, _) in &self.versions {
                let Some(asked) = self.row(load, *contestant).and_then(Self::asked) else {
                    continue;
                };
                if std::mem::take(&mut is_first) {
                    writeln!(
                        formatter,
                        "\n{:<32} {:<30} {:>12} {:>9} {:>9}",
                        "ordinary sockets over veth", "", "queries/s", "by XDP", "no room"
                    )?;
                }
                writeln!(
                    formatter,
                    "  {title:<30} {:<30} {:>12} {:>9.4} {:>9.4}",
                    contestant.title(),
                    with_commas(asked.rate),
                    asked.by_xdp,
                    asked.no_room
                )?;
            }
        }
        Ok(())
    }

    /// What was to be reached, and what was.
    fn summary(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |formatter: &mut fmt::Formatter<'_>, title: &str, value: f64, target: Target| {
            let verdict = match value {
                value if value < target.must => "below the must",
                value if value < target.aim => "below the aim",
                _ => "",
            };
            writeln!(
                formatter,
                "  {title:<40} {value:>8.3} {:>8.2} {:>8.2}  {verdict}",
                target.must, target.aim
            )
        };
        let reached = |(load, title, target): &(&'static str, &'static str, Option<Target>)| {
            let ratios = self.ratios(load, self.row(load, Contestant::Hotdns)?);
            Some((*title, median(&ratios), (*target)?))
        };
        let reached: Vec<_> = self.loads.iter().filter_map(reached).collect();
        if !reached.is_empty() {
            writeln!(
                formatter,
                "\n{:<42} {:>8} {:>8} {:>8}",
                "hotdns, XDP", "of limit", "must", "aim"
            )?;
        }
        for (title, share, target) in reached {
            line(formatter, title, share, target)?;
        }
        let others = self.beside_others();
        if !others.is_empty() {
            writeln!(
                formatter,
                "\n{:<42} {:>8} {:>8} {:>8}",
                "load A, times the rate of", "", "must", "aim"
            )?;
        }
        for (title, times, target) in others {
            line(formatter, title, times, target)?;
        }
        for (what, why) in &self.left_out {
            writeln!(formatter, "\nleft out: {what}: {why}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpus = processors().map_or(0, |cpus| cpus.len());
        let frames = format!("{:?}", self.frames).to_lowercase();
        writeln!(
            formatter,
            "{} names, {} {frames} frames in flight, {cpus} processors, {} s each; medians of the rounds.\n\
             balance: the least share of the frames on a processor, 1 where all have the same. softirq: the share of \
             all time that\n\
             went into soft interrupts. by time: the share of the limit for equal time there, whatever else ran.",
            self.names,
            self.in_flight,
            self.time.as_secs_f64()
        )?;
        for (load, title, _) in &self.loads {
            writeln!(
                formatter,
                "\n{title:<32} {:>12} {:>9} {:>15} {:>8} {:>8} {:>9} {:>8} {:>9}",
                "queries/s", "of limit", "(min to max)", "balance", "softirq", "by time", "ns/query", "verified"
            )?;
            for (contestant, _) in &self.versions {
                let Some(row) = self.row(load, *contestant) else {
                    continue;
                };
                let ratios = self.ratios(load, row);
                let rates: Vec<f64> = row.outcomes.iter().map(|outcome| outcome.rate).collect();
                let balances: Vec<f64> = row.outcomes.iter().map(|outcome| outcome.balance).collect();
                let softirq: Vec<f64> = row.outcomes.iter().map(|outcome| outcome.sample.softirq).collect();
                let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
                let most = ratios.iter().copied().fold(0.0, f64::max);
                write!(
                    formatter,
                    "  {:<30} {:>12} {:>9.4} {:>15} {:>8.2} {:>8.2}",
                    contestant.title(),
                    with_commas(median(&rates)),
                    median(&ratios),
                    format!("{least:.4}-{most:.4}"),
                    median(&balances),
                    median(&softirq)
                )?;
                if contestant.is_xdp_program() {
                    write!(formatter, " {:>9.4}", median(&self.ratios_by_time(load, row)))?;
                }
                if let Some(figures) = row.figures {
                    write!(
                        formatter,
                        " {:>8.0} {:>9}",
                        figures.nanoseconds, figures.verified_instructions
                    )?;
                }
                writeln!(formatter)?;
            }
        }
        self.containers(formatter)?;
        self.summary(formatter)
    }
}

/// The value in the middle; of an even number, the mean of the two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[length / 2],
        length => (sorted[length / 2 - 1] + sorted[length / 2]) / 2.0,
    }
}

/// The value below which this share of the values lies.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(((sorted.len() as f64 * share) as usize).min(last))
        .copied()
        .unwrap_or(0.0)
}

/// A whole number with its digits in groups of three.
pub fn with_commas(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 0.99), 4.0);
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 0.5), 3.0);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            [1.0, 999.0, 1000.0, 11_000_000.0].map(with_commas),
            ["1", "999", "1,000", "11,000,000"]
        );
    }
}
