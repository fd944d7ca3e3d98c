//! Kept answers of upstream servers, and what rules say, in the XDP program, by `BPF_PROG_TEST_RUN`, beside the fast
//! path on sockets: the same octets, at every moment.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};
use dns_common::hot::NO_AGE;
use dns_common::reason::PassReason;
use dns_common::table::word;
use dns_userspace::answer::{CookieSource, Environment};
use dns_userspace::model::record::{Handling, RecordType, RrSet};
use dns_userspace::model::source::Origin;
use dns_userspace::model::views::ViewClients;
use dns_userspace::serve::fastpath::{Fast, Worker};
use dns_userspace::serve::xdp::Room;
use dns_userspace::store::{Change, ConfiguredView};
use dns_userspace::table::{HotAnswer, HotPlace, HotWriter, TableReader};
use tests::bench::fuzz::{Fate, check};
use tests::frames::{Edns, Query, wire_name};
use tests::kernel::{CLIENT, Guards, Kernel, frame, is_skipped};
use tests::planes::COOKIES;
use tests::zones::name;

const ENVIRONMENT: Environment<'_> = Environment {
    udp_payload: 1232,
    recursion_available: true,
    cookies: COOKIES,
    ..Environment::DEFAULT
};
/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;
/// When answers came.
const CAME: u64 = 5000 * SECOND;
const RD: u16 = 0x0100;
const CD: u16 = 0x0010;

struct Hot {
    kernel: Kernel,
    writer: HotWriter,
    worker: Worker,
}

impl Hot {
    fn new() -> Result<Self> {
        let room = Room {
            hot: 64,
            ..Room::default()
        };
        let guards = Guards {
            room,
            ..Guards::default()
        };
        let kernel = Kernel::guarded(ENVIRONMENT, true, guards)?;
        let writer = writer(&kernel);
        let worker = kernel.planes.worker();
        let hot = Self { kernel, writer, worker };
        hot.set_now(CAME);
        Ok(hot)
    }

    fn set_now(&self, now: u64) {
        let table = self.kernel.planes.served.table();
        table.memory.epoch_word(word::FIXED_NOW).store(now, Ordering::SeqCst);
    }

    fn apply(&mut self, changes: Vec<Change>) -> Result<()> {
        self.kernel.apply(changes)
    }

    fn put(&mut self, answer: &HotAnswer<'_>) -> Result<HotPlace> {
        self.writer.put(answer, 0).context("no room")
    }

    /// What XDP answers; the fast path's answer has to be the same.
    fn ask(&mut self, is_ipv6: bool, query: &Query) -> Result<Option<Vec<u8>>> {
        self.ask_in(&[], is_ipv6, query)
    }

    fn ask_in(&mut self, vlans: &[u16], is_ipv6: bool, query: &Query) -> Result<Option<Vec<u8>>> {
        let frame = frame(is_ipv6, vlans, query.build());
        let bytes = frame.build();
        let answered = match check(&bytes, &self.kernel.run(&bytes)?).map_err(anyhow::Error::msg)? {
            Fate::Answered(reply) => Some(reply),
            Fate::Passed => None,
            Fate::Dropped => anyhow::bail!("dropped"),
        };
        let client: IpAddr = frame.source.ip();
        let environment = Environment {
            cookies: CookieSource { client, ..COOKIES },
            ..ENVIRONMENT
        };
        let mut reply = Vec::new();
        let fast = self.worker.answer(&frame.payload, &environment, &mut reply);
        let fast = (fast == Fast::Answered).then_some(reply);
        ensure!(answered == fast, "XDP: {answered:?}\nfast path: {fast:?}");
        Ok(answered)
    }

    fn cached(&self) -> Result<u64> {
        Ok(self.kernel.counters()?.cached)
    }
}

fn writer(kernel: &Kernel) -> HotWriter {
    HotWriter::new(TableReader::clone(&kernel.planes.served.table()))
}

fn query(owner: &str, qtype: RecordType) -> Query {
    let query = Query::new(&wire_name(owner), qtype.0);
    Query {
        flags: query.flags | RD,
        ..query
    }
}

fn answer<'a>(name: &'a [u8], body: &'a [u8], ttls: &'a [u8], counts: [u16; 2]) -> HotAnswer<'a> {
    HotAnswer {
        name,
        qtype: RecordType::A.0,
        dnssec_ok: false,
        checking_disabled: false,
        view: 0,
        came: CAME,
        ttl: 60,
        rcode: 0,
        counts,
        body,
        ttls,
        generation: None,
        rule: None,
    }
}

