//! Frames with little room: the XDP program grows them at the tail, at the head, or at both ends, and passes up
//! unchanged what has no room at either. By `BPF_PROG_TEST_RUN` to the octet; then on small buffers as sockets make
//! them, natively and generically on veth, and on `lo`.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aya::programs::xdp::XdpMode;
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfLoader};
use dns_common::reason::PassReason;
use dns_userspace::answer::Environment;
use dns_userspace::model::record::RecordType;
use dns_userspace::model::source::SourceId;
use dns_userspace::store::Change;
use dns_userspace::zonefile;
use rand::Rng;
use rand::seq::IndexedRandom;
use tests::bench::fuzz::{Fate, check};
use tests::bench::object;
use tests::frames::{Edns, Query, UdpChecksum, UdpFrame, wire_name};
use tests::kernel::{Kernel, frame, is_skipped};
use tests::net::{Namespace, RawSocket, VethOptions, VethPair};
use tests::planes::COOKIES;
use tests::queries::{Names, TYPES, well_formed};
use tests::server::Server;
use tests::testrun::{Outcome, Verdict};
use tests::zones::{Generator, name};

/// What TEST_RUN lets a frame grow to at its tail (see [`tests::kernel`]).
const MOST_AT_TAIL: usize = 3520;
/// What drivers leave before a frame, less what the kernel keeps of it (`struct xdp_frame`).
const HEAD_ROOM: usize = 256 - 40;

/// A TXT RDATA of so many octets, as text.
fn text(rdata_bytes: usize) -> String {
    let mut strings = Vec::new();
    let mut rest = rdata_bytes;
    while rest > 0 {
        // A string is its length and up to 255 octets; none is left of which there would be no length.
        let string = match rest {
            257 => 255,
            rest => rest.min(256),
        };
        strings.push(format!("\"{}\"", "x".repeat(string - 1)));
        rest -= string;
    }
    strings.join(" ")
}

fn asking(owner: &str, options: &[u8]) -> Query {
    Query {
        flags: 0x0100,
        edns: Some(Edns {
            udp_payload: 4096,
            options: options.to_vec(),
            ..Edns::default()
        }),
        ..Query::new(&wire_name(owner), RecordType::TXT.0)
    }
}

/// Serves a zone with a TXT of each size, and with two wildcards.
fn kernel(sizes: &[usize]) -> Result<Kernel> {
    let environment = Environment {
        udp_payload: 4096,
        cookies: COOKIES,
        ..Environment::DEFAULT
    };
    let mut zone = "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n".to_owned();
    for size in sizes {
        zone.push_str(&format!("t{size} TXT {}\n", text(*size)));
    }
    for (label, size) in WILDCARDS {
        zone.push_str(&format!("*.{label} TXT {}\n", text(size)));
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("zone");
    std::fs::write(&path, zone)?;
    let apex = name("example.org.");
    let content = zonefile::load(&path, &apex, "zone".into()).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let mut kernel = Kernel::new(environment, false)?;
    kernel.apply(vec![Change::PutZone {
        source: SourceId::zone_files(),
        apex,
        content: Ok(content.rrsets),
    }])?;
    Ok(kernel)
}

/// Their labels, and the octets of their RDATA: for names of any length one of the answers lacks tail room alone.
const WILDCARDS: [(&str, usize); 2] = [("a", 3310), ("b", 3440)];

#[test]
fn frames_grow_at_either_end_as_far_as_there_is_room() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    // Both kinds of slots: those whose body is written word by word, and those that are copied.
    let small = [1, 40, 100, 180, 220, 300];
    let large: Vec<usize> = (0..46).map(|step| 3380 + 7 * step).collect();
    let kernel = kernel(&[&small, &large[..]].concat())?;
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let (mut at_tail, mut at_head, mut at_both, mut passed) = (0, 0, 0, 0);
    for &size in small.iter().chain(&large) {
        for is_ipv6 in [false, true] {
            for options in [&[][..], &cookie] {
                // The name's length has either parity.
                for owner in [format!("t{size}.example.org"), format!("T{size}.eXample.org")] {
                    let mut asked = frame(is_ipv6, &[9], asking(&owner, options).build());
                    (asked.traffic_class, asked.ttl) = (46 << 2 | 3, 7);
                    asked.checksum = UdpChecksum::Fixed(0x1234);
                    let query = asked.build();
                    let reference = kernel.planes.reference_to(asked.source.ip(), &asked.payload);
                    let reference = reference.context("a reply")?;
                    let wanted = asked.header_length() + reference.len();
                    // Octets behind the datagram take the tail's room away, so that a frame has any room that is
                    // wanted.
                    for tail in [0, 1, 2, 7, 64, 200, 1000, MOST_AT_TAIL - query.len()] {
                        for metadata in [0, 4, 60, 108] {
                            let mut bytes = query.clone();
                            bytes.resize((MOST_AT_TAIL - tail).max(query.len()), 0xEE);
                            let mut run = kernel.test_run();
                            run.metadata = metadata;
                            let what =
                                || format!("{owner} IPv6 {is_ipv6}, tail {tail}, metadata {metadata}, {wanted} octets");
                            let before = kernel.counters()?;
                            let outcome = run.run(&bytes).with_context(what)?;
                            let after = kernel.counters()?;
                            let no_room = PassReason::NoRoom.index();
                            let counted = after.passed[no_room] - before.passed[no_room];
                            let head = HEAD_ROOM - metadata as usize;
                            let fate = check(&bytes, &outcome).map_err(anyhow::Error::msg).with_context(what)?;
                            if wanted > MOST_AT_TAIL + head {
                                assert_eq!((fate, counted), (Fate::Passed, 1), "{}", what());
                                passed += 1;
                                continue;
                            }
                            assert_eq!(fate, Fate::Answered(reference.clone()), "{}", what());
                            assert_eq!(counted, 0, "{}", what());
                            let reply = UdpFrame::parse(&outcome.packet)?;
                            assert_eq!((reply.traffic_class, &reply.vlans[..]), (46 << 2, &[9][..]));
                            match wanted.saturating_sub(bytes.len()) {
                                _ if wanted <= MOST_AT_TAIL => at_tail += 1,
                                lacking if lacking <= head => at_head += 1,
                                _ => at_both += 1,
                            }
                        }
                    }
                }
            }
        }
    }
    println!("{at_tail} at the tail, {at_head} at the head, {at_both} at both, {passed} passed");
    assert!(at_tail > 1000 && at_head > 500 && at_both > 500 && passed > 500);
    Ok(())
}

