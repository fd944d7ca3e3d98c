//! What is in `deploy/`, read by the programs that it is for. A program that is not here is said, and its files are
//! left out; with `CI` set that is a failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tests::documents::root;
use tests::server::program;

fn deploy(file: &str) -> PathBuf {
    root().join("deploy").join(file)
}

/// Whether a program is here.
fn is_here(program: &str) -> Result<bool> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    if folders.map(|folder| folder.join(program)).any(|file| file.is_file()) {
        return Ok(true);
    }
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    ensure!(!is_ci, "{program} is not here, and with CI set nothing is left out");
    eprintln!("left out: {program} is not here");
    Ok(false)
}

/// Runs a program that must succeed, and gives all that it says.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let said = [&output.stdout[..], &output.stderr[..]]
        .map(String::from_utf8_lossy)
        .concat();
    ensure!(output.status.success(), "{command:?}: {}: {said}", output.status);
    Ok(said)
}

fn check(config: &Path) -> Result<String> {
    run(Command::new(program()?).args(["check", "--config"]).arg(config))
}

#[test]
fn configurations_are_valid() -> Result<()> {
    for file in [
        "hotdns.yaml",
        "compose/nginx-hotdns.yaml",
        "compose/traefik-hotdns.yaml",
        "kubernetes-dns/base/hotdns.yaml",
    ] {
        let said = check(&deploy(file))?;
        ensure!(said.starts_with("ok: ") && !said.contains("warning"), "{file}: {said}");
    }
    Ok(())
}

#[test]
fn what_is_commented_out_of_the_packages_configuration_is_valid_too() -> Result<()> {
    let text = fs::read_to_string(deploy("hotdns.yaml"))?;
    // A comment that goes on as YAML does: `# key:`, `#   - item`, `  # key: value`.
    let is_yaml = |rest: &str| {
        let key = rest.trim_start().trim_start_matches("- ");
        let (key, _) = key.split_once(':').unwrap_or(("", ""));
        !key.is_empty() && key.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')
    };
    let lines = text.lines().map(|line| match line.trim_start().strip_prefix("# ") {
        Some(rest) if is_yaml(rest) && !rest.contains(" a ") => {
            let indent = line.len() - line.trim_start().len();
            format!("{}{rest}\n", " ".repeat(indent))
        }
        _ => format!("{line}\n"),
    });
    let config: String = lines.collect();
    for key in ["token_file:", "xdp:", "zones:", "records:", "backend:"] {
        ensure!(
            config.lines().any(|line| line.trim_start().starts_with(key)),
            "no {key} in\n{config}"
        );
    }
    let folder = TempDir::new()?;
    fs::create_dir(folder.path().join("zones"))?;
    fs::write(
        folder.path().join("zones/example.com.zone"),
        "@ 60 SOA ns1 h 1 2 3 4 5\n@ 60 NS ns1\nns1 60 A 192.0.2.1\n",
    )?;
    fs::write(folder.path().join("token"), "0123456789abcdef\n")?;
    fs::write(folder.path().join("hotdns.yaml"), config)?;
    check(&folder.path().join("hotdns.yaml")).map(|_| ())
}

#[test]
fn the_unit_is_known_to_systemd_and_little_exposed() -> Result<()> {
    if !is_here("systemd-analyze")? {
        return Ok(());
    }
    let unit = deploy("systemd/hotdns.service");
    // The program is where the package puts it, which is not here.
    let folder = TempDir::new()?;
    let text = fs::read_to_string(&unit)?.replace("/usr/bin/hotdns", &program()?.display().to_string());
    let copy = folder.path().join("hotdns.service");
    fs::write(&copy, text)?;
    let said = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&copy))?;
    ensure!(!said.contains("hotdns.service:"), "{said}");
    // `bpf` is one of `@privileged`: it is let in behind the line that takes these out.
    let text = fs::read_to_string(&unit)?;
    let filters: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        .collect();
    let last = |wanted: &str| {
        let mut lines = filters.iter();
        lines.rposition(|line| line.split([' ', '~']).any(|call| call == wanted))
    };
    ensure!(
        last("bpf").is_some() && last("bpf") > last("@privileged"),
        "{filters:?}"
    );
    let arguments = ["security", "--offline=true", "--threshold=30", "--no-pager"];
    run(Command::new("systemd-analyze").args(arguments).arg(&unit)).map(|_| ())
}

