//! The program's maps and constants, the one place where map memory is read, and what else the kernel gives.
//!
//! | map | what | written by |
//! |---|---|---|
//! | `LINES`, `SLOTS_*`, `ZONES`, `EPOCH` | the answer table | userspace, through mmap |
//! | `OWN`, `OWN_TABLE` | our addresses and ports; where each has a place of its own | userspace |
//! | `ACCESS` | prefixes of clients that may ask, or may not, by group | userspace |
//! | `BUCKETS` | rate limits | the program, and the sockets through mmap |
//! | `HOT_LINES`, `HOT_BODIES` | kept answers of upstream servers | userspace, through mmap |
//! | `HOT_ASKED` | when each of these was asked for | the program, and the sockets through mmap |
//! | `RECURSION` | prefixes of clients that may use the upstream | userspace |
//! | `CLIENTS` | prefixes of clients, and their views | userspace |
//! | `STATE` | counters and scratch, per processor | the program |
//! | `ZONE_COUNTERS` | answers by zone, per processor | the program |
//!
//! # Loads in order
//!
//! Userspace writes what the program reads. x86-64 does loads in the order of the program; ARM64 does not, unless it is
//! told. BPF has no load with acquire order before Linux 6.15. What orders loads here:
//!
//! - *A number that came from memory is part of an address*: ARM64 keeps such loads in order (address dependency). So a
//!   slot is read after the reference to it, a zone's after the line's number of the zone, whatever else is said.
//! - Where there is no such number, [`after`] makes one: zero, made of what was read before. The words of a line are
//!   read after its version, and the version again after these.
//! - [`order_loads`], an atomic instruction that gives the old value, which Linux promises to be a full barrier for a
//!   BPF program (ARM64: LDADDAL, or an exclusive pair and DMB). It stands around each read of the epoch.
//!
//! Both are for the processors that [`Settings::orders_loads`] is set for. It is a constant of the loaded program, so
//! that elsewhere verifiers remove all of it. The other side's order is in `dns-userspace/src/table/writer.rs`: a
//! line's version becomes odd before its words change and even after it, slots are written before a line refers to
//! them.

use core::arch::asm;
use core::ptr::{read_unaligned, read_volatile, write_volatile};

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_get_prandom_u32, bpf_ktime_get_boot_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use dns_common::access::GROUP_BITS;
use dns_common::address::{OWN_LINES, OWN_WORDS, OwnKey, OwnLine, OwnValue, own_line, place};
use dns_common::cookie::{CookieSecrets, Secret};
use dns_common::counters::{RCODE_CLASSES, ZoneCounters};
use dns_common::hash::{Keys, MAX_WORDS, NameHash};
use dns_common::hot::{BODY_WORDS, HotAnswers};
use dns_common::limit::{BUCKET_LINE_WORDS, BucketLine, Buckets, Limits};
use dns_common::line::LINE_WORDS;
use dns_common::opaque::opaque_ref;
use dns_common::scratch::{PREPARED_WORDS, State};
use dns_common::settings::Settings;
use dns_common::slot::{AHEAD_CLASSES, AHEAD_WORDS, CLASS_BYTES, SLOT_HEADER_BYTES, Slot, SlotHeader, slots_ahead};
use dns_common::table::{EPOCH_WORDS, Table, ZONE_WORDS, ZoneEntry, word};

/// Octets of a body in a class.
const fn body_bytes(class: usize) -> usize {
    CLASS_BYTES[class] - SLOT_HEADER_BYTES
}

