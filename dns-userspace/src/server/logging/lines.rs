//! Lines on their way to standard error, which nobody waits for.
//!
//! ```text
//! whoever logs ─ push ─► queue, 4 MiB at most ─► thread `hotdns-log` ─ write ─► standard error
//!                          └ full: dropped, and counted
//! ```
//!
//! Lines that come within [`GATHERING`] are written together, as many as a pipe takes as one (`PIPE_BUF`): so lines of
//! two processes that share it do not mix, and a thousand changes over HTTP do not wake the thread a thousand times.
//!
//! A pipe that nobody reads, or a terminal that was stopped (XOFF), blocks that thread alone. So nothing else in the
//! server writes to standard error. The end of the process waits for what is queued as long as it moves.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use prometheus::IntCounter;
use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

/// Octets that wait at most.
const CAPACITY_BYTES: usize = 4 << 20;
/// Octets that are written at once at most, unless one line has more.
const TOGETHER_BYTES: usize = libc::PIPE_BUF;
/// How long the first line waits for others. To wake a thread takes longer than to write a line.
const GATHERING: Duration = Duration::from_millis(2);

/// The queue, for all who log.
#[derive(Clone)]
pub(in crate::server) struct Lines(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// Something was pushed, or written.
    moved: Condvar,
    capacity_bytes: usize,
    dropped: IntCounter,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Box<[u8]>>,
    /// Of the lines above, and of those that are being written.
    bytes: usize,
    /// Whether some are being written.
    is_writing: bool,
    /// Threads that wait for something to move.
    waiting: usize,
    /// Raised with whatever is written.
    progress: u64,
    /// Lines dropped since the log last said so.
    untold: u64,
}

impl Lines {
    /// To standard error, from a thread of its own.
    pub(super) fn to_standard_error() -> Self {
        // A descriptor of its own: the standard library's is behind a lock, which a blocked write would keep.
        let output = io::stderr().as_fd().try_clone_to_owned().map(File::from);
        Self::start(output.ok(), CAPACITY_BYTES)
    }

    fn start(output: Option<File>, capacity_bytes: usize) -> Self {
        let dropped = IntCounter::new(
            "hotdns_log_lines_dropped_total",
            "Lines of the log that were dropped, because standard error was not read, or could not be written.",
        )
        .expect("the name and help are constants");
        let lines = Self(Arc::new(Shared {
            queue: Mutex::default(),
            moved: Condvar::new(),
            capacity_bytes,
            dropped,
        }));
        if let Some(output) = output {
            let writer = lines.clone();
            // Without the thread all lines are dropped in the end, and counted.
            let _ = std::thread::Builder::new()
                .name("hotdns-log".to_owned())
                .spawn(move || {
                    crate::host::privileges::keep_nothing();
                    writer.write_all(&output);
                });
        }
        lines
    }

    /// How many lines were dropped: `hotdns_log_lines_dropped_total`.
    pub(in crate::server) fn dropped(&self) -> IntCounter {
        self.0.dropped.clone()
    }

    /// Queues a line, with its end; drops it where there is no room.
    fn push(&self, line: &[u8]) {
        let mut queue = self.lock();
        if queue.bytes + line.len() > self.0.capacity_bytes {
            queue.untold += 1;
            self.0.dropped.inc();
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.into());
        self.tell(queue);
    }

    /// Wakes who waits, if somebody does: that is a call to the kernel.
    fn tell(&self, queue: MutexGuard<'_, Queue>) {
        let is_waited_for = queue.waiting > 0;
        drop(queue);
        if is_waited_for {
            self.0.moved.notify_all();
        }
    }

    /// Queues a line, and waits for room as long as lines are written within `patience` of each other.
    pub(super) fn push_patiently(&self, line: &[u8], patience: Duration) {
        let room = self.0.capacity_bytes.saturating_sub(line.len());
        self.wait_while(|queue| queue.bytes > room, patience, Duration::MAX);
        self.push(line);
    }

    /// Waits until all is written: `limit` at most, and no longer than `patience` while nothing moves.
    pub(super) fn flush(&self, patience: Duration, limit: Duration) {
        self.wait_while(|queue| !queue.lines.is_empty() || queue.is_writing, patience, limit);
    }

