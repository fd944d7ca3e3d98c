//! A server that is asked over TLS, HTTPS or QUIC: one line to it, kept while it is used, with many queries on it.
//!
//! ```text
//! query ─► ask ─► the line that there is, or a new one ─► Session: DNS over TLS, HTTPS, QUIC ─► server
//!           ▲                                                    │
//!           ├── the reply ◄──────────────────────────────────────┤
//!           └── none, and the line was an old one: once more on a new one
//! ```
//!
//! The server proves to be who it is: by the name of the configuration, or without one by its address (strict privacy,
//! RFC 8310 §5). The roots are those of the system. A line on which a query got no reply for a while, and none came
//! since, is doubted: the next query makes a new one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::exchange::Failed;
use crate::config::{ServerPlace, UpstreamServer, UpstreamTransport};

mod https;
mod quic;
mod tls;

/// A line that nobody has used for so long is closed (RFC 7766 §6.2.3: a few seconds).
const IDLE: Duration = Duration::from_secs(10);
/// A query that is given up before says nothing of its line.
const DOUBT_AFTER: Duration = Duration::from_secs(1);

/// A server, and the line to it.
pub(super) struct SecureServer {
    dialer: Dialer,
    current: Mutex<Option<Line>>,
}

/// How lines are made.
enum Dialer {
    Tls(tls::Dialer),
    Https(https::Dialer),
    Quic(quic::Dialer),
}

/// A line that is there.
#[derive(Clone)]
struct Line {
    peer: SocketAddr,
    session: Session,
    state: Arc<State>,
}

#[derive(Clone)]
enum Session {
    Tls(tls::Session),
    Https(https::Session),
    Quic(quic::Session),
}

/// What is known of a line.
#[derive(Default)]
struct State {
    /// How many replies came over it.
    replies: AtomicU64,
    is_doubted: AtomicBool,
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

/// The same, for a protocol over TLS (RFC 7301).
fn with_protocol(config: &ClientConfig, protocol: &[u8]) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

impl SecureServer {
    /// `None` where the server is asked over UDP and TCP. `config` is asked for where it is not.
    pub(super) fn new(server: &UpstreamServer, config: impl FnOnce() -> Arc<ClientConfig>) -> Option<Self> {
        let named = |given: &Option<Arc<str>>| {
            let given = given.as_deref().or(server.host_name());
            let name = given.and_then(|name| ServerName::try_from(name.to_owned()).ok());
            match (name, &server.place) {
                (Some(name), _) => name,
                (None, ServerPlace::At(address)) => ServerName::IpAddress(address.ip().into()),
                // The configuration has none such; no certificate is for this one.
                (None, ServerPlace::Named(..)) => ServerName::try_from("invalid").expect("it is a name"),
            }
        };
        let dialer = match &server.transport {
            UpstreamTransport::Plain => return None,
            UpstreamTransport::Tls(name) => Dialer::Tls(tls::Dialer::new(named(name), config())),
            UpstreamTransport::Https(name, path) => {
                Dialer::Https(https::Dialer::new(named(name), &server.place, path, &config()))
            }
            UpstreamTransport::Quic(name) => Dialer::Quic(quic::Dialer::new(&named(name), &config())),
        };
        Some(Self {
            dialer,
            current: Mutex::default(),
        })
    }

    /// The word for how it is asked.
    pub(super) fn transport(&self) -> &'static str {
        match self.dialer {
            Dialer::Tls(_) => "tls",
            Dialer::Https(_) => "https",
            Dialer::Quic(_) => "quic",
        }
    }

    /// The reply of the server at this address to a query, whatever it is; with the query's ID.
    pub(super) async fn ask(&self, address: SocketAddr, query: &[u8]) -> Result<Vec<u8>, Failed> {
        // A server may close a line at any time: what was sent on an old one is sent again, once.
        loop {
            let (line, is_new) = self.line(address).await?;
            let doubt = Doubt::begin(&line.state);
            match line.session.ask(query).await {
                Ok(reply) => {
                    doubt.end(true);
                    return Ok(reply);
                }
                Err(Failed::Network(_)) if !is_new => doubt.end(false),
                Err(error) => {
                    doubt.end(matches!(error, Failed::Status(_)));
                    return Err(error);
                }
            }
        }
    }

    /// The line that there is, or a new one; and whether it is new.
    async fn line(&self, address: SocketAddr) -> Result<(Line, bool), Failed> {
        // Those who come meanwhile wait for the same line.
        let mut current = self.current.lock().await;
        if let Some(line) = current.as_ref().filter(|line| line.peer == address && line.is_good()) {
            return Ok((line.clone(), false));
        }
        *current = None;
        let session = match &self.dialer {
            Dialer::Tls(dialer) => Session::Tls(dialer.dial(address).await?),
            Dialer::Https(dialer) => Session::Https(dialer.dial(address).await?),
            Dialer::Quic(dialer) => Session::Quic(dialer.dial(address).await?),
        };
        let line = Line {
            peer: address,
            session,
            state: Arc::default(),
        };
        *current = Some(line.clone());
        Ok((line, true))
    }
}

impl std::fmt::Debug for SecureServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecureServer").finish_non_exhaustive()
    }
}

impl Line {
    fn is_good(&self) -> bool {
        let is_over = match &self.session {
            Session::Tls(session) => session.is_over(),
            Session::Https(session) => session.is_over(),
            Session::Quic(session) => session.is_over(),
        };
        !is_over && !self.state.is_doubted.load(Ordering::Relaxed)
    }
}

impl Session {
    async fn ask(&self, query: &[u8]) -> Result<Vec<u8>, Failed> {
        match self {
            Self::Tls(session) => Ok(session.ask(query).await?),
            Self::Https(session) => session.ask(query).await,
            Self::Quic(session) => session.ask(query).await,
        }
    }
}

/// Watches over a query on a line: where it is given up after a while, and nothing came over the line meanwhile, the
/// line is not used again.
struct Doubt {
    state: Arc<State>,
    since: Instant,
    replies: u64,
    is_over: bool,
}

impl Doubt {
    fn begin(state: &Arc<State>) -> Self {
        Self {
            state: Arc::clone(state),
            since: Instant::now(),
            replies: state.replies.load(Ordering::Relaxed),
            is_over: false,
        }
    }

    /// The query has ended; with a reply, or because the line is broken.
    fn end(mut self, is_reply: bool) {
        self.is_over = true;
        if is_reply {
            self.state.replies.fetch_add(1, Ordering::Relaxed);
        } else {
            self.state.is_doubted.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        let is_silent = self.state.replies.load(Ordering::Relaxed) == self.replies;
        if !self.is_over && is_silent && self.since.elapsed() >= DOUBT_AFTER {
            self.state.is_doubted.store(true, Ordering::Relaxed);
        }
    }
}

/// RFC 8484 §4.1, RFC 9250 §4.2.1: the ID is 0 on the way. What was in its place.
fn take_id(query: &mut [u8]) -> [u8; 2] {
    query.first_chunk_mut::<2>().map(std::mem::take).unwrap_or_default()
}

/// Puts the ID back, where the server has left it 0.
fn give_id(reply: &mut [u8], id: [u8; 2]) {
    if let Some(own) = reply.first_chunk_mut::<2>().filter(|own| **own == [0; 2]) {
        *own = id;
    }
}
