//! What is left of XDP when interfaces and addresses come and go, and when the kernel refuses a step in between.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dns_common::address::{OwnKey, OwnValue, mapped};
use dns_common::limit::{Limits, Pace};
use dns_common::settings::Settings;
use dns_common::tap::TapSettings;
use dns_userspace::model::record::{Handling, RecordType, RrSet};
use dns_userspace::model::source::Origin;
use dns_userspace::serve::gate::Charged;
use dns_userspace::serve::xdp::Loader;
use dns_userspace::serve::xdp::own::{self, Interface, Listen};
use dns_userspace::serve::xdp::{AttachError, Constants, Faults, Mode, Program, Room, Seam};
use dns_userspace::store::Change;
use nix::errno::Errno;
use tests::bench::fuzz::{Fate, check};
use tests::frames::{Query, UdpFrame, wire_name};
use tests::kernel::{CLIENT, Guards, Kernel, MACS, PORT, frame, object};
use tests::net::{End, Namespace, VethOptions, VethPair, is_skipped};
use tests::planes::{COOKIES, Planes};
use tests::server::{Server, eventually};
use tests::zones::name;

use dns_userspace::answer::Environment;

const ENVIRONMENT: Environment<'_> = Environment {
    cookies: COOKIES,
    identity: None,
    ..Environment::DEFAULT
};
/// The loopback interface, in every namespace.
const LOOPBACK: u32 = 1;

fn www() -> Vec<u8> {
    Query::new(&wire_name("www.example.com"), 1).build()
}

/// Two pairs between a client and a host, the second one between other networks.
struct World {
    client: Namespace,
    host: Namespace,
}

/// The client's and the host's addresses at each pair.
const NETWORKS: [(Ipv4Addr, Ipv4Addr); 2] = [
    (Ipv4Addr::new(10, 81, 0, 2), Ipv4Addr::new(10, 81, 0, 1)),
    (Ipv4Addr::new(10, 82, 0, 2), Ipv4Addr::new(10, 82, 0, 1)),
];

impl World {
    fn new() -> Result<Self> {
        let (client, host) = (Namespace::new("client")?, Namespace::new("server")?);
        let world = Self { client, host };
        for which in 0..2 {
            world.join(which)?;
        }
        Ok(world)
    }

    fn join(&self, which: usize) -> Result<VethPair> {
        let (own, server) = NETWORKS[which];
        let options = VethOptions {
            addresses: [vec![own.into()], vec![server.into()]],
            ..VethOptions::default()
        };
        VethPair::new(
            (&self.client, &format!("c{which}")),
            (&self.host, &format!("s{which}")),
            &options,
        )
    }

    fn has_xdp(&self, which: usize) -> Result<bool> {
        Ok(self.host.ip(&["link", "show", &format!("s{which}")])?.contains("xdp"))
    }
}

