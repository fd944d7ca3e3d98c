//! The XDP plane: loads the program, hands out the memory of its maps, attaches it, keeps its addresses in step.
//!
//! ```text
//!  object ─► Program::load ─► Memory (mmap of its maps) ─► TableWriter
//!                 │
//!                 ├─ attach(interface) ─ bpf_link, gone with the process
//!                 ├─ set_own(addresses)      ◄─ own: netlink, followed live
//!                 └─ counters()
//! ```
//!
//! A larger table is a new [`Program`], filled beside the old one, which then takes over its links, each on its own.

mod attach;
mod error;
mod extack;
mod faults;
mod link;
mod maps;
pub mod own;
mod own_map;
mod tap;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, MapData, MapError, PerCpuArray};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use dns_common::access::{AccessKey, EXEMPT, GROUP_BITS, SERVER};
use dns_common::cookie::{CookieSecrets, words};
use dns_common::counters::{Counters, RCODE_CLASSES, ZoneCounters};
use dns_common::hash::Keys;
use dns_common::hot::BODY_WORDS;
use dns_common::limit::{BUCKET_LINE_WORDS, BUCKET_LINES, Limits};
use dns_common::line::{LINE_WORDS, REFERRAL};
use dns_common::scratch::State;
use dns_common::settings::Settings;
use dns_common::slot::CLASS_BYTES;
use dns_common::table::{EPOCH_WORDS, ZONE_WORDS};
use dns_common::tap::TapSettings;
use ipnet::IpNet;
use nix::errno::Errno;

pub use self::attach::AttachError;
use self::attach::Refused;
pub use self::error::XdpError;
pub use self::faults::{Faults, Seam};
use self::link::{Link, Way};
use self::own_map::OwnMap;
pub use self::own_map::{Entries, OwnReport};
pub use self::tap::Taps;
use super::gate::Charged;
use crate::cookies::Secrets;
use crate::model::access::{Access, AccessList};
use crate::model::prefixes::AddressPrefix;
use crate::model::shown::with_causes;
use crate::model::views::Clients;
use crate::publish::{self, Home, ZoneAccess};
use crate::table::{HotMemory, Memory, Sizes};

/// Whether this processor may do loads in another order than a program has them in.
const MAY_REORDER_LOADS: bool = !cfg!(target_arch = "x86_64");
const STATE_WORDS: usize = size_of::<State>() / 8;
const SLOT_MAPS: [&str; CLASS_BYTES.len()] = [
    "SLOTS_0", "SLOTS_1", "SLOTS_2", "SLOTS_3", "SLOTS_4", "SLOTS_5", "SLOTS_6",
];

/// Prefixes of zones' access lists that there is room for; memory is taken for those that there are. A zone whose list
/// has none of it is userspace's.
const ZONE_PREFIXES: u32 = 1 << 20;

/// What the configuration tells a program, fixed while it is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Constants {
    /// Sizes, limits and switches.
    pub settings: Settings,
    /// Rate limits.
    pub limits: Limits,
    /// For how much there is to be room.
    pub room: Room,
    /// What is shown of answers.
    pub tap: TapSettings,
}

/// How many entries maps have room for. Memory is taken as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Own addresses: one for each port, and one more. Eight octets are taken for each at once.
    pub own: u32,
    /// Prefixes of the server's access list, and of clients without limits.
    pub access: u32,
    /// Prefixes of clients that may use the upstream.
    pub recursion: u32,
    /// Kept answers of upstream servers. Memory for all of them is taken at once.
    pub hot: u32,
}

impl Room {
    /// The least for own addresses: 8,191 of them with one port.
    pub const LEAST_OWN: u32 = 1 << 14;
    /// The most: half a million with one port.
    pub const MOST_OWN: u32 = 1 << 20;

    /// Room for so many entries of own addresses, and for many more to come.
    pub fn own_for(entries: usize) -> u32 {
        let wanted = entries
            .saturating_mul(4)
            .checked_next_power_of_two()
            .unwrap_or(usize::MAX);
        u32::try_from(wanted)
            .unwrap_or(u32::MAX)
            .clamp(Self::LEAST_OWN, Self::MOST_OWN)
    }
}

