//! What is measured: the limit, hotdns, and other servers that are installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use aya::programs::xdp::XdpLink;
use clap::ValueEnum;
use tempfile::TempDir;

use super::circuit::{Circuit, processors};
use super::load::{Features, Load, Returns, UPSTREAM, VLAN_ADDRESSES};
use super::object;
use super::zone::Zone;
use crate::net::{Running, run};
use crate::planes::COOKIES;

/// A contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Contestant {
    /// The limit: a program that only swaps addresses.
    Bounce,
    /// hotdns with its XDP program.
    Hotdns,
    /// Another build of it, which `HOTDNS_OTHER_BIN` names.
    HotdnsOther,
    /// hotdns from sockets.
    HotdnsSockets,
    /// Knot DNS with AF_XDP.
    KnotXdp,
    /// Knot DNS from sockets.
    Knot,
    /// NSD.
    Nsd,
    /// BIND 9.
    Bind,
    /// PowerDNS's authoritative server, with its backend for zone files.
    PowerDns,
    /// CoreDNS, with its plugin `file`.
    CoreDns,
    /// Unbound, which forwards and keeps answers.
    Unbound,
    /// dnsdist, which forwards and keeps answers.
    Dnsdist,
}

impl Contestant {
    /// What the table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Bounce => "bounce (the limit)",
            Self::Hotdns => "hotdns, XDP",
            Self::HotdnsOther => "other hotdns, XDP",
            Self::HotdnsSockets => "hotdns, sockets",
            Self::KnotXdp => "Knot DNS, AF_XDP",
            Self::Knot => "Knot DNS, sockets",
            Self::Nsd => "NSD, sockets",
            Self::Bind => "BIND, sockets",
            Self::PowerDns => "PowerDNS, sockets",
            Self::CoreDns => "CoreDNS, sockets",
            Self::Unbound => "Unbound, sockets",
            Self::Dnsdist => "dnsdist, sockets",
        }
    }

    /// Whether its answers leave from an XDP program, so that frames stay on their processors and none may be lost.
    pub fn is_xdp_program(self) -> bool {
        matches!(self, Self::Bounce | Self::Hotdns | Self::HotdnsOther)
    }

    /// What it sends back.
    pub fn returns(self) -> Returns {
        match self {
            Self::Bounce => Returns::Bounced,
            _ => Returns::Replies,
        }
    }

    /// The build of hotdns that takes part.
    fn build(self) -> Result<PathBuf> {
        match self {
            Self::HotdnsOther => object::other_server(),
            _ => object::server(),
        }
    }

    /// Whether it is another server, which answers from sockets.
    pub fn is_other_on_sockets(self) -> bool {
        matches!(
            self,
            Self::Knot | Self::Nsd | Self::Bind | Self::PowerDns | Self::CoreDns
        )
    }

    /// Whether it can take this load. Frames with a tag are no server's own matter, but the interface's; what is
    /// configured for a load is hotdns's.
    pub fn takes(self, load: &Load) -> bool {
        let is_ours = self.is_xdp_program() || self == Self::HotdnsSockets;
        let forwards = matches!(self, Self::Unbound | Self::Dnsdist);
        let can = match load.features {
            Features::None => !forwards,
            Features::Cache => forwards || is_ours,
            _ => is_ours,
        };
        (load.vlan.is_none() || self != Self::KnotXdp) && can
    }

    /// What it is, in its own words; an error says why it cannot take part.
    pub fn version(self) -> Result<String> {
        let first_line = |program: &str, argument: &str| -> Result<String> {
            // NSD says it on standard error.
            let output = std::process::Command::new(program)
                .arg(argument)
                .output()
                .map_err(|error| anyhow!("{program} is not installed ({error})"))?;
            let text = [output.stdout, output.stderr].concat();
            Ok(String::from_utf8_lossy(&text)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned())
        };
        match self {
            Self::Bounce => Ok(object::generator()?.display().to_string()),
            Self::Hotdns | Self::HotdnsOther | Self::HotdnsSockets => {
                first_line(&self.build()?.to_string_lossy(), "--version")
            }
            Self::KnotXdp | Self::Knot => first_line("knotd", "--version"),
            Self::Nsd => first_line("nsd", "-v"),
            Self::Bind => first_line("named", "-v"),
            Self::PowerDns => first_line("pdns_server", "--version"),
            Self::CoreDns => first_line("coredns", "-version"),
            Self::Unbound => first_line("unbound", "-V"),
            Self::Dnsdist => first_line("dnsdist", "--version"),
        }
    }

    /// Starts it at the server's end of a circuit of its own, with these zones and what the first load has configured;
    /// returns once it answers these loads.
    pub fn start(self, zones: &[Zone], loads: &[Load]) -> Result<Stage> {
        let label = self
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default();
        // What bounces needs no address.
        let with_vlan = self != Self::Bounce && loads.iter().any(|load| load.is_in_vlan() && self.takes(load));
        let mut circuit = Circuit::new(&label, with_vlan)?;
        let features = loads.first().map_or(Features::None, |load| load.features);
        let folder = if features.needs_memory() {
            TempDir::with_prefix_in("hotdns-bench-", "/dev/shm")
        } else {
            TempDir::with_prefix("hotdns-bench-")
        };
        let folder = folder.context("cannot make a folder")?;
        // Servers that give up root read it too.
        run("chmod", &["755", &folder.path().to_string_lossy()])?;
        let link = match self {
            Self::Bounce => Some(circuit.attach_to_server("bounce")?),
            Self::Hotdns | Self::HotdnsOther | Self::KnotXdp => None,
            _ => Some(circuit.attach_to_server("pass")?),
        };
        let files = zones
            .iter()
            .map(|zone| Ok((zone.origin.clone(), zone.write(folder.path())?.display().to_string())))
            .collect::<Result<Vec<_>>>()?;
        let upstream = (features == Features::Cache)
            .then(|| launch_upstream(&circuit, folder.path(), &files))
            .transpose()?;
        let process = match self {
            Self::Bounce => None,
            _ => Some(self.launch(&circuit, folder.path(), &files, features)?),
        };
        let mut stage = Stage {
            contestant: self,
            process,
            _upstream: upstream,
            files,
            features,
            _link: link,
            circuit,
            folder,
        };
        for load in loads.iter().filter(|load| self.takes(load)) {
            stage.wait_for_answer(load)?;
        }
        Ok(stage)
    }

    fn launch(
        self,
        circuit: &Circuit,
        folder: &Path,
        zones: &[(String, String)],
        features: Features,
    ) -> Result<Running> {
        let own = &circuit.pair.second;
        let mut addresses: Vec<String> = own.addresses.iter().map(ToString::to_string).collect();
        if circuit.has_vlan {
            addresses.push(VLAN_ADDRESSES[0].to_owned());
        }
        let workers = processors()?.len();
        let root = folder.display();
        let each = |line: &dyn Fn(&str, &str) -> String| -> String {
            zones.iter().map(|(origin, file)| line(origin, file)).collect()
        };
        let (name, text) = match self {
            Self::Bounce => bail!("bounce is no process"),
            Self::Hotdns | Self::HotdnsOther | Self::HotdnsSockets => {
                let mode = if self.is_xdp_program() { "native" } else { "off" };
                let listen = addresses
                    .iter()
                    .map(|address| format!("\"{address}\""))
                    .collect::<Vec<_>>()
                    .join(", ");
                let zones = match features {
                    Features::Cache => "  []\n".to_owned(),
                    _ => each(&|origin, file| format!("  - name: {origin}\n    file: {file}\n")),
                };
                let text = format!(
                    "dns_port: 53\nhttp_port: 8080\nlog_level: info\nlisten: [{listen}]\nstorage: \
                     {{path: {root}/storage}}\n\
                     xdp:\n  interfaces: [server]\n  mode: {mode}\nedns: {{cookie_secret_file: \
                     cookie.secret}}\nzones:\n{zones}{}",
                    features.keys()
                );
                let secret: String = COOKIES.secret.iter().map(|octet| format!("{octet:02x}")).collect();
                fs::write(folder.join("cookie.secret"), secret).context("cannot write the secret of cookies")?;
                ("hotdns.yaml", text)
            }
            Self::Knot | Self::KnotXdp => {
                let listen = addresses
                    .iter()
                    .map(|address| format!("{address}@53"))
                    .collect::<Vec<_>>()
                    .join(", ");
                let xdp = if self == Self::KnotXdp {
                    "xdp:\n  listen: server@53\n"
                } else {
                    ""
                };
                let zones = each(&|origin, file| format!("  - domain: {origin}\n    file: {file}\n"));
                let text = format!(
                    "server:\n  rundir: {root}\n  user: root\n  listen: [{listen}]\n  udp-workers: {workers}\n  \
                     tcp-workers: {workers}\n{xdp}\
                     database:\n  storage: {root}\nlog:\n  - target: stderr\n    any: info\n\
                     template:\n  - id: default\n    storage: {root}\n    zonefile-sync: -1\n    journal-content: \
                     none\n\
                     zone:\n{zones}"
                );
                ("knot.conf", text)
            }
            Self::Nsd => {
                let listen: String = addresses
                    .iter()
                    .map(|address| format!("  ip-address: {address}\n"))
                    .collect();
                let zones = each(&|origin, file| format!("zone:\n  name: {origin}\n  zonefile: {file}\n"));
                let text = format!(
                    "server:\n{listen}  port: 53\n  server-count: {workers}\n  reuseport: yes\n  username: root\n  \
                     chroot: \"\"\n  zonesdir: {root}\n  database: \"\"\n  pidfile: {root}/nsd.pid\n  \
                     xfrdfile: {root}/xfrd.state\n  zonelistfile: {root}/zone.list\n  xfrdir: {root}\n  \
                     rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n{zones}"
                );
                ("nsd.conf", text)
            }
            Self::Bind => {
                let zones = each(&|origin, file| format!("zone \"{origin}\" {{ type primary; file \"{file}\"; }};\n"));
                let text = format!(
                    "options {{ directory \"{root}\"; recursion no; pid-file \"{root}/named.pid\"; \
                     session-keyfile \"{root}/session.key\"; minimal-responses yes; notify no; }};\n\
                     controls {{ }};\n{zones}"
                );
                ("named.conf", text)
            }
            Self::PowerDns => {
                let zones = each(&|origin, file| format!("zone \"{origin}\" {{ type master; file \"{file}\"; }};\n"));
                let list = folder.join("zones.conf");
                fs::write(&list, zones).with_context(|| format!("cannot write {}", list.display()))?;
                let text = format!(
                    "launch=bind\nbind-config={root}/zones.conf\nlocal-address={}\nlocal-port=53\nreuseport=yes\n\
                     receiver-threads={workers}\ndaemon=no\nguardian=no\nsocket-dir={root}\n",
                    addresses.join(", ")
                );
                ("pdns.conf", text)
            }
            Self::CoreDns => {
                let text = each(&|origin, file| {
                    format!(
                        "{origin}:53 {{\n  bind {}\n  multisocket {workers}\n  file {file}\n}}\n",
                        addresses.join(" ")
                    )
                });
                ("Corefile", text)
            }
            Self::Unbound => {
                let interfaces: String = addresses
                    .iter()
                    .map(|address| format!("  interface: {address}\n"))
                    .collect();
                let (upstream, port) = UPSTREAM;
                let text = format!(
                    "server:\n{interfaces}  num-threads: {workers}\n  so-reuseport: yes\n  do-daemonize: no\n  \
                     username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  directory: \"{root}\"\n  \
                     module-config: iterator\n  access-control: 0.0.0.0/0 allow\n  access-control: ::/0 allow\n  \
                     do-not-query-localhost: no\n  msg-cache-size: 256m\n  rrset-cache-size: 256m\n  \
                     msg-cache-slabs: 8\n  rrset-cache-slabs: 8\n  minimal-responses: yes\n  \
                     local-zone: \"test.\" nodefault\nforward-zone:\n  name: \".\"\n  forward-addr: \
                     {upstream}@{port}\nremote-control:\n  control-enable: no\n"
                );
                ("unbound.conf", text)
            }
            Self::Dnsdist => {
                let listen: String = (0..workers)
                    .flat_map(|_| &addresses)
                    .map(|address| format!("addLocal(\"{}\", {{reusePort=true}})\n", bracketed(address)))
                    .collect();
                let (upstream, port) = UPSTREAM;
                let text = format!(
                    "setACL({{\"0.0.0.0/0\", \"::/0\"}})\n{listen}newServer({{address=\"{upstream}:{port}\", \
                     healthCheckMode=\"up\"}})\nsetSecurityPollSuffix(\"\")\npc = newPacketCache(1000000, \
                     {{numberOfShards=8}})\ngetPool(\"\"):setCache(pc)\n"
                );
                ("dnsdist.conf", text)
            }
        };
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        let path = path.to_string_lossy().into_owned();
        let (program, arguments) = match self {
            Self::Bounce => bail!("bounce is no process"),
            Self::Hotdns | Self::HotdnsOther | Self::HotdnsSockets => (
                self.build()?.to_string_lossy().into_owned(),
                vec!["run".to_owned(), "--config".to_owned(), path],
            ),
            Self::Knot | Self::KnotXdp => ("knotd".to_owned(), vec!["-c".to_owned(), path]),
            Self::Nsd => ("nsd".to_owned(), vec!["-d".to_owned(), "-c".to_owned(), path]),
            Self::Bind => {
                let workers = workers.to_string();
                (
                    "named".to_owned(),
                    ["-g", "-c", &path, "-n", &workers].map(str::to_owned).to_vec(),
                )
            }
            Self::PowerDns => ("pdns_server".to_owned(), vec![format!("--config-dir={root}")]),
            Self::CoreDns => ("coredns".to_owned(), vec!["-conf".to_owned(), path]),
            Self::Unbound => ("unbound".to_owned(), vec!["-dp".to_owned(), "-c".to_owned(), path]),
            Self::Dnsdist => (
                "dnsdist".to_owned(),
                ["--supervised", "--disable-syslog", "-C", &path]
                    .map(str::to_owned)
                    .to_vec(),
            ),
        };
        let mut command = circuit.server.command(&program);
        command.args(arguments);
        Running::start(command, &folder.join("log"))
    }
}

