//! `cargo xtask test --package`: what a person does with the Debian package, in a clean Debian that is booted:
//! installed, looked at by `doctor`, configured by `init`, asked, over sockets and by XDP, watched by Debian's
//! Prometheus, upgraded, removed and purged, and nothing of it left. Before that lintian reads it. The other package
//! with `rpm` in a root of its own, the image unpacked and run as its user, and the signature.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

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
failed() {
    echo "$1"
    systemctl status --no-pager hotdns
    journalctl --no-pager -u hotdns
    exit 1
}
ready() {
    for _ in $(seq 100); do hotdns status >/dev/null 2>&1 && return; sleep 0.1; done
    failed 'it is not ready'
}
restart() {
    systemctl restart hotdns || failed 'it does not start'
    ready
}
# All files of this system, but for those that every program leaves: logs, caches, what dpkg notes down.
all() {
    find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log -o -path /var/cache \
        -o -path /var/tmp -o -path /var/lib/dpkg -o -path /var/lib/prometheus -o -path /var/lib/systemd/timers \
        -o -path /trial.log \) -prune -o -print | sort
}
cp /prometheus.yml /alerts.yaml /etc/prometheus/
promtool check config /etc/prometheus/prometheus.yml
all >/var/tmp/before
dpkg -i /hotdns.deb
test "$(stat -c %U:%a /var/lib/hotdns)" = hotdns:700
test -f /usr/share/man/man1/hotdns-record.1.gz
hotdns --version
hotdns check --config /etc/hotdns/hotdns.yaml
ready
systemctl is-enabled hotdns
hotdns status
systemd-analyze security --no-pager --threshold=30 hotdns | tail -n 1
ok installed
hotdns doctor --config /etc/hotdns/hotdns.yaml
ok looked-at
# HTTP on all addresses gets a token, which the service must be able to read.
hotdns init --yes --overwrite --listen 127.0.0.1 --interface lo --zone first.example --address 127.0.0.1 \
    --http 0.0.0.0:8080
hotdns check --config /etc/hotdns/hotdns.yaml
restart
test -n "$(ask first.example SOA)"
ok answered
hotdns record set first.example.net A 192.0.2.1
test "$(ask first.example.net A)" = 192.0.2.1
ok recorded
# The program in the kernel, with the rights that the unit gives.
counted() {
    curl -s http://127.0.0.1:8080/metrics | grep -q "$1"
}
for _ in $(seq 50); do
    ask first.example SOA >/dev/null
    counted '^hotdns_xdp_answers_total [1-9]' && break
    sleep 0.1
