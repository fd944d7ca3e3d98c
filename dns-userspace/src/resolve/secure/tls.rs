//! DNS over TLS (RFC 7858).
//!
//! ```text
//! query ─► ask ─► Connection task: its own ID for each query ─► TLS ─► server
//!           ▲                      replies in any order ◄────────────┘
//!           └── the query's own ID; none where the connection ends
//! ```

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::IDLE;

/// Queries that wait to be written to one connection.
const QUEUE: usize = 256;
/// A length and the longest message.
const MOST_BUFFERED: usize = 2 * (2 + 65_535);

/// Makes connections to one server.
pub(super) struct Dialer {
    name: ServerName<'static>,
    connector: TlsConnector,
}

/// A connection.
#[derive(Clone)]
pub(super) struct Session(mpsc::Sender<Request>);

/// A query on its way to the connection.
pub(super) struct Request {
    query: Vec<u8>,
    reply: oneshot::Sender<Vec<u8>>,
}

impl Dialer {
    /// For a server with this name.
    pub(super) fn new(name: ServerName<'static>, config: Arc<ClientConfig>) -> Self {
        let connector = TlsConnector::from(config);
        Self { name, connector }
    }

    pub(super) async fn dial(&self, address: SocketAddr) -> io::Result<Session> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = self.connector.connect(self.name.clone(), stream).await?;
        let (sender, requests) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            if let Err(error) = serve(stream, requests).await {
                tracing::debug!(%error, "a connection to an upstream server ended");
            }
        });
        Ok(Session(sender))
    }
}

impl Session {
    pub(super) fn is_over(&self) -> bool {
        self.0.is_closed()
    }

    pub(super) async fn ask(&self, query: &[u8]) -> io::Result<Vec<u8>> {
        let (reply, replied) = oneshot::channel();
        let request = Request {
            query: query.to_vec(),
            reply,
        };
        match (self.0.send(request).await, replied.await) {
            (Ok(()), Ok(reply)) => Ok(reply),
            _ => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

/// Carries queries and replies until the server closes the connection, or nobody needs it.
async fn serve(mut stream: TlsStream<TcpStream>, mut requests: mpsc::Receiver<Request>) -> io::Result<()> {
    // By the ID on this connection: who waits, and the query's own ID.
    let mut waiting: HashMap<u16, (oneshot::Sender<Vec<u8>>, [u8; 2])> = HashMap::new();
    let mut received = Vec::new();
    let mut used = Instant::now();
    loop {
        tokio::select! {
            request = requests.recv() => {
                let Some(Request { query, reply }) = request else {
                    return Ok(());
                };
                used = Instant::now();
                waiting.retain(|_, (reply, _)| !reply.is_closed());
                write(&mut stream, query, reply, &mut waiting).await?;
            }
            read = stream.read_buf(&mut received) => {
                if read? == 0 {
                    return Ok(());
                }
                used = Instant::now();
                take_replies(&mut received, &mut waiting)?;
            }
            () = tokio::time::sleep_until(used + IDLE) => return Ok(()),
        }
    }
}

async fn write(
    stream: &mut TlsStream<TcpStream>,
    mut query: Vec<u8>,
    reply: oneshot::Sender<Vec<u8>>,
    waiting: &mut HashMap<u16, (oneshot::Sender<Vec<u8>>, [u8; 2])>,
) -> io::Result<()> {
    let mut id = rand::random::<u16>();
    while waiting.contains_key(&id) {
        id = id.wrapping_add(1);
    }
    let Some(own) = query.first_chunk_mut::<2>() else {
        return Ok(());
    };
    waiting.insert(id, (reply, std::mem::replace(own, id.to_be_bytes())));
    // RFC 7858 §3.3: length and message in one write.
    let mut framed = (query.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(&query);
    let written = async {
        stream.write_all(&framed).await?;
        stream.flush().await
    };
    timeout(IDLE, written)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Hands on the whole messages in what was received.
fn take_replies(
    received: &mut Vec<u8>,
    waiting: &mut HashMap<u16, (oneshot::Sender<Vec<u8>>, [u8; 2])>,
) -> io::Result<()> {
    while let Some((length, rest)) = received.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some(message) = rest.get(..length) else {
            break;
        };
        let mut message = message.to_vec();
        received.drain(..2 + length);
        let Some(id) = message.first_chunk_mut::<2>() else {
            continue;
        };
        if let Some((reply, own)) = waiting.remove(&u16::from_be_bytes(*id)) {
            *id = own;
            let _ = reply.send(message);
        }
    }
    if received.len() > MOST_BUFFERED {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(())
}
