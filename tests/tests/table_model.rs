//! A model of the table's life: at every step between the writer's stores, and under readers on other threads, a query
//! gets the old answer or the new one, or passes.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use dns_common::hash::Keys;
use dns_common::line::{Half, Line, OVERFLOW, Occupant};
use dns_common::message::Buffer;
use dns_common::scan::scan;
use dns_common::scratch::Scratch;
use dns_common::search::{probe, probed};
use dns_common::slot::SLOT_CLASSES;
use dns_common::table::Table;
use dns_userspace::answer::{Environment, Serials};
use dns_userspace::model::name::Name;
use dns_userspace::model::record::{Handling, RecordType, RrSet};
use dns_userspace::model::snapshot::Snapshot;
use dns_userspace::model::source::{Origin, SourceId};
use dns_userspace::publish::{Moment, Served};
use dns_userspace::serve::fastpath::{Fast, Worker};
use dns_userspace::store::Change;
use dns_userspace::table::{Ahead, Entry, Memory, Sizes, TableReader, TableWriter};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use tests::bench::fuzz::{Fate, check};
use tests::differential::first_seed;
use tests::frames::{Query, wire_name};
use tests::kernel::{Kernel, frame, is_skipped};
use tests::planes::{COOKIES, Planes, message, on_heap, reference};
use tests::queries::{Names, TYPES, well_formed};
use tests::testrun::TestRun;
use tests::zones::{Generator, name};

/// Configurations that are stepped through, and changes of each.
const CONFIGURATIONS: u64 = 25;
const CHANGES: usize = 8;
/// Queries at every step.
const QUERIES: usize = 40;
/// Changes under readers on other threads.
const CHURN: usize = 3000;
/// Writings of one line under readers.
const WRITINGS: u32 = 400_000;
/// Steps of one change at which the queries are asked; evenly spread where there are more.
const STEPS: usize = 60;

/// Serials as they were at one moment.
struct Frozen(Vec<Option<u32>>);

impl Serials for Frozen {
    fn serial(&self, zone_index: u32) -> Option<u32> {
        self.0.get(zone_index as usize).copied().flatten()
    }
}

impl Frozen {
    fn of(serials: &dyn Serials) -> Self {
        Self((0..64).map(|index| serials.serial(index)).collect())
    }

    fn with(&self, changed: &[(u32, u32)]) -> Self {
        let mut all = self.0.clone();
        for &(index, serial) in changed {
            if let Some(place) = all.get_mut(index as usize) {
                *place = Some(serial);
            }
        }
        Self(all)
    }
}

/// One query, and what is right for it before and after a change.
struct Question {
    query: Vec<u8>,
    old: Option<Vec<u8>>,
    /// With the old serials, which move last, and with the new ones.
    new: [Option<Vec<u8>>; 2],
}

#[test]
fn every_step_of_a_publication_gives_old_or_new() -> Result<()> {
    let mut steps = 0u64;
    let mut answers = 0u64;
    let mut rebuilt = 0;
    let first = first_seed();
    for seed in first..first + CONFIGURATIONS {
        let mut generator = Generator::new(seed);
        let mut planes = Planes::new(on_heap(), generator.environment(), generator.has_upstream())?;
        let mut names = Names::default();
        let changes = generator.first();
        planes.apply(changes)?;
        names.add(&planes.store.snapshot());
        for change in 0..CHANGES {
            let changes = generator.next(&planes.store);
            let plan = planes.store.plan(changes);
            names.add(&plan.snapshot);
            // One client a change: of a view, or of none.
            planes.environment.cookies.client = generator.client();
            let before = Frozen::of(&*planes.served);
            let serials = planes.next_serials(&plan);
            // A zone that was not there has its own serial from the start.
            let started: Vec<(u32, u32)> = serials
                .iter()
                .copied()
                .filter(|(index, _)| !has_index_at_same_apex(&planes.served.snapshot(), &plan.snapshot, *index))
                .collect();
            let questions = questions(
                generator.rng(),
                &names,
                &planes.environment,
                (&planes.served.snapshot(), &before),
                (&plan.snapshot, [&before.with(&started), &before.with(&serials)]),
            );
            let mut walk = Walk::new(
                Arc::clone(&planes.served),
                planes.worker(),
                planes.environment,
                &questions,
            );
            walk.context = format!("HOTDNS_DIFFERENTIAL_SEED={seed}, change {change}");
            planes.apply_observed(&plan, &serials, &mut |stage| walk.look(stage))?;
            walk.end();
            steps += walk.steps;
            answers += walk.answers;
            rebuilt += u32::from(walk.was_rebuilt);
        }
    }
    println!("{steps} steps, {answers} answers, {rebuilt} rebuilds");
    ensure!(steps > 2000 && answers > 20_000, "{steps} steps, {answers} answers");
    Ok(())
}

