//! The log for a collector that takes GELF, besides standard error.
//!
//! ```text
//! whoever logs ─ try_send ─► thread `log-gelf` ─► collector
//!                  └ full, or nobody takes it: dropped, and counted
//! ```
//!
//! That the collector is away is said on standard error alone: what is said of it here would go to it.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use prometheus::IntCounter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::event::Members;
use crate::config::GelfTarget;
use crate::observe::gelf::{GelfMessage, GelfSender, host_name};

/// Messages that wait for the thread.
const WAITING: usize = 1024;
/// Between attempts to reach the collector.
const PAUSE: Duration = Duration::from_secs(1);

/// Turns events into messages.
pub(super) struct GelfLayer {
    sender: SyncSender<Vec<u8>>,
    host: String,
    dropped: IntCounter,
}

impl GelfLayer {
    /// Starts the thread, for the life of the process.
    pub(super) fn start(target: GelfTarget, dropped: IntCounter) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let lost = dropped.clone();
        let thread = std::thread::Builder::new().name("log-gelf".to_owned());
        thread.spawn(move || {
            crate::host::privileges::keep_nothing();
            send_all(&target, &receiver, &lost);
        })?;
        Ok(Self {
            sender,
            host: host_name(),
            dropped,
        })
    }
}

impl<S: Subscriber> Layer<S> for GelfLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Members { message, mut fields } = Members::of(event);
        let metadata = event.metadata();
        fields.insert("target".to_owned(), metadata.target().into());
        fields.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
        let message = GelfMessage {
            host: &self.host,
            time: SystemTime::now(),
            level: syslog(*metadata.level()),
            short: &message,
            fields,
        };
        if self.sender.try_send(message.encode()).is_err() {
            self.dropped.inc();
        }
    }
}

/// RFC 5424 §6.2.1.
fn syslog(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

fn send_all(target: &GelfTarget, receiver: &Receiver<Vec<u8>>, dropped: &IntCounter) {
    let mut open: Option<GelfSender> = None;
    let mut tried: Option<Instant> = None;
    let mut is_failing = false;
    while let Ok(message) = receiver.recv() {
        let is_due = tried.is_none_or(|tried| tried.elapsed() >= PAUSE);
        let mut failed = None;
        if open.is_none() && is_due {
            tried = Some(Instant::now());
            match GelfSender::open(target) {
                Ok(sender) => open = Some(sender),
                Err(error) => failed = Some(error),
            }
        }
        let sent = match &mut open {
            Some(sender) => sender.send(&message),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        match sent {
            Ok(()) => is_failing = false,
            Err(error) => {
                dropped.inc();
                open = None;
                if !std::mem::replace(&mut is_failing, true) {
                    let error = failed.unwrap_or(error);
                    super::say(&format!(
                        "hotdns: no log goes to {target}: {error}; it is tried again each second"
                    ));
                }
            }
        }
    }
}
