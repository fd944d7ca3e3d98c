//! Rate limits and access lists of the XDP program by `BPF_PROG_TEST_RUN`: who is answered, refused, truncated or
//! dropped, octet for octet as the reference answerer would, and that sockets see the same buckets.

use std::net::IpAddr;

use anyhow::{Context, Result};
use dns_common::cookie::words;
use dns_common::counters::Counters;
use dns_common::limit::{Charge, Limits, Pace, charge};
use dns_common::reason::DropReason;
use dns_userspace::answer::{Admission, CookieSource, Environment};
use dns_userspace::model::access::{Access, AccessList};
use dns_userspace::model::record::{Handling, RecordType, RrSet};
use dns_userspace::model::source::{Origin, SourceId};
use dns_userspace::store::Change;
use dns_userspace::zonefile;
use tests::bench::fuzz::{Fate, check};
use tests::frames::{Edns, Query, UdpFrame, wire_name};
use tests::kernel::{CLIENT, Guards, Kernel, frame, is_skipped};
use tests::planes::{COOKIES, reference};
use tests::zones::name;

const ENVIRONMENT: Environment<'_> = Environment {
    cookies: COOKIES,
    identity: None,
    ..Environment::DEFAULT
};

/// Two at once, and then nothing for a hundred days; every second query over the limit is answered truncated.
fn two_at_once() -> Limits {
    let interval_ns = 100 * 86_400 * 1_000_000_000;
    Limits {
        prefix: Pace {
            interval_ns,
            tolerance_ns: interval_ns,
        },
        slip: 2,
        secret: [1, 2],
        ..Limits::NONE
    }
    .with_prefixes(24, 56)
}

fn list(allow: &[&str], deny: &[&str], denied: Access) -> Option<AccessList> {
    let read = |texts: &[&str]| -> Vec<_> { texts.iter().map(|text| text.parse().expect("a prefix")).collect() };
    Some(AccessList::new(&read(allow), &read(deny), denied))
}

/// Serves `www.example.org.`, an overlay.
fn kernel(environment: Environment<'static>, has_upstream: bool, guards: Guards) -> Result<Kernel> {
    let mut kernel = Kernel::guarded(environment, has_upstream, guards)?;
    kernel.apply(vec![Change::config_records(vec![(
        name("www.example.org."),
        RrSet {
            rtype: RecordType::A,
            ttl: 300,
            rdatas: [[192, 0, 2, 99]].into(),
            origin: Origin::config(),
            handling: Handling::default(),
        },
    )])])?;
    Ok(kernel)
}

fn queries() -> Vec<Vec<u8>> {
    let plain = |owner: &str, qtype: RecordType| Query::new(&wire_name(owner), qtype.0);
    let with = |query: &Query, options: &[u8], dnssec_ok| Query {
        flags: 0x0100,
        edns: Some(Edns {
            udp_payload: 1232,
            dnssec_ok,
            options: options.to_vec(),
            ..Edns::default()
        }),
        ..query.clone()
    };
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let mut queries = Vec::new();
    for query in [
        plain("www.example.org", RecordType::A),
        plain("wWw.example.org", RecordType::MX),
        plain("elsewhere.net", RecordType::A),
        plain("nowhere.elsewhere.net", RecordType(4711)),
    ] {
        queries.push(query.build());
        queries.push(with(&query, &[], true).build());
        queries.push(with(&query, &cookie, false).build());
    }
    queries
}

/// What the reference answerer replies to this client.
fn expected(kernel: &Kernel, client: IpAddr, admission: Admission, query: &[u8]) -> Option<Vec<u8>> {
    let planes = &kernel.planes;
    let environment = Environment {
        cookies: CookieSource {
            client,
            ..planes.environment.cookies
        },
        admission,
        ..planes.environment
    };
    reference(query, &planes.served.snapshot(), &*planes.served, &environment)
}

