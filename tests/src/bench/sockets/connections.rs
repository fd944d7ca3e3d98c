//! What TCP connections cost hotdns that do nothing, and those of clients that ask and do not read.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::bench::contestant::Stage;
use crate::bench::load::Load;
use crate::bench::stream;

/// Memory of the process (`VmRSS`, proc_pid_status(5)) for connections of two kinds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Connections that do nothing.
    pub(crate) idle: usize,
    /// What they add to the process's memory, in octets.
    pub(crate) idle_bytes: u64,
    /// Connections whose client sends queries and reads nothing.
    pub(crate) slow: usize,
    /// What they add, in octets.
    pub(crate) slow_bytes: u64,
}

impl Cost {
    /// Opens the connections, and asks on some of those that were idle.
    pub(crate) fn measure(stage: &Stage, load: &Load, idle: usize) -> Result<Self> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("the limit of open files")?;
        let files = hard.max(idle as u64 + 1000);
        setrlimit(Resource::RLIMIT_NOFILE, files, files).context("cannot raise the limit of open files")?;
        let process = stage.process.as_ref().context("no process")?;
        let before = process.resident_bytes()?;
        let mut connections = stream::idle(&stage.circuit, load, idle)?;
        // Each has been accepted and served once: this is what it costs after that.
        for connection in connections.iter_mut().rev() {
            stream::ask(connection, load)?;
        }
        let after = process.resident_bytes()?;
        drop(connections);
        // Their places come back.
        thread::sleep(Duration::from_secs(1));
        let slow = (idle / 10).max(1);
        let before_slow = process.resident_bytes()?;
        let connections = stream::slow(&stage.circuit, load, slow)?;
        let after_slow = process.resident_bytes()?;
        drop(connections);
        Ok(Self {
            idle,
            idle_bytes: after.saturating_sub(before),
            slow,
            slow_bytes: after_slow.saturating_sub(before_slow),
        })
    }
}