impl Default for Room {
    /// For a few of each.
    fn default() -> Self {
        Self {
            own: Self::LEAST_OWN,
            access: 1 << 16,
            recursion: 1 << 16,
            hot: 0,
        }
    }
}

impl From<Settings> for Constants {
    /// Without rate limits.
    fn from(settings: Settings) -> Self {
        Self {
            settings,
            limits: Limits::NONE,
            room: Room::default(),
            tap: TapSettings::OFF,
        }
    }
}

/// How the program is to be attached (`xdp.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Native where the driver has it, generic on veth and loopback.
    Auto,
    /// In the driver.
    Native,
    /// In the kernel's own receive path.
    Generic,
}

/// One attachment.
struct Attached {
    interface: String,
    index: u32,
    mtu: u32,
    way: Way,
    link: Link,
}

/// A loaded program with its maps and links.
pub struct Program {
    ebpf: Ebpf,
    own: OwnMap,
    own_report: OwnReport,
    state: PerCpuArray<MapData, [u64; STATE_WORDS]>,
    cookies: Array<MapData, [u64; size_of::<CookieSecrets>() / 8]>,
    /// What is in there.
    cookie_secrets: CookieSecrets,
    links: Vec<Attached>,
    /// Where it is shown what the program charges.
    charged: Option<Arc<Charged>>,
    faults: Faults,
    /// Access lists of zones, by the zone's index.
    zone_access: BTreeMap<u32, Arc<AccessList>>,
    /// What programs that this one took over from have counted.
    before: Box<Counters>,
    zone_counters: PerCpuArray<MapData, ZoneCounters>,
    /// For how many zones there is room there.
    counted_zones: u32,
    /// What is added, modulo 2^64, to what is counted there, by the zone's index: the counts of programs that this one
    /// took over from, less those of zones that had the index before.
    zone_offsets: HashMap<u32, ZoneCounters>,
    /// While it is here, what the program shows of its answers is read.
    shown: Option<tap::Alive>,
    /// Where the program's own log lines come from; `None` where they cannot be read.
    logger: Option<Box<dyn FnMut() + Send>>,
}

