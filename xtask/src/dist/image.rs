//! The container image as an OCI layout (image specification 1.0) in one file, made without a builder or a registry:
//! `podman load`, `skopeo copy oci-archive:…` and `ctr image import` read it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Parts, make_folder, write};
use crate::process;

/// How often an image that starts is asked, and how long after another.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Packs `root`, what `deploy/container/Containerfile` copies, into `hotdns-VERSION-ARCH.oci.tar`.
pub(super) fn pack(parts: &Parts, root: &Path) -> Result<()> {
    let layout = parts.folder.join("oci");
    let blobs = layout.join("blobs/sha256");
    make_folder(&blobs)?;
    let layer = layout.join("layer.tar");
    let tar = |options: &[&str], owner: &str, what: &str| {
        let owner = [format!("--owner={owner}"), format!("--group={owner}")];
        let mut tar = Command::new("tar");
        tar.args(["--sort=name", "--numeric-owner", "--mtime=@0"])
            .args(owner)
            .args(options);
        process::run(tar.arg("-f").arg(&layer).arg("-C").arg(root).arg(what))
    };
    tar(&["--create", "--exclude=./var/lib/hotdns"], "0", ".")?;
    // The folder of the database is the user's.
    tar(&["--append"], "53", "./var/lib/hotdns")?;
    let content = digest(&layer)?;
    process::run(Command::new("gzip").arg("-9n").arg(&layer))?;
    let layer = keep(&layout.join("layer.tar.gz"), &blobs, LAYER)?;
    let architecture = parts.architecture.as_str();
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": "53:53",
            "ExposedPorts": {"53/udp": {}, "53/tcp": {}, "8080/tcp": {}},
            "Entrypoint": ["/usr/bin/hotdns"],
            "Cmd": ["run"],
            "Volumes": {"/var/lib/hotdns": {}},
            "Labels": {"org.opencontainers.image.version": parts.version},
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{content}")]},
    });
    let config = put(&config, &layout, &blobs, CONFIG)?;
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    let mut manifest = put(&manifest, &layout, &blobs, MANIFEST)?;
    manifest["platform"] = json!({"architecture": architecture, "os": "linux"});
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": format!("hotdns:{}", parts.version)});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    write(&layout.join("index.json"), &index.to_string(), 0o644)?;
    write(&layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    let name = format!("hotdns-{}-{architecture}.oci.tar", parts.version);
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--mtime=@0", "-cf"]);
    tar.arg(parts.folder.join(name)).arg("-C").arg(&layout);
    process::run(tar.args(["blobs", "index.json", "oci-layout"]))?;
    Ok(fs::remove_dir_all(layout)?)
}

/// Unpacks the root file system of such a file, as a runtime does: by what its index, manifest and layer say.
fn unpack(file: &Path, to: &Path) -> Result<()> {
    let layout = to.with_extension("layout");
    make_folder(&layout)?;
    process::run(Command::new("tar").arg("-xf").arg(file).arg("-C").arg(&layout))?;
    let read = |path: &Path| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
    let blob = |described: &Value| -> Result<PathBuf> {
        let digest = described["digest"]
            .as_str()
            .and_then(|digest| digest.strip_prefix("sha256:"));
        let path = layout.join("blobs/sha256").join(digest.context("no digest")?);
        anyhow::ensure!(
            digest == Some(self::digest(&path)?.as_str()),
            "{} is another",
            path.display()
        );
        Ok(path)
    };
    let index = read(&layout.join("index.json"))?;
    let manifest = read(&blob(&index["manifests"][0])?)?;
    read(&blob(&manifest["config"])?)?;
    make_folder(to)?;
    let layer = blob(&manifest["layers"][0])?;
    process::run(
        Command::new("tar")
            .args(["-xzpf"])
            .arg(layer)
            .arg("--numeric-owner")
            .arg("-C")
            .arg(to),
    )?;
    Ok(fs::remove_dir_all(layout)?)
}

/// Runs the image as its user, without privileges, on a port of its own, and asks it.
pub(super) fn try_out(file: &Path, root: &Path) -> Result<()> {
    if root.exists() {
        fs::remove_dir_all(root)?;
    }
    unpack(file, root)?;
    let mut run = Command::new("chroot");
    run.arg("--userspec=53:53").arg(root).arg("/usr/bin/hotdns");
    run.arg("run");
    run.args(["--listen", "127.0.0.1:5391", "--http", "127.0.0.1:5392", "--xdp", "off"]);
    let mut server = run.spawn().context("cannot start the image's program")?;
    let question = [
        "@127.0.0.1",
        "-p",
        "5391",
        "+tries=1",
        "+time=1",
        "version.bind",
        "CH",
        "TXT",
    ];
    let ask = || process::read(Command::new("dig").args(question));
    // It starts; a port that nobody has yet refuses at once.
    let mut answered = ask();
    for _ in 0..TRIES {
        if answered.is_ok() {
            break;
        }
        thread::sleep(PAUSE);
        answered = ask();
    }
    server.kill()?;
    server.wait()?;
    fs::remove_dir_all(root)?;
    answered.map(drop)
}

fn put(value: &Value, layout: &Path, blobs: &Path, kind: &str) -> Result<Value> {
    let file = layout.join("blob");
    write(&file, &value.to_string(), 0o644)?;
    keep(&file, blobs, kind)
}

/// Moves a file among the blobs, and describes it.
fn keep(file: &Path, blobs: &Path, kind: &str) -> Result<Value> {
    let (digest, bytes) = (digest(file)?, file.metadata()?.len());
    fs::rename(file, blobs.join(&digest))?;
    Ok(json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes}))
}

fn digest(file: &Path) -> Result<String> {
    let line = process::read(Command::new("sha256sum").arg(file))?;
    let digest = line.split_whitespace().next().context("sha256sum says nothing")?;
    Ok(digest.to_owned())
}
