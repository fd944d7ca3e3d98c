//! The running server while it starts, without its records, without room, with a log that nobody reads; and its end.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tests::net::{PATIENCE, is_skipped};
use tests::server::{Server, ZONE, eventually, free_port, program};

/// A program that need not become ready, in a folder of its own; killed when dropped.
struct Started {
    child: Child,
    log: std::path::PathBuf,
    dns: SocketAddr,
    http: SocketAddr,
}

impl Started {
    /// `hotdns run`, behind the words of `before`; `more` is put at the end of the configuration.
    fn new(folder: &Path, before: &[&str], more: &str) -> Result<Self> {
        let (dns, http) = (free_port()?, free_port()?);
        let config = format!(
            "dns_port: {dns}\nhttp_port: {http}\nlisten: [\"127.0.0.1\"]\n\
             zones: [{{name: example.com., file: example.com.zone}}]\n{more}"
        );
        std::fs::write(folder.join("start.yaml"), config)?;
        std::fs::write(folder.join("example.com.zone"), ZONE)?;
        let log = folder.join("start.log");
        let file = File::create(&log)?;
        let server = program()?;
        let mut words = before
            .iter()
            .map(|word| (*word).into())
            .collect::<Vec<std::ffi::OsString>>();
        words.extend([
            server.into(),
            "run".into(),
            "--config".into(),
            folder.join("start.yaml").into(),
        ]);
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stderr(file)
            .spawn()?;
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Ok(Self {
            child,
            log,
            dns: address(dns),
            http: address(http),
        })
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The process that is the server, where another one has started it.
    fn pid(&self) -> Result<Pid> {
        let own = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        let server = children.split_whitespace().next().map(str::parse).transpose()?;
        Ok(Pid::from_raw(server.unwrap_or(own as i32)))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid()?, signal).context("cannot send a signal")
    }

    /// Waits until it is `hotdns`, and holds signals back or has handlers for them.
    fn wait_for_signals(&self) -> Result<()> {
        eventually("signals are expected", || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let mask = |name: &str| u64::from_str_radix(field(name).unwrap_or("0"), 16);
            // Bit 0 is SIGHUP, bit 14 SIGTERM (signal(7)).
            let wanted = 1 | 1 << 14;
            Ok(field("Name:") == Some("hotdns") && (mask("SigBlk:")? | mask("SigCgt:")?) & wanted == wanted)
        })
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(start.elapsed() < PATIENCE, "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The status and body of a request; an error where nobody answers.
    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let reply = tests::server::request(&self.http, method, path, body)?;
        let body = serde_json::from_str(&reply.text).unwrap_or(Value::String(reply.text));
        Ok((reply.status, body))
    }

    fn put(&self, owner: &str) -> Result<(u16, Value)> {
        let body = json!({"name": owner, "type": "A", "value": ["192.0.2.77"]});
        self.request("POST", "/api/v1/records", Some(&body))
    }

