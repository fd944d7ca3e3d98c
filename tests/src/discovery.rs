//! Real registries and proxies for tests: Consul, Traefik and Caddy, each in a folder of its own, on ports of its own.
//!
//! Their programs are in `$HOTDNS_PEERS`, or in `~/.cache/hotdns-peers/bin`. `cargo xtask test --discovery` says which
//! of them are missing.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::net::{PATIENCE, Running, run};
use crate::server::{HttpReply, free_port, request};

/// The folder of the programs.
pub fn programs() -> PathBuf {
    match std::env::var_os("HOTDNS_PEERS") {
        Some(folder) => folder.into(),
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/hotdns-peers/bin"),
    }
}

/// A program of [`programs`].
///
/// # Errors
/// It is not there.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = programs().join(name);
    ensure!(
        path.is_file(),
        "{} is not there: `cargo xtask test --discovery` says where it comes from",
        path.display()
    );
    Ok(path)
}

/// A Consul of one node, in memory.
pub struct Consul {
    folder: TempDir,
    running: Option<Running>,
    ports: Vec<u16>,
    https: Option<u16>,
}

impl Consul {
    /// Starts one, and waits for its leader.
    ///
    /// # Errors
    /// The program is missing, or does not get ready.
    pub fn start() -> Result<Self> {
        let mut consul = Self::prepare()?;
        consul.run()?;
        Ok(consul)
    }

    /// Starts one that serves HTTPS too, by a certificate of the authority in [`Consul::ca`].
    ///
    /// # Errors
    /// The program is missing, or does not get ready.
    pub fn start_with_tls() -> Result<Self> {
        let mut consul = Self::prepare()?;
        let port = free_port()?;
        let file = |name: &str| consul.folder.path().join(name).to_string_lossy().into_owned();
        let (ca, ca_key, key, request, cert) = (file("ca.pem"), file("ca.key"), file("key"), file("csr"), file("cert"));
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let authority = [
            "req",
            "-x509",
            "-subj",
            "/CN=authority",
            "-days",
            "2",
            "-keyout",
            &ca_key,
            "-out",
            &ca,
        ];
        run("openssl", &[&authority[..], &new_key].concat())?;
        let leaf = ["req", "-subj", "/CN=consul", "-keyout", &key, "-out", &request];
        run("openssl", &[&leaf[..], &new_key].concat())?;
        std::fs::write(file("names"), "subjectAltName=IP:127.0.0.1\n")?;
        let names = file("names");
        let signing = [
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
        ];
        run(
            "openssl",
            &[&signing[..], &["-days", "2", "-extfile", &names, "-out", &cert]].concat(),
        )?;
        let settings = json!({"ports": {"https": port}, "tls": {"https": {"cert_file": cert, "key_file": key}}});
        std::fs::write(file("tls.json"), settings.to_string())?;
        consul.https = Some(port);
        consul.run()?;
        Ok(consul)
    }

    /// The certificate of the authority that signed its own.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Where it answers HTTPS.
    pub fn https(&self) -> Option<SocketAddr> {
        self.https.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    fn prepare() -> Result<Self> {
        let ports: Result<Vec<u16>> = (0..5).map(|_| free_port()).collect();
        Ok(Self {
            folder: TempDir::new()?,
            running: None,
            ports: ports?,
            https: None,
        })
    }

    /// Starts it again after [`Consul::kill`]: it has forgotten all.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn run(&mut self) -> Result<()> {
        let mut command = Command::new(program("consul")?);
        command.args([
            "agent",
            "-dev",
            "-node",
            "vm",
            "-bind",
            "127.0.0.1",
            "-client",
            "127.0.0.1",
        ]);
        command.args(["-serf-wan-port", "-1", "-grpc-tls-port", "-1"]);
        if self.https.is_some() {
            command.arg("-config-file").arg(self.folder.path().join("tls.json"));
        }
        for (flag, port) in [
            "-http-port",
            "-dns-port",
            "-grpc-port",
            "-serf-lan-port",
            "-server-port",
        ]
        .iter()
        .zip(&self.ports)
        {
            command.args([*flag, &port.to_string()]);
        }
        let mut running = Running::start(command, &self.folder.path().join("log"))?;
        let http = self.http();
        let has_leader = || {
            let leader = request(&http, "GET", "/v1/status/leader", None);
            leader
                .is_ok_and(|reply| reply.status == 200 && reply.json.as_str().is_some_and(|leader| !leader.is_empty()))
        };
        let waited = running.wait_until("Consul to have a leader", PATIENCE, has_leader);
        if let Err(error) = waited {
            bail!("{error:#}: {}", running.output());
        }
        self.running = Some(running);
        Ok(())
    }