// Sizes are set when the object is loaded; the numbers here are the least.
#[map]
static LINES: Array<[u64; LINE_WORDS]> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
pub static SLOTS_0: Array<Slot<{ body_bytes(0) }>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
pub static SLOTS_1: Array<Slot<{ body_bytes(1) }>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
pub static SLOTS_2: Array<Slot<{ body_bytes(2) }>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
pub static SLOTS_3: Array<Slot<{ body_bytes(3) }>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
pub static SLOTS_4: Array<Slot<{ body_bytes(4) }>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
pub static SLOTS_5: Array<Slot<{ body_bytes(5) }>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
pub static SLOTS_6: Array<Slot<{ body_bytes(6) }>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static ZONES: Array<[u64; ZONE_WORDS]> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static EPOCH: Array<[u64; EPOCH_WORDS]> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static OWN_TABLE: Array<OwnLine> = Array::with_max_entries(OWN_LINES as u32, 0);
// Memory for an address is taken when it comes: there may be room for many.
#[map]
static OWN: HashMap<OwnKey, OwnValue> = HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);
#[map]
static RECURSION: LpmTrie<[u8; 16], u8> = LpmTrie::with_max_entries(1, BPF_F_NO_PREALLOC);
#[map]
static CLIENTS: LpmTrie<[u8; 16], u32> = LpmTrie::with_max_entries(1, BPF_F_NO_PREALLOC);
#[map]
static ACCESS: LpmTrie<[u8; 20], u8> = LpmTrie::with_max_entries(1, BPF_F_NO_PREALLOC);
#[map]
static BUCKETS: Array<[u64; BUCKET_LINE_WORDS]> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static HOT_LINES: Array<[u64; LINE_WORDS]> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static HOT_BODIES: Array<[u64; BODY_WORDS]> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static HOT_ASKED: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static COOKIES: Array<CookieSecrets> = Array::with_max_entries(1, 0);
#[map]
static STATE: PerCpuArray<State> = PerCpuArray::with_max_entries(1, 0);
#[map]
static ZONE_COUNTERS: PerCpuArray<ZoneCounters> = PerCpuArray::with_max_entries(1, 0);

/// The table's secrets; set when the object is loaded.
#[unsafe(no_mangle)]
static KEYS: Keys = Keys {
    first: [1; MAX_WORDS],
    second: [1; MAX_WORDS],
    mix: [1; 4],
    view: [1; 2],
};
/// What the configuration says; set when the object is loaded.
#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings::DEFAULT;
/// Rate limits; set when the object is loaded.
#[unsafe(no_mangle)]
static LIMITS: Limits = Limits::NONE;

/// The settings. Opaque, which keeps the compiler from folding in what the object file has.
#[inline(always)]
pub fn settings() -> &'static Settings {
    opaque_ref(&SETTINGS)
}

/// The rate limits, likewise.
#[inline(always)]
pub fn limits() -> &'static Limits {
    opaque_ref(&LIMITS)
}

/// This processor's counters and scratch.
#[inline(always)]
pub fn state() -> Option<&'static mut State> {
    let state = STATE.get_ptr_mut(0)?;
    // SAFETY: the value is this processor's alone, and an XDP program is neither preempted by itself nor re-entered
    // on its processor; references obtained by two calls are never used in turn without fetching them again.
    unsafe { state.as_mut() }
}

/// Counts an answer of a zone; one of no zone has no place in the map.
#[inline(always)]
pub fn count_for_zone(zone: u32, rcode: usize) {
    if rcode >= RCODE_CLASSES {
        return;
    }
    if let Some(counters) = ZONE_COUNTERS.get_ptr_mut(zone) {
        // SAFETY: the value is this processor's alone, as that of `STATE` is, and no reference to it is kept.
        unsafe { (*counters)[rcode] += 1 };
    }
}

/// What is known of an address and port, if they are ours. The map is asked with a key in `room`.
#[inline(always)]
pub fn own(key: &[u64; OWN_WORDS], room: &mut OwnKey) -> Option<OwnValue> {
    let line = OWN_TABLE.get_ptr(place(key))?;
    let ordered = is_ordered();
    // SAFETY: a line of the map, each field copied by a volatile load. Userspace may write it meanwhile, which shows
    // in the state, that is looked at before and after.
    let (state, line_key, value, again) = unsafe {
        let state = read_volatile(&raw const (*line).state);
        let line = after(ordered, line, state as u64);
        let line_key: [u64; OWN_WORDS] = read_volatile((&raw const (*line).key).cast());
        let value: u64 = read_volatile((&raw const (*line).value).cast());
        let read = line_key[0] | line_key[1] | line_key[2] | line_key[3] | value;
        let line = after(ordered, line, read);
        (state, line_key, value, read_volatile(&raw const (*line).state))
    };
    match state & own_line::MASK {
        _ if state != again => own_slowly(key, room),
        own_line::EMPTY => None,
        own_line::HERE => {
            let differs =
                (key[0] ^ line_key[0]) | (key[1] ^ line_key[1]) | (key[2] ^ line_key[2]) | (key[3] ^ line_key[3]);
            if differs == 0 {
                Some(bytemuck::cast(value))
            } else {
                None
            }
        }
        _ => own_slowly(key, room),
    }
}