fn address(ttl: u8, last: u8) -> [u8; 16] {
    [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, ttl, 0, 4, 192, 0, 2, last]
}

/// `alias 90 CNAME to.other.` and its address; where the TTLs are.
fn chain() -> (Vec<u8>, [u8; 4]) {
    let target = wire_name("to.other.");
    let mut body = vec![0xC0, 12, 0, 5, 0, 1, 0, 0, 0, 90, 0, target.len() as u8];
    body.extend_from_slice(&target);
    let second = body.len() as u8 + target.len() as u8 + 4;
    body.extend_from_slice(&target);
    body.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 5]);
    (body, [0, 6, 0, second])
}

fn overlays(names: &[&str]) -> Change {
    let rrset = RrSet {
        rtype: RecordType::A,
        ttl: 300,
        rdatas: [[192, 0, 2, 99]].into(),
        origin: Origin::config(),
        handling: Handling::default(),
    };
    Change::config_records(names.iter().map(|owner| (name(owner), rrset.clone())).collect())
}

fn with_edns(query: Query, edns: Edns) -> Query {
    Query {
        edns: Some(edns),
        ..query
    }
}

#[test]
fn both_planes_give_the_same_octets_until_the_last_second() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut hot = Hot::new()?;
    let names = ["www.test.", "odd.test.", "x.alias.test.", "none.test."].map(wire_name);
    let one = address(60, 1);
    let four: Vec<u8> = (1..=4).flat_map(|last| address(60, last)).collect();
    let (chain, places) = chain();
    let soa = b"\0\0\x06\0\x01\0\0\0\x3C\0\x16\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x3C";
    hot.put(&answer(&names[0], &one, &[0, 6], [1, 0]))?;
    hot.put(&answer(&names[1], &four, &[0, 6, 0, 22, 0, 38, 0, 54], [4, 0]))?;
    hot.put(&answer(&names[2], &chain, &places, [2, 0]))?;
    hot.put(&HotAnswer {
        rcode: 3,
        ..answer(&names[3], soa, &[0, 5], [0, 1])
    })?;
    let before = hot.cached()?;
    let mut answered = 0;
    for half_seconds in 0..125u64 {
        hot.set_now(CAME + half_seconds * SECOND / 2);
        for owner in ["wWw.Test.", "odd.test.", "x.alias.test.", "none.test."] {
            let plain = query(owner, RecordType::A);
            let cookie = Edns {
                udp_payload: 1232,
                options: b"\0\x0A\0\x08client!!".to_vec(),
                ..Edns::default()
            };
            let sized = Edns {
                udp_payload: 1232,
                ..Edns::default()
            };
            let shapes = [plain.clone(), with_edns(plain.clone(), sized), with_edns(plain, cookie)];
            for (shape, is_ipv6) in shapes.iter().flat_map(|shape| [(shape, false), (shape, true)]) {
                let reply = hot.ask(is_ipv6, shape)?;
                ensure!(
                    reply.is_some() == (half_seconds < 120),
                    "{owner} after {half_seconds} half seconds"
                );
                let Some(reply) = reply else { continue };
                answered += 1;
                // QR RD, RA: neither AA nor AD.
                ensure!(
                    reply[2..4] == [0x81, 0x80 | (u8::from(owner == "none.test.") * 3)],
                    "{:?}",
                    &reply[..4]
                );
                let question = 12 + wire_name(owner).len() + 4;
                ensure!(
                    reply[12..question] == shape.build()[12..question],
                    "the case of the question"
                );
                let left = (60 - half_seconds / 2) as u8;
                let (at, first) = match owner {
                    "x.alias.test." => (question + 9, left + 30),
                    "none.test." => (question + 8, left),
                    _ => (question + 9, left),
                };
                ensure!(
                    reply[at] == first,
                    "{owner} after {half_seconds} half seconds: {}",
                    reply[at]
                );
            }
        }
    }
    assert_eq!(hot.cached()? - before, answered);
    Ok(())
}

