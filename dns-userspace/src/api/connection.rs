//! Connections: admitted, served by hyper with timeouts, ended in order at shutdown.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::admission::{Activity, Admission};
#[cfg(target_os = "linux")]
use super::patience::PATIENCE;
use super::patience::Patient;
use super::refusal::WithProblems;
use super::{ApiState, router, security};
use crate::observe::figures::HttpFigures;
use crate::tls::Certificates;

/// How long the head of a request may take, the wait for it on a kept connection included.
const HEAD_PATIENCE: Duration = Duration::from_secs(15);
/// The largest head of a request.
const HEAD_BYTES: usize = 32 * 1024;
/// What the kernel holds of answers for one client.
const SEND_BYTES: usize = 128 * 1024;
/// How long requests may go on after shutdown was asked for.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);
/// What all connections over the local socket count as.
const LOCAL_CLIENTS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
/// Before the next try where accepting fails, for want of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where the API is served.
#[derive(Default)]
pub struct Listeners {
    /// Addresses.
    pub(crate) tcp: Vec<TcpListener>,
    /// With these, what comes to the addresses is TLS.
    pub(crate) tls: Option<Arc<Certificates>>,
    /// A socket of this machine, without TLS.
    pub(crate) socket: Option<UnixListener>,
}

impl From<Vec<TcpListener>> for Listeners {
    fn from(tcp: Vec<TcpListener>) -> Self {
        Self { tcp, ..Self::default() }
    }
}

/// What all connections are served with.
struct Hall {
    state: ApiState,
    router: Router,
    tls: Option<Arc<Certificates>>,
    connections: TaskTracker,
    shutdown: CancellationToken,
}

/// Serves the API on `listeners` until `shutdown`, then lets the requests that are under way end.
pub async fn serve(listeners: impl Into<Listeners>, state: ApiState, shutdown: CancellationToken) {
    let Listeners { tcp, tls, socket } = listeners.into();
    let _ = state.0.stopping.set(shutdown.clone());
    let connections = TaskTracker::new();
    let hall = Hall {
        router: router(state.clone()),
        state,
        tls,
        connections: connections.clone(),
        shutdown: shutdown.clone(),
    };
    let tcp = tcp.into_iter().map(|listener| accept_tcp(listener, &hall));
    let socket = socket.into_iter().map(|listener| accept_local(listener, &hall));
    tokio::join!(
        futures_util::future::join_all(tcp),
        futures_util::future::join_all(socket)
    );
    shutdown.cancelled().await;
    connections.close();
    if tokio::time::timeout(SHUTDOWN_PATIENCE, connections.wait())
        .await
        .is_err()
    {
        warn!("{} HTTP connections were cut at shutdown", connections.len());
    }
}

async fn accept_tcp(listener: TcpListener, hall: &Hall) {
    loop {
        let next = async {
            let (stream, remote) = listener.accept().await?;
            Ok((stream, remote, hall.state.admissions().admit(remote.ip()).await))
        };
        let (stream, remote, admission) = match hall.next(next).await {
            None => return,
            Some(None) => continue,
            Some(Some(next)) => next,
        };
        let (Some(admission), Ok(local)) = (admission, stream.local_addr()) else {
            debug!("HTTP connection of {remote}: there is no room, or it has ended");
            continue;
        };
        prepare(&stream);
        let conversation = hall.conversation(Peer::Network { local, remote }, &admission);
        match &hall.tls {
            None => hall.connections.spawn(converse(stream, conversation, admission)),
            Some(certificates) => {
                let acceptor = TlsAcceptor::from(certificates.current());
                hall.connections.spawn(async move {
                    let handshake = tokio::time::timeout(HEAD_PATIENCE, acceptor.accept(stream));
                    let shaken = tokio::select! {
                        shaken = handshake => shaken,
                        () = admission.activity.displaced() => return,
                        () = conversation.shutdown.cancelled() => return,
                    };
                    match shaken {
                        Ok(Ok(stream)) => converse(stream, conversation, admission).await,
                        Ok(Err(error)) => debug!("HTTP connection of {remote}: no TLS: {error}"),
                        Err(_) => debug!("HTTP connection of {remote}: the handshake of TLS takes too long"),
                    }
                })
            }
        };
    }
}

