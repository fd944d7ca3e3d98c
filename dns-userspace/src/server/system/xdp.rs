//! The XDP plane at start-up, and the addresses that it follows.
//!
//! Where anything is missing (privileges, support, the object itself), userspace answers everything, and the log says
//! what is missing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use dns_common::counters::{RCODES, qtype_of_class};
use dns_common::hash::Keys;
use dns_common::reason::{DropReason, PassReason};
use dns_common::settings::Settings;
use dns_common::tap::TapSettings;
use ipnet::IpNet;
use tracing::{debug, error, warn};

use super::super::supervisor::Spawner;
use super::keeper::Keeper;
use super::netlink::{self, Connection};
use crate::config::{Config, XdpMode};
use crate::control::ControlHandle;
use crate::cookies::Cookies;
use crate::model::shown::with_causes;
use crate::observe::metrics::{XdpFigures, XdpReading};
use crate::serve::gate::{Charged, Gate};
use crate::serve::object::OBJECT;
use crate::serve::policy::Policy;
use crate::serve::query_log::tap_settings;
use crate::serve::xdp::own::{self, GROUPS, Listen};
use crate::serve::xdp::{Constants, Mode, Program, Room, Taps};
use crate::serve::xdp::{Loader, SharedProgram};
use crate::table::{Ahead, Memory, Sizes, find_grace_period};

/// How often the program's own log lines are looked for, and whether its links are there still.
const TICK: Duration = Duration::from_secs(1);
/// In how many of these what could not be done is tried again.
const RETRY_TICKS: u32 = 5;

/// What tables and programs are made by, which a reload may replace.
pub(super) struct TableChoices {
    settings: Settings,
    gate: Arc<Gate>,
    recursion: Arc<[IpNet]>,
    /// What programs show of their answers.
    tap: TapSettings,
    /// For how many kept answers of upstream servers there is room.
    hot_names: u32,
}

impl TableChoices {
    /// Those of this configuration and the policy that is made from it.
    pub(super) fn of(config: &Config, listening: &[SocketAddr], policy: &Policy) -> Self {
        Self {
            settings: Settings {
                udp_payload: config.edns.udp_payload,
                has_upstream: u16::from(config.resolves()),
                has_nsid: u16::from(config.edns.nsid.is_some()),
                has_access: u16::from(policy.gate.access.is_some()),
                per_zone: u16::from(config.metrics.per_zone),
                ports: Settings::quick_ports(listening.iter().map(SocketAddr::port)),
                hash_prefixes: config.backend.hash_prefixes(),
                ..Settings::DEFAULT
            },
            gate: Arc::clone(&policy.gate),
            recursion: Arc::clone(&policy.recursion),
            tap: tap_settings(&config.query_log, &config.dnstap),
            hot_names: super::hot_names(config),
        }
    }

    /// Whether programs show some of their answers.
    pub(super) fn shows_answers(&self) -> bool {
        self.tap.one_in != 0
    }

    /// Whether tables and programs would be alike.
    pub(super) fn are_like(&self, other: &Self) -> bool {
        self.settings == other.settings
            && self.tap == other.tap
            && self.hot_names == other.hot_names
            && Arc::ptr_eq(&self.gate, &other.gate)
            && self.recursion == other.recursion
    }
}

/// What the loader of tables knows.
struct TableLoader {
    choices: Arc<ArcSwap<TableChoices>>,
    cookies: Arc<Cookies>,
    /// For how many own addresses the next program has room.
    own_room: Arc<AtomicU32>,
    /// Where what programs show is read.
    taps: Taps,
}

/// For how many entries of own addresses there is to be room, by what this host has now.
pub(super) fn own_room(listening: &[SocketAddr]) -> Arc<AtomicU32> {
    Arc::new(Room::own_for(own::likely_entries(listening.len())).into())
}

