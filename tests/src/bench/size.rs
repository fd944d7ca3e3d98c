//! `bench load`: how long a large zone takes to load, and how much memory it takes.
//!
//! ```text
//! shape ─► zone file ─► hotdns check                 how long
//!                   └─► hotdns run, sockets and XDP   how long until ready; memory of the process, and of the table
//!                        └─ one line changes, reload  how long
//! ```
//!
//! Memory is what the server with the zone has more than one with the same configuration and no zone.

mod shape;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::shape::Shape;
use super::change::Api;
use super::object;
use crate::net::{Namespace, Running};

/// What to measure.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many records the zone file has.
    #[arg(long, default_value_t = 1_000_000)]
    records: u32,
    /// What they are; all in turn without it.
    #[arg(long, value_enum)]
    shape: Vec<Shape>,
    /// Without XDP only.
    #[arg(long)]
    sockets: bool,
    /// Also write what was measured, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Seconds to ready at most, for a million records.
const LOAD_LIMIT: f64 = 10.0;
/// Octets of the process for each record at most.
const PROCESS_LIMIT: f64 = 400.0;
/// Octets of the table for each record at most.
const TABLE_LIMIT: f64 = 300.0;
const READY_LIMIT: Duration = Duration::from_secs(600);

/// What was measured of one shape and plane.
struct Figures {
    shape: Shape,
    xdp: bool,
    records: u32,
    check_seconds: f64,
    ready_seconds: f64,
    reload_seconds: f64,
    /// Resident memory, but for the program's own file and what is shared with the kernel.
    process_bytes: f64,
    /// The same at its highest, what is shared included.
    peak_bytes: f64,
    table_bytes: f64,
    names: f64,
    sparse_areas: f64,
    unplaced: f64,
}

/// Measures and reports; an error where a limit is missed.
pub fn run(options: &Options) -> Result<()> {
    ensure!(
        (1..=4_000_000).contains(&options.records),
        "--records must be from 1 to 4,000,000"
    );
    let shapes = match &options.shape[..] {
        [] => &[Shape::Hosts, Shape::Ptr, Shape::Ip6][..],
        some => some,
    };
    let mut all = Vec::new();
    println!("{}", Figures::HEAD);
    for &shape in shapes {
        for xdp in [false, true] {
            if xdp && options.sockets {
                continue;
            }
            let figures = measure(shape, xdp, options.records)?;
            println!("{figures}");
            all.push(figures);
        }
    }
    if let Some(path) = &options.json {
        let runs: Vec<Value> = all.iter().map(Figures::to_json).collect();
        let text = serde_json::to_string_pretty(&json!({ "runs": runs })).context("cannot make JSON")?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let missed: Vec<String> = all.iter().flat_map(Figures::missed).collect();
    ensure!(missed.is_empty(), "missed:\n  {}", missed.join("\n  "));
    Ok(())
}

fn measure(shape: Shape, xdp: bool, records: u32) -> Result<Figures> {
    let empty = Instance::new(shape, xdp, 0)?;
    let (running, _) = empty.start()?;
    let (own, _) = memory(&running)?;
    running.stop()?;

    let instance = Instance::new(shape, xdp, records)?;
    let check = instance.check()?;
    let (running, ready) = instance.start()?;
    let (process, peak) = memory(&running)?;
    let reload = instance.reload()?;
    let metric = |name| instance.namespace.enter(|| Api::new().metric(name));
    let figures = Figures {
        shape,
        xdp,
        records,
        check_seconds: check.as_secs_f64(),
        ready_seconds: ready.as_secs_f64(),
        reload_seconds: reload.as_secs_f64(),
        process_bytes: process - own,
        peak_bytes: peak - own,
        table_bytes: metric("hotdns_table_bytes")?,
        names: metric("hotdns_table_names")?,
        sparse_areas: metric("hotdns_table_sparse_areas")?,
        unplaced: metric("hotdns_table_unplaced")?,
    };
    running.stop()?;
    Ok(figures)
}

/// A configuration in a folder and a namespace of its own.
struct Instance {
    folder: TempDir,
    namespace: Namespace,
}

impl Instance {
    fn new(shape: Shape, xdp: bool, records: u32) -> Result<Self> {
        let folder = tempfile::tempdir().context("no folder")?;
        let interfaces = if xdp { "[lo]" } else { "[]" };
        let text = format!(
            "listen: [127.0.0.1]\nxdp:\n  interfaces: {interfaces}\nstorage:\n  path: {}\nzones:\n  - name: {}\n    \
             file: zone\n",
            folder.path().join("db").display(),
            shape.apex(),
        );
        fs::write(folder.path().join("hotdns.yaml"), text).context("cannot write the configuration")?;
        fs::write(folder.path().join("zone"), shape.zone(records)).context("cannot write the zone")?;
        Ok(Self {
            folder,
            namespace: Namespace::new("load")?,
        })
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("hotdns.yaml")
    }

    /// How long `hotdns check` takes.
    fn check(&self) -> Result<Duration> {
        let start = Instant::now();
        let status = std::process::Command::new(object::server()?)
            .args([Path::new("check"), Path::new("--config"), &self.config()])
            .stdout(Stdio::null())
            .status()
            .context("cannot run hotdns")?;
        ensure!(status.success(), "`hotdns check` says that the zone is wrong");
        Ok(start.elapsed())
    }

    /// Starts the server; how long it takes until it is ready.
    fn start(&self) -> Result<(Running, Duration)> {
        let program = object::server()?;
        let mut command = self.namespace.command(&program.display().to_string());
        command.args([Path::new("run"), Path::new("--config"), &self.config()]);
        let start = Instant::now();
        let mut running = Running::start(command, &self.folder.path().join("log"))?;
        self.namespace.enter(|| {
            let api = Api::new();
            running.wait_until("ready", READY_LIMIT, || api.is_ready())
        })?;
        Ok((running, start.elapsed()))
    }

    /// Changes one record of the zone file; how long the reload takes.
    fn reload(&self) -> Result<Duration> {
        let path = self.folder.path().join("zone");
        let text = fs::read_to_string(&path).context("cannot read the zone")?;
        let (before, after) = Shape::ONE_LINE;
        ensure!(text.contains(before), "the zone file has no line `{before}`");
        fs::write(&path, text.replacen(before, after, 1)).context("cannot write the zone")?;
        self.namespace.enter(|| {
            let (api, start) = (Api::new(), Instant::now());
            let reply = api.reload()?;
            ensure!(reply["counts"]["changed"] == 1, "reload says {reply}");
            Ok(start.elapsed())
        })
    }
}

/// Octets of memory of a process: its own, resident now, and the highest of all that was resident.
fn memory(running: &Running) -> Result<(f64, f64)> {
    let path = format!("/proc/{}/status", running.pid());
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let figure = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kilobytes: f64 = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())?;
        Some(kilobytes * 1024.0)
    };
    Option::zip(figure("RssAnon"), figure("VmHWM")).with_context(|| format!("{path} does not say what is resident"))
}