#[inline(always)]
fn own_slowly(key: &[u64; OWN_WORDS], room: &mut OwnKey) -> Option<OwnValue> {
    *room = bytemuck::cast(*key);
    // SAFETY: the value is eight octets, copied at once; entries are only ever written whole and are not reused for
    // another key while a program runs, except with values of the same interface.
    unsafe { OWN.get(&*room) }.copied()
}

/// Whether this client may use the upstream. The map is asked with a key in `room`.
#[inline(always)]
pub fn may_recurse([first, second]: [u64; 2], room: &mut [u32; 5]) -> bool {
    if settings().has_upstream == 0 {
        return false;
    }
    *room = [
        128,
        first as u32,
        (first >> 32) as u32,
        second as u32,
        (second >> 32) as u32,
    ];
    // SAFETY: a key is a number of bits and sixteen octets, packed, as these five words are.
    let key = unsafe { &*core::ptr::from_ref(room).cast::<Key<[u8; 16]>>() };
    RECURSION.get(key).is_some_and(|may| *may != 0)
}

/// The same of the client in the scratch ([`dns_common::scratch::Scratch::client`]).
#[inline(always)]
pub fn client_may_recurse(client: &[u32; 6]) -> bool {
    // SAFETY: a key is a number of bits and sixteen octets, packed, as the first five of these words are.
    let key = unsafe { &*core::ptr::from_ref(client).cast::<Key<[u8; 16]>>() };
    RECURSION.get(key).is_some_and(|may| *may != 0)
}

/// What the longest prefix of the group that has this client stands for. The map is asked with a key in `room`.
#[inline(always)]
pub fn access(group: u32, [first, second]: [u64; 2], room: &mut [u32; 6]) -> Option<u8> {
    *room = [
        GROUP_BITS + 128,
        group,
        first as u32,
        (first >> 32) as u32,
        second as u32,
        (second >> 32) as u32,
    ];
    // SAFETY: a key is a number of bits and twenty octets, packed, as these six words are.
    let key = unsafe { &*core::ptr::from_ref(room).cast::<Key<[u8; 20]>>() };
    ACCESS.get(key).copied()
}

/// The monotonic clock, by which buckets fill.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// The memory of rate limits.
pub struct KernelBuckets;

/// A line of it, which lives as long as the program.
pub struct KernelBucketLine(*mut u64);

impl Buckets for KernelBuckets {
    type Line = KernelBucketLine;

    #[inline(always)]
    fn line(&self, index: u32) -> Option<KernelBucketLine> {
        Some(KernelBucketLine(BUCKETS.get_ptr_mut(index)?.cast()))
    }
}

impl BucketLine for KernelBucketLine {
    #[inline(always)]
    fn load(&self, at: usize) -> u64 {
        // SAFETY: one aligned word of the line's eight.
        unsafe { read_volatile(self.0.add(at & (BUCKET_LINE_WORDS - 1))) }
    }

    #[inline(always)]
    fn store(&self, at: usize, word: u64) {
        // SAFETY: one aligned word of the line's eight; others that write it do so in one go as well.
        unsafe { write_volatile(self.0.add(at & (BUCKET_LINE_WORDS - 1)), word) }
    }

    #[inline(always)]
    fn add(&self, at: usize, by: u64) {
        // SAFETY: one aligned word of the line's eight.
        let word = unsafe { self.0.add(at & (BUCKET_LINE_WORDS - 1)) };
        // SAFETY: the instruction adds to that word, and touches nothing else.
        unsafe { asm!("lock *(u64 *)({word} + 0) += {by}", word = in(reg) word, by = in(reg) by) };
    }
}