impl Program {
    /// Loads the object with maps of these sizes, and maps their memory.
    pub fn load(object: &[u8], constants: &Constants, keys: &Keys, sizes: Sizes) -> Result<(Self, Memory), XdpError> {
        let Constants {
            settings,
            limits,
            room,
            tap,
        } = constants;
        let settings = Settings {
            has_views: u16::from(sizes.prefixes != 0),
            ahead_class: sizes.ahead.class as u32,
            ahead_slots: sizes.ahead.slots,
            ahead_type: match sizes.ahead.rtype {
                // Referrals are the answer to every type.
                REFERRAL => 0,
                rtype => rtype.into(),
            },
            orders_loads: settings.orders_loads | u32::from(MAY_REORDER_LOADS),
            hot_buckets: HotMemory::buckets_for(room.hot),
            ..*settings
        };
        let counted_zones = if settings.per_zone != 0 { sizes.zones } else { 0 };
        let bucket_lines = if limits.is_enabled() { BUCKET_LINES } else { 1 };
        let (hot_lines, hot_bodies) = (HotMemory::lines_for(room.hot).max(1), room.hot.max(1));
        let mut loader = EbpfLoader::new();
        loader
            .override_global("KEYS", bytemuck::bytes_of(keys), true)
            .override_global("SETTINGS", bytemuck::bytes_of(&settings), true)
            .override_global("LIMITS", bytemuck::bytes_of(limits), true)
            .override_global("TAP_SETTINGS", bytemuck::bytes_of(tap), true)
            .map_max_entries("TAP", tap::ring_bytes(*tap))
            .map_max_entries("ACCESS", room.access.saturating_add(ZONE_PREFIXES))
            .map_max_entries("CLIENTS", sizes.prefixes.max(1))
            .map_max_entries("OWN", room.own)
            .map_max_entries("RECURSION", room.recursion.max(1))
            .map_max_entries("BUCKETS", bucket_lines)
            .map_max_entries("HOT_LINES", hot_lines)
            .map_max_entries("HOT_BODIES", hot_bodies)
            .map_max_entries("HOT_ASKED", hot_lines)
            .map_max_entries("LINES", sizes.lines)
            .map_max_entries("ZONES", sizes.zones)
            .map_max_entries("ZONE_COUNTERS", counted_zones.max(1));
        for (name, count) in SLOT_MAPS.iter().zip(sizes.slots) {
            loader.map_max_entries(name, count);
        }
        let mut ebpf = loader.load(object).map_err(XdpError::MapsRefused)?;
        let logger = match EbpfLogger::init(&mut ebpf) {
            Ok(mut logger) => Some(Box::new(move || logger.flush()) as Box<dyn FnMut() + Send>),
            Err(error) => {
                tracing::debug!(%error, "the XDP program's own log lines cannot be read");
                None
            }
        };
        let program = ebpf.program_mut("hotdns").ok_or(XdpError::NoProgram)?;
        let program: &mut Xdp = program.try_into().map_err(XdpError::ProgramRefused)?;
        program.load().map_err(XdpError::ProgramRefused)?;

        let region = |name, words| maps::region(&ebpf, name, words);
        let slots = |class: usize| {
            let bytes = sizes.slots[class] as usize * CLASS_BYTES[class];
            region(SLOT_MAPS[class], bytes / 8)
        };
        let memory = Memory {
            sizes,
            lines: region("LINES", sizes.lines as usize * LINE_WORDS)?,
            slots: [
                slots(0)?,
                slots(1)?,
                slots(2)?,
                slots(3)?,
                slots(4)?,
                slots(5)?,
                slots(6)?,
            ],
            zones: region("ZONES", sizes.zones as usize * ZONE_WORDS)?,
            epoch: region("EPOCH", EPOCH_WORDS)?,
            buckets: region("BUCKETS", bucket_lines as usize * BUCKET_LINE_WORDS)?,
            hot: HotMemory {
                names: room.hot,
                lines: region("HOT_LINES", hot_lines as usize * LINE_WORDS)?,
                bodies: region("HOT_BODIES", hot_bodies as usize * BODY_WORDS)?,
                asked: region("HOT_ASKED", hot_lines as usize)?,
            },
        };
        let own = OwnMap::new(
            maps::take(&mut ebpf, "OWN")?,
            maps::take(&mut ebpf, "OWN_TABLE")?,
            room.own as usize,
        );
        let state = maps::take(&mut ebpf, "STATE")?;
        let cookies = maps::take(&mut ebpf, "COOKIES")?;
        let zone_counters = maps::take(&mut ebpf, "ZONE_COUNTERS")?;
        let before = Box::new(bytemuck::Zeroable::zeroed());
        Ok((
            Self {
                ebpf,
                own,
                own_report: OwnReport::default(),
                state,
                cookies,
                cookie_secrets: bytemuck::Zeroable::zeroed(),
                links: Vec::new(),
                charged: None,
                faults: Faults::default(),
                zone_access: BTreeMap::new(),
                before,
                zone_counters,
                counted_zones,
                zone_offsets: HashMap::new(),
                shown: None,
                logger,
            },
            memory,
        ))
    }

    /// The loaded program, for its logs and statistics.
    pub fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Has what the program shows of its answers read there.
    pub fn show_in(&mut self, taps: &Taps) -> Result<(), XdpError> {
        self.shown = Some(taps.add(&mut self.ebpf)?);
        Ok(())
    }

    /// Hands the program's own log lines to the log.
    pub fn flush_log(&mut self) {
        if let Some(flush) = &mut self.logger {
            flush();
        }
    }

    /// Keeps telling there what the program charges, from now on and in programs that take over from this one.
    pub fn show_charged_in(&mut self, charged: Arc<Charged>) {
        self.charged = Some(charged);
        self.show_charged();
    }