#[test]
fn fronts_of_every_length_move() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let kernel = kernel(&[])?;
    let (mut fewest, mut most, mut moved) = (usize::MAX, 0, 0);
    for octets in 18..=255usize {
        for (label, size) in WILDCARDS {
            // `*.a.example.org` has eleven octets and a label more than what is in front.
            let apex = wire_name(&format!("{label}.example.org"));
            let mut wire = Vec::new();
            while wire.len() + apex.len() < octets {
                let rest = octets - wire.len() - apex.len();
                // A label has a length and at least one octet.
                let label = if rest <= 64 { rest } else { rest.min(64).min(rest - 2) };
                wire.push(label as u8 - 1);
                wire.resize(wire.len() + label - 1, b'w');
            }
            wire.extend(apex);
            if wire.len() != octets {
                continue;
            }
            for is_ipv6 in [false, true] {
                let query = Query {
                    edns: Some(Edns {
                        udp_payload: 4096,
                        ..Edns::default()
                    }),
                    ..Query::new(&wire, RecordType::TXT.0)
                };
                let asked = frame(is_ipv6, &[9], query.build());
                let wanted = asked.header_length() + asked.payload.len() + 12 + size;
                if !(MOST_AT_TAIL + 1..=MOST_AT_TAIL + HEAD_ROOM).contains(&wanted) {
                    continue;
                }
                // At the head alone, and at both ends.
                for padding in [0, MOST_AT_TAIL] {
                    let mut bytes = asked.build();
                    bytes.resize(bytes.len().max(padding), 0);
                    let outcome = kernel.run(&bytes)?;
                    assert_eq!(outcome.packet.len(), wanted, "{octets} octets");
                    let expected = kernel.planes.reference_to(asked.source.ip(), &asked.payload);
                    let fate = check(&bytes, &outcome).map_err(anyhow::Error::msg)?;
                    assert_eq!(Some(fate), expected.map(Fate::Answered), "{octets} octets");
                    moved += 1;
                }
                (fewest, most) = (fewest.min(octets), most.max(octets));
            }
        }
    }
    assert!(fewest <= 20 && most == 255 && moved > 900, "{fewest} {most} {moved}");
    Ok(())
}

/// The growths that are asked for: from the query to the answer.
fn growths() -> Vec<usize> {
    let fine = (16..=400).step_by(8);
    let coarse = (440..=1400).step_by(60);
    fine.chain(coarse).collect()
}

/// Configuration with a record for each growth: an RR has twelve octets before its RDATA.
fn records() -> String {
    let mut yaml = "edns: {udp_payload: 4096}\nrecords:\n".to_owned();
    for growth in growths() {
        let value = text(growth - 12);
        yaml.push_str(&format!(
            "  - {{name: g{growth}.example.com, type: TXT, ttl: 60, value: ['{value}']}}\n"
        ));
    }
    yaml
}

/// How the program is attached.
struct Place {
    interface: &'static str,
    mode: &'static str,
    /// Whether the client is in the server's namespace, and asks over the loopback interface.
    is_local: bool,
    /// What the head has at least: generic XDP has the Ethernet header within the 256 octets.
    head: usize,
}

