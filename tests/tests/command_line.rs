//! The program's verbs against a running server: what they print, what they change, and their exit codes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::net::is_skipped;
use tests::server::{Server, program};

/// How a verb ended, and what it said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Result<Value> {
        ensure!(self.code == 0, "exit code {}: {}", self.code, self.err);
        serde_json::from_str(&self.out).with_context(|| self.out.clone())
    }
}

fn hotdns(server: &Server, arguments: &[&str]) -> Result<Said> {
    hotdns_with(server, arguments, &[], "")
}

fn hotdns_with(server: &Server, arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Result<Said> {
    let mut child = Command::new(program()?)
        .args(arguments)
        .current_dir(server.path(""))
        .env_remove("HOTDNS_TOKEN")
        .env("HOTDNS_URL", format!("http://{}", server.http))
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("standard input")?;
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output()?;
    Ok(Said {
        code: status.code().context("a signal ended it")?,
        out: String::from_utf8(stdout)?,
        err: String::from_utf8(stderr)?,
    })
}

#[test]
fn records_are_set_listed_and_removed() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = Server::start("")?;
    let set = hotdns(
        &server,
        &[
            "record",
            "set",
            "new.example.com",
            "A",
            "192.0.2.7",
            "192.0.2.8",
            "--ttl",
            "60",
        ],
    )?;
    ensure!(
        set.code == 0 && set.out.contains("new.example.com.  A     60"),
        "{} {}",
        set.out,
        set.err
    );
    ensure!(server.dig(&["+short", "new.example.com", "A"])?.contains("192.0.2.8"));
    let got = hotdns(&server, &["record", "get", "NEW.example.com", "-o", "json"])?.json()?;
    assert_eq!(
        got["records"][0]["value"],
        serde_json::json!(["192.0.2.7", "192.0.2.8"])
    );
    let removed = hotdns(&server, &["record", "remove", "new.example.com", "A", "192.0.2.7"])?;
    assert_eq!((removed.code, removed.out.as_str()), (0, ""));
    let left = hotdns(&server, &["record", "get", "new.example.com", "--output", "json"])?.json()?;
    assert_eq!(left["records"][0]["value"], serde_json::json!(["192.0.2.8"]));
    Ok(())
}

#[test]
fn lists_are_whole_over_pages() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let more: String = (0..1500).map(|n| format!("n{n} A 192.0.2.1\n")).collect();
    let server = Server::start("")?;
    server.write("example.com.zone", &format!("{}{more}", tests::server::ZONE))?;
    let reloaded = hotdns(&server, &["reload"])?;
    ensure!(
        reloaded.code == 0 && reloaded.out.contains("added   n0.example.com."),
        "{}",
        reloaded.out
    );
    let all = hotdns(&server, &["record", "list", "--type", "A", "-o", "json"])?.json()?;
    let records = all["records"].as_array().context("a list")?;
    ensure!(records.len() > 1500, "{} records", records.len());
    let some = hotdns(&server, &["record", "list", "--limit", "1001", "-o", "json"])?.json()?;
    assert_eq!(some["records"].as_array().map(Vec::len), Some(1001));
    Ok(())
}

#[test]
fn errors_have_their_exit_codes_and_say_what_to_do() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = Server::start("")?;
    for (arguments, code, says) in [
        (&["record", "get", "nope.example.com"][..], 3, "not_found"),
        (
            &["record", "set", "www.example.com", "A", "192.0.2.1"],
            4,
            "hotdns reload",
        ),
        (&["record", "set", "x.example.com", "A", "nope"], 1, "invalid_value"),
        (&["record", "set", "x.example.com"], 2, "Usage"),
        (&["status", "--url", "http://127.0.0.1:1"], 6, "HOTDNS_URL"),
        (&["status", "--url", "unix:/nowhere/api.sock"], 6, "/nowhere/api.sock"),
    ] {
        let said = hotdns(&server, arguments)?;
        ensure!(
            said.code == code && said.err.contains(says),
            "{arguments:?}: {} {}",
            said.code,
            said.err
        );
    }
    server.write("example.com.zone", "no zone\n")?;
    let reloaded = hotdns(&server, &["reload"])?;
    ensure!(
        reloaded.code == 1 && reloaded.out.contains("example.com.zone"),
        "{}",
        reloaded.out
    );
    Ok(())
}

