//! The XDP program by `BPF_PROG_TEST_RUN`: its object, exact frames, every reason to pass, and the comparison with the
//! reference answerer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;

use anyhow::{Context, Result, ensure};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use dns_common::limit::{Limits, Pace};
use dns_common::line::{LACKING, LINE_WORDS, OVERFLOW, Reference};
use dns_common::order::Prefixes;
use dns_common::reason::{DropReason, PassReason};
use dns_common::reply::Reply;
use dns_common::slot::CLASS_BYTES;
use dns_common::table::{Table, word};
use dns_common::tap::TapSettings;
use dns_userspace::answer::{Environment, Identity};
use dns_userspace::model::access::{Access, AccessList};
use dns_userspace::model::name::Name;
use dns_userspace::model::record::{Handling, Order, RecordType, RrSet, Wildcard};
use dns_userspace::model::source::{Origin, SourceId};
use dns_userspace::model::views::ViewClients;
use dns_userspace::serve::xdp::Room;
use dns_userspace::store::{Change, ConfiguredView};
use dns_userspace::zonefile;
use ipnet::IpNet;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tests::bench::fuzz::{self, Fate, Oracle, Surface, check};
use tests::differential::{Length, asked_for, first_seed, over_seeds};
use tests::frames::{Edns, Query, UdpChecksum, UdpFrame, internet_checksum, wire_name};
use tests::kernel::{CLIENT, Guards, Kernel, MACS, OWN, PLACES, PORT, frame, is_skipped, object};
use tests::planes::{COOKIES, Compared, Tally};
use tests::queries::{Names, TYPES, mutated, well_formed};
use tests::testrun::{TestRun, Verdict};
use tests::zones::{Generator, describe, name};

/// Verified instructions, whatever is configured. Measured: about 82,000 with nothing, 141,000 with everything.
const MOST_INSTRUCTIONS: u32 = 150_000;
/// Octets of stack of any one function; the kernel's limit is 512 for all that call each other.
const MOST_STACK: i64 = 256;
/// Frames of the comparison.
const CASES: u64 = 1_000_000;
/// Frames of the fuzzing.
const FUZZED: u64 = 25_000;

const ENVIRONMENT: Environment<'_> = Environment {
    udp_payload: 4096,
    cookies: COOKIES,
    ..Environment::DEFAULT
};

static NAMED: LazyLock<Identity> = LazyLock::new(|| Identity {
    nsid: Some("ns1".into()),
    ..Identity::default()
});

const ZONE: &str = r#"
$TTL 300
@          SOA    ns hostmaster 1 3600 600 86400 60
@          NS     ns
@          NS     ns.elsewhere.net.
@          MX     10 mail
@          A      192.0.2.80
ns         A      192.0.2.53
mail       A      192.0.2.25
mail       AAAA   2001:db8::25
www        A      192.0.2.80
www        AAAA   2001:db8::80
w3         A      192.0.2.81
w3         A      192.0.2.82
w3         A      192.0.2.83
w3         A      192.0.2.84
alias      CNAME  www
chain      CNAME  alias
leaves     CNAME  www.elsewhere.net.
loop       CNAME  loop2
loop2      CNAME  loop
text       TXT    "some text" "and more"
*.wild     A      192.0.2.90
*.wild     MX     10 mail
deep.wild  TXT    "beside"
*.alias.w  CNAME  www
a.b.c.ent  A      192.0.2.91
sub        NS     ns.sub
sub        NS     ns
ns.sub     A      192.0.2.54
dname      DNAME  other.example.
_sip._tcp  SRV    1 2 5060 www
many       A      192.0.2.100
many       AAAA   2001:db8::100
many       AAAA   2001:db8::101
many       MX     10 mail
many       TXT    "many"
many       SRV    0 0 1 www
many       CAA    0 issue "ca.example.net"
"#;

fn zone(more: &str) -> Result<Vec<Change>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("zone");
    let mut text = ZONE.to_owned() + more;
    for (owner, count) in [("t1000", 4), ("t1200", 5), ("t3000", 12), ("t4000", 16), ("t4200", 17)] {
        let strings = format!("\"{}\" ", "x".repeat(249)).repeat(count);
        text.push_str(&format!("{owner} TXT {strings}\n"));
    }
    std::fs::write(&path, text)?;
    let apex = name("example.org.");
    let content = zonefile::load(&path, &apex, "zone".into()).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let broken = Change::PutZone {
        source: SourceId::zone_files(),
        apex: name("broken.example."),
        content: Err("it is broken".into()),
    };
    let address = RrSet {
        rtype: RecordType::A,
        ttl: 300,
        rdatas: [[192, 0, 2, 99]].into(),
        origin: Origin::config(),
        handling: Handling::default(),
    };
    let overlay = Change::config_records(vec![(name("over.lay."), address)]);
    Ok(vec![
        Change::PutZone {
            source: SourceId::zone_files(),
            apex,
            content: Ok(content.rrsets),
        },
        broken,
        overlay,
    ])
}

fn kernel() -> Result<Kernel> {
    let mut kernel = Kernel::new(ENVIRONMENT, false)?;
    kernel.apply(zone("")?)?;
    Ok(kernel)
}

fn query(owner: &str, qtype: RecordType) -> Query {
    Query::new(&wire_name(owner), qtype.0)
}

fn with_edns(query: Query, udp_payload: u16) -> Query {
    Query {
        edns: Some(Edns {
            udp_payload,
            ..Edns::default()
        }),
        ..query
    }
}

fn load() -> Result<Ebpf> {
    let mut ebpf = EbpfLoader::new().load(object()?)?;
    let program: &mut Xdp = ebpf.program_mut("hotdns").context("no program")?.try_into()?;
    program.load()?;
    Ok(ebpf)
}

#[test]
fn object_has_its_program_and_maps() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let ebpf = load()?;
    let programs: Vec<&str> = ebpf.programs().map(|(name, _)| name).collect();
    assert_eq!(programs, ["hotdns"]);
    let expected = [
        ("LINES", "Array", 64),
        ("SLOTS_0", "Array", 96),
        ("SLOTS_1", "Array", 160),
        ("SLOTS_2", "Array", 256),
        ("SLOTS_3", "Array", 512),
        ("SLOTS_4", "Array", 1024),
        ("SLOTS_5", "Array", 2048),
        ("SLOTS_6", "Array", 4096),
        ("ZONES", "Array", 64),
        ("EPOCH", "Array", 64),
        ("OWN", "HashMap", 8),
        ("OWN_TABLE", "Array", size_of::<dns_common::address::OwnLine>() as u32),
        ("RECURSION", "LpmTrie", 1),
        ("ACCESS", "LpmTrie", 1),
        ("BUCKETS", "Array", 64),
        ("HOT_LINES", "Array", 64),
        ("HOT_BODIES", "Array", 512),
        ("HOT_ASKED", "Array", 8),
        (
            "COOKIES",
            "Array",
            size_of::<dns_common::cookie::CookieSecrets>() as u32,
        ),
        ("STATE", "PerCpuArray", size_of::<dns_common::scratch::State>() as u32),
        (
            "ZONE_COUNTERS",
            "PerCpuArray",
            size_of::<dns_common::counters::ZoneCounters>() as u32,
        ),
        ("TAP", "RingBuf", 0),
        ("TAP_LOST", "PerCpuArray", 8),
    ];
    let maps: BTreeSet<&str> = ebpf.maps().map(|(name, _)| name).collect();
    for (map, kind, value_bytes) in expected {
        assert!(maps.contains(map), "no map {map} among {maps:?}");
        let found = format!("{:?}", ebpf.map(map).context("just seen")?);
        assert!(found.starts_with(kind), "{map} is {found}, not {kind}");
        let info = aya::maps::loaded_maps()
            .filter_map(Result::ok)
            .find(|info| info.name_as_str() == Some(map) && info.value_size() == value_bytes);
        assert!(info.is_some(), "no {map} with values of {value_bytes} octets");
    }
    Ok(())
}

