//! Two namespaces joined by a pair of virtual Ethernet interfaces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::PATIENCE;
use super::namespace::Namespace;

/// How a pair is made.
pub struct VethOptions {
    /// Queues of each end, for receiving and for sending.
    pub queues: usize,
    /// The MTU of both ends.
    pub mtu: u32,
    /// Addresses of the first and of the second end; IPv4 gets a prefix of 24 bits, IPv6 of 64.
    pub addresses: [Vec<IpAddr>; 2],
}

impl Default for VethOptions {
    /// One queue, an MTU of 1,500; 10.77.0.2 and fd77::2 for the first end, 10.77.0.1 and fd77::1 for the second.
    fn default() -> Self {
        let addresses = |host| {
            vec![
                Ipv4Addr::new(10, 77, 0, host).into(),
                Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host.into()).into(),
            ]
        };
        Self {
            queues: 1,
            mtu: 1500,
            addresses: [addresses(2), addresses(1)],
        }
    }
}

/// One end of a pair, in its namespace.
#[derive(Clone, Debug)]
pub struct End {
    /// The interface's name.
    pub device: String,
    /// Its number, within its namespace.
    pub index: u32,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// A veth pair; it goes with either namespace.
#[derive(Clone, Debug)]
pub struct VethPair {
    /// The end in the first namespace.
    pub first: End,
    /// The end in the second namespace.
    pub second: End,
}

impl VethPair {
    /// Joins two namespaces; both ends are up and have their addresses, each end's neighbour is known.
    pub fn new(
        (first, first_device): (&Namespace, &str),
        (second, second_device): (&Namespace, &str),
        options: &VethOptions,
    ) -> Result<Self> {
        let (queues, mtu) = (options.queues.to_string(), options.mtu.to_string());
        first.ip(&[
            "link",
            "add",
            first_device,
            "mtu",
            &mtu,
            "numrxqueues",
            &queues,
            "numtxqueues",
            &queues,
            "type",
            "veth",
            "peer",
            "name",
            second_device,
            "netns",
            second.name(),
            "mtu",
            &mtu,
            "numrxqueues",
            &queues,
            "numtxqueues",
            &queues,
        ])?;
        let ends = [(first, first_device), (second, second_device)];
        for ((namespace, device), addresses) in ends.iter().zip(&options.addresses) {
            for address in addresses {
                let prefix = if address.is_ipv4() { 24 } else { 64 };
                let mut arguments = vec!["address", "add"];
                let text = format!("{address}/{prefix}");
                arguments.extend([text.as_str(), "dev", device]);
                if address.is_ipv6() {
                    arguments.push("nodad");
                }
                namespace.ip(&arguments)?;
            }
            namespace.ip(&["link", "set", device, "up"])?;
        }
        let [first_end, second_end] = [0, 1].map(|end: usize| {
            let (namespace, device) = ends[end];
            End::read(namespace, device, &options.addresses[end])
        });
        let pair = Self {
            first: first_end?,
            second: second_end?,
        };
        if options.queues > 1 {
            for (namespace, device) in ends {
                namespace.send_on_own_queues(device, options.queues)?;
            }
        }
        pair.first.add_neighbours(first, &pair.second)?;
        pair.second.add_neighbours(second, &pair.first)?;
        Ok(pair)
    }
}

impl End {
    fn read(namespace: &Namespace, device: &str, addresses: &[IpAddr]) -> Result<Self> {
        let text = wait_until_up(namespace, device)?;
        let shown = text
            .split_whitespace()
            .skip_while(|word| *word != "link/ether")
            .nth(1)
            .unwrap_or_default();
        let mut mac = [0; 6];
        for (byte, part) in mac.iter_mut().zip(shown.split(':')) {
            *byte = u8::from_str_radix(part, 16).with_context(|| format!("no MAC address in: {text}"))?;
        }
        let index = namespace.enter(|| Ok(nix::net::if_::if_nametoindex(device)?))?;
        Ok(Self {
            device: device.to_owned(),
            index,
            mac,
            addresses: addresses.to_vec(),
        })
    }

    /// Nobody has to ask for addresses while something is measured.
    fn add_neighbours(&self, namespace: &Namespace, other: &End) -> Result<()> {
        for address in &other.addresses {
            let (address, mac) = (address.to_string(), other.mac_address());
            namespace.ip(&[
                "neighbour",
                "replace",
                &address,
                "lladdr",
                &mac,
                "dev",
                &self.device,
                "nud",
                "permanent",
            ])?;
        }
        Ok(())
    }

    /// Its MAC address as `ip` writes it.
    pub fn mac_address(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }

    /// Its first IPv4 address.
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        })
    }

    /// Its first IPv6 address.
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        })
    }
}

/// Waits until an interface carries traffic; gives what `ip link show` says of it.
fn wait_until_up(namespace: &Namespace, device: &str) -> Result<String> {
    let start = Instant::now();
    loop {
        let text = namespace.ip(&["link", "show", "dev", device])?;
        if text.contains("LOWER_UP") {
            return Ok(text);
        }
        if start.elapsed() > PATIENCE {
            bail!("{device} is not up after {PATIENCE:?}: {text}");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

impl Namespace {
    /// From now on what a processor sends goes into the queue of its number. Otherwise sockets choose by the flow's
    /// hash, and whoever puts a packet into another processor's queue takes over all that lies in it: XDP frames that
    /// go round would follow, and come to lie on one processor.
    fn send_on_own_queues(&self, device: &str, queues: usize) -> Result<()> {
        let write = |queue: usize| {
            // A mask of processors: words of 32 bits, the first one last.
            let words = "00000000,".repeat(queue / 32);
            let mask = format!("{:x},{words}", 1u32 << (queue % 32));
            format!(
                "echo {} > /sys/class/net/{device}/queues/tx-{queue}/xps_cpus",
                mask.trim_end_matches(',')
            )
        };
        let script: Vec<String> = (0..queues).map(write).collect();
        // `ip netns exec` mounts a /sys that shows this namespace.
        self.run("sh", &["-ec", &script.join("\n")])?;
        Ok(())
    }

    /// Adds a VLAN interface `device.id` with an address (and its prefix length) over an interface.
    pub fn add_vlan(&self, device: &str, id: u16, address: &str) -> Result<String> {
        let (name, id) = (format!("{device}.{id}"), id.to_string());
        self.ip(&["link", "add", "link", device, "name", &name, "type", "vlan", "id", &id])?;
        self.ip(&["address", "add", address, "dev", &name])?;
        self.ip(&["link", "set", &name, "up"])?;
        Ok(name)
    }
}