fn fate(kernel: &Kernel, is_ipv6: bool, query: &[u8]) -> Result<Fate> {
    let bytes = frame(is_ipv6, &[], query.to_vec()).build();
    check(&bytes, &kernel.run(&bytes)?).map_err(anyhow::Error::msg)
}

fn dropped(counters: &Counters, reason: DropReason) -> u64 {
    counters.dropped[reason.index()]
}

#[test]
fn over_the_limit_every_second_query_is_truncated_and_the_others_dropped() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    for query in queries() {
        for is_ipv6 in [false, true] {
            let guards = Guards {
                limits: two_at_once(),
                ..Guards::default()
            };
            let kernel = kernel(ENVIRONMENT, false, guards)?;
            let client: IpAddr = if is_ipv6 { CLIENT.1.into() } else { CLIENT.0.into() };
            for _ in 0..2 {
                assert_ne!(fate(&kernel, is_ipv6, &query)?, Fate::Dropped, "within the limit");
            }
            let truncated = expected(&kernel, client, Admission::Truncated, &query).context("an answer")?;
            assert_eq!(
                (truncated[2] & 2, &truncated[6..10]),
                (2, &[0; 4][..]),
                "TC=1 and nothing else"
            );
            for _ in 0..3 {
                assert_eq!(fate(&kernel, is_ipv6, &query)?, Fate::Dropped);
                assert_eq!(fate(&kernel, is_ipv6, &query)?, Fate::Answered(truncated.clone()));
            }
            // Of the other family there is another bucket.
            assert_ne!(fate(&kernel, !is_ipv6, &query)?, Fate::Dropped);
            let counters = kernel.counters()?;
            assert_eq!((dropped(&counters, DropReason::RateLimit), counters.limited), (3, 3));
        }
    }
    Ok(())
}

#[test]
fn what_passes_is_charged_too() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let query = |owner: &str, qtype: RecordType| Query::new(&wire_name(owner), qtype.0);
    let chaos = Query {
        qclass: 3,
        ..query("version.bind", RecordType::TXT)
    };
    let odd = Query {
        edns: Some(Edns {
            version: 1,
            ..Edns::default()
        }),
        ..query("www.example.org", RecordType::A)
    };
    for query in [query("www.example.org", RecordType::ANY), chaos, odd] {
        let guards = Guards {
            limits: two_at_once(),
            ..Guards::default()
        };
        let kernel = kernel(ENVIRONMENT, false, guards)?;
        for expected in [Fate::Passed, Fate::Passed, Fate::Dropped, Fate::Dropped, Fate::Dropped] {
            assert_eq!(fate(&kernel, false, &query.build())?, expected);
        }
        // The bucket that sockets would charge is the same.
        let table = kernel.planes.served.table();
        let client = words(CLIENT.0.to_ipv6_mapped().octets());
        let now = 1_000_000_000;
        assert_ne!(
            charge(&&table.memory.buckets, &two_at_once(), client, now),
            Charge::Within
        );
        let other = words([9; 16]);
        assert_eq!(
            charge(&&table.memory.buckets, &two_at_once(), other, now),
            Charge::Within
        );
    }
    Ok(())
}

#[test]
fn a_new_table_keeps_the_buckets() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let guards = Guards {
        limits: Limits {
            slip: 0,
            ..two_at_once()
        },
        ..Guards::default()
    };
    let mut kernel = kernel(ENVIRONMENT, false, guards)?;
    let query = queries().swap_remove(0);
    let is_dropped = |kernel: &Kernel| anyhow::Ok(fate(kernel, false, &query)? == Fate::Dropped);
    assert!(!is_dropped(&kernel)? && !is_dropped(&kernel)? && is_dropped(&kernel)?);
    let lines = |kernel: &Kernel| kernel.planes.served.table().memory.sizes.lines;
    let before = lines(&kernel);
    let many = (0..2000).map(|number| {
        let rrset = RrSet {
            rtype: RecordType::A,
            ttl: 300,
            rdatas: [[192, 0, 2, 1]].into(),
            origin: Origin::config(),
            handling: Handling::default(),
        };
        (name(&format!("n{number}.example.org.")), rrset)
    });
    kernel.apply(vec![Change::config_records(many.collect())])?;
    assert!(lines(&kernel) > before, "a larger table");
    assert!(is_dropped(&kernel)?);
    Ok(())
}