fn has_index_at_same_apex(old: &Snapshot, new: &Snapshot, index: u32) -> bool {
    let at = |snapshot: &Snapshot| {
        let zone = snapshot.zones.iter().find(|(_, zone)| zone.index == index);
        zone.map(|(apex, _)| apex.clone())
    };
    at(old).is_some() && at(old) == at(new)
}

/// Queries, above all those whose answer differs.
fn questions(
    rng: &mut StdRng,
    names: &Names,
    environment: &Environment<'_>,
    (old, old_serials): (&Snapshot, &Frozen),
    (new, new_serials): (&Snapshot, [&Frozen; 2]),
) -> Vec<Question> {
    let mut all: Vec<Name> = names.iter().collect();
    all.shuffle(rng);
    let (mut differing, mut same) = (Vec::new(), Vec::new());
    for name in &all {
        for qtype in [RecordType::A, RecordType(65281), *TYPES.choose(rng).expect("not empty")] {
            let query = well_formed(rng, name, qtype).build();
            let old = reference(&query, old, old_serials, environment);
            let new = new_serials.map(|serials| reference(&query, new, serials, environment));
            let question = Question { query, old, new };
            if question.new[0] != question.old {
                differing.push(question)
            } else {
                same.push(question)
            }
        }
        if differing.len() >= QUERIES {
            break;
        }
    }
    same.truncate(QUERIES / 4);
    differing.truncate(QUERIES);
    differing.extend(same);
    differing
}

struct Walk<'a> {
    served: Arc<Served>,
    worker: Worker,
    environment: Environment<'static>,
    questions: &'a [Question],
    context: String,
    is_published: bool,
    was_rebuilt: bool,
    steps: u64,
    skipped: usize,
    answers: u64,
    reply: Vec<u8>,
}

impl<'a> Walk<'a> {
    fn new(served: Arc<Served>, worker: Worker, environment: Environment<'static>, questions: &'a [Question]) -> Self {
        Self {
            served,
            worker,
            environment,
            questions,
            context: String::new(),
            is_published: false,
            was_rebuilt: false,
            steps: 0,
            skipped: 0,
            answers: 0,
            reply: Vec::new(),
        }
    }

    /// Asks everything, as a client would at this moment.
    fn look(&mut self, stage: Moment) {
        match stage {
            Moment::Published => self.is_published = true,
            Moment::Rebuilding => self.was_rebuilt = true,
            // Large changes are looked at now and then only.
            Moment::Fencing | Moment::Installing if self.steps as usize > STEPS => {
                self.skipped += 1;
                if !self.skipped.is_multiple_of(16) {
                    return;
                }
            }
            Moment::Fencing | Moment::Installing | Moment::Fenced | Moment::Closed => {}
        }
        self.steps += 1;
        let snapshot = self.served.snapshot();
        for question in self.questions {
            let fast = self.worker.answer(&question.query, &self.environment, &mut self.reply);
            let reply = match fast {
                Fast::Answered => {
                    self.answers += 1;
                    Some(self.reply.clone())
                }
                Fast::Pass(_) => reference(&question.query, &snapshot, &*self.served, &self.environment),
            };
            // Once userspace answers from the new snapshot, no plane may give the old answer.
            let is_right = match self.is_published {
                false => reply == question.old,
                true => question.new.contains(&reply),
            };
            assert!(
                is_right,
                "{} at {stage:?} ({fast:?}):\nquery {}\ngot {}\nold {}\nnew {}",
                self.context,
                message(&question.query),
                show(&reply),
                show(&question.old),
                show(&question.new[0]),
            );
        }
    }