fn bracketed(address: &str) -> String {
    if address.contains(':') {
        format!("[{address}]:53")
    } else {
        format!("{address}:53")
    }
}

/// Knot DNS with these zones, for contestants that forward.
fn launch_upstream(circuit: &Circuit, folder: &Path, zones: &[(String, String)]) -> Result<Running> {
    let root = folder.join("upstream");
    fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
    let (address, port) = UPSTREAM;
    let zones: String = zones
        .iter()
        .map(|(origin, file)| format!("  - domain: {origin}\n    file: {file}\n    journal-content: none\n"))
        .collect();
    let root = root.display();
    let text = format!(
        "server:\n  rundir: {root}\n  user: root\n  listen: {address}@{port}\ndatabase:\n  storage: \
        {root}\nzone:\n{zones}"
    );
    let path = folder.join("upstream/knot.conf");
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let mut command = circuit.server.command("knotd");
    command.arg("-c").arg(&path);
    let mut running = Running::start(command, &folder.join("upstream/log"))?;
    running.wait_until("answering as the upstream server", Duration::from_secs(60), || {
        let server = format!("@{address}");
        let (port, origin) = (port.to_string(), zones.split_whitespace().nth(2).unwrap_or("."));
        let asked = circuit.server.run(
            "dig",
            &[&server, "-p", &port, "+short", "+time=1", "+tries=1", origin, "SOA"],
        );
        asked.is_ok_and(|text| !text.trim().is_empty())
    })?;
    Ok(running)
}

