//! The XDP program over a real store, run by `BPF_PROG_TEST_RUN`, beside the reference answerer.
//!
//! ```text
//!  changes ─► Store ─► Publisher ─► maps of the loaded program ─ TEST_RUN(frame) ─► verdict, frame, counters
//! ```
//!
//! What TEST_RUN does with an XDP program (Linux 6.18): the packet lies in one page, behind 256 bytes of headroom and
//! before the 320 of `skb_shared_info`, so it can grow to 3,520 bytes, whatever came in; the ingress interface is the
//! loopback interface of the caller's namespace unless the context names another one that has queues; frames of fewer
//! than 14 bytes are refused. Nothing is attached, and nothing is sent.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use dns_common::address::{OwnKey, OwnValue, TAGGED, mapped};
use dns_common::counters::Counters;
use dns_common::limit::Limits;
use dns_common::reason::PassReason;
use dns_common::settings::Settings;
use dns_common::tap::TapSettings;
use dns_userspace::answer::Environment;
use dns_userspace::cookies::Secrets;
use dns_userspace::model::access::AccessList;
use dns_userspace::serve::object::{ABSENT, OBJECT};
use dns_userspace::serve::xdp::Loader;
use dns_userspace::serve::xdp::{Constants, Program, Room};
use dns_userspace::store::Change;

use crate::bench::fuzz::{Fate, check};
use crate::frames::UdpFrame;
use crate::planes::{Compared, Difference, Planes};
use crate::testrun::{Outcome, TestRun};

/// The client's MAC address, and the interface's own.
pub const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
/// The interface's addresses.
pub const OWN: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(192, 0, 2, 1),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
);
/// The client's.
pub const CLIENT: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(198, 51, 100, 7),
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7),
);
/// The VLAN tags under which the addresses are ours too, and the MTU there.
pub const PLACES: [(&[u16], u16); 4] = [(&[], 1500), (&[7], 1500), (&[7, 8], 1500), (&[9], 9000)];
/// Our port.
pub const PORT: u16 = 53;

/// A loaded program, what it serves, and the reference beside it.
pub struct Kernel {
    /// The store and what is made from it.
    pub planes: Planes,
    program: OwnedFd,
}

/// True where privileged tests are to be skipped; says why, past what the harness keeps for itself.
///
/// # Panics
/// Without root, unless `HOTDNS_SKIP_PRIVILEGED` has the reason: what cannot run must not look as if it had passed.
pub fn is_skipped() -> bool {
    if let Some(reason) = std::env::var_os("HOTDNS_SKIP_PRIVILEGED") {
        let _ = writeln!(std::io::stderr(), "skipped: {}", reason.display());
        return true;
    }
    assert!(
        nix::unistd::geteuid().is_root(),
        "loading an XDP program needs root; HOTDNS_SKIP_PRIVILEGED=reason skips"
    );
    false
}

/// The XDP program's object file.
pub fn object() -> Result<&'static [u8]> {
    OBJECT.context(ABSENT)
}

/// Access list, rate limits and what else a program may have; nothing by default.
pub struct Guards {
    /// Who may ask.
    pub access: Option<AccessList>,
    /// The limits.
    pub limits: Limits,
    /// Who has none.
    pub exempt: Option<AccessList>,
    /// Whether answers are counted for each zone.
    pub per_zone: bool,
    /// Whether loads are kept in order, as for processors that this one may not be of.
    pub orders_loads: bool,
    /// How many entries maps have room for.
    pub room: Room,
    /// What is shown of answers.
    pub tap: TapSettings,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            access: None,
            limits: Limits::NONE,
            exempt: None,
            per_zone: false,
            orders_loads: false,
            tap: TapSettings::OFF,
            room: Room::default(),
        }
    }
}

impl Kernel {
    /// Loads the program, with nothing served yet.
    pub fn new(environment: Environment<'static>, has_upstream: bool) -> Result<Self> {
        Self::guarded(environment, has_upstream, Guards::default())
    }

    /// The same with an access list or rate limits.
    pub fn guarded(environment: Environment<'static>, has_upstream: bool, guards: Guards) -> Result<Self> {
        let loader: Loader = Box::new(move |keys, sizes| {
            let settings = Settings {
                lines: sizes.lines,
                udp_payload: environment.udp_payload,
                has_upstream: has_upstream.into(),
                has_nsid: environment.nsid().is_some().into(),
                has_access: guards.access.is_some().into(),
                per_zone: guards.per_zone.into(),
                orders_loads: guards.orders_loads.into(),
                fixed_random: environment.random as u32,
                hash_prefixes: environment.hash_prefixes,
                ports: Settings::quick_ports([PORT]),
                ..Settings::DEFAULT
            };
            let limits = Limits {
                has_exempt: guards.exempt.is_some().into(),
                ..guards.limits
            };
            let constants = Constants {
                settings,
                limits,
                room: guards.room,
                tap: guards.tap,
            };
            let (mut program, memory) = Program::load(object()?, &constants, keys, sizes)?;
            program.set_access(guards.access.as_ref(), guards.exempt.as_ref())?;
            if program.set_own(own()).error.is_some() {
                return Err("our addresses do not fit".into());
            }
            let secret = environment.cookies.secret;
            program.set_cookies(
                environment.cookies.seconds,
                &Secrets {
                    current: secret,
                    previous: secret,
                },
            )?;
            if environment.recursion_available {
                // The client, and those in the views of `zones`.
                let clients = ["198.51.100.0/24", "10.0.0.0/14", "2001:db8::/44"];
                let clients: Result<Vec<_>, _> = clients.iter().map(|text| text.parse()).collect();
                program.set_recursion(&clients?)?;
            }
            Ok((Some(program), memory))
        });
        let planes = Planes::new(loader, environment, has_upstream)?;
        let program = descriptor(&planes)?;
        Ok(Self { planes, program })
    }

