//! Runs in the guest of `cargo xtask test --kernels`: does this kernel load the XDP program, and does it answer there?

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use dns_common::address::{OwnKey, OwnValue, mapped};
use dns_common::limit::{Limits, Pace};
use dns_common::settings::Settings;
use dns_common::tap::TapSettings;
use dns_userspace::answer::{CookieSource, Environment, Outcome, respond};
use dns_userspace::cookies::Secrets;
use dns_userspace::lines::CompileOptions;
use dns_userspace::model::access::{Access, AccessList};
use dns_userspace::model::name::Name;
use dns_userspace::model::rdata::parse_value;
use dns_userspace::model::record::{Handling, RecordType, RrSet};
use dns_userspace::model::source::{Origin, SourceId};
use dns_userspace::model::views::ViewClients;
use dns_userspace::serve::object;
use dns_userspace::serve::xdp::{Constants, Program, Room};
use dns_userspace::serve::xdp::{Publisher, SharedProgram};
use dns_userspace::store::{Change, ConfiguredView, Store};
use ipnet::IpNet;
use tests::planes::COOKIES;

/// `enum xdp_action` (include/uapi/linux/bpf.h).
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
/// BPF_PROG_TEST_RUN without a context runs as if on the loopback interface.
const LOOPBACK: u32 = 1;
const SERVER: [u8; 4] = [192, 0, 2, 1];
const CLIENT: [u8; 4] = [192, 0, 2, 2];
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

const ENVIRONMENT: Environment<'_> = Environment {
    cookies: CookieSource {
        client: std::net::IpAddr::V4(std::net::Ipv4Addr::new(CLIENT[0], CLIENT[1], CLIENT[2], CLIENT[3])),
        ..COOKIES
    },
    ..Environment::DEFAULT
};

fn main() -> Result<()> {
    for (everything, orders_loads) in [(false, false), (true, false), (true, true)] {
        println!(
            "{}{}:",
            match everything {
                true =>
                    "access lists, rate limits, views, counts by zone, an upstream, kept answers, a query log and an \
                     NSID",
                false => "nothing configured",
            },
            if orders_loads { ", with loads kept in order" } else { "" }
        );
        probe(everything, orders_loads)?;
    }
    Ok(())
}

/// Loads the program, with `everything` that can be configured or nothing of it, and asks it. The client is not one
/// whom a list or a view is for.
fn probe(everything: bool, orders_loads: bool) -> Result<()> {
    let object = object::OBJECT.context(object::ABSENT)?;
    let far: IpNet = "203.0.113.0/24".parse()?;
    let list = move |denied| AccessList::new(&[], &[far], denied);
    let loader = Box::new(move |keys: &_, sizes: dns_userspace::table::Sizes| {
        let on = u16::from(everything);
        let settings = Settings {
            lines: sizes.lines,
            has_access: on,
            has_upstream: on,
            has_nsid: on,
            per_zone: on,
            orders_loads: orders_loads.into(),
            ..Settings::DEFAULT
        };
        let pace = Pace::new(1_000_000_000, 1_000_000);
        let limits = Limits {
            prefix: pace,
            global: pace,
            secret: [1, 2],
            slip: 2,
            has_exempt: 1,
            ..Limits::NONE
        };
        let limits = if everything {
            limits.with_prefixes(24, 56)
        } else {
            Limits::NONE
        };
        let constants = Constants {
            settings,
            limits,
            room: Room {
                hot: if everything { 64 } else { 0 },
                ..Room::default()
            },
            tap: match everything {
                true => TapSettings { one_in: 3, whole: 1 },
                false => TapSettings::OFF,
            },
        };
        let (mut program, memory) = Program::load(object, &constants, keys, sizes)?;
        if everything {
            let exempt = AccessList::new(&[far], &[], Access::Refused);
            program.set_access(Some(&list(Access::Refused)), Some(&exempt))?;
            program.set_recursion(&[far])?;
        }
        Ok((Some(program), memory))
    });
    let mut publisher = Publisher::new(loader, CompileOptions::of(&ENVIRONMENT, everything))?;
    let mut store = Store::new();
    let mut changes = vec![Change::PutZone {
        source: SourceId::zone_files(),
        apex: name("example.com."),
        content: Ok(vec![
            rrset(
                "example.com.",
                "SOA",
                "ns1.example.com. hostmaster.example.com. 7 7200 3600 1209600 300",
            )?,
            rrset("www.example.com.", "A", "192.0.2.80")?,
            rrset(
                "www.example.com.",
                "TXT",
                "a text of some length, which does not fit a line of the table",
            )?,
        ]),
    }];
    if everything {
        let (owner, mut viewed) = rrset("www.example.com.", "A", "192.0.2.81")?;
        viewed.origin = Origin::config();
        let view = ViewClients {
            name: "far".into(),
            clients: vec![far],
        };
        changes.push(Change::Views(vec![ConfiguredView {
            view,
            records: vec![(owner, viewed)],
        }]));
        changes.push(Change::Access(vec![(
            name("example.com."),
            Arc::new(list(Access::Dropped)),
        )]));
    }
    let plan = store.plan(changes);
    publisher.publish(&plan.snapshot, &plan.delta, &[]);
    store.commit(&plan);

    let program = publisher.program();
    with_program(&program, |program| {
        let value = OwnValue { mac: MAC, mtu: 1500 };
        let key = OwnKey {
            address: mapped(SERVER),
            interface: LOOPBACK,
            outer_vlan: 0,
            inner_vlan: 0,
            port: 53,
            unused: [0; 3],
        };
        let report = program.set_own(BTreeMap::from([(key, value)]));
        ensure!(report.error.is_none(), "{report:?}");
        let secrets = Secrets {
            current: COOKIES.secret,
            previous: COOKIES.secret,
        };
        program.set_cookies(COOKIES.seconds, &secrets)?;
        let info = xdp(program)?.info().context("no program info")?;
        println!("verified instructions: {:?}", info.verified_instruction_count());
        Ok(())
    })?;

    let arp = arp_request();
    let (verdict, frame) = run(&program, &arp)?;
    ensure!(
        verdict == XDP_PASS && frame == arp,
        "an ARP frame: verdict {verdict}, or it is changed"
    );
    println!("passes what is not DNS, unchanged");

    let served = publisher.served();
    for (qname, qtype) in [
        ("www.example.com.", 1),
        ("www.example.com.", 16),
        ("nope.example.com.", 1),
    ] {
        let query = with_cookie(query(&name(qname), qtype));
        let mut expected = Vec::new();
        let outcome = respond(&query, &served.snapshot(), &*served, &ENVIRONMENT, &mut expected);
        ensure!(matches!(outcome, Outcome::Reply), "the reference answerer has no reply");
        let (verdict, frame) = run(&program, &frame_of(&query))?;
        ensure!(verdict == XDP_TX, "{qname} {qtype}: verdict {verdict}, not XDP_TX");
        ensure!(
            frame[42..] == expected,
            "{qname} {qtype}: another answer than the reference answerer's"
        );
        println!("answers {qname} type {qtype} as the reference answerer does");
    }
    if everything {
        let zone = served.snapshot().zones.values().next().context("a zone")?.index;
        let counted = with_program(&program, |program| Ok(program.zone_counters(zone)?))?;
        ensure!(counted == [2, 1, 0, 0], "counted {counted:?} for the zone");
        println!("counts by zone");
    }
    Ok(())
}

