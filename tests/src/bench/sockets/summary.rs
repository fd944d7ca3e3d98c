//! What `bench sockets` measured, as a table and as JSON, and what of it hotdns is to reach.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::connections::Cost;
use super::{Figures, OVERLOADS, Options, Part};
use crate::bench::circuit::processors;
use crate::bench::contestant::Contestant;
use crate::bench::report::{median, with_commas};

/// The smallest share of the peak a second after an overload.
const BACK: f64 = 0.9;

/// All rounds.
#[derive(Default)]
pub(crate) struct Summary {
    versions: Vec<(Contestant, String)>,
    rounds: Vec<(Contestant, Figures)>,
    /// What connections cost hotdns.
    pub(crate) cost: Option<Cost>,
}

/// Something to reach: a median over the rounds, each of them a ratio to what was measured beside it.
struct Goal {
    name: String,
    value: f64,
    /// At least this; at most, where less is better.
    bound: f64,
    less_is_better: bool,
}

impl Goal {
    fn is_met(&self) -> bool {
        if self.less_is_better {
            self.value <= self.bound
        } else {
            self.value >= self.bound
        }
    }
}

impl Summary {
    /// Adds someone who takes part.
    pub(crate) fn add_version(&mut self, contestant: Contestant, version: String) {
        self.versions.push((contestant, version));
    }

    /// Adds a round of one contestant.
    pub(crate) fn add(&mut self, contestant: Contestant, figures: Figures) {
        self.rounds.push((contestant, figures));
    }

    fn of(&self, contestant: Contestant, value: impl Fn(&Figures) -> f64) -> Vec<f64> {
        let rounds = self.rounds.iter().filter(|(other, _)| *other == contestant);
        rounds.map(|(_, figures)| value(figures)).collect()
    }

    /// Ours over that of the best of the others: the median over the rounds for each of them, and of these the one that
    /// is worst for us. (Ours over the best of each round would compare with whoever had a lucky round.)
    fn ratio(&self, value: impl Fn(&Figures) -> f64, less_is_better: bool) -> Option<f64> {
        let own = self.of(Contestant::HotdnsSockets, &value);
        let against = |other: Contestant| {
            let rounds = own.iter().zip(self.of(other, &value));
            // Two that are infinite are alike.
            let ratios: Vec<f64> = rounds
                .map(|(own, other)| if *own == other { 1.0 } else { own / other })
                .collect();
            median(&ratios)
        };
        let others = self.versions.iter().map(|(contestant, _)| *contestant);
        let ratios = others
            .filter(|other| *other != Contestant::HotdnsSockets && !own.is_empty())
            .map(against);
        if less_is_better {
            ratios.reduce(f64::max)
        } else {
            ratios.reduce(f64::min)
        }
    }

    fn goals(&self, parts: &[Part]) -> Vec<Goal> {
        let mut goals = Vec::new();
        let mut against = |part: Option<Part>, name: &str, value: &dyn Fn(&Figures) -> f64, less_is_better| {
            let is_measured = part.is_none_or(|part| parts.contains(&part));
            if is_measured && let Some(value) = self.ratio(value, less_is_better) {
                goals.push(Goal {
                    name: format!("{name}, over the best of the others"),
                    value,
                    bound: 1.0,
                    less_is_better,
                });
            }
        };
        against(None, "UDP", &|figures| figures.udp, false);
        against(Some(Part::Tcp), "TCP", &|figures| figures.tcp, false);
        against(
            Some(Part::HalfLoad),
            "99 % at half load",
            &|figures| figures.times[1],
            true,
        );
        for (index, factor) in OVERLOADS.into_iter().enumerate() {
            against(
                Some(Part::Overload),
                &format!("goodput at {factor} times the peak"),
                &|figures| figures.goodput[index],
                false,
            );
        }
        for (index, factor) in OVERLOADS.into_iter().enumerate() {
            let own = self.of(Contestant::HotdnsSockets, |figures| figures.back[index]);
            if !own.is_empty() && parts.contains(&Part::Overload) {
                goals.push(Goal {
                    name: format!("share of the peak within 1 s after {factor} times the peak"),
                    value: median(&own),
                    bound: BACK,
                    less_is_better: false,
                });
            }
        }
        goals
    }