#[test]
fn exempt_clients_are_not_charged_and_the_global_limit_is_for_all_others() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let query = queries().swap_remove(0);
    let exempt = Guards {
        limits: two_at_once(),
        exempt: list(&["198.51.100.7/32", "::/0"], &["2001:db8:1::/64"], Access::Refused),
        ..Guards::default()
    };
    let kernel_of_exempt = kernel(ENVIRONMENT, false, exempt)?;
    for _ in 0..5 {
        assert_ne!(fate(&kernel_of_exempt, false, &query)?, Fate::Dropped);
    }
    // IPv6 clients are exempt, but not this one.
    let fates: Vec<bool> = (0..3)
        .map(|_| anyhow::Ok(fate(&kernel_of_exempt, true, &query)? == Fate::Dropped))
        .collect::<Result<_>>()?;
    assert_eq!(fates, [false, false, true]);
    let global = Guards {
        limits: Limits {
            prefix: Pace::new(1_000_000_000, 1_000_000),
            global: two_at_once().prefix,
            slip: 0,
            ..two_at_once()
        },
        ..Guards::default()
    };
    let kernel = kernel(ENVIRONMENT, false, global)?;
    for (is_ipv6, is_dropped) in [(false, false), (true, false), (false, true), (true, true)] {
        assert_eq!(fate(&kernel, is_ipv6, &query)? == Fate::Dropped, is_dropped);
    }
    Ok(())
}

#[test]
fn denied_clients_are_refused_or_dropped() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let recursive = Environment {
        recursion_available: true,
        ..ENVIRONMENT
    };
    for (environment, has_upstream) in [(ENVIRONMENT, false), (recursive, true)] {
        let refusing = Guards {
            access: list(&[], &["198.51.100.0/24"], Access::Refused),
            ..Guards::default()
        };
        let kernel = kernel(environment, has_upstream, refusing)?;
        for query in queries() {
            let refused = expected(&kernel, CLIENT.0.into(), Admission::Refused, &query).context("an answer")?;
            assert_eq!(refused[3], 5, "REFUSED, RA=0");
            assert_eq!(fate(&kernel, false, &query)?, Fate::Answered(refused));
            // The other client may ask.
            let answer = expected(&kernel, CLIENT.1.into(), Admission::Admitted, &query);
            match fate(&kernel, true, &query)? {
                Fate::Answered(reply) => assert_eq!(Some(reply), answer),
                fate => assert_eq!(fate, Fate::Passed),
            }
        }
        assert_eq!(kernel.counters()?.denied, queries().len() as u64);
        // What the program cannot read is refused by userspace.
        let any = Query::new(&wire_name("www.example.org"), RecordType::ANY.0).build();
        assert_eq!(fate(&kernel, false, &any)?, Fate::Passed);
        let reply = expected(&kernel, CLIENT.0.into(), Admission::Refused, &any).context("an answer")?;
        assert_eq!(reply[3], 5);
    }
    let dropping = Guards {
        access: list(&["2001:db8::/32"], &[], Access::Dropped),
        ..Guards::default()
    };
    let kernel = kernel(ENVIRONMENT, false, dropping)?;
    for query in queries() {
        assert_eq!(fate(&kernel, false, &query)?, Fate::Dropped);
        assert!(matches!(fate(&kernel, true, &query)?, Fate::Answered(_) | Fate::Passed));
    }
    assert_eq!(dropped(&kernel.counters()?, DropReason::Access), queries().len() as u64);
    Ok(())
}