    /// Waits until `/ready` has this status; its body.
    fn wait_for_ready(&mut self, wanted: u16) -> Result<Value> {
        let mut found = Value::Null;
        let start = Instant::now();
        loop {
            match self.request("GET", "/ready", None) {
                Ok((status, body)) if status == wanted && !body.to_string().contains("the server starts") => {
                    found = body;
                }
                _ => {}
            }
            if found != Value::Null {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended ({status}): {}", self.log());
            }
            ensure!(start.elapsed() < PATIENCE, "/ready is not {wanted}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn dig(&self, arguments: &[&str]) -> Result<String> {
        let (address, port) = (format!("@{}", self.dns.ip()), self.dns.port().to_string());
        let fixed = [address.as_str(), "-p", port.as_str(), "+time=5", "+tries=2"];
        tests::net::run("dig", &[&fixed, arguments].concat())
    }

    fn metric(&self, line: &str) -> Result<bool> {
        let (_, text) = self.request("GET", "/metrics", None)?;
        Ok(text
            .as_str()
            .is_some_and(|text| text.lines().any(|found| found == line)))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Either may have ended already, which is what is wanted.
        let _ = self.signal(Signal::SIGKILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Records enough that to read them takes a while.
fn many_records() -> String {
    let record = |number| format!("  - {{name: r{number}.example.net., type: A, value: [192.0.2.1]}}\n");
    let records: String = (0..50_000).map(record).collect();
    format!("xdp: {{mode: off}}\nstorage: {{path: state}}\nrecords:\n{records}")
}

#[test]
fn a_sighup_during_the_start_is_a_reload_after_it() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let mut server = Started::new(folder.path(), &[], &many_records())?;
    server.wait_for_signals()?;
    server.signal(Signal::SIGHUP)?;
    server.wait_for_ready(200)?;
    eventually("reloaded", || Ok(server.log().contains("reloaded: ")))?;
    server.signal(Signal::SIGTERM)?;
    assert_eq!(server.wait()?.code(), Some(0), "{}", server.log());
    // One reload, said once.
    let log = server.log();
    assert_eq!(log.matches("SIGHUP").count(), 1, "{log}");
    assert_eq!(log.matches("reloaded").count(), 1, "{log}");
    assert!(log.trim_end().ends_with("stopped"), "nothing is lost at the end: {log}");
    Ok(())
}

#[test]
fn a_signal_to_stop_during_the_start_ends_it_cleanly() -> Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let folder = tempfile::TempDir::new()?;
        let mut server = Started::new(folder.path(), &[], &many_records())?;
        server.wait_for_signals()?;
        server.signal(signal)?;
        let status = server.wait()?;
        assert_eq!(
            status.code(),
            Some(0),
            "{status}, {:?}: {}",
            status.signal(),
            server.log()
        );
        assert!(server.log().contains(signal.as_str()), "{}", server.log());
    }
    Ok(())
}

#[test]
fn signals_reach_it_as_the_first_process() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let folder = tempfile::TempDir::new()?;
        let mut server = Started::new(folder.path(), &["unshare", "--pid", "--fork"], &many_records())?;
        server.wait_for_signals()?;
        server.signal(Signal::SIGHUP)?;
        server.signal(signal)?;
        assert_eq!(server.wait()?.code(), Some(0), "{}", server.log());
        assert!(server.log().contains(signal.as_str()), "{}", server.log());
    }
    Ok(())
}

#[test]
fn a_second_process_on_the_same_records_waits_for_them() -> Result<()> {
    let mut first = Server::start("")?;
    let body = json!({"name": "api.example.net", "type": "A", "value": ["192.0.2.5"]});
    ensure!(first.request("POST", "/api/v1/records", Some(&body))?.status == 201);
    let state = first.path("state").display().to_string();

    let folder = tempfile::TempDir::new()?;
    let more = format!("xdp: {{interfaces: [lo]}}\nstorage: {{path: \"{state}\"}}\n");
    let mut second = Started::new(folder.path(), &[], &more)?;
    let body = second.wait_for_ready(503)?;
    assert_eq!(body["code"], "not_ready", "{body}");
    assert_eq!(body["storage"], "held", "{body}");
    assert!(
        body["detail"]
            .as_str()
            .is_some_and(|text| text.contains("another process holds")),
        "{body}"
    );
    // Nothing is denied, nothing given from files alone, and nothing forwarded: over both transports, from any plane.
    for name in ["api.example.net", "nope.example.com", "www.example.com", "example.org"] {
        for transport in ["+notcp", "+tcp"] {
            let answer = second.dig(&[name, transport])?;
            assert!(
                answer.contains("status: SERVFAIL") && answer.contains("EDE: 14"),
                "{answer}"
            );
        }
    }
    assert!(second.metric("hotdns_ready 0")? && second.metric("hotdns_storage_state{state=\"held\"} 1")?);
    assert_eq!(second.request("GET", "/api/v1/records/api.example.net", None)?.0, 503);
    assert_eq!(second.put("b.example.net")?.0, 503);
    assert_eq!(second.request("GET", "/health", None)?.0, 200);

    first.stop()?;
    // By time: nobody has sent a command.
    second.wait_for_ready(200)?;
    let answer = second.dig(&["api.example.net", "+short"])?;
    assert_eq!(answer.trim(), "192.0.2.5");
    assert!(second.dig(&["nope.example.com"])?.contains("NXDOMAIN"));
    assert!(second.metric("hotdns_ready 1")? && second.metric("hotdns_storage_state{state=\"open\"} 1")?);
    assert_eq!(second.put("b.example.net")?.0, 201);
    second.signal(Signal::SIGTERM)?;
    assert_eq!(second.wait()?.code(), Some(0), "{}", second.log());
    Ok(())
}

