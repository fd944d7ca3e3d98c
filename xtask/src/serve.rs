//! `cargo xtask run`: builds, serves the sample zone, and says what to try.
//!
//! The server is a child in a process group of its own, so that Ctrl-C, `kill` and a closed terminal each reach it
//! exactly once, through this process, which ends when the server has ended.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::packages::{self, NeededBy};
use crate::{build, privilege, workspace};

const DNS: &str = "127.0.0.1:5300";
const HTTP: &str = "127.0.0.1:8080";

/// How long the server may take until it is ready, before this stops waiting to print what to try.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Serves the sample zone until a signal ends it. `arguments` go to `hotdns run`.
pub(crate) fn serve(arguments: &[OsString]) -> Result<()> {
    set_up_clients();
    let server = build::server()?;
    let dns = address(arguments, "--listen", DNS)?;
    let http = address(arguments, "--http", HTTP)?;
    // Another server there would answer in this one's place, and what to try would be tried on that.
    require_free(UdpSocket::bind(dns), dns, "--listen")?;
    require_free(TcpListener::bind(http), http, "--http")?;

    let mut command = Command::new(&server);
    command
        .arg("run")
        .arg("--config")
        .arg(workspace::root().join("xtask/sample/hotdns.yaml"));
    let chosen_by_user = arguments
        .iter()
        .any(|argument| argument.to_string_lossy().starts_with("--xdp"));
    if !chosen_by_user && !privilege::may_attach_xdp() {
        println!(
            "Without root (or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON), XDP stays off: userspace answers. To see XDP \
             answer, run\n  \
             sudo {} run --config xtask/sample/hotdns.yaml",
            workspace::shown(&server)
        );
        command.args(["--xdp", "off"]);
    }
    let mut child = command
        .args(arguments)
        .process_group(0)
        .spawn()
        .context("cannot start hotdns")?;
    let pid = Pid::from_raw(child.id().try_into().context("a process ID out of range")?);

    forward_signals(pid)?;
    std::thread::spawn(move || {
        if becomes_ready(http) {
            // Nobody may be reading; the server serves all the same.
            let _ = std::io::stdout().write_all(what_to_try(dns, http).as_bytes());
        }
    });
    end_like(&mut child)
}

/// Installs what the commands to try call, where it is missing. The server runs without, so this only says what to
/// install.
fn set_up_clients() {
    if let Err(error) = packages::set_up_tools(NeededBy::Trying) {
        eprintln!("{error:#}, or try other clients.");
    }
}

/// The address that the server will listen on: the last one given for `option`, else the sample's.
fn address(arguments: &[OsString], option: &str, sample: &str) -> Result<SocketAddr> {
    let mut chosen = sample.to_owned();
    let mut arguments = arguments.iter().map(|argument| argument.to_string_lossy());
    while let Some(argument) = arguments.next() {
        if argument == option {
            chosen = arguments.next().unwrap_or_default().into_owned();
        } else if let Some(value) = argument.strip_prefix(option).and_then(|rest| rest.strip_prefix('=')) {
            chosen = value.to_owned();
        }
    }
    chosen
        .parse()
        .with_context(|| format!("{option} {chosen}: not an address with a port"))
}

fn require_free<T>(bound: std::io::Result<T>, address: SocketAddr, option: &str) -> Result<()> {
    if let Err(error) = bound {
        bail!("{address}: {error}; stop what listens there, or choose: cargo xtask run -- {option} ADDRESS:PORT");
    }
    Ok(())
}

/// Waits until `/ready` says 200; false where it does not in time.
fn becomes_ready(http: SocketAddr) -> bool {
    let deadline = Instant::now() + READY_WITHIN;
    while Instant::now() < deadline {
        if is_ready(http).unwrap_or(false) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

fn is_ready(http: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&http, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    write!(
        stream,
        "GET /ready HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n"
    )?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status)?;
    Ok(status.split(' ').nth(1) == Some("200"))
}

fn what_to_try(dns: SocketAddr, http: SocketAddr) -> String {
    let dig = format!("dig @{} -p {}", dns.ip(), dns.port());
    let body = r#"{"name":"new.example.com.","type":"A","ttl":300,"value":["192.0.2.53"]}"#;
    format!(
        r#"
hotdns serves example.com. on {dns}. Try, in another terminal:

  {dig} www.example.com A        # from the zone file
  {dig} new.example.com A        # not there yet: NXDOMAIN
  curl -H 'Content-Type: application/json' http://{http}/api/v1/records \
    -d '{body}'
  {dig} new.example.com A        # answered, from now on
  curl -s http://{http}/metrics | grep hotdns_xdp_answers_total
                                 # how many of these answers XDP gave

Added records outlast a restart: they are kept in target/sample. Ctrl-C stops the server.

"#
    )
}

/// Hands each signal that means "stop" on to the server, on a thread of its own.
fn forward_signals(server: Pid) -> Result<()> {
    let stopping: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT]
        .into_iter()
        .collect();
    // Blocked after the server has started, which would inherit it, and before there are threads, which must.
    stopping.thread_block().context("cannot block signals")?;
    std::thread::spawn(move || {
        while let Ok(signal) = stopping.wait() {
            // To the server SIGHUP means "reload", but here that the terminal is gone.
            let signal = if signal == Signal::SIGINT {
                signal
            } else {
                Signal::SIGTERM
            };
            // It fails where the server has ended already, which is what was asked for.
            let _ = kill(server, signal);
        }
    });
    Ok(())
}

/// Waits for the server, and fails as it failed.
fn end_like(child: &mut Child) -> Result<()> {
    let status = child.wait().context("cannot wait for hotdns")?;
    match (status.success(), status.signal()) {
        (true, _) => Ok(()),
        (false, Some(signal)) => bail!("hotdns was ended by signal {signal}"),
        (false, None) => bail!("hotdns failed: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(arguments: &[&str]) -> Result<String> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        address(&arguments, "--http", HTTP).map(|address| address.to_string())
    }

    #[test]
    fn the_last_given_address_counts() {
        assert_eq!(chosen(&[]).unwrap(), HTTP);
        assert_eq!(chosen(&["--http", "127.0.0.2:81"]).unwrap(), "127.0.0.2:81");
        assert_eq!(
            chosen(&["--http", "127.0.0.2:81", "--http=[::1]:82"]).unwrap(),
            "[::1]:82"
        );
        assert_eq!(chosen(&["--https", "127.0.0.2:81"]).unwrap(), HTTP);
    }

    #[test]
    fn an_address_without_a_port_is_refused() {
        assert!(
            chosen(&["--http", "127.0.0.2"])
                .unwrap_err()
                .to_string()
                .contains("127.0.0.2")
        );
        assert!(chosen(&["--http"]).is_err());
    }
}
