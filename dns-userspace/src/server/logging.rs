//! The log: lines of text or JSON objects on standard error.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogLevel};

/// What logs as us: the library, and the XDP program through aya-log.
const OURS: &[&str] = &["dns_userspace", "hotdns", "dns_ebpf"];

/// Starts the log of this process. A second call changes nothing.
pub(super) fn start(level: LogLevel, format: LogFormat) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // A closed standard error must not end the server.
        .log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter(level)))
        .try_init();
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
        assert!(debug.would_enable("hyper::proto", &Level::WARN));
        assert!(filter(LogLevel::Trace).would_enable("hyper::proto", &Level::TRACE));
        assert!(!filter(LogLevel::Error).would_enable("dns_userspace", &Level::WARN));
    }
}
