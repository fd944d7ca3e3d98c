//! Where lines go: standard output, a file that may be renamed, a socket whose other end may go and come back, a
//! collector that takes GELF.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::config::Sink;
use crate::observe::gelf::GelfSender;

/// How long a socket's other end may take nothing. What waits meanwhile is bounded, and the rest is counted.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between looks at whether the file is still at its path, and between attempts to open what could not be.
const LOOK: Duration = Duration::from_secs(1);

/// A sink, open or not.
pub(super) struct Output {
    sink: Sink,
    open: Option<Open>,
    looked: Option<Instant>,
    /// Whether the log has said that it cannot be written.
    is_failing: bool,
}

enum Open {
    Stdout,
    File(File),
    Socket(UnixStream),
    Gelf(GelfSender),
}

impl Output {
    pub(super) fn new(sink: Sink) -> Self {
        Self {
            sink,
            open: None,
            looked: None,
            is_failing: false,
        }
    }

    /// Writes whole lines, `count` of them. How many were written: what was not is lost, and the next ones are tried
    /// anew.
    pub(super) fn write(&mut self, lines: &[u8], count: u64) -> u64 {
        self.look();
        let outcome = match &mut self.open {
            None => return 0,
            Some(Open::Stdout) => {
                let mut output = io::stdout().lock();
                output.write_all(lines).and_then(|()| output.flush())
            }
            Some(Open::File(file)) => append(file, lines),
            Some(Open::Socket(stream)) => stream.write_all(lines),
            Some(Open::Gelf(_)) => return self.send_each(lines),
        };
        match outcome {
            Ok(()) => {
                self.succeed();
                count
            }
            Err(error) => {
                self.fail(&error);
                0
            }
        }
    }

    /// Sends messages that end with an octet of zero each; how many were sent.
    fn send_each(&mut self, messages: &[u8]) -> u64 {
        let mut sent = 0;
        for message in messages
            .split(|octet| *octet == 0)
            .filter(|message| !message.is_empty())
        {
            let Some(Open::Gelf(sender)) = &mut self.open else {
                break;
            };
            match sender.send(message) {
                Ok(()) => {
                    sent += 1;
                    self.succeed();
                }
                // This message alone is too long.
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {}
                Err(error) => self.fail(&error),
            }
        }
        sent
    }

    fn succeed(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!("the query log is written again");
        }
    }

    /// Opens what is not open, and a file anew whose path has another one: it was rotated.
    fn look(&mut self) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        if let (Some(Open::File(file)), Sink::File(path)) = (&self.open, &self.sink)
            && !is_at(file, path)
        {
            self.open = None;
        }
        if self.open.is_none() {
            match open(&self.sink) {
                Ok(opened) => self.open = Some(opened),
                Err(error) => self.fail(&error),
            }
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.open = None;
        if !std::mem::replace(&mut self.is_failing, true) {
            let to = &self.sink;
            warn!(
                ?to, %error,
                "the query log cannot be written; queries are answered, and those that are not logged counted"
            );
        }
    }
}

fn open(sink: &Sink) -> io::Result<Open> {
    match sink {
        Sink::Stdout => Ok(Open::Stdout),
        Sink::File(path) => OpenOptions::new().append(true).create(true).open(path).map(Open::File),
        Sink::Socket(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Open::Socket(stream))
        }
        Sink::Gelf(target) => GelfSender::open(target).map(Open::Gelf),
    }
}

/// Puts whole lines behind those of the file. Where only a part of them finds room, the file is as before: what comes
/// later does not continue half a line.
fn append(file: &mut File, lines: &[u8]) -> io::Result<()> {
    let before = file.metadata()?;
    file.write_all(lines).inspect_err(|_| {
        // A pipe has no length.
        if before.is_file() {
            let _ = file.set_len(before.len());
        }
    })
}

fn is_at(file: &File, path: &Path) -> bool {
    let same = |own: Metadata, there: Metadata| (own.dev(), own.ino()) == (there.dev(), there.ino());
    let own = file.metadata();
    own.and_then(|own| Ok(same(own, path.metadata()?))).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// The next write looks, as it would a second later.
    fn later(output: &mut Output) {
        output.looked = None;
    }

    #[test]
    fn a_file_that_is_renamed_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, rotated) = (folder.path().join("log"), folder.path().join("log.1"));
        let mut output = Output::new(Sink::File(path.clone()));
        assert_eq!(output.write(b"one\n", 1), 1);
        std::fs::rename(&path, &rotated).expect("renamed");
        assert_eq!(output.write(b"two\n", 1), 1, "until it looks again it is the same file");
        later(&mut output);
        assert_eq!(output.write(b"three\n", 1), 1);
        assert_eq!(std::fs::read_to_string(&rotated).expect("read"), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "three\n");
    }

    #[test]
    fn a_socket_may_come_late_and_come_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sock");
        let mut output = Output::new(Sink::Socket(path.clone()));
        assert_eq!(output.write(b"lost\n", 1), 0);
        for line in ["one\n", "two\n"] {
            let listener = UnixListener::bind(&path).expect("bound");
            later(&mut output);
            // Where the other end went away, one batch is lost to find out.
            if output.write(line.as_bytes(), 1) == 0 {
                later(&mut output);
                assert_eq!(output.write(line.as_bytes(), 1), 1);
            }
            let (stream, _) = listener.accept().expect("a client");
            let mut read = String::new();
            BufReader::new(stream).read_line(&mut read).expect("a line");
            assert_eq!(read, line);
            std::fs::remove_file(&path).expect("removed");
        }
    }

    #[test]
    fn one_that_does_not_read_is_given_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sock");
        let _listener = UnixListener::bind(&path).expect("bound");
        let mut output = Output::new(Sink::Socket(path));
        let started = Instant::now();
        let much = vec![b'x'; 16 << 20];
        assert_eq!(output.write(&much, 1), 0);
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}
