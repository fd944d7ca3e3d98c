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

use crate::net::{PATIENCE, Running};
use crate::server::{free_port, request};

/// An etcd with one member, and its folder.
pub struct Etcd {
    folder: TempDir,
    running: Option<Running>,
    /// Where it answers clients.
    pub address: SocketAddr,
    peer: u16,
    /// The folder of its data.
    data: String,
}

impl Etcd {
    /// Starts an empty one.
    ///
    /// # Errors
    /// It does not start.
    pub fn start() -> Result<Self> {
        let mut etcd = Self {
            folder: TempDir::new()?,
            running: None,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)),
            peer: free_port()?,
            data: "data".to_owned(),
        };
        etcd.run()?;
        Ok(etcd)
    }

    /// Starts it again with what it has.
    ///
    /// # Errors
    /// It does not start.
    pub fn run(&mut self) -> Result<()> {
        self.run_until(200)
    }

    /// The same where it wants to know who asks.
    ///
    /// # Errors
    /// It does not start.
    pub fn run_with_users(&mut self) -> Result<()> {
        self.run_until(400)
    }

    /// Starts it, until it answers somebody whom it does not know with this status.
    fn run_until(&mut self, status: u16) -> Result<()> {
        let (client, peer) = (self.url(), format!("http://127.0.0.1:{}", self.peer));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(self.path(&self.data));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]);
        // One member elects itself: there is nobody to wait for.
        command.args(["--heartbeat-interval", "20", "--election-timeout", "100"]);
        let mut running = Running::start(command, &self.path("log"))?;
        let body = json!({"key": "YQ=="});
        let ready =
            || request(&self.address, "POST", "/v3/kv/range", Some(&body)).is_ok_and(|reply| reply.status == status);
        if let Err(error) = running.wait_until("etcd", PATIENCE, ready) {
            bail!("{error:#}: {}", running.output());
        }
        self.running = Some(running);
        Ok(())
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
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
            .arg(format!("--endpoints={}", self.address))
            .args(arguments)
            .output()?;
        ensure!(
            output.status.success(),
            "etcdctl: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
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
        let peer = format!("http://127.0.0.1:{}", self.peer);
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
