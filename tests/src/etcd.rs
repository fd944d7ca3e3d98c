//! A real etcd on loopback, and a way to it that can be cut.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::certificates::{authority, signed};
use crate::net::{PATIENCE, Running};
use crate::server::{free_port, request};

/// A member of an etcd, mostly its only one, and its folder.
pub struct Etcd {
    folder: TempDir,
    running: Option<Running>,
    /// Where it answers clients.
    pub address: SocketAddr,
    peer: u16,
    /// The folder of its data.
    data: String,
    name: String,
    /// All members, where there are others.
    cluster: Option<String>,
    /// Whether it speaks TLS alone, with clients that show a certificate.
    has_tls: bool,
}

impl Etcd {
    /// Starts an empty one.
    ///
    /// # Errors
    /// It does not start.
    pub fn start() -> Result<Self> {
        let mut etcd = Self::new("default")?;
        etcd.run()?;
        Ok(etcd)
    }

    /// Starts an empty one that knows its clients by their certificates: [`Etcd::certificate`].
    ///
    /// # Errors
    /// It does not start.
    pub fn start_with_tls() -> Result<Self> {
        let mut etcd = Self::new("default")?;
        authority(etcd.folder.path())?;
        for name in ["server", "client"] {
            signed(etcd.folder.path(), name, name, "IP:127.0.0.1")?;
        }
        etcd.has_tls = true;
        etcd.run()?;
        Ok(etcd)
    }