/// A contestant that runs, with the circuit it is measured in.
pub struct Stage {
    /// Who it is.
    pub contestant: Contestant,
    /// Its process; the limit has none.
    pub process: Option<Running>,
    _upstream: Option<Running>,
    files: Vec<(String, String)>,
    features: Features,
    _link: Option<XdpLink>,
    /// The circuit.
    pub circuit: Circuit,
    /// Its files.
    pub folder: TempDir,
}

impl Stage {
    /// Waits until the last name of the load's zone is answered as the load expects.
    pub fn wait_for_answer(&mut self, load: &Load) -> Result<()> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let address = self.circuit.server_address(load);
        let socket = self.circuit.client_socket(address)?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let query = load.query(load.zone.names.saturating_sub(1)).build();
        let mut last = "no reply".to_owned();
        let answered = process.wait_until(
            &format!("answering the load {}", load.name),
            Duration::from_secs(120),
            || {
                let mut reply = [0; 4096];
                // Refused while nothing listens yet.
                let (Ok(_), Ok(length)) = (socket.send(&query), socket.recv(&mut reply)) else {
                    return false;
                };
                let is_right = length >= 12
                    && reply[..2] == query[..2]
                    && reply[2] & 0x80 != 0
                    && reply[3] & 15 == load.rcode
                    && (reply[6..8] != [0, 0]) == load.answers;
                last = format!("{:02x?}", &reply[..length.min(64)]);
                is_right
            },
        );
        answered.with_context(|| format!("{}: last reply {last}", self.contestant.title()))
    }

    /// Ends the server at once (SIGKILL) and starts it again over the same files; returns while it is starting.
    pub fn restart(&mut self) -> Result<()> {
        // First the old one has to be gone: it holds the addresses and the interface.
        self.process = None;
        let process = self
            .contestant
            .launch(&self.circuit, self.folder.path(), &self.files, self.features)?;
        self.process = Some(process);
        Ok(())
    }
}
