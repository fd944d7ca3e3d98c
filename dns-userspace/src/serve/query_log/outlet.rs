//! From the thread that makes lines to the one that writes them: batches, of which few wait. Their memory comes back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::sink::Output;
use crate::config::Sink;
use crate::host::privileges::{self, Needs};
use crate::observe::figures::Figures;

/// Batches that wait for the sink: 16 MiB.
const WAITING: usize = 64;
/// Lines are handed on at this many octets, or where no more wait.
const BATCH_BYTES: usize = 256 << 10;
/// Written batches whose memory is kept for others. The rest is given back: there was a burst.
const SPARE: usize = 4;

/// What a sink takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// JSON objects, each with the end of a line.
    Lines,
    /// Messages in GELF, each with an octet of zero.
    Gelf,
}

/// Whole lines, and how many.
#[derive(Default)]
struct Batch {
    octets: Vec<u8>,
    count: u64,
}

/// Where lines are put.
pub(super) struct Outlet {
    sender: SyncSender<Batch>,
    /// What was written, empty.
    spare: Receiver<Vec<u8>>,
    batch: Batch,
    shape: Shape,
    figures: Arc<Figures>,
}

impl Outlet {
    /// Starts the thread that writes, which ends once this is dropped.
    pub(super) fn start(sink: Sink, figures: Arc<Figures>) -> io::Result<Self> {
        let shape = match sink {
            Sink::Gelf(_) => Shape::Gelf,
            Sink::Stdout | Sink::File(_) | Sink::Socket(_) => Shape::Lines,
        };
        let (sender, receiver) = sync_channel(WAITING);
        let (give_back, spare) = sync_channel(SPARE);
        let counted = Arc::clone(&figures);
        let thread = std::thread::Builder::new().name("query-log-out".into());
        thread.spawn(move || {
            // The file or the socket may be another user's, and is opened again where it went.
            privileges::keep_what_is_needed(Needs { xdp: false });
            write_all(&receiver, &give_back, Output::new(sink), &counted);
        })?;
        Ok(Self {
            sender,
            spare,
            batch: Batch::default(),
            shape,
            figures,
        })
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Adds a line, with its end.
    pub(super) fn push(&mut self, line: impl FnOnce(&mut Vec<u8>)) {
        line(&mut self.batch.octets);
        self.batch.count += 1;
        if self.batch.octets.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Hands on what there is; never waits.
    pub(super) fn flush(&mut self) {
        if self.batch.count == 0 {
            return;
        }
        let octets = self.spare.try_recv().unwrap_or_default();
        let batch = std::mem::replace(&mut self.batch, Batch { octets, count: 0 });
        let count = batch.count;
        if self.sender.try_send(batch).is_err() {
            self.figures.query_log_dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

fn write_all(receiver: &Receiver<Batch>, give_back: &SyncSender<Vec<u8>>, mut output: Output, figures: &Figures) {
    while let Ok(Batch { mut octets, count }) = receiver.recv() {
        let written = output.write(&octets, count);
        figures.query_log_written.fetch_add(written, Ordering::Relaxed);
        figures.query_log_dropped.fetch_add(count - written, Ordering::Relaxed);
        octets.clear();
        // Where enough are kept, or nobody makes lines any more, it is not needed.
        drop(give_back.try_send(octets));
    }
}
