//! `process_…`: what this process uses, by the names that every client library of Prometheus has for it.
//!
//! Read from `/proc/self` (proc_pid_stat(5)), since the library that would read it takes a tenth of the whole build.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};
use rustix::param::{clock_ticks_per_second, page_size};

use crate::host::files::open_descriptors;

/// Shows this process.
pub(super) struct ProcessCollector {
    descs: Vec<Desc>,
    ticks_per_second: f64,
    page_bytes: f64,
    /// When the system began, in seconds of Unix time.
    booted: f64,
}

/// What the kernel says of a process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stat {
    /// In ticks.
    processor: f64,
    threads: f64,
    /// In ticks since the system began.
    started: f64,
    virtual_bytes: f64,
    resident_pages: f64,
}

impl Stat {
    fn read(text: &str) -> Option<Self> {
        // The second field is a name, which may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The first of these is the third of the manual page.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            processor: field(14)? + field(15)?,
            threads: field(20)?,
            started: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

impl ProcessCollector {
    pub(super) fn new() -> Self {
        let mut collector = Self {
            descs: Vec::new(),
            ticks_per_second: clock_ticks_per_second() as f64,
            page_bytes: page_size() as f64,
            booted: booted().unwrap_or_default(),
        };
        let families = collector.metrics();
        collector.descs = families
            .iter()
            .flat_map(|family| family.desc().into_iter().cloned())
            .collect();
        collector
    }

    fn metrics(&self) -> Vec<Box<dyn Collector>> {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let stat = Stat::read(&stat);
        let of = |part: fn(Stat) -> f64| stat.map_or(0.0, part);
        let open = open_descriptors();
        let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
        vec![
            counter(
                "process_cpu_seconds_total",
                "Time on processors, of user and system, in seconds.",
                of(|stat| stat.processor) / self.ticks_per_second,
            ),
            gauge("process_open_fds", "File descriptors that are open.", open as f64),
            gauge("process_max_fds", "File descriptors that may be open.", most as f64),
            gauge(
                "process_virtual_memory_bytes",
                "Virtual memory, in octets.",
                of(|stat| stat.virtual_bytes),
            ),
            gauge(
                "process_resident_memory_bytes",
                "Resident memory, in octets.",
                of(|stat| stat.resident_pages) * self.page_bytes,
            ),
            gauge(
                "process_start_time_seconds",
                "When the process began, in seconds of Unix time.",
                self.booted + of(|stat| stat.started) / self.ticks_per_second,
            ),
            gauge("process_threads", "Threads of the process.", of(|stat| stat.threads)),
        ]
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.metrics().iter().flat_map(|metric| metric.collect()).collect()
    }
}

/// When the system began: `btime` of proc_stat(5).
fn booted() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

fn counter(name: &str, help: &str, value: f64) -> Box<dyn Collector> {
    let counter = Counter::new(name, help).expect("the names and help are constants");
    counter.inc_by(value);
    Box::new(counter)
}

fn gauge(name: &str, help: &str, value: f64) -> Box<dyn Collector> {
    let gauge = Gauge::new(name, help).expect("the names and help are constants");
    gauge.set(value);
    Box::new(gauge)
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read_whatever_the_program_is_called() {
        let text =
            "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 7 0 1234 1000000 250 18446744073709551615";
        let stat = Stat::read(text).expect("a line");
        assert_eq!(
            stat,
            Stat {
                processor: 200.0,
                threads: 7.0,
                started: 1234.0,
                virtual_bytes: 1_000_000.0,
                resident_pages: 250.0,
            }
        );
        assert_eq!(Stat::read("42 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_shown() {
        let collector = ProcessCollector::new();
        let families = collector.collect();
        assert_eq!((families.len(), collector.desc().len()), (7, 7));
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).expect("a family");
            family.get_metric()[0].get_gauge().get_value()
        };
        assert!(value("process_resident_memory_bytes") > 1_000_000.0);
        assert!(value("process_threads") >= 1.0 && value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a time")
            .as_secs_f64();
        let age = now - value("process_start_time_seconds");
        assert!((-2.0..86_400.0).contains(&age), "{age}");
    }
}