/// A socket of the client's, connected to a server of this address.
fn socket(client: &Namespace, own: Ipv4Addr, server: SocketAddr) -> Result<UdpSocket> {
    client.enter(|| {
        let socket = UdpSocket::bind((own, 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(socket)
    })
}

fn ask(socket: &UdpSocket) -> Result<Vec<u8>> {
    let mut reply = [0; 512];
    socket.send(&www())?;
    let length = socket.recv(&mut reply).context("no answer")?;
    Ok(reply[..length].to_vec())
}

#[test]
fn the_loss_of_one_interface_takes_nothing_from_the_others_and_it_may_come_back() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let world = World::new()?;
    // Of each prefix two are answered whole, and then one in a long while.
    let limits = "rate_limit: {enabled: true, rate: 1, burst: 2, slip: 1, ipv4_prefix: 32}\n";
    let server = Server::start_in(&world.host, "s0, s1", limits)?;
    let port = server.dns.port();
    let sockets: Vec<UdpSocket> = (0..2)
        .map(|which| {
            let (own, server) = NETWORKS[which];
            socket(&world.client, own, (server, port).into())
        })
        .collect::<Result<_>>()?;
    let metric = |name: &str| world.host.enter(|| server.metric(name));
    let truncated = |plane: &str| {
        metric(&format!(
            "hotdns_rate_limited_total{{action=\"truncated\",plane=\"{plane}\"}}"
        ))
    };
    let flood = |which: usize| -> Result<()> {
        for _ in 0..30 {
            ask(&sockets[which])?;
        }
        Ok(())
    };
    for which in 0..2 {
        ensure!(world.has_xdp(which)?, "{}", server.log());
        flood(which)?;
    }
    let charged = truncated("xdp")?;
    ensure!(charged >= 1.0, "none truncated by XDP");
    assert_eq!(truncated("sockets")?, 0.0);

    world.host.ip(&["link", "delete", "s1"])?;
    // A table that is larger than the first one.
    let mut zone = String::from(tests::server::ZONE);
    for at in 0..3000 {
        zone.push_str(&format!("n{at} A 192.0.2.{}\n", at % 256));
    }
    server.write("example.com.zone", &zone)?;
    let lines = metric("hotdns_table_lines")?;
    let reply = world.host.enter(|| server.request("POST", "/api/v1/reload", None))?;
    ensure!(reply.status == 200, "{reply:?}");
    ensure!(
        metric("hotdns_table_lines")? > lines,
        "a larger table: {}",
        server.log()
    );
    ensure!(!server.log().contains("cannot be had"), "{}", server.log());
    ensure!(world.has_xdp(0)?, "the other one keeps XDP: {}", server.log());
    let (answers, before) = (metric("hotdns_xdp_answers_total")?, truncated("xdp")?);
    flood(0)?;
    assert_eq!(
        metric("hotdns_xdp_answers_total")?,
        answers + 30.0,
        "XDP answers there still"
    );
    ensure!(truncated("xdp")? > before, "and its limits hold");
    assert_eq!(truncated("sockets")?, 0.0, "nothing is charged twice");

    // The same name again: another index.
    world.join(1)?;
    let attached = "hotdns_xdp_attached{interface=\"s1\",mode=\"generic\"}";
    eventually("XDP is attached to what has come back", || Ok(metric(attached)? == 1.0))?;
    let again = socket(&world.client, NETWORKS[1].0, (NETWORKS[1].1, port).into())?;
    eventually("XDP answers there", || {
        let before = metric("hotdns_xdp_answers_total")?;
        ask(&again)?;
        Ok(metric("hotdns_xdp_answers_total")? > before)
    })?;
    Ok(())
}

#[test]
fn an_interface_that_comes_late_is_answered_from_xdp() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let (client, host) = (Namespace::new("client")?, Namespace::new("server")?);
    let world = World { client, host };
    let server = Server::start_in(&world.host, "s0", "")?;
    let missing = server.log();
    ensure!(missing.contains("there is no interface `s0`"), "{missing}");
    world.join(0)?;
    let socket = socket(&world.client, NETWORKS[0].0, (NETWORKS[0].1, server.dns.port()).into())?;
    eventually("XDP answers", || {
        let answers = || world.host.enter(|| server.metric("hotdns_xdp_answers_total"));
        let before = answers()?;
        ask(&socket)?;
        Ok(answers()? > before)
    })?;
    let said = server.log().matches("there is no interface `s0`").count();
    assert_eq!(said, 1, "once: {}", server.log());
    Ok(())
}

