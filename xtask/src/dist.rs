//! `cargo xtask dist`: what a release is made of, in `target/dist`.
//!
//! ```text
//! hotdns (release, stripped) ─┬─► hotdns-VERSION-ARCH.tar.gz
//! hotdns.debug ───────────────┤   hotdns-VERSION-ARCH.debug
//! man pages, completions ─────┼─► hotdns_VERSION_ARCH.deb, hotdns-VERSION-1.ARCH.rpm
//! deploy/, docs/ ─────────────┼─► container/, hotdns-VERSION-ARCH.oci.tar
//! Cargo.lock ─────────────────┴─► hotdns.cdx.json, SHA256SUMS (with a key: SHA256SUMS.sig, hotdns.signers)
//! ```

mod deb;
mod image;
mod rpm;
mod sbom;
mod signature;
pub(crate) mod trial;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{build, packages, process, workspace};

/// What a release is made from.
struct Parts {
    /// The program.
    program: PathBuf,
    /// Its symbols, where they are in a file of their own.
    symbols: Option<PathBuf>,
    /// Where everything is put.
    folder: PathBuf,
    version: &'static str,
    /// As Debian calls it: `amd64`.
    architecture: String,
}

/// What a release is made with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish<'a> {
    /// This program, instead of a release build.
    pub(crate) program: Option<&'a Path>,
    /// A program that needs no library: linked with musl.
    pub(crate) is_static: bool,
    /// A private key of OpenSSH, to sign the checksums with.
    pub(crate) sign_key: Option<&'a Path>,
}

/// Makes a release.
pub(crate) fn dist(wish: Wish<'_>) -> Result<()> {
    packages::set_up_tools(packages::NeededBy::Release)?;
    if wish.is_static {
        packages::set_up_tools(packages::NeededBy::Static)?;
    }
    let parts = Parts::gather(wish)?;
    let Parts {
        folder,
        version,
        architecture,
        ..
    } = &parts;
    let stem = match wish.is_static {
        true => format!("hotdns-{version}-{architecture}-musl"),
        false => format!("hotdns-{version}-{architecture}"),
    };
    if let Some(symbols) = &parts.symbols {
        copy(symbols, &folder.join(format!("{stem}.debug")), 0o644)?;
    }
    let tree = folder.join("tree");
    lay_out(&parts, &tree)?;
    deb::pack(&parts, &tree)?;
    rpm::pack(&parts, &tree)?;
    container(&parts, &tree)?;
    image::pack(&parts, &folder.join("container"))?;
    let archive = format!("{stem}.tar.gz");
    let options = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-czf"];
    process::run(
        Command::new("tar")
            .args(options)
            .arg(folder.join(archive))
            .arg("-C")
            .arg(&tree)
            .arg("."),
    )?;
    fs::remove_dir_all(&tree)?;
    fs::write(folder.join("hotdns.cdx.json"), sbom::of_lock_file(version)?)?;
    checksums(folder)?;
    if let Some(key) = wish.sign_key {
        signature::sign(folder, key)?;
    }
    for entry in files(folder)? {
        let bytes = entry.metadata()?.len();
        println!("{}: {bytes} bytes", workspace::shown(&entry));
    }
    Ok(())
}

impl Parts {
    fn gather(wish: Wish<'_>) -> Result<Self> {
        let built = match wish.program {
            Some(program) => program.to_owned(),
            None if wish.is_static => build::static_release()?,
            None => build::release()?,
        };
        let folder = workspace::target().join("dist");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(&folder)?;
        // One that was given may have its symbols still.
        let stripped = folder.join("hotdns");
        process::run(Command::new("strip").arg("-o").arg(&stripped).arg(&built))?;
        let symbols = built.with_file_name("hotdns.debug");
        let architecture = process::read(Command::new("dpkg").arg("--print-architecture"))?;
        Ok(Self {
            program: stripped,
            symbols: symbols.is_file().then_some(symbols),
            folder,
            version: env!("CARGO_PKG_VERSION"),
            architecture: architecture.trim().to_owned(),
        })
    }
}

