//! The program's verbs against a running server: what they print, what they change, and their exit codes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::net::is_skipped;
use tests::server::{Server, eventually, program};

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

#[test]
fn files_are_imported_applied_and_pruned_in_one_change_set() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = Server::start("")?;
    let hosts = "192.0.2.1 one.lab.example\n192.0.2.2 two.lab.example\n";
    let dry = hotdns_with(&server, &["import", "--format", "hosts", "--dry-run", "-"], &[], hosts)?;
    ensure!(
        dry.code == 0 && dry.out.contains("2 RRsets would change"),
        "{} {}",
        dry.out,
        dry.err
    );
    assert_eq!(hotdns(&server, &["record", "get", "one.lab.example"])?.code, 3);
    let imported = hotdns_with(&server, &["import", "--format", "hosts", "-"], &[], hosts)?;
    ensure!(
        imported.code == 0 && imported.out.contains("2 RRsets changed"),
        "{} {}",
        imported.out,
        imported.err
    );
    ensure!(server.dig(&["+short", "two.lab.example"])?.contains("192.0.2.2"));
    // The same again is nothing.
    let again = hotdns_with(&server, &["import", "--format", "hosts", "-"], &[], hosts)?;
    ensure!(
        again.code == 0 && again.out.contains("0 RRsets changed"),
        "{} {}",
        again.out,
        again.err
    );
    // A folder that says less, with --prune.
    std::fs::create_dir(server.path("wanted"))?;
    server.write(
        "wanted/lab.csv",
        "name,type,ttl,value\none.lab.example,A,60,192.0.2.9\n",
    )?;
    let applied = hotdns(&server, &["apply", "wanted", "--prune", "--comment", "less"])?;
    ensure!(
        applied.code == 0 && applied.out.contains("- two.lab.example."),
        "{} {}",
        applied.out,
        applied.err
    );
    let left = hotdns(&server, &["export", "--source", "api", "--format", "csv"])?;
    assert_eq!(left.out, "name,type,ttl,value\none.lab.example.,A,60,192.0.2.9\n");
    // Whole or not at all: the second RRset is no good.
    server.write(
        "bad.csv",
        "name,type,ttl,value\nx.lab.example,A,60,192.0.2.1\nx.lab.example,CNAME,60,y.example.\n",
    )?;
    let refused = hotdns(&server, &["apply", "bad.csv"])?;
    ensure!(
        refused.code == 4 && refused.err.contains("/edits/1"),
        "{} {}",
        refused.code,
        refused.err
    );
    assert_eq!(hotdns(&server, &["record", "get", "x.lab.example"])?.code, 3);
    Ok(())
}

#[test]
fn zones_are_created_edited_and_rolled_back() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = Server::start("")?;
    server.write(
        "new.zone",
        "$TTL 300\n@ SOA ns1 h 1 2 3 4 300\n@ NS ns1\nns1 A 192.0.2.53\nwww A 192.0.2.1\n",
    )?;
    let created = hotdns(&server, &["zone", "create", "new.example", "--file", "new.zone"])?;
    ensure!(
        created.code == 0 && created.out.contains("new.example."),
        "{} {}",
        created.out,
        created.err
    );
    let listed = hotdns(&server, &["zone", "list"])?;
    ensure!(
        listed.out.contains("new.example.") && listed.out.contains("example.com."),
        "{}",
        listed.out
    );
    let exported = hotdns(&server, &["zone", "export", "new.example"])?;
    ensure!(
        exported.out.contains("www.new.example. 300 IN A 192.0.2.1"),
        "{}",
        exported.out
    );
    // An editor that changes one address.
    let editor = [
        ("EDITOR", "sed -i s/192.0.2.1$/192.0.2.2/"),
        ("VISUAL", "sed -i s/192.0.2.1$/192.0.2.2/"),
    ];
    let edited = hotdns_with(&server, &["zone", "edit", "new.example", "--yes"], &editor, "")?;
    ensure!(edited.code == 0, "{} {}", edited.out, edited.err);
    ensure!(
        edited.out.contains("+ www.new.example. 300 A 192.0.2.2"),
        "{}",
        edited.out
    );
    ensure!(server.dig(&["+short", "www.new.example"])?.contains("192.0.2.2"));
    let history = hotdns(&server, &["history", "--zone", "new.example", "-o", "json"])?.json()?;
    let entries = history["entries"].as_array().context("entries")?;
    ensure!(entries.len() == 2, "{history}");
    let first = entries
        .iter()
        .filter_map(|entry| entry["version"].as_u64())
        .min()
        .context("a version")?
        .to_string();
    let back = hotdns(&server, &["rollback", "new.example", "--to", &first])?;
    ensure!(
        back.code == 0 && back.out.contains("+ www.new.example. 300 A 192.0.2.1"),
        "{} {}",
        back.out,
        back.err
    );
    ensure!(server.dig(&["+short", "www.new.example"])?.contains("192.0.2.1"));
    let shown = hotdns(&server, &["history", "--zone", "new.example", "--diff"])?;
    ensure!(
        shown.out.contains("- www.new.example. 300 A 192.0.2.2"),
        "{}",
        shown.out
    );
    let deleted = hotdns(&server, &["zone", "delete", "new.example"])?;
    ensure!(deleted.code == 2 && deleted.err.contains("--yes"), "{}", deleted.err);
    let deleted = hotdns(&server, &["zone", "delete", "new.example", "--yes"])?;
    ensure!(deleted.code == 0, "{}", deleted.err);
    assert_eq!(hotdns(&server, &["zone", "show", "new.example"])?.code, 3);
    Ok(())
}