#[test]
fn where_a_person_says_so_the_files_are_served_without_the_records() -> Result<()> {
    let first = Server::start("")?;
    let state = first.path("state").display().to_string();
    let folder = tempfile::TempDir::new()?;
    let more = format!("xdp: {{mode: off}}\nstorage: {{path: \"{state}\", required: false}}\n");
    let mut second = Started::new(folder.path(), &[], &more)?;
    let body = second.wait_for_ready(200)?;
    assert_eq!(
        (&body["status"], &body["storage"]),
        (&json!("ready"), &json!("held")),
        "{body}"
    );
    assert_eq!(second.dig(&["www.example.com", "+short"])?.trim(), "192.0.2.80");
    let (status, refused) = second.put("b.example.net")?;
    assert_eq!((status, &refused["code"]), (503, &json!("storage_locked")), "{refused}");
    Ok(())
}

#[test]
fn a_stop_while_the_records_are_waited_for_is_clean() -> Result<()> {
    let first = Server::start("")?;
    let state = first.path("state").display().to_string();
    let folder = tempfile::TempDir::new()?;
    let more = format!("xdp: {{mode: off}}\nstorage: {{path: \"{state}\"}}\n");
    let mut second = Started::new(folder.path(), &[], &more)?;
    second.wait_for_ready(503)?;
    second.signal(Signal::SIGTERM)?;
    assert_eq!(second.wait()?.code(), Some(0), "{}", second.log());
    Ok(())
}

#[test]
fn a_log_of_the_database_on_a_read_only_disk_is_waited_for() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut first = Server::start("")?;
    let body = json!({"name": "api.example.net", "type": "A", "value": ["192.0.2.5"]});
    ensure!(first.request("POST", "/api/v1/records", Some(&body))?.status == 201);
    // What it has written is in the log alone.
    first.kill()?;
    let state = first.path("state").display().to_string();
    let folder = tempfile::TempDir::new()?;
    let more = format!("xdp: {{mode: off}}\nstorage: {{path: \"{state}\"}}\n");
    let script = format!("mount --bind {state} {state} && mount -o remount,ro,bind {state} && exec \"$@\"");
    let mut second = Started::new(folder.path(), &["unshare", "--mount", "sh", "-c", &script, "sh"], &more)?;
    let body = second.wait_for_ready(503)?;
    let detail = body["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains("is read-only") && detail.contains("hotdns.db-wal"),
        "{body}"
    );
    let answer = second.dig(&["api.example.net"])?;
    assert!(answer.contains("SERVFAIL") && answer.contains("EDE: 14"), "{answer}");
    drop(second);

    // Without such a log the records are read, and served.
    first.run()?;
    first.stop()?;
    let mut third = Started::new(folder.path(), &["unshare", "--mount", "sh", "-c", &script, "sh"], &more)?;
    let body = third.wait_for_ready(200)?;
    assert_eq!(body["storage"], "read_only", "{body}");
    assert_eq!(third.dig(&["api.example.net", "+short"])?.trim(), "192.0.2.5");
    let (status, refused) = third.put("b.example.net")?;
    assert_eq!((status, &refused["code"]), (503, &json!("storage_locked")), "{refused}");
    Ok(())
}

