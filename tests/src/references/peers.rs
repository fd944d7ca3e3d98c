//! Authoritative servers on loopback, each on a port of its own, over the same zone files.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use dns_userspace::model::name::Name;
use dns_userspace::model::record::RecordType;

use super::reply::{Record, Reply};
use crate::frames::Query;
use crate::net::Running;
use crate::server::{free_port, program};

/// A program that serves zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// Ours.
    Hotdns,
    /// NSD.
    Nsd,
    /// Knot DNS.
    Knot,
    /// BIND 9.
    Bind,
}

/// Zones and their files.
pub type ZoneFiles = [(String, PathBuf)];

/// How long a server may take to load its zones, on a busy machine.
const START: Duration = Duration::from_secs(60);
/// How long one reply may take before the query is sent again.
const REPLY: Duration = Duration::from_secs(2);
/// The payload that every server is told to use, ours by default.
pub const UDP_PAYLOAD: u16 = 1232;

impl Program {
    /// Those whose answers ours are compared with.
    pub const REFERENCES: [Self; 3] = [Self::Nsd, Self::Knot, Self::Bind];

    /// Its name.
    pub fn title(self) -> &'static str {
        match self {
            Self::Hotdns => "hotdns",
            Self::Nsd => "NSD",
            Self::Knot => "Knot",
            Self::Bind => "BIND",
        }
    }

    /// Whether its program is there.
    pub fn is_installed(self) -> bool {
        let file = match self {
            Self::Hotdns => return program().is_ok(),
            Self::Nsd => "nsd",
            Self::Knot => "knotd",
            Self::Bind => "named",
        };
        std::env::split_paths(&search_path()).any(|folder| folder.join(file).is_file())
    }

    /// The name of its configuration file, and what is in it.
    fn configuration(self, folder: &Path, port: u16, zones: &ZoneFiles) -> (&'static str, String) {
        let root = folder.display();
        let each = |line: &dyn Fn(&str, String) -> String| -> String {
            zones
                .iter()
                .map(|(apex, file)| line(apex, file.display().to_string()))
                .collect()
        };
        match self {
            Self::Hotdns => {
                let zones = each(&|apex, file| format!("  - {{name: \"{apex}\", file: \"{file}\"}}\n"));
                // As long as the longest chain that one of the others follows.
                let text = format!(
                    "dns_port: {port}\nhttp_port: {}\nlisten: [\"127.0.0.1\"]\nlog_level: warn\n\
                     storage: {{path: {root}/state}}\nxdp: {{mode: off}}\nbackend: {{max_cname_depth: \
                     16}}\nzones:\n{zones}",
                    free_port().unwrap_or_default()
                );
                ("hotdns.yaml", text)
            }
            Self::Nsd => {
                let zones = each(&|apex, file| {
                    format!("zone:\n  name: \"{apex}\"\n  zonefile: \"{file}\"\n  provide-xfr: 127.0.0.1 NOKEY\n")
                });
                let text = format!(
                    "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  \
                     zonesdir: {root}\n  database: \"\"\n  pidfile: {root}/nsd.pid\n  xfrdfile: {root}/xfrd.state\n  \
                     zonelistfile: {root}/zone.list\n  xfrdir: {root}\n  rrl-ratelimit: 0\n  minimal-responses: yes\n  \
                     ipv4-edns-size: {UDP_PAYLOAD}\nremote-control:\n  control-enable: no\n{zones}"
                );
                ("nsd.conf", text)
            }
            Self::Knot => {
                let zones = each(&|apex, file| format!("  - domain: \"{apex}\"\n    file: \"{file}\"\n"));
                let text = format!(
                    "server:\n  rundir: {root}\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  \
                     background-workers: 1\n  udp-max-payload: {UDP_PAYLOAD}\n\
                     database:\n  storage: {root}/knot\nlog:\n  - target: stderr\n    any: warning\n\
                     acl:\n  - id: transfer\n    address: 127.0.0.1\n    action: transfer\n\
                     template:\n  - id: default\n    storage: {root}\n    acl: transfer\n    zonefile-sync: -1\n    \
                     journal-content: none\nzone:\n{zones}"
                );
                ("knot.conf", text)
            }
            Self::Bind => {
                let zones = each(&|apex, file| format!("zone \"{apex}\" {{ type primary; file \"{file}\"; }};\n"));
                // The checks would refuse zones for what their names and targets are.
                let text = format!(
                    "options {{ directory \"{root}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; \
                    }};\n\
                     recursion no; allow-query {{ any; }}; allow-transfer {{ any; }}; dnssec-validation no; \
                     empty-zones-enable no; notify no;\n\
                     pid-file \"{root}/named.pid\"; session-keyfile \"{root}/session.key\"; minimal-responses yes; \
                     zero-no-soa-ttl no;\n\
                     max-udp-size {UDP_PAYLOAD}; edns-udp-size {UDP_PAYLOAD}; check-names primary ignore;\n\
                     check-integrity no; check-mx ignore; check-mx-cname ignore; check-srv-cname ignore;\n\
                     check-sibling no; check-dup-records ignore; check-wildcard no; check-spf ignore; }};\n\
                     controls {{ }};\n{zones}"
                );
                ("named.conf", text)
            }
        }
    }

    fn command(self, configuration: &Path) -> Result<Command> {
        let mut command = match self {
            Self::Hotdns => Command::new(program()?),
            Self::Nsd => Command::new("nsd"),
            Self::Knot => Command::new("knotd"),
            Self::Bind => Command::new("named"),
        };
        command.env("PATH", search_path());
        match self {
            Self::Hotdns => command.args(["run", "--config"]).arg(configuration),
            Self::Nsd => command.args(["-d", "-c"]).arg(configuration),
            Self::Knot => command.arg("-c").arg(configuration),
            Self::Bind => command.args(["-g", "-n", "1", "-c"]).arg(configuration),
        };
        Ok(command)
    }
}