    /// Starts an empty one with so many members.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_members(count: usize) -> Result<Vec<Self>> {
        let mut members: Vec<Self> = (0..count)
            .map(|number| Self::new(&format!("m{number}")))
            .collect::<Result<_>>()?;
        let all: Vec<String> = members
            .iter()
            .map(|member| format!("{}={}", member.name, member.peer_url()))
            .collect();
        for member in &mut members {
            member.cluster = Some(all.join(","));
            member.spawn()?;
        }
        members.iter_mut().try_for_each(|member| member.wait_for(200))?;
        Ok(members)
    }

    fn new(name: &str) -> Result<Self> {
        Ok(Self {
            folder: TempDir::new()?,
            running: None,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)),
            peer: free_port()?,
            data: "data".to_owned(),
            name: name.to_owned(),
            cluster: None,
            has_tls: false,
        })
    }

    /// Starts it again with what it has.
    ///
    /// # Errors
    /// It does not start.
    pub fn run(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_for(200)
    }

    /// The same where it wants to know who asks.
    ///
    /// # Errors
    /// It does not start.
    pub fn run_with_users(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_for(400)
    }

    fn spawn(&mut self) -> Result<()> {
        let (client, peer) = (self.url(), self.peer_url());
        let mut command = Command::new("etcd");
        command
            .arg("--name")
            .arg(&self.name)
            .arg("--data-dir")
            .arg(self.path(&self.data));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        let alone = format!("{}={peer}", self.name);
        command.args(["--initial-cluster", self.cluster.as_ref().unwrap_or(&alone)]);
        // One member elects itself: there is nobody to wait for.
        let (heartbeat, election) = if self.cluster.is_some() {
            ("100", "1000")
        } else {
            ("20", "100")
        };
        command.args(["--heartbeat-interval", heartbeat, "--election-timeout", election]);
        if self.has_tls {
            command.arg("--client-cert-auth");
            command.arg("--trusted-ca-file").arg(self.path("root.pem"));
            command.arg("--cert-file").arg(self.path("server.pem"));
            command.arg("--key-file").arg(self.path("server.key"));
        }
        self.running = Some(Running::start(command, &self.path("log"))?);
        Ok(())
    }

    /// Waits until it answers somebody whom it does not know with this status.
    fn wait_for(&mut self, status: u16) -> Result<()> {
        let Some(mut running) = self.running.take() else {
            bail!("etcd does not run");
        };
        let body = json!({"key": "YQ=="});
        let ready = || match self.has_tls {
            true => self.ctl(&["get", "a"]).is_ok(),
            false => {
                request(&self.address, "POST", "/v3/kv/range", Some(&body)).is_ok_and(|reply| reply.status == status)
            }
        };
        if let Err(error) = running.wait_until("etcd", PATIENCE, ready) {
            bail!("{error:#}: {}", running.output());
        }
        self.running = Some(running);
        Ok(())
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let scheme = if self.has_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// A file of [`Etcd::start_with_tls`]: `root.pem`, `client.pem`, `client.key`.
    pub fn certificate(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match &self.running {
            Some(running) => running.signal(signal),
            None => bail!("etcd does not run"),
        }
    }

    /// Ends it as `kill -9` does.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        while self.running.as_mut().is_some_and(Running::is_alive) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.running = None;
        Ok(())
    }

    /// Runs `etcdctl`.
    ///
    /// # Errors
    /// It fails.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", self.url()))
            .args(self.ctl_certificates())
            .args(arguments)
            .output()?;
        ensure!(
            output.status.success(),
            "etcdctl: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    fn ctl_certificates(&self) -> Vec<String> {
        let files = [("cacert", "root.pem"), ("cert", "client.pem"), ("key", "client.key")];
        let given = files.iter().filter(|_| self.has_tls);
        given
            .map(|(option, file)| format!("--{option}={}", self.certificate(file)))
            .collect()
    }

    /// Its present revision.
    ///
    /// # Errors
    /// It does not say one.
    pub fn revision(&self) -> Result<u64> {
        let reply = request(&self.address, "POST", "/v3/kv/range", Some(&json!({"key": "YQ=="})))?;
        let revision = reply.json["header"]["revision"]
            .as_str()
            .and_then(|text| text.parse().ok());
        revision.ok_or_else(|| anyhow::anyhow!("{reply:?}"))
    }

    /// Forgets all but the present state.
    ///
    /// # Errors
    /// It refuses.
    pub fn compact(&self) -> Result<()> {
        self.ctl(&["compact", &self.revision()?.to_string()]).map(drop)
    }

    /// Keeps a backup.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn back_up(&self) -> Result<()> {
        let path = self.path("backup");
        self.ctl(&["snapshot", "save", &path.display().to_string()]).map(drop)
    }

    /// Ends it, and starts it with the backup.
    ///
    /// # Errors
    /// It cannot be restored.
    pub fn restore(&mut self) -> Result<()> {
        self.kill()?;
        self.data = format!("restored-{}", free_port()?);
        let peer = self.peer_url();
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["snapshot", "restore"])
            .arg(self.path("backup"))
            .arg("--data-dir")
            .arg(self.path(&self.data))
            .args(["--initial-cluster", &format!("default={peer}")])
            .args(["--initial-advertise-peer-urls", &peer])
            .output()?;
        ensure!(
            output.status.success(),
            "etcdctl: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.run()
    }

    /// Ends it, and starts it with nothing.
    ///
    /// # Errors
    /// It does not start.
    pub fn lose_all(&mut self) -> Result<()> {
        self.kill()?;
        self.data = format!("empty-{}", free_port()?);
        self.run()
    }
}

/// A way to a server that can be cut: what goes through it is held, and new connections hang.
pub struct Way {
    /// Its entrance.
    pub address: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl Way {
    /// To `to`. It ends with the test.
    ///
    /// # Errors
    /// No port is free.
    pub fn to(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let is_cut = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&is_cut);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(to) else { continue };
                let (Ok(client_again), Ok(server_again)) = (client.try_clone(), server.try_clone()) else {
                    continue;
                };
                let (one, other) = (Arc::clone(&shared), Arc::clone(&shared));
                std::thread::spawn(move || carry(client, server, &one));
                std::thread::spawn(move || carry(server_again, client_again, &other));
            }
        });
        Ok(Self { address, is_cut })
    }

    /// From now on nothing goes through.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    /// What was held goes through, and so does all else.
    pub fn mend(&self) {
        self.is_cut.store(false, Ordering::Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool) {
    let mut buffer = [0; 16384];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        while is_cut.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}
