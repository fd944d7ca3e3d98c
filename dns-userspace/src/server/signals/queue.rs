//! Signals that are held back, as a queue of events tells them (kqueue(2)): on macOS and the BSDs.

use std::io::{self, PipeReader};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use nix::sys::signal::Signal;

/// Signals that are watched, and a pipe whose end says that they need be no longer.
pub(super) struct Stops<'a> {
    queue: Kqueue,
    ended: &'a PipeReader,
}

impl<'a> Stops<'a> {
    /// Watches these signals, which are held back, until nobody can write to the pipe any more. One that came before
    /// stays held back, and is heard of by whoever lets it through.
    pub(super) fn watch(signals: &[Signal], ended: &'a PipeReader) -> io::Result<Self> {
        let queue = Kqueue::new()?;
        let pipe = event(ended.as_raw_fd() as usize, EventFilter::EVFILT_READ);
        let signals = signals
            .iter()
            .map(|signal| event(*signal as usize, EventFilter::EVFILT_SIGNAL));
        let all: Vec<KEvent> = signals.chain([pipe]).collect();
        queue.kevent(&all, &mut [], None)?;
        Ok(Self { queue, ended })
    }

    /// Waits for one of them, or for the pipe's end, which is `None`.
    pub(super) fn wait(&self) -> io::Result<Option<Signal>> {
        let mut events = [event(self.ended.as_raw_fd() as usize, EventFilter::EVFILT_READ)];
        loop {
            match self.queue.kevent(&[], &mut events, None) {
                Err(Errno::EINTR) | Ok(0) => continue,
                heard => heard?,
            };
            return match events[0].filter()? {
                EventFilter::EVFILT_SIGNAL => Ok(Some(Signal::try_from(events[0].ident() as i32)?)),
                _ => Ok(None),
            };
        }
    }
}

fn event(ident: usize, filter: EventFilter) -> KEvent {
    KEvent::new(ident, filter, EvFlags::EV_ADD, FilterFlag::empty(), 0, 0)
}
