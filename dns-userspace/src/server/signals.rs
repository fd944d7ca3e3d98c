//! SIGHUP, SIGTERM and SIGINT as events.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that this process acts on, from the moment of [`Signals::install`].
pub(super) struct Signals {
    hangup: Option<Hangups>,
    terminate: Signal,
    interrupt: Signal,
}

/// SIGHUP: "reload". Those that come while one is dealt with count as one.
pub(super) struct Hangups(Signal);

impl Signals {
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            hangup: Some(Hangups(signal(SignalKind::hangup())?)),
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The stream of SIGHUPs; once.
    pub(super) fn take_hangups(&mut self) -> Option<Hangups> {
        self.hangup.take()
    }

    /// Waits for a signal to stop, and names it.
    pub(super) async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

impl Hangups {
    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