    /// After the change: the new answers alone, serials included.
    fn end(&mut self) {
        for question in self.questions {
            let fast = self.worker.answer(&question.query, &self.environment, &mut self.reply);
            let reply = match fast {
                Fast::Answered => Some(self.reply.clone()),
                Fast::Pass(_) => reference(
                    &question.query,
                    &self.served.snapshot(),
                    &*self.served,
                    &self.environment,
                ),
            };
            assert!(
                reply == question.new[1],
                "{} afterwards ({fast:?}):\nquery {}\ngot {}\nnew {}",
                self.context,
                message(&question.query),
                show(&reply),
                show(&question.new[1]),
            );
        }
    }
}

fn show(reply: &Option<Vec<u8>>) -> String {
    reply.as_deref().map_or("nothing of our own".to_owned(), message)
}

#[test]
fn a_new_table_beside_the_old_gives_old_or_new() -> Result<()> {
    let mut rng = StdRng::seed_from_u64(5);
    for seed in 1..4 {
        let mut generator = Generator::new(seed);
        let mut planes = Planes::new(on_heap(), generator.environment(), generator.has_upstream())?;
        let changes = generator.first();
        planes.apply(changes)?;
        let mut names = Names::default();
        names.add(&planes.store.snapshot());
        // More names than the smallest table has lines, beside some that change.
        let mut changes = generator.next(&planes.store);
        changes.extend((0..2000).map(|number| Change::Put {
            source: SourceId::api(),
            view: None,
            owner: name(&format!("h{number}.many.example.")),
            rrset: address([10, 1, (number / 256) as u8, number as u8]).into(),
        }));
        let plan = planes.store.plan(changes);
        let mut questioned = names.clone();
        questioned.add_one(&name("h7.many.example."));
        let before = Frozen::of(&*planes.served);
        let serials = planes.next_serials(&plan);
        let after = before.with(&serials);
        let snapshot = planes.served.snapshot();
        let (old, new) = ((&*snapshot, &before), (&*plan.snapshot, [&before, &after]));
        let mut questions = questions(&mut rng, &questioned, &planes.environment, old, new);
        // The reference reads the old serials until the new table is there, and new zones have none yet.
        questions.retain(|question| question.new[0] == question.new[1] || question.new[0] == question.old);
        let mut walk = Walk::new(
            Arc::clone(&planes.served),
            planes.worker(),
            planes.environment,
            &questions,
        );
        walk.context = format!("seed {seed}");
        planes.apply_observed(&plan, &serials, &mut |stage| walk.look(stage))?;
        walk.end();
        ensure!(walk.was_rebuilt && walk.steps >= 3, "no new table");
    }
    Ok(())
}

fn address(octets: [u8; 4]) -> RrSet {
    RrSet {
        rtype: RecordType::A,
        ttl: 60,
        rdatas: [octets].into(),
        origin: Origin::api(),
        handling: Handling::default(),
    }
}

#[test]
fn readers_under_a_writer_see_old_or_new() -> Result<()> {
    let environment = Environment {
        cookies: COOKIES,
        ..Environment::DEFAULT
    };
    let mut planes = Planes::new(on_heap(), environment, false)?;
    planes.apply(Generator::new(3).first())?;
    churn(&mut planes, None)
}

#[test]
fn readers_of_maps_under_a_writer_see_old_or_new() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let environment = Environment {
        cookies: COOKIES,
        ..Environment::DEFAULT
    };
    let mut kernel = Kernel::new(environment, false)?;
    kernel.apply(Generator::new(3).first())?;
    let program = kernel.program().try_clone_to_owned()?;
    churn(&mut kernel.planes, Some(program.as_fd()))
}

