//! Programs: run to their end, or running until dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::PATIENCE;

/// Runs a program to its end; gives its standard output, or an error with what it said.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let shown = || format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {}", shown()))?;
    if !output.status.success() {
        bail!(
            "{} failed ({}): {}{}",
            shown(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end(),
            String::from_utf8_lossy(&output.stdout).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A server that runs until this value is dropped (SIGKILL), or [`Running::stop`] asks it to end.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a command; what it says goes into the file `log`.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let errors = file.try_clone().context("cannot duplicate the log's descriptor")?;
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Its memory, in octets: `VmRSS` (proc_pid_status(5)).
    pub fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes: u64 = line
            .and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
            .with_context(|| format!("no VmRSS in {path}"))?;
        Ok(kibibytes << 10)
    }

    /// How many files it has open.
    pub fn descriptors(&self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.pid());
        Ok(std::fs::read_dir(&path)
            .with_context(|| format!("cannot read {path}"))?
            .count())
    }

    /// The niceness of each of its threads whose name begins so (proc_pid_stat(5)).
    pub fn niceness(&self, prefix: &str) -> Result<Vec<i32>> {
        let mut found = Vec::new();
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            // One may have ended since they were listed.
            let Ok(stat) = std::fs::read_to_string(thread?.path().join("stat")) else {
                continue;
            };
            let (head, tail) = stat.rsplit_once(')').context("no name in a thread's stat")?;
            if head.split_once('(').is_some_and(|(_, name)| name.starts_with(prefix)) {
                // The state, the first behind the name, is the third field; the niceness the nineteenth.
                let niceness = tail
                    .split_whitespace()
                    .nth(16)
                    .context("no niceness in a thread's stat")?;
                found.push(niceness.parse()?);
            }
        }
        Ok(found)
    }

    /// What it has said so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `ready` is true; an error, with what the program said, if it ends or takes too long.
    pub fn wait_until(&mut self, what: &str, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().context("cannot ask for the state of a process")? {
                bail!("ended ({status}) before it was {what}:\n{}", self.output());
            }
            if ready() {
                return Ok(());
            }
            if start.elapsed() > limit {
                bail!("not {what} within {limit:?}:\n{}", self.output());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).with_context(|| format!("cannot send {signal} to {}", self.pid()))
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end (SIGTERM) and waits; an error if it does not.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().context("cannot ask for the state of a process")? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!("still running {PATIENCE:?} after SIGTERM:\n{}", self.output())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Either may fail because it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
