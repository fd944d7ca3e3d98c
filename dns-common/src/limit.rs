//! Rate limits: one token bucket for each prefix of clients, and one for all of them where that is configured.
//!
//! ```text
//! line (64 octets)   4 × ( tag of a prefix │ slip count,  theoretical arrival time )
//! ```
//!
//! A bucket is one time stamp, as in the generic cell rate algorithm (ITU-T I.371): the time at which it will be full
//! again. A query costs one interval; the bucket is empty where that time is a burst ahead. A bucket that is full is
//! the same as none, so nothing is ever cleaned up: a prefix that is new takes the place of the bucket of its line that
//! is nearest to full.
//!
//! Both planes run this on the same memory, without locks: several processors that look at a bucket at the same moment
//! may let one query each pass where there was a token for one, but every cost is added atomically.

use bytemuck::{Pod, Zeroable};

/// Buckets of a line.
pub const LINE_BUCKETS: usize = 4;
/// Words of a line.
pub const BUCKET_LINE_WORDS: usize = 2 * LINE_BUCKETS;
/// Lines, the last of which has the bucket for all clients: 4 MiB for 262,140 prefixes.
pub const BUCKET_LINES: u32 = 1 << 16;

/// The slip count within the first word of a bucket.
const SLIP_MASK: u64 = 0xFF;
/// Set in every tag, so that none is that of an empty bucket.
const TAG: u64 = 0x100;
/// The half of an IPv4-mapped address before the address, as it lies in memory (RFC 4291 §2.5.5.2).
const MAPPED: u64 = 0xFFFF_0000;

/// The memory of one line.
pub trait BucketLine {
    /// The word at `at`, below [`BUCKET_LINE_WORDS`].
    fn load(&self, at: usize) -> u64;
    /// Sets it.
    fn store(&self, at: usize, word: u64);
    /// Adds to it atomically, so that no cost is lost.
    fn add(&self, at: usize, by: u64);
}

/// The memory of all lines.
pub trait Buckets {
    /// One of them.
    type Line: BucketLine;
    /// The line at `index`, below [`BUCKET_LINES`].
    fn line(&self, index: u32) -> Option<Self::Line>;
}

/// How fast a bucket fills, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Pace {
    /// What one query costs, in nanoseconds; 0 for no limit.
    pub interval_ns: u64,
    /// How far ahead of the clock a bucket may be that still has a token.
    pub tolerance_ns: u64,
}

/// What is configured, as both planes take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Limits {
    /// Of each prefix.
    pub prefix: Pace,
    /// Of all clients together.
    pub global: Pace,
    /// What prefixes are hashed with.
    pub secret: [u64; 2],
    /// The prefix of an IPv4-mapped address, in its second word; as it lies in memory, as are all addresses here.
    pub ipv4_mask: u64,
    /// The prefix of an IPv6 address.
    pub ipv6_mask: [u64; 2],
    /// Every so many queries over the limit one is answered, truncated; 0 for none.
    pub slip: u32,
    /// 1 where some clients are exempt.
    pub has_exempt: u32,
}

/// What becomes of a query that was charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// It is within the limit.
    Within,
    /// It is over the limit, and answered truncated, so that a real client comes back over TCP.
    Slip,
    /// It is over the limit.
    Over,
}

impl Pace {
    /// No limit.
    pub const NONE: Self = Self {
        interval_ns: 0,
        tolerance_ns: 0,
    };

    /// `rate` queries a second, to the nearest nanosecond between two, and `burst` at once. Both are 1 to 10^9.
    pub const fn new(rate: u32, burst: u32) -> Self {
        const SECOND_NS: u64 = 1_000_000_000;
        let rate = rate as u64;
        let interval_ns = (SECOND_NS + rate / 2) / rate;
        Self {
            interval_ns,
            tolerance_ns: (burst as u64 - 1) * interval_ns,
        }
    }
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self {
        prefix: Pace::NONE,
        global: Pace::NONE,
        secret: [0; 2],
        ipv4_mask: 0,
        ipv6_mask: [0; 2],
        slip: 0,
        has_exempt: 0,
    };

    /// The same with prefixes of so many bits, at most 32 and 128.
    pub const fn with_prefixes(mut self, ipv4_bits: u8, ipv6_bits: u8) -> Self {
        let ipv4 = (((1u64 << 32) - 1) << (32 - ipv4_bits as u32)) as u32;
        self.ipv4_mask = 0xFFFF_FFFF | (ipv4.to_be() as u64) << 32;
        let ipv6 = match ipv6_bits {
            0 => 0,
            bits => u128::MAX << (128 - bits as u32),
        };
        self.ipv6_mask = [((ipv6 >> 64) as u64).to_be(), (ipv6 as u64).to_be()];
        self
    }

