//! The XDP plane at start-up, and the addresses that it follows.
//!
//! Where anything is missing (privileges, support, the object itself), userspace answers everything, and the log says
//! what is missing.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use dns_common::address::{OwnKey, TAGGED};
use dns_common::counters::{RCODES, qtype_of_class};
use dns_common::reason::{DropReason, PassReason};
use dns_common::settings::Settings;
use futures_util::StreamExt;
use ipnet::IpNet;
use tracing::{debug, error, info, warn};

use super::super::supervisor::Spawner;
use crate::config::{Config, XdpMode};
use crate::cookies::Cookies;
use crate::dataplane::gate::{Charged, Gate};
use crate::dataplane::object::OBJECT;
use crate::dataplane::xdp::own::{self, GROUPS, Listen};
use crate::dataplane::xdp::{Constants, Mode, Program};
use crate::metrics::{XdpFigures, XdpReading};
use crate::publish::{Loader, SharedProgram};
use crate::table::{Ahead, Memory, Sizes};

/// Changes of addresses come in bursts: this long after the first, all are read at once.
const SETTLE: Duration = Duration::from_millis(50);
/// How often the program's own log lines are looked for.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Where tables are to live: in the program's maps where XDP is asked for and can be had, else on the heap.
pub(super) fn table_loader(
    config: &Config,
    listening: &[SocketAddr],
    recursion: &Arc<[IpNet]>,
    cookies: &Arc<Cookies>,
    gate: &Arc<Gate>,
) -> Loader {
    let settings = Settings {
        udp_payload: config.udp_payload,
        has_upstream: u16::from(config.backend.upstream.enabled),
        has_nsid: u16::from(config.nsid.is_some()),
        has_access: u16::from(gate.access.is_some()),
        per_zone: u16::from(config.metrics_per_zone),
        ports: Settings::quick_ports(listening.iter().map(SocketAddr::port)),
        ..Settings::DEFAULT
    };
    let limits = gate.limits;
    let object = match wanted(config).and_then(|()| usable(&Constants { settings, limits })) {
        Ok(object) => Some(object),
        Err(None) => None,
        Err(Some(reason)) => {
            // In between comes the verifier's whole log.
            warn!(
                "XDP is off, userspace answers everything: {reason}: {}",
                reason.root_cause()
            );
            debug!("{reason:?}");
            None
        }
    };
    let (recursion, cookies, gate) = (Arc::clone(recursion), Arc::clone(cookies), Arc::clone(gate));
    Box::new(move |keys, sizes| {
        let Some(object) = object else {
            let memory = Memory::on_heap(sizes)?;
            let memory = if limits.is_enabled() {
                memory.with_buckets()?
            } else {
                memory
            };
            return Ok((None, memory));
        };
        let mut settings = settings;
        settings.lines = sizes.lines;
        let (mut program, memory) = Program::load(object, &Constants { settings, limits }, keys, sizes)?;
        program.set_access(gate.access.as_deref(), gate.exempt.as_deref())?;
        program.set_recursion(&recursion)?;
        program.set_cookies(cookies.seconds(), &cookies.secrets())?;
        Ok((Some(program), memory))
    })
}

fn wanted(config: &Config) -> Result<(), Option<anyhow::Error>> {
    if config.xdp.mode == XdpMode::Off || config.xdp.interfaces.is_empty() {
        Err(None)
    } else {
        Ok(())
    }
}

/// The object, after it was loaded once on trial.
fn usable(constants: &Constants) -> Result<&'static [u8], Option<anyhow::Error>> {
    let object = OBJECT.context("this program was built without the XDP object; build it with `cargo xtask build`")?;
    let keys = bytemuck::Zeroable::zeroed();
    let sizes = Sizes {
        lines: 1,
        slots: [1; dns_common::slot::SLOT_CLASSES],
        // Of the class that takes the verifier longest.
        ahead: Ahead {
            class: 0,
            slots: 1,
            rtype: 1,
        },
        zones: 1,
        prefixes: 0,
    };
    Program::load(object, constants, &keys, sizes)
        .context("it needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and Linux 5.18 or newer")?;
    Ok(object)
}

/// Attaches the program to the configured interfaces, and keeps its addresses in step with the kernel's.
pub(super) async fn attach(
    config: &Config,
    listening: &[SocketAddr],
    program: SharedProgram,
    charged: &Arc<Charged>,
    spawner: &Spawner,
) {
    if program.lock().is_none() {
        return;
    }
    let listens: Vec<Listen> = listening.iter().copied().filter(is_everywhere).map(listen).collect();
    if let Err(error) = try_attach(config, listens, program, Arc::clone(charged), spawner).await {
        error!("XDP is off, userspace answers everything: {error:#}");
    }
}