    /// Makes calls to the kernel fail; for tests.
    #[doc(hidden)]
    pub fn inject(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Attaches to an interface. Returns the mode that is in force: `native` or `generic`.
    pub fn attach(&mut self, on: &own::Interface, mode: Mode) -> Result<&'static str, AttachError> {
        let native_first = match mode {
            Mode::Native => true,
            Mode::Generic => false,
            // Native there, answers would go to a peer that drops them unless it has a program too.
            Mode::Auto => !on.is_veth_or_loopback,
        };
        let mut way = if native_first { Way::Native } else { Way::Generic };
        let mut link = self.create_link(on.index, way);
        if let Err(refused) = &link
            && mode == Mode::Auto
            && way == Way::Native
        {
            let error = refused.on(&on.name, on.mtu);
            // Where another program is, or no interface, the other way is no way either.
            if !matches!(error, AttachError::Busy(_) | AttachError::NoInterface(_)) {
                way = Way::Generic;
                link = self.create_link(on.index, way);
                if link.is_ok() {
                    tracing::warn!("{error}. It is attached the generic way, which is slower");
                }
            }
        }
        let link = link.map_err(|refused| refused.on(&on.name, on.mtu))?;
        self.links.push(Attached {
            interface: on.name.clone(),
            index: on.index,
            mtu: on.mtu,
            way,
            link,
        });
        self.show_charged();
        Ok(way.label())
    }

    fn create_link(&mut self, index: u32, way: Way) -> Result<Link, Refused> {
        let asked = self.faults.ask(Seam::LinkCreate(index));
        asked.map_err(|errno| Refused::new(errno, None, way))?;
        let program = program_fd(&self.ebpf).map_err(|_| Refused::new(Errno::EBADF, None, way))?;
        Link::create(program, index, way).map_err(|errno| {
            let told = Refused::may_be_the_drivers(errno).then(|| extack::reason(program, index, way));
            match told.flatten() {
                Some((told, words)) if told == errno || errno == Errno::EINVAL => Refused::new(told, words, way),
                _ => Refused::new(errno, None, way),
            }
        })
    }

    /// Detaches from the interface of this index.
    pub fn detach(&mut self, index: u32) {
        // Sockets charge from here on, and for a moment both do.
        let links = std::mem::take(&mut self.links);
        let (gone, kept) = links.into_iter().partition(|link| link.index == index);
        self.links = kept;
        self.show_charged();
        drop::<Vec<Attached>>(gone);
    }

    /// Names and indexes of the interfaces it is attached to, and the mode.
    pub fn interfaces(&self) -> impl Iterator<Item = (&str, u32, &'static str)> {
        self.links
            .iter()
            .map(|link| (link.interface.as_str(), link.index, link.way.label()))
    }

    /// Those of which the kernel has taken it off: they are gone, even where others have come in their place.
    pub fn lost(&self) -> Vec<u32> {
        let lost = self.links.iter().filter(|link| !link.link.is_at(link.index));
        lost.map(|link| link.index).collect()
    }