    /// Where it answers HTTP.
    pub fn http(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[0]))
    }

    /// Ends it, and waits until it is gone.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut running = self.running.take().context("Consul does not run")?;
        running.signal(nix::sys::signal::Signal::SIGKILL)?;
        while running.is_alive() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Ok(())
    }

    /// A request that has to succeed.
    ///
    /// # Errors
    /// It does not.
    pub fn put(&self, path: &str, body: Option<&Value>) -> Result<HttpReply> {
        let reply = request(&self.http(), "PUT", path, body)?;
        ensure!(reply.status == 200, "{path}: {reply:?}");
        Ok(reply)
    }

    /// Registers an instance that passes its check, which [`Consul::set_check`] changes.
    ///
    /// # Errors
    /// Consul refuses it.
    pub fn register(&self, service: &str, id: &str, address: &str, tags: &[&str]) -> Result<()> {
        let body = json!({
            "ID": id, "Name": service, "Address": address, "Port": 8080, "Tags": tags,
            "Check": {"CheckID": format!("check-{id}"), "TTL": "1h", "Status": "passing"},
        });
        self.put("/v1/agent/service/register", Some(&body)).map(drop)
    }

    /// Sets the check of an instance: `pass`, `warn` or `fail`.
    ///
    /// # Errors
    /// Consul refuses it.
    pub fn set_check(&self, id: &str, outcome: &str) -> Result<()> {
        self.put(&format!("/v1/agent/check/{outcome}/check-{id}"), None)
            .map(drop)
    }

    /// What its own DNS server answers, sorted.
    ///
    /// # Errors
    /// `dig` fails.
    pub fn dig(&self, name: &str, rtype: &str) -> Result<Vec<String>> {
        let port = self.ports[1].to_string();
        let text = run("dig", &["@127.0.0.1", "-p", &port, "+short", name, rtype])?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    }
}

/// A Traefik with a file of routers, and the services of a Consul.
pub struct Traefik {
    folder: TempDir,
    /// Kept, since it ends with this.
    _running: Running,
    /// Where its API is.
    pub api: SocketAddr,
    /// Where it serves.
    pub web: SocketAddr,
}

impl Traefik {
    /// Starts one with this dynamic configuration.
    ///
    /// # Errors
    /// The program is missing, or does not get ready.
    pub fn start(consul: &Consul, dynamic: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let address = || Ok::<_, anyhow::Error>(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)));
        let (api, web) = (address()?, address()?);
        std::fs::write(folder.path().join("dynamic.yaml"), dynamic)?;
        let configuration = format!(
            "global: {{checkNewVersion: false, sendAnonymousUsage: false}}\napi: {{insecure: true}}\nping: {{}}\n\
             metrics: {{prometheus: {{entryPoint: traefik}}}}\n\
             entryPoints: {{traefik: {{address: \"{api}\"}}, web: {{address: \"{web}\"}}}}\n\
             providers:\n  file: {{filename: {0}/dynamic.yaml, watch: true}}\n  consulCatalog: \
             {{exposedByDefault: false, refreshInterval: 1s, endpoint: {{address: \"{1}\"}}}}\n",
            folder.path().display(),
            consul.http(),
        );
        std::fs::write(folder.path().join("traefik.yaml"), configuration)?;
        let mut command = Command::new(program("traefik")?);
        command.arg(format!("--configfile={}/traefik.yaml", folder.path().display()));
        let mut running = Running::start(command, &folder.path().join("log"))?;
        let is_up = || request(&api, "GET", "/ping", None).is_ok_and(|reply| reply.status == 200);
        let waited = running.wait_until("Traefik to answer", PATIENCE, is_up);
        if let Err(error) = waited {
            bail!("{error:#}: {}", running.output());
        }
        Ok(Self {
            folder,
            _running: running,
            api,
            web,
        })
    }

    /// The file with the dynamic configuration.
    pub fn dynamic(&self) -> PathBuf {
        self.folder.path().join("dynamic.yaml")
    }

    /// Replaces the dynamic configuration.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, dynamic: &str) -> Result<()> {
        Ok(std::fs::write(self.dynamic(), dynamic)?)
    }

    /// Whether it has a route for a host: without one it answers 404.
    ///
    /// # Errors
    /// It does not answer.
    pub fn routes(&self, host: &str) -> Result<bool> {
        let url = format!("http://{}/", self.web);
        let status = run(
            "curl",
            &[
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "-H",
                &format!("Host: {host}"),
                &url,
            ],
        )?;
        Ok(status.trim() != "404")
    }
}

/// A Caddy with a Caddyfile.
pub struct Caddy {
    folder: TempDir,
    /// Kept, since it ends with this.
    _running: Running,
    /// Where its admin API is.
    pub admin: SocketAddr,
    port: u16,
}

impl Caddy {
    /// Starts one with these sites.
    ///
    /// # Errors
    /// The program is missing, or does not get ready.
    pub fn start(sites: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let port = free_port()?;
        std::fs::write(folder.path().join("Caddyfile"), caddyfile(admin, port, sites))?;
        let mut command = Command::new(program("caddy")?);
        command.args(["run", "--config"]).arg(folder.path().join("Caddyfile"));
        command
            .env("HOME", folder.path())
            .env("XDG_DATA_HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path());
        let mut running = Running::start(command, &folder.path().join("log"))?;
        let is_up = || request(&admin, "GET", "/config/", None).is_ok_and(|reply| reply.json.is_object());
        let waited = running.wait_until("Caddy to answer", PATIENCE, is_up);
        if let Err(error) = waited {
            bail!("{error:#}: {}", running.output());
        }
        Ok(Self {
            folder,
            _running: running,
            admin,
            port,
        })
    }

    /// Replaces its sites.
    ///
    /// # Errors
    /// Caddy refuses them.
    pub fn load(&self, sites: &str) -> Result<()> {
        let file = self.folder.path().join("Caddyfile");
        std::fs::write(&file, caddyfile(self.admin, self.port, sites))?;
        let caddy = program("caddy")?;
        let (caddy, file) = (caddy.to_string_lossy(), file.to_string_lossy());
        run(
            &caddy,
            &["reload", "--config", &file, "--address", &self.admin.to_string()],
        )
        .map(drop)
    }
}

fn caddyfile(admin: SocketAddr, port: u16, sites: &str) -> String {
    format!("{{\n admin {admin}\n http_port {port}\n auto_https off\n}}\n{sites}")
}