#[test]
fn program_stays_below_its_ceilings() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    // What is off the verifier removes, so nothing and everything are both looked at. That the functions that call each
    // other keep within the stack the kernel has checked once they are loaded.
    let bare = kernel()?.verified_instructions()?;
    let mut full = 0;
    // Zones of names with answers in slots of one class, for which memory is asked ahead.
    for (class, octets) in [10, 80, 180].into_iter().enumerate() {
        let texts: String = (0..100)
            .map(|number| format!("s{number} TXT {}\n", "x".repeat(octets)))
            .collect();
        let kernel = everything(&texts, class == 0)?;
        let ahead = kernel.planes.served.table().memory.sizes.ahead;
        assert!(ahead.class == class && ahead.slots > 0, "{ahead:?}");
        for (owner, qtype) in [
            ("s0.example.org", RecordType::TXT),
            ("s99.example.org", RecordType::TXT),
            ("s99.example.org", RecordType::A),
            ("s100.example.org", RecordType::TXT),
            ("www.example.org", RecordType::A),
        ] {
            let frame = frame(false, &[], query(owner, qtype).build());
            assert_eq!(kernel.compare(&frame, &frame.build())?, Compared::Equal, "{owner}");
        }
        full = full.max(kernel.verified_instructions()?);
    }
    let stack = stack_octets(object()?);
    println!(
        "{bare} verified instructions, {full} with everything on, {stack} octets of stack in the function that uses \
         most"
    );
    assert!(
        bare > 1000 && full > bare && full <= MOST_INSTRUCTIONS,
        "{bare} and {full} verified instructions"
    );
    assert!(
        stack > 0 && stack <= MOST_STACK,
        "{stack} octets of stack in one function"
    );
    Ok(())
}

/// All that can be configured, which nothing that is asked comes to feel. `more` lines of the zone.
fn everything(more: &str, orders_loads: bool) -> Result<Kernel> {
    let environment = Environment {
        identity: Some(&NAMED),
        recursion_available: true,
        ..ENVIRONMENT
    };
    let far: IpNet = "203.0.113.0/24".parse()?;
    let guards = Guards {
        access: Some(AccessList::new(&[], &[far], Access::Refused)),
        limits: Limits {
            prefix: Pace::new(1_000_000_000, 1_000_000),
            global: Pace::new(1_000_000_000, 1_000_000),
            secret: [1, 2],
            slip: 2,
            ..Limits::NONE
        }
        .with_prefixes(24, 56),
        exempt: Some(AccessList::new(&[far], &[], Access::Refused)),
        per_zone: true,
        orders_loads,
        tap: TapSettings { one_in: 3, whole: 1 },
        room: Room {
            hot: 64,
            ..Room::default()
        },
    };
    let mut kernel = Kernel::guarded(environment, true, guards)?;
    kernel.apply(zone(more)?)?;
    let view = ViewClients {
        name: "far".into(),
        clients: vec![far],
    };
    kernel.apply(vec![
        Change::Views(vec![ConfiguredView {
            view,
            records: Vec::new(),
        }]),
        Change::Access(vec![(
            name("example.org."),
            Arc::new(AccessList::new(&[], &[far], Access::Dropped)),
        )]),
    ])?;
    Ok(kernel)
}

#[test]
fn everything_at_once_is_answered_and_counted() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    for orders_loads in [false, true] {
        let kernel = everything("", orders_loads)?;
        let cookie = || Edns {
            options: vec![0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
            ..Edns::default()
        };
        for (asked, is_ipv6) in (1..).zip([false, true]) {
            for (owner, qtype) in [
                ("www.example.org", RecordType::A),
                ("text.example.org", RecordType::TXT),
                ("nx.example.org", RecordType::A),
            ] {
                let query = Query {
                    edns: Some(cookie()),
                    ..query(owner, qtype)
                };
                let frame = frame(is_ipv6, &[], query.build());
                assert_eq!(kernel.compare(&frame, &frame.build())?, Compared::Equal, "{owner}");
            }
            let snapshot = kernel.planes.served.snapshot();
            let zone = snapshot
                .zones
                .get(&name("example.org.").key())
                .context("the zone")?
                .index;
            let program = kernel.planes.publisher.program();
            let counted = program.lock().as_ref().context("a program")?.zone_counters(zone)?;
            assert_eq!(counted, [2 * asked, asked, 0, 0]);
        }
    }
    Ok(())
}

#[test]
fn priority_tags_are_no_vlan() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let kernel = kernel()?;
    let query = query("www.example.org", RecordType::A).build();
    // The upper four bits are priority and drop eligibility.
    for vlans in [
        &[0][..],
        &[0xE000],
        &[0, 0x2000],
        &[0x6007],
        &[0, 7],
        &[7, 0],
        &[7, 8],
        &[0xF007, 0x5008],
    ] {
        for is_ipv6 in [false, true] {
            let frame = frame(is_ipv6, vlans, query.clone());
            let what = || format!("{vlans:x?}, IPv6 {is_ipv6}");
            let bytes = frame.build();
            assert_eq!(
                kernel.compare(&frame, &bytes).with_context(what)?,
                Compared::Equal,
                "{}",
                what()
            );
            let reply = UdpFrame::parse(&kernel.run(&bytes)?.packet)?;
            assert_eq!(reply.vlans, vlans, "the reply keeps its tags");
        }
    }
    for vlans in [&[0, 8][..], &[8, 0], &[0x1000 | 8]] {
        let bytes = frame(false, vlans, query.clone()).build();
        assert_eq!(kernel.pass_reason(&bytes)?, None, "{vlans:?} is not ours");
    }
    Ok(())
}

