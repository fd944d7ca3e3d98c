//! The log: lines of text or JSON objects on standard error, which nobody waits for.

mod lines;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;

use tracing::error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use self::lines::Lines;
use crate::config::{LogFormat, LogLevel};

/// What logs as us: the library, and the XDP program through aya-log.
const OURS: &[&str] = &["audit", "dns_userspace", "hotdns", "dns_ebpf"];
/// How long the end of the process waits for a standard error that takes nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it waits for one that takes little.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// The lines of this process: it has one standard error.
pub(super) fn lines() -> &'static Lines {
    static LINES: OnceLock<Lines> = OnceLock::new();
    LINES.get_or_init(Lines::to_standard_error)
}

/// Starts the log of this process. A second call changes nothing.
pub(super) fn start(level: LogLevel, format: LogFormat) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(lines().clone())
        .with_ansi(io::stderr().is_terminal())
        // A closed standard error must not end the server.
        .log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter(level));
    if tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()
        .is_ok()
    {
        let _ = FILTER.set(handle);
    }
}

/// What is in the log from now on.
pub(super) fn set_level(level: LogLevel) {
    if let Some(handle) = FILTER.get() {
        // It fails only where the log is gone.
        let _ = handle.reload(filter(level));
    }
}

/// Changes what the log takes.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Says something as it is: what comes before there is a log, and last words.
pub(super) fn say(text: &str) {
    lines().push_patiently(format!("{text}\n").as_bytes(), PATIENCE);
}

/// Whether [`start`] was called.
pub(super) fn is_started() -> bool {
    tracing::dispatcher::has_been_set()
}

/// Puts panics into the log: the standard library writes to standard error itself, and a thread that panics is not to
/// be blocked there.
pub(super) fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed").to_owned();
        let mut text = format!("the thread `{name}` {panic}");
        // RUST_BACKTRACE asks for it.
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            text.push_str(&format!("\n{backtrace}"));
        }
        if is_started() {
            error!("{text}");
        } else {
            say(&text);
        }
    }));
}

/// Waits for what is not written yet, unless nobody reads it.
pub(super) fn flush() {
    lines().flush(PATIENCE, FLUSH_LIMIT);
}

/// Ours at `level`; what the libraries have to say only from warnings on, or all of it at `trace`.
fn filter(level: LogLevel) -> Targets {
    let (ours, others) = match level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    Targets::new()
        .with_default(others)
        // It says each error as an error of its own; who asks it says them where they matter.
        .with_target("kube_client", LevelFilter::OFF)
        .with_targets(OURS.iter().map(|target| (*target, ours)))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_are_quiet_below_trace() {
        let debug = filter(LogLevel::Debug);
        assert!(debug.would_enable("dns_userspace::server", &Level::DEBUG));
        assert!(!debug.would_enable("hyper::proto", &Level::INFO));
        assert!(filter(LogLevel::Info).would_enable("audit", &Level::INFO));
        assert!(debug.would_enable("hyper::proto", &Level::WARN));
        assert!(filter(LogLevel::Trace).would_enable("hyper::proto", &Level::TRACE));
        assert!(!filter(LogLevel::Error).would_enable("dns_userspace", &Level::WARN));
    }
}