/// Readers of the table's memory, and the program where it has one, while states follow each other.
fn churn(planes: &mut Planes, program: Option<BorrowedFd<'_>>) -> Result<()> {
    let environment = planes.environment;
    let queries: Vec<Vec<u8>> = [
        ("t.example", RecordType::TXT),
        ("t.example", RecordType::A),
        ("new.new.example", RecordType::A),
        ("new.example", RecordType::A),
        ("alias.t.example", RecordType::TXT),
        ("deep.nx.w.example", RecordType::A),
    ]
    .map(|(owner, qtype)| Query::new(&wire_name(owner), qtype.0).build())
    .into();
    // The serials stay, so that each state has one answer.
    let mut right: Vec<BTreeSet<Option<Vec<u8>>>> = vec![BTreeSet::new(); queries.len()];
    for state in 0..4 {
        let plan = planes.store.plan(state_changes(state));
        planes.apply_observed(&plan, &[], &mut |_| {})?;
        for (right, query) in right.iter_mut().zip(&queries) {
            right.insert(planes.reference(query));
        }
    }
    let (done, answers, sent) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let is_right = |right: &BTreeSet<Option<Vec<u8>>>, reply: &[u8]| {
        assert!(
            right.contains(&Some(reply.to_vec())),
            "neither old nor new:\n{}",
            message(reply)
        );
    };
    thread::scope(|scope| -> Result<()> {
        let mut readers = Vec::new();
        for _ in 0..2 {
            let mut worker = planes.worker();
            let (right, queries, done, answers) = (&right, &queries, &done, &answers);
            readers.push(scope.spawn(move || {
                let mut reply = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    for (right, query) in right.iter().zip(queries) {
                        if worker.answer(query, &environment, &mut reply) == Fast::Answered {
                            answers.fetch_add(1, Ordering::Relaxed);
                            is_right(right, &reply);
                        }
                    }
                }
            }));
        }
        for program in program.into_iter().cycle().take(2) {
            let (right, queries, done, sent) = (&right, &queries, &done, &sent);
            readers.push(scope.spawn(move || {
                let frames: Vec<Vec<u8>> = queries
                    .iter()
                    .map(|query| frame(false, &[], query.clone()).build())
                    .collect();
                let run = TestRun::new(program);
                while !done.load(Ordering::Relaxed) {
                    for (right, frame) in right.iter().zip(&frames) {
                        let outcome = run.run(frame).expect("the program runs");
                        match check(frame, &outcome).expect("a right frame") {
                            Fate::Passed => {}
                            Fate::Dropped => panic!("dropped"),
                            Fate::Answered(reply) => {
                                sent.fetch_add(1, Ordering::Relaxed);
                                is_right(right, &reply);
                            }
                        }
                    }
                }
            }));
        }
        let mut rng = StdRng::seed_from_u64(9);
        let result = (0..CHURN).try_for_each(|_| {
            let plan = planes.store.plan(state_changes(rng.random_range(0..4)));
            planes.apply_observed(&plan, &[], &mut |_| {})
        });
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().ok().context("a reader saw what it must not")?;
        }
        result
    })?;
    let (answers, sent) = (answers.into_inner(), sent.into_inner());
    println!("{answers} answers from userspace, {sent} from the program, under {CHURN} changes");
    ensure!(answers > 10_000, "{answers} answers: nothing was tested");
    ensure!(program.is_none() || sent > 1_000, "{sent} answers of the program");
    Ok(())
}

/// One of four states of a few names: small and large texts, a wildcard that comes and goes, an empty non-terminal.
fn state_changes(state: usize) -> Vec<Change> {
    let put = |owner: &str, rtype, rdatas: Vec<Box<[u8]>>| Change::Put {
        source: SourceId::api(),
        view: None,
        owner: name(owner),
        rrset: RrSet {
            rtype,
            ttl: 60 + state as u32,
            rdatas: rdatas.into(),
            origin: Origin::api(),
            handling: Handling::default(),
        }
        .into(),
    };
    let delete = |owner: &str, rtype| Change::Delete {
        source: SourceId::api(),
        view: None,
        owner: name(owner),
        rtype,
    };
    let length = [10, 90, 180, 250][state];
    let text = [vec![length as u8], vec![b'a' + state as u8; length]]
        .concat()
        .into_boxed_slice();
    let address = Box::from([192, 0, 2, state as u8]);
    let mut changes = vec![
        put("t.example.", RecordType::TXT, vec![text]),
        put(
            "alias.t.example.",
            RecordType::CNAME,
            vec![wire_name("t.example").into()],
        ),
    ];
    changes.push(match state % 2 {
        0 => put("new.new.example.", RecordType::A, vec![address]),
        _ => delete("new.new.example.", RecordType::A),
    });
    changes.push(match state / 2 {
        0 => put("*.w.example.", RecordType::A, vec![Box::from([192, 0, 2, 77])]),
        _ => delete("*.w.example.", RecordType::A),
    });
    changes
}

