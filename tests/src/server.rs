//! A running hotdns: the real program, in a folder of its own, on ports of its own.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::net::{Namespace, PATIENCE, Running, forbid};

/// Within this a line of the log is written, on a busy machine too.
const LOGGED: Duration = Duration::from_millis(50);

/// A server and its folder.
pub struct Server {
    folder: TempDir,
    running: Option<Running>,
    namespace: Option<String>,
    forbidden: Option<i64>,
    /// Variables of its environment.
    environment: Vec<(String, String)>,
    /// Where it answers DNS.
    pub dns: SocketAddr,
    /// Where it answers HTTP.
    pub http: SocketAddr,
}

/// A reply to an HTTP request.
#[derive(Debug)]
pub struct HttpReply {
    /// The status.
    pub status: u16,
    /// The body; null where it is empty or no JSON.
    pub json: Value,
    /// The body.
    pub text: String,
}

/// Waits for what happens soon.
///
/// # Errors
/// It is not so after [`PATIENCE`], or to look fails.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !is_so()? {
        ensure!(start.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The program, which `cargo xtask test` builds before the tests; `HOTDNS_PROGRAM` names another one.
pub fn program() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("HOTDNS_PROGRAM") {
        return Ok(program.into());
    }
    let own = std::env::current_exe()?;
    let program = own
        .parent()
        .and_then(|deps| deps.parent())
        .context("no folder of programs")?
        .join("hotdns");
    if !program.is_file() {
        bail!(
            "{} is not there: run the tests with `cargo xtask test`",
            program.display()
        );
    }
    Ok(program)
}

/// A port of loopback that nobody holds, over UDP or TCP; below those that the kernel gives to clients, which other
/// tests are.
pub fn free_port() -> Result<u16> {
    /// What this process was given before: it may not listen there yet.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    for _ in 0..100 {
        let port = rand::random_range(10_000..32_000);
        let address = (Ipv4Addr::LOCALHOST, port);
        let is_free = UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok();
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if is_free && given.insert(port) {
            return Ok(port);
        }
    }
    bail!("no free port between 10000 and 32000")
}

/// The zone that most tests serve.
pub const ZONE: &str = "\
$TTL 300
@ SOA ns1 hostmaster 1 7200 3600 1209600 300
@ NS ns1
@ MX 10 mail
ns1 A 192.0.2.53
mail A 192.0.2.25
mail AAAA 2001:db8::25
www A 192.0.2.80
www AAAA 2001:db8::80
www TXT \"hello\"
alias CNAME www
*.wild A 192.0.2.99
sub NS ns.sub
ns.sub A 192.0.2.54
_sip._udp SRV 1 2 5060 www
big TXT ( \"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
 \"1123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
 \"2123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
 \"3123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
 \"4123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\" )
";

/// Sends an HTTP request to `server`; an error where nobody answers.
pub fn request(server: &impl std::fmt::Display, method: &str, path: &str, body: Option<&Value>) -> Result<HttpReply> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("http://{server}{path}"))
        .header("content-type", "application/json");
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut response = agent.run(request.body(body)?)?;
    let text = response.body_mut().read_to_string()?;
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(HttpReply {
        status: response.status().as_u16(),
        json,
        text,
    })
}