/// Where tables are to live: in the program's maps where XDP is asked for and can be had, else on the heap.
pub(super) fn table_loader(
    config: &Config,
    choices: &Arc<ArcSwap<TableChoices>>,
    cookies: &Arc<Cookies>,
    own_room: &Arc<AtomicU32>,
    taps: &Taps,
) -> Loader {
    let loader = TableLoader {
        choices: Arc::clone(choices),
        cookies: Arc::clone(cookies),
        own_room: Arc::clone(own_room),
        taps: taps.clone(),
    };
    let is_wanted = config.xdp.mode != XdpMode::Off && !config.xdp.interfaces.is_empty();
    let object = is_wanted.then(|| loader.try_out()).and_then(|tried| match tried {
        Ok(object) => Some(object),
        Err(reason) => {
            say_off(&reason);
            None
        }
    });
    if object.is_some() {
        find_grace_period();
    }
    let choice = Choice::default();
    Box::new(move |keys, sizes| {
        let loader = &loader;
        let with_program = object.map(|object| move || loader_of(loader, object, keys, sizes));
        let on_heap = || Ok((None, loader.on_heap(sizes)?));
        Ok(choice.make(with_program, on_heap)?)
    })
}

fn loader_of(
    loader: &TableLoader,
    object: &[u8],
    keys: &Keys,
    sizes: Sizes,
) -> anyhow::Result<(Option<Program>, Memory)> {
    let (program, memory) = loader.load(object, keys, sizes)?;
    Ok((Some(program), memory))
}

fn say_off(reason: &anyhow::Error) {
    // In between comes the verifier's whole log.
    warn!(
        "XDP is off, userspace answers everything: {reason}: {}",
        reason.root_cause()
    );
    debug!("{reason:?}");
}

impl TableLoader {
    /// A program with all that does not change from table to table.
    fn load(&self, object: &[u8], keys: &Keys, sizes: Sizes) -> anyhow::Result<(Program, Memory)> {
        let prefixes = |list: &Option<_>| {
            list.as_deref()
                .map_or(0, |list: &crate::model::access::AccessList| list.prefixes().count())
        };
        let entries = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let choices = self.choices.load();
        let TableChoices {
            settings,
            gate,
            recursion,
            tap,
            hot_names,
        } = &**choices;
        let constants = Constants {
            settings: Settings {
                lines: sizes.lines,
                ..*settings
            },
            limits: gate.limits,
            room: Room {
                own: self.own_room.load(Ordering::Relaxed),
                access: entries(prefixes(&gate.access) + prefixes(&gate.exempt)),
                // One more for all of IPv4.
                recursion: entries(recursion.len() + 1),
                hot: *hot_names,
            },
            tap: *tap,
        };
        let (mut program, memory) = Program::load(object, &constants, keys, sizes)
            .context("it needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and Linux 5.18 or newer")?;
        program.set_access(gate.access.as_deref(), gate.exempt.as_deref())?;
        program.set_recursion(recursion)?;
        program.set_cookies(self.cookies.seconds(), &self.cookies.secrets())?;
        if choices.shows_answers() {
            program.show_in(&self.taps)?;
        }
        Ok((program, memory))
    }

    /// The object, after it was loaded once on trial.
    fn try_out(&self) -> anyhow::Result<&'static [u8]> {
        let object =
            OBJECT.context("this program was built without the XDP object; build it with `cargo xtask build`")?;
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
        self.load(object, &keys, sizes)?;
        Ok(object)
    }

    fn on_heap(&self, sizes: Sizes) -> anyhow::Result<Memory> {
        let choices = self.choices.load();
        let memory = Memory::on_heap(sizes)?.with_hot(choices.hot_names)?;
        Ok(if choices.gate.limits.is_enabled() {
            memory.with_buckets()?
        } else {
            memory
        })
    }
}

/// Whether tables are a program's. The first one decides: later ones are all like it, or cannot be had.
#[derive(Default)]
struct Choice {
    is_of_program: AtomicBool,
    is_off: AtomicBool,
}

impl Choice {
    fn make<T>(
        &self,
        with_program: Option<impl FnOnce() -> anyhow::Result<T>>,
        on_heap: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let Some(load) = with_program.filter(|_| !self.is_off.load(Ordering::Relaxed)) else {
            return on_heap();
        };
        match load() {
            Err(reason) if !self.is_of_program.load(Ordering::Relaxed) => {
                say_off(&reason);
                self.is_off.store(true, Ordering::Relaxed);
                on_heap()
            }
            loaded => {
                self.is_of_program.store(true, Ordering::Relaxed);
                loaded
            }
        }
    }
}

