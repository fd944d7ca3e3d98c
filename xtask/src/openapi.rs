//! `cargo xtask test --openapi`: the description of the HTTP API, as those who know nothing else of it use it.
//!
//! ```text
//! hotdns ── /openapi.json ─┬─► schemathesis: requests of every kind against every operation
//!                          ├─► openapi-python-client ─► xtask/openapi/client.py
//!                          └─► openapi-typescript ────► xtask/openapi/client.ts, checked by tsc, run by node
//! ```
//!
//! The tools come from PyPI and npm, into `target/openapi`. They need Python 3 with `venv`, and Node.js 20 with npm.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::build::{self, Warnings};
use crate::{process, suite, workspace};

/// Of PyPI.
const PYTHON_TOOLS: [&str; 2] = ["schemathesis>=4,<5", "openapi-python-client"];
/// Of npm.
const NODE_TOOLS: [&str; 4] = [
    "openapi-typescript@7",
    "openapi-fetch@0.17",
    "typescript@5",
    "@types/node@20",
];

/// Operations that schemathesis leaves out: one whose answer never ends, and those that would end its server's rest.
const LEFT_OUT: &str = "^/api/v1/(watch|backup)$";

/// A program that is needed, with an argument that it ends well on, and where it comes from.
const NEEDED: [(&str, &str, &str); 3] = [
    ("python3", "--version", "Debian's packages python3 and python3-venv"),
    ("node", "--version", "Node.js 20 or later, from Debian 13 or nodejs.org"),
    ("npm", "--version", "Debian's package npm, or nodejs.org"),
];

/// How long the server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs all of it, with so many examples of each operation.
pub(crate) fn test(examples: u32) -> Result<()> {
    let missing: Vec<String> = NEEDED
        .iter()
        .filter(|(program, argument, _)| {
            let outcome = Command::new(program).arg(argument).output();
            !outcome.is_ok_and(|output| output.status.success())
        })
        .map(|(program, _, from)| format!("{program} is missing: {from}"))
        .collect();
    if !missing.is_empty() {
        bail!("{}", missing.join("\n"));
    }
    build::ebpf_or_explain(Warnings::Allow)?;
    suite::build_programs()?;
    let folder = workspace::target().join("openapi");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    set_up(&folder)?;
    let server = Server::start(&folder)?;
    let description = folder.join("openapi.json");
    let text = process::read(Command::new("python3").args([
        "-c",
        "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())",
        &format!("{}/openapi.json", server.url),
    ]))?;
    fs::write(&description, text).with_context(|| format!("cannot write {}", description.display()))?;
    python_client(&folder, &description, &server.url).context("the client in Python")?;
    typescript_client(&folder, &description, &server.url).context("the client in TypeScript")?;
    schemathesis(&folder, &server.url, examples).context("schemathesis")?;
    println!("Both clients run, and schemathesis found nothing.");
    Ok(())
}

fn set_up(folder: &Path) -> Result<()> {
    let pip = folder.join("venv/bin/pip");
    if !pip.is_file() {
        process::run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
    }
    process::run(Command::new(pip).args(["install", "--quiet"]).args(PYTHON_TOOLS))?;
    fs::write(
        folder.join("package.json"),
        "{\"private\": true, \"type\": \"module\"}\n",
    )?;
    process::run(
        Command::new("npm")
            .current_dir(folder)
            .args(["install", "--silent", "--no-audit", "--no-fund"])
            .args(NODE_TOOLS),
    )
}

fn python_client(folder: &Path, description: &Path, url: &str) -> Result<()> {
    let (bin, made) = (folder.join("venv/bin"), folder.join("python"));
    process::run(
        Command::new(bin.join("openapi-python-client"))
            .args(["generate", "--overwrite", "--meta", "none", "--path"])
            .arg(description)
            .arg("--output-path")
            .arg(made.join("hotdns_client")),
    )?;
    process::run(
        Command::new(bin.join("python"))
            .env("PYTHONPATH", &made)
            .arg(workspace::root().join("xtask/openapi/client.py"))
            .arg(url),
    )
}

fn typescript_client(folder: &Path, description: &Path, url: &str) -> Result<()> {
    let bin = folder.join("node_modules/.bin");
    let source = workspace::root().join("xtask/openapi/client.ts");
    fs::copy(&source, folder.join("client.ts")).with_context(|| format!("cannot copy {}", source.display()))?;
    process::run(
        Command::new(bin.join("openapi-typescript"))
            .current_dir(folder)
            .arg(description)
            .args(["--output", "schema.ts"]),
    )?;
    process::run(Command::new(bin.join("tsc")).current_dir(folder).args([
        "--strict",
        "--skipLibCheck",
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "client.ts",
    ]))?;
    process::run(Command::new("node").current_dir(folder).args(["client.js", url]))
}

fn schemathesis(folder: &Path, url: &str, examples: u32) -> Result<()> {
    process::run(
        Command::new(folder.join("venv/bin/schemathesis"))
            .current_dir(folder)
            .arg("run")
            .arg(format!("{url}/openapi.json"))
            // With more threads CPython 3.11's parser fails now and then, which schemathesis uses for its own code.
            .args(["--exclude-path-regex", LEFT_OUT, "--workers", "1", "--no-color"])
            // Names and values have rules that a schema does not say: what it allows may be refused.
            .args(["--exclude-checks", "positive_data_acceptance"])
            .args(["--max-examples", &examples.to_string()]),
    )
}

/// A server on loopback, in a folder of its own, that ends with this value.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(folder: &Path) -> Result<Self> {
        let storage = folder.join("storage");
        if storage.exists() {
            fs::remove_dir_all(&storage).with_context(|| format!("cannot remove {}", storage.display()))?;
        }
        let port = || -> Result<u16> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()) };
        let (dns, http) = (port()?, port()?);
        let text = format!(
            "dns_port: {dns}\nhttp_port: {http}\nlisten: [\"127.0.0.1\"]\nlog_level: warn\nxdp: {{mode: \"off\"}}\n\
             storage: {{path: {}}}\nhttp: {{listen: [\"127.0.0.1:{http}\"]}}\n",
            storage.display()
        );
        let file = folder.join("hotdns.yaml");
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let program = workspace::target().join("debug/hotdns");
        let child = Command::new(&program)
            .arg("run")
            .arg("--config")
            .arg(&file)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Self {
            child,
            url: format!("http://127.0.0.1:{http}"),
        };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", http)).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("hotdns ended at once: {status}");
            }
            if began.elapsed() > PATIENCE {
                bail!("hotdns does not listen on port {http} after {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and nothing is left to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