async fn try_attach(
    config: &Config,
    listens: Vec<Listen>,
    program: SharedProgram,
    charged: Arc<Charged>,
    spawner: &Spawner,
) -> anyhow::Result<()> {
    let (connection, handle, mut changes) =
        rtnetlink::new_multicast_connection(&GROUPS).context("no netlink connection")?;
    let stopping = spawner.stopping();
    spawner.spawn("netlink", async move {
        tokio::select! {
            () = connection => anyhow::bail!("the netlink connection ended"),
            () = stopping.cancelled() => Ok(()),
        }
    });
    let interfaces = own::interfaces(&handle)
        .await
        .context("the interfaces cannot be listed")?;
    let mode = match config.xdp.mode {
        XdpMode::Native => Mode::Native,
        XdpMode::Generic => Mode::Generic,
        XdpMode::Auto | XdpMode::Off => Mode::Auto,
    };
    for name in &config.xdp.interfaces {
        let Some(interface) = interfaces.iter().find(|interface| interface.name == *name) else {
            error!("{}", crate::dataplane::xdp::AttachError::NoInterface(name.clone()));
            continue;
        };
        // The addresses first: a program without any passes everything.
        let result = match &mut *program.lock() {
            Some(program) => program.attach(interface, mode),
            None => return Ok(()),
        };
        match result {
            Ok(mode) => info!(interface = %name, mode, "XDP attached"),
            Err(error) => error!("{error}"),
        }
    }
    set_own(&program, &interfaces, &listens, &charged);

    let stopping = spawner.stopping();
    spawner.spawn("xdp", async move {
        let mut log = tokio::time::interval(LOG_INTERVAL);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                _ = log.tick() => {
                    if let Some(program) = &mut *program.lock() {
                        program.flush_log();
                    }
                }
                change = changes.next() => {
                    if change.is_none() {
                        anyhow::bail!("the kernel's messages on addresses ended");
                    }
                    tokio::time::sleep(SETTLE).await;
                    while let Some(Some(_)) = futures_util::FutureExt::now_or_never(changes.next()) {}
                    match own::interfaces(&handle).await {
                        Ok(interfaces) => set_own(&program, &interfaces, &listens, &charged),
                        Err(error) => warn!(%error, "the addresses cannot be listed: XDP keeps those it had"),
                    }
                }
            }
        }
    });
    Ok(())
}

fn set_own(program: &SharedProgram, interfaces: &[own::Interface], listens: &[Listen], charged: &Charged) {
    let mut program = program.lock();
    let Some(program) = &mut *program else { return };
    let attached: Vec<u32> = program.interfaces().map(|(_, index, _)| index).collect();
    let entries = own::entries(interfaces, &attached, listens);
    for (name, index, _) in program.interfaces() {
        if !entries.keys().any(|key| key.interface == index) {
            warn!(
                interface = name,
                "no address of this interface is listened on: XDP passes all that comes there"
            );
        }
    }
    debug!(entries = entries.len(), "addresses for XDP");
    charged.store(Arc::new(entries.keys().filter_map(charged_at).collect()));
    if let Err(error) = program.set_own(entries) {
        error!("XDP may pass what it could answer: {error:#}");
    }
}

/// Where datagrams to this address come in once they were charged. Those of a VLAN come in at its own interface, and also where
/// the network card took the tag off, so that the program has not known them: sockets charge what comes from there.
fn charged_at(key: &OwnKey) -> Option<(u32, IpAddr)> {
    let is_untagged = key.outer_vlan & TAGGED == 0;
    let address = Ipv6Addr::from(key.address).to_canonical();
    (is_untagged && key.port != 0).then_some((key.interface, address))
}

/// Whether the address means the same on every interface. What is asked at a link-local one passes: the program's map does not
/// tell on which interface it is listened on.
fn is_everywhere(address: &SocketAddr) -> bool {
    !matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0)
}

fn listen(address: SocketAddr) -> Listen {
    Listen {
        address: (!address.ip().is_unspecified()).then(|| address.ip()),
        port: address.port(),
    }
}

impl XdpFigures for SharedProgram {
    fn read(&self) -> XdpReading {
        let program = self.lock();
        let counters = match program.as_ref().map(Program::counters) {
            Some(Ok(counters)) => counters,
            Some(Err(error)) => {
                warn!("the counters of XDP cannot be read: {error:#}");
                return XdpReading::default();
            }
            None => return XdpReading::default(),
        };
        let mut reading = XdpReading::default();
        for (class, by_rcode) in counters.answers.iter().enumerate() {
            for (&count, rcode) in by_rcode.iter().zip(RCODES) {
                if count > 0 {
                    reading.answers.push((qtype_of_class(class).unwrap_or(0), rcode, count));
                }
            }
        }
        let pairs = PassReason::ALL
            .iter()
            .map(|reason| (reason.label(), counters.passed[reason.index()]));
        reading.passed = pairs.collect();
        let pairs = DropReason::ALL
            .iter()
            .map(|reason| (reason.label(), counters.dropped[reason.index()]));
        reading.dropped = pairs.collect();
        (reading.limited, reading.denied) = (counters.limited, counters.denied);
        reading
    }
}