#[test]
fn thousands_of_own_addresses_are_answered_from_xdp_and_go_again() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let world = World::new()?;
    let server = Server::start_in(&world.host, "s0", "")?;
    let port = server.dns.port();
    let metric = |name: &str| world.host.enter(|| server.metric(name));
    let addresses = |state: &str| metric(&format!("hotdns_xdp_addresses{{state=\"{state}\"}}"));
    world.client.ip(&["route", "add", "10.96.0.0/16", "dev", "c0"])?;
    let change = |verb: &str, numbers: std::ops::Range<u32>| -> Result<()> {
        let lines: String = numbers
            .map(|at| format!("address {verb} 10.96.{}.{}/32 dev s0\n", at / 256, at % 256))
            .collect();
        server.write("addresses", &lines)?;
        let file = server.path("addresses").display().to_string();
        world.host.ip(&["-batch", &file]).map(|_| ())
    };
    let is_answered = |at: u32| -> Result<bool> {
        let address = Ipv4Addr::new(10, 96, (at / 256) as u8, (at % 256) as u8);
        let socket = socket(&world.client, NETWORKS[0].0, (address, port).into())?;
        let before = metric("hotdns_xdp_answers_total")?;
        let reply = ask(&socket)?;
        ensure!(reply.ends_with(&[192, 0, 2, 80]), "{reply:02x?}");
        Ok(metric("hotdns_xdp_answers_total")? > before)
    };
    let few = addresses("answered")?;
    change("add", 0..2500)?;
    eventually("2,500 more are known", || Ok(addresses("answered")? == few + 2500.0))?;
    ensure!(is_answered(0)? && is_answered(2499)?, "{}", server.log());
    // More than the first program has room for: another one takes its place.
    change("add", 2500..9000)?;
    eventually("all are known", || {
        Ok(addresses("answered")? == few + 9000.0 && addresses("left_out")? == 0.0)
    })?;
    ensure!(is_answered(0)? && is_answered(8999)?, "{}", server.log());
    change("delete", 1..9000)?;
    eventually("they are gone", || Ok(addresses("answered")? == few + 1.0))?;
    ensure!(is_answered(0)?, "{}", server.log());
    ensure!(world.has_xdp(0)?, "{}", server.log());
    Ok(())
}

/// A program's worth of rate limits, so that what is charged matters.
fn limits() -> Limits {
    let pace = Pace {
        interval_ns: 1,
        tolerance_ns: 1 << 40,
    };
    Limits {
        prefix: pace,
        secret: [1, 2],
        ..Limits::NONE
    }
    .with_prefixes(24, 56)
}

/// The entries of some addresses 192.0.2.x at loopback.
fn entries(numbers: impl IntoIterator<Item = u8>, mtu: u16) -> BTreeMap<OwnKey, OwnValue> {
    let mut entries = BTreeMap::new();
    for last in numbers {
        for port in [0, PORT] {
            let key = OwnKey {
                address: mapped([192, 0, 2, last]),
                interface: LOOPBACK,
                outer_vlan: 0,
                inner_vlan: 0,
                port,
                unused: [0; 3],
            };
            entries.insert(key, OwnValue { mac: MACS.1, mtu });
        }
    }
    entries
}

/// A program on the loopback interface of a namespace, and what it says that it charges.
struct OnLoopback {
    kernel: Kernel,
    charged: Arc<Charged>,
}

impl OnLoopback {
    fn new(own: u32) -> Result<Self> {
        let guards = Guards {
            limits: limits(),
            room: Room { own, ..Room::default() },
            ..Guards::default()
        };
        let kernel = Kernel::guarded(ENVIRONMENT, false, guards)?;
        let charged: Arc<Charged> = Arc::default();
        let this = Self { kernel, charged };
        let lo = Interface {
            name: "lo".to_owned(),
            index: LOOPBACK,
            mac: MACS.1,
            mtu: 1500,
            vlan: None,
            is_veth_or_loopback: true,
            addresses: Vec::new(),
        };
        this.with(|program| {
            program.show_charged_in(Arc::clone(&this.charged));
            program.attach(&lo, Mode::Generic)
        })?;
        Ok(this)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Program) -> T) -> T {
        let program = self.kernel.planes.publisher.program();
        let mut program = program.lock();
        work(program.as_mut().expect("a program"))
    }

    /// Which of the addresses the program answers for.
    fn answered(&self) -> Result<HashSet<u8>> {
        let mut found = HashSet::new();
        for last in 0..64 {
            let query = Query::new(&wire_name("www.example.org"), 1).build();
            let mut frame: UdpFrame = frame(false, &[], query);
            frame.destination.set_ip(Ipv4Addr::new(192, 0, 2, last).into());
            let bytes = frame.build();
            match check(&bytes, &self.kernel.run(&bytes)?).map_err(anyhow::Error::msg)? {
                Fate::Answered(_) => {
                    found.insert(last);
                }
                Fate::Passed => {}
                Fate::Dropped => anyhow::bail!("192.0.2.{last} is dropped"),
            }
        }
        Ok(found)
    }

    fn charged(&self) -> HashSet<u8> {
        let charged = self.charged.load();
        let v4 = charged.iter().filter_map(|(index, address)| match address {
            IpAddr::V4(address) if *index == LOOPBACK => Some(address.octets()[3]),
            _ => None,
        });
        v4.collect()
    }
}