#[test]
fn both_planes_give_what_rules_say_with_its_extended_error_and_it_does_not_age() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut hot = Hot::new()?;
    let owners = ["blocked.test.", "sink.test.", "many.test.", "none.test."];
    let names = owners.map(wire_name);
    let (one, many) = (
        address(60, 1),
        (1..=7).flat_map(|last| address(60, last)).collect::<Vec<u8>>(),
    );
    let ruled = |name, body, answers: u16, info_code| HotAnswer {
        came: NO_AGE,
        rule: Some(info_code),
        ..answer(name, body, &[], [answers, 0])
    };
    let (blocked, said) = (15, 0);
    hot.put(&HotAnswer {
        rcode: 3,
        ..ruled(&names[0], &[], 0, blocked)
    })?;
    hot.put(&ruled(&names[1], &one, 1, blocked))?;
    hot.put(&ruled(&names[2], &many, 7, said))?;
    hot.put(&ruled(&names[3], &[], 0, said))?;
    let (before, mut answered) = (hot.kernel.counters()?, 0);
    for days in [0, 1, 1000] {
        hot.set_now(CAME + days * 86_400 * SECOND);
        for (number, owner) in owners.into_iter().enumerate() {
            let plain = query(owner, RecordType::A);
            let sized = Edns {
                udp_payload: 1232,
                dnssec_ok: false,
                ..Edns::default()
            };
            let cookie = Edns {
                options: b"\0\x0A\0\x08client!!".to_vec(),
                ..sized.clone()
            };
            let shapes = [
                (plain.clone(), false),
                (with_edns(plain.clone(), sized), true),
                (with_edns(plain, cookie), true),
            ];
            for ((shape, has_opt), is_ipv6) in shapes.iter().flat_map(|shape| [(shape, false), (shape, true)]) {
                let reply = hot.ask(is_ipv6, shape)?.context(owner)?;
                answered += 1;
                let rcode = if number == 0 { 3 } else { 0 };
                ensure!(reply[2..4] == [0x85, 0x80 | rcode], "QR AA RD, RA: {:?}", &reply[..4]);
                let answers = [0, 1, 7, 0][number];
                ensure!(reply[6..10] == [0, answers, 0, 0], "{owner}: {:?}", &reply[..12]);
                let is_told = reply.ends_with(&[0, 15, 0, 2, 0, 15]);
                ensure!(is_told == (*has_opt && number < 2), "{owner}: {reply:?}");
                if answers > 0 {
                    let ttl = 12 + names[number].len() + 4 + 6;
                    ensure!(reply[ttl..ttl + 4] == [0, 0, 0, 60], "{owner} after {days} days");
                }
            }
        }
    }
    let after = hot.kernel.counters()?;
    assert_eq!(
        (after.cached - before.cached, after.ruled - before.ruled),
        (answered, answered)
    );
    // Another plain answer is none of a rule.
    let plain = wire_name("www.test.");
    hot.set_now(CAME);
    hot.put(&answer(&plain, &one, &[0, 6], [1, 0]))?;
    let reply = hot
        .ask(false, &query("www.test.", RecordType::A))?
        .context("an answer")?;
    ensure!(reply[2] == 0x81 && hot.kernel.counters()?.ruled == after.ruled);
    Ok(())
}

#[test]
fn other_questions_pass_and_so_does_what_is_too_large() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut hot = Hot::new()?;
    let (owner, large_owner) = (wire_name("www.test."), wire_name("large-answer.test."));
    let large: Vec<u8> = (0..30).flat_map(|last| address(60, last)).collect();
    let places: Vec<u8> = (0..16u16).flat_map(|record| (6 + 16 * record).to_be_bytes()).collect();
    // More than a client without OPT takes. That not all TTLs are found does not matter here.
    let large_answer = HotAnswer {
        checking_disabled: true,
        ..answer(&large_owner, &large, &places, [30, 0])
    };
    hot.put(&large_answer)?;
    hot.put(&answer(&owner, &address(60, 1), &[0, 6], [1, 0]))?;
    let asked = query("www.test.", RecordType::A);
    ensure!(hot.ask(false, &asked)?.is_some());
    let checking_disabled = Query {
        flags: asked.flags | CD,
        ..query("large-answer.test.", RecordType::A)
    };
    let frame_of = |query: &Query| frame(false, &[], query.build()).build();
    let reason = |hot: &Hot, query: &Query| hot.kernel.pass_reason(&frame_of(query));
    assert_eq!(reason(&hot, &checking_disabled)?, Some(PassReason::TooLarge));
    let sized = Edns {
        udp_payload: 1232,
        ..Edns::default()
    };
    let reply = hot.ask(false, &with_edns(checking_disabled, sized.clone()))?;
    ensure!(reply.is_some_and(|reply| reply[3] == 0x90), "CD is copied");
    let secure = Edns {
        dnssec_ok: true,
        ..sized
    };
    for other in [
        query("ww.test.", RecordType::A),
        query("www.test.", RecordType::AAAA),
        with_edns(asked.clone(), secure),
    ] {
        ensure!(hot.ask(false, &other)?.is_none());
        assert_eq!(reason(&hot, &other)?, Some(PassReason::Foreign));
    }
    // RD=0 is refused, as ever.
    let reply = hot.ask(
        false,
        &Query {
            flags: asked.flags & !RD,
            ..asked
        },
    )?;
    ensure!(reply.is_some_and(|reply| reply[3] & 0x0F == 5));
    Ok(())
}

