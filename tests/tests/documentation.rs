//! Every command and sample of README and `docs/`: extracted, run, and compared with what is shown.
//!
//! | language | what happens |
//! |---|---|
//! | `yaml` | `hotdns check`, with the files that it names made beside it: no error, no warning |
//! | `console` | run in order against a running server; output that is shown is compared |
//! | `json` | sent to the API, or provoked |
//! | `dns` | loaded as a zone |
//! | `promql` | its metrics are exposed |
//! | `ini` | its `hotdns` commands run |
//! | none, lines with a place | messages of `hotdns check`, provoked |
//!
//! What cannot run here stands in [`NOT_RUN`] with the reason. A block that nothing here is for fails.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::documents::{Block, blocks, is_as_shown, pages, root};
use tests::net::{Namespace, PATIENCE, Running, is_skipped};
use tests::server::{Server, eventually, program};

/// Blocks that are not run, by how their first line begins, and commands, by how they begin.
const NOT_RUN: &[(&str, &str)] = &[
    ("livenessProbe:", "a manifest for Kubernetes, which is not here"),
    ("apiVersion:", "an object for Kubernetes, which is not here"),
    (
        "cargo xtask ",
        "builds, installs or measures: its arguments are checked, it is not run",
    ),
    (
        "tracing:",
        "is compiled with the feature `otel` alone: `cargo xtask test --traces` has it",
    ),
    ("consul ", "needs a Consul; `cargo xtask test --discovery` has one"),
    (
        "hotdns discovery ",
        "needs job files and a Traefik; `cargo xtask test --discovery` has them",
    ),
    ("export DOMAIN_SUFFIX", "needs a Nomad and a Consul"),
    (
        "fstrm_capture ",
        "takes frames until it is ended: tests/tests/dnstap.rs runs it",
    ),
    ("dnstap-ldns ", "reads what that has written"),
    ("job \"", "a job for Nomad, which is not here"),
    (
        "hotdns upstreams",
        "shows what upstream servers have said: tests/tests/command_line.rs runs it",
    ),
    (
        "hotdns cache ",
        "shows what an upstream server has said: tests/tests/command_line.rs runs it",
    ),
    ("hotdns rule ", "needs a rule: tests/tests/command_line.rs runs it"),
    (
        "curl -s 'http://127.0.0.1:8080/api/v1/cache",
        "shows what an upstream server has said",
    ),
    (
        "curl -s -X DELETE 'http://127.0.0.1:8080/api/v1/cache",
        "shows what an upstream server has said",
    ),
];

/// Blocks of this language are drawings.
const DRAWING: &str = "text";

/// Messages of `hotdns check` that pages show: a part of the first line, and the files that provoke them all.
const PROVOKED: &[(&str, &[(&str, &str)])] = &[
    (
        "hotdns.yaml:3:5: unknown key",
        &[(
            "hotdns.yaml",
            "dns_port: 53\nxdp:\n    interfces: [eth0]\nzones: []\nrecords:\n  - name: a.example.net.\n    type: \
             A\n    \
             value: [192.0.2.1]\n\n  - name: b.example.net.\n    type: A\n    value: [192.0.2.256]\n",
        )],
    ),
    (
        "example.com.zone:12:17:",
        &[
            (
                "hotdns.yaml",
                "zones: [{name: example.com., file: zones/example.com.zone}]\n",
            ),
            (
                "zones/example.com.zone",
                "$TTL 1h\n@ SOA ns1 hostmaster 1 2h 15m 2w 5m\n@ NS ns1\n\n\n\n\n\n\n\n\
                 ns1         A   192.0.2.53\nwww         A   192.0.2.300\n\n   MX 10\n",
            ),
        ],
    ),
];

/// A zone that is complete, wherever it is.
const MADE_ZONE: &str = "$TTL 300\n@ SOA ns1 hostmaster 1 7200 3600 1209600 300\n@ NS ns1\nns1 A 192.0.2.53\n";