#[test]
fn what_keeps_the_database_from_being_used_is_said_in_words() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let folder = tempfile::TempDir::new()?;
    let place = folder.path();
    tests::net::run("chmod", &["0755", &place.display().to_string()])?;
    let copy = place.join("hotdns");
    std::fs::copy(program()?, &copy)?;
    let make = |name: &str, mode: u32| -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let state = place.join(name);
        std::fs::create_dir(&state)?;
        std::fs::set_permissions(&state, PermissionsExt::from_mode(mode))?;
        Ok(())
    };
    make("root", 0o755)?;
    make("others", 0o777)?;
    make("folder", 0o777)?;
    std::fs::create_dir(place.join("folder/hotdns.db"))?;
    make("closed", 0o700)?;
    std::fs::write(place.join("file"), "")?;
    // Somebody else's database.
    let database = place.join("others/hotdns.db");
    std::fs::write(&database, "")?;
    tests::net::run("chmod", &["0600", &database.display().to_string()])?;
    // As the user nobody. The program itself may lie where nobody else may look.
    let start = |own: &tempfile::TempDir, state: &str| -> Result<Started> {
        tests::net::run("chmod", &["0755", &own.path().display().to_string()])?;
        let more = format!(
            "xdp: {{mode: off}}\nstorage: {{path: \"{}\"}}\n",
            place.join(state).display()
        );
        let script = format!("shift; exec {} \"$@\"", copy.display());
        let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let shell = ["sh", "-c", &script, "sh"];
        Started::new(own.path(), &[&user[..], &shell].concat(), &more)
    };
    let cases = [
        // Whether there are records is known: ready; or it is not.
        ("root", 200, "belongs to the user root"),
        ("missing/below", 200, "cannot create the folder"),
        ("file", 200, "file is a file"),
        ("file/below", 200, "file is a file"),
        ("others", 503, "hotdns.db belongs to the user root"),
        ("closed", 503, "belongs to the user root"),
        ("folder", 503, "hotdns.db is a folder"),
    ];
    for (state, expected, text) in cases {
        let own = tempfile::TempDir::new()?;
        let mut server = start(&own, state)?;
        let body = server.wait_for_ready(expected).with_context(|| state.to_owned())?;
        let reason = body["reason"].as_str().or(body["detail"].as_str()).unwrap_or_default();
        assert!(
            reason.contains(text) && !reason.contains("disk I/O error"),
            "{state}: {body}"
        );
        assert!(server.log().contains(text), "{state}: {}", server.log());
        let (status, refused) = server.put("b.example.net")?;
        assert_eq!(
            (status, &refused["code"]),
            (503, &json!("storage_locked")),
            "{state}: {refused}"
        );
    }
    // Once it is put right it goes on, with no restart.
    let own = tempfile::TempDir::new()?;
    let mut server = start(&own, "others")?;
    server.wait_for_ready(503)?;
    tests::net::run("chown", &["65534", &database.display().to_string()])?;
    server.wait_for_ready(200)?;
    assert_eq!(server.put("b.example.net")?.0, 201);
    Ok(())
}

#[test]
fn a_damaged_database_refuses_the_start_and_says_what_to_do() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    std::fs::create_dir(folder.path().join("state"))?;
    std::fs::write(
        folder.path().join("state/hotdns.db"),
        "no database, but long enough".repeat(100),
    )?;
    let mut server = Started::new(folder.path(), &[], "xdp: {mode: off}\nstorage: {path: state}\n")?;
    assert_eq!(server.wait()?.code(), Some(1));
    let log = server.log();
    assert!(
        log.contains("hotdns.db is damaged") && log.contains("restore it from a backup"),
        "{log}"
    );
    Ok(())
}