#[test]
fn recursion_is_for_the_prefixes_of_each_family() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let is_told = |prefixes: &[IpNet], is_ipv6: bool| -> Result<bool> {
        let mut kernel = Kernel::new(ENVIRONMENT, true)?;
        kernel.apply(zone("")?)?;
        let program = kernel.planes.publisher.program();
        program.lock().as_mut().context("a program")?.set_recursion(prefixes)?;
        let bytes = frame(is_ipv6, &[], query("www.example.org", RecordType::A).build()).build();
        let reply = UdpFrame::parse(&kernel.run(&bytes)?.packet)?;
        Ok(reply.payload[3] & 0x80 != 0)
    };
    for (prefixes, expected) in [
        (&[][..], [false, false]),
        (&["::/0"], [false, true]),
        (&["::/64"], [false, false]),
        (&["::ffff:0:0/96"], [false, false]),
        (&["0.0.0.0/0"], [true, false]),
        (&["::/0", "198.51.100.0/24"], [true, true]),
        (&["::/0", "198.51.101.0/24"], [false, true]),
    ] {
        let read: Result<Vec<IpNet>, _> = prefixes.iter().map(|prefix| prefix.parse()).collect();
        let read = read?;
        assert_eq!(
            [is_told(&read, false)?, is_told(&read, true)?],
            expected,
            "{prefixes:?}"
        );
    }
    // More than any default of a map.
    let many: Result<Vec<IpNet>, _> = (0..5000)
        .map(|net| format!("10.{}.{}.0/24", net >> 8, net & 255).parse())
        .collect();
    let mut many = many?;
    many.push("198.51.100.7/32".parse()?);
    assert!(is_told(&many, false)?);
    Ok(())
}

/// The deepest access below the frame pointer in any function, read off the instructions.
fn stack_octets(object: &[u8]) -> i64 {
    let word = |at: usize, bytes: usize| {
        object[at..at + bytes]
            .iter()
            .rev()
            .fold(0u64, |number, &octet| number << 8 | u64::from(octet)) as usize
    };
    let (sections, size, count) = (word(40, 8), word(58, 2), word(60, 2));
    let mut deepest = 0;
    for header in (0..count).map(|number| sections + number * size) {
        const EXECUTABLE: usize = 4;
        if word(header + 8, 8) & EXECUTABLE == 0 {
            continue;
        }
        let code = &object[word(header + 24, 8)..][..word(header + 32, 8)];
        let mut copies = [false; 16];
        for instruction in code.as_chunks::<8>().0 {
            let (opcode, to, from) = (instruction[0], instruction[1] & 15, instruction[1] >> 4);
            let offset = i64::from(i16::from_le_bytes([instruction[2], instruction[3]]));
            let [.., a, b, c, d] = *instruction;
            let constant = i64::from(i32::from_le_bytes([a, b, c, d]));
            const FRAME_POINTER: u8 = 10;
            match opcode & 7 {
                // LDX; ST and STX.
                1 if from == FRAME_POINTER => deepest = deepest.max(-offset),
                2 | 3 if to == FRAME_POINTER => deepest = deepest.max(-offset),
                // A 64-bit move from the frame pointer, then an addition of a constant.
                7 if opcode == 0xBF => copies[usize::from(to)] = from == FRAME_POINTER,
                7 if opcode == 0x07 && copies[usize::from(to)] => {
                    deepest = deepest.max(-constant);
                    copies[usize::from(to)] = false;
                }
                _ => {}
            }
        }
    }
    deepest
}

#[test]
fn answers_are_exact_frames() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let kernel = kernel()?;
    use RecordType as T;
    let questions = [
        ("www.example.org", T::A, 1),
        ("wWw.ExamPle.oRg", T::AAAA, 1),
        ("w3.example.org", T::A, 4),
        ("text.example.org", T::TXT, 1),
        ("alias.example.org", T::A, 2),
        ("alias.example.org", T::TXT, 1),
        ("chain.example.org", T::AAAA, 3),
        ("leaves.example.org", T::A, 1),
        ("loop.example.org", T::A, 2),
        ("example.org", T::MX, 1),
        ("example.org", T::SOA, 1),
        ("example.org", T::NS, 2),
        ("_sip._tcp.example.org", T::SRV, 1),
        ("www.example.org", T::MX, 0),
        ("ent.example.org", T::A, 0),
        ("c.ent.example.org", T::TXT, 0),
        ("nx.example.org", T::A, 0),
        ("very.deep.down.in.a.b.nx.example.org", T::A, 0),
        ("any.wild.example.org", T::A, 1),
        ("any.thing.at.all.wild.example.org", T::MX, 1),
        ("odd.wild.example.org", T::TXT, 0),
        ("deep.wild.example.org", T::A, 0),
        ("*.wild.example.org", T::A, 1),
        ("x.alias.w.example.org", T::A, 2),
        ("sub.example.org", T::A, 0),
        ("www.sub.example.org", T::A, 0),
        ("ns.sub.example.org", T::AAAA, 0),
        ("t1000.example.org", T::TXT, 1),
        ("t1200.example.org", T::TXT, 1),
        ("www.elsewhere.net", T::A, 0),
        ("org", T::DS, 0),
    ];
    let mut answered = 0;
    for (owner, qtype, answers) in questions {
        for edns in [None, Some((1452, false)), Some((4096, true))] {
            for (vlans, _) in PLACES {
                for is_ipv6 in [false, true] {
                    for padding in [0, 1, 18] {
                        let mut query = query(owner, qtype);
                        query.flags = 0x0100;
                        query.edns = edns.map(|(udp_payload, dnssec_ok)| Edns {
                            udp_payload,
                            dnssec_ok,
                            options: vec![0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
                            ..Edns::default()
                        });
                        let mut frame = frame(is_ipv6, vlans, query.build());
                        // DSCP 46, ECN 3: congestion experienced.
                        (frame.traffic_class, frame.ttl) = (46 << 2 | 3, 7);
                        // The checksum that came in is not looked at: it may be partial.
                        frame.checksum = UdpChecksum::Fixed(0x1234);
                        let bytes = [frame.build(), vec![0xEE; padding]].concat();
                        let what = || format!("{owner} {qtype} {edns:?} {vlans:?} IPv6 {is_ipv6} padding {padding}");
                        let outcome = kernel.run(&bytes)?;
                        let client = frame.source.ip();
                        let reference = kernel.planes.reference_to(client, &frame.payload).with_context(what)?;
                        if edns.is_none() && owner.starts_with("t1") {
                            // Too large without EDNS.
                            assert_eq!(check(&bytes, &outcome), Ok(Fate::Passed), "{}", what());
                            continue;
                        }
                        let is_fit = frame.header_length() - 14 - 4 * vlans.len() + reference.len() <= 1500;
                        if !is_fit && vlans != [9] {
                            assert_eq!(check(&bytes, &outcome), Ok(Fate::Passed), "{}", what());
                            continue;
                        }
                        assert_eq!(outcome.verdict, Verdict::Transmit, "{}", what());
                        let reply = UdpFrame::parse(&outcome.packet).with_context(what)?;
                        let expected = UdpFrame {
                            source_mac: MACS.1,
                            destination_mac: MACS.0,
                            source: frame.destination,
                            destination: frame.source,
                            ttl: 64,
                            traffic_class: 46 << 2,
                            checksum: UdpChecksum::Right,
                            payload: reference,
                            ..frame.clone()
                        };
                        assert_eq!(reply, expected, "{}", what());
                        assert_eq!(
                            outcome.packet.len(),
                            reply.header_length() + reply.payload.len(),
                            "{}",
                            what()
                        );
                        assert_eq!(reply.payload[7], answers, "{}", what());
                        answered += 1;
                    }
                }
            }
        }
    }
    ensure!(answered > 1500, "{answered}");
    Ok(())
}