#[test]
fn own_addresses_beyond_the_room_pass_and_are_charged_by_sockets() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("own")?;
    namespace.enter(|| {
        // Room for ten addresses with one port.
        let test = OnLoopback::new(21)?;
        let report = test.with(|program| program.set_own(entries(1..=15, 1500)));
        assert_eq!((report.held, report.left_out, report.capacity), (10, 5, 21));
        ensure!(report.error.is_none() && report.stale.is_empty(), "{report:?}");
        assert_eq!(test.answered()?, (1..=10).collect());
        assert_eq!(test.charged(), (1..=10).collect());
        ensure!(test.with(|program| program.lacks_room()));
        // Those that are answered stay, whatever comes before them.
        let report = test.with(|program| program.set_own(entries(0..=12, 1500)));
        assert_eq!((report.held, report.left_out), (10, 3));
        assert_eq!(test.answered()?, (1..=10).collect());
        let report = test.with(|program| program.set_own(entries(8..=15, 1500)));
        assert_eq!((report.held, report.left_out), (8, 0));
        assert_eq!(test.answered()?, (8..=15).collect());
        assert_eq!(test.charged(), (8..=15).collect());
        ensure!(!test.with(|program| program.lacks_room()));
        Ok(())
    })
}

#[test]
fn whatever_call_fails_nothing_wrong_is_answered_or_left_uncharged() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("own")?;
    namespace.enter(|| {
        let test = OnLoopback::new(1000)?;
        let (before, after) = (entries(1..=6, 1500), entries(4..=9, 1400));
        let mut seen = HashSet::new();
        // The first call fails, then the second one, and so on, until all have; from there on all later ones, or just
        // that one.
        for failing in 0.. {
            let mut is_last = true;
            for all_later in [false, true] {
                test.with(|program| program.inject(Faults::default()));
                let report = test.with(|program| program.set_own(before.clone()));
                ensure!(report.error.is_none(), "{report:?}");
                assert_eq!(test.answered()?, (1..=6).collect(), "made good after a fault");
                let calls = Arc::new(AtomicU32::new(0));
                let counting = Arc::clone(&calls);
                let hit = Arc::new(std::sync::Mutex::new(None));
                let hit_seam = Arc::clone(&hit);
                test.with(|program| {
                    program.inject(Faults::new(move |seam| {
                        let call = counting.fetch_add(1, Ordering::Relaxed);
                        let fails = call == failing || all_later && call > failing;
                        if fails {
                            hit_seam.lock().expect("no panic").get_or_insert(seam);
                        }
                        fails.then_some(Errno::E2BIG)
                    }));
                });
                let report = test.with(|program| program.set_own(after.clone()));
                let Some(seam) = *hit.lock().expect("no panic") else {
                    break;
                };
                is_last = false;
                seen.insert(format!("{seam:?}"));
                ensure!(
                    report.error.is_some(),
                    "call {failing} failed and nobody says so: {report:?}"
                );
                let (answered, charged) = (test.answered()?, test.charged());
                assert_eq!(answered, charged, "call {failing}, {seam:?}, {all_later}: {report:?}");
                let wrong: Vec<_> = answered.iter().filter(|last| !(4..=9).contains(*last)).collect();
                ensure!(
                    wrong.is_empty() || report.stale.contains(&LOOPBACK),
                    "call {failing}, {seam:?}: {wrong:?} answered, and not known to be: {report:?}"
                );
            }
            if is_last {
                break;
            }
        }
        assert_eq!(seen.len(), 3, "every kind of call has failed: {seen:?}");
        Ok(())
    })
}

/// Tables of a program at interfaces of a namespace.
struct Attached {
    planes: Planes,
    charged: Arc<Charged>,
    world: World,
    ends: Vec<End>,
}

type Fails = Arc<dyn Fn(Seam) -> Option<Errno> + Send + Sync>;

/// What programs of a second and later tables fail to do.
#[derive(Clone, Default)]
struct Plan(Arc<std::sync::Mutex<Option<Fails>>>);

