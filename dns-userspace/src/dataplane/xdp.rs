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
//! A larger table is a new [`Program`], filled beside the old one, which then takes over its links.

pub mod own;

use std::collections::{BTreeMap, HashMap as StdHashMap};
use std::os::fd::AsFd;
use std::sync::Arc;

use anyhow::Context;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use aya::programs::{ProgramError, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use dns_common::access::{AccessKey, EXEMPT, GROUP_BITS, SERVER};
use dns_common::address::{OWN_LINES, OwnKey, OwnLine, OwnValue, own_line};
use dns_common::cookie::{Jar, words};
use dns_common::counters::{Counters, RCODE_CLASSES, ZoneCounters};
use dns_common::hash::Keys;
use dns_common::limit::{BUCKET_LINE_WORDS, BUCKET_LINES, Limits};
use dns_common::line::{LINE_WORDS, REFERRAL};
use dns_common::scratch::State;
use dns_common::settings::Settings;
use dns_common::slot::CLASS_BYTES;
use dns_common::table::{EPOCH_WORDS, ZONE_WORDS};
use ipnet::IpNet;
use nix::errno::Errno;

use crate::access::{Access, AccessList};
use crate::cookies::Secrets;
use crate::prefixes::Place;
use crate::table::{Memory, Region, Sizes};
use crate::views::Clients;

/// Whether this processor may do loads in another order than a program has them in.
const MAY_REORDER_LOADS: bool = !cfg!(target_arch = "x86_64");
const STATE_WORDS: usize = size_of::<State>() / 8;
const SLOT_MAPS: [&str; CLASS_BYTES.len()] = [
    "SLOTS_0", "SLOTS_1", "SLOTS_2", "SLOTS_3", "SLOTS_4", "SLOTS_5", "SLOTS_6",
];

/// Prefixes of access lists that there is room for; what has none of it is userspace's.
const ACCESS_PREFIXES: u32 = 1 << 16;

/// What the configuration tells a program, fixed while it is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Constants {
    /// Sizes, limits and switches.
    pub settings: Settings,
    /// Rate limits.
    pub limits: Limits,
}

impl From<Settings> for Constants {
    /// Without rate limits.
    fn from(settings: Settings) -> Self {
        Self {
            settings,
            limits: Limits::NONE,
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

/// Why the program could not be attached to an interface.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// No such interface.
    #[error("there is no interface `{0}`; `ip link` lists those that exist")]
    NoInterface(String),
    /// Another program is there.
    #[error(
        "another XDP program is attached to `{0}`; `bpftool net show dev {0}` names it, `ip link set dev {0} xdp off` \
         removes one that was attached that way"
    )]
    Busy(String),
    /// The driver cannot.
    #[error("the driver of `{interface}` refuses native XDP: {source}; use `xdp.mode: generic` or `auto`")]
    NotNative {
        /// The interface.
        interface: String,
        /// What the kernel said.
        source: ProgramError,
    },
    /// The kernel refused otherwise.
    #[error("the XDP program cannot be attached to `{interface}`: {source}")]
    Refused {
        /// The interface.
        interface: String,
        /// What the kernel said.
        source: ProgramError,
    },
}

/// One attachment.
struct Attached {
    interface: String,
    index: u32,
    mode: &'static str,
    link: aya::programs::xdp::XdpLink,
}

/// A loaded program with its maps and links.
pub struct Program {
    ebpf: Ebpf,
    own: HashMap<MapData, [u8; size_of::<OwnKey>()], [u8; size_of::<OwnValue>()]>,
    own_table: Array<MapData, [u8; size_of::<OwnLine>()]>,
    /// What the table holds.
    own_lines: Vec<OwnLine>,
    state: PerCpuArray<MapData, [u64; STATE_WORDS]>,
    cookies: Array<MapData, [u64; size_of::<Jar>() / 8]>,
    /// What is in there.
    jar: Jar,
    links: Vec<Attached>,
    entries: BTreeMap<OwnKey, OwnValue>,
    /// Access lists of zones, by the zone's index.
    zone_access: BTreeMap<u32, Arc<AccessList>>,
    /// What programs that this one took over from have counted.
    before: Box<Counters>,
    zone_counters: PerCpuArray<MapData, ZoneCounters>,
    /// For how many zones there is room there.
    counted_zones: u32,
    /// What is added, modulo 2^64, to what is counted there, by the zone's index: the counts of programs that this one
    /// took over from, less those of zones that had the index before.
    zone_offsets: StdHashMap<u32, ZoneCounters>,
    /// Where the program's own log lines come from; `None` where they cannot be read.
    logger: Option<Box<dyn FnMut() + Send>>,
}