#[test]
fn the_token_comes_from_the_environment_alone() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut server = Server::start("")?;
    server.stop()?;
    server.write("token", "0123456789abcdef\n")?;
    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    server.write("hotdns.yaml", &format!("{config}http: {{token_file: token}}\n"))?;
    server.run()?;
    let without = hotdns(&server, &["record", "list"])?;
    ensure!(
        without.code == 5 && without.err.contains("HOTDNS_TOKEN"),
        "{} {}",
        without.code,
        without.err
    );
    let with = hotdns_with(
        &server,
        &["record", "list"],
        &[("HOTDNS_TOKEN", "0123456789abcdef")],
        "",
    )?;
    ensure!(with.code == 0, "{}", with.err);
    let help = hotdns(&server, &["record", "--help"])?;
    ensure!(!help.out.contains("--token"), "{}", help.out);
    Ok(())
}

#[test]
fn status_is_for_people_and_scripts() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = Server::start("")?;
    server.dig(&["www.example.com"])?;
    let shown = hotdns(&server, &["status"])?;
    ensure!(
        shown.code == 0 && shown.out.contains("ready           yes"),
        "{}",
        shown.out
    );
    let status = hotdns(&server, &["status", "--output", "yaml"])?;
    ensure!(
        status.out.contains("ready: true") && status.out.contains("zone_file:"),
        "{}",
        status.out
    );
    Ok(())
}

#[test]
fn what_is_exported_is_read_again_in_every_format() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = Server::start("")?;
    let all = hotdns(&server, &["export", "--zone", "example.com", "--format", "json"])?.json()?;
    ensure!(
        all["records"].as_array().is_some_and(|records| records.len() > 10),
        "{all}"
    );
    for (file, is_whole) in [
        ("a.yaml", true),
        ("a.json", true),
        ("a.csv", true),
        ("example.com.zone", true),
        ("a.hosts", false),
    ] {
        // Not over the server's own zone file.
        let target = file.replace("example.com.zone", "db.example.com");
        let written = hotdns(&server, &["export", "--zone", "example.com", &target])?;
        ensure!(written.code == 0 && written.out.is_empty(), "{file}: {}", written.err);
        assert_eq!(written.err.is_empty(), is_whole, "{file}: {}", written.err);
        // The same comes out of the file as went into it.
        let mut again = hotdns(&server, &["convert", "--to", "json", "--zone", "example.com", &target])?.json()?;
        let mut first = all.clone();
        for document in [&mut again, &mut first] {
            let records = document["records"].as_array_mut().context("records")?;
            records.retain(|record| is_whole || matches!(record["type"].as_str(), Some("A" | "AAAA")));
            records.retain(|record| is_whole || !record["name"].as_str().is_some_and(|name| name.starts_with('*')));
            if !is_whole {
                records.iter_mut().for_each(|record| record["ttl"] = Value::Null);
            }
            records.sort_by_key(|record| format!("{} {}", record["name"], record["type"]));
        }
        assert_eq!(again, first, "{file}");
    }
    let piped = hotdns(&server, &["export", "--zone", "example.com", "--format", "csv"])?;
    let again = hotdns_with(
        &server,
        &["convert", "--format", "csv", "--to", "csv", "-"],
        &[],
        &piped.out,
    )?;
    assert_eq!(again.out, piped.out);
    let absent = hotdns(&server, &["zone", "export", "nowhere.example"])?;
    assert_eq!(absent.code, 3, "{}", absent.err);
    Ok(())
}