#[test]
fn refused_clients_are_charged_and_never_answered_truncated() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let guards = Guards {
        access: list(&[], &["0.0.0.0/0"], Access::Refused),
        limits: two_at_once(),
        ..Guards::default()
    };
    let kernel = kernel(ENVIRONMENT, false, guards)?;
    let query = queries().swap_remove(0);
    let fates: Vec<bool> = (0..6)
        .map(|_| anyhow::Ok(matches!(fate(&kernel, false, &query)?, Fate::Answered(reply) if reply[3] == 5)))
        .collect::<Result<_>>()?;
    assert_eq!(fates, [true, true, false, false, false, false]);
    assert_eq!(dropped(&kernel.counters()?, DropReason::RateLimit), 4);
    Ok(())
}

#[test]
fn a_zone_says_who_may_ask_for_its_names() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    const ZONE: &str = "$TTL 300\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n*.w A 192.0.2.2\nsub NS ns.sub\n\
                        ns.sub A 192.0.2.3\nalias CNAME www.open.example.\n";
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("zone");
    std::fs::write(&path, ZONE)?;
    let mut changes = Vec::new();
    for apex in ["closed.example.", "open.example."].map(name) {
        let content = zonefile::load(&path, &apex, "zone".into()).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
        changes.push(Change::PutZone {
            source: SourceId::zone_files(),
            apex,
            content: Ok(content.rrsets),
        });
    }
    let mut kernel = Kernel::new(ENVIRONMENT, false)?;
    let with_list = |denied| {
        let list = list(&[], &["198.51.100.0/24"], denied).context("a list")?;
        anyhow::Ok(Change::Access(vec![(name("closed.example."), list.into())]))
    };
    changes.push(with_list(Access::Refused)?);
    kernel.apply(changes)?;
    let owners = ["", "ns.", "nx.", "any.w.", "w.", "sub.", "below.sub.", "alias."];
    let ask = |kernel: &Kernel, apex: &str, is_ipv6| {
        let mut fates = Vec::new();
        for owner in owners {
            for qtype in [RecordType::A, RecordType::TXT, RecordType::NS] {
                let query = Query::new(&wire_name(&format!("{owner}{apex}")), qtype.0).build();
                let found = fate(kernel, is_ipv6, &query)?;
                if let Fate::Answered(reply) = &found {
                    let client = if is_ipv6 { CLIENT.1.into() } else { CLIENT.0.into() };
                    let reference = expected(kernel, client, Admission::Admitted, &query);
                    assert_eq!(Some(reply), reference.as_ref(), "{owner}{apex} {qtype}");
                }
                fates.push(match found {
                    Fate::Answered(reply) => Some(reply[3]),
                    Fate::Dropped => None,
                    Fate::Passed => anyhow::bail!("{owner}{apex} {qtype} passes"),
                });
            }
        }
        anyhow::Ok(fates)
    };
    let is_open = |fates: &[Option<u8>]| fates.iter().all(|rcode| matches!(rcode, Some(0 | 3)));
    assert!(
        ask(&kernel, "closed.example", false)?
            .iter()
            .all(|rcode| *rcode == Some(5))
    );
    assert!(is_open(&ask(&kernel, "closed.example", true)?) && is_open(&ask(&kernel, "open.example", false)?));
    kernel.apply(vec![with_list(Access::Dropped)?])?;
    assert!(ask(&kernel, "closed.example", false)?.iter().all(Option::is_none));
    assert!(is_open(&ask(&kernel, "closed.example", true)?));
    let denied = dropped(&kernel.counters()?, DropReason::Access);
    assert_eq!(denied, 3 * owners.len() as u64);
    // Userspace drops it as well.
    let query = Query::new(&wire_name("ns.closed.example"), RecordType::ANY.0).build();
    assert_eq!(fate(&kernel, false, &query)?, Fate::Passed);
    assert_eq!(expected(&kernel, CLIENT.0.into(), Admission::Admitted, &query), None);
    // The number of a zone that goes may be another's, which has no list.
    kernel.apply(vec![Change::DropZone {
        source: SourceId::zone_files(),
        apex: name("closed.example."),
    }])?;
    kernel.apply(vec![Change::Access(Vec::new())])?;
    assert!(is_open(&ask(&kernel, "open.example", false)?));
    Ok(())
}

