//! HTTP over a Unix socket: what ureq needs to use one.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

/// Connects to one socket, whatever host an address names.
#[derive(Debug)]
pub(super) struct UnixConnector(pub(super) PathBuf);

impl Connector for UnixConnector {
    type Out = UnixTransport;

    fn connect(&self, details: &ConnectionDetails, _chained: Option<()>) -> Result<Option<UnixTransport>, Error> {
        let stream = UnixStream::connect(&self.0)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(UnixTransport { stream, buffers }))
    }
}

/// A connection over the socket.
#[derive(Debug)]
pub(super) struct UnixTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.set_write_timeout(limit(timeout))?;
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(|error| explained(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.set_read_timeout(limit(timeout))?;
        let input = self.buffers.input_append_buf();
        let amount = loop {
            match self.stream.read(input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome.map_err(|error| explained(error, timeout))?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // Each verb asks in order and reads answers whole, so nothing has come in where the connection is open.
        let mut octet = [0];
        let look = self
            .stream
            .set_nonblocking(true)
            .and_then(|()| self.stream.read(&mut octet));
        let is_open = matches!(look, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        is_open && self.stream.set_nonblocking(false).is_ok()
    }
}

/// What is left of the time, as sockets take it: none is no limit, and zero is not allowed.
fn limit(timeout: NextTimeout) -> Option<Duration> {
    timeout.not_zero().map(|left| *left)
}

fn explained(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;

    use crate::cli::connection::{Payload, ServerArgs};
    use crate::cli::output::OutputFormat;

    #[test]
    fn requests_go_over_the_socket_and_keep_the_connection() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("api.sock");
        let listener = UnixListener::bind(&path).expect("bound");
        // One connection alone is taken: a second one would wait for ever.
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
            let mut requests = Vec::new();
            for _ in 0..2 {
                let mut request = String::new();
                while !request.ends_with("\r\n\r\n") {
                    reader.read_line(&mut request).expect("a line");
                }
                requests.push(request);
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                    .expect("written");
            }
            requests
        });
        let args = ServerArgs {
            url: Some(format!("unix:{}", path.display())),
            ca: None,
            output: OutputFormat::Json,
        };
        let client = args.connect().expect("an address");
        for _ in 0..2 {
            let answer = client.call("GET", "/api/v1/zones", Payload::None).expect("an answer");
            assert_eq!(answer.json().expect("JSON"), serde_json::json!({}));
        }
        let requests = server.join().expect("no panic");
        assert!(
            requests[1].starts_with("GET /api/v1/zones HTTP/1.1\r\n"),
            "{requests:?}"
        );
    }
}