#[test]
fn rrsets_are_locked_and_disabled() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = Server::start("")?;
    hotdns(&server, &["record", "set", "a.example.com", "A", "192.0.2.1"])?;
    let locked = hotdns(
        &server,
        &["record", "lock", "a.example.com", "A", "--note", "the proxy"],
    )?;
    ensure!(
        locked.code == 0 && locked.out.contains("[note: the proxy, locked]"),
        "{} {}",
        locked.out,
        locked.err
    );
    let refused = hotdns(&server, &["record", "set", "a.example.com", "A", "192.0.2.2"])?;
    ensure!(refused.code == 4, "{} {}", refused.code, refused.err);
    let unlocked = hotdns(&server, &["record", "unlock", "a.example.com", "A"])?;
    ensure!(unlocked.code == 0, "{}", unlocked.err);
    let disabled = hotdns(&server, &["record", "disable", "a.example.com", "A"])?;
    ensure!(
        disabled.code == 0 && disabled.out.contains("disabled"),
        "{} {}",
        disabled.out,
        disabled.err
    );
    ensure!(!server.dig(&["+short", "a.example.com"])?.contains("192.0.2.1"));
    let enabled = hotdns(&server, &["record", "enable", "a.example.com", "A"])?;
    ensure!(enabled.code == 0, "{}", enabled.err);
    ensure!(server.dig(&["+short", "a.example.com"])?.contains("192.0.2.1"));
    let missing = hotdns(&server, &["record", "lock", "nowhere.example.com"])?;
    ensure!(missing.code == 3, "{} {}", missing.code, missing.err);
    Ok(())
}

#[test]
fn all_that_a_filter_finds_is_locked_and_disabled() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = Server::start("")?;
    for (name, address) in [("a", "192.0.2.1"), ("b", "192.0.2.2"), ("c", "192.0.2.20")] {
        hotdns(
            &server,
            &["record", "set", &format!("{name}.example.com"), "A", address],
        )?;
    }
    let verb = |verb: &str, more: &[&str]| -> Result<Said> {
        let line = [&["record", verb, "--query", "192.0.2.2"], more].concat();
        let outcome = hotdns(&server, &line)?;
        ensure!(outcome.code == 0, "{verb}: {}", outcome.err);
        Ok(outcome)
    };
    let tried = verb("disable", &["--dry-run"])?;
    ensure!(
        tried.out.contains("b.example.com") && tried.out.contains("c.example.com"),
        "{}",
        tried.out
    );
    ensure!(server.dig(&["+short", "b.example.com"])?.contains("192.0.2.2"));
    verb("disable", &["--note", "old"])?;
    for name in ["b", "c"] {
        ensure!(
            server
                .dig(&["+short", &format!("{name}.example.com")])?
                .trim()
                .is_empty()
        );
    }
    ensure!(server.dig(&["+short", "a.example.com"])?.contains("192.0.2.1"));
    verb("enable", &[])?;
    ensure!(server.dig(&["+short", "c.example.com"])?.contains("192.0.2.20"));
    verb("lock", &["--zone", "example.com"])?;
    let refused = hotdns(&server, &["record", "remove", "b.example.com"])?;
    ensure!(refused.code == 4, "{} {}", refused.code, refused.err);
    let free = hotdns(&server, &["record", "remove", "a.example.com"])?;
    ensure!(free.code == 0, "{}", free.err);
    Ok(())
}

