//! SIGHUP, SIGTERM and SIGINT as events.

use std::io;

use nix::sys::signal::{SigSet, Signal as Number};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that this process acts on, held back in the calling thread and those that it makes: they wait until
/// [`Held::release`], and none is lost.
pub(super) struct Held(SigSet);

impl Held {
    /// Holds them back; for the first thread, before it does anything else.
    pub(super) fn hold() -> io::Result<Self> {
        let set: SigSet = [Number::SIGHUP, Number::SIGTERM, Number::SIGINT].into_iter().collect();
        set.thread_block()?;
        Ok(Self(set))
    }

    /// Lets them through to this thread, now that they have handlers.
    pub(super) fn release(self) -> io::Result<()> {
        Ok(self.0.thread_unblock()?)
    }
}

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