#[test]
fn user_and_folders_are_made() -> Result<()> {
    if !is_here("systemd-sysusers")? || !is_here("systemd-tmpfiles")? {
        return Ok(());
    }
    let folder = TempDir::new()?;
    fs::create_dir(folder.path().join("etc"))?;
    let at = format!("--root={}", folder.path().display());
    run(Command::new("systemd-sysusers")
        .arg(&at)
        .arg(deploy("systemd/sysusers.conf")))?;
    let users = fs::read_to_string(folder.path().join("etc/passwd"))?;
    ensure!(users.contains("hotdns:"), "{users}");
    if nix::unistd::geteuid().is_root() {
        run(Command::new("systemd-tmpfiles")
            .args(["--create", &at])
            .arg(deploy("systemd/tmpfiles.conf")))?;
        ensure!(folder.path().join("etc/hotdns/zones").is_dir() && folder.path().join("var/lib/hotdns").is_dir());
    }
    Ok(())
}

#[test]
fn compose_files_are_read() -> Result<()> {
    if !is_here("docker-compose")? {
        return Ok(());
    }
    for file in ["nginx.yaml", "traefik.yaml"] {
        let said = run(Command::new("docker-compose")
            .args(["-f", file, "config"])
            .current_dir(deploy("compose")))?;
        ensure!(said.contains("image: hotdns"), "{file}: {said}");
    }
    Ok(())
}

#[test]
fn manifests_are_rendered() -> Result<()> {
    if !is_here("kubectl")? {
        return Ok(());
    }
    let render = |folder: &str| run(Command::new("kubectl").arg("kustomize").arg(deploy(folder)));
    let base = render("kubernetes-dns/base")?;
    ensure!(
        base.contains("kind: Deployment") && base.contains("hotdns.yaml: |"),
        "{base}"
    );
    for (option, right) in [
        ("config-map", "patch"),
        ("nodes", "- nodes"),
        ("pods", "- pods"),
        ("report", "- recordsets/status"),
        ("leader-election", "- leases"),
        ("ui", "kind: IngressRoute"),
        ("fluent-bit", "Gelf_Short_Message_Key  msg"),
    ] {
        let option = render(&format!("kubernetes/options/{option}"))?;
        ensure!(
            option.contains(right) && option.contains("namespace: infrastructure"),
            "{option}"
        );
    }
    // What is written needs rights of its own.
    let base = render("kubernetes/base")?;
    let reads = base.matches("verbs:").count();
    ensure!(
        reads > 5 && !base.contains("- patch") && !base.contains("- create") && !base.contains("- update"),
        "{base}"
    );
    let catalyst = render("kubernetes/overlays/catalyst-dns-sync")?;
    for part in [
        "name: DNS_API_TOKEN",
        "name: technitium-api-token",
        "key: dns-ip-address",
        "name: catalyst-dns-sync-config",
        "path: /readyz",
        "targetPort: health",
        "containerPort: 8081",
    ] {
        ensure!(catalyst.contains(part), "{part} is not in {catalyst}");
    }
    let definitions = render("kubernetes/crds")?;
    ensure!(
        definitions.contains("name: zones.hotdns.io") && definitions.contains("name: recordsets.hotdns.io"),
        "{definitions}"
    );
    let webhook = render("kubernetes/webhook")?;
    ensure!(
        webhook.contains("failurePolicy: Ignore")
            && webhook.contains("port: 9443")
            && webhook.contains("mountPath: /tls"),
        "{webhook}"
    );
    ensure!(render("kubernetes/certificates")?.contains("name: hotdns-wildcards"));
    let production = render("kubernetes/overlays/production")?;
    for part in [
        "CertificateNotReady",
        "kind: ServiceMonitor",
        "interval: 30s",
        "grafana_dashboard: \"1\"",
    ] {
        ensure!(production.contains(part), "{part} is not in {production}");
    }
    let overlay = render("kubernetes-dns/overlays/host-network")?;
    ensure!(
        overlay.contains("kind: DaemonSet") && !overlay.contains("kind: Deployment"),
        "{overlay}"
    );
    ensure!(
        overlay.contains("hostNetwork: true") && overlay.contains("- BPF"),
        "{overlay}"
    );
    Ok(())
}