impl Attached {
    fn new(plan: &Plan) -> Result<Self> {
        let (client, host) = (Namespace::new("client")?, Namespace::new("server")?);
        let world = World { client, host };
        let ends: Vec<End> = (0..2)
            .map(|which| Ok(world.join(which)?.second))
            .collect::<Result<_>>()?;
        let plan = plan.clone();
        let loader: Loader = Box::new(move |keys, sizes| {
            let settings = Settings {
                lines: sizes.lines,
                ports: Settings::quick_ports([PORT]),
                ..Settings::DEFAULT
            };
            let constants = Constants {
                settings,
                limits: limits(),
                room: Room::default(),
                tap: TapSettings::OFF,
            };
            let (mut program, memory) = Program::load(object()?, &constants, keys, sizes)?;
            if let Some(fails) = plan.0.lock().expect("no panic").clone() {
                program.inject(Faults::new(move |seam| fails(seam)));
            }
            Ok((Some(program), memory))
        });
        let planes = Planes::new(loader, ENVIRONMENT, false)?;
        let charged: Arc<Charged> = Arc::default();
        let interfaces: Vec<Interface> = ends.iter().map(interface).collect();
        let indexes: Vec<u32> = ends.iter().map(|end| end.index).collect();
        let listen = Listen {
            address: None,
            port: PORT,
        };
        {
            let program = planes.publisher.program();
            let mut program = program.lock();
            let program = program.as_mut().context("a program")?;
            program.show_charged_in(Arc::clone(&charged));
            for interface in &interfaces {
                world.host.enter(|| Ok(program.attach(interface, Mode::Generic)?))?;
            }
            let report = program.set_own(own::entries(&interfaces, &indexes, &[listen]));
            ensure!(report.error.is_none(), "{report:?}");
        }
        Ok(Self {
            planes,
            charged,
            world,
            ends,
        })
    }

    /// Publishes what takes a larger table; whether there is one.
    fn grow(&mut self, names: usize) -> Result<bool> {
        let lines = self.planes.served.table().memory.sizes.lines;
        let records = (0..names).map(|number| {
            let rrset = RrSet {
                rtype: RecordType::A,
                ttl: 300,
                rdatas: [[192, 0, 2, 1]].into(),
                origin: Origin::config(),
                handling: Handling::default(),
            };
            (name(&format!("n{number}.example.org.")), rrset)
        });
        let change = Change::config_records(records.collect());
        let namespace = &self.world.host;
        let planes = &mut self.planes;
        // An error says that a larger table was refused.
        let _ = namespace.enter(|| planes.apply(vec![change]));
        Ok(self.planes.served.table().memory.sizes.lines > lines)
    }

    /// At which of the two the program is, as it says, as the kernel says, and as far as it charges.
    fn at(&self) -> Result<[Vec<usize>; 3]> {
        let program = self.planes.publisher.program();
        let program = program.lock();
        let program = program.as_ref().context("a program")?;
        let said: Vec<u32> = program.interfaces().map(|(_, index, _)| index).collect();
        let charged = self.charged.load();
        let mut at = [Vec::new(), Vec::new(), Vec::new()];
        for (which, end) in self.ends.iter().enumerate() {
            let address = NETWORKS[which].1;
            for (found, is_so) in at.iter_mut().zip([
                said.contains(&end.index),
                self.world.has_xdp(which).unwrap_or(false),
                charged.contains(&(end.index, address.into())),
            ]) {
                if is_so {
                    found.push(which);
                }
            }
        }
        Ok(at)
    }
}

fn interface(end: &End) -> Interface {
    Interface {
        name: end.device.clone(),
        index: end.index,
        mac: end.mac,
        mtu: 1500,
        vlan: None,
        is_veth_or_loopback: true,
        addresses: end.addresses.clone(),
    }
}

