//! Whether XDP can be had, and how, on each interface.

use std::fs;
use std::path::Path;

use dns_userspace::config::{Config, XdpMode};
use dns_userspace::serve::object;

use super::{Finding, State, wanted_interfaces};

/// Drivers that run XDP programs themselves, in Linux 6.12.
const NATIVE: [&str; 40] = [
    "amazon_ena",
    "ena",
    "atlantic",
    "bnxt_en",
    "bonding",
    "cpsw",
    "am65-cpsw-nuss",
    "dpaa2-eth",
    "fsl_dpaa2_eth",
    "fec",
    "fsl_enetc",
    "gve",
    "hv_netvsc",
    "i40e",
    "iavf",
    "ice",
    "icssg-prueth",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "lan966x",
    "mana",
    "mlx4_en",
    "mlx4_core",
    "mlx5_core",
    "mtk_soc_eth",
    "mvneta",
    "mvpp2",
    "netsec",
    "nfp",
    "octeontx2",
    "qede",
    "sfc",
    "stmmac",
    "tsnep",
    "thunder-nic",
    "virtio_net",
    "vmxnet3",
    "xen-netfront",
];

pub(super) fn findings(config: Option<&Config>) -> Vec<Finding> {
    let wanted = wanted_interfaces(config);
    let mode = config.map_or(XdpMode::Auto, |config| config.xdp.mode);
    let mut findings = Vec::new();
    if object::OBJECT.is_none() {
        let state = if wanted.is_empty() { State::Note } else { State::Warn };
        findings.push(Finding::new(
            state,
            "XDP program",
            object::ABSENT,
            "until then sockets answer everything",
        ));
    } else {
        findings.push(Finding::ok("XDP program", "built in"));
    }
    findings.push(bpffs());
    let names = if wanted.is_empty() {
        interfaces()
    } else {
        wanted.clone()
    };
    findings.extend(names.iter().map(|name| interface(name, mode, !wanted.is_empty())));
    if !wanted.is_empty() {
        findings.push(Finding::new(
            State::Note,
            "firewall",
            "XDP answers before nftables and iptables see a query, and tcpdump on this host does not see it",
            "limit clients with `acl` and `rate_limit`",
        ));
    }
    findings
}

fn bpffs() -> Finding {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let is_mounted = mounts.lines().any(|line| line.split(' ').nth(2) == Some("bpf"));
    let found = if is_mounted { "mounted" } else { "not mounted" };
    Finding::ok("bpffs", format!("{found}; nothing is pinned, so it is not needed"))
}

fn interfaces() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn interface(name: &str, mode: XdpMode, is_wanted: bool) -> Finding {
    let folder = Path::new("/sys/class/net").join(name);
    let check = format!("interface {name}");
    if !folder.exists() {
        let fix = format!(
            "`ip link` shows those that there are: {}; it is attached when it comes",
            interfaces().join(", ")
        );
        return Finding::new(State::Warn, check, "there is none of this name", fix);
    }
    let read = |file: &str| {
        fs::read_to_string(folder.join(file))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let driver = driver(&folder).unwrap_or_else(|| {
        if name == "lo" {
            "loopback".into()
        } else {
            "no driver".into()
        }
    });
    let found = format!("{driver}, {}, MTU {}", read("operstate"), read("mtu"));
    let way = if mode == XdpMode::Off {
        "switched off by `xdp.mode`".to_owned()
    } else if matches!(driver.as_str(), "veth" | "loopback") {
        "generic XDP".to_owned()
    } else if NATIVE.contains(&driver.as_str()) {
        "native XDP".to_owned()
    } else {
        "generic XDP; this driver is not known to run programs itself".to_owned()
    };
    if is_wanted {
        Finding::ok(check, format!("{found}: {way}"))
    } else {
        let fix = format!("to answer from the card: xdp: {{interfaces: [{name}]}}");
        Finding::new(
            State::Note,
            check,
            format!("{found}: {way} is possible, not configured"),
            fix,
        )
    }
}

/// The driver's name; of one without a device, such as veth, what the link says of itself.
fn driver(folder: &Path) -> Option<String> {
    if let Ok(link) = fs::read_link(folder.join("device/driver")) {
        return Some(link.file_name()?.to_string_lossy().into_owned());
    }
    let kind = fs::read_to_string(folder.join("uevent")).ok()?;
    if let Some(kind) = kind.lines().find_map(|line| line.strip_prefix("DEVTYPE=")) {
        return Some(kind.to_owned());
    }
    // A veth has a peer: its `iflink` is another interface's number, and it has no device.
    let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u32>().ok();
    (number("iflink")? != number("ifindex")?).then(|| "veth".to_owned())
}