/// Debian keeps servers where a user's `PATH` does not look.
fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

/// A server that runs, and a client of it.
pub struct Peer {
    /// Which.
    pub program: Program,
    running: Option<Running>,
    address: SocketAddr,
    udp: UdpSocket,
}

impl Peer {
    /// Starts a server over these zones, in `folder`; returns once it answers for all of them.
    pub fn start(program: Program, folder: &Path, zones: &ZoneFiles) -> Result<Self> {
        // A port that was free may be taken by the time it is asked for.
        let mut last = None;
        for _ in 0..3 {
            let folder = tempfile::Builder::new()
                .prefix(program.title())
                .disable_cleanup(true)
                .tempdir_in(folder)
                .context("cannot make a folder")?;
            match Self::try_start(program, folder.path(), zones) {
                Ok(peer) => return Ok(peer),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no start was tried")?)
    }

    fn try_start(program: Program, folder: &Path, zones: &ZoneFiles) -> Result<Self> {
        let port = free_port()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (name, text) = program.configuration(folder, port, zones);
        let configuration = folder.join(name);
        fs::write(&configuration, text).with_context(|| format!("cannot write {}", configuration.display()))?;
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot open a socket")?;
        udp.connect(address).context("cannot connect a socket")?;
        let running = Running::start(program.command(&configuration)?, &folder.join("log"))?;
        let mut peer = Self {
            program,
            running: Some(running),
            address,
            udp,
        };
        for (apex, _) in zones {
            peer.wait_for(apex)?;
        }
        peer.udp.set_read_timeout(Some(REPLY)).context("no time-out")?;
        Ok(peer)
    }

    /// Waits until the zone's SOA is answered with authority.
    fn wait_for(&mut self, apex: &str) -> Result<()> {
        let name: Name = apex.parse().context("a zone without a name")?;
        let query = Query::new(name.as_wire(), RecordType::SOA.0).build();
        self.udp
            .set_read_timeout(Some(Duration::from_millis(200)))
            .context("no time-out")?;
        let udp = &self.udp;
        let running = self.running.as_mut().context("not running")?;
        let what = format!("answering for {apex}");
        running.wait_until(&what, START, || {
            let mut reply = [0; 4096];
            // Refused while nothing listens yet.
            let (Ok(_), Ok(length)) = (udp.send(&query), udp.recv(&mut reply)) else {
                std::thread::sleep(Duration::from_millis(20));
                return false;
            };
            length > 12 && reply[2] & 0x84 == 0x84 && reply[3] & 15 == 0 && reply[7] == 1
        })
    }

    /// Sends a query over UDP; [`Peer::receive`] takes the reply.
    pub fn send(&self, query: &[u8]) -> Result<()> {
        self.udp
            .send(query)
            .with_context(|| format!("{} does not listen", self.program.title()))?;
        Ok(())
    }

    /// The reply to the query that was sent. It is sent again where the reply does not come.
    pub fn receive(&self, query: &[u8]) -> Result<Vec<u8>> {
        let mut reply = vec![0; 65535];
        for _ in 0..3 {
            while let Ok(length) = self.udp.recv(&mut reply) {
                if length >= 2 && reply[..2] == query[..2] {
                    reply.truncate(length);
                    return Ok(reply);
                }
            }
            self.send(query)?;
        }
        bail!(
            "{} does not answer {}",
            self.program.title(),
            crate::planes::message(query)
        )
    }

    /// Asks over a connection of its own.
    pub fn ask_tcp(&self, query: &[u8]) -> Result<Vec<u8>> {
        let asked = || -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(START))?;
            stream.write_all(&[&(query.len() as u16).to_be_bytes(), query].concat())?;
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut reply)?;
            Ok(reply)
        };
        asked().with_context(|| format!("{} does not answer over TCP", self.program.title()))
    }

    /// All records of a zone, by a transfer (RFC 5936).
    pub fn transfer(&self, apex: &Name) -> Result<BTreeSet<Record>> {
        let mut stream = TcpStream::connect(self.address).context("not connected")?;
        stream.set_read_timeout(Some(START)).context("no time-out")?;
        let query = Query::new(apex.as_wire(), RecordType::AXFR.0).build();
        stream.write_all(&[&(query.len() as u16).to_be_bytes(), &query[..]].concat())?;
        let mut records = BTreeSet::new();
        let mut soas = 0;
        while soas < 2 {
            let mut length = [0; 2];
            stream.read_exact(&mut length).context("the transfer ends early")?;
            let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut message).context("the transfer ends early")?;
            let reply = Reply::read(&message).context("a message that cannot be read")?;
            if reply.rcode != 0 || reply.answer().is_empty() {
                bail!(
                    "{} does not transfer {apex}: RCODE {}",
                    self.program.title(),
                    reply.rcode
                );
            }
            let is_soa = |record: &&Record| record.rtype == RecordType::SOA.0;
            soas += reply.answer().iter().filter(is_soa).count() + usize::from(reply.repeats);
            records.extend(reply.answer().iter().cloned());
        }
        Ok(records)
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.running.as_ref().map(Running::output).unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Asked to, a server ends its children too. Where it does not end, it is ended with `running`.
        let _ = self.running.take().map(Running::stop);
    }
}