impl Figures {
    const HEAD: &str = "shape  plane    records  check s  ready s  reload s  process B/record  peak B/record  \
                        table B/record  names/record  sparse areas  unplaced";

    fn a_record(&self, value: f64) -> f64 {
        value / f64::from(self.records)
    }

    fn to_json(&self) -> Value {
        json!({
            "shape": self.shape.to_string(), "xdp": self.xdp, "records": self.records,
            "check_seconds": self.check_seconds, "ready_seconds": self.ready_seconds,
            "reload_seconds": self.reload_seconds, "process_bytes": self.process_bytes, "peak_bytes": self.peak_bytes,
            "table_bytes": self.table_bytes, "names": self.names, "sparse_areas": self.sparse_areas,
            "unplaced": self.unplaced,
        })
    }

    /// What is over its limit. A table on the heap is part of the process.
    fn missed(&self) -> Vec<String> {
        let Self { shape, xdp, .. } = self;
        let plane = if *xdp { "XDP" } else { "sockets" };
        let million = f64::from(self.records) / 1e6;
        let mut figures = vec![
            ("seconds to ready", self.ready_seconds, LOAD_LIMIT * million.max(0.1)),
            (
                "octets of the table a record",
                self.a_record(self.table_bytes),
                TABLE_LIMIT,
            ),
            ("names without room", self.unplaced, self.names / 100.0),
        ];
        if *shape != Shape::Ip6 {
            figures.push((
                "octets of the process a record",
                self.a_record(self.process_bytes),
                PROCESS_LIMIT,
            ));
        }
        let missed = figures.into_iter().filter(|(_, value, limit)| value > limit);
        missed
            .map(|(what, value, limit)| format!("{shape}, {plane}: {value:.1} {what}, at most {limit:.1}"))
            .collect()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<6} {:<7} {:>8} {:>8.2} {:>8.2} {:>9.2} {:>17.0} {:>14.0} {:>15.0} {:>13.2} {:>13} {:>9}",
            self.shape.to_string(),
            if self.xdp { "XDP" } else { "sockets" },
            self.records,
            self.check_seconds,
            self.ready_seconds,
            self.reload_seconds,
            self.a_record(self.process_bytes),
            self.a_record(self.peak_bytes),
            self.a_record(self.table_bytes),
            self.a_record(self.names),
            self.sparse_areas,
            self.unplaced,
        )
    }
}