    /// Moves the links of `old` to this program, one atomic update each, with its addresses and counts. Answers come
    /// from this program's table from then on.
    ///
    /// Each link is moved on its own. One whose interface is gone is given up. Where the kernel refuses to move one, it
    /// is made anew; where that fails too, the interface passes everything, the log says so, and sockets charge what
    /// comes there. An error where not one could be moved, or before: then nothing has changed.
    pub fn take_over(&mut self, old: &mut Program) -> Result<(), XdpError> {
        self.charged = None;
        let report = self.set_own(old.own.wanted().clone());
        if let Some(error) = report.error {
            tracing::warn!("the new table's XDP program has not all addresses yet: {error}");
        }
        (*self.before, self.zone_offsets) = (old.counters()?, old.all_zone_counters()?);
        let fd = program_fd(&self.ebpf)?.try_clone_to_owned();
        let fd = fd.map_err(XdpError::Descriptor)?;
        let mut refused = Vec::new();
        for attached in std::mem::take(&mut old.links) {
            let asked = self.faults.ask(Seam::LinkReplace(attached.index));
            match asked.and_then(|()| attached.link.replace(fd.as_fd())) {
                Ok(()) => self.links.push(attached),
                Err(errno) => refused.push((attached, errno)),
            }
        }
        let is_there = |(attached, _): &(Attached, Errno)| attached.link.is_at(attached.index);
        let (refused, gone): (Vec<_>, Vec<_>) = refused.into_iter().partition(is_there);
        if self.links.is_empty()
            && let Some((first, errno)) = refused.first()
        {
            let error = XdpError::NotReplaced {
                interface: first.interface.clone(),
                errno: *errno,
            };
            old.links
                .extend(refused.into_iter().chain(gone).map(|(attached, _)| attached));
            return Err(error);
        }
        self.charged = old.charged.take();
        for (attached, _) in gone {
            tracing::warn!(
                interface = attached.interface,
                "the interface is gone: XDP is no longer attached to it"
            );
        }
        for (attached, errno) in refused {
            self.attach_anew(attached, errno);
        }
        self.show_charged();
        // Once more, for what was answered meanwhile. That this should fail is no reason to go back.
        if let (Ok(counters), Ok(of_zones)) = (old.counters(), old.all_zone_counters()) {
            (*self.before, self.zone_offsets) = (counters, of_zones);
        }
        Ok(())
    }

    /// Where a link cannot be moved, another one takes its place.
    fn attach_anew(&mut self, attached: Attached, refused: Errno) {
        let Attached {
            interface,
            index,
            mtu,
            way,
            link,
        } = attached;
        drop(link);
        match self.create_link(index, way) {
            Ok(link) => {
                tracing::warn!(interface, error = refused.desc(), "XDP had to be attached anew");
                self.links.push(Attached {
                    interface,
                    index,
                    mtu,
                    way,
                    link,
                });
            }
            Err(refused) => {
                let error = refused.on(&interface, mtu);
                tracing::error!("XDP is off on `{interface}`, userspace answers what comes there: {error}");
            }
        }
    }

    /// Shows what the program charges: at which interfaces, and to which addresses.
    fn show_charged(&self) {
        if let Some(charged) = &self.charged {
            charged.store(Arc::new(self.charges()));
        }
    }

    fn charges(&self) -> HashSet<(u32, IpAddr)> {
        let is_attached = |index: u32| self.links.iter().any(|link| link.index == index);
        let answered = self.own.answered().filter(|key| is_attached(key.interface));
        answered.filter_map(own::charged_at).collect()
    }

    /// Makes these the time and the secrets of cookies.
    pub fn set_cookies(&mut self, seconds: u32, secrets: &Secrets) -> Result<(), XdpError> {
        let Secrets { current, previous } = *secrets;
        for held in self.cookie_secrets.next(seconds, words(current), words(previous)) {
            let words = bytemuck::cast::<_, [u64; size_of::<CookieSecrets>() / 8]>(held);
            self.cookies.set(0, words, 0).map_err(XdpError::Cookies)?;
            self.cookie_secrets = held;
        }
        Ok(())
    }

    /// Makes `entries` the whole set of our addresses and ports, as far as there is room. What fails is in the report,
    /// and set right by the next call.
    pub fn set_own(&mut self, entries: Entries) -> OwnReport {
        if let Some(charged) = &self.charged {
            // What goes is charged by sockets before it goes.
            let coming: HashSet<_> = entries.keys().filter_map(own::charged_at).collect();
            let staying = self.charges().into_iter().filter(|at| coming.contains(at));
            charged.store(Arc::new(staying.collect()));
        }
        let report = self.own.set(entries, &mut self.faults);
        self.show_charged();
        self.own_report = report.clone();
        report
    }

    /// What came of the last change of own addresses.
    pub fn own_report(&self) -> &OwnReport {
        &self.own_report
    }

    /// Whether there is an address of ours at the interface of this index, whether or not there is room for it.
    pub fn has_addresses_at(&self, index: u32) -> bool {
        self.own.wanted().keys().any(|key| key.interface == index)
    }