impl Server {
    /// Serves [`ZONE`] as `example.com.` on loopback, with XDP on `lo` where that may be; `more` is put at the end of
    /// the configuration.
    pub fn start(more: &str) -> Result<Self> {
        // A port that was free may be taken by the time it is asked for.
        let mut last = None;
        for _ in 0..3 {
            let mut server = Self::prepare(Ipv4Addr::LOCALHOST, "lo", "auto", more)?;
            match server.run() {
                Ok(()) => return Ok(server),
                Err(error) if error.to_string().contains("in use") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.context("no start was tried")?)
    }

    /// The same in a namespace, on one of its addresses, with XDP on `interface`.
    pub fn start_in(namespace: &Namespace, interface: &str, more: &str) -> Result<Self> {
        Self::start_in_mode(namespace, interface, "auto", more)
    }

    /// The same in one of the modes of XDP.
    pub fn start_in_mode(namespace: &Namespace, interface: &str, mode: &str, more: &str) -> Result<Self> {
        let mut server = Self::prepare(Ipv4Addr::UNSPECIFIED, interface, mode, more)?;
        server.namespace = Some(namespace.name().to_owned());
        server.run()?;
        Ok(server)
    }

    /// The same where a system call fails with EPERM.
    pub fn start_forbidding(call: i64, namespace: &Namespace, interface: &str, more: &str) -> Result<Self> {
        let mut server = Self::prepare(Ipv4Addr::UNSPECIFIED, interface, "auto", more)?;
        server.namespace = Some(namespace.name().to_owned());
        server.forbidden = Some(call);
        server.run()?;
        Ok(server)
    }

    /// The same with these variables in its environment.
    pub fn start_with(
        namespace: &Namespace,
        interface: &str,
        environment: &[(&str, &str)],
        more: &str,
    ) -> Result<Self> {
        let mut server = Self::prepare(Ipv4Addr::UNSPECIFIED, interface, "auto", more)?;
        server.namespace = Some(namespace.name().to_owned());
        server.run_with_variables(environment)
    }

    /// The same on loopback.
    pub fn start_with_variables(environment: &[(&str, &str)], more: &str) -> Result<Self> {
        let server = Self::prepare(Ipv4Addr::LOCALHOST, "lo", "auto", more)?;
        server.run_with_variables(environment)
    }

    fn run_with_variables(mut self, environment: &[(&str, &str)]) -> Result<Self> {
        let variables = environment.iter();
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.environment = variables.collect();
        self.run()?;
        Ok(self)
    }

    fn prepare(address: Ipv4Addr, interface: &str, mode: &str, more: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let dns = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let listen = if address.is_unspecified() {
            String::new()
        } else {
            format!("listen: [\"{address}\"]\n")
        };
        // At the top level: deeper down these words are keys of others.
        let has = |key: &str| more.lines().any(|line| line.starts_with(key));
        // Most tests say themselves when a file is to be read.
        let files = if has("files: ") { "" } else { "files: {watch: false}\n" };
        let storage = if has("storage: ") {
            ""
        } else {
            "storage: {path: state}\n"
        };
        let xdp = if has("xdp: ") {
            String::new()
        } else {
            format!("xdp: {{interfaces: [{interface}], mode: {mode}}}\n")
        };
        let config = format!(
            "dns_port: {}\nhttp_port: {}\n{listen}{files}{storage}{xdp}zones: [{{name: example.com., file: \
            example.com.zone}}]\n{more}",
            dns.port(),
            http.port(),
        );
        let server = Self {
            folder,
            running: None,
            namespace: None,
            forbidden: None,
            environment: Vec::new(),
            dns,
            http,
        };
        server.write("hotdns.yaml", &config)?;
        server.write("example.com.zone", ZONE)?;
        Ok(server)
    }

    /// Starts the program and waits until it is ready.
    pub fn run(&mut self) -> Result<()> {
        let mut command = match &self.namespace {
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name]).arg(program()?);
                command
            }
            None => Command::new(program()?),
        };
        command.args(["run", "--config"]).arg(self.path("hotdns.yaml"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(call) = self.forbidden {
            forbid(&mut command, call);
        }
        let mut running = Running::start(command, &self.path("log"))?;
        let log = self.path("log");
        let ready = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains(": ready "));
        let waited = running.wait_until("hotdns to be ready", PATIENCE, ready);
        if let Err(error) = waited {
            bail!("{error:#}: {}", running.output());
        }
        self.running = Some(running);
        Ok(())
    }

    /// A file of the server's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the server's folder.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        std::fs::write(self.path(name), text).with_context(|| format!("cannot write {name}"))
    }

    /// The log so far, with what the server has logged but not yet written: it gathers lines for 2 ms.
    pub fn log(&self) -> String {
        std::thread::sleep(LOGGED);
        self.running.as_ref().map(Running::output).unwrap_or_default()
    }

    /// The effective capabilities of each of its threads, with the thread's name (proc_pid_status(5)).
    pub fn capabilities(&self) -> Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for thread in std::fs::read_dir(format!(
            "/proc/{}/task",
            self.running.as_ref().context("not running")?.pid()
        ))? {
            // One may have ended since they were listed.
            let Ok(status) = std::fs::read_to_string(thread?.path().join("status")) else {
                continue;
            };
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let numbers: Result<Vec<u64>, _> = ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"]
                .iter()
                .filter_map(|name| field(name))
                .map(|number| u64::from_str_radix(number, 16))
                .collect();
            let all = numbers?.into_iter().fold(0, |all, set| all | set);
            found.push((field("Name:").unwrap_or_default().to_owned(), all));
        }
        Ok(found)
    }

    /// Its process.
    pub fn pid(&self) -> Result<i32> {
        Ok(self.running.as_ref().context("not running")?.pid().as_raw())
    }

    /// Its memory, in octets.
    pub fn resident_bytes(&self) -> Result<u64> {
        self.running.as_ref().context("not running")?.resident_bytes()
    }

    /// The niceness of each of its threads whose name begins so.
    pub fn niceness(&self, prefix: &str) -> Result<Vec<i32>> {
        self.running.as_ref().context("not running")?.niceness(prefix)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.running.as_ref().context("not running")?.signal(signal)
    }

    /// Ends it as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        let mut running = self.running.take().context("not running")?;
        running.signal(Signal::SIGKILL)?;
        while running.is_alive() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends it with SIGTERM.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.running.take().context("not running")?.stop()
    }

    /// What `dig` prints for a question to this server.
    pub fn dig(&self, arguments: &[&str]) -> Result<String> {
        let port = self.dns.port().to_string();
        let address = format!("@{}", self.dns.ip());
        let fixed = [address.as_str(), "-p", port.as_str(), "+time=5", "+tries=2"];
        crate::net::run("dig", &[&fixed, arguments].concat())
    }

    /// Sends an HTTP request.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<HttpReply> {
        request(&self.http, method, path, body)
    }

    /// The value of a metric, by its name with labels; 0 where it is not there.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let text = self.request("GET", "/metrics", None)?.text;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.and_then(|value| value.parse().ok()).unwrap_or(0.0))
    }
}