fn all(languages: &[&str]) -> Result<Vec<Block>> {
    let mut blocks = blocks()?;
    blocks.retain(|block| languages.contains(&block.language.as_str()) && !is_listed(&block.text));
    Ok(blocks)
}

fn is_listed(text: &str) -> bool {
    NOT_RUN.iter().any(|(beginning, _)| text.starts_with(beginning))
}

/// Whether every line has a place in front: `FILE:LINE:COLUMN: MESSAGE`.
fn is_messages(block: &Block) -> bool {
    block.text.lines().all(|line| {
        let mut parts = line.split(':').skip(1);
        let mut number = || parts.next().is_some_and(|part| part.parse::<u32>().is_ok());
        number() && number()
    })
}

fn is_zone(block: &Block) -> bool {
    block.language == "dns" || block.language.is_empty() && block.page == "docs/zone-files.md" && !is_messages(block)
}

#[test]
fn every_block_is_run_or_listed() -> Result<()> {
    let all = blocks()?;
    let unknown: Vec<String> = all
        .iter()
        .filter(|block| {
            let is_known = match block.language.as_str() {
                "yaml" | "console" | "json" | "promql" | "ini" | DRAWING => true,
                _ => is_zone(block) || is_messages(block),
            };
            !is_known && !is_listed(&block.text)
        })
        .map(|block| format!("{block}: {}", block.text.lines().next().unwrap_or_default()))
        .collect();
    ensure!(
        unknown.is_empty(),
        "no test runs these samples; give the block a language that one runs, or list it in NOT_RUN:\n{}",
        unknown.join("\n")
    );
    for (beginning, reason) in NOT_RUN {
        let is_used = all.iter().any(|block| {
            block.text.starts_with(beginning)
                || block
                    .text
                    .lines()
                    .any(|line| line.strip_prefix("$ ").is_some_and(|line| line.starts_with(beginning)))
        });
        ensure!(is_used, "no page has `{beginning}` any more ({reason})");
    }
    Ok(())
}

/// Files and folders of the repository, as pages name them: in `deploy/`, in `xtask/`, and those of the table of what
/// is in `deploy/`.
#[test]
fn files_that_pages_name_are_there() -> Result<()> {
    let mut missing = Vec::new();
    for page in pages()? {
        let text = fs::read_to_string(root().join(&page))?;
        let mut in_deploy = false;
        for line in text.lines() {
            // Below this sentence the first column has paths.
            in_deploy = match line.starts_with('#') {
                true => false,
                false => in_deploy || line.starts_with("In `deploy/`"),
            };
            let column = if in_deploy && line.starts_with('|') {
                line.split('|').nth(1)
            } else {
                None
            };
            let in_column = column.into_iter().flat_map(code).map(|path| format!("deploy/{path}"));
            let named = code(line).filter(|path| path.starts_with("deploy/") || path.starts_with("xtask/"));
            let paths = named.map(str::to_owned).chain(in_column);
            missing.extend(
                paths
                    .filter(|path| !root().join(path).exists())
                    .map(|path| format!("{page}: {path}")),
            );
        }
    }
    ensure!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
    Ok(())
}

/// What stands between backticks in a line.
fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// What `hotdns check` says of a folder's `hotdns.yaml`.
fn check(folder: &Path) -> Result<(bool, String)> {
    let output = Command::new(program()?)
        .args(["check", "--config", "hotdns.yaml"])
        .current_dir(folder)
        .output()?;
    Ok((output.status.success(), said(&output)))
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]]
        .map(String::from_utf8_lossy)
        .concat()
}

