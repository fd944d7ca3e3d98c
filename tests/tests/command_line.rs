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
