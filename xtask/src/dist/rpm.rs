//! The package for Fedora, RHEL, openSUSE and their like, made with `rpmbuild` from the files as they are on a host.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Parts, files, write};
use crate::process;

/// Everything of the package but its name and its files. `$1` is how many versions there are once the script is done.
const SPEC: &str = r#"
Release: 1
Summary: DNS server that answers at the network card
License: Apache-2.0 OR MIT
Group: System Environment/Daemons

%description
hotdns serves zones and single records. Names that are asked for often are
answered by an XDP program, before the kernel's network stack; all else by a
server in userspace. Records are changed in files, over HTTP, or with the
command hotdns.

%pre
if ! getent passwd hotdns >/dev/null; then
    useradd --system --user-group --no-create-home --home-dir /var/lib/hotdns --shell /sbin/nologin hotdns
fi

%post
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -eq 1 ]; then systemctl preset hotdns.service || :; fi
fi

%preun
if [ "$1" -eq 0 ] && [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now hotdns.service || :
fi

%postun
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -ge 1 ]; then systemctl try-restart hotdns.service || :; fi
fi
"#;

/// Which files there are, and whose they are.
const FILES: &str = "
%files
%attr(0755,root,root) /usr/bin/hotdns
%dir /etc/hotdns
%dir /etc/hotdns/zones
%config(noreplace) /etc/hotdns/hotdns.yaml
/usr/lib/systemd/system/hotdns.service
/usr/lib/sysusers.d/hotdns.conf
/usr/lib/tmpfiles.d/hotdns.conf
/usr/share/man/man1/*
/usr/share/bash-completion/completions/hotdns
/usr/share/zsh/site-functions/_hotdns
/usr/share/fish/vendor_completions.d/hotdns.fish
%doc /usr/share/doc/hotdns
%dir %attr(0700,hotdns,hotdns) /var/lib/hotdns
";

/// What `rpmbuild` would do to files besides: they are as they are to be.
const DEFINITIONS: &[&str] = &[
    "_build_id_links none",
    "debug_package %{nil}",
    "__os_install_post %{nil}",
    // Old and new ones read it.
    "_binary_payload w9.gzdio",
    "_buildhost localhost",
];

/// Packs `tree` into `hotdns-VERSION-1.ARCH.rpm`.
pub(super) fn pack(parts: &Parts, tree: &Path) -> Result<()> {
    let work = parts.folder.join("rpm");
    let root = work.join("root");
    fs::create_dir_all(&work)?;
    process::run(Command::new("cp").arg("-a").arg(tree).arg(&root))?;
    for folder in ["etc/hotdns/zones", "var/lib/hotdns", "usr/share/zsh/site-functions"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let zsh = root.join("usr/share/zsh");
    fs::rename(
        zsh.join("vendor-completions/_hotdns"),
        zsh.join("site-functions/_hotdns"),
    )?;
    fs::remove_dir(zsh.join("vendor-completions"))?;
    let spec = format!(
        "Name: hotdns\nVersion: {}{SPEC}\n%install\ncp -a {}/. %{{buildroot}}\n{FILES}",
        parts.version,
        root.display()
    );
    let recipe = work.join("hotdns.spec");
    write(&recipe, &spec, 0o644)?;
    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--quiet", "--target", std::env::consts::ARCH]);
    let top = format!("_topdir {}", work.join("top").display());
    for definition in DEFINITIONS.iter().copied().chain([top.as_str()]) {
        build.args(["--define", definition]);
    }
    process::run(build.arg(&recipe))?;
    let made = work.join("top/RPMS").join(std::env::consts::ARCH);
    let package = files(&made)?.into_iter().next().context("rpmbuild made no package")?;
    let name = package.file_name().context("a package has a name")?.to_owned();
    fs::rename(&package, parts.folder.join(name))?;
    Ok(fs::remove_dir_all(work)?)
}

/// Installs the package in a root that has no rpm of its own, looks whether all is as it was packed, installs it again
/// and removes it.
pub(super) fn try_out(package: &Path, root: &Path) -> Result<()> {
    process::run(Command::new("rpm").args(["--checksig", "--nosignature"]).arg(package))?;
    let listed = process::read(Command::new("rpm").arg("-qpl").arg(package))?;
    for path in [
        "/usr/bin/hotdns",
        "/etc/hotdns/hotdns.yaml",
        "/usr/lib/systemd/system/hotdns.service",
    ] {
        anyhow::ensure!(listed.lines().any(|line| line == path), "{path} is not in the package");
    }
    let rpm = |arguments: &[&str]| {
        let mut rpm = Command::new("rpm");
        // What it needs is there, as Debian's packages, which rpm does not know.
        rpm.args(["--force-debian", "--nodeps", "--root"])
            .arg(root)
            .args(arguments);
        rpm
    };
    process::run(rpm(&["--install"]).arg(package))?;
    process::run(Command::new("chroot").arg(root).args(["/usr/bin/hotdns", "--version"]))?;
    let owner = process::read(
        Command::new("chroot")
            .arg(root)
            .args(["stat", "-c", "%U:%a", "/var/lib/hotdns"]),
    )?;
    anyhow::ensure!(owner.trim() == "hotdns:700", "the folder of the database is {owner}");
    process::run(&mut rpm(&["--verify", "hotdns"]))?;
    fs::write(root.join("etc/hotdns/hotdns.yaml"), "listen: [\"127.0.0.1\"]\n")?;
    process::run(rpm(&["--upgrade", "--replacepkgs"]).arg(package))?;
    let kept = fs::read_to_string(root.join("etc/hotdns/hotdns.yaml"))?;
    anyhow::ensure!(
        kept.lines().count() == 1,
        "the administrator's configuration was replaced"
    );
    process::run(&mut rpm(&["--erase", "hotdns"]))?;
    anyhow::ensure!(!root.join("usr/bin/hotdns").exists(), "the program is there still");
    Ok(())
}