/// Writes a sample as `hotdns.yaml`, with what it needs: the files that it names, and views that it only speaks of.
fn complete(sample: &str, folder: &Path) -> Result<()> {
    let mut text = sample.replace("/etc/hotdns/", "");
    if text.contains("view: office") && !text.contains("views:") {
        text.insert_str(0, "views: [{name: office, clients: [10.0.0.0/8]}]\n");
    }
    for (key, content) in [
        ("file", MADE_ZONE),
        ("token_file", "0123456789abcdef\n"),
        ("cookie_secret_file", "00112233445566778899aabbccddeeff\n"),
        ("deny_files", "192.0.2.0/24\n"),
        (
            "basic_file",
            "alice:$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz\
            1\n",
        ),
    ] {
        for file in values(&text, key) {
            let path = folder.join(file.trim_matches(['[', ']']));
            fs::create_dir_all(path.parent().context("a folder")?)?;
            fs::write(&path, content)?;
            if key != "file" {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            }
        }
    }
    for (cert, key) in values(&text, "cert").into_iter().zip(values(&text, "key")) {
        make_certificate(&folder.join(cert), &folder.join(key))?;
    }
    Ok(fs::write(folder.join("hotdns.yaml"), text)?)
}

/// A certificate and its key, which only its owner can read.
fn make_certificate(cert: &Path, key: &Path) -> Result<()> {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args(["-subj", "/CN=localhost", "-days", "2"])
        .arg("-out")
        .arg(cert)
        .arg("-keyout")
        .arg(key)
        .output()?;
    ensure!(made.status.success(), "{}", said(&made));
    Ok(fs::set_permissions(key, fs::Permissions::from_mode(0o600))?)
}

/// The values of a key that are plain words, wherever they stand in YAML.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let lead = format!("{key}: ");
    text.match_indices(&lead)
        .filter(|(at, _)| {
            text[..*at]
                .chars()
                .next_back()
                .is_none_or(|before| !before.is_alphanumeric() && before != '_')
        })
        .filter_map(|(at, _)| text[at + lead.len()..].split([',', '}', ' ', '\n']).next())
        .collect()
}

/// What `hotdns check` finds, errors and warnings alike.
fn complaint(folder: &Path) -> Result<Option<String>> {
    let (is_good, said) = check(folder)?;
    Ok((!is_good || said.contains("warning")).then_some(said))
}

