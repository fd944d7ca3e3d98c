//! What happens to the server, one step after the other: drawn from the seed, done, and compared with the model.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::Shared;
use super::world::{FIRST, SECOND, SERVER, SERVER_AT_SECOND, World};
use crate::bench::change::{Api, Resolver};
use crate::frames::{Query, wire_name};
use crate::net::PATIENCE;

/// What can happen, and how often beside the others.
const STEPS: &[(Step, u32)] = &[
    (Step::EditZone, 16),
    (Step::BreakZone, 10),
    (Step::BreakConfiguration, 6),
    (Step::EditRecords, 8),
    (Step::AddOrRemoveZone, 8),
    (Step::ResizeZone, 5),
    (Step::HangUp, 8),
    (Step::AddAddress, 8),
    (Step::RemoveAddress, 6),
    (Step::RemakeInterface, 5),
    (Step::TakeInterfaceDown, 4),
    (Step::Restart, 2),
    (Step::Kill, 2),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    EditZone,
    BreakZone,
    BreakConfiguration,
    EditRecords,
    AddOrRemoveZone,
    ResizeZone,
    HangUp,
    AddAddress,
    RemoveAddress,
    RemakeInterface,
    TakeInterfaceDown,
    Restart,
    Kill,
}

impl Step {
    fn title(self) -> &'static str {
        match self {
            Self::EditZone => "edit a zone",
            Self::BreakZone => "break a zone",
            Self::BreakConfiguration => "break the configuration",
            Self::EditRecords => "edit records",
            Self::AddOrRemoveZone => "add or remove a zone",
            Self::ResizeZone => "resize a zone",
            Self::HangUp => "SIGHUP",
            Self::AddAddress => "add an address",
            Self::RemoveAddress => "remove an address",
            Self::RemakeInterface => "remake an interface",
            Self::TakeInterfaceDown => "interface down and up",
            Self::Restart => "SIGTERM and start",
            Self::Kill => "kill -9 and start",
        }
    }
}

/// What is wrong with a zone file.
const BROKEN_ZONES: &[&str] = &[
    "",
    "\0\u{1}\u{7f} ( ( (",
    "$TTL 60\n@ NS ns\nwww A 192.0.2.250\n",
    "$TTL 60\n@ SOA ns host 1 1 1 1 1\n@ NS ns\nwww A not-an-address\n",
    "$TTL 60\n@ SOA ns host 1 1 1 1 1\n@ NS ns\nwww A 192.0.2.250\nwww CNAME ns\n",
    "$TTL 60\n@ SOA ns host 1 1 1 1 1\n@ NS ns\nwww TXT \"never closed\n",
    "$INCLUDE b.test.zone\n",
];

/// What is wrong with a configuration, put at its end.
const BROKEN_CONFIGURATIONS: &[&str] = &[
    "no_such_key: 1\n",
    "dns_port: 53\n",
    "edns: {udp_payload: 1}\n",
    "views: [{name: v, clients: [nowhere]}]\n",
    "acl: {allow: [",
];

/// Steps that are told where one fails.
const TOLD: usize = 20;

/// The steps so far, and what follows from them.
pub(super) struct Script {
    rng: StdRng,
    steps: u64,
    history: VecDeque<String>,
    tally: BTreeMap<&'static str, u64>,
    model: Model,
}

