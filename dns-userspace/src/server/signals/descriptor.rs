//! Signals that are held back, as a file descriptor tells them (signalfd(2)).

use std::io::{self, PipeReader};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Signals that are watched, and a pipe whose end says that they need be no longer.
pub(super) struct Stops<'a> {
    signals: SignalFd,
    ended: &'a PipeReader,
}

impl<'a> Stops<'a> {
    /// Watches these signals, which are held back, until nobody can write to the pipe any more.
    pub(super) fn watch(signals: &[Signal], ended: &'a PipeReader) -> io::Result<Self> {
        let signals = signals.iter().copied().collect();
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self {
            signals: SignalFd::with_flags(&signals, flags)?,
            ended,
        })
    }

    /// Waits for one of them, or for the pipe's end, which is `None`.
    pub(super) fn wait(&self) -> io::Result<Option<Signal>> {
        loop {
            let mut events = [
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.ended.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut events, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                polled => polled?,
            };
            if let Some(signal) = self.signals.read_signal()? {
                return Ok(Some(Signal::try_from(signal.ssi_signo as i32)?));
            }
            if events[1].any().unwrap_or(false) {
                return Ok(None);
            }
        }
    }
}