/// The indented block behind a line of a file, without its indentation.
fn block(file: &str, behind: &str, indentation: &str) -> Result<String> {
    let text = fs::read_to_string(deploy(file))?;
    let (_, rest) = text
        .split_once(behind)
        .with_context(|| format!("no {behind} in {file}"))?;
    let lines = rest.lines().skip(1).map_while(|line| match line.is_empty() {
        true => Some(""),
        false => line.strip_prefix(indentation),
    });
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

#[test]
fn alerts_and_panels_of_the_cluster_are_those_of_catalyst_dns_sync() -> Result<()> {
    let folder = TempDir::new()?;
    let rules = block("kubernetes/overlays/production/alerts.yaml", "spec:", "  ")?;
    for alert in [
        "DNSSyncHighErrorRate",
        "DNSSyncAPIFailures",
        "DNSSyncControllerDown",
        "CertificateExpiringSoon",
        "CertificateNotReady",
    ] {
        ensure!(rules.contains(&format!("- alert: {alert}\n")), "no {alert}");
    }
    if is_here("promtool")? {
        let file = folder.path().join("rules.yaml");
        fs::write(&file, &rules)?;
        run(Command::new("promtool").args(["check", "rules"]).arg(&file))?;
    }
    let text = block(
        "kubernetes/overlays/production/dashboard.yaml",
        "catalyst-dns-sync.json: |",
        "    ",
    )?;
    let dashboard: serde_json::Value = serde_json::from_str(&text)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let shown: Vec<(&str, &str)> = panels
        .iter()
        .filter_map(|panel| Some((panel["title"].as_str()?, panel["type"].as_str()?)))
        .collect();
    let wanted = [
        ("DNS Records Managed", "gauge"),
        ("API Request Rate", "timeseries"),
        ("Reconciliation Latency", "heatmap"),
        ("Error Rate", "timeseries"),
        ("Top Namespaces", "table"),
        ("API Latency (p95)", "timeseries"),
    ];
    ensure!(shown == wanted, "{shown:?}");
    // Every metric that is asked for is one that there is.
    let known = fs::read_to_string(root().join("docs/metrics.md"))?;
    let is_part = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '_');
    let words = [text.as_str(), &rules].join(" ");
    let names = words.split(is_part).filter(|word| {
        let is_ours = word.starts_with("catalyst_dns_sync_") || word.starts_with("hotdns_");
        is_ours && !word.ends_with('_')
    });
    for name in names {
        let name = name.strip_suffix("_bucket").unwrap_or(name);
        ensure!(known.contains(&format!("`{name}`")), "{name} is no metric");
    }
    Ok(())
}

#[test]
fn the_tasks_are_those_of_catalyst_dns_sync() -> Result<()> {
    let text = fs::read_to_string(root().join("Taskfile.yml"))?;
    let tasks = "dev dev:setup build test check docker push deploy prod:deploy logs status metrics health debug:pod";
    for task in tasks.split(' ') {
        ensure!(text.contains(&format!("\n  {task}:\n    desc: ")), "no task {task}");
    }
    for file in text
        .split_whitespace()
        .filter(|word| word.starts_with("deploy/") && !word.contains('"'))
    {
        ensure!(root().join(file).exists(), "{file}");
    }
    Ok(())
}