async fn accept_local(listener: UnixListener, hall: &Hall) {
    loop {
        let next = async {
            let (stream, _) = listener.accept().await?;
            let peer = stream.peer_cred()?;
            Ok((stream, peer, hall.state.admissions().admit(LOCAL_CLIENTS).await))
        };
        let (stream, peer, admission) = match hall.next(next).await {
            None => return,
            Some(None) => continue,
            Some(Some(next)) => next,
        };
        let Some(admission) = admission else {
            debug!("HTTP connection of a local user: there is no room");
            continue;
        };
        let peer = Peer::Socket {
            user: peer.uid(),
            process: peer.pid(),
        };
        let conversation = hall.conversation(peer, &admission);
        hall.connections.spawn(converse(stream, conversation, admission));
    }
}

impl Hall {
    /// What `accept` gives; nothing where that fails. `None` at shutdown.
    async fn next<T>(&self, accept: impl Future<Output = std::io::Result<T>>) -> Option<Option<T>> {
        let next = tokio::select! {
            next = accept => next,
            () = self.shutdown.cancelled() => return None,
        };
        match next {
            Ok(next) => Some(Some(next)),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => Some(None),
            Err(error) => {
                warn!("cannot accept an HTTP connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                Some(None)
            }
        }
    }

    fn conversation(&self, peer: Peer, admission: &Admission) -> Conversation {
        Conversation {
            router: TowerToHyperService::new(self.router.clone()),
            peer,
            place: Place {
                activity: Arc::clone(&admission.activity),
                is_spare: admission.is_spare,
            },
            figures: Arc::clone(self.state.figures()),
            shutdown: self.shutdown.clone(),
        }
    }
}

/// One connection's life.
async fn converse<S>(stream: S, conversation: Conversation, admission: Admission)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::clone(&admission.activity);
    let (peer, shutdown) = (conversation.peer, conversation.shutdown.clone());
    let stream = Patient::new(stream, Arc::clone(&activity), Arc::clone(&conversation.figures));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES)
        .max_header_size(HEAD_BYTES)
        // RFC 9112 §9.5: a client may have nothing more to say and wait for its answer all the same.
        .half_close(true)
        .serve_connection(TokioIo::new(WithProblems::new(stream)), conversation);
    tokio::pin!(connection);
    let to_its_end = async {
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    tokio::select! {
        ended = to_its_end => if let Err(error) = ended {
            debug!("HTTP connection of {peer}: {error}");
        },
        () = activity.displaced() => debug!("HTTP connection of {peer}: another one has its place"),
    }
}

/// Answers are written at once, and what the kernel holds of them is bounded in size and time. Where that cannot be
/// had, the connection is served all the same.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_send_buffer_size(SEND_BYTES);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(2 * PATIENCE));
}

/// What a request knows of the connection that it came on.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) activity: Arc<Activity>,
    /// For the probes and the metrics alone.
    pub(super) is_spare: bool,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    /// Somebody on the network, or on this host by an address of it.
    Network {
        /// The address of this side.
        local: SocketAddr,
        /// The address of the other side.
        remote: SocketAddr,
    },
    /// Somebody on this host, by `http.socket`.
    Socket {
        /// The user, as the kernel says.
        user: u32,
        /// The process, where the kernel says it.
        process: Option<i32>,
    },
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network { remote, .. } => write!(f, "{remote}"),
            Self::Socket {
                user,
                process: Some(process),
            } => write!(f, "uid {user} pid {process}"),
            Self::Socket { user, process: None } => write!(f, "uid {user}"),
        }
    }
}

/// The requests of one connection: each is work in hand until it has an answer.
struct Conversation {
    router: TowerToHyperService<Router>,
    peer: Peer,
    place: Place,
    figures: Arc<HttpFigures>,
    shutdown: CancellationToken,
}

impl Service<Request<Incoming>> for Conversation {
    type Response = Response<axum::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let work = self.place.activity.work();
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(self.place.clone());
        let answer = self.router.call(request);
        Box::pin(async move {
            let Some(_work) = work else {
                // The place is lost, and the connection is about to be closed.
                return std::future::pending().await;
            };
            let mut answer = answer.await?;
            security::add_headers(answer.headers_mut());
            Ok(answer)
        })
    }
}