#[test]
fn configurations_check_without_error_or_warning() -> Result<()> {
    let samples = all(&["yaml"])?;
    assert!(samples.len() >= 10, "{} samples", samples.len());
    let mut faults = Vec::new();
    for block in samples {
        let folder = TempDir::new()?;
        complete(&block.text, folder.path())?;
        faults.extend(complaint(folder.path())?.map(|said| format!("{block}: {said}")));
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[test]
fn zone_samples_load_without_error_or_warning() -> Result<()> {
    let mut samples = blocks()?;
    samples.retain(is_zone);
    assert!(samples.len() >= 4, "{} samples", samples.len());
    let mut faults = Vec::new();
    for block in samples {
        let folder = TempDir::new()?;
        let zone = if block.text.contains("SOA") {
            block.text.clone()
        } else {
            format!("{MADE_ZONE}{}", block.text)
        };
        fs::write(folder.path().join("zone"), zone)?;
        // An overlay for what an ALIAS leads to, and a parent for what `ip6.arpa` has.
        let config = "zones: [{name: example.com., file: zone}]\n\
                      records: [{name: www.cdn.example.net., type: A, value: [192.0.2.9]}]\n";
        fs::write(folder.path().join("hotdns.yaml"), config)?;
        faults.extend(complaint(folder.path())?.map(|said| format!("{block}: {said}")));
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[test]
fn messages_that_are_shown_are_those_of_check() -> Result<()> {
    let mut samples = blocks()?;
    samples.retain(|block| block.language.is_empty() && is_messages(block));
    assert!(samples.len() >= 2, "{} samples", samples.len());
    for block in samples {
        let first = block.text.lines().next().context("a line")?;
        let (_, files) = PROVOKED
            .iter()
            .find(|(part, _)| first.contains(part))
            .with_context(|| format!("{block}: PROVOKED has nothing for {first}"))?;
        let folder = TempDir::new()?;
        for (name, content) in *files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().context("a folder")?)?;
            fs::write(path, content)?;
        }
        let (is_good, said) = check(folder.path())?;
        ensure!(!is_good, "{block}: no error");
        for line in block.text.lines() {
            let line = line.trim_start_matches("/etc/hotdns/");
            ensure!(said.contains(line), "{block}: check does not say\n{line}\nbut\n{said}");
        }
    }
    Ok(())
}

fn needs_token(block: &Block) -> bool {
    block.text.contains("/etc/hotdns/token")
}

/// A running server that a page's commands are typed at, and what stands for the page's ports and paths.
struct Stage {
    server: Server,
    is_of_api: bool,
}

impl Stage {
    /// README and the page about XDP speak of the sample zone, the API's page of one of its own.
    fn for_block(block: &Block) -> Result<Self> {
        let is_of_api = block.page == "docs/http-api.md";
        let token = if needs_token(block) {
            "http: {token_file: token, tokens_file: tokens.yaml}\n"
        } else {
            ""
        };
        let mut server = Server::start("views: [{name: office, clients: [10.0.0.0/8]}]\n")?;
        server.stop()?;
        server.write("token", "0123456789abcdef\n")?;
        let config = fs::read_to_string(server.path("hotdns.yaml"))?;
        let zone = if is_of_api {
            fs::create_dir_all(server.path("zones"))?;
            server.write("zones/example.com.zone", API_ZONE)?;
            "file: zones/example.com.zone"
        } else {
            let sample = fs::read_to_string(root().join("xtask/sample/example.com.zone"))?;
            server.write("example.com.zone", &sample)?;
            "file: example.com.zone"
        };
        let rules = if block.page == "docs/rules.md" {
            server.write("ads.txt", "ads.example.net\n")?;
            "rules: [{name: ads, block: {files: [ads.txt]}}]\n"
        } else {
            ""
        };
        server.write(
            "hotdns.yaml",
            &(config.replace("file: example.com.zone", zone) + token + rules),
        )?;
        server.run()?;
        Ok(Self { server, is_of_api })
    }

    fn adapted(&self, text: &str) -> String {
        text.replace("127.0.0.1:8080", &self.server.http.to_string())
            .replace("-p 5300", &format!("-p {}", self.server.dns.port()))
            .replace("/etc/hotdns/", &format!("{}/", self.server.path("").display()))
    }

    /// What a page takes for granted before a command.
    fn prepare(&self, command: &str) -> Result<()> {
        if !self.is_of_api {
            return Ok(());
        }
        if command.contains("/api/v1/reload") {
            self.server
                .write("zones/example.com.zone", &format!("{API_ZONE}c A 192.0.2.3\n"))?;
        }
        if command.contains("DELETE") {
            for path in ["", "?view=office"] {
                let body = json!({"type": "A", "value": ["192.0.2.8", "192.0.2.9"]});
                let path = format!("/api/v1/records/new.example.com{path}");
                let reply = self.server.request("PUT", &path, Some(&body))?;
                ensure!(matches!(reply.status, 200 | 201), "{reply:?}");
            }
        }
        Ok(())
    }

    /// Types a command into a shell, in which curl fails where the API says that a request failed.
    fn type_in(&self, command: &str) -> Result<Output> {
        self.server.write(".curlrc", "silent\nshow-error\nfail-with-body\n")?;
        let programs = program()?.parent().context("no folder")?.to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path)))?;
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(self.server.path(""))
            .env("CURL_HOME", self.server.path(""))
            .env("PATH", path)
            .env("HOTDNS_URL", format!("http://{}", self.server.http))
            .output()?;
        Ok(output)
    }
}