#[test]
fn the_services_of_supervisors_run_the_server() -> Result<()> {
    let config =
        "dns_port: PORT\nlisten: [\"127.0.0.1\"]\nhttp: {listen: [\"127.0.0.1:HTTP\"]}\nstorage: {path: state}\n";
    for name in ["supervisord", "execlineb"] {
        if !is_here(name)? {
            continue;
        }
        let folder = TempDir::new()?;
        let (port, http) = (tests::server::free_port()?, tests::server::free_port()?);
        let config = config
            .replace("PORT", &port.to_string())
            .replace("HTTP", &http.to_string());
        let file = folder.path().join("hotdns.yaml");
        fs::write(&file, config)?;
        let adapted = |text: String| {
            text.replace("/etc/hotdns/hotdns.yaml", &file.display().to_string())
                .replace("/usr/bin/hotdns", "hotdns")
                // Where s6-overlay has its programs in a container; and the user is not here.
                .replace("/command/execlineb", "execlineb")
                .replace("s6-setuidgid hotdns", "")
                .replace("fdmove -c 2 1", "")
                .replace("/dev/stdout", &folder.path().join("log").display().to_string())
        };
        let programs = program()?.parent().context("a folder")?.to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path)))?;
        let mut command = if name == "supervisord" {
            let own = format!(
                "[supervisord]\nnodaemon=true\nuser=root\nlogfile={0}/s.log\npidfile={0}/s.pid\n",
                folder.path().display()
            );
            let text = adapted(fs::read_to_string(deploy("supervisord/hotdns.conf"))?);
            fs::write(folder.path().join("s.conf"), own + &text)?;
            let mut command = Command::new(name);
            command.arg("-c").arg(folder.path().join("s.conf"));
            command
        } else {
            let run = folder.path().join("run");
            fs::write(&run, adapted(fs::read_to_string(deploy("s6-overlay/hotdns/run"))?))?;
            let mut command = Command::new(name);
            command.arg("-P").arg(run);
            command
        };
        command.env("PATH", path).current_dir(folder.path());
        let running = tests::net::Running::start(command, &folder.path().join("supervisor"))?;
        let address = format!("127.0.0.1:{http}");
        let outcome = tests::server::eventually("the server is ready", || {
            Ok(tests::server::request(&address, "GET", "/ready", None).is_ok_and(|reply| reply.status == 200))
        });
        outcome.with_context(|| format!("{name}: {}", running.output()))?;
        running.stop()?;
    }
    Ok(())
}

#[test]
fn alerts_fire_when_they_should() -> Result<()> {
    if !is_here("promtool")? {
        return Ok(());
    }
    let said = run(Command::new("promtool")
        .args(["test", "rules", "alerts-test.yaml"])
        .current_dir(deploy("prometheus")))?;
    ensure!(said.contains("SUCCESS"), "{said}");
    let rules = fs::read_to_string(deploy("prometheus/alerts.yaml"))?;
    let tests = fs::read_to_string(deploy("prometheus/alerts-test.yaml"))?;
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        ensure!(tests.contains(&format!("alertname: {alert}")), "no test of {alert}");
    }
    Ok(())
}

/// Every expression of the dashboard, as it is for one instance.
fn expressions() -> Result<Vec<String>> {
    let text = fs::read_to_string(deploy("prometheus/dashboard.json"))?;
    let dashboard: serde_json::Value = serde_json::from_str(&text)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let adapted = |text: &str| text.replace("$instance", ".*").replace("$__rate_interval", "10s");
    Ok(targets
        .filter_map(|target| target["expr"].as_str())
        .map(adapted)
        .collect())
}

#[test]
fn every_panel_of_the_dashboard_has_data() -> Result<()> {
    if tests::net::is_skipped() || !is_here("prometheus")? || !is_here("promtool")? {
        return Ok(());
    }
    let server = tests::server::Server::start("")?;
    let port = tests::server::free_port()?;
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: hotdns, \
         static_configs: [{{targets: ['{}']}}]}}]\n",
        server.http
    );
    server.write("prometheus.yaml", &config)?;
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", server.path("prometheus.yaml").display()))
        .arg(format!("--storage.tsdb.path={}", server.path("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let prometheus = tests::net::Running::start(command, &server.path("prometheus.log"))?;
    let url = format!("http://127.0.0.1:{port}");
    let mut without = expressions()?;
    ensure!(without.len() >= 12, "{without:?}");
    // What only a program in the kernel counts has no data where none was built.
    let has_xdp = !server.log().contains("built without the XDP program");
    without.retain(|expression| has_xdp || !expression.contains("hotdns_xdp_"));
    let outcome = tests::server::eventually("every panel has data", || {
        server.dig(&["www.example.com", "A"])?;
        without.retain(|expression| {
            let mut promtool = Command::new("promtool");
            let answer = promtool.args(["query", "instant", &url, expression]).output();
            answer.is_ok_and(|answer| !answer.status.success() || answer.stdout.is_empty())
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        Ok(without.is_empty())
    });
    outcome.with_context(|| format!("no data: {without:?}: {}", prometheus.output()))?;
    prometheus.stop().map(|_| ())
}
