//! A closed loop: two namespaces, the generator on the client's end, frames that keep going round.
//!
//! Two traps. A frame stays on the processor whose queue it is in: there is a queue for each processor, frames are put
//! in from a thread on each, sockets send into their own processor's queue too, and the counters show whether every
//! processor has its share. And a frame made from a small
//! socket buffer has no room to grow into an answer: full-size frames are put in, which the generator cuts down.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aya::maps::{Array, PerCpuArray};
use aya::programs::Xdp;
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::{Ebpf, EbpfLoader};
use clap::ValueEnum;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::layout as words;
use super::load::{Load, PORT_BASE, PORT_COUNT, Returns, VLAN, VLAN_ADDRESSES};
use super::object;
use crate::net::{Namespace, RawSocket, VethOptions, VethPair};

mod flood;
mod program;

pub use flood::FloodSample;
pub use program::ProgramFigures;

/// The frames that are put into the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Frames {
    /// Of 1,400 bytes: a query made of one has room to become any answer, as in a network card's buffers.
    Full,
    /// No longer than the query itself, as sockets make them: behind it is what is left of a line of the cache, before
    /// it are 256 octets, and each query has such a buffer again.
    Small,
}

/// Octets of a line of the cache (`SMP_CACHE_BYTES`).
const CACHE_LINE: usize = 64;

/// A closed loop without traffic, and without a server on its other end.
pub struct Circuit {
    // Before the namespaces: links end before their interfaces.
    _generator: XdpLink,
    programs: Ebpf,
    /// The client's side.
    pub client: Namespace,
    /// The server's side.
    pub server: Namespace,
    /// What joins them: the client's end is the first.
    pub pair: VethPair,
    /// Whether both ends have an interface in the VLAN.
    pub has_vlan: bool,
    cpus: Vec<usize>,
}

/// Counters over some time.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// How long.
    pub elapsed: Duration,
    /// Replies on each processor.
    pub per_cpu: Vec<u64>,
    /// Replies by RCODE.
    pub rcodes: [u64; 16],
    /// Replies with records in the answer section.
    pub answered: u64,
    /// Replies that are not those to our queries.
    pub mismatched: u64,
    /// Replies with TC=1.
    pub truncated: u64,
    /// Frames that left the loop at the generator.
    pub lost: u64,
    /// Frames that were still going round at the end, on each processor.
    pub left: Vec<u64>,
    /// The share of all processors' time that went into soft interrupts, where XDP programs run: what others on this
    /// machine took is missing from it.
    pub softirq: f64,
}

impl Sample {
    /// All replies.
    pub fn replies(&self) -> u64 {
        self.per_cpu.iter().sum()
    }

    /// Replies in a second.
    pub fn rate(&self) -> f64 {
        self.replies() as f64 / self.elapsed.as_secs_f64()
    }

    /// The smallest share of the frames that a processor had, 1 where all had the same. (Shares of the replies also
    /// differ where other work takes more of one processor than of another.)
    pub fn balance(&self) -> f64 {
        let least = self.left.iter().min().copied().unwrap_or(0);
        let all: u64 = self.left.iter().sum();
        least as f64 * self.left.len() as f64 / all.max(1) as f64
    }

    /// The share of the replies that are not what this load should get.
    pub fn wrong(&self, load: &Load) -> f64 {
        let other_rcodes: u64 = self.rcodes.iter().sum::<u64>() - self.rcodes[usize::from(load.rcode)];
        let other_contents = if load.answers {
            self.replies().saturating_sub(self.answered)
        } else {
            self.answered
        };
        // A processor may be between two counters of one reply, both when they are first read and when they are last.
        let unsure = 2 * self.per_cpu.len() as u64;
        let other_contents = if other_contents <= unsure { 0 } else { other_contents };
        (other_rcodes + other_contents + self.mismatched) as f64 / self.replies().max(1) as f64
    }
}

impl Circuit {
    /// Makes the namespaces, joins them, and starts the generator, which has nothing to do yet. With a VLAN interface
    /// on the server's end the server has an address in it, which not every kernel can do.
    pub fn new(label: &str, with_vlan: bool) -> Result<Self> {
        let cpus = processors()?;
        let client = Namespace::new(&format!("{label}-client"))?;
        let server = Namespace::new(&format!("{label}-server"))?;
        // Queues are chosen by the number of the processor.
        let queues = cpus.iter().max().map_or(1, |last| last + 1);
        let options = VethOptions {
            queues,
            ..VethOptions::default()
        };
        let pair = VethPair::new((&client, "client"), (&server, "server"), &options)?;
        if with_vlan {
            server.add_vlan("server", VLAN, &format!("{}/24", VLAN_ADDRESSES[0]))?;
            client.add_vlan("client", VLAN, &format!("{}/24", VLAN_ADDRESSES[1]))?;
        }
        // Connections of clients begin at other ports than the generator's queries: it looks at ports alone.
        let ports = format!("net.ipv4.ip_local_port_range={} 60999", PORT_BASE + PORT_COUNT);
        client.run("sysctl", &["-qw", &ports])?;
        let path = object::generator()?;
        let mut programs = EbpfLoader::new()
            .load_file(&path)
            .with_context(|| format!("cannot load {}", path.display()))?;
        let generator = client.enter(|| attach(&mut programs, "generate", pair.first.index))?;
        load(&mut programs, "flood")?;
        Ok(Self {
            _generator: generator,
            programs,
            client,
            server,
            pair,
            has_vlan: with_vlan,
            cpus,
        })
    }

