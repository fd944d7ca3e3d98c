//! What a running hotdns says of itself, and what it costs.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use nix::unistd::Pid;

use super::contestant::Stage;

/// The metrics at one moment, by name with labels.
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Asks the server of a stage.
    pub fn read(stage: &Stage) -> Result<Self> {
        let text = stage.circuit.server.enter(|| {
            let mut response = ureq::get("http://127.0.0.1:8080/metrics")
                .call()
                .context("cannot ask for the metrics")?;
            response.body_mut().read_to_string().context("cannot read the metrics")
        })?;
        let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        Ok(Self(
            lines
                .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
                .collect(),
        ))
    }

    /// What a counter has grown by since; 0 where it is not there.
    pub fn since(&self, before: &Self, name: &str) -> f64 {
        let of = |metrics: &Self| metrics.0.get(name).copied().unwrap_or(0.0);
        of(self) - of(before)
    }

    /// What each counter of a family has grown by since, by its one label's value; those that have grown.
    pub fn family_since(&self, before: &Self, name: &str) -> Vec<(String, f64)> {
        let is_meant = |key: &&String| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
        let grown = self.0.keys().filter(is_meant).map(|key| {
            let label = key.split('"').nth(1).unwrap_or(key).to_owned();
            (label, self.since(before, key))
        });
        grown.filter(|(_, count)| *count > 0.0).collect()
    }
}

/// The time on processors that a process has used, in seconds (proc_pid_stat(5), fields 14 and 15). Soft interrupts
/// that came while it ran are in it.
pub fn processor_seconds(process: Pid) -> Result<f64> {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The second field is a name, which may hold anything.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<f64> = rest.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // The state, a letter, is left out.
    let ticks = fields.get(10).zip(fields.get(11)).context("too few fields")?;
    Ok((ticks.0 + ticks.1) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_time() {
        let start = processor_seconds(Pid::this()).unwrap();
        let mut sum = 0u64;
        while processor_seconds(Pid::this()).unwrap() < start + 0.02 {
            sum = sum.wrapping_mul(3) + 1;
        }
        assert!(sum > 0);
    }
}