#[test]
fn each_link_is_taken_over_on_its_own() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let both = || [vec![0, 1], vec![0, 1], vec![0, 1]];
    let first = || [vec![0], vec![0], vec![0]];
    // One interface is gone, and nobody has looked yet.
    let plan = Plan::default();
    let mut test = Attached::new(&plan)?;
    assert_eq!(test.at()?, both());
    test.world.host.ip(&["link", "delete", "s1"])?;
    ensure!(test.grow(3000)?, "a larger table");
    assert_eq!(test.at()?, first());
    ensure!(test.grow(30_000)?, "and another one");
    assert_eq!(test.at()?, first());

    let fail = |plan: &Plan, fails: Option<Fails>| *plan.0.lock().expect("no panic") = fails;
    let mut test = Attached::new(&plan)?;
    let second = test.ends[1].index;
    // The kernel does not replace one, which is attached anew.
    let replace: Fails = Arc::new(move |seam| (seam == Seam::LinkReplace(second)).then_some(Errno::EIO));
    fail(&plan, Some(replace));
    ensure!(test.grow(3000)?, "a larger table");
    assert_eq!(test.at()?, both());
    // Neither that: it is lost, and sockets charge what comes there.
    let fails_all: Fails = Arc::new(move |seam| {
        (seam == Seam::LinkReplace(second) || seam == Seam::LinkCreate(second)).then_some(Errno::ENOMEM)
    });
    fail(&plan, Some(fails_all));
    ensure!(test.grow(30_000)?, "a larger table");
    assert_eq!(test.at()?, first());

    // The kernel replaces none: all is as it was, with what is served from the old table.
    fail(&plan, None);
    let mut test = Attached::new(&plan)?;
    let none: Fails = Arc::new(|seam| matches!(seam, Seam::LinkReplace(_)).then_some(Errno::EPERM));
    fail(&plan, Some(none));
    ensure!(!test.grow(3000)?, "no larger table");
    assert_eq!(test.at()?, both());
    // The new program has no addresses: it answers for none, and sockets charge all.
    let no_addresses: Fails = Arc::new(|seam| (seam == Seam::OwnInsert).then_some(Errno::ENOMEM));
    fail(&plan, Some(no_addresses));
    test.planes.publisher.retry_growth_at_once();
    ensure!(test.grow(30_000)?, "a larger table");
    assert_eq!(test.at()?, [vec![0, 1], vec![0, 1], vec![]]);
    Ok(())
}

#[test]
fn what_the_kernel_says_is_in_the_error() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let (client, host) = (Namespace::new("client")?, Namespace::new("server")?);
    let options = VethOptions {
        mtu: 9000,
        ..VethOptions::default()
    };
    let pair = VethPair::new((&client, "c0"), (&host, "s0"), &options)?;
    let mut kernel = Kernel::new(ENVIRONMENT, false)?;
    kernel.apply(Vec::new())?;
    let shared = kernel.planes.publisher.program();
    let mut shared = shared.lock();
    let program = shared.as_mut().context("a program")?;
    // As a card's: native mode first.
    let card = Interface {
        mtu: 9000,
        is_veth_or_loopback: false,
        ..interface(&pair.second)
    };
    let error = host
        .enter(|| Ok(program.attach(&card, Mode::Native)))?
        .expect_err("too large an MTU");
    let text = error.to_string();
    ensure!(matches!(error, AttachError::NotNative { .. }), "{text}");
    ensure!(text.contains("ERANGE") || text.contains("EINVAL"), "{text}");
    ensure!(text.contains("Peer MTU is too large to set XDP"), "{text}");
    ensure!(
        !host.ip(&["link", "show", "s0"])?.contains("xdp"),
        "asking why leaves nothing"
    );
    ensure!(
        text.contains("MTU, 9000") && text.contains("ip link set dev s0 mtu"),
        "{text}"
    );
    // `auto` takes the other way.
    let mode = host.enter(|| Ok(program.attach(&card, Mode::Auto)?))?;
    assert_eq!(mode, "generic");
    for mode in [Mode::Auto, Mode::Generic, Mode::Native] {
        let error = host
            .enter(|| Ok(program.attach(&card, mode)))?
            .expect_err("it is taken");
        ensure!(matches!(error, AttachError::Busy(_)) || mode == Mode::Native, "{error}");
    }
    let nowhere = Interface { index: 999, ..card };
    let error = host
        .enter(|| Ok(program.attach(&nowhere, Mode::Auto)))?
        .expect_err("there is none");
    ensure!(matches!(error, AttachError::NoInterface(_)), "{error}");
    assert_eq!(program.interfaces().count(), 1);
    program.detach(pair.second.index);
    ensure!(!host.ip(&["link", "show", "s0"])?.contains("xdp"));
    Ok(())
}

