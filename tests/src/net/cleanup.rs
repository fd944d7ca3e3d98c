//! Which namespaces are ours, and how they go when nobody drops them.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use super::process::run;

const PREFIX: &str = "hotdns-";

static ALIVE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static START: Once = Once::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A name that no other process uses, from now on removed when this process is asked to stop.
pub(super) fn register(label: &str) -> String {
    START.call_once(|| {
        remove_stale();
        watch_signals();
    });
    let pid = std::process::id();
    let started = started_at(pid).unwrap_or_default();
    let name = format!(
        "{PREFIX}{pid}-{started}-{}-{label}",
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    ALIVE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(name.clone());
    name
}

/// Removes a namespace, and whatever still runs in it.
pub(super) fn remove(name: &str) {
    remove_namespace(name);
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
}

/// Everything that runs in it was started by us: nobody else knows the name.
fn remove_namespace(name: &str) {
    for pid in run("ip", &["netns", "pids", name])
        .unwrap_or_default()
        .split_whitespace()
    {
        // A thread of this very process may be in there.
        if let Ok(pid) = pid.parse()
            && pid != std::process::id() as i32
        {
            // It may have ended by itself meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    if let Err(error) = run("ip", &["netns", "delete", name]) {
        eprintln!("cannot remove the namespace {name}: {error:#}");
    }
}

/// Removes the namespaces of processes that are no more.
fn remove_stale() {
    for line in run("ip", &["netns", "list"]).unwrap_or_default().lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if let Some((pid, started)) = owner(name)
            && started_at(pid) != Some(started)
        {
            remove_namespace(name);
        }
    }
}

/// The process of a namespace's name and when it started.
fn owner(name: &str) -> Option<(u32, u64)> {
    let mut parts = name.strip_prefix(PREFIX)?.split('-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// When a process started, in clock ticks since boot (proc_pid_stat(5), field 22): process numbers are used again.
fn started_at(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may contain anything; field 3 follows it.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

fn watch_signals() {
    let wait = || -> std::io::Result<i32> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut hangup = signal(SignalKind::hangup())?;
            Ok(tokio::select! {
                _ = interrupt.recv() => Signal::SIGINT as i32,
                _ = terminate.recv() => Signal::SIGTERM as i32,
                _ = hangup.recv() => Signal::SIGHUP as i32,
            })
        })
    };
    thread::spawn(move || match wait() {
        Ok(signal) => {
            // Held until the end: nobody makes another one meanwhile.
            let alive = ALIVE.lock().unwrap_or_else(PoisonError::into_inner);
            alive.iter().for_each(|name| remove_namespace(name));
            std::process::exit(128 + signal);
        }
        Err(error) => eprintln!("cannot watch for signals, namespaces may be left behind: {error}"),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_process() {
        let own = started_at(std::process::id()).unwrap();
        assert_eq!(
            owner(&format!("hotdns-{}-{own}-0-client", std::process::id())),
            Some((std::process::id(), own))
        );
        assert_eq!(owner("hotdns-production"), None);
        assert_eq!(owner("other-1-2-3"), None);
    }
}
