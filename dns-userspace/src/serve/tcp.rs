//! DNS over TCP (RFC 1035 §4.2.2, RFC 7766): connections are accepted, and served as sessions.
//!
//! ```text
//! acceptor (main runtime) ─► Gate ─► Admissions: in all, per client ─► a worker, in turn ─► session (`stream`)
//! ```

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::policy::Policies;
use super::stream::{self, Admission, Admissions, Client, Octets};
use super::worker::SharedAnswerer;
use crate::message::Protocol;

/// A connection on its way to a worker.
pub(super) struct Accepted {
    stream: std::net::TcpStream,
    client: IpAddr,
    admission: Admission,
}

/// Accepts until the plane stops, and hands the connections to the workers in turn.
pub(super) async fn accept(
    listener: TcpListener,
    workers: Vec<mpsc::UnboundedSender<Accepted>>,
    admissions: Arc<Admissions>,
    policies: Arc<Policies>,
    stop: CancellationToken,
) {
    let mut next = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, client) = match accepted {
            Ok((stream, client)) => (stream, client.ip()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                // Out of files or memory: that passes, and the backlog waits.
                tracing::warn!(%error, "cannot accept a TCP connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // A client that gets nothing takes nobody's place meanwhile.
        if policies.load().gate.drops(client) {
            continue;
        }
        let Some(admission) = admissions.admit(client) else {
            continue;
        };
        if let Ok(stream) = stream.into_std() {
            // The worker is gone only when the plane stops.
            let _ = workers[next].send(Accepted {
                stream,
                client,
                admission,
            });
            next = (next + 1) % workers.len();
        }
    }
}

/// Serves one connection until the client or a time-out ends it, or the plane stops.
pub(super) async fn serve(accepted: Accepted, answerer: Rc<RefCell<SharedAnswerer>>) {
    let Accepted {
        stream,
        client: address,
        admission,
    } = accepted;
    let protocol = Protocol::Tcp;
    if let Ok(stream) = TcpStream::from_std(stream) {
        let port = stream.peer_addr().map_or(0, |peer| peer.port());
        let client = Client {
            address,
            port,
            protocol,
        };
        stream::serve(Connection(stream), client, admission, answerer).await;
    }
}

/// The octets of a connection.
struct Connection(TcpStream);

impl Octets for Connection {
    fn is_read_closed(&self) -> bool {
        let ready = pin!(self.0.ready(Interest::READABLE));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(ready)) => ready.is_read_closed(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, to)
    }
}

impl AsyncWrite for Connection {
    /// Blocked is a connection of which the kernel says so. `TcpStream` takes it for blocked once a write was taken in
    /// part, though the kernel often takes the rest at once.
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write(octets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
