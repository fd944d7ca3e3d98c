//! The log: lines of text or JSON objects on standard error, which nobody waits for; and GELF for a collector.

mod event;
mod gelf;
mod lines;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;

use tracing::error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use self::event::Catalyst;
use self::gelf::GelfLayer;
use self::lines::Lines;
use crate::config::{Config, LogFields, LogFilter, LogFormat, LogLevel};
use crate::observe::traces;

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

/// What is logged, to be changed while the log goes on.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Starts the log of this process. A second call changes nothing.
pub(super) fn start(config: &Config) {
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(lines().clone())
        .with_ansi(io::stderr().is_terminal())
        // A closed standard error must not end the server.
        .log_internal_errors(false);
    let layer = match (config.log_format, config.log_fields) {
        (LogFormat::Text, _) => layer.boxed(),
        (LogFormat::Json, LogFields::Hotdns) => layer.json().flatten_event(true).boxed(),
        (LogFormat::Json, LogFields::Catalyst) => layer.event_format(Catalyst).boxed(),
    };
    let mut layers = vec![layer];
    if let Some(target) = config.log_gelf.clone() {
        match GelfLayer::start(target, lines().dropped()) {
            Ok(layer) => layers.push(layer.boxed()),
            Err(error) => say(&format!("hotdns: the log goes to no collector: {error}")),
        }
    }
    let (filter, handle) = reload::Layer::new(targets(&config.log_level));
    let _ = FILTER.set(handle);
    let traces = traces::layer(&config.tracing).unwrap_or_else(|error| {
        say(&format!("hotdns: traces go to no collector: {error}"));
        None
    });
    let log = tracing_subscriber::registry().with(layers.with_filter(filter));
    // No layer costs less than one that wants nothing: then what nobody wants is known once for each place in the code.
    let _ = match traces {
        Some(traces) => log.with(traces).try_init(),
        None => log.try_init(),
    };
}

/// Logs this much from now on.
pub(super) fn set_filter(filter: &LogFilter) {
    if let Some(handle) = FILTER.get() {
        // It fails where there is no log any more.
        let _ = handle.reload(targets(filter));
    }
}

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
    traces::end();
    lines().flush(PATIENCE, FLUSH_LIMIT);
}

/// Ours at `level`, or that of their part; what the libraries have to say only from warnings on, or all of it at
/// `trace`.
fn targets(filter: &LogFilter) -> Targets {
    let level = level_filter(filter.level);
    let others = match filter.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn | LogLevel::Info | LogLevel::Debug => LevelFilter::WARN,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let parts = filter.parts.iter().map(|(part, level)| {
        let target = match &**part {
            "audit" => "audit".to_owned(),
            "xdp" => "dns_ebpf".to_owned(),
            room => format!("dns_userspace::{room}"),
        };
        (target, level_filter(*level))
    });
    Targets::new()
        .with_default(others)
        // Spans of traces are no part of the log, at no level.
        .with_target(traces::TARGET, LevelFilter::OFF)
        // It says each error as an error of its own; who asks it says them where they matter.
        .with_target("kube_client", LevelFilter::OFF)
        .with_targets(OURS.iter().map(|target| (*target, level)))
        .with_targets(parts)
}

fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn filter(level: LogLevel) -> Targets {
        targets(&level.into())
    }

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

    #[test]
    fn a_part_may_have_a_level_of_its_own() {
        let parts = [
            ("resolve", LogLevel::Debug),
            ("xdp", LogLevel::Error),
            ("audit", LogLevel::Warn),
        ];
        let filter = targets(&LogFilter {
            level: LogLevel::Info,
            parts: parts.map(|(part, level)| (part.into(), level)).into(),
        });
        assert!(filter.would_enable("dns_userspace::resolve::upstream", &Level::DEBUG));
        assert!(!filter.would_enable("dns_userspace::serve", &Level::DEBUG));
        assert!(filter.would_enable("dns_userspace::serve", &Level::INFO));
        assert!(!filter.would_enable("dns_ebpf", &Level::WARN));
        assert!(!filter.would_enable("audit", &Level::INFO));
    }
}
