//! DNS over HTTPS (RFC 8484): each query is a POST, and a stream of one HTTP/2 connection.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsConnector;

use super::super::exchange::Failed;
use super::{IDLE, give_id, take_id, with_protocol};
use crate::config::ServerPlace;

const MEDIA_TYPE: &str = "application/dns-message";
/// The longest message.
const MOST_OCTETS: usize = 65_535;
const HTTPS_PORT: u16 = 443;

/// Makes connections to one server.
pub(super) struct Dialer {
    name: ServerName<'static>,
    connector: TlsConnector,
    uri: Arc<str>,
}

/// A connection.
#[derive(Clone)]
pub(super) struct Session {
    sender: SendRequest<Full<Bytes>>,
    uri: Arc<str>,
    used: Arc<Mutex<Instant>>,
}

impl Dialer {
    /// For the path of a server with this name.
    pub(super) fn new(name: ServerName<'static>, place: &ServerPlace, path: &str, config: &ClientConfig) -> Self {
        let port = match place {
            ServerPlace::At(address) => address.port(),
            ServerPlace::Named(_, port) => *port,
        };
        let host = match &name {
            ServerName::IpAddress(rustls::pki_types::IpAddr::V6(_)) => format!("[{}]", name.to_str()),
            _ => name.to_str().into_owned(),
        };
        let port = if port == HTTPS_PORT {
            String::new()
        } else {
            format!(":{port}")
        };
        Self {
            uri: format!("https://{host}{port}{path}").into(),
            name,
            connector: TlsConnector::from(with_protocol(config, b"h2")),
        }
    }

    pub(super) async fn dial(&self, address: SocketAddr) -> Result<Session, Failed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = self.connector.connect(self.name.clone(), stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            let problem = "the server does not speak HTTP/2, which DNS over HTTPS needs (RFC 8484 §5.2)";
            return Err(io::Error::new(io::ErrorKind::Unsupported, problem).into());
        }
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let made = builder.timer(TokioTimer::new()).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(io::Error::other)?;
        let used = Arc::new(Mutex::new(Instant::now()));
        let last = Arc::clone(&used);
        tokio::spawn(async move {
            let mut connection = std::pin::pin!(connection);
            loop {
                let end = read(&last) + IDLE;
                tokio::select! {
                    ended = &mut connection => {
                        if let Err(error) = ended {
                            tracing::debug!(%error, "a connection to an upstream server ended");
                        }
                        return;
                    }
                    () = sleep_until(end) => if read(&last) + IDLE <= Instant::now() {
                        return;
                    }
                }
            }
        });
        Ok(Session {
            sender,
            uri: Arc::clone(&self.uri),
            used,
        })
    }
}

fn read(used: &Mutex<Instant>) -> Instant {
    *used.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub(super) fn is_over(&self) -> bool {
        self.sender.is_closed()
    }

    pub(super) async fn ask(&self, query: &[u8]) -> Result<Vec<u8>, Failed> {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let mut query = query.to_vec();
        let id = take_id(&mut query);
        let uri: Uri = self.uri.parse().map_err(io::Error::other)?;
        let request = Request::post(uri)
            .header(header::CONTENT_TYPE, MEDIA_TYPE)
            .header(header::ACCEPT, MEDIA_TYPE)
            .body(Full::new(Bytes::from(query)))
            .map_err(io::Error::other)?;
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(io::Error::other)?;
        let reply = sender.send_request(request).await.map_err(io::Error::other)?;
        // RFC 8484 §4.2.1: only a 2xx holds an answer.
        if !reply.status().is_success() {
            return Err(Failed::Status(reply.status().as_u16()));
        }
        let media_type = reply.headers().get(header::CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !media_type.trim().eq_ignore_ascii_case(MEDIA_TYPE) {
            return Err(Failed::Garbled);
        }
        let body = Limited::new(reply.into_body(), MOST_OCTETS).collect().await;
        let body = body.map_err(|error| io::Error::other(error.to_string()))?;
        let mut reply = body.to_bytes().to_vec();
        give_id(&mut reply, id);
        Ok(reply)
    }
}