#[test]
fn lines_are_copied_whole() -> Result<()> {
    let keys = Keys::from_random(&[0x5A; size_of::<Keys>()]);
    let sizes = Sizes {
        lines: 64,
        slots: [8; SLOT_CLASSES],
        ahead: Ahead::NONE,
        zones: 1,
        prefixes: 0,
    };
    let mut writer = TableWriter::new(Memory::on_heap(sizes).expect("memory"), keys);
    let wire = wire_name("www.example");
    // Every word of the line says which writing it is of.
    let entry = |number: u32| Entry {
        ttl: number,
        inline_a: vec![number.to_be_bytes(); 2],
        inline_aaaa: Some(std::array::from_fn(|at| number.to_be_bytes()[at % 4])),
        zone: number,
        ..Entry::bare(0)
    };
    writer.put(&wire, 0, &entry(1))?;
    let reader = writer.reader().clone();
    let of_name = |words: [u64; 8]| Line(words).occupant(Half::First).filter(|occupant| occupant.is_wide());
    let index = (0..64)
        .find(|&index| reader.line(index).and_then(of_name).is_some())
        .context("the line of the name")?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| -> Result<()> {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (reader, done) = (reader.clone(), &done);
                scope.spawn(move || {
                    let (mut whole, mut last) = (0u64, 0);
                    while !done.load(Ordering::Relaxed) {
                        let Some(words) = reader.line(index) else { continue };
                        whole += 1;
                        let occupant = of_name(words).expect("the name");
                        let number = occupant.ttl;
                        let address = u64::from(u32::from_le_bytes(number.to_be_bytes()));
                        let pair = address | address << 32;
                        assert!(number >= last, "back in time");
                        last = number;
                        assert_eq!(occupant.zone, number);
                        assert_eq!(occupant.cells[1..], [pair; 3], "words of several writings");
                    }
                    whole
                })
            })
            .collect();
        let result = (2..WRITINGS).try_for_each(|number| writer.put(&wire, 0, &entry(number)));
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            let whole = reader.join().ok().context("a reader saw a torn line")?;
            ensure!(whole > 100, "{whole} whole copies");
        }
        Ok(result?)
    })
}

/// What the core's search finds of a name: its TTL, or a fault.
fn found(reader: &TableReader, name: &str) -> Result<u32, u32> {
    occupant(reader, name).map(|found| found.ttl)
}

/// What the core's search finds of a name, or a fault.
fn occupant(reader: &TableReader, name: &str) -> Result<Occupant, u32> {
    let query = Query::new(&wire_name(name), 1).build();
    let mut message = Box::new(Buffer::default());
    let mut scratch = Box::new(Scratch::new());
    message.fill(&query).expect("a short query");
    scan(&*message, query.len(), &mut scratch, reader.keys(), false).expect("a plain query");
    match probe(&mut scratch, reader, 0, 0) {
        probed::FOUND => Ok(scratch.found),
        fault => Err(fault),
    }
}

#[test]
fn names_beyond_what_a_home_can_list_are_found_from_their_second() -> Result<()> {
    const LINES: u32 = 1 << 15;
    let mut writer = writer(LINES, 11);
    let mut rng = StdRng::seed_from_u64(11);
    let entry = |ttl| Entry { ttl, ..Entry::bare(0) };
    // Four fifths of the halves.
    let mut names: Vec<(String, u32)> = (0..LINES / 10 * 16)
        .map(|number| (format!("{:08x}.example", rng.random::<u32>()), number + 1))
        .collect();
    for (name, number) in &names {
        writer.put(&wire_name(name), 0, &entry(*number))?;
    }
    let reader = writer.reader().clone();
    let overflowed = (0..LINES)
        .filter_map(|index| reader.line(index))
        .filter(|words| Line(*words).is_unsure(OVERFLOW))
        .count();
    ensure!(
        overflowed > 10 && writer.unplaced() == 0,
        "{overflowed} homes, {} names without a line",
        writer.unplaced()
    );
    let check = |present: &[(String, u32)]| {
        for (name, number) in present {
            assert_eq!(found(&reader, name), Ok(*number), "{name}");
        }
    };
    check(&names);
    // Half of them go, whichever home they are listed in: the others stay.
    names.shuffle(&mut rng);
    let gone = names.split_off(names.len() / 2);
    for (name, _) in &gone {
        writer.remove(&wire_name(name), 0);
    }
    check(&names);
    assert!(gone.iter().all(|(name, _)| found(&reader, name).is_err()));
    for (name, number) in &gone {
        writer.put(&wire_name(name), 0, &entry(*number))?;
    }
    check(&names);
    check(&gone);
    ensure!(
        writer.halves() == names.len() + gone.len(),
        "{} halves",
        writer.halves()
    );
    Ok(())
}