    /// Why there can be no VLAN interface here, if so.
    pub fn vlan_obstacle() -> Result<Option<String>> {
        let namespace = Namespace::new("vlan")?;
        namespace.ip(&["link", "add", "name", "one", "type", "veth", "peer", "name", "other"])?;
        let address = format!("{}/24", VLAN_ADDRESSES[0]);
        Ok(namespace
            .add_vlan("one", VLAN, &address)
            .err()
            .map(|error| format!("no VLAN interfaces here: {error:#}")))
    }

    /// Attaches one of our own programs (`bounce`, `pass`) to the server's end, until the link is dropped.
    pub fn attach_to_server(&mut self, program: &str) -> Result<XdpLink> {
        let index = self.pair.second.index;
        let programs = &mut self.programs;
        self.server.enter(|| attach(programs, program, index))
    }

    /// The server's address for a load.
    pub fn server_address(&self, load: &Load) -> SocketAddr {
        let address = match (load.is_in_vlan(), load.ipv6) {
            (true, _) => VLAN_ADDRESSES[0].parse().expect("a constant address"),
            (false, true) => self.pair.second.ipv6().expect("pairs of circuits have IPv6").into(),
            (false, false) => self.pair.second.ipv4().expect("pairs of circuits have IPv4").into(),
        };
        SocketAddr::new(address, load.port)
    }

    /// A UDP socket on the client's side whose replies the generator leaves alone.
    pub fn client_socket(&self, server: SocketAddr) -> Result<UdpSocket> {
        let any: IpAddr = if server.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        self.client.enter(|| {
            // Below the ports of the generator, which takes what comes to them for replies to its queries.
            let socket = (20000..30000).find_map(|port| UdpSocket::bind((any, port)).ok());
            let socket = socket.context("no UDP port is free")?;
            socket
                .connect(server)
                .with_context(|| format!("cannot reach {server}"))?;
            Ok(socket)
        })
    }