#[test]
fn a_full_disk_refuses_changes_until_there_is_room() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let folder = tempfile::TempDir::new()?;
    let state = folder.path().join("state");
    std::fs::create_dir(&state)?;
    let shown = state.display().to_string();
    let script = format!("mount -t tmpfs -o size=256k none {shown} && exec \"$@\"");
    let more = "xdp: {mode: off}\nstorage: {path: state}\n";
    let mut server = Started::new(folder.path(), &["unshare", "--mount", "sh", "-c", &script, "sh"], more)?;
    server.wait_for_ready(200)?;
    assert_eq!(server.put("before.example.net")?.0, 201);
    // Seen from here, the server's disk is below /proc.
    let disk = format!("/proc/{}/root{shown}", server.pid()?);
    let filler = Path::new(&disk).join("filler");
    ensure!(
        std::fs::write(&filler, vec![0; 1 << 20]).is_err(),
        "the disk is full now"
    );
    let mut owners = Vec::new();
    let refused = loop {
        let owner = format!("n{}.example.net", owners.len());
        match server.put(&owner)? {
            (201, _) => owners.push(owner),
            refused => break refused,
        }
        ensure!(owners.len() < 10_000, "it never gets full");
    };
    assert_eq!(
        (refused.0, &refused.1["code"]),
        (503, &json!("storage_locked")),
        "{refused:?}"
    );
    assert!(
        refused.1["detail"]
            .as_str()
            .is_some_and(|text| text.contains("the disk is full")),
        "{refused:?}"
    );
    assert_eq!(server.dig(&["before.example.net", "+short"])?.trim(), "192.0.2.77");
    std::fs::remove_file(&filler)?;
    eventually("there is room again", || Ok(server.put("after.example.net")?.0 == 201))?;
    // Nothing of what was refused is there.
    let refused = format!("n{}.example.net", owners.len());
    assert!(!server.dig(&[&refused])?.contains("192.0.2.77"));
    Ok(())
}

#[test]
fn a_database_that_goes_while_it_runs_is_noticed() -> Result<()> {
    let mut server = Server::start("")?;
    let put = |server: &Server, owner: &str| {
        let body = json!({"name": owner, "type": "A", "value": ["192.0.2.5"]});
        server.request("POST", "/api/v1/records", Some(&body))
    };
    assert_eq!(put(&server, "a.example.net")?.status, 201);
    std::fs::rename(server.path("state/hotdns.db"), server.path("aside"))?;
    let refused = put(&server, "b.example.net")?;
    refused.json["detail"]
        .as_str()
        .filter(|text| text.contains("deleted or moved") && text.contains("put the file back"))
        .with_context(|| refused.text.clone())?;
    assert_eq!((refused.status, &refused.json["code"]), (503, &json!("storage_locked")));
    assert_eq!(
        server.dig(&["a.example.net", "+short"])?.trim(),
        "192.0.2.5",
        "it is served"
    );
    let ready = server.request("GET", "/ready", None)?;
    assert_eq!(
        (ready.status, &ready.json["storage"]),
        (200, &json!("replaced")),
        "{}",
        ready.text
    );
    std::fs::rename(server.path("aside"), server.path("state/hotdns.db"))?;
    assert_eq!(put(&server, "b.example.net")?.status, 201);

    // Without a change, too: it is looked at by time.
    std::fs::rename(server.path("state"), server.path("elsewhere"))?;
    eventually("noticed", || {
        Ok(server.metric("hotdns_storage_state{state=\"replaced\"}")? == 1.0)
    })?;
    std::fs::rename(server.path("elsewhere"), server.path("state"))?;
    server.stop()?;
    server.run()?;
    for owner in ["a.example.net", "b.example.net"] {
        assert_eq!(server.dig(&[owner, "+short"])?.trim(), "192.0.2.5");
    }
    Ok(())
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let (dns, http) = (free_port()?, free_port()?);
    let config = format!(
        "dns_port: {dns}\nhttp_port: {http}\nlisten: [\"127.0.0.1\"]\nxdp: {{mode: off}}\n\
         storage: {{path: state}}\n"
    );
    std::fs::write(folder.path().join("start.yaml"), config)?;
    let (mut reader, writer) = std::io::pipe()?;
    let child = Command::new(program()?)
        .args(["run", "--config"])
        .arg(folder.path().join("start.yaml"))
        .stdin(Stdio::null())
        .stderr(writer)
        .spawn()?;
    let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let mut server = Started {
        child,
        log: folder.path().join("none"),
        dns: address(dns),
        http: address(http),
    };
    server.wait_for_ready(200)?;
    // A reload that fails logs 101 lines, of some 1,100 octets each. The pipe takes 64 KiB, and the server keeps 4 MiB.
    let unknown = |number| format!("k{number}{}: 1\n", "x".repeat(900));
    std::fs::write(
        folder.path().join("start.yaml"),
        (0..101).map(unknown).collect::<String>(),
    )?;
    eventually("lines are dropped", || {
        let (status, body) = server.request("POST", "/api/v1/reload", None)?;
        assert_eq!((status, &body["code"]), (422, &json!("reload_failed")), "{body}");
        Ok(!server.metric("hotdns_log_lines_dropped_total 0")?)
    })?;
    assert_eq!(server.put("last.example.net")?.0, 201);
    assert_eq!(server.dig(&["last.example.net", "+short"])?.trim(), "192.0.2.77");
    server.signal(Signal::SIGHUP)?;
    server.signal(Signal::SIGTERM)?;
    assert_eq!(server.wait()?.code(), Some(0));
    let mut log = String::new();
    reader.read_to_string(&mut log)?;
    assert!(log.contains(": ready "), "what came first is there");
    Ok(())
}