#[test]
fn names_with_more_types_than_cells_are_answered() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let kernel = kernel()?;
    // Those in cells, those in the list, and none.
    for rtype in [1, 28, 15, 16, 33, 257, 4711].map(RecordType) {
        let frame = frame(false, &[], query("many.example.org", rtype).build());
        let compared = kernel.compare(&frame, &frame.build())?;
        ensure!(compared == Compared::Equal, "{rtype}: {compared:?}");
    }
    Ok(())
}

#[test]
fn views_are_answered_at_the_card() -> Result<()> {
    use RecordType as T;
    if is_skipped() {
        return Ok(());
    }
    let mut kernel = kernel()?;
    let record = |owner: &str, rtype: RecordType, value: &str| {
        let rrset = RrSet {
            rtype,
            ttl: 300,
            rdatas: [dns_userspace::model::rdata::parse_value(rtype, value).expect("a value")].into(),
            origin: Origin::config(),
            handling: Handling::default(),
        };
        (name(owner), rrset)
    };
    let view = |view: &str, clients: &[&str], records| ConfiguredView {
        view: ViewClients {
            name: view.into(),
            clients: clients.iter().map(|prefix| prefix.parse().expect("a prefix")).collect(),
        },
        records,
    };
    let office = vec![
        record("www.example.org.", T::A, "10.0.0.1"),
        record("example.org.", T::A, "10.0.0.9"),
        record("only.example.org.", T::A, "10.0.0.2"),
        record("a.b.c.example.org.", T::TXT, "deep"),
        record("*.w.example.org.", T::A, "10.0.0.3"),
        record("away.example.org.", T::CNAME, "www.example.org."),
    ];
    let lab = vec![record("www.example.org.", T::TXT, "lab")];
    kernel.apply(vec![Change::Views(vec![
        view("office", &["10.0.0.0/8", "2001:db8:a::/48"], office),
        view("lab", &["10.9.0.0/16", "2001:db8:a:9::/64"], lab),
    ])])?;
    let clients = [
        (None, "198.51.100.7", "2001:db8:1::7"),
        (Some("office"), "10.1.2.3", "2001:db8:a:1::7"),
        (Some("lab"), "10.9.2.3", "2001:db8:a:9::7"),
    ];
    // RCODE for nobody, the office, the lab.
    let questions = [
        ("www.example.org", T::A, [0, 0, 0]),
        ("www.example.org", T::AAAA, [0, 0, 0]),
        ("www.example.org", T::TXT, [0, 0, 0]),
        ("example.org", T::A, [0, 0, 0]),
        ("example.org", T::SOA, [0, 0, 0]),
        ("only.example.org", T::A, [3, 0, 3]),
        ("x.only.example.org", T::A, [3, 3, 3]),
        ("b.c.example.org", T::A, [3, 0, 3]),
        ("a.b.c.example.org", T::TXT, [3, 0, 3]),
        ("x.y.a.b.c.example.org", T::TXT, [3, 3, 3]),
        ("any.thing.w.example.org", T::A, [3, 0, 3]),
        ("*.w.example.org", T::A, [3, 0, 3]),
        ("away.example.org", T::A, [3, 0, 3]),
    ];
    for (owner, qtype, expected) in questions {
        for ((view, v4, v6), rcode) in clients.into_iter().zip(expected) {
            for (is_ipv6, client) in [(false, v4), (true, v6)] {
                let mut frame = frame(is_ipv6, &[], query(owner, qtype).build());
                frame.source.set_ip(client.parse()?);
                let what = || format!("{owner} {qtype} for {view:?}, IPv6 {is_ipv6}");
                let outcome = kernel.run(&frame.build())?;
                assert_eq!(outcome.verdict, Verdict::Transmit, "{}", what());
                let reply = UdpFrame::parse(&outcome.packet).with_context(what)?.payload;
                let reference = kernel.planes.reference_to(client.parse()?, &frame.payload);
                assert_eq!(Some(&reply), reference.as_ref(), "{}", what());
                assert_eq!(reply[3] & 0xF, rcode, "{}", what());
            }
        }
    }
    // Without views everything is as if there had never been any.
    kernel.apply(vec![Change::Views(Vec::new())])?;
    let mut frame = frame(false, &[], query("only.example.org", T::A).build());
    frame.source.set_ip("10.1.2.3".parse()?);
    let reply = UdpFrame::parse(&kernel.run(&frame.build())?.packet)?.payload;
    assert_eq!(reply[3] & 0xF, 3);
    Ok(())
}

#[test]
fn checksum_is_never_zero() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let kernel = kernel()?;
    let mut ones = 0;
    // One of 65,536 IDs brings the sum to zero, for each family.
    for is_ipv6 in [false, true] {
        let mut frame = frame(is_ipv6, &[], query("www.example.org", RecordType::A).build());
        let reply = UdpFrame::parse(&kernel.run(&frame.build())?.packet)?;
        let udp = &reply.build()[reply.header_length() - 8..];
        let sum = u16::from_be_bytes([udp[6], udp[7]]);
        // The ID that adds what is missing to all ones.
        let id = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
        let total = u32::from(id) + u32::from(sum);
        let wanted = (total as u16).wrapping_add((total >> 16) as u16);
        frame.payload[..2].copy_from_slice(&wanted.to_be_bytes());
        let outcome = kernel.run(&frame.build())?;
        let at = frame.header_length() - 2;
        ensure!(outcome.packet[at..at + 2] != [0, 0], "a checksum of zero");
        ones += u32::from(outcome.packet[at..at + 2] == [0xFF, 0xFF]);
        UdpFrame::parse(&outcome.packet)?;
    }
    assert_eq!(ones, 2, "the IDs that give all ones");
    Ok(())
}