/// The time, and the secret that makes cookies.
#[inline(always)]
pub fn cookie_source() -> Option<(u32, Secret)> {
    let held = COOKIES.get_ptr(0)?;
    // SAFETY: aligned words of the map, each copied by a volatile load. Userspace writes a secret before it says that
    // this one is in force ([`CookieSecrets::next`]), and says so in the word that is read first.
    unsafe {
        let [seconds, current] = read_volatile(held.cast::<[u32; 2]>());
        // The number is part of the address: a branch would not keep the secret from being read before it.
        let secrets = (&raw const (*held).secrets).cast::<Secret>();
        Some((seconds, read_volatile(secrets.add(current as usize & 1))))
    }
}

/// A number that nobody can foretell.
#[inline(always)]
pub fn random() -> u64 {
    // SAFETY: the helper takes nothing and gives a number.
    unsafe { bpf_get_prandom_u32() as u64 | (bpf_get_prandom_u32() as u64) << 32 }
}

/// The number as it then lies in memory: verifiers know nothing of it, so that what follows is checked once for all
/// values.
#[inline(always)]
pub fn forget(room: &mut u64, number: u64) -> u64 {
    *room = number;
    // SAFETY: a reference can be read.
    unsafe { read_volatile(room) }
}

/// Whether loads have to be kept in order.
#[inline(always)]
fn is_ordered() -> bool {
    settings().orders_loads != 0
}

/// The same place, read after what `read` was made of has come from memory.
#[inline(always)]
fn after<T>(ordered: bool, place: *const T, read: u64) -> *const T {
    if !ordered {
        return place;
    }
    let mut nothing = read;
    // SAFETY: a register becomes zero. The compiler does not know, and the processor does not look.
    unsafe { asm!("{0} &= 0", inout(reg) nothing, options(nomem, nostack, preserves_flags)) };
    place.wrapping_byte_add(nothing as usize)
}

/// No load behind this is done before one in front of it.
#[inline(always)]
fn order_loads() {
    if let Some(state) = STATE.get_ptr_mut(0) {
        // SAFETY: an aligned word of this processor's own, to which nothing is added.
        unsafe {
            let word = &raw mut (*state).barrier;
            asm!("{0} = atomic_fetch_add((u64 *)({1} + 0), {0})", inout(reg) 0u64 => _, in(reg) word);
        }
    }
}

/// One of the words that are said of the whole table.
#[inline(always)]
fn epoch_word(at: usize) -> u64 {
    match EPOCH.get_ptr(0) {
        // SAFETY: one aligned word of the map's eight.
        Some(words) => unsafe { read_volatile(words.cast::<u64>().add(at & (EPOCH_WORDS - 1))) },
        None => 0,
    }
}

/// Reads words of a slot that are not looked at: nothing waits for them.
#[inline(always)]
fn touch<const BODY: usize>(slot: Option<*const Slot<BODY>>, words: &[usize]) {
    let Some(slot) = slot else { return };
    for word in words {
        // SAFETY: an aligned word, which the caller knows to lie inside of the slot. Userspace may be writing it.
        unsafe { read_volatile(slot.cast::<u64>().add(*word)) };
    }
}

/// A copy of a line, of one version.
#[inline(always)]
fn whole_line(line: *const [u64; LINE_WORDS]) -> Option<[u64; LINE_WORDS]> {
    let line = line.cast::<u64>();
    let ordered = is_ordered();
    let mut words = [0; LINE_WORDS];
    // SAFETY: `line` points at eight aligned words of the map. Userspace may write them meanwhile: volatile loads in
    // order, the version first and again last, and only the copy is looked at.
    unsafe {
        words[0] = read_volatile(line);
        let line = after(ordered, line, words[0]);
        words[1] = read_volatile(line.add(1));
        words[2] = read_volatile(line.add(2));
        words[3] = read_volatile(line.add(3));
        words[4] = read_volatile(line.add(4));
        words[5] = read_volatile(line.add(5));
        words[6] = read_volatile(line.add(6));
        words[7] = read_volatile(line.add(7));
        let read = words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7];
        let line = after(ordered, line, read);
        let again = read_volatile(line);
        if words[0] & 1 != 0 || again != words[0] {
            return None;
        }
    }
    Some(words)
}

/// The table as the core sees it.
pub struct KernelTable;

impl HotAnswers for KernelTable {
    #[inline(always)]
    fn buckets(&self) -> u32 {
        settings().hot_buckets
    }

