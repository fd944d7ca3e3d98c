//! Answers that are asked for often: the fast path gives what the cache would give, and never what is not so any more.
//! Time is the test's own.

use dns_common::table::word;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::caching::CONFIG;
use super::*;
use crate::answer::Environment;
use crate::lines::CompileOptions;
use crate::model::views::ViewClients;
use crate::publish::Moment;
use crate::rules::{Action, Block, BlockAnswer, Rule};
use crate::serve::answerer::LocalChains;
use crate::serve::fastpath::{Fast, Worker};
use crate::serve::xdp::Publisher;
use crate::store::{Change, ConfiguredView, Store};
use crate::table::Memory;

mod ruled;

/// Room for answers.
const NAMES: u32 = 64;
/// How often a name is asked before it is promoted.
const OFTEN: usize = 10;

/// A forwarder with a cache beside a table.
struct Hot {
    forwarder: Arc<Forwarder>,
    publisher: Publisher,
    store: Store,
    worker: Worker,
    rules: Arc<RuleBook>,
    time: Arc<Mutex<Duration>>,
}

/// A question.
#[derive(Debug, Clone, Copy)]
struct Ask {
    name: &'static str,
    qtype: u16,
    dnssec_ok: bool,
    checking_disabled: bool,
    client: IpAddr,
}

impl Ask {
    const fn a(name: &'static str) -> Self {
        Self {
            name,
            qtype: 1,
            dnssec_ok: false,
            checking_disabled: false,
            client: CLIENT,
        }
    }

    /// Each in one of several shapes that are answered from the same entry.
    fn query(&self, shape: u8) -> Vec<u8> {
        let mut query = testing::query(u16::from(shape) << 8 | 7, self.name);
        let length = query.len();
        query[length - 4..length - 2].copy_from_slice(&self.qtype.to_be_bytes());
        query[3] |= u8::from(self.checking_disabled) << 4;
        if shape & 1 != 0 {
            query[13].make_ascii_uppercase();
        }
        if self.dnssec_ok || shape & 2 != 0 {
            query = with_opt(query, 1232, self.dnssec_ok);
            if shape & 4 != 0 {
                let length = query.len();
                query[length - 1] = 12;
                query.extend_from_slice(b"\0\x0A\0\x08client!!");
            }
        }
        query
    }
}

impl Hot {
    fn new() -> Self {
        let cookies = Arc::new(Cookies::new(None).unwrap());
        let options = CompileOptions::of(&Environment::DEFAULT, true);
        let loader = Box::new(|_: &_, sizes| Ok((None, Memory::on_heap(sizes)?.with_hot(NAMES)?)));
        let publisher = Publisher::new(loader, options).unwrap();
        let served = publisher.served();
        let time = Arc::new(Mutex::new(Duration::from_secs(1000)));
        let seen = Arc::clone(&time);
        let clock = Clock::of(move || *seen.lock().unwrap());
        let cache = Arc::new(Cache::new(CONFIG, clock.clone(), Arc::default()).promoting(Arc::clone(&served)));
        let rules = Arc::new(RuleBook::default());
        let fenced = Arc::clone(&cache);
        rules.fence_with(move |change| fenced.fence(change));
        let settings = ForwardSettings {
            nsid: None,
            ..settings(&["127.0.0.1:9".parse().unwrap()], BUDGET)
        };
        let forwarder = Forwarder::new(settings, cookies, &clock, &UpstreamMetrics::default());
        let local = LocalChains::new(Arc::clone(&served), Environment::DEFAULT);
        let forwarder = forwarder
            .beside(Arc::new(local))
            .keeping(Some(cache))
            .ruled(Arc::clone(&rules));
        let hot = Self {
            forwarder: Arc::new(forwarder),
            publisher,
            store: Store::new(),
            worker: Worker::new(served),
            rules,
            time,
        };
        hot.set_time();
        hot
    }

    /// The table's clock is the cache's.
    fn set_time(&self) {
        let now = self.time.lock().unwrap().as_nanos() as u64;
        let served = self.publisher.served();
        let memory = &served.table().memory;
        memory.epoch_word(word::FIXED_NOW).store(now, Ordering::SeqCst);
    }

    fn pass(&self, time: Duration) {
        *self.time.lock().unwrap() += time;
        self.set_time();
    }

    fn cache(&self) -> &Arc<Cache> {
        self.forwarder.cache().unwrap()
    }