#[test]
fn thousands_of_prefixes_are_no_reason_not_to_start() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let world = World::new()?;
    let prefixes = |first: u8, count: u32| -> String {
        let all: Vec<String> = (0..count)
            .map(|at| format!("{first}.{}.{}.{}/32", at >> 16, at >> 8 & 255, at & 255))
            .collect();
        all.join(", ")
    };
    let more = format!(
        "acl: {{deny: [{}, 10.82.0.0/24]}}\nrate_limit: \
         {{enabled: true, rate: 1, burst: 1, exempt: [{}, 10.81.0.0/24]}}\n\
         views: [{{name: far, clients: [{}]}}]\nrecords: [{{name: f.example.net, type: A, value: [192.0.2.9], view: \
         far}}]\n",
        prefixes(100, 66_000),
        prefixes(101, 3000),
        prefixes(102, 3000),
    );
    let server = Server::start_in(&world.host, "s0, s1", &more)?;
    ensure!(!server.log().contains("XDP is off"), "{}", server.log());
    let port = server.dns.port();
    let allowed = socket(&world.client, NETWORKS[0].0, (NETWORKS[0].1, port).into())?;
    let denied = socket(&world.client, NETWORKS[1].0, (NETWORKS[1].1, port).into())?;
    for _ in 0..5 {
        let reply = ask(&allowed)?;
        ensure!(reply.ends_with(&[192, 0, 2, 80]), "no limit is for it: {reply:02x?}");
    }
    let reply = ask(&denied)?;
    assert_eq!(reply[3] & 15, 5, "REFUSED: {reply:02x?}");
    let metric = |name: &str| world.host.enter(|| server.metric(name));
    assert_eq!(metric("hotdns_xdp_answers_total")?, 6.0, "all from XDP");
    assert_eq!(
        metric("hotdns_acl_denied_total{action=\"refused\",plane=\"xdp\"}")?,
        1.0
    );
    Ok(())
}

/// Bits of capabilities(7).
const DAC: u64 = 1 << 1 | 1 << 2;
const NET_ADMIN: u64 = 1 << 12;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

#[test]
fn every_thread_gives_up_what_it_does_not_need() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let world = World::new()?;
    for (more, kept) in [("s0", DAC | NET_ADMIN | PERFMON | BPF), ("", DAC)] {
        let server = Server::start_in(&world.host, more, "")?;
        let threads = server.capabilities()?;
        ensure!(threads.len() > 3, "{threads:?}");
        for (thread, capabilities) in &threads {
            let kept = if thread.starts_with("dns-") { 0 } else { kept };
            ensure!(capabilities & !kept == 0, "{thread} has {capabilities:#x} of {kept:#x}");
        }
        ensure!(
            threads.iter().any(|(thread, _)| thread.starts_with("dns-")),
            "{threads:?}"
        );
        if more.is_empty() {
            continue;
        }
        // What is kept does for a new table, and for an interface that comes back.
        let lines = world.host.enter(|| server.metric("hotdns_table_lines"))?;
        let mut zone = String::from(tests::server::ZONE);
        (0..3000).for_each(|at| zone.push_str(&format!("n{at} A 192.0.2.1\n")));
        server.write("example.com.zone", &zone)?;
        let reply = world.host.enter(|| server.request("POST", "/api/v1/reload", None))?;
        ensure!(reply.status == 200, "{reply:?}");
        let larger = world.host.enter(|| server.metric("hotdns_table_lines"))?;
        ensure!(larger > lines && world.has_xdp(0)?, "{}", server.log());
        world.host.ip(&["link", "delete", "s0"])?;
        world.join(0)?;
        eventually("attached again", || world.has_xdp(0))?;
    }
    Ok(())
}

