//! What is kept of upstream's answers, for whom, and for how long. Time is the test's own.

use super::*;
use crate::config::{CacheConfig, HotConfig, StaleConfig};
use crate::host::memory::Size;
use crate::observe::figures::CacheFigures;

/// A forwarder with a cache, and its time.
pub(super) struct Caching {
    pub(super) forwarder: Arc<Forwarder>,
    time: Arc<Mutex<Duration>>,
}

pub(in crate::resolve) const CONFIG: CacheConfig = CacheConfig {
    enabled: true,
    max_bytes: Size(1 << 20),
    min_ttl: 0,
    max_ttl: 86_400,
    negative_max_ttl: 3600,
    below_nxdomain: true,
    stale: StaleConfig {
        max_age: Duration::from_secs(3600),
        client_wait: Duration::from_millis(50),
    },
    prefetch: true,
    persist: false,
    xdp: HotConfig { names: 64 },
};

impl Caching {
    pub(super) fn new(settings: ForwardSettings, config: CacheConfig) -> Self {
        let time = Arc::new(Mutex::new(Duration::from_secs(1000)));
        let seen = Arc::clone(&time);
        let clock = Clock::of(move || *seen.lock().unwrap());
        let cookies = Arc::new(Cookies::new(None).unwrap());
        let forwarder = Forwarder::new(settings, cookies, &clock, &UpstreamMetrics::default());
        let cache = Arc::new(Cache::new(config, clock, Arc::default()));
        Self {
            forwarder: Arc::new(forwarder.keeping(Some(cache))),
            time,
        }
    }

    pub(super) fn of(upstream: &Upstream) -> Self {
        Self::new(settings(&[upstream.address], BUDGET), CONFIG)
    }

    pub(super) fn pass(&self, seconds: u64) {
        *self.time.lock().unwrap() += Duration::from_secs(seconds);
    }

    pub(super) fn go_back(&self, seconds: u64) {
        let mut time = self.time.lock().unwrap();
        *time = time.saturating_sub(Duration::from_secs(seconds));
    }

    /// As a worker takes it: at once, or as a job.
    pub(super) async fn ask(&self, query: &[u8]) -> (bool, Vec<u8>) {
        self.ask_by(query, Protocol::Udp).await
    }