fn name(text: &str) -> Name {
    text.parse().expect("a constant name")
}

fn rrset(owner: &str, rtype: &str, value: &str) -> Result<(Name, RrSet)> {
    let rtype: RecordType = rtype.parse()?;
    let rdatas = [parse_value(rtype, value)?].into();
    let source = Origin::zone_file("probe");
    Ok((
        name(owner),
        RrSet {
            rtype,
            ttl: 300,
            rdatas,
            origin: source,
            handling: Handling::default(),
        },
    ))
}

fn with_program<T>(shared: &SharedProgram, act: impl FnOnce(&mut Program) -> Result<T>) -> Result<T> {
    match &mut *shared.lock() {
        Some(program) => act(program),
        None => bail!("no program is loaded"),
    }
}

fn xdp(program: &mut Program) -> Result<&mut Xdp> {
    let program = program
        .ebpf_mut()
        .program_mut("hotdns")
        .context("the object has no program `hotdns`")?;
    program.try_into().context("not XDP")
}

fn run(shared: &SharedProgram, frame: &[u8]) -> Result<(u32, Vec<u8>)> {
    with_program(shared, |program| {
        let mut out = vec![0; 4096];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ..TestRunOptions::new()
        };
        let result = xdp(program)?.test_run(options).context("BPF_PROG_TEST_RUN fails")?;
        out.truncate(result.data_size_out as usize);
        Ok((result.return_value, out))
    })
}

/// A query with RD and without OPT.
fn query(name: &Name, qtype: u8) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(name.as_wire());
    query.extend_from_slice(&[0, qtype, 0, 1]);
    query
}

/// The same with a client cookie in its OPT.
fn with_cookie(mut query: Vec<u8>) -> Vec<u8> {
    query[11] = 1;
    query.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08client!!");
    query
}

/// Ethernet, IPv4 and UDP (without a checksum, as RFC 768 allows) around a message.
fn frame_of(message: &[u8]) -> Vec<u8> {
    let udp_bytes = (8 + message.len()) as u16;
    let mut ip = vec![0x45, 0];
    ip.extend_from_slice(&(20 + udp_bytes).to_be_bytes());
    ip.extend_from_slice(&[0, 1, 0, 0, 64, 17, 0, 0]);
    ip.extend_from_slice(&CLIENT);
    ip.extend_from_slice(&SERVER);
    let sum = !dns_common::checksum::of_bytes(&ip);
    ip[10..12].copy_from_slice(&sum.to_le_bytes());

    let mut frame = MAC.to_vec();
    frame.extend_from_slice(&[2, 0, 0, 0, 0, 2, 0x08, 0x00]);
    frame.extend_from_slice(&ip);
    frame.extend_from_slice(&[0x9C, 0x40, 0, 53]);
    frame.extend_from_slice(&udp_bytes.to_be_bytes());
    frame.extend_from_slice(&[0, 0]);
    frame.extend_from_slice(message);
    frame
}

/// A broadcast ARP request, padded as on the wire.
fn arp_request() -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    frame[12..22].copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame
}