#[test]
fn changes_are_watched_as_they_happen() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = Server::start("")?;
    let watcher = Command::new(program()?)
        .args(["watch", "--since", "0", "--count", "2"])
        .env("HOTDNS_URL", format!("http://{}", server.http))
        .stdout(Stdio::piped())
        .spawn()?;
    hotdns(&server, &["record", "set", "a.example.com", "A", "192.0.2.1"])?;
    hotdns(&server, &["record", "remove", "a.example.com"])?;
    let output = watcher.wait_with_output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success() && said.lines().count() == 2, "{said}");
    Ok(())
}

#[test]
fn a_backup_is_restored() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut server = Server::start("")?;
    hotdns(&server, &["record", "set", "kept.example.com", "A", "192.0.2.1"])?;
    let made = hotdns(&server, &["backup", "copy.db"])?;
    ensure!(
        made.code == 0 && made.out.contains("wrote copy.db"),
        "{} {}",
        made.out,
        made.err
    );
    ensure!(
        hotdns(&server, &["backup", "copy.db"])?.code == 1,
        "it replaces nothing"
    );
    hotdns(&server, &["record", "set", "late.example.com", "A", "192.0.2.2"])?;
    let running = hotdns(&server, &["restore", "copy.db", "--config", "hotdns.yaml"])?;
    ensure!(
        running.code == 1 && running.err.contains("stop the server"),
        "{} {}",
        running.out,
        running.err
    );
    server.stop()?;
    let restored = hotdns(&server, &["restore", "copy.db", "--config", "hotdns.yaml"])?;
    ensure!(
        restored.code == 0 && restored.out.contains("restored 1 RRsets"),
        "{} {}",
        restored.out,
        restored.err
    );
    server.run()?;
    let all = hotdns(&server, &["export", "--source", "api", "--format", "csv"])?;
    assert_eq!(all.out, "name,type,ttl,value\nkept.example.com.,A,300,192.0.2.1\n");
    Ok(())
}

#[test]
fn tokens_have_a_scope_and_answers_are_explained() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut server = Server::start("")?;
    let explained = hotdns(&server, &["explain", "www.example.com"])?;
    ensure!(
        explained.code == 0 && explained.out.contains("zone_file"),
        "{} {}",
        explained.out,
        explained.err
    );
    server.stop()?;
    server.write("token", "0123456789abcdef\n")?;
    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    server.write(
        "hotdns.yaml",
        &format!("{config}http: {{token_file: token, tokens_file: tokens.yaml}}\n"),
    )?;
    server.run()?;
    let root = [("HOTDNS_TOKEN", "0123456789abcdef")];
    let arguments = [
        "token",
        "create",
        "acme",
        "--match",
        "_acme-challenge.*",
        "--type",
        "TXT",
        "--expires-in",
        "90d",
    ];
    let made = hotdns_with(&server, &arguments, &root, "")?;
    ensure!(
        made.code == 0 && made.out.starts_with("hotdns_"),
        "{} {}",
        made.out,
        made.err
    );
    let acme = [("HOTDNS_TOKEN", made.out.trim())];
    let allowed = ["record", "set", "_acme-challenge.example.com", "TXT", "proof"];
    let allowed = hotdns_with(&server, &allowed, &acme, "")?;
    ensure!(allowed.code == 0, "{}", allowed.err);
    let refused = hotdns_with(
        &server,
        &["record", "set", "x.example.com", "A", "192.0.2.1"],
        &acme,
        "",
    )?;
    ensure!(
        refused.code == 5 && refused.err.contains("_acme-challenge"),
        "{} {}",
        refused.code,
        refused.err
    );
    let listed = hotdns_with(&server, &["token", "list", "-o", "json"], &root, "")?.json()?;
    let id = listed["tokens"][0]["id"].as_str().context("an id")?;
    ensure!(hotdns_with(&server, &["token", "delete", id], &root, "")?.code == 0);
    ensure!(hotdns_with(&server, &["record", "list"], &acme, "")?.code == 5);
    Ok(())
}