    /// Whether anything is limited.
    #[inline(always)]
    pub const fn is_enabled(&self) -> bool {
        self.prefix.interval_ns != 0
    }

    /// The line and the tag of a client's bucket.
    #[inline(always)]
    pub fn place(&self, client: [u64; 2]) -> (u32, u64) {
        let hash = self.hash(client);
        let index = ((hash >> 32) * (BUCKET_LINES as u64 - 1)) >> 32;
        (index as u32, (hash & !SLIP_MASK) | TAG)
    }

    /// Whether the first word of a bucket is that of a bucket with this tag.
    pub const fn is_of(&self, word: u64, tag: u64) -> bool {
        word & !SLIP_MASK == tag & !SLIP_MASK
    }

    /// The keyed hash of the client's prefix (NH, and a finish that spreads it over all bits).
    #[inline(always)]
    fn hash(&self, [first, second]: [u64; 2]) -> u64 {
        let is_ipv4 = first == 0 && second as u32 as u64 == MAPPED;
        let (first, second) = if is_ipv4 {
            (0, second & self.ipv4_mask)
        } else {
            (first & self.ipv6_mask[0], second & self.ipv6_mask[1])
        };
        let [key, other] = self.secret;
        let product = |word: u64, key: u64| {
            let low = (word as u32).wrapping_add(key as u32) as u64;
            let high = ((word >> 32) as u32).wrapping_add((key >> 32) as u32) as u64;
            low.wrapping_mul(high)
        };
        let sum = product(first, key).wrapping_add(product(second, other));
        let mixed = (sum ^ sum >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ (key << 1));
        mixed ^ mixed >> 29
    }
}

/// Charges one query of a client at `now_ns` on the monotonic clock. The global bucket is charged for what is within
/// the prefix's limit alone.
#[inline(always)]
pub fn charge<B: Buckets>(buckets: &B, limits: &Limits, client: [u64; 2], now_ns: u64) -> Charge {
    let (index, tag) = limits.place(client);
    // What has no memory has no limit.
    let Some(line) = buckets.line(index) else {
        return Charge::Within;
    };
    let place = find(&line, tag);
    if place == LINE_BUCKETS {
        take_place(&line, tag, now_ns.wrapping_add(limits.prefix.interval_ns));
    } else if !spend(&line, place, &limits.prefix, now_ns) {
        return over(&line, place, limits.slip);
    }
    if limits.global.interval_ns == 0 {
        return Charge::Within;
    }
    match buckets.line(BUCKET_LINES - 1) {
        Some(line) if !spend(&line, 0, &limits.global, now_ns) => over(&line, 0, limits.slip),
        _ => Charge::Within,
    }
}

/// Where in the line the bucket of this tag is; [`LINE_BUCKETS`] for nowhere.
#[inline(always)]
fn find<L: BucketLine>(line: &L, tag: u64) -> usize {
    let mut place = LINE_BUCKETS;
    for at in 0..LINE_BUCKETS {
        if line.load(2 * at) & !SLIP_MASK == tag & !SLIP_MASK {
            place = at;
            break;
        }
    }
    place
}

/// Makes the bucket that is nearest to full this tag's.
#[inline(always)]
fn take_place<L: BucketLine>(line: &L, tag: u64, full_at: u64) {
    let mut place = 0;
    let mut earliest = line.load(1);
    for at in 1..LINE_BUCKETS {
        let time = line.load(2 * at + 1);
        if time < earliest {
            earliest = time;
            place = at;
        }
    }
    line.store(2 * place + 1, full_at);
    line.store(2 * place, tag);
}

/// Takes a token, where there is one.
#[inline(always)]
fn spend<L: BucketLine>(line: &L, place: usize, pace: &Pace, now_ns: u64) -> bool {
    let at = 2 * place + 1;
    let full_at = line.load(at);
    if full_at <= now_ns {
        line.store(at, now_ns.wrapping_add(pace.interval_ns));
        return true;
    }
    if full_at - now_ns > pace.tolerance_ns {
        return false;
    }
    line.add(at, pace.interval_ns);
    true
}

