//! A server with two interfaces, and a client on the other end of both.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::Footprint;
use crate::bench::change::Api;
use crate::bench::object;
use crate::net::{Namespace, PATIENCE, Running, VethOptions, VethPair};

/// The interface that stays, on both sides.
pub(super) const FIRST: &str = "one";
/// The interface that comes and goes.
pub(super) const SECOND: &str = "two";

/// The server's address at the first interface.
pub(super) const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1)), 53);
/// At the second one.
pub(super) const SERVER_AT_SECOND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 78, 0, 1)), 53);

/// Everything but the clients.
pub(super) struct World {
    process: Option<Running>,
    starts: u32,
    folder: TempDir,
    pub(super) client: Arc<Namespace>,
    pub(super) server: Arc<Namespace>,
    /// What joins them for good.
    pub(super) first: VethPair,
}

impl World {
    pub(super) fn new() -> Result<Self> {
        let client = Arc::new(Namespace::new("soak-client")?);
        let server = Arc::new(Namespace::new("soak-server")?);
        let first = VethPair::new((&client, FIRST), (&server, FIRST), &VethOptions::default())?;
        let world = Self {
            process: None,
            starts: 0,
            folder: TempDir::with_prefix("hotdns-soak-").context("cannot make a folder")?,
            client,
            server,
            first,
        };
        world.make_second()?;
        Ok(world)
    }

    /// Makes the second pair of interfaces.
    pub(super) fn make_second(&self) -> Result<()> {
        let addresses = |host: u8| {
            let ipv6 = Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, host.into());
            vec![Ipv4Addr::new(10, 78, 0, host).into(), ipv6.into()]
        };
        let options = VethOptions {
            addresses: [addresses(2), addresses(1)],
            ..VethOptions::default()
        };
        VethPair::new((&self.client, SECOND), (&self.server, SECOND), &options).map(drop)
    }

    /// Starts the server and waits until it is ready.
    pub(super) fn start(&mut self) -> Result<()> {
        let program = object::server()?;
        let mut command = self.server.command(&program.to_string_lossy());
        command
            .args(["run", "--config"])
            .arg(self.folder.path().join("hotdns.yaml"));
        self.starts += 1;
        let mut process = Running::start(command, &self.folder.path().join(format!("log-{}", self.starts)))?;
        let server = &self.server;
        server.enter(|| {
            let api = Api::new();
            process.wait_until("ready", PATIENCE, || api.is_ready())
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends the server, and waits until it is gone.
    pub(super) fn end(&mut self, is_asked: bool) -> Result<()> {
        let process = self.process.take().context("the server is not running")?;
        if is_asked {
            let status = process.stop()?;
            anyhow::ensure!(status.success(), "SIGTERM ended it with {status}");
        }
        // Else it is dropped, which kills it and waits.
        Ok(())
    }

    /// The running server; an error, with what it last said, where it has ended by itself.
    pub(super) fn process(&mut self) -> Result<&mut Running> {
        let process = self.process.as_mut().context("the server is not running")?;
        anyhow::ensure!(process.is_alive(), "the server has ended by itself");
        Ok(process)
    }

    pub(super) fn hang_up(&mut self) -> Result<()> {
        self.process()?.signal(Signal::SIGHUP)
    }

    pub(super) fn footprint(&mut self) -> Result<Footprint> {
        let process = self.process()?;
        Ok(Footprint {
            bytes: process.resident_bytes()?,
            descriptors: process.descriptors()?,
        })
    }

    /// Writes a file of the server's folder, as editors do: the new one takes the old one's place.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let (path, new) = (self.folder.path().join(name), self.folder.path().join("new"));
        fs::write(&new, text).with_context(|| format!("cannot write {}", new.display()))?;
        fs::rename(&new, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Whether an XDP program is at the server's interface.
    pub(super) fn has_xdp(&self, device: &str) -> Result<bool> {
        Ok(self.server.ip(&["link", "show", "dev", device])?.contains("prog/xdp"))
    }

    /// What the server said last.
    pub(super) fn end_of_log(&self) -> String {
        let path = self.folder.path().join(format!("log-{}", self.starts));
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}