#[test]
fn every_reason_is_reached_and_counted() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut kernel = kernel()?;
    let good = || frame(false, &[], query("www.example.org", RecordType::A).build());
    let good6 = || frame(true, &[], query("www.example.org", RecordType::A).build());
    let asking = |query: Query| frame(false, &[], query.build()).build();
    // The IPv4 header's sum is made right again.
    let with_ipv4 = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good().build();
        change(&mut bytes);
        bytes[24..26].fill(0);
        let sum = internet_checksum(&[&bytes[14..34]]);
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    let with = |mut bytes: Vec<u8>, at: usize, octet: u8| {
        bytes[at] = octet;
        bytes
    };
    let message = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = good();
        change(&mut frame.payload);
        frame.build()
    };
    let from = |source: &str| {
        UdpFrame {
            source: source.parse().expect("an address"),
            ..good()
        }
        .build()
    };
    let from6 = |source: &str| {
        UdpFrame {
            source: source.parse().expect("an address"),
            ..good6()
        }
        .build()
    };
    let opt = with_edns(query("www.example.org", RecordType::A), 1232);
    use PassReason as P;
    let mut reached = BTreeSet::new();
    let cases = [
        (P::Ipv4Options, with_ipv4(&|bytes| bytes[14] = 0x46)),
        (P::Fragment, with_ipv4(&|bytes| bytes[20] = 0x20)),
        (P::Fragment, with_ipv4(&|bytes| bytes[21] = 1)),
        (P::Fragment, with(good6().build(), 20, 44)),
        (P::Ipv6Extension, with(good6().build(), 20, 0)),
        (P::Ipv6Extension, with(good6().build(), 20, 43)),
        (P::Ipv6Extension, with(good6().build(), 20, 60)),
        (P::Ipv4Checksum, with(good().build(), 25, 0x55)),
        (P::Length, with_ipv4(&|bytes| bytes[17] += 1)),
        (P::Length, with(good().build(), 39, 7)),
        (P::Length, good().build().split_last().context("octets")?.1.to_vec()),
        (
            P::ZeroChecksum,
            UdpFrame {
                checksum: UdpChecksum::Zero,
                ..good6()
            }
            .build(),
        ),
        (P::MacAddress, with(good().build(), 5, 9)),
        // From groups: multicast, broadcast, and whatever else has the bit.
        (P::MacAddress, with(good().build(), 6, 3)),
        (P::MacAddress, with(good6().build(), 6, 1)),
        (P::MacAddress, {
            let mut bytes = good().build();
            bytes[6..12].fill(0xFF);
            bytes
        }),
        (P::Source, from("198.51.100.7:0")),
        (P::Source, from("0.1.2.3:40000")),
        (P::Source, from("224.0.0.1:40000")),
        (P::Source, from("255.255.255.255:40000")),
        (P::Source, from("127.0.0.1:40000")),
        (P::Source, from("127.0.0.1:53")),
        (P::Source, from("240.0.0.1:40000")),
        // From the address that is asked.
        (P::Source, from("192.0.2.1:40000")),
        (P::Source, from6("[2001:db8::1]:40000")),
        (P::Source, from6("[::ffff:192.0.2.7]:40000")),
        (P::Source, from6("[::]:40000")),
        (P::Source, from6("[ff02::1]:40000")),
        (P::Source, from6("[::1]:40000")),
        (P::OwnSource, from("192.0.2.1:53")),
        (P::OwnSource, from6("[2001:db8::1]:53")),
        (P::Short, message(&|message| message.clear())),
        (P::Short, message(&|message| message.truncate(11))),
        (P::Short, message(&|message| message.truncate(message.len() - 1))),
        (P::Long, message(&|message| message.resize(513, 0))),
        (P::Response, message(&|message| message[2] |= 0x80)),
        (P::Opcode, message(&|message| message[2] |= 0x28)),
        (P::Counts, message(&|message| message[5] = 2)),
        (P::Counts, message(&|message| message[5] = 0)),
        (P::Counts, message(&|message| message[7] = 1)),
        (P::Counts, message(&|message| message[9] = 1)),
        (P::Counts, message(&|message| message[11] = 2)),
        (P::Name, message(&|message| message[12] = 0xC0)),
        (P::Name, message(&|message| message[12] = 64)),
        (
            P::Class,
            asking(Query {
                qclass: 3,
                ..query("www.example.org", RecordType::A)
            }),
        ),
        (P::Qtype, asking(query("www.example.org", RecordType::ANY))),
        (P::Qtype, asking(query("www.example.org", RecordType(0)))),
        (P::Qtype, asking(query("www.example.org", RecordType::OPT))),
        (P::Qtype, asking(query("example.org", RecordType::DS))),
        (P::Qtype, asking(query("sub.example.org", RecordType::DS))),
        (P::Edns, message(&|message| message[11] = 1)),
        (P::Edns, {
            let edns = Edns {
                version: 1,
                ..Edns::default()
            };
            asking(Query {
                edns: Some(edns),
                ..opt.clone()
            })
        }),
        (P::Edns, {
            let edns = Edns {
                options: vec![0, 10, 0, 9, 1],
                ..Edns::default()
            };
            asking(Query {
                edns: Some(edns),
                ..opt.clone()
            })
        }),
        (P::Trailing, message(&|message| message.push(0))),
        (P::Marked, asking(query("broken.example", RecordType::A))),
        (P::Marked, asking(query("www.broken.example", RecordType::A))),
        (P::Below, asking(query("www.over.lay", RecordType::A))),
        (
            P::Incomplete,
            asking(with_edns(query("t4200.example.org", RecordType::TXT), 4096)),
        ),
        (P::Dname, asking(query("x.dname.example.org", RecordType::A))),
        (P::TooLarge, asking(query("t1000.example.org", RecordType::TXT))),
        (
            P::TooLarge,
            asking(with_edns(query("t1000.example.org", RecordType::TXT), 600)),
        ),
        (
            P::Mtu,
            asking(with_edns(query("t3000.example.org", RecordType::TXT), 4096)),
        ),
        (P::NoRoom, {
            let query = with_edns(query("t4000.example.org", RecordType::TXT), 4096);
            frame(false, &[9], query.build()).build()
        }),
    ];
    for (number, (reason, bytes)) in cases.iter().enumerate() {
        let found = kernel
            .pass_reason(bytes)
            .with_context(|| format!("case {number}, {reason:?}"))?;
        assert_eq!(found, Some(*reason), "case {number}");
        reached.insert(reason.index());
    }
    // Not ours: nothing is counted.
    let uncounted = [
        UdpFrame {
            destination: "192.0.2.2:53".parse()?,
            ..good()
        }
        .build(),
        UdpFrame {
            destination: "192.0.2.1:54".parse()?,
            ..good()
        }
        .build(),
        frame(false, &[8], good().payload).build(),
        frame(false, &[8, 7], good().payload).build(),
        frame(false, &[7, 8, 9], good().payload).build(),
        UdpFrame {
            destination: "[2001:db8::2]:53".parse()?,
            ..good6()
        }
        .build(),
        with_ipv4(&|bytes| bytes[23] = 6),
        with(good6().build(), 20, 6),
        with(good6().build(), 20, 58),
        with(good().build(), 12, 0x07),
        good().build()[..40].to_vec(),
        good().build()[..20].to_vec(),
        vec![0; 14],
        vec![0xFF; 1514],
    ];
    for (number, bytes) in uncounted.iter().enumerate() {
        assert_eq!(kernel.pass_reason(bytes)?, None, "case {number} is not ours");
    }
    // States of the table that only a writer at work, or a fault, brings about.
    let good = good().build();
    let table = Arc::clone(&kernel.planes.served.table());
    let lines = table
        .memory
        .lines
        .words(0, table.lines() as usize * LINE_WORDS)
        .context("lines")?;
    let epoch = table.memory.epoch_word(word::EPOCH);
    let all = |change: &dyn Fn(u64) -> u64| {
        for line in lines.chunks(LINE_WORDS) {
            line[0].store(change(line[0].load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    };
    all(&|word| word | 1);
    assert_eq!(kernel.pass_reason(&good)?, Some(P::Torn));
    all(&|word| word & !1);
    epoch.fetch_or(1, Ordering::SeqCst);
    assert_eq!(kernel.pass_reason(&good)?, Some(P::Torn));
    epoch.fetch_and(!1, Ordering::SeqCst);
    // A home that overflows has names looked for from their second; one that lacks a place for them cannot say.
    all(&|word| word | OVERFLOW);
    let elsewhere = asking(query("nx.example.org", RecordType::A));
    assert_eq!(kernel.run(&elsewhere)?.verdict, Verdict::Transmit);
    all(&|word| word | LACKING);
    let absent = asking(query("nx.example.org", RecordType::A));
    assert_eq!(kernel.pass_reason(&absent)?, Some(P::Overflow));
    all(&|word| word & !(OVERFLOW | LACKING));
    assert_eq!(kernel.run(&absent)?.verdict, Verdict::Transmit);
    reached.extend([P::Torn, P::Overflow].map(P::index));
    // A reference to a slot that there is none of; then a header that says more than its slot holds.
    let text = asking(query("text.example.org", RecordType::TXT));
    let cell = lines.iter().find(|word| {
        let reference = Reference::from_word(word.load(Ordering::Relaxed));
        let mut header = Reply::NONE.header;
        reference.rtype == RecordType::TXT.0
            && table.slot_header(reference.class.into(), reference.slot, &mut header)
            && header.body_bytes == 12 + 19
    });
    let cell = cell.context("the line of text.example.org")?;
    let word = cell.load(Ordering::Relaxed);
    cell.store(word | 0xFFFF_FFFF << 32, Ordering::Relaxed);
    assert_eq!(kernel.pass_reason(&text)?, Some(P::Internal));
    reached.insert(P::Internal.index());
    cell.store(word, Ordering::Relaxed);
    let reference = Reference::from_word(word);
    let words = CLASS_BYTES[usize::from(reference.class)] / 8;
    let slot = table.memory.slots[usize::from(reference.class)].words(reference.slot as usize * words, words);
    // The upper half of its first word begins with the octets of the body.
    slot.context("the slot")?[0].fetch_add(200 << 32, Ordering::Relaxed);
    let before = kernel.counters()?;
    assert_eq!(kernel.run(&text)?.verdict, Verdict::Drop);
    let dropped = DropReason::HalfWritten.index();
    assert_eq!(kernel.counters()?.dropped[dropped], before.dropped[dropped] + 1);
    // With an NSID to tell.
    let mut named = Kernel::new(
        Environment {
            identity: Some(&NAMED),
            ..ENVIRONMENT
        },
        false,
    )?;
    named.apply(zone("")?)?;
    let mut nsid = with_edns(query("www.example.org", RecordType::A), 1232);
    assert_eq!(named.run(&asking(nsid.clone()))?.verdict, Verdict::Transmit);
    if let Some(edns) = &mut nsid.edns {
        edns.options = vec![0, 3, 0, 0];
    }
    assert_eq!(named.pass_reason(&asking(nsid))?, Some(P::Nsid));
    reached.insert(P::Nsid.index());
    // With an upstream, for those who desire recursion.
    let mut forwarding = Kernel::new(ENVIRONMENT, true)?;
    forwarding.apply(zone("")?)?;
    for owner in ["www.elsewhere.net", "org"] {
        let mut query = query(owner, RecordType::A);
        query.flags = 0x0100;
        assert_eq!(forwarding.pass_reason(&asking(query.clone()))?, Some(P::Foreign));
        query.flags = 0;
        assert_eq!(forwarding.run(&asking(query))?.verdict, Verdict::Transmit);
    }
    reached.insert(P::Foreign.index());
    // A guarded line whose list is not there.
    let mut guarded = forwarding;
    guarded.apply(vec![Change::Access(vec![(
        name("example.org."),
        Arc::new(AccessList::new(&[], &["10.0.0.0/8".parse()?], Access::Dropped)),
    )])])?;
    assert_eq!(guarded.run(&good)?.verdict, Verdict::Transmit);
    let zones = guarded.planes.store.snapshot().zones.clone();
    let without = zones.values().map(|zone| (zone.index, None)).collect();
    let program = guarded.planes.publisher.program();
    program.lock().as_mut().context("a program")?.set_zone_access(without);
    assert_eq!(guarded.pass_reason(&good)?, Some(P::Access));
    reached.insert(P::Access.index());
    for reason in PassReason::ALL {
        assert!(reached.contains(&reason.index()), "{reason:?} is not reached");
    }
    // A new table makes all of that good again.
    kernel.apply(vec![Change::DropZone {
        source: SourceId::zone_files(),
        apex: name("example.org."),
    }])?;
    Ok(())
}

#[test]
fn answers_are_counted_by_type_and_rcode() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let kernel = kernel()?;
    for (owner, qtype, class, rcode) in [
        ("www.example.org", RecordType::A, 1, 0),
        ("nx.example.org", RecordType::AAAA, 28, 1),
        ("www.elsewhere.net", RecordType::MX, 15, 2),
        ("www.example.org", RecordType(4711), 0, 0),
        ("www.example.org", RecordType(108), 70, 0),
        ("www.example.org", RecordType(109), 71, 0),
    ] {
        let before = kernel.counters()?;
        let bytes = frame(false, &[], query(owner, qtype).build()).build();
        assert_eq!(kernel.run(&bytes)?.verdict, Verdict::Transmit);
        let after = kernel.counters()?;
        for (at, (after, before)) in after.answers.iter().zip(before.answers).enumerate() {
            for (other, (after, before)) in after.iter().zip(before).enumerate() {
                let expected = u64::from(at == class && other == rcode);
                assert_eq!(after - before, expected, "{owner} {qtype}: counter {at} {other}");
            }
        }
    }
    Ok(())
}

#[test]
fn xdp_equals_reference() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let (cases, length) = asked_for(CASES, Length::Suite);
    compare(cases, length)
}