const PLACES: [Place; 3] = [
    Place {
        interface: "eth1",
        mode: "native",
        is_local: false,
        head: HEAD_ROOM,
    },
    Place {
        interface: "eth1",
        mode: "generic",
        is_local: false,
        head: HEAD_ROOM - 14,
    },
    Place {
        interface: "lo",
        mode: "generic",
        is_local: true,
        head: HEAD_ROOM - 14,
    },
];

/// A program that passes everything, on the client's end: a veth sends what a program transmits only into an end that
/// has one.
fn receive_natively(client: &Namespace, index: u32) -> Result<Ebpf> {
    let mut object = EbpfLoader::new().load_file(object::generator()?)?;
    let program: &mut Xdp = object.program_mut("pass").context("no program `pass`")?.try_into()?;
    program.load()?;
    client.enter(|| Ok(program.attach_to_if_index(index, XdpMode::Driver).map(drop)?))?;
    Ok(object)
}

#[test]
fn small_buffers_are_answered_by_xdp_wherever_it_is_attached() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    for place in &PLACES {
        let (client, host) = (Namespace::new("client")?, Namespace::new("server")?);
        let pair = VethPair::new((&client, "eth0"), (&host, "eth1"), &VethOptions::default())?;
        host.ip(&["link", "set", "lo", "up"])?;
        let _object = receive_natively(&client, pair.first.index)?;
        let server = Server::start_in_mode(&host, place.interface, place.mode, &records())?;
        let from = if place.is_local { &host } else { &client };
        let metric = |name: &str| host.enter(|| server.metric(name));
        let no_room = || metric("hotdns_xdp_passed_total{reason=\"no_room\"}");
        let mut most_by_xdp = 0;
        for address in &pair.second.addresses {
            let server_address = SocketAddr::new(*address, server.dns.port());
            for growth in growths() {
                let query = asking(&format!("g{growth}.example.com"), &[]).build();
                let what = || format!("{} on {}, {address}: {growth}", place.mode, place.interface);
                let answers_before = metric("hotdns_xdp_answers_total")?;
                let passed_before = no_room()?;
                // An ordinary socket, on a port of its own for each query.
                let reply = from.enter(|| ask(server_address, &query)).with_context(what)?;
                let over_tcp = from.enter(|| ask_over_tcp(server_address, &query)).with_context(what)?;
                assert_eq!(reply, over_tcp, "{}", what());
                assert_eq!(reply.len(), query.len() + growth, "{}", what());
                let answers = metric("hotdns_xdp_answers_total")? - answers_before;
                let passed = no_room()? - passed_before;
                assert_eq!(answers + passed, 1.0, "{}", what());
                if growth <= place.head {
                    assert_eq!(answers, 1.0, "{}", what());
                }
                if answers == 1.0 {
                    most_by_xdp = most_by_xdp.max(growth);
                }
            }
        }
        println!(
            "{} on {}: answers up to {most_by_xdp} octets longer",
            place.mode, place.interface
        );
    }
    Ok(())
}

fn ask(server: SocketAddr, query: &[u8]) -> Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() {
        [0; 4].into()
    } else {
        [0u16; 8].into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    socket.send(query)?;
    let mut reply = vec![0; 65_536];
    let length = socket.recv(&mut reply)?;
    reply.truncate(length);
    Ok(reply)
}

