//! A table that cannot grow: changes are made all the same, names without room fall through to the reference answerer,
//! and nothing wrong is answered. Once there is memory, the table grows.

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use dns_userspace::answer::Environment;
use dns_userspace::model::record::RecordType;
use dns_userspace::model::source::SourceId;
use dns_userspace::serve::xdp::Loader;
use dns_userspace::store::Change;
use dns_userspace::table::Memory;
use dns_userspace::zonefile;
use tests::frames::{Query, wire_name};
use tests::planes::{COOKIES, Compared, Planes};
use tests::zones::name;

/// What the smallest table has.
const FEW_LINES: u32 = 1024;
const NAMES: usize = 3000;

/// Tables as small as they get, and larger ones where `has_memory`.
fn loader(has_memory: &Arc<AtomicBool>) -> Loader {
    let has_memory = Arc::clone(has_memory);
    Box::new(move |_, sizes| {
        let is_small = sizes.lines <= FEW_LINES && sizes.slots[0] < 2 * FEW_LINES;
        if !is_small && !has_memory.load(Ordering::Relaxed) {
            return Err("no memory, as the test asks".into());
        }
        Ok((None, Memory::on_heap(sizes)?))
    })
}

/// A zone of some names, with addresses and texts that say `what`.
fn zone(names: Range<usize>, what: u8) -> Result<Change> {
    let mut text = String::from(
        "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n*.wild A 192.0.2.2\n",
    );
    for at in names {
        let _ = writeln!(text, "n{at} A 198.51.{}.{what}\nn{at} TXT text{what}", at % 256);
        let _ = writeln!(text, "deep.{at}.below A 203.0.113.{what}");
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("zone");
    fs::write(&path, text)?;
    let apex = name("x.test.");
    let content = zonefile::load(&path, &apex, "zone".into()).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    Ok(Change::PutZone {
        source: SourceId::zone_files(),
        apex,
        content: Ok(content.rrsets),
    })
}

/// Asks for every name there may be, and around. How many the fast path answered.
fn ask_all(planes: &mut Planes) -> Result<usize> {
    let mut answered = 0;
    for at in 0..NAMES + 50 {
        for owner in [
            format!("n{at}.x.test"),
            format!("not.n{at}.x.test"),
            format!("deep.{at}.below.x.test"),
            format!("{at}.below.x.test"),
            format!("nx.{at}.below.x.test"),
            format!("{at}.wild.x.test"),
        ] {
            for qtype in [RecordType::A, RecordType::TXT, RecordType::AAAA] {
                match planes.compare(&Query::new(&wire_name(&owner), qtype.0).build()) {
                    Ok(Compared::Equal) => answered += 1,
                    Ok(Compared::Passed(_)) => {}
                    Err(difference) => anyhow::bail!("{owner} {qtype}:\n{difference}"),
                }
            }
        }
    }
    Ok(answered)
}

#[test]
fn names_without_room_fall_through() -> Result<()> {
    let has_memory = Arc::new(AtomicBool::new(false));
    let environment = Environment {
        cookies: COOKIES,
        ..Environment::DEFAULT
    };
    let mut planes = Planes::new(loader(&has_memory), environment, false)?;
    let figures = planes.publisher.figures();
    planes.publisher.retry_growth_at_once();
    let unplaced = || figures.unplaced.load(Ordering::Relaxed);

    planes.apply(vec![zone(0..100, 1)?])?;
    ensure!(unplaced() == 0, "a small zone has room");
    let small = ask_all(&mut planes)?;
    // More than there are lines or slots for, changed, and back.
    let mut fewest = usize::MAX;
    for (names, what) in [(0..NAMES, 1), (0..NAMES, 2), (NAMES / 2..NAMES, 3)] {
        ensure!(planes.apply(vec![zone(names, what)?]).is_err(), "it cannot grow");
        ensure!(
            unplaced() > 0,
            "{} names, none without room",
            figures.names.load(Ordering::Relaxed)
        );
        ensure!(
            figures.lines.load(Ordering::Relaxed) == u64::from(FEW_LINES),
            "it has not grown"
        );
        fewest = fewest.min(ask_all(&mut planes)?);
    }
    ensure!(fewest > 500, "{fewest} answers: what has room is answered");
    planes.apply(vec![zone(0..100, 1)?])?;
    ensure!(unplaced() == 0, "what is gone needs no room");
    let again = ask_all(&mut planes)?;
    ensure!(again * 10 > small * 9, "{again} answers, {small} before");

    planes.apply(vec![zone(0..NAMES, 4)?]).ok();
    ensure!(unplaced() > 0, "it is full again");
    has_memory.store(true, Ordering::Relaxed);
    planes.publisher.retry_growth_at_once();
    ensure!(planes.publisher.rest().is_none(), "nothing more to wait for");
    ensure!(unplaced() == 0, "all have room");
    let all = ask_all(&mut planes)?;
    ensure!(all > 15 * NAMES, "{all} answers");
    Ok(())
}