#[test]
fn without_membarrier_slots_are_used_again_all_the_same() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let world = World::new()?;
    for (interface, says) in [("s0", true), ("", false)] {
        let server = Server::start_forbidding(libc::SYS_membarrier, &world.host, interface, "")?;
        assert_eq!(server.log().contains("a map of maps is used"), says, "{}", server.log());
        let metric = |name: &str| world.host.enter(|| server.metric(name));
        let bytes = metric("hotdns_table_bytes")?;
        // Each takes another slot, and there are some thousand of them.
        for at in 0..40 {
            let mut zone = String::from(tests::server::ZONE);
            (0..100).for_each(|name| zone.push_str(&format!("n{name} TXT text{at}\n")));
            server.write("example.com.zone", &zone)?;
            let reply = world.host.enter(|| server.request("POST", "/api/v1/reload", None))?;
            ensure!(reply.status == 200, "{reply:?}");
        }
        assert_eq!(metric("hotdns_table_bytes")?, bytes, "no new table was needed");
        assert_eq!(metric("hotdns_table_unplaced")?, 0.0);
        let socket = socket(&world.client, NETWORKS[0].0, (NETWORKS[0].1, server.dns.port()).into())?;
        ensure!(ask(&socket)?.ends_with(&[192, 0, 2, 80]));
    }
    Ok(())
}

#[test]
fn what_passes_unread_is_charged_where_sockets_would_not() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let interval_ns = 100 * 86_400 * 1_000_000_000;
    let two_at_once = Limits {
        prefix: Pace {
            interval_ns,
            tolerance_ns: interval_ns,
        },
        secret: [1, 2],
        ..Limits::NONE
    }
    .with_prefixes(24, 56);
    let query = Query::new(&wire_name("www.example.org"), 1).build();
    let v4 = frame(false, &[], query.clone());
    let v6 = frame(true, &[], query);
    let ip = 14;
    // Octets behind the datagram that the IP header counts: the kernel cuts them off, and gives the rest to a socket.
    let mut padded = v4.build();
    padded.extend([0; 4]);
    let total = (padded.len() - ip) as u16;
    padded[ip + 2..ip + 4].copy_from_slice(&total.to_be_bytes());
    set_checksum(&mut padded[ip..ip + 20]);
    let mut other_mac = v4.build();
    other_mac[..6].copy_from_slice(&[0xFF; 6]);
    let mut no_port = v4.clone();
    no_port.source.set_port(0);
    let mut longer = v6.build();
    longer.extend([0; 4]);
    let payload = (longer.len() - ip - 40) as u16;
    longer[ip + 4..ip + 6].copy_from_slice(&payload.to_be_bytes());
    // Six destination options headers.
    let mut headers = v6.build();
    let options: Vec<u8> = (0..6)
        .flat_map(|at| [if at == 5 { 17 } else { 60 }, 0, 1, 4, 0, 0, 0, 0])
        .collect();
    headers.splice(ip + 40..ip + 40, options);
    let payload = (headers.len() - ip - 40) as u16;
    headers[ip + 4..ip + 6].copy_from_slice(&payload.to_be_bytes());
    headers[ip + 6] = 60;
    let cases = [
        ("length", padded),
        ("mac_address", other_mac),
        ("source", no_port.build()),
        ("length over IPv6", longer),
        ("many headers", headers),
    ];
    for (case, bytes) in cases {
        let guards = Guards {
            limits: two_at_once,
            ..Guards::default()
        };
        let kernel = Kernel::guarded(ENVIRONMENT, false, guards)?;
        let fate = || check(&bytes, &kernel.run(&bytes)?).map_err(anyhow::Error::msg);
        for expected in [Fate::Passed, Fate::Passed, Fate::Dropped, Fate::Dropped] {
            assert_eq!(fate()?, expected, "{case}");
        }
        // Without limits all of it passes.
        let kernel = Kernel::new(ENVIRONMENT, false)?;
        assert_eq!(
            check(&bytes, &kernel.run(&bytes)?).map_err(anyhow::Error::msg)?,
            Fate::Passed
        );
    }
    ensure!(!CLIENT.0.is_unspecified());
    Ok(())
}

fn set_checksum(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum: u32 = header
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    let folded = !(((folded & 0xFFFF) + (folded >> 16)) as u16);
    header[10..12].copy_from_slice(&folded.to_be_bytes());
}