    /// Upstream's answer, as records behind the question.
    fn keep(&self, ask: &Ask, rcode: u8, counts: [u8; 3], records: &[u8]) {
        let query = ask.query(0);
        let query = if ask.dnssec_ok { ask.query(2) } else { query };
        let parsed = Query::read(&query).unwrap();
        let asking = self.forwarder.asking(&parsed, ask.client, 1232, None);
        let message = Message::read(&respond(&ask.query(0)[..], rcode, counts, records)).unwrap();
        self.cache().keep(&asking, &message);
    }

    fn cached_reply(&self, query: &[u8], client: IpAddr) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let arrival = Arrival::by(Protocol::Udp, client);
        self.forwarder.answer_at_once(query, &arrival, &mut out).then_some(out)
    }

    /// What the fast path gives of the cache.
    fn table_reply(&mut self, query: &[u8], client: IpAddr) -> Option<Vec<u8>> {
        from_table(&mut self.worker, &self.forwarder, query, client)
    }

    /// Asks often, and has it promoted where it may.
    fn heat(&mut self, ask: &Ask) {
        for _ in 0..OFTEN {
            assert!(
                self.cached_reply(&ask.query(2 * u8::from(ask.dnssec_ok)), ask.client)
                    .is_some()
            );
        }
        self.forwarder.tend_hot();
        // The table may be another one.
        self.set_time();
    }

    fn is_promoted(&mut self, ask: &Ask) -> bool {
        self.table_reply(&ask.query(2 * u8::from(ask.dnssec_ok)), ask.client)
            .is_some()
    }

    fn apply(&mut self, changes: Vec<Change>, observe: &mut dyn FnMut(Moment)) {
        let plan = self.store.plan(changes);
        self.publisher
            .publish_observed(&plan.snapshot, &plan.delta, &[], observe);
        self.store.commit(&plan);
        self.set_time();
    }

    fn own(&mut self, names: &[&str]) {
        self.apply(vec![overlays(names)], &mut |_| {});
    }
}

fn from_table(worker: &mut Worker, forwarder: &Forwarder, query: &[u8], client: IpAddr) -> Option<Vec<u8>> {
    let environment = Environment {
        recursion_available: true,
        cookies: forwarder.cookies.source(client),
        ..Environment::DEFAULT
    };
    let mut out = Vec::new();
    let answered = worker.answer(query, &environment, &mut out) == Fast::Answered && worker.is_cached();
    answered.then_some(out)
}

/// Names of ours, each with an address, in the place of all that there were.
fn overlays(names: &[&str]) -> Change {
    let rrset = RrSet {
        rtype: RecordType::A,
        ttl: 300,
        rdatas: [[192, 0, 2, 99]].into(),
        origin: Origin::config(),
        handling: Handling::default(),
    };
    Change::config_records(
        names
            .iter()
            .map(|name| (name.parse().unwrap(), rrset.clone()))
            .collect(),
    )
}

/// An address; the owner is the question's name, or given.
fn address(owner: &str, ttl: u8, last: u8) -> Vec<u8> {
    let mut record = match owner {
        "" => vec![0xC0, 0x0C],
        owner => owner.parse::<Name>().unwrap().as_wire().to_vec(),
    };
    record.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, ttl, 0, 4, 192, 0, 2, last]);
    record
}

fn alias(ttl: u8, target: &str) -> Vec<u8> {
    let target: Name = target.parse().unwrap();
    let mut record = vec![0xC0, 0x0C, 0, 5, 0, 1, 0, 0, 0, ttl, 0, target.as_wire().len() as u8];
    record.extend_from_slice(target.as_wire());
    record
}

const SOA: &[u8] = b"\0\0\x06\0\x01\0\0\x03\x84\0\x16\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x3C";