#[test]
#[ignore = "hours: cargo xtask test --differential"]
fn differential_xdp_at_length() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let (cases, length) = asked_for(100_000_000, Length::Hours);
    compare(cases, length)
}

/// A prefix of clients has one order, whatever number is drawn, and the same one from every plane.
#[test]
fn the_order_by_hash_is_the_client_prefix_s() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let hashed = |rtype, rdatas| RrSet {
        rtype,
        ttl: 300,
        rdatas,
        origin: Origin::config(),
        handling: Handling::new(Order::Hash, Wildcard::Rfc4592),
    };
    let v4 = hashed(RecordType::A, [1u8, 2, 3].map(|last| [192, 0, 2, last]).into());
    let v6 = hashed(
        RecordType::AAAA,
        [1u8, 2, 3]
            .map(|last| [0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last])
            .into(),
    );
    let owner = name("pool.lay.");
    let mut seen: BTreeMap<(String, RecordType), BTreeSet<Vec<u8>>> = BTreeMap::new();
    for random in [1, 77] {
        let environment = Environment { random, ..ENVIRONMENT };
        let mut kernel = Kernel::new(environment, false)?;
        kernel.apply(vec![Change::config_records(vec![
            (owner.clone(), v4.clone()),
            (owner.clone(), v6.clone()),
        ])])?;
        for site in 0..24u8 {
            for client in [
                format!("203.0.{site}.1"),
                format!("203.0.{site}.250"),
                format!("2001:db8:7:{site:x}00::1"),
                format!("2001:db8:7:{site:x}77::9"),
            ] {
                for qtype in [RecordType::A, RecordType::AAAA] {
                    let address: IpAddr = client.parse()?;
                    let mut frame = frame(address.is_ipv6(), &[], query("pool.lay", qtype).build());
                    frame.source.set_ip(address);
                    let bytes = frame.build();
                    assert_eq!(kernel.compare(&frame, &bytes)?, Compared::Equal, "{client} {qtype}");
                    let Fate::Answered(reply) = check(&bytes, &kernel.run(&bytes)?).map_err(anyhow::Error::msg)? else {
                        anyhow::bail!("no answer to {client}");
                    };
                    let prefix = format!("{} {site}", address.is_ipv6());
                    seen.entry((prefix, qtype)).or_default().insert(reply);
                }
            }
        }
    }
    assert!(seen.values().all(|orders| orders.len() == 1), "{seen:?}");
    for qtype in [RecordType::A, RecordType::AAAA] {
        let of_type = seen.iter().filter(|((_, of), _)| *of == qtype);
        let orders: BTreeSet<&Vec<u8>> = of_type.flat_map(|(_, orders)| orders).collect();
        assert_eq!(orders.len(), 3, "every beginning, for {qtype}");
    }
    // With other prefixes: all of these sites are one, or each host is one of its own.
    for (hash_prefixes, wanted) in [(Prefixes::of(16, 48), 1), (Prefixes::of(32, 64), 3)] {
        let environment = Environment {
            random: 1,
            hash_prefixes,
            ..ENVIRONMENT
        };
        let mut kernel = Kernel::new(environment, false)?;
        kernel.apply(vec![Change::config_records(vec![(owner.clone(), v4.clone())])])?;
        for client in [
            |number: u8| format!("203.0.{}.{number}", number % 2),
            |number: u8| format!("2001:db8:7:{number:x}::1"),
        ] {
            let mut replies = BTreeSet::new();
            for number in 1..40u8 {
                let address: IpAddr = client(number).parse()?;
                let mut frame = frame(address.is_ipv6(), &[], query("pool.lay", RecordType::A).build());
                frame.source.set_ip(address);
                let bytes = frame.build();
                assert_eq!(kernel.compare(&frame, &bytes)?, Compared::Equal, "{address}");
                let Fate::Answered(reply) = check(&bytes, &kernel.run(&bytes)?).map_err(anyhow::Error::msg)? else {
                    anyhow::bail!("no answer to {address}");
                };
                replies.insert(reply);
            }
            assert_eq!(replies.len(), wanted, "{hash_prefixes:?}");
        }
    }
    Ok(())
}

