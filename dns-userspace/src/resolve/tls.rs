//! DNS over TLS to one upstream server (RFC 7858): one connection, kept while it is used, with many queries on it.
//!
//! ```text
//! query ─► ask ─► Connection task: its own ID for each query ─► TLS ─► server
//!           ▲                      replies in any order ◄────────────┘
//!           └── the query's own ID; none where the connection ends: once more on a new one
//! ```
//!
//! The server proves to be who it is: by the name of the configuration, or without one by its address (strict privacy,
//! RFC 8310 §5). The roots are those of the system.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connection that nobody has used for so long is closed (RFC 7766 §6.2.3: a few seconds).
const IDLE: Duration = Duration::from_secs(10);
/// Queries that wait to be written to one connection.
const QUEUE: usize = 256;
/// A length and the longest message.
const MOST_BUFFERED: usize = 2 * (2 + 65_535);

/// A server, and the connection to it.
pub(super) struct TlsServer {
    address: SocketAddr,
    name: ServerName<'static>,
    connector: TlsConnector,
    current: Mutex<Option<mpsc::Sender<Request>>>,
}

/// A query on its way to the connection.
struct Request {
    query: Vec<u8>,
    reply: oneshot::Sender<Vec<u8>>,
}

/// What TLS to upstream servers needs: the roots of the system.
pub(super) fn client_config() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate of the system's roots cannot be read");
    }
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!(
            "the system has no root certificates, so no upstream server over TLS can be trusted: install them \
             (Debian: `ca-certificates`), or name a file in the variable SSL_CERT_FILE"
        );
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions");
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

impl TlsServer {
    pub(super) fn new(address: SocketAddr, name: Option<&str>, config: Arc<ClientConfig>) -> Self {
        let name = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        Self {
            address,
            name: name.unwrap_or_else(|| ServerName::IpAddress(address.ip().into())),
            connector: TlsConnector::from(config),
            current: Mutex::default(),
        }
    }

    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The reply to a query, whatever it is.
    pub(super) async fn ask(&self, query: &[u8]) -> io::Result<Vec<u8>> {
        // A server may close a connection at any time: what was sent on an old one is sent again, once.
        for _ in 0..2 {
            let (connection, is_new) = self.connection().await?;
            let (reply, replied) = oneshot::channel();
            let request = Request {
                query: query.to_vec(),
                reply,
            };
            let sent = connection.send(request).await;
            if let (Ok(()), Ok(reply)) = (sent, replied.await) {
                return Ok(reply);
            }
            if is_new {
                break;
            }
        }
        Err(io::ErrorKind::ConnectionReset.into())
    }

    /// The connection that there is, or a new one; and whether it is new.
    async fn connection(&self) -> io::Result<(mpsc::Sender<Request>, bool)> {
        // Those who come meanwhile wait for the same connection.
        let mut current = self.current.lock().await;
        if let Some(connection) = current.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok((connection.clone(), false));
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let stream = self.connector.connect(self.name.clone(), stream).await?;
        let (sender, requests) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            if let Err(error) = serve(stream, requests).await {
                tracing::debug!(%error, "a connection to an upstream server ended");
            }
        });
        *current = Some(sender.clone());
        Ok((sender, true))
    }
}

impl std::fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
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