    /// Makes changes, and publishes them; the table may become another program's.
    pub fn apply(&mut self, changes: Vec<Change>) -> Result<()> {
        self.planes.apply(changes)?;
        self.program = descriptor(&self.planes)?;
        Ok(())
    }

    /// The program, to be run; its own descriptor stays this one's.
    pub fn test_run(&self) -> TestRun<'_> {
        TestRun::new(self.program.as_fd())
    }

    /// The program's descriptor.
    pub fn program(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    /// Runs the program on a frame.
    pub fn run(&self, frame: &[u8]) -> Result<Outcome> {
        Ok(self.test_run().run(frame)?)
    }

    /// How many instructions the kernel's verifier went through.
    pub fn verified_instructions(&self) -> Result<u32> {
        let program = self.planes.publisher.program();
        let mut program = program.lock();
        let ebpf = program.as_mut().context("a program")?.ebpf_mut();
        let info = ebpf.program("hotdns").context("no program `hotdns`")?.info()?;
        info.verified_instruction_count().context("this kernel does not say")
    }

    /// What the program, and those before it, counted so far.
    pub fn counters(&self) -> Result<Counters> {
        let program = self.planes.publisher.program();
        let program = program.lock();
        Ok(program.as_ref().context("a program")?.counters()?)
    }

    /// The reason for which the frame passes, unchanged; `None` where it passes uncounted.
    pub fn pass_reason(&self, frame: &[u8]) -> Result<Option<PassReason>> {
        let before = self.counters()?;
        let outcome = self.run(frame)?;
        let fate = check(frame, &outcome).map_err(anyhow::Error::msg)?;
        anyhow::ensure!(fate == Fate::Passed, "{fate:?}");
        let after = self.counters()?;
        let counted: Vec<PassReason> = PassReason::ALL
            .iter()
            .copied()
            .filter(|reason| after.passed[reason.index()] != before.passed[reason.index()])
            .collect();
        anyhow::ensure!(counted.len() <= 1, "one frame, several reasons: {counted:?}");
        Ok(counted.first().copied())
    }

    /// Asks the program; its reply has to be the reference answerer's. The reason of a pass is not looked up, which
    /// would take longer than the query: `Compared::Passed` says `Internal` for all of them.
    pub fn compare(&self, frame: &UdpFrame, bytes: &[u8]) -> Result<Compared> {
        let outcome = self.run(bytes)?;
        match check(bytes, &outcome).map_err(anyhow::Error::msg)? {
            Fate::Passed => Ok(Compared::Passed(PassReason::Internal)),
            Fate::Dropped => anyhow::bail!("dropped"),
            Fate::Answered(reply) => {
                let reference = self.planes.reference_to(frame.source.ip(), &frame.payload);
                if reference.as_ref() == Some(&reply) {
                    return Ok(Compared::Equal);
                }
                let query = frame.payload.clone();
                Err(anyhow::anyhow!(
                    "{}",
                    Difference {
                        query,
                        fast: reply,
                        reference
                    }
                ))
            }
        }
    }
}

/// A frame with a query to us.
pub fn frame(is_ipv6: bool, vlans: &[u16], payload: Vec<u8>) -> UdpFrame {
    let (source, destination) = match is_ipv6 {
        false => (
            SocketAddr::new(CLIENT.0.into(), 40000),
            SocketAddr::new(OWN.0.into(), PORT),
        ),
        true => (
            SocketAddr::new(CLIENT.1.into(), 40000),
            SocketAddr::new(OWN.1.into(), PORT),
        ),
    };
    UdpFrame {
        vlans: vlans.to_vec(),
        ..UdpFrame::new(MACS, source, destination, payload)
    }
}

fn own() -> BTreeMap<OwnKey, OwnValue> {
    let mut entries = BTreeMap::new();
    for (vlans, mtu) in PLACES {
        for address in [mapped(OWN.0.octets()), OWN.1.octets()] {
            for port in [PORT, 0] {
                let tag = |at: usize| vlans.get(at).map_or(0, |id| id | TAGGED);
                // The loopback interface is number 1 in every namespace.
                let key = OwnKey {
                    address,
                    interface: 1,
                    outer_vlan: tag(0),
                    inner_vlan: tag(1),
                    port,
                    unused: [0; 3],
                };
                entries.insert(key, OwnValue { mac: MACS.1, mtu });
            }
        }
    }
    entries
}

fn descriptor(planes: &Planes) -> Result<OwnedFd> {
    let program = planes.publisher.program();
    let mut program = program.lock();
    let ebpf = program.as_mut().context("a program")?.ebpf_mut();
    let program = ebpf.program("hotdns").context("no program `hotdns`")?;
    Ok(program.fd()?.as_fd().try_clone_to_owned()?)
}