#[test]
fn both_give_the_same_octets_until_the_last_second() {
    let mut hot = Hot::new();
    let secure = Ask {
        dnssec_ok: true,
        checking_disabled: true,
        ..Ask::a("many.site.")
    };
    let six = Ask {
        qtype: 28,
        ..Ask::a("six.site.")
    };
    let mut record = b"\xC0\x0C\0\x1C\0\x01\0\0\0\x3C\0\x10".to_vec();
    record.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6]);
    hot.keep(&six, 0, [1, 0, 0], &record);
    let several: Vec<u8> = (1..=4).flat_map(|last| address("", 60, last)).collect();
    hot.keep(&Ask::a("four.site."), 0, [4, 0, 0], &several);
    let more: Vec<u8> = (1..=7).flat_map(|last| address("", 60, last)).collect();
    hot.keep(&secure, 0, [7, 0, 0], &more);
    let chain = [alias(90, "to.other."), address("to.other.", 60, 5)].concat();
    hot.keep(&Ask::a("alias.site."), 0, [2, 0, 0], &chain);
    hot.keep(&Ask::a("none.site."), 3, [0, 1, 0], SOA);
    let asks = [
        six,
        Ask::a("four.site."),
        secure,
        Ask::a("alias.site."),
        Ask::a("none.site."),
    ];
    for ask in &asks {
        assert!(!hot.is_promoted(ask));
        hot.heat(ask);
        assert!(hot.is_promoted(ask), "{ask:?}");
    }
    // From 60 s on to the last moment, and beyond it.
    for step in 0..130u64 {
        for (ask, shape) in asks.iter().flat_map(|ask| (0..8).map(move |shape| (ask, shape))) {
            let query = ask.query(shape);
            let (table, cache) = (hot.table_reply(&query, CLIENT), hot.cached_reply(&query, CLIENT));
            assert_eq!(table, cache, "{ask:?} in shape {shape} after {step} half seconds");
            assert_eq!(table.is_some(), step < 120, "{ask:?} after {step} half seconds");
        }
        hot.pass(Duration::from_millis(500));
    }
    hot.forwarder.tend_hot();
    assert_eq!(hot.cache().figures().hot_entries.load(Ordering::Relaxed), 0);
}

#[test]
fn other_questions_and_other_clients_do_not_get_it() {
    let mut hot = Hot::new();
    let view = ConfiguredView {
        view: ViewClients {
            name: "office".into(),
            clients: vec!["10.0.0.0/8".parse().unwrap()],
        },
        records: Vec::new(),
    };
    hot.apply(vec![Change::Views(vec![view])], &mut |_| {});
    let ask = Ask::a("www.site.");
    hot.keep(&ask, 0, [1, 0, 0], &address("", 60, 1));
    hot.heat(&ask);
    assert!(hot.is_promoted(&ask));
    let office = IpAddr::from([10, 0, 0, 1]);
    let others = [
        Ask { qtype: 28, ..ask },
        Ask { dnssec_ok: true, ..ask },
        Ask {
            checking_disabled: true,
            ..ask
        },
        Ask { client: office, ..ask },
        Ask::a("ww.site."),
    ];
    for other in others {
        assert!(!hot.is_promoted(&other), "{other:?}");
    }
    // Without RD nothing is forwarded.
    let mut query = ask.query(0);
    query[2] = 0;
    assert_eq!(hot.table_reply(&query, CLIENT), None);
    // Each view has its own.
    let theirs = Ask { client: office, ..ask };
    hot.keep(&theirs, 0, [1, 0, 0], &address("", 60, 2));
    hot.heat(&theirs);
    let [ours, theirs] = [CLIENT, office].map(|client| hot.table_reply(&ask.query(0), client).unwrap());
    assert_eq!((ours.last(), theirs.last()), (Some(&1), Some(&2)));
    hot.apply(vec![Change::Views(Vec::new())], &mut |_| {});
    hot.forwarder.tend_hot();
    hot.set_time();
    for client in [CLIENT, office] {
        let query = ask.query(0);
        assert_eq!(
            hot.table_reply(&query, client).map(|reply| reply.last().copied()),
            Some(Some(1))
        );
    }
}

#[test]
fn a_name_that_becomes_ours_wins_at_once_and_so_does_one_that_an_alias_leads_to() {
    let mut hot = Hot::new();
    let (plain, chain) = (Ask::a("www.site."), Ask::a("alias.site."));
    hot.keep(&plain, 0, [1, 0, 0], &address("", 60, 1));
    hot.keep(
        &chain,
        0,
        [2, 0, 0],
        &[alias(90, "to.other."), address("to.other.", 60, 5)].concat(),
    );
    for (ask, name) in [
        (plain, "www.site."),
        (chain, "to.other."),
        (chain, "alias.site."),
        (chain, "*.other."),
    ] {
        hot.heat(&ask);
        assert!(hot.is_promoted(&ask), "{name}");
        let served = hot.publisher.served();
        let (mut worker, forwarder) = (Worker::new(served), Arc::clone(&hot.forwarder));
        let mut seen = Vec::new();
        hot.apply(vec![overlays(&[name])], &mut |stage| {
            forwarder.tend_hot();
            seen.push((
                stage,
                from_table(&mut worker, &forwarder, &ask.query(0), CLIENT).is_some(),
            ));
        });
        let is_given_later = seen
            .iter()
            .skip_while(|(stage, _)| *stage != Moment::Published)
            .any(|(_, is_given)| *is_given);
        assert!(seen.len() > 2 && !is_given_later, "{name}: {seen:?}");
        hot.forwarder.tend_hot();
        assert!(!hot.is_promoted(&ask));
        // What is said of a name that is ours anyhow takes nothing away.
        hot.own(&[]);
        assert!(!hot.is_promoted(&ask) || ask.name == "www.site.");
        hot.pass(Duration::from_secs(10));
        hot.heat(&ask);
        assert!(hot.is_promoted(&ask), "{name}");
    }
}

