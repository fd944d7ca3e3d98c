//! A real Kubernetes API: etcd and kube-apiserver on ports of their own, and kubectl. No kubelet: nothing runs.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use tempfile::TempDir;

use crate::net::Running;
use crate::server::free_port;

/// How long the API may take to be ready, on a busy machine.
const START: Duration = Duration::from_secs(120);

/// A cluster without nodes.
pub struct Cluster {
    folder: TempDir,
    etcd: Option<Running>,
    api: Option<Running>,
    etcd_port: u16,
    api_port: u16,
}

/// The path of a program, which is in `PATH` or among the peers that were built.
///
/// # Errors
/// It is in neither.
pub fn program(name: &str) -> Result<PathBuf> {
    let peers = std::env::var_os("PEERS").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cache/hotdns-peers"))
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(peers.map(|peers| peers.join("bin")));
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not there: `cargo xtask test --kubernetes` says how to get it"))
}

impl Cluster {
    /// Starts one.
    ///
    /// # Errors
    /// A program is missing, or does not start.
    pub fn start() -> Result<Self> {
        let mut cluster = Self {
            folder: TempDir::new()?,
            etcd: None,
            api: None,
            etcd_port: free_port()?,
            api_port: free_port()?,
        };
        cluster.write_keys()?;
        let data = cluster.path("etcd");
        let (client, peer) = (cluster.etcd_url(), format!("http://127.0.0.1:{}", free_port()?));
        let mut etcd = Command::new(program("etcd")?);
        etcd.arg("--data-dir").arg(data);
        etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        etcd.args(["--initial-cluster", &format!("default={peer}")]);
        cluster.etcd = Some(Running::start(etcd, &cluster.path("etcd.log"))?);
        cluster.start_api()?;
        Ok(cluster)
    }

    fn write_keys(&self) -> Result<()> {
        let key = self.path("sa.key");
        let made = Command::new("openssl")
            .args(["genrsa", "-out"])
            .arg(&key)
            .arg("2048")
            .output()?;
        ensure!(made.status.success(), "openssl genrsa: {made:?}");
        let mut public = Command::new("openssl");
        public
            .args(["rsa", "-pubout", "-in"])
            .arg(&key)
            .arg("-out")
            .arg(self.path("sa.pub"));
        ensure!(public.output()?.status.success(), "openssl rsa");
        std::fs::write(self.path("tokens.csv"), "tok,admin,1,\"system:masters\"\nlow,low,2\n")?;
        for (file, token) in [("kubeconfig", "tok"), ("kubeconfig-low", "low")] {
            self.write_kubeconfig(file, token)?;
        }
        Ok(())
    }

    fn write_kubeconfig(&self, file: &str, token: &str) -> Result<PathBuf> {
        // JSON is YAML, too.
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.api_port),
                "certificate-authority": self.path("certs").join("apiserver.crt"),
            }}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        let path = self.path(file);
        std::fs::write(&path, config.to_string())?;
        Ok(path)
    }

    /// A kubeconfig of a service account.
    ///
    /// # Errors
    /// There is no such account.
    pub fn account_kubeconfig(&self, namespace: &str, account: &str) -> Result<PathBuf> {
        let token = self.kubectl(&["-n", namespace, "create", "token", account], None)?;
        self.write_kubeconfig(&format!("kubeconfig-{account}"), token.trim())
    }

    /// The API over plain HTTP, on a port of its own, as long as the value lives.
    ///
    /// # Errors
    /// `kubectl proxy` does not start.
    pub fn proxy(&self) -> Result<(Running, String)> {
        let port = free_port()?;
        let mut proxy = Command::new(program("kubectl")?);
        proxy.arg("--kubeconfig").arg(self.kubeconfig());
        proxy.args(["proxy", "--port", &port.to_string()]);
        proxy.env("HOME", self.folder.path());
        let mut running = Running::start(proxy, &self.path("proxy.log"))?;
        let address = format!("127.0.0.1:{port}");
        let is_ready =
            || crate::server::request(&address, "GET", "/readyz", None).is_ok_and(|reply| reply.status == 200);
        running.wait_until("kubectl proxy to be ready", START, is_ready)?;
        Ok((running, address))
    }

    /// Starts the API server, after [`Self::kill_api`] again.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_api(&mut self) -> Result<()> {
        let issuer = format!("https://127.0.0.1:{}", self.api_port);
        let mut api = Command::new(program("kube-apiserver")?);
        let path = |name: &str| self.path(name).display().to_string();
        for (key, value) in [
            ("etcd-servers", self.etcd_url()),
            ("bind-address", Ipv4Addr::LOCALHOST.to_string()),
            ("secure-port", self.api_port.to_string()),
            ("cert-dir", path("certs")),
            ("service-account-issuer", issuer),
            ("service-account-key-file", path("sa.pub")),
            ("service-account-signing-key-file", path("sa.key")),
            ("service-cluster-ip-range", "10.96.0.0/24".to_owned()),
            ("authorization-mode", "RBAC".to_owned()),
            ("token-auth-file", path("tokens.csv")),
            ("endpoint-reconciler-type", "none".to_owned()),
            // Debian's etcd 3.4 does not tell progress, without which cached watches of quiet kinds hang.
            ("watch-cache", "false".to_owned()),
        ] {
            api.arg(format!("--{key}={value}"));
        }
        let mut running = Running::start(api, &self.path("api.log"))?;
        let ready = || self.kubectl(&["get", "--raw", "/readyz"], None).is_ok();
        running.wait_until("the Kubernetes API to be ready", START, ready)?;
        self.api = Some(running);
        Ok(())
    }

    /// Ends the API server as `kill -9` does.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill_api(&mut self) -> Result<()> {
        drop(self.api.take().context("the API server does not run")?);
        Ok(())
    }

    /// Lets etcd forget every version but the latest one: watches of older ones are told 410 Gone.
    ///
    /// # Errors
    /// etcd refuses.
    pub fn forget(&self) -> Result<()> {
        let post = |path: &str, body: serde_json::Value| -> Result<serde_json::Value> {
            let reply = crate::server::request(&format!("127.0.0.1:{}", self.etcd_port), "POST", path, Some(&body))?;
            ensure!(reply.status == 200, "{reply:?}");
            Ok(reply.json)
        };
        let latest = post("/v3/kv/range", json!({"key": "AA=="}))?;
        let revision = latest["header"]["revision"].as_str().context("a revision")?;
        post("/v3/kv/compaction", json!({"revision": revision, "physical": true}))?;
        Ok(())
    }

    /// A kubeconfig that may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// A kubeconfig of a user without any right, `low`.
    pub fn low_kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig-low")
    }

    /// Runs kubectl; what it prints.
    ///
    /// # Errors
    /// It fails.
    pub fn kubectl(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let mut command = Command::new(program("kubectl")?);
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(arguments);
        command.env("HOME", self.folder.path());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut stdin = child.stdin.take().context("standard input")?;
        stdin.write_all(input.unwrap_or_default().as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!(
                "kubectl {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// `kubectl apply` of objects.
    ///
    /// # Errors
    /// The API refuses one.
    pub fn apply(&self, objects: &str) -> Result<()> {
        self.kubectl(&["apply", "-f", "-"], Some(objects)).map(drop)
    }

    /// Sets the status of an object.
    ///
    /// # Errors
    /// The API refuses it.
    pub fn set_status(&self, namespace: &str, object: &str, status: &serde_json::Value) -> Result<()> {
        let patch = json!({ "status": status }).to_string();
        let arguments = [
            "-n",
            namespace,
            "patch",
            object,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        self.kubectl(&arguments, None).map(drop)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd_port)
    }
}