/// What happens to a query over the limit: every `slip`-th is answered.
#[inline(always)]
fn over<L: BucketLine>(line: &L, place: usize, slip: u32) -> Charge {
    if slip == 0 {
        return Charge::Over;
    }
    let word = line.load(2 * place);
    let count = (word & SLIP_MASK) + 1;
    if count >= slip as u64 {
        line.store(2 * place, word & !SLIP_MASK);
        Charge::Slip
    } else {
        line.store(2 * place, (word & !SLIP_MASK) | (count & SLIP_MASK));
        Charge::Over
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use core::sync::atomic::{AtomicU64, Ordering};
    use std::vec::Vec;

    use super::*;

    struct Heap(Vec<[AtomicU64; BUCKET_LINE_WORDS]>);

    impl Heap {
        fn new() -> Self {
            Self((0..BUCKET_LINES).map(|_| [const { AtomicU64::new(0) }; 8]).collect())
        }
    }

    impl BucketLine for &[AtomicU64; BUCKET_LINE_WORDS] {
        fn load(&self, at: usize) -> u64 {
            self[at].load(Ordering::Relaxed)
        }

        fn store(&self, at: usize, word: u64) {
            self[at].store(word, Ordering::Relaxed);
        }

        fn add(&self, at: usize, by: u64) {
            self[at].fetch_add(by, Ordering::Relaxed);
        }
    }

    impl<'a> Buckets for &'a Heap {
        type Line = &'a [AtomicU64; BUCKET_LINE_WORDS];

        fn line(&self, index: u32) -> Option<Self::Line> {
            self.0.get(index as usize)
        }
    }

    fn limits(rate: u32, burst: u32) -> Limits {
        Limits {
            prefix: Pace::new(rate, burst),
            secret: [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210],
            ..Limits::NONE
        }
        .with_prefixes(24, 56)
    }

    fn client(text: &str) -> [u64; 2] {
        let mapped = match text.parse().expect("an address") {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        crate::cookie::words(mapped.octets())
    }

    /// Numbers that look random (xorshift).
    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn a_bucket_is_a_token_bucket() {
        let heap = Heap::new();
        let mut random = 1;
        for (number, (rate, burst)) in [
            (100, 50),
            (1, 1),
            (1, 7),
            (1_000_000_000, 3),
            (700_001, 20),
            (3, 1_000_000),
        ]
        .into_iter()
        .enumerate()
        {
            let limits = limits(rate, burst);
            let source = client(&std::format!("192.0.{number}.1"));
            let interval = limits.prefix.interval_ns;
            // The model counts tokens, each worth an interval of nanoseconds.
            let most = u64::from(burst) * interval;
            let (mut level, mut now) = (most, 1_000_000_000);
            let mut passed = 0;
            for _ in 0..20_000 {
                let waited = next(&mut random) % (2 * interval);
                let waited = if next(&mut random).is_multiple_of(3) {
                    waited
                } else {
                    waited / 100
                };
                now += waited;
                level = most.min(level + waited);
                let has_token = level >= interval;
                if has_token {
                    level -= interval;
                    passed += 1;
                }
                let charged = charge(&&heap, &limits, source, now);
                assert_eq!(charged == Charge::Within, has_token, "{rate}/s, burst {burst}");
            }
            assert!(passed > 0);
        }
    }

    #[test]
    fn rates_are_intervals_to_the_nearest_nanosecond() {
        assert_eq!(Pace::new(100, 50).interval_ns, 10_000_000);
        assert_eq!(Pace::new(100, 50).tolerance_ns, 490_000_000);
        assert_eq!(Pace::new(1_000_000_000, 1).interval_ns, 1);
        assert_eq!(Pace::new(3, 1).interval_ns, 333_333_333);
        assert_eq!(Pace::new(600_000_000, 1).interval_ns, 2);
        // A burst of the largest size at the lowest rate is still far from the end of the clock.
        assert!(Pace::new(1, 1_000_000_000).tolerance_ns < u64::MAX / 4);
    }

    #[test]
    fn one_prefix_has_one_bucket_and_another_its_own() {
        let heap = Heap::new();
        let limits = limits(1, 1);
        let within = |text: &str| charge(&&heap, &limits, client(text), 1) == Charge::Within;
        assert!(within("192.0.2.1") && !within("192.0.2.255") && within("192.0.3.1"));
        assert!(within("2001:db8:0:1::1") && !within("2001:db8:0:ff::2") && within("2001:db8:0:100::1"));
        // An IPv6 address that only looks like an IPv4 one.
        assert!(within("::ffff:0:192.0.2.1") && !within("::192.0.2.1"));
    }

    #[test]
    fn prefixes_of_any_length() {
        for (bits, same, other) in [
            (0, "1.2.3.4", None),
            (1, "127.0.0.1", Some("128.0.0.1")),
            (31, "10.0.0.1", Some("10.0.0.2")),
            (32, "10.0.0.0", Some("10.0.0.1")),
        ] {
            let heap = Heap::new();
            let limits = limits(1, 1).with_prefixes(bits, 128 - bits);
            let within = |text: &str| charge(&&heap, &limits, client(text), 1) == Charge::Within;
            assert!(within("10.0.0.0") && !within(same), "{bits}");
            assert!(other.is_none_or(within), "{bits}");
        }
        let limits = limits(1, 1).with_prefixes(0, 0);
        assert_eq!((limits.ipv4_mask, limits.ipv6_mask), (0xFFFF_FFFF, [0; 2]));
        let whole = limits.with_prefixes(32, 128);
        assert_eq!((whole.ipv4_mask, whole.ipv6_mask), (u64::MAX, [u64::MAX; 2]));
    }

    #[test]
    fn every_slip_th_is_answered_truncated() {
        for (slip, expected) in [
            (0, "oooooo"),
            (1, "ssssss"),
            (2, "ososos"),
            (3, "oosoos"),
            (255, "oooooo"),
        ] {
            let heap = Heap::new();
            let limits = Limits { slip, ..limits(1, 1) };
            let source = client("192.0.2.1");
            assert_eq!(charge(&&heap, &limits, source, 1), Charge::Within);
            for letter in expected.chars() {
                let charged = charge(&&heap, &limits, source, 1);
                let expected = if letter == 's' { Charge::Slip } else { Charge::Over };
                assert_eq!(charged, expected, "slip {slip}");
            }
            let slipped = (6..600).filter(|_| charge(&&heap, &limits, source, 1) == Charge::Slip);
            let expected = 600u32.checked_div(slip).unwrap_or(0) - 6u32.checked_div(slip).unwrap_or(0);
            assert_eq!(slipped.count() as u32, expected, "slip {slip}");
        }
    }

    #[test]
    fn the_global_bucket_is_charged_after_the_prefixes() {
        let heap = Heap::new();
        let limits = Limits {
            global: Pace::new(1, 10),
            ..limits(1, 2)
        };
        let mut within = 0;
        for network in 0..20 {
            for _ in 0..5 {
                let source = client(&std::format!("10.0.{network}.1"));
                within += u32::from(charge(&&heap, &limits, source, 1) == Charge::Within);
            }
        }
        // Two of each of five networks: what is over a prefix's limit costs nobody else a token.
        assert_eq!(within, 10);
    }

    #[test]
    fn a_full_line_gives_up_the_bucket_that_is_nearest_to_full() {
        let heap = Heap::new();
        let line = &heap.0[0];
        for (at, time) in [9_000, 7_000, 8_000, 10_000].into_iter().enumerate() {
            line[2 * at].store((at as u64 + 1) << 16 | TAG | 5, Ordering::Relaxed);
            line[2 * at + 1].store(time, Ordering::Relaxed);
        }
        take_place(&line, 0x99_0000 | TAG, 12_345);
        assert_eq!(find(&line, 0x99_0000 | TAG), 1);
        assert_eq!(line[3].load(Ordering::Relaxed), 12_345);
        assert_eq!(find(&line, 2 << 16 | TAG), LINE_BUCKETS);
        for at in [0, 2, 3] {
            assert_eq!(find(&line, (at as u64 + 1) << 16 | TAG), at);
        }
    }

    #[test]
    fn prefixes_spread_over_all_lines() {
        let limits = limits(1, 1).with_prefixes(32, 64);
        let mut lines = std::vec![0u32; BUCKET_LINES as usize];
        for number in 0..4 * BUCKET_LINES {
            let address = if number & 1 == 0 {
                Ipv4Addr::from(0x0A00_0000 + number).to_ipv6_mapped()
            } else {
                Ipv6Addr::from((0x2001_0db8_0000_0000 + u128::from(number)) << 64)
            };
            let hash = limits.hash(crate::cookie::words(address.octets()));
            lines[(((hash >> 32) * (u64::from(BUCKET_LINES) - 1)) >> 32) as usize] += 1;
        }
        // Four in each on average; of random ones nearly two of a hundred lines would get none.
        let most = lines.iter().max().expect("lines");
        let empty = lines.iter().filter(|&&count| count == 0).count();
        assert!(
            *most < 24 && empty * 100 < 4 * lines.len(),
            "{most} in one, {empty} empty"
        );
    }

    #[test]
    fn processors_at_once_lose_no_cost() {
        const THREADS: u64 = 4;
        let heap = Heap::new();
        let limits = limits(1000, 100);
        let source = client("192.0.2.1");
        let within = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for step in 0..200_000u64 {
                        // A second of the clock, in every thread.
                        let charged = charge(&&heap, &limits, source, 1_000_000_000 + step * 5_000);
                        within.fetch_add(u64::from(charged == Charge::Within), Ordering::Relaxed);
                    }
                });
            }
        });
        // The clocks of the threads differ by what the scheduler makes of them, so the bucket never goes back: at most
        // the burst, a second's worth, and one more for each thread each time that the bucket was full.
        let within = within.into_inner();
        assert!((1000..=1100 + 2 * THREADS).contains(&within), "{within}");
    }

    #[test]
    fn layout_is_pinned() {
        assert_eq!(size_of::<Limits>(), 80);
    }
}