/// The frame with these octets between IP header and UDP header. `first` is what the IP header calls them: the whole of
/// an IPv4 header's length octet, or IPv6's next header.
fn with_between(frame: &UdpFrame, first: u8, between: &[u8]) -> Vec<u8> {
    let mut bytes = frame.build();
    let udp = frame.header_length() - 8;
    bytes.splice(udp..udp, between.iter().copied());
    if frame.source.is_ipv4() {
        let total = (bytes.len() - 14) as u16;
        bytes[14] = first;
        bytes[16..18].copy_from_slice(&total.to_be_bytes());
    } else {
        let payload = (bytes.len() - 14 - 40) as u16;
        bytes[18..20].copy_from_slice(&payload.to_be_bytes());
        bytes[20] = first;
    }
    bytes
}

#[test]
fn what_hides_its_ports_is_charged_where_they_can_be_found() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let query = queries().swap_remove(0);
    let v4 = frame(false, &[], query.clone());
    let v6 = frame(true, &[], query);
    let to_port = |frame: &UdpFrame, port: u16| {
        let mut frame = frame.clone();
        frame.destination.set_port(port);
        frame
    };
    let fragment = |flags: u8, offset: u8| {
        let mut bytes = v4.build();
        (bytes[20], bytes[21]) = (flags, offset);
        bytes
    };
    const UDP: u8 = 17;
    const TCP: u8 = 6;
    let options = |next: u8| [&[next, 0, 1, 4][..], &[0; 4]].concat();
    let long = |next: u8| [&[next, 2, 1, 20][..], &[0; 20]].concat();
    let part = |next: u8, offset: u8| vec![next, 0, 0, offset, 0, 0, 0, 1];
    let between = |parts: &[Vec<u8>]| parts.concat();
    // Those that XDP finds the ports of.
    let charged = [
        with_between(&v4, 0x46, &[1, 1, 1, 0]),
        with_between(&v4, 0x4F, &[1; 40]),
        fragment(0x20, 0),
        with_between(&v6, 0, &options(UDP)),
        with_between(&v6, 60, &long(UDP)),
        with_between(&v6, 44, &part(UDP, 1)),
        with_between(&v6, 0, &between(&[long(60), options(44), part(43, 1), options(UDP)])),
    ];
    for (number, bytes) in charged.iter().enumerate() {
        let guards = Guards {
            limits: two_at_once(),
            ..Guards::default()
        };
        let kernel = kernel(ENVIRONMENT, false, guards)?;
        let fate = |bytes: &[u8]| check(bytes, &kernel.run(bytes)?).map_err(anyhow::Error::msg);
        for _ in 0..2 {
            assert_eq!(fate(bytes)?, Fate::Passed, "case {number} within the limit");
        }
        for _ in 0..3 {
            assert_eq!(fate(bytes)?, Fate::Dropped, "case {number} over the limit");
        }
        assert_eq!(dropped(&kernel.counters()?, DropReason::RateLimit), 3);
    }
    // What is no datagram to one of our ports, or does not say so, is none of a limit's business.
    let free = [
        with_between(&to_port(&v4, 54), 0x46, &[1, 1, 1, 0]),
        fragment(0x20, 1),
        fragment(0, 1),
        with_between(&to_port(&v6, 54), 0, &options(UDP)),
        with_between(&v6, 0, &options(TCP)),
        with_between(&v6, 44, &part(UDP, 9)),
        with_between(&v6, 44, &part(UDP, 8)),
        with_between(&v6, 51, &options(UDP)),
    ];
    let guards = Guards {
        limits: two_at_once(),
        ..Guards::default()
    };
    let kernel = kernel(ENVIRONMENT, false, guards)?;
    for (number, bytes) in free.iter().enumerate() {
        for _ in 0..4 {
            let fate = check(bytes, &kernel.run(bytes)?).map_err(anyhow::Error::msg)?;
            assert_eq!(fate, Fate::Passed, "case {number}");
        }
    }
    Ok(())
}