    pub(super) async fn ask_by(&self, query: &[u8], protocol: Protocol) -> (bool, Vec<u8>) {
        let mut out = Vec::new();
        let arrival = Arrival::by(protocol, CLIENT);
        match self.forwarder.take_on(query, None, &arrival, &mut out) {
            Disposition::Reply => (true, out),
            Disposition::Later(mut job) => {
                let reply = std::future::poll_fn(|context| job.poll_next(context)).await;
                (false, reply.expect("a reply"))
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn name(&self, name: &str) -> (bool, Message) {
        let (at_once, reply) = self.ask(&testing::query(7, name)).await;
        (at_once, Message::read(&reply).expect("a message"))
    }

    fn figures(&self) -> Arc<CacheFigures> {
        Arc::clone(self.forwarder.cache().unwrap().figures())
    }
}

pub(super) fn asked(upstream: &Upstream) -> usize {
    upstream.queries.load(Ordering::SeqCst)
}

/// An SOA of the root: TTL 900, MINIMUM 60.
const SOA: &[u8] = b"\0\0\x06\0\x01\0\0\x03\x84\0\x16\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x3C";

#[tokio::test]
async fn an_answer_is_given_again_from_the_worker_with_what_is_left_of_its_ttl() {
    let upstream = Upstream::start(good).await;
    let caching = Caching::of(&upstream);
    let mut query = with_opt(testing::query(0x1234, "wWw.Example."), 1232, false);
    let (at_once, first) = caching.ask(&query).await;
    assert!(!at_once);
    caching.pass(100);
    query[1] = 0x99;
    query[13] = b'W';
    let (at_once, second) = caching.ask(&query).await;
    assert!(at_once && asked(&upstream) == 1);
    assert_eq!(second[..2], [0x12, 0x99]);
    assert_eq!(
        second[12..query.len() - 11],
        query[12..query.len() - 11],
        "the question as it was asked"
    );
    let (first, second) = (Message::read(&first).unwrap(), Message::read(&second).unwrap());
    assert_eq!((first.answer[0].ttl, second.answer[0].ttl), (300, 200));
    assert_eq!(first.answer[0].rdata, second.answer[0].rdata);
    assert!(second.opt.is_some());
    caching.pass(200);
    assert!(!caching.ask(&query).await.0, "it is over");
    let figures = caching.figures();
    let load = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
    assert_eq!(
        (load(&figures.hits), load(&figures.misses), load(&figures.entries)),
        (1, 2, 1)
    );
    assert!(load(&figures.bytes) > 100);
}

#[tokio::test]
async fn answers_are_apart_by_do_cd_type_and_set() {
    let upstream = Upstream::start(good).await;
    let caching = Caching::of(&upstream);
    let plain = testing::query(1, "a.example.");
    let mut checking = plain.clone();
    checking[3] |= 0x10;
    let mut aaaa = plain.clone();
    let length = aaaa.len();
    aaaa[length - 3] = 28;
    for query in [&plain, &with_opt(plain.clone(), 1232, true), &checking] {
        assert!(!caching.ask(query).await.0);
        assert!(caching.ask(query).await.0);
    }
    // The server's A record is no answer to AAAA, so nothing is kept.
    assert!(!caching.ask(&aaaa).await.0);
    assert!(!caching.ask(&aaaa).await.0);
    assert_eq!(asked(&upstream), 5);
}

#[tokio::test]
async fn rfc2308_5_negative_answers_are_kept_for_the_lesser_of_ttl_and_minimum_and_never_without_an_soa() {
    for (rcode, name) in [(3, "nx.example."), (0, "nodata.example.")] {
        let upstream = if rcode == 3 {
            Upstream::start(|query, _| vec![respond(query, 3, [0, 1, 0], SOA)]).await
        } else {
            Upstream::start(|query, _| vec![respond(query, 0, [0, 1, 0], SOA)]).await
        };
        let caching = Caching::of(&upstream);
        assert!(!caching.name(name).await.0);
        caching.pass(59);
        let (at_once, reply) = caching.name(name).await;
        assert!(at_once);
        assert_eq!(
            (reply.rcode(), reply.authority.len(), reply.authority[0].ttl),
            (rcode, 1, 1)
        );
        caching.pass(1);
        assert!(!caching.name(name).await.0);
    }
    let bare = Upstream::start(|query, _| vec![respond(query, 3, [0; 3], b"")]).await;
    let caching = Caching::of(&bare);
    assert!(!caching.name("nx.example.").await.0 && !caching.name("nx.example.").await.0);
    // Nor with the SOA of a zone that the name is not in.
    let foreign = Upstream::start(|query, _| {
        let soa = [b"\x05other", SOA].concat();
        vec![respond(query, 3, [0, 1, 0], &soa)]
    })
    .await;
    let caching = Caching::of(&foreign);
    assert!(!caching.name("nx.example.").await.0 && !caching.name("nx.example.").await.0);
}

#[tokio::test]
async fn only_the_question_and_its_aliases_are_kept() {
    // An alias, its target, records of other names in each section, a second RRset of the question.
    let upstream = Upstream::start(|query, _| {
        let mut records = b"\xC0\x0C\0\x05\0\x01\0\0\0\x3C\0\x03\x01t\0".to_vec();
        records.extend_from_slice(b"\x01t\0\0\x01\0\x01\0\0\0\x50\0\x04\xC0\0\x02\x01");
        for _ in 0..3 {
            records.extend_from_slice(b"\x04bank\0\0\x01\0\x01\0\0\x0E\x10\0\x04\xC0\0\x02\x42");
        }
        vec![respond(query, 0, [3, 1, 1], &records)]
    })
    .await;
    let caching = Caching::of(&upstream);
    assert!(!caching.name("www.").await.0);
    let (at_once, reply) = caching.name("www.").await;
    assert!(at_once);
    assert_eq!(
        (reply.answer.len(), reply.authority.len(), reply.additional.len()),
        (2, 0, 0)
    );
    assert_eq!(reply.answer[1].ttl, 80, "TTLs are each record's own");
    caching.pass(60);
    assert!(!caching.name("www.").await.0, "the alias is over");
    assert_eq!(asked(&upstream), 2);
    for name in ["bank.", "t."] {
        assert!(!caching.name(name).await.0, "{name}: asked for itself");
    }
}

#[tokio::test]
async fn ttls_are_within_the_bounds() {
    let upstream = Upstream::start(good).await;
    let config = CacheConfig {
        min_ttl: 400,
        max_ttl: 500,
        ..CONFIG
    };
    let caching = Caching::new(settings(&[upstream.address], BUDGET), config);
    caching.name("a.example.").await;
    assert_eq!(caching.name("a.example.").await.1.answer[0].ttl, 400);
    let config = CacheConfig { max_ttl: 50, ..CONFIG };
    let caching = Caching::new(settings(&[upstream.address], BUDGET), config);
    caching.name("a.example.").await;
    caching.pass(50);
    assert!(!caching.name("a.example.").await.0);
}

#[tokio::test]
async fn rfc9520_3_2_a_failure_is_kept_for_a_moment() {
    let failing = Upstream::start(servfail).await;
    let caching = Caching::of(&failing);
    let query = with_opt(testing::query(1, "a.example."), 1232, false);
    let (_, first) = caching.ask(&query).await;
    assert_eq!(first[3] & 0x0F, 2);
    caching.pass(4);
    let (at_once, second) = caching.ask(&query).await;
    assert!(at_once && error_of(&second).0 == 23);
    assert_eq!(asked(&failing), 1);
    caching.pass(1);
    assert!(!caching.ask(&query).await.0);
    let dead = Caching::new(settings(&[nobody().await], BUDGET), CONFIG);
    dead.name("a.example.").await;
    assert!(dead.name("a.example.").await.0);
    dead.pass(1);
    assert!(!dead.name("a.example.").await.0);
}

#[tokio::test]
async fn rfc8767_5_what_is_over_is_given_where_upstream_is_slow_or_gone_and_not_for_ever() {
    let upstream = Upstream::start(good).await;
    let caching = Caching::of(&upstream);
    let query = with_opt(testing::query(1, "a.example."), 1232, false);
    caching.ask(&query).await;
    caching.pass(301);
    upstream.replies.send(false).unwrap();
    let (at_once, stale) = caching.ask(&query).await;
    let read = Message::read(&stale).unwrap();
    assert_eq!((at_once, read.answer[0].ttl, error_of(&stale).0), (false, 30, 3));
    // The question stays on its way: once upstream answers, that is kept.
    upstream.replies.send(true).unwrap();
    let deadline = Instant::now() + SOON;
    loop {
        let (at_once, reply) = caching.ask(&query).await;
        if at_once && Message::read(&reply).unwrap().answer[0].ttl == 300 {
            break;
        }
        assert!(Instant::now() < deadline, "it is never fresh again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    // Upstream is gone: at first it is waited for, then for 30 s no more.
    let gone = Upstream::start(good).await;
    let caching = Caching::new(settings(&[gone.address], Duration::from_millis(20)), CONFIG);
    caching.ask(&query).await;
    gone.replies.send(false).unwrap();
    caching.pass(301);
    let (at_once, reply) = caching.ask(&query).await;
    assert_eq!((at_once, error_of(&reply).0), (false, 3));
    let (at_once, reply) = caching.ask(&query).await;
    assert_eq!((at_once, error_of(&reply).0), (true, 3));
    caching.pass(31);
    assert!(!caching.ask(&query).await.0);
    // RFC 8767 §5: the limit is from its end, however often it was given since.
    caching.pass(3600);
    let (_, reply) = caching.ask(&query).await;
    assert_eq!((reply[3] & 0x0F, error_of(&reply).0), (2, 22));
}

#[tokio::test]
async fn a_name_that_is_gone_is_gone_once_its_ttl_is_over() {
    // Ghosts: neither prefetch nor what is stale holds on to what upstream denies.
    static GONE: AtomicBool = AtomicBool::new(false);
    let upstream = Upstream::start(|query, _| {
        if GONE.load(Ordering::SeqCst) {
            vec![respond(query, 3, [0, 1, 0], SOA)]
        } else {
            good(query, false)
        }
    })
    .await;
    let caching = Caching::of(&upstream);
    caching.name("ghost.example.").await;
    GONE.store(true, Ordering::SeqCst);
    caching.pass(280);
    // This one is due to be fetched anew, and is still given.
    assert_eq!(caching.name("ghost.example.").await.1.rcode(), 0);
    let deadline = Instant::now() + SOON;
    while caching.name("ghost.example.").await.1.rcode() != 3 {
        assert!(Instant::now() < deadline, "prefetch has kept the ghost");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_popular_answer_is_fetched_anew_once_before_it_is_over() {
    let upstream = Upstream::start(good).await;
    let caching = Caching::of(&upstream);
    caching.name("a.example.").await;
    caching.pass(269);
    assert!(caching.name("a.example.").await.0);
    assert_eq!(asked(&upstream), 1, "more than a tenth is left");
    caching.pass(1);
    upstream.replies.send(false).unwrap();
    for _ in 0..5 {
        assert_eq!(caching.name("a.example.").await.1.answer[0].ttl, 30);
    }
    upstream.replies.send(true).unwrap();
    let deadline = Instant::now() + SOON;
    while caching.name("a.example.").await.1.answer[0].ttl != 300 {
        assert!(Instant::now() < deadline, "it is not fetched anew");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(asked(&upstream), 2);
    assert_eq!(caching.figures().prefetch.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_does_not_fit_the_client_is_truncated_from_the_cache_too() {
    let large = Upstream::start(|query, _| vec![respond(query, 0, [60, 0, 0], &A.repeat(60))]).await;
    let caching = Caching::of(&large);
    let query = testing::query(1, "a.example.");
    let whole = with_opt(query.clone(), 1232, false);
    assert_eq!(caching.ask_by(&whole, Protocol::Tcp).await.1[7], 60);
    let (at_once, small) = caching.ask(&query).await;
    assert_eq!((at_once, small[2] & 2, small[7]), (true, 2, 0));
    let (at_once, tcp) = caching.ask_by(&query, Protocol::Tcp).await;
    assert_eq!((at_once, tcp[2] & 2, tcp[7]), (true, 0, 60));
}

#[tokio::test]
async fn the_cache_is_listed_and_flushed_by_name_and_tree() {
    let upstream = Upstream::start(good).await;
    let caching = Caching::of(&upstream);
    for name in ["a.example.", "b.a.example.", "xa.example.", "c.example."] {
        caching.name(name).await;
    }
    caching.pass(10);
    let cache = caching.forwarder.cache().unwrap();
    let name = Name::parse("A.example").unwrap();
    let listed = cache.list(Some(&name), |set| caching.forwarder.set_name(set).to_owned());
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].ttl, &*listed[0].r#type, &*listed[0].upstream),
        (290, "A", "default")
    );
    assert_eq!(listed[0].records, ["a.example. 290 IN A 192.0.2.1"]);
    assert_eq!(cache.list(None, |_| String::new()).len(), 4);
    assert_eq!(cache.flush(&name, true), 2);
    assert_eq!(cache.flush(&Name::parse("c.example.").unwrap(), false), 1);
    assert!(!caching.name("b.a.example.").await.0 && caching.name("xa.example.").await.0);
    assert_eq!(cache.clear(), 2);
}

#[tokio::test]
async fn memory_is_bounded() {
    let upstream = Upstream::start(good).await;
    let caching = Caching::new(
        ForwardSettings {
            in_flight: 4,
            ..settings(&[upstream.address], SOON)
        },
        CacheConfig {
            max_bytes: Size(64 << 10),
            ..CONFIG
        },
    );
    for number in 0..600 {
        caching.name(&format!("n{number}.example.")).await;
    }
    let figures = caching.figures();
    assert!(figures.bytes.load(Ordering::Relaxed) <= 64 << 10);
    assert!(figures.evictions.load(Ordering::Relaxed) > 100);
    assert!(figures.entries.load(Ordering::Relaxed) > 100);
}

#[tokio::test]
async fn a_kept_alias_is_given_at_once_unless_it_leads_to_what_is_ours_now() {
    let upstream = Upstream::start(|query, _| {
        let mut records = b"\xC0\x0C\0\x05\0\x01\0\0\0\x3C\0\x0B".to_vec();
        records.extend_from_slice(b"\x04host\x04ours\0");
        records.extend_from_slice(b"\x04host\x04ours\0\0\x01\0\x01\0\0\0\x3C\0\x04\xC0\0\x02\x42");
        vec![respond(query, 0, [2, 0, 0], &records)]
    })
    .await;
    let alone = Caching::of(&upstream);
    alone.name("www.example.").await;
    let mut out = Vec::new();
    let arrival = Arrival::by(Protocol::Udp, CLIENT);
    let query = testing::query(7, "www.example.");
    assert!(alone.forwarder.answer_at_once(&query, &arrival, &mut out));
    assert_eq!(Message::read(&out).unwrap().answer[1].rdata, [192, 0, 2, 0x42]);
    // The same entry, where the name is ours.
    let cache = alone.forwarder.cache().cloned();
    let beside = forwarder(&[upstream.address])
        .beside(Arc::new(chains::Ours))
        .keeping(cache);
    let beside = Arc::new(beside);
    assert!(!beside.answer_at_once(&query, &arrival, &mut out));
    assert!(matches!(
        beside.take_on(&query, None, &arrival, &mut out),
        Disposition::Reply
    ));
    assert_eq!(Message::read(&out).unwrap().answer[1].rdata, [10, 0, 0, 1]);
    assert_eq!(asked(&upstream), 1);
}

#[tokio::test]
async fn rfc8020_2_nothing_is_below_a_name_that_is_denied_until_its_ttl_is_over_or_something_is() {
    static IS_THERE: AtomicBool = AtomicBool::new(false);
    let upstream = Upstream::start(|query, _| {
        if IS_THERE.load(Ordering::SeqCst) {
            return good(query, false);
        }
        vec![respond(query, 3, [0, 1, 0], SOA)]
    })
    .await;
    let caching = Caching::of(&upstream);
    let name = async |name: &str| {
        let (at_once, reply) = caching.name(name).await;
        let ttl = reply.authority.first().map(|record| record.ttl);
        (at_once, reply.rcode(), ttl)
    };
    // The first gets the SOA record as upstream has it, later ones with what is left of its MINIMUM.
    assert_eq!(name("gone.example.").await, (false, 3, Some(900)));
    caching.pass(10);
    for below in ["a.gone.example.", "B.a.GONE.example."] {
        assert_eq!(name(below).await, (true, 3, Some(50)), "{below}");
    }
    // Every type of the name itself.
    let mut query = testing::query(1, "gone.example.");
    let length = query.len();
    query[length - 3] = 28;
    let (at_once, reply) = caching.ask(&query).await;
    assert_eq!((at_once, reply[3] & 0x0F), (true, 3));
    assert_eq!(asked(&upstream), 1);
    // Not other names, and not with other bits.
    assert!(!name("agone.example.").await.0 && !name("example.").await.0);
    caching
        .forwarder
        .cache()
        .unwrap()
        .flush(&"example.".parse().unwrap(), false);
    let mut query = testing::query(1, "c.gone.example.");
    query[3] |= 0x10;
    assert!(!caching.ask(&query).await.0);
    // One denial is one entry.
    let cache = caching.forwarder.cache().unwrap();
    let gone: Name = "gone.example.".parse().unwrap();
    assert_eq!(cache.list(Some(&gone), |_| String::new()).len(), 1);
    assert_eq!(cache.flush(&gone, false), 1);
    IS_THERE.store(true, Ordering::SeqCst);
    assert_eq!(name("d.gone.example.").await, (false, 0, None));
    // What is there takes it back for all above.
    IS_THERE.store(false, Ordering::SeqCst);
    assert!(!name("gone.example.").await.0);
    IS_THERE.store(true, Ordering::SeqCst);
    assert_eq!(name("e.gone.example.").await, (true, 3, Some(60)));
    caching.pass(60);
    assert_eq!(name("gone.example.").await, (false, 0, None));
    assert_eq!(name("f.gone.example.").await, (false, 0, None));
    let config = CacheConfig {
        below_nxdomain: false,
        ..CONFIG
    };
    let caching = Caching::new(settings(&[upstream.address], BUDGET), config);
    IS_THERE.store(false, Ordering::SeqCst);
    caching.name("gone.example.").await;
    assert!(!caching.name("a.gone.example.").await.0);
}