done
counted '^hotdns_xdp_answers_total [1-9]' || failed 'XDP answers nothing'
ok answered-by-xdp
systemctl restart prometheus
# Each expression of the dashboard is asked until it has data.
cp /expressions /var/tmp/without
for _ in $(seq 60); do
    ask first.example SOA >/dev/null
    ask first.example SOA +tcp >/dev/null
    while read -r expression; do
        said=$(promtool query instant http://127.0.0.1:9090 "$expression" 2>/dev/null) || said=
        test -n "$said" || echo "$expression"
    done </var/tmp/without >/var/tmp/still
    mv /var/tmp/still /var/tmp/without
    test -s /var/tmp/without || break
    sleep 0.5
done
test ! -s /var/tmp/without || { echo 'no data:'; cat /var/tmp/without; exit 1; }
echo "$(wc -l </expressions) expressions of the dashboard have data"
ok watched
echo 'chaos: {id: reloaded}' >>/etc/hotdns/hotdns.yaml
systemctl reload hotdns || { journalctl --no-pager -u hotdns; exit 1; }
for _ in $(seq 50); do ask id.server CH TXT | grep -q reloaded && break; sleep 0.1; done
ask id.server CH TXT | grep -q reloaded
restart
hotdns record get first.example.net A --output json | grep -q 192.0.2.1
pid=$(systemctl show -p MainPID --value hotdns)
test "$(stat -c %U /proc/$pid)" = hotdns
grep -q 'NoNewPrivs:[[:space:]]*1' /proc/$pid/status
ok served
echo '# changed by the administrator' >>/etc/hotdns/hotdns.yaml
# A newer version, whose own configuration differs too.
dpkg -i --force-confold /hotdns-newer.deb
dpkg-query -W -f '${Version}\n' hotdns | grep -q newer
grep -q administrator /etc/hotdns/hotdns.yaml
ready
test "$(stat -c %U /proc/$(systemctl show -p MainPID --value hotdns))" = hotdns
test ! -e /proc/$pid
pid=$(systemctl show -p MainPID --value hotdns)
hotdns record get first.example.net A
test "$(ask first.example.net A)" = 192.0.2.1
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
if getent passwd hotdns || getent group hotdns; then echo 'the user is there still'; exit 1; fi
ip link show lo >/var/tmp/link
if grep xdp /var/tmp/link; then echo 'XDP is there still'; exit 1; fi
all >/var/tmp/after
diff /var/tmp/before /var/tmp/after
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
TimeoutStartSec=300
";

/// What the steps reach, in order.
const REACHED: [&str; 10] = [
    "installed",
    "looked-at",
    "answered",
    "recorded",
    "answered-by-xdp",
    "watched",
    "served",
    "upgraded",
    "removed",
    "purged",
];

/// Where Debian's Prometheus finds the server, and the alerts.
const PROMETHEUS: &str = "\
global: {scrape_interval: 1s}
rule_files: [alerts.yaml]
scrape_configs:
  - job_name: hotdns
    static_configs: [{targets: ['127.0.0.1:8080']}]
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
    let include = "--include=systemd,systemd-sysv,dbus,libgcc-s1,bind9-dnsutils,curl,iproute2,prometheus";
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
    newer(package, &root.join("hotdns-newer.deb"))?;
    fs::write(root.join("steps"), STEPS)?;
    fs::write(root.join("prometheus.yml"), PROMETHEUS)?;
    let deploy = workspace::root().join("deploy/prometheus");
    fs::copy(deploy.join("alerts.yaml"), root.join("alerts.yaml"))?;
    let expressions = expressions(&fs::read_to_string(deploy.join("dashboard.json"))?)?;
    fs::write(root.join("expressions"), expressions.join("\n") + "\n")?;
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
        // What a machine of one's own has, and a container has not: XDP.
        "--capability=CAP_NET_ADMIN,CAP_BPF,CAP_PERFMON",
        "--system-call-filter=bpf perf_event_open",
        "-D",
    ];
    let output = Command::new("systemd-nspawn").args(options).arg(root).output();
    let output = output.context("cannot start systemd-nspawn")?;
    let said = fs::read_to_string(root.join("trial.log")).unwrap_or_default();
    print!("{said}");
    for step in REACHED {
        if !said.lines().any(|line| line == format!("ok {step}")) {
            let boot = String::from_utf8_lossy(&output.stdout);
            bail!("the trial did not get as far as `{step}`; the system said:\n{boot}");
        }
    }
    Ok(())
}

/// The same package as a later version, whose configuration has one more line.
fn newer(package: &Path, to: &Path) -> Result<()> {
    let folder = workspace::target().join("package-newer");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    process::run(Command::new("dpkg-deb").arg("-R").arg(package).arg(&folder))?;
    let edit = |file: &str, edit: &dyn Fn(String) -> String| -> Result<()> {
        let file = folder.join(file);
        Ok(fs::write(&file, edit(fs::read_to_string(&file)?))?)
    };
    let later = |line: &str| match line.strip_prefix("Version: ") {
        Some(version) => format!("Version: {version}+newer\n"),
        None => format!("{line}\n"),
    };
    edit("DEBIAN/control", &|text| text.lines().map(later).collect())?;
    edit("etc/hotdns/hotdns.yaml", &|text| {
        text + "# A comment of the newer version.\n"
    })?;
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "--build"]).arg(&folder).arg(to);
    process::run(&mut build)?;
    Ok(fs::remove_dir_all(folder)?)
}

/// Every expression of the Grafana dashboard, each once and in one line, for all instances and a short time.
fn expressions(dashboard: &str) -> Result<Vec<String>> {
    let dashboard: Value = serde_json::from_str(dashboard)?;
    let panels = dashboard["panels"].as_array().context("the dashboard has no panels")?;
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut all: Vec<String> = targets
        .filter_map(|target| target["expr"].as_str())
        .map(|text| text.replace("$instance", ".*").replace("$__rate_interval", "10s"))
        .collect();
    all.sort();
    all.dedup();
    anyhow::ensure!(
        all.len() >= panels.len(),
        "{} expressions of {} panels",
        all.len(),
        panels.len()
    );
    Ok(all)
}

/// The file of `target/dist` whose name ends so.
fn found(end: &str) -> Result<PathBuf> {
    let mut all = files(&workspace::target().join("dist"))?.into_iter();
    let found = all.find(|file| file.to_string_lossy().ends_with(end));
    found.with_context(|| format!("target/dist has no file that ends with {end}"))
}