/// The files as they are on a host, below `tree`.
fn lay_out(parts: &Parts, tree: &Path) -> Result<()> {
    let root = workspace::root();
    let deploy = root.join("deploy");
    copy(&parts.program, &tree.join("usr/bin/hotdns"), 0o755)?;
    copy(&deploy.join("hotdns.yaml"), &tree.join("etc/hotdns/hotdns.yaml"), 0o644)?;
    for (file, place) in [
        ("systemd/hotdns.service", "usr/lib/systemd/system/hotdns.service"),
        ("systemd/sysusers.conf", "usr/lib/sysusers.d/hotdns.conf"),
        ("systemd/tmpfiles.conf", "usr/lib/tmpfiles.d/hotdns.conf"),
    ] {
        copy(&deploy.join(file), &tree.join(place), 0o644)?;
    }
    let pages = tree.join("usr/share/man/man1");
    make_folder(&pages)?;
    process::run(Command::new(&parts.program).arg("man-pages").arg(&pages))?;
    process::read(Command::new("gzip").arg("-9n").args(files(&pages)?))?;
    for (shell, place) in [
        ("bash", "usr/share/bash-completion/completions/hotdns"),
        ("zsh", "usr/share/zsh/vendor-completions/_hotdns"),
        ("fish", "usr/share/fish/vendor_completions.d/hotdns.fish"),
    ] {
        let script = process::read(Command::new(&parts.program).args(["completions", shell]))?;
        write(&tree.join(place), &script, 0o644)?;
    }
    let documents = tree.join("usr/share/doc/hotdns");
    for page in files(&root.join("docs"))? {
        let name = page.file_name().context("a page has a name")?.to_owned();
        copy(&page, &documents.join(name), 0o644)?;
    }
    write(&documents.join("copyright"), COPYRIGHT, 0o644)
}

/// The licences, as Debian writes them down (`debian/copyright` version 1.0).
const COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: hotdns

Files: *
Copyright: 2026 the authors of hotdns
License: Apache-2.0 or MIT

License: Apache-2.0
 On Debian systems the text of this licence is in /usr/share/common-licenses/Apache-2.0.

License: MIT
 Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
 documentation files (the \"Software\"), to deal in the Software without restriction, including without limitation the
 rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
 persons to whom the Software is furnished to do so, subject to the following conditions:
 .
 The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
 Software.
 .
 THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
 WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
 COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
 OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
";

/// What `deploy/container/Containerfile` copies: the program, the libraries that it is linked with, and its folders.
fn container(parts: &Parts, tree: &Path) -> Result<()> {
    let root = parts.folder.join("container");
    copy(&tree.join("usr/bin/hotdns"), &root.join("usr/bin/hotdns"), 0o755)?;
    copy(
        &tree.join("etc/hotdns/hotdns.yaml"),
        &root.join("etc/hotdns/hotdns.yaml"),
        0o644,
    )?;
    make_folder(&root.join("var/lib/hotdns"))?;
    write(
        &root.join("etc/passwd"),
        "hotdns:x:53:53::/var/lib/hotdns:/nonexistent\n",
        0o644,
    )?;
    write(&root.join("etc/group"), "hotdns:x:53:\n", 0o644)?;
    // It fails on a static program, which needs no library.
    let libraries = process::read(Command::new("ldd").arg(&parts.program)).unwrap_or_default();
    for line in libraries.lines() {
        // `libc.so.6 => /lib/…/libc.so.6 (0x…)`, and the loader as a path alone.
        let Some(path) = line.split_whitespace().find(|word| word.starts_with('/')) else {
            continue;
        };
        copy(Path::new(path), &root.join(path.trim_start_matches('/')), 0o755)?;
    }
    Ok(())
}

fn checksums(folder: &Path) -> Result<()> {
    let names: Vec<_> = files(folder)?
        .iter()
        .filter_map(|file| Some(file.file_name()?.to_owned()))
        .collect();
    let sums = process::read(Command::new("sha256sum").args(names).current_dir(folder))?;
    Ok(fs::write(folder.join("SHA256SUMS"), sums)?)
}

/// The files of a folder itself, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    make_folder(to.parent().unwrap_or(Path::new("/")))?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(mode))?)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    make_folder(path.parent().unwrap_or(Path::new("/")))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}