impl Program {
    /// Loads the object with maps of these sizes, and maps their memory.
    pub fn load(object: &[u8], constants: &Constants, keys: &Keys, sizes: Sizes) -> anyhow::Result<(Self, Memory)> {
        let Constants { settings, limits } = constants;
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
            ..*settings
        };
        let counted_zones = if settings.per_zone != 0 { sizes.zones } else { 0 };
        let bucket_lines = if limits.is_enabled() { BUCKET_LINES } else { 1 };
        let mut loader = EbpfLoader::new();
        loader
            .override_global("KEYS", bytemuck::bytes_of(keys), true)
            .override_global("SETTINGS", bytemuck::bytes_of(&settings), true)
            .override_global("LIMITS", bytemuck::bytes_of(limits), true)
            .map_max_entries("ACCESS", ACCESS_PREFIXES)
            .map_max_entries("BUCKETS", bucket_lines)
            .map_max_entries("LINES", sizes.lines)
            .map_max_entries("ZONES", sizes.zones)
            .map_max_entries("ZONE_COUNTERS", counted_zones.max(1));
        for (name, count) in SLOT_MAPS.iter().zip(sizes.slots) {
            loader.map_max_entries(name, count);
        }
        let mut ebpf = loader
            .load(object)
            .context("the kernel refuses the maps of the XDP program")?;
        let logger = match EbpfLogger::init(&mut ebpf) {
            Ok(mut logger) => Some(Box::new(move || logger.flush()) as Box<dyn FnMut() + Send>),
            Err(error) => {
                tracing::debug!(%error, "the XDP program's own log lines cannot be read");
                None
            }
        };
        let program: &mut Xdp = ebpf
            .program_mut("hotdns")
            .context("the object has no program `hotdns`")?
            .try_into()?;
        program.load().context("the kernel refuses the XDP program")?;

