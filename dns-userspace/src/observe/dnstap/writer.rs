//! The thread that writes frames to a collector, which may be away, come back, or read nothing.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::frames;
use crate::config::DnstapTarget;
use crate::observe::figures::Figures;

/// How long a collector may take nothing, or say nothing in the handshake.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between attempts to reach one.
const PAUSE: Duration = Duration::from_secs(1);
/// Frames are written at this many octets, or where no more wait.
const BATCH_BYTES: usize = 64 << 10;

/// What the thread gets.
pub(super) enum Item {
    Frame(Vec<u8>),
    /// The server stops.
    End,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// The thread.
pub(super) struct Writer {
    target: DnstapTarget,
    receiver: Receiver<Item>,
    figures: Arc<Figures>,
    open: Option<Box<dyn Stream>>,
    tried: Option<Instant>,
    /// Whether the log has said that nobody takes the frames.
    is_failing: bool,
}

impl Writer {
    pub(super) fn new(target: DnstapTarget, receiver: Receiver<Item>, figures: Arc<Figures>) -> Self {
        Self {
            target,
            receiver,
            figures,
            open: None,
            tried: None,
            is_failing: false,
        }
    }

    pub(super) fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            // Before there is something: a collector sees at once that we are here.
            self.reach();
            let mut is_over = false;
            let mut count = 0;
            let mut next = self.receiver.recv_timeout(PAUSE).ok();
            while let Some(item) = next.take() {
                match item {
                    Item::Frame(frame) => {
                        frames::push(&mut batch, &frame);
                        count += 1;
                    }
                    Item::End => is_over = true,
                }
                if batch.len() < BATCH_BYTES {
                    next = self.receiver.try_recv().ok();
                }
            }
            if count > 0 {
                self.write(&batch, count);
                batch.clear();
            }
            if is_over {
                if let Some(stream) = &mut self.open {
                    let _ = frames::end(stream);
                }
                return;
            }
        }
    }

    fn write(&mut self, batch: &[u8], count: u64) {
        let written = match &mut self.open {
            Some(stream) => stream.write_all(batch),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        let figure = if written.is_ok() {
            &self.figures.dnstap_written
        } else {
            &self.figures.dnstap_dropped
        };
        figure.fetch_add(count, Ordering::Relaxed);
        if let Err(error) = written
            && self.open.take().is_some()
        {
            self.fail(&error);
        }
    }

    fn reach(&mut self) {
        if self.open.is_some() || self.tried.is_some_and(|tried| tried.elapsed() < PAUSE) {
            return;
        }
        self.tried = Some(Instant::now());
        match connect(&self.target) {
            Ok(stream) => {
                self.open = Some(stream);
                self.is_failing = false;
                info!(to = %self.target, "a dnstap collector takes frames");
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            warn!(
                to = %self.target, %error,
                "no dnstap collector takes frames; queries are answered, and frames that are lost counted"
            );
        }
    }
}

fn connect(target: &DnstapTarget) -> io::Result<Box<dyn Stream>> {
    match target {
        DnstapTarget::Socket(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            begun(stream)
        }
        DnstapTarget::Tcp(host) => {
            let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in host.to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, PATIENCE) {
                    Ok(stream) => {
                        stream.set_write_timeout(Some(PATIENCE))?;
                        stream.set_read_timeout(Some(PATIENCE))?;
                        return begun(stream);
                    }
                    Err(error) => failed = error,
                }
            }
            Err(failed)
        }
    }
}

fn begun(mut stream: impl Stream + 'static) -> io::Result<Box<dyn Stream>> {
    frames::begin(&mut stream)?;
    Ok(Box::new(stream))
}