#[test]
fn clients_that_may_not_recurse_pass() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut hot = Hot::new()?;
    let owner = wire_name("www.test.");
    hot.put(&answer(&owner, &address(60, 1), &[0, 6], [1, 0]))?;
    let asked = query("www.test.", RecordType::A);
    ensure!(hot.ask(false, &asked)?.is_some() && hot.ask(true, &asked)?.is_some());
    let mut stranger = frame(false, &[], asked.build());
    stranger.source = "203.0.113.9:4000".parse()?;
    // Userspace refuses.
    assert_eq!(hot.kernel.pass_reason(&stranger.build())?, Some(PassReason::Foreign));
    Ok(())
}

#[test]
fn what_is_removed_or_becomes_ours_is_given_no_more() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut hot = Hot::new()?;
    let (owner, alias) = (wire_name("www.test."), wire_name("x.alias.test."));
    let (chain, places) = chain();
    let one = address(60, 1);
    let asked = query("www.test.", RecordType::A);
    let through = query("x.alias.test.", RecordType::A);
    let place = hot.put(&answer(&owner, &one, &[0, 6], [1, 0]))?;
    ensure!(hot.ask(false, &asked)?.is_some());
    hot.writer.remove(place);
    ensure!(hot.ask(false, &asked)?.is_none());
    for _ in 0..3 {
        let place = hot.put(&answer(&owner, &one, &[0, 6], [1, 0]))?;
        let generation = hot.writer.generation();
        let alias_place = hot.put(&HotAnswer {
            generation: Some(generation),
            ..answer(&alias, &chain, &places, [2, 0])
        })?;
        ensure!(hot.ask(false, &asked)?.is_some() && hot.ask(false, &through)?.is_some());
        hot.apply(vec![overlays(&["to.other."])])?;
        ensure!(hot.ask(false, &asked)?.is_some(), "it has nothing to do with that");
        ensure!(hot.ask(false, &through)?.is_none(), "an alias leads to a name of ours");
        hot.apply(vec![overlays(&["www.test."])])?;
        let reply = hot.ask(false, &asked)?.context("an answer of ours")?;
        ensure!(reply[2] & 4 != 0 && reply.ends_with(&[192, 0, 2, 99]), "{reply:?}");
        hot.apply(vec![overlays(&["*.test."])])?;
        let reply = hot.ask(false, &asked)?;
        let is_ours = |reply: Vec<u8>| reply[2] & 4 != 0 && reply.ends_with(&[192, 0, 2, 99]);
        ensure!(reply.is_none_or(is_ours), "a wildcard of ours covers it");
        hot.apply(vec![overlays(&[])])?;
        ensure!(hot.ask(false, &asked)?.is_some(), "it is what upstream says again");
        hot.writer.remove(place);
        hot.writer.remove(alias_place);
    }
    Ok(())
}

#[test]
fn each_view_has_its_own() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut hot = Hot::new()?;
    let view = ConfiguredView {
        view: ViewClients {
            name: "office".into(),
            clients: vec![format!("{}/32", CLIENT.0).parse()?],
        },
        records: Vec::new(),
    };
    hot.apply(vec![Change::Views(vec![view])])?;
    hot.set_now(CAME);
    hot.writer = writer(&hot.kernel);
    let owner = wire_name("www.test.");
    let asked = query("www.test.", RecordType::A);
    hot.put(&answer(&owner, &address(60, 1), &[0, 6], [1, 0]))?;
    ensure!(hot.ask(false, &asked)?.is_none());
    ensure!(hot.ask(true, &asked)?.is_some_and(|reply| reply.ends_with(&[1])));
    hot.put(&HotAnswer {
        view: 1,
        ..answer(&owner, &address(60, 2), &[0, 6], [1, 0])
    })?;
    ensure!(hot.ask(false, &asked)?.is_some_and(|reply| reply.ends_with(&[2])));
    ensure!(hot.ask(true, &asked)?.is_some_and(|reply| reply.ends_with(&[1])));
    ensure!(
        hot.ask_in(&[7], false, &asked)?
            .is_some_and(|reply| reply.ends_with(&[2]))
    );
    Ok(())
}