    #[inline(always)]
    fn tag(&self, place: u32) -> u64 {
        match HOT_LINES.get_ptr(place) {
            // SAFETY: one aligned word of the line's eight.
            Some(line) => unsafe { read_volatile(line.cast::<u64>().add(1)) },
            None => 0,
        }
    }

    #[inline(always)]
    fn hot_line(&self, place: u32) -> Option<[u64; LINE_WORDS]> {
        whole_line(HOT_LINES.get_ptr(place)?)
    }

    #[inline(always)]
    fn copy_hot_body(&self, slot: u32, words: u32, to: &mut [u64; PREPARED_WORDS]) -> bool {
        let Some(body) = HOT_BODIES.get_ptr(slot) else {
            return false;
        };
        for (index, to) in to.iter_mut().enumerate().take(BODY_WORDS) {
            if index as u32 >= words {
                break;
            }
            // SAFETY: `index` is below the body's number of words. Userspace may be writing it: the line's version
            // says so afterwards.
            *to = unsafe { read_volatile(body.cast::<u64>().add(index)) };
        }
        true
    }

    #[inline(always)]
    fn is_still(&self, place: u32, first: u64) -> bool {
        if is_ordered() {
            order_loads();
        }
        // SAFETY: one aligned word of the line's eight.
        HOT_LINES
            .get_ptr(place)
            .is_some_and(|line| unsafe { read_volatile(line.cast::<u64>()) } == first)
    }

    #[inline(always)]
    fn generation(&self) -> u32 {
        if is_ordered() {
            order_loads();
        }
        epoch_word(word::GENERATION) as u32
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        match epoch_word(word::FIXED_NOW) {
            // SAFETY: a helper without arguments.
            0 => unsafe { bpf_ktime_get_boot_ns() },
            fixed => fixed,
        }
    }

    #[inline(always)]
    fn note_asked(&self, place: u32, asked: u64) {
        if let Some(word) = HOT_ASKED.get_ptr_mut(place) {
            // SAFETY: an aligned word, which others write in one go as well. It is written once in a second: what many
            // processors write takes each of them long.
            unsafe {
                if read_volatile(word) != asked {
                    write_volatile(word, asked);
                }
            }
        }
    }
}

impl Table for KernelTable {
    #[inline(always)]
    fn keys(&self) -> &Keys {
        opaque_ref(&KEYS)
    }

    #[inline(always)]
    fn lines(&self) -> u32 {
        settings().lines
    }

    #[inline(always)]
    fn ask_ahead(&self, hash: NameHash, qtype: u16) {
        const _: () = assert!(AHEAD_CLASSES == 3);
        let settings = settings();
        if settings.ahead_slots == 0 || settings.ahead_type != 0 && settings.ahead_type != qtype as u32 {
            return;
        }
        let [first, second] = slots_ahead(settings.ahead_class as usize, hash.tag, settings.ahead_slots);
        match settings.ahead_class {
            0 => {
                touch(SLOTS_0.get_ptr(first), AHEAD_WORDS[0].0);
                touch(SLOTS_0.get_ptr(second), AHEAD_WORDS[0].1);
            }
            1 => touch(SLOTS_1.get_ptr(first), AHEAD_WORDS[1].0),
            2 => touch(SLOTS_2.get_ptr(first), AHEAD_WORDS[2].0),
            _ => {}
        }
    }

    #[inline(always)]
    fn line(&self, index: u32) -> Option<[u64; LINE_WORDS]> {
        whole_line(LINES.get_ptr(index)?)
    }

    #[inline(always)]
    fn epoch(&self) -> u64 {
        if !is_ordered() {
            return epoch_word(word::EPOCH);
        }
        // What was read before is older than this one, what is read from now on is not.
        order_loads();
        let epoch = epoch_word(word::EPOCH);
        order_loads();
        epoch
    }

    #[inline(always)]
    fn depth(&self) -> u32 {
        epoch_word(word::DEPTH) as u32
    }