/// What must be answered.
struct Model {
    /// The address of `www.b.test.`.
    zone: Ipv4Addr,
    /// Whether its file is broken, and what is served is what was good last.
    is_broken: bool,
    /// The address of `config.example.`.
    record: Ipv4Addr,
    /// Whether there is a zone `extra.test.`.
    has_extra: bool,
    /// How many names `large.test.` has.
    large: u32,
    /// The server's further addresses by number, and where they are.
    addresses: BTreeSet<(u8, &'static str)>,
}

impl Script {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            steps: 0,
            history: VecDeque::new(),
            tally: BTreeMap::new(),
            model: Model {
                zone: Ipv4Addr::new(10, 20, 0, 0),
                is_broken: false,
                record: Ipv4Addr::new(10, 21, 0, 0),
                has_extra: false,
                large: 100,
                addresses: BTreeSet::new(),
            },
        }
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    pub(super) fn tally(&self) -> &BTreeMap<&'static str, u64> {
        &self.tally
    }

    /// The last steps, with their numbers.
    pub(super) fn history(&self) -> String {
        self.history.iter().cloned().collect::<Vec<_>>().join(", ")
    }

    /// Starts the server if it does not run, and compares everything.
    pub(super) fn settle(&mut self, world: &mut World, shared: &Shared) -> Result<()> {
        if world.process().is_err() {
            self.model.write(world)?;
            world.start()?;
        }
        self.model.compare(world, shared)
    }

    /// Does the next one.
    pub(super) fn step(&mut self, world: &mut World, shared: &Shared) -> Result<()> {
        let (step, _) = *STEPS.choose_weighted(&mut self.rng, |(_, weight)| *weight)?;
        self.steps += 1;
        eprint!("\r\x1b[Kstep {}: {}", self.steps, step.title());
        self.history.push_back(format!("{} {}", self.steps, step.title()));
        if self.history.len() > TOLD {
            self.history.pop_front();
        }
        *self.tally.entry(step.title()).or_default() += 1;
        self.perform(step, world, shared)
            .and_then(|()| self.model.compare(world, shared))
            .with_context(|| format!("step {}: {}", self.steps, step.title()))
    }

    fn perform(&mut self, step: Step, world: &mut World, shared: &Shared) -> Result<()> {
        let number = self.steps as u16;
        let [high, low] = number.to_be_bytes();
        match step {
            Step::EditZone => {
                self.model.zone = Ipv4Addr::new(10, 20, high, low);
                self.model.is_broken = false;
                world.write("b.test.zone", &zone(self.model.zone))?;
                self.model.reload(world)
            }
            Step::BreakZone => {
                let broken = BROKEN_ZONES.choose(&mut self.rng).context("one of them")?;
                self.model.is_broken = true;
                world.write("b.test.zone", broken)?;
                self.model.reload(world)
            }
            Step::BreakConfiguration => {
                let broken = BROKEN_CONFIGURATIONS.choose(&mut self.rng).context("one of them")?;
                let good = self.model.configuration();
                world.write("hotdns.yaml", &format!("{good}{broken}"))?;
                let said = world.server.enter(|| Api::new().reload_refused())?;
                ensure!(
                    said["errors"] != json!([]) && said["errors"].is_array(),
                    "no errors in {said}"
                );
                self.model
                    .compare(world, shared)
                    .context("with a broken configuration")?;
                world.write("hotdns.yaml", &good)
            }
            Step::EditRecords => {
                self.model.record = Ipv4Addr::new(10, 21, high, low);
                world.write("hotdns.yaml", &self.model.configuration())?;
                self.model.reload(world)
            }
            Step::AddOrRemoveZone => {
                self.model.has_extra = !self.model.has_extra;
                world.write("hotdns.yaml", &self.model.configuration())?;
                self.model.reload(world)
            }
            Step::ResizeZone => {
                self.model.large = *[100, 2000, 6000, 20_000].choose(&mut self.rng).context("one of them")?;
                world.write("large.test.zone", &large_zone(self.model.large))?;
                self.model.reload(world)
            }
            Step::HangUp => self.hang_up(world, Ipv4Addr::new(10, 20, high, low)),
            Step::AddAddress => self.add_address(world),
            Step::RemoveAddress => self.remove_address(world),
            Step::RemakeInterface => {
                world.server.ip(&["link", "delete", SECOND])?;
                self.model.addresses.retain(|(_, device)| *device != SECOND);
                self.model
                    .compare_first(world, shared)
                    .context("without the second interface")?;
                if self.rng.random() {
                    // The next table is another one, for the interface that is left.
                    self.model.large = if self.model.large > 1000 { 100 } else { 20_000 };
                    world.write("large.test.zone", &large_zone(self.model.large))?;
                    self.model.reload(world)?;
                    self.model.compare_first(world, shared).context("with a new table")?;
                }
                world.make_second()
            }
            Step::TakeInterfaceDown => {
                world.server.ip(&["link", "set", SECOND, "down"])?;
                self.model
                    .compare_first(world, shared)
                    .context("with the second interface down")?;
                world.server.ip(&["link", "set", SECOND, "up"]).map(drop)
            }
            Step::Restart | Step::Kill => {
                // Nobody waits for an answer meanwhile.
                let _down = shared.up.write().unwrap_or_else(PoisonError::into_inner);
                // A zone that is broken at the start has no last good content.
                self.model.is_broken = false;
                world.write("b.test.zone", &zone(self.model.zone))?;
                world.end(step == Step::Restart)?;
                world.start()?;
                shared.starts.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        }
    }

    /// A reload that nobody acknowledges: first the old is right, then the new, and never the old again.
    fn hang_up(&mut self, world: &mut World, new: Ipv4Addr) -> Result<()> {
        let old = std::mem::replace(&mut self.model.zone, new);
        self.model.is_broken = false;
        world.write("b.test.zone", &zone(new))?;
        world.hang_up()?;
        let mut resolver = Resolver::new(&world.client, SERVER)?;
        let (name, start) = (wire_name("www.b.test."), Instant::now());
        while resolver.expect(&name, new).is_err() {
            if let Err(fault) = resolver.expect(&name, old) {
                // It may have changed in between, or between the planes.
                resolver
                    .expect(&name, new)
                    .with_context(|| format!("neither old nor new: {fault:#}"))?;
            }
            ensure!(start.elapsed() < PATIENCE, "not reloaded {PATIENCE:?} after SIGHUP");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn add_address(&mut self, world: &World) -> Result<()> {
        let device = if self.rng.random() { FIRST } else { SECOND };
        let free: Vec<u8> = (1..=20)
            .filter(|number| !self.model.addresses.iter().any(|(taken, _)| taken == number))
            .collect();
        let Some(&number) = free.choose(&mut self.rng) else {
            return self.remove_address(world);
        };
        for (namespace, host) in [(&world.server, 1), (&world.client, 2)] {
            for address in further(number, host, device) {
                let (prefix, nodad) = if address.is_ipv4() {
                    (24, None)
                } else {
                    (64, Some("nodad"))
                };
                let address = format!("{address}/{prefix}");
                let arguments = ["address", "add", &address, "dev", device];
                namespace.ip(&arguments.into_iter().chain(nodad).collect::<Vec<_>>())?;
            }
        }
        self.model.addresses.insert((number, device));
        Ok(())
    }

    fn remove_address(&mut self, world: &World) -> Result<()> {
        let all: Vec<_> = self.model.addresses.iter().copied().collect();
        let Some(&(number, device)) = all.choose(&mut self.rng) else {
            return Ok(());
        };
        self.model.addresses.remove(&(number, device));
        for address in further(number, 1, device) {
            let prefix = if address.is_ipv4() { 24 } else { 64 };
            world
                .server
                .ip(&["address", "delete", &format!("{address}/{prefix}"), "dev", device])?;
        }
        let start = Instant::now();
        for address in further(number, 1, device) {
            while answers(world, SocketAddr::new(address, SERVER.port()))? {
                ensure!(start.elapsed() < PATIENCE, "{address} is removed, and still answers");
            }
        }
        for address in further(number, 2, device) {
            let prefix = if address.is_ipv4() { 24 } else { 64 };
            world
                .client
                .ip(&["address", "delete", &format!("{address}/{prefix}"), "dev", device])?;
        }
        Ok(())
    }
}

impl Model {
    fn configuration(&self) -> String {
        let extra = if self.has_extra {
            "  - {name: extra.test., file: extra.test.zone}\n"
        } else {
            ""
        };
        // What comes behind it may be any key but these. Zones shrink by more than the deletion guard lets go, and each
        // step says itself when its files are to be read.
        format!(
            "changes: {{max_delete_ratio: 1}}\nfiles: {{watch: false}}\ndns_port: 53\nhttp_port: 8080\nstorage: \
            {{path: state}}\nxdp: {{interfaces: [{FIRST}, {SECOND}]}}\n\
             zones:\n  - {{name: a.test., file: a.test.zone}}\n  - {{name: b.test., file: b.test.zone}}\n  \
             - {{name: large.test., file: large.test.zone}}\n{extra}\
             records:\n  - {{name: config.example., type: A, ttl: 60, value: [{}]}}\n",
            self.record
        )
    }

    /// Writes all files.
    fn write(&self, world: &World) -> Result<()> {
        let text = "0123456789".repeat(20);
        let large = format!("large TXT ( {} )\n", format!("\"{text}\" ").repeat(200));
        world.write("a.test.zone", &(zone(STEADY) + &large))?;
        world.write("b.test.zone", &zone(self.zone))?;
        world.write("extra.test.zone", &zone(STEADY))?;
        world.write("large.test.zone", &large_zone(self.large))?;
        world.write("hotdns.yaml", &self.configuration())
    }

    /// Reloads over the API; what is broken is named, and nothing else.
    fn reload(&self, world: &World) -> Result<()> {
        let said = world.server.enter(|| Api::new().reload())?;
        let failed: Vec<&Value> = said["failed"]
            .as_array()
            .context("no list of what failed")?
            .iter()
            .map(|failure| &failure["zone"])
            .collect();
        let expected: &[&str] = if self.is_broken { &["b.test."] } else { &[] };
        ensure!(failed == expected, "failed are {failed:?}, not {expected:?}: {said}");
        Ok(())
    }

    /// Asks for everything, at every address.
    fn compare(&self, world: &World, shared: &Shared) -> Result<()> {
        self.compare_first(world, shared)?;
        let mut others = vec![SERVER_AT_SECOND];
        for (number, device) in &self.addresses {
            others.extend(
                further(*number, 1, device)
                    .into_iter()
                    .map(|address| SocketAddr::new(address, SERVER.port())),
            );
        }
        for address in others {
            let mut resolver = Resolver::new(&world.client, address)?;
            resolver
                .expect(&wire_name("www.b.test."), self.zone)
                .with_context(|| format!("at {address}"))?;
            shared.answers.fetch_add(2, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Asks for everything at the interface that stays, from which XDP answers all the while.
    fn compare_first(&self, world: &World, shared: &Shared) -> Result<()> {
        let mut resolver = Resolver::new(&world.client, SERVER)?;
        resolver
            .expect(&wire_name("www.a.test."), STEADY)
            .context("www.a.test.")?;
        resolver
            .expect(&wire_name("www.b.test."), self.zone)
            .context("www.b.test.")?;
        resolver
            .expect(&wire_name("config.example."), self.record)
            .context("config.example.")?;
        let extra = wire_name("www.extra.test.");
        match self.has_extra {
            true => resolver.expect(&extra, STEADY).context("www.extra.test.")?,
            false => resolver.expect_refusal(&extra).context("www.extra.test.")?,
        }
        let last = self.large - 1;
        let (last, beyond) = (format!("h{last}.large.test."), format!("h{}.large.test.", last + 1));
        resolver
            .expect(&wire_name(&last), large_address(self.large - 1))
            .context(last)?;
        resolver.expect_absence(&wire_name(&beyond)).context(beyond)?;
        shared.answers.fetch_add(12, Ordering::Relaxed);
        ensure!(world.has_xdp(FIRST)?, "no XDP program is at the interface that stays");
        Ok(())
    }
}

/// The address of what does not change.
const STEADY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);

fn zone(address: Ipv4Addr) -> String {
    format!("$TTL 60\n@ SOA ns host 1 7200 3600 1209600 60\n@ NS ns\nns A 192.0.2.53\nwww A {address}\n")
}

fn large_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0A1E_0000 + number)
}

fn large_zone(names: u32) -> String {
    use std::fmt::Write;

    let mut text = zone(STEADY);
    for number in 0..names {
        // Into a string, nothing fails.
        let _ = writeln!(text, "h{number} A {}", large_address(number));
    }
    text
}

/// A host's further addresses of one number. An interface that goes down loses those of IPv6, so the second has none.
fn further(number: u8, host: u8, device: &str) -> Vec<IpAddr> {
    let ipv4 = Ipv4Addr::new(10, 88, number, host).into();
    let ipv6 = Ipv6Addr::new(0xfd88, number.into(), 0, 0, 0, 0, 0, host.into()).into();
    if device == FIRST { vec![ipv4, ipv6] } else { vec![ipv4] }
}

/// Whether a reply comes from an address within a moment.
fn answers(world: &World, address: SocketAddr) -> Result<bool> {
    let query = Query::new(&wire_name("www.a.test."), 1).build();
    let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    world.client.enter(|| {
        let socket = UdpSocket::bind(local)?;
        socket.set_read_timeout(Some(Duration::from_millis(300)))?;
        // It may be unreachable, at once or by what comes back.
        if socket.connect(address).is_err() || socket.send(&query).is_err() {
            return Ok(false);
        }
        Ok(socket.recv(&mut [0; 512]).is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_steps() {
        let drawn = |seed| -> Vec<&str> {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut draw = || {
                STEPS
                    .choose_weighted(&mut rng, |(_, weight)| *weight)
                    .expect("weights")
                    .0
                    .title()
            };
            (0..50).map(|_| draw()).collect()
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }
}