#[test]
fn differences_from_files_are_shown() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = Server::start("")?;
    server.write(
        "wanted.csv",
        "name,type,ttl,value\nnew.example.com,A,60,192.0.2.7\nwww.example.com,A,,192.0.2.80\n",
    )?;
    let found = hotdns(&server, &["diff", "wanted.csv"])?;
    assert_eq!(
        (found.code, found.out.as_str()),
        (1, "+ new.example.com. 60 A 192.0.2.7\n"),
        "{}",
        found.err
    );
    hotdns(
        &server,
        &["record", "set", "new.example.com", "A", "192.0.2.7", "--ttl", "60"],
    )?;
    hotdns(&server, &["record", "set", "old.example.com", "A", "192.0.2.9"])?;
    let none = hotdns(&server, &["diff", "wanted.csv"])?;
    assert_eq!((none.code, none.out.as_str()), (0, ""), "{}", none.err);
    let pruned = hotdns(&server, &["diff", "--prune", "wanted.csv"])?;
    assert_eq!(
        (pruned.code, pruned.out.as_str()),
        (1, "- old.example.com. 300 A 192.0.2.9\n"),
        "{}",
        pruned.err
    );
    server.write("held.csv", "name,type,ttl,value\nwww.example.com,A,,192.0.2.81\n")?;
    let held = hotdns(&server, &["apply", "held.csv"])?;
    ensure!(
        held.code == 4 && held.err.contains("zone_file"),
        "{} {}",
        held.code,
        held.err
    );
    Ok(())
}

#[test]
fn init_writes_what_starts_and_doctor_names_who_holds_a_port() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = Server::start("")?;
    let (port, http) = (server.dns.port().to_string(), server.http.to_string());
    let flags = [
        "init",
        "--yes",
        "--config",
        "made/hotdns.yaml",
        "--listen",
        "127.0.0.1",
        "--storage",
        "made/state",
    ];
    let more = ["--port", &port, "--zone", "example.net", "--http", &http];
    let made = hotdns(&server, &[&flags[..], &more].concat())?;
    ensure!(
        made.code == 0 && made.out.contains("made/zones/example.net.zone"),
        "{} {}",
        made.out,
        made.err
    );
    // The same ports as the server that runs: which is hotdns itself, so nothing is in the way.
    let running = hotdns(&server, &["doctor", "--config", "made/hotdns.yaml", "-o", "json"])?;
    ensure!(
        running.out.contains("held by hotdns, which is running"),
        "{} {}",
        running.out,
        running.err
    );
    let holder = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let taken = holder.local_addr()?.port().to_string();
    let config = std::fs::read_to_string(server.path("made/hotdns.yaml"))?;
    server.write(
        "made/taken.yaml",
        &config.replace(&format!("dns_port: {port}"), &format!("dns_port: {taken}")),
    )?;
    let in_the_way = hotdns(&server, &["doctor", "--config", "made/taken.yaml"])?;
    ensure!(in_the_way.code == 1, "{}", in_the_way.out);
    ensure!(
        in_the_way.out.contains("FAIL") && in_the_way.out.contains("command_line"),
        "{}",
        in_the_way.out
    );
    server.write("made/zones/example.net.zone", "no zone\n")?;
    let broken = hotdns(&server, &["doctor", "--config", "made/hotdns.yaml"])?;
    ensure!(broken.code == 1 && broken.out.contains("SERVFAIL"), "{}", broken.out);
    Ok(())
}

#[test]
fn man_pages_and_completions_have_every_verb() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = program()?;
    let made = Command::new(&program).arg("man-pages").arg(folder.path()).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let help = Command::new(&program).arg("--help").output()?;
    let help = String::from_utf8(help.stdout)?;
    let verbs = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let verbs: Vec<&str> = verbs
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    ensure!(verbs.len() > 10, "{help}");
    for verb in verbs {
        ensure!(
            folder.path().join(format!("hotdns-{verb}.1")).is_file(),
            "no man page of {verb}"
        );
        for shell in ["bash", "zsh", "fish"] {
            let script = Command::new(&program).args(["completions", shell]).output()?;
            ensure!(
                String::from_utf8(script.stdout)?.contains(verb),
                "{shell} does not know {verb}"
            );
        }
    }
    Ok(())
}