    /// Starts the traffic of a load: from now on `in_flight` queries are under way.
    pub fn start(&mut self, load: &Load, returns: Returns, frames: Frames, in_flight: usize) -> Result<()> {
        let mut configuration = load.configuration(&self.pair, returns)?;
        let query = configuration[words::FRAME_LEN] as usize;
        let (length, tail_room) = match frames {
            Frames::Full => (1400, u64::MAX),
            // The kernel rounds buffers up to whole lines of the cache.
            Frames::Small => (query, (query.next_multiple_of(CACHE_LINE) - query) as u64),
        };
        configuration[words::TAIL_ROOM] = tail_room;
        self.configure(configuration)?;
        let mut frame = vec![0; length];
        frame[..6].copy_from_slice(&self.pair.first.mac);
        frame[6..12].copy_from_slice(&self.pair.second.mac);
        frame[12..14].copy_from_slice(&words::INJECTED_ETHERTYPE.to_be_bytes());
        let index = self.pair.second.index;
        for (position, cpu) in self.cpus.iter().enumerate() {
            let share = in_flight / self.cpus.len() + usize::from(position < in_flight % self.cpus.len());
            self.server.enter(|| {
                let mut here = CpuSet::new();
                here.set(*cpu).with_context(|| format!("no processor {cpu}"))?;
                sched_setaffinity(Pid::from_raw(0), &here).context("cannot stay on a processor")?;
                let socket = RawSocket::open(index).context("cannot open a packet socket")?;
                socket.use_own_queue().context("cannot choose a queue")?;
                for _ in 0..share {
                    socket.send(&frame).context("cannot put a frame on the wire")?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Has the kernel receive frames in threads of their own (`threaded` of NAPI) from now on, or no more.
    ///
    /// Otherwise whoever makes a system call that ends in the network stack receives frames on the way, as long as
    /// there are any, and a server that is flooded has little time for anything else.
    pub fn receive_in_threads(&self, is_wanted: bool) -> Result<()> {
        for (namespace, end) in [(&self.client, &self.pair.first), (&self.server, &self.pair.second)] {
            let value = u8::from(is_wanted);
            let script = format!("echo {value} > /sys/class/net/{}/threaded", end.device);
            namespace.run("sh", &["-ec", &script])?;
        }
        Ok(())
    }

    /// Counts for some time.
    pub fn measure(&self, time: Duration) -> Result<Sample> {
        let (start, softirq, before) = (Instant::now(), self.softirq_seconds()?, self.counters()?);
        thread::sleep(time);
        let (elapsed, after) = (start.elapsed(), self.counters()?);
        let softirq = (self.softirq_seconds()? - softirq) / (elapsed.as_secs_f64() * self.cpus.len() as f64);
        let of = |cpu: usize, index: usize| after[cpu][index].wrapping_sub(before[cpu][index]);
        let sum = |index| self.cpus.iter().map(|cpu| of(*cpu, index)).sum();
        Ok(Sample {
            elapsed,
            per_cpu: self.cpus.iter().map(|cpu| of(*cpu, words::REPLIES)).collect(),
            rcodes: std::array::from_fn(|rcode| sum(words::RCODES + rcode)),
            answered: sum(words::ANSWERED),
            mismatched: sum(words::MISMATCHED),
            truncated: sum(words::TRUNCATED),
            lost: sum(words::LOST),
            left: Vec::new(),
            softirq,
        })
    }

    /// Swallows what goes round; gives how many frames that were, on each processor.
    pub fn stop(&mut self) -> Result<Vec<u64>> {
        let mut configuration = self
            .map()?
            .get(&0, 0)
            .context("cannot read the generator's configuration")?;
        configuration[words::FLAGS] |= words::FLAG_STOPPED;
        let drained = |circuit: &Self| -> Result<Vec<u64>> {
            let counters = circuit.counters()?;
            Ok(circuit.cpus.iter().map(|cpu| counters[*cpu][words::DRAINED]).collect())
        };
        let before = drained(self)?;
        self.configure(configuration)?;
        let mut last = before.clone();
        loop {
            // Longer than any server keeps a query.
            thread::sleep(Duration::from_millis(100));
            let now = drained(self)?;
            if now == last {
                return Ok(now.iter().zip(&before).map(|(now, before)| now - before).collect());
            }
            last = now;
        }
    }

    /// One measurement from start to stop, after a short time to warm up.
    pub fn sample(
        &mut self,
        load: &Load,
        returns: Returns,
        frames: Frames,
        in_flight: usize,
        time: Duration,
    ) -> Result<Sample> {
        self.start(load, returns, frames, in_flight)?;
        let sample = self.measure(time / 10).and_then(|_| self.measure(time));
        let left = self.stop()?;
        Ok(Sample { left, ..sample? })
    }

    /// Time that our processors have spent in soft interrupts (proc_stat(5), the seventh figure of a processor).
    fn softirq_seconds(&self) -> Result<f64> {
        let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let ticks_per_second = 100.0;
        let of = |cpu: &usize| -> Option<f64> {
            let name = format!("cpu{cpu} ");
            text.lines()
                .find_map(|line| line.strip_prefix(&name)?.split_whitespace().nth(6)?.parse().ok())
        };
        let sum = self
            .cpus
            .iter()
            .map(of)
            .sum::<Option<f64>>()
            .context("/proc/stat lacks a processor")?;
        Ok(sum / ticks_per_second)
    }

    fn map(&mut self) -> Result<Array<&mut aya::maps::MapData, [u64; words::CONFIG_WORDS]>> {
        let map = self
            .programs
            .map_mut("CONFIG")
            .context("the generator's object has no map CONFIG")?;
        Array::try_from(map).context("the map CONFIG is not what it should be")
    }

    fn configure(&mut self, configuration: [u64; words::CONFIG_WORDS]) -> Result<()> {
        self.map()?
            .set(0, configuration, 0)
            .context("cannot configure the generator")
    }

    /// The counters of every possible processor.
    fn counters(&self) -> Result<Vec<[u64; words::STATS_WORDS]>> {
        let map = self
            .programs
            .map("STATS")
            .context("the generator's object has no map STATS")?;
        let map: PerCpuArray<_, [u64; words::STATS_WORDS]> =
            PerCpuArray::try_from(map).context("the map STATS is not what it should be")?;
        Ok(map.get(&0, 0).context("cannot read the generator's counters")?.to_vec())
    }
}

fn load<'a>(programs: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program: &mut Xdp = programs
        .program_mut(name)
        .with_context(|| format!("the generator's object has no program {name}"))?
        .try_into()
        .with_context(|| format!("{name} is not an XDP program"))?;
    if program.fd().is_err() {
        program.load().with_context(|| format!("cannot load {name}"))?;
    }
    Ok(program)
}

pub(super) fn attach(programs: &mut Ebpf, name: &str, index: u32) -> Result<XdpLink> {
    let program = load(programs, name)?;
    let id = program
        .attach_to_if_index(index, XdpMode::Driver)
        .with_context(|| format!("cannot attach {name}"))?;
    program
        .take_link(id)
        .with_context(|| format!("cannot keep the link of {name}"))
}

/// The processors that this process may use.
pub fn processors() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("cannot ask for the processors")?;
    let cpus: Vec<usize> = (0..CpuSet::count())
        .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
        .collect();
    if cpus.is_empty() {
        bail!("no processor may be used");
    }
    Ok(cpus)
}
