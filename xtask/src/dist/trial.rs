//! `cargo xtask test --package`: the Debian package in a clean Debian: checked by lintian, installed, started, asked,
//! upgraded, removed and purged, and nothing of it left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::files;
use crate::{packages, process, workspace};

/// What lintian does not say: the project has no mail address of its own yet, and no bug in Debian's own tracker.
const SUPPRESSED: &str = "bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs";

/// The steps within the clean system, as root there. Each line that begins with `ok` was reached.
const STEPS: &str = r#"
set -eu
export DEBIAN_FRONTEND=noninteractive
dpkg -i /hotdns.deb
test "$(stat -c %U:%a /var/lib/hotdns)" = hotdns:700
getent passwd hotdns >/dev/null
test -f /usr/share/man/man1/hotdns-record.1.gz
hotdns --version
hotdns check --config /etc/hotdns/hotdns.yaml
echo ok installed
setpriv --reuid hotdns --regid hotdns --init-groups --inh-caps=+net_bind_service --ambient-caps=+net_bind_service \
    hotdns run --config /etc/hotdns/hotdns.yaml >/tmp/log 2>&1 &
server=$!
for _ in $(seq 100); do grep -q ': ready ' /tmp/log && break; sleep 0.1; done
grep -q ': ready ' /tmp/log || { cat /tmp/log; exit 1; }
hotdns status
hotdns record set first.example.net A 192.0.2.1
hotdns record get first.example.net A --output json | grep -q 192.0.2.1
hotdns doctor || true
kill $server
wait $server
echo ok served
echo '# changed by the administrator' >>/etc/hotdns/hotdns.yaml
dpkg -i --force-confold /hotdns.deb
grep -q administrator /etc/hotdns/hotdns.yaml
test -f /var/lib/hotdns/hotdns.db || ls /var/lib/hotdns
echo ok upgraded
dpkg -r hotdns
test ! -e /usr/bin/hotdns
test -f /etc/hotdns/hotdns.yaml
echo ok removed
dpkg -P hotdns
test ! -e /etc/hotdns
test ! -e /var/lib/hotdns
! getent passwd hotdns
echo ok purged
"#;

/// Tries the package in `target/dist`, which is made first where there is none or `program` is given.
pub(crate) fn try_package(program: Option<&Path>) -> Result<()> {
    packages::set_up_tools(packages::NeededBy::Package)?;
    super::dist(program)?;
    let package = package()?;
    process::run(
        Command::new("lintian")
            .args(["--fail-on", "error,warning", "--suppress-tags", SUPPRESSED])
            .arg(&package),
    )?;
    let root = workspace::target().join("package-trial");
    if root.exists() {
        process::run(Command::new("rm").arg("-rf").arg(&root))?;
    }
    let include = "--include=libcap2-bin,systemd,libgcc-s1";
    let make = ["--variant=minbase", include, "bookworm"];
    process::run(Command::new("mmdebstrap").args(make).arg(&root))?;
    let outcome = steps(&root, &package);
    process::run(Command::new("rm").arg("-rf").arg(&root))?;
    outcome
}

fn steps(root: &Path, package: &Path) -> Result<()> {
    fs::copy(package, root.join("hotdns.deb"))?;
    fs::write(root.join("steps"), STEPS)?;
    // A network of its own, where port 53 is free.
    let mut command = Command::new("unshare");
    let proc = format!("--mount-proc={}", root.join("proc").display());
    let enter = format!("ip link set lo up; exec chroot {} /bin/sh /steps", root.display());
    command.args(["--net", "--pid", "--fork", "--kill-child", &proc, "sh", "-c", &enter]);
    let output = command.output().context("cannot start unshare")?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    if !output.status.success() {
        bail!(
            "the package's trial fails: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    for step in ["installed", "served", "upgraded", "removed", "purged"] {
        ensure!(
            said.contains(&format!("ok {step}")),
            "the trial did not get as far as `{step}`"
        );
    }
    Ok(())
}

fn package() -> Result<PathBuf> {
    let found = files(&workspace::target().join("dist"))?;
    let package = found
        .into_iter()
        .find(|file| file.extension().is_some_and(|extension| extension == "deb"));
    package.context("target/dist has no package")
}