#[test]
fn what_is_flushed_or_replaced_is_gone_at_once() {
    let mut hot = Hot::new();
    let ask = Ask::a("a.www.site.");
    let reply = |hot: &mut Hot| {
        hot.table_reply(&ask.query(0), CLIENT)
            .map(|reply| reply.last().copied().unwrap())
    };
    for flush in 0..4 {
        hot.keep(&ask, 0, [1, 0, 0], &address("", 60, 1));
        hot.heat(&ask);
        assert_eq!(reply(&mut hot), Some(1));
        hot.keep(&ask, 0, [1, 0, 0], &address("", 30, 2));
        assert_eq!(reply(&mut hot), Some(2));
        let name = |text: &str| text.parse::<Name>().unwrap();
        match flush {
            0 => drop(hot.cache().flush(&name("A.WWW.site."), false)),
            1 => drop(hot.cache().flush(&name("site."), true)),
            2 => drop(hot.cache().clear()),
            // An answer that is not kept.
            _ => hot.keep(&ask, 0, [1, 0, 0], &address("", 0, 1)),
        }
        assert_eq!(reply(&mut hot), None);
        hot.forwarder.tend_hot();
        assert_eq!(reply(&mut hot), None);
    }
    hot.keep(&ask, 0, [1, 0, 0], &address("", 60, 1));
    hot.heat(&ask);
    hot.keep(&ask, 3, [0, 1, 0], SOA);
    assert_eq!(hot.table_reply(&ask.query(0), CLIENT).map(|reply| reply[3]), Some(0x83));
}

#[test]
fn what_a_rule_concerns_is_never_promoted_and_new_rules_take_back_what_was() {
    let mut hot = Hot::new();
    let (plain, chain) = (Ask::a("www.site."), Ask::a("alias.site."));
    hot.keep(&plain, 0, [1, 0, 0], &address("", 60, 1));
    hot.keep(
        &chain,
        0,
        [2, 0, 0],
        &[alias(90, "to.other."), address("to.other.", 60, 5)].concat(),
    );
    hot.heat(&plain);
    hot.heat(&chain);
    let block = |name: &str, clients: Option<&str>| Rule {
        name: "ads".into(),
        clients: clients.map(|prefix| vec![prefix.parse().unwrap()]),
        views: None,
        action: Action::Block(Block {
            files: Vec::new(),
            urls: Vec::new(),
            names: vec![name.into()],
            answer: BlockAnswer::Nxdomain,
        }),
    };
    hot.rules.replace(&[block("unrelated.example", None)]);
    assert!(!hot.is_promoted(&plain) && !hot.is_promoted(&chain));
    hot.pass(Duration::from_secs(10));
    hot.heat(&plain);
    hot.heat(&chain);
    assert!(hot.is_promoted(&plain) && hot.is_promoted(&chain));
    // Also where it is for others, or off.
    for (name, is_plain) in [("www.site", true), ("to.other", false)] {
        hot.rules.replace(&[block(name, Some("10.0.0.0/8"))]);
        hot.rules.pause("ads", Duration::from_secs(3600));
        assert!(!hot.is_promoted(&plain) && !hot.is_promoted(&chain));
        hot.pass(Duration::from_secs(10));
        hot.heat(&plain);
        hot.heat(&chain);
        assert_eq!(
            (hot.is_promoted(&plain), hot.is_promoted(&chain)),
            (!is_plain, is_plain),
            "{name}"
        );
    }
}