/// The zone of the samples in `http-api.md`.
const API_ZONE: &str = "$TTL 3600\n@ SOA ns1 hostmaster 1 7200 3600 1209600 300\n@ NS ns1\nns1 A 192.0.2.53\n\
                        www A 192.0.2.1\n";

#[test]
fn commands_do_what_is_shown() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let samples = all(&["console"])?;
    assert!(samples.len() >= 10, "{} samples", samples.len());
    let (mut faults, mut stages) = (Vec::new(), BTreeMap::new());
    for block in samples {
        if let Err(error) = run_commands(&block, &mut stages) {
            faults.push(format!("{block}: {error:#}"));
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

/// The commands of a page are typed at one server, so that what the first changes the others see.
fn run_commands(block: &Block, stages: &mut BTreeMap<(String, bool), Stage>) -> Result<()> {
    for command in block.commands()? {
        let text = &command.text;
        if is_listed(text) {
            if text.starts_with("cargo xtask ") {
                accepts_arguments(text).with_context(|| text.clone())?;
            }
            continue;
        }
        if text.starts_with("hotdns run") || text.starts_with("hotdns check") {
            run_hotdns(block, text).with_context(|| text.clone())?;
            continue;
        }
        let stage = match stages.entry((block.page.clone(), needs_token(block))) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Stage::for_block(block)?),
        };
        stage.prepare(text)?;
        let output = stage.type_in(&stage.adapted(text))?;
        let said = said(&output);
        ensure!(output.status.success(), "{text}: {}: {said}", output.status);
        let shown = stage.adapted(&command.output);
        // Of headers a page shows those that matter.
        let is_excerpt = text.contains("curl -i");
        ensure!(
            shown.is_empty() || is_as_shown(&shown, &said, is_excerpt),
            "{text}: shown is\n{shown}\nbut it says\n{said}"
        );
        // A remark such as `# status: NXDOMAIN` says what to expect.
        if let Some((_, remark)) = text.split_once("# status: ") {
            ensure!(said.contains(&format!("status: {}", remark.trim())), "{text}: {said}");
        }
    }
    Ok(())
}

/// Asks for help with the same arguments: what does not exist is refused first.
fn accepts_arguments(command: &str) -> Result<()> {
    let typed = command.split(" #").next().unwrap_or_default();
    let mut words: Vec<&str> = typed.split_whitespace().skip(2).collect();
    if let Some(end) = words.iter().position(|word| *word == "--") {
        words.truncate(end);
    }
    let program = if words.first() == Some(&"bench") {
        words.remove(0);
        env!("CARGO_BIN_EXE_bench").into()
    } else {
        program()?.with_file_name("xtask")
    };
    let output = Command::new(program).args(&words).arg("--help").output()?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(())
}

/// Runs a command of hotdns' own, with the page's next configuration as `hotdns.yaml`: in a namespace, where its ports
/// are free and its interface is another one than the machine's.
fn run_hotdns(block: &Block, command: &str) -> Result<()> {
    let sample = blocks()?
        .into_iter()
        .find(|other| other.page == block.page && other.line > block.line && other.language == "yaml")
        .context("no configuration follows")?;
    let folder = TempDir::new()?;
    complete(&format!("{}storage: {{path: state}}\n", sample.text), folder.path())?;
    let namespace = Namespace::new("documentation")?;
    namespace.ip(&["link", "add", "eth0", "type", "veth", "peer", "name", "eth1"])?;
    namespace.ip(&["link", "set", "eth0", "up"])?;
    let typed = command.split(" #").next().unwrap_or_default();
    let mut process = namespace.command(&program()?.to_string_lossy());
    process
        .args(typed.split_whitespace().skip(1))
        .current_dir(folder.path());
    if typed.starts_with("hotdns run") {
        let log = folder.path().join("log");
        let mut running = Running::start(process, &log)?;
        let is_ready = || fs::read_to_string(&log).is_ok_and(|log| log.contains(": ready "));
        running.wait_until("ready", PATIENCE, is_ready)?;
        ensure!(running.stop()?.success(), "it does not stop as it should");
        return Ok(());
    }
    let output = process.output()?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(())
}