/// Attaches the program to the configured interfaces, and keeps it and its addresses in step with the kernel's.
pub(super) async fn attach(
    config: &Config,
    listening: &[SocketAddr],
    program: SharedProgram,
    charged: &Arc<Charged>,
    own_room: Arc<AtomicU32>,
    control: ControlHandle,
    spawner: &Spawner,
) {
    match &mut *program.lock() {
        Some(program) => program.show_charged_in(Arc::clone(charged)),
        None => return,
    }
    let mode = match config.xdp.mode {
        XdpMode::Native => Mode::Native,
        XdpMode::Generic => Mode::Generic,
        XdpMode::Auto | XdpMode::Off => Mode::Auto,
    };
    let listens: Vec<Listen> = listening.iter().copied().filter(is_everywhere).map(listen).collect();
    let keeper = Keeper::new(program, config.xdp.interfaces.clone(), mode, listens, own_room);
    if let Err(error) = try_attach(keeper, control, spawner).await {
        error!("XDP is off, userspace answers everything: {error:#}");
    }
}

async fn try_attach(mut keeper: Keeper, control: ControlHandle, spawner: &Spawner) -> anyhow::Result<()> {
    let Connection {
        run,
        handle,
        mut changes,
    } = netlink::connect(&GROUPS).context("no netlink connection")?;
    let stopping = spawner.stopping();
    spawner.spawn("netlink", async move {
        tokio::select! {
            () = run => anyhow::bail!("the netlink connection ended"),
            () = stopping.cancelled() => Ok(()),
        }
    });
    let interfaces = own::interfaces(&handle)
        .await
        .context("the interfaces cannot be listed")?;
    let mut is_done = keeper.look(&interfaces);

    let stopping = spawner.stopping();
    spawner.spawn("xdp", async move {
        let mut tick = tokio::time::interval(TICK);
        let mut ticks = 0;
        loop {
            let is_due = tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                _ = tick.tick() => {
                    ticks += 1;
                    keeper.tick() || (!is_done && ticks >= RETRY_TICKS)
                }
                change = changes.next() => {
                    if change.is_none() {
                        anyhow::bail!("the kernel's messages on addresses ended");
                    }
                    changes.settle().await;
                    true
                }
            };
            if !is_due {
                continue;
            }
            ticks = 0;
            match own::interfaces(&handle).await {
                Ok(interfaces) => is_done = keeper.look(&interfaces),
                Err(error) => {
                    warn!(%error, "the addresses cannot be listed: XDP keeps those it had");
                    is_done = false;
                }
            }
            if keeper.wants_room() {
                control.wake();
            }
        }
    });
    Ok(())
}

/// Whether the address means the same on every interface. What is asked at a link-local one passes: the program's map
/// does not tell on which interface it is listened on.
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
                warn!("the counters of XDP cannot be read: {}", with_causes(&error));
                return XdpReading::default();
            }
            None => return XdpReading::default(),
        };
        let mut reading = XdpReading::default();
        if let Some(program) = program.as_ref() {
            let attached = program.interfaces();
            reading.attached = attached
                .map(|(interface, _, mode)| (interface.to_owned(), mode))
                .collect();
            let own = program.own_report();
            (reading.addresses, reading.addresses_left_out) = (own.held as u64, own.left_out as u64);
        }
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

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn what_cannot_be_had_at_first_is_done_without_and_later_is_an_error() {
        let choice = Choice::default();
        let on_heap = || Ok("heap");
        assert_eq!(
            choice.make(Some(|| bail!("no memory")), on_heap).expect("a table"),
            "heap"
        );
        // There are no sockets' tables and programs' tables by turns.
        assert_eq!(choice.make(Some(|| Ok("program")), on_heap).expect("a table"), "heap");

        let choice = Choice::default();
        assert_eq!(
            choice.make(Some(|| Ok("program")), on_heap).expect("a table"),
            "program"
        );
        let error = choice
            .make(Some(|| bail!("no memory")), on_heap)
            .expect_err("no larger one");
        assert_eq!(error.to_string(), "no memory");
        assert_eq!(
            choice.make(Some(|| Ok("program")), on_heap).expect("a table"),
            "program"
        );

        let none: Option<fn() -> anyhow::Result<&'static str>> = None;
        assert_eq!(Choice::default().make(none, on_heap).expect("a table"), "heap");
    }
}
