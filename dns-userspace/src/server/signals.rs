//! SIGHUP, SIGTERM and SIGINT as events.
//!
//! ```text
//! held back ─► the configuration is read; a signal to stop ends that ─► handlers ─► let through
//! ```

#[cfg_attr(target_os = "linux", path = "signals/descriptor.rs")]
#[cfg_attr(not(target_os = "linux"), path = "signals/queue.rs")]
mod stops;

use std::io;
use std::sync::mpsc;

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

    /// Does some work in a thread of its own. A signal to stop does not wait for it: then this is an error with the
    /// signal's name. SIGHUP stays held back.
    pub(super) fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Result<T, &'static str>> {
        let (ended, ends) = io::pipe()?;
        let stops = stops::Stops::watch(&[Number::SIGTERM, Number::SIGINT], &ended)?;
        let (sender, result) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("hotdns-start".to_owned())
            .spawn(move || {
                // Nobody waits for it any more after a signal.
                let _ = sender.send(work());
                drop(ends);
            })?;
        match stops.wait()? {
            Some(Number::SIGINT) => Ok(Err("SIGINT")),
            Some(_) => Ok(Err("SIGTERM")),
            // Where it panicked the log has said so.
            None => result.recv().map(Ok).map_err(|_| io::Error::other("it panicked")),
        }
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

#[cfg(test)]
mod tests {
    use nix::sys::signal::raise;

    use super::*;

    #[test]
    fn work_is_not_waited_for_once_a_signal_says_stop() {
        let held = Held::hold().expect("held");
        assert_eq!(held.work(|| 7).expect("done"), Ok(7));
        for (number, name) in [(Number::SIGTERM, "SIGTERM"), (Number::SIGINT, "SIGINT")] {
            let (_never, waits) = mpsc::channel::<()>();
            raise(number).expect("raised");
            let stopped = held.work(move || waits.recv().is_ok());
            assert_eq!(stopped.expect("no error"), Err(name));
        }
        assert!(held.work(|| panic!("as the test asks")).is_err());
        // A reload is for later: it is still there.
        raise(Number::SIGHUP).expect("raised");
        assert_eq!(held.work(|| 8).expect("done"), Ok(8));
        let hangup = SigSet::from_iter([Number::SIGHUP]);
        assert_eq!(hangup.wait().expect("pending"), Number::SIGHUP);
        held.release().expect("released");
    }
}
