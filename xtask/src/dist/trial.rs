//! `cargo xtask test --package`: the Debian package in a clean Debian: checked by lintian, installed, started, asked,
//! upgraded, removed and purged, and nothing of it left. The other package with `rpm` in a root of its own, the image
//! unpacked and run as its user, and the signature.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::files;
use crate::{packages, process, workspace};

/// What lintian does not say: the project has no mail address of its own yet, and no bug in Debian's own tracker.
const SUPPRESSED: &str = "bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs";

/// The steps within the booted system, as root there. Each line that begins with `ok` was reached.
const STEPS: &str = r#"
set -eu
export DEBIAN_FRONTEND=noninteractive
began=$(date +%s%N)
# A step that was reached, with the time since the beginning.
ok() {
    echo "took $(( ($(date +%s%N) - began) / 1000000 )) ms until $1"
    echo "ok $1"
}
ask() {
    dig @127.0.0.1 +short +time=5 +tries=1 "$@"
}
ready() {
    for _ in $(seq 100); do hotdns status >/dev/null 2>&1 && return; sleep 0.1; done
    systemctl status --no-pager hotdns
    journalctl --no-pager -u hotdns
    return 1
}
dpkg -i /hotdns.deb
test "$(stat -c %U:%a /var/lib/hotdns)" = hotdns:700
test -f /usr/share/man/man1/hotdns-record.1.gz
hotdns --version
hotdns check --config /etc/hotdns/hotdns.yaml
ready
systemctl is-enabled hotdns
hotdns status
hotdns doctor --config /etc/hotdns/hotdns.yaml
ok installed
hotdns init --yes --overwrite --listen 127.0.0.1 --zone first.example --address 127.0.0.1
hotdns check --config /etc/hotdns/hotdns.yaml
systemctl restart hotdns
ready
test -n "$(ask first.example SOA)"
ok answered
hotdns record set first.example.net A 192.0.2.1
test "$(ask first.example.net A)" = 192.0.2.1
echo 'chaos: {id: reloaded}' >>/etc/hotdns/hotdns.yaml
systemctl reload hotdns || { journalctl --no-pager -u hotdns; exit 1; }
for _ in $(seq 50); do ask id.server CH TXT | grep -q reloaded && break; sleep 0.1; done
ask id.server CH TXT | grep -q reloaded
systemctl restart hotdns
ready
hotdns record get first.example.net A --output json | grep -q 192.0.2.1
pid=$(systemctl show -p MainPID --value hotdns)
test "$(stat -c %U /proc/$pid)" = hotdns
grep -q 'NoNewPrivs:[[:space:]]*1' /proc/$pid/status
ok served
echo '# changed by the administrator' >>/etc/hotdns/hotdns.yaml
dpkg -i --force-confold /hotdns.deb
grep -q administrator /etc/hotdns/hotdns.yaml
ready
hotdns record get first.example.net A
ok upgraded
dpkg -r hotdns
test ! -e /usr/bin/hotdns
test ! -e /proc/$pid
test -f /etc/hotdns/hotdns.yaml
ok removed
dpkg -P hotdns
test ! -e /etc/hotdns
test ! -e /var/lib/hotdns
test ! -e /etc/systemd/system/multi-user.target.wants/hotdns.service
! getent passwd hotdns
ok purged
"#;

/// Runs the steps once the system is up, and switches it off.
const SERVICE: &str = "\
[Unit]
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/bin/sh /steps
ExecStopPost=/bin/systemctl --no-block poweroff
StandardOutput=file:/trial.log
StandardError=inherit
TimeoutStartSec=120
";

/// Tries the package in `target/dist`, which is made first where there is none or `program` is given.
pub(crate) fn try_package(program: Option<&Path>) -> Result<()> {
    packages::set_up_tools(packages::NeededBy::Package)?;
    super::dist(super::Wish {
        program,
        ..super::Wish::default()
    })?;
    let package = found(".deb")?;
    process::run(
        Command::new("lintian")
            .args(["--fail-on", "error,warning", "--suppress-tags", SUPPRESSED])
            .arg(&package),
    )?;
    // What the container file copies is all that the program needs.
    let container = workspace::target().join("dist/container");
    let check = ["/usr/bin/hotdns", "check", "--config", "/etc/hotdns/hotdns.yaml"];
    process::run(Command::new("chroot").arg(&container).args(check))?;
    super::image::try_out(&found("oci.tar")?, &workspace::target().join("image-trial"))?;
    super::signature::try_out(&workspace::target().join("dist"))?;
    let root = workspace::target().join("package-trial");
    if root.exists() {
        process::run(Command::new("rm").arg("-rf").arg(&root))?;
    }
    let include = "--include=systemd,systemd-sysv,dbus,libgcc-s1,bind9-dnsutils";
    process::run(
        Command::new("mmdebstrap")
            .args(["--variant=minbase", include, "bookworm"])
            .arg(&root),
    )?;
    let outcome = steps(&root, &package).and_then(|()| super::rpm::try_out(&found(".rpm")?, &root));
    process::run(Command::new("rm").arg("-rf").arg(&root))?;
    outcome
}

/// Boots the system with a network of its own, where port 53 is free.
fn steps(root: &Path, package: &Path) -> Result<()> {
    fs::copy(package, root.join("hotdns.deb"))?;
    fs::write(root.join("steps"), STEPS)?;
    let units = root.join("etc/systemd/system");
    fs::write(units.join("trial.service"), SERVICE)?;
    let wanted = units.join("multi-user.target.wants");
    fs::create_dir_all(&wanted)?;
    std::os::unix::fs::symlink("/etc/systemd/system/trial.service", wanted.join("trial.service"))?;
    let options = [
        "-q",
        "--boot",
        "--private-network",
        "--register=no",
        "--keep-unit",
        "-D",
    ];
    let output = Command::new("systemd-nspawn").args(options).arg(root).output();
    let output = output.context("cannot start systemd-nspawn")?;
    let said = fs::read_to_string(root.join("trial.log")).unwrap_or_default();
    print!("{said}");
    for step in ["installed", "answered", "served", "upgraded", "removed", "purged"] {
        if !said.lines().any(|line| line == format!("ok {step}")) {
            let boot = String::from_utf8_lossy(&output.stdout);
            bail!("the trial did not get as far as `{step}`; the system said:\n{boot}");
        }
    }
    Ok(())
}

/// The file of `target/dist` whose name ends so.
fn found(end: &str) -> Result<PathBuf> {
    let mut all = files(&workspace::target().join("dist"))?.into_iter();
    let found = all.find(|file| file.to_string_lossy().ends_with(end));
    found.with_context(|| format!("target/dist has no file that ends with {end}"))
}