    /// Whether own addresses are left out for which a larger map would have room.
    pub fn lacks_room(&self) -> bool {
        let (wanted, capacity) = (self.own.wanted().len(), self.own.capacity());
        wanted > capacity && capacity < Room::MOST_OWN as usize
    }

    /// Says which clients may use the upstream.
    pub fn set_recursion(&mut self, prefixes: &[IpNet]) -> Result<(), XdpError> {
        let mut trie: LpmTrie<_, [u8; 16], u8> = maps::write_to(&mut self.ebpf, "RECURSION")?;
        // A short IPv6 prefix, `::/0` say, is one of IPv6 clients alone; no client comes from an IPv4-mapped address.
        let mut places = BTreeMap::from([(AddressPrefix::IPV4, 0)]);
        let places_of_clients = prefixes.iter().map(|&prefix| (prefix, AddressPrefix::from(prefix)));
        places.extend(
            places_of_clients
                .filter(|(prefix, place)| matches!(prefix, IpNet::V4(_)) || !AddressPrefix::IPV4.covers(*place))
                .map(|(_, place)| (place, 1)),
        );
        for (place, may) in places {
            trie.insert(&Key::new(u32::from(place.bits), place.octets()), may, 0)
                .map_err(XdpError::Recursion)?;
        }
        Ok(())
    }

    /// Says which clients are in which view.
    pub fn set_clients(&mut self, clients: &Clients) -> Result<(), XdpError> {
        let mut trie: LpmTrie<_, [u8; 16], u32> = maps::write_to(&mut self.ebpf, "CLIENTS")?;
        for (place, view) in clients.prefixes() {
            trie.insert(&Key::new(u32::from(place.bits), place.octets()), u32::from(view), 0)
                .map_err(XdpError::Clients)?;
        }
        Ok(())
    }

    /// Says which clients may ask, and which no rate limit is for.
    pub fn set_access(&mut self, server: Option<&AccessList>, exempt: Option<&AccessList>) -> Result<(), XdpError> {
        for (group, list) in [(SERVER, server), (EXEMPT, exempt)] {
            let Some(list) = list else { continue };
            for (place, access) in list.prefixes() {
                self.put_access(group, place, access)?;
            }
        }
        Ok(())
    }

    /// Makes these the access lists of these zones, by the zone's index; `None`: it has none any more. Their lines must
    /// pass meanwhile. A zone whose list cannot be had is userspace's.
    pub fn set_zone_access(&mut self, mut lists: ZoneAccess) {
        lists.retain(|zone, list| self.zone_access.get(zone) != list.as_ref());
        for &zone in lists.keys() {
            if let Some(old) = self.zone_access.remove(&zone) {
                self.remove_access(zone, &old);
            }
        }
        for (zone, list) in lists {
            let Some(list) = list else { continue };
            let put = |(place, access)| self.put_access(zone, place, access);
            let put = list.prefixes().try_for_each(put);
            if let Err(error) = put {
                // The shorter prefixes alone would decide wrongly.
                self.remove_access(zone, &list);
                let reason = with_causes(&error);
                tracing::error!("userspace answers for a zone with an access list: {reason}");
                continue;
            }
            self.zone_access.insert(zone, list);
        }
    }

    fn remove_access(&mut self, group: u32, list: &AccessList) {
        for (place, _) in list.prefixes() {
            let key = access_key(group, place);
            let removed = self
                .access()
                .and_then(|mut trie| trie.remove(&key).map_err(XdpError::Access));
            if let Err(error) = removed {
                tracing::debug!("a prefix of an access list was not there: {}", with_causes(&error));
            }
        }
    }

    fn put_access(&mut self, group: u32, place: AddressPrefix, access: Access) -> Result<(), XdpError> {
        self.access()?
            .insert(&access_key(group, place), access.to_octet(), 0)
            .map_err(XdpError::Access)
    }