#[test]
fn upstream_servers_the_cache_and_rules_are_shown_and_changed() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let server = Server::start(
        "backend: {upstream: {enabled: true, servers: [\"127.0.0.9\"]}}\nrules: [{name: ads, block: {names: \
         [ads.example]}}]\n",
    )?;
    let shown = hotdns(&server, &["upstreams"])?;
    ensure!(shown.code == 0 && shown.out.contains("127.0.0.9"), "{}", shown.out);
    let shown = hotdns(&server, &["upstreams", "--output", "json"])?.json()?;
    ensure!(shown["upstreams"][0]["name"] == "default", "{shown}");
    let names = hotdns(&server, &["upstreams", "names", "--limit", "5", "--output", "yaml"])?;
    ensure!(names.code == 0 && names.out.contains("names: []"), "{}", names.out);
    ensure!(hotdns(&server, &["upstreams", "names", "--limit", "0"])?.code == 1);

    let listed = hotdns(&server, &["cache", "list", "--output", "json"])?.json()?;
    ensure!(listed["more"] == 0, "{listed}");
    for arguments in [&["--all"][..], &["a.example"], &["a.example", "--tree"]] {
        let flushed = hotdns(&server, &[&["cache", "flush"], arguments].concat())?;
        ensure!(
            flushed.code == 0 && flushed.out == "answers taken out: 0\n",
            "{}",
            flushed.out
        );
    }
    for arguments in [&[][..], &["--tree"], &["--all", "a.example"]] {
        ensure!(hotdns(&server, &[&["cache", "flush"], arguments].concat())?.code == 2);
    }

    let paused = hotdns(&server, &["rule", "pause", "ads", "--for", "10m"])?;
    ensure!(paused.out == "ads is off for 600 s\n", "{}{}", paused.out, paused.err);
    let listed = hotdns(&server, &["rule", "list", "--output", "json"])?.json()?;
    ensure!(
        listed["rules"][0]["paused_for"].as_u64().is_some_and(|left| left > 500),
        "{listed}"
    );
    ensure!(hotdns(&server, &["rule", "resume", "ads"])?.out == "ads is in force\n");
    ensure!(hotdns(&server, &["rule", "list"])?.out.contains("block"));
    ensure!(hotdns(&server, &["rule", "pause", "none"])?.code == 3);
    Ok(())
}

#[test]
fn a_source_is_put_back_held_over_a_restart_and_let_go() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut server = Server::start("sources: {hosts: [{name: lan, path: hosts, domain: example.com}]}\n")?;
    let answers = |server: &Server, wanted: &str| {
        eventually(wanted, || {
            Ok(server.dig(&["printer.example.com", "A", "+short"])?.trim() == wanted)
        })
    };
    server.write("hosts", "192.0.2.7 printer\n")?;
    answers(&server, "192.0.2.7")?;
    let list = || hotdns(&server, &["discovery", "rollback", "hosts/lan", "--list", "-o", "json"])?.json();
    let good = list()?["entries"][0]["version"].as_u64().context("a version")?;
    server.write("hosts", "192.0.2.66 printer\n")?;
    answers(&server, "192.0.2.66")?;

    let unknown = hotdns(&server, &["discovery", "rollback", "hosts/lan", "--to", "1000000"])?;
    ensure!(
        unknown.code != 0 && unknown.err.contains("the latest version is"),
        "{}",
        unknown.err
    );
    let back = hotdns(
        &server,
        &["discovery", "rollback", "hosts/lan", "--to", &good.to_string()],
    )?;
    ensure!(back.code == 0 && back.out.contains("held"), "{} {}", back.out, back.err);
    answers(&server, "192.0.2.7")?;
    server.write("hosts", "192.0.2.67 printer\n")?;
    server.kill()?;
    server.run()?;
    eventually("held after a restart", || {
        Ok(server.metric("hotdns_source_state{kind=\"hosts\",name=\"lan\",state=\"held\"}")? == 1.0)
    })?;
    let ready = server.request("GET", "/ready", None)?;
    ensure!(
        ready.status == 200 && ready.json["degraded"][0]["source"] == "hosts/lan",
        "{ready:?}"
    );
    answers(&server, "192.0.2.7")?;
    let resumed = hotdns(&server, &["discovery", "resume", "hosts/lan"])?;
    ensure!(resumed.code == 0, "{}", resumed.err);
    answers(&server, "192.0.2.67")?;
    let again = server.request("POST", "/api/v1/sources/hosts/lan/resume", None)?;
    ensure!(again.status == 409 && again.json["code"] == "not_held", "{again:?}");
    ensure!(server.stop()?.success());
    Ok(())
}