    /// An error that names what is missed, if something is.
    pub(crate) fn verdict(&self, parts: &[Part]) -> Result<()> {
        let missed: Vec<String> = self
            .goals(parts)
            .iter()
            .filter(|goal| !goal.is_met())
            .map(|goal| format!("{}: {:.2}", goal.name, goal.value))
            .collect();
        if !missed.is_empty() {
            bail!("missed:\n  {}", missed.join("\n  "));
        }
        Ok(())
    }

    /// For people.
    pub(crate) fn shown(&self, options: &Options) -> String {
        let mut text = format!(
            "{} names, {} processors and as many workers each, {} s a measurement; medians of {} rounds.\n\
             UDP: {} frames in flight, the peak. TCP: {} connections, {} queries under way on each.\n\
             half load: of the other servers' best UDP peak to clients on the same processors. overload: right \
             replies, and the\n\
             closed loop within a second after it, as shares of the own peak right before it.\n\n{:<20} {:>12} {:>12} \
             {:>12} {:>12} {:>7}",
            options.names,
            processors().map_or(0, |cpus| cpus.len()),
            options.seconds,
            options.rounds,
            options.in_flight,
            options.connections,
            options.depth,
            "",
            "UDP q/s",
            "TCP q/s",
            "half: 50 %",
            "half: 99 %",
            "lost",
        );
        // Writing to a string cannot fail.
        for factor in OVERLOADS {
            let _ = write!(text, " {:>18} {:>7}", format!("{factor} x: goodput"), "after");
        }
        text.push('\n');
        for (contestant, _) in &self.versions {
            let of = |value: &dyn Fn(&Figures) -> f64| median(&self.of(*contestant, value));
            let _ = write!(
                text,
                "{:<20} {:>12} {:>12} {:>9.0} us {:>9.0} us {:>7.4}",
                contestant.title(),
                with_commas(of(&|figures| figures.udp)),
                with_commas(of(&|figures| figures.tcp)),
                of(&|figures| figures.times[0]),
                of(&|figures| figures.times[1]),
                of(&|figures| figures.lost),
            );
            for index in 0..OVERLOADS.len() {
                let offered = of(&|figures| figures.offered[index]);
                let goodput = format!("{:.2} (of {offered:.1})", of(&|figures| figures.goodput[index]));
                let _ = write!(text, " {goodput:>18} {:>7.2}", of(&|figures| figures.back[index]));
            }
            text.push('\n');
        }
        if let Some(cost) = self.cost {
            let _ = writeln!(
                text,
                "\n{} idle connections: {} bytes of the process each; {} that ask and do not read: {} each",
                cost.idle,
                cost.idle_bytes / cost.idle as u64,
                cost.slow,
                cost.slow_bytes / cost.slow as u64
            );
        }
        text.push('\n');
        for goal in self.goals(&options.parts) {
            let (sign, outcome) = (
                if goal.less_is_better { "<=" } else { ">=" },
                if goal.is_met() { "met" } else { "MISSED" },
            );
            let _ = writeln!(
                text,
                "{:<56} {:>6.2} {sign} {:.1} {outcome}",
                goal.name, goal.value, goal.bound
            );
        }
        text
    }