#[test]
fn what_is_seldom_asked_for_is_not_promoted_and_what_is_no_more_asked_for_goes() {
    let mut hot = Hot::new();
    let ask = Ask::a("www.site.");
    hot.keep(&ask, 0, [1, 0, 0], &address("", 250, 1));
    for _ in 0..20 {
        assert!(hot.cached_reply(&ask.query(0), CLIENT).is_some());
        hot.pass(Duration::from_secs(2));
        hot.forwarder.tend_hot();
        assert!(!hot.is_promoted(&ask));
    }
    hot.heat(&ask);
    for _ in 0..5 {
        // As long as it is asked for.
        assert!(hot.is_promoted(&ask));
        hot.pass(Duration::from_secs(15));
        hot.forwarder.tend_hot();
    }
    let figures = hot.cache().figures();
    assert_eq!(figures.hot_entries.load(Ordering::Relaxed), 1);
    hot.pass(Duration::from_secs(62));
    hot.forwarder.tend_hot();
    assert_eq!(figures.hot_entries.load(Ordering::Relaxed), 0);
}

#[test]
fn no_more_answers_are_promoted_than_there_is_room_for() {
    let mut hot = Hot::new();
    let names: Vec<&'static str> = (0..3 * NAMES)
        .map(|number| &*format!("n{number}.site.").leak())
        .collect();
    for name in &names {
        hot.keep(&Ask::a(name), 0, [1, 0, 0], &address("", 60, 1));
        hot.heat(&Ask::a(name));
    }
    let promoted = names.iter().filter(|name| hot.is_promoted(&Ask::a(name))).count();
    assert!(
        promoted > NAMES as usize / 2 && promoted <= NAMES as usize,
        "{promoted}"
    );
    assert_eq!(
        hot.cache().figures().hot_entries.load(Ordering::Relaxed),
        promoted as u64
    );
}

const NAMES_ASKED: [&str; 6] = ["a.site.", "b.site.", "c.site.", "a.other.", "b.other.", "site."];

/// Whatever happens, in whatever order: what the fast path gives of the cache is what the cache would give at this
/// moment, octet for octet, and the name is none of ours.
#[test]
fn whatever_happens_the_fast_path_gives_what_the_cache_would() {
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let mut hot = Hot::new();
    let mut given = 0;
    let mut owned: Vec<&str> = Vec::new();
    for step in 0..3000 {
        let ask = Ask {
            qtype: [1, 28][random.random_range(0..2)],
            dnssec_ok: random.random_bool(0.3),
            checking_disabled: random.random_bool(0.2),
            ..Ask::a(NAMES_ASKED.choose(&mut random).unwrap())
        };
        let ttl = random.random_range(0..40);
        let other = *NAMES_ASKED.choose(&mut random).unwrap();
        match random.random_range(0..12) {
            0 | 1 => hot.keep(&ask, 0, [1, 0, 0], &address("", ttl, random.random())),
            2 if ask.qtype == 1 && other != ask.name => {
                let chain = [alias(ttl, other), address(other, 30, random.random())].concat();
                hot.keep(&ask, 0, [2, 0, 0], &chain);
            }
            3 => hot.keep(&ask, 3, [0, 1, 0], SOA),
            4 => drop(hot.cache().flush(&ask.name.parse().unwrap(), random.random())),
            5 => {
                match owned.iter().position(|name| *name == other) {
                    Some(at) => drop(owned.swap_remove(at)),
                    None => owned.push(other),
                }
                let names = owned.clone();
                hot.own(&names);
            }
            6 => hot.pass(Duration::from_millis(random.random_range(0..8000))),
            7 => hot.forwarder.tend_hot(),
            _ => {
                for _ in 0..OFTEN {
                    hot.cached_reply(&ask.query(2 * u8::from(ask.dnssec_ok)), CLIENT);
                }
                if random.random() {
                    hot.forwarder.tend_hot();
                }
            }
        }
        for name in NAMES_ASKED {
            let ask = Ask { name, ..ask };
            let query = ask.query(random.random_range(0..8));
            let Some(reply) = hot.table_reply(&query, CLIENT) else {
                continue;
            };
            given += 1;
            assert!(!owned.contains(&name), "seed {seed}, step {step}: {ask:?} is ours");
            assert_eq!(
                Some(reply),
                hot.cached_reply(&query, CLIENT),
                "seed {seed}, step {step}: {ask:?}"
            );
        }
    }
    assert!(given > 100, "seed {seed}: {given}");
}