#[test]
fn zone_files_that_cannot_be_written_are_served_and_take_no_changes() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let folder = tempfile::TempDir::new()?;
    let zones = folder.path().join("zones");
    std::fs::create_dir(&zones)?;
    let shown = zones.display().to_string();
    let script = format!("mount -t tmpfs -o size=64k none {shown} && exec \"$@\"");
    let more = "xdp: {mode: off}\nstorage: {path: state}\nzone_folder: {path: zones}\n";
    let mut server = Started::new(folder.path(), &["unshare", "--mount", "sh", "-c", &script, "sh"], more)?;
    server.wait_for_ready(200)?;
    let zone =
        json!({"name": "shop.example", "records": [{"name": "www.shop.example", "type": "A", "value": "192.0.2.1"}]});
    let made = server.request("POST", "/api/v1/zones", Some(&zone))?;
    ensure!(made.0 == 201, "{made:?}");
    let put = |value: &str| {
        let body = json!({"value": value});
        server.request("PUT", "/api/v1/records/www.shop.example?type=A", Some(&body))
    };
    let is_refused = |value: &str| -> Result<()> {
        let (status, body) = put(value)?;
        ensure!((status, &body["code"]) == (503, &json!("storage_locked")), "{body}");
        let detail = body["detail"].as_str().unwrap_or_default();
        ensure!(detail.contains("shop.example.zone cannot be written"), "{body}");
        Ok(())
    };
    let answer = || -> Result<String> { Ok(server.dig(&["www.shop.example", "+short"])?.trim().to_owned()) };
    // Seen from here, the server's disk is below /proc.
    let pid = server.pid()?.to_string();
    let disk = format!("/proc/{pid}/root{shown}");
    let files = || -> Result<Vec<String>> {
        let listed = std::fs::read_dir(&disk)?.flatten();
        let mut names: Vec<String> = listed
            .map(|file| file.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    };
    let filler = Path::new(&disk).join("filler");
    ensure!(
        std::fs::write(&filler, vec![0; 1 << 20]).is_err(),
        "the disk is full now"
    );
    is_refused("192.0.2.2")?;
    ensure!(answer()? == "192.0.2.1" && files()? == ["filler", "shop.example.zone"]);
    std::fs::remove_file(&filler)?;
    ensure!(put("192.0.2.2")?.0 == 200 && answer()? == "192.0.2.2");

    let remount = |how: &str| tests::net::run("nsenter", &["-t", &pid, "-m", "mount", "-o", how, &shown]);
    remount("remount,ro")?;
    is_refused("192.0.2.3")?;
    ensure!(answer()? == "192.0.2.2" && files()? == ["shop.example.zone"]);
    remount("remount,rw")?;
    ensure!(put("192.0.2.3")?.0 == 200 && answer()? == "192.0.2.3");
    Ok(())
}