    #[inline(always)]
    fn slot_header(&self, class: u32, slot: u32, to: &mut SlotHeader) -> bool {
        let header = match class {
            0 => SLOTS_0.get_ptr(slot).map(|slot| slot.cast::<u64>()),
            1 => SLOTS_1.get_ptr(slot).map(|slot| slot.cast::<u64>()),
            2 => SLOTS_2.get_ptr(slot).map(|slot| slot.cast::<u64>()),
            3 => SLOTS_3.get_ptr(slot).map(|slot| slot.cast::<u64>()),
            4 => SLOTS_4.get_ptr(slot).map(|slot| slot.cast::<u64>()),
            5 => SLOTS_5.get_ptr(slot).map(|slot| slot.cast::<u64>()),
            6 => SLOTS_6.get_ptr(slot).map(|slot| slot.cast::<u64>()),
            _ => None,
        };
        let Some(words) = header else { return false };
        let to: &mut [u64; SLOT_HEADER_BYTES / 8] = bytemuck::cast_mut(to);
        // SAFETY: every slot begins with its header and reaches into a second line of the cache, all but those of the
        // first two classes have four; a slot that a line refers to is not written. What is read of the other lines is
        // not looked at: it lets all of them come from memory at the same time.
        unsafe {
            read_volatile(words.add(8));
            if class > 1 {
                read_volatile(words.add(16));
                read_volatile(words.add(24));
            } else if class == 1 {
                read_volatile(words.add(16));
            }
            for (index, to) in to.iter_mut().enumerate() {
                *to = read_volatile(words.add(index));
            }
        }
        true
    }

    #[inline(always)]
    fn copy_body(&self, class: u32, slot: u32, words: u32, to: &mut [u64; PREPARED_WORDS]) -> bool {
        match class {
            0 => SLOTS_0.get_ptr(slot).is_some_and(|slot| copy_words(slot, words, to)),
            1 => SLOTS_1.get_ptr(slot).is_some_and(|slot| copy_words(slot, words, to)),
            2 => SLOTS_2.get_ptr(slot).is_some_and(|slot| copy_words(slot, words, to)),
            3 => SLOTS_3.get_ptr(slot).is_some_and(|slot| copy_words(slot, words, to)),
            4 => SLOTS_4.get_ptr(slot).is_some_and(|slot| copy_words(slot, words, to)),
            _ => false,
        }
    }

    #[inline(always)]
    fn has_views(&self) -> bool {
        settings().has_views != 0
    }

    #[inline(always)]
    fn view(&self, client: &[u32; 6]) -> u32 {
        // SAFETY: a key is a number of bits and sixteen octets, packed, as the first five of these words are.
        let key = unsafe { &*core::ptr::from_ref(client).cast::<Key<[u8; 16]>>() };
        CLIENTS.get(key).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn zone(&self, index: u32) -> Option<ZoneEntry> {
        let zone = ZONES.get_ptr(index)?.cast::<u64>();
        // SAFETY: three aligned words of the map, each loaded at once.
        unsafe {
            Some(ZoneEntry::from_words(
                read_volatile(zone),
                read_volatile(zone.add(1)),
                read_volatile(zone.add(2)),
            ))
        }
    }
}

/// Eight octets of a body, from `at`; `None` where it has not so many. What is not constant has to be opaque: verifiers
/// want to see the comparison.
#[inline(always)]
pub fn slot_word<const BODY: usize>(octets: &[u8; BODY], at: usize) -> Option<u64> {
    if at > BODY - 8 {
        return None;
    }
    // SAFETY: the eight octets are inside, as just checked, and the slot is not written while a line refers to it.
    Some(unsafe { read_unaligned(octets.as_ptr().add(at).cast()) })
}

/// Copies the first `words` words of a slot's octets.
#[inline(always)]
fn copy_words<const BODY: usize>(slot: *const Slot<BODY>, words: u32, to: &mut [u64; PREPARED_WORDS]) -> bool {
    // SAFETY: the octets follow the header, which is a whole number of words.
    let from = unsafe { slot.cast::<u8>().add(SLOT_HEADER_BYTES).cast::<u64>() };
    for (index, to) in to.iter_mut().enumerate().take(BODY / 8) {
        if index as u32 >= words {
            return true;
        }
        // SAFETY: `index` is below the slot's number of words; the slot is not written while a line refers to it.
        *to = unsafe { read_volatile(from.add(index)) };
    }
    words as usize <= BODY / 8
}