#[test]
fn json_is_what_the_api_takes_and_gives() -> Result<()> {
    for block in all(&["json"])? {
        let shown: Value = serde_json::from_str(&block.text).with_context(|| block.to_string())?;
        if shown.get("sources").is_some() {
            shows_sources(&shown).with_context(|| block.to_string())?;
            continue;
        }
        let stage = Stage::for_block(&block)?;
        let send = |method: &str, name: &str, body: &Value| {
            stage
                .server
                .request(method, &format!("/api/v1/records/{name}"), Some(body))
        };
        let given = if shown.get("value").is_some() {
            // As a request it has no source, and must be of a name that no file has.
            let mut body = shown.clone();
            body.as_object_mut().context("an object")?.remove("source");
            let name = shown["name"].as_str().context("a name")?;
            stage
                .server
                .write("zones/example.com.zone", &API_ZONE.replace("www A", "other A"))?;
            stage.server.signal(Signal::SIGHUP)?;
            eventually(
                "the name is free",
                || Ok(send("GET", name, &Value::Null)?.status == 404),
            )?;
            send("PUT", name, &body)?
        } else if shown["code"] == "managed_by_file" {
            send("PUT", "www.example.com", &json!({"type": "A", "value": ["192.0.2.7"]}))?
        } else {
            bail!("{block}: nothing here provokes it");
        };
        let folder = format!("{}/", stage.server.path("").display());
        let text = given.text.replace(&folder, "");
        let given: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        // Which version it is depends on what was changed before.
        let without = |mut value: Value| {
            let version = value.as_object_mut().and_then(|members| members.remove("version"));
            (value, version.is_some())
        };
        assert_eq!(without(given), without(shown), "{block}");
    }
    Ok(())
}

/// Six hosts, and a line that cannot be read.
fn shows_sources(shown: &Value) -> Result<()> {
    let server = Server::start("sources: {hosts: [{name: lan, path: hosts, domain: lan.}]}\n")?;
    let hosts: String = (1..=6).map(|host| format!("192.0.2.{host} h{host}\n")).collect();
    server.write("hosts", &format!("{hosts}192.0.2.300 h7\n"))?;
    let mut given = Value::Null;
    eventually("the source is in step", || {
        given = server.request("GET", "/api/v1/sources", None)?.json;
        Ok(given["sources"][0]["state"] == "synced")
    })?;
    for time in ["since", "last_sync"] {
        given["sources"][0][time] = shown["sources"][0][time].clone();
    }
    assert_eq!(given, *shown);
    Ok(())
}

#[test]
fn metrics_that_are_shown_are_exposed() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = Server::start("")?;
    let exposed = server.request("GET", "/metrics", None)?.text;
    for block in all(&["promql"])? {
        for line in block.text.lines().filter(|line| !line.starts_with('#')) {
            let words = line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            for name in words.filter(|word| word.starts_with("hotdns_")) {
                let is_there = exposed
                    .lines()
                    .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
                ensure!(is_there, "{block}: no metric {name}");
            }
        }
    }
    Ok(())
}

#[test]
fn units_of_systemd_call_what_exists() -> Result<()> {
    for block in all(&["ini"])? {
        let commands: Vec<&str> = block
            .text
            .lines()
            .filter_map(|line| line.split_once("=/usr/local/bin/hotdns ").map(|(_, rest)| rest))
            .collect();
        ensure!(!commands.is_empty(), "{block}: no command of hotdns");
        for command in commands {
            let words = command.split_whitespace();
            let output = Command::new(program()?).args(words).arg("--help").output()?;
            ensure!(output.status.success(), "{block}: {command}: {}", said(&output));
        }
    }
    Ok(())
}