/// Seeds of the long comparison that once found a difference. 20743: an alias of the root, which has several addresses
/// in an order that is drawn: the root as an owner is shorter than a pointer.
const FOUND: [u64; 1] = [20743];

#[test]
fn configurations_that_differed_are_equal() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    FOUND.into_iter().try_for_each(|seed| compare_one(seed).map(drop))
}

/// Some zones with lists of who may ask.
fn access(kernel: &Kernel, rng: &mut StdRng) -> Result<Change> {
    let prefixes: Vec<IpNet> = [
        "198.51.100.0/24",
        "198.51.100.7/32",
        "2001:db8:1::/48",
        "::/0",
        "0.0.0.0/0",
    ]
    .iter()
    .map(|text| text.parse())
    .collect::<Result<_, _>>()?;
    let mut lists = Vec::new();
    for zone in kernel.planes.store.snapshot().zones.values() {
        if rng.random_bool(0.2) {
            let mut some = || -> Vec<IpNet> { prefixes.iter().filter(|_| rng.random_bool(0.3)).copied().collect() };
            let list = AccessList::new(&some(), &some(), Access::Refused);
            lists.push((zone.apex.clone(), Arc::new(list)));
        }
    }
    Ok(Change::Access(lists))
}

/// Random configurations and changes; each frame is passed as it came, or answered as the reference would.
fn compare(cases: u64, length: Length) -> Result<()> {
    let tally = over_seeds(cases, compare_one)?;
    println!("{tally}");
    for reason in [PassReason::Internal, PassReason::Torn] {
        assert_eq!(tally.passed[reason.index()], 0, "{tally}");
    }
    // Many of the names are foreign, or below what userspace keeps.
    assert!(tally.percent_equal() > 30.0, "{tally}");
    if length == Length::Other {
        return Ok(());
    }
    // What passes must not quietly grow: what is measured, and a margin.
    for (reason, most) in [
        (PassReason::Marked, 4.5),
        (PassReason::Below, 25.0),
        (PassReason::Incomplete, 3.0),
        (PassReason::TooLarge, 0.3),
        (PassReason::Overflow, 0.1),
        (PassReason::Nsid, 1.3),
    ] {
        assert!(tally.percent(reason) <= most, "{}: {tally}", reason.label());
    }
    assert!(tally.percent_equal() > 49.0, "{tally}");
    Ok(())
}

/// One configuration, in six states.
fn compare_one(seed: u64) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut generator = Generator::new(seed);
    let mut kernel = Kernel::new(generator.environment(), generator.has_upstream())?;
    let (mut names, mut passed) = (Names::default(), 0);
    for step in 0..6 {
        let changes = match step {
            0 => generator.first(),
            _ => generator.next(&kernel.planes.store),
        };
        if std::env::var_os("HOTDNS_DIFFERENTIAL_SHOW").is_some() {
            println!("seed {seed} step {step}:\n{}", describe(&changes));
        }
        kernel.apply(changes)?;
        let access = access(&kernel, generator.rng())?;
        if std::env::var_os("HOTDNS_DIFFERENTIAL_SHOW").is_some() {
            println!("{}", describe(std::slice::from_ref(&access)));
        }
        kernel.apply(vec![access])?;
        names.add(&kernel.planes.store.snapshot());
        let all: Vec<Name> = names.iter().collect();
        for _ in 0..1500 {
            let rng = generator.rng();
            let name = all.choose(rng).context("names")?;
            let qtype = *TYPES.choose(rng).context("types")?;
            let mut message = well_formed(rng, name, qtype).build();
            if rng.random_bool(0.15) {
                message = mutated(rng, &message);
            }
            let (vlans, _) = *PLACES.choose(rng).context("places")?;
            let mut frame = frame(rng.random(), vlans, message);
            let padding = if rng.random() { 0 } else { rng.random_range(0..40) };
            if let Some(client) = generator.client_in_view()
                && client.is_ipv6() == frame.source.is_ipv6()
            {
                frame.source.set_ip(client);
            }
            let mut bytes = frame.build();
            bytes.extend(vec![0; padding]);
            let compared = kernel.compare(&frame, &bytes).with_context(|| {
                format!(
                    "HOTDNS_DIFFERENTIAL_SEED={seed} HOTDNS_DIFFERENTIAL_CASES=1, step {step}, {name} {qtype}\n{:?}",
                    kernel.planes.environment
                )
            })?;
            match compared {
                Compared::Equal => tally.count(compared),
                Compared::Passed(_) => passed += 1,
            }
        }
    }
    // The program says why.
    let counters = kernel.counters()?;
    ensure!(counters.dropped == [0; 8], "seed {seed}: dropped");
    for &reason in PassReason::ALL {
        tally.passed[reason.index()] = counters.passed[reason.index()];
    }
    ensure!(
        tally.passed.iter().sum::<u64>() == passed,
        "seed {seed}: {passed} passed, counted are {:?}",
        tally.passed
    );
    Ok(tally)
}