    /// For programs.
    pub(crate) fn to_json(&self, options: &Options) -> Value {
        let contestants = self.versions.iter().map(|(contestant, version)| {
            let rounds = self.rounds.iter().filter(|(other, _)| other == contestant);
            let rounds = rounds.map(|(_, figures)| {
                json!({
                    "udp_queries_per_second": figures.udp,
                    "tcp_queries_per_second": figures.tcp,
                    "udp_to_clients_queries_per_second": figures.to_clients,
                    "half_load_queries_per_second": figures.half_load,
                    "half_load_median_us": figures.times[0],
                    // Infinite, which JSON does not have, where more than 1 % were not answered.
                    "half_load_p99_us": figures.times[1],
                    "half_load_lost": figures.lost,
                    "overloads": OVERLOADS.iter().enumerate().map(|(index, factor)| json!({
                        "factor": factor,
                        "peak_queries_per_second": figures.peak[index],
                        "offered_times_the_peak": figures.offered[index],
                        "goodput_share_of_peak": figures.goodput[index],
                        "share_of_peak_within_a_second_after": figures.back[index],
                    })).collect::<Vec<_>>(),
                })
            });
            json!({"name": contestant.title(), "version": version, "rounds": rounds.collect::<Vec<_>>()})
        });
        json!({
            "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
            "processors": processors().map_or(0, |cpus| cpus.len()),
            "names": options.names,
            "seconds": options.seconds,
            "in_flight": options.in_flight,
            "connections": options.connections,
            "depth": options.depth,
            "contestants": contestants.collect::<Vec<_>>(),
            "connections_cost": self.cost.map(|cost| json!({
                "idle": cost.idle,
                "idle_bytes_each": cost.idle_bytes / cost.idle as u64,
                "slow": cost.slow,
                "slow_bytes_each": cost.slow_bytes / cost.slow as u64,
            })),
            "goals": self.goals(&options.parts).iter().map(|goal| json!({
                "name": goal.name, "value": goal.value, "bound": goal.bound, "is_met": goal.is_met(),
            })).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn round(udp: f64, p99: f64) -> Figures {
        Figures {
            udp,
            tcp: 1.0,
            times: [1.0, p99],
            goodput: [1.0, 1.0],
            back: [1.0, 1.0],
            ..Figures::default()
        }
    }

    fn summary() -> Summary {
        let mut summary = Summary::default();
        for contestant in [Contestant::HotdnsSockets, Contestant::Knot, Contestant::Nsd] {
            summary.add_version(contestant, String::new());
        }
        summary
    }

    #[test]
    fn ratios_are_to_the_best_of_the_others_over_all_rounds() {
        let mut summary = summary();
        summary.add(Contestant::HotdnsSockets, round(10.0, 8.0));
        summary.add(Contestant::Knot, round(20.0, 4.0));
        summary.add(Contestant::Nsd, round(5.0, 16.0));
        summary.add(Contestant::HotdnsSockets, round(30.0, f64::INFINITY));
        summary.add(Contestant::Knot, round(10.0, 4.0));
        summary.add(Contestant::Nsd, round(15.0, f64::INFINITY));
        // To Knot DNS 0.5 and 3, to NSD 2 and 2.
        assert_eq!(summary.ratio(|figures| figures.udp, false), Some(1.75));
        assert_eq!(summary.ratio(|figures| figures.times[1], true), Some(f64::INFINITY));
        let parts = Part::value_variants();
        let missed = summary.verdict(parts).unwrap_err().to_string();
        assert!(
            missed.contains("99 % at half load") && missed.lines().count() == 2,
            "{missed}"
        );
        summary.verdict(&[Part::Tcp, Part::Overload]).unwrap();
    }

    #[test]
    fn a_server_that_is_slow_after_an_overload_misses() {
        let mut summary = summary();
        let slow_after = Figures {
            back: [1.0, 0.85],
            ..round(1.0, 1.0)
        };
        summary.add(Contestant::HotdnsSockets, slow_after.clone());
        // That the others are no better is no excuse.
        summary.add(Contestant::Knot, slow_after.clone());
        summary.add(Contestant::Nsd, slow_after);
        let missed = summary.verdict(Part::value_variants()).unwrap_err().to_string();
        assert!(missed.contains("within 1 s after 10 times the peak"), "{missed}");
    }
}