    fn wait_while(&self, waits: impl Fn(&Queue) -> bool, patience: Duration, limit: Duration) {
        let start = Instant::now();
        let mut queue = self.lock();
        let mut last = (Instant::now(), queue.progress);
        while waits(&queue) {
            if queue.progress != last.1 {
                last = (Instant::now(), queue.progress);
            }
            if last.0.elapsed() >= patience || start.elapsed() >= limit {
                return;
            }
            queue.waiting += 1;
            let waited = self.0.moved.wait_timeout(queue, patience);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            queue.waiting -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread's work, for the life of the process.
    fn write_all(&self, output: &File) {
        let mut text = Vec::with_capacity(TOGETHER_BYTES);
        loop {
            self.wait_for_lines();
            let mut queue = self.lock();
            text.clear();
            let mut lines = 0;
            let fits = |line: &[u8], text: &[u8]| text.is_empty() || text.len() + line.len() <= TOGETHER_BYTES;
            while queue.lines.front().is_some_and(|line| fits(line, &text))
                && let Some(line) = queue.lines.pop_front()
            {
                text.extend_from_slice(&line);
                lines += 1;
            }
            queue.is_writing = true;
            drop(queue);
            let written = self.write(output, &text);
            let mut queue = self.lock();
            queue.is_writing = false;
            queue.bytes -= text.len();
            queue.progress += 1;
            if written.is_err() {
                self.0.dropped.inc_by(lines);
            }
            let has_room = queue.bytes <= self.0.capacity_bytes / 2;
            let untold = if has_room { std::mem::take(&mut queue.untold) } else { 0 };
            self.tell(queue);
            if untold > 0 {
                warn!("{untold} lines of the log were dropped here: standard error was not read");
            }
        }
    }

    /// Waits until there is a line; and, where there was none, for those that follow at once.
    fn wait_for_lines(&self) {
        let mut queue = self.lock();
        if !queue.lines.is_empty() {
            return;
        }
        while queue.lines.is_empty() {
            queue.waiting += 1;
            queue = self.0.moved.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.waiting -= 1;
        }
        drop(queue);
        std::thread::sleep(GATHERING);
    }

    fn write(&self, mut output: &File, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            match output.write(text) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    text = &text[written..];
                    let mut queue = self.lock();
                    queue.progress += 1;
                    self.tell(queue);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody who shares it has made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(
                        &mut [PollFd::new(output.as_fd(), PollFlags::POLLOUT)],
                        PollTimeout::NONE,
                    )?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// One event: the formatter writes its line at once.
pub(in crate::server) struct Line<'a>(&'a Lines);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(50);

    /// A queue of 64 KiB in front of a pipe, which holds as much, and the pipe's other end.
    fn piped() -> (Lines, File) {
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        (Lines::start(Some(writer.into()), 1 << 16), reader.into())
    }

    #[test]
    fn every_line_is_written_in_order_and_none_is_lost_at_the_end() {
        let (lines, mut reader) = piped();
        let read = std::thread::spawn(move || {
            let mut text = String::new();
            while !text.ends_with("line 4999\n") {
                let mut some = [0; 999];
                let octets = reader.read(&mut some).expect("read");
                text.push_str(std::str::from_utf8(&some[..octets]).expect("text"));
            }
            text
        });
        let expected: String = (0..5000).map(|number| format!("line {number}\n")).collect();
        for line in expected.split_inclusive('\n') {
            lines.push_patiently(line.as_bytes(), Duration::from_secs(60));
        }
        lines.flush(Duration::from_secs(60), Duration::from_secs(60));
        assert!(read.join().expect("no panic") == expected);
        assert_eq!(lines.dropped().get(), 0);
    }

    #[test]
    fn a_pipe_that_nobody_reads_blocks_no_one_and_what_is_dropped_is_counted() {
        let (lines, mut reader) = piped();
        for number in 0..10_000 {
            lines.push(format!("a line of thirty-two octets {number:04}\n").as_bytes());
        }
        // Neither waits for ever.
        lines.push_patiently(b"a line of thirty-two octets more\n", PATIENCE);
        lines.flush(PATIENCE, Duration::from_secs(60));
        let dropped = lines.dropped().get();
        assert!((1..10_000).contains(&dropped), "{dropped}");
        // Once it is read, what was queued comes, and the log goes on.
        let mut some = vec![0; 1 << 17];
        let mut read = 0;
        while read < (10_001 - dropped as usize) * 33 {
            read += reader.read(&mut some).expect("read");
        }
        lines.push(b"again\n");
        let octets = reader.read(&mut some).expect("read");
        assert_eq!(&some[..octets], b"again\n");
    }

    #[test]
    fn a_closed_pipe_and_a_non_blocking_one_are_no_end() {
        let (lines, reader) = piped();
        drop(reader);
        lines.push(b"lost\n");
        lines.flush(Duration::from_secs(60), Duration::from_secs(60));
        assert_eq!(lines.dropped().get(), 1);

        let (mut reader, writer) = nix::unistd::pipe()
            .map(|(r, w)| (File::from(r), File::from(w)))
            .expect("a pipe");
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("set");
        let lines = Lines::start(Some(writer), 1 << 20);
        // More than the pipe takes at once.
        let text = vec![b'x'; 100_000];
        lines.push(&text);
        let mut read = vec![0; text.len()];
        reader.read_exact(&mut read).expect("read");
        assert!(read == text);
        assert_eq!(lines.dropped().get(), 0);
    }
}