/// The reference answerer on this kernel's own store.
struct Judge<'a>(&'a Kernel);

impl Oracle for Judge<'_> {
    fn judge(&mut self, packet: &[u8], fate: &Fate) -> Result<(), String> {
        match fate {
            Fate::Passed => Ok(()),
            Fate::Dropped => Err("dropped".to_owned()),
            Fate::Answered(reply) => {
                let query = fuzz::query(packet)?;
                match self.0.planes.reference_to(query.source.ip(), &query.payload) {
                    Some(reference) if reference == *reply => Ok(()),
                    reference => Err(format!("the reference says {reference:02x?}")),
                }
            }
        }
    }
}

#[test]
fn fuzzed_frames_pass_unchanged_or_are_answered_right() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let kernel = kernel()?;
    let owners = [
        "www", "w3", "alias", "text", "x.wild", "nx", "www.sub", "x.dname", "many", "t1000",
    ];
    let surface = Surface {
        client_mac: MACS.0,
        server_mac: MACS.1,
        clients: vec![CLIENT.0.into(), CLIENT.1.into()],
        servers: vec![OWN.0.into(), OWN.1.into()],
        names: owners
            .iter()
            .map(|owner| wire_name(&format!("{owner}.example.org")))
            .collect(),
        apexes: vec![wire_name("example.org"), wire_name("broken.example")],
    };
    let options = fuzz::Options {
        count: asked_for(FUZZED, Length::Suite).0,
        first: 0,
        seed: first_seed(),
    };
    let tally = fuzz::fuzz(&options, &surface, &kernel.test_run(), &mut Judge(&kernel))?;
    println!("{tally}");
    let counters = kernel.counters()?;
    for reason in PassReason::ALL {
        println!("{} {}", reason.label(), counters.passed[reason.index()]);
    }
    let answered: u64 = tally
        .fates
        .iter()
        .filter(|(fate, _)| fate.starts_with("answered"))
        .map(|(_, count)| count)
        .sum();
    ensure!(
        answered * 10 > options.count,
        "only {answered} of {} were answered",
        options.count
    );
    Ok(())
}

#[test]
fn mapped_table_is_never_read_torn() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut kernel = kernel()?;
    let owner = name("www.example.org.");
    let rrset = |rtype, rdatas: Vec<Box<[u8]>>| RrSet {
        rtype,
        ttl: 60,
        rdatas: rdatas.into(),
        origin: Origin::api(),
        handling: Handling::default(),
    };
    let texts = |octet: u8, length: usize| {
        let string = [vec![length as u8], vec![octet; length]].concat();
        rrset(RecordType::TXT, vec![string.into_boxed_slice()])
    };
    let states = [(b'a', 10), (b'b', 200), (b'c', 100)];
    let question = |qtype, owner: &str| frame(false, &[], query(owner, qtype).build()).build();
    let frames = [
        question(RecordType::TXT, "www.example.org"),
        question(RecordType::A, "new.example.org"),
    ];
    let wild = |number: u8| vec![Box::from([10, 0, 0, number])];
    let done = AtomicBool::new(false);
    // Every reply that is right in one of the states.
    let mut right: [BTreeSet<Vec<u8>>; 2] = Default::default();
    let apply = |kernel: &mut Kernel, state: usize| -> Result<()> {
        let (octet, length) = states[state];
        let put = |owner: &Name, rrset: RrSet| Change::Put {
            source: SourceId::api(),
            view: None,
            owner: owner.clone(),
            rrset: rrset.into(),
        };
        let mut changes = vec![put(&owner, texts(octet, length))];
        let new = name("new.example.org.");
        changes.push(match state {
            0 => Change::Delete {
                source: SourceId::api(),
                view: None,
                owner: new,
                rtype: RecordType::A,
            },
            state => put(&new, rrset(RecordType::A, wild(state as u8))),
        });
        // The zone's serial would make every state another one: it is left alone.
        let plan = kernel.planes.store.plan(changes);
        kernel.planes.apply_observed(&plan, &[], &mut |_| {})
    };
    for state in [0, 1, 2] {
        apply(&mut kernel, state)?;
        for (right, frame) in right.iter_mut().zip(&frames) {
            let Fate::Answered(reply) = check(frame, &kernel.run(frame)?).map_err(anyhow::Error::msg)? else {
                anyhow::bail!("state {state} is not answered")
            };
            right.insert(reply);
        }
    }
    let descriptor = kernel.program().try_clone_to_owned()?;
    let (changes, answers, passes) = thread::scope(|scope| -> Result<_> {
        let reader = scope.spawn(|| -> Result<(u64, u64)> {
            let target = TestRun::new(descriptor.as_fd());
            let (mut answers, mut passes) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                for (right, frame) in right.iter().zip(&frames) {
                    match check(frame, &target.run(frame)?).map_err(anyhow::Error::msg)? {
                        Fate::Answered(reply) if right.contains(&reply) => answers += 1,
                        Fate::Answered(reply) => anyhow::bail!("neither old nor new: {reply:02x?}"),
                        Fate::Passed => passes += 1,
                        Fate::Dropped => anyhow::bail!("dropped"),
                    }
                }
            }
            Ok((answers, passes))
        });
        let mut rng = StdRng::seed_from_u64(1);
        let mut changes = 0;
        let result = (0..6000).try_for_each(|_| {
            changes += 1;
            apply(&mut kernel, rng.random_range(0..3))
        });
        done.store(true, Ordering::Relaxed);
        let (answers, passes) = reader.join().expect("the reader does not panic")?;
        result?;
        Ok((changes, answers, passes))
    })?;
    println!("{changes} changes under {answers} answers and {passes} passes");
    ensure!(answers > 1000 && PORT == 53, "{answers} answers");
    Ok(())
}