    fn access(&mut self) -> Result<AccessMap<'_>, XdpError> {
        maps::write_to(&mut self.ebpf, "ACCESS")
    }

    /// What the program, and those it took over from, have counted on all processors.
    pub fn counters(&self) -> Result<Counters, XdpError> {
        let mut sum = *self.before;
        let states = self.state.get(&0, 0).map_err(not_read("STATE"))?;
        for state in states.iter() {
            let state: &State = bytemuck::cast_ref(state);
            add(&mut sum, &state.counters);
        }
        Ok(sum)
    }

    /// What was answered for the zone of this index, by rcode class, since [`Self::forget_zone`].
    pub fn zone_counters(&self, zone: u32) -> Result<ZoneCounters, XdpError> {
        let mut sum = self.zone_offsets.get(&zone).copied().unwrap_or_default();
        if zone < self.counted_zones {
            let of_processors = self.zone_counters.get(&zone, 0);
            for counters in of_processors.map_err(not_read("ZONE_COUNTERS"))?.iter() {
                sum = std::array::from_fn(|class| sum[class].wrapping_add(counters[class]));
            }
        }
        Ok(sum)
    }

    /// Lets the counts of this index begin at zero, for another zone. The map is not written to, where the program may
    /// be adding to what it has just read.
    pub fn forget_zone(&mut self, zone: u32) -> Result<(), XdpError> {
        let counted = self.zone_counters(zone)?;
        if counted != [0; RCODE_CLASSES] {
            let offset = self.zone_offsets.entry(zone).or_default();
            *offset = std::array::from_fn(|class| offset[class].wrapping_sub(counted[class]));
        }
        Ok(())
    }

    fn all_zone_counters(&self) -> Result<HashMap<u32, ZoneCounters>, XdpError> {
        let mut all = HashMap::new();
        for zone in 0..self.counted_zones {
            let counted = self.zone_counters(zone)?;
            if counted != [0; RCODE_CLASSES] {
                all.insert(zone, counted);
            }
        }
        Ok(all)
    }
}

type AccessMap<'a> = LpmTrie<&'a mut MapData, [u8; size_of::<AccessKey>()], u8>;

fn access_key(group: u32, place: AddressPrefix) -> Key<[u8; size_of::<AccessKey>()]> {
    let address = place.octets();
    Key::new(
        GROUP_BITS + u32::from(place.bits),
        bytemuck::cast(AccessKey { group, address }),
    )
}

fn add(sum: &mut Counters, one: &Counters) {
    let words: &mut [u64] = bytemuck::cast_slice_mut(std::slice::from_mut(sum));
    for (sum, one) in words
        .iter_mut()
        .zip(bytemuck::cast_slice::<_, u64>(std::slice::from_ref(one)))
    {
        *sum += one;
    }
}

fn not_read(name: &'static str) -> impl FnOnce(MapError) -> XdpError {
    move |error| XdpError::NotRead { name, error }
}

fn program_fd(ebpf: &Ebpf) -> Result<BorrowedFd<'_>, XdpError> {
    let program = ebpf.program("hotdns").ok_or(XdpError::NoProgram)?;
    let program: &Xdp = program.try_into().map_err(XdpError::ProgramRefused)?;
    Ok(program.fd().map_err(XdpError::ProgramRefused)?.as_fd())
}

/// The publisher of tables in the program's maps.
pub type Publisher = publish::Publisher<Program>;
/// Makes tables in a program's maps.
pub type Loader = publish::Loader<Program>;
/// The program, shared with those who attach it and read its counters.
pub type SharedProgram = publish::SharedHome<Program>;

impl Home for Program {
    type Error = XdpError;

    fn set_clients(&mut self, clients: &Clients) -> Result<(), XdpError> {
        Program::set_clients(self, clients)
    }

    fn set_zone_access(&mut self, lists: ZoneAccess) {
        Program::set_zone_access(self, lists);
    }

    fn take_over(&mut self, old: &mut Self) -> Result<(), XdpError> {
        Program::take_over(self, old)
    }

    fn lacks_room(&self) -> bool {
        Program::lacks_room(self)
    }

    fn zone_counters(&self, zone: u32) -> Result<[u64; RCODE_CLASSES], XdpError> {
        Program::zone_counters(self, zone)
    }

    fn forget_zone(&mut self, zone: u32) -> Result<(), XdpError> {
        Program::forget_zone(self, zone)
    }
}
