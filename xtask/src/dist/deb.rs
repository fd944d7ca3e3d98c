//! The Debian package, made with `dpkg-deb` from the files as they are on a host.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Parts, write};
use crate::process;

/// Makes the user and the folders, and starts the service; a port that is taken is no reason to fail the installation.
const AFTER_INSTALL: &str = "\
#!/bin/sh
set -e
if [ \"$1\" = configure ]; then
    if command -v systemd-sysusers >/dev/null; then systemd-sysusers hotdns.conf; fi
    if ! getent passwd hotdns >/dev/null; then
        useradd --system --no-create-home --home-dir /var/lib/hotdns --shell /usr/sbin/nologin hotdns
    fi
    mkdir -p /etc/hotdns/zones
    install -d -m 0700 -o hotdns -g hotdns /var/lib/hotdns
fi
deb-systemd-helper unmask hotdns.service >/dev/null || true
if deb-systemd-helper --quiet was-enabled hotdns.service; then
    deb-systemd-helper enable hotdns.service >/dev/null || true
else
    deb-systemd-helper update-state hotdns.service >/dev/null || true
fi
if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
    deb-systemd-invoke restart hotdns.service || echo 'hotdns does not start: `hotdns doctor` says why' >&2
fi
";

const BEFORE_REMOVAL: &str = "\
#!/bin/sh
set -e
if [ \"$1\" = remove ] && [ -d /run/systemd/system ]; then deb-systemd-invoke stop hotdns.service || true; fi
";

/// Purging takes the records and the user too.
const AFTER_REMOVAL: &str = "\
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
if [ \"$1\" = purge ]; then
    deb-systemd-helper purge hotdns.service >/dev/null || true
    rm -rf /var/lib/hotdns /etc/hotdns
    if getent passwd hotdns >/dev/null; then userdel hotdns || true; fi
    if getent group hotdns >/dev/null; then groupdel hotdns || true; fi
fi
";

/// Packs `tree` into `hotdns_VERSION_ARCH.deb`.
pub(super) fn pack(parts: &Parts, tree: &Path) -> Result<()> {
    let root = parts.folder.join("deb");
    process::run(Command::new("cp").arg("-a").arg(tree).arg(&root))?;
    let documents = root.join("usr/share/doc/hotdns");
    fs::rename(documents.join("CHANGELOG.md"), documents.join("changelog"))?;
    write(&documents.join("changelog.Debian"), &changelog(parts)?, 0o644)?;
    let both = ["changelog", "changelog.Debian"].map(|name| documents.join(name));
    process::read(Command::new("gzip").arg("-9n").args(both))?;
    let control = root.join("DEBIAN");
    write(&control.join("control"), &description(parts, &root)?, 0o644)?;
    write(&control.join("conffiles"), "/etc/hotdns/hotdns.yaml\n", 0o644)?;
    for (script, text) in [
        ("postinst", AFTER_INSTALL),
        ("prerm", BEFORE_REMOVAL),
        ("postrm", AFTER_REMOVAL),
    ] {
        write(&control.join(script), text, 0o755)?;
    }
    write(&control.join("md5sums"), &sums(&root)?, 0o644)?;
    let file = parts
        .folder
        .join(format!("hotdns_{}-1_{}.deb", parts.version, parts.architecture));
    process::run(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .arg(&root)
            .arg(file),
    )?;
    Ok(fs::remove_dir_all(root)?)
}

/// What Debian's tools read; what changed is in the changelog beside it.
fn changelog(parts: &Parts) -> Result<String> {
    let date = process::read(Command::new("date").arg("-R"))?;
    Ok(format!(
        "hotdns ({}-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- hotdns <hotdns@localhost>  {}\n",
        parts.version,
        date.trim()
    ))
}

fn description(parts: &Parts, root: &Path) -> Result<String> {
    let size = process::read(Command::new("du").args(["-sk", "--apparent-size"]).arg(root))?;
    let size = size.split_whitespace().next().context("du says no size")?.to_owned();
    // A static program names no symbols.
    let symbols = process::read(Command::new("objdump").arg("-T").arg(&parts.program)).unwrap_or_default();
    let depends = match symbols.contains("GLIBC_") {
        true => format!("Depends: libc6 (>= {}), libgcc-s1\n", newest_glibc(&symbols)),
        false => String::new(),
    };
    Ok(format!(
        "Package: hotdns\nVersion: {}-1\nArchitecture: {}\nMaintainer: hotdns <hotdns@localhost>\n\
         Installed-Size: {size}\n\
         {depends}Suggests: bind9-dnsutils, git\nSection: net\nPriority: optional\n\
         Provides: dns-server\nDescription: DNS server that answers at the network card\n\
         \x20hotdns serves zones and single records. Names that are asked for often are\n\
         \x20answered by an XDP program, before the kernel's network stack; all else by a\n\
         \x20server in userspace. Records are changed in files, over HTTP, or with the\n\
         \x20command hotdns.\n",
        parts.version, parts.architecture
    ))
}

/// The newest version of glibc whose symbols a program wants.
fn newest_glibc(symbols: &str) -> String {
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let version = rest
            .split(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .next()?;
        let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
        Some((parts.next()??, parts.next()??))
    });
    let (major, minor) = versions.max().unwrap_or((2, 31));
    format!("{major}.{minor}")
}

fn sums(root: &Path) -> Result<String> {
    let script = "find . -path ./DEBIAN -prune -o -type f -printf '%P\\0' | sort -z | xargs -0 md5sum";
    process::read(Command::new("sh").args(["-c", script]).current_dir(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_symbol_decides() {
        let symbols = "0 DF *UND* 0 (GLIBC_2.2.5) read\n0 DF *UND* 0 (GLIBC_2.34) dlsym\n0 DF *UND* (GLIBC_2.4) x\n";
        assert_eq!(newest_glibc(symbols), "2.34");
    }
}