#[test]
fn a_deeper_name_ends_searches_that_did_not_look_so_deep() -> Result<()> {
    let mut writer = writer(64, 13);
    let reader = writer.reader().clone();
    let entry = Entry::bare(0);
    // Which epoch a search has that began before; how deep one looks that begins now.
    let mut epoch = reader.epoch();
    for (name, depth, is_deeper) in [
        ("a.example", 2, true),
        ("e.d.c.b.a.example", 6, true),
        ("b.example", 6, false),
        ("f.d.c.b.a.example", 6, false),
    ] {
        writer.put(&wire_name(name), 0, &entry)?;
        assert_eq!((reader.depth(), reader.epoch() != epoch), (depth, is_deeper), "{name}");
        epoch = reader.epoch();
    }
    writer.remove(&wire_name("e.d.c.b.a.example"), 0);
    writer.fence(&wire_name("g.f.e.d.c.b.a.example"), || false);
    assert_eq!((reader.depth(), reader.epoch()), (6, epoch));
    // A name that is fenced before it comes has a line that passes.
    writer.fence(&wire_name("g.f.e.d.c.b.a.example"), || true);
    assert_eq!((reader.depth(), reader.epoch() != epoch), (8, true));
    Ok(())
}

/// A writer of a table with so many lines.
fn writer(lines: u32, seed: u64) -> TableWriter {
    let sizes = Sizes {
        lines,
        slots: [8; SLOT_CLASSES],
        ahead: Ahead::NONE,
        zones: 1,
        prefixes: 0,
    };
    let mut secrets = [0; size_of::<Keys>()];
    StdRng::seed_from_u64(seed).fill(&mut secrets[..]);
    TableWriter::new(Memory::on_heap(sizes).expect("memory"), Keys::from_random(&secrets))
}

#[test]
fn names_that_grow_and_shrink_are_found_with_all_that_they_have() -> Result<()> {
    const LINES: u32 = 256;
    let mut writer = writer(LINES, 12);
    let reader = writer.reader().clone();
    let mut rng = StdRng::seed_from_u64(12);
    let names: Vec<String> = (0..LINES).map(|number| format!("n{number}.example")).collect();
    let entry = |number: u32, addresses: usize| Entry {
        ttl: number,
        inline_a: vec![number.to_be_bytes(); addresses],
        ..Entry::bare(0)
    };
    // What each has: its number and how many addresses; none where it is not there.
    let mut model: Vec<Option<(u32, usize)>> = vec![None; names.len()];
    for number in 1..40_000 {
        let at = rng.random_range(0..names.len());
        let wire = wire_name(&names[at]);
        model[at] = match rng.random_range(0..3) {
            0 => None,
            1 => Some((number, rng.random_range(0..3))),
            _ => Some((number, rng.random_range(3..5))),
        };
        match model[at] {
            None => writer.remove(&wire, 0),
            Some((number, addresses)) => writer.put(&wire, 0, &entry(number, addresses))?,
        }
        let others = [at, rng.random_range(0..names.len()), rng.random_range(0..names.len())];
        for at in others {
            let expected = model[at].map(|(number, addresses)| (number, addresses as u32, addresses.div_ceil(2)));
            let found = occupant(&reader, &names[at]).map(|found| {
                let address = u64::from(u32::from_le_bytes(found.ttl.to_be_bytes()));
                let (first, second) = found.inline_a_words();
                let words = [first, second]
                    .iter()
                    .filter(|word| **word & 0xFFFF_FFFF == address)
                    .count();
                (
                    found.ttl,
                    found.inline_a(),
                    words.min(found.inline_a().div_ceil(2) as usize),
                )
            });
            assert_eq!(found.ok(), expected, "{} after {number} changes", names[at]);
        }
    }
    let halves: usize = model
        .iter()
        .flatten()
        .map(|(_, addresses)| 1 + usize::from(*addresses > 2))
        .sum();
    let count = model.iter().flatten().count();
    ensure!(
        (writer.halves(), writer.names()) == (halves, count),
        "{} halves",
        writer.halves()
    );
    ensure!(writer.unplaced() == 0, "{} names without a line", writer.unplaced());
    Ok(())
}