fn ask_over_tcp(server: SocketAddr, query: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(&[&(query.len() as u16).to_be_bytes(), query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

#[test]
fn tagged_frames_of_small_buffers_are_answered_natively() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let (client, host) = (Namespace::new("client")?, Namespace::new("server")?);
    let pair = VethPair::new((&client, "eth0"), (&host, "eth1"), &VethOptions::default())?;
    host.ip(&["link", "set", "lo", "up"])?;
    let _object = receive_natively(&client, pair.first.index)?;
    let server = Server::start_in_mode(&host, "eth1", "native", &records())?;
    let socket = client.enter(|| Ok(RawSocket::open(pair.first.index)?))?;
    let macs = (pair.first.mac, pair.second.mac);
    for (from, to) in pair.first.addresses.iter().zip(&pair.second.addresses) {
        // Tags of priority alone: the frame is where it would be without.
        for vlans in [&[][..], &[0], &[0xE000, 0]] {
            for growth in growths().into_iter().filter(|growth| *growth <= HEAD_ROOM) {
                let payload = asking(&format!("g{growth}.example.com"), &[]).build();
                let source = SocketAddr::new(*from, 20_000 + growth as u16);
                let mut asked = UdpFrame::new(macs, source, SocketAddr::new(*to, server.dns.port()), payload);
                asked.vlans = vlans.to_vec();
                let bytes = asked.build();
                socket.send(&bytes)?;
                let what = || format!("{to} {vlans:?} {growth}");
                // The kernel has things of its own to say.
                let start = Instant::now();
                let reply = loop {
                    let rest = Duration::from_secs(20).saturating_sub(start.elapsed());
                    let received = socket.receive(rest)?.with_context(what)?;
                    if UdpFrame::parse(&received).is_ok_and(|reply| reply.destination == source) {
                        break received;
                    }
                };
                let outcome = Outcome {
                    verdict: Verdict::Transmit,
                    packet: reply,
                    duration: Duration::ZERO,
                };
                // Tags too: userspace would have answered without them.
                let fate = check(&bytes, &outcome).map_err(anyhow::Error::msg).with_context(what)?;
                let expected = client.enter(|| ask(SocketAddr::new(*to, server.dns.port()), &asked.payload))?;
                assert_eq!(fate, Fate::Answered(expected), "{}", what());
            }
        }
    }
    let passed = host.enter(|| server.metric("hotdns_xdp_passed_total{reason=\"no_room\"}"))?;
    assert_eq!(passed, 0.0);
    Ok(())
}

/// Whether an interface has another program still.
fn is_busy(error: &ProgramError) -> bool {
    matches!(error, ProgramError::SyscallError(call) if call.io_error.raw_os_error() == Some(libc::EBUSY))
}

/// Random configurations, asked on the loopback interface with frames as packet sockets make them: the buffers are
/// small, and a good part of the answers have to grow at the head.
#[test]
fn random_configurations_in_small_buffers_equal_the_reference() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    const STEPS: usize = 3;
    const QUERIES: usize = 400;
    let host = Namespace::new("lo")?;
    host.ip(&["link", "set", "lo", "up"])?;
    let socket = host.enter(|| Ok(RawSocket::open(1)?))?;
    let (mut equal, mut longer, mut no_room) = (0, 0, 0);
    for seed in 1..=6 {
        let mut generator = Generator::new(seed);
        let mut kernel = Kernel::new(generator.environment(), generator.has_upstream())?;
        let mut names = Names::default();
        for step in 0..STEPS {
            let changes = match step {
                0 => generator.first(),
                _ => generator.next(&kernel.planes.store),
            };
            kernel.apply(changes)?;
            names.add(&kernel.planes.store.snapshot());
            let all: Vec<_> = names.iter().collect();
            let program = kernel.planes.publisher.program();
            let _link = host.enter(|| {
                let mut program = program.lock();
                let ebpf = program.as_mut().context("a program")?.ebpf_mut();
                let program: &mut Xdp = ebpf.program_mut("hotdns").context("no program")?.try_into()?;
                // The link of the step before may live on for a moment, in a process that another test is about to
                // start.
                let until = Instant::now() + Duration::from_secs(20);
                let link = loop {
                    match program.attach_to_if_index(1, XdpMode::Skb) {
                        Err(error) if is_busy(&error) && Instant::now() < until => {
                            std::thread::sleep(Duration::from_millis(10));
                        }
                        attached => break attached?,
                    }
                };
                Ok(program.take_link(link)?)
            })?;
            let before = kernel.counters()?;
            for _ in 0..QUERIES {
                let rng = generator.rng();
                let name = all.choose(rng).context("names")?;
                let qtype = *TYPES.choose(rng).context("types")?;
                let message = well_formed(rng, name, qtype).build();
                let (vlans, _) = *tests::kernel::PLACES.choose(rng).context("places")?;
                let asked = frame(rng.random(), vlans, message);
                let bytes = asked.build();
                let what = || format!("seed {seed}, step {step}, {name} {qtype}");
                socket.send(&bytes)?;
                let received = socket.receive(Duration::from_secs(20))?.with_context(what)?;
                if received == bytes {
                    continue;
                }
                let outcome = Outcome {
                    verdict: Verdict::Transmit,
                    packet: received,
                    duration: Duration::ZERO,
                };
                let fate = check(&bytes, &outcome).map_err(anyhow::Error::msg).with_context(what)?;
                let reference = kernel.planes.reference_to(asked.source.ip(), &asked.payload);
                assert_eq!(Some(fate), reference.map(Fate::Answered), "{}", what());
                equal += 1;
                longer += u64::from(outcome.packet.len() > bytes.len() + 64);
            }
            let after = kernel.counters()?;
            no_room += after.passed[PassReason::NoRoom.index()] - before.passed[PassReason::NoRoom.index()];
            assert_eq!(after.dropped, before.dropped, "seed {seed}, step {step}");
        }
    }
    println!("{equal} answered, {longer} of them by more than 64 octets longer, {no_room} without room");
    assert!(equal > 2000 && longer > 300, "{equal} {longer}");
    assert!(no_room * 4 < longer, "{no_room} of {longer}");
    Ok(())
}