        let region = |name: &str, words: usize| -> anyhow::Result<Region> {
            let Some(Map::Array(data)) = ebpf.map(name) else {
                anyhow::bail!("the object has no array `{name}`")
            };
            Region::of_map(data.fd().as_fd(), words).with_context(|| format!("the map `{name}` cannot be mapped"))
        };
        let mut slots = Vec::with_capacity(CLASS_BYTES.len());
        for (class, name) in SLOT_MAPS.iter().enumerate() {
            slots.push(region(name, sizes.slots[class] as usize * CLASS_BYTES[class] / 8)?);
        }
        let memory = Memory {
            sizes,
            lines: region("LINES", sizes.lines as usize * LINE_WORDS)?,
            slots: slots
                .try_into()
                .map_err(|_| anyhow::anyhow!("as many slot maps as classes"))?,
            zones: region("ZONES", sizes.zones as usize * ZONE_WORDS)?,
            epoch: region("EPOCH", EPOCH_WORDS)?,
            buckets: region("BUCKETS", bucket_lines as usize * BUCKET_LINE_WORDS)?,
        };
        let own = HashMap::try_from(ebpf.take_map("OWN").context("the object has no map `OWN`")?)?;
        let own_table = Array::try_from(
            ebpf.take_map("OWN_TABLE")
                .context("the object has no map `OWN_TABLE`")?,
        )?;
        let state = PerCpuArray::try_from(ebpf.take_map("STATE").context("the object has no map `STATE`")?)?;
        let cookies = Array::try_from(ebpf.take_map("COOKIES").context("the object has no map `COOKIES`")?)?;
        let zone_counters = PerCpuArray::try_from(
            ebpf.take_map("ZONE_COUNTERS")
                .context("the object has no map `ZONE_COUNTERS`")?,
        )?;
        let before = Box::new(bytemuck::Zeroable::zeroed());
        Ok((
            Self {
                ebpf,
                own,
                own_table,
                own_lines: vec![bytemuck::Zeroable::zeroed(); OWN_LINES],
                state,
                cookies,
                jar: bytemuck::Zeroable::zeroed(),
                links: Vec::new(),
                entries: BTreeMap::new(),
                zone_access: BTreeMap::new(),
                before,
                zone_counters,
                counted_zones,
                zone_offsets: StdHashMap::new(),
                logger,
            },
            memory,
        ))
    }

    /// The loaded program, for its logs and statistics.
    pub fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Hands the program's own log lines to the log.
    pub fn flush_log(&mut self) {
        if let Some(flush) = &mut self.logger {
            flush();
        }
    }

    /// Attaches to an interface. Returns the mode that is in force: `native` or `generic`.
    pub fn attach(&mut self, on: &own::Interface, mode: Mode) -> Result<&'static str, AttachError> {
        let (interface, index) = (on.name.as_str(), on.index);
        let refused = |source| AttachError::Refused {
            interface: interface.to_owned(),
            source,
        };
        let not_native = |source| AttachError::NotNative {
            interface: interface.to_owned(),
            source,
        };
        let program: &mut Xdp = match self.ebpf.program_mut("hotdns").map(TryInto::try_into) {
            Some(Ok(program)) => program,
            _ => return Err(refused(ProgramError::NotLoaded)),
        };
        let native_first = match mode {
            Mode::Native => true,
            Mode::Generic => false,
            // Native there, answers would go to a peer that drops them unless it has a program too.
            Mode::Auto => !on.is_veth_or_loopback,
        };
        let (link, mode) = if native_first {
            match program.attach_to_if_index(index, XdpMode::Driver) {
                Ok(link) => (link, "native"),
                Err(error) if is_busy(&error) => return Err(AttachError::Busy(interface.to_owned())),
                Err(error) if mode == Mode::Native => return Err(not_native(error)),
                Err(error) => {
                    tracing::info!(interface, %error, "the driver has no native XDP: attaching the generic way");
                    (attach_generic(program, index, interface)?, "generic")
                }
            }
        } else {
            (attach_generic(program, index, interface)?, "generic")
        };
        let link = program.take_link(link).map_err(refused)?;
        self.links.push(Attached {
            interface: interface.to_owned(),
            index,
            mode,
            link,
        });
        Ok(mode)
    }

    /// Names and indexes of the interfaces it is attached to, and the mode.
    pub fn interfaces(&self) -> impl Iterator<Item = (&str, u32, &'static str)> {
        self.links
            .iter()
            .map(|link| (link.interface.as_str(), link.index, link.mode))
    }

    /// Moves the links of `old` to this program, one atomic update each, with its addresses and counts. Answers come
    /// from this program's table from then on. Where it fails, links that have not moved stay with `old`; one that the
    /// kernel refused to move is gone, and its interface passes everything.
    pub fn take_over(&mut self, old: &mut Program) -> anyhow::Result<()> {
        self.set_own(old.entries.clone())?;
        let program: &mut Xdp = self
            .ebpf
            .program_mut("hotdns")
            .context("the object has no program `hotdns`")?
            .try_into()?;
        (*self.before, self.zone_offsets) = (old.counters()?, old.all_zone_counters()?);
        while let Some(Attached {
            interface,
            index,
            mode,
            link,
        }) = old.links.pop()
        {
            let link = program
                .attach_to_link(link)
                .with_context(|| format!("replacing the program on {interface}"))?;
            let link = program.take_link(link)?;
            self.links.push(Attached {
                interface,
                index,
                mode,
                link,
            });
        }
        // Once more, for what was answered meanwhile. That this should fail is no reason to go back.
        if let (Ok(counters), Ok(of_zones)) = (old.counters(), old.all_zone_counters()) {
            (*self.before, self.zone_offsets) = (counters, of_zones);
        }
        Ok(())
    }

    /// Makes these the time and the secrets of cookies.
    pub fn set_cookies(&mut self, seconds: u32, secrets: &Secrets) -> anyhow::Result<()> {
        let Secrets { current, previous } = *secrets;
        for jar in self.jar.next(seconds, words(current), words(previous)) {
            self.cookies
                .set(0, bytemuck::cast::<_, [u64; size_of::<Jar>() / 8]>(jar), 0)
                .context("the XDP program's secrets of DNS cookies cannot be set")?;
            self.jar = jar;
        }
        Ok(())
    }

    /// Makes `entries` the whole set of our addresses and ports.
    pub fn set_own(&mut self, entries: BTreeMap<OwnKey, OwnValue>) -> anyhow::Result<()> {
        for key in self.entries.keys().filter(|key| !entries.contains_key(key)) {
            match self.own.remove(bytemuck::cast_ref(key)) {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error).context("an address cannot be taken from the XDP program"),
            }
        }
        for (key, value) in &entries {
            if self.entries.get(key) != Some(value) {
                self.own
                    .insert(
                        bytemuck::cast_ref::<_, [u8; size_of::<OwnKey>()]>(key),
                        bytemuck::cast_ref::<_, [u8; size_of::<OwnValue>()]>(value),
                        0,
                    )
                    .context("an address cannot be given to the XDP program")?;
            }
        }
        self.entries = entries;
        self.write_own_table()
    }

    /// Brings the table of places in step with the map. A line that differs first says "ask the map".
    fn write_own_table(&mut self) -> anyhow::Result<()> {
        let mut wanted: Vec<OwnLine> = vec![bytemuck::Zeroable::zeroed(); OWN_LINES];
        for (key, value) in &self.entries {
            let line = &mut wanted[key.place() as usize];
            let state = if line.state == own_line::EMPTY {
                own_line::HERE
            } else {
                own_line::ASK
            };
            *line = OwnLine {
                state,
                unused: 0,
                key: *key,
                value: *value,
            };
        }
        for (place, (wanted, current)) in wanted.into_iter().zip(&mut self.own_lines).enumerate() {
            let same = (wanted.state, wanted.key, wanted.value)
                == (current.state & own_line::MASK, current.key, current.value);
            if same {
                continue;
            }
            let version = (current.state | own_line::MASK).wrapping_add(1);
            let asking = OwnLine {
                state: version | own_line::ASK,
                ..*current
            };
            let written = OwnLine {
                state: version | own_line::ASK,
                ..wanted
            };
            let done = OwnLine {
                state: version | wanted.state,
                ..wanted
            };
            for line in [asking, written, done] {
                self.own_table
                    .set(
                        place as u32,
                        bytemuck::cast_ref::<_, [u8; size_of::<OwnLine>()]>(&line),
                        0,
                    )
                    .context("an address cannot be given to the XDP program")?;
            }
            *current = done;
        }
        Ok(())
    }

    /// Says which clients may use the upstream.
    pub fn set_recursion(&mut self, prefixes: &[IpNet]) -> anyhow::Result<()> {
        let map = self
            .ebpf
            .map_mut("RECURSION")
            .context("the object has no map `RECURSION`")?;
        let mut trie: LpmTrie<_, [u8; 16], u8> = LpmTrie::try_from(map)?;
        // A short IPv6 prefix, `::/0` say, is one of IPv6 clients alone; no client comes from an IPv4-mapped address.
        let mut places = BTreeMap::from([(Place::IPV4, 0)]);
        let places_of_clients = prefixes.iter().map(|&prefix| (prefix, Place::from(prefix)));
        places.extend(
            places_of_clients
                .filter(|(prefix, place)| matches!(prefix, IpNet::V4(_)) || !Place::IPV4.covers(*place))
                .map(|(_, place)| (place, 1)),
        );
        for (place, may) in places {
            trie.insert(&Key::new(u32::from(place.bits), place.octets()), may, 0)
                .context("a prefix of `backend.upstream.allow` does not fit")?;
        }
        Ok(())
    }

    /// Says which clients are in which view.
    pub fn set_clients(&mut self, clients: &Clients) -> anyhow::Result<()> {
        let map = self
            .ebpf
            .map_mut("CLIENTS")
            .context("the object has no map `CLIENTS`")?;
        let mut trie: LpmTrie<_, [u8; 16], u32> = LpmTrie::try_from(map)?;
        for (place, view) in clients.prefixes() {
            trie.insert(&Key::new(u32::from(place.bits), place.octets()), u32::from(view), 0)
                .context("a prefix of `views` does not fit")?;
        }
        Ok(())
    }

    /// Says which clients may ask, and which no rate limit is for.
    pub fn set_access(&mut self, server: Option<&AccessList>, exempt: Option<&AccessList>) -> anyhow::Result<()> {
        for (group, list) in [(SERVER, server), (EXEMPT, exempt)] {
            let Some(list) = list else { continue };
            for (place, access) in list.prefixes() {
                self.put_access(group, place, access)?;
            }
        }
        Ok(())
    }

    /// Makes these the access lists of zones, by the zone's index. The lines of zones whose list differs must pass
    /// meanwhile. A zone whose list cannot be had is userspace's.
    pub fn set_zone_access(&mut self, lists: BTreeMap<u32, Arc<AccessList>>) {
        let old = std::mem::take(&mut self.zone_access);
        for (&zone, list) in &old {
            if lists.get(&zone) != Some(list) {
                self.remove_access(zone, list);
            }
        }
        for (zone, list) in lists {
            if old.get(&zone) != Some(&list) {
                let mut prefixes = list.prefixes();
                let put = prefixes.try_for_each(|(place, access)| self.put_access(zone, place, access));
                if let Err(error) = put {
                    // The shorter prefixes alone would decide wrongly.
                    self.remove_access(zone, &list);
                    tracing::error!("userspace answers for a zone with an access list: {error:#}");
                    continue;
                }
            }
            self.zone_access.insert(zone, list);
        }
    }

    fn remove_access(&mut self, group: u32, list: &AccessList) {
        for (place, _) in list.prefixes() {
            let removed = self
                .access()
                .and_then(|mut trie| Ok(trie.remove(&access_key(group, place))?));
            if let Err(error) = removed {
                tracing::debug!("a prefix of an access list was not there: {error:#}");
            }
        }
    }

    fn put_access(&mut self, group: u32, place: Place, access: Access) -> anyhow::Result<()> {
        self.access()?
            .insert(&access_key(group, place), access.to_octet(), 0)
            .context("a prefix of an access list cannot be given to the XDP program")
    }

    fn access(&mut self) -> anyhow::Result<AccessMap<'_>> {
        let map = self.ebpf.map_mut("ACCESS").context("the object has no map `ACCESS`")?;
        Ok(LpmTrie::try_from(map)?)
    }

    /// What the program, and those it took over from, have counted on all processors.
    pub fn counters(&self) -> anyhow::Result<Counters> {
        let mut sum = *self.before;
        for state in self.state.get(&0, 0)?.iter() {
            let state: &State = bytemuck::cast_ref(state);
            add(&mut sum, &state.counters);
        }
        Ok(sum)
    }

    /// What was answered for the zone of this index, by rcode class, since [`Self::forget_zone`].
    pub fn zone_counters(&self, zone: u32) -> anyhow::Result<ZoneCounters> {
        let mut sum = self.zone_offsets.get(&zone).copied().unwrap_or_default();
        if zone < self.counted_zones {
            for counters in self.zone_counters.get(&zone, 0)?.iter() {
                sum = std::array::from_fn(|class| sum[class].wrapping_add(counters[class]));
            }
        }
        Ok(sum)
    }

    /// Lets the counts of this index begin at zero, for another zone. The map is not written to, where the program may be
    /// adding to what it has just read.
    pub fn forget_zone(&mut self, zone: u32) -> anyhow::Result<()> {
        let counted = self.zone_counters(zone)?;
        if counted != [0; RCODE_CLASSES] {
            let offset = self.zone_offsets.entry(zone).or_default();
            *offset = std::array::from_fn(|class| offset[class].wrapping_sub(counted[class]));
        }
        Ok(())
    }

    fn all_zone_counters(&self) -> anyhow::Result<StdHashMap<u32, ZoneCounters>> {
        let mut all = StdHashMap::new();
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

fn access_key(group: u32, place: Place) -> Key<[u8; size_of::<AccessKey>()]> {
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

fn attach_generic(
    program: &mut Xdp,
    index: u32,
    interface: &str,
) -> Result<aya::programs::xdp::XdpLinkId, AttachError> {
    program.attach_to_if_index(index, XdpMode::Skb).map_err(|source| {
        if is_busy(&source) {
            AttachError::Busy(interface.to_owned())
        } else {
            AttachError::Refused {
                interface: interface.to_owned(),
                source,
            }
        }
    })
}

fn is_busy(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else {
        return false;
    };
    matches!(
        error.io_error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EBUSY | Errno::EEXIST)
    )
}
